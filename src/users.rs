//! Users of this machine: their names in messages, whether they may read a file, and the commands that let them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};
use rustix::process::{getegid, geteuid};

/// The users and the groups of this machine.
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Where commands in messages put a copy of a file that a user may not read.
const COPIES: &str = "/etc/waypost";

/// A user who needs a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Returns the user of this process.
    pub(crate) fn this() -> User {
        User { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Returns the user to whom a file or folder belongs. `None` if there is none.
    pub(crate) fn owner_of(path: &Path) -> Option<User> {
        let found = fs::metadata(path).ok()?;
        Some(User { uid: found.uid(), gid: group_of(found.uid()).unwrap_or(found.gid()) })
    }

    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Returns the user as people know it.
    pub(crate) fn shown(self) -> String {
        shown(self.uid)
    }

    /// Returns whether the user may read a file. True if that cannot be found out.
    pub(crate) fn may_read(self, path: &Path) -> bool {
        self.may(path, Access::READ_OK, "-r")
    }

    /// Returns whether the user has a right to a path. Root asks for another user by running `test` as that user, since
    /// modes alone leave out lists of access rights and further groups.
    fn may(self, path: &Path, right: Access, flag: &str) -> bool {
        if self.uid == User::this().uid {
            return access(path, right).is_ok();
        }
        let groups = if name_of(USERS, self.uid).is_some() { "--init-groups" } else { "--clear-groups" };
        let status = Command::new("setpriv")
            .args([format!("--reuid={}", self.uid), format!("--regid={}", self.gid), groups.to_owned()])
            .args(["test", flag])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        // `test` ends with 1. Other numbers are those of a `setpriv` that failed.
        status.ok().and_then(|status| status.code()) != Some(1)
    }

    /// Returns the command that lets the user read a file, as a sentence.
    pub(crate) fn reading(self, path: &Path) -> String {
        let (user, whole) = (self.shown(), whole(path));
        let file = quoted(&whole.display().to_string());
        let above: Vec<_> = whole.ancestors().skip(1).filter(|folder| folder.is_dir()).collect();
        // From the root on: within a folder that is closed, nothing can be asked.
        let closed = above.into_iter().rev().find(|folder| !self.may(folder, Access::EXEC_OK, "-x"));
        let name = name_of(USERS, self.uid).unwrap_or_else(|| self.uid.to_string());
        let Some(closed) = closed else {
            let group = name_of(GROUPS, self.gid).unwrap_or_else(|| self.gid.to_string());
            return format!(
                "{user} must be able to read it: sudo chgrp {group} {file} && sudo chmod g+r {file}"
            );
        };
        let copy = Path::new(COPIES).join(whole.file_name().unwrap_or_default());
        format!(
            "{user} must be able to read it, and may not enter {}. Give that user a copy after each change, and name the \
             copy: sudo install -D -m 600 -o {name} {file} {}",
            closed.display(),
            quoted(&copy.display().to_string())
        )
    }
}

/// Returns what to do about the error of a file that this user must read, as a sentence that begins with a full stop. It is
/// empty for other errors than a missing right.
pub(crate) fn remedy_to_read(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    format!(". The user {}", User::this().reading(path))
}

fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns a user as people know it.
pub(crate) fn shown(uid: u32) -> String {
    name_of(USERS, uid).map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// Returns the name of a user. `None` in a container without a list of users.
pub(crate) fn name(uid: u32) -> Option<String> {
    name_of(USERS, uid)
}

fn name_of(list: &str, id: u32) -> Option<String> {
    field_of(list, id, 0)
}

/// Returns the first group of a user.
fn group_of(uid: u32) -> Option<u32> {
    field_of(USERS, uid, 3)?.parse().ok()
}

/// Returns a field of the line whose third field is this id.
fn field_of(list: &str, id: u32, number: usize) -> Option<String> {
    let lines = fs::read_to_string(list).ok()?;
    lines.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let is_it = fields.get(2)?.parse() == Ok(id);
        is_it.then(|| fields.get(number).map(|&field| field.to_owned()))?
    })
}

/// Returns a word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=,%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_and_groups() {
        assert_eq!((name(0).as_deref(), group_of(0)), (Some("root"), Some(0)));
        assert_eq!(shown(4_000_000_000), "uid 4000000000");
        assert_eq!(
            [quoted("a/b.c"), quoted("a b"), quoted("it's"), quoted("")],
            ["a/b.c", "'a b'", "'it'\\''s'", "''"]
        );
    }

    #[test]
    fn a_file_that_this_user_reads_has_a_command_for_its_group() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(User::this().may_read(file.path()));
        assert!(!User::this().may_read(Path::new("/nowhere/x")));
        let shown = file.path().display();
        let text = User::this().reading(file.path());
        assert!(text.contains(&format!(" {shown} && sudo chmod g+r {shown}")), "{text}");
    }
}
