//! What all pages share: the style, the response headers and the content security policy.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

/// The style of all pages. The policy allows it by its hash: a nonce would have to be generated for
/// pages that have nothing else to allow.
pub(super) const STYLE: &str = include_str!("style.css");

/// The directives that every page's policy begins with.
pub(super) static FOUNDATION: LazyLock<String> = LazyLock::new(|| foundation(STYLE));

/// The policy of a page that loads nothing, and whose forms, if any, post to this site.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy("form-action 'self'"));

/// Seconds after which a visitor may retry when the store is not ready or too busy.
pub(super) const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Returns the policy of a page that may do `more` than show itself. `more` contains directives joined
/// by `; `, of constant text and of hosts that were checked.
pub(super) fn policy(more: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{}; {more}", *FOUNDATION)).expect("a policy is visible ASCII")
}

/// Returns the directives of a page that loads nothing but its own `style`.
pub fn foundation(style: &str) -> String {
    let hash = hash_source(style);
    format!("default-src 'none'; style-src {hash}; base-uri 'none'; frame-ancestors 'none'")
}

/// Returns the source of a policy that allows exactly this style or script.
pub fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// Returns a response that shows `template`, with the headers that every page has.
pub(super) fn page(
    status: StatusCode,
    template: &impl Template,
    policy: HeaderValue,
) -> Response<Full<Bytes>> {
    respond(status, Bytes::from(html(template)), policy)
}

/// Renders a template.
pub(super) fn html(template: &impl Template) -> String {
    template.render().expect("texts and numbers can be written to a string")
}

/// Returns a response with this HTML, and with the headers that every page has.
pub(super) fn respond(status: StatusCode, html: Bytes, policy: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // The page of a link changes with the link, and 404 may become a redirect.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    // A browser must not guess another type from text that a user wrote.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The short URL may contain a token or a forwarded query.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The page of a link changes and expires, so no search engine may keep it.
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response
}
