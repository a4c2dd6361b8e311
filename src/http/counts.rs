//! Counts of connections and responses, for `/metrics`. Relaxed atomics: they are statistics and order
//! nothing. Redirects are not counted here, since their hot path pays for their clicks only.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct EventCount(AtomicU64);

impl EventCount {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counts of the HTTP side.
#[derive(Debug, Default)]
pub struct HttpCounts {
    /// Connections accepted and served.
    pub connections: EventCount,
    /// Connections that ended. The difference to `connections` is the number of open ones.
    pub closed: EventCount,
    /// Connections closed at once because a limit was reached.
    pub surplus: EventCount,
    /// Connections cut at the end of a drain.
    pub aborted: EventCount,
    /// Failures of `accept`, such as being out of file descriptors.
    pub accept_errors: EventCount,
    /// Requests that ended in a panic, answered 500.
    pub panics: EventCount,
    /// Responses of the APIs with a status below 400.
    pub api_ok: EventCount,
    /// Responses of the APIs with a status from 400 to 499.
    pub api_refused: EventCount,
    /// Responses of the APIs with a status from 500.
    pub api_failed: EventCount,
}
