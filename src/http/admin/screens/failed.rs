//! The page of an error.

use askama::Template;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};

use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::api::dialect::{ApiError, capitalised};
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "failed.html")]
struct FailedPage<'a> {
    frame: &'a Frame,
    heading: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "alone.html")]
struct AlonePage<'a> {
    frame: &'a Frame,
    heading: &'static str,
    text: String,
    next: Option<&'a str>,
}

/// Returns the page of an error, with the navigation if somebody is signed in.
pub(in crate::http::admin) fn page(frame: &Frame, error: &PageError) -> HttpResponse {
    let (status, text) = error.words();
    let text = capitalised(&text);
    let heading = heading(status);
    let mut response = if frame.person.is_some() {
        frame.page(status, &FailedPage { frame, heading, text })
    } else {
        frame.page(status, &AlonePage { frame, heading, text, next: None })
    };
    if let PageError::Api(error) = error
        && let Some(seconds) = ApiError::retry_after(error)
    {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(error, PageError::WrongMethod) {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

/// Returns a page that leads to another one.
pub(super) fn leading(frame: &Frame, heading: &'static str, text: &str, next: &str) -> HttpResponse {
    frame.page(StatusCode::OK, &AlonePage { frame, heading, text: text.to_owned(), next: Some(next) })
}

fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::UNAUTHORIZED => "Sign in again",
        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => "Changed by somebody else",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        status if status.is_server_error() => "Not possible now",
        _ => "Not possible",
    }
}
