//! [`Standing`]: what a link is at an instant.

use super::Options;
use crate::clock::Timestamp;

/// What a link is at an instant. Conditional on read; nothing has to run for a link to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Redirects.
    Live,
    /// Switched off: not found.
    Disabled,
    /// Its time has not come: not found.
    NotYetValid,
    /// Its time is over: gone.
    Expired,
    /// Its clicks are used up: gone.
    UsedUp,
}

impl Options {
    /// What the link is at `now` after `clicks` counted ones.
    pub fn standing(&self, now: Timestamp, clicks: u64) -> Standing {
        if !self.is_active {
            return Standing::Disabled;
        }
        if self.valid_since.is_some_and(|since| now < since) {
            return Standing::NotYetValid;
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Standing::Expired;
        }
        if self.max_clicks.is_some_and(|max| clicks >= max) {
            return Standing::UsedUp;
        }
        Standing::Live
    }
}
