//! How often the APIs may be asked: by a key, and by an address whose keys are wrong. Told in the
//! headers that each vendor's clients read ([`super::dialect::Dialect::rate_headers`]).
//!
//! Requests pass at an even pace with a minute's worth in one go (GCRA): no window to wait for,
//! and none whose edge lets twice as many through.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::links::Caller;
use crate::model::id::Id;
use crate::model::key::Reach;
use crate::model::network::customer;
use crate::settings::BadSetting;

/// Most addresses counted apart, some 6 MB. Past it, those that are back at rest go; while there
/// are none, new addresses share one count.
const ADDRESSES_MAX: usize = 65_536;

/// How often those at rest are looked for at most: it walks over all of them.
const SHRINK_EVERY: Duration = Duration::from_secs(10);

/// The section `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Requests per minute of each key of a company or workspace.
    pub requests_per_minute: u32,
    /// Requests per minute of each key that reaches the whole instance: the operator's own.
    pub instance_requests_per_minute: u32,
    /// Requests per minute and address without a valid key.
    pub refused_per_minute: u32,
    /// Visits per minute and address to codes that lead nowhere. No office and no crawler makes
    /// 1,700 a second; a scanner does, and is told so.
    pub misses_per_minute: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            requests_per_minute: 6_000,
            instance_requests_per_minute: 10_000_000,
            refused_per_minute: 1_000,
            misses_per_minute: 100_000,
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let all = [
            ("requests_per_minute", self.requests_per_minute),
            ("instance_requests_per_minute", self.instance_requests_per_minute),
            ("refused_per_minute", self.refused_per_minute),
            ("misses_per_minute", self.misses_per_minute),
        ];
        match all.into_iter().find(|(_, value)| *value == 0) {
            Some((key, value)) => Err(BadSetting::new(key, value, "must be at least 1")),
            None => Ok(()),
        }
    }
}

/// Where a caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// When all of them may.
    pub resets_in: Duration,
    /// How long to wait, for one that came too early.
    pub wait: Option<Duration>,
}

type Counted<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock, StateInformationMiddleware>;

/// All counts. In memory only: a restart forgives.
#[derive(Debug)]
pub(super) struct Limits {
    keys: Counted<Option<Id>>,
    instance_keys: Counted<Option<Id>>,
    refused: Counted<Option<IpAddr>>,
    shrunk: Mutex<Option<Instant>>,
}

impl Limits {
    /// The settings must have passed [`Settings::check`].
    pub(super) fn new(settings: &Settings) -> Limits {
        Limits {
            keys: counted(settings.requests_per_minute),
            instance_keys: counted(settings.instance_requests_per_minute),
            refused: counted(settings.refused_per_minute),
            shrunk: Mutex::new(None),
        }
    }

    /// Counts a request of a valid key.
    pub(super) fn request(&self, caller: &Caller) -> Allowance {
        let keys = if caller.reach() == Reach::Instance { &self.instance_keys } else { &self.keys };
        count(keys, &caller.key())
    }

    /// Counts a request without one.
    pub(super) fn refused(&self, peer: IpAddr) -> Allowance {
        if self.refused.len() >= ADDRESSES_MAX {
            let mut shrunk = self.shrunk.lock();
            if shrunk.is_none_or(|at| at.elapsed() >= SHRINK_EVERY) {
                self.refused.retain_recent();
                *shrunk = Some(Instant::now());
            }
        }
        let known = self.refused.len() < ADDRESSES_MAX;
        count(&self.refused, &known.then(|| customer(peer)))
    }
}

fn counted<K: Hash + Eq + Clone>(per_minute: u32) -> Counted<K> {
    let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
    RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock)
}

fn count<K: Hash + Eq + Clone>(counted: &Counted<K>, key: &K) -> Allowance {
    let pace = |quota: &Quota, remaining: u32| {
        let limit = quota.burst_size().get();
        (limit, quota.replenish_interval().saturating_mul(limit.saturating_sub(remaining)))
    };
    match counted.check_key(key) {
        Ok(state) => {
            let remaining = state.remaining_burst_capacity();
            let (limit, resets_in) = pace(&state.quota(), remaining);
            Allowance { limit, remaining, resets_in, wait: None }
        }
        Err(early) => {
            let (limit, resets_in) = pace(&early.quota(), 0);
            let wait = early.wait_time_from(MonotonicClock.now());
            Allowance { limit, remaining: 0, resets_in, wait: Some(wait) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(settings: &Settings) -> Limits {
        assert_eq!(settings.check(), Ok(()));
        Limits::new(settings)
    }

    #[test]
    fn a_minutes_worth_and_then_one_by_one() {
        let limits = limits(&Settings { instance_requests_per_minute: 3, ..Settings::default() });
        for remaining in [2, 1, 0] {
            let allowance = limits.request(&Caller::Environment);
            assert_eq!((allowance.limit, allowance.remaining, allowance.wait), (3, remaining, None));
            let full = Duration::from_secs(20) * (3 - remaining);
            assert_eq!(allowance.resets_in, full);
        }
        let allowance = limits.request(&Caller::Environment);
        let wait = allowance.wait.expect("too early");
        assert!(wait > Duration::from_secs(10) && wait <= Duration::from_secs(20), "{wait:?}");
    }

    #[test]
    fn strangers_are_counted_by_address_in_bounded_memory() {
        let limits = limits(&Settings { refused_per_minute: 1, ..Settings::default() });
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(limits.refused(address("192.0.2.1")).wait, None);
        assert!(limits.refused(address("192.0.2.1")).wait.is_some());
        assert_eq!(limits.refused(address("192.0.2.2")).wait, None);
        assert_eq!(limits.refused(address("2001:db8::1")).wait, None);
        assert!(limits.refused(address("2001:db8::2")).wait.is_some(), "of the same /64");
        for n in 0..200_000_u32 {
            limits.refused(IpAddr::V4(n.into()));
        }
        assert!(limits.refused.len() <= ADDRESSES_MAX + 1, "{}", limits.refused.len());
    }

    /// Else an instance that ran long enough would count all new strangers as one.
    #[test]
    fn t116_addresses_that_may_ask_again_make_room() {
        let limits = limits(&Settings { refused_per_minute: u32::MAX, ..Settings::default() });
        for n in 0..=u32::try_from(ADDRESSES_MAX).expect("it is small") {
            limits.refused(IpAddr::V4(n.into()));
        }
        assert!(limits.refused.len() < ADDRESSES_MAX / 2, "{}", limits.refused.len());
    }

    #[test]
    fn zero_is_refused() {
        let settings = Settings { refused_per_minute: 0, ..Settings::default() };
        let error = settings.check().map_err(|error| error.to_string());
        assert_eq!(error, Err("`refused_per_minute` = 0: must be at least 1".to_owned()));
    }
}
