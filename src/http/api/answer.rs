//! How a reply or a failure becomes an answer: the dialect's status and bytes, the headers that all
//! answers have, and those that a failure brings.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::dialect::{Dialect, Failure, Trouble};
use super::execute::Answered;
use crate::http::body::{Answer, Content};

/// Answers from this length on give back the rest of their buffer before they are sent.
const SHRINK_FROM: usize = 16 * 1024;

/// Names a request in the server's log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer to a request, in its dialect: with its number, the methods its path has, and what
/// the status asks for.
pub(super) fn render(
    dialect: &dyn Dialect,
    result: Result<Answered, Failure>,
    number: Option<u64>,
    allow: Option<String>,
    has_body: bool,
) -> Answer {
    let ((status, content), failure) = match result {
        Ok(Answered::Reply(reply)) => (whole(dialect.reply(&reply)), None),
        Ok(Answered::List(content)) => ((StatusCode::OK, content), None),
        Err(failure) => (whole(dialect.failure(&failure)), Some(failure)),
    };
    let mut answer = answer_of(status, content);
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
    let (status, content) = whole((status, bytes));
    answer_of(status, content)
}

fn whole((status, mut bytes): (StatusCode, Vec<u8>)) -> (StatusCode, Content) {
    // Room is charged by length: what a buffer has grown beyond its text must not be kept with it.
    if bytes.len() > SHRINK_FROM {
        bytes.shrink_to_fit();
    }
    (status, Content::from(Bytes::from(bytes)))
}

fn answer_of(status: StatusCode, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
