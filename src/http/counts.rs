//! What the HTTP side counts about itself, for `/metrics`. Relaxed atomics: each is a statistic,
//! none orders anything. Redirects are not among them: their hot path pays for their clicks only.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted and served.
    pub connections: Count,
    /// Connections that ended; the difference is what is open.
    pub closed: Count,
    /// Connections closed at once since the cap was reached.
    pub surplus: Count,
    /// Connections cut at the end of a drain.
    pub aborted: Count,
    /// Failures of `accept`, such as being out of file descriptors.
    pub accept_errors: Count,
    /// Requests that ended in a panic, answered 500.
    pub panics: Count,
    /// Answers of the APIs below 400.
    pub api_ok: Count,
    /// Answers of the APIs from 400 to 499.
    pub api_refused: Count,
    /// Answers of the APIs from 500.
    pub api_failed: Count,
}
