//! Hashes of keys, for sets of keys that would take too much memory.

use ahash::RandomState;

/// A hash of 128 bits: among 10 M keys, two have the same hash once in 10^24 runs.
pub(crate) type KeyHash = [u64; 2];

/// Hashes keys. One hasher returns the same hash for the same key; another hasher has other random seeds.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    /// Creates a hasher with random seeds.
    pub(crate) fn new() -> KeyHasher {
        KeyHasher(RandomState::new(), RandomState::new())
    }

    /// Returns the hash of a key.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        [self.0.hash_one(key), self.1.hash_one(key)]
    }
}
