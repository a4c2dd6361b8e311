//! What a click does.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Response};

/// A visitor's request, its target and Host already checked.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// The host asked for: lower case, without port or trailing dot. IP literals as written.
    pub host: &'a str,
    /// The path as sent, beginning with a slash.
    pub path: &'a str,
    /// The query as sent.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// How a visit is answered.
pub enum Answer {
    /// From memory.
    Now(Response<Full<Bytes>>),
    /// The link has to be read from the table first.
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

/// Answers visits. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Visitor;

#[allow(clippy::todo, unused_variables)]
impl Visitor {
    /// Answers one visit.
    pub fn answer(&self, visit: &Visit<'_>) -> Answer {
        todo!()
    }
}

/// Small HTML pages. Each is complete: nothing is loaded from elsewhere.
#[allow(clippy::todo, unused_variables)]
pub mod pages {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::{Response, StatusCode};

    /// A page that says what is wrong, with the headers every page of ours carries.
    pub fn error(status: StatusCode) -> Response<Full<Bytes>> {
        todo!()
    }
}
