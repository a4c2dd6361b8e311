//! [`DayFiles`]: the two files of a day. Nothing else here touches the disk.
//!
//! [`KEY_FILE`] is [`DayKey::encode`]. [`SEEN_FILE`] begins with the fingerprint of the key; each pair follows with
//! five bytes. Neither file is synced: after a power cut, visitors are counted again, and nothing else is lost.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::key::{DayKey, VisitorPair};
use crate::private_files::{FILE_MODE, open_regular, read_regular};

/// The name of the key's file. Backups leave it out.
pub const KEY_FILE: &str = "day.key";

/// The name of the file of pairs. Backups leave it out.
pub const SEEN_FILE: &str = "day.seen";

/// Bytes of the fingerprint, with which [`SEEN_FILE`] begins.
const HEADER_BYTES: usize = 8;

/// Bytes of a pair.
const PAIR_BYTES: u64 = VisitorPair::BYTES as u64;

/// Bytes of pairs that are gathered before they are written.
const PENDING_MAX: usize = 64 * 1024;

/// The files of the day.
#[derive(Debug)]
pub(super) struct DayFiles {
    folder: PathBuf,
    /// `None` until it is created or opened, and after an error: the pairs of this day are then no longer written.
    seen: Option<SeenFile>,
}

#[derive(Debug)]
struct SeenFile {
    file: File,
    /// Where the next pairs go. Not the end of the file: after a failed write, part of a pair may be there.
    length: u64,
    pending: Vec<u8>,
    /// Whether no pair was lost by a failed write.
    is_complete: bool,
}

impl DayFiles {
    /// Returns the files in a folder. Touches nothing.
    pub(super) fn new(folder: &Path) -> DayFiles {
        DayFiles { folder: folder.to_owned(), seen: None }
    }

    /// Reads the key. Returns `None` if the file does not exist or is damaged.
    pub(super) fn read_key(&self) -> io::Result<Option<DayKey>> {
        let path = self.folder.join(KEY_FILE);
        // Of the name itself: a link's target is not this program's to read.
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Damaged as well: it is replaced.
            Ok(found) if found.len() != DayKey::BYTES as u64 => return Ok(None),
            _ => {}
        }
        Ok(DayKey::decode(&read_regular(&path, DayKey::BYTES as u64)?))
    }

    /// Removes what is there, and writes a key and an empty file of pairs.
    pub(super) fn create(&mut self, key: &DayKey) -> io::Result<()> {
        // `create` fails on an existing name, so that it never writes through a link.
        self.remove()?;
        // A crash after this line leaves a key without pairs; `open_seen` then creates their file.
        create(&self.folder.join(KEY_FILE))?.write_all_at(&key.encode(), 0)?;
        let file = create(&self.folder.join(SEEN_FILE))?;
        file.write_all_at(&key.fingerprint(), 0)?;
        self.seen = Some(SeenFile::new(file, HEADER_BYTES as u64));
        Ok(())
    }

    /// Opens the file of pairs, to read it and to append to it. Replaces a file that is not of this key. Ignores a part
    /// of a pair at the end.
    pub(super) fn open_seen(&mut self, key: &DayKey) -> io::Result<()> {
        let path = self.folder.join(SEEN_FILE);
        if let Some(file) = open(&path)? {
            let mut header = [0; HEADER_BYTES];
            let has_header = (&file).read_exact(&mut header).is_ok();
            if has_header && header == key.fingerprint() {
                // Rounded down: part of a pair is left by a crash, and the next write replaces it.
                let pairs = (file.metadata()?.len() - HEADER_BYTES as u64) / PAIR_BYTES;
                self.seen = Some(SeenFile::new(file, HEADER_BYTES as u64 + pairs * PAIR_BYTES));
                return Ok(());
            }
        }
        // Pairs under another key match no visitor of today.
        remove(&path)?;
        let file = create(&path)?;
        file.write_all_at(&key.fingerprint(), 0)?;
        self.seen = Some(SeenFile::new(file, HEADER_BYTES as u64));
        Ok(())
    }

    /// Returns whether the files have all pairs of the day, those that are gathered among them.
    pub(super) fn are_complete(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is_complete)
    }

    /// Returns the number of pairs in the file.
    pub(super) fn pairs(&self) -> u64 {
        self.seen.as_ref().map_or(0, SeenFile::pairs)
    }

    /// Passes the pairs in the file to `each` until it returns false.
    pub(super) fn read(&self, mut each: impl FnMut(VisitorPair) -> bool) -> io::Result<()> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut file = &seen.file;
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        let mut reader = BufReader::with_capacity(PENDING_MAX, file);
        // By number and not to the end, where a failed write may have left bytes.
        for _ in 0..seen.pairs() {
            let mut bytes = [0; VisitorPair::BYTES];
            reader.read_exact(&mut bytes)?;
            if !each(VisitorPair::from_bytes(bytes)) {
                break;
            }
        }
        Ok(())
    }

    /// Appends a pair to the file of pairs. It reaches the file with [`DayFiles::flush`], or when many have gathered.
    pub(super) fn append(&mut self, pair: VisitorPair) -> io::Result<()> {
        let Some(seen) = &mut self.seen else { return Ok(()) };
        seen.pending.extend_from_slice(&pair.to_bytes());
        if seen.pending.len() < PENDING_MAX { Ok(()) } else { self.flush() }
    }

    /// Writes the gathered pairs. After an error, drops them: they are counted again if the process restarts today.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(seen) = &mut self.seen else { return Ok(()) };
        // At the known length, and over what a failed write has left.
        let written = seen.file.write_all_at(&seen.pending, seen.length);
        match written {
            Ok(()) => seen.length += seen.pending.len() as u64,
            Err(_) => seen.is_complete = false,
        }
        // Also after an error: on a full disk, pairs would otherwise fill the memory.
        seen.pending.clear();
        written
    }

    /// Overwrites and removes the key, and removes the file of pairs.
    ///
    /// Overwriting is of use on disks that write in place. Others, and file systems that copy on write, keep the old
    /// bytes until they reuse the space.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.seen = None;
        let key = self.folder.join(KEY_FILE);
        // A link or a device under this name is removed, but not written to. A failure to overwrite is no reason to keep
        // the key.
        if fs::symlink_metadata(&key).is_ok_and(|found| found.is_file()) {
            let _ = overwrite(&key);
        }
        // Both are tried: an error with one must not leave the other.
        let (key, seen) = (remove(&key), remove(&self.folder.join(SEEN_FILE)));
        key.and(seen)
    }
}

impl SeenFile {
    fn new(file: File, length: u64) -> SeenFile {
        SeenFile { file, length, pending: Vec::new(), is_complete: true }
    }

    fn pairs(&self) -> u64 {
        (self.length - HEADER_BYTES as u64) / PAIR_BYTES
    }
}

/// Opens a file, `None` if it does not exist.
fn open(path: &Path) -> io::Result<Option<File>> {
    match open_regular(path, File::options().read(true).write(true)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a file for its owner alone. Fails if the name exists, so a symbolic link is not followed.
fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

fn overwrite(path: &Path) -> io::Result<()> {
    let file = open_regular(path, File::options().write(true))?;
    // At most as long as a key: a large file of this name must not cost memory.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all_at(&vec![0; length.min(DayKey::BYTES)], 0)?;
    // Else the removal may reach the disk before the zeros, which are then never written.
    file.sync_data()
}

/// Removes a file, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Day;
    use super::*;

    fn pair(number: u64) -> VisitorPair {
        VisitorPair::from_number(number)
    }

    fn read(files: &DayFiles) -> Vec<VisitorPair> {
        let mut pairs = Vec::new();
        files
            .read(|pair| {
                pairs.push(pair);
                true
            })
            .expect("a file");
        pairs
    }

    #[test]
    fn a_failed_write_loses_its_pairs_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = DayKey::random(Day::of_millis(0), None).expect("random bytes");
        let mut files = DayFiles::new(folder.path());
        files.append(pair(0)).expect("no file yet");
        files.create(&key).expect("a folder");
        files.append(pair(1)).expect("gathered");
        assert_eq!(files.pairs(), 0);
        files.flush().expect("room");
        assert_eq!((files.pairs(), files.are_complete(), read(&files)), (1, true, vec![pair(1)]));
        // A handle for reading in place of a full disk.
        let seen = files.seen.as_mut().expect("created");
        let writable = std::mem::replace(
            &mut seen.file,
            File::open(folder.path().join(SEEN_FILE)).expect("it is there"),
        );
        files.append(pair(2)).expect("gathered");
        files.flush().expect_err("it cannot be written to");
        assert!(!files.are_complete());
        files.seen.as_mut().expect("created").file = writable;
        for number in 3..3 + PENDING_MAX as u64 {
            files.append(pair(number)).expect("room");
        }
        assert!(files.pairs() > PENDING_MAX as u64 / 2, "many pairs are written without a flush");
        files.flush().expect("room");
        let found = read(&files);
        assert_eq!((found.len(), found[..2] == [pair(1), pair(3)]), (1 + PENDING_MAX, true));
        assert!(!files.are_complete());
        let mut few = 0;
        files
            .read(|_| {
                few += 1;
                few < 3
            })
            .expect("a file");
        assert_eq!(few, 3);
    }
}
