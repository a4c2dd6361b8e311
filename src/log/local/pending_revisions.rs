//! Revisions of keys that are logged but perhaps not applied to the table yet. With them and the table, the
//! writer finds the current revision of any key.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::log::Position;
use crate::log::key_hash::{KeyHash, KeyHasher};

/// Capacity that an empty map keeps: enough for a burst of writes. A larger one is freed.
const KEPT_KEYS: usize = 16 * 1024;

/// The keys written since the table's applied position, by hash: some 50 bytes per key, because many keys
/// are pending while an import is ahead of the table.
///
/// Invariant: every key that was written after [`PendingRevisions::trimmed`] is in the map, except click
/// totals. So for a key that is not in the map, the table has the revision of the log, once it has applied
/// that position.
#[derive(Debug)]
pub(crate) struct PendingRevisions {
    hasher: KeyHasher,
    /// The last write of each key.
    written: HashMap<KeyHash, PendingWrite, RandomState>,
    /// All writes, oldest first.
    order: VecDeque<(Position, KeyHash)>,
    trimmed: Position,
    /// The previous writes, to restore if the batch fails.
    undo: Vec<(KeyHash, Option<PendingWrite>)>,
}

/// The result of [`PendingRevisions::revision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWrite {
    /// The revision; `None` if the key was removed.
    Pending(Option<Position>),
    /// The table has the revision of the log.
    InTable,
}

/// Position and kind of a write: the lowest bit marks a removal.
#[derive(Clone, Copy, Debug)]
struct PendingWrite(u64);

impl PendingWrite {
    fn new(at: Position, removed: bool) -> PendingWrite {
        // One word in place of an option with a flag: an import may have 800,000 of them.
        PendingWrite(at.0 << 1 | u64::from(removed))
    }

    fn at(self) -> Position {
        Position(self.0 >> 1)
    }

    fn revision(self) -> Option<Position> {
        (self.0 & 1 == 0).then(|| self.at())
    }
}

impl PendingRevisions {
    /// Creates an empty map for a log that ends at `position`.
    pub(crate) fn new(position: Position) -> PendingRevisions {
        PendingRevisions {
            hasher: KeyHasher::new(),
            written: HashMap::default(),
            order: VecDeque::new(),
            trimmed: position,
            undo: Vec::new(),
        }
    }

    /// Returns the last write of a key, if the table may not have it.
    pub(crate) fn revision(&self, key: &[u8]) -> LastWrite {
        let written = self.written.get(&self.hasher.hash(key));
        written.map_or(LastWrite::InTable, |written| LastWrite::Pending(written.revision()))
    }

    /// Returns the position that the table must have applied to decide the keys that are not pending.
    pub(crate) fn trimmed(&self) -> Position {
        self.trimmed
    }

    /// Returns the number of pending writes.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Records a write at `at` in the current batch.
    pub(crate) fn write(&mut self, key: &[u8], at: Position, removed: bool) {
        let key = self.hasher.hash(key);
        let before = self.written.insert(key, PendingWrite::new(at, removed));
        self.order.push_back((at, key));
        self.undo.push((key, before));
    }

    /// Keeps the writes of the current batch, which is durable.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Reverts the writes of the current batch, which failed.
    pub(crate) fn roll_back(&mut self) {
        // In reverse order, because a batch may write a key several times.
        while let Some((key, before)) = self.undo.pop() {
            // Each write has added exactly one entry at the end.
            self.order.pop_back();
            match before {
                Some(written) => self.written.insert(key, written),
                None => self.written.remove(&key),
            };
        }
    }

    /// Drops the writes up to `applied`, which the table has applied.
    pub(crate) fn trim(&mut self, applied: Position) {
        while let Some((at, key)) = self.order.front() {
            if *at > applied {
                break;
            }
            // A later write of the same key stays pending.
            if self.written.get(key).is_some_and(|written| written.at() == *at) {
                self.written.remove(key);
            }
            self.trimmed = *at;
            self.order.pop_front();
        }
        // Only when empty: there is nothing to copy.
        if self.order.is_empty() && self.written.capacity() > KEPT_KEYS {
            (self.written, self.order) = (HashMap::default(), VecDeque::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &[u8] = b"k";

    #[test]
    fn a_write_is_pending_until_it_is_applied() {
        let mut pending = PendingRevisions::new(Position(4));
        assert_eq!(pending.revision(K), LastWrite::InTable);
        pending.write(K, Position(5), false);
        assert_eq!(pending.revision(K), LastWrite::Pending(Some(Position(5))));
        pending.write(K, Position(6), true);
        assert_eq!(pending.revision(K), LastWrite::Pending(None));
        pending.keep();
        pending.trim(Position(5));
        assert_eq!(pending.revision(K), LastWrite::Pending(None), "the later write is not applied yet");
        assert_eq!(pending.trimmed(), Position(5));
        pending.trim(Position(6));
        assert_eq!((pending.revision(K), pending.len()), (LastWrite::InTable, 0));
    }

    #[test]
    fn a_failed_batch_leaves_no_trace() {
        let mut pending = PendingRevisions::new(Position(0));
        pending.write(K, Position(1), false);
        pending.keep();
        pending.write(K, Position(2), true);
        pending.write(K, Position(3), false);
        // A second key of the same Change.
        pending.write(b"other", Position(3), false);
        pending.roll_back();
        assert_eq!(pending.revision(K), LastWrite::Pending(Some(Position(1))));
        assert_eq!(pending.revision(b"other"), LastWrite::InTable);
        assert_eq!(pending.len(), 1);
    }
}
