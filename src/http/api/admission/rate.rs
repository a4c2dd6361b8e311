//! Rate limits of the APIs: of each key, of all keys of a workspace or company together, and of each address
//! without a valid key. Responses show the limit in the headers that the clients of each vendor read
//! ([`crate::http::api::dialect::Dialect::rate_headers`]).
//!
//! Requests are admitted at an even pace, and a minute's worth at once (GCRA). Unlike a fixed window, this
//! never admits twice as many around the edge of a window.

use std::fmt;
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

use crate::core::Caller;
use crate::http::api::dialect::Allowance;
use crate::model::id::{ForeignId, Id};
use crate::model::network::customer;
use crate::model::tenant::Tenant;
use crate::model::workspace::WorkspaceNumber;
use crate::settings::BadSetting;

/// Most addresses, and most keys, with a count of their own: some 6 MB of each. Past it, counts without
/// recent requests are removed; while there are none, new addresses or keys share one count. A tenant that
/// creates and revokes keys forever thus takes bounded memory.
const COUNTED_MAX: usize = 65_536;

/// Shortest time between two removals of counts: a removal walks over all of them.
const SHRINK_EVERY: Duration = Duration::from_secs(10);

/// Default limits of a workspace and of a company, as multiples of the limit of a key: a workspace with a
/// thousand keys gets five times the requests of one key, and a company with a thousand workspaces ten times.
const WORKSPACE_KEYS: u32 = 5;
const COMPANY_KEYS: u32 = 10;

/// The section `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Requests per minute of each key of a company or workspace.
    pub requests_per_minute: u32,
    /// Requests per minute of all keys of one workspace together, however many keys it has. Unset:
    /// [`WORKSPACE_KEYS`] times `requests_per_minute`.
    pub workspace_requests_per_minute: Option<u32>,
    /// Requests per minute of all keys of one company and its workspaces together. Unset:
    /// [`COMPANY_KEYS`] times `requests_per_minute`.
    pub company_requests_per_minute: Option<u32>,
    /// Requests per minute of each key of the whole instance, which are the operator's.
    pub instance_requests_per_minute: u32,
    /// Requests per minute and address without a valid key. A second count with the same limit is for the
    /// description of the APIs, which needs no key.
    pub refused_per_minute: u32,
    /// Visits per minute and address to codes without a link. A second count with the same limit is for
    /// `/healthz` and `/readyz`. No office and no crawler sends 1,700 requests a second; a scanner does, and
    /// gets 429.
    pub misses_per_minute: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            requests_per_minute: 6_000,
            workspace_requests_per_minute: None,
            company_requests_per_minute: None,
            instance_requests_per_minute: 10_000_000,
            refused_per_minute: 1_000,
            misses_per_minute: 100_000,
        }
    }
}

impl Settings {
    /// Checks every rule about a value of the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let all = [
            ("requests_per_minute", self.requests_per_minute),
            ("workspace_requests_per_minute", self.of_workspace()),
            ("company_requests_per_minute", self.of_company()),
            ("instance_requests_per_minute", self.instance_requests_per_minute),
            ("refused_per_minute", self.refused_per_minute),
            ("misses_per_minute", self.misses_per_minute),
        ];
        match all.into_iter().find(|(_, value)| *value == 0) {
            Some((key, value)) => Err(BadSetting::new(key, value, "must be at least 1")),
            None => Ok(()),
        }
    }

    fn of_workspace(&self) -> u32 {
        let unset = self.requests_per_minute.saturating_mul(WORKSPACE_KEYS);
        self.workspace_requests_per_minute.unwrap_or(unset)
    }

    fn of_company(&self) -> u32 {
        let unset = self.requests_per_minute.saturating_mul(COMPANY_KEYS);
        self.company_requests_per_minute.unwrap_or(unset)
    }
}

type KeyedLimiter<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock, StateInformationMiddleware>;

/// All counts. In memory only: a restart resets them.
#[derive(Debug)]
pub(in crate::http::api) struct Limits {
    // Bounded, since a tenant may create and revoke keys forever.
    keys: Bounded<Id>,
    workspaces: KeyedLimiter<WorkspaceNumber>,
    companies: KeyedLimiter<ForeignId>,
    // `None` is the key in the environment. Only the operator creates such keys, so they are few.
    instance_keys: KeyedLimiter<Option<Id>>,
    // Apart from `open`, so that readers of the description do not use up the attempts with a wrong key.
    refused: Bounded<IpAddr>,
    open: Bounded<IpAddr>,
}

/// A limiter for keys of unbounded number, in bounded memory.
struct Bounded<K: Hash + Eq + Clone> {
    counted: KeyedLimiter<Option<K>>,
    shrunk: Mutex<Option<Instant>>,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Bounded<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("counted", &self.counted.len()).finish_non_exhaustive()
    }
}

impl Limits {
    /// Creates the limits. The settings must have passed [`Settings::check`].
    pub(in crate::http::api) fn new(settings: &Settings) -> Limits {
        Limits {
            keys: Bounded::new(settings.requests_per_minute),
            workspaces: counted(settings.of_workspace()),
            companies: counted(settings.of_company()),
            instance_keys: counted(settings.instance_requests_per_minute),
            refused: Bounded::new(settings.refused_per_minute),
            open: Bounded::new(settings.refused_per_minute),
        }
    }

    /// Counts a request of a valid key: against the limit of the key, of its workspace and of its company.
    /// Returns the tightest of these.
    pub(in crate::http::api) fn request(&self, caller: &Caller, tenant: &Tenant) -> Allowance {
        let key = match tenant {
            // Only its own limit: the operator belongs to no workspace or company.
            Tenant::Operator => return count(&self.instance_keys, &caller.key()),
            Tenant::Company(_) | Tenant::Workspace { .. } => self.keys.count(caller.key()),
        };
        // A request that one limit rejects is not counted against the next.
        let counted = [
            Some(key),
            tenant.workspace().filter(|_| key.wait.is_none()).map(|number| count(&self.workspaces, &number)),
        ];
        // The headers show this one, since it is the first that will reject a request.
        let tightest = counted.into_iter().flatten().min_by_key(Allowance::tightness).unwrap_or(key);
        match tenant.company().filter(|_| tightest.wait.is_none()) {
            Some(company) => {
                let company = count(&self.companies, company);
                if company.tightness() < tightest.tightness() { company } else { tightest }
            }
            None => tightest,
        }
    }

    /// Counts a request without a valid key.
    pub(in crate::http::api) fn refused(&self, peer: IpAddr) -> Allowance {
        // By customer: one IPv6 customer has 2^64 addresses in its /64.
        self.refused.count(Some(customer(peer)))
    }

    /// Counts a request for a page that needs no key.
    pub(in crate::http::api) fn open(&self, peer: IpAddr) -> Allowance {
        self.open.count(Some(customer(peer)))
    }
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    fn new(per_minute: u32) -> Bounded<K> {
        Bounded { counted: counted(per_minute), shrunk: Mutex::new(None) }
    }

    fn count(&self, key: Option<K>) -> Allowance {
        if self.counted.len() >= COUNTED_MAX {
            // Under the lock, so that one request at a time walks over the counts.
            let mut shrunk = self.shrunk.lock();
            if shrunk.is_none_or(|at| at.elapsed() >= SHRINK_EVERY) {
                // Removes counts that are full again, which lose nothing by it.
                self.counted.retain_recent();
                *shrunk = Some(Instant::now());
            }
        }
        // Without room the request counts under `None`, which all new keys share.
        let is_room = self.counted.len() < COUNTED_MAX;
        count(&self.counted, &key.filter(|_| is_room))
    }
}

fn counted<K: Hash + Eq + Clone>(per_minute: u32) -> KeyedLimiter<K> {
    // Never 0: `Settings::check` rejects it.
    let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
    // Monotonic: setting the clock of the system neither opens nor closes a limit.
    RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock)
}

fn count<K: Hash + Eq + Clone>(counted: &KeyedLimiter<K>, key: &K) -> Allowance {
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
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::log::Position;
    use crate::model::key::{ApiKey, Reach, Scopes, SecretHash};

    fn limits(settings: &Settings) -> Limits {
        assert_eq!(settings.check(), Ok(()));
        Limits::new(settings)
    }

    #[test]
    fn a_minutes_worth_and_then_one_by_one() {
        let limits = limits(&Settings { instance_requests_per_minute: 3, ..Settings::default() });
        let start = std::time::Instant::now();
        // All of a minute's requests are admitted at once.
        for remaining in [2, 1, 0] {
            let allowance = limits.request(&Caller::Environment, &Tenant::Operator);
            assert_eq!((allowance.limit, allowance.remaining, allowance.wait), (3, remaining, None));
            let full = Duration::from_secs(20) * (3 - remaining);
            assert_eq!(allowance.resets_in, full);
        }
        let allowance = limits.request(&Caller::Environment, &Tenant::Operator);
        let wait = allowance.wait.expect("too early");
        let third = Duration::from_secs(20);
        // Then one every 20 s. The time since the start is a part of this wait.
        assert!(wait <= third && wait + start.elapsed() >= third, "{wait:?}");
    }

    #[test]
    fn requests_without_a_key_are_counted_by_address_in_bounded_memory() {
        let limits = limits(&Settings { refused_per_minute: 1, ..Settings::default() });
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(limits.refused(address("192.0.2.1")).wait, None);
        assert!(limits.refused(address("192.0.2.1")).wait.is_some());
        assert_eq!(limits.refused(address("192.0.2.2")).wait, None);
        assert_eq!(limits.refused(address("2001:db8::1")).wait, None);
        assert!(limits.refused(address("2001:db8::2")).wait.is_some(), "of the same /64");
        // Three times as many addresses as counts.
        for n in 0..200_000_u32 {
            limits.refused(IpAddr::V4(n.into()));
        }
        assert!(limits.refused.counted.len() <= COUNTED_MAX + 1, "{}", limits.refused.counted.len());
    }

    #[test]
    fn n47_keys_that_are_made_and_revoked_without_end_take_bounded_memory() {
        let limits = limits(&Settings { requests_per_minute: 1, ..Settings::default() });
        let company = ForeignId::parse("id", "a").expect("an id");
        let tenant = Tenant::Workspace { company, number: WorkspaceNumber(1) };
        for id in 0..80_000 {
            limits.request(&key(id), &tenant);
        }
        assert!(limits.keys.counted.len() <= COUNTED_MAX + 1, "{}", limits.keys.counted.len());
    }

    /// Else an instance that ran long enough would count all new strangers as one.
    #[test]
    fn t116_addresses_that_may_ask_again_make_room() {
        // Each count is full again at once, so a removal finds nearly all of them.
        let limits = limits(&Settings { refused_per_minute: u32::MAX, ..Settings::default() });
        for n in 0..=u32::try_from(COUNTED_MAX).expect("it is small") {
            limits.refused(IpAddr::V4(n.into()));
        }
        assert!(limits.refused.counted.len() < COUNTED_MAX / 2, "{}", limits.refused.counted.len());
    }

    fn key(id: u128) -> Caller {
        let record = ApiKey {
            id: Id::from_bits(id),
            name: "n".into(),
            reach: Reach::Workspace(WorkspaceNumber(1)),
            scopes: Scopes::all(),
            create_only: false,
            expires_at: None,
            hash: SecretHash([0; 32]),
            hint: "wp_".into(),
            created_at: Timestamp::from_millis(0),
        };
        Caller::Key { record: Arc::new(record), revision: Position::START }
    }

    /// Requests in one go, each with another key, until one is refused.
    fn burst(limits: &Limits, tenant: &Tenant, keys: std::ops::Range<u128>) -> usize {
        keys.map(key).take_while(|caller| limits.request(caller, tenant).wait.is_none()).count()
    }

    #[test]
    fn n47_a_thousand_keys_get_no_more_than_five() {
        let limits = limits(&Settings { requests_per_minute: 3, ..Settings::default() });
        let company = |name| ForeignId::parse("id", name).expect("an id");
        let tenant =
            |name, number| Tenant::Workspace { company: company(name), number: WorkspaceNumber(number) };
        let key_of_one = (0..9).take_while(|_| limits.request(&key(1), &tenant("x", 9)).wait.is_none());
        assert_eq!(key_of_one.count(), 3, "one key has its own limit");
        // Each key is used once, so that no limit but the workspace's, then the company's, refuses it.
        assert_eq!(burst(&limits, &tenant("a", 1), 100..1_100), 15, "five keys' worth");
        assert_eq!(burst(&limits, &tenant("a", 2), 1_100..2_100), 15, "another workspace");
        // Workspaces 1 and 2 have used the company's 30.
        assert_eq!(burst(&limits, &tenant("a", 3), 2_100..3_100), 0, "ten keys' worth of one company");
        assert_eq!(burst(&limits, &Tenant::Company(company("a")), 3_100..3_200), 0, "its own keys as well");
        assert_eq!(burst(&limits, &tenant("b", 4), 3_200..4_200), 15, "another company");
        let refused = limits.request(&key(1_099), &tenant("a", 1));
        assert_eq!((refused.limit, refused.remaining), (15, 0), "the tightest limit is returned");
        assert!(limits.request(&Caller::Environment, &Tenant::Operator).wait.is_none());
    }

    #[test]
    fn limits_of_tenants_can_be_set() {
        let settings = Settings {
            requests_per_minute: 3,
            workspace_requests_per_minute: Some(4),
            company_requests_per_minute: Some(6),
            ..Settings::default()
        };
        let limits = limits(&settings);
        let company = ForeignId::parse("id", "a").expect("an id");
        let tenant = |number| Tenant::Workspace { company: company.clone(), number: WorkspaceNumber(number) };
        assert_eq!(burst(&limits, &tenant(1), 0..9), 4);
        // The company has 6, of which the first workspace took 4.
        assert_eq!(burst(&limits, &tenant(2), 10..19), 2);
        let zero = Settings { company_requests_per_minute: Some(0), ..settings };
        assert!(zero.check().is_err_and(|error| error.to_string().contains("company_requests_per_minute")));
    }

    #[test]
    fn zero_is_refused() {
        let settings = Settings { refused_per_minute: 0, ..Settings::default() };
        let error = settings.check().map_err(|error| error.to_string());
        assert_eq!(error, Err("`refused_per_minute` = 0: must be at least 1".to_owned()));
    }
}
