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
        // First: the owner's decision hides even that the link has expired.
        if !self.is_active {
            return LinkStatus::Disabled;
        }
        // Before the limit and the end: a link that is not public yet answers like an unknown one.
        if self.valid_since.is_some_and(|since| now < since) {
            return LinkStatus::NotYetValid;
        }
        // `expires_at` itself is the first instant of 410.
        if self.expires_at.is_some_and(|end| now >= end) {
            return LinkStatus::Expired;
        }
        if self.max_clicks.is_some_and(|max| clicks >= max) {
            return LinkStatus::UsedUp;
        }
        LinkStatus::Live
    }
}
