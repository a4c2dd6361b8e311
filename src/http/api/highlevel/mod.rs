//! HighLevel's API (docs/decisions.md A19-A24): a location is a workspace, a link's `name` its title, its
//! `redirectTo` its destination. The `Version` header says nothing here: clients of every version
//! are answered alike.

mod error;
mod links;
mod snapshots;

use hyper::header::{HeaderName, HeaderValue};

pub(super) use self::snapshots::HighLevelSnapshots;

use crate::http::api::dialect::Allowance;

/// Links, and the probe of locations.
pub(super) struct HighLevelLinks;

/// The vendor counts by intervals and by days; here a minute is the interval, and a day has as many
/// of them as it has.
const INTERVAL_MILLIS: u32 = 60_000;
const INTERVALS_A_DAY: u64 = 24 * 60;

/// The vendor's five headers (docs/decisions.md A6).
fn rate_headers(allowance: &Allowance) -> Vec<(HeaderName, HeaderValue)> {
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
