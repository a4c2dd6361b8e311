//! `Idempotency-Key`: which earlier request a POST may repeat, and the queue in which a
//! concurrent twin waits for the first. What the first did is remembered by the core, in the same
//! Change; here is nothing that must survive.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::core::Claim;
use crate::http::api::dialect::BadRequest;
use crate::model::Invalid;
use crate::model::id::Id;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key; clients send UUIDs.
const KEY_MAX: usize = 255;

/// Most keys at work at once. Each is some 100 bytes and a waiting request; more than this means
/// that something is stuck, and a further one is told to try again.
const AT_WORK_MAX: usize = 10_000;

/// The key in the headers, if there is one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, BadRequest> {
    let refuse =
        || BadRequest::Mistyped(Invalid::new("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().map_err(|_| refuse())?;
    let fits = (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits && lines.next().is_none() { Ok(Some(text.to_owned())) } else { Err(refuse()) }
}

/// What a POST is compared with an earlier one by.
#[derive(Debug)]
pub(super) struct Posted<'a> {
    /// The API key; `None` for the one in the environment.
    pub(super) caller: Option<Id>,
    /// Without the slash at its end.
    pub(super) path: &'a str,
    /// Part of the body: another workspace or query is another request.
    pub(super) workspace: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

/// The claim of a POST under its key.
pub(super) fn claim(key: &str, posted: &Posted<'_>) -> Claim {
    let caller = posted.caller.map_or_else(|| "environment".to_owned(), |id| id.to_string());
    Claim {
        scope: hash(&[caller.as_bytes(), b"POST", posted.path.as_bytes(), key.as_bytes()]),
        body: hash(&[posted.workspace.as_bytes(), posted.query.as_bytes(), posted.body]),
    }
}

/// Each part with its length before it, so that no two lists of parts run into the same bytes.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// The keys at work. A handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeLocks(Arc<Mutex<AtWork>>);

/// One turn per scope that is at work or waited for.
type AtWork = HashMap<[u8; 16], Arc<Turn<()>>>;

impl ScopeLocks {
    /// Waits until no other request works under this scope. `None` when too many are at work.
    pub(super) async fn take(&self, scope: [u8; 16]) -> Option<ScopeGuard> {
        let turn = {
            let mut at_work = self.0.lock();
            if at_work.len() >= AT_WORK_MAX && !at_work.contains_key(&scope) {
                return None;
            }
            Arc::clone(at_work.entry(scope).or_default())
        };
        // Before waiting: a waiter that is dropped must leave the map as clean as one that ends.
        let entry = Entry { turns: self.clone(), scope, turn: Some(Arc::clone(&turn)) };
        let guard = turn.lock_owned().await;
        Some(ScopeGuard { _guard: guard, _entry: entry })
    }
}

/// A turn, until dropped. Fields drop in this order: first the next one may go, then the entry is
/// removed unless someone waits.
#[derive(Debug)]
pub(super) struct ScopeGuard {
    _guard: OwnedMutexGuard<()>,
    _entry: Entry,
}

#[derive(Debug)]
struct Entry {
    turns: ScopeLocks,
    scope: [u8; 16],
    turn: Option<Arc<Turn<()>>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut at_work = self.turns.0.lock();
        self.turn = None;
        // Clones are made under this lock only, so a count of one is the map's own.
        if at_work.get(&self.scope).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            at_work.remove(&self.scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        let long = "k".repeat(256);
        for (value, fits) in [("k-1", true), ("", false), ("a b", false), ("é", false), (&long, false)] {
            let mut headers = HeaderMap::new();
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).expect("legal"));
            assert_eq!(key(&headers).is_ok(), fits, "{value}");
        }
        let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
        let mut headers = HeaderMap::new();
        for (name, value) in twice {
            headers.append(name, HeaderValue::from_static(value));
        }
        let why = Invalid::new("Idempotency-Key", "must be 1 to 255 visible ASCII characters");
        assert_eq!(key(&headers), Err(BadRequest::Mistyped(why)));
        assert_eq!(key(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn claims_differ_where_requests_do() {
        let posted = |path, workspace, body| Posted { caller: None, path, workspace, query: "", body };
        let first = claim("k", &posted("/api/v1/links", "w", b"{}"));
        assert_eq!(first, claim("k", &posted("/api/v1/links", "w", b"{}")));
        assert_ne!(first.scope, claim("l", &posted("/api/v1/links", "w", b"{}")).scope);
        assert_ne!(first.scope, claim("k", &posted("/api/v1/tags", "w", b"{}")).scope);
        assert_ne!(first.body, claim("k", &posted("/api/v1/links", "w", b"{ }")).body);
        assert_ne!(first.body, claim("k", &posted("/api/v1/links", "w{", b"}")).body);
        let other = Posted { caller: Some(Id::from_bits(7)), ..posted("/api/v1/links", "w", b"{}") };
        assert_ne!(first.scope, claim("k", &other).scope);
    }

    #[tokio::test]
    async fn twins_wait_and_leave_nothing_behind() {
        let turns = ScopeLocks::default();
        let first = turns.take([1; 16]).await.expect("room");
        let mut second = Box::pin(turns.take([1; 16]));
        let other = turns.take([2; 16]).await.expect("another scope does not wait");
        tokio::select! {
            biased;
            _ = &mut second => panic!("the twin went ahead"),
            () = tokio::task::yield_now() => {}
        }
        // A waiter that gives up takes nothing with it.
        let mut third = Box::pin(turns.take([1; 16]));
        tokio::select! {
            biased;
            _ = &mut third => panic!("the third went ahead"),
            () = tokio::task::yield_now() => {}
        }
        drop(third);
        drop(first);
        let second = second.await.expect("its turn");
        assert_eq!(turns.0.lock().len(), 2);
        drop((second, other));
        assert_eq!(turns.0.lock().len(), 0);
    }
}
