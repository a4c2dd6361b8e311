//! Opens and reads the log of a data folder or of a backup, for the commands that only read.

use std::io;
use std::path::Path;

use super::error::CommandError;
use super::progress;
use crate::app::data_folder::{self, LOG_FOLDER, Unfinished};
use crate::descriptors;
use crate::log::local::archive::{self, Archive, VerifyReport};

/// Returns why a backup may have lost its end, and the remedy, or `None` if it is complete.
pub(super) fn incomplete(folder: &Path, report: &VerifyReport) -> Option<String> {
    if report.is_complete() {
        return None;
    }
    Some(format!(
        "{} is not known to be complete: its closing mark ({LOG_FOLDER}/closed) is missing or does not match. The \
         copy was cut, or it is a copy of the folder of a running server. Use another backup, or use this one up to \
         position {} with --accept-loss",
        folder.display(),
        report.position
    ))
}

/// Reads and verifies a whole log.
pub(super) fn read_through(archive: &Archive) -> Result<VerifyReport, CommandError> {
    let bar = progress::bytes("verifying");
    let report = archive.verify(&mut progress::follow(&bar)).map_err(CommandError::from);
    // Cleared before the result, so that no line is printed over the bar.
    bar.finish_and_clear();
    report
}

/// Opens the log of a data folder or backup. Fails with advice if there is none, or if it is a copy that was cut.
pub(super) fn open(folder: &Path) -> Result<Archive, CommandError> {
    // An export or a backup of a part would look complete.
    open_unless(folder, |_| true, |error| data_folder::remedy(folder, error))
}

/// Like [`open`], also for a copy that was cut, which can be read. [`incomplete`] reports its missing closing mark.
pub(super) fn open_copy(folder: &Path) -> Result<Archive, CommandError> {
    open_unless(folder, is_worse_than_cut, |error| data_folder::remedy(folder, error))
}

/// Like [`open_copy`], for a command that only this user can run: another user cannot read the backup for it.
pub(super) fn open_backup(folder: &Path, user: u32) -> Result<Archive, CommandError> {
    open_unless(folder, is_worse_than_cut, |error| data_folder::remedy_for(folder, user, error))
}

fn is_worse_than_cut(unfinished: &Unfinished) -> bool {
    *unfinished != Unfinished::Unclosed
}

fn open_unless(
    folder: &Path,
    is_refused: impl Fn(&Unfinished) -> bool,
    remedy: impl Fn(&io::Error) -> String,
) -> Result<Archive, CommandError> {
    let log = folder.join(LOG_FOLDER);
    let cannot = |error| {
        let remedy = remedy(&error);
        CommandError::Failed(format!("cannot read {}: {error}{remedy}", folder.display()))
    };
    let unfinished = data_folder::unfinished(folder).map_err(cannot)?;
    if let Some(unfinished) = unfinished.filter(is_refused) {
        return Err(CommandError::Failed(unfinished.advice(folder)));
    }
    if archive::holds_log(&log).map_err(cannot)? {
        // An archive keeps all segments open, since a running server may remove them by compaction.
        descriptors::raise();
        return Archive::open(&log).map_err(CommandError::from);
    }
    let shown = folder.display();
    Err(CommandError::Failed(if folder.exists() {
        format!("{shown} contains no log: it is no data folder of Waypost")
    } else {
        format!("{shown} does not exist: name a data folder of Waypost, or a backup")
    }))
}
