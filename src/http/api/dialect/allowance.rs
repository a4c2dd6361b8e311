//! [`Allowance`]: what a caller's rate limit leaves.

use std::time::Duration;

use super::ApiError;

/// The state of a rate limit after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Time until `remaining` is `limit`.
    pub resets_in: Duration,
    /// Time until a request is admitted again, if this one was not.
    pub wait: Option<Duration>,
}

impl Allowance {
    /// Orders allowances: those of rejected requests first, then by what remains.
    pub(in super::super) fn tightness(&self) -> (bool, u32) {
        (self.wait.is_none(), self.remaining)
    }

    /// Returns the error of a request that exceeded the limit.
    pub(in super::super) fn error(&self) -> Option<ApiError> {
        let wait = self.wait?;
        // Rounded up: a client that waits as long is admitted. `u32::MAX` seconds at most.
        Some(ApiError::TooMany(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX - 1) + 1))
    }
}
