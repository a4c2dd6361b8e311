//! The [`Counter`] of a link: one relaxed atomic add per click. A [`Tally`] has the totals of drained
//! counters for the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;

/// The bit of [`Counter::flushed`] that marks the counter of a deleted link. No link has so many clicks.
const RETIRED: u64 = 1 << 63;

/// The clicks of one link: `flushed` of them were drained for the log, `pending` came after the last drain.
///
/// 1. Two numbers, since one atomic operation must count a click and detect the first click after a drain.
///    `pending` rising from 0 is that signal, without a second shared write.
/// 2. Between the two steps of [`Counter::drain`] a reader misses the drained clicks. The API and the
///    reservations must not: they read under the lock of [`super::reservations::Reservations::atomically`].
#[derive(Debug)]
pub struct Counter {
    /// Bytes, not a `u128`: its alignment of 16 would cost each link 16 bytes more.
    id: [u8; size_of::<Id>()],
    pending: AtomicU64,
    /// The drained clicks, and [`RETIRED`]: a flag of its own would cost each link 8 bytes more.
    flushed: AtomicU64,
    /// The list of the registry that has the counter: see [`crate::clicks::registry`]. Changed under the
    /// registry's lock only.
    list: AtomicU32,
    /// The number of the link's workspace.
    workspace: AtomicU32,
}

const _: () = assert!(size_of::<Counter>() == 40, "each link in memory has a counter");

impl Counter {
    /// Creates the counter of the link `id`, whose first `flushed` clicks are in the log.
    pub fn new(id: Id, flushed: u64) -> Counter {
        Counter {
            // Native order, since the bytes never leave this process.
            id: id.bits().to_ne_bytes(),
            pending: AtomicU64::new(0),
            flushed: AtomicU64::new(flushed),
            list: AtomicU32::new(0),
            workspace: AtomicU32::new(0),
        }
    }

    /// Sets the workspace of the link, which each load of the link does. Without it the link is of the first workspace.
    pub fn set_workspace(&self, workspace: WorkspaceNumber) {
        self.workspace.store(workspace.0, Ordering::Relaxed);
    }

    /// Returns the workspace of the link.
    pub fn workspace(&self) -> WorkspaceNumber {
        WorkspaceNumber(self.workspace.load(Ordering::Relaxed))
    }

    /// Returns the number of the list that has the counter, 0 if none has.
    pub fn list(&self) -> u32 {
        self.list.load(Ordering::Relaxed)
    }

    /// Sets the number of the list that has the counter.
    pub(crate) fn set_list(&self, list: u32) {
        self.list.store(list, Ordering::Relaxed);
    }

    /// Returns the link's id.
    pub fn id(&self) -> Id {
        Id::from_bits(u128::from_ne_bytes(self.id))
    }

    /// Counts one click. Returns true for the first click after a drain: the caller then queues the counter
    /// for the next drain.
    pub fn count(&self) -> bool {
        // Relaxed: the click publishes no other memory. The list of dirty counters has its own lock.
        self.pending.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Moves the pending clicks to the flushed ones. Returns the new total, `None` if no click was pending.
    pub fn drain(&self) -> Option<u64> {
        // A swap, since a click between a load and a store would be lost. Removed before they are added: the
        // total in between is too low, never too high.
        let pending = self.pending.swap(0, Ordering::Relaxed);
        if pending == 0 {
            return None;
        }
        Some((self.flushed.fetch_add(pending, Ordering::Relaxed) & !RETIRED) + pending)
    }

    /// Adds clicks that another node counted. They are in the log already.
    pub(crate) fn add_of_others(&self, clicks: u64) {
        self.flushed.fetch_add(clicks, Ordering::Relaxed);
    }

    /// Marks the link as deleted. A click under way then no longer writes a total to the log.
    pub fn retire(&self) {
        // A mark in place of a removal from the registry: a drain under way has the counter already.
        self.flushed.fetch_or(RETIRED, Ordering::Relaxed);
    }

    /// Takes [`Counter::retire`] back, after a deletion that failed.
    pub fn revive(&self) {
        self.flushed.fetch_and(!RETIRED, Ordering::Relaxed);
    }

    /// Returns whether the link was deleted.
    pub fn is_retired(&self) -> bool {
        self.flushed.load(Ordering::Relaxed) & RETIRED != 0
    }

    /// Returns whether clicks are pending.
    pub(crate) fn is_dirty(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > 0
    }

    /// Returns the total of the last drain.
    pub fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Relaxed) & !RETIRED
    }

    /// Returns all clicks. Between the steps of a drain the result is too low.
    pub fn total(&self) -> u64 {
        self.flushed() + self.pending.load(Ordering::Relaxed)
    }
}

/// The click totals of a link in the table, one for each node that counted some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// The total of this node.
    pub own: u64,
    /// The totals of other nodes. Empty without a cluster.
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

/// Creates the totals of a link that only this node counted.
impl From<u64> for Cells {
    fn from(own: u64) -> Cells {
        Cells { own, others: Vec::new() }
    }
}

/// Absolute totals of this node, for the links that were clicked since the last drain.
pub type Tally = Vec<(Id, u64)>;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    #[test]
    fn the_first_click_after_a_drain_is_signalled() {
        let counter = Counter::new(Id::from_bits(1), 7);
        assert_eq!(counter.drain(), None);
        assert!(counter.count());
        assert!(!counter.count());
        assert_eq!(counter.total(), 9);
        assert_eq!(counter.drain(), Some(9));
        // The drain has armed the signal again.
        assert!(counter.count());
        assert_eq!(counter.total(), 10);
    }

    #[test]
    fn a_counter_reports_its_state() {
        // More than 64 bits, so that both halves of the id are stored.
        let counter = Counter::new(Id::from_bits(1 << 100), 7);
        assert_eq!((counter.id(), counter.flushed(), counter.total()), (Id::from_bits(1 << 100), 7, 7));
        assert!(!counter.is_dirty() && !counter.is_retired());
        counter.count();
        assert_eq!((counter.flushed(), counter.total(), counter.is_dirty()), (7, 8, true));
        counter.drain();
        assert_eq!((counter.flushed(), counter.total(), counter.is_dirty()), (8, 8, false));
        counter.retire();
        assert!(counter.is_retired());
        counter.count();
        // The mark is in no total.
        assert_eq!((counter.flushed(), counter.total(), counter.drain()), (8, 9, Some(9)));
        assert!(counter.is_retired());
        counter.revive();
        assert!(!counter.is_retired());
        counter.set_workspace(WorkspaceNumber(7));
        assert_eq!((counter.workspace(), counter.total()), (WorkspaceNumber(7), 9));
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
            // Drains while the four threads count: some clicks fall between its two steps.
            scope
                .spawn(|| (0..10_000).filter(|_| counter.drain().is_some()).count())
                .join()
                .expect("no panic")
        });
        // Clicks after the last drain above have given one more signal.
        let last = u64::from(counter.drain().is_some());
        assert_eq!(counter.total(), 200_000);
        assert_eq!(
            firsts.load(Ordering::Relaxed),
            drains as u64 + last,
            "one signal per drain that found clicks"
        );
    }
}
