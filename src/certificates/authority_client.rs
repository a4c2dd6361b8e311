//! [`AuthorityClient`]: the HTTP client of the certificate authority. An order takes ten requests, so connections are
//! kept for the next one. Every step has a deadline and every body a bound: an authority that answers slowly or
//! without end delays certificates and nothing else.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{DATE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore};

use super::schedule::CLOCK_ERROR_MAX;
use super::state::millis;
use crate::authorities;
use crate::clock::{Clock, Timestamp};

/// Time to look the authority up, to connect, and for TLS. Past it: the try fails.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Time for a request and its whole answer. Past it: the try fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Most bytes of an answer: chains and directories have some 10 KB. Past it: the try fails.
const ANSWER_MAX: usize = 256 * 1024;

/// Most bytes of the head of an answer.
const HEAD_MAX: usize = 64 * 1024;

/// How long an idle connection is kept.
const KEPT: Duration = Duration::from_secs(30);

/// Most connections that are kept: one for each order at once.
const KEPT_MAX: usize = 4;

/// Longest wait that an authority can order. A limit of Let's Encrypt is over after a week.
const WAIT_MAX: Duration = Duration::from_hours(8 * 24);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION")));

/// Why the authority gave no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum AuthorityDown {
    /// The name of the authority does not resolve.
    #[error("its name does not resolve")]
    Unresolved,
    /// The connection failed.
    #[error("{}", connect_error(*.0))]
    Connect(io::ErrorKind),
    /// Its own certificate is of an authority that this machine does not know.
    #[error(
        "its certificate is of an authority that this machine does not trust: name the file with its roots in \
         `https.authority_roots`"
    )]
    Untrusted,
    /// Its own certificate is of no authority in `https.authority_roots`.
    #[error("its certificate is of none of the authorities in `https.authority_roots`")]
    OtherRoots,
    /// TLS failed for another reason, such as a certificate that has ended.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It did not answer in time.
    #[error("timed out")]
    TimedOut,
    /// The answer is not HTTP, or too long.
    #[error("{0}")]
    Http(String),
}

/// Returns the usual name of an error.
pub(super) fn connect_error(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "timed out",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "no route",
        _ => "connection failed",
    }
}

/// Connections to the authority, and what it said of the time.
pub(super) struct AuthorityPool {
    /// `None`: those that the machine trusts.
    roots: Option<RootCertStore>,
    tls: OnceCell<TlsConnector>,
    idle: Mutex<Vec<Idle>>,
    clock: Clock,
    time: Mutex<Option<AuthorityTime>>,
}

/// The time of the last answer of the authority.
#[derive(Clone, Copy, Debug)]
struct AuthorityTime {
    /// When it came, by a clock that does not jump: the wall clock may be corrected a moment later.
    at: Instant,
    /// The authority's time.
    theirs: Timestamp,
    /// The time of this machine.
    ours: Timestamp,
}

impl AuthorityTime {
    /// Returns a time of the answer, as it is now.
    fn now(&self, then: Timestamp) -> Timestamp {
        then.plus_millis(millis(self.at.elapsed()))
    }
}

struct Idle {
    origin: String,
    since: Instant,
    sender: SendRequest<Full<Bytes>>,
}

impl fmt::Debug for AuthorityPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPool").field("time", &self.time).finish_non_exhaustive()
    }
}

impl AuthorityPool {
    /// Creates a pool that trusts these authorities, or those of the machine.
    pub(super) fn new(roots: Option<RootCertStore>, clock: Clock) -> Arc<AuthorityPool> {
        Arc::new(AuthorityPool {
            roots,
            tls: OnceCell::new(),
            idle: Mutex::default(),
            clock,
            time: Mutex::default(),
        })
    }

    /// Returns how far the authority's clock is ahead of ours, in milliseconds.
    pub(super) fn ahead(&self) -> Option<i64> {
        let time = (*self.time.lock())?;
        Some(time.now(time.theirs).as_millis().saturating_sub(self.clock.now().as_millis()))
    }

    /// Returns whether the wall clock has jumped since the last answer of the authority: it was set, or the machine was
    /// suspended, during which the clock of [`AuthorityTime::at`] does not run. The time is then unknown until the next
    /// answer.
    pub(super) fn has_jumped(&self) -> bool {
        let Some(time) = *self.time.lock() else { return false };
        let jump = self.clock.now().as_millis().saturating_sub(time.now(time.ours).as_millis());
        jump.saturating_abs() > CLOCK_ERROR_MAX
    }

    /// Creates a client of one act. It notes what the authority answers to this act.
    pub(super) fn client(self: &Arc<AuthorityPool>) -> AuthorityClient {
        AuthorityClient { pool: Arc::clone(self), noted: Arc::default() }
    }

    async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, AuthorityDown> {
        let origin = origin(request.uri())?;
        let mut request = request;
        // The request line of HTTP/1 has the path alone, and `instant_acme` gives the whole URL.
        let path = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let host = origin.clone();
        request.headers_mut().insert(HOST, HeaderValue::try_from(host).map_err(|_| bad_url())?);
        request.headers_mut().insert(USER_AGENT, AGENT);
        *request.uri_mut() = path.parse().map_err(|_| bad_url())?;
        // A kept connection may have ended: then the request comes back, and a new connection takes it.
        while let Some(mut sender) = self.take(&origin) {
            match sender.try_send_request(request).await {
                Ok(response) => return self.receive(origin, sender, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(AuthorityDown::Http(error.into_error().to_string())),
                },
            }
        }
        let mut sender = timeout(CONNECT_WITHIN, self.connect(&origin))
            .await
            .unwrap_or(Err(AuthorityDown::Connect(io::ErrorKind::TimedOut)))?;
        let response =
            sender.send_request(request).await.map_err(|error| AuthorityDown::Http(error.to_string()))?;
        self.receive(origin, sender, response).await
    }

    async fn receive(
        &self,
        origin: String,
        sender: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Response<Full<Bytes>>, AuthorityDown> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| AuthorityDown::Http(error.to_string()))?.to_bytes();
        self.note_time(&parts.headers);
        let mut idle = self.idle.lock();
        // A connection whose answer was not read to its end is dropped above: its next answer would be the rest of
        // this one.
        if idle.len() < KEPT_MAX {
            idle.push(Idle { origin, since: Instant::now(), sender });
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    fn take(&self, origin: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock();
        // Before the search, so that connections that have ended do not take the room of others.
        idle.retain(|kept| kept.since.elapsed() < KEPT && !kept.sender.is_closed());
        let at = idle.iter().position(|kept| kept.origin == origin && kept.sender.is_ready())?;
        Some(idle.swap_remove(at).sender)
    }

    async fn connect(&self, origin: &str) -> Result<SendRequest<Full<Bytes>>, AuthorityDown> {
        let (host, port) = origin.rsplit_once(':').ok_or_else(bad_url)?;
        let host = host.trim_matches(['[', ']']);
        let port: u16 = port.parse().map_err(|_| bad_url())?;
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| AuthorityDown::Unresolved)?;
        // All of them: the authority may have an address of IPv6 that this machine has no route to.
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return Err(AuthorityDown::Unresolved);
        }
        let stream = TcpStream::connect(&*addresses).await;
        let stream = stream.map_err(|error| AuthorityDown::Connect(error.kind()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad_url())?;
        let tls = self.tls.get_or_try_init(|| self.connector()).await?;
        let stream = tls.connect(name, stream).await.map_err(|error| self.no_handshake(&error))?;
        let mut client = http1::Builder::new();
        client.max_buf_size(HEAD_MAX);
        let handshake = client.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| AuthorityDown::Http(error.to_string()))?;
        // Its end is seen by the sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Returns why a handshake failed.
    fn no_handshake(&self, error: &io::Error) -> AuthorityDown {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let is_unknown = matches!(
            cause,
            // The signature is wrong if an authority was created again under its old name.
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            ))
        );
        match (is_unknown, &self.roots) {
            (true, None) => AuthorityDown::Untrusted,
            (true, Some(_)) => AuthorityDown::OtherRoots,
            // Such as a certificate that has ended: other roots would not help.
            (false, _) => AuthorityDown::Tls(error.to_string()),
        }
    }

    async fn connector(&self) -> Result<TlsConnector, AuthorityDown> {
        // At the first request, so that a server whose certificates are all valid reads no list of the machine.
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => tokio::task::spawn_blocking(authorities::of_machine)
                .await
                .map_err(|_| AuthorityDown::Tls("the machine's authorities cannot be read".to_owned()))?,
        };
        authorities::connector(roots).map_err(|error| AuthorityDown::Tls(error.to_string()))
    }

    fn note_time(&self, headers: &HeaderMap) {
        if let Some(date) = date(headers) {
            *self.time.lock() =
                Some(AuthorityTime { at: Instant::now(), theirs: date, ours: self.clock.now() });
        }
    }
}

/// Returns the time at which an answer was sent.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok().map(Timestamp::from)
}

fn bad_url() -> AuthorityDown {
    AuthorityDown::Http("it names a URL that cannot be requested".to_owned())
}

/// Returns host and port of a URL. Only https: what an authority says must not be changed on the way.
fn origin(uri: &Uri) -> Result<String, AuthorityDown> {
    // The port is always in it, so that a URL with and one without `:443` share their connections.
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(bad_url)?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(443)))
}

/// What the authority answered to an act.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    /// Why the last request has no answer.
    pub(super) unanswered: Option<AuthorityDown>,
    /// The last status, and the URL that had it.
    pub(super) status: Option<(StatusCode, String)>,
    /// The wait that an answer with an error asked for.
    pub(super) wait: Option<Duration>,
}

/// The client of one act, such as an order.
#[derive(Clone, Debug)]
pub(super) struct AuthorityClient {
    pool: Arc<AuthorityPool>,
    noted: Arc<Mutex<Noted>>,
}

impl AuthorityClient {
    /// Returns what the authority answered.
    pub(super) fn noted(&self) -> Noted {
        self.noted.lock().clone()
    }

    /// Sends a GET. Returns the body of the answer; the rest is noted.
    pub(super) async fn get(self, url: &str) -> Option<Bytes> {
        let request = Request::get(url).body(BodyWrapper::default()).ok()?;
        let body = self.exchange(request).await.ok()?.into_body();
        body.collect().await.ok().map(http_body_util::Collected::to_bytes)
    }

    async fn answer(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, instant_acme::Error> {
        let answered = self.exchange(request).await;
        answered.map(BytesResponse::from).map_err(|error| instant_acme::Error::Other(Box::new(error)))
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, AuthorityDown> {
        let url = request.uri().to_string();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let request = Request::from_parts(parts, Full::new(body));
        // Over connecting and reading together: an authority that sends a byte a second must not hold an act for hours.
        let answered = timeout(ANSWER_WITHIN, self.pool.request(request)).await;
        match answered.unwrap_or(Err(AuthorityDown::TimedOut)) {
            Ok(response) => {
                let mut noted = self.noted.lock();
                noted.unanswered = None;
                noted.status = Some((response.status(), url));
                // With a success, the header proposes when an order is looked at again.
                let is_error = response.status().is_client_error() || response.status().is_server_error();
                noted.wait = wait(response.headers(), self.pool.clock.now()).filter(|_| is_error);
                Ok(response)
            }
            Err(error) => {
                self.noted.lock().unanswered = Some(error.clone());
                Err(error)
            }
        }
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().answer(request))
    }
}

/// Returns the wait that `Retry-After` asks for: seconds, or a date by the authority's own clock.
fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = Timestamp::from(httpdate::parse_http_date(text).ok()?);
        let millis = until.as_millis().saturating_sub(date(headers).unwrap_or(now).as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    };
    Some(wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date_by_the_authoritys_clock() {
        let date = "Sun, 29 Nov 2026 05:24:00 GMT";
        let rows = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 29 Nov 2026 05:25:30 GMT", Some(90)),
            ("Sun, 29 Nov 2026 05:23:00 GMT", Some(0)),
            // Bounded: a mistake of the authority must not stop renewals for years.
            ("99999999", Some(WAIT_MAX.as_secs())),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (text, want) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, HeaderValue::from_static(date));
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(wait(&headers, Timestamp::from_millis(0)).map(|wait| wait.as_secs()), want, "{text}");
        }
    }

    #[test]
    fn only_https_is_requested() {
        let rows = [
            ("https://a.test/dir", Some("a.test:443")),
            ("https://a.test:14000/dir", Some("a.test:14000")),
            ("https://[::1]:14000/dir", Some("[::1]:14000")),
            // In clear, anyone on the way could answer.
            ("http://a.test/dir", None),
            ("/dir", None),
        ];
        for (text, want) in rows {
            let uri = text.parse().expect(text);
            assert_eq!(origin(&uri).ok().as_deref(), want, "{text}");
        }
    }
}
