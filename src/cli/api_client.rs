//! Requests to the API of a running server, for the commands that manage links, keys and domains.
//!
//! The server and its key come from the configuration, as for the server itself, unless arguments or variables name
//! others. No data is opened: the server does all of the work.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Position, Url};

pub(super) use super::client_arguments::ClientArguments;
use super::client_arguments::server_url;
use super::error::CommandError;
use super::key_source::{KeySource, find_key, variable};
use super::output::{self, print_line, print_note};
use crate::authorities;
use crate::config::{CLIENT_SERVER, Config};

/// Time for a whole request. A busy server answers within seconds, with 503 if it must.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest answer that is read. A page of 100 links has at most 512 KB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION")));

/// A client of one server.
pub(super) struct ApiClient {
    server: Url,
    /// The Unix socket of the server, in place of the address in `server`.
    socket: Option<PathBuf>,
    key: KeySource,
    arguments: ClientArguments,
    runtime: Runtime,
    /// Whether the output is the answer itself, and not a text for people.
    pub(super) shows_json: bool,
}

/// A successful answer: its text, and the same as a value.
pub(super) struct ApiAnswer {
    text: String,
    pub(super) value: Value,
}

impl ApiAnswer {
    /// Prints the answer as it was received, and fails if it did not reach stdout.
    pub(super) fn deliver(&self) -> io::Result<()> {
        output::deliver(self.text.trim_end())
    }

    /// Prints the answer as it was received.
    pub(super) fn print(&self) {
        print_line(self.text.trim_end());
    }
}

impl ApiClient {
    /// Creates the client of the server that the arguments name. Fails without a key.
    pub(super) fn new(arguments: &ClientArguments) -> Result<ApiClient, CommandError> {
        // Read only if it is needed: a client of another server may have no configuration.
        let mut config = None;
        let mut load = || match &config {
            Some(config) => Ok(Clone::clone(config)),
            None => arguments.config_file.load().map(|loaded| Config::clone(config.insert(loaded))),
        };
        let named = match &arguments.server {
            Some(server) => Some(server.clone()),
            None => variable(CLIENT_SERVER)?.map(|text| server_url(&text)).transpose().map_err(|rule| {
                CommandError::Usage(format!("environment variable {CLIENT_SERVER}: {rule}"))
            })?,
        };
        let (server, socket) = match named {
            Some(server) => (server, None),
            None => configured_server(&load()?)?,
        };
        let key = find_key(arguments, &server, load)?;
        if HeaderValue::try_from(&key.key).is_err() || key.key.is_empty() {
            return Err(CommandError::Usage(format!("{} contains no API key", key.place)));
        }
        // One thread: the command sends one request after the other.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CommandError::from)?;
        let arguments = arguments.clone();
        let shows_json = arguments.json || !io::stdout().is_terminal();
        Ok(ApiClient { server, socket, key, arguments, runtime, shows_json })
    }

    /// Returns a command line for the same server, such as `waypost link list --config FILE`.
    pub(super) fn command(&self, command: &str) -> String {
        self.arguments.command(command)
    }

    /// Returns the address of the server, for messages.
    pub(super) fn shown_server(&self) -> String {
        match &self.socket {
            Some(socket) => socket.display().to_string(),
            None => self.server.as_str().trim_end_matches('/').to_owned(),
        }
    }

    /// Sends a request. Fails unless the answer is a success of the API. Warnings of the answer go to stderr.
    pub(super) fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ApiAnswer, CommandError> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            tokio::time::timeout(PATIENCE, exchange(&self.server, self.socket.as_deref(), request)).await
        };
        let answered = self.runtime.block_on(exchange).unwrap_or_else(|_| {
            Err(Unanswered::Other(format!("it did not answer within {} s", PATIENCE.as_secs())))
        });
        let (status, bytes) = answered.map_err(|why| self.unreachable(&why))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&bytes) else {
            let why = format!("it answered {status} without JSON, so it is no server of Waypost");
            return Err(self.unreachable(&Unanswered::Other(why)));
        };
        if let Some(warnings) = value["warnings"].as_array() {
            warnings
                .iter()
                .filter_map(Value::as_str)
                .for_each(|text| print_note(&format!("warning: {text}")));
        }
        if status.is_success() {
            return Ok(ApiAnswer { text, value });
        }
        let why =
            value["error"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
        let used = if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            format!(" (the key is from {})", self.key.place)
        } else {
            String::new()
        };
        let lost = if status == StatusCode::UNAUTHORIZED && self.key.is_own {
            ". It is no key of this server: docs/operating.md, section \"A lost key\", creates another"
        } else {
            ""
        };
        if status == StatusCode::NOT_FOUND {
            return Err(CommandError::NotFound(why));
        }
        Err(CommandError::Failed(format!("{why}{used}{lost}")))
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, CommandError> {
        let bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let host = &self.server[Position::BeforeHost..Position::AfterPort];
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(AUTHORIZATION, format!("Bearer {}", self.key.key));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(workspace) = &self.arguments.workspace {
            request = request.header("x-workspace-id", workspace);
        }
        request.body(Full::new(bytes)).map_err(|error| CommandError::Usage(error.to_string()))
    }

    fn unreachable(&self, why: &Unanswered) -> CommandError {
        let server = self.shown_server();
        let config_file = &self.arguments.config_file;
        CommandError::Unreachable(match why {
            Unanswered::Refused => format!(
                "no server answers at {server}: start it with `{}`, or name another one with --server URL. Commands find \
                 a server with --domain by its configuration or by the variable WAYPOST_DOMAIN.{}",
                config_file.command("serve"),
                config_file.hint()
            ),
            Unanswered::NoTls => format!(
                "the server at {server} speaks HTTP without TLS: name it with --server {}",
                server.replacen("https://", "http://", 1)
            ),
            Unanswered::Other(why) => {
                format!("cannot reach the server at {server}: {why}. Name another one with --server URL")
            }
        })
    }
}

/// Why no answer was received.
enum Unanswered {
    /// Nothing listens there.
    Refused,
    /// It answered without TLS.
    NoTls,
    Other(String),
}

/// Returns the URL of the server that this configuration starts on this machine, and its Unix socket if it has one.
fn configured_server(config: &Config) -> Result<(Url, Option<PathBuf>), CommandError> {
    let Some(address) = config.listen.tcp() else {
        let url = Url::parse("http://localhost").expect("a host is an authority");
        return Ok((url, config.listen.path().map(Path::to_owned)));
    };
    if address.port() == 0 {
        let why =
            "`listen` has port 0, so the system has chosen the port of the server: name it with --server URL";
        return Err(CommandError::Usage(why.to_owned()));
    }
    // A server on all addresses listens on the loopback as well.
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let url = format!("http://{}", SocketAddr::new(ip, address.port()));
    Ok((Url::parse(&url).expect("an address and a port are an authority"), None))
}

/// Sends a request on a connection of its own. Returns the status and the body of the answer.
async fn exchange(
    server: &Url,
    socket: Option<&Path>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let other = |error: &dyn std::fmt::Display| Unanswered::Other(error.to_string());
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Unanswered::Refused,
        _ => other(&error),
    };
    if let Some(socket) = socket {
        let stream = UnixStream::connect(socket).await.map_err(refused)?;
        return answer_on(stream, request).await.map_err(Unanswered::Other);
    }
    let addresses = server.socket_addrs(|| None).map_err(|error| other(&error))?;
    let stream = TcpStream::connect(&*addresses).await.map_err(refused)?;
    let response = if server.scheme() == "https" {
        let connector = authorities::connector(authorities::of_machine()).map_err(|error| other(&error))?;
        let name = server.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| other(&error))?;
        let failed = |error: io::Error| if speaks_no_tls(&error) { Unanswered::NoTls } else { other(&error) };
        answer_on(connector.connect(name, stream).await.map_err(failed)?, request).await
    } else {
        answer_on(stream, request).await
    };
    response.map_err(Unanswered::Other)
}

/// Returns whether a handshake failed because the answer was no TLS.
fn speaks_no_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

async fn answer_on<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the runtime.
    tokio::spawn(connection);
    let response: Response<_> = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::listen::Listen;

    #[test]
    fn the_configured_server_is_on_this_machine() {
        let rows = [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            ("0.0.0.0:80", Some("http://127.0.0.1/")),
            ("[::]:8080", Some("http://[::1]:8080/")),
            ("192.0.2.1:8080", Some("http://192.0.2.1:8080/")),
            ("127.0.0.1:0", None),
        ];
        for (listen, want) in rows {
            let config = Config { listen: Listen::parse(listen).expect("an address"), ..Config::default() };
            assert_eq!(
                configured_server(&config).ok().as_ref().map(|(url, _)| url.as_str()),
                want,
                "{listen}"
            );
        }
    }
}
