//! Requests of each dialect: which endpoint, its id, its query, its body.

use super::Input;
use crate::http::api::dialect::{ApiError, BadRequest, Body, Dialect, RequestParts};
use crate::http::api::query::Query;
use crate::http::api::{DIALECTS, dialect_of};
use crate::json;
use crate::model::key::Scopes;

pub(super) fn native(data: &[u8]) {
    ask(dialect_of("/api/v1/links"), data);
}

pub(super) fn linquid(data: &[u8]) {
    ask(dialect_of("/api/links"), data);
}

pub(super) fn links(data: &[u8]) {
    ask(dialect_of("/links"), data);
}

pub(super) fn snapshots(data: &[u8]) {
    ask(dialect_of("/snapshots"), data);
}

/// A command that some key may give, or a refusal that says what is wrong, in any dialect's words.
fn ask(dialect: &'static dyn Dialect, data: &[u8]) {
    let mut input = Input(data);
    let endpoints = dialect.endpoints();
    let endpoint = &endpoints[usize::from(input.byte()) % endpoints.len()];
    let (id, query) = (input.text(), input.text());
    let body = input.0;
    if json::parse(body).is_ok() {
        let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(body);
        assert!(read.is_ok(), "what we call JSON is JSON");
    }
    let call = RequestParts { id: &id, query: Query::parse(Some(&query)), body };
    match (endpoint.parse)(&call) {
        Ok(asked) => {
            assert!(Scopes::all().allow(asked.command.scope()));
            // What a log of it would do.
            assert!(!format!("{:?}", asked.command).is_empty());
        }
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &BadRequest) {
    match refusal {
        BadRequest::Malformed(why) => assert!(!why.is_empty()),
        BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid) => {
            assert!(!invalid.field.is_empty() && !invalid.why.is_empty(), "{invalid:?}");
        }
        BadRequest::NotFound(what) => assert!(!what.is_empty()),
    }
    for dialect in DIALECTS {
        let Body { status, bytes, .. } = dialect.failure(&ApiError::BadRequest(refusal.clone()));
        assert!(status.is_client_error(), "{refusal:?}: {status}");
        assert!(json::object(&bytes).is_ok(), "{refusal:?}: {}", String::from_utf8_lossy(&bytes));
    }
}
