//! One attempt: connects, sends a POST and reads the status, within [`ATTEMPT_TIMEOUT`].
//!
//! Only the status decides. The rest of the response is read and discarded, so that a receiver with a long
//! response is not cut off, but only up to [`READ_MAX`] and within the same time. A redirect is a response
//! like any other, and is not followed.

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

use super::outcome::SendError;
use crate::model::tenant::Tenant;
use crate::outbound::connect::{Connector, ReceiverStream};
use crate::outbound::error::ConnectError;

/// Time for a whole attempt: look-up, connection, TLS, request and response. A receiver should answer first
/// and work afterwards. Past it: the attempt fails.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a response that are read, its head included. Past it: the connection is closed.
const READ_MAX: usize = 64 * 1024;

/// Time for a receiver to close the connection after its response, as `Connection: close` requests. Until
/// then the connection counts as an attempt in flight: otherwise the next attempt would be one connection
/// more than the bound at the receiver. Past it: the attempt ends, and the connection is dropped.
const LINGER: Duration = Duration::from_millis(200);

/// Most header lines of a response. Past it: the attempt fails.
const HEADERS_MAX: usize = 100;

const AGENT: HeaderValue = HeaderValue::from_static("Waypost-Webhooks/1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// An event with its signature.
pub(super) struct SignedEvent {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: Bytes,
}

/// Sends an event once. Returns the status of the receiver's response, success or not.
pub(super) async fn send(
    connector: &Connector,
    url: &Url,
    tenant: &Tenant,
    signed: SignedEvent,
) -> Result<u16, SendError> {
    // One deadline for all steps: a receiver that is slow in each of them must not get five times the time.
    let deadline = Instant::now() + ATTEMPT_TIMEOUT;
    let exchange = async {
        // Before the connection: a URL that makes no request costs none.
        let request = request(url, signed)?;
        let stream = connector.connect(url, tenant).await?;
        exchange(stream, request, deadline).await
    };
    timeout_at(deadline, exchange).await.unwrap_or(Err(SendError::TimedOut))
}

fn request(url: &Url, signed: SignedEvent) -> Result<Request<Full<Bytes>>, SendError> {
    let target: Uri =
        url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| ConnectError::BadUrl)?;
    let value = |text: &str| HeaderValue::try_from(text).map_err(|_| ConnectError::BadUrl);
    let mut request = Request::new(Full::new(signed.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    // Not by hyper: the client writes the head as it is given, and HTTP/1.1 requires `Host` (RFC 9112 3.2).
    headers.insert(HOST, value(&url[Position::BeforeHost..Position::AfterPort])?);
    headers.insert(USER_AGENT, AGENT);
    headers.insert(CONTENT_TYPE, JSON);
    // Each attempt checks the addresses of its own connection, so none may be kept.
    headers.insert(CONNECTION, CLOSE);
    headers.insert("webhook-id", value(&signed.id)?);
    headers.insert("webhook-timestamp", value(&signed.timestamp)?);
    headers.insert("webhook-signature", value(&signed.signature)?);
    Ok(request)
}

async fn exchange(
    stream: Box<dyn ReceiverStream>,
    request: Request<Full<Bytes>>,
    deadline: Instant,
) -> Result<u16, SendError> {
    let broken = |error: hyper::Error| SendError::Http(error.to_string().into());
    let mut client = http1::Builder::new();
    // The head counts as well: a receiver must not make this server buffer without end.
    client.max_buf_size(READ_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let response = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        // An error in the body is no error of the attempt: the status is already known.
        let is_complete = timeout_at(deadline, discard(response.into_body())).await.unwrap_or(false);
        Ok::<_, SendError>((status, is_complete))
    };
    // `without_shutdown` returns the stream, whose end is awaited below.
    let (mut response, mut connection) = (pin!(response), pin!(connection.without_shutdown()));
    let (result, ended) = tokio::select! {
        result = &mut response => (result, None),
        // The connection has ended; a response that it received is ready now.
        ended = &mut connection => (response.await, Some(ended)),
    };
    let (status, is_complete) = result?;
    // After an incomplete body, the connection is dropped at once.
    if is_complete {
        let closed = async {
            let ended = match ended {
                Some(ended) => ended,
                None => connection.await,
            };
            let Ok(parts) = ended else { return };
            let mut stream = parts.io.into_inner();
            // An end, an error or an unexpected byte: each ends this connection.
            // The write side first, so that the receiver sees the end and closes its own.
            if stream.shutdown().await.is_ok() {
                let _ = stream.read(&mut [0]).await;
            }
        };
        let _ = timeout_at(deadline.min(Instant::now() + LINGER), closed).await;
    }
    Ok(status)
}

/// Reads and discards a body. Returns whether its end was reached, within [`READ_MAX`].
async fn discard(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        // Cut off and no error: the status has already decided.
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

    fn signed() -> SignedEvent {
        let text = || "x".to_owned();
        SignedEvent { id: text(), timestamp: text(), signature: text(), body: Bytes::new() }
    }

    /// Every URL that a link can have makes a request, and a user name or password is never part of it.
    #[test]
    fn every_url_makes_a_request() {
        let rows = [
            ("https://hooks.test", "hooks.test", "/"),
            // The default port is left out, as browsers do; a fragment is never sent.
            ("https://hooks.test:443/a?b=c#d", "hooks.test", "/a?b=c"),
            ("http://hooks.test:8080/?", "hooks.test:8080", "/?"),
            ("http://[2606:4700:4700::1111]:8080/", "[2606:4700:4700::1111]:8080", "/"),
            ("http://HOOKS.test./é ü?é=ü", "hooks.test.", "/%C3%A9%20%C3%BC?%C3%A9=%C3%BC"),
            ("http://hooks.test/a|b^c`d{e}[f]\\g", "hooks.test", "/a%7Cb%5Ec%60d%7Be%7D[f]/g"),
            (
                "http://hooks.test/?a|b^c`d{e}[f]\\g'\"<>",
                "hooks.test",
                "/?a%7Cb%5Ec%60d%7Be%7D[f]%5Cg%27%22%3C%3E",
            ),
            // A `%` that begins no escape is one.
            ("http://hooks.test/%zz%", "hooks.test", "/%25zz%25"),
            ("http://hooks.test//x/../y", "hooks.test", "//y"),
            ("http://hooks.test/!$&'()*+,;=:@-._~", "hooks.test", "/!$&'()*+,;=:@-._~"),
        ];
        for (text, host, target) in rows {
            let saved = Destination::parse_web("webhookUrls", text).expect(text);
            let request = request(&saved.to_url().expect(text), signed()).expect(text);
            assert_eq!(request.headers()[HOST], host, "{text}");
            assert_eq!(request.uri().to_string(), target, "{text}");
        }
        // A stored URL of an older version might have a password.
        let url = Url::parse("http://name:word@hooks.test/").expect("a URL");
        let request = request(&url, signed()).expect("a request");
        assert!(!format!("{request:?}").contains("word"), "{request:?}");
    }
}
