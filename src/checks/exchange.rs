//! One request: connects, sends HEAD or GET and reads the head of the response. A body is never read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::model::health::CheckFinding;
use crate::model::tenant::Tenant;
use crate::outbound::connect::{Connector, ReceiverStream};
use crate::outbound::error::ConnectError;

/// Bytes of a response that are read at most: its head, and what came with it. Past it: the answer is malformed.
const READ_MAX: usize = 64 * 1024;

/// Most header lines of a response. Past it: the answer is malformed.
const HEADERS_MAX: usize = 256;

/// Longest `Location`, as of a destination. Past it: the redirect is bad.
const LOCATION_MAX: usize = 8 * 1024;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CheckAnswer {
    pub(super) status: u16,
    /// Where a redirect leads. `None` for every other status, and for a redirect that names nothing.
    pub(super) location: Option<RedirectTarget>,
    /// The delay that the server asks for.
    pub(super) retry_after: Option<Duration>,
}

/// Where a redirect leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RedirectTarget {
    Url(Url),
    /// A text that is no URL.
    Bad,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    Found(CheckFinding),
    /// Too many look-ups are under way: nothing was found.
    Busy,
}

/// Sends one request. The caller bounds the time.
pub(super) async fn ask(
    connector: &Connector,
    method: Method,
    url: &Url,
    agent: &HeaderValue,
    tenant: &Tenant,
) -> Result<CheckAnswer, NoAnswer> {
    let request = request(method, url, agent).ok_or(NoAnswer::Found(CheckFinding::Malformed))?;
    let stream = connector.connect(url, tenant).await.map_err(|error| match error {
        ConnectError::Busy => NoAnswer::Busy,
        ConnectError::Private => NoAnswer::Found(CheckFinding::Private),
        ConnectError::Refused(_) => NoAnswer::Found(CheckFinding::Refused),
        ConnectError::Tls(_) => NoAnswer::Found(CheckFinding::Tls),
        // A host that no certificate can name has no server either.
        ConnectError::Unresolved | ConnectError::BadUrl => NoAnswer::Found(CheckFinding::Unresolved),
    })?;
    exchange(stream, request, url).await.map_err(|_| NoAnswer::Found(CheckFinding::Malformed))
}

fn request(method: Method, url: &Url, agent: &HeaderValue) -> Option<Request<Empty<Bytes>>> {
    let target: Uri = url[Position::BeforePath..Position::AfterQuery].parse().ok()?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(&url[Position::BeforeHost..Position::AfterPort]).ok()?);
    headers.insert(USER_AGENT, agent.clone());
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    // Each request checks the addresses of its own connection, so none may be kept.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Some(request)
}

async fn exchange(
    stream: Box<dyn ReceiverStream>,
    request: Request<Empty<Bytes>>,
    url: &Url,
) -> Result<CheckAnswer, hyper::Error> {
    let mut client = http1::Builder::new();
    // The head counts as well: a server must not make this one buffer without end.
    client.max_buf_size(READ_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    let response = sender.send_request(request);
    tokio::pin!(response, connection);
    let response = tokio::select! {
        response = &mut response => response?,
        // The connection has ended; a response that it received is ready now.
        _ = &mut connection => response.await?,
    };
    // The status decides: the body is dropped with the connection, however long it is.
    Ok(read(response.status().as_u16(), response.headers(), url))
}

fn read(status: u16, headers: &HeaderMap, url: &Url) -> CheckAnswer {
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    let location = headers.get(LOCATION).filter(|_| is_redirect).map(|text| location(text, url));
    let retry_after = headers.get(RETRY_AFTER).filter(|_| matches!(status, 429 | 503));
    // Dates are rare, and depend on the server's clock: they count as none.
    let seconds = retry_after.and_then(|text| text.to_str().ok()?.trim().parse().ok());
    CheckAnswer { status, location, retry_after: seconds.map(Duration::from_secs) }
}

fn location(text: &HeaderValue, url: &Url) -> RedirectTarget {
    let text = std::str::from_utf8(text.as_bytes()).ok().filter(|text| text.len() <= LOCATION_MAX);
    match text.and_then(|text| url.join(text).ok()) {
        Some(to) => RedirectTarget::Url(to),
        None => RedirectTarget::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let url = Url::parse("https://a.test/b/c?d").expect("a URL");
        let answer = |status, name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            read(status, &headers, &url)
        };
        let to = |text: &str| Some(RedirectTarget::Url(Url::parse(text).expect(text)));
        let long = format!("/{}", "x".repeat(LOCATION_MAX));
        let rows = [
            (301, "https://b.test/", to("https://b.test/")),
            (308, "/e", to("https://a.test/e")),
            (302, "e", to("https://a.test/b/e")),
            (303, "//b.test", to("https://b.test/")),
            (307, "market://details?id=a", to("market://details?id=a")),
            (302, "http://[", Some(RedirectTarget::Bad)),
            (302, &long, Some(RedirectTarget::Bad)),
            // No redirects.
            (200, "https://b.test/", None),
            (304, "https://b.test/", None),
            (404, "https://b.test/", None),
        ];
        for (status, text, want) in rows {
            let got = answer(status, "location", text);
            assert_eq!((got.status, got.location), (status, want), "{status} {text:.40}");
        }
        let rows = [
            (503, "120", Some(120)),
            (429, " 1 ", Some(1)),
            (503, "Wed, 21 Oct 2026 07:28:00 GMT", None),
            (503, "-1", None),
            (503, "99999999999999999999999", None),
            (200, "120", None),
        ];
        for (status, text, want) in rows {
            let got = answer(status, "retry-after", text).retry_after;
            assert_eq!(got, want.map(Duration::from_secs), "{status} {text}");
        }
    }

    #[test]
    fn a_request_names_its_sender_and_has_no_password() {
        let url = Url::parse("https://user:word@a.test:8443/p?q#f").expect("a URL");
        let agent = HeaderValue::from_static("Waypost-Checks/1 (+https://go.test)");
        let request = request(Method::HEAD, &url, &agent).expect("a request");
        assert_eq!(request.uri().to_string(), "/p?q");
        assert_eq!(request.headers()[HOST], "a.test:8443");
        assert_eq!(request.headers()[USER_AGENT], agent);
        assert_eq!(request.headers().len(), 4, "{request:?}");
    }
}
