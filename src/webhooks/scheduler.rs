//! Which delivery is tried next, and which is dropped when the queue is full. Pure: time is an
//! argument.
//!
//! Deliveries stand in a tree: a company has workspaces, a workspace has hosts (a host name or
//! address, whatever the port), a host has lanes (host and port), a lane has deliveries. At each
//! level those that may start a try take turns, and at each level there are bounds:
//!
//! | level | places in the queue | tries under way |
//! |---|---|---|
//! | all | [`QUEUE_MAX`] | [`IN_FLIGHT_MAX`]; an eighth of them only for companies that have few |
//! | company | half | half |
//! | workspace | three quarters of that | three quarters of that |
//! | host of a workspace | [`HOST_MAX`] | [`PER_HOST`] |
//! | lane | | [`PER_LANE`] |
//!
//! - Nothing that arrives is rejected: past a bound the oldest delivery that waits is dropped, of the
//!   host, the workspace or the company that is over its bound, and of the largest workspace of the
//!   largest company when the queue is full. So one tenant's flood costs its own old events.
//! - After [`BREAKER_AFTER`] failures in a row that are the receiver's own (no connection, no answer,
//!   a 5xx or 429) a lane is left alone for [`BREAKER_PAUSE`], then tried with one delivery, and so
//!   on until one gets through.
//! - Within a lane the oldest goes first. That is no promise of order to receivers: four go at
//!   once, and a retry comes after what was offered later. Events carry their time and id.

mod starts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::{QUEUE_MAX, Waiting};
use super::turns::{Ranking, Turns};
use crate::fair::Shares;
use crate::model::id::ForeignId;
use crate::model::workspace::WorkspaceNumber;

/// Tries at once to all receivers: within the file descriptors that the server leaves, and at most
/// some 10 MB of buffers. Past it: the next waits.
pub(super) const IN_FLIGHT_MAX: u32 = 64;

/// Tries that may be under way, by holder.
pub(super) const FLIGHT_SHARES: Shares = Shares::of(IN_FLIGHT_MAX);

/// Places in the queue, by holder.
#[allow(clippy::cast_possible_truncation)] // 10,000 fits.
pub(super) const QUEUE_SHARES: Shares = Shares::of(QUEUE_MAX as u32);

/// Tries of a company that may start when all but an eighth of [`IN_FLIGHT_MAX`] are under way: so
/// that two companies whose receivers hang do not have a third one wait for them.
const FEW: u32 = 2;

/// Tries at once to one host and port, by one workspace: enough for 40 events a second at 100 ms
/// each, and no burden on the smallest receiver. Past it: the next waits.
pub(super) const PER_LANE: u32 = 4;

/// Tries at once to one host by one workspace, all its ports together: a port that answers is not
/// held up by one that does not, and a thousand ports are no more than two. Past it: the next waits.
pub(super) const PER_HOST: u32 = 8;

/// Places that one host of a workspace takes of the queue: a quarter, so that a receiver that takes
/// nothing leaves room for the workspace's others. Past it: the host's oldest is dropped.
pub(super) const HOST_MAX: u32 = QUEUE_SHARES.total / 4;

/// Failures in a row after which a lane is left alone.
pub(super) const BREAKER_AFTER: u32 = 10;

/// For how long. Shorter than most retries wait anyway; a receiver that is gone costs two tries a
/// minute.
pub(super) const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// What a try says about its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It took the event.
    Well,
    /// It did not answer as a receiver in order does.
    Unwell,
    /// Nothing: the fault is this URL's, or ours.
    Unknown,
}

/// Orders deliveries by their events' age, the oldest first; unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Age(i64, u64);

type HostKey = (WorkspaceNumber, Arc<str>);
type LaneKey = (WorkspaceNumber, Arc<str>);

/// All deliveries that are not over.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    companies: HashMap<ForeignId, Company, ahash::RandomState>,
    workspaces: HashMap<WorkspaceNumber, Workspace, ahash::RandomState>,
    hosts: HashMap<HostKey, Host, ahash::RandomState>,
    lanes: HashMap<LaneKey, Lane, ahash::RandomState>,
    waiting: HashMap<Age, Entry, ahash::RandomState>,
    /// Companies by the places that their waiting deliveries take.
    largest: Ranking<ForeignId>,
    /// Companies that may start a try.
    turns: Turns<ForeignId>,
    /// Companies that had as many tries under way as they may: in line again when any try ends.
    parked: Turns<ForeignId>,
    later: BTreeMap<(Instant, u64), What>,
    places: u32,
    under_way: u32,
    /// Makes ages and entries of `later` unique.
    sequence: u64,
}

#[derive(Debug, Default)]
struct Company {
    /// Of deliveries that wait or are under way.
    places: u32,
    under_way: u32,
    /// Workspaces by the places that their waiting deliveries take.
    largest: Ranking<WorkspaceNumber>,
    turns: Turns<WorkspaceNumber>,
}

#[derive(Debug, Default)]
struct Workspace {
    places: u32,
    under_way: u32,
    /// Those that wait.
    oldest: BTreeSet<Age>,
    turns: Turns<Arc<str>>,
}

#[derive(Debug, Default)]
struct Host {
    places: u32,
    under_way: u32,
    oldest: BTreeSet<Age>,
    turns: Turns<Arc<str>>,
}

#[derive(Debug, Default)]
struct Lane {
    ready: BTreeSet<Age>,
    /// Ready, waiting for a retry, or under way.
    held: usize,
    under_way: u32,
    failures: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    /// Its key in `later` while it waits for a retry.
    due: Option<(Instant, u64)>,
}

#[derive(Debug)]
enum What {
    Retry(Age),
    /// A lane's pause is over.
    Wake(LaneKey),
}

impl Lane {
    fn may_start(&self, now: Instant) -> bool {
        let most = if self.failures >= BREAKER_AFTER { 1 } else { PER_LANE };
        !self.ready.is_empty() && self.under_way < most && self.paused_until.is_none_or(|until| until <= now)
    }
}

impl Scheduler {
    /// Adds a delivery to be tried at `due`. Returns what is dropped to make room for it; of a
    /// delivery that takes more places than its workspace may have, itself.
    pub(super) fn push(&mut self, waiting: Waiting, due: Instant, now: Instant) -> Vec<Waiting> {
        let (places, number) = (waiting.delivery.places, waiting.delivery.workspace);
        let company = waiting.delivery.company.clone();
        let host: HostKey = (number, Arc::clone(&waiting.delivery.host));
        let mut dropped = Vec::new();
        while self.hosts.get(&host).is_some_and(|host| host.places + places > HOST_MAX) {
            let oldest = self.hosts.get(&host).and_then(|host| host.oldest.first().copied());
            if !self.drop_one(oldest, &mut dropped) {
                break;
            }
        }
        let most = QUEUE_SHARES.workspace;
        while self.workspaces.get(&number).is_some_and(|held| held.places + places > most) {
            let oldest = self.oldest_of(number);
            if !self.drop_one(oldest, &mut dropped) {
                break;
            }
        }
        let most = QUEUE_SHARES.company;
        while self.companies.get(&company).is_some_and(|held| held.places + places > most) {
            let oldest = self.oldest_in(&company);
            if !self.drop_one(oldest, &mut dropped) {
                break;
            }
        }
        while self.places + places > QUEUE_SHARES.total {
            let oldest = self.largest.first().cloned().and_then(|company| self.oldest_in(&company));
            if !self.drop_one(oldest, &mut dropped) {
                break;
            }
        }
        self.admit(waiting, due, now, &company, host);
        dropped
    }

    fn admit(&mut self, waiting: Waiting, due: Instant, now: Instant, company: &ForeignId, host: HostKey) {
        self.sequence += 1;
        let delivery = &waiting.delivery;
        let (places, number) = (delivery.places, delivery.workspace);
        let age = Age(delivery.offered_at.as_millis(), self.sequence);
        let lane: LaneKey = (number, Arc::clone(&delivery.lane));
        self.places += places;
        self.companies.entry(company.clone()).or_default().places += places;
        self.workspaces.entry(number).or_default().places += places;
        self.hosts.entry(host).or_default().places += places;
        self.lanes.entry(lane).or_default().held += 1;
        self.wait(age, waiting, due, now);
    }

    /// Has a delivery, whose places are counted, wait until `due`.
    fn wait(&mut self, age: Age, waiting: Waiting, due: Instant, now: Instant) {
        let delivery = Arc::clone(&waiting.delivery);
        self.rank(age, &waiting, true);
        let at = (due > now).then(|| {
            self.sequence += 1;
            (due, self.sequence)
        });
        self.waiting.insert(age, Entry { waiting, due: at });
        match at {
            Some(at) => drop(self.later.insert(at, What::Retry(age))),
            None => self.ready(age, &(delivery.workspace, Arc::clone(&delivery.lane)), now),
        }
    }

    /// Adds a delivery that waits to the orders by which deliveries are dropped, or takes it out.
    fn rank(&mut self, age: Age, waiting: &Waiting, waits: bool) {
        let delivery = &waiting.delivery;
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
            company.largest.change(&number, delivery.places, waits);
        }
        self.largest.change(&delivery.company, delivery.places, waits);
    }

    fn oldest_of(&self, number: WorkspaceNumber) -> Option<Age> {
        self.workspaces.get(&number)?.oldest.first().copied()
    }

    /// The oldest of a company's largest workspace.
    fn oldest_in(&self, company: &ForeignId) -> Option<Age> {
        self.oldest_of(*self.companies.get(company)?.largest.first()?)
    }

    /// Drops a delivery that waits; false when there is none.
    fn drop_one(&mut self, age: Option<Age>, dropped: &mut Vec<Waiting>) -> bool {
        let Some((age, entry)) = age.and_then(|age| Some((age, self.waiting.remove(&age)?))) else {
            return false;
        };
        self.rank(age, &entry.waiting, false);
        if let Some(at) = entry.due {
            self.later.remove(&at);
        }
        let delivery = &entry.waiting.delivery;
        if let Some(lane) = self.lanes.get_mut(&(delivery.workspace, Arc::clone(&delivery.lane))) {
            lane.ready.remove(&age);
        }
        self.leave(&entry.waiting);
        dropped.push(entry.waiting);
        true
    }

    /// Takes a delivery that is over out of all counts. What holds nothing any more is forgotten, and
    /// a lane's failures with it: nothing is left to protect it from.
    fn leave(&mut self, waiting: &Waiting) {
        let delivery = &waiting.delivery;
        let (places, number) = (delivery.places, delivery.workspace);
        self.places = self.places.saturating_sub(places);
        let lane = (number, Arc::clone(&delivery.lane));
        let host = (number, Arc::clone(&delivery.host));
        if let Some(held) = self.lanes.get_mut(&lane) {
            held.held = held.held.saturating_sub(1);
            if held.held == 0 {
                self.lanes.remove(&lane);
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.turns.remove(&lane.1);
                }
            }
        }
        if let Some(held) = self.hosts.get_mut(&host) {
            held.places = held.places.saturating_sub(places);
            if held.places == 0 {
                self.hosts.remove(&host);
                if let Some(workspace) = self.workspaces.get_mut(&number) {
                    workspace.turns.remove(&host.1);
                }
            }
        }
        if let Some(held) = self.workspaces.get_mut(&number) {
            held.places = held.places.saturating_sub(places);
            if held.places == 0 {
                self.workspaces.remove(&number);
                if let Some(company) = self.companies.get_mut(&delivery.company) {
                    company.turns.remove(&number);
                }
            }
        }
        if let Some(held) = self.companies.get_mut(&delivery.company) {
            held.places = held.places.saturating_sub(places);
            if held.places == 0 {
                self.companies.remove(&delivery.company);
                self.turns.remove(&delivery.company);
            }
        }
    }

    /// When something may start that cannot now, if only time is missing.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many deliveries wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that is not under way, with its due time, the oldest first; nothing is left.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<(Waiting, Instant)> {
        let mut all: Vec<(Age, Entry)> = std::mem::take(self).waiting.into_iter().collect();
        all.sort_by_key(|(age, _)| *age);
        let due = |entry: &Entry| entry.due.map_or(now, |(at, _)| at);
        all.into_iter()
            .map(|(_, entry)| {
                let due = due(&entry);
                (entry.waiting, due)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
