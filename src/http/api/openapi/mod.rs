//! The description of the APIs: `GET /api/openapi.json` for machines ([`spec`]), `GET /api/docs` for people
//! ([`page`]).

mod examples;
mod page;
mod spec;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use self::spec::document;
use crate::http::body::HttpResponse;

/// Time for which caches may keep the description. It changes with the program only, but an operator who has
/// just upgraded should not wait long for the new one.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The document and its page. Cheap to clone: all clones share them. Both are created on first use, since
/// most servers never show them.
#[derive(Clone, Debug)]
pub struct Description(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    base_url: String,
    documents: OnceLock<Documents>,
}

#[derive(Debug)]
struct Documents {
    json: Bytes,
    page: Bytes,
}

impl Description {
    /// Creates the description of the instance at this URL.
    pub fn new(base_url: &str) -> Description {
        Description(Arc::new(Shared { base_url: base_url.to_owned(), documents: OnceLock::new() }))
    }

    /// Returns the document, for machines.
    pub fn json(&self) -> HttpResponse {
        kept("application/json; charset=utf-8", self.documents().json.clone())
    }

    /// Returns the page, for people.
    pub fn page(&self) -> HttpResponse {
        let mut response = kept("text/html; charset=utf-8", self.documents().page.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, page::POLICY.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // As on all pages of Waypost: search results need no copy for each instance.
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        response
    }

    fn documents(&self) -> &Documents {
        self.0.documents.get_or_init(|| {
            let document = document(&self.0.base_url);
            Documents { json: format!("{document}\n").into(), page: page::page(&document).into() }
        })
    }
}

fn kept(kind: &'static str, bytes: Bytes) -> HttpResponse {
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, KEPT);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
