//! Whose turn it is: a lane for each host, and the hosts in turn. Pure: time is an argument.
//!
//! - A host has at most [`PER_HOST`] tries under way and holds at most [`HOST_MAX`] deliveries, so
//!   that one that is slow or gone takes neither all places nor all room.
//! - After [`BREAKER_AFTER`] failures in a row that are the host's own (no connection, no answer, a
//!   5xx or 429) it is left alone for [`BREAKER_PAUSE`], then tried with one delivery, and so on
//!   until one gets through.
//! - Within a lane the oldest goes first. That is no promise of order to receivers: four go at
//!   once, and a retry comes after what was offered later. Events carry their time and id.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{QUEUE_MAX, Waiting};

/// Tries at once to one host and port: enough for 40 events a second at 100 ms each, and no
/// burden on the smallest receiver. Past it: the next waits.
pub(super) const PER_HOST: usize = 4;

/// Deliveries that one host may hold of the whole queue: a quarter, so that a host that takes
/// nothing leaves room for others. Past it: dropped and counted.
pub(super) const HOST_MAX: usize = QUEUE_MAX / 4;

/// Failures in a row after which a host is left alone.
pub(super) const BREAKER_AFTER: u32 = 10;

/// For how long. Shorter than most retries wait anyway; a host that is gone costs two tries a
/// minute.
pub(super) const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// What a try says about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It took the event.
    Well,
    /// It did not answer as a host in order does.
    Unwell,
    /// Nothing: the fault is this URL's, or ours.
    Unknown,
}

type HostName = Arc<str>;

/// All deliveries that wait.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    hosts: HashMap<HostName, Host, ahash::RandomState>,
    /// Hosts that have something to send, each at most once; some may not start anything now.
    turns: VecDeque<HostName>,
    later: BinaryHeap<Reverse<Later>>,
    /// Makes entries of `later` differ, and equal times keep their order.
    sequence: u64,
}

#[derive(Debug, Default)]
struct Host {
    ready: VecDeque<Waiting>,
    /// Ready, waiting for a retry, or under way.
    held: usize,
    under_way: usize,
    failures: u32,
    paused_until: Option<Instant>,
    has_turn: bool,
}

#[derive(Debug)]
struct Later {
    at: Instant,
    sequence: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Retry(Waiting),
    /// A host's pause is over.
    Wake(HostName),
}

impl PartialEq for Later {
    fn eq(&self, other: &Later) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Later) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Later) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl Host {
    fn may_start(&self, now: Instant) -> bool {
        let places = if self.failures >= BREAKER_AFTER { 1 } else { PER_HOST };
        !self.ready.is_empty()
            && self.under_way < places
            && self.paused_until.is_none_or(|until| until <= now)
    }
}

impl Lanes {
    /// Takes a delivery in, to be tried at `due`; gives it back when its host holds too many.
    pub(super) fn push(&mut self, waiting: Waiting, due: Instant, now: Instant) -> Result<(), Waiting> {
        let host = self.hosts.entry(Arc::clone(&waiting.delivery.host)).or_default();
        if host.held >= HOST_MAX {
            return Err(waiting);
        }
        host.held += 1;
        if due <= now {
            self.ready(waiting);
        } else {
            self.put_off(due, What::Retry(waiting));
        }
        Ok(())
    }

    /// The next delivery to try, which is under way from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<Waiting> {
        while self.later.peek().is_some_and(|Reverse(later)| later.at <= now) {
            match self.later.pop().map(|Reverse(later)| later.what) {
                Some(What::Retry(waiting)) => self.ready(waiting),
                Some(What::Wake(name)) => self.give_turn(&name),
                None => {}
            }
        }
        while let Some(name) = self.turns.pop_front() {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.has_turn = false;
            if !host.may_start(now) {
                // It gets a turn again when a try ends, or its pause does.
                continue;
            }
            let Some(waiting) = host.ready.pop_front() else { continue };
            host.under_way += 1;
            if !host.ready.is_empty() {
                self.give_turn(&name);
            }
            return Some(waiting);
        }
        None
    }

    /// A try ended. With `retry_at` the delivery waits on, without it is over.
    pub(super) fn ended(
        &mut self,
        waiting: Waiting,
        health: Health,
        retry_at: Option<Instant>,
        now: Instant,
    ) {
        let name = Arc::clone(&waiting.delivery.host);
        let Some(host) = self.hosts.get_mut(&name) else { return };
        host.under_way = host.under_way.saturating_sub(1);
        let mut paused_until = None;
        match health {
            Health::Well => (host.failures, host.paused_until) = (0, None),
            Health::Unwell => {
                host.failures = host.failures.saturating_add(1);
                if host.failures >= BREAKER_AFTER {
                    paused_until = Some(now + BREAKER_PAUSE);
                    host.paused_until = paused_until;
                }
            }
            Health::Unknown => {}
        }
        match retry_at {
            Some(at) => self.put_off(at, What::Retry(waiting)),
            None => host.held = host.held.saturating_sub(1),
        }
        match self.hosts.get(&name) {
            // Its failures are forgotten with it: nothing is left to protect it from.
            Some(host) if host.held == 0 => {
                self.hosts.remove(&name);
            }
            Some(_) => {
                if let Some(until) = paused_until {
                    self.put_off(until, What::Wake(Arc::clone(&name)));
                }
                self.give_turn(&name);
            }
            None => {}
        }
    }

    /// When something may start that cannot now, if only time is missing.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.later.peek().map(|Reverse(later)| later.at)
    }

    /// Everything that is not under way, with its due time; the lanes are empty then.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<(Waiting, Instant)> {
        let later =
            std::mem::take(&mut self.later).into_iter().filter_map(|Reverse(later)| match later.what {
                What::Retry(waiting) => Some((waiting, later.at)),
                What::Wake(_) => None,
            });
        let hosts = std::mem::take(&mut self.hosts);
        self.turns.clear();
        let ready = hosts.into_values().flat_map(|host| host.ready).map(|waiting| (waiting, now));
        ready.chain(later).collect()
    }

    fn ready(&mut self, waiting: Waiting) {
        let name = Arc::clone(&waiting.delivery.host);
        if let Some(host) = self.hosts.get_mut(&name) {
            host.ready.push_back(waiting);
        }
        self.give_turn(&name);
    }

    fn give_turn(&mut self, name: &HostName) {
        if let Some(host) = self.hosts.get_mut(name)
            && !host.has_turn
            && !host.ready.is_empty()
        {
            host.has_turn = true;
            self.turns.push_back(Arc::clone(name));
        }
    }

    fn put_off(&mut self, at: Instant, what: What) {
        self.sequence += 1;
        self.later.push(Reverse(Later { at, sequence: self.sequence, what }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(host: &str) -> Waiting {
        Waiting::for_test(host)
    }

    /// What starts now, by host.
    fn start(lanes: &mut Lanes, now: Instant) -> Vec<Waiting> {
        std::iter::from_fn(|| lanes.next(now)).collect()
    }

    fn names(started: &[Waiting]) -> String {
        started.iter().map(|waiting| &*waiting.delivery.host).collect()
    }

    fn fill(lanes: &mut Lanes, hosts: &str, now: Instant) {
        for host in hosts.chars() {
            lanes.push(waiting(&host.to_string()), now, now).expect("there is room");
        }
    }

    #[test]
    fn hosts_take_turns_and_four_places_each() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        fill(&mut lanes, "aaaaaaaabbc", now);
        let mut started = start(&mut lanes, now);
        assert_eq!(names(&started), "abcabaa");
        // A place that comes free goes to the host that waits for it.
        lanes.ended(started.remove(1), Health::Well, None, now);
        assert_eq!(names(&start(&mut lanes, now)), "");
        lanes.ended(started.remove(0), Health::Well, None, now);
        assert_eq!(names(&start(&mut lanes, now)), "a");
    }

    #[test]
    fn a_host_holds_a_quarter_at_most_and_the_others_still_get_in() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        for _ in 0..HOST_MAX {
            lanes.push(waiting("a"), now, now).expect("there is room");
        }
        assert!(lanes.push(waiting("a"), now, now).is_err());
        fill(&mut lanes, "b", now);
        // Those under way and those to be retried count; those that are over do not.
        let first = lanes.next(now).expect("one starts");
        assert!(lanes.push(waiting("a"), now, now).is_err());
        lanes.ended(first, Health::Unwell, Some(now + BREAKER_PAUSE), now);
        assert!(lanes.push(waiting("a"), now, now).is_err());
        let other = start(&mut lanes, now).into_iter().find(|waiting| &*waiting.delivery.host == "a");
        lanes.ended(other.expect("one of a's"), Health::Well, None, now);
        fill(&mut lanes, "a", now);
    }

    #[test]
    fn retries_wait_for_their_time() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut lanes = Lanes::default();
        fill(&mut lanes, "a", now);
        let first = lanes.next(now).expect("it starts");
        lanes.ended(first, Health::Unwell, Some(now + second), now);
        assert_eq!(lanes.wakes_at(), Some(now + second));
        assert!(lanes.next(now + second / 2).is_none());
        let again = lanes.next(now + second).expect("its time has come");
        lanes.ended(again, Health::Well, None, now + second);
        assert!(lanes.hosts.is_empty() && lanes.turns.is_empty() && lanes.wakes_at().is_none());
    }

    /// A host that always fails, 10,000 events for it, one hour.
    #[test]
    fn a_host_that_is_gone_is_tried_now_and_then() {
        let began = Instant::now();
        let mut now = began;
        let mut lanes = Lanes::default();
        let mut dropped = 0;
        for _ in 0..10_000 {
            dropped += usize::from(lanes.push(waiting("a"), now, now).is_err());
        }
        assert_eq!(dropped, 10_000 - HOST_MAX);
        let mut tries: u32 = 0;
        while now < began + Duration::from_hours(1) {
            let started = start(&mut lanes, now);
            assert!(started.len() <= PER_HOST);
            for waiting in started {
                tries += 1;
                lanes.ended(waiting, Health::Unwell, Some(now + Duration::from_mins(1)), now);
            }
            now += Duration::from_secs(1);
        }
        let pauses = 3_600 / u32::try_from(BREAKER_PAUSE.as_secs()).expect("small");
        assert!((pauses..=pauses + BREAKER_AFTER + 4).contains(&tries), "{tries} tries");
        // The first that gets through opens the lane.
        now += BREAKER_PAUSE;
        let mut probe = start(&mut lanes, now);
        assert_eq!(probe.len(), 1);
        lanes.ended(probe.remove(0), Health::Well, None, now);
        assert_eq!(start(&mut lanes, now).len(), PER_HOST);
    }

    #[test]
    fn a_fault_of_one_url_is_not_its_hosts() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        for _ in 0..BREAKER_AFTER * 2 {
            fill(&mut lanes, "a", now);
            let one = lanes.next(now).expect("never paused");
            lanes.ended(one, Health::Unknown, None, now);
        }
    }

    #[test]
    fn what_is_left_is_taken_with_its_times() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        fill(&mut lanes, "aabb", now);
        let first = lanes.next(now).expect("it starts");
        lanes.ended(first, Health::Unwell, Some(now + BREAKER_PAUSE), now);
        let under_way = lanes.next(now).expect("it starts");
        let left = lanes.take_all(now);
        let mut due: Vec<_> = left.iter().map(|(_, due)| due.duration_since(now)).collect();
        due.sort();
        assert_eq!(due, [Duration::ZERO, Duration::ZERO, BREAKER_PAUSE]);
        lanes.ended(under_way, Health::Well, None, now);
        assert!(lanes.next(now + BREAKER_PAUSE).is_none());
    }
}
