//! `waypost backup`: a consistent copy of the log, made beside a running server. The copy is a
//! data folder: `waypost restore` puts it back, and a server can be started on it.
//!
//! Promise: a backup has its name only when it is whole, verified and durable. Until then it has
//! another name ([`UNFINISHED`]), under which no command takes it for a backup.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Common, Failure, load, progress, tell, verify};
use crate::app::data_folder::{LOG_FOLDER, open_folder, sync_folder};
use crate::log::local::archive::{self, Archive, VerifyReport};

/// Ends the name of what is not a backup yet.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Arguments of `backup`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A new or empty folder to write to. It holds password and key hashes: keep it private.
    #[arg(value_name = "FOLDER", value_parser = super::created_path)]
    to: PathBuf,
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common)?;
    let archive = verify::open(&config.data_dir)?;
    let staging = Staging::begin(&arguments.to)?;
    let report = write(&archive, &staging.log).inspect_err(|_| staging.discard())?;
    staging.publish().map_err(|error| {
        Failure::Failed(format!("the backup is whole, but cannot be renamed to {}: {error}", staging.shown()))
    })?;
    tell(&format!(
        "{} holds position {} with {} records, verified",
        arguments.to.display(),
        report.position,
        report.records
    ));
    Ok(())
}

/// Copies the log and reads the copy through.
fn write(archive: &Archive, log: &Path) -> Result<VerifyReport, Failure> {
    let bar = progress::bytes("copying");
    let copied = archive.copy_to(log, &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(Failure::from)?;
    let report = verify::read_through(&Archive::open(log).map_err(Failure::from)?)?;
    if report.is_sound() && report.is_complete() {
        return Ok(report);
    }
    Err(Failure::Failed(format!("the copy in {} is not sound: it was removed", log.display())))
}

/// A backup that is being written.
struct Staging {
    /// The name to be given at the end, and the name until then. For a new backup both are data
    /// folders. For a folder that exists, which may be the root of a volume and so has no sibling,
    /// both are folders of a log within it.
    last: PathBuf,
    first: PathBuf,
    /// The folder that the log is written to.
    log: PathBuf,
    /// Keeps a second backup of the same name away.
    _lock: File,
}

impl Staging {
    /// Creates the folder of a backup to `to`, for its owner only. Removes what an interrupted
    /// backup left there.
    fn begin(to: &Path) -> Result<Staging, Failure> {
        let cannot = |error| Failure::Failed(format!("cannot make {}: {error}", to.display()));
        let exists = to.exists();
        let (first, last, log) = if exists {
            let inside = fs::read_dir(to).map_err(cannot)?.collect::<io::Result<Vec<_>>>().map_err(cannot)?;
            let unfinished = format!("{LOG_FOLDER}{UNFINISHED}");
            if inside.iter().any(|entry| entry.file_name() != *unfinished) {
                return Err(Failure::Failed(format!("{} is not empty: name a new folder", to.display())));
            }
            fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
            (to.join(&unfinished), to.join(LOG_FOLDER), to.join(&unfinished))
        } else {
            let first = unfinished_beside(to);
            (first.clone(), to.to_owned(), first.join(LOG_FOLDER))
        };
        clear(&first)?;
        make_private(&first).map_err(cannot)?;
        let lock = open_folder(&first).map_err(cannot)?;
        hold(&lock, &first)?;
        Ok(Staging { last, first, log, _lock: lock })
    }

    /// Gives the backup its name, durably.
    fn publish(&self) -> io::Result<()> {
        sync_folder(&self.log)?;
        sync_folder(&self.first)?;
        fs::rename(&self.first, &self.last)?;
        sync_folder(parent(&self.last))
    }

    /// Removes what a failed backup wrote: the disk may be full of it.
    fn discard(&self) {
        drop(fs::remove_dir_all(&self.first));
    }

    fn shown(&self) -> String {
        self.last.display().to_string()
    }
}

/// The name of an unfinished backup to `to`.
pub(super) fn unfinished_beside(to: &Path) -> PathBuf {
    let whole = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    whole.with_file_name(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn hold(folder: &File, shown: &Path) -> Result<(), Failure> {
    match flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            Err(Failure::Failed(format!("another backup is being written to {}", shown.display())))
        }
        // A file system that cannot lock a folder is no reason to make no backup.
        _ => Ok(()),
    }
}

/// Removes an unfinished backup, unless another process is writing it.
fn clear(first: &Path) -> Result<(), Failure> {
    let cannot =
        |error| Failure::Failed(format!("cannot remove the unfinished backup {}: {error}", first.display()));
    match open_folder(first) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot(error)),
        Ok(folder) => {
            hold(&folder, first)?;
            let strange = fs::read_dir(first).map_err(cannot)?.flatten().map(|entry| entry.file_name());
            let is_ours = |name: &std::ffi::OsString| {
                name == LOG_FOLDER || name.to_str().is_some_and(archive::is_of_a_log)
            };
            if let Some(name) = strange.into_iter().find(|name| !is_ours(name)) {
                return Err(Failure::Failed(format!(
                    "{} holds {}, which no backup writes: move it away",
                    first.display(),
                    name.display()
                )));
            }
            fs::remove_dir_all(first).map_err(cannot)
        }
    }
}

/// Creates a folder for its owner only, and makes its name durable.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sync_folder(parent(folder))
}
