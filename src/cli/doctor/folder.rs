//! The data folder: existence, owner, permissions, and free space.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::finding::{Case, Finding};
use crate::analytics::store::FOLDER as CLICKS_FOLDER;
use crate::app::data_folder::{self, FolderError, FolderLock, LOG_FOLDER, TABLE_FOLDER};
use crate::certificates;
use crate::cli::key_source::ANOTHER_KEY;
use crate::cli::output::{counted, form};
use crate::core::KEY_FILE;
use crate::log::local::disk_guard::DiskSpace;

const FOLDER: &str = "data folder";
const PERMISSIONS: &str = "permissions";
const SPACE: &str = "disk space";
const KEY: &str = "admin key";

/// Most files that are checked below the data folder. A log of 64 GB has a thousand. Further files likely have the
/// same owner.
const FILES_MAX: usize = 2_000;

/// Free space below this multiple of the reserve is a warning: a day of writes may fill it.
const LITTLE: u64 = 16;

/// Fewer free inodes are a warning: each segment of the log takes one, and sled some.
const FEW_INODES: u64 = 1_000;

/// The holder of the data folder's locks.
pub(super) enum Lock {
    /// This process, until it is dropped.
    Ours(#[allow(dead_code, reason = "kept for its locks")] FolderLock),
    /// A server, or a command that works on the folder.
    Theirs,
    /// Unknown: there is no folder, or it cannot be read.
    Unknown,
}

/// Acquires the locks if they are free. Creates no file.
pub(super) fn lock(case: &Case) -> Lock {
    match data_folder::lock_existing(&case.config.data_dir) {
        Ok(Some(lock)) => Lock::Ours(lock),
        // Another process has the lock: a server, an import or a restore.
        Err(FolderError::InUse { .. }) => Lock::Theirs,
        Ok(None) | Err(_) => Lock::Unknown,
    }
}

/// Checks that the folder exists and that only its owner can use it.
pub(super) fn data_folder(case: &Case) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return vec![missing(folder)],
        Err(error) => {
            let text = format!("{shown} cannot be read: {error}{}", data_folder::remedy(folder, &error));
            return vec![Finding::problem(FOLDER, text)];
        }
    };
    if !metadata.is_dir() {
        let text = format!("{shown} is no folder. Set `data_dir` to one, or move the file away");
        return vec![Finding::problem(FOLDER, text)];
    }
    // Asked of the system: mode bits alone ignore groups, root and read-only mounts.
    if access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!(
            "{shown} cannot be read and written by this user (uid {}), so no server of this user can start. Run this as \
             the user of the server, or: chown -R USER {shown}",
            geteuid().as_raw()
        );
        return vec![Finding::problem(FOLDER, text)];
    }
    // The locks are released at once: this only checks that they can be acquired.
    if let Err(error @ FolderError::Unusable { .. }) = data_folder::lock_existing(folder) {
        return vec![Finding::problem(FOLDER, error.to_string())];
    }
    let mut found = vec![Finding::ok(FOLDER, format!("{shown} exists and can be written"))];
    found.extend(permissions(case, &metadata));
    found
}

fn missing(folder: &Path) -> Finding {
    let shown = folder.display();
    if let Err(error) = data_folder::check_owner(folder) {
        return Finding::problem(FOLDER, error.to_string());
    }
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // The start creates all missing folders, so the nearest existing one decides.
    let nearest = whole.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    if access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Finding::warning(
            FOLDER,
            format!(
                "{shown} does not exist: the first start creates it. If it should contain links, check `data_dir`"
            ),
        );
    }
    let text = format!(
        "{shown} does not exist, and this user (uid {}) cannot create it in {}. Create it for the user of the \
         server, or set `data_dir`",
        geteuid().as_raw(),
        nearest.display()
    );
    Finding::problem(FOLDER, text)
}

fn permissions(case: &Case, metadata: &Metadata) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let mut found = Vec::new();
    let shown = folder.display();
    // Any right of group or others.
    if metadata.mode() & 0o077 != 0 {
        let text = format!(
            "other users than its owner can read {shown} (mode {:03o}), which contains hashes of keys and passwords. \
             Run: chmod 700 {shown}",
            metadata.mode() & 0o777
        );
        found.push(Finding::problem(PERMISSIONS, text));
    }
    found.extend(lost_key(case));
    let key = folder.join(KEY_FILE);
    if let Ok(file) = fs::metadata(&key)
        && file.mode() & 0o077 != 0
    {
        let text = format!(
            "other users than its owner can read {key} (mode {:03o}), the key of the instance. Run: chmod 600 {key}, \
             and create a new key if another user may have read it",
            file.mode() & 0o777,
            key = key.display()
        );
        found.push(Finding::problem(PERMISSIONS, text));
    }
    let us = geteuid().as_raw();
    let foreign = owned_by_others(folder, metadata.uid());
    if let Some((path, uid)) = foreign.first() {
        let text = format!(
            "{} in {shown} {} not belong to its owner (uid {}), such as {} of uid {uid}: a server was once started as \
             another user. Run: chown -R {} {shown}",
            counted(foreign.len() as u64, "file"),
            form(foreign.len() as u64, "does", "do"),
            metadata.uid(),
            path.display(),
            metadata.uid()
        );
        found.push(Finding::problem(PERMISSIONS, text));
    } else if let Err(error) = data_folder::check_owner(folder) {
        found.push(Finding::problem(PERMISSIONS, error.to_string()));
    } else if us != metadata.uid() {
        let text = format!(
            "{shown} belongs to uid {}, and this is uid {us}: a server of this user writes files that the owner \
             cannot read. Start it as the owner",
            metadata.uid()
        );
        found.push(Finding::warning(PERMISSIONS, text));
    }
    if !found.iter().any(|finding| finding.about == PERMISSIONS) {
        found.push(Finding::ok(PERMISSIONS, format!("only its owner (uid {us}) can read {shown}")));
    }
    found
}

/// Reports that a folder with a log has no key of the instance: the commands for links read it there.
fn lost_key(case: &Case) -> Option<Finding> {
    let folder = &case.config.data_dir;
    let key = folder.join(KEY_FILE);
    // A key of the environment is written nowhere.
    if case.config.admin_key.is_some()
        || !folder.join(LOG_FOLDER).is_dir()
        || fs::symlink_metadata(&key).is_ok()
    {
        return None;
    }
    let text = format!(
        "there is no {}, so the commands for links need --key-file FILE. Put the file back if you kept it; {ANOTHER_KEY}",
        key.display()
    );
    Some(Finding::warning(KEY, text))
}

/// Returns the files in the data folder and the folders in it that have another owner.
fn owned_by_others(folder: &Path, owner: u32) -> Vec<(PathBuf, u32)> {
    let names = [LOG_FOLDER, TABLE_FOLDER, CLICKS_FOLDER, certificates::store::FOLDER];
    let folders = std::iter::once(folder.to_owned()).chain(names.map(|name| folder.join(name)));
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let owners =
        // Bounded before the owners are read: each costs a system call.
        entries.take(FILES_MAX).filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.uid())));
    owners.filter(|(_, uid)| *uid != owner).collect()
}

/// Checks the free space and the free inodes.
pub(super) fn disk_space(case: &Case) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    // The folder may not exist yet: its volume is that of the nearest one above.
    let Some(there) = whole.ancestors().find(|path| path.is_dir()) else { return Vec::new() };
    let space = match DiskSpace::of(there) {
        Ok(space) => space,
        Err(error) => {
            let text = format!("the free space of the volume of {} is unknown: {error}", folder.display());
            return vec![Finding::warning(SPACE, text)];
        }
    };
    let (free, needed) = (size(space.free), size(space.stops_below));
    let text = if space.free <= space.stops_below {
        let text = format!(
            "{free} are free on the volume of {}. Below {needed} writes are refused (507), and redirects continue. \
             Free some space: the server recovers within seconds",
            folder.display()
        );
        return vec![Finding::problem(SPACE, text)];
    } else if space.free < space.stops_below.saturating_mul(LITTLE) {
        format!(
            "only {free} are free on the volume of {}; below {needed} writes are refused (507)",
            folder.display()
        )
    } else if space.inodes < FEW_INODES {
        format!("the volume of {} has inodes for only {} more files", folder.display(), space.inodes)
    } else {
        return vec![Finding::ok(SPACE, format!("{free} are free; below {needed} writes would be refused"))];
    };
    vec![Finding::warning(SPACE, format!("{text}. Free some space, or move `data_dir`"))]
}

/// Returns a number of bytes as people read it, with one digit behind the point below 100.
fn size(bytes: u64) -> String {
    let kibibytes = bytes / 1024;
    let (unit, each) = if kibibytes < 10_000 * 1024 { ("MB", 1024) } else { ("GB", 1024 * 1024) };
    let tenths = kibibytes.saturating_mul(10) / each;
    if tenths < 1_000 {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let rows = [
            (0, "0.0 MB"),
            (33 << 20, "33.0 MB"),
            (1_500 << 20, "1500 MB"),
            (67_039 << 20, "65.4 GB"),
            (4 << 40, "4096 GB"),
        ];
        for (bytes, want) in rows {
            assert_eq!(size(bytes), want);
        }
    }
}
