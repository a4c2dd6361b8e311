//! Requests to the API of a running server, for the commands that manage links, keys and domains.
//!
//! The server and its key come from the configuration, as for the server itself, unless arguments or variables name
//! others. No data is opened: the server does all of the work.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use url::Position;

use super::api_server::{ApiServer, Unanswered};
pub(super) use super::client_arguments::ClientArguments;
use super::client_arguments::server_url;
use super::error::CommandError;
use super::key_source::{ANOTHER_KEY, KeySource, find_key, variable};
use super::output::{self, print_line, print_note};
use crate::config::{CLIENT_SERVER, Config};

/// Time for a whole request. A busy server answers within seconds, with 503 if it must.
const PATIENCE: Duration = Duration::from_mins(1);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION")));

/// A client of one server.
pub(super) struct ApiClient {
    server: ApiServer,
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
    /// The revision of the object, for a change that must not overwrite another one.
    pub(super) tag: Option<HeaderValue>,
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
        let server = match named {
            Some(url) => ApiServer::at(url),
            None => ApiServer::configured(&load()?)?,
        };
        let key = find_key(arguments, &server, load)?;
        if HeaderValue::try_from(&key.key).is_err() || key.key.is_empty() {
            return Err(CommandError::Usage(format!("{} contains no API key", key.place)));
        }
        // One thread: the command sends one request after the other.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CommandError::from)?;
        let arguments = arguments.clone();
        let shows_json = arguments.shows_json();
        Ok(ApiClient { server, key, arguments, runtime, shows_json })
    }

    /// Returns a command line for the same server, such as `waypost link list --config FILE`.
    pub(super) fn command(&self, command: &str) -> String {
        self.arguments.command(command)
    }

    /// Returns the address of the server, for messages.
    pub(super) fn shown_server(&self) -> String {
        self.server.shown()
    }

    /// Sends a request. Fails unless the answer is a success of the API. Warnings of the answer go to stderr.
    pub(super) fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ApiAnswer, CommandError> {
        self.answer(&self.exchange(self.request(method, path, body)?)?)
    }

    /// Sends a change of an object that must have the revision of `tag`. Fails with [`CommandError::Changed`] if it has
    /// another one.
    pub(super) fn change(
        &self,
        path: &str,
        body: &Value,
        tag: Option<&HeaderValue>,
    ) -> Result<ApiAnswer, CommandError> {
        let mut request = self.request(&Method::PATCH, path, Some(body))?;
        // A server of an earlier version gives no tag, and so no protection.
        request.headers_mut().extend(tag.map(|tag| (IF_MATCH, tag.clone())));
        self.answer(&self.exchange(request)?)
    }

    /// Downloads a file. Fails unless the answer is a success of the API.
    pub(super) fn download(&self, path: &str) -> Result<Bytes, CommandError> {
        let response = self.exchange(self.request(&Method::GET, path, None)?)?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        self.answer(&response).map(|_| Bytes::new())
    }

    fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, CommandError> {
        let exchange = async { tokio::time::timeout(PATIENCE, self.server.exchange(request)).await };
        let answered = self.runtime.block_on(exchange).unwrap_or_else(|_| {
            Err(Unanswered::Other(format!("it did not answer within {} s", PATIENCE.as_secs())))
        });
        answered.map_err(|why| self.unreachable(&why))
    }

    /// Returns the answer of the API, or the error that it is.
    fn answer(&self, response: &Response<Bytes>) -> Result<ApiAnswer, CommandError> {
        let (status, bytes) = (response.status(), response.body());
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(bytes) else {
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
            return Ok(ApiAnswer { text, value, tag: response.headers().get(ETAG).cloned() });
        }
        let why =
            value["error"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
        let used = if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            format!(" (the key is from {})", self.key.place)
        } else {
            String::new()
        };
        let lost = if status == StatusCode::UNAUTHORIZED && self.key.is_own {
            format!(". It is no key of this server. {ANOTHER_KEY}")
        } else {
            String::new()
        };
        if status == StatusCode::PRECONDITION_FAILED {
            return Err(CommandError::Changed(why));
        }
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
        let host = &self.server.url[Position::BeforeHost..Position::AfterPort];
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
            Unanswered::NoCertificate => format!(
                "the server at {server} has no certificate for this name yet: `{}` names the cause, or name another \
                 server with --server URL",
                config_file.command("doctor")
            ),
            Unanswered::Untrusted(why) => format!(
                "the certificate of the server at {server} is not trusted here ({why}): for a private authority, name the \
                 file with its roots in the variable SSL_CERT_FILE, or name another server with --server URL"
            ),
            Unanswered::Other(why) => {
                format!("cannot reach the server at {server}: {why}. Name another one with --server URL")
            }
        })
    }
}
