//! [`Sealer`]: when the cells in memory are written as a part, and what happens while that fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::shared::Shared;

/// Age of the last part at which the next one is written: a start then reads at most the log of one hour.
const SEAL_AGE: Duration = Duration::from_hours(1);

/// The pause before another try after an error.
const RETRY: Duration = Duration::from_secs(5);

/// Time between two log lines about a disk that rejects parts.
const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// What the thread that follows the log knows of its parts.
#[derive(Debug)]
pub(super) struct Sealer {
    /// The time of the last part.
    sealed: Instant,
    /// The time of the last try, if it failed.
    failed: Option<Instant>,
    logged: Option<Instant>,
}

impl Sealer {
    /// Creates the sealer of a store that was just opened.
    pub(super) fn new() -> Sealer {
        Sealer { sealed: Instant::now(), failed: None, logged: None }
    }

    /// Notes how far the thread has come, and writes a part if it is time.
    pub(super) fn advance(&mut self, shared: &Shared) {
        let has_caught_up =
            shared.has_caught_up.load(Ordering::Relaxed) || shared.cells.lock().applied >= shared.goal;
        // Before the part: on a full disk, questions read the cells in memory.
        shared.has_caught_up.store(has_caught_up, Ordering::Release);
        // Once after the start: from then on, every key of the ring may be used again.
        let is_first = has_caught_up && !shared.are_keys_free.load(Ordering::Relaxed);
        let is_wanted = shared.is_part_wanted.load(Ordering::Relaxed);
        let is_due = is_first || is_wanted || shared.is_full() || self.sealed.elapsed() >= SEAL_AGE;
        // Not at each Change: each try sorts all cells in memory.
        if is_due && self.failed.is_none_or(|at| at.elapsed() >= RETRY) {
            // Before the part: what is asked for meanwhile may need the next one.
            shared.is_part_wanted.store(false, Ordering::Relaxed);
            self.seal(shared);
        }
    }

    /// Writes the cells in memory as a part. After an error they stay in memory and in the log.
    pub(super) fn seal(&mut self, shared: &Shared) {
        match shared.seal() {
            Ok(()) => {
                self.sealed = Instant::now();
                if self.failed.take().is_some() {
                    tracing::info!("details of clicks are written to the disk again");
                    self.logged = None;
                }
                if shared.has_caught_up.load(Ordering::Relaxed) {
                    // Behind the part: before it, the ring must not overwrite the ticks of an earlier process.
                    shared.are_keys_free.store(true, Ordering::Release);
                }
            }
            Err(error) => {
                self.failed = Some(Instant::now());
                // Not each try: the disk may be full for hours.
                if self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                    tracing::error!(
                        %error,
                        "the details of clicks cannot be written to the folder clicks and are tried again; they wait in \
                         memory and in the log, and are dropped once 256 drains wait; totals are not affected"
                    );
                    self.logged = Some(Instant::now());
                }
            }
        }
    }
}
