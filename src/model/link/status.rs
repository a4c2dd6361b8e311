//! [`LinkStatus`]: the status of a link at an instant.

use super::Options;
use crate::clock::Timestamp;

/// The status of a link at an instant. It is computed on read, so that no job has to run for a link to
/// expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// The link redirects.
    Live,
    /// Switched off: 404.
    Disabled,
    /// Before `validSince`: 404.
    NotYetValid,
    /// After `expiresAt`: 410.
    Expired,
    /// All clicks of `maxClicks` are used: 410.
    UsedUp,
}

impl Options {
    /// Returns the status at `now`, after `clicks` counted clicks.
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
