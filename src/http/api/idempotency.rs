//! `Idempotency-Key`: the claim of a POST under its key, and the lock on which a concurrent request with the
//! same key waits for the first one. The core stores the result of the first request, in the same Change;
//! nothing here must survive a crash.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::core::Claim;
use crate::http::api::dialect::BadRequest;
use crate::model::Invalid;
use crate::model::id::Id;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key in bytes; clients send UUIDs. Past it: 400.
const KEY_MAX: usize = 255;

/// Most keys in use at once. Each takes some 100 bytes and a waiting request; more than this means that
/// something is stuck. Past it: 503.
const KEYS_MAX: usize = 10_000;

/// Returns the key in the headers, if any. Fails if there are several, or if it is too long or not visible
/// ASCII.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, BadRequest> {
    let error =
        || BadRequest::Mistyped(Invalid::new("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    // A malformed key is an error: ignoring it would drop the protection that the client counts on.
    let text = line.to_str().map_err(|_| error())?;
    let fits = (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits && lines.next().is_none() { Ok(Some(text.to_owned())) } else { Err(error()) }
}

/// What a POST is compared with an earlier one by. `caller`, `path` and key select the earlier request; the
/// rest must be equal to it.
#[derive(Debug)]
pub(super) struct Posted<'a> {
    /// The id of the API key; `None` for the key in the environment.
    pub(super) caller: Option<Id>,
    /// Without the slash at its end.
    pub(super) path: &'a str,
    /// Compared like the body: another workspace or query is another request.
    pub(super) workspace: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

/// Returns the claim of a POST under its key.
pub(super) fn claim(key: &str, posted: &Posted<'_>) -> Claim {
    let caller = posted.caller.map_or_else(|| "environment".to_owned(), |id| id.to_string());
    Claim {
        scope: hash(&[caller.as_bytes(), b"POST", posted.path.as_bytes(), key.as_bytes()]),
        body: hash(&[posted.workspace.as_bytes(), posted.query.as_bytes(), posted.body]),
    }
}

/// Hashes each part with its length before it, so that two lists of parts never yield the same bytes.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut half = [0; 16];
    // 128 bits exclude accidents. A client could only collide with its own requests.
    half.copy_from_slice(&digest[..16]);
    half
}

/// A lock for each key in use. Cheap to clone: all clones share the locks.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeLocks(Arc<Mutex<LockMap>>);

/// An entry for each scope whose lock is held or waited for.
type LockMap = HashMap<[u8; 16], Arc<AsyncMutex<()>>>;

impl ScopeLocks {
    /// Acquires the lock of this scope. Returns `None` if too many scopes are in use.
    pub(super) async fn lock(&self, scope: [u8; 16]) -> Option<ScopeGuard> {
        let lock = {
            let mut map = self.0.lock();
            if map.len() >= KEYS_MAX && !map.contains_key(&scope) {
                return None;
            }
            Arc::clone(map.entry(scope).or_default())
        };
        // Before the wait: a waiter that is dropped must remove its entry like one that ends.
        let entry = LockEntry { locks: self.clone(), scope, lock: Some(Arc::clone(&lock)) };
        let guard = lock.lock_owned().await;
        Some(ScopeGuard { _guard: guard, _entry: entry })
    }
}

/// A held lock. Its drop releases it.
//
// Fields drop in this order: 1. the guard, so that the next waiter acquires the lock; 2. the entry, which is
// removed unless a request waits.
#[derive(Debug)]
pub(super) struct ScopeGuard {
    _guard: OwnedMutexGuard<()>,
    _entry: LockEntry,
}

#[derive(Debug)]
struct LockEntry {
    locks: ScopeLocks,
    scope: [u8; 16],
    lock: Option<Arc<AsyncMutex<()>>>,
}

impl Drop for LockEntry {
    fn drop(&mut self) {
        let mut map = self.locks.0.lock();
        self.lock = None;
        // Clones are created under the lock of the map only, so a count of one is the map's own.
        if map.get(&self.scope).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.scope);
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
    async fn requests_with_one_key_wait_for_each_other_and_leave_no_entry() {
        let locks = ScopeLocks::default();
        let first = locks.lock([1; 16]).await.expect("room");
        let mut second = Box::pin(locks.lock([1; 16]));
        let other = locks.lock([2; 16]).await.expect("another scope does not wait");
        tokio::select! {
            biased;
            _ = &mut second => panic!("the second request did not wait"),
            () = tokio::task::yield_now() => {}
        }
        // A waiter that is dropped leaves the lock to the others.
        let mut third = Box::pin(locks.lock([1; 16]));
        tokio::select! {
            biased;
            _ = &mut third => panic!("the third request did not wait"),
            () = tokio::task::yield_now() => {}
        }
        drop(third);
        drop(first);
        let second = second.await.expect("its lock");
        assert_eq!(locks.0.lock().len(), 2);
        drop((second, other));
        assert_eq!(locks.0.lock().len(), 0);
    }
}
