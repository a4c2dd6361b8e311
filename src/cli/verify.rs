//! `waypost verify`: reads the whole log and all details of clicks, and reports whether they are sound. It only reads, so
//! the server may run. The server itself scrubs the table.
//!
//! A backup must have its closing mark as well: nothing else is missing in a copy that was cut at the end of a
//! frame.

use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::ConfigFile;
use super::click_reader;
use super::error::CommandError;
use super::log_reader::{incomplete, open_copy, read_through};
use super::output::{counted, print_line};
use super::verify_details::DetailsReport;
use crate::app::data_folder::{self, FolderError};
use crate::log::local::archive::VerifyReport;

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
// Accepted, as by all commands, and without an effect here.
#[command(mut_arg("listen", |argument| argument.hide(true)))]
#[command(mut_arg("public_url", |argument| argument.hide(true)))]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// A backup to verify, instead of the configured data folder.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Accept a copy that has no closing mark, and so may have lost its end.
    #[arg(long)]
    accept_loss: bool,
}

/// Runs the command. Fails if the log is damaged.
pub(super) fn run(arguments: &VerifyArguments) -> Result<(), CommandError> {
    let folder = if let Some(folder) = &arguments.folder {
        folder.clone()
    } else {
        let config = arguments.config_file.load()?;
        arguments.config_file.check_data_folder(&config)?;
        config.data_dir
    };
    let (clicks, log) = click_reader::open(&folder, open_copy)?;
    let report = read_through(&log)?;
    // Without the totals of a sound log, details cannot be compared with them.
    let details =
        clicks.filter(|_| report.is_sound()).map(|clicks| DetailsReport::of(clicks, &log)).transpose()?;
    let is_damaged = details.as_ref().is_some_and(|details| !details.damage.is_empty());
    // The log of a server has no mark while it runs, so only a copy must have one. A folder that no server has used
    // is a copy for a start as well.
    let is_backup = !data_folder::was_used(&folder)
        || (arguments.folder.is_some() && !is_data_folder(&folder, arguments));
    let missing_end = incomplete(&folder, &report).filter(|_| is_backup);
    let verdict = match &missing_end {
        _ if !report.is_sound() || is_damaged => "NOT SOUND",
        Some(_) => "sound, but not known to be complete",
        None => "sound",
    };
    let of_details = details.map(|details| details.words()).unwrap_or_default();
    print_line(&format!("{}{of_details}\n{verdict}", words(&folder, &report)));
    if !report.is_sound() {
        let advice = if is_backup {
            "the backup is damaged: use another one"
        } else {
            "the log is damaged: start the server, which repairs it from the table if the table is whole, or restore a backup"
        };
        return Err(CommandError::Failed(advice.to_owned()));
    }
    if is_damaged {
        let advice = if is_backup {
            "details of clicks in the backup are damaged: a restore leaves them out. Links and totals are sound"
        } else {
            "details of clicks are damaged: restore a backup to have them again, or keep the server running, which sets \
             the damaged files aside when it reads them. Links and totals are sound"
        };
        return Err(CommandError::Failed(advice.to_owned()));
    }
    missing_end.filter(|_| !arguments.accept_loss).map_or(Ok(()), |why| Err(CommandError::Failed(why)))
}

/// Returns whether `folder` is the configured data folder, or a folder that a server uses. The log of a running
/// or crashed server has no closing mark, and the next start finds its end.
fn is_data_folder(folder: &Path, arguments: &VerifyArguments) -> bool {
    // By the resolved path: links and relative paths lead to the same folder.
    let same = |other: &Path| folder.canonicalize().ok() == other.canonicalize().ok();
    arguments.config_file.load().is_ok_and(|config| same(&config.data_dir))
        || matches!(data_folder::lock_existing(folder), Err(FolderError::InUse { .. }))
}

fn words(folder: &Path, report: &VerifyReport) -> String {
    let mut lines = vec![format!(
        "{}: position {}, {}, {}, {} bytes",
        folder.display(),
        report.position,
        counted(report.records, "record"),
        counted(report.segments as u64, "segment"),
        report.bytes
    )];
    if report.torn > 0 {
        let torn = counted(report.torn, "byte");
        lines.push(format!("an unfinished write of {torn} at the end, which the next start removes"));
    }
    lines.extend(report.damage.iter().map(|damage| format!("DAMAGED: {damage}")));
    if report.damage.is_empty() && !report.is_sound() {
        let (found, stored) = (report.computed.count, report.stored.count);
        lines.push(format!("DAMAGED: the log contains {found} records, and its footer counts {stored}"));
    }
    lines.join("\n")
}
