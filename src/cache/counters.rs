//! All live counters by link id, and which of them are dirty.
//!
//! For each link there is at most one counter, wherever its clicks come from and however often it
//! is loaded: a load takes the one in the registry, or makes one upon the table's total. A counter
//! is forgotten only when its entry has left the cache, it is clean, nobody holds it, and
//! everything drained is in the table; from then on the table's total is the truth.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::quotas::Quotas;
use crate::clicks::{Counter, Tally};
use crate::model::id::Id;

/// Most counters without an entry: about 24 MB. They pile up only while the log takes no writes
/// (a full disk); past it the clicks of further evicted links are dropped, and counted as such.
const LOOSE_MAX: usize = 262_144;

/// The counters that a drain has to look at, and those that a load may find.
#[derive(Debug, Default)]
pub struct Counters {
    dirty: Mutex<Vec<Arc<Counter>>>,
    registry: Mutex<Registry>,
    quotas: Quotas,
    counted: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    /// Each knows its id: as keys beside them the ids would take 24 bytes more of each.
    live: HashTable<Arc<Counter>>,
    keys: ahash::RandomState,
    /// Those whose entry left the cache: what the sweep looks at.
    loose: HashSet<Id, ahash::RandomState>,
    /// Raised whenever a counter is forgotten: a total read from the table before may be stale.
    forgotten: u64,
}

impl Registry {
    fn get(&self, id: Id) -> Option<&Arc<Counter>> {
        self.live.find(self.keys.hash_one(id), |counter| counter.id() == id)
    }

    /// The one of this id for an entry: one that has come back takes no room among the loose ones.
    fn take(&mut self, id: Id) -> Option<Arc<Counter>> {
        let counter = Arc::clone(self.get(id)?);
        self.loose.remove(&id);
        Some(counter)
    }

    /// Puts in one whose id is not there.
    fn insert(&mut self, counter: Arc<Counter>) {
        let hash = self.keys.hash_one(counter.id());
        self.live.insert_unique(hash, counter, |other| self.keys.hash_one(other.id()));
    }

    fn forget(&mut self, id: Id) {
        if let Ok(place) = self.live.find_entry(self.keys.hash_one(id), |counter| counter.id() == id) {
            place.remove();
        }
        self.forgotten += 1;
    }
}

impl Counters {
    /// Counts one click.
    pub fn count(&self, counter: &Arc<Counter>) {
        if counter.count() {
            self.dirty.lock().push(Arc::clone(counter));
        }
    }

    /// Drains all dirty counters, and those of links with a limit that nobody clicked since the
    /// last drain, or with `last` all of them. Their [`Counters::tally`] is to be made durable;
    /// whoever fails to hands them back by [`Counters::put_back`].
    pub fn drain(&self, last: bool) -> Vec<Arc<Counter>> {
        let mut dirty = std::mem::take(&mut *self.dirty.lock());
        dirty.extend(self.quotas.give_back(last));
        // One handed back and then clicked again stands there twice.
        let mut seen: HashSet<Id, ahash::RandomState> = HashSet::default();
        dirty.retain(|counter| seen.insert(counter.id()));
        dirty.retain(|counter| {
            self.drain_one(counter);
            !counter.is_retired()
        });
        dirty
    }

    /// Drains one counter, and gives back what is reserved for it. Also queues it: its total is in
    /// no other drain if whoever writes it fails to.
    pub fn settle(&self, counter: &Arc<Counter>) {
        self.quotas.give_back_one(counter.id());
        self.drain_one(counter);
        self.put_back(vec![Arc::clone(counter)]);
    }

    fn drain_one(&self, counter: &Counter) {
        let clicks = self.quotas.still(|| {
            let before = counter.flushed();
            counter.drain().map_or(0, |total| total - before)
        });
        self.counted.fetch_add(clicks, Ordering::Relaxed);
    }

    /// The totals that the log must hold for these counters, as of now: of two tallies with the
    /// same link, the later one must be handed to the log later.
    pub fn tally(&self, counters: &[Arc<Counter>]) -> Tally {
        counters.iter().map(|counter| (counter.id(), self.quotas.total(counter))).collect()
    }

    /// The reservations of links with a limit.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Queues counters again whose totals did not become durable.
    pub fn put_back(&self, counters: Vec<Arc<Counter>>) {
        self.dirty.lock().extend(counters);
    }

    /// Forgets counters without an entry that are clean: call only when everything drained is in
    /// the table.
    pub fn sweep(&self) {
        let mut registry = self.registry.lock();
        let mut loose = std::mem::take(&mut registry.loose);
        loose.retain(|id| {
            let Some(counter) = registry.get(*id) else { return false };
            let stays = counter.is_dirty() || Arc::strong_count(counter) > 1;
            if !stays {
                registry.forget(*id);
            }
            stays
        });
        registry.loose = loose;
    }

    /// The one live counter of `id`, or a new one upon the total that `read` finds in the table. It is for
    /// an entry: whoever does not keep that must [`Counters::release`] it.
    pub fn adopt<E>(&self, id: Id, read: impl Fn() -> Result<u64, E>) -> Result<Arc<Counter>, E> {
        loop {
            let before = {
                let mut registry = self.registry.lock();
                if let Some(counter) = registry.take(id) {
                    return Ok(counter);
                }
                registry.forgotten
            };
            // Not under the lock: it may go to the disk, and every load passes here.
            let total = read()?;
            let mut registry = self.registry.lock();
            if let Some(counter) = registry.take(id) {
                return Ok(counter);
            }
            if registry.forgotten == before {
                let counter = Arc::new(Counter::new(id, total));
                registry.insert(Arc::clone(&counter));
                return Ok(counter);
            }
        }
    }

    /// The counter of `id`, if it is live.
    pub fn live(&self, id: Id) -> Option<Arc<Counter>> {
        self.registry.lock().get(id).cloned()
    }

    /// The counter has no entry in the cache (any more): it may go once it is clean.
    pub fn release(&self, counter: &Counter) {
        let mut registry = self.registry.lock();
        if registry.loose.len() >= LOOSE_MAX && !registry.loose.contains(&counter.id()) {
            self.dropped.fetch_add(counter.total() - counter.flushed(), Ordering::Relaxed);
            counter.retire();
            registry.forget(counter.id());
            return;
        }
        registry.loose.insert(counter.id());
    }

    /// All clicks of a counter, none missed between a drain's two steps.
    pub fn total(&self, counter: &Counter) -> u64 {
        self.quotas.still(|| counter.total())
    }

    /// Clicks drained since the start, and clicks dropped for want of memory on a full disk.
    pub fn totals(&self) -> (u64, u64) {
        (self.counted.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::cache::quotas::Taken;

    /// A drain moves clicks in two steps; between them a limit that was reached must not look as
    /// if it were not.
    #[test]
    fn a_limit_holds_while_its_counter_is_drained() {
        const ROUNDS: u128 = 20_000;
        let (counters, next, over) = (Counters::default(), Barrier::new(2), Barrier::new(2));
        let counter = Mutex::new(Arc::new(Counter::new(Id::from_bits(0), 0)));
        let mut most = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    next.wait();
                    let counter = Arc::clone(&counter.lock());
                    counters.put_back(vec![counter]);
                    counters.drain(false);
                    over.wait();
                }
            });
            for round in 1..=ROUNDS {
                let one = Arc::new(Counter::new(Id::from_bits(round), 0));
                let turn = counters.quotas().turn(&one);
                let total = counters.quotas().ask(&one, &turn, 1).expect("there is one");
                counters.quotas().grant(&one, &turn, total);
                *counter.lock() = Arc::clone(&one);
                next.wait();
                let takes = (0..500).map(|_| counters.quotas().take(&one, 1));
                let taken = takes.filter(|taken| *taken == Taken::Yes).count();
                most = taken.max(most);
                over.wait();
            }
        });
        assert_eq!(most, 1, "of one");
    }

    /// Links that were evicted and came back filled the list, until those of others were dropped.
    #[test]
    fn a_counter_whose_link_came_back_takes_no_room_among_the_loose() {
        let counters = Counters::default();
        let load = || counters.adopt(Id::from_bits(1), || Ok::<_, Infallible>(0)).expect("nothing fails");
        let loose = || counters.registry.lock().loose.len();
        counters.count(&load());
        counters.release(&load());
        assert_eq!(loose(), 1);
        assert_eq!((load().total(), loose()), (1, 0));
        drop(counters.drain(false));
        counters.sweep();
        assert!(counters.live(Id::from_bits(1)).is_some(), "its link is in the cache");
        counters.release(&load());
        counters.sweep();
        assert!(counters.live(Id::from_bits(1)).is_none());
    }

    /// A drain under way hands its totals in after the one that a change of the limit wrote.
    #[test]
    fn totals_handed_in_later_are_no_smaller() {
        let (counters, counter) = (Counters::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        counters.count(&counter);
        let held = counters.drain(false);
        counters.count(&counter);
        counters.settle(&counter);
        let written = counters.quotas().total(&counter);
        assert_eq!((written, counters.tally(&held)), (2, vec![(Id::from_bits(1), 2)]));
        assert_eq!(counters.drain(false).len(), 1, "should it not have become durable");
    }
}
