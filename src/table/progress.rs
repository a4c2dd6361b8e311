//! What the log is told of a long replay or rebuild: how far it has come, every few seconds.

use std::time::{Duration, Instant};

/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 16_384;

/// How often it is told: often enough to see that it goes on, seldom enough for the log.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// Tells how far a long replay has come, every few seconds.
pub(super) struct Progress {
    what: &'static str,
    of: u64,
    told: Instant,
    next: u64,
}

impl Progress {
    /// Of `what`, through so many records or positions.
    pub(super) fn new(what: &'static str, of: u64) -> Progress {
        Progress { what, of, told: Instant::now(), next: LOOK_EVERY }
    }

    /// So many are behind it.
    pub(super) fn at(&mut self, done: u64) {
        if done < self.next {
            return;
        }
        self.next = done + LOOK_EVERY;
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            tracing::info!(done, of = self.of, "{}", self.what);
        }
    }
}
