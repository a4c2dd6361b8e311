//! The page of a snapshot's share link: its name, its number of links, and how to import it. Opening the page
//! does not use the share up. Its URL is the permission to import.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, page};
use crate::core::SharePage;

#[derive(Template)]
#[template(path = "share.html")]
struct ShareTemplate<'a> {
    name: &'a str,
    links: u64,
    usable: bool,
    url: &'a str,
    /// The URL of the server.
    base: &'a str,
}

/// Returns the page of a share whose link is `url`: 200, or 410 once the share is used up.
pub fn share(share: &SharePage, url: &str) -> Response<Full<Bytes>> {
    let status = if share.is_usable { StatusCode::OK } else { StatusCode::GONE };
    // The link of a share is the root of the default domain with a query.
    let (base, _) = url.split_once("/?").unwrap_or((url, ""));
    let template =
        ShareTemplate { name: &share.name, links: share.links, usable: share.is_usable, url, base };
    page(status, &template, POLICY.clone())
}
