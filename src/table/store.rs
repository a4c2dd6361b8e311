//! sled behind the few calls that are safe to make of it.
//!
//! What was measured of sled 0.34.7 and shapes this file: its `flush` does not reach the disk, so
//! ours syncs its file afterwards; a damaged file makes it panic, when it is opened or when the
//! damaged part is read, so each call is caught; an I/O error is latched, so a failed store is dropped
//! and opened anew by its owner; dropped where its disk fails, it panics, so that is caught as well;
//! `flush_async` with several callers hangs, and batches and transactions block readers, so none of
//! them is used; `insert` and `flush` block, so they never run on a runtime worker; each page costs
//! memory and holds few keys, so pairs are kept in leaves ([`super::leaf`]).

use std::fs::File;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::io::Errno;
use sled::IVec;

use super::leaf::{self, Edit, Piece};
use super::record::{read_pair, write_pair};
use super::walk::{Ascending, Descending, Pair};
use super::{Error, keys};
use crate::private_files;

/// How often a page that was read is read again. sled counts a page against its capacity, and evicts others,
/// only with the 64 next reads in its part of 256: 16,384 pages beyond the capacity, 130 MB, if each is
/// read once. With 15 more reads, each some 0.5 us, they are a sixteenth of that.
const AGAIN: usize = 15;

/// Bytes of sled's write buffers, of which some 30 are there under load: a quarter of its own default, and so
/// 11 MB less. A page above a quarter of it gets a file of its own, which a page of leaves does not reach.
const SEGMENT: usize = 128 * 1024;

/// Those of a table that an earlier version wrote.
const PLAIN_SEGMENT: usize = 512 * 1024;

/// sled's data file, whose lock a process holds while it has the table open.
const SLED_FILE: &str = "db";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled says so.
    #[error("{0}")]
    Sled(#[from] sled::Error),
    /// Another process has it open. No sign of damage: it must not be removed or written.
    #[error("another process has the table open")]
    Held,
    /// What has the name of one of sled's files is none.
    #[error("{} cannot be opened: {source}", path.display())]
    Strange {
        /// What cannot be opened.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// sled panicked, as it does on some damaged files.
    #[error("its files are damaged: {0}")]
    Panicked(String),
    /// The file could not be synced.
    #[error("cannot sync {path}: {source}")]
    Sync {
        /// sled's data file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// One open sled tree.
#[derive(Debug)]
pub(super) struct Store {
    /// There until it is dropped.
    db: Option<sled::Db>,
    /// sled's data file, open: a sync must not fail for want of a descriptor.
    file: File,
    path: PathBuf,
    /// Whether an earlier version wrote it, with a key of sled's for each pair. It can be read, and is built
    /// anew rather than written to.
    is_plain: bool,
    written: Mutex<Written>,
}

/// The leaves that were written last.
#[derive(Debug, Default)]
struct Written {
    leaves: [IVec; 4],
    next: usize,
}

impl Written {
    /// Notes a leaf. Returns whether it is one of the last.
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
        let db = self.db.take();
        // Whoever closes a store is about to say what is wrong, or to open it anew.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(db))) {
            tracing::warn!(why = panic_text(panic.as_ref()), "the table did not close in order");
        }
    }
}

impl Store {
    pub(super) fn open(dir: &Path, cache_capacity: u64) -> Result<Store, StoreError> {
        check_files(dir)?;
        // sled leaves modes to the umask. What it writes later is behind the folder's own mode.
        let strange = |source| StoreError::Strange { path: dir.to_owned(), source };
        private_files::create_folder(dir).map_err(strange)?;
        restrict(dir);
        let config = sled::Config::new().path(dir).cache_capacity(cache_capacity).flush_every_ms(None);
        let open_with = |segment| call(|| config.clone().segment_size(segment).open());
        let opened = match open_with(SEGMENT) {
            // sled insists on the size that its files have.
            Err(StoreError::Sled(sled::Error::Unsupported(_))) => open_with(PLAIN_SEGMENT),
            opened => opened,
        };
        let db = opened.map_err(|error| match error {
            // sled has no error of its own for this. Its version is pinned, and so its words are.
            StoreError::Sled(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock") =>
            {
                StoreError::Held
            }
            error => error,
        })?;
        restrict(dir);
        let path = dir.join(SLED_FILE);
        let file = open(&path)?;
        let is_plain = is_plain(&db)?;
        Ok(Store { db: Some(db), file, path, is_plain, written: Mutex::default() })
    }

    /// Returns what sled has under a key as a leaf.
    pub(super) fn leaf_of(&self, (key, value): (IVec, IVec)) -> (IVec, IVec) {
        if !self.is_plain {
            return (key, value);
        }
        let mut leaf = Vec::new();
        write_pair(&mut leaf, (&key, &value));
        (key, leaf.into())
    }

    pub(super) fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("there until it is dropped")
    }

    /// The leaf that a key is in, or would be.
    fn leaf(&self, key: &[u8]) -> Result<Option<(IVec, IVec)>, StoreError> {
        let found = call(|| self.db().range(kind(key)..=key).next_back().transpose())?;
        Ok(found.map(|leaf| self.leaf_of(leaf)))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some((_, mut leaf)) = self.leaf(key)? else { return Ok(None) };
        // A split takes pairs from the end of a leaf only.
        if !leaf::ends_behind(&leaf, key)? && leaf::find(&leaf, key)?.is_none() {
            leaf = self.leaf_before(Some(&successor(key)))?.map_or_else(IVec::default, |(_, leaf)| leaf);
        }
        Ok(leaf::find(&leaf, key)?.map(<[u8]>::to_vec))
    }

    /// The last leaf before `end`, or of all. A split writes the upper leaf before the lower one loses its
    /// pairs, but sled may have read the page of the upper one already when it reads the lower one: what
    /// is found twice in a row was found between splits.
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

    /// Has sled count the page of this key, which was just read or written: see [`AGAIN`]. For keys at random,
    /// each of which is likely to be in a page of its own.
    pub(super) fn count_page(&self, key: &[u8]) -> Result<(), StoreError> {
        for _ in 0..AGAIN {
            call(|| self.db().get(key))?;
        }
        Ok(())
    }

    /// The pair of this key or, without it, of the greatest key before it: found and read by the
    /// same steps.
    pub(super) fn at_or_before(&self, key: &[u8]) -> Result<Option<Pair>, Error> {
        let mut end = IVec::from(successor(key));
        while let Some((first, leaf)) = self.leaf_before(Some(&end))? {
            if let Some((key, value)) = leaf::before(&leaf, &end)? {
                return Ok(Some((key.to_vec(), value.to_vec())));
            }
            end = first;
        }
        Ok(None)
    }

    pub(super) fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        self.write(&[Edit { key: Bytes::copy_from_slice(key), value: Some(value) }])
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), Error> {
        self.write(&[Edit { key: Bytes::copy_from_slice(key), value: None }])
    }

    /// Writes and removes pairs, of which each key comes once and in order. One thread at a time; a reader
    /// beside it finds each key as it was or as it will be.
    pub(super) fn write(&self, mut edits: &[Edit]) -> Result<(), Error> {
        while let Some(edit) = edits.first() {
            edits = self.write_leaf(&edit.key, edits)?;
        }
        Ok(())
    }

    /// Makes those edits that belong into the leaf of `key`, the first of them. Returns the others.
    fn write_leaf<'a>(&self, key: &[u8], edits: &'a [Edit]) -> Result<&'a [Edit], Error> {
        debug_assert!(!self.is_plain, "a table of an earlier version is only read");
        let kind = kind(key);
        let found = self.leaf(key)?;
        // The first leaf of a kind sorts before whatever may come, so that there is one for each key.
        let (first, old) = found.unwrap_or_else(|| (IVec::from(kind), IVec::default()));
        let behind = (Bound::Excluded(&*first), Bound::Unbounded);
        let end = call(|| self.db().range::<&[u8], _>(behind).next().transpose())?.map(|(first, _)| first);
        let belongs = |key: &[u8]| key.starts_with(kind) && end.as_ref().is_none_or(|end| key < &**end);
        let (edits, others) = edits.split_at(edits.partition_point(|edit| belongs(&edit.key)));
        let pieces = leaf::edit(&old, end.as_deref(), edits)?;
        if pieces.is_empty() {
            self.remove_leaf(&first)?;
            return Ok(others);
        }
        self.put(&first, &old, &pieces)?;
        // Where one leaf is written again and again, as at the end of a list, its page is counted by that.
        if !self.written.lock().again(first) {
            self.count_page(key)?;
        }
        Ok(others)
    }

    /// Writes what a leaf becomes.
    fn put(&self, first: &[u8], old: &[u8], pieces: &[Piece]) -> Result<(), StoreError> {
        let Some((lowest, higher)) = pieces.split_first() else {
            call(|| self.db().insert(first, &[]))?;
            return Ok(());
        };
        // The highest first: a pair is in two leaves for a moment, never in none.
        for piece in higher.iter().rev() {
            call(|| self.db().insert(&piece.first, &*piece.bytes))?;
        }
        if lowest.bytes != *old {
            call(|| self.db().insert(first, &*lowest.bytes))?;
        }
        Ok(())
    }

    /// Removes a leaf whose last pair goes. Pairs that a crash left twice, here and in the leaf before, go
    /// there first: they would be back.
    fn remove_leaf(&self, first: &[u8]) -> Result<(), Error> {
        let before = call(|| self.db().range(kind(first)..first).next_back().transpose())?;
        if let Some((key, old)) = before {
            self.put(&key, &old, &leaf::edit(&old, Some(first), &[])?)?;
        }
        call(|| self.db().remove(first))?;
        Ok(())
    }

    /// All pairs from `from` on, in order.
    pub(super) fn from(&self, from: &[u8]) -> Ascending<'_> {
        Ascending::new(self, from, &[])
    }

    /// All pairs whose key begins with `prefix`, in order.
    pub(super) fn prefix(&self, prefix: &[u8]) -> Ascending<'_> {
        Ascending::new(self, prefix, prefix)
    }

    /// All pairs of `prefix` whose keys sort behind `start`, in order.
    pub(super) fn behind(&self, prefix: &[u8], start: &[u8]) -> Ascending<'_> {
        Ascending::new(self, &successor(start), prefix)
    }

    /// All pairs whose key begins with `prefix`, the last first.
    pub(super) fn prefix_back(&self, prefix: &[u8]) -> Descending<'_> {
        Descending::new(self, None, prefix)
    }

    /// All pairs of `prefix` whose keys sort before `end`, the last first.
    pub(super) fn before(&self, prefix: &[u8], end: &[u8]) -> Descending<'_> {
        Descending::new(self, Some(end), prefix)
    }

    /// Writes out everything inserted so far, durably.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        call(|| self.db().flush())?;
        self.file.sync_data().map_err(|source| StoreError::Sync { path: self.path.clone(), source })
    }

    pub(super) fn size_on_disk(&self) -> u64 {
        self.db().size_on_disk().unwrap_or(0)
    }
}

/// Whether the pairs of a store are no leaves.
fn is_plain(db: &sled::Db) -> Result<bool, StoreError> {
    for key in [keys::INDEX_VERSION, keys::APPLIED] {
        if let Some(leaf) = call(|| db.get(key))? {
            return Ok(!read_pair(&leaf).is_ok_and(|((first, _), _)| first == key));
        }
    }
    Ok(false)
}

/// The first key that sorts behind this one.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The kind of a key, of which leaves hold one each.
fn kind(key: &[u8]) -> &[u8] {
    key.get(..1).unwrap_or_default()
}

/// Fails where sled would block on a pipe, read a device, or take the lock of a running process for
/// damage.
fn check_files(dir: &Path) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::Strange { path: dir.to_owned(), source }),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == SLED_FILE && is_held(&path)? {
            return Err(StoreError::Held);
        }
        let name = name.to_string_lossy();
        if name == "blobs" {
            // Values too large for sled's data file have a file each.
            check_files(&path)?;
        } else if name == "conf" || name.starts_with("snap.") || name.parse::<u64>().is_ok() {
            open(&path)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, StoreError> {
    let opened = private_files::open_regular(path, File::options().read(true));
    opened.map_err(|source| StoreError::Strange { path: path.to_owned(), source })
}

/// Whether a process has sled's data file open.
fn is_held(path: &Path) -> Result<bool, StoreError> {
    Ok(private_files::lock(&open(path)?) == Err(Errno::WOULDBLOCK))
}

/// Takes the rights of others from the table's files. A table that belongs to another user works all the
/// same, and the start has said so.
fn restrict(dir: &Path) {
    if let Err(error) = private_files::restrict(dir) {
        tracing::warn!(%error, "others may read the table, which holds hashes of passwords");
    }
}

/// Calls sled. It panics at some damage, also of parts that are read long after they were opened.
pub(super) fn call<T>(sled: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
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

    /// A number like a random one, of 31 bits.
    fn next(seed: &mut u64) -> usize {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).expect("31 bits")
    }

    type Map = BTreeMap<Vec<u8>, Vec<u8>>;

    fn key(number: usize) -> Vec<u8> {
        let kind = [b'A', b'l', b'z'][number % 3];
        [&[kind][..], format!("{:03}", number / 3).as_bytes()].concat()
    }

    /// Every way to read, from and to every key.
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

    /// Pairs of all sizes come and go in every order, alone and together; the store holds what a map holds.
    #[test]
    fn pairs_in_leaves_are_as_in_a_map() {
        for mut seed in 0..4 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
            let mut map = Map::new();
            for round in 0..60 {
                let many = [1, 1, 5, 200][next(&mut seed) % 4];
                // Now and then nearly all goes.
                let removed = if round % 15 == 14 { 9 } else { 3 };
                let many = if removed == 9 { 3 * KEYS } else { many };
                let mut edits = Map::new();
                for _ in 0..many {
                    edits.insert(key(next(&mut seed) % KEYS), Vec::new());
                }
                let edits: Vec<_> = edits
                    .into_keys()
                    .map(|key| {
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

    /// A walk back goes on while the leaves before it are split, also where the upper part of one goes into a
    /// page of sled's that the walk has been in.
    #[test]
    fn a_walk_back_beside_splits_meets_each_pair_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        let (count, key) = (3_000, |number: usize| format!("l{number:05}").into_bytes());
        for number in 0..count {
            store.insert(&key(number), vec![1; 150]).expect("it writes");
        }
        let mut met = Vec::new();
        for pair in store.prefix_back(b"l") {
            let (at, _) = pair.expect("it reads");
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

    /// Links are found beside the splits of their leaves.
    #[test]
    fn pairs_are_found_beside_splits() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        let key = |number: usize| format!("l{number:05}").into_bytes();
        for number in (0..1_000).step_by(10) {
            store.insert(&key(number), vec![1; 150]).expect("it writes");
        }
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
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

    /// A crash between the two writes of a split leaves pairs twice: those of the lower leaf do not count,
    /// and do not come back when those of the upper are removed.
    #[test]
    fn a_split_that_a_crash_cut_is_as_if_it_were_whole() {
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

    /// What an earlier version wrote, with a key of sled's for each pair, is read like leaves.
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

    /// Whether the lock is seen before sled opens its file, or by sled itself.
    #[test]
    fn n12_a_table_that_is_open_is_held_and_not_damaged() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        store.insert(b"key", b"value".to_vec()).expect("it writes");
        assert!(matches!(Store::open(folder.path(), 1024 * 1024), Err(StoreError::Held)));
        let config = sled::Config::new().path(folder.path()).segment_size(SEGMENT);
        let seen_by_sled = config.open().expect_err("it is open");
        assert!(seen_by_sled.to_string().contains("could not acquire lock"), "{seen_by_sled}");
        drop(store);
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens again");
        assert!(store.get(b"key").expect("it reads").is_some());
    }
}
