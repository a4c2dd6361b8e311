//! The warning page in place of a redirect to a denied host. It shows the host as text and never as a link.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, page};
use super::notice::DomainHome;

#[derive(Template)]
#[template(path = "denied.html")]
struct DeniedPage<'a> {
    /// In punycode, so that look-alike letters are visible.
    host: Option<&'a str>,
    home: &'a DomainHome,
}

/// Returns the page. `host` is `None` for a link whose destination is not for every visitor.
pub fn denied(host: Option<&str>, home: &DomainHome) -> Response<Full<Bytes>> {
    page(StatusCode::FORBIDDEN, &DeniedPage { host, home }, POLICY.clone())
}
