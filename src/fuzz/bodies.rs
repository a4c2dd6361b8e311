//! Requests of each dialect: which endpoint, its id, its query, its body.

use super::Input;
use crate::http::api::dialect::{Body, Call, Dialect, Failure, Refusal};
use crate::http::api::json;
use crate::http::api::query::Query;
use crate::http::api::{DIALECTS, dialect_of};
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
    let call = Call { id: &id, query: Query::parse(Some(&query)), body };
    match (endpoint.parse)(&call) {
        Ok(asked) => {
            assert!(Scopes::all().allow(asked.command.scope()));
            // What a log of it would do.
            assert!(!format!("{:?}", asked.command).is_empty());
        }
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) {
    match refusal {
        Refusal::Malformed(why) => assert!(!why.is_empty()),
        Refusal::Mistyped(invalid) | Refusal::Rule(invalid) => {
            assert!(!invalid.field.is_empty() && !invalid.why.is_empty(), "{invalid:?}");
        }
        Refusal::NotFound(what) => assert!(!what.is_empty()),
    }
    for dialect in DIALECTS {
        let Body { status, bytes, .. } = dialect.failure(&Failure::Refused(refusal.clone()));
        assert!(status.is_client_error(), "{refusal:?}: {status}");
        assert!(json::object(&bytes).is_ok(), "{refusal:?}: {}", String::from_utf8_lossy(&bytes));
    }
}
