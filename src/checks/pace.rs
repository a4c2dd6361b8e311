//! [`Pace`]: at most one request a second to each host. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The time between two requests to one host.
pub(super) const HOST_INTERVAL: Duration = Duration::from_secs(1);

/// Hosts that are remembered: some 1 MB. A host is forgotten when it may have a request again, so that only servers that
/// ask for long delays fill the map. Past it: hosts that are not remembered wait.
const HOSTS_MAX: usize = 10_000;

/// Longest delay of a host, whatever it asks for.
const DELAY_MAX: Duration = Duration::from_hours(1);

/// When each host may have its next request.
#[derive(Debug, Default)]
pub(super) struct Pace {
    free_at: HashMap<Box<str>, Instant>,
}

impl Pace {
    /// Returns whether a host may have a request at `now`.
    pub(super) fn is_free(&mut self, host: &str, now: Instant) -> bool {
        match self.free_at.get(host) {
            Some(free_at) => *free_at <= now,
            None => self.has_room(now),
        }
    }

    /// Reserves the next request to a host, and returns when it may be sent. Returns `None` if this is later than
    /// `latest`.
    pub(super) fn reserve(&mut self, host: &str, now: Instant, latest: Instant) -> Option<Instant> {
        let known = self.free_at.get(host).copied();
        if known.is_none() && !self.has_room(now) {
            return None;
        }
        let at = known.unwrap_or(now).max(now);
        if at > latest {
            return None;
        }
        self.free_at.insert(host.into(), at + HOST_INTERVAL);
        Some(at)
    }

    /// Notes that a host asks for no request for this time.
    pub(super) fn put_off(&mut self, host: &str, now: Instant, delay: Duration) {
        let until = now + delay.min(DELAY_MAX);
        // Known hosts only: the request before the answer has noted it.
        if let Some(free_at) = self.free_at.get_mut(host) {
            *free_at = until.max(*free_at);
        }
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.free_at.len() >= HOSTS_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        self.free_at.len() < HOSTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_host_has_one_request_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let latest = start + 10 * SECOND;
        assert!(pace.is_free("a.test", start));
        assert_eq!(pace.reserve("a.test", start, latest), Some(start));
        assert!(!pace.is_free("a.test", start + SECOND / 2));
        assert!(pace.is_free("a.test", start + SECOND));
        // Requests in a row are a second apart, whenever they were reserved.
        assert_eq!(pace.reserve("a.test", start, latest), Some(start + SECOND));
        assert_eq!(pace.reserve("a.test", start, latest), Some(start + 2 * SECOND));
        assert_eq!(pace.reserve("a.test", start, start + SECOND), None, "too late");
        // What was not reserved takes no time.
        assert_eq!(pace.reserve("a.test", start, latest), Some(start + 3 * SECOND));
        assert_eq!(pace.reserve("b.test", start, latest), Some(start), "another host");
        assert_eq!(pace.reserve("a.test", start + 9 * SECOND, latest), Some(start + 9 * SECOND));
    }

    #[test]
    fn a_host_may_ask_for_a_delay() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let far = start + Duration::from_hours(1_000);
        pace.reserve("a.test", start, far);
        pace.put_off("a.test", start, 90 * SECOND);
        assert!(!pace.is_free("a.test", start + 89 * SECOND));
        assert_eq!(pace.reserve("a.test", start, far), Some(start + 90 * SECOND));
        // A shorter delay takes nothing back, and a longer one has a bound.
        pace.put_off("a.test", start, SECOND);
        assert!(!pace.is_free("a.test", start + 90 * SECOND));
        pace.put_off("a.test", start, Duration::from_hours(100));
        assert!(pace.is_free("a.test", start + DELAY_MAX));
    }

    #[test]
    fn few_hosts_are_remembered() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for host in 0..HOSTS_MAX {
            assert!(pace.reserve(&format!("{host}.test"), start, start).is_some());
        }
        assert!(!pace.is_free("new.test", start));
        assert_eq!(pace.reserve("new.test", start, start), None);
        assert_eq!(pace.reserve("7.test", start, start + SECOND), Some(start + SECOND), "known");
        // A second later all but this one are free, and forgotten.
        assert!(pace.is_free("new.test", start + SECOND));
        assert_eq!(pace.free_at.len(), 1);
    }
}
