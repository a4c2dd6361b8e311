//! A certificate authority, and clients of TLS that trust it. The suite and the long tests use both.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use waypost::certificates::settings::CertificateFiles;

/// Longest wait for a byte, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// A certificate authority of the tests.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // Not the name of the certificates: OpenSSL would take them for certificates that signed themselves.
        params.distinguished_name.push(DnType::CommonName, "The authority of the tests");
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
