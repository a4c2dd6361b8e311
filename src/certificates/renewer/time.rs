//! When a [`Renewer`] asks for the authority's time. A certificate that exists is renewed, and one that is no longer desired
//! is removed, by a time that the authority has confirmed.

use std::sync::Arc;

use super::attempt::ActOutcome;
use super::{Act, DueAct, EndedAct, Renewer};
use crate::clock::Timestamp;

impl Renewer {
    /// Asks for the authority's time if it must be known before the next acts. Returns whether its answer is awaited.
    pub(super) fn needs_time(&mut self, due: &[DueAct], now: Timestamp) -> bool {
        if self.time_question.is_open() {
            return true;
        }
        // Without an answer, what this machine knows decides: an authority that is down issues nothing.
        if self.time_question.is_recent() || !self.is_time_doubtful(due, now) {
            return false;
        }
        // An act like others, so that its end wakes the loop.
        self.time_question.begin();
        let acme = Arc::clone(&self.acme);
        self.acts.spawn(async move {
            acme.ask_time().await;
            EndedAct { name: String::new(), outcome: ActOutcome::Time }
        });
        true
    }

    fn is_time_doubtful(&self, due: &[DueAct], now: Timestamp) -> bool {
        // A clock that is far ahead makes everything due.
        let is_renewal_due = due.iter().any(|due| due.has_one && due.act == Act::Order);
        // One that is far behind makes nothing due.
        let is_behind = || self.pairs.values().any(|pair| pair.fields.validity().is_before(now));
        is_renewal_due || self.is_removal_due || self.pool.has_jumped() || is_behind()
    }
}
