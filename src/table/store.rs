//! sled behind the few calls that are safe to make of it.
//!
//! What was measured of sled 0.34.7 and shapes this file: its `flush` does not reach the disk, so
//! ours syncs its file afterwards; a damaged file makes `open` panic, so it is caught; an I/O
//! error is latched, so a failed store is dropped and opened anew by its owner; dropped where its
//! disk fails, it panics, so that is caught as well; `flush_async`
//! with several callers hangs, and batches and transactions block readers, so none of them is
//! used; `insert` and `flush` block, so they never run on a runtime worker.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sled::IVec;

use crate::log::disk;
use crate::private_files;

/// How often a page that was read is read again. sled counts a page against its capacity, and evicts others,
/// only with the 64 next reads in its part of 256: 16,384 pages beyond the capacity, 60 to 80 MB, if each is
/// read once. With three more reads, each some 0.5 us, they are a quarter of that.
const AGAIN: usize = 3;

/// Pairs of a walk from one such page to the next: a leaf has 8 to 16.
const PAIRS: u32 = 8;

/// The walk over pairs.
type Pair = sled::Result<(IVec, IVec)>;

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
    /// sled panicked while opening, as it does on some damaged files.
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
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let opened = opened.map_err(|panic| StoreError::Panicked(panic_text(panic.as_ref())))?;
        let db = opened.map_err(|error| match error {
            // sled has no error of its own for this. Its version is pinned, and so its words are.
            sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock") => {
                StoreError::Held
            }
            error => error.into(),
        })?;
        restrict(dir);
        let path = dir.join(SLED_FILE);
        let file = open(&path)?;
        Ok(Store { db: Some(db), file, path })
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("there until it is dropped")
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        Ok(self.db().get(key)?)
    }

    /// Has sled count the page of this key, which was just read or written: see [`AGAIN`]. For keys at random,
    /// each of which is likely to be in a page of its own.
    pub(super) fn count_page(&self, key: &[u8]) -> Result<(), StoreError> {
        for _ in 0..AGAIN {
            self.db().get(key)?;
        }
        Ok(())
    }

    /// Has sled count the pages of a walk.
    fn counted(&self, pairs: sled::Iter) -> impl DoubleEndedIterator<Item = Pair> + use<'_> {
        let mut walked = 0_u32;
        pairs.inspect(move |pair| {
            walked = walked.wrapping_add(1);
            if let (true, Ok((key, _))) = (walked.is_multiple_of(PAIRS), pair) {
                // An error will be met by whoever walks on.
                drop(self.count_page(key));
            }
        })
    }

    /// The pair of this key or, without it, of the greatest key before it: found and read by the
    /// same steps.
    pub(super) fn at_or_before(&self, key: &[u8]) -> Result<Option<(IVec, IVec)>, StoreError> {
        Ok(self.db().range(..=key).next_back().transpose()?)
    }

    pub(super) fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.db().insert(key, value)?;
        Ok(())
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.db().remove(key)?;
        Ok(())
    }

    /// All pairs whose key begins with `prefix`, in order; reversible.
    pub(super) fn prefix<'a>(&'a self, prefix: &[u8]) -> impl DoubleEndedIterator<Item = Pair> + use<'a> {
        self.counted(self.db().scan_prefix(prefix))
    }

    /// All pairs from `from` on, in order.
    pub(super) fn from<'a>(&'a self, from: &[u8]) -> impl DoubleEndedIterator<Item = Pair> + use<'a> {
        self.counted(self.db().range(from..))
    }

    /// All pairs of `prefix` whose keys sort before `end`; reversible.
    pub(super) fn before<'a>(
        &'a self,
        prefix: &[u8],
        end: &[u8],
    ) -> impl DoubleEndedIterator<Item = Pair> + use<'a> {
        self.counted(self.db().range(prefix..end))
    }

    /// All pairs of `prefix` whose keys sort behind `start`.
    pub(super) fn behind<'a>(&'a self, prefix: &[u8], start: &[u8]) -> impl Iterator<Item = Pair> + use<'a> {
        let prefix = prefix.to_vec();
        let start = (std::ops::Bound::Excluded(start.to_vec()), std::ops::Bound::Unbounded);
        self.counted(self.db().range::<Vec<u8>, _>(start))
            .take_while(move |pair| pair.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
    }

    /// Writes out everything inserted so far, durably.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db().flush()?;
        self.file.sync_data().map_err(|source| StoreError::Sync { path: self.path.clone(), source })
    }

    pub(super) fn size_on_disk(&self) -> u64 {
        self.db().size_on_disk().unwrap_or(0)
    }
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
    let opened = disk::open_regular(path, File::options().read(true));
    opened.map_err(|source| StoreError::Strange { path: path.to_owned(), source })
}

/// Whether a process has sled's data file open.
fn is_held(path: &Path) -> Result<bool, StoreError> {
    Ok(disk::lock(&open(path)?) == Err(Errno::WOULDBLOCK))
}

/// Takes the rights of others from the table's files. A table that belongs to another user works all the
/// same, and the start has said so.
fn restrict(dir: &Path) {
    if let Err(error) = private_files::restrict(dir) {
        tracing::warn!(%error, "others may read the table, which holds hashes of passwords");
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N12. Whether the lock is seen before sled opens its file, or by sled itself.
    #[test]
    fn n12_a_table_that_is_open_is_held_and_not_damaged() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens");
        store.insert(b"key", b"value".to_vec()).expect("it writes");
        assert!(matches!(Store::open(folder.path(), 1024 * 1024), Err(StoreError::Held)));
        let seen_by_sled = sled::Config::new().path(folder.path()).open().expect_err("it is open");
        assert!(seen_by_sled.to_string().contains("could not acquire lock"), "{seen_by_sled}");
        drop(store);
        let store = Store::open(folder.path(), 1024 * 1024).expect("it opens again");
        assert!(store.get(b"key").expect("it reads").is_some());
    }
}
