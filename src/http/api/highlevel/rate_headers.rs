//! The vendor's rate-limit headers.

use hyper::header::{HeaderName, HeaderValue};

use crate::http::api::dialect::Allowance;

/// The vendor counts by intervals and by days. Here an interval is a minute, and the limit of a day is the limit
/// of a minute times the minutes of a day.
const INTERVAL_MILLIS: u32 = 60_000;
const INTERVALS_A_DAY: u64 = 24 * 60;

/// Returns the vendor's five headers (docs/decisions.md A6).
pub(super) fn rate_headers(allowance: &Allowance) -> Vec<(HeaderName, HeaderValue)> {
    // No count of a day is kept: the day shows what this interval used.
    let used = u64::from(allowance.limit - allowance.remaining.min(allowance.limit));
    let daily = u64::from(allowance.limit) * INTERVALS_A_DAY;
    vec![
        (HeaderName::from_static("x-ratelimit-limit-daily"), daily.into()),
        (HeaderName::from_static("x-ratelimit-daily-remaining"), (daily - used).into()),
        (HeaderName::from_static("x-ratelimit-interval-milliseconds"), INTERVAL_MILLIS.into()),
        (HeaderName::from_static("x-ratelimit-max"), allowance.limit.into()),
        (HeaderName::from_static("x-ratelimit-remaining"), allowance.remaining.into()),
    ]
}
