//! The data folder: whether it is there, whose it is, who can read it, how much room it has.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::{Case, Finding};
use crate::app::data_folder::{self, FolderError, FolderLock, LOG_FOLDER, TABLE_FOLDER};
use crate::core::KEY_FILE;
use crate::log::local::disk_guard::DiskSpace;

const FOLDER: &str = "data folder";
const PERMISSIONS: &str = "permissions";
const SPACE: &str = "disk space";

/// Files looked at below the data folder; a log of 64 GB has a thousand. What stands behind them
/// was written by whoever wrote these.
const FILES_MAX: usize = 2_000;

/// Room for this many times the reserve is little: a day of writes may fill it.
const LITTLE: u64 = 16;

/// Fewer free inodes than this are few: each segment of the log takes one, and sled some.
const FEW_INODES: u64 = 1_000;

/// Who has the data folder.
pub(super) enum Lock {
    /// Nobody; this process, while it is kept.
    Ours(#[allow(dead_code, reason = "kept for its locks")] FolderLock),
    /// A server, or a command that works on it.
    Theirs,
    /// It cannot be told: there is no folder yet, or it may not be read.
    Unknown,
}

/// Takes the locks if they are free. Makes no file.
pub(super) fn lock(case: &Case) -> Lock {
    match data_folder::lock_existing(&case.config.data_dir) {
        Ok(Some(lock)) => Lock::Ours(lock),
        Err(FolderError::InUse { .. }) => Lock::Theirs,
        Ok(None) | Err(_) => Lock::Unknown,
    }
}

/// Whether the folder is there and can be used, by its owner alone.
pub(super) fn data_folder(case: &Case) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let shown = folder.display();
    let held = match fs::metadata(folder) {
        Ok(held) => held,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return vec![not_there(folder)],
        Err(error) => {
            let text =
                format!("{shown} cannot be looked at: {error}. Run this as the user that runs the server");
            return vec![Finding::problem(FOLDER, text)];
        }
    };
    if !held.is_dir() {
        let text = format!("{shown} is no folder. Set `data_dir` to one, or move the file away");
        return vec![Finding::problem(FOLDER, text)];
    }
    if access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!(
            "{shown} cannot be read and written by this user (uid {}), so no server of it can start. Run this as \
             the user that runs the server, or: chown -R USER {shown}",
            geteuid().as_raw()
        );
        return vec![Finding::problem(FOLDER, text)];
    }
    // Released at once: only whether it can be taken is of interest here.
    if let Err(error @ FolderError::Unusable { .. }) = data_folder::lock_existing(folder) {
        return vec![Finding::problem(FOLDER, error.to_string())];
    }
    let mut found = vec![Finding::ok(FOLDER, format!("{shown} is there and can be written"))];
    found.extend(permissions(folder, &held));
    found
}

fn not_there(folder: &Path) -> Finding {
    let shown = folder.display();
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let nearest = whole.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    if access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Finding::warning(
            FOLDER,
            format!(
                "{shown} is not there: the first start makes it. If there should be links, look at `data_dir`"
            ),
        );
    }
    let text = format!(
        "{shown} is not there, and this user (uid {}) cannot make it in {}. Make it and give it to the user that \
         runs the server, or set `data_dir`",
        geteuid().as_raw(),
        nearest.display()
    );
    Finding::problem(FOLDER, text)
}

fn permissions(folder: &Path, held: &Metadata) -> Vec<Finding> {
    let mut found = Vec::new();
    let shown = folder.display();
    if held.mode() & 0o077 != 0 {
        let text = format!(
            "others than its owner can look into {shown} (mode {:03o}), which holds hashes of keys and passwords. \
             Run: chmod 700 {shown}",
            held.mode() & 0o777
        );
        found.push(Finding::problem(PERMISSIONS, text));
    }
    let key = folder.join(KEY_FILE);
    if let Ok(file) = fs::metadata(&key)
        && file.mode() & 0o077 != 0
    {
        let text = format!(
            "others than its owner can read {key} (mode {:03o}), the key to everything. Run: chmod 600 {key}, and \
             make a new key if somebody may have read it",
            file.mode() & 0o777,
            key = key.display()
        );
        found.push(Finding::problem(PERMISSIONS, text));
    }
    let us = geteuid().as_raw();
    let strangers = owned_by_others(folder, held.uid());
    if let Some((path, uid)) = strangers.first() {
        let text = format!(
            "{} of the files in {shown} belong to others than its owner (uid {}), such as {} to uid {uid}: a server \
             was started as another user once. Run: chown -R {} {shown}",
            strangers.len(),
            held.uid(),
            path.display(),
            held.uid()
        );
        found.push(Finding::problem(PERMISSIONS, text));
    } else if us != held.uid() {
        let text = format!(
            "{shown} belongs to uid {}, and this is uid {us}: a server started so leaves files that the owner \
             cannot read. Start it as the owner",
            held.uid()
        );
        found.push(Finding::warning(PERMISSIONS, text));
    }
    if found.is_empty() {
        found.push(Finding::ok(PERMISSIONS, format!("only its owner (uid {us}) can look into {shown}")));
    }
    found
}

/// Files in the data folder, the log and the table with another owner.
fn owned_by_others(folder: &Path, owner: u32) -> Vec<(PathBuf, u32)> {
    let folders = [folder.to_owned(), folder.join(LOG_FOLDER), folder.join(TABLE_FOLDER)];
    let entries = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let owners =
        entries.take(FILES_MAX).filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.uid())));
    owners.filter(|(_, uid)| *uid != owner).collect()
}

/// Whether writes have room.
pub(super) fn disk_space(case: &Case) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    let Some(there) = whole.ancestors().find(|path| path.is_dir()) else { return Vec::new() };
    let room = match DiskSpace::of(there) {
        Ok(room) => room,
        Err(error) => {
            let text = format!("the volume of {} cannot be asked: {error}", folder.display());
            return vec![Finding::warning(SPACE, text)];
        }
    };
    let (free, needed) = (megabytes(room.free), megabytes(room.stops_below));
    let text = if room.free <= room.stops_below {
        let text = format!(
            "{free} are free on the volume of {}, and below {needed} writes are refused (507), while redirects go \
             on. Free some: it heals by itself within seconds",
            folder.display()
        );
        return vec![Finding::problem(SPACE, text)];
    } else if room.free < room.stops_below.saturating_mul(LITTLE) {
        format!(
            "only {free} are free on the volume of {}; below {needed} writes are refused (507)",
            folder.display()
        )
    } else if room.inodes < FEW_INODES {
        format!("only {} files more fit on the volume of {}", room.inodes, folder.display())
    } else {
        return vec![Finding::ok(SPACE, format!("{free} are free; below {needed} writes would be refused"))];
    };
    vec![Finding::warning(SPACE, format!("{text}. Make room, or move `data_dir`"))]
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / (1024 * 1024 / 10);
    if tenths < 100 { format!("{}.{} MB", tenths / 10, tenths % 10) } else { format!("{} MB", tenths / 10) }
}
