//! Revisions of keys that are logged but perhaps not applied to the table yet. Together with the
//! table it answers "which revision has this key now?" for the one serial writer.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::log::Position;

/// Keys written since the table's applied position.
///
/// Invariant: it holds every key (but click totals) written after [`Overlay::trimmed`], so a key
/// that is missing has in the table what it has in the log, once the table has applied that far.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// The last write of each.
    written: HashMap<Bytes, Written>,
    /// Each write, oldest first.
    order: VecDeque<(Position, Bytes)>,
    trimmed: Position,
    /// What to put back when the batch fails.
    undo: Vec<(Bytes, Option<Written>)>,
}

/// See [`Overlay::revision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its revision; `None` when it was removed.
    Here(Option<Position>),
    /// The table has what the log has.
    AskTable,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    at: Position,
    removed: bool,
}

impl Overlay {
    /// Knows nothing written after `position`, where the log ends.
    pub(crate) fn new(position: Position) -> Overlay {
        Overlay { trimmed: position, ..Overlay::default() }
    }

    /// What the log knows of the key beyond the table.
    pub(crate) fn revision(&self, key: &[u8]) -> Known {
        match self.written.get(key) {
            None => Known::AskTable,
            Some(Written { removed: true, .. }) => Known::Here(None),
            Some(Written { at, .. }) => Known::Here(Some(*at)),
        }
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
    pub(crate) fn write(&mut self, key: Bytes, at: Position, removed: bool) {
        let before = self.written.insert(key.clone(), Written { at, removed });
        self.order.push_back((at, key.clone()));
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
            if self.written.get(key).is_some_and(|written| written.at == *at) {
                self.written.remove(key);
            }
            self.trimmed = *at;
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: &[u8] = b"k";

    fn key() -> Bytes {
        Bytes::from_static(K)
    }

    #[test]
    fn tells_what_is_logged_until_it_is_applied() {
        let mut overlay = Overlay::new(Position(4));
        assert_eq!(overlay.revision(K), Known::AskTable);
        overlay.write(key(), Position(5), false);
        assert_eq!(overlay.revision(K), Known::Here(Some(Position(5))));
        overlay.write(key(), Position(6), true);
        assert_eq!(overlay.revision(K), Known::Here(None));
        overlay.keep();
        overlay.trim(Position(5));
        assert_eq!(overlay.revision(K), Known::Here(None), "the later write is not applied yet");
        assert_eq!(overlay.trimmed(), Position(5));
        overlay.trim(Position(6));
        assert_eq!((overlay.revision(K), overlay.len()), (Known::AskTable, 0));
    }

    #[test]
    fn a_failed_batch_leaves_no_trace() {
        let mut overlay = Overlay::new(Position(0));
        overlay.write(key(), Position(1), false);
        overlay.keep();
        overlay.write(key(), Position(2), true);
        overlay.write(key(), Position(3), false);
        overlay.write(Bytes::from_static(b"other"), Position(3), false);
        overlay.roll_back();
        assert_eq!(overlay.revision(K), Known::Here(Some(Position(1))));
        assert_eq!(overlay.revision(b"other"), Known::AskTable);
        assert_eq!(overlay.len(), 1);
    }
}
