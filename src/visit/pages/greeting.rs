//! The page at `/` of the default domain without a `rootUrl`, so that the first visit of a new instance shows
//! that the instance runs. It contains nothing about this instance.

use std::sync::LazyLock;

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, html, respond};

#[derive(Template)]
#[template(path = "greeting.html")]
struct Greeting;

static GREETING: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(html(&Greeting)));

/// Returns the page.
pub fn greeting() -> Response<Full<Bytes>> {
    respond(StatusCode::OK, GREETING.clone(), POLICY.clone())
}
