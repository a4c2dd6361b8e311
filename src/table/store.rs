//! [`Store`]: sled, by the few of its calls that are safe. Facts about sled 0.34.7, measured, that shape this
//! file:
//!
//! 1. `flush` does not reach the disk: [`Store::flush`] syncs the file afterwards.
//! 2. A damaged file makes sled panic when the file is opened or the damaged part is read: [`call`] catches
//!    it. It also panics when it is dropped on a failing disk.
//! 3. An I/O error is permanent: the owner of a failed store drops it and opens it again.
//! 4. `flush_async` with several callers hangs, and batches and transactions block readers: none is used.
//! 5. `insert` and `flush` block: they never run on a runtime worker.
//! 6. Each page costs memory and has few keys: pairs are kept in leaves ([`super::leaf`]).

use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;
use sled::IVec;

use super::error::{Error, StoreError};
use super::keys;
use super::leaf::{self, Edit, NewLeaf};
use super::record::{read_pair, write_pair};
use crate::private_files;

/// How often [`Store::count_page`] reads a page again. sled counts a page against its capacity, and evicts
/// others, only after 64 reads in one of its 256 parts. Pages read once each could exceed the capacity by
/// 16,384 pages, 130 MB. With 15 more reads, each some 0.5 us, the excess is a sixteenth of that.
const REREADS: usize = 15;

/// Bytes of a segment of sled's file and of one of its write buffers: sled's default. The first writes after an open
/// visit all segments once for each segment, and sled frees no page that any thread reads in this time: with a million
/// links and a quarter of this size, 0.7 s and 80 MB. The time is 16 times less for four times the size.
const SEGMENT: usize = 512 * 1024;

/// [`SEGMENT`] of the first versions with leaves.
const EARLIER_SEGMENT: usize = 128 * 1024;

/// sled's data file, whose lock a process holds while it has the table open.
const SLED_FILE: &str = "db";

/// A pair, copied out of its leaf.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// One open sled tree.
#[derive(Debug)]
pub(super) struct Store {
    /// `None` only during `drop`.
    db: Option<sled::Db>,
    /// sled's data file, kept open so that a sync needs no new descriptor.
    file: File,
    path: PathBuf,
    /// Whether a version before leaves wrote the table, with one key of sled for each pair. Such a table is
    /// read, but rebuilt instead of written.
    is_plain: bool,
    counted: Mutex<Counted>,
}

/// The last leaves whose pages sled was made to count.
#[derive(Debug, Default)]
struct Counted {
    leaves: [IVec; 8],
    next: usize,
}

impl Counted {
    /// Notes a leaf. Returns whether it was among the last ones already.
    fn again(&mut self, first: IVec) -> bool {
        if self.leaves.contains(&first) {
            return true;
        }
        self.leaves[self.next] = first;
        self.next = (self.next + 1) % self.leaves.len();
        false
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // By hand, inside of `catch_unwind`: sled may panic in its own `drop`.
        let db = self.db.take();
        // The owner reports the error that made it close the store, so this one is only a warning.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(db))) {
            tracing::warn!(why = panic_text(panic.as_ref()), "sled panicked while the table was closed");
        }
    }
}

impl Store {
    /// Opens the store in `dir`, and creates it if there is none. Fails with [`StoreError::InUse`] if a
    /// process has it open.
    pub(super) fn open(dir: &Path, cache_capacity: u64) -> Result<Store, StoreError> {
        // Before sled opens the files: on some of them it would hang.
        check_files(dir)?;
        // sled leaves file modes to the umask. Files that it creates later are protected by the folder's
        // mode.
        let strange = |source| StoreError::Strange { path: dir.to_owned(), source };
        private_files::create_folder(dir).map_err(strange)?;
        restrict(dir);
        // No flush by sled itself: the table's thread syncs the file as well, and stops on a full disk.
        let config = sled::Config::new().path(dir).cache_capacity(cache_capacity).flush_every_ms(None);
        let open_with = |segment| call(|| config.clone().segment_size(segment).open());
        let opened = match open_with(SEGMENT) {
            // sled opens files only with the size that they were written with.
            Err(StoreError::Sled(sled::Error::Unsupported(_))) => open_with(EARLIER_SEGMENT),
            opened => opened,
        };
        let db = opened.map_err(|error| match error {
            // sled has no error kind for this. Its version is pinned, and with it this text.
            StoreError::Sled(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock") =>
            {
                StoreError::InUse
            }
            error => error,
        })?;
        // Again, for the files that sled has just created.
        restrict(dir);
        let path = dir.join(SLED_FILE);
        let file = open(&path)?;
        let is_plain = is_plain(&db)?;
        Ok(Store { db: Some(db), file, path, is_plain, counted: Mutex::default() })
    }

    /// Converts a pair of sled into a leaf: itself, or the pair of a version before leaves.
    pub(super) fn leaf_of(&self, (key, value): (IVec, IVec)) -> (IVec, IVec) {
        if !self.is_plain {
            return (key, value);
        }
        let mut leaf = Vec::new();
        write_pair(&mut leaf, (&key, &value));
        (key, leaf.into())
    }

    pub(super) fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("it is taken by drop only")
    }

    /// Returns the leaf that a key is in or would be in.
    fn leaf(&self, key: &[u8]) -> Result<Option<(IVec, IVec)>, StoreError> {
        // From the kind on: a leaf of another kind cannot have the key.
        let found = call(|| self.db().range(kind(key)..=key).next_back().transpose())?;
        Ok(found.map(|leaf| self.leaf_of(leaf)))
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some((first, mut leaf)) = self.leaf(key)? else { return Ok(None) };
        // Many callers read random keys, each likely in a page of its own: visitors' links, the scrub's entries.
        self.count(first, key)?;
        // A concurrent split may have moved the key to a later leaf, so the look-up is repeated. A split
        // moves pairs from the end of a leaf only: if pairs follow the key here, it was not moved.
        if !leaf::ends_behind(&leaf, key)? && leaf::find(&leaf, key)?.is_none() {
            leaf = self.leaf_before(Some(&successor(key)))?.map_or_else(IVec::default, |(_, leaf)| leaf);
        }
        Ok(leaf::find(&leaf, key)?.map(<[u8]>::to_vec))
    }

    /// Returns the last leaf before `end`, or of all. A split writes the upper leaf before it shortens the
    /// lower one. sled may still read the page of the upper one before that and the lower one after it. A
    /// result that is the same twice in a row is from a moment without a split.
    pub(super) fn leaf_before(&self, end: Option<&[u8]>) -> Result<Option<(IVec, IVec)>, StoreError> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let look = || call(|| self.db().range::<&[u8], _>((Bound::Unbounded, end)).next_back().transpose());
        let mut found = look()?;
        loop {
            let again = look()?;
            if again == found {
                return Ok(found.map(|leaf| self.leaf_of(leaf)));
            }
            found = again;
        }
    }

    /// Makes sled count the page of a leaf that was just read or written, unless the leaf is among the last ones that
    /// were counted. `key` is in the leaf.
    fn count(&self, leaf: IVec, key: &[u8]) -> Result<(), StoreError> {
        if self.counted.lock().again(leaf) { Ok(()) } else { self.count_page(key) }
    }

    /// Makes sled count the page of a key that a walk just found, unless its leaf is among the last ones that were counted.
    pub(super) fn count_found(&self, key: &[u8]) -> Result<(), StoreError> {
        self.leaf(key)?.map_or(Ok(()), |(first, _)| self.count(first, key))
    }

    /// Makes sled count the page of a key that was just read: see [`REREADS`].
    pub(super) fn count_page(&self, key: &[u8]) -> Result<(), StoreError> {
        for _ in 0..REREADS {
            call(|| self.db().get(key))?;
        }
        Ok(())
    }

    /// Returns the pair of this key or, without it, of the greatest key before it. Both cases take the same
    /// steps.
    pub(super) fn at_or_before(&self, key: &[u8]) -> Result<Option<Pair>, Error> {
        let mut end = IVec::from(successor(key));
        while let Some((first, leaf)) = self.leaf_before(Some(&end))? {
            if let Some((key, value)) = leaf::before(&leaf, &end)? {
                return Ok(Some((key.to_vec(), value.to_vec())));
            }
            // This leaf has only pairs behind the key. The greatest one before it is in an earlier leaf.
            end = first;
        }
        Ok(None)
    }

    /// Writes one pair.
    pub(super) fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        self.write(&[Edit { key: Bytes::copy_from_slice(key), value: Some(value) }])
    }

    /// Removes one pair, if it exists.
    pub(super) fn remove(&self, key: &[u8]) -> Result<(), Error> {
        self.write(&[Edit { key: Bytes::copy_from_slice(key), value: None }])
    }

    /// Writes and removes pairs, sorted by key, each key once. Only one thread may write at a time. A
    /// concurrent reader finds each key in its old or its new state.
    pub(super) fn write(&self, mut edits: &[Edit]) -> Result<(), Error> {
        while let Some(edit) = edits.first() {
            edits = self.write_leaf(&edit.key, edits)?;
        }
        Ok(())
    }

    /// Applies the edits that belong into the leaf of `key`, the key of the first edit. Returns the others.
    fn write_leaf<'a>(&self, key: &[u8], edits: &'a [Edit]) -> Result<&'a [Edit], Error> {
        debug_assert!(!self.is_plain, "a table of an earlier version is only read");
        let kind = kind(key);
        let found = self.leaf(key)?;
        // The first leaf of a kind has the kind alone as its key, so that every key of the kind sorts behind
        // it.
        let (first, old) = found.unwrap_or_else(|| (IVec::from(kind), IVec::default()));
        let behind = (Bound::Excluded(&*first), Bound::Unbounded);
        let end = call(|| self.db().range::<&[u8], _>(behind).next().transpose())?.map(|(first, _)| first);
        let belongs = |key: &[u8]| key.starts_with(kind) && end.as_ref().is_none_or(|end| key < &**end);
        // The edits are sorted: those of this leaf come first.
        let (edits, others) = edits.split_at(edits.partition_point(|edit| belongs(&edit.key)));
        let leaves = leaf::edit(&old, end.as_deref(), edits)?;
        if leaves.is_empty() {
            self.remove_leaf(&first)?;
            return Ok(others);
        }
        self.put(&first, &old, &leaves)?;
        self.count(first, key)?;
        Ok(others)
    }

    /// Writes the leaves that replace a leaf.
    fn put(&self, first: &[u8], old: &[u8], leaves: &[NewLeaf]) -> Result<(), StoreError> {
        let Some((lowest, higher)) = leaves.split_first() else {
            // All pairs were copies of those in the next leaf. An empty leaf is valid, and the next write
            // fills or removes it.
            call(|| self.db().insert(first, &[]))?;
            return Ok(());
        };
        // The highest first: a pair may be in two leaves for a moment, but always in one.
        for leaf in higher.iter().rev() {
            call(|| self.db().insert(&leaf.first, &*leaf.bytes))?;
        }
        // An append to a full leaf leaves the leaf itself as it is.
        if lowest.bytes != *old {
            call(|| self.db().insert(first, &*lowest.bytes))?;
        }
        Ok(())
    }

    /// Removes a leaf without pairs. A crash during a split may have left its pairs in the leaf before it as
    /// well. They are removed there first: without this leaf they would count again.
    fn remove_leaf(&self, first: &[u8]) -> Result<(), Error> {
        let before = call(|| self.db().range(kind(first)..first).next_back().transpose())?;
        if let Some((key, old)) = before {
            self.put(&key, &old, &leaf::edit(&old, Some(first), &[])?)?;
        }
        call(|| self.db().remove(first))?;
        Ok(())
    }

    /// Makes all writes so far durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        // sled writes its buffers to the file, without a sync.
        call(|| self.db().flush())?;
        self.file.sync_data().map_err(|source| StoreError::Sync { path: self.path.clone(), source })
    }

    /// Returns the bytes of sled's files, 0 if that fails.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.db().size_on_disk().unwrap_or(0)
    }
}

/// Returns whether a version before leaves wrote the store.
fn is_plain(db: &sled::Db) -> Result<bool, StoreError> {
    for key in [keys::INDEX_VERSION, keys::APPLIED] {
        // A plain table has the bare value under this key. A leaf has a pair that begins with the key.
        if let Some(leaf) = call(|| db.get(key))? {
            return Ok(!read_pair(&leaf).is_ok_and(|((first, _), _)| first == key));
        }
    }
    Ok(false)
}

/// Returns the first key that sorts behind this one.
pub(super) fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Returns the kind of a key as its prefix. A leaf has pairs of one kind only.
fn kind(key: &[u8]) -> &[u8] {
    key.get(..1).unwrap_or_default()
}

/// Fails if sled would block on a pipe, read a device, or report the lock of a running process as damage.
fn check_files(dir: &Path) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::Strange { path: dir.to_owned(), source }),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == SLED_FILE && is_in_use(dir)? {
            return Err(StoreError::InUse);
        }
        let name = name.to_string_lossy();
        if name == "blobs" {
            // Each value too large for sled's data file has its own file.
            check_files(&path)?;
        } else if name == "conf" || name.starts_with("snap.") || name.parse::<u64>().is_ok() {
            // Numbers are the names of sled's blob files.
            open(&path)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, StoreError> {
    let opened = private_files::open_regular(path, File::options().read(true));
    opened.map_err(|source| StoreError::Strange { path: path.to_owned(), source })
}

/// Returns whether a process has sled's data file in `dir` open. Changes nothing.
pub(super) fn is_in_use(dir: &Path) -> Result<bool, StoreError> {
    // The lock ends with the file, which is closed here: sled may lock it next.
    Ok(private_files::lock(&open(&dir.join(SLED_FILE))?) == Err(Errno::WOULDBLOCK))
}

/// Removes the rights of other users from the table's files. Logs a warning if that fails: the table of
/// another user still works.
fn restrict(dir: &Path) {
    if let Err(error) = private_files::restrict(dir) {
        tracing::warn!(%error, "other users may read the table, which contains password hashes");
    }
}

/// Calls sled and catches its panic: it panics at some damage, also in parts that are read long after the
/// open.
pub(super) fn call<T>(sled: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    // Unwind safe: the owner of a store that has panicked closes it.
    match catch_unwind(AssertUnwindSafe(sled)) {
        Ok(done) => done.map_err(StoreError::from),
        Err(panic) => Err(StoreError::Panicked(panic_text(panic.as_ref()))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns a pseudo-random number of 31 bits.
    fn next(seed: &mut u64) -> usize {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).expect("31 bits")
    }

    type Map = BTreeMap<Vec<u8>, Vec<u8>>;

    fn key(number: usize) -> Vec<u8> {
        // Three kinds, since a leaf has pairs of one kind only.
        let kind = [b'A', b'l', b'z'][number % 3];
        [&[kind][..], format!("{:03}", number / 3).as_bytes()].concat()
    }

    /// Compares every way to read, from and to every key.
    fn assert_same(store: &Store, map: &Map) {
        let all = |pairs: &mut dyn Iterator<Item = Result<Pair, Error>>| {
            pairs.collect::<Result<Vec<_>, _>>().expect("it reads")
        };
        let pair = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        let want: Vec<_> = map.iter().map(pair).collect();
        assert_eq!(all(&mut store.from(&[0])), want);
        for number in 0..KEYS {
            let key = key(number);
            assert_eq!(store.get(&key).expect("it reads"), map.get(&key).cloned());
            let before = map.range(..=key.clone()).next_back().map(pair);
            assert_eq!(store.at_or_before(&key).expect("it reads"), before);
            if !number.is_multiple_of(7) {
                continue;
            }
            assert!(all(&mut store.from(&key)).into_iter().eq(map.range(key.clone()..).map(pair)));
            // A kind, a part of a kind, and a kind without pairs.
            for prefix in [&key[..1], &key[..3], b"m"] {
                let within: Vec<_> =
                    want.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
                let (lower, upper): (Vec<_>, Vec<_>) = within.iter().cloned().partition(|(at, _)| *at < key);
                assert_eq!(all(&mut store.prefix(prefix)), within);
                assert!(all(&mut store.prefix_back(prefix)).into_iter().eq(within.into_iter().rev()));
                if key.starts_with(prefix) {
                    assert!(all(&mut store.before(prefix, &key)).into_iter().eq(lower.into_iter().rev()));
                    let behind = upper.into_iter().filter(|(at, _)| *at != key);
                    assert!(all(&mut store.behind(prefix, &key)).into_iter().eq(behind));
                }
            }
        }
    }

    const KEYS: usize = 600;

    /// Writes and removes pairs of all sizes, in any order, alone and together. The store equals a map.
    #[test]
    fn pairs_in_leaves_are_as_in_a_map() {
        for mut seed in 0..4 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
            let mut map = Map::new();
            for round in 0..60 {
                let many = [1, 1, 5, 200][next(&mut seed) % 4];
                // Sometimes removes nearly all.
                let removed = if round % 15 == 14 { 9 } else { 3 };
                let many = if removed == 9 { 3 * KEYS } else { many };
                let mut edits = Map::new();
                for _ in 0..many {
                    edits.insert(key(next(&mut seed) % KEYS), Vec::new());
                }
                let edits: Vec<_> = edits
                    .into_keys()
                    .map(|key| {
                        // Some pairs are larger than a leaf.
                        let size = [0, 20, 20, 300, 300, 5_000][next(&mut seed) % 6];
                        let value = (next(&mut seed) % 10 >= removed).then(|| vec![round; size]);
                        match &value {
                            Some(value) => drop(map.insert(key.clone(), value.clone())),
                            None => drop(map.remove(&key)),
                        }
                        Edit { key: key.into(), value }
                    })
                    .collect();
                store.write(&edits).expect("it writes");
                if round % 10 == 9 {
                    assert_same(&store, &map);
                    drop(store);
                    store = Store::open(folder.path(), 1024 * 1024).expect("it opens again");
                }
            }
            assert_same(&store, &map);
        }
    }

    /// A descending walk continues while leaves before it are split, also if the upper part of one moves into
    /// a page that the walk has left.
    #[test]
    fn a_descending_walk_during_splits_returns_each_pair_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        let (count, key) = (3_000, |number: usize| format!("l{number:05}").into_bytes());
        for number in 0..count {
            store.insert(&key(number), vec![1; 150]).expect("it writes");
        }
        let mut met = Vec::new();
        for pair in store.prefix_back(b"l") {
            let (at, _) = pair.expect("it reads");
            // Written by the walk's own loop below.
            if at.len() > 6 {
                continue;
            }
            let number = count - 1 - met.len();
            // Enough to split the leaf before this pair, in its first half and so in the middle.
            for before in (1..9).filter(|before| *before <= number) {
                let new = [&*key(number - before), b"x"].concat();
                store.insert(&new, vec![2; 200]).expect("it writes");
            }
            met.push(at);
        }
        assert_eq!(met.len(), count);
        assert!(met.into_iter().rev().eq((0..count).map(key)));
    }

    /// Look-ups find their pairs during splits of the leaves.
    #[test]
    fn pairs_are_found_during_splits() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        let key = |number: usize| format!("l{number:05}").into_bytes();
        for number in (0..1_000).step_by(10) {
            store.insert(&key(number), vec![1; 150]).expect("it writes");
        }
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // 37 and 100 have no common divisor: every gap is filled, in a scattered order.
                for number in (0..1_000).flat_map(|n| (1..10).map(move |step| 10 * (n * 37 % 100) + step)) {
                    store.insert(&key(number), vec![1; 150]).expect("it writes");
                }
                is_over.store(true, std::sync::atomic::Ordering::Release);
            });
            let mut seed = 7;
            while !is_over.load(std::sync::atomic::Ordering::Acquire) {
                let key = key(next(&mut seed) % 100 * 10);
                assert!(store.get(&key).expect("it reads").is_some(), "{key:?}");
                let found = store.at_or_before(&key).expect("it reads");
                assert_eq!(found.map(|(at, _)| at), Some(key));
            }
        });
    }

    /// A crash between the two writes of a split leaves pairs twice. Those of the lower leaf do not count,
    /// and stay uncounted when those of the upper one are removed.
    #[test]
    fn a_split_that_a_crash_interrupted_reads_as_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        let mut map = Map::new();
        for number in (0..30).step_by(3) {
            store.insert(&key(number), vec![1; 100]).expect("it writes");
            map.insert(key(number), vec![1; 100]);
        }
        let (first, whole) = store.db().first().expect("it reads").expect("one leaf");
        let upper = key(15);
        let mut pairs = Vec::new();
        for pair in leaf::Pairs(&whole) {
            let pair = pair.expect("it reads");
            if pair.0 >= &*upper {
                write_pair(&mut pairs, pair);
            }
        }
        // The upper leaf is written, and the lower one not shortened yet.
        store.db().insert(&upper, pairs).expect("it writes");
        assert_eq!(store.db().get(&first).expect("it reads"), Some(whole));
        assert_same(&store, &map);
        for number in (15..30).step_by(3) {
            store.remove(&key(number)).expect("it writes");
            map.remove(&key(number));
            assert_same(&store, &map);
        }
        assert_eq!(store.db().len(), 1, "an empty leaf is removed");
        store.insert(&key(27), vec![2; 100]).expect("it writes");
        map.insert(key(27), vec![2; 100]);
        assert_same(&store, &map);
    }

    /// A table of a version with smaller segments is read and written.
    #[test]
    fn a_table_with_smaller_segments_is_used() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = sled::Config::new().path(folder.path()).segment_size(EARLIER_SEGMENT);
        drop(config.open().expect("it opens"));
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        store.insert(b"key", b"value".to_vec()).expect("it writes");
        drop(store);
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens again");
        assert_eq!(store.get(b"key").expect("it reads").as_deref(), Some(&b"value"[..]));
    }

    /// A table of a version before leaves, with one key of sled for each pair, reads the same.
    #[test]
    fn a_table_without_leaves_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = sled::Config::new().path(folder.path()).open().expect("it opens");
        let mut map = Map::from([(keys::INDEX_VERSION.to_vec(), b"three".to_vec())]);
        map.extend((0..KEYS).step_by(2).map(|number| (key(number), vec![7; number])));
        for (key, value) in &map {
            db.insert(key, &**value).expect("it writes");
        }
        drop(db);
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        assert!(store.is_plain);
        assert_same(&store, &map);
    }

    /// The lock is detected before sled opens its file, or by sled itself.
    #[test]
    fn n12_a_table_that_is_open_is_in_use_and_not_damaged() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        store.insert(b"key", b"value".to_vec()).expect("it writes");
        assert!(matches!(Store::open(folder.path(), 1024 * 1024), Err(StoreError::InUse)));
        let config = sled::Config::new().path(folder.path()).segment_size(SEGMENT);
        let seen_by_sled = config.open().expect_err("it is open");
        assert!(seen_by_sled.to_string().contains("could not acquire lock"), "{seen_by_sled}");
        drop(store);
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens again");
        assert!(store.get(b"key").expect("it reads").is_some());
    }
}
