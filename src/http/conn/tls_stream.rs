//! [`TlsStream`]: the byte stream of a connection with TLS, over a socket that limits the bytes of a handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server;

use super::plain::Plain;
use super::transport::Transport;

/// The first byte of every TLS connection: a record of the type handshake (RFC 8446 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// HTTP/2 in a hello (RFC 9113 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// The byte stream of a connection with TLS, after its handshake.
#[derive(Debug)]
pub(super) struct TlsStream(server::TlsStream<Metered>);

impl TlsStream {
    /// Wraps a stream whose handshake is over, and lifts the limit of its bytes.
    pub(super) fn new(mut stream: server::TlsStream<Metered>) -> TlsStream {
        stream.get_mut().0.left = usize::MAX;
        TlsStream(stream)
    }

    /// Returns whether client and server have agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.session().alpn_protocol() == Some(HTTP2)
    }

    /// Returns the state of TLS.
    fn session(&self) -> &ServerConnection {
        self.0.get_ref().1
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The state of a flush is of no use here: nearly always everything was sent by the write.
        if self.is_flushed() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.0).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Transport for TlsStream {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (io, session) = self.0.get_mut();
        loop {
            // Bytes of a later request stay in the session. It accepts no more of them than it has room for.
            if !session.wants_read() {
                return Poll::Pending;
            }
            if ready!(io.io.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match session.read_tls(&mut Arrived(&io.io)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
            match session.process_new_packets() {
                // The client announced its end, after which it sends nothing.
                Ok(state) if state.peer_has_closed() => return Poll::Ready(()),
                Ok(_) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    fn poll_close_notify(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sends the alert once, however often it is called.
        self.0.get_mut().1.send_close_notify();
        Pin::new(self).poll_flush(cx)
    }

    fn is_flushed(&self) -> bool {
        !self.session().wants_write()
    }
}

/// Reads what has arrived at a socket.
struct Arrived<'a>(&'a Plain);

impl io::Read for Arrived<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

/// A socket that fails once a handshake has read too much. rustls alone would collect 64 KB for one message.
#[derive(Debug)]
pub(super) struct Metered {
    io: Plain,
    /// Bytes that may still be read.
    left: usize,
    /// The bytes of a client that does not speak TLS.
    plain: Option<u8>,
    is_new: bool,
}

impl Metered {
    /// Creates a socket from which a handshake may read `most` bytes.
    pub(super) fn new(io: Plain, most: usize) -> Metered {
        Metered { io, left: most, plain: None, is_new: true }
    }

    /// Returns the first byte of a client that does not speak TLS.
    pub(super) fn first_plain(&self) -> Option<u8> {
        self.plain
    }

    /// Returns the socket.
    pub(super) fn into_inner(self) -> Plain {
        self.io
    }
}

impl AsyncRead for Metered {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        if self.is_new
            && let Some(first) = read.first()
        {
            self.is_new = false;
            if *first != HANDSHAKE_RECORD {
                self.plain = Some(*first);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        match self.left.checked_sub(read.len()) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
