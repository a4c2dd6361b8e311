//! Files and folders that only their owner may read, and locks on them. Nearly all that Waypost writes
//! contains hashes of passwords and keys. Modes are therefore set here, and never depend on the umask or on
//! a previous file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use tempfile::{NamedTempFile, TempDir};

/// The mode of files: read and written by their owner.
pub const FILE_MODE: u32 = 0o600;

/// The mode of files for all users, of which the umask takes rights.
const PUBLIC_MODE: u32 = 0o666;

/// The umask with which the process was started.
static USER_UMASK: OnceLock<u32> = OnceLock::new();

/// The mode of folders: entered by their owner.
pub(crate) const FOLDER_MODE: u32 = 0o700;

/// All rights of users other than the owner.
const OTHERS: u32 = 0o077;

/// Depth of folders that [`restrict`] enters: the table stores large values one level down. Deeper folders
/// do not belong to Waypost and stay as they are.
const DEPTH: u32 = 2;

/// Removes the rights of other users from everything that this process creates from now on, also in
/// libraries.
pub fn restrict_new_files() {
    let of_user = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let _ = USER_UMASK.set(of_user.bits());
}

/// Gives a new file the mode that the umask of the user leaves, for content that is no secret.
pub(crate) fn open_to_user_umask(file: &File) -> io::Result<()> {
    // Without `restrict_new_files`, the umask has done its work.
    let Some(umask) = USER_UMASK.get() else { return Ok(()) };
    file.set_permissions(Permissions::from_mode(PUBLIC_MODE & !umask))
}

/// Creates a folder and its parents for their owner. Leaves an existing folder as it is.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    created.map_err(|error| match error.kind() {
        // With `recursive`, a folder that exists is no error.
        io::ErrorKind::AlreadyExists => not_a_folder(),
        _ => error,
    })
}

/// Creates the error of a path that should be a folder and is something else.
pub(crate) fn not_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "it exists and is no folder")
}

/// Creates a folder in the system's folder for temporary files. Its name begins with `prefix` and cannot be
/// guessed, so another user cannot create it first. Removed when dropped.
pub fn temporary_folder(prefix: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(FOLDER_MODE)).tempdir()
}

/// Returns whether users other than the owner may read, write or enter a path.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & OTHERS != 0)
}

/// Removes the rights of other users from a file, or from a folder and its content. Skips symbolic links,
/// devices and missing paths. Fails with the first path that this user may not change.
pub fn restrict(path: &Path) -> Result<(), NotRestricted> {
    restrict_to(path, DEPTH)
}

/// The error of a path that keeps the rights of other users.
#[derive(Debug, thiserror::Error)]
#[error("cannot take the rights of others from {}: {source}", path.display())]
pub struct NotRestricted {
    /// A file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

fn restrict_to(path: &Path, depth: u32) -> Result<(), NotRestricted> {
    let failed = |source| NotRestricted { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.is_dir() && !found.is_file() {
        return Ok(());
    }
    if found.mode() & OTHERS != 0 {
        let mode = if found.is_dir() { FOLDER_MODE } else { FILE_MODE };
        match set_mode(path, mode) {
            // The path was replaced or removed after the check.
            Err(error) if is_gone(&error) => return Ok(()),
            set => set.map_err(failed)?,
        }
    }
    if found.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).map_err(failed)? {
            restrict_to(&entry.map_err(failed)?.path(), depth - 1)?;
        }
    }
    Ok(())
}

/// Sets the mode through an open file, so that a symbolic link that replaces it is not followed.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))
}

fn is_gone(error: &io::Error) -> bool {
    let is_a_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_a_link || error.kind() == io::ErrorKind::NotFound
}

/// How long [`lock`] waits for another holder. A program that starts another one has a copy of every lock
/// between `fork` and `exec`, even of a lock that was just released. A second is many times as long.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How often [`lock`] retries.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Locks a file or folder for its handle alone. Fails with [`Errno::WOULDBLOCK`] if another handle keeps
/// the lock.
pub fn lock(file: &File) -> rustix::io::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            locked => return locked,
        }
    }
}

/// Opens a regular file. Fails at once for anything else that may have the name: a pipe would block the
/// caller, and a device would yield bytes without end.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    check_regular(&file)?;
    Ok(file)
}

/// Reads a regular file of at most `max` bytes. Fails at once for anything else that may have the name: see
/// [`open_regular`]. Blocks.
pub(crate) fn read_regular(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path, File::options().read(true))?;
    let mut bytes = Vec::new();
    // By the bytes read: the length of a file that grows, or of one in `/proc`, is not what a read returns.
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}

/// Fails if an open file is not a regular file.
pub(crate) fn check_regular(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file: move it away"))
}

/// The state of a file that others write, by which a change of it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    inode: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    /// A copy may keep the time of its original, but this time is always of the copy.
    changed: (i64, i64),
}

impl FileStamp {
    /// Returns the state of the file at a path.
    pub(crate) fn of(path: &Path) -> io::Result<FileStamp> {
        Ok(FileStamp::from(&fs::metadata(path)?))
    }

    /// Returns the length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns when the file was written, in seconds since 1970.
    pub(crate) fn modified(&self) -> i64 {
        self.modified.0
    }
}

impl From<&Metadata> for FileStamp {
    fn from(file: &Metadata) -> FileStamp {
        FileStamp {
            inode: (file.dev(), file.ino()),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The end of the name of a file until it is complete.
const UNFINISHED: &str = ".unfinished";

/// Number of random letters and digits before [`UNFINISHED`].
const RANDOM: usize = 6;

/// A file that is written beside its final name and renamed once it is complete. The final name is replaced
/// whatever it was: a symbolic link is not followed, and an old file passes on neither content nor mode. If
/// dropped early, the file is removed. A process that is killed leaves the file, and the next one for the same
/// final name removes it.
#[derive(Debug)]
pub struct Replacement {
    /// Locked until it is renamed or removed, so that another process does not take it for a file of a killed one.
    file: NamedTempFile,
    path: PathBuf,
}

impl Replacement {
    /// Longest name that a file may have, in bytes: its name until it is complete is longer, and no file system here has
    /// names of more than 255.
    pub(crate) const NAME_MAX: usize = 255 - "..".len() - RANDOM - UNFINISHED.len();

    /// Creates the file beside `path`. Fails if `path` leads to something other than a regular file, such
    /// as a device, a pipe or a folder, which the file would replace.
    pub fn create(path: &Path) -> io::Result<Replacement> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it exists and is no regular file"));
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        remove_stale(folder_of(path), &prefix);
        loop {
            let file = tempfile::Builder::new()
                .prefix(&prefix)
                .rand_bytes(RANDOM)
                .suffix(UNFINISHED)
                .permissions(Permissions::from_mode(FILE_MODE))
                .tempfile_in(folder_of(path))
                .map_err(|error| match error.kind() {
                    // The original error shows the temporary name.
                    io::ErrorKind::NotFound => {
                        let text = format!("the folder {} does not exist", folder_of(path).display());
                        io::Error::new(io::ErrorKind::NotFound, text)
                    }
                    _ => error,
                })?;
            // Without locks on this file system, no process removes a file of another one.
            let _ = lock(file.as_file());
            // Another process may have removed the file between its creation and the lock.
            if file.as_file().metadata()?.nlink() > 0 {
                return Ok(Replacement { file, path: path.to_owned() });
            }
        }
    }

    /// Makes the content durable under the final name.
    pub fn publish(self) -> io::Result<()> {
        // The umask may have removed rights of the owner.
        self.file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        self.file.as_file().sync_all()?;
        self.file.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes the files of killed processes for one final name. Leaves files that are locked, of another user or of
/// another pattern. An error is no reason to write nothing, so the file stays.
fn remove_stale(folder: &Path, prefix: &OsStr) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        let random = random.and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()));
        if !random.is_some_and(|it| it.len() == RANDOM && it.iter().all(u8::is_ascii_alphanumeric)) {
            continue;
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let Ok(file) = File::options().read(true).custom_flags(flags).open(entry.path()) else { continue };
        let is_ours = file.metadata().is_ok_and(|it| it.is_file() && it.uid() == geteuid().as_raw());
        if is_ours && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Returns the folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o777
    }

    fn file(path: &Path, mode: u32) {
        fs::write(path, "old").expect("a small file");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("its owner may");
    }

    #[test]
    fn rights_of_others_are_removed_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (inside, outside) = (folder.path().join("table"), folder.path().join("outside"));
        fs::create_dir_all(inside.join("blobs")).expect("folders");
        file(&outside, 0o644);
        file(&inside.join("db"), 0o666);
        file(&inside.join("blobs/1"), 0o604);
        file(&inside.join("private"), 0o400);
        symlink(&outside, inside.join("link")).expect("a link");
        restrict(&inside).expect("its owner may");
        restrict(&folder.path().join("missing")).expect("nothing to do");
        for (name, want) in
            [("", 0o700), ("blobs", 0o700), ("db", 0o600), ("blobs/1", 0o600), ("private", 0o400)]
        {
            assert_eq!(mode(&inside.join(name)), want, "{name}");
        }
        assert_eq!(mode(&outside), 0o644, "what a link leads to is not ours");
    }

    #[test]
    fn a_replacement_lends_nothing_from_what_was_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        file(&victim, 0o644);
        symlink(&victim, &link).expect("a link");
        let open = folder.path().join("open");
        file(&open, 0o666);
        for path in [&link, &open, &folder.path().join("new")] {
            let mut replacement = Replacement::create(path).expect("a file beside it");
            replacement.write_all(b"new").expect("room");
            replacement.publish().expect("renamed");
            let found = fs::symlink_metadata(path).expect("it is there");
            assert!(found.is_file(), "{}", path.display());
            assert_eq!((found.mode() & 0o777, fs::read(path).ok()), (0o600, Some(b"new".to_vec())));
        }
        assert_eq!((mode(&victim), fs::read(&victim).ok()), (0o644, Some(b"old".to_vec())));
        drop(Replacement::create(&open).expect("a file beside it"));
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 4, "one that is dropped leaves nothing");
    }

    /// A killed process releases its lock and removes nothing.
    #[test]
    fn files_of_killed_processes_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let running = Replacement::create(&at("f")).expect("a file beside it");
        let others = [
            ".g.abcdef.unfinished",
            ".f.abcde.unfinished",
            ".f.x.abcdef.unfinished",
            ".f.abc-ef.unfinished",
            ".f.abcdef",
            "f",
        ];
        for name in others.iter().chain(&[".f.aB3def.unfinished", ".f.000000.unfinished"]) {
            fs::write(at(name), "old").expect("a small file");
        }
        fs::create_dir(at(".f.folder.unfinished")).expect("a folder");
        symlink(at("f"), at(".f.linked.unfinished")).expect("a link");
        let mut replacement = Replacement::create(&at("f")).expect("a file beside it");
        replacement.write_all(b"new").expect("room");
        replacement.publish().expect("renamed");
        assert_eq!(fs::read(at("f")).ok(), Some(b"new".to_vec()));
        for name in others.iter().chain(&[".f.folder.unfinished", ".f.linked.unfinished"]) {
            assert!(fs::symlink_metadata(at(name)).is_ok(), "{name}");
        }
        running.publish().expect("it was not removed");
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, others.len() + 2, "only the files of killed processes were removed");
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let to_device = folder.path().join("stdout");
        symlink("/dev/null", &to_device).expect("a link");
        for path in [folder.path(), Path::new("/dev/null"), &to_device, Path::new("/")] {
            assert!(Replacement::create(path).is_err(), "{}", path.display());
        }
        assert!(fs::symlink_metadata(&to_device).expect("it is there").is_symlink());
    }
}
