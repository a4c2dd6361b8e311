//! [`TimeQuestion`]: the question for the authority's time.

use std::time::{Duration, Instant};

/// The pause between two questions for the authority's time.
const ASK_EVERY: Duration = Duration::from_mins(10);

/// The question for the authority's time.
#[derive(Debug, Default)]
pub(super) struct TimeQuestion {
    /// By a clock that does not jump: the other one is what is in doubt.
    begun: Option<Instant>,
    is_open: bool,
}

impl TimeQuestion {
    /// Returns whether the answer is awaited.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns whether the last question is recent. An authority that is down is not asked in a circle.
    pub(super) fn is_recent(&self) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() < ASK_EVERY)
    }

    /// Notes that the question is asked.
    pub(super) fn begin(&mut self) {
        *self = TimeQuestion { begun: Some(Instant::now()), is_open: true };
    }

    /// Notes that the question has ended, with an answer or without.
    pub(super) fn end(&mut self) {
        self.is_open = false;
    }
}
