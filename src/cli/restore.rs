//! `waypost restore`: puts a backup in the place of the log. The server must be stopped; what was
//! there is kept beside it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use clap::Args;

use super::{Common, Failure, load, progress, tell, verify};
use crate::app::{LOG_FOLDER, TABLE_FOLDER, lock};
use crate::clock::Clock;

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
}

/// Runs to its end.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = load(&arguments.common)?;
    let report = verify::check(&arguments.from)?;
    if !report.is_sound() {
        return Err(Failure::Failed(format!(
            "{} is not sound: restore another backup",
            arguments.from.display()
        )));
    }
    let dir = &config.data_dir;
    let cannot = |what: &str, error: std::io::Error| Failure::Failed(format!("cannot {what}: {error}"));
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| cannot("make the data folder", error))?;
    let _lock = lock(dir).map_err(Failure::from)?;
    let log = dir.join(LOG_FOLDER);
    let there = log.is_dir() && fs::read_dir(&log).is_ok_and(|mut files| files.next().is_some());
    if there && !arguments.replace {
        return Err(Failure::Failed(format!(
            "{} holds a log already: add --replace to put the backup in its place",
            dir.display()
        )));
    }
    // Copied in full under another name first: at no moment is there neither the old nor the new.
    let fresh = dir.join(format!("{LOG_FOLDER}.restoring"));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|error| cannot("remove an unfinished restore", error))?;
    }
    let bar = progress::bytes("copying");
    let copied = verify::open(&arguments.from)?.copy_to(&fresh, &mut progress::follow(&bar));
    bar.finish_and_clear();
    copied.map_err(Failure::from)?;
    let table = dir.join(TABLE_FOLDER);
    if table.exists() {
        // Before the log: a table of the old log beside the new one would be taken for the truth
        // that the log has lost. The next start builds it anew.
        fs::remove_dir_all(&table).map_err(|error| cannot("remove the old table", error))?;
        let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| cannot("sync the data folder", error))?;
    }
    let mut kept = String::new();
    if there {
        let old = dir.join(format!("{LOG_FOLDER}.replaced-{}", Clock::system().now().as_millis()));
        fs::rename(&log, &old).map_err(|error| cannot("set the old log aside", error))?;
        kept = format!("; the log that was there is now {}", old.display());
    } else if log.is_dir() {
        fs::remove_dir(&log).map_err(|error| cannot("remove the empty log folder", error))?;
    }
    fs::rename(&fresh, &log).map_err(|error| cannot("put the backup in place", error))?;
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| cannot("sync the data folder", error))?;
    tell(&format!("restored position {} with {} records{kept}", report.position, report.records));
    Ok(())
}
