//! [`Keys`]: numbers the keys of a facet over all parts of a question.

use ahash::RandomState;
use hashbrown::HashTable;

use super::facet::FacetKey;

/// The keys that a question met. A key is in memory once, since there can be a million links.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    all: Vec<FacetKey>,
    numbers: HashTable<u32>,
    // Random: visitors choose the texts, and must not be able to choose equal hashes.
    hasher: RandomState,
}

impl Keys {
    /// Returns the number of a key, and whether the key is new.
    pub(super) fn number(&mut self, key: FacetKey) -> (u32, bool) {
        let (keys, hasher) = (&mut self.all, &self.hasher);
        let hash = hasher.hash_one(&key);
        if let Some(number) = self.numbers.find(hash, |number| keys[*number as usize] == key) {
            return (*number, false);
        }
        let number = u32::try_from(keys.len()).expect("fewer than cells");
        keys.push(key);
        self.numbers.insert_unique(hash, number, |number| hasher.hash_one(&keys[*number as usize]));
        (number, true)
    }

    /// Returns whether a key has a number.
    pub(super) fn contains(&self, key: &FacetKey) -> bool {
        let hash = self.hasher.hash_one(key);
        self.numbers.find(hash, |number| self.all[*number as usize] == *key).is_some()
    }

    /// Returns the bytes of memory that they have outside of themselves.
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self.all.iter().map(FacetKey::heap_bytes).sum();
        // A place of the table is a number and a byte of its hash.
        texts + self.all.capacity() * size_of::<FacetKey>() + self.numbers.capacity() * (size_of::<u32>() + 1)
    }

    /// Returns a key by its number.
    pub(super) fn get(&self, number: u32) -> &FacetKey {
        &self.all[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_number() {
        let mut keys = Keys::default();
        // The number 1 and the text `1` are different keys. A thousand keys make the table grow.
        let all: Vec<_> =
            (0..1_000).map(FacetKey::Number).chain([FacetKey::None, FacetKey::text("1")]).collect();
        for is_new in [true, false] {
            for (number, key) in (0..).zip(&all) {
                assert_eq!(keys.number(key.clone()), (number, is_new));
                assert_eq!(keys.get(number), key);
            }
        }
    }
}
