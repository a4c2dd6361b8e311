//! How a payload or a failure becomes an answer: the dialect's status, type and bytes, the headers that
//! all answers have, and those that a failure brings.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::dialect::{ApiError, Body, Dialect, JSON, ServerError};
use crate::http::body::{Content, HttpResponse};

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
    result: Result<Payload, ApiError>,
    number: Option<u64>,
    allow: Option<String>,
    has_body: bool,
) -> HttpResponse {
    let (payload, failure) = match result {
        Ok(payload) => (payload, None),
        Err(failure) => (dialect.failure(&failure).into(), Some(failure)),
    };
    let status = payload.status;
    let mut response = response_of(payload);
    let headers = response.headers_mut();
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
    let Some(failure) = failure else { return response };
    if let Some(seconds) = failure.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if has_body && leaves_body(&failure) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether it was answered with the body still on its way: reading it only to throw it away would
/// be the work that was refused.
fn leaves_body(failure: &ApiError) -> bool {
    matches!(
        failure,
        ApiError::NoKey
            | ApiError::BadKey
            | ApiError::NoEndpoint
            | ApiError::TooMany(_)
            | ApiError::Server(
                ServerError::WrongMethod
                    | ServerError::TooLarge(_)
                    | ServerError::SlowBody
                    | ServerError::EncodedBody
            )
    )
}

/// An answer of JSON, with the headers that all of them have.
pub(in crate::http) fn respond(status: StatusCode, bytes: Vec<u8>) -> HttpResponse {
    rendered(Body { status, kind: JSON, bytes })
}

/// An answer with this body, and the headers that all of them have.
pub(super) fn rendered(body: Body) -> HttpResponse {
    response_of(body.into())
}

fn response_of(Payload { status, kind, content }: Payload) -> HttpResponse {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
