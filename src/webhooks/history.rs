//! What became of the last tries, for `GET /api/v1/links/{id}/deliveries`. In memory: a restart
//! forgets them, as the events themselves it does not.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::queue::Delivery;
use crate::clock::Timestamp;
use crate::fair::Shares;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;

/// History of one link that are kept: what fits on a screen. Past it: the oldest is forgotten.
pub const RESULTS_PER_LINK: usize = 20;

/// Links whose results are kept: 10,000 results, some 20 MB if every URL is as long as allowed. One
/// company keeps half of them, a workspace three quarters of that. Past any of these: its link that
/// was tried least recently is forgotten; past all, that of the company that keeps most. Links and
/// not results are counted, so that one busy link does not drive out all others.
const LINKS_MAX: u32 = 500;

/// Links whose results are kept, by holder.
pub(super) const SHARES: Shares = Shares::of(LINKS_MAX);

/// One try and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The event's name, `evt_...`.
    pub event: Arc<str>,
    /// Where it went.
    pub url: Arc<str>,
    /// Which try of this delivery: the first is 1.
    pub attempt: u8,
    /// When it ended.
    pub at: Timestamp,
    /// The receiver's status, if it answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<Box<str>>,
    /// How long it took.
    pub took: Duration,
    /// Whether the receiver has it.
    pub delivered: bool,
    /// When it is tried again, if it is.
    pub next_attempt_at: Option<Timestamp>,
}

/// The last results of each link.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    links: HashMap<Id, Link, ahash::RandomState>,
    /// Of results so far.
    number: u64,
}

#[derive(Debug)]
struct Link {
    company: ForeignId,
    workspace: WorkspaceNumber,
    /// The number of its last result.
    last: u64,
    attempts: VecDeque<Attempt>,
}

impl History {
    /// Keeps the result of a try of `delivery`.
    pub(super) fn add(&self, delivery: &Delivery, attempt: Attempt) {
        let mut kept = self.0.lock();
        kept.number += 1;
        let number = kept.number;
        if !kept.links.contains_key(&delivery.link) {
            kept.make_room(&delivery.company, delivery.workspace);
        }
        let link = kept.links.entry(delivery.link).or_insert_with(|| Link {
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

    /// The newest first.
    pub(super) fn of(&self, link: Id) -> Vec<Attempt> {
        let kept = self.0.lock();
        kept.links.get(&link).map_or_else(Vec::new, |link| link.attempts.iter().rev().cloned().collect())
    }
}

impl Kept {
    /// Forgets a link where one more would be too many. Looks at all that are kept, which are few.
    fn make_room(&mut self, company: &ForeignId, workspace: WorkspaceNumber) {
        let mut of_company: HashMap<&ForeignId, u32> = HashMap::new();
        let mut of_workspace = 0;
        for link in self.links.values() {
            *of_company.entry(&link.company).or_default() += 1;
            of_workspace += u32::from(link.workspace == workspace);
        }
        let own = of_company.get(company).copied().unwrap_or(0);
        let forget = if of_workspace >= SHARES.workspace {
            self.least_recent(|link| link.workspace == workspace)
        } else if own >= SHARES.company {
            self.least_recent(|link| link.company == *company)
        } else if self.links.len() >= SHARES.total as usize {
            let largest = of_company.into_iter().max_by_key(|(_, links)| *links).map(|(company, _)| company);
            largest.and_then(|largest| self.least_recent(|link| link.company == *largest))
        } else {
            None
        };
        if let Some(forget) = forget {
            self.links.remove(&forget);
        }
    }

    fn least_recent(&self, is_it: impl Fn(&Link) -> bool) -> Option<Id> {
        let those = self.links.iter().filter(|(_, link)| is_it(link));
        those.min_by_key(|(_, link)| link.last).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::queue::Waiting;

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

    /// A delivery of a link in a workspace of a company.
    fn delivery(company: &str, workspace: u32, link: u32) -> Delivery {
        let waiting = Waiting::for_test(company, workspace, "https://e.test/", 1);
        let mut delivery = Arc::try_unwrap(waiting.delivery).expect("nobody else has it");
        delivery.link = Id::from_bits(link.into());
        delivery
    }

    fn kept(results: &History, links: std::ops::Range<u32>) -> usize {
        links.filter(|link| !results.of(Id::from_bits((*link).into())).is_empty()).count()
    }

    #[test]
    fn bounded_by_link() {
        let results = History::default();
        for n in 0..100 {
            results.add(&delivery("a", 1, 0), attempt(n));
        }
        let of: Vec<u8> = results.of(Id::from_bits(0)).iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(of, (80..100).rev().collect::<Vec<u8>>());
    }

    /// One tenant's links, however many, do not drive out those of others.
    #[test]
    fn n15_each_tenant_keeps_its_share_of_results() {
        let results = History::default();
        for link in 0..100 {
            results.add(&delivery("small", 1, link), attempt(1));
        }
        for link in 1_000..3_000 {
            results.add(&delivery("large", 2, link), attempt(1));
            results.add(&delivery("large", 2, 1_000), attempt(2));
        }
        assert_eq!(kept(&results, 1_000..3_000), SHARES.workspace as usize);
        assert_eq!(results.of(Id::from_bits(1_000)).len(), RESULTS_PER_LINK, "used last");
        assert_eq!(results.of(Id::from_bits(1_001)), [], "the least recent");
        for link in 3_000..4_000 {
            results.add(&delivery("large", 3, link), attempt(1));
        }
        assert_eq!(kept(&results, 1_000..4_000), SHARES.company as usize);
        for link in 4_000..5_000 {
            results.add(&delivery("other", 4, link), attempt(1));
        }
        assert_eq!(results.0.lock().links.len(), LINKS_MAX as usize);
        assert_eq!(kept(&results, 0..100), 100, "there were never more of that company than of others");
    }
}
