//! [`ApiServer`]: where the API of a server is, and requests to it.
//!
//! The server of a configuration is on this machine. Without HTTP it is reached over HTTPS: at its own address, and under
//! its name, which the certificate must have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::error::CommandError;
use crate::authorities;
use crate::certificates::CertificateName;
use crate::config::Config;
use crate::core::Site;
use crate::http::conn::server::ProxiedListener;
use crate::settings::listen::Listen;

/// Longest answer that is read. A page of 100 links has at most 512 KB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// The server of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiServer {
    /// With https, its host is the name that the certificate must have.
    pub(super) url: Url,
    target: ApiTarget,
    /// Authorities that are trusted besides those of this machine.
    roots: Option<PathBuf>,
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ApiTarget {
    /// The host and the port of the URL.
    Url,
    /// An address of this machine, in place of those of the name.
    Address(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

/// Why no answer was received.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nothing listens there.
    Refused,
    /// It answered without TLS.
    NoTls,
    /// It has no certificate for the name.
    NoCertificate,
    /// Its certificate is not trusted, for this reason.
    Untrusted(String),
    Other(String),
}

impl ApiServer {
    /// Creates the server at a URL.
    pub(super) fn at(url: Url) -> ApiServer {
        ApiServer { url, target: ApiTarget::Url, roots: None }
    }

    /// Returns the server that this configuration starts on this machine.
    pub(super) fn configured(config: &Config) -> Result<ApiServer, CommandError> {
        let is_direct = |kind| !config.http.proxy_protocol.contains(&kind);
        // First: it needs no certificate, and only programs of this machine may use the API over it.
        if config.listen != Listen::Off && is_direct(ProxiedListener::Http) {
            return ApiServer::plain(&config.listen);
        }
        match config.https_listen().filter(|_| is_direct(ProxiedListener::Https)) {
            Some(listen) => ApiServer::secure(config, &listen),
            None => Err(CommandError::Usage(
                "connections to this server begin with the PROXY protocol (`http.proxy_protocol`), which only a balancer \
                 sends: name the server behind the balancer with --server URL"
                    .to_owned(),
            )),
        }
    }

    /// Returns a server that speaks HTTP without TLS.
    fn plain(listen: &Listen) -> Result<ApiServer, CommandError> {
        let Some(address) = listen.tcp() else {
            let url = Url::parse("http://localhost").expect("a host is an authority");
            let socket = listen.path().map(Path::to_owned).unwrap_or_default();
            return Ok(ApiServer { target: ApiTarget::Socket(socket), ..ApiServer::at(url) });
        };
        let url = format!("http://{}", reachable(address, "listen")?);
        Ok(ApiServer::at(Url::parse(&url).expect("an address and a port are an authority")))
    }

    /// Returns a server that speaks HTTPS alone.
    fn secure(config: &Config, listen: &Listen) -> Result<ApiServer, CommandError> {
        let site = Site::parse(&config.public_url).expect("the configuration was checked");
        // With certificates of the owner alone, they have the name of short URLs.
        let name = config.domain.first().map_or_else(|| site.host().to_owned(), CertificateName::in_url);
        let (port, target) = match listen.tcp() {
            Some(address) => {
                let address = reachable(address, "https.listen")?;
                (address.port(), ApiTarget::Address(address))
            }
            None => (443, ApiTarget::Socket(listen.path().map(Path::to_owned).unwrap_or_default())),
        };
        let url = Url::parse(&format!("https://{name}:{port}")).expect("the name was checked");
        // A private authority, whose roots this machine need not have.
        Ok(ApiServer { url, target, roots: config.https.authority_roots.clone() })
    }

    /// Returns whether the server is surely on this machine, so that it may get the key of this machine.
    pub(super) fn is_here(&self) -> bool {
        // Over TLS, the key is sent once the certificate has the name of the configuration.
        if self.target != ApiTarget::Url {
            return true;
        }
        match self.url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// Returns the address of the server, for messages.
    pub(super) fn shown(&self) -> String {
        let url = self.url.as_str().trim_end_matches('/');
        match &self.target {
            ApiTarget::Url => url.to_owned(),
            ApiTarget::Address(address) => format!("{url} ({address})"),
            ApiTarget::Socket(socket) if self.url.scheme() == "https" => {
                format!("{url} ({})", socket.display())
            }
            ApiTarget::Socket(socket) => socket.display().to_string(),
        }
    }

    /// Sends a request on a connection of its own. Returns the status and the body of the answer.
    pub(super) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Unanswered> {
        let addresses = match &self.target {
            ApiTarget::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| not_connected(&error))?;
                return self.exchange_on(stream, request).await;
            }
            ApiTarget::Address(address) => vec![*address],
            ApiTarget::Url => {
                self.url.socket_addrs(|| None).map_err(|error| Unanswered::Other(error.to_string()))?
            }
        };
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| not_connected(&error))?;
        self.exchange_on(stream, request).await
    }

    async fn exchange_on<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Unanswered>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.url.scheme() != "https" {
            return answer_on(stream, request).await.map_err(Unanswered::Other);
        }
        let other = |error: &dyn std::fmt::Display| Unanswered::Other(error.to_string());
        // Read for each request: a command sends a few.
        let mut roots = authorities::of_machine();
        if let Some(path) = &self.roots {
            let read = std::fs::read(path).and_then(|pem| authorities::of_pem(&pem));
            let own = read.map_err(|error| {
                Unanswered::Other(format!(
                    "cannot read {}, which `https.authority_roots` names: {error}",
                    path.display()
                ))
            })?;
            roots.roots.extend(own.roots);
        }
        let connector = authorities::connector(roots).map_err(|error| other(&error))?;
        let name = self.url.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| other(&error))?;
        let stream = connector.connect(name, stream).await.map_err(|error| no_handshake(&error))?;
        answer_on(stream, request).await.map_err(Unanswered::Other)
    }
}

/// Returns the address at which a program of this machine reaches a listener. `setting` names it in the error.
fn reachable(address: SocketAddr, setting: &str) -> Result<SocketAddr, CommandError> {
    if address.port() == 0 {
        return Err(CommandError::Usage(format!(
            "`{setting}` has port 0, so the system has chosen the port of the server: name it with --server URL"
        )));
    }
    // A server on all addresses listens on the loopback as well.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, address.port()))
}

fn not_connected(error: &io::Error) -> Unanswered {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Unanswered::Refused,
        _ => Unanswered::Other(error.to_string()),
    }
}

fn no_handshake(error: &io::Error) -> Unanswered {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Unanswered::NoTls,
        // The server sends it after ten seconds in which the certificate was not issued.
        Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => Unanswered::NoCertificate,
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Unanswered::Untrusted("no authority that this machine knows has signed it".to_owned())
        }
        Some(Error::InvalidCertificate(why)) => Unanswered::Untrusted(why.to_string()),
        _ => Unanswered::Other(error.to_string()),
    }
}

async fn answer_on<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the runtime.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await;
    Ok(Response::from_parts(head, body.map_err(|error| error.to_string())?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client_arguments::server_url;

    #[test]
    fn the_configured_server_is_on_this_machine() {
        let secure = |more: &str| format!("domain = \"go.test\"\nlisten = \"none\"\n{more}");
        let proxied = "domain = \"go.test\"\n[http]\ntrusted_proxies = [\"192.0.2.9\"]\nproxy_protocol = ";
        let rows = [
            ("listen = \"127.0.0.1:8080\"".to_owned(), Ok("http://127.0.0.1:8080")),
            ("listen = \"0.0.0.0:80\"".to_owned(), Ok("http://127.0.0.1")),
            ("listen = \"[::]:8080\"".to_owned(), Ok("http://[::1]:8080")),
            ("listen = \"192.0.2.1:8080\"".to_owned(), Ok("http://192.0.2.1:8080")),
            ("listen = \"unix:/run/w.sock\"".to_owned(), Ok("/run/w.sock")),
            ("listen = \"127.0.0.1:0\"".to_owned(), Err("`listen` has port 0")),
            ("domain = \"go.test\"".to_owned(), Ok("http://[::1]")),
            // Over HTTPS where there is nothing else.
            (secure(""), Ok("https://go.test ([::1]:443)")),
            (secure("https.listen = \"0.0.0.0:8443\""), Ok("https://go.test:8443 (127.0.0.1:8443)")),
            (secure("https.listen = \"192.0.2.1:443\""), Ok("https://go.test (192.0.2.1:443)")),
            (secure("https.listen = \"unix:/run/w.sock\""), Ok("https://go.test (/run/w.sock)")),
            (secure("https.listen = \":0\""), Err("`https.listen` has port 0")),
            (
                "domain = \"2001:db8::1\"\nlisten = \"none\"".to_owned(),
                Ok("https://[2001:db8::1] ([::1]:443)"),
            ),
            (
                "listen = \"none\"\npublic_url = \"https://a.test\"\nhttps.certificates = [{ chain = \"c\", key = \"k\" }]"
                    .to_owned(),
                Ok("https://a.test ([::1]:443)"),
            ),
            // Only a balancer sends the header of the PROXY protocol.
            (format!("{proxied}[\"http\"]"), Ok("https://go.test ([::1]:443)")),
            (format!("{proxied}[\"https\"]"), Ok("http://[::1]")),
            (format!("{proxied}[\"http\", \"https\"]"), Err("begin with the PROXY protocol")),
        ];
        for (text, want) in rows {
            let config = Config::parse(Some((Path::new("waypost.toml"), &text)), []).expect(&text);
            let server = ApiServer::configured(&config);
            match (&server, want) {
                (Ok(server), Ok(want)) => assert_eq!(server.shown(), want, "{text}"),
                (Err(CommandError::Usage(why)), Err(want)) => assert!(why.contains(want), "{text}: {why}"),
                _ => panic!("{text}: {server:?}"),
            }
        }
    }

    #[test]
    fn only_this_machine_gets_its_key() {
        let rows = [
            ("http://127.0.0.1:8080", Some(true)),
            ("http://[::1]:8080/", Some(true)),
            ("http://localhost", Some(true)),
            ("https://go.example.com", Some(false)),
            ("http://127.0.0.1.example.com", Some(false)),
            ("http://localhost.example.com", Some(false)),
            ("go.example.com", None),
            ("localhost:8080", None),
            ("ftp://go.example.com", None),
            ("https://go.example.com/api", None),
            ("https://user@go.example.com", None),
            ("https://go.example.com/?a", None),
        ];
        for (text, want) in rows {
            assert_eq!(server_url(text).ok().map(|url| ApiServer::at(url).is_here()), want, "{text}");
        }
        let config = [("WAYPOST_DOMAIN", "go.test"), ("WAYPOST_LISTEN", "none")];
        let config = Config::load(None, config.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let server = ApiServer::configured(&config.expect("valid")).expect("a server");
        assert!(server.is_here(), "its certificate is checked at an address of this machine");
    }
}
