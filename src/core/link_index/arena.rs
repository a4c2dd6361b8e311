//! [`EntryArena`]: the entries of an index one behind the other, in a file without a name. Entries are only appended, so
//! readers need no lock. The end of the file is in memory until it is long enough for a write.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::fstatvfs;

/// Bytes in memory before they are written.
const TAIL: usize = 64 * 1024;

/// Bytes that a write leaves free on the disk. The log and the table need them more.
const LEFT_FREE: u64 = 128 * 1024 * 1024;

/// How many writes share a look at the free bytes: 1 MB.
const CHECK_EVERY: u64 = 16;

/// The entries of an index.
#[derive(Debug)]
pub(super) struct EntryArena {
    file: Arc<File>,
    /// Bytes in the file.
    stored: u64,
    tail: Vec<u8>,
    writes: u64,
}

impl EntryArena {
    pub(super) fn new(file: File) -> EntryArena {
        EntryArena { file: Arc::new(file), stored: 0, tail: Vec::new(), writes: 0 }
    }

    /// Appends an entry. Returns where it begins. Fails if the disk is full.
    pub(super) fn append(&mut self, entry: &[u8]) -> io::Result<u64> {
        let at = self.end();
        self.tail.extend_from_slice(entry);
        if self.tail.len() >= TAIL {
            // Not before each write: a look at the volume costs as much as a short write.
            if self.writes.is_multiple_of(CHECK_EVERY) {
                let volume = fstatvfs(&self.file)?;
                if volume.f_bavail.saturating_mul(volume.f_frsize) < LEFT_FREE {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            self.writes += 1;
            // Behind all earlier bytes, which readers may be reading without a lock.
            self.file.write_all_at(&self.tail, self.stored)?;
            self.stored += self.tail.len() as u64;
            self.tail.clear();
        }
        Ok(at)
    }

    /// Returns where the next entry begins.
    pub(super) fn end(&self) -> u64 {
        self.stored + self.tail.len() as u64
    }

    /// Returns the file and the number of its bytes, which never change.
    pub(super) fn stored(&self) -> (Arc<File>, u64) {
        (Arc::clone(&self.file), self.stored)
    }

    /// Returns the entries in memory from `at` on, which is in none of the file's bytes.
    pub(super) fn tail_from(&self, at: u64) -> &[u8] {
        // `at` may be before the tail if it was written since, and then nothing is skipped.
        let skipped = usize::try_from(at.saturating_sub(self.stored)).unwrap_or(usize::MAX);
        self.tail.get(skipped..).unwrap_or_default()
    }
}
