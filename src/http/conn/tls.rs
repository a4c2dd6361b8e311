//! [`Tls`]: the handshakes of a listener. A handshake is bounded in time and in bytes, and gets the certificate of
//! the name that the client asks for, or an alert that says that there is none: no client sees the names of others.
//!
//! TLS 1.3 and 1.2, with ECDHE and AEAD ciphers only (the defaults of rustls). One ticket for each handshake, since
//! resumption saves a tenth of its cost at most. No early data: it can be replayed, and a replayed visit would be
//! counted twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{Acceptor, NoServerSessionStorage};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::StartHandshake;

use super::linger::poll_linger;
use super::plain::Plain;
use super::tls_stream::{HTTP2, Metered, TlsStream};
use crate::certificates::Certificates;

/// Most bytes that a handshake reads. A hello with the largest key share and a resumption has 1.8 KB.
const HANDSHAKE_MAX: usize = 8 * 1024;

/// Most bytes that a connection encrypts ahead of what the client accepts.
const UNSENT_MAX: usize = 16 * 1024;

/// HTTP/1.1 in a hello (RFC 7301 6). HTTP/2 is preferred.
const HTTP1: &[u8] = b"http/1.1";

/// The alert `unrecognized_name`, fatal (RFC 6066 3): type, version, length, level, description.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The response to HTTP without TLS, as nginx sends it.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 61\r\n\
                            Connection: close\r\n\r\nThis port speaks HTTPS: use a URL that begins with https://.\n";

/// The TLS of a listener.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Certificates,
}

/// The reason why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// The client did not complete it in time.
    TimedOut,
    /// There is no certificate for the name.
    UnknownName,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// The client sent something else, accepts nothing that is offered, or is gone.
    Failed,
}

impl Tls {
    /// Creates the TLS of listeners, with these certificates.
    pub fn new(certificates: Certificates) -> Tls {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("ring supports both versions");
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificates.resolver());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        config.send_tls13_tickets = 1;
        // Tickets have all the state, so that nothing is stored for a client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Tls { config: Arc::new(config), certificates }
    }

    /// Completes a handshake within this time.
    pub(super) async fn handshake(&self, io: Plain, within: Duration) -> Result<TlsStream, HandshakeError> {
        timeout(within, self.complete(io)).await.unwrap_or(Err(HandshakeError::TimedOut))
    }

    async fn complete(&self, io: Plain) -> Result<TlsStream, HandshakeError> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), Metered::new(io, HANDSHAKE_MAX));
        let Ok(start) = (&mut acceptor).await else { return Err(refuse(acceptor.take_io()).await) };
        if self.certificates.find(start.client_hello().server_name()).is_none() {
            return Err(unknown_name(start).await);
        }
        let limit = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(UNSENT_MAX));
        let stream = start.into_stream_with(Arc::clone(&self.config), limit).await;
        stream.map(TlsStream::new).map_err(|error| {
            tracing::trace!(%error, "a handshake failed");
            HandshakeError::Failed
        })
    }
}

/// Answers a client that does not speak TLS, if it speaks HTTP.
async fn refuse(io: Option<Metered>) -> HandshakeError {
    // Every method begins with a capital.
    let Some(io) = io.filter(|io| io.first_plain().is_some_and(|first| first.is_ascii_uppercase())) else {
        return HandshakeError::Failed;
    };
    let mut io = io.into_inner();
    // The client may be gone, and sees an error in any case.
    if io.write_all(PLAIN_HTTP).await.is_ok() {
        let mut linger = None;
        let _ = std::future::poll_fn(|cx| poll_linger(&mut io, &mut linger, cx)).await;
    }
    HandshakeError::PlainHttp
}

/// Sends the alert that there is no certificate for the name. rustls would send `access_denied`.
async fn unknown_name(start: StartHandshake<Metered>) -> HandshakeError {
    let mut io = start.io.into_inner();
    let _ = io.write_all(&UNRECOGNIZED_NAME).await;
    HandshakeError::UnknownName
}
