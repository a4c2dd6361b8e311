//! The data folder: the names in it, its locks, and the states that an interrupted command leaves.
//!
//! Promises: one process at a time uses a data folder, even if the lock file is removed. A start never treats a
//! folder as new whose restore or backup was interrupted or whose log is missing. A copy that no server has used
//! yet needs the positive proof that it is complete: a closing mark that matches its log.

mod owner;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};
use rustix::io::Errno;

pub(crate) use self::owner::{give, quoted, remedy, remedy_for, shown as shown_user, user_of};
use crate::analytics::store::FOLDER as CLICKS_FOLDER;
use crate::certificates;
use crate::clock::Timestamp;
use crate::core::KEY_FILE;
use crate::log::local::archive;
use crate::log::local::disk_guard::BALLAST;
use crate::log::local::markers::{COPY, MARK};
use crate::private_files;

/// The folder of the log within the data folder.
pub const LOG_FOLDER: &str = "log";
/// The folder of the table within the data folder.
pub const TABLE_FOLDER: &str = "table";
/// The file that the process of a data folder locks.
pub(crate) const LOCK_FILE: &str = "lock";
/// The copy of a backup while `restore` runs.
pub const RESTORING: &str = "log.restoring";
/// The log of a backup while `backup` writes it into an existing folder.
pub(crate) const BACKING_UP: &str = "log.unfinished";
/// The details of clicks of a backup while `backup` writes them into an existing folder.
pub(crate) const BACKING_UP_CLICKS: &str = "clicks.unfinished";
/// The end of the name of a backup while `backup` writes it to a folder that did not exist.
const UNFINISHED: &str = ".unfinished";
/// The start of the name of a log that `restore` replaced. The time follows.
pub const REPLACED_LOG: &str = "log.replaced-";
/// The start of the name of a table that was replaced. The time follows.
pub const REPLACED_TABLE: &str = "table.replaced-";
/// The details of clicks beside a replaced log: this and the time in milliseconds.
pub const REPLACED_CLICKS: &str = "clicks.replaced-";
/// The start of the name of a key file that was replaced. The time follows.
const REPLACED_KEY: &str = "admin.key.replaced-";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The fields are the parts of the messages.
pub enum FolderError {
    /// The system refuses access.
    #[error("cannot use the data folder {}: {error}{}", path.display(), owner::remedy(path, error))]
    Unusable { path: PathBuf, error: io::Error },
    /// This process is root, and the folder belongs to another user.
    #[error(
        "the data folder {} belongs to {}, and that user cannot read what root writes there. Run this as that user: {}",
        path.display(), owner::shown(*uid), owner::command_as(*uid)
    )]
    Foreign { path: PathBuf, uid: u32 },
    /// This process is root, and the folder would be created in a folder of another user.
    #[error(
        "the data folder {} would be created in {}, which belongs to {}, and that user cannot read what root writes \
         there. Run this as that user: {}",
        path.display(), within.display(), owner::shown(*uid), owner::command_as(*uid)
    )]
    ForeignParent { path: PathBuf, within: PathBuf, uid: u32 },
    /// Another process uses it.
    #[error("the data folder {} is already in use by another waypost: stop that one first", path.display())]
    InUse { path: PathBuf },
    /// A command was interrupted in it, or its log is missing.
    #[error("{}", unfinished.advice(path))]
    Unfinished { path: PathBuf, unfinished: Unfinished },
}

/// A state of the data folder on which no server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// `restore` was interrupted before its copy was in place.
    Restoring {
        /// Whether the folder contains a log beside the copy.
        has_log: bool,
        /// The name of the newest log that was replaced, if there is no other log.
        replaced: Option<String>,
    },
    /// `restore` was interrupted when its copy already had the name of a replaced log, and was not in place yet.
    #[allow(missing_docs)]
    Exchanging { name: String, has_log: bool },
    /// A log was renamed, and no other has its name.
    #[allow(missing_docs)]
    Replaced { name: String },
    /// There is no log, but there are files that only exist beside one.
    LogMissing {
        /// The names of these files.
        beside: Vec<&'static str>,
    },
    /// No server ever ran here, and the log has no closing mark that matches it, as a complete backup has: the copy
    /// was cut.
    Unclosed,
    /// There is no log, only the unfinished copy of a backup with this path.
    #[allow(missing_docs)]
    BackingUp { copy: PathBuf },
}

impl Unfinished {
    /// Returns whether `serve --accept-loss` starts in this state. It does not after an interrupted restore: two
    /// logs may exist then, and only the operator knows which one to use.
    pub(crate) fn yields_to_accept_loss(&self) -> bool {
        matches!(self, Unfinished::LogMissing { .. } | Unfinished::Unclosed)
    }

    /// Returns the state of `dir` and the commands that resolve it.
    pub fn advice(&self, dir: &Path) -> String {
        let dir = dir.display();
        match self {
            Unfinished::Restoring { has_log: true, .. } => format!(
                "a restore into {dir} was interrupted: {dir}/{RESTORING} is its unfinished copy, and \
                 {dir}/{LOG_FOLDER} is the log from before. Finish the restore: waypost restore --replace BACKUP. Or \
                 keep the log from before: rm -r {dir}/{RESTORING}"
            ),
            Unfinished::Restoring { replaced: Some(name), .. } => format!(
                "a restore into {dir} was interrupted: {dir}/{RESTORING} is its copy, and {dir}/{name} is the log \
                 from before. Finish the restore: waypost restore --replace BACKUP. Or put the log from before back: \
                 mv -T {dir}/{name} {dir}/{LOG_FOLDER} && rm -r {dir}/{RESTORING}"
            ),
            Unfinished::Restoring { .. } => format!(
                "a restore into {dir} was interrupted: {dir}/{RESTORING} is its unfinished copy, and there is no other \
                 log. Finish the restore: waypost restore --replace BACKUP. Or begin without any link: rm -r \
                 {dir}/{RESTORING}"
            ),
            Unfinished::Exchanging { name, has_log: true } => format!(
                "a restore into {dir} was interrupted: {dir}/{name} is its copy, and {dir}/{LOG_FOLDER} is the log from \
                 before. Finish the restore: waypost restore --replace BACKUP. Or keep the log from before: rm -r \
                 {dir}/{name}"
            ),
            Unfinished::Exchanging { name, has_log: false } => format!(
                "a restore into {dir} was interrupted: {dir}/{name} is its copy, and there is no log. Finish the \
                 restore: waypost restore --replace BACKUP. Or put the log from before back, and then: rm -r \
                 {dir}/{name}"
            ),
            Unfinished::Replaced { name } => format!(
                "{dir}/{LOG_FOLDER} contains no log, and {dir}/{name} is one that a restore replaced: the restore was \
                 interrupted. Finish the restore: waypost restore --replace BACKUP. Or put the log from before back: \
                 mv -T {dir}/{name} {dir}/{LOG_FOLDER}"
            ),
            Unfinished::LogMissing { beside } => format!(
                "{dir}/{LOG_FOLDER} contains no log, although {dir} was used before: it has {}. Put the missing log \
                 back, or restore a backup: waypost restore --replace BACKUP. Or start without it: waypost serve \
                 --accept-loss",
                beside.join(" and ")
            ),
            Unfinished::Unclosed => format!(
                "{dir} was never used by a server, and its log has no closing mark ({LOG_FOLDER}/{MARK}) that matches \
                 it: it is a copy that was cut, or a copy of a running server. Repeat the copy. Or start on what is \
                 there: waypost serve --accept-loss"
            ),
            Unfinished::BackingUp { copy } => format!(
                "{dir} is no backup: the backup was interrupted, and {copy} is its unfinished copy. Repeat it: waypost \
                 backup {dir}. Or begin without any link: rm -r {copy}",
                copy = copy.display()
            ),
        }
    }
}

/// Fails if this process is root and the folder belongs to another user, or the folder in which it would be created.
pub fn check_owner(dir: &Path) -> Result<(), FolderError> {
    let path = dir.to_owned();
    if let Some(uid) = owner::foreign(&[dir, &dir.join(LOG_FOLDER)]) {
        return Err(FolderError::Foreign { path, uid });
    }
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let above = whole.ancestors().skip(1).find(|above| above.exists()).filter(|_| !dir.exists());
    match above.and_then(|above| Some((above.to_owned(), owner::foreign(&[above])?))) {
        Some((within, uid)) => Err(FolderError::ForeignParent { path, within, uid }),
        None => Ok(()),
    }
}

/// Fails if a server could not change to this data folder at its next start. Creates nothing.
pub(crate) fn check_next(dir: &Path) -> Result<(), FolderError> {
    check_owner(dir)?;
    check(dir, false)?;
    // Released at once: the server that asks has the lock on its own folder alone.
    lock_existing(dir)?;
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let within = whole.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    access(within, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| FolderError::Unusable { path: dir.to_owned(), error: errno.into() })
}

/// Returns why no server may start on `dir`, or `None` if one may. Start, `verify`, `restore` and `doctor` share this
/// decision. Reads only names, and the end of a log that no server has used yet.
pub fn unfinished(dir: &Path) -> io::Result<Option<Unfinished>> {
    let exists = |name: &str| exists(dir, name);
    let log = dir.join(LOG_FOLDER);
    if dir.exists() && !dir.is_dir() {
        return Err(private_files::not_a_folder());
    }
    let has_log = archive::holds_log(&log)?;
    let replaced = if has_log { None } else { newest_replaced(dir)? };
    // First: an unfinished copy makes every other sign ambiguous.
    if exists(RESTORING) {
        return Ok(Some(Unfinished::Restoring { has_log, replaced }));
    }
    if let Some(name) = unfinished_copies(dir)?.pop() {
        return Ok(Some(Unfinished::Exchanging { name, has_log }));
    }
    if has_log {
        // The mark must match: a copy onto a full disk creates its name without its content.
        let may_be_cut = !was_used(dir) && !archive::is_closed(&log).map_err(io::Error::other)?;
        return Ok(Some(Unfinished::Unclosed).filter(|_| may_be_cut));
    }
    if let Some(name) = replaced {
        return Ok(Some(Unfinished::Replaced { name }));
    }
    let beside: Vec<_> = [TABLE_FOLDER, KEY_FILE].into_iter().filter(|name| exists(name)).collect();
    if !beside.is_empty() {
        return Ok(Some(Unfinished::LogMissing { beside }));
    }
    Ok(unfinished_backup(dir).map(|copy| Unfinished::BackingUp { copy }))
}

/// Returns whether a server ever ran on `dir`. The log of such a folder has no closing mark after a crash, and the
/// next start finds its end.
pub(crate) fn was_used(dir: &Path) -> bool {
    // A server leaves both names; a copy of the log alone has neither.
    [LOCK_FILE, TABLE_FOLDER].into_iter().any(|name| exists(dir, name))
}

fn exists(dir: &Path, name: &str) -> bool {
    // Without following links: a dangling link is still a sign of use.
    fs::symlink_metadata(dir.join(name)).is_ok()
}

/// Returns the unfinished copy of a backup to `dir`, if there is one.
fn unfinished_backup(dir: &Path) -> Option<PathBuf> {
    let inside = Some(dir.join(BACKING_UP)).filter(|inside| inside.is_dir());
    // Another folder may have this name by chance, but it contains no log.
    inside.or_else(|| Some(unfinished_beside(dir)).filter(|beside| beside.join(LOG_FOLDER).is_dir()))
}

/// Returns the name of an unfinished backup to `to`, where `to` does not exist.
pub(crate) fn unfinished_beside(to: &Path) -> PathBuf {
    let whole = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    whole.with_file_name(name)
}

/// Removes the rights of other users from all files of the program in the data folder, which contains hashes of keys
/// and passwords. An umask or a copy may have set them. The folder itself stays as it is, since its owner may have
/// opened it to a group: a warning names the rights.
pub(crate) fn keep_private(dir: &Path) {
    if private_files::is_open_to_others(dir) {
        tracing::warn!(
            folder = %dir.display(),
            "other users can read the data folder, which contains hashes of keys and passwords: run \
             chmod 700 on it"
        );
    }
    // Before its mode is changed below: afterwards nothing shows that others could read it.
    let key = dir.join(KEY_FILE);
    if private_files::is_open_to_others(&key) {
        tracing::warn!(
            file = %key.display(),
            "other users could read the key of the instance; from now on its owner alone can: create a new key if another \
             user may have read it"
        );
    }
    let ours =
        [LOG_FOLDER, TABLE_FOLDER, LOCK_FILE, KEY_FILE, BALLAST, certificates::store::FOLDER, CLICKS_FOLDER];
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        // Also replaced ones, such as `log.replaced-1`.
        let base =
            |own: &&str| name.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if !ours.iter().any(base) {
            continue;
        }
        if let Err(error) = private_files::restrict(&dir.join(&name)) {
            tracing::warn!(%error, "other users can read a file of the data folder");
        }
    }
}

/// Fails if no server may start on `dir`, unless `accept_loss` allows it. Returns whether the loss of the whole log
/// was accepted.
pub fn check(dir: &Path, accept_loss: bool) -> Result<bool, FolderError> {
    let found = unfinished(dir).map_err(|error| FolderError::Unusable { path: dir.to_owned(), error })?;
    match found {
        None => Ok(false),
        Some(unfinished) if accept_loss && unfinished.yields_to_accept_loss() => {
            Ok(matches!(unfinished, Unfinished::LogMissing { .. }))
        }
        Some(unfinished) => Err(FolderError::Unfinished { path: dir.to_owned(), unfinished }),
    }
}

/// Returns the folder with the details of clicks of a data folder or a backup.
pub(crate) fn clicks_folder(dir: &Path) -> PathBuf {
    let restored = restored_clicks(dir);
    if restored.is_dir() { restored } else { dir.join(CLICKS_FOLDER) }
}

/// Returns why this user cannot keep details of clicks in a data folder, or `None` if it can, or if there is no folder of
/// details yet.
pub(crate) fn unusable_clicks(dir: &Path) -> Option<String> {
    let clicks = clicks_folder(dir);
    let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if !clicks.exists() || (clicks.is_dir() && access(&clicks, needed).is_ok()) {
        return None;
    }
    Some(format!(
        "{} is no folder that this user can read and write, so a server of this user counts clicks and keeps no details of \
         them. Run: chown -R USER {0}, or move it away",
        clicks.display()
    ))
}

/// Returns the folder of the details of a log that `restore` has just put in place: within its log, so that one step
/// replaces both.
fn restored_clicks(dir: &Path) -> PathBuf {
    dir.join(LOG_FOLDER).join(CLICKS_FOLDER)
}

/// Moves the details of a restored log to their place, durably. Returns the new name of those that were there before.
/// Does nothing without a restored log. After a crash at any point, another call does the rest.
pub(crate) fn place_restored_clicks(dir: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let (restored, clicks) = (restored_clicks(dir), dir.join(CLICKS_FOLDER));
    if !restored.is_dir() {
        return Ok(None);
    }
    let aside = dir.join(format!("{REPLACED_CLICKS}{}", now.as_millis()));
    let kept = match fs::rename(&clicks, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        renamed => renamed.map(|()| Some(aside))?,
    };
    // A power cut must not leave the second rename without the first, which would remove the old details.
    sync_folder(dir)?;
    fs::rename(&restored, &clicks)?;
    sync_folder(&dir.join(LOG_FOLDER))?;
    sync_folder(dir)?;
    Ok(kept)
}

/// Renames the key file of an instance whose log is lost. The next bootstrap writes another one.
pub(crate) fn set_key_aside(dir: &Path, now: Timestamp) -> io::Result<()> {
    let aside = dir.join(format!("{REPLACED_KEY}{}", now.as_millis()));
    match fs::rename(dir.join(KEY_FILE), aside) {
        // Without a key file there is nothing to rename: the key may come from the environment.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the names of replaced logs that are copies of a restore instead: the restore was interrupted before it
/// exchanged them with the log. No server ran on any of them.
pub(crate) fn unfinished_copies(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = replaced_logs(dir)?;
    names.retain(|name| exists(&dir.join(name), COPY));
    Ok(names)
}

fn newest_replaced(dir: &Path) -> io::Result<Option<String>> {
    // The time has the same number of digits until the year 2286, so names sort by it.
    Ok(replaced_logs(dir)?.into_iter().max())
}

fn replaced_logs(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names =
        entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.into_iter().flatten().filter(|name| name.starts_with(REPLACED_LOG)).collect())
}

/// The locks on a data folder. Dropping it releases them.
#[derive(Debug)]
pub struct FolderLock {
    named: Option<File>,
    // The folder of the log itself. This lock remains when the lock file is removed.
    log: Option<File>,
}

impl FolderLock {
    /// Locks the folder of the log if it was created after the lock file was locked.
    pub fn extend(&mut self, dir: &Path) -> Result<(), FolderError> {
        if self.log.is_none() {
            self.log = lock_log(dir)?;
        }
        Ok(())
    }
}

/// Locks a data folder, and the folder of its log if it has one. Creates the lock file.
pub fn lock(dir: &Path) -> Result<FolderLock, FolderError> {
    let path = dir.join(LOCK_FILE);
    let named = private_files::open_regular(
        &path,
        // Never truncated and never removed: another process may hold the lock on this very file.
        File::options().create(true).truncate(false).write(true).mode(private_files::FILE_MODE),
    );
    lock_with(dir, Some(named.map_err(|error| FolderError::Unusable { path: dir.to_owned(), error })?))
}

/// Like [`lock`], but creates no file: for a command that changes nothing. Returns `None` if there is nothing to
/// lock.
pub fn lock_existing(dir: &Path) -> Result<Option<FolderLock>, FolderError> {
    let named = present(private_files::open_regular(&dir.join(LOCK_FILE), File::options().read(true)));
    let named = named.map_err(|error| FolderError::Unusable { path: dir.to_owned(), error })?;
    let lock = lock_with(dir, named)?;
    Ok(Some(lock).filter(|lock| lock.named.is_some() || lock.log.is_some()))
}

fn lock_with(dir: &Path, named: Option<File>) -> Result<FolderLock, FolderError> {
    // The lock file before the log, in every process: of two that start at once, one gets both.
    named.iter().try_for_each(|file| acquire(dir, file))?;
    Ok(FolderLock { named, log: lock_log(dir)? })
}

fn lock_log(dir: &Path) -> Result<Option<File>, FolderError> {
    let log = present(open_folder(&dir.join(LOG_FOLDER)));
    let log = log.map_err(|error| FolderError::Unusable { path: dir.to_owned(), error })?;
    log.iter().try_for_each(|file| acquire(dir, file))?;
    Ok(log)
}

fn present(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn acquire(dir: &Path, file: &File) -> Result<(), FolderError> {
    match private_files::lock(file) {
        // NFS locks only files that are open for writing, which a folder cannot be. There only the lock file
        // excludes other processes.
        Ok(()) | Err(Errno::BADF) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(FolderError::InUse { path: dir.to_owned() }),
        Err(error) => Err(FolderError::Unusable { path: dir.to_owned(), error: error.into() }),
    }
}

/// Opens a folder, for a lock or a sync.
pub fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Makes the names in a folder durable (fsync).
pub fn sync_folder(path: &Path) -> io::Result<()> {
    open_folder(path)?.sync_all()
}
