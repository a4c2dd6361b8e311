//! The log, which is read completely, and the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::{Case, Finding};
use super::folder::Lock;
use super::table_copy;
use crate::app::data_folder::{self, LOG_FOLDER, REPLACED_TABLE, TABLE_FOLDER};
use crate::cli::output::counted;
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

/// Logs up to this size in bytes are read completely, which takes seconds. Of larger ones only the end is read;
/// `waypost verify` reads a log of any size.
pub(super) const READ_MAX: u64 = 1024 * 1024 * 1024;

/// The result of the check of the log, as the other checks need it.
pub(super) struct LogCheck {
    pub(super) findings: Vec<Finding>,
    /// Set if the log is sound, or too large to be read.
    pub(super) archive: Option<Archive>,
    /// Whether a start finds a log.
    is_there: bool,
    /// Whether the log was read completely and is sound.
    pub(super) is_read: bool,
}

/// Checks that the log is sound.
pub(super) fn log(case: &Case) -> LogCheck {
    let folder = case.config.data_dir.join(LOG_FOLDER);
    // An error is reported below, by the check of the folder.
    let is_there = archive::holds_log(&folder).unwrap_or(false);
    let ends = |finding| LogCheck { findings: vec![finding], archive: None, is_there, is_read: false };
    match data_folder::unfinished(&case.config.data_dir) {
        Ok(None) => {}
        // The same text as a start, which fails for the same reason.
        Ok(Some(unfinished)) => {
            let finding = Finding::problem(LOG, unfinished.advice(&case.config.data_dir));
            return LogCheck { findings: vec![finding], archive: None, is_there: false, is_read: false };
        }
        Err(error) => {
            let text = format!("{} cannot be read: {error}", case.config.data_dir.display());
            return ends(Finding::problem(LOG, text));
        }
    }
    if !is_there {
        return ends(Finding::ok(LOG, "there is none yet: the first start creates it"));
    }
    let remedy = "Start the server, which repairs it from the table if the table is whole, or restore a \
                  backup (`waypost restore`); `waypost verify` reports more";
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
        return LogCheck {
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
            // The first damage only: `verify` lists them all.
            let first = report.damage.first().map_or("its records differ from its footers", |d| d);
            ends(Finding::problem(LOG, format!("it is damaged: {first}. {remedy}")))
        }
        Ok(report) => {
            let torn = match report.torn {
                0 => String::new(),
                torn => {
                    let torn = counted(torn, "byte");
                    format!("; the next start removes {torn} of an unfinished write at its end")
                }
            };
            let records = counted(report.records, "record");
            let text = format!("sound, at position {} with {records}{torn}", report.position);
            LogCheck {
                findings: vec![Finding::ok(LOG, text)],
                archive: Some(archive),
                is_there,
                is_read: true,
            }
        }
    }
}

/// Checks that the table belongs to the log, and what the next start does with both, by the start's own decision.
pub(super) fn table(case: &Case, lock: &Lock, log: &LogCheck) -> Vec<Finding> {
    let folder = case.config.data_dir.join(TABLE_FOLDER);
    match (lock, std::fs::metadata(&folder)) {
        (Lock::Theirs, _) => {
            // sled cannot be opened twice.
            vec![Finding::skipped(TABLE, "a server has it open, and compares it with the log itself")]
        }
        // Nothing to lock, or a folder that an earlier check has reported.
        (Lock::Unknown, Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            vec![Finding::skipped(TABLE, format!("it cannot be read: {error}"))]
        }
        (Lock::Unknown, _) => vec![Finding::ok(TABLE, "there is none yet: a start creates it")],
        (Lock::Ours(_), Err(_)) => {
            let mut found = vec![Finding::ok(TABLE, "there is none yet: a start creates it")];
            found.extend(next_start(case, log, &(Arc::new(NoTable) as Arc<dyn AppliedState>)).err());
            found
        }
        (Lock::Ours(_), Ok(_)) => {
            if Table::is_in_use(&folder) {
                let text = "another process has it open, although it does not hold the lock of the data folder: \
                            stop that process before a server starts";
                return vec![Finding::problem(TABLE, text)];
            }
            // Declared before the table, which is closed before its folder is removed.
            let copy = match table_copy::copy(&folder) {
                Ok(copy) => copy,
                Err(why) => return vec![Finding::skipped(TABLE, why.to_string())],
            };
            let table = Table::open(copy.path(), case.config.table.clone());
            let applied_state: Arc<dyn AppliedState> = Arc::new(table.clone());
            match next_start(case, log, &applied_state) {
                Ok(forecast) => {
                    let mut findings = vec![judge(&table, forecast.as_ref())];
                    // A table that cannot be read is reported above.
                    findings.extend(relationship_numbers(&table.companies().unwrap_or_default()));
                    findings
                }
                Err(finding) => vec![finding],
            }
        }
    }
}

/// Returns a finding for each relationship number that several companies have: a share that is restricted to it
/// admits all of them. New companies get unique numbers; older stores may contain such companies.
fn relationship_numbers(companies: &[Company]) -> Vec<Finding> {
    let mut by_number: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for company in companies {
        by_number.entry(&company.relationship_number).or_default().push(company.id.as_str());
    }
    by_number.retain(|_, ids| ids.len() > 1);
    let finding = |(number, ids): (&str, Vec<&str>)| {
        let text = format!(
            "the companies {} have the same relationship number {number}: a snapshot that is shared with \
             one of them is shared with all. Restrict such shares to workspaces",
            ids.join(", ")
        );
        Finding::warning(COMPANIES, text)
    };
    by_number.into_iter().map(finding).collect()
}

/// Returns what the next start does with the table. Fails with a finding about the log.
fn next_start(
    case: &Case,
    log: &LogCheck,
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
        // A repair is announced as a problem: it should not come as a surprise.
        Ok(Forecast { log: Some(what), .. }) => Err(Finding::problem(START, what)),
        Ok(forecast) => Ok(Some(forecast)),
    }
}

fn judge(table: &Table, forecast: Option<&Forecast>) -> Finding {
    let rebuilt = "The next start rebuilds it from the log, which may take a while; no link is lost";
    let applied = table.applied();
    let Some(Forecast { table: fate, .. }) = forecast else {
        return Finding::ok(TABLE, format!("at position {applied}; there is no log to compare it with"));
    };
    match *fate {
        TableFate::Build => Finding::warning(TABLE, format!("it cannot be opened, or is empty. {rebuilt}")),
        TableFate::SetAside(why) => {
            let text = format!(
                "{why}. The next start renames it to {REPLACED_TABLE}*, and builds another one from the log, which may \
                 take a while"
            );
            Finding::warning(TABLE, text)
        }
        // After the cheap cases: the check reads every record.
        _ if !table.is_intact() => Finding::warning(TABLE, format!("its records are damaged. {rebuilt}")),
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

/// The applied state of a missing table.
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

    fn is_intact(&self) -> bool {
        false
    }

    fn each_record(&self, _: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
        Ok(())
    }
}
