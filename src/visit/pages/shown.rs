//! The page that shows where a link leads, without following the link.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, page};
use super::notice::DomainHome;

/// What the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// The URL.
    Destination(&'a str),
    /// The URL for this visitor at this time, and those for others.
    Chosen(&'a str, &'a [String]),
    /// The link has expired or is used up: the URL of its fallback.
    Expired(&'a str),
    /// Only that the link has a limit of clicks.
    Limited,
    /// Only that the link has a password.
    Protected,
}

#[derive(Template)]
#[template(path = "shown.html")]
struct ShownPage<'a> {
    short_url: &'a str,
    /// The path of the link, for a click.
    path: &'a str,
    shown: Shown<'a>,
    /// The page of the link in the dashboard, for visitors who have been there.
    dashboard: Option<&'a str>,
    home: &'a DomainHome,
}

/// Returns the page of the link at `short_url`.
pub fn shown(
    short_url: &str,
    path: &str,
    shown: Shown<'_>,
    dashboard: Option<&str>,
    home: &DomainHome,
) -> Response<Full<Bytes>> {
    page(StatusCode::OK, &ShownPage { short_url, path, shown, dashboard, home }, POLICY.clone())
}
