//! The log, read through, and the table beside it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::process::geteuid;

use super::folder::Lock;
use super::{Case, Finding};
use crate::app::data_folder::{self, LOG_FOLDER, REPLACED_TABLE, TABLE_FOLDER};
use crate::cli::progress;
use crate::log::local::archive::{self, Archive};
use crate::log::local::{Forecast, LogFolder};
use crate::log::{AppliedState, LogError, Position, Record, TableFate};
use crate::model::workspace::Company;
use crate::table::Table;

const LOG: &str = "log";
const TABLE: &str = "table";
const START: &str = "next start";
const COMPANIES: &str = "companies";

/// Logs up to this size are read through, in seconds; of larger ones only the end. `waypost verify`
/// reads any.
const READ_MAX: u64 = 1024 * 1024 * 1024;

/// The log as far as the other checks need it.
pub(super) struct Log {
    pub(super) findings: Vec<Finding>,
    /// When it is sound, or too large to tell.
    pub(super) archive: Option<Archive>,
    /// Whether a start finds a log, sound or not.
    is_there: bool,
    /// It was read through and found sound.
    pub(super) is_read: bool,
}

/// Whether the log is sound.
pub(super) fn log(case: &Case) -> Log {
    let folder = case.config.data_dir.join(LOG_FOLDER);
    let is_there = archive::holds_log(&folder).unwrap_or(false);
    let ends = |finding| Log { findings: vec![finding], archive: None, is_there, is_read: false };
    match data_folder::unfinished(&case.config.data_dir) {
        Ok(None) => {}
        // The start's own words: it refuses for the same reason.
        Ok(Some(unfinished)) => {
            let finding = Finding::problem(LOG, unfinished.advice(&case.config.data_dir));
            return Log { findings: vec![finding], archive: None, is_there: false, is_read: false };
        }
        Err(error) => {
            let text = format!("{} cannot be looked at: {error}", case.config.data_dir.display());
            return ends(Finding::problem(LOG, text));
        }
    }
    if !is_there {
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
            "only its end was read, at position {}: to read all {megabytes} MB, run `waypost verify`",
            archive.position()
        );
        return Log {
            findings: vec![Finding::skipped(LOG, text)],
            archive: Some(archive),
            is_there,
            is_read: false,
        };
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
            Log { findings: vec![Finding::ok(LOG, text)], archive: Some(archive), is_there, is_read: true }
        }
    }
}

/// Whether the table is the log's, and what the next start does with both: the start's own decision.
pub(super) fn table(case: &Case, lock: &Lock, log: &Log) -> Vec<Finding> {
    let folder = case.config.data_dir.join(TABLE_FOLDER);
    match (lock, std::fs::metadata(&folder)) {
        (Lock::Theirs, _) => {
            vec![Finding::skipped(TABLE, "a server has it open, and compares it with the log by itself")]
        }
        (Lock::Unknown, _) => vec![Finding::ok(TABLE, "there is none yet: a start makes it")],
        (Lock::Ours(_), Err(_)) => {
            let mut found = vec![Finding::ok(TABLE, "there is none yet: a start makes it")];
            found.extend(next_start(case, log, &(Arc::new(NoTable) as Arc<dyn AppliedState>)).err());
            found
        }
        // sled writes when it opens: what it made so would be ours.
        (Lock::Ours(_), Ok(held)) if held.uid() != geteuid().as_raw() => {
            vec![Finding::skipped(TABLE, "it belongs to another user: run this as that user")]
        }
        (Lock::Ours(_), Ok(_)) => {
            let table = Table::open(&folder, case.config.table.clone());
            if table.is_held_elsewhere() {
                let text = "another process has it open, although it does not hold the lock of the data folder: \
                            stop that process before a server starts";
                return vec![Finding::problem(TABLE, text)];
            }
            let applied_state: Arc<dyn AppliedState> = Arc::new(table.clone());
            match next_start(case, log, &applied_state) {
                Ok(forecast) => {
                    let mut findings = vec![judge(&table, forecast.as_ref())];
                    // What cannot be read was said.
                    findings.extend(relationship_numbers(&table.companies().unwrap_or_default()));
                    findings
                }
                Err(finding) => vec![finding],
            }
        }
    }
}

/// A finding for each relationship number that several companies have: a share that is restricted to it
/// admits all of them. New companies get numbers that no other has; older stores may hold such companies.
fn relationship_numbers(companies: &[Company]) -> Vec<Finding> {
    let mut by_number: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for company in companies {
        by_number.entry(&company.relationship_number).or_default().push(company.id.as_str());
    }
    by_number.retain(|_, ids| ids.len() > 1);
    let finding = |(number, ids): (&str, Vec<&str>)| {
        let text = format!(
            "the companies {} have the same relationship number {number}: a snapshot that is shared with \
             one of them is shared with all. Restrict such shares to workspaces instead",
            ids.join(", ")
        );
        Finding::warning(COMPANIES, text)
    };
    by_number.into_iter().map(finding).collect()
}

/// What the next start does with the table, or what is wrong with the log.
fn next_start(
    case: &Case,
    log: &Log,
    applied_state: &Arc<dyn AppliedState>,
) -> Result<Option<Forecast>, Finding> {
    if !log.is_there {
        return Ok(None);
    }
    let folder = case.config.data_dir.join(LOG_FOLDER);
    let log_folder = LogFolder::read_only(&folder).map_err(|error| {
        Finding::problem(START, format!("it is refused: {} cannot be read: {error}", folder.display()))
    })?;
    match log_folder.forecast(&case.config.log, applied_state) {
        Err(error) => Err(Finding::problem(START, format!("it is refused: {error}"))),
        Ok(Forecast { is_refused: true, log: Some(why), .. }) => {
            Err(Finding::problem(START, format!("it is refused: {why}")))
        }
        Ok(Forecast { log: Some(what), .. }) => Err(Finding::problem(START, what)),
        Ok(forecast) => Ok(Some(forecast)),
    }
}

fn judge(table: &Table, forecast: Option<&Forecast>) -> Finding {
    let rebuilt = "The next start makes it anew from the log, which may take a while; no link is lost";
    let applied = table.applied();
    let Some(Forecast { table: fate, .. }) = forecast else {
        return Finding::ok(TABLE, format!("at position {applied}; there is no log to compare it with"));
    };
    match *fate {
        TableFate::Build => {
            Finding::warning(TABLE, format!("it cannot be opened, or holds nothing. {rebuilt}"))
        }
        TableFate::SetAside(why) => {
            let text = format!(
                "{why}. The next start renames it to {REPLACED_TABLE}*, and makes another one from the log, which may \
                 take a while"
            );
            Finding::warning(TABLE, text)
        }
        _ if !table.holds() => {
            Finding::warning(TABLE, format!("its records are not what was written. {rebuilt}"))
        }
        TableFate::Reload => {
            let text = format!("it is behind the snapshot that the log begins with. {rebuilt}");
            Finding::warning(TABLE, text)
        }
        TableFate::Replay(behind) => {
            Finding::ok(TABLE, format!("whole, {behind} changes behind the log: a start replays them"))
        }
        TableFate::Keep => Finding::ok(TABLE, format!("whole, at position {applied}")),
    }
}

/// In the place of a table where there is none.
struct NoTable;

impl AppliedState for NoTable {
    fn log_id(&self) -> Option<u128> {
        None
    }

    fn applied(&self) -> Position {
        Position::START
    }

    fn revision(&self, _: &[u8]) -> Result<Option<Position>, LogError> {
        Ok(None)
    }

    fn holds(&self) -> bool {
        false
    }

    fn each_record(&self, _: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
        Ok(())
    }
}
