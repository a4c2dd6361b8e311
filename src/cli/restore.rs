//! `waypost restore`: puts a backup in the place of the log. The server must be stopped; what was
//! there is kept beside it.
//!
//! Promise: an interrupted restore leaves the old log or the new one in place, whole, or a folder on
//! which no server starts ([`data_folder::unfinished`]) and which the same command finishes.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Common, Failure, load, progress, tell, verify};
use crate::app::data_folder::{self, LOG_FOLDER, REPLACED_LOG, REPLACED_TABLE, RESTORING, TABLE_FOLDER};
use crate::clock::Clock;
use crate::log::local::archive::{self, Archive, VerifyReport};

/// Arguments of `restore`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The folder that `waypost backup` wrote.
    #[arg(value_name = "FOLDER")]
    from: PathBuf,
    /// Put it in the place of a log that is there. That one is kept under another name.
    #[arg(long)]
    replace: bool,
    /// Restore a copy that has no closing mark, and so may have lost its end.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common)?;
    let from = &arguments.from;
    let backup = verify::open(from)?;
    let report = verify::read_through(&backup)?;
    if !report.is_sound() {
        return Err(Failure::Failed(format!("{} is not sound: restore another backup", from.display())));
    }
    if !arguments.accept_loss
        && let Some(why) = verify::incomplete(from, &report)
    {
        return Err(Failure::Failed(why));
    }
    let dir = &config.data_dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| cannot("make the data folder", error))?;
    let mut lock = data_folder::lock(dir).map_err(Failure::from)?;
    let log = dir.join(LOG_FOLDER);
    let is_there = log.is_dir() && fs::read_dir(&log).is_ok_and(|mut files| files.next().is_some());
    if is_there && !arguments.replace {
        return Err(Failure::Failed(format!(
            "{} holds a log already: add --replace to put the backup in its place",
            dir.display()
        )));
    }
    let fresh = dir.join(RESTORING);
    copy(&backup, &report, &fresh).inspect_err(|_| give_up(&fresh, &log))?;
    let kept = put_in_place(dir, is_there)?;
    // The log that is in place now.
    lock.extend(dir).map_err(Failure::from)?;
    tell(&format!("restored position {} with {} records{kept}", report.position, report.records));
    Ok(())
}

fn cannot(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("cannot {what}: {error}"))
}

/// Copies the backup under a name that no start accepts, and reads the copy through.
fn copy(backup: &Archive, report: &VerifyReport, fresh: &Path) -> Result<(), Failure> {
    if fs::symlink_metadata(fresh).is_ok() {
        fs::remove_dir_all(fresh).map_err(|error| cannot("remove an unfinished restore", error))?;
    }
    let bar = progress::bytes("copying");
    let copied = backup.copy_to(fresh, &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(Failure::from)?;
    let copy = verify::read_through(&Archive::open(fresh).map_err(Failure::from)?)?;
    let is_same = (copy.log, copy.position, copy.computed) == (report.log, report.position, report.computed);
    if copy.is_sound() && copy.is_complete() && is_same {
        return Ok(());
    }
    Err(Failure::Failed(format!("the copy in {} is not what the backup holds", fresh.display())))
}

/// Removes a copy that failed. Where no other log is, its empty folder stays: without it, a start would
/// take the data folder for a new one.
fn give_up(fresh: &Path, log: &Path) {
    drop(fs::remove_dir_all(fresh));
    if !archive::holds_log(log).unwrap_or(false) {
        drop(fs::DirBuilder::new().mode(0o700).create(fresh));
    }
}

/// Gives the copy the log's name. Returns what to say of the log and the table from before.
fn put_in_place(dir: &Path, is_there: bool) -> Result<String, Failure> {
    let (fresh, log, table) = (dir.join(RESTORING), dir.join(LOG_FOLDER), dir.join(TABLE_FOLDER));
    let now = Clock::system().now().as_millis();
    let sync = || data_folder::sync_folder(dir).map_err(|error| cannot("sync the data folder", error));
    let mut kept = Vec::new();
    if fs::symlink_metadata(&table).is_ok() {
        // Durably before the log: a table of the old log beside the new one would be taken for
        // what the log has lost. The next start builds another one.
        let aside = dir.join(format!("{REPLACED_TABLE}{now}"));
        fs::rename(&table, &aside).map_err(|error| cannot("set the old table aside", error))?;
        sync()?;
        kept.push(aside);
    }
    if is_there {
        let aside = dir.join(format!("{REPLACED_LOG}{now}"));
        exchange(&fresh, &log, &aside).map_err(|error| cannot("put the backup in place", error))?;
        kept.push(aside);
    } else {
        fs::rename(&fresh, &log).map_err(|error| cannot("put the backup in place", error))?;
    }
    sync()?;
    let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    Ok(if kept.is_empty() {
        String::new()
    } else {
        format!("; what was there before is now {}: remove it when you no longer need it", kept.join(" and "))
    })
}

/// Puts `fresh` in the place of `log`, which becomes `aside`.
fn exchange(fresh: &Path, log: &Path, aside: &Path) -> io::Result<()> {
    // The copy takes the name of the old log first: after the exchange, which is one step, each of
    // the two has its last name. Interrupted in between, the old log is in place.
    fs::rename(fresh, aside)?;
    match renameat_with(CWD, aside, CWD, log, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // The file system, or the kernel, cannot exchange names. Between these two steps there is no
        // log, and no server starts.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::rename(aside, fresh)?;
            fs::rename(log, aside)?;
            fs::rename(fresh, log)
        }
        Err(error) => Err(error.into()),
    }
}
