//! Counts of connections and responses, for `/metrics`. Relaxed atomics: they are statistics and order
//! nothing.
//!
//! A plain redirect pays for one add to a number that few connections share, and one redirect in [`TIMED`] for two
//! readings of the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hyper::StatusCode;
use prometheus_client::metrics::histogram::Histogram;

/// One redirect of this number is timed.
const TIMED: u64 = 64;

/// How many connections count their redirects apart: more than a small machine has cores.
const APART: usize = 8;

/// Bounds of the latency of a redirect, in seconds: from a hit in memory to a read of a slow disk.
const LATENCIES: [f64; 16] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.5, 2.5,
];

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

/// The number of redirects of some connections. On a cache line of its own, so that cores do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RedirectCount(AtomicU64);

impl RedirectCount {
    /// Returns the time if the next redirect is to be timed.
    #[inline]
    pub fn begin(&self) -> Option<Instant> {
        self.0.load(Ordering::Relaxed).is_multiple_of(TIMED).then(Instant::now)
    }
}

/// The latency of redirects, from a request head to the decision on its response. Locked, since few are timed.
#[derive(Debug)]
pub struct Latency(pub Histogram);

impl Default for Latency {
    fn default() -> Latency {
        Latency(Histogram::new(LATENCIES))
    }
}

/// The counts of TLS handshakes by their results.
#[derive(Debug, Default)]
pub struct HandshakeCounts {
    /// Those after which requests were served.
    pub completed: EventCount,
    /// Not completed by the client in time.
    pub timed_out: EventCount,
    /// For a name without a certificate.
    pub unknown_name: EventCount,
    /// Of an authority that checks a name.
    pub challenge: EventCount,
    /// Requests of HTTP without TLS.
    pub plain_http: EventCount,
    /// Neither TLS nor HTTP, no common version or cipher, an untrusting client, or one that is gone.
    pub failed: EventCount,
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
    /// Connections to a listener that requires the PROXY protocol, without its header or not from a trusted proxy.
    pub untrusted: EventCount,
    /// TLS handshakes by their results.
    pub handshakes: HandshakeCounts,
    /// Requests that ended in a panic, answered 500.
    pub panics: EventCount,
    /// Responses of the APIs with a status below 400.
    pub api_ok: EventCount,
    /// Responses of the APIs with a status from 400 to 499.
    pub api_refused: EventCount,
    /// Responses of the APIs with a status from 500.
    pub api_failed: EventCount,
    /// Responses with a status of 1xx to 5xx other than 3xx, by its first digit less one.
    answered: [EventCount; 5],
    /// Responses with a status of 3xx.
    redirects: [Arc<RedirectCount>; APART],
    /// Of one redirect in 64.
    pub latency: Latency,
}

impl HttpCounts {
    /// Returns the count of redirects for the next connection.
    pub fn redirects(&self) -> Arc<RedirectCount> {
        // In turn: the count of connections grows with each.
        let next = usize::try_from(self.connections.get()).unwrap_or(0) % APART;
        Arc::clone(&self.redirects[next])
    }

    /// Counts a redirect. `began` is the result of [`RedirectCount::begin`] before its work.
    #[inline]
    pub fn redirected(&self, redirects: &RedirectCount, began: Option<Instant>) {
        redirects.0.fetch_add(1, Ordering::Relaxed);
        if let Some(began) = began {
            self.timed(began);
        }
    }

    #[cold]
    fn timed(&self, began: Instant) {
        self.latency.0.observe(began.elapsed().as_secs_f64());
    }

    /// Counts a response. A redirect is counted as by [`HttpCounts::redirected`].
    pub fn answered(&self, status: StatusCode, redirects: &RedirectCount, began: Option<Instant>) {
        if status.is_redirection() {
            return self.redirected(redirects, began);
        }
        let class = usize::from(status.as_u16() / 100);
        if let Some(count) = self.answered.get(class.wrapping_sub(1)) {
            count.add();
        }
    }

    /// Returns the number of responses of a class, such as 4 for 4xx.
    pub fn of_class(&self, class: usize) -> u64 {
        let redirects = self.redirects.iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
        if class == 3 {
            redirects
        } else {
            self.answered.get(class.wrapping_sub(1)).map_or(0, EventCount::get)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_class_and_one_redirect_in_64_is_timed() {
        let counts = HttpCounts::default();
        let redirects = counts.redirects();
        let mut timed = 0;
        for status in [302_u16, 200].repeat(128) {
            let began = redirects.begin();
            timed += u32::from(began.is_some() && status == 302);
            counts.answered(StatusCode::from_u16(status).expect("a status"), &redirects, began);
        }
        for status in [201, 404, 429, 500] {
            counts.answered(StatusCode::from_u16(status).expect("a status"), &redirects, None);
        }
        assert_eq!([2, 3, 4, 5].map(|class| counts.of_class(class)), [129, 128, 2, 1]);
        assert_eq!(timed, 2);
    }
}
