//! Revisions of keys that are logged but perhaps not applied to the table yet. Together with the
//! table it answers "which revision has this key now?" for the one serial writer.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::log::Position;
use crate::log::key_hash::{KeyHash, KeyHasher};

/// Room for so many keys is kept when none is left: what a burst of writes takes at most.
const KEPT_KEYS: usize = 16 * 1024;

/// Keys written since the table's applied position, by their hashes: some 50 bytes each, so that many
/// may wait while an import is ahead of the table.
///
/// Invariant: it holds every key (but click totals) written after [`PendingRevisions::trimmed`], so a key
/// that is missing has in the table what it has in the log, once the table has applied that far.
#[derive(Debug)]
pub(crate) struct PendingRevisions {
    hasher: KeyHasher,
    /// The last write of each.
    written: HashMap<KeyHash, PendingWrite, RandomState>,
    /// Each write, oldest first.
    order: VecDeque<(Position, KeyHash)>,
    trimmed: Position,
    /// What to put back when the batch fails.
    undo: Vec<(KeyHash, Option<PendingWrite>)>,
}

/// See [`PendingRevisions::revision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWrite {
    /// Its revision; `None` when it was removed.
    Pending(Option<Position>),
    /// The table has what the log has.
    InTable,
}

/// When, and what: a removal is in the lowest bit.
#[derive(Clone, Copy, Debug)]
struct PendingWrite(u64);

impl PendingWrite {
    fn new(at: Position, removed: bool) -> PendingWrite {
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
    /// Knows nothing written after `position`, where the log ends.
    pub(crate) fn new(position: Position) -> PendingRevisions {
        PendingRevisions {
            hasher: KeyHasher::new(),
            written: HashMap::default(),
            order: VecDeque::new(),
            trimmed: position,
            undo: Vec::new(),
        }
    }

    /// What the log knows of the key beyond the table.
    pub(crate) fn revision(&self, key: &[u8]) -> LastWrite {
        let written = self.written.get(&self.hasher.hash(key));
        written.map_or(LastWrite::InTable, |written| LastWrite::Pending(written.revision()))
    }

    /// The table must have applied up to here to answer for the others.
    pub(crate) fn trimmed(&self) -> Position {
        self.trimmed
    }

    /// Writes held.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// A key was written at `at` in the batch being made.
    pub(crate) fn write(&mut self, key: &[u8], at: Position, removed: bool) {
        let key = self.hasher.hash(key);
        let before = self.written.insert(key, PendingWrite::new(at, removed));
        self.order.push_back((at, key));
        self.undo.push((key, before));
    }

    /// The batch is durable.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The batch never happened.
    pub(crate) fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            self.order.pop_back();
            match before {
                Some(written) => self.written.insert(key, written),
                None => self.written.remove(&key),
            };
        }
    }

    /// The table has applied everything up to `applied`.
    pub(crate) fn trim(&mut self, applied: Position) {
        while let Some((at, key)) = self.order.front() {
            if *at > applied {
                break;
            }
            if self.written.get(key).is_some_and(|written| written.at() == *at) {
                self.written.remove(key);
            }
            self.trimmed = *at;
            self.order.pop_front();
        }
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
    fn tells_what_is_logged_until_it_is_applied() {
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
        pending.write(b"other", Position(3), false);
        pending.roll_back();
        assert_eq!(pending.revision(K), LastWrite::Pending(Some(Position(1))));
        assert_eq!(pending.revision(b"other"), LastWrite::InTable);
        assert_eq!(pending.len(), 1);
    }
}
