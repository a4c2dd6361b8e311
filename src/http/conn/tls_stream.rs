//! [`TlsStream`]: the byte stream of a connection with TLS, over a socket that limits the bytes of a handshake.

use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Write as _};
use std::iter;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server;

use super::plain::Plain;
use super::transport::Transport;

/// The first byte of every TLS connection: a record of the type handshake (RFC 8446 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// HTTP/2 in a hello (RFC 9113 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// The type of a record of application data, and in TLS 1.3 of all that is encrypted.
const DATA_RECORD: u8 = 23;

/// Most bytes of an encrypted alert of TLS 1.3: a header, the alert, the type and the tag.
const ALERT_MAX: usize = 24;

/// The byte stream of a connection with TLS, after its handshake.
#[derive(Debug)]
pub(super) struct TlsStream {
    inner: server::TlsStream<Metered>,
    /// Whether writes wait for the announcement of the end.
    holds_for_close: bool,
}

impl TlsStream {
    /// Wraps a stream whose handshake is over, and lifts the limit of its bytes.
    pub(super) fn new(mut stream: server::TlsStream<Metered>) -> TlsStream {
        stream.get_mut().0.is_handshake = false;
        TlsStream { inner: stream, holds_for_close: false }
    }

    /// Sends the ticket now, unless a request has arrived with the end of the handshake: then it leaves with the
    /// response. Without an answer, a client that joins small writes (Nagle) would send its request 40 ms later.
    pub(super) async fn send_ticket(&mut self) -> io::Result<()> {
        let (io, session) = self.inner.get_mut();
        let has_request =
            session.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0);
        if has_request { Ok(()) } else { poll_fn(|cx| io.poll_send_ticket(cx)).await }
    }

    /// Returns whether client and server have agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.session().alpn_protocol() == Some(HTTP2)
    }

    /// Returns the state of TLS.
    fn session(&self) -> &ServerConnection {
        self.inner.get_ref().1
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Not the read of `inner`, which asks the socket until the buffer is full: most requests are one record, and
        // nothing arrives behind it.
        ready!(Pin::new(&mut self.inner).poll_fill_buf(cx))?;
        let mut reader = self.inner.get_mut().1.reader();
        // All that was decrypted, so that requests that were sent ahead are seen together.
        while buffer.remaining() > 0
            && let Ok(data) = reader.fill_buf()
            && !data.is_empty()
        {
            let taken = data.len().min(buffer.remaining());
            buffer.put_slice(&data[..taken]);
            reader.consume(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.holds_for_close {
            let held = self.inner.get_mut().1.writer().write(data)?;
            // None, if there is no room for more.
            if held > 0 {
                // It is sent by `poll_close_notify`.
                return Poll::Ready(Ok(held));
            }
        }
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The state of a flush is of no use here: nearly always everything was sent by the write.
        if self.is_flushed() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.inner).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Transport for TlsStream {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (io, session) = self.inner.get_mut();
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

    fn hold_for_close(&mut self) {
        self.holds_for_close = true;
    }

    fn poll_close_notify(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sends the alert once, however often it is called.
        self.inner.get_mut().1.send_close_notify();
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
    is_handshake: bool,
    /// Bytes that the handshake may still read.
    left: usize,
    /// The bytes of a client that does not speak TLS.
    plain: Option<u8>,
    is_new: bool,
    /// The ticket of the handshake. It leaves with the first response, if the request has arrived: a system call less
    /// for each connection.
    ticket: Vec<u8>,
    /// Whether the client has sent something since the last write.
    is_answering: bool,
}

impl Metered {
    /// Creates a socket from which a handshake may read `most` bytes.
    pub(super) fn new(io: Plain, most: usize) -> Metered {
        Metered {
            io,
            is_handshake: true,
            left: most,
            plain: None,
            is_new: true,
            ticket: Vec::new(),
            is_answering: false,
        }
    }

    /// Allows this many bytes more.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// Returns the first byte of a client that does not speak TLS.
    pub(super) fn first_plain(&self) -> Option<u8> {
        self.plain
    }

    /// Returns the address of this machine that the client has connected to.
    pub(super) fn local(&self) -> Option<IpAddr> {
        self.io.local()
    }

    /// Returns the socket.
    pub(super) fn into_inner(self) -> Plain {
        self.io
    }

    /// Returns whether a write of a handshake is a ticket: in TLS 1.3, a server answers the last message of the client
    /// with nothing else that is encrypted but an alert. A client of TLS 1.2 waits for its ticket.
    fn is_ticket(&self, data: &[IoSlice<'_>]) -> bool {
        let length: usize = data.iter().map(|slice| slice.len()).sum();
        self.is_handshake
            && self.is_answering
            && length > ALERT_MAX
            && data.first().and_then(|slice| slice.first()) == Some(&DATA_RECORD)
    }

    fn poll_send_ticket(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A system that accepts a part of it is rare, but possible.
        while !self.ticket.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.ticket))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ticket.drain(..written);
        }
        self.ticket = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Writes the held ticket and then the data.
    fn poll_write_with_ticket(
        &mut self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            // No copy: the response may be long.
            let Metered { io, ticket, .. } = &mut *self;
            let all: Vec<IoSlice<'_>> =
                iter::once(IoSlice::new(ticket)).chain(data.iter().copied()).collect();
            let written = ready!(Pin::new(io).poll_write_vectored(cx, &all))?;
            if let Some(of_data) = written.checked_sub(ticket.len()) {
                self.ticket = Vec::new();
                // Zero would mean the end of the stream.
                return if of_data > 0 { Poll::Ready(Ok(of_data)) } else { self.poll_write_all(cx, data) };
            }
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            // The system accepted a part of the ticket only.
            self.ticket.drain(..written);
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match data {
            // One record, as of nearly every response: `send` takes 0.2 us less than `writev`.
            [record] => Pin::new(&mut self.io).poll_write(cx, record),
            records => Pin::new(&mut self.io).poll_write_vectored(cx, records),
        }
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
        self.is_answering = true;
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
        // Later bytes have the limits of their protocol.
        if self.is_handshake {
            let left = self.left.checked_sub(read.len());
            self.left = left.ok_or(io::ErrorKind::InvalidData)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    /// Sends the records of rustls together. Without it, the first flight of a handshake is three writes.
    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.ticket.is_empty() {
            return self.poll_write_with_ticket(cx, data);
        }
        if self.is_ticket(data) {
            // Nobody waits for it, once the request is here: see `TlsStream::send_ticket`.
            self.ticket = data.iter().flat_map(|slice| slice.iter().copied()).collect();
            return Poll::Ready(Ok(self.ticket.len()));
        }
        self.is_answering = false;
        self.poll_write_all(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client};

    use super::*;

    /// Returns both sides of a connection.
    async fn pair() -> (TlsStream, client::TlsStream<TcpStream>) {
        let (acceptor, connector) = sides();
        connect(&acceptor, &connector).await
    }

    fn sides() -> (TlsAcceptor, TlsConnector) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a valid name");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().expect("both versions");
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a pair")));
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("both versions");
        let connector =
            TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        (acceptor, connector)
    }

    async fn connect(
        acceptor: &TlsAcceptor,
        connector: &TlsConnector,
    ) -> (TlsStream, client::TlsStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let socket = TcpStream::connect(address).await.expect("open");
        let (accepted, _) = listener.accept().await.expect("a connection");
        let server = acceptor.accept(Metered::new(Plain::Tcp(accepted), 8 * 1024));
        let client = connector.connect("a.test".try_into().expect("a name"), socket);
        let (server, client) = tokio::join!(server, client);
        (TlsStream::new(server.expect("a handshake")), client.expect("a handshake"))
    }

    async fn has_ended(stream: &mut TlsStream) -> bool {
        poll_fn(|cx| Poll::Ready(stream.poll_end(cx).is_ready())).await
    }

    /// Polls until the end of the client is seen.
    async fn end(stream: &mut TlsStream) {
        poll_fn(|cx| stream.poll_end(cx)).await;
    }

    #[tokio::test]
    async fn n18_the_end_of_a_client_is_seen_and_its_bytes_are_kept() {
        let (mut server, mut client) = pair().await;
        assert!(!has_ended(&mut server).await, "it waits");
        client.write_all(b"the next request").await.expect("open");
        // The bytes arrive at some time; the client is there before and after it.
        for _ in 0..50 {
            assert!(!has_ended(&mut server).await);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let mut bytes = [0; 16];
        server.read_exact(&mut bytes).await.expect("they are kept");
        assert_eq!(&bytes, b"the next request");
        client.shutdown().await.expect("open");
        end(&mut server).await;
        // Cut, without an announcement.
        let (mut server, client) = pair().await;
        drop(client.into_inner());
        end(&mut server).await;
    }

    #[tokio::test]
    async fn a_ticket_leaves_with_the_first_response() {
        let (acceptor, connector) = sides();
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut server, mut client) = connect(&acceptor, &connector).await;
            assert_eq!(client.get_ref().1.handshake_kind(), Some(kind));
            assert!(!server.inner.get_ref().0.ticket.is_empty(), "it waits");
            if kind == HandshakeKind::Resumed {
                server.send_ticket().await.expect("open");
                assert!(server.inner.get_ref().0.ticket.is_empty(), "there is no request yet");
            }
            let request = vec![1; 9_000];
            for response in [&b"the first response"[..], b"the second one", b"the third one"] {
                client.write_all(&request).await.expect("open");
                let mut bytes = vec![0; request.len()];
                server.read_exact(&mut bytes).await.expect("in order");
                server.write_all(response).await.expect("open");
                assert!(server.inner.get_ref().0.ticket.is_empty());
                let mut bytes = vec![0; response.len()];
                client.read_exact(&mut bytes).await.expect("in order");
                assert_eq!(bytes, response);
            }
        }
    }

    #[tokio::test]
    async fn the_last_response_leaves_with_the_announcement_of_the_end() {
        let (mut server, mut client) = pair().await;
        server.hold_for_close();
        server.write_all(b"the response").await.expect("open");
        assert!(!server.is_flushed());
        let sent = client.get_ref().0.try_read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(sent, Err(io::ErrorKind::WouldBlock));
        poll_fn(|cx| server.poll_close_notify(cx)).await.expect("open");
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.expect("not cut");
        assert_eq!(bytes, b"the response");
    }

    #[tokio::test]
    async fn a_long_last_response_is_whole() {
        let (mut server, mut client) = pair().await;
        server.hold_for_close();
        // More than is held at most.
        let response = vec![7; 200_000];
        let sending = async {
            server.write_all(&response).await.expect("open");
            poll_fn(|cx| server.poll_close_notify(cx)).await.expect("open");
        };
        let mut bytes = Vec::new();
        let ((), read) = tokio::join!(sending, client.read_to_end(&mut bytes));
        read.expect("not cut");
        assert_eq!(bytes, response);
    }

    #[tokio::test]
    async fn an_announced_end_leaves_the_socket_open() {
        let (mut server, mut client) = pair().await;
        server.write_all(b"the response").await.expect("open");
        for _ in 0..2 {
            poll_fn(|cx| server.poll_close_notify(cx)).await.expect("open");
        }
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.expect("not cut");
        assert_eq!(bytes, b"the response");
        assert!(server.is_flushed());
    }
}
