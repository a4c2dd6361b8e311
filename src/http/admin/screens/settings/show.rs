//! The screen: colors, single keys, sessions, health, and what browsers may add.

use askama::Template;
use hyper::StatusCode;

use super::health::{HealthWords, words};
use super::sessions::{SessionRow, list};
use crate::http::admin::browser_files::{MANIFEST, SEARCH};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::body::HttpResponse;

/// The single keys, and what they do.
const KEYS: [(&str, &str); 9] = [
    ("/", "search links"),
    ("n", "new link"),
    ("e", "edit the link that is shown"),
    ("g o", "overview"),
    ("g l", "links"),
    ("g s", "statistics"),
    ("g t", "tags"),
    ("g k", "keys"),
    ("?", "this list"),
];

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    frame: &'a Frame,
    sessions: Vec<SessionRow>,
    health: HealthWords,
    keys: &'static [(&'static str, &'static str)],
    search: &'static str,
    manifest: &'static str,
}

/// Shows the screen.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let page = SettingsPage {
        frame: request.frame,
        sessions: list(request).await?,
        health: words(request.ops, &request.who.caller),
        keys: &KEYS,
        search: SEARCH,
        manifest: MANIFEST,
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}
