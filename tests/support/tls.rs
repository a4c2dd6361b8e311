//! Servers with HTTPS, with a certificate of an authority that the clients trust, and clients that speak it: TLS by
//! rustls, and frames of HTTP/2 by hand, so that a test can send what no library sends.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use waypost::certificates::CertificateNames;
use waypost::certificates::settings::CertificateFiles;
use waypost::config::Config;

use crate::support::app::{HOST, TestApp};
use crate::support::process::PATIENCE;

/// A certificate authority of the tests.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("signed") }
    }

    /// Writes a certificate for these names and its key into a folder, each beside its path and then renamed.
    pub(crate) fn issue(&self, folder: &Path, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let signed =
            CertificateParams::new(names).expect("names").signed_by(&key, &self.issuer).expect("signed");
        let files = CertificateFiles { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
        for (path, text) in [(&files.key, key.serialize_pem()), (&files.chain, signed.pem())] {
            let beside = path.with_extension("new");
            fs::write(&beside, text).expect("a small file");
            fs::rename(&beside, path).expect("the same folder");
        }
        files
    }

    /// Returns a certificate for 90 days from now on, over a key that its owner keeps.
    pub(crate) fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        now: SystemTime,
    ) -> String {
        params.not_before = (now - Duration::from_mins(1)).into();
        params.not_after = (now + Duration::from_hours(90 * 24)).into();
        params.use_authority_key_identifier_extension = true;
        params.signed_by(key, &self.issuer).expect("signed").pem()
    }

    /// Returns the certificate of the authority in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns the configuration of clients that trust this authority alone.
    pub(crate) fn trusting(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        trusting(roots, protocols)
    }
}

/// Returns the configuration of clients that trust these authorities.
pub(crate) fn trusting(roots: RootCertStore, protocols: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("both versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// An app with HTTPS for [`HOST`].
pub(crate) struct HttpsApp {
    pub(crate) app: TestApp,
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

impl HttpsApp {
    pub(crate) fn start() -> HttpsApp {
        HttpsApp::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> HttpsApp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new();
        let files = authority.issue(folder.path(), &[HOST]);
        let app = TestApp::start_with(|config| {
            config.domain = names(&[HOST]);
            config.https.listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)).into());
            config.https.certificates = vec![files];
            change(config);
        });
        let address = app.app().https().tcp().expect("HTTPS is on");
        HttpsApp { app, authority, address, folder }
    }

    /// Connects with these protocols, the first of which is preferred.
    pub(crate) fn connect(&self, protocols: &[&str]) -> TlsClient {
        TlsClient::connect(self.address, HOST, self.authority.trusting(protocols)).expect("a connection")
    }
}

/// Returns names as the setting `domain` has them.
pub(crate) fn names(names: &[&str]) -> CertificateNames {
    serde_json::from_value(serde_json::json!(names)).expect("valid names")
}

/// A connection of a client with TLS.
pub(crate) struct TlsClient(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// Connects and completes the handshake.
    pub(crate) fn connect(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<TlsClient> {
        let socket = TcpStream::connect(address)?;
        TlsClient::over(socket, name, config)
    }

    /// Sends the end of its handshake and these bytes at once.
    pub(crate) fn with_first(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
        bytes: &[u8],
    ) -> io::Result<TlsClient> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.conn.write_tls(&mut stream.sock)?;
        while stream.conn.is_handshaking() {
            stream.conn.read_tls(&mut stream.sock)?;
            stream.conn.process_new_packets().map_err(io::Error::other)?;
        }
        // The session may hold back some of more than 64 KB.
        stream.conn.writer().write_all(bytes)?;
        let mut all = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut all)?;
        }
        stream.sock.write_all(&all)?;
        Ok(TlsClient(stream))
    }

    /// Completes the handshake on a connection.
    pub(crate) fn over(socket: TcpStream, name: &str, config: Arc<ClientConfig>) -> io::Result<TlsClient> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsClient(stream))
    }

    /// Returns the protocol that both sides agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.0.conn.alpn_protocol()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())?;
        self.0.flush()
    }

    /// Reads until the server closes the connection. Fails if it closes without saying so.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The preface of HTTP/2, and empty settings.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Types of frames (RFC 9113 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Returns a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Returns a header line without indexing (RFC 7541 6.2.2).
pub(crate) fn line(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
        bytes.extend(text.bytes());
    }
    bytes
}

/// Returns the head of a request: the pseudo headers, and further lines.
pub(crate) fn head(method: &str, path: &str, lines: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)];
    pseudo.iter().chain(lines).flat_map(|(name, value)| line(name, value)).collect()
}

/// Returns a whole request without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET", path, &[]))
}

/// A frame of the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of a `RST_STREAM` or `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bytes = self.payload.get(at..at + 4).expect("a code");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }
}

/// Reads the next frame. Returns `None` at the end of the connection, however it ends.
pub(crate) fn read_frame(stream: &mut impl Read) -> Option<Frame> {
    let mut header = [0; 9];
    stream.read_exact(&mut header).ok()?;
    let [a, b, c, kind, flags, stream_id @ ..] = header;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some(Frame { kind, flags, stream: u32::from_be_bytes(stream_id), payload })
}
