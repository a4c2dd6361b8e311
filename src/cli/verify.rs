//! `waypost verify`: reads the whole log and says whether it is sound. Works beside a running
//! server, since it only reads; the table is scrubbed by the server itself.
//!
//! Of a backup it demands the closing mark as well: a copy that was cut at the end of a frame has
//! nothing else that is missing.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, Failure, backup, load, progress, tell};
use crate::app::data_folder::{self, FolderError, LOG_FOLDER, Unfinished};
use crate::descriptors;
use crate::log::local::archive::{self, Archive, VerifyReport};

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A backup to verify, instead of the configured data folder.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Accept a copy that has no closing mark, and so may have lost its end.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs to its end. Damage is a failure.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => load(&arguments.common)?.data_dir,
    };
    let report = read_through(&open(&folder)?)?;
    let is_backup = arguments.folder.is_some() && !is_data_folder(&folder, arguments);
    let incomplete = incomplete(&folder, &report).filter(|_| is_backup);
    let verdict = match &incomplete {
        _ if !report.is_sound() => "NOT SOUND",
        Some(_) => "sound, but not known to be complete",
        None => "sound",
    };
    tell(&format!("{}\n{verdict}", words(&folder, &report)));
    if !report.is_sound() {
        let advice = if is_backup {
            "the backup is damaged: use another one"
        } else {
            "the log is damaged: start the server, which repairs it from the table if that is whole, or restore a backup"
        };
        return Err(Failure::Failed(advice.to_owned()));
    }
    incomplete.filter(|_| !arguments.accept_loss).map_or(Ok(()), |why| Err(Failure::Failed(why)))
}

/// Whether `folder` is the configured data folder, or one that a server uses: a log that is written, or
/// was when its server crashed, has no closing mark, and the next start finds its end.
fn is_data_folder(folder: &Path, arguments: &Arguments) -> bool {
    let same = |other: &Path| folder.canonicalize().ok() == other.canonicalize().ok();
    load(&arguments.common).is_ok_and(|config| same(&config.data_dir))
        || matches!(data_folder::lock_existing(folder), Err(FolderError::InUse { .. }))
}

/// Returns why a backup may have lost its end, and what to do; `None` for a complete one.
pub(super) fn incomplete(folder: &Path, report: &VerifyReport) -> Option<String> {
    if report.is_complete() {
        return None;
    }
    Some(format!(
        "{} is not known to be complete: its closing mark ({LOG_FOLDER}/closed) is missing or of another end. The \
         copy was cut, or made of the folder of a server that was not stopped. Use another backup, or what is left of \
         this one, up to position {}, with --accept-loss",
        folder.display(),
        report.position
    ))
}

/// Reads a log through.
pub(super) fn read_through(archive: &Archive) -> Result<VerifyReport, Failure> {
    let bar = progress::bytes("verifying");
    let report = archive.verify(&mut progress::follow(&bar)).map_err(Failure::from);
    bar.finish_and_clear();
    report
}

/// The log of a data folder or backup.
pub(super) fn open(folder: &Path) -> Result<Archive, Failure> {
    let log = folder.join(LOG_FOLDER);
    let cannot = |error| Failure::Failed(format!("cannot look into {}: {error}", folder.display()));
    let unfinished = data_folder::unfinished(folder).map_err(cannot)?;
    // A cut copy can be read; what it lacks is said of its closing mark.
    if let Some(unfinished) = unfinished.filter(|found| *found != Unfinished::Unclosed) {
        return Err(Failure::Failed(unfinished.advice(folder)));
    }
    if archive::holds_log(&log).map_err(cannot)? {
        // An archive holds its segments open while a server may compact them away.
        descriptors::raise();
        return Archive::open(&log).map_err(Failure::from);
    }
    let shown = folder.display();
    let inside = folder.join(format!("{LOG_FOLDER}{}", backup::UNFINISHED));
    let beside = backup::unfinished_beside(folder);
    Err(Failure::Failed(match [inside, beside].iter().find(|unfinished| unfinished.exists()) {
        Some(unfinished) => format!(
            "{shown} is no backup: writing it was interrupted, and {} is what was written. Make it again: waypost backup \
             {shown}",
            unfinished.display()
        ),
        None => format!("{shown} holds no log: it is no data folder of Waypost"),
    }))
}

fn words(folder: &Path, report: &VerifyReport) -> String {
    let mut lines = vec![format!(
        "{}: position {}, {} records, {} segments, {} bytes",
        folder.display(),
        report.position,
        report.records,
        report.segments,
        report.bytes
    )];
    if report.torn > 0 {
        let torn = report.torn;
        lines.push(format!("{torn} bytes at the end are an unfinished write, which the next start cuts off"));
    }
    lines.extend(report.damage.iter().map(|damage| format!("DAMAGED: {damage}")));
    if report.damage.is_empty() && !report.is_sound() {
        let (there, told) = (report.computed.count, report.stored.count);
        lines.push(format!("DAMAGED: {there} records are there where the log speaks of {told}"));
    }
    lines.join("\n")
}
