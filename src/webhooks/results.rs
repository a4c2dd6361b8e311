//! What became of the last tries, for `GET /api/v1/links/{id}/deliveries`. In memory: a restart
//! forgets them, as the events themselves it does not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::model::id::Id;

/// Results of one link that are kept: what fits on a screen. Past it: the oldest is forgotten.
pub const RESULTS_PER_LINK: usize = 20;

/// Links whose results are kept: 10,000 results, some 20 MB if every URL is as long as allowed.
/// Past it: the link that was tried least recently is forgotten. Links and not results are
/// counted, so that one busy link does not drive out all others.
const LINKS_MAX: usize = 500;

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
pub(super) struct Results(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    links: HashMap<Id, (u64, VecDeque<Attempt>), ahash::RandomState>,
    /// By the number of each link's last result: the first is to be forgotten first.
    order: BTreeMap<u64, Id>,
    number: u64,
}

impl Results {
    pub(super) fn add(&self, link: Id, attempt: Attempt) {
        let mut kept = self.0.lock();
        kept.number += 1;
        let number = kept.number;
        let (last, attempts) = kept.links.entry(link).or_default();
        let before = std::mem::replace(last, number);
        attempts.push_back(attempt);
        if attempts.len() > RESULTS_PER_LINK {
            attempts.pop_front();
        }
        kept.order.remove(&before);
        kept.order.insert(number, link);
        if kept.links.len() > LINKS_MAX
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            kept.links.remove(&oldest);
        }
    }

    /// The newest first.
    pub(super) fn of(&self, link: Id) -> Vec<Attempt> {
        let kept = self.0.lock();
        kept.links.get(&link).map_or_else(Vec::new, |(_, attempts)| attempts.iter().rev().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn bounded_by_link_and_in_all() {
        let results = Results::default();
        let busy = Id::from_bits(0);
        for n in 0..100 {
            results.add(busy, attempt(n));
        }
        let kept: Vec<u8> = results.of(busy).iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(kept, (80..100).rev().collect::<Vec<u8>>());
        let links = || (1..=LINKS_MAX as u128).map(Id::from_bits);
        for link in links() {
            results.add(link, attempt(1));
            results.add(busy, attempt(2));
        }
        assert_eq!(results.of(busy).len(), RESULTS_PER_LINK, "used last");
        let left = links().filter(|link| !results.of(*link).is_empty()).count();
        assert_eq!(left, LINKS_MAX - 1);
        assert_eq!(results.of(Id::from_bits(1)), [], "the least recent");
        assert_eq!(results.0.lock().order.len(), LINKS_MAX);
    }
}
