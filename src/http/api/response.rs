//! Builds a response from a payload or an error: status, type and bytes of the dialect, the headers that all
//! responses have, and those that an error adds.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::conditions;
use super::dialect::{ApiError, Body, Dialect, JSON, ServerError};
use crate::http::body::{Content, HttpResponse};
use crate::json;
use crate::log::Position;
use crate::qr::picture::POLICY;
use crate::visit::entity_tag;

/// Responses longer than this release the unused capacity of their buffer before they are sent.
const SHRINK_FROM: usize = 16 * 1024;

/// The number of a request, as the log shows it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The warnings about a request, as an array of JSON, in a response that is no object of JSON.
pub(super) const WARNINGS: HeaderName = HeaderName::from_static("x-warnings");

/// Status and body of a response.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) status: StatusCode,
    /// The `Content-Type`.
    pub(super) kind: &'static str,
    pub(super) content: Content,
    /// The `ETag`: of an object its revision, of a picture its content.
    pub(super) tag: Option<HeaderValue>,
    /// What the response says about its request in a header, since its body has no place for it.
    pub(super) warnings: Vec<String>,
}

impl Payload {
    /// Creates a response with 200.
    pub(super) fn new(kind: &'static str, content: Content) -> Payload {
        Payload { status: StatusCode::OK, kind, content, tag: None, warnings: Vec::new() }
    }

    /// Adds the tag of the object in the body, if it has a revision.
    pub(super) fn with_revision(self, revision: Option<Position>) -> Payload {
        // A file has the revision of its owner, by which a change of the file can require it.
        Payload { tag: revision.map(conditions::tag).or(self.tag), ..self }
    }
}

impl From<Body> for Payload {
    fn from(Body { status, kind, mut bytes }: Body) -> Payload {
        // The response budget charges the length, so the capacity must not exceed it by much.
        if bytes.len() > SHRINK_FROM {
            bytes.shrink_to_fit();
        }
        let tag = is_picture(kind).then(|| entity_tag::of(&bytes));
        Payload { status, tag, ..Payload::new(kind, Content::from(Bytes::from(bytes))) }
    }
}

/// Renders a payload or an error in a dialect. Adds the number of the request, the methods of its path
/// (`allow`), and the headers that the status requires. `has_body` is whether the request has a body.
pub(super) fn render(
    dialect: &dyn Dialect,
    result: Result<Payload, ApiError>,
    number: Option<u64>,
    allow: Option<String>,
    has_body: bool,
) -> HttpResponse {
    let (payload, error) = match result {
        Ok(payload) => (payload, None),
        // Kept beside its body: the headers below depend on it.
        Err(error) => (dialect.error(&error).into(), Some(error)),
    };
    let status = payload.status;
    let mut response = response_of(payload);
    let headers = response.headers_mut();
    if let Some(number) = number {
        let id = HeaderValue::try_from(format!("{number:016x}"));
        headers.insert(REQUEST_ID, id.expect("hexadecimal digits are visible ASCII"));
    }
    // Methods are constants of ours, so this never fails.
    if let Some(allow) = allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
        headers.insert(ALLOW, allow);
    }
    // Required with every 401 (RFC 9110 11.6.1), whichever error a dialect renders so.
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let Some(error) = error else { return response };
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if has_body && leaves_body(&error) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns whether a request with this error is answered before its body is read. The connection then ends:
/// to read the body only to discard it would be the work that was rejected.
fn leaves_body(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::NoKey
            | ApiError::BadKey
            | ApiError::BadScheme(_)
            // Without an endpoint there is no limit for the body either.
            | ApiError::NoEndpoint
            | ApiError::WrongMethod(_)
            | ApiError::TooMany(_)
            | ApiError::Server(
                ServerError::TooLarge(_)
                    | ServerError::SlowBody
                    | ServerError::EncodedBody
            )
    )
}

/// Creates a response of JSON, which ends in a newline, with the headers that all responses have.
pub(in crate::http) fn respond(status: StatusCode, mut bytes: Vec<u8>) -> HttpResponse {
    bytes.push(b'\n');
    response_of(Body { status, kind: JSON, bytes }.into())
}

/// Renders an error of a request that reached no endpoint.
pub(in crate::http) fn server_error(dialect: &dyn Dialect, error: ServerError) -> HttpResponse {
    response_of(dialect.error(&error.into()).into())
}

fn is_picture(kind: &str) -> bool {
    kind.starts_with("image/")
}

fn response_of(Payload { status, kind, content, tag, warnings }: Payload) -> HttpResponse {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Responses depend on the key, and a cache could show them to another one.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(tag.map(|tag| (ETAG, tag)));
    if is_picture(kind) {
        // Kept by the client itself, which asks before each use: the key may be revoked by then.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        // An SVG that is opened as a page must not run anything, whatever its logo is.
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    // The texts are of ours, with names of parameters that look like names.
    if let Some(value) = (!warnings.is_empty()).then(|| HeaderValue::try_from(json::to_bytes(&warnings))) {
        headers.extend(value.ok().map(|value| (WARNINGS, value)));
    }
    response
}
