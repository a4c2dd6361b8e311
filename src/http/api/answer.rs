//! How a payload or a failure becomes an answer: the dialect's status, type and bytes, the headers that
//! all answers have, and those that a failure brings.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::dialect::{Body, Dialect, Failure, JSON, Trouble};
use crate::http::body::{Answer, Content};

/// Answers from this length on give back the rest of their buffer before they are sent.
const SHRINK_FROM: usize = 16 * 1024;

/// Names a request in the server's log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer carries.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) status: StatusCode,
    /// The `Content-Type`.
    pub(super) kind: &'static str,
    pub(super) content: Content,
}

impl From<Body> for Payload {
    fn from(Body { status, kind, mut bytes }: Body) -> Payload {
        // Room is charged by length: what a buffer has grown beyond its text must not be kept with it.
        if bytes.len() > SHRINK_FROM {
            bytes.shrink_to_fit();
        }
        Payload { status, kind, content: Content::from(Bytes::from(bytes)) }
    }
}

/// The answer to a request, in its dialect: with its number, the methods its path has, and what
/// the status asks for.
pub(super) fn render(
    dialect: &dyn Dialect,
    result: Result<Payload, Failure>,
    number: Option<u64>,
    allow: Option<String>,
    has_body: bool,
) -> Answer {
    let (payload, failure) = match result {
        Ok(payload) => (payload, None),
        Err(failure) => (dialect.failure(&failure).into(), Some(failure)),
    };
    let status = payload.status;
    let mut answer = answer_of(payload);
    let headers = answer.headers_mut();
    if let Some(number) = number {
        let id = HeaderValue::try_from(format!("{number:016x}"));
        headers.insert(REQUEST_ID, id.expect("hexadecimal digits are visible ASCII"));
    }
    if let Some(allow) = allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
        headers.insert(ALLOW, allow);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let Some(failure) = failure else { return answer };
    if let Some(seconds) = failure.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if has_body && leaves_body(&failure) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Whether it was answered with the body still on its way: reading it only to throw it away would
/// be the work that was refused.
fn leaves_body(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::NoKey
            | Failure::BadKey
            | Failure::NoEndpoint
            | Failure::TooMany(_)
            | Failure::Trouble(
                Trouble::WrongMethod | Trouble::TooLarge(_) | Trouble::SlowBody | Trouble::EncodedBody
            )
    )
}

/// An answer of JSON, with the headers that all of them have.
pub(in crate::http) fn respond(status: StatusCode, bytes: Vec<u8>) -> Answer {
    rendered(Body { status, kind: JSON, bytes })
}

/// An answer with this body, and the headers that all of them have.
pub(super) fn rendered(body: Body) -> Answer {
    answer_of(body.into())
}

fn answer_of(Payload { status, kind, content }: Payload) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
