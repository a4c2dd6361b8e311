//! Progress of a long replay or rebuild, logged every few seconds.

use std::time::{Duration, Instant};

/// Records between two readings of the clock.
const CHECK_EVERY: u64 = 16_384;

/// Interval of the log lines.
const LOG_EVERY: Duration = Duration::from_secs(3);

/// Logs the progress of a long operation.
pub(super) struct Progress {
    what: &'static str,
    of: u64,
    logged: Instant,
    next: u64,
}

impl Progress {
    /// Creates the progress of `what`, an operation over `of` records or positions.
    pub(super) fn new(what: &'static str, of: u64) -> Progress {
        Progress { what, of, logged: Instant::now(), next: CHECK_EVERY }
    }

    /// Logs that `done` records or positions are done, if the last line is long enough ago.
    pub(super) fn at(&mut self, done: u64) {
        if done < self.next {
            return;
        }
        // From `done`, which may have advanced by a whole batch.
        self.next = done + CHECK_EVERY;
        if self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            tracing::info!(done, of = self.of, "{}", self.what);
        }
    }
}
