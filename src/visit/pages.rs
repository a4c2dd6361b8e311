//! Small HTML pages, in English, the text in one place. Complete in themselves: nothing is loaded
//! from elsewhere, nothing of the request is shown, and no script runs.

use std::sync::LazyLock;

use base64::Engine;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

/// Readable on a phone, by day and by night.
const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;\
color:#1c1917;background:#fafaf9}h1{font-size:1.6rem;margin:0 0 .5rem}p{margin:0;color:#57534e}\
@media(prefers-color-scheme:dark){body{color:#f5f5f4;background:#1c1917}p{color:#a8a29e}}";

/// Only the style above, by its hash; no script, no frame, no form, no base.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a policy is visible ASCII")
});

/// Seconds after which a visitor may try again when the store is not ready.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// A page that says what is wrong.
pub fn error(status: StatusCode) -> Response<Full<Bytes>> {
    let (title, text) = match status {
        StatusCode::NOT_FOUND => {
            ("Link not found", "There is no link here. Please check the address for typing errors.")
        }
        StatusCode::GONE => ("This link has expired", "It was here once, and its time is over."),
        StatusCode::BAD_REQUEST => ("Bad request", "The request could not be understood."),
        StatusCode::METHOD_NOT_ALLOWED => ("Method not allowed", "This address can only be opened."),
        StatusCode::URI_TOO_LONG => ("Address too long", "No link has an address of this length."),
        StatusCode::TOO_MANY_REQUESTS => ("Too many requests", "Please wait a moment and try again."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Back in a moment", "This link cannot be looked up right now. Please try again.")
        }
        _ => ("Something went wrong", "The error has been noted. Please try again."),
    };
    page(status, title, text)
}

/// The store is not ready.
pub fn unavailable() -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// The link has a password, for which nothing asks yet.
pub fn protected() -> Response<Full<Bytes>> {
    page(StatusCode::FORBIDDEN, "This link is protected", "It opens only with a password.")
}

/// `title` and `text` are ours, never a request's: nothing here escapes.
fn page(status: StatusCode, title: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
    );
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_carries_the_safe_headers() {
        for status in [400, 404, 405, 410, 414, 429, 500, 503] {
            let status = StatusCode::from_u16(status).expect("a valid status");
            let response = error(status);
            assert_eq!(response.status(), status);
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            for name in ["x-content-type-options", "referrer-policy", "x-robots-tag", "cache-control"] {
                assert!(response.headers().contains_key(name), "{status} {name}");
            }
        }
    }
}
