//! [`Scheduler`]: chooses the delivery that is attempted next, and the deliveries that a full queue drops.
//! Pure: the time is an argument.
//!
//! Deliveries form a tree: a company has workspaces, a workspace has hosts (a host name or address,
//! without a port), a host has authorities (host and port), an authority has deliveries. At each level,
//! the children that may start an attempt take turns in a [`RoundRobin`], and each level has bounds:
//!
//! | level | slots in the queue | attempts in flight |
//! |---|---|---|
//! | all | [`QUEUE_MAX`] | [`IN_FLIGHT_MAX`]; the last eighth only for companies with few attempts |
//! | company | half | half |
//! | workspace | three quarters of that | three quarters of that |
//! | host of a workspace | [`HOST_MAX`] | [`PER_HOST`] |
//! | authority | | [`PER_AUTHORITY`] |
//!
//! 1. A new delivery is never rejected. Past a bound,
//!    the oldest waiting delivery of the host, workspace or company over its bound is dropped. When the
//!    queue is full, the largest workspace of the largest company loses its oldest. So the flood of one
//!    tenant costs that tenant's own old events.
//! 2. After [`BREAKER_AFTER`] failures in a row that the receiver itself causes (no connection, no
//!    response, a 5xx or 429), an authority is paused for [`BREAKER_PAUSE`]. After the pause a single
//!    delivery is attempted; each further failure pauses again, until a delivery succeeds.
//! 3. Within an authority the oldest delivery goes first. Receivers get no promise of order: four attempts
//!    run at once, and a retry comes after newer events. Events contain their time and id.

mod starts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{QUEUE_MAX, QueuedDelivery};
use super::ranking::Ranking;
use super::round_robin::RoundRobin;
use crate::fair::Shares;
use crate::model::id::ForeignId;
use crate::model::workspace::WorkspaceNumber;

/// Attempts at once to all receivers: within the file descriptors that the server leaves, and at most
/// some 10 MB of buffers. Past it: the next attempt waits.
pub(super) const IN_FLIGHT_MAX: u32 = 64;

/// The shares of [`IN_FLIGHT_MAX`].
pub(super) const FLIGHT_SHARES: Shares = Shares::of(IN_FLIGHT_MAX);

/// The shares of [`QUEUE_MAX`].
#[allow(clippy::cast_possible_truncation)] // 10,000 fits.
pub(super) const QUEUE_SHARES: Shares = Shares::of(QUEUE_MAX as u32);

/// Attempts of one company that may start when only an eighth of [`IN_FLIGHT_MAX`] is left. Without it,
/// two companies whose receivers hang would block a third one.
const FEW: u32 = 2;

/// Attempts at once to one authority, by one workspace: enough for 40 events a second at 100 ms each, and
/// a small load for the smallest receiver. Past it: the next attempt waits.
pub(super) const PER_AUTHORITY: u32 = 4;

/// Attempts at once to one host by one workspace, over all ports: a port that hangs leaves attempts for
/// another port, and a thousand ports get no more than two. Past it: the next attempt waits.
pub(super) const PER_HOST: u32 = 8;

/// Slots of the queue for one host of a workspace: a quarter, so that a receiver that accepts nothing
/// leaves slots for the workspace's other hosts. Past it: the host's oldest delivery is dropped.
pub(super) const HOST_MAX: u32 = QUEUE_SHARES.total / 4;

/// Failures in a row after which an authority is paused.
pub(super) const BREAKER_AFTER: u32 = 10;

/// The pause of an authority. It is shorter than most delays between retries. A receiver that is down
/// costs two attempts a minute.
pub(super) const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// What an attempt reveals about the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The receiver accepted the event.
    Healthy,
    /// The receiver is down or overloaded.
    Unhealthy,
    /// Nothing: the fault is of this URL, or of this server.
    Unknown,
}

/// Orders deliveries by the time of their events, the oldest first. The second number makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Age(i64, u64);

type HostKey = (WorkspaceNumber, Arc<str>);
type AuthorityKey = (WorkspaceNumber, Arc<str>);

/// All deliveries that are not finished.
///
/// 1. `slots` of each level count deliveries that wait or are in flight, `in_flight` only the latter.
/// 2. A node of the tree exists as long as its `slots` (an authority: its `deliveries`) are above zero.
/// 3. `waiting` contains exactly the deliveries that are not in flight. The rankings and the sets
///    `oldest` contain the same deliveries.
/// 4. A child that may start an attempt is in its parent's `ready_*` queue. A child in the queue may
///    be unable to start: [`Scheduler::next`] checks each that it pops.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    companies: HashMap<ForeignId, CompanyQueue, ahash::RandomState>,
    workspaces: HashMap<WorkspaceNumber, WorkspaceQueue, ahash::RandomState>,
    hosts: HashMap<HostKey, HostQueue, ahash::RandomState>,
    authorities: HashMap<AuthorityKey, AuthorityQueue, ahash::RandomState>,
    waiting: HashMap<Age, WaitingEntry, ahash::RandomState>,
    /// Companies by the slots of their waiting deliveries.
    largest: Ranking<ForeignId>,
    ready_companies: RoundRobin<ForeignId>,
    /// Companies that could not start an attempt since they reached their bound. They become ready when
    /// any attempt ends, since the bound depends on the attempts of all.
    blocked_companies: RoundRobin<ForeignId>,
    timers: BTreeMap<(Instant, u64), Timer>,
    slots: u32,
    in_flight: u32,
    /// Makes ages and keys of `timers` unique.
    sequence: u64,
}

#[derive(Debug, Default)]
struct CompanyQueue {
    slots: u32,
    in_flight: u32,
    /// Workspaces by the slots of their waiting deliveries.
    largest: Ranking<WorkspaceNumber>,
    ready_workspaces: RoundRobin<WorkspaceNumber>,
}

#[derive(Debug, Default)]
struct WorkspaceQueue {
    slots: u32,
    in_flight: u32,
    oldest: BTreeSet<Age>,
    ready_hosts: RoundRobin<Arc<str>>,
}

#[derive(Debug, Default)]
struct HostQueue {
    slots: u32,
    in_flight: u32,
    oldest: BTreeSet<Age>,
    ready_authorities: RoundRobin<Arc<str>>,
}

#[derive(Debug, Default)]
struct AuthorityQueue {
    /// Deliveries that may be attempted now. A delivery that waits for its retry is not among them.
    ready: BTreeSet<Age>,
    /// Deliveries that are ready, wait for a retry, or are in flight.
    deliveries: usize,
    in_flight: u32,
    /// Failures in a row.
    // In memory only: a restart probes every receiver again.
    failures: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct WaitingEntry {
    queued: QueuedDelivery,
    /// The key in `timers` of a delivery that waits for its retry.
    timer: Option<(Instant, u64)>,
}

#[derive(Debug)]
enum Timer {
    Retry(Age),
    /// The pause of an authority ends.
    Resume(AuthorityKey),
}

impl AuthorityQueue {
    fn may_start(&self, now: Instant) -> bool {
        // One probe is enough to find out whether the receiver is healthy again.
        let most = if self.failures >= BREAKER_AFTER { 1 } else { PER_AUTHORITY };
        !self.ready.is_empty() && self.in_flight < most && self.paused_until.is_none_or(|until| until <= now)
    }
}

impl Scheduler {
    /// Adds a delivery that is to be attempted at `due`. Returns the deliveries that are dropped to make
    /// room.
    pub(super) fn push(&mut self, queued: QueuedDelivery, due: Instant, now: Instant) -> Vec<QueuedDelivery> {
        let (slots, number) = (queued.delivery.slots, queued.delivery.workspace);
        let company = queued.delivery.company.clone();
        let host: HostKey = (number, Arc::clone(&queued.delivery.host));
        let mut dropped = Vec::new();
        // From the lowest level up, so that each drop makes room at all levels above. A loop ends early
        // when all that is left in the level is in flight: the bound is exceeded for a moment then.
        while self.hosts.get(&host).is_some_and(|host| host.slots + slots > HOST_MAX) {
            let oldest = self.hosts.get(&host).and_then(|host| host.oldest.first().copied());
            if !self.drop_waiting(oldest, &mut dropped) {
                break;
            }
        }
        let most = QUEUE_SHARES.workspace;
        while self.workspaces.get(&number).is_some_and(|workspace| workspace.slots + slots > most) {
            let oldest = self.oldest_of(number);
            if !self.drop_waiting(oldest, &mut dropped) {
                break;
            }
        }
        let most = QUEUE_SHARES.company;
        while self.companies.get(&company).is_some_and(|company| company.slots + slots > most) {
            let oldest = self.oldest_in(&company);
            if !self.drop_waiting(oldest, &mut dropped) {
                break;
            }
        }
        while self.slots + slots > QUEUE_SHARES.total {
            let oldest = self.largest.largest().cloned().and_then(|company| self.oldest_in(&company));
            if !self.drop_waiting(oldest, &mut dropped) {
                break;
            }
        }
        self.admit(queued, due, now, &company, host);
        dropped
    }

    fn admit(
        &mut self,
        queued: QueuedDelivery,
        due: Instant,
        now: Instant,
        company: &ForeignId,
        host: HostKey,
    ) {
        self.sequence += 1;
        let delivery = &queued.delivery;
        let (slots, number) = (delivery.slots, delivery.workspace);
        // By the time of the click and not of the push: deliveries of the last stop are older than new ones.
        let age = Age(delivery.offered_at.as_millis(), self.sequence);
        let authority: AuthorityKey = (number, Arc::clone(&delivery.authority));
        self.slots += slots;
        self.companies.entry(company.clone()).or_default().slots += slots;
        self.workspaces.entry(number).or_default().slots += slots;
        self.hosts.entry(host).or_default().slots += slots;
        self.authorities.entry(authority).or_default().deliveries += 1;
        self.wait(age, queued, due, now);
    }

    /// Lets a delivery wait until `due`. Its slots are already counted.
    fn wait(&mut self, age: Age, queued: QueuedDelivery, due: Instant, now: Instant) {
        let delivery = Arc::clone(&queued.delivery);
        self.rank(age, &queued, true);
        // A timer only for a later time: a new delivery must be able to start at once.
        let timer = (due > now).then(|| {
            self.sequence += 1;
            (due, self.sequence)
        });
        self.waiting.insert(age, WaitingEntry { queued, timer });
        match timer {
            Some(timer) => drop(self.timers.insert(timer, Timer::Retry(age))),
            None => self.make_ready(age, &(delivery.workspace, Arc::clone(&delivery.authority)), now),
        }
    }

    /// Adds a delivery to the orders in which deliveries are dropped if it `waits`, and removes it from
    /// them otherwise.
    fn rank(&mut self, age: Age, queued: &QueuedDelivery, waits: bool) {
        let delivery = &queued.delivery;
        let number = delivery.workspace;
        let host = self.hosts.get_mut(&(number, Arc::clone(&delivery.host))).map(|host| &mut host.oldest);
        let workspace = self.workspaces.get_mut(&number).map(|workspace| &mut workspace.oldest);
        for oldest in [host, workspace].into_iter().flatten() {
            if waits {
                oldest.insert(age);
            } else {
                oldest.remove(&age);
            }
        }
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            // By waiting slots: deliveries in flight cannot be dropped.
            company.largest.change(&number, delivery.slots, waits);
        }
        self.largest.change(&delivery.company, delivery.slots, waits);
    }

    /// Returns the oldest waiting delivery of a workspace.
    fn oldest_of(&self, number: WorkspaceNumber) -> Option<Age> {
        self.workspaces.get(&number)?.oldest.first().copied()
    }

    /// Returns the oldest waiting delivery of a company's largest workspace.
    fn oldest_in(&self, company: &ForeignId) -> Option<Age> {
        self.oldest_of(*self.companies.get(company)?.largest.largest()?)
    }

    /// Drops a waiting delivery. Returns whether there was one.
    fn drop_waiting(&mut self, age: Option<Age>, dropped: &mut Vec<QueuedDelivery>) -> bool {
        let Some((age, entry)) = age.and_then(|age| Some((age, self.waiting.remove(&age)?))) else {
            return false;
        };
        self.rank(age, &entry.queued, false);
        if let Some(timer) = entry.timer {
            // Otherwise the timer would wake the worker for a delivery that does not exist.
            self.timers.remove(&timer);
        }
        let delivery = &entry.queued.delivery;
        let key = (delivery.workspace, Arc::clone(&delivery.authority));
        if let Some(authority) = self.authorities.get_mut(&key) {
            authority.ready.remove(&age);
        }
        self.release(&entry.queued);
        dropped.push(entry.queued);
        true
    }

    /// Releases the slots of a delivery that is finished, and removes the nodes without deliveries. With
    /// an authority its failures are removed, too: no attempt is left that a pause would prevent.
    fn release(&mut self, queued: &QueuedDelivery) {
        let delivery = &queued.delivery;
        let (slots, number) = (delivery.slots, delivery.workspace);
        // Saturating, since `take_all` may have reset the counts while the attempt ran.
        self.slots = self.slots.saturating_sub(slots);
        let authority_key = (number, Arc::clone(&delivery.authority));
        let host_key = (number, Arc::clone(&delivery.host));
        if let Some(authority) = self.authorities.get_mut(&authority_key) {
            authority.deliveries = authority.deliveries.saturating_sub(1);
            if authority.deliveries == 0 {
                self.authorities.remove(&authority_key);
                if let Some(host) = self.hosts.get_mut(&host_key) {
                    host.ready_authorities.remove(&authority_key.1);
                }
            }
        }
        if let Some(host) = self.hosts.get_mut(&host_key) {
            host.slots = host.slots.saturating_sub(slots);
            if host.slots == 0 {
                self.hosts.remove(&host_key);
                if let Some(workspace) = self.workspaces.get_mut(&number) {
                    workspace.ready_hosts.remove(&host_key.1);
                }
            }
        }
        if let Some(workspace) = self.workspaces.get_mut(&number) {
            workspace.slots = workspace.slots.saturating_sub(slots);
            if workspace.slots == 0 {
                self.workspaces.remove(&number);
                if let Some(company) = self.companies.get_mut(&delivery.company) {
                    company.ready_workspaces.remove(&number);
                }
            }
        }
        if let Some(company) = self.companies.get_mut(&delivery.company) {
            company.slots = company.slots.saturating_sub(slots);
            if company.slots == 0 {
                self.companies.remove(&delivery.company);
                self.ready_companies.remove(&delivery.company);
            }
        }
    }

    /// Returns the instant of the next timer. Until then, only a new delivery or the end of an attempt
    /// can start another attempt.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the number of waiting deliveries.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Removes and returns all waiting deliveries with their due times, the oldest first.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<(QueuedDelivery, Instant)> {
        // All levels and timers are reset together. Attempts that still run end without effect on the new
        // counts.
        let mut all: Vec<(Age, WaitingEntry)> = std::mem::take(self).waiting.into_iter().collect();
        // The oldest first, so that the next start queues them in the same order.
        all.sort_by_key(|(age, _)| *age);
        all.into_iter()
            .map(|(_, entry)| {
                let due = entry.timer.map_or(now, |(at, _)| at);
                (entry.queued, due)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
