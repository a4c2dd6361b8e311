//! [`Plain`]: the byte stream of an accepted connection without TLS, or below it.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::transport::Transport;

/// A byte stream without TLS.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Plain {
    /// Returns the address of this machine that the client has connected to. `None` for a socket file.
    pub(super) fn local(&self) -> Option<IpAddr> {
        match self {
            Plain::Tcp(stream) => stream.local_addr().ok().map(|local| local.ip()),
            Plain::Unix(_) => None,
        }
    }

    /// Reads what has arrived. Fails with `WouldBlock` if nothing has.
    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Plain::Tcp(stream) => stream.try_read(bytes),
            Plain::Unix(stream) => stream.try_read(bytes),
        }
    }

    /// Completes once there is something to read, or the client has closed its side.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Plain::Tcp(stream) => stream.poll_read_ready(cx),
            Plain::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads one byte that stays there. Fails with `WouldBlock` if nothing has arrived.
    fn try_peek(&self) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match self {
            Plain::Tcp(stream) => {
                stream.try_io(Interest::READABLE, || Ok(recv(stream, &mut [0; 1], flags)?.0))
            }
            Plain::Unix(stream) => {
                stream.try_io(Interest::READABLE, || Ok(recv(stream, &mut [0; 1], flags)?.0))
            }
        }
    }
}

impl AsyncRead for Plain {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Plain::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_write(cx, data),
            Plain::Unix(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    /// For TLS, whose handshake has several records to send at once.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, data),
            Plain::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // The socket above says no, so that hyper passes it each response as one slice.
        true
    }

    /// Completes at once: the system buffers what was written.
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Plain::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Transport for Plain {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.try_peek() {
                // Not readable after all: the next poll registers the task.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An error counts as the end: the connection is lost either way.
                Ok(0) | Err(_) => return Poll::Ready(()),
                // A pipelined request: the client closed its side after it, or has not closed it.
                Ok(_) => return Poll::Pending,
            }
        }
    }
}
