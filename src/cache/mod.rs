//! The cache: compiled links in memory, bounded in bytes, with their live counters.
//!
//! 1. Losing an entry loses no clicks: they are in its counter, which outlives the entry.
//! 2. An entry never outlives its record: a loaded record is cached only if no Change touched its shard since
//!    the load began ([`Cache::keep`]).

pub mod branching;
mod code;
mod code_filter;
pub mod entry;
mod shard;
mod slots;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use self::code_filter::CodeFilter;
use self::entry::Entry;
use self::shard::{Known, Shard};
use crate::clicks::registry::Counters;
use crate::model::domain::DomainNumber;
use crate::settings::BadSetting;

/// `[cache]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Memory for cached links, in bytes. 64 MiB are enough for about 270,000 plain links. Other links are
    /// read from the table when clicked.
    pub max_memory: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { max_memory: 64 * 1024 * 1024 }
    }
}

impl Settings {
    /// Fails if a value breaks a rule that its type does not express.
    pub fn check(&self) -> Result<(), BadSetting> {
        if self.max_memory < 1024 * 1024 {
            return Err(BadSetting::new("max_memory", self.max_memory, "must be at least 1048576"));
        }
        Ok(())
    }
}

/// Number of shards, each with a lock. A look-up holds a read lock for some 50 ns. With 64 shards two cores
/// rarely contend for one, even while a third writes.
const SHARDS: usize = 64;

/// Entries that [`Cache::revise`] copies under one read lock: some 30 us, for which a write waits.
const REVISED_AT_ONCE: u32 = 512;

/// The result of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The link is cached. Has the result of the closure.
    Hit(T),
    /// No such link exists.
    Absent,
    /// Unknown: the caller must read the table.
    Miss,
}

/// A handle on the cache, cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shards: Box<[RwLock<Shard>]>,
    /// Bytes per shard.
    budget: usize,
    narrow: ahash::RandomState,
    wide: ahash::RandomState,
    counters: Counters,
    /// Replaced when the table is rebuilt, which may change everything.
    codes: ArcSwap<CodeFilter>,
}

/// Fills the filter of all codes: see [`Cache::learn_all`].
#[derive(Debug)]
pub struct CodeFilterBuilder {
    cache: Cache,
    codes: Arc<CodeFilter>,
}

impl CodeFilterBuilder {
    /// Adds the code of a link.
    pub fn learn(&self, domain: DomainNumber, code: &str) {
        self.codes.learn(self.cache.hash(domain, code));
    }

    /// Ends the filling: every code of the table was added. From now on other codes are absent without a read
    /// of the table.
    pub fn complete(self) {
        self.codes.complete();
    }
}

/// The state of a shard when a load began: see [`Cache::keep`].
#[derive(Clone, Copy, Debug)]
pub struct Epoch(u64);

impl Cache {
    /// Creates an empty cache.
    pub fn new(settings: &Settings) -> Cache {
        let shared = Shared {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            // Equal parts: an eviction needs the lock of its own shard alone.
            budget: settings.max_memory / SHARDS,
            // Random keys: clients cannot choose codes whose hashes collide.
            narrow: ahash::RandomState::new(),
            // A key of its own: half of the 128 bits of an absent code do not depend on the other half.
            wide: ahash::RandomState::new(),
            counters: Counters::default(),
            // Incomplete until `learn_all` replaces it: unknown codes are misses, not absent.
            codes: ArcSwap::from_pointee(CodeFilter::new(0)),
        };
        Cache(Arc::new(shared))
    }

    /// Looks a link up and calls `on_hit` under the shard's read lock: it must not block. Costs one hash, one
    /// probe, and no allocation.
    pub fn get<T>(&self, domain: DomainNumber, code: &str, on_hit: impl FnOnce(&Entry) -> T) -> Lookup<T> {
        let hash = self.hash(domain, code);
        match self.shard(hash).read().find(hash, is(domain, code), || self.wide(hash, domain, code)) {
            Known::Entry(entry) => {
                entry.touch();
                Lookup::Hit(on_hit(entry))
            }
            // After the entries: a cached link needs no look-up in the filter.
            Known::Nothing if self.0.codes.load().may_have(hash) => Lookup::Miss,
            Known::Nothing | Known::Absent => Lookup::Absent,
        }
    }

    /// Returns the epoch of a load. Call before the table is read for [`Cache::keep`] or
    /// [`Cache::keep_absent`].
    pub fn epoch(&self, domain: DomainNumber, code: &str) -> Epoch {
        Epoch(self.shard(self.hash(domain, code)).read().invalidated)
    }

    /// Caches a link that was loaded since `epoch`, unless a Change touched its shard since. Evicts others if
    /// the shard is past its budget.
    pub fn keep(&self, epoch: Epoch, entry: Entry) {
        let hash = self.hash_of(&entry);
        let mut gone = Vec::new();
        {
            let mut shard = self.shard(hash).write();
            // A Change came since the load began, so the record may be the old one. An entry above the budget
            // would evict all others, and then itself.
            if shard.invalidated != epoch.0 || entry.weight() > self.0.budget {
                gone.push(entry);
            } else {
                let hash_of = |entry: &Entry| self.hash_of(entry);
                gone.extend(shard.insert(hash, entry, hash_of));
                while shard.bytes > self.0.budget {
                    let Some(evicted) = shard.evict(hash_of) else { break };
                    gone.push(evicted);
                }
            }
        }
        // Outside the shard's lock, so that look-ups do not wait for the registry.
        for entry in &gone {
            self.0.counters.release(&entry.counter);
        }
    }

    /// Remembers that no such link exists, unless a Change touched its shard since `epoch`.
    pub fn keep_absent(&self, epoch: Epoch, domain: DomainNumber, code: &str) {
        let hash = self.hash(domain, code);
        // Hashed before the lock is held, since look-ups wait for it.
        let wide = self.wide(hash, domain, code);
        let mut shard = self.shard(hash).write();
        if shard.invalidated == epoch.0 {
            shard.remember_absent(wide);
        }
    }

    /// Starts a new filter of codes for a rebuilt table with about `expected` links. The caller adds all
    /// codes of the table to the returned builder. Codes that Changes write concurrently are added by
    /// [`Cache::learn`].
    pub fn learn_all(&self, expected: usize) -> CodeFilterBuilder {
        let codes = Arc::new(CodeFilter::new(expected));
        // Published before it is filled: Changes that are applied during the fill add their codes to it.
        self.0.codes.store(Arc::clone(&codes));
        CodeFilterBuilder { cache: self.clone(), codes }
    }

    /// Adds the code of a link that a Change wrote. Call before the Change becomes visible.
    pub fn learn(&self, domain: DomainNumber, code: &str) {
        self.0.codes.load().learn(self.hash(domain, code));
    }

    /// Removes the entry of a link that a Change wrote or removed, and rejects the loads under way.
    pub fn invalidate(&self, domain: DomainNumber, code: &str) {
        let hash = self.hash(domain, code);
        let wide = self.wide(hash, domain, code);
        let mut shard = self.shard(hash).write();
        // Without an entry as well: a load under way may have read the old record.
        shard.invalidated += 1;
        // The Change may have created the link.
        shard.forget_absent(wide);
        if let Some(entry) = shard.remove(hash, is(domain, code), |entry| self.hash_of(entry)) {
            self.0.counters.release(&entry.counter);
        }
    }

    /// Removes every entry for which `is_it` is true, since a record that they were compiled from changed.
    /// Walks the whole cache: edits of workspaces and domains are rare, and the hit path compares no
    /// generations.
    pub fn invalidate_where(&self, is_it: impl Fn(&Entry) -> bool) {
        // One lock at a time: look-ups in other shards do not wait.
        for shard in &self.0.shards {
            let mut shard = shard.write();
            shard.invalidated += 1;
            // Links of an import that has completed are visible without a Change of their own.
            shard.forget_all_absent();
            for entry in shard.drain(&is_it, |entry| self.hash_of(entry)) {
                self.0.counters.release(&entry.counter);
            }
        }
    }

    /// Removes every entry for which `is_outdated` is true, and rejects the loads under way: what the entries were
    /// compiled with has changed, and their records have not. Look-ups continue while the entries are tested, unlike
    /// with [`Cache::invalidate_where`], so the test may be slow.
    pub fn revise(&self, is_outdated: impl Fn(&Entry) -> bool) {
        for shard in &self.0.shards {
            // 1. First: a load that began before may keep an outdated entry until here, and none from here on.
            shard.write().invalidated += 1;
            // 2. From the last slot to the first. Between two locks, an entry may move from the last slot to an
            //    earlier one, so none that was not tested moves behind `end`.
            let mut end = u32::MAX;
            while end > 0 {
                let (start, copies) = shard.read().before(end, REVISED_AT_ONCE);
                end = start;
                let outdated: Vec<Entry> = copies.into_iter().filter(&is_outdated).collect();
                self.remove_all(shard, &outdated);
            }
        }
    }

    /// Removes the entries with the addresses of these, if they are still there.
    fn remove_all(&self, shard: &RwLock<Shard>, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        let mut gone = Vec::new();
        {
            let mut shard = shard.write();
            for Entry { domain, code, .. } in entries {
                let hash = self.hash_bytes(*domain, code.as_bytes());
                let is_it =
                    |entry: &Entry| entry.domain == *domain && entry.code.as_bytes() == code.as_bytes();
                gone.extend(shard.remove(hash, is_it, |entry| self.hash_of(entry)));
            }
        }
        // Outside the shard's lock, so that look-ups do not wait for the registry.
        for entry in &gone {
            self.0.counters.release(&entry.counter);
        }
    }

    /// Returns the counters of all links, cached or not.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Returns the bytes of the filter of codes.
    pub fn codes_bytes(&self) -> usize {
        self.0.codes.load().bytes()
    }

    /// Returns the number of cached links and their bytes.
    pub fn size(&self) -> (usize, usize) {
        self.0
            .shards
            .iter()
            .map(|shard| shard.read())
            .fold((0, 0), |(links, bytes), shard| (links + shard.len(), bytes + shard.bytes))
    }

    fn hash(&self, domain: DomainNumber, code: &str) -> u64 {
        self.hash_bytes(domain, code.as_bytes())
    }

    fn hash_of(&self, entry: &Entry) -> u64 {
        self.hash_bytes(entry.domain, entry.code.as_bytes())
    }

    fn hash_bytes(&self, domain: DomainNumber, code: &[u8]) -> u64 {
        let mut hasher = self.0.narrow.build_hasher();
        domain.0.hash(&mut hasher);
        // Bytes, not `str`: an entry has bytes, and the hash of a `str` differs from theirs.
        code.hash(&mut hasher);
        hasher.finish()
    }

    fn wide(&self, hash: u64, domain: DomainNumber, code: &str) -> u128 {
        // Reuses the first hash, so that only one more is computed.
        let other = self.0.wide.hash_one((domain.0, code.as_bytes()));
        u128::from(hash) << 64 | u128::from(other)
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The hash table uses the low bits for buckets and the top seven for tags.
        &self.0.shards[(hash >> 40) as usize % SHARDS]
    }
}

fn is(domain: DomainNumber, code: &str) -> impl Fn(&Entry) -> bool {
    move |entry| entry.domain == domain && entry.code.as_bytes() == code.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::entry::Guards;
    use super::*;
    use crate::log::Position;
    use crate::model::destination::LinkType;
    use crate::model::id::Id;
    use crate::model::link::{Link, Options, sample};

    const HOME: DomainNumber = DomainNumber::DEFAULT;

    fn link(id: u128, code: &str) -> Link {
        let to = sample::url("https://example.com/some/landing/page?of=sixty&bytes=ok");
        sample::link(id, code, Options::new(to, LinkType::Url))
    }

    fn compiled(link: Link, counter: Arc<crate::clicks::counter::Counter>) -> Entry {
        let target = Ok(link.options.target());
        Entry::compile(link, counter, target)
    }

    fn load(cache: &Cache, id: u128, code: &str, in_table: u64) -> Entry {
        let epoch = cache.epoch(HOME, code);
        let counter =
            cache.counters().get_or_load(Id::from_bits(id), false, || Ok::<_, Infallible>(in_table.into()));
        let counter = counter.unwrap_or_else(|never| match never {});
        let entry = compiled(link(id, code), counter);
        cache.keep(epoch, entry.clone());
        entry
    }

    fn drained(cache: &Cache) -> Vec<(Id, u64)> {
        cache.counters().tally(&cache.counters().drain(false))
    }

    fn hit(cache: &Cache, code: &str) -> Lookup<u128> {
        cache.get(HOME, code, |entry| entry.counter.id().bits())
    }

    #[test]
    fn a_load_is_kept_until_a_change_touches_it() {
        let cache = Cache::new(&Settings::default());
        assert_eq!(hit(&cache, "a"), Lookup::Miss);
        load(&cache, 1, "a", 0);
        assert_eq!(hit(&cache, "a"), Lookup::Hit(1));
        cache.invalidate(HOME, "a");
        assert_eq!(hit(&cache, "a"), Lookup::Miss);
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn a_load_that_raced_a_change_is_not_kept() {
        let cache = Cache::new(&Settings::default());
        let epoch = cache.epoch(HOME, "a");
        cache.invalidate(HOME, "a");
        let counter = Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(1), 0));
        cache.keep(epoch, compiled(link(1, "a"), counter));
        cache.keep_absent(epoch, HOME, "a");
        assert_eq!(hit(&cache, "a"), Lookup::Miss);
    }

    #[test]
    fn absence_is_remembered_until_the_link_is_made_and_bounded() {
        let cache = Cache::new(&Settings::default());
        cache.keep_absent(cache.epoch(HOME, "a"), HOME, "a");
        assert_eq!(hit(&cache, "a"), Lookup::Absent);
        cache.invalidate(HOME, "a");
        assert_eq!(hit(&cache, "a"), Lookup::Miss);
        for n in 0..200_000 {
            let code = format!("x{n}");
            cache.keep_absent(cache.epoch(HOME, &code), HOME, &code);
        }
        let known = (0..200_000).filter(|n| hit(&cache, &format!("x{n}")) == Lookup::Absent).count();
        assert!(known <= SHARDS * 512, "{known} remembered");
        assert!(known > SHARDS * 400, "{known} remembered");
    }

    #[test]
    fn memory_is_bounded_and_hot_links_stay() {
        let cache = Cache::new(&Settings { max_memory: 1 << 20 });
        load(&cache, 0, "hot", 0);
        for n in 1..20_000 {
            load(&cache, n, &format!("c{n}"), 0);
            assert_eq!(hit(&cache, "hot"), Lookup::Hit(0), "after {n}");
        }
        let (links, bytes) = cache.size();
        assert!(bytes <= 1 << 20, "{bytes} bytes");
        assert!(links > 2_000, "{links} links");
    }

    /// A link of exactly the budget of a shard is kept, alone.
    #[test]
    fn a_link_larger_than_a_shard_is_not_kept() {
        let of = |padding: usize| {
            let mut link = link(1, "a");
            link.options.notes = Some("x".repeat(padding).into());
            // Not plain: a plain link does not keep its notes in memory.
            link.options.cloaked = true;
            compiled(link, Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(1), 0)))
        };
        let budget = (1 << 20) / SHARDS;
        let padding = budget - of(0).weight();
        for (padding, is_kept) in [(padding, true), (padding + 1, false)] {
            let cache = Cache::new(&Settings { max_memory: 1 << 20 });
            cache.keep(cache.epoch(HOME, "a"), of(padding));
            let want = if is_kept { (1, budget) } else { (0, 0) };
            assert_eq!(cache.size(), want, "{padding}");
        }
    }

    #[test]
    fn the_smallest_cache_is_of_one_mebibyte() {
        assert_eq!(Settings { max_memory: 1 << 20 }.check(), Ok(()));
        let text = Settings { max_memory: (1 << 20) - 1 }.check().expect_err("too small").to_string();
        assert!(text.contains("max_memory") && text.contains("must be at least 1048576"), "{text}");
    }

    /// The metric has the bytes of the Bloom filter.
    #[test]
    fn the_filter_of_codes_is_measured() {
        let cache = Cache::new(&Settings::default());
        let _learning = cache.learn_all(1_000_000);
        assert_eq!(cache.codes_bytes(), 64 * (12 * 1_000_000_usize).div_ceil(512));
    }

    /// The figure in the doc of [`Settings::max_memory`], with a destination of 60 bytes.
    #[test]
    fn the_default_has_the_documented_capacity() {
        let (id, code) = (1, "0000001");
        let counter = Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(id), 0));
        let mut link = link(id, code);
        link.options.destination = sample::url(&format!("https://e.test/{:045}", 0));
        let weight = compiled(link, counter).weight();
        assert_eq!((weight, Settings::default().max_memory / weight / 10_000), (245, 27));
    }

    #[test]
    fn a_counter_outlives_its_entry_until_it_is_drained() {
        let cache = Cache::new(&Settings::default());
        let entry = load(&cache, 1, "a", 5);
        cache.counters().count(&entry.counter);
        cache.invalidate(HOME, "a");
        drop(entry);
        cache.counters().sweep(Position(1), Position(1));
        // The table still has 5: the reload must not return it.
        let again = load(&cache, 1, "a", 5);
        assert_eq!(cache.counters().total(&again.counter), 6);
        let drained_counters = cache.counters().drain(false);
        assert_eq!(cache.counters().tally(&drained_counters), [(Id::from_bits(1), 6)]);
        cache.invalidate(HOME, "a");
        drop((again, drained_counters));
        cache.counters().sweep(Position(1), Position(1));
        // The sweep has forgotten the counter: the total is the table's.
        let fresh = load(&cache, 1, "a", 6);
        assert_eq!(fresh.counter.total(), 6);
    }

    #[test]
    fn two_loads_of_one_link_share_its_counter() {
        let cache = Cache::new(&Settings::default());
        let first = load(&cache, 1, "a", 0);
        cache.counters().count(&first.counter);
        // A load that began before the first was kept ends after it, with the table's old total.
        let second = load(&cache, 1, "a", 0);
        cache.counters().count(&second.counter);
        assert!(Arc::ptr_eq(&first.counter, &second.counter));
        assert_eq!(drained(&cache), [(Id::from_bits(1), 2)]);
    }

    #[test]
    fn totals_that_did_not_become_durable_are_drained_again() {
        let cache = Cache::new(&Settings::default());
        let entry = load(&cache, 1, "a", 0);
        cache.counters().count(&entry.counter);
        let drained_counters = cache.counters().drain(false);
        assert_eq!(cache.counters().tally(&drained_counters), [(Id::from_bits(1), 1)]);
        cache.counters().put_back(drained_counters);
        cache.counters().count(&entry.counter);
        assert_eq!(drained(&cache), [(Id::from_bits(1), 2)], "once, though it is queued twice");
        entry.counter.retire();
        cache.counters().count(&entry.counter);
        assert_eq!(drained(&cache), []);
    }

    /// No code is absent before all links were learnt, nor after the table was replaced.
    #[test]
    fn codes_that_were_not_learnt_are_absent() {
        let cache = Cache::new(&Settings::default());
        let builder = cache.learn_all(10);
        builder.learn(HOME, "a");
        assert_eq!(hit(&cache, "b"), Lookup::Miss, "not yet");
        cache.learn(HOME, "made-meanwhile");
        builder.complete();
        assert_eq!(hit(&cache, "b"), Lookup::Absent);
        assert_eq!(hit(&cache, "a"), Lookup::Miss);
        assert_eq!(hit(&cache, "made-meanwhile"), Lookup::Miss);
        cache.learn(HOME, "b");
        assert_eq!(hit(&cache, "b"), Lookup::Miss);
        let _learning = cache.learn_all(10);
        assert_eq!(hit(&cache, "c"), Lookup::Miss);
    }

    #[test]
    fn entries_of_a_workspace_are_invalidated_together() {
        let cache = Cache::new(&Settings::default());
        for n in 0..100 {
            load(&cache, n, &format!("c{n}"), 0);
        }
        let before = cache.epoch(HOME, "late");
        cache.keep_absent(before, HOME, "absent");
        cache.invalidate_where(|entry| entry.counter.id().bits() < 40);
        let counter = Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(100), 0));
        cache.keep(before, compiled(link(100, "late"), counter));
        assert_eq!(hit(&cache, "late"), Lookup::Miss, "compiled before it");
        assert_eq!(hit(&cache, "absent"), Lookup::Miss, "read before it");
        assert_eq!(cache.size().0, 60);
        assert_eq!(hit(&cache, "c39"), Lookup::Miss);
        assert_eq!(hit(&cache, "c40"), Lookup::Hit(40));
    }

    /// Loads run while what they compile with changes. Once a revision has ended, every entry fits it.
    #[test]
    fn m_concurrent_loads_leave_no_outdated_entry() {
        const CODES: u32 = 64;
        let (cache, version) = (Cache::new(&Settings::default()), AtomicU32::new(0));
        let (is_over, loads) = (AtomicBool::new(false), AtomicU32::new(0));
        let load = || {
            for n in (0..CODES).cycle() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let code = format!("c{n}");
                // In the order of a load: the epoch, then what the link is compiled with.
                let epoch = cache.epoch(HOME, &code);
                let guards = Guards { leads_here: false, is_denied: version.load(Ordering::SeqCst) % 2 == 1 };
                let counter = Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(n.into()), 0));
                let link = link(n.into(), &code);
                let target = Ok(link.options.target());
                cache.keep(epoch, Entry::compile_guarded(link, counter, target, guards));
                loads.fetch_add(1, Ordering::SeqCst);
            }
        };
        let outdated = std::thread::scope(|scope| {
            scope.spawn(load);
            scope.spawn(load);
            let mut outdated = 0;
            for _ in 0..200 {
                let is_denied = version.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
                cache.revise(|entry| entry.is_denied() != is_denied);
                let wrong = (0..CODES).filter(|n| {
                    let found = cache.get(HOME, &format!("c{n}"), Entry::is_denied);
                    found == Lookup::Hit(!is_denied)
                });
                outdated += wrong.count();
                // Some loads in each round.
                let target = loads.load(Ordering::SeqCst) + CODES;
                while loads.load(Ordering::SeqCst) < target {
                    std::thread::yield_now();
                }
            }
            is_over.store(true, Ordering::SeqCst);
            outdated
        });
        assert_eq!(outdated, 0);
        assert!(cache.size().0 > 0);
    }

    /// A load that used the old deny list ends before, between or behind the steps of a revision.
    #[test]
    fn m_no_outdated_entry_survives_a_revision() {
        let cache = Cache::new(&Settings::default());
        for n in 0..100 {
            load(&cache, n, &format!("c{n}"), 0);
        }
        cache.keep_absent(cache.epoch(HOME, "absent"), HOME, "absent");
        let kept = |id, code: &str, epoch| {
            let counter = Arc::new(crate::clicks::counter::Counter::new(Id::from_bits(id), 0));
            cache.keep(epoch, compiled(link(id, code), counter));
        };
        let (before, between) = (cache.epoch(HOME, "before"), cache.epoch(HOME, "between"));
        kept(30, "before", before);
        let is_outdated = |entry: &Entry| entry.counter.id().bits() < 40;
        let is_first = std::cell::Cell::new(true);
        cache.revise(|entry| {
            // Look-ups of other threads do not wait for the test.
            assert_eq!(hit(&cache, "c99"), Lookup::Hit(99));
            is_first.set(false);
            is_outdated(entry)
        });
        assert!(!is_first.get());
        kept(30, "between", between);
        assert_eq!(hit(&cache, "before"), Lookup::Miss);
        assert_eq!(hit(&cache, "between"), Lookup::Miss, "it was read before");
        assert_eq!(cache.size().0, 60);
        assert_eq!(hit(&cache, "absent"), Lookup::Absent, "codes do not depend on what is revised");
        kept(30, "behind", cache.epoch(HOME, "behind"));
        assert_eq!(hit(&cache, "behind"), Lookup::Hit(30));
    }
}
