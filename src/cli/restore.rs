//! `waypost restore`: replaces the log and the details of clicks by a backup. The server must be stopped. The old log,
//! table and details are kept under other names.
//!
//! Promise: an interrupted restore has changed nothing, or is complete, or no server starts on the folder
//! ([`data_folder::unfinished`]) and the same command finishes the restore.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::arguments::ConfigFile;
use super::error::CommandError;
use super::output::{counted, print_line, print_note};
use super::{click_reader, log_reader, progress};
use crate::analytics::store::{ClickArchive, FOLDER as CLICKS_FOLDER};
use crate::app::data_folder::{
    self, FolderError, LOG_FOLDER, REPLACED_LOG, REPLACED_TABLE, RESTORING, TABLE_FOLDER,
};
use crate::clock::{Clock, Timestamp};
use crate::log::local::archive::{self, Archive, VerifyReport};
use crate::log::local::markers::COPY;
use crate::table::keys::Kind;

/// Arguments of `restore`.
#[derive(Clone, Debug, Args)]
// Accepted, as by all commands, and without an effect here.
#[command(mut_arg("listen", |argument| argument.hide(true)))]
#[command(mut_arg("public_url", |argument| argument.hide(true)))]
pub(super) struct RestoreArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// The folder that `waypost backup` wrote.
    #[arg(value_name = "FOLDER")]
    from: PathBuf,
    /// Replace an existing log, which is kept under another name.
    #[arg(long)]
    replace: bool,
    /// Accept a backup that has no closing mark and may have lost its end.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &RestoreArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load()?;
    let from = &arguments.from;
    let dir = &config.data_dir;
    // Replacing a log by itself would only set the table aside, and look like a restore.
    if from.canonicalize().is_ok_and(|from| dir.canonicalize().is_ok_and(|dir| from == dir)) {
        return Err(CommandError::Failed(format!(
            "{} is the data folder itself: name the folder of a backup",
            from.display()
        )));
    }
    data_folder::check_owner(dir).map_err(|error| foreign(error, from))?;
    let backup = log_reader::open_backup(from, data_folder::user_of(dir))?;
    // Before anything is changed: a damaged backup must not replace a log.
    let report = log_reader::read_through(&backup)?;
    if !report.is_sound() {
        return Err(CommandError::Failed(format!("{} is not sound: restore another backup", from.display())));
    }
    if !arguments.accept_loss
        && let Some(why) = log_reader::incomplete(from, &report)
    {
        return Err(CommandError::Failed(why));
    }
    let clicks = click_details(from, &report)?;
    let links = count_links(&backup)?;
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|error| cannot("create the data folder", error))?;
    let mut lock = data_folder::lock(dir).map_err(CommandError::from)?;
    let log = dir.join(LOG_FOLDER);
    // Any file counts, not only an intact log: nothing is replaced without `--replace`.
    let is_there = log.is_dir() && fs::read_dir(&log).is_ok_and(|mut files| files.next().is_some());
    if is_there && !arguments.replace {
        return Err(CommandError::Failed(format!(
            "{} contains a log: add --replace to replace it by the backup",
            dir.display()
        )));
    }
    let fresh = dir.join(RESTORING);
    remove_copies(dir)?;
    let copied = copy(&backup, &report, &fresh);
    let copied = copied.and_then(|()| copy_clicks(clicks.as_ref(), is_there, &fresh));
    copied.inspect_err(|_| discard(&fresh, &log))?;
    let kept = put_in_place(dir, is_there)?;
    // The new log has no lock yet: the lock on the old log belongs to its inode.
    lock.extend(dir).map_err(CommandError::from)?;
    let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
    let into = if is_there { "into" } else { "into the new data folder" };
    print_line(&format!(
        "restored position {} with {} and {} {into} {}{kept}",
        report.position,
        counted(report.records, "record"),
        counted(links, "link"),
        shown.display()
    ));
    if let Some(clicks) = clicks.filter(|clicks| !clicks.parts().is_empty()) {
        print_line(&click_reader::summary(&clicks));
    }
    if !is_there && !arguments.config_file.hint().is_empty() {
        print_note(&format!("warning:{}", arguments.config_file.hint()));
    }
    Ok(())
}

/// Opens the details of clicks of a backup, without those that are damaged, which are reported: they must not cost the
/// restore of the links.
fn click_details(from: &Path, log: &VerifyReport) -> Result<Option<ClickArchive>, CommandError> {
    let Some(mut clicks) = click_reader::open_clicks(from)? else { return Ok(None) };
    // A backup that was cut has fewer clicks in its log than in its details.
    clicks.keep_those_of(log.log, log.position);
    click_reader::check(&mut clicks);
    click_reader::warn_of_missing(&clicks);
    Ok(Some(clicks))
}

/// Copies the details of clicks into the folder of the copied log. An empty folder stands for a backup without details
/// that replaces a log: the details of that log must not stay beside another one.
fn copy_clicks(clicks: Option<&ClickArchive>, is_there: bool, fresh: &Path) -> Result<(), CommandError> {
    let to = fresh.join(CLICKS_FOLDER);
    let copied = match clicks {
        Some(clicks) => clicks.copy_to(&to),
        None if is_there => fs::DirBuilder::new().mode(0o700).create(&to),
        None => Ok(()),
    };
    copied
        .and_then(|()| data_folder::sync_folder(fresh))
        .map_err(|error| cannot("copy the details of clicks", error))
}

/// Returns the number of links in a log.
fn count_links(log: &Archive) -> Result<u64, CommandError> {
    let mut links = 0;
    let counted = log.each_record(&mut |record| {
        links += u64::from(Kind::of(&record.key) == Some(Kind::Link));
        Ok(())
    });
    counted.map_err(CommandError::from)?;
    Ok(links)
}

/// Returns the error of a data folder. Adds how its user gets a backup that root has written: without this, the command
/// as that user would fail next, and name root.
fn foreign(error: FolderError, from: &Path) -> CommandError {
    match &error {
        FolderError::Foreign { uid, .. } => match data_folder::give(from, *uid) {
            Some(give) => {
                CommandError::Failed(format!("{error}. The backup must belong to the same user: {give}"))
            }
            None => CommandError::from(error),
        },
        _ => CommandError::from(error),
    }
}

fn cannot(what: &str, error: impl std::fmt::Display) -> CommandError {
    CommandError::Failed(format!("cannot {what}: {error}"))
}

/// Removes the copies of restores that were interrupted. No server ran on them, so they contain no other data than
/// their backups. The folder [`RESTORING`] remains if there was a copy: until the new copy is in place, it stops every
/// start.
fn remove_copies(dir: &Path) -> Result<(), CommandError> {
    let failed = |error| cannot("remove an unfinished restore", error);
    let fresh = dir.join(RESTORING);
    for name in data_folder::unfinished_copies(dir).map_err(failed)? {
        let copy = dir.join(name);
        if fresh.exists() {
            fs::remove_dir_all(copy).map_err(failed)?;
        } else {
            fs::rename(copy, &fresh).map_err(failed)?;
        }
    }
    match fs::remove_dir_all(fresh.join(CLICKS_FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let entries = match fs::read_dir(&fresh) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    // Else only the files of a log are here. Anything else is not ours, and the copy fails with its name.
    entries.flatten().try_for_each(|entry| fs::remove_file(entry.path())).map_err(failed)
}

/// Copies the backup to a name on which no server starts, and verifies the copy.
fn copy(backup: &Archive, report: &VerifyReport, fresh: &Path) -> Result<(), CommandError> {
    let bar = progress::bytes("copying");
    let copied = backup.copy_to(fresh, &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(CommandError::from)?;
    let copy = log_reader::read_through(&Archive::open(fresh).map_err(CommandError::from)?)?;
    // By the content: a backup that changed during the copy differs here.
    let is_same = (copy.log, copy.position, copy.computed) == (report.log, report.position, report.computed);
    if copy.is_sound() && copy.is_complete() && is_same {
        return Ok(());
    }
    Err(CommandError::Failed(format!("the copy in {} differs from the backup", fresh.display())))
}

/// Removes a failed copy. If there is no other log, an empty folder of its name remains: without it, a start
/// would treat the data folder as new.
fn discard(fresh: &Path, log: &Path) {
    drop(fs::remove_dir_all(fresh));
    if !archive::holds_log(log).unwrap_or(false) {
        drop(fs::DirBuilder::new().mode(0o700).create(fresh));
    }
}

/// Renames the copy to the log. Returns the part of the message that names the old log and table.
fn put_in_place(dir: &Path, is_there: bool) -> Result<String, CommandError> {
    let (fresh, log, table) = (dir.join(RESTORING), dir.join(LOG_FOLDER), dir.join(TABLE_FOLDER));
    // One time for all names, so that a log, its table and its details of clicks can be matched.
    let now = Clock::system().now().as_millis();
    let sync = || data_folder::sync_folder(dir).map_err(|error| cannot("sync the data folder", error));
    let mut kept = Vec::new();
    if fs::symlink_metadata(&table).is_ok() {
        // Durably before the log is replaced: a start would complete the new log from the table of the old one.
        // The next start builds another table.
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
        // An empty folder may have this name, which `rename` replaces.
        fs::rename(&fresh, &log).map_err(|error| cannot("put the backup in place", error))?;
    }
    sync()?;
    // Behind the exchange, which made them the details of this data folder. If this fails, the next start does it.
    let placed = data_folder::place_restored_clicks(dir, Timestamp::from_millis(now));
    kept.extend(placed.map_err(|error| cannot("put the details of clicks in place", error))?);
    // After the exchange is durable. If this fails, the next start removes the mark.
    drop(unmark(&log));
    let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    Ok(if kept.is_empty() {
        String::new()
    } else {
        format!(
            ", in place of another log; what was there before is now {}: remove it when you no longer need it",
            kept.join(" and ")
        )
    })
}

/// Renames `fresh` to `log`, and `log` to `aside`. Leaves a mark in the new log, for [`unmark`].
fn exchange(fresh: &Path, log: &Path, aside: &Path) -> io::Result<()> {
    // An earlier restore may have left its mark in the log, which must not look like a copy under its next name.
    unmark(log)?;
    File::create(fresh.join(COPY))?.sync_all()?;
    data_folder::sync_folder(fresh)?;
    // The copy first gets the last name of the old log. The exchange is one step, after which both have their
    // last names. Between the two steps the old log is in place, and the mark in the copy stops every start.
    fs::rename(fresh, aside)?;
    match renameat_with(CWD, aside, CWD, log, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // The file system or the kernel cannot exchange names. Between the last two steps there is no log, and no
        // server starts.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::rename(aside, fresh)?;
            fs::rename(log, aside)?;
            fs::rename(fresh, log)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the mark of a copy, durably.
fn unmark(log: &Path) -> io::Result<()> {
    match fs::remove_file(log.join(COPY)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| data_folder::sync_folder(log)),
    }
}
