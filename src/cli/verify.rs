//! `waypost verify`: reads the whole log and says whether it is sound. Works beside a running
//! server, since it only reads; the table is scrubbed by the server itself.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, Failure, load, progress, tell};
use crate::app::LOG_FOLDER;
use crate::log::archive::{Archive, Report};

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A backup to verify, instead of the configured data folder.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs to its end. Damage is a failure.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => load(&arguments.common)?.data_dir,
    };
    let report = check(&folder)?;
    tell(&words(&folder, &report));
    if report.is_sound() {
        return Ok(());
    }
    Err(Failure::Failed(
        "the log is damaged: start the server, which repairs it from the table if that is whole, or restore a backup"
            .to_owned(),
    ))
}

/// Reads the log of a data folder or backup through.
pub(super) fn check(folder: &Path) -> Result<Report, Failure> {
    let archive = open(folder)?;
    let bar = progress::bytes("verifying");
    let report = archive.verify(&mut progress::follow(&bar)).map_err(Failure::from);
    bar.finish_and_clear();
    report
}

/// The log of a data folder or backup.
pub(super) fn open(folder: &Path) -> Result<Archive, Failure> {
    let log = folder.join(LOG_FOLDER);
    if !log.is_dir() {
        return Err(Failure::Failed(format!(
            "{} holds no log: it is no data folder of Waypost",
            folder.display()
        )));
    }
    Archive::open(&log).map_err(Failure::from)
}

fn words(folder: &Path, report: &Report) -> String {
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
        let (there, told) = (report.reckoned.count, report.stored.count);
        lines.push(format!("DAMAGED: {there} records are there where the log speaks of {told}"));
    }
    lines.push(if report.is_sound() { "sound" } else { "NOT SOUND" }.to_owned());
    lines.join("\n")
}
