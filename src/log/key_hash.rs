//! Keys by their hashes, where there are too many to hold themselves.

use ahash::RandomState;

/// 128 bits: among 10 M keys two are mistaken for each other once in 10^24 runs.
pub(crate) type KeyHash = [u64; 2];

/// Hashes keys, each time alike, and otherwise in the next run.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    /// One of its own.
    pub(crate) fn new() -> KeyHasher {
        KeyHasher(RandomState::new(), RandomState::new())
    }

    /// What stands for the key.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        [self.0.hash_one(key), self.1.hash_one(key)]
    }
}
