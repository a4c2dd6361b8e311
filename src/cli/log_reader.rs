//! Opens and reads the log of a data folder or of a backup, for the commands that only read.

use std::path::Path;

use super::error::CommandError;
use super::progress;
use super::staging::unfinished_backup;
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

/// Opens the log of a data folder or backup. Fails with advice if there is none.
pub(super) fn open(folder: &Path) -> Result<Archive, CommandError> {
    let log = folder.join(LOG_FOLDER);
    let cannot = |error| CommandError::Failed(format!("cannot read {}: {error}", folder.display()));
    let unfinished = data_folder::unfinished(folder).map_err(cannot)?;
    // A cut copy can be read. `incomplete` reports its missing closing mark.
    if let Some(unfinished) = unfinished.filter(|found| *found != Unfinished::Unclosed) {
        return Err(CommandError::Failed(unfinished.advice(folder)));
    }
    if archive::holds_log(&log).map_err(cannot)? {
        // An archive keeps all segments open, since a running server may remove them by compaction.
        descriptors::raise();
        return Archive::open(&log).map_err(CommandError::from);
    }
    let shown = folder.display();
    Err(CommandError::Failed(match unfinished_backup(folder) {
        Some(unfinished) => format!(
            "{shown} is no backup: the backup was interrupted, and {} is its unfinished copy. Repeat it: waypost backup \
             {shown}",
            unfinished.display()
        ),
        None if !folder.exists() => {
            format!("{shown} does not exist: name a data folder of Waypost, or a backup")
        }
        None => format!("{shown} contains no log: it is no data folder of Waypost"),
    }))
}
