//! Small HTML pages. Their words and shapes are the templates beside this file, which escape
//! whatever is not ours; the one [`STYLE`] reads on a phone, by day and by night.
//!
//! Every page works without JavaScript, stands under a policy that names all it may load, is kept
//! by no cache and no search engine, and cannot be framed. Only [`pixels`](pixels::pixels) runs a
//! script; only it and [`cloaked`](cloaked::cloaked) load anything from elsewhere.

mod cloaked;
#[cfg(test)]
mod hostile;
mod password;
mod pixels;
mod place;
mod preview;
mod share;
mod tags;

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

pub use self::cloaked::cloaked;
pub use self::password::{Ask, password};
pub use self::pixels::pixels;
pub use self::preview::preview;
pub use self::share::share;

/// The look of all pages, allowed by its hash: a nonce would have to be drawn for pages that have
/// nothing else to allow.
const STYLE: &str = include_str!("style.css");

/// What is true of every page's policy: nothing but what is named, the style by its hash.
static FOUNDATION: LazyLock<String> = LazyLock::new(|| foundation(STYLE));

/// The policy of a page that loads nothing and whose forms, if any, stay here.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy("form-action 'self'"));

/// Seconds after which a visitor may try again when the store is not ready or too busy.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// A page that says why there is no redirect.
#[derive(Template)]
#[template(path = "notice.html")]
struct Message {
    notice: Notice,
}

/// All notices, rendered once: whoever asks for codes that do not exist costs no more than a
/// redirect.
static NOTICES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let rendered = |notice: &Notice| Bytes::from(html(&Message { notice: *notice }));
    Notice::ALL.iter().map(rendered).collect()
});

/// The cases that a visitor can tell apart.
#[derive(Clone, Copy)]
enum Notice {
    NotFound,
    Gone,
    Robot,
    ForeignForm,
    BadRequest,
    Method,
    TooLarge,
    MediaType,
    TooLong,
    TooMany,
    Unavailable,
    Failure,
    Loop,
}

impl Notice {
    /// In the order of their numbers.
    const ALL: [Notice; 13] = [
        Notice::NotFound,
        Notice::Gone,
        Notice::Robot,
        Notice::ForeignForm,
        Notice::BadRequest,
        Notice::Method,
        Notice::TooLarge,
        Notice::MediaType,
        Notice::TooLong,
        Notice::TooMany,
        Notice::Unavailable,
        Notice::Failure,
        Notice::Loop,
    ];
}

/// A page that says what is wrong. 403 speaks to robots; what else is forbidden has a page of its own.
pub fn error(status: StatusCode) -> Response<Full<Bytes>> {
    let notice = match status {
        StatusCode::NOT_FOUND => Notice::NotFound,
        StatusCode::GONE => Notice::Gone,
        StatusCode::FORBIDDEN => Notice::Robot,
        StatusCode::BAD_REQUEST => Notice::BadRequest,
        StatusCode::METHOD_NOT_ALLOWED => Notice::Method,
        StatusCode::PAYLOAD_TOO_LARGE => Notice::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Notice::MediaType,
        StatusCode::URI_TOO_LONG => Notice::TooLong,
        StatusCode::TOO_MANY_REQUESTS => Notice::TooMany,
        StatusCode::SERVICE_UNAVAILABLE => Notice::Unavailable,
        StatusCode::LOOP_DETECTED => Notice::Loop,
        _ => Notice::Failure,
    };
    respond(status, NOTICES[notice as usize].clone(), POLICY.clone())
}

/// A password came from a page that is not ours.
pub fn foreign_form() -> Response<Full<Bytes>> {
    respond(StatusCode::FORBIDDEN, NOTICES[Notice::ForeignForm as usize].clone(), POLICY.clone())
}

/// The store is not ready.
pub fn unavailable() -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// Too many visits of this address led nowhere; it may try again after `wait`.
pub fn too_many(wait: Duration) -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

/// The policy of a page that may do `more` than show itself: directives joined by `; `, made of
/// our own words and of hosts that were checked.
fn policy(more: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{}; {more}", *FOUNDATION)).expect("a policy is visible ASCII")
}

/// Returns the directives of a page that loads nothing but its own `style`.
pub fn foundation(style: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
}

/// The answer that shows `template`, with the headers that every page has.
fn page(status: StatusCode, template: &impl Template, policy: HeaderValue) -> Response<Full<Bytes>> {
    respond(status, Bytes::from(html(template)), policy)
}

fn html(template: &impl Template) -> String {
    template.render().expect("texts and numbers can be written to a string")
}

fn respond(status: StatusCode, html: Bytes, policy: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response
}
