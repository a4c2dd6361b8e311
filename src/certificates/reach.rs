//! What answers at the addresses of a name: this server, another one, or nobody. `waypost doctor` asks, in a process of
//! its own, so a certificate that this server has stored is the proof, and no challenge.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::authority_client::connect_error;
use super::self_check::connector_to;

/// Time for a connection, and then for its answer. Addresses are asked at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Most addresses of a name that are asked.
const ADDRESSES_MAX: usize = 8;

/// Most bytes of an answer on port 80. That of Waypost is below 1 KB.
const ANSWER_MAX: u64 = 16 * 1024;

/// What answers on a port of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAnswer {
    /// This server, or one with its certificate; on port 80 a Waypost.
    This,
    /// Something accepts connections. There is no certificate yet to tell it by.
    Something,
    /// Another program.
    Other,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressReport {
    /// The address.
    pub address: IpAddr,
    /// On the port of HTTPS.
    pub https: PortAnswer,
    /// On the port of HTTP. `None`: this server does not listen there.
    pub http: Option<PortAnswer>,
}

/// A name and what it should lead to.
#[derive(Clone, Debug)]
pub struct ReachQuestion {
    /// The name: a host name in lower case, or an address.
    pub name: String,
    /// The certificate of this server for the name, in DER.
    pub certificate: Option<Vec<u8>>,
    /// The port of HTTPS.
    pub https_port: u16,
    /// The port of HTTP, if this server should answer there.
    pub http_port: Option<u16>,
}

/// Asks all addresses of a name at once. Returns the reports in the order of the addresses, those of IPv4 first.
pub async fn ask(question: ReachQuestion, addresses: &[IpAddr]) -> Vec<AddressReport> {
    let question = Arc::new(question);
    let mut asked = JoinSet::new();
    for address in addresses.iter().copied().take(ADDRESSES_MAX) {
        let question = Arc::clone(&question);
        asked.spawn(async move { question.ask(address).await });
    }
    let mut reports = asked.join_all().await;
    // In the same order each time, whoever answers first.
    reports.sort_by_key(|report| report.address);
    reports
}

impl ReachQuestion {
    async fn ask(&self, address: IpAddr) -> AddressReport {
        let https = self.ask_https(SocketAddr::new(address, self.https_port));
        let http = async {
            match self.http_port {
                Some(port) => Some(self.ask_http(SocketAddr::new(address, port)).await),
                None => None,
            }
        };
        // At once: a port that drops packets takes its whole time.
        let (https, http) = tokio::join!(https, http);
        AddressReport { address, https, http }
    }

    async fn ask_https(&self, address: SocketAddr) -> PortAnswer {
        let stream = match connect(address).await {
            Ok(stream) => stream,
            Err(why) => return PortAnswer::Nothing(why),
        };
        // Without a certificate there is no handshake: it would make the name due, and this only looks.
        let Some(certificate) = &self.certificate else { return PortAnswer::Something };
        let wanted = CertificateDer::from(certificate.clone());
        let Ok(name) = ServerName::try_from(self.name.clone()) else { return PortAnswer::Something };
        let connector: TlsConnector = connector_to(wanted, b"http/1.1");
        // The verifier accepts this certificate only.
        match timeout(ANSWER_WITHIN, connector.connect(name, stream)).await {
            Ok(Ok(_)) => PortAnswer::This,
            Ok(Err(_)) | Err(_) => PortAnswer::Other,
        }
    }

    async fn ask_http(&self, address: SocketAddr) -> PortAnswer {
        let mut stream = match connect(address).await {
            Ok(stream) => stream,
            Err(why) => return PortAnswer::Nothing(why),
        };
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host());
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            // Another program may answer without end.
            (&mut stream).take(ANSWER_MAX).read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, exchange).await else { return PortAnswer::Other };
        // Every Waypost answers with this field, which no redirect of another server has.
        let is_ours = answer.starts_with(b"HTTP/1.1 200") && contains(&answer, b"\r\n\r\n{\"status\":");
        if is_ours { PortAnswer::This } else { PortAnswer::Other }
    }

    /// Returns the name as a `Host` header has it.
    fn host(&self) -> String {
        if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

async fn connect(address: SocketAddr) -> Result<TcpStream, &'static str> {
    match timeout(ANSWER_WITHIN, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(connect_error(error.kind())),
        Err(_) => Err(connect_error(io::ErrorKind::TimedOut)),
    }
}
