//! The table's files as sled reads them, for tests that damage pairs in its leaves.

use std::path::Path;
use std::time::{Duration, Instant};

/// The segment size of the table's files. sled refuses to open them with another one.
const SEGMENT: usize = 512 * 1024;

/// The files of a table that no process has open.
pub(crate) struct Leaves(sled::Db);

type Pair = (Vec<u8>, Vec<u8>);

impl Leaves {
    /// Opens the table of a data folder. Retries, because a child process that another test starts at this
    /// moment may hold a copy of the lock that was just released.
    pub(crate) fn open(data: &Path) -> Leaves {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            match sled::Config::new().path(data.join("table")).segment_size(SEGMENT).open() {
                Ok(db) => return Leaves(db),
                Err(error) => assert!(Instant::now() < end, "sled opens: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Replaces or removes the value of a key. Returns whether the key existed.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        let found = self.0.range(&key[..1]..=key).next_back().expect("a leaf of this kind");
        let (first, leaf) = found.expect("readable");
        let mut pairs = pairs(&leaf);
        let before = pairs.len();
        pairs.retain(|(at, _)| at != key);
        let was_there = pairs.len() < before;
        pairs.extend(value.map(|value| (key.to_vec(), value.to_vec())));
        pairs.sort();
        let mut leaf = Vec::new();
        for pair in pairs {
            bincode::encode_into_std_write(pair, &mut leaf, bincode::config::standard()).expect("encoded");
        }
        self.0.insert(first, leaf).expect("written");
        was_there
    }

    /// Returns the keys of a kind.
    pub(crate) fn keys(&self, kind: u8) -> Vec<Vec<u8>> {
        let leaves = self.0.scan_prefix([kind]).map(|leaf| leaf.expect("readable").1);
        leaves.flat_map(|leaf| pairs(&leaf)).map(|(key, _)| key).collect()
    }

    /// Removes all pairs of a kind.
    pub(crate) fn remove_kind(&self, kind: u8) {
        for leaf in self.0.scan_prefix([kind]) {
            self.0.remove(leaf.expect("readable").0).expect("removed");
        }
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.flush().expect("flushed");
    }
}

fn pairs(mut leaf: &[u8]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    while !leaf.is_empty() {
        let (pair, used) = bincode::decode_from_slice(leaf, bincode::config::standard())
            .expect("pairs, one after the other");
        pairs.push(pair);
        leaf = &leaf[used..];
    }
    pairs
}
