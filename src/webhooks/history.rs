//! The last attempts for each link, for `GET /api/v1/links/{id}/deliveries`. In memory: a restart clears the
//! history. The queued events themselves survive a restart.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::queue::Delivery;
use crate::clock::Timestamp;
use crate::fair::Shares;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// Attempts in the history of one link: as many as fit on a screen. Past it: the oldest is removed.
pub const RESULTS_PER_LINK: usize = 20;

/// Links with a history: 10,000 attempts, some 20 MB if every URL is as long as allowed. One company may
/// have half of the links, and a workspace three quarters of that. Past its share: the tenant's link with
/// the least recent attempt is evicted. Past the total: that of the company with the most links.
/// The bound counts links, not attempts, so that one busy link does not evict all others.
const LINKS_MAX: u32 = 500;

/// The shares of [`LINKS_MAX`].
pub(super) const SHARES: Shares = Shares::of(LINKS_MAX);

/// One attempt and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the event, `evt_...`.
    pub event: Arc<str>,
    /// The webhook URL.
    pub url: Arc<str>,
    /// The number of this attempt: the first is 1.
    pub attempt: u8,
    /// The end of the attempt.
    pub at: Timestamp,
    /// The status of the receiver's response, if there was one.
    pub status: Option<u16>,
    /// The reason of a failure.
    pub error: Option<Box<str>>,
    /// The duration of the attempt.
    pub took: Duration,
    /// Whether the receiver accepted the event.
    pub delivered: bool,
    /// The time of the next attempt, if there will be one.
    pub next_attempt_at: Option<Timestamp>,
}

/// The last attempts for each link.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<LinkHistories>);

#[derive(Debug, Default)]
struct LinkHistories {
    links: HashMap<Id, LinkHistory, ahash::RandomState>,
    /// The number of attempts so far.
    attempts: u64,
}

#[derive(Debug)]
struct LinkHistory {
    company: ForeignId,
    workspace: WorkspaceNumber,
    /// The number of the last attempt, by which the least recent link is found.
    last: u64,
    attempts: VecDeque<Attempt>,
}

impl History {
    /// Adds an attempt at `delivery`.
    pub(super) fn add(&self, delivery: &Delivery, attempt: Attempt) {
        let mut histories = self.0.lock();
        // A number and not the time: the clock may step back.
        histories.attempts += 1;
        let number = histories.attempts;
        // Only a new link can exceed a bound.
        if !histories.links.contains_key(&delivery.link) {
            histories.make_room(&delivery.company, delivery.workspace);
        }
        let link = histories.links.entry(delivery.link).or_insert_with(|| LinkHistory {
            company: delivery.company.clone(),
            workspace: delivery.workspace,
            last: number,
            attempts: VecDeque::new(),
        });
        link.last = number;
        link.attempts.push_back(attempt);
        if link.attempts.len() > RESULTS_PER_LINK {
            link.attempts.pop_front();
        }
    }

    /// Returns the attempts for a link, the newest first.
    pub(super) fn of(&self, link: Id) -> Vec<Attempt> {
        let histories = self.0.lock();
        histories.links.get(&link).map_or_else(Vec::new, |link| link.attempts.iter().rev().cloned().collect())
    }
}

impl LinkHistories {
    /// Evicts a link if one more link would exceed a bound. Counts all links: [`LINKS_MAX`] are few.
    fn make_room(&mut self, company: &ForeignId, workspace: WorkspaceNumber) {
        let mut of_company: HashMap<&ForeignId, u32> = HashMap::new();
        let mut of_workspace = 0;
        for link in self.links.values() {
            *of_company.entry(&link.company).or_default() += 1;
            of_workspace += u32::from(link.workspace == workspace);
        }
        let own = of_company.get(company).copied().unwrap_or(0);
        // From the smallest share to the total: a tenant over its own share pays itself.
        let evicted = if of_workspace >= SHARES.workspace {
            self.least_recent(|link| link.workspace == workspace)
        } else if own >= SHARES.company {
            self.least_recent(|link| link.company == *company)
        } else if self.links.len() >= SHARES.total as usize {
            // The company with the most links pays, so that small tenants keep theirs.
            let largest = of_company.into_iter().max_by_key(|(_, links)| *links).map(|(company, _)| company);
            largest.and_then(|largest| self.least_recent(|link| link.company == *largest))
        } else {
            None
        };
        if let Some(evicted) = evicted {
            self.links.remove(&evicted);
        }
    }

    /// Returns the link with the least recent attempt among the links that match.
    fn least_recent(&self, matches: impl Fn(&LinkHistory) -> bool) -> Option<Id> {
        let links = self.links.iter().filter(|(_, link)| matches(link));
        links.min_by_key(|(_, link)| link.last).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::queue::QueuedDelivery;

    fn attempt(attempt: u8) -> Attempt {
        Attempt {
            event: "evt_1".into(),
            url: "https://e.test/".into(),
            attempt,
            at: Timestamp::from_millis(0),
            status: Some(500),
            error: None,
            took: Duration::ZERO,
            delivered: false,
            next_attempt_at: None,
        }
    }

    /// Returns a delivery for a link.
    fn delivery(company: &str, workspace: u32, link: u32) -> Delivery {
        let waiting = QueuedDelivery::for_test(company, workspace, "https://e.test/", 1);
        // `for_test` gives each delivery the same link.
        let mut delivery = Arc::try_unwrap(waiting.delivery).expect("the only reference");
        delivery.link = Id::from_bits(link.into());
        delivery
    }

    fn kept(results: &History, links: std::ops::Range<u32>) -> usize {
        links.filter(|link| !results.of(Id::from_bits((*link).into())).is_empty()).count()
    }

    #[test]
    fn a_link_keeps_its_last_attempts() {
        let results = History::default();
        for n in 0..100 {
            results.add(&delivery("a", 1, 0), attempt(n));
        }
        let of: Vec<u8> = results.of(Id::from_bits(0)).iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(of, (80..100).rev().collect::<Vec<u8>>());
    }

    /// The links of one tenant, in any number, do not evict the links of others.
    #[test]
    fn n15_each_tenant_keeps_its_share_of_the_history() {
        let results = History::default();
        for link in 0..100 {
            results.add(&delivery("small", 1, link), attempt(1));
        }
        for link in 1_000..3_000 {
            results.add(&delivery("large", 2, link), attempt(1));
            // One link stays recent, so that it must not be the evicted one.
            results.add(&delivery("large", 2, 1_000), attempt(2));
        }
        assert_eq!(kept(&results, 1_000..3_000), SHARES.workspace as usize);
        assert_eq!(results.of(Id::from_bits(1_000)).len(), RESULTS_PER_LINK, "its last attempt is recent");
        assert_eq!(results.of(Id::from_bits(1_001)), [], "the least recent link");
        // A second workspace of the company: its share is the rest of the company's.
        for link in 3_000..4_000 {
            results.add(&delivery("large", 3, link), attempt(1));
        }
        assert_eq!(kept(&results, 1_000..4_000), SHARES.company as usize);
        for link in 4_000..5_000 {
            results.add(&delivery("other", 4, link), attempt(1));
        }
        assert_eq!(results.0.lock().links.len(), LINKS_MAX as usize);
        assert_eq!(kept(&results, 0..100), 100, "that company never had more links than others");
    }
}
