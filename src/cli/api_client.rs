//! Requests to the API of a running server, for the commands that manage links, keys and domains.
//!
//! The server and its key come from the configuration, as for the server itself, unless arguments name others. The
//! key of the data folder is sent to this machine only. No data is opened: the server does all of the work.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Position, Url};

use super::arguments::ConfigFile;
use super::error::CommandError;
use super::output::{self, print_line, print_note};
use crate::config::{CLIENT_KEY, Config, unquoted};
use crate::core::KEY_FILE;
use crate::model::text;
use crate::webhooks;

/// Time for a whole request. A busy server answers within seconds, with 503 if it must.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longest answer that is read. A page of 100 links has at most 512 KB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION")));

/// The arguments that name the server, the key and the form of the output.
#[derive(Clone, Debug, Args)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// The server, such as <https://go.example.com>. Default: the address in the configuration.
    #[arg(long, value_name = "URL", value_parser = server_url, help_heading = "Server")]
    server: Option<Url>,
    /// A file with the API key. Default: the variable `WAYPOST_KEY`, or admin.key in the data folder.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    key_file: Option<PathBuf>,
    /// The id of the workspace to act in. Default: the oldest one that the key reaches.
    #[arg(long, value_name = "ID", help_heading = "Server")]
    workspace: Option<String>,
    /// Print the answer of the API. This is the default if stdout is no terminal.
    #[arg(long)]
    json: bool,
}

/// An API key, and where it is from.
struct KeySource {
    key: String,
    /// For messages; never the key.
    place: String,
}

/// A client of one server.
pub(super) struct ApiClient {
    server: Url,
    /// The Unix socket of the server, in place of the address in `server`.
    socket: Option<PathBuf>,
    key: KeySource,
    workspace: Option<String>,
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
        let (server, socket) = match &arguments.server {
            Some(server) => (server.clone(), None),
            None => configured_server(&load()?)?,
        };
        let key = find_key(arguments, &server, load)?;
        if HeaderValue::try_from(&key.key).is_err() || key.key.is_empty() {
            return Err(CommandError::Usage(format!("{} contains no API key", key.place)));
        }
        // One thread: the command sends one request after the other.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CommandError::from)?;
        let workspace = arguments.workspace.clone();
        let shows_json = arguments.json || !io::stdout().is_terminal();
        Ok(ApiClient { server, socket, key, workspace, runtime, shows_json })
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
        Err(CommandError::Failed(format!("{why}{used}")))
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
        if let Some(workspace) = &self.workspace {
            request = request.header("x-workspace-id", workspace);
        }
        request.body(Full::new(bytes)).map_err(|error| CommandError::Usage(error.to_string()))
    }

    fn unreachable(&self, why: &Unanswered) -> CommandError {
        let server = match &self.socket {
            Some(socket) => socket.display().to_string(),
            None => self.server.as_str().trim_end_matches('/').to_owned(),
        };
        CommandError::Unreachable(match why {
            Unanswered::Refused => format!(
                "no server answers at {server}: start it with `waypost`, or name another one with --server URL"
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
    Other(String),
}

/// Parses `--server`.
fn server_url(text: &str) -> Result<Url, String> {
    let rule = "must be scheme and host, such as https://go.example.com or http://127.0.0.1:8080";
    let url = Url::parse(text).map_err(|_| rule.to_owned())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && !has_user;
    if fits { Ok(url) } else { Err(rule.to_owned()) }
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

fn find_key(
    arguments: &ClientArguments,
    server: &Url,
    load: impl FnOnce() -> Result<Config, CommandError>,
) -> Result<KeySource, CommandError> {
    if let Some(file) = &arguments.key_file {
        return read_key(file);
    }
    match std::env::var(CLIENT_KEY) {
        Ok(key) if !unquoted(&key).is_empty() => {
            return Ok(KeySource { key: unquoted(&key).to_owned(), place: CLIENT_KEY.to_owned() });
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(CommandError::Usage(format!("environment variable {CLIENT_KEY}: must be UTF-8")));
        }
        Ok(_) | Err(std::env::VarError::NotPresent) => {}
    }
    // The key of this machine must not reach the operator of another one.
    if !is_this_machine(server) {
        return Err(CommandError::Usage(format!(
            "name a key of {server} with --key-file FILE or the variable {CLIENT_KEY}: the key in the data folder of this \
             machine is not sent to another one"
        )));
    }
    let config = load()?;
    match &config.admin_key {
        Some(key) => Ok(KeySource { key: key.0.clone(), place: "WAYPOST_ADMIN_KEY".to_owned() }),
        None => read_key(&config.data_dir.join(KEY_FILE)),
    }
}

fn is_this_machine(server: &Url) -> bool {
    match server.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn read_key(file: &Path) -> Result<KeySource, CommandError> {
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string();
    match std::fs::read_to_string(file) {
        // Editors begin a file with a byte order mark.
        Ok(text) => Ok(KeySource { key: text::trim_blank(&text).to_owned(), place: shown }),
        Err(error) => Err(CommandError::Usage(match error.kind() {
            io::ErrorKind::NotFound => format!(
                "there is no {shown}: the first start of the server writes it (`waypost`). Name the configuration of the \
                 server with --config FILE, or a key with --key-file FILE or the variable {CLIENT_KEY}"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "cannot read {shown}: permission denied. Run the command as the user of the server, such as `sudo -u \
                 waypost waypost link list`, or name a key with --key-file FILE or the variable {CLIENT_KEY}"
            ),
            _ => format!("cannot read {shown}: {error}"),
        })),
    }
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
        let connector = webhooks::tls_connector().map_err(Unanswered::Other)?;
        let name = server.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| other(&error))?;
        answer_on(connector.connect(name, stream).await.map_err(|error| other(&error))?, request).await
    } else {
        answer_on(stream, request).await
    };
    response.map_err(Unanswered::Other)
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
    use crate::http::conn::listen::Listen;

    #[test]
    fn servers() {
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
            assert_eq!(server_url(text).ok().map(|url| is_this_machine(&url)), want, "{text}");
        }
    }

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
