//! `waypost backup`: copies the log and the details of clicks to a folder while the server may run. The copy is a data
//! folder: `waypost restore` accepts it, and a server can be started on it.
//!
//! Promise: a backup gets its name only when it is complete, verified and durable. Until then it has another
//! name ([`staging`](super::staging)), which no command accepts as a backup.

use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::{ConfigFile, created_path};
use super::error::CommandError;
use super::output::{counted, print_line};
use super::staging::Staging;
use super::{click_reader, log_reader, progress};
use crate::analytics::store::ClickArchive;
use crate::log::local::archive::{Archive, VerifyReport};

/// Arguments of `backup`.
#[derive(Clone, Debug, Args)]
// Accepted, as by all commands, and without an effect here.
#[command(mut_arg("listen", |argument| argument.hide(true)))]
#[command(mut_arg("public_url", |argument| argument.hide(true)))]
pub(super) struct BackupArguments {
    #[command(flatten)]
    config_file: ConfigFile,
    /// A new or empty folder to write to. It will contain password and key hashes: keep it private.
    #[arg(value_name = "FOLDER", value_parser = created_path)]
    to: PathBuf,
}

/// Runs the command.
pub(super) fn run(arguments: &BackupArguments) -> Result<(), CommandError> {
    let config = arguments.config_file.load()?;
    arguments.config_file.check_data_folder(&config)?;
    let (mut clicks, archive) = click_reader::open(&config.data_dir, log_reader::open)?;
    if is_within(&arguments.to, &config.data_dir) {
        return Err(CommandError::Failed(format!(
            "{} is in the data folder {}: a backup there is lost with the data. Name a folder elsewhere",
            arguments.to.display(),
            config.data_dir.display()
        )));
    }
    // After the log is opened: without a log no folder is created.
    let staging = Staging::begin(&arguments.to)?;
    let copied = copy_clicks(clicks.as_mut(), &staging.clicks);
    let report = copied.and_then(|()| write(&archive, &staging.log)).inspect_err(|_| staging.discard())?;
    staging.publish().map_err(|error| {
        CommandError::Failed(format!(
            "the backup is complete, but cannot be renamed to {}: {error}",
            staging.shown()
        ))
    })?;
    print_line(&format!(
        "{} contains position {} with {}, verified",
        arguments.to.display(),
        report.position,
        counted(report.records, "record")
    ));
    if let Some(clicks) = clicks.filter(|clicks| !clicks.parts().is_empty()) {
        print_line(&click_reader::summary(&clicks));
    }
    Ok(())
}

/// Copies the details of clicks that can be read, and reports the others: they must not cost the backup of the links.
fn copy_clicks(clicks: Option<&mut ClickArchive>, to: &Path) -> Result<(), CommandError> {
    let Some(clicks) = clicks else { return Ok(()) };
    click_reader::check(clicks);
    click_reader::warn_of_missing(clicks);
    clicks.copy_to(to).map_err(|error| {
        CommandError::Failed(format!("cannot copy the details of clicks to {}: {error}", to.display()))
    })
}

/// Returns whether a path, which need not exist, is in a folder.
fn is_within(path: &Path, folder: &Path) -> bool {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // By the resolved paths: links and relative paths lead to the same folder.
    let there = whole.ancestors().find_map(|above| above.canonicalize().ok());
    there.zip(folder.canonicalize().ok()).is_some_and(|(there, folder)| there.starts_with(folder))
}

/// Copies the log and verifies the copy.
fn write(archive: &Archive, log: &Path) -> Result<VerifyReport, CommandError> {
    let bar = progress::bytes("copying");
    let copied = archive.copy_to(log, &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(CommandError::from)?;
    // The copy is read back from its files: only this shows what a restore will find.
    let report = log_reader::read_through(&Archive::open(log).map_err(CommandError::from)?)?;
    // The mark as well: `Archive::copy` writes it last.
    if report.is_sound() && report.is_complete() {
        return Ok(report);
    }
    Err(CommandError::Failed(format!("the copy in {} is not sound: it was removed", log.display())))
}
