//! One try: connect, POST, look at the status, all within [`TRY_TIMEOUT`].
//!
//! The status decides, and nothing behind it: what follows the head is read and thrown away, so
//! that a receiver that answers at length is not cut off in the middle, but only up to
//! [`READ_MAX`] and within the same time. Redirects are answers like any other.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::connect::{Connector, Stream};
use super::outcome::SendError;
use crate::model::tenant::Tenant;

/// Time for a whole try: look-up, connection, TLS, request and answer. Receivers that do their
/// work before they answer should not; past it the try has failed.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Most of an answer that is read, its head included, in bytes. Nothing in it is used; past it the
/// connection is closed.
const READ_MAX: usize = 64 * 1024;

/// How long a receiver may take to close a connection that it has answered, which it is asked to do
/// with each request. Until then it counts as one of those at once, there as here: its next try would
/// be one more than a host has places for. Past it: it is left behind.
const LINGER: Duration = Duration::from_millis(200);

/// Most header lines of an answer; past it the try has failed.
const HEADERS_MAX: usize = 100;

const AGENT: HeaderValue = HeaderValue::from_static("Waypost-Webhooks/1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// A signed event.
pub(super) struct Signed {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: Bytes,
}

/// Sends an event once. Answers the receiver's status, whatever it is.
pub(super) async fn send(
    connector: &Connector,
    url: &Url,
    tenant: &Tenant,
    signed: Signed,
) -> Result<u16, SendError> {
    let deadline = Instant::now() + TRY_TIMEOUT;
    let exchange = async {
        let request = request(url, signed)?;
        let stream = connector.connect(url, tenant).await?;
        exchange(stream, request, deadline).await
    };
    timeout_at(deadline, exchange).await.unwrap_or(Err(SendError::TimedOut))
}

fn request(url: &Url, signed: Signed) -> Result<Request<Full<Bytes>>, SendError> {
    let target: Uri =
        url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| SendError::BadUrl)?;
    let value = |text: &str| HeaderValue::try_from(text).map_err(|_| SendError::BadUrl);
    let mut request = Request::new(Full::new(signed.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.insert(HOST, value(&url[Position::BeforeHost..Position::AfterPort])?);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CONNECTION, CLOSE);
    headers.insert("webhook-id", value(&signed.id)?);
    headers.insert("webhook-timestamp", value(&signed.timestamp)?);
    headers.insert("webhook-signature", value(&signed.signature)?);
    Ok(request)
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    deadline: Instant,
) -> Result<u16, SendError> {
    let broken = |error: hyper::Error| SendError::Http(error.to_string().into());
    let mut client = http1::Builder::new();
    client.max_buf_size(READ_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        // Whatever comes of it: the status is there.
        let is_whole = timeout_at(deadline, read_away(response.into_body())).await.unwrap_or(false);
        Ok((status, is_whole))
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection.without_shutdown()));
    let (answered, over) = tokio::select! {
        answered = &mut answer => (answered, None),
        // The connection is over; what it brought is answered now.
        over = &mut connection => (answer.await, Some(over)),
    };
    let (status, is_whole) = answered?;
    if is_whole {
        let closed = async {
            let over = match over {
                Some(over) => over,
                None => connection.await,
            };
            let Ok(parts) = over else { return };
            let mut stream = parts.io.into_inner();
            // An end, an error, or a byte that nobody asked for: this connection is done with.
            if stream.shutdown().await.is_ok() {
                let _ = stream.read(&mut [0]).await;
            }
        };
        let _ = timeout_at(deadline.min(Instant::now() + LINGER), closed).await;
    }
    Ok(status)
}

/// Reads an answer to its end, as far as it is read at all; whether it got there.
async fn read_away(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= READ_MAX {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::destination::Destination;

    fn signed() -> Signed {
        let text = || "x".to_owned();
        Signed { id: text(), timestamp: text(), signature: text(), body: Bytes::new() }
    }

    /// Whatever can be saved can be asked for, and the visitor's name and password are not in it.
    #[test]
    fn every_url_makes_a_request() {
        let rows = [
            ("https://hooks.test", "hooks.test", "/"),
            ("https://hooks.test:443/a?b=c#d", "hooks.test", "/a?b=c"),
            ("http://hooks.test:8080/?", "hooks.test:8080", "/?"),
            ("http://[2606:4700:4700::1111]:8080/", "[2606:4700:4700::1111]:8080", "/"),
            ("http://HOOKS.test./é ü?é=ü", "hooks.test.", "/%C3%A9%20%C3%BC?%C3%A9=%C3%BC"),
            ("http://hooks.test/a|b^c`d{e}[f]\\g", "hooks.test", "/a|b^c%60d%7Be%7D[f]/g"),
            ("http://hooks.test/?a|b^c`d{e}[f]\\g'\"<>", "hooks.test", "/?a|b^c%60d{e}[f]\\g%27%22%3C%3E"),
            ("http://hooks.test/%zz%", "hooks.test", "/%zz%"),
            ("http://hooks.test//x/../y", "hooks.test", "//y"),
            ("http://hooks.test/!$&'()*+,;=:@-._~", "hooks.test", "/!$&'()*+,;=:@-._~"),
        ];
        for (text, host, target) in rows {
            let saved = Destination::parse_web("webhookUrls", text).expect(text);
            let request = request(&saved.to_url().expect(text), signed()).expect(text);
            assert_eq!(request.headers()[HOST], host, "{text}");
            assert_eq!(request.uri().to_string(), target, "{text}");
        }
        let url = Url::parse("http://name:word@hooks.test/").expect("a URL");
        let request = request(&url, signed()).expect("a request");
        assert!(!format!("{request:?}").contains("word"), "{request:?}");
    }
}
