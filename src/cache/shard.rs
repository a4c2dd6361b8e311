//! One part of the cache under one lock: entries in a vector, found by hash, evicted by a clock
//! hand; and the codes known to be absent.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;

use super::entry::Entry;

/// Codes remembered as absent per shard: at 16 bytes and their share of a table, 2 MB for all
/// shards, whatever strangers ask for. The oldest is forgotten first.
const ABSENT_MAX: usize = 512;

/// What the cache knows about a code.
#[derive(Debug)]
pub(super) enum Known<'a> {
    Entry(&'a Arc<Entry>),
    Absent,
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Positions in `entries`.
    index: HashTable<u32>,
    entries: Vec<(u64, Arc<Entry>)>,
    hand: usize,
    pub(super) bytes: usize,
    /// 128-bit keyed hashes: equal ones do not happen.
    absent: HashSet<u128, ahash::RandomState>,
    absent_order: Vec<u128>,
    absent_next: usize,
    /// How often Changes touched this shard. What was read from the table before the last may be
    /// stale, and is not kept.
    pub(super) invalidated: u64,
}

impl Shard {
    pub(super) fn find(
        &self,
        hash: u64,
        is_it: impl Fn(&Entry) -> bool,
        wide: impl FnOnce() -> u128,
    ) -> Known<'_> {
        let at = self.index.find(hash, |at| is_it(&self.entries[*at as usize].1));
        match at {
            Some(at) => Known::Entry(&self.entries[*at as usize].1),
            None if !self.absent.is_empty() && self.absent.contains(&wide()) => Known::Absent,
            None => Known::Nothing,
        }
    }

    /// Puts an entry in, in place of one of the same key; returns what left.
    pub(super) fn insert(&mut self, hash: u64, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let old = self.remove(hash, |other| other.domain == entry.domain && other.code == entry.code);
        self.bytes += entry.weight();
        let at = u32::try_from(self.entries.len()).expect("a shard holds fewer than 2^32 links");
        self.entries.push((hash, entry));
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |at| entries[*at as usize].0);
        old
    }

    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&Entry) -> bool) -> Option<Arc<Entry>> {
        let entries = &self.entries;
        let found = self.index.find_entry(hash, |at| is_it(&entries[*at as usize].1)).ok()?;
        let (at, _) = found.remove();
        Some(self.take(at))
    }

    /// Takes the entry out of the vector whose place in the index is already gone, and tells the
    /// index where the last entry, which fills its place, now is.
    fn take(&mut self, at: u32) -> Arc<Entry> {
        let last = u32::try_from(self.entries.len() - 1).expect("a shard holds fewer than 2^32 links");
        let (_, entry) = self.entries.swap_remove(at as usize);
        if at != last {
            let moved = self.entries[at as usize].0;
            let place = self.index.find_mut(moved, |place| *place == last).expect("each entry has its place");
            *place = at;
        }
        self.bytes -= entry.weight();
        entry
    }

    /// Takes out the first entry under the hand that was not used since the hand last passed
    /// (CLOCK): cheaper to keep than an order of use, and nearly as good.
    pub(super) fn evict(&mut self) -> Option<Arc<Entry>> {
        if self.entries.is_empty() {
            return None;
        }
        // Two rounds: the first may clear every mark.
        for _ in 0..2 * self.entries.len() {
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            if !self.entries[self.hand].1.take_visited() {
                break;
            }
        }
        let at = u32::try_from(self.hand).expect("a shard holds fewer than 2^32 links");
        let hash = self.entries[self.hand].0;
        let place = self.index.find_entry(hash, |place| *place == at).ok()?;
        place.remove();
        Some(self.take(at))
    }

    /// Takes out every entry of which `is_it` holds.
    pub(super) fn drain(&mut self, is_it: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let going: Vec<(u64, Arc<Entry>)> = self.entries.iter().filter(|(_, e)| is_it(e)).cloned().collect();
        for (hash, entry) in &going {
            self.remove(*hash, |other| std::ptr::eq(other, Arc::as_ptr(entry)));
        }
        going.into_iter().map(|(_, entry)| entry).collect()
    }

    pub(super) fn remember_absent(&mut self, wide: u128) {
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
        // Its place in the order stays until its turn comes; removing it twice is harmless.
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
