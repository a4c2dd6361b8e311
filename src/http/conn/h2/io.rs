//! [`H2Io`]: the byte stream of a connection as hyper's HTTP/2 sees it, with the deadline for clients that do not
//! read, and the budget for bytes that earn nothing.
//!
//! `h2` answers every PING and SETTINGS, and ignores unknown frames, without end. The budget ends such floods within
//! 0.1 s of their bytes, as nginx's rule does: what a client sends beside bodies must be in proportion to its
//! requests and to what it was sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::FrameCounter;
use super::settings::{CONNECTION_WINDOW, STREAMS_MAX};
use super::shared::H2Shared;
use crate::http::conn::deadline::WriteDeadline;

/// Bytes that a connection may send beside those that belong to requests: settings, and the updates of windows.
const SPARE: u64 = 64 * 1024;

/// Bytes that each request may take: its head, and the frames about its stream.
const PER_REQUEST: u64 = 16 * 1024;

/// Bytes of bodies that a client may send before their requests have reached the service: the window.
const BODY_SPARE: u64 = SPARE + CONNECTION_WINDOW as u64;

/// One byte in return for this many that were sent: a client updates its windows.
const SENT_PER_BYTE: u64 = 8;

/// The byte stream of one connection.
pub(super) struct H2Io<S> {
    inner: S,
    shared: H2Shared,
    frames: FrameCounter,
    writes: WriteDeadline,
    sent: u64,
    /// The largest body of a request.
    max_body: u64,
}

impl<S> H2Io<S> {
    pub(super) fn new(inner: S, shared: H2Shared, max_body: usize) -> H2Io<S> {
        let (frames, writes) = (FrameCounter::default(), WriteDeadline::default());
        H2Io { inner, shared, frames, writes, sent: 0, max_body: max_body as u64 }
    }

    /// Fails if the client sends too much that earns nothing.
    fn check_budget(&self) -> io::Result<()> {
        let requests = self.shared.requests();
        // `h2` parses all that it has read before the service gets a request. Without the bound, heads of streams that
        // the client resets at once would count as requests.
        let parsed = self.frames.heads.saturating_sub(requests).min(STREAMS_MAX.into());
        let other = SPARE + PER_REQUEST * (requests + parsed) + self.sent / SENT_PER_BYTE;
        let body = BODY_SPARE + self.max_body * self.shared.uploads();
        if self.frames.other <= other && self.frames.body <= body {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames beside requests"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for H2Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_budget()?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.frames.count(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for H2Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, data);
        let watched = self.writes.watch(cx, written);
        if let Poll::Ready(Ok(bytes)) = &watched {
            self.sent += *bytes as u64;
        }
        self.shared.set_slow(self.writes.is_slow());
        watched
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        let flushed = self.writes.watch_flush(cx, flushed);
        if flushed.is_ready() {
            self.writes.caught_up(cx);
        }
        self.shared.set_slow(self.writes.is_slow());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
