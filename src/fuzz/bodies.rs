//! Requests of each dialect: the endpoint, its id, its query, its body.

use super::input::Input;
use crate::http::api::dialect::{ApiError, BadRequest, Body, Dialect, RequestParts};
use crate::http::api::query::Query;
use crate::http::api::registry::{DIALECTS, dialect_of};
use crate::json;
use crate::model::key::Scopes;

pub(super) fn native(data: &[u8]) {
    parse(dialect_of("/api/v1/links"), data);
}

pub(super) fn linquid(data: &[u8]) {
    parse(dialect_of("/api/links"), data);
}

pub(super) fn links(data: &[u8]) {
    parse(dialect_of("/links"), data);
}

pub(super) fn snapshots(data: &[u8]) {
    parse(dialect_of("/snapshots"), data);
}

/// Asserts that a request parses to a command that some key may give, or to an error with a text in every dialect.
fn parse(dialect: &'static dyn Dialect, data: &[u8]) {
    let mut input = Input(data);
    let endpoints = dialect.endpoints();
    let endpoint = &endpoints[usize::from(input.byte()) % endpoints.len()];
    let (id, query) = (input.text(), input.text());
    let body = input.0;
    if json::parse(body).is_ok() {
        let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(body);
        assert!(read.is_ok(), "the strict reader accepts only JSON");
    }
    let request = RequestParts { id: &id, query: Query::parse(Some(&query)), body };
    match (endpoint.parse)(&request) {
        Ok(scoped) => {
            assert!(Scopes::all().allow(scoped.command.scope()));
            // A log line shows a command by `Debug`, which must not panic.
            assert!(!format!("{:?}", scoped.command).is_empty());
        }
        Err(bad_request) => check_error(&bad_request),
    }
}

pub(super) fn check_error(bad_request: &BadRequest) {
    match bad_request {
        BadRequest::Malformed(why) => assert!(!why.is_empty()),
        BadRequest::Mistyped(invalid) | BadRequest::Rule(invalid) => {
            // The name of an unknown parameter is no field of ours.
            let is_named = !invalid.field.is_empty() || !invalid.at.is_empty();
            assert!(is_named && !invalid.why.is_empty(), "{invalid:?}");
        }
        BadRequest::NotFound(what) | BadRequest::CodeForId(what) => assert!(!what.is_empty()),
    }
    for dialect in DIALECTS {
        let Body { status, bytes, .. } = dialect.error(&ApiError::BadRequest(bad_request.clone()));
        assert!(status.is_client_error(), "{bad_request:?}: {status}");
        assert!(json::object(&bytes).is_ok(), "{bad_request:?}: {}", String::from_utf8_lossy(&bytes));
    }
}
