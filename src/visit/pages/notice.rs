//! Pages that explain why there is no redirect.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::layout::{POLICY, RETRY_SECONDS, html, page, respond};

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage<'a> {
    notice: Notice,
    home: Option<&'a DomainHome>,
}

/// The domain whose link was requested, so that a visitor knows whose link it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other field is the name.
pub struct DomainHome {
    pub domain: String,
    /// The `rootUrl`, if it leads to another page.
    pub url: Option<String>,
}

/// All notices, rendered once, so that a request for an unknown code costs no more than a redirect.
static NOTICES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let rendered = |notice: &Notice| Bytes::from(html(&NoticePage { notice: *notice, home: None }));
    Notice::ALL.iter().map(rendered).collect()
});

/// One page. `notice.html` has the text of each.
#[derive(Clone, Copy)]
enum Notice {
    NotFound,
    NoShare,
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
    /// In declaration order: [`NOTICES`] is indexed by `Notice as usize`.
    const ALL: [Notice; 14] = [
        Notice::NotFound,
        Notice::NoShare,
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

/// Returns the page for an error status. The page of 403 is for robots; [`foreign_form`] and [`no_share`] have
/// pages of their own.
pub fn error(status: StatusCode) -> Response<Full<Bytes>> {
    respond(status, NOTICES[notice(status) as usize].clone(), POLICY.clone())
}

/// Returns the page of a share that has ended or never was: 404. It does not say which, and is the same for all.
pub fn no_share() -> Response<Full<Bytes>> {
    respond(StatusCode::NOT_FOUND, NOTICES[Notice::NoShare as usize].clone(), POLICY.clone())
}

/// Like [`error`], with the domain of the link.
pub fn error_at(status: StatusCode, home: &DomainHome) -> Response<Full<Bytes>> {
    page(status, &NoticePage { notice: notice(status), home: Some(home) }, POLICY.clone())
}

fn notice(status: StatusCode) -> Notice {
    match status {
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
        // Every other status is a fault of the server.
        _ => Notice::Failure,
    }
}

/// Returns the page for a password that another site's form sent.
pub fn foreign_form() -> Response<Full<Bytes>> {
    respond(StatusCode::FORBIDDEN, NOTICES[Notice::ForeignForm as usize].clone(), POLICY.clone())
}

/// Returns the page for a store that is not ready or too busy, with `Retry-After`.
pub fn unavailable() -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// Returns the page for an address with too many requests for unknown codes, which may retry after `wait`.
pub fn too_many(wait: Duration) -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::TOO_MANY_REQUESTS);
    // At least 1: `Retry-After: 0` would invite an immediate retry.
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}
