//! [`Ranking`]: keys ordered by size.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Keys ordered by size. A key of size 0 is removed.
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
    /// Adds `by` to the size of a key if `grows`, and subtracts it otherwise.
    pub(super) fn change(&mut self, key: &K, by: u32, grows: bool) {
        let before = self.sizes.get(key).copied().unwrap_or(0);
        // Saturating: more is never subtracted than was added, and a panic here would end all deliveries.
        let after = if grows { before + by } else { before.saturating_sub(by) };
        // The size is a part of the key in the order, so the old entry has to go first.
        self.order.remove(&(before, key.clone()));
        if after == 0 {
            self.sizes.remove(key);
        } else {
            self.sizes.insert(key.clone(), after);
            self.order.insert((after, key.clone()));
        }
    }

    /// Returns the largest key.
    pub(super) fn largest(&self) -> Option<&K> {
        self.order.last().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_key_is_found() {
        let mut ranking = Ranking::default();
        for (key, by, grows, want) in [
            ("a", 2, true, Some("a")),
            ("b", 3, true, Some("b")),
            ("b", 2, false, Some("a")),
            // More than its size: it is removed, and does not wrap.
            ("a", 9, false, Some("b")),
            ("b", 1, false, None),
        ] {
            ranking.change(&key, by, grows);
            assert_eq!(ranking.largest().copied(), want, "{key}");
        }
        assert!(ranking.sizes.is_empty() && ranking.order.is_empty());
    }
}
