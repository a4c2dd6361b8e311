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

/// How long others may keep the description: it changes with the program only, and whoever has
/// just replaced that should not wait.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The document and its page. A handle, cheap to clone; both are made on first need, since most
/// runs are never asked for them.
#[derive(Clone, Debug)]
pub struct Description(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    base_url: String,
    made: OnceLock<Made>,
}

#[derive(Debug)]
struct Made {
    json: Bytes,
    page: Bytes,
}

impl Description {
    /// Of the instance that is reached at this URL.
    pub fn new(base_url: &str) -> Description {
        Description(Arc::new(Shared { base_url: base_url.to_owned(), made: OnceLock::new() }))
    }

    /// For machines.
    pub fn json(&self) -> HttpResponse {
        kept("application/json; charset=utf-8", self.made().json.clone())
    }

    /// For people.
    pub fn page(&self) -> HttpResponse {
        let mut answer = kept("text/html; charset=utf-8", self.made().page.clone());
        let headers = answer.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, page::POLICY.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        answer
    }

    fn made(&self) -> &Made {
        self.0.made.get_or_init(|| {
            let document = document(&self.0.base_url);
            Made { json: document.to_string().into(), page: page::page(&document).into() }
        })
    }
}

fn kept(kind: &'static str, bytes: Bytes) -> HttpResponse {
    let mut answer = Response::new(bytes.into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, KEPT);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
