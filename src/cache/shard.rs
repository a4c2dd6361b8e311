//! [`Shard`]: one part of the cache under one lock: entries, found by hash and evicted by a clock hand, and
//! the codes known to be absent.

use std::collections::HashSet;

use hashbrown::HashTable;

use super::entry::Entry;
use super::slots::Slots;

/// Most codes remembered as absent per shard: 2 MB for all shards, whatever codes clients request. The oldest
/// is forgotten first.
const ABSENT_MAX: usize = 512;

/// The state of a code in the shard.
#[derive(Debug)]
pub(super) enum Known<'a> {
    Entry(&'a Entry),
    Absent,
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Places in `entries`. Each entry has exactly one here.
    index: HashTable<u32>,
    entries: Slots,
    // May be past the end after removals. [`Shard::evict`] then starts at 0.
    hand: u32,
    pub(super) bytes: usize,
    /// 128-bit keyed hashes, which never collide in practice.
    absent: HashSet<u128, ahash::RandomState>,
    // A ring once it is full: `absent_next` is the place of the oldest.
    absent_order: Vec<u128>,
    absent_next: usize,
    /// Number of Changes that touched this shard. A record that was read from the table before the last of
    /// them may be stale, so it is not cached.
    pub(super) invalidated: u64,
}

impl Shard {
    pub(super) fn find(
        &self,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
        wide: impl FnOnce() -> u128,
    ) -> Known<'_> {
        let at = self.index.find(hash, |at| is_it(self.entries.at(*at)));
        match at {
            Some(at) => Known::Entry(self.entries.at(*at)),
            // Without absent codes, the second hash is not computed.
            None if !self.absent.is_empty() && self.absent.contains(&wide()) => Known::Absent,
            None => Known::Nothing,
        }
    }

    /// Inserts an entry. Returns the entry of the same key that it replaces. Here and below `hash_of` returns
    /// the hash of an entry: it is computed again for each moved entry, since storing it would take 8 bytes.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        entry: Entry,
        hash_of: impl Fn(&Entry) -> u64,
    ) -> Option<Entry> {
        let is_it =
            |other: &Entry| other.domain == entry.domain && other.code.as_bytes() == entry.code.as_bytes();
        // Removed first: the index must not have two slots for one key.
        let old = self.remove(hash, is_it, &hash_of);
        self.bytes += entry.weight();
        let at = self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |at| hash_of(entries.at(*at)));
        old
    }

    pub(super) fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
        hash_of: impl Fn(&Entry) -> u64,
    ) -> Option<Entry> {
        let entries = &self.entries;
        let found = self.index.find_entry(hash, |at| is_it(entries.at(*at))).ok()?;
        let (at, _) = found.remove();
        Some(self.take(at, hash_of))
    }

    /// Removes the entry at a slot that the index no longer has. The last entry moves to this slot, and the
    /// index follows.
    fn take(&mut self, at: u32, hash_of: impl Fn(&Entry) -> u64) -> Entry {
        let entry = self.entries.take(at);
        let last = self.entries.len();
        if at as usize != last {
            let moved = hash_of(self.entries.at(at));
            // By slot, not by key: other entries may have the same hash.
            let slot = self.index.find_mut(moved, |slot| *slot as usize == last);
            *slot.expect("each entry has its slot") = at;
        }
        self.bytes -= entry.weight();
        entry
    }

    /// Removes the first entry under the hand that was not used since the hand last passed (the CLOCK
    /// algorithm). Cheaper than an order of use, and nearly as good. If all were used, removes one anyway.
    pub(super) fn evict(&mut self, hash_of: impl Fn(&Entry) -> u64) -> Option<Entry> {
        let len = u32::try_from(self.entries.len()).expect("slots are of 32 bits");
        if len == 0 {
            return None;
        }
        // Two rounds: the first may clear all marks.
        for _ in 0..2 * u64::from(len) {
            self.hand = if self.hand + 1 < len { self.hand + 1 } else { 0 };
            if !self.entries.at(self.hand).take_visited() {
                break;
            }
        }
        let at = self.hand;
        let hash = hash_of(self.entries.at(at));
        self.index.find_entry(hash, |slot| *slot == at).ok()?.remove();
        // The last entry moves to this slot, behind the hand: the hand reaches it in its next round.
        Some(self.take(at, hash_of))
    }

    /// Removes and returns every entry for which `is_it` is true.
    pub(super) fn drain(
        &mut self,
        is_it: impl Fn(&Entry) -> bool,
        hash_of: impl Fn(&Entry) -> u64,
    ) -> Vec<Entry> {
        let mut gone = Vec::new();
        let len = u32::try_from(self.entries.len()).expect("slots are of 32 bits");
        // From the end: the entry that fills the slot of a removed one was tested already.
        for at in (0..len).rev() {
            if !is_it(self.entries.at(at)) {
                continue;
            }
            if let Ok(found) = self.index.find_entry(hash_of(self.entries.at(at)), |slot| *slot == at) {
                found.remove();
                gone.push(self.take(at, &hash_of));
            }
        }
        gone
    }

    /// Returns copies of at most `most` entries in the slots before `end`, and the slot of the first of them.
    pub(super) fn before(&self, end: u32, most: u32) -> (u32, Vec<Entry>) {
        let end = end.min(u32::try_from(self.entries.len()).expect("slots are of 32 bits"));
        let start = end.saturating_sub(most);
        (start, (start..end).map(|at| self.entries.at(at).clone()).collect())
    }

    pub(super) fn remember_absent(&mut self, wide: u128) {
        // A second place in the ring would forget the code too early.
        if !self.absent.insert(wide) {
            return;
        }
        if self.absent_order.len() < ABSENT_MAX {
            self.absent_order.push(wide);
        } else {
            let oldest = std::mem::replace(&mut self.absent_order[self.absent_next], wide);
            self.absent.remove(&oldest);
            self.absent_next = (self.absent_next + 1) % ABSENT_MAX;
        }
    }

    pub(super) fn forget_absent(&mut self, wide: u128) {
        // It stays in `absent_order` until it is the oldest. A second removal does nothing.
        self.absent.remove(&wide);
    }

    pub(super) fn forget_all_absent(&mut self) {
        self.absent.clear();
        self.absent_order.clear();
        self.absent_next = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clicks::counter::Counter;
    use crate::model::domain::DomainNumber;
    use crate::model::id::Id;
    use crate::model::link::sample;

    fn entry(n: u32) -> Entry {
        let id = Id::from_bits(n.into());
        let link = sample::link(n.into(), &format!("c{n}"), sample::plain());
        let target = Ok(link.options.target());
        Entry::compile(link, Arc::new(Counter::new(id, 0)), target)
    }

    /// Few values, so that entries of different codes collide in the table.
    fn hash_of(entry: &Entry) -> u64 {
        u64::try_from(number(entry) % 7).expect("small")
    }

    fn number(entry: &Entry) -> u128 {
        entry.counter.id().bits()
    }

    fn shard(numbers: std::ops::Range<u32>) -> Shard {
        let mut shard = Shard::default();
        for n in numbers {
            let entry = entry(n);
            assert!(shard.insert(hash_of(&entry), entry, hash_of).is_none());
        }
        shard
    }

    fn has(shard: &Shard, n: u32) -> bool {
        let wanted = entry(n);
        let is_it = |entry: &Entry| entry.code.as_bytes() == wanted.code.as_bytes();
        matches!(shard.find(hash_of(&wanted), is_it, || 0), Known::Entry(found) if number(found) == u128::from(n))
    }

    #[test]
    fn an_entry_takes_the_place_of_the_same_code_alone() {
        let mut shard = shard(0..20);
        let (again, mut elsewhere) = (entry(3), entry(3));
        elsewhere.domain = DomainNumber(9);
        let old = shard.insert(hash_of(&again), again, hash_of).expect("there is one");
        assert_eq!((number(&old), shard.len(), shard.bytes), (3, 20, 20 * old.weight()));
        assert!(shard.insert(hash_of(&elsewhere), elsewhere, hash_of).is_none(), "of another domain");
        assert_eq!(shard.len(), 21);
    }

    #[test]
    fn a_used_entry_survives_one_round_of_the_hand() {
        let mut shard = shard(0..20);
        for at in (0..20).step_by(2) {
            shard.entries.at(at).touch();
        }
        // Up to the end of the entries: the last ones have filled the gaps.
        let gone: Vec<u128> = (0..7).map(|_| number(&shard.evict(hash_of).expect("one"))).collect();
        assert_eq!(gone, [1, 3, 5, 7, 9, 11, 13]);
        assert!((0..20).all(|n| has(&shard, n) == (n % 2 == 0 || n > 13)));
        // If all were used, one is removed anyway.
        for at in 0..13 {
            shard.entries.at(at).touch();
        }
        for left in (0..13).rev() {
            assert!(shard.evict(hash_of).is_some());
            assert_eq!(shard.len(), left);
        }
        assert!(shard.evict(hash_of).is_none());
        assert_eq!(shard.bytes, 0);
    }

    #[test]
    fn drain_removes_the_selected_entries_only() {
        let mut shard = shard(0..100);
        let gone = shard.drain(|entry| number(entry) % 3 != 1, hash_of);
        assert_eq!((gone.len(), shard.len()), (67, 33));
        assert_eq!(shard.bytes, 33 * gone[0].weight());
        assert!((0..100).all(|n| has(&shard, n) == (n % 3 == 1)));
        let wanted = entry(4);
        let is_it = |entry: &Entry| entry.code.as_bytes() == wanted.code.as_bytes();
        assert!(shard.remove(hash_of(&wanted), is_it, hash_of).is_some());
        assert!(!has(&shard, 4));
    }

    fn is_absent(shard: &Shard, wide: u128) -> bool {
        matches!(shard.find(0, |_| false, || wide), Known::Absent)
    }

    #[test]
    fn the_oldest_absent_code_is_forgotten_first() {
        let most = ABSENT_MAX as u128;
        let mut shard = Shard::default();
        for wide in 0..2 * most + 10 {
            shard.remember_absent(wide);
            // A known code is remembered once.
            shard.remember_absent(wide);
            let oldest = (wide + 1).saturating_sub(most);
            assert!(is_absent(&shard, oldest), "{oldest} after {wide}");
            assert!(oldest == 0 || !is_absent(&shard, oldest - 1), "{oldest} after {wide}");
        }
        assert_eq!(shard.absent.len(), ABSENT_MAX);
        shard.forget_absent(2 * most);
        assert!(!is_absent(&shard, 2 * most) && is_absent(&shard, 2 * most + 1));
        shard.forget_all_absent();
        assert!(!is_absent(&shard, 2 * most + 1));
        for wide in 0..most {
            shard.remember_absent(wide);
        }
        assert!(is_absent(&shard, 0), "all of them have room again");
    }
}
