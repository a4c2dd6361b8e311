//! The registry of live counters by link id, and the list of dirty ones.
//!
//! 1. A link has at most one counter: a load returns the one in the registry, or creates one with the table's
//!    total.
//! 2. A counter is forgotten only when the cache has no entry for it, it is clean, nothing else holds it, and
//!    the table has everything drained from it. From then on the table's total is right.
//! 3. Memory is bounded. A counter with an entry counts against the cache's budget. At most
//!    [`UNATTACHED_MAX`] others exist, some 90 bytes each. Past that bound a loaded link gets a *detached*
//!    counter: its clicks are dropped, and counted as dropped, and its entry is not cached. Totals therefore
//!    never decrease, however far the table is behind, and no redirect waits for the table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::counter::{Cells, Counter, Tally};
use super::reservations::{Reservations, ReserveLock};
use crate::log::Position;
use crate::model::id::Id;
use crate::model::node::NodeNumber;

/// Most counters without an entry, about 24 MB. Each waits for the table to have its total, a second or two.
/// They accumulate only while the log rejects writes (a full disk) or the table is far behind it (a large
/// import). Past the bound, clicks on links that are not in memory are dropped.
pub(crate) const UNATTACHED_MAX: usize = 262_144;

/// Dirty counters that start a drain before the flush interval ends. A quarter of [`UNATTACHED_MAX`], so that
/// a long interval never reaches that bound.
const DIRTY_MAX: usize = UNATTACHED_MAX / 4;

/// [`Counter::list`] of a counter with an entry in the cache.
const ATTACHED: u32 = 0;

/// [`Counter::list`] of a counter in [`Registry::fresh`].
const FRESH: u32 = 1;

/// [`Counter::list`] of a counter outside the registry, whose clicks are dropped.
const DETACHED: u32 = u32::MAX;

/// All counters: the dirty ones for the next drain, and the registry for loads.
#[derive(Debug, Default)]
pub struct Counters {
    // 1. Lock order: `registry` before `reservations`. A total of another node changes both, and a tally reads
    //    both.
    // 2. `dirty` is locked alone or under `last_drained`: a click takes it, and must not wait for a load or a drain.
    dirty: Mutex<Vec<Arc<Counter>>>,
    /// 3. The links of the last drain, whose totals may be on their way to the table. Locked over a drain, so that each
    ///    click is in a total, in this list or in `dirty`.
    last_drained: Mutex<Vec<Id>>,
    /// Notified when [`DIRTY_MAX`] counters are dirty.
    crowded: Notify,
    registry: Mutex<Registry>,
    reservations: Reservations,
    counted: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    /// A table without keys, since each counter has its id: keys would take 24 bytes more per counter.
    live: HashTable<Arc<Counter>>,
    keys: ahash::RandomState,
    /// Number of counters without an entry.
    unattached: usize,
    /// Counters without an entry that the next sweep examines.
    fresh: Vec<Id>,
    /// Counters without an entry that a sweep found clean, oldest first.
    settled: VecDeque<Settled>,
    /// Number of the last [`Settled`], above [`FRESH`] and below [`DETACHED`].
    last: u32,
    /// Increases when a counter is forgotten or another node's total arrives. A total that a load read from
    /// the table before may be stale, so the load reads again.
    version: u64,
    /// Totals of other nodes for links with a counter here. Empty without a cluster.
    others: HashMap<Id, Vec<(NodeNumber, u64)>>,
}

/// Counters that can be forgotten once the table has applied a position.
#[derive(Debug)]
struct Settled {
    /// The log has all their drained totals at this position.
    position: Position,
    /// The [`Counter::list`] of those that nothing has used since.
    number: u32,
    ids: Vec<Id>,
}

impl Registry {
    fn get(&self, id: Id) -> Option<&Arc<Counter>> {
        self.live.find(self.keys.hash_one(id), |counter| counter.id() == id)
    }

    /// Returns the counter of `id` for a new entry. The counter no longer counts as unattached.
    fn attach(&mut self, id: Id) -> Option<Arc<Counter>> {
        let counter = Arc::clone(self.get(id)?);
        // The counter stays in a list of `fresh` or `settled`: both skip a counter with another number.
        if counter.list() != ATTACHED {
            counter.set_list(ATTACHED);
            self.unattached -= 1;
        }
        Some(counter)
    }

    /// Inserts a counter whose id is not in the registry.
    fn insert(&mut self, counter: Arc<Counter>) {
        let hash = self.keys.hash_one(counter.id());
        self.live.insert_unique(hash, counter, |other| self.keys.hash_one(other.id()));
    }

    fn forget(&mut self, id: Id) {
        if let Ok(entry) = self.live.find_entry(self.keys.hash_one(id), |counter| counter.id() == id) {
            entry.remove();
        }
        self.unattached -= 1;
        // A load that read the table before this counter's total was in it reads again.
        self.version += 1;
        self.others.remove(&id);
    }

    /// Returns the clicks of a link that other nodes counted.
    fn of_others(&self, id: Id) -> u64 {
        self.others.get(&id).map_or(0, |cells| cells.iter().map(|(_, total)| total).sum())
    }

    /// Forgets the settled counters whose totals are in the table, which has applied the log up to `applied`.
    fn forget_applied(&mut self, applied: Position) {
        // Positions never decrease along the queue: the first that is not applied ends the walk.
        while let Some(settled) = self.settled.pop_front_if(|settled| settled.position <= applied) {
            for id in settled.ids {
                if self.get(id).is_some_and(|counter| counter.list() == settled.number) {
                    self.forget(id);
                }
            }
        }
    }

    /// Settles the fresh counters that are clean and that only the registry holds. The log has their drained
    /// totals at `written`. A later use goes through the registry, which takes the counter off the list.
    fn settle_fresh(&mut self, written: Position) {
        // Wraps after 4 billion sweeps, past the reserved numbers. No list is that old.
        let number = if self.last + 1 < DETACHED { self.last.max(FRESH) + 1 } else { FRESH + 1 };
        self.last = number;
        let mut fresh = std::mem::take(&mut self.fresh);
        let mut ids = Vec::new();
        fresh.retain(|id| {
            let Some(counter) = self.get(*id).filter(|counter| counter.list() == FRESH) else { return false };
            // A task that holds a clone may still count: its click would be lost with the counter.
            let stays = counter.is_dirty() || Arc::strong_count(counter) > 1;
            if !stays {
                counter.set_list(number);
                ids.push(*id);
            }
            stays
        });
        // Frees the memory of a burst.
        fresh.shrink_to(2 * fresh.len());
        self.fresh = fresh;
        if !ids.is_empty() {
            self.settled.push_back(Settled { position: written, number, ids });
        }
    }
}

impl Counters {
    /// Counts one click.
    #[inline]
    pub fn count(&self, counter: &Arc<Counter>) {
        // Only the first click after a drain takes the lock.
        if counter.count() {
            self.queue(counter);
        }
    }

    /// Queues a counter for the next drain.
    // Not inlined: a link with many clicks would pay for its registers.
    #[inline(never)]
    fn queue(&self, counter: &Arc<Counter>) {
        let mut dirty = self.dirty.lock();
        dirty.push(Arc::clone(counter));
        // Exactly once per drain: later clicks find a longer list.
        if dirty.len() == DIRTY_MAX {
            self.crowded.notify_one();
        }
    }

    /// Waits until [`DIRTY_MAX`] counters are dirty: the next drain should not wait for its interval.
    pub async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// Drains all dirty counters and returns them, with those of released reservations: of the idle ones, or
    /// of all if `last`. The caller commits their [`Counters::tally`] to the log, and calls
    /// [`Counters::put_back`] if that fails. They are sorted by id, as in the table: neighbours share its
    /// pages.
    pub fn drain(&self, last: bool) -> Vec<Arc<Counter>> {
        // The list before the counters: the first click after a counter's drain then finds the next
        // list. In the other order, no drain would have that click.
        // Before the list: see 3 at the field.
        let mut drained = self.last_drained.lock();
        let mut dirty = std::mem::take(&mut *self.dirty.lock());
        dirty.extend(self.reservations.release_idle(last));
        dirty.retain(|counter| !self.drop_detached(counter));
        dirty.sort_by_cached_key(|counter| counter.id().bits());
        // A counter that was put back and then clicked is in the list twice.
        dirty.dedup_by_key(|counter| counter.id());
        dirty.retain(|counter| {
            self.drain_one(counter);
            // The deletion of the link removes its total: a total behind it would stay for ever.
            !counter.is_retired()
        });
        *drained = dirty.iter().map(|counter| counter.id()).collect();
        dirty
    }

    /// Returns the links whose last clicks may not be in the table yet: those that were clicked since the drain before the
    /// last one. Some are in the list twice.
    pub fn clicked_lately(&self) -> Vec<Id> {
        let drained = self.last_drained.lock();
        // Cloned, so that a click waits for no look at each counter.
        let dirty = self.dirty.lock().clone();
        drained.iter().copied().chain(dirty.iter().map(|counter| counter.id())).collect()
    }

    fn drop_detached(&self, counter: &Counter) -> bool {
        if counter.list() != DETACHED {
            return false;
        }
        let before = counter.flushed();
        let clicks = counter.drain().map_or(0, |total| total - before);
        self.dropped.fetch_add(clicks, Ordering::Relaxed);
        true
    }

    /// Drains one counter and releases its reservation. Also queues the counter: if the caller fails to write
    /// the total, the next drain does.
    pub fn settle(&self, counter: &Arc<Counter>) {
        // Before the drain: a click from here on needs a new reservation, whose total is committed later.
        self.reservations.release_one(counter.id());
        self.drain_one(counter);
        self.put_back(vec![Arc::clone(counter)]);
    }

    fn drain_one(&self, counter: &Counter) {
        let clicks = self.reservations.atomically(|| {
            // Under the lock as well: clicks of another node in between would count as drained here.
            let before = counter.flushed();
            counter.drain().map_or(0, |total| total - before)
        });
        self.counted.fetch_add(clicks, Ordering::Relaxed);
    }

    /// Returns the current totals of this node that the log must have for these counters. Of two tallies with
    /// the same link, the later one must be committed later.
    pub fn tally(&self, counters: &[Arc<Counter>]) -> Tally {
        // Held over the reads: a total of another node changes counter and registry together.
        let registry = self.registry.lock();
        // The counter has the clicks of all nodes, and this node writes its own.
        let own = |counter: &Arc<Counter>| {
            self.reservations.total(counter).saturating_sub(registry.of_others(counter.id()))
        };
        counters.iter().map(|counter| (counter.id(), own(counter))).collect()
    }

    /// Reserves clicks of a limit: see [`Reservations::ask`]. Returns the total to grant, and the part of it
    /// that this node writes to the log.
    pub fn ask(&self, counter: &Counter, reserve_lock: &ReserveLock, limit: u64) -> Option<(u64, u64)> {
        // Held as in `tally`, so that the total and the share of other nodes are of one moment.
        let registry = self.registry.lock();
        let total = self.reservations.ask(counter, reserve_lock, limit)?;
        Some((total, total.saturating_sub(registry.of_others(counter.id()))))
    }

    /// Applies totals of other nodes that the table has now. Totals are absolute: an older one that arrives
    /// late changes nothing.
    pub fn apply_of_others(&self, totals: &[(Id, NodeNumber, u64)]) {
        let mut registry = self.registry.lock();
        // Without any counter as well: a load may have read the table before these totals.
        registry.version += 1;
        for (id, node, total) in totals {
            // Without a counter, the next load reads the total in the table.
            let Some(counter) = registry.get(*id).cloned() else { continue };
            let cells = registry.others.entry(*id).or_default();
            let at = cells.iter().position(|(of, _)| of == node).unwrap_or_else(|| {
                cells.push((*node, 0));
                cells.len() - 1
            });
            let cell = &mut cells[at].1;
            let more = total.saturating_sub(*cell);
            *cell += more;
            self.reservations.shift(&counter, more);
        }
    }

    /// Returns the reservations of links with a limit.
    pub fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// Queues drained counters again, whose totals did not become durable.
    pub fn put_back(&self, counters: Vec<Arc<Counter>>) {
        self.dirty.lock().extend(counters);
    }

    /// Forgets clean counters without an entry whose totals are in the table. The table has applied the log
    /// up to `applied`; the log has the totals of all earlier drains at `written`. Call before a drain.
    pub fn sweep(&self, applied: Position, written: Position) {
        let mut registry = self.registry.lock();
        // In this order: if the table is not behind, counters are forgotten in the sweep that settles them.
        registry.settle_fresh(written);
        registry.forget_applied(applied);
    }

    /// Returns the one live counter of `id`, or creates one with the totals that `read` finds in the table.
    /// The counter is for a cache entry: a caller that does not keep the entry must [`Counters::release`]
    /// the counter. Past [`UNATTACHED_MAX`] the counter is detached ([`Counters::is_detached`]), unless the
    /// link `is_limited`: a limit holds only if each click is counted.
    pub fn get_or_load<E>(
        &self,
        id: Id,
        is_limited: bool,
        read: impl Fn() -> Result<Cells, E>,
    ) -> Result<Arc<Counter>, E> {
        loop {
            let before = {
                let mut registry = self.registry.lock();
                if let Some(counter) = registry.attach(id) {
                    return Ok(counter);
                }
                registry.version
            };
            // Not under the lock: the read may block on the disk, and every load needs the lock.
            let cells = read()?;
            let mut registry = self.registry.lock();
            // Another load may have inserted the counter during the read.
            if let Some(counter) = registry.attach(id) {
                return Ok(counter);
            }
            if registry.version == before {
                let counter = Arc::new(Counter::new(id, cells.total()));
                // Checked here: after its eviction, the entry's counter is unattached.
                if registry.unattached >= UNATTACHED_MAX && !is_limited {
                    counter.set_list(DETACHED);
                } else {
                    registry.insert(Arc::clone(&counter));
                    if !cells.others.is_empty() {
                        registry.others.insert(id, cells.others);
                    }
                }
                return Ok(counter);
            }
            // Totals changed during the read, so that it may be stale.
        }
    }

    /// Returns whether clicks of this counter are dropped.
    pub fn is_detached(counter: &Counter) -> bool {
        counter.list() == DETACHED
    }

    /// Returns the counter of `id` if it is live.
    pub fn live(&self, id: Id) -> Option<Arc<Counter>> {
        let mut registry = self.registry.lock();
        let counter = Arc::clone(registry.get(id)?);
        // The caller may change the total, which must be in the table before the counter is forgotten.
        if ![ATTACHED, FRESH].contains(&counter.list()) {
            counter.set_list(FRESH);
            registry.fresh.push(id);
        }
        Some(counter)
    }

    /// Marks a counter whose entry is not in the cache: it is forgotten once it is clean.
    pub fn release(&self, counter: &Counter) {
        let mut registry = self.registry.lock();
        // A detached counter is not in the registry.
        let is_ours = registry.get(counter.id()).is_some_and(|ours| std::ptr::eq(&raw const **ours, counter));
        // Two entries of a link may share the counter: the second release changes nothing.
        if is_ours && counter.list() == ATTACHED {
            counter.set_list(FRESH);
            registry.unattached += 1;
            registry.fresh.push(counter.id());
        }
    }

    /// Returns the number of counters, and of those without an entry.
    pub fn size(&self) -> (usize, usize) {
        let registry = self.registry.lock();
        (registry.live.len(), registry.unattached)
    }

    /// Returns all clicks of a counter, also during a drain.
    pub fn total(&self, counter: &Counter) -> u64 {
        self.reservations.atomically(|| counter.total())
    }

    /// Returns the clicks drained since the start, and the clicks dropped past [`UNATTACHED_MAX`].
    pub fn totals(&self) -> (u64, u64) {
        (self.counted.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Barrier;
    use std::thread;

    use super::super::reservations::Take;
    use super::*;

    /// A drain moves clicks in two steps. A spent limit must not reopen between them.
    #[test]
    fn a_limit_holds_while_its_counter_is_drained() {
        // Enough rounds to meet the moment between the two steps.
        const ROUNDS: u128 = 20_000;
        let (counters, next, over) = (Counters::default(), Barrier::new(2), Barrier::new(2));
        let counter = Mutex::new(Arc::new(Counter::new(Id::from_bits(0), 0)));
        let mut most = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    next.wait();
                    let counter = Arc::clone(&counter.lock());
                    // By hand: clicks on reservations do not queue the counter.
                    counters.put_back(vec![counter]);
                    counters.drain(false);
                    over.wait();
                }
            });
            for round in 1..=ROUNDS {
                let one = Arc::new(Counter::new(Id::from_bits(round), 0));
                let reserve_lock = counters.reservations().reserve_lock(&one);
                let total = counters.reservations().ask(&one, &reserve_lock, 1).expect("there is one");
                counters.reservations().grant(&one, &reserve_lock, total);
                *counter.lock() = Arc::clone(&one);
                next.wait();
                // Many tries, so that some of them run during the drain.
                let takes = (0..500).map(|_| counters.reservations().take(&one, 1));
                let taken = takes.filter(|taken| *taken == Take::Counted).count();
                most = taken.max(most);
                over.wait();
            }
        });
        assert_eq!(most, 1, "of one");
    }

    fn load(counters: &Counters, id: u128, in_table: u64) -> Arc<Counter> {
        let counter = counters.get_or_load(Id::from_bits(id), false, || Ok::<_, Infallible>(in_table.into()));
        counter.unwrap_or_else(|never| match never {})
    }

    /// Links that were evicted and loaded again once filled the list, until clicks of others were dropped.
    #[test]
    fn a_counter_whose_link_is_loaded_again_is_not_unattached() {
        let counters = Counters::default();
        counters.count(&load(&counters, 1, 0));
        counters.release(&load(&counters, 1, 0));
        assert_eq!(counters.size(), (1, 1));
        assert_eq!(load(&counters, 1, 0).total(), 1);
        assert_eq!(counters.size(), (1, 0));
        drop(counters.drain(false));
        counters.sweep(Position(1), Position(1));
        counters.sweep(Position(1), Position(1));
        assert!(counters.live(Id::from_bits(1)).is_some(), "its link is in the cache");
        counters.release(&load(&counters, 1, 0));
        counters.sweep(Position(1), Position(1));
        assert!(counters.live(Id::from_bits(1)).is_none());
        assert_eq!(counters.size(), (0, 0));
    }

    /// The table may be behind the last drain at each sweep: counters of earlier drains are forgotten anyway.
    #[test]
    fn n48_counters_are_forgotten_while_the_table_is_always_behind() {
        const BEHIND: u64 = 3;
        const EACH: u128 = 100;
        const LIVE_MAX: usize = (3 + 3) * 100;
        let counters = Counters::default();
        for drain in 1..200_u64 {
            // As `ClickLog::drain_clicks` does: the log's position grows by one with each drain.
            counters.sweep(Position((drain - 1).saturating_sub(BEHIND)), Position(drain - 1));
            drop(counters.drain(false));
            for n in 0..EACH {
                let counter = load(&counters, u128::from(drain) * EACH + n, 0);
                counters.count(&counter);
                counters.release(&counter);
            }
            let (live, unattached) = counters.size();
            assert_eq!(live, unattached);
            assert!(live <= LIVE_MAX, "{live} after {drain} drains");
        }
        // Clicks of the last round wait for the next drain.
        assert_eq!(counters.totals(), (198 * 100, 0));
    }

    /// A counter that is loaded and clicked again while the table is behind is not forgotten with its earlier
    /// total.
    #[test]
    fn n48_a_counter_waits_for_its_newest_total() {
        let counters = Counters::default();
        counters.count(&load(&counters, 1, 0));
        counters.release(&load(&counters, 1, 0));
        drop(counters.drain(false));
        // The log has the first total at 1, the table has nothing.
        counters.sweep(Position(0), Position(1));
        counters.count(&load(&counters, 1, 0));
        counters.release(&load(&counters, 1, 0));
        drop(counters.drain(false));
        counters.sweep(Position(1), Position(2));
        assert_eq!(load(&counters, 1, 1).total(), 2, "the table still has 1");
        counters.release(&load(&counters, 1, 1));
        counters.sweep(Position(1), Position(2));
        let read = counters.live(Id::from_bits(1)).expect("the table still has 1");
        counters.sweep(Position(2), Position(2));
        assert!(counters.live(Id::from_bits(1)).is_some(), "a reader holds it");
        drop(read);
        counters.sweep(Position(2), Position(2));
        assert_eq!(counters.size(), (0, 0));
        assert_eq!(load(&counters, 1, 2).total(), 2);
    }

    /// Past the bound, clicks are dropped and counted, and no total decreases.
    #[test]
    fn n48_past_the_bound_clicks_are_dropped_and_counted() {
        let counters = Counters::default();
        // With an entry: this counter does not count against the bound.
        let first = load(&counters, 0, 5);
        for n in 0..UNATTACHED_MAX as u128 {
            let counter = load(&counters, 1 + n, 0);
            counters.count(&counter);
            counters.release(&counter);
        }
        let beyond = u128::MAX;
        let late = load(&counters, beyond, 7);
        assert!(Counters::is_detached(&late));
        counters.count(&late);
        counters.count(&late);
        counters.release(&late);
        // The release of a detached counter has changed nothing.
        assert_eq!(counters.size(), (UNATTACHED_MAX + 1, UNATTACHED_MAX));
        // Links in memory, and those with a limit, are still counted.
        counters.count(&first);
        let limited = counters.get_or_load(Id::from_bits(beyond - 1), true, || Ok::<_, Infallible>(0.into()));
        counters.count(&limited.unwrap_or_else(|never| match never {}));
        let drained = counters.drain(false);
        assert_eq!(drained.len(), UNATTACHED_MAX + 2);
        assert!(drained.is_sorted_by_key(|counter| counter.id()), "neighbours share the table's pages");
        assert_eq!(counters.totals(), (UNATTACHED_MAX as u64 + 2, 2));
        drop(drained);
        counters.sweep(Position(1), Position(1));
        // Two counters remain, the ones with an entry.
        assert_eq!(counters.size(), (2, 0));
        let late = load(&counters, beyond, 7);
        assert!(!Counters::is_detached(&late));
        assert_eq!(late.total(), 7);
    }

    /// [`DIRTY_MAX`] counters do not wait for the end of the interval.
    #[tokio::test(start_paused = true)]
    async fn n48_a_crowd_is_drained_before_its_time() {
        let counters = Counters::default();
        let crowded = || tokio::time::timeout(std::time::Duration::from_secs(1), counters.crowded());
        for n in 0..DIRTY_MAX as u128 {
            if n + 1 == DIRTY_MAX as u128 {
                assert!(crowded().await.is_err());
            }
            counters.count(&load(&counters, n, 0));
        }
        assert!(crowded().await.is_ok());
    }

    #[test]
    fn a_drain_counts_each_click_once() {
        let counters = Counters::default();
        let counter = load(&counters, 1, 0);
        for _ in 0..3 {
            counters.count(&counter);
        }
        assert_eq!(counters.totals(), (0, 0));
        drop(counters.drain(false));
        assert_eq!(counters.totals(), (3, 0));
        counters.count(&counter);
        counters.settle(&counter);
        assert_eq!((counters.totals(), counters.total(&counter)), ((4, 0), 4));
        drop(counters.drain(false));
        assert_eq!(counters.totals(), (4, 0));
    }

    /// The last drain releases all reservations, others only idle ones.
    #[test]
    fn the_last_drain_writes_the_totals_of_reservations_in_use() {
        let counters = Counters::default();
        let counter = load(&counters, 1, 0);
        let reserve_lock = counters.reservations().reserve_lock(&counter);
        let total = counters.reservations().ask(&counter, &reserve_lock, 100).expect("there is one");
        counters.reservations().grant(&counter, &reserve_lock, total);
        drop(reserve_lock);
        assert_eq!(counters.drain(false).len(), 0, "it was used");
        assert_eq!(counters.reservations().take(&counter, 100), Take::Counted);
        assert_eq!(counters.drain(true).len(), 1);
        assert!(counters.reservations().is_empty());
    }

    /// A load reads the table before a counter's clicks are in it, and the counter is forgotten before the
    /// load ends: the load must read again.
    #[test]
    fn a_total_read_before_a_counter_was_forgotten_is_read_again() {
        let counters = Counters::default();
        let reads = std::cell::Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            if reads.get() > 1 {
                return Ok::<_, Infallible>(1.into());
            }
            // Another load, a click, a drain that becomes durable, an eviction.
            let counter = load(&counters, 1, 0);
            counters.count(&counter);
            drop(counters.drain(false));
            counters.release(&counter);
            drop(counter);
            counters.sweep(Position(1), Position(1));
            Ok(0.into())
        };
        let Ok(counter) = counters.get_or_load(Id::from_bits(1), false, read);
        assert_eq!((counter.total(), reads.get()), (1, 2));
    }

    /// A drain commits its totals after the total that a change of the limit wrote.
    #[test]
    fn totals_committed_later_are_no_smaller() {
        let (counters, counter) = (Counters::default(), Arc::new(Counter::new(Id::from_bits(1), 0)));
        counters.count(&counter);
        let drained = counters.drain(false);
        counters.count(&counter);
        counters.settle(&counter);
        let written = counters.reservations().total(&counter);
        assert_eq!((written, counters.tally(&drained)), (2, vec![(Id::from_bits(1), 2)]));
        assert_eq!(counters.drain(false).len(), 1, "queued in case it does not become durable");
    }
}
