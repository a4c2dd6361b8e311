//! A copy of the table in a temporary folder. sled writes to a table when it opens it, and `doctor` changes nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use tempfile::TempDir;

use crate::private_files;

/// Tables up to this size in bytes are copied, which takes some seconds. The folder for temporary files may be in
/// memory, where a larger copy could end this process.
const COPIED_MAX: u64 = 256 * 1024 * 1024;

/// Free bytes that sled needs to open a copy of any size. On a full disk it would report an intact table as damaged.
const ROOM: u64 = 8 * 1024 * 1024;

/// Why the table was not copied.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are the parts of the messages.
pub(super) enum NotCopied {
    /// It is larger than [`COPIED_MAX`].
    #[error(
        "it was not checked: only a copy can be, and {} MB are too many to copy. The next start compares it with the log",
        bytes / 1_000_000
    )]
    TooLarge { bytes: u64 },
    /// The folder for temporary files has too little room.
    #[error(
        "it was not checked: only a copy can be, and {} has no room for {} MB. Set TMPDIR to a folder with room",
        folder.display(), needed.div_ceil(1_000_000)
    )]
    NoRoom { folder: PathBuf, needed: u64 },
    /// A file could not be read or written.
    #[error(
        "it was not checked, because no copy of it could be made: {0}. Run this as the user of the server"
    )]
    Failed(#[from] io::Error),
}

/// Copies the table in `from` to a temporary folder that only its owner can read. The copy is removed when it is
/// dropped. The caller holds the lock of the data folder, so that nothing changes during the copy.
pub(super) fn copy(from: &Path) -> Result<TempDir, NotCopied> {
    let files = files(from)?;
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    if bytes > COPIED_MAX {
        return Err(NotCopied::TooLarge { bytes });
    }
    let copy = private_files::temporary_folder("waypost-doctor-")?;
    // Twice: sled may write all of its pages again.
    let needed = 2 * bytes + ROOM;
    let volume = statvfs(copy.path()).map_err(io::Error::from)?;
    if volume.f_bavail.saturating_mul(volume.f_frsize) < needed {
        let folder = copy.path().parent().unwrap_or(copy.path()).to_owned();
        return Err(NotCopied::NoRoom { folder, needed });
    }
    for (name, _) in files {
        let to = copy.path().join(&name);
        private_files::create_folder(to.parent().unwrap_or(copy.path()))?;
        fs::copy(from.join(&name), &to)?;
    }
    Ok(copy)
}

/// Returns the names and sizes of the regular files of a table. sled opens no other ones, and a copy without them
/// cannot be opened or is empty, like their table.
fn files(table: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    // Each value too large for sled's data file has its own file in `blobs`.
    for folder in ["", "blobs"] {
        let entries = match fs::read_dir(table.join(folder)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            entries => entries?,
        };
        for entry in entries {
            let name = Path::new(folder).join(entry?.file_name());
            // With following links, as sled does. A link that leads nowhere is no regular file.
            if let Ok(metadata) = fs::metadata(table.join(&name))
                && metadata.is_file()
            {
                found.push((name, metadata.len()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_large_is_not_copied() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = fs::File::create(folder.path().join("db")).expect("a file");
        // Without blocks on the disk.
        db.set_len(COPIED_MAX + 1).expect("a sparse file");
        let why = copy(folder.path()).expect_err("it is too large");
        assert!(why.to_string().contains("268 MB are too many to copy"), "{why}");
        db.set_len(1_000).expect("a small file");
        fs::create_dir(folder.path().join("blobs")).expect("a folder");
        fs::write(folder.path().join("blobs/7"), "blob").expect("a file");
        let copy = copy(folder.path()).expect("it is copied");
        assert_eq!(fs::read(copy.path().join("blobs/7")).expect("the copy"), b"blob");
        assert_eq!(fs::metadata(copy.path().join("db")).expect("the copy").len(), 1_000);
    }
}
