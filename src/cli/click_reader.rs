//! Opens the details of clicks of a data folder or a backup beside its log, for the commands that only read.

use std::path::Path;

use super::error::CommandError;
use super::output::{counted, print_note};
use super::progress;
use crate::analytics::part::error::PartError;
use crate::analytics::store::{ClickArchive, ListedPart, PartFault};
use crate::app::data_folder;
use crate::log::local::archive::Archive;

/// How often both are opened again because the server wrote a part in between: once in some seconds at most.
const TRIES: usize = 20;

/// Opens the details of clicks, and then the log by `open_log`. Together they have each cell up to the end of the log
/// once: parts have those up to [`ClickArchive::durable`], and the log those behind it. `None` without a folder of
/// details.
pub(super) fn open(
    folder: &Path,
    open_log: impl Fn(&Path) -> Result<Archive, CommandError>,
) -> Result<(Option<ClickArchive>, Archive), CommandError> {
    for _ in 0..TRIES {
        let clicks = open_clicks(folder)?;
        // Behind the parts, so that the log has the totals of all their clicks.
        let log = open_log(folder)?;
        let Some(mut clicks) = clicks else { return Ok((None, log)) };
        // A later mark allows a compaction to drop cells that are not in these parts.
        if clicks.is_current().map_err(|error| cannot_read(folder, &error))? {
            clicks.keep_those_of(log.id(), log.position());
            return Ok((Some(clicks), log));
        }
    }
    let why = "its details of clicks are written too fast to be read: run the command again";
    Err(CommandError::Failed(format!("{}: {why}", folder.display())))
}

/// Opens the details of clicks of a data folder or a backup. `None` if there are none.
pub(super) fn open_clicks(folder: &Path) -> Result<Option<ClickArchive>, CommandError> {
    ClickArchive::open(&data_folder::clicks_folder(folder)).map_err(|error| cannot_read(folder, &error))
}

fn cannot_read(folder: &Path, error: &std::io::Error) -> CommandError {
    let shown = data_folder::clicks_folder(folder);
    let remedy = data_folder::remedy(folder, error);
    CommandError::Failed(format!("cannot read {}: {error}{remedy}", shown.display()))
}

/// Reads all parts. Leaves out those that are damaged.
pub(super) fn check(clicks: &mut ClickArchive) {
    let bar = progress::bytes("reading details of clicks");
    clicks.check(&mut progress::follow(&bar));
    bar.finish_and_clear();
}

/// Returns a sentence about a damaged part.
pub(super) fn shown(fault: &PartFault) -> String {
    let PartFault { name, error, .. } = fault;
    // One that this user may not read need not be damaged.
    let what = if matches!(error, PartError::Damaged(_)) { "are damaged" } else { "cannot be read" };
    format!("the details of clicks from {} {what}: {name}: {error}", fault.hours())
}

/// Returns a sentence about a part that somebody has removed.
pub(super) fn shown_missing(part: &ListedPart) -> String {
    format!("the details of clicks from {} are missing: the file {} was removed", part.hours(), part.name())
}

/// Prints a warning about each part that a copy does not have.
pub(super) fn warn_of_missing(clicks: &ClickArchive) {
    for name in clicks.foreign() {
        print_note(&format!("warning: {name} has details of clicks that are not in the log and is left out"));
    }
    for text in clicks.faults().iter().map(shown).chain(clicks.missing().iter().map(shown_missing)) {
        print_note(&format!(
            "warning: {text}. They are left out; the totals of these clicks are not affected"
        ));
    }
}

/// Returns what a copy has of the details of clicks.
pub(super) fn summary(clicks: &ClickArchive) -> String {
    let files = counted(clicks.parts().len() as u64, "file");
    format!("{files} with details of clicks, {} bytes", clicks.bytes())
}
