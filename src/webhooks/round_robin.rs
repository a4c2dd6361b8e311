//! [`RoundRobin`]: a queue that contains each key at most once.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A queue in which each key is at most once, and from which a key can be removed at any position.
#[derive(Debug)]
pub(super) struct RoundRobin<K> {
    /// Keys by their position.
    queue: BTreeMap<u64, K>,
    positions: HashMap<K, u64, ahash::RandomState>,
    // 64 bits do not wrap in the life of a process.
    last_position: u64,
}

impl<K> Default for RoundRobin<K> {
    fn default() -> RoundRobin<K> {
        RoundRobin { queue: BTreeMap::new(), positions: HashMap::default(), last_position: 0 }
    }
}

impl<K: Clone + Eq + Hash> RoundRobin<K> {
    /// Appends a key, unless the queue contains it.
    pub(super) fn push(&mut self, key: K) {
        // It keeps its place: a busy key must not move back, nor get two turns in a round.
        if !self.positions.contains_key(&key) {
            self.last_position += 1;
            self.queue.insert(self.last_position, key.clone());
            self.positions.insert(key, self.last_position);
        }
    }

    /// Removes and returns the first key.
    pub(super) fn pop(&mut self) -> Option<K> {
        let (_, key) = self.queue.pop_first()?;
        self.positions.remove(&key);
        Some(key)
    }

    /// Removes a key, at any position.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(position) = self.positions.remove(key) {
            self.queue.remove(&position);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_queued_once() {
        let mut round_robin = RoundRobin::default();
        for key in ["a", "b", "a", "c"] {
            round_robin.push(key);
        }
        round_robin.remove(&"b");
        // A key that is not queued.
        round_robin.remove(&"d");
        assert_eq!([round_robin.pop(), round_robin.pop(), round_robin.pop()], [Some("a"), Some("c"), None]);
        assert!(round_robin.is_empty() && round_robin.positions.is_empty());
    }
}
