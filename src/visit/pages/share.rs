//! The page that a snapshot's share link opens: what it is, how much is in it, how to import it.
//! Looking at it uses nothing up; the address itself is what lets the snapshot be imported.

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
}

/// The page of a share whose link is `url`: 200, or 410 once it is used up.
pub fn share(share: &SharePage, url: &str) -> Response<Full<Bytes>> {
    let status = if share.is_usable { StatusCode::OK } else { StatusCode::GONE };
    let template = ShareTemplate { name: &share.name, links: share.links, usable: share.is_usable, url };
    page(status, &template, POLICY.clone())
}
