//! Which counters are dirty, and those whose entry left the cache before they were drained.
//!
//! For each link id there is at most one live counter, wherever its clicks come from: an entry
//! holds it, or it is *loose*. A counter is forgotten only when it is clean and nobody holds it,
//! right after everything drained is in the table; from then on the table's total is the truth.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clicks::{Counter, Tally};
use crate::model::id::Id;

/// Most loose counters: about 24 MB. They pile up only while the log takes no writes (a full
/// disk); past it the clicks of further evicted links are dropped, and counted as such.
const LOOSE_MAX: usize = 262_144;

/// The counters that a drain has to look at.
#[derive(Debug, Default)]
pub struct Counters {
    dirty: Mutex<Vec<Arc<Counter>>>,
    loose: Mutex<HashMap<Id, Arc<Counter>, ahash::RandomState>>,
    /// Held for the moment between a drain's two steps, and by readers of exact totals.
    draining: Mutex<()>,
    counted: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// Counts one click.
    pub fn count(&self, counter: &Arc<Counter>) {
        if counter.count() {
            self.dirty.lock().push(Arc::clone(counter));
        }
    }

    /// Drains all dirty counters into absolute totals, with the counters, so that whoever fails
    /// to make the totals durable can hand them back by [`Counters::put_back`].
    pub fn drain(&self) -> (Vec<Arc<Counter>>, Tally) {
        let mut dirty = std::mem::take(&mut *self.dirty.lock());
        // One handed back and then clicked again stands there twice.
        let mut seen: HashSet<Id, ahash::RandomState> = HashSet::default();
        dirty.retain(|counter| seen.insert(counter.id()));
        let guard = self.draining.lock();
        let mut clicks = 0;
        dirty.retain(|counter| {
            let before = counter.flushed();
            let total = counter.drain();
            clicks += total.map_or(0, |total| total - before);
            !counter.is_retired()
        });
        drop(guard);
        self.counted.fetch_add(clicks, Ordering::Relaxed);
        let tally = dirty.iter().map(|counter| (counter.id(), counter.flushed())).collect();
        (dirty, tally)
    }

    /// Queues counters again whose totals did not become durable.
    pub fn put_back(&self, counters: Vec<Arc<Counter>>) {
        self.dirty.lock().extend(counters);
    }

    /// Forgets loose counters that are clean: call only when everything drained is in the table.
    pub fn sweep(&self) {
        self.loose.lock().retain(|_, counter| counter.is_dirty() || Arc::strong_count(counter) > 1);
    }

    /// The one live counter of `id`: the loose one, or a new one upon the total that `read` finds
    /// in the table. `read` runs under a lock, so that no drain is forgotten meanwhile.
    pub fn adopt<E>(&self, id: Id, read: impl FnOnce() -> Result<u64, E>) -> Result<Arc<Counter>, E> {
        let mut loose = self.loose.lock();
        if let Some(counter) = loose.get(&id) {
            return Ok(Arc::clone(counter));
        }
        let counter = Arc::new(Counter::new(id, read()?));
        // Loose until an entry is in the cache, lest two loads make two.
        loose.insert(id, Arc::clone(&counter));
        Ok(counter)
    }

    /// The counter of `id`, if it is loose.
    pub fn loose(&self, id: Id) -> Option<Arc<Counter>> {
        self.loose.lock().get(&id).cloned()
    }

    /// An entry left the cache: its counter stays until it is drained.
    pub(super) fn release(&self, counter: &Arc<Counter>) {
        let mut loose = self.loose.lock();
        if loose.len() >= LOOSE_MAX && !loose.contains_key(&counter.id()) {
            self.dropped.fetch_add(counter.total() - counter.flushed(), Ordering::Relaxed);
            return;
        }
        loose.insert(counter.id(), Arc::clone(counter));
    }

    /// An entry came into the cache and holds the counter from now on.
    pub(super) fn hold(&self, counter: &Arc<Counter>) {
        self.loose.lock().remove(&counter.id());
    }

    /// All clicks of a counter, none missed between a drain's two steps.
    pub fn total(&self, counter: &Counter) -> u64 {
        let _guard = self.draining.lock();
        counter.total()
    }

    /// Clicks drained since the start, and clicks dropped for want of memory on a full disk.
    pub fn totals(&self) -> (u64, u64) {
        (self.counted.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}
