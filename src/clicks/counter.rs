//! Counting. A [`Counter`] takes one relaxed atomic add per click; a [`Tally`] is what a drain of
//! many counters yields, on its way to the log.
//!
//! The loss bound: clicks live only in memory until the next drain, so a crash loses at most one
//! flush interval of them, and a clean stop, which drains last, loses none.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::model::id::Id;
use crate::model::node::NodeNumber;

/// The clicks of one link: those in the log (`flushed`) and those since (`pending`).
///
/// Two numbers, since one atomic operation must both count and tell the first click after a
/// drain from the others: `pending` rising from 0 is that signal, with no second shared write.
/// Between [`Counter::drain`]'s two steps a reader may miss the drained clicks; readers that must
/// not (the API, and whoever takes clicks of a limit) hold the drain lock of whoever drains.
#[derive(Debug)]
pub struct Counter {
    /// In bytes: a number of this size would align all of it to 16, which costs each link 16 more.
    id: [u8; size_of::<Id>()],
    pending: AtomicU64,
    flushed: AtomicU64,
    /// Which list of the registry has it: see [`crate::clicks::registry`]. Changed under the registry's
    /// lock only. It takes no memory: the alignment of the fields above leaves room for it.
    list: AtomicU32,
    retired: AtomicBool,
}

impl Counter {
    /// The counter of the link `id`, whose first `flushed` clicks are in the log.
    pub fn new(id: Id, flushed: u64) -> Counter {
        Counter {
            id: id.bits().to_ne_bytes(),
            pending: AtomicU64::new(0),
            flushed: AtomicU64::new(flushed),
            list: AtomicU32::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Returns the number of the list that has it, 0 if none.
    pub fn list(&self) -> u32 {
        self.list.load(Ordering::Relaxed)
    }

    /// Replaces the number of the list that has it.
    pub fn set_list(&self, list: u32) {
        self.list.store(list, Ordering::Relaxed);
    }

    /// The link it counts for.
    pub fn id(&self) -> Id {
        Id::from_bits(u128::from_ne_bytes(self.id))
    }

    /// Counts one click. True when it is the first since the last drain: the caller queues the
    /// counter for the next one.
    pub fn count(&self) -> bool {
        self.pending.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Moves the pending clicks over and returns the new total; `None` when there were none.
    pub fn drain(&self) -> Option<u64> {
        let pending = self.pending.swap(0, Ordering::Relaxed);
        if pending == 0 {
            return None;
        }
        Some(self.flushed.fetch_add(pending, Ordering::Relaxed) + pending)
    }

    /// Adds clicks that another node counted: they are in the log already.
    pub fn add_of_others(&self, clicks: u64) {
        self.flushed.fetch_add(clicks, Ordering::Relaxed);
    }

    /// Its link was deleted: a click that was under way must not bring its total back to life.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Its link was not deleted after all.
    pub fn revive(&self) {
        self.retired.store(false, Ordering::Relaxed);
    }

    /// Whether its link was deleted.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether clicks wait to be drained.
    pub fn is_dirty(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }

    /// The total that the last drain yielded.
    pub fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Relaxed)
    }

    /// All clicks so far.
    pub fn total(&self) -> u64 {
        self.flushed.load(Ordering::Relaxed) + self.pending.load(Ordering::Relaxed)
    }
}

/// What a link's click totals are in the table: one for each node that counted some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// What this node counted.
    pub own: u64,
    /// What each other node counted. Empty without a cluster.
    pub others: Vec<(NodeNumber, u64)>,
}

impl Cells {
    /// Returns the clicks of all nodes.
    pub fn total(&self) -> u64 {
        self.own + self.of_others()
    }

    /// Returns the clicks that other nodes counted.
    pub fn of_others(&self) -> u64 {
        self.others.iter().map(|(_, total)| total).sum()
    }
}

/// The clicks of a link that only this node counted.
impl From<u64> for Cells {
    fn from(own: u64) -> Cells {
        Cells { own, others: Vec::new() }
    }
}

/// Absolute totals of this node, of the links that were clicked since the last drain.
pub type Tally = Vec<(Id, u64)>;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    #[test]
    fn the_first_click_after_a_drain_says_so() {
        let counter = Counter::new(Id::from_bits(1), 7);
        assert_eq!(counter.drain(), None);
        assert!(counter.count());
        assert!(!counter.count());
        assert_eq!(counter.total(), 9);
        assert_eq!(counter.drain(), Some(9));
        assert!(counter.count());
        assert_eq!(counter.total(), 10);
    }

    #[test]
    fn a_counter_says_what_it_is() {
        let counter = Counter::new(Id::from_bits(1 << 100), 7);
        assert_eq!((counter.id(), counter.flushed(), counter.total()), (Id::from_bits(1 << 100), 7, 7));
        assert!(!counter.is_dirty() && !counter.is_retired());
        counter.count();
        assert_eq!((counter.flushed(), counter.total(), counter.is_dirty()), (7, 8, true));
        counter.drain();
        assert_eq!((counter.flushed(), counter.total(), counter.is_dirty()), (8, 8, false));
        counter.retire();
        assert!(counter.is_retired());
        counter.revive();
        assert!(!counter.is_retired());
    }

    #[test]
    fn t108_nothing_is_lost_or_doubled_while_draining() {
        let counter = Counter::new(Id::from_bits(1), 0);
        let firsts = AtomicU64::new(0);
        let drains = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        firsts.fetch_add(u64::from(counter.count()), Ordering::Relaxed);
                    }
                });
            }
            scope
                .spawn(|| (0..10_000).filter(|_| counter.drain().is_some()).count())
                .join()
                .expect("no panic")
        });
        let last = u64::from(counter.drain().is_some());
        assert_eq!(counter.total(), 200_000);
        assert_eq!(
            firsts.load(Ordering::Relaxed),
            drains as u64 + last,
            "one signal per drain that found clicks"
        );
    }
}
