//! The user to whom a data folder belongs, and how this command is run as that user. Root can write everywhere, and
//! the owner cannot read what root has written.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use crate::users;
pub(crate) use crate::users::{quoted, shown};

/// The start of the variables that a command needs, which `sudo` removes.
const PREFIX: &str = "WAYPOST_";

/// Returns the user of the first of these folders that belongs to another user, if this process is root.
pub(super) fn foreign(folders: &[&Path]) -> Option<u32> {
    if !geteuid().is_root() {
        return None;
    }
    let mut owners = folders.iter().filter_map(|path| Some(fs::metadata(path).ok()?.uid()));
    owners.find(|uid| *uid != 0)
}

/// Returns the command line that runs this very command as another user.
pub(super) fn command_as(uid: u32) -> String {
    let user = users::name(uid).unwrap_or_else(|| format!("'#{uid}'"));
    let mut names: Vec<_> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    names.sort();
    let kept = if names.is_empty() { String::new() } else { format!(" --preserve-env={}", names.join(",")) };
    let words: Vec<_> = std::env::args_os().map(|word| quoted(&word.to_string_lossy())).collect();
    format!("sudo -u {user}{kept} {}", words.join(" "))
}

/// Returns what to do about an error of a path: for a missing right, the command as its owner. Begins with a space, or
/// is empty.
pub(crate) fn remedy(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let us = geteuid().as_raw();
    match fs::metadata(path) {
        Ok(found) if found.uid() != us => {
            format!(". It belongs to {}: {}", shown(found.uid()), command_as(found.uid()))
        }
        Ok(_) => {
            format!(". It belongs to this user (uid {us}): check its modes, or the modes of what is in it")
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            format!(". This user (uid {us}) cannot create it: create it for this user, or set `data_dir`")
        }
        // A folder above may not be entered, so the owner is unknown.
        Err(_) => format!(
            ". This user (uid {us}) may not enter a folder above it: run this as the user of the server"
        ),
    }
}

/// Returns what to do if a folder cannot be read by `user`, for a command that only this user can run. Begins with a
/// space, or is empty.
pub(crate) fn remedy_for(folder: &Path, user: u32, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    if user != geteuid().as_raw() {
        return format!(". Run this as the user of the data folder: {}", command_as(user));
    }
    match fs::metadata(folder) {
        Ok(found) => format!(". It belongs to {}: {}", shown(found.uid()), chown(folder, user)),
        Err(_) => format!(
            ". {} may not enter a folder above it. Move it to a folder that this user may enter, and then: {}",
            shown(user),
            chown(folder, user)
        ),
    }
}

/// Returns the command that gives a folder to a user, if it belongs to another one.
pub(crate) fn give(folder: &Path, user: u32) -> Option<String> {
    fs::metadata(folder).is_ok_and(|found| found.uid() != user).then(|| chown(folder, user))
}

fn chown(folder: &Path, user: u32) -> String {
    // The colon alone means the group of the user. Only a user with a name has one.
    let owner = users::name(user).map_or_else(|| user.to_string(), |name| format!("{name}:"));
    format!("sudo chown -R {owner} {}", quoted(&folder.to_string_lossy()))
}

/// Returns the user to whom a data folder belongs: the user of this process, if the folder does not exist yet.
pub(crate) fn user_of(dir: &Path) -> u32 {
    fs::metadata(dir).map_or_else(|_| geteuid().as_raw(), |found| found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_user() {
        assert!(command_as(4_000_000_000).starts_with("sudo -u '#4000000000' "));
        assert_eq!(chown(Path::new("/a b"), 0), "sudo chown -R root: '/a b'");
        assert_eq!(chown(Path::new("/a"), 4_000_000_000), "sudo chown -R 4000000000 /a");
    }
}
