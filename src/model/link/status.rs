//! [`LinkStatus`]: what a link is at an instant.

use super::Options;
use crate::clock::Timestamp;

/// What a link is at an instant. Conditional on read; nothing has to run for a link to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus {
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
    pub fn status(&self, now: Timestamp, clicks: u64) -> LinkStatus {
        if !self.is_active {
            return LinkStatus::Disabled;
        }
        if self.valid_since.is_some_and(|since| now < since) {
            return LinkStatus::NotYetValid;
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return LinkStatus::Expired;
        }
        if self.max_clicks.is_some_and(|max| clicks >= max) {
            return LinkStatus::UsedUp;
        }
        LinkStatus::Live
    }
}
