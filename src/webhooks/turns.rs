//! Two small orders of the scheduler: a line in which each stands once, and a ranking by size.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// A line in which each key stands at most once and can be taken out anywhere.
#[derive(Debug)]
pub(super) struct Turns<K> {
    line: BTreeMap<u64, K>,
    at: HashMap<K, u64, ahash::RandomState>,
    next: u64,
}

impl<K> Default for Turns<K> {
    fn default() -> Turns<K> {
        Turns { line: BTreeMap::new(), at: HashMap::default(), next: 0 }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Puts a key at the end of the line, unless it stands in it.
    pub(super) fn push(&mut self, key: K) {
        if !self.at.contains_key(&key) {
            self.next += 1;
            self.line.insert(self.next, key.clone());
            self.at.insert(key, self.next);
        }
    }

    /// Takes the first key out.
    pub(super) fn pop(&mut self) -> Option<K> {
        let (_, key) = self.line.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// Takes a key out wherever it stands.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(at) = self.at.remove(key) {
            self.line.remove(&at);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// Keys by size; those of size 0 are not kept.
#[derive(Debug)]
pub(super) struct Ranking<K> {
    sizes: HashMap<K, u32, ahash::RandomState>,
    order: BTreeSet<(u32, K)>,
}

impl<K: Ord> Default for Ranking<K> {
    fn default() -> Ranking<K> {
        Ranking { sizes: HashMap::default(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Ranking<K> {
    /// Makes a key larger, or, unless `grows`, smaller.
    pub(super) fn change(&mut self, key: &K, by: u32, grows: bool) {
        let before = self.sizes.get(key).copied().unwrap_or(0);
        let after = if grows { before + by } else { before.saturating_sub(by) };
        self.order.remove(&(before, key.clone()));
        if after == 0 {
            self.sizes.remove(key);
        } else {
            self.sizes.insert(key.clone(), after);
            self.order.insert((after, key.clone()));
        }
    }

    /// Returns the largest.
    pub(super) fn first(&self) -> Option<&K> {
        self.order.last().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_in_line_once() {
        let mut turns = Turns::default();
        for key in ["a", "b", "a", "c"] {
            turns.push(key);
        }
        turns.remove(&"b");
        turns.remove(&"d");
        assert_eq!([turns.pop(), turns.pop(), turns.pop()], [Some("a"), Some("c"), None]);
        assert!(turns.is_empty() && turns.at.is_empty());
    }

    #[test]
    fn the_largest_is_first() {
        let mut ranking = Ranking::default();
        for (key, by, grows, want) in [
            ("a", 2, true, Some("a")),
            ("b", 3, true, Some("b")),
            ("b", 2, false, Some("a")),
            ("a", 9, false, Some("b")),
            ("b", 1, false, None),
        ] {
            ranking.change(&key, by, grows);
            assert_eq!(ranking.first().copied(), want, "{key}");
        }
        assert!(ranking.sizes.is_empty() && ranking.order.is_empty());
    }
}
