//! The file of a Unix socket, which outlives the program unless something removes it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a Unix socket. Its drop removes the own file, unless another program has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode of the own file.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    /// Describes a file that this program, or an earlier one of the same process, has created.
    pub(super) fn own(path: PathBuf) -> SocketFile {
        SocketFile { id: id_of(&path), path }
    }

    /// Describes the file of a supervisor, which keeps it.
    pub(super) fn foreign(path: PathBuf) -> SocketFile {
        SocketFile { path, id: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && id_of(&self.path) == self.id {
            // The file may be gone already. A file that stays is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
