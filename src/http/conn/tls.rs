//! [`Tls`]: the handshakes of a listener. A handshake is bounded in time and in bytes, and gets the certificate of
//! the name that the client asks for, or an alert that says that there is none: no client sees the names of others.
//!
//! TLS 1.3 and 1.2, with ECDHE and AEAD ciphers only (the defaults of rustls). One ticket for each handshake, since
//! resumption saves a tenth of its cost at most. No early data: it can be replayed, and a replayed visit would be
//! counted twice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::StartHandshake;

use super::linger::poll_linger;
use super::plain::Plain;
use super::tls_stream::{HTTP2, Metered, TlsStream};
use crate::certificates::{ACME_TLS, Certificates};

/// Most bytes that a handshake reads. A hello with the largest key share and a resumption has 1.8 KB.
const HANDSHAKE_MAX: usize = 8 * 1024;

/// Bytes of the first request that are read with the end of a handshake: rustls reads until it has one record, of 16 KB at
/// most, and reads 4 KB at once.
const FIRST_RECORD: usize = 24 * 1024;

/// Most bytes that a connection encrypts ahead of what the client accepts.
const UNSENT_MAX: usize = 16 * 1024;

/// HTTP/1 in a hello (RFC 7301 6). HTTP/2 is preferred. A client of HTTP/1.0 may offer nothing else.
const HTTP1: &[u8] = b"http/1.1";
const HTTP1_0: &[u8] = b"http/1.0";

/// The alert `unrecognized_name`, fatal (RFC 6066 3): type, version, length, level, description.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The response to HTTP without TLS, as nginx sends it.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 61\r\n\
                            Connection: close\r\n\r\nThis port speaks HTTPS: use a URL that begins with https://.\n";

/// The TLS of a listener.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// Of handshakes by which an authority checks a name (RFC 8737). No site offers their protocol.
    challenges: Arc<ServerConfig>,
    certificates: Certificates,
}

/// Answers handshakes by which an authority checks a name.
#[derive(Debug)]
struct ChallengeResolver(Certificates);

impl ResolvesServerCert for ChallengeResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.challenge(hello.server_name()?)
    }
}

/// Answers a client that names none with the certificate of the name that it means.
#[derive(Debug)]
struct MeantResolver(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for MeantResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
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
    /// An authority checked a name, and sends no request.
    Challenge,
    /// The client sent something else, accepts nothing that is offered, or is gone.
    Failed,
}

impl Tls {
    /// Creates the TLS of listeners, with these certificates.
    pub fn new(certificates: Certificates) -> Tls {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("ring supports both versions");
        let mut config = builder.with_no_client_auth().with_cert_resolver(certificates.resolver());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec(), HTTP1_0.to_vec()];
        config.send_tls13_tickets = 1;
        // Tickets have all the state, so that nothing is stored for a client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("ring supports both versions");
        // A configuration of its own: a client of the site never gets the certificate of a challenge.
        let resolver = Arc::new(ChallengeResolver(certificates.clone()));
        let mut challenges = builder.with_no_client_auth().with_cert_resolver(resolver);
        challenges.alpn_protocols = vec![ACME_TLS.to_vec()];
        // The connection ends with the handshake.
        challenges.send_tls13_tickets = 0;
        Tls { config: Arc::new(config), challenges: Arc::new(challenges), certificates }
    }

    /// Completes a handshake within this time. One that waited for the first certificate of its name has the time once
    /// more.
    pub(super) async fn handshake(
        &self,
        io: Plain,
        client: IpAddr,
        within: Duration,
    ) -> Result<TlsStream, HandshakeError> {
        let mut deadline = Instant::now() + within;
        // Each step is boxed: a client that sends a part of its hello must not have room for the others.
        let hello = Box::pin(hello(io));
        let start = timeout_at(deadline, hello).await.unwrap_or(Err(HandshakeError::TimedOut))?;
        let hello = start.client_hello();
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS)) {
            let answered = timeout_at(deadline, Box::pin(self.answer_challenge(start))).await;
            return Err(answered.unwrap_or(HandshakeError::TimedOut));
        }
        // Looked up for the few clients without a name alone.
        let meant = match hello.server_name() {
            Some(_) => None,
            None => self.certificates.meant(start.io.local()),
        };
        let name = hello.server_name().or(meant.as_deref());
        if self.certificates.find(name).is_none() {
            let is_there = match name {
                Some(name) => Box::pin(self.certificates.wait_for(name, client)).await,
                None => false,
            };
            if !is_there {
                return Err(Box::pin(unknown_name(start)).await);
            }
            // The wait was no fault of the client.
            deadline = Instant::now() + within;
        }
        let config = match &meant {
            None => Arc::clone(&self.config),
            Some(name) => self.config_for(name),
        };
        let stream = Box::pin(complete(start, config));
        timeout_at(deadline, stream).await.unwrap_or(Err(HandshakeError::TimedOut))
    }

    /// Returns the configuration of a client that means this name and does not name it.
    fn config_for(&self, name: &str) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::new(MeantResolver(self.certificates.find(Some(name))));
        Arc::new(config)
    }

    /// Completes the handshake of an authority, and closes the connection.
    async fn answer_challenge(&self, start: Box<StartHandshake<Metered>>) -> HandshakeError {
        // Scanners offer this protocol as well, and see what they see for any unknown name.
        let is_asked = |name| self.certificates.challenge(name).is_some();
        if !start.client_hello().server_name().is_some_and(is_asked) {
            return unknown_name(start).await;
        }
        let Ok(mut stream) = start.into_stream(Arc::clone(&self.challenges)).await else {
            return HandshakeError::Failed;
        };
        // The authority has seen the certificate, whatever becomes of the end.
        let _ = stream.shutdown().await;
        HandshakeError::Challenge
    }
}

async fn complete(
    mut start: Box<StartHandshake<Metered>>,
    config: Arc<ServerConfig>,
) -> Result<TlsStream, HandshakeError> {
    start.io.allow(FIRST_RECORD);
    let limit = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(UNSENT_MAX));
    let stream = start.into_stream_with(config, limit).await;
    let failed = |error| {
        tracing::trace!(%error, "a handshake failed");
        HandshakeError::Failed
    };
    let mut stream = stream.map(TlsStream::new).map_err(failed)?;
    stream.send_ticket().await.map_err(failed)?;
    Ok(stream)
}

/// Reads the hello of a client.
async fn hello(io: Plain) -> Result<Box<StartHandshake<Metered>>, HandshakeError> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), Metered::new(io, HANDSHAKE_MAX));
    match (&mut acceptor).await {
        Ok(start) => Ok(Box::new(start)),
        Err(_) => Err(refuse(acceptor.take_io()).await),
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
async fn unknown_name(start: Box<StartHandshake<Metered>>) -> HandshakeError {
    let mut io = start.io.into_inner();
    let _ = io.write_all(&UNRECOGNIZED_NAME).await;
    HandshakeError::UnknownName
}
