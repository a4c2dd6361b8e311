//! The style sheet, the script and the icon of the dashboard: files in the program, under addresses that contain the
//! hash of their content. So browsers keep them for a year, and a new program has new addresses.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use sha2::{Digest, Sha256};

use crate::http::body::{Content, HttpResponse};

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    path: String,
    kind: &'static str,
    content: &'static [u8],
}

/// The style of all pages.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = concat!(include_str!("assets/app.css"), include_str!("assets/chart.css"));
    Asset::new("css", "text/css; charset=utf-8", text.as_bytes())
});

/// The script of all pages.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_bytes!("assets/app.js")));

impl Asset {
    fn new(extension: &str, kind: &'static str, content: &'static [u8]) -> Asset {
        let hash: [u8; 32] = Sha256::digest(content).into();
        let begin = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
        Asset { path: format!("/admin/assets/app.{begin:016x}.{extension}"), kind, content }
    }

    /// Returns the address.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// Returns the response with a file, or `None` for another path.
pub(super) fn respond(parts: &Parts) -> Option<HttpResponse> {
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let asset = [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.path == parts.uri.path())?;
    // The pages below answer other methods.
    if !is_read {
        return None;
    }
    // Without a copy: the file is a part of the program.
    let mut response = Response::new(Content::from(Bytes::from_static(asset.content)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Some(response)
}
