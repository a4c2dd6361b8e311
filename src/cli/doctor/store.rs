//! The log, read through, and the table beside it.

use std::os::unix::fs::MetadataExt;

use rustix::process::geteuid;

use super::folder::Lock;
use super::{Case, Finding};
use crate::app::data_folder::{self, LOG_FOLDER, TABLE_FOLDER};
use crate::cli::progress;
use crate::log::archive::{self, Archive};
use crate::log::{Position, Witness};
use crate::table::Table;

const LOG: &str = "log";
const TABLE: &str = "table";

/// Logs up to this size are read through, in seconds; of larger ones only the end. `waypost verify`
/// reads any.
const READ_MAX: u64 = 1024 * 1024 * 1024;

/// The log as far as the other checks need it.
pub(super) struct Log {
    pub(super) findings: Vec<Finding>,
    /// When it is sound, or too large to tell.
    pub(super) archive: Option<Archive>,
    /// It was read through and found sound.
    pub(super) is_read: bool,
}

/// Whether the log is sound.
pub(super) fn log(case: &Case) -> Log {
    let folder = case.config.data_dir.join(LOG_FOLDER);
    let ends = |finding| Log { findings: vec![finding], archive: None, is_read: false };
    match data_folder::unfinished(&case.config.data_dir) {
        Ok(None) => {}
        // The start's own words: it refuses for the same reason.
        Ok(Some(unfinished)) => {
            return ends(Finding::problem(LOG, unfinished.advice(&case.config.data_dir)));
        }
        Err(error) => {
            let text = format!("{} cannot be looked at: {error}", case.config.data_dir.display());
            return ends(Finding::problem(LOG, text));
        }
    }
    if !archive::holds_log(&folder).unwrap_or(false) {
        return ends(Finding::ok(LOG, "there is none yet: the first start makes it"));
    }
    let remedy = "Start the server, which repairs it from the table if that is whole, or restore a backup \
                  (`waypost restore`); `waypost verify` says more";
    let archive = match Archive::open(&folder) {
        Ok(archive) => archive,
        Err(error) => return ends(Finding::problem(LOG, format!("{error}. {remedy}"))),
    };
    let megabytes = archive.bytes() / (1024 * 1024);
    if archive.bytes() > READ_MAX {
        let text = format!(
            "its end is readable, at position {}; {megabytes} MB were not read through: `waypost verify` does",
            archive.position()
        );
        return Log { findings: vec![Finding::ok(LOG, text)], archive: Some(archive), is_read: false };
    }
    let bar = progress::bytes("reading the log");
    let report = archive.verify(&mut progress::follow(&bar));
    bar.finish_and_clear();
    match report {
        Err(error) => ends(Finding::problem(LOG, format!("{error}. {remedy}"))),
        Ok(report) if !report.is_sound() => {
            let first = report.damage.first().map_or("its records are not those that it speaks of", |d| d);
            ends(Finding::problem(LOG, format!("it is damaged: {first}. {remedy}")))
        }
        Ok(report) => {
            let torn = match report.torn {
                0 => String::new(),
                torn => format!("; {torn} bytes of an unfinished write at its end go at the next start"),
            };
            let text =
                format!("sound, at position {} with {} records{torn}", report.position, report.records);
            Log { findings: vec![Finding::ok(LOG, text)], archive: Some(archive), is_read: true }
        }
    }
}

/// Whether the table is the log's. It may be anything: a server makes it anew from the log.
pub(super) fn table(case: &Case, lock: &Lock, log: &Log) -> Vec<Finding> {
    let folder = case.config.data_dir.join(TABLE_FOLDER);
    let finding = match (lock, std::fs::metadata(&folder)) {
        (Lock::Theirs, _) => {
            Finding::ok(TABLE, "a server has it open, and compares it with the log by itself")
        }
        (Lock::Unknown, _) | (Lock::Ours(_), Err(_)) => {
            Finding::ok(TABLE, "there is none yet: a start makes it")
        }
        // sled writes when it opens: what it made so would be ours.
        (Lock::Ours(_), Ok(held)) if held.uid() != geteuid().as_raw() => {
            Finding::ok(TABLE, "not looked at, since it belongs to another user: run this as that user")
        }
        (Lock::Ours(_), Ok(_)) => {
            let table = Table::open(&folder, case.config.table.clone());
            judge(&table, log)
        }
    };
    vec![finding]
}

fn judge(table: &Table, log: &Log) -> Finding {
    let rebuilt = "The next start makes it anew from the log, which may take a while; no link is lost";
    let applied = table.applied();
    let Some(id) = table.log_id() else {
        return Finding::warning(TABLE, format!("it cannot be opened, or holds nothing. {rebuilt}"));
    };
    if !table.holds() {
        return Finding::warning(TABLE, format!("its records are not what was written. {rebuilt}"));
    }
    let Some(archive) = &log.archive else {
        return Finding::ok(
            TABLE,
            format!("whole, at position {applied}; there is no sound log to compare it with"),
        );
    };
    if id != archive.id() {
        return Finding::warning(TABLE, format!("it is of another log. {rebuilt}"));
    }
    match applied.cmp(&archive.position()) {
        std::cmp::Ordering::Greater => {
            let text = format!(
                "it is at position {applied}, and the log ends at {}: the log lost its end. If that is no backup \
                 put back, look for the missing files before a server starts; {}",
                archive.position(),
                rebuilt.to_lowercase()
            );
            Finding::problem(TABLE, text)
        }
        std::cmp::Ordering::Less => {
            let behind = archive.position().0 - applied.0;
            Finding::ok(TABLE, format!("whole, {behind} changes behind the log: a start replays them"))
        }
        std::cmp::Ordering::Equal => {
            Finding::ok(TABLE, format!("whole, at position {}", Position(applied.0)))
        }
    }
}
