//! The folder of a backup while it is written, under a name that no command accepts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::CommandError;
use crate::analytics::store::{self, FOLDER as CLICKS_FOLDER};
use crate::app::data_folder::{
    BACKING_UP, BACKING_UP_CLICKS, LOG_FOLDER, open_folder, sync_folder, unfinished_beside,
};
use crate::log::local::archive;

/// What an interrupted backup to an existing folder leaves there.
const LEFT: [&str; 3] = [BACKING_UP, BACKING_UP_CLICKS, CLICKS_FOLDER];

/// A backup that is being written.
pub(super) struct Staging {
    /// The name at the end, and the name until then. Both are data folders for a new backup. Both are folders of
    /// a log within `to` if `to` exists: it may be the root of a volume, which has no siblings.
    last: PathBuf,
    first: PathBuf,
    /// The folder that the log is written to.
    pub(super) log: PathBuf,
    /// The folder that the details of clicks are written to, if there are any.
    pub(super) clicks: PathBuf,
    /// The name of `clicks` at the end, if it is not renamed together with `first`.
    last_clicks: Option<PathBuf>,
    /// Locked while the backup is written: a second backup of the same name fails.
    _lock: File,
}

impl Staging {
    /// Creates the folder of a backup to `to`, for its owner only. Removes the rest of an interrupted backup.
    pub(super) fn begin(to: &Path) -> Result<Staging, CommandError> {
        let cannot = |error| cannot_create(to, &error);
        let exists = to.exists();
        let (first, last, log) = if exists {
            let inside = fs::read_dir(to).map_err(cannot)?.collect::<io::Result<Vec<_>>>().map_err(cannot)?;
            let has = |name: &str| inside.iter().any(|entry| entry.file_name() == name);
            // An interrupted backup leaves its log, and beside it details of clicks under either name.
            let ours = if has(BACKING_UP) { &LEFT[..] } else { &[] };
            if inside.iter().any(|entry| !ours.iter().any(|name| entry.file_name() == *name)) {
                return Err(CommandError::Failed(format!(
                    "{} is not empty: name a new folder",
                    to.display()
                )));
            }
            fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
            (to.join(BACKING_UP), to.join(LOG_FOLDER), to.join(BACKING_UP))
        } else {
            let first = unfinished_beside(to);
            (first.clone(), to.to_owned(), first.join(LOG_FOLDER))
        };
        let (clicks, last_clicks) = if exists {
            (to.join(BACKING_UP_CLICKS), Some(to.join(CLICKS_FOLDER)))
        } else {
            (first.join(CLICKS_FOLDER), None)
        };
        // The rest of an interrupted backup may be any part of a log, so nothing of it is used.
        clear(&first, &[&clicks, last_clicks.as_ref().unwrap_or(&clicks)], to)?;
        make_private(&first).map_err(cannot)?;
        let folder = open_folder(&first).map_err(cannot)?;
        lock_folder(&folder, &first)?;
        Ok(Staging { last, first, log, clicks, last_clicks, _lock: folder })
    }

    /// Renames the backup to its last name, durably.
    pub(super) fn publish(&self) -> io::Result<()> {
        // From the inside to the outside, so that no durable name leads to files that are not durable.
        sync_folder(&self.log)?;
        sync_folder(&self.first)?;
        if let Some(last) = self.last_clicks.as_ref().filter(|_| self.clicks.exists()) {
            // Before the log has its name: until then, no command accepts the folder.
            fs::rename(&self.clicks, last)?;
            sync_folder(parent(last))?;
        }
        fs::rename(&self.first, &self.last)?;
        sync_folder(parent(&self.last))
    }

    /// Removes a failed backup: it may fill the disk.
    pub(super) fn discard(&self) {
        drop(fs::remove_dir_all(&self.clicks));
        drop(fs::remove_dir_all(&self.first));
    }

    /// Returns the last name, for messages.
    pub(super) fn shown(&self) -> String {
        self.last.display().to_string()
    }
}

/// Returns the error of a folder that cannot be created.
fn cannot_create(to: &Path, error: &io::Error) -> CommandError {
    CommandError::Failed(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let whole = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
            let above = if to.exists() { &whole } else { parent(&whole) };
            format!(
                "cannot write to {}: {error}. Name a folder that this user may write to (uid {})",
                above.display(),
                geteuid().as_raw()
            )
        }
        _ => format!("cannot create {}: {error}", to.display()),
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Locks the folder. Fails if another backup has the lock.
fn lock_folder(folder: &File, shown: &Path) -> Result<(), CommandError> {
    match flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            Err(CommandError::Failed(format!("another backup is being written to {}", shown.display())))
        }
        // Some file systems cannot lock a folder. A backup there is better than none.
        _ => Ok(()),
    }
}

/// Removes the details of clicks of an unfinished backup.
fn clear_clicks(clicks: &Path) -> Result<(), CommandError> {
    let names = match fs::read_dir(clicks) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let cannot = |error| {
        CommandError::Failed(format!("cannot remove the unfinished backup {}: {error}", clicks.display()))
    };
    let is_ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(store::is_of_a_copy);
    if let Some(entry) = names.map_err(cannot)?.iter().find(|entry| !is_ours(&entry.file_name())) {
        return Err(not_ours(clicks, &entry.file_name()));
    }
    fs::remove_dir_all(clicks).map_err(cannot)
}

/// Returns the error of a folder with a file that no backup writes: its name may be of a folder of the user.
fn not_ours(folder: &Path, name: &std::ffi::OsStr) -> CommandError {
    CommandError::Failed(format!(
        "{} contains {}, which no backup writes: move it away",
        folder.display(),
        name.display()
    ))
}

/// Removes an unfinished backup, unless another process writes it.
fn clear(first: &Path, clicks: &[&PathBuf], to: &Path) -> Result<(), CommandError> {
    let cannot = |error| {
        CommandError::Failed(format!("cannot remove the unfinished backup {}: {error}", first.display()))
    };
    match open_folder(first) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Nothing is known to be there: the folder above is closed to this user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(cannot_create(to, &error)),
        Err(error) => Err(cannot(error)),
        Ok(folder) => {
            // Before anything is removed: it may be a backup in progress.
            lock_folder(&folder, first)?;
            let names = fs::read_dir(first).map_err(cannot)?.flatten().map(|entry| entry.file_name());
            let is_ours = |name: &std::ffi::OsString| {
                name == LOG_FOLDER || name == CLICKS_FOLDER || name.to_str().is_some_and(archive::is_of_a_log)
            };
            // Only files that a backup writes are removed: the name may be of a folder of the user.
            if let Some(name) = names.into_iter().find(|name| !is_ours(name)) {
                return Err(not_ours(first, &name));
            }
            // The log last: without it, details of clicks beside it would not be recognized.
            clicks.iter().try_for_each(|clicks| clear_clicks(clicks))?;
            fs::remove_dir_all(first).map_err(cannot)
        }
    }
}

/// Creates a folder for its owner only, and makes its name durable.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sync_folder(parent(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_may_not_be_written_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (here, new) = (folder.path(), folder.path().join("new"));
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let rows = [(here, denied(), "cannot write to"), (&new, denied(), "cannot write to")];
        for (to, error, want) in rows {
            let CommandError::Failed(text) = cannot_create(to, &error) else { panic!("{to:?}") };
            assert!(text.starts_with(&format!("{want} {}: permission denied", here.display())), "{text}");
        }
        let full = cannot_create(&new, &io::Error::other("full"));
        assert!(
            matches!(full, CommandError::Failed(text) if text == format!("cannot create {}: full", new.display()))
        );
    }
}
