//! The details of clicks: whether they can be read, and how many of them are in no file yet. Reads them beside a running
//! server as well.

use super::finding::{Case, Finding};
use super::store::{LogCheck, READ_MAX};
use crate::analytics::ring;
use crate::analytics::store::{ClickArchive, ListedPart, PartFault, tick_behind};
use crate::app::data_folder;
use crate::cli::output::{counted, form};
use crate::cli::{click_reader, log_reader};
use crate::log::LogError;
use crate::log::local::archive::Archive;

const CLICKS: &str = "click details";

/// Drains whose details are in the log alone, from which a finding says so. A server writes a file after half of the
/// ring, so there are as many only if it cannot.
const MANY_DRAINS: u64 = ring::SIZE as u64 * 3 / 4;

/// Checks the details of clicks. Without a log, there is nothing to compare them with.
pub(super) fn clicks(case: &Case, log: &LogCheck) -> Vec<Finding> {
    let folder = &case.config.data_dir;
    let clicks = data_folder::clicks_folder(folder);
    if log.archive.is_none() && !clicks.exists() {
        return Vec::new();
    }
    if log.archive.is_none() {
        let text = "they were not checked, since the log cannot be read";
        return vec![Finding::skipped(CLICKS, text)];
    }
    if let Some(why) = data_folder::unusable_clicks(folder).filter(|_| case.config.clicks.details) {
        return vec![Finding::problem(CLICKS, why)];
    }
    // Opened again, since the files must be older than the log that they are compared with.
    match click_reader::open(folder, log_reader::open) {
        Ok((Some(archive), log)) => of_archive(case, archive, &log),
        Ok((None, _)) if case.config.clicks.details => {
            vec![Finding::ok(CLICKS, "there are none yet: a start creates their folder")]
        }
        Ok((None, _)) => vec![Finding::ok(CLICKS, "none are kept (`clicks.details` is false)")],
        Err(error) => vec![Finding::problem(CLICKS, error.text())],
    }
}

fn of_archive(case: &Case, mut archive: ClickArchive, log: &Archive) -> Vec<Finding> {
    let size = format!("{} of {} bytes", counted(archive.parts().len() as u64, "file"), archive.bytes());
    let is_read = archive.bytes() <= READ_MAX;
    if is_read {
        click_reader::check(&mut archive);
    }
    let mut findings: Vec<_> = archive.faults().iter().map(damaged).collect();
    findings.extend(archive.missing().iter().map(missing));
    findings.extend(left_out(&archive));
    findings.extend(leftovers(&archive));
    findings.push(match drains_behind(&archive, log) {
        Err(error) => Finding::problem(CLICKS, format!("{error}. `waypost verify` reports more")),
        Ok(drains) if drains >= MANY_DRAINS && case.config.clicks.details => {
            let text = format!(
                "{size}: the details of {drains} writes of clicks are in no file, and those of more than {} are dropped. The \
                 server cannot write to the folder `clicks`: its log names the reason",
                ring::SIZE
            );
            Finding::warning(CLICKS, text)
        }
        Ok(_) if !is_read => {
            Finding::skipped(CLICKS, format!("{size}. To read all of them, run `waypost verify`"))
        }
        Ok(0) => Finding::ok(CLICKS, format!("{size}, with the details of all clicks")),
        // Of the last minutes, as on every server that has visitors.
        Ok(_) => Finding::ok(
            CLICKS,
            format!("{size}; the details of the latest clicks are in the log, and the server writes them to a file in time"),
        ),
    });
    findings
}

fn damaged(fault: &PartFault) -> Finding {
    let text = format!(
        "{}. Their clicks are counted. Restore a backup to have these details again, or leave the file to the \
         server, which sets it aside",
        click_reader::shown(fault)
    );
    Finding::problem(CLICKS, text)
}

fn missing(part: &ListedPart) -> Finding {
    let text = format!(
        "{}. Their clicks are counted. Stop the server and put the file back from a backup to have these details again; \
         the next start without it no longer reports it",
        click_reader::shown_missing(part)
    );
    Finding::problem(CLICKS, text)
}

fn left_out(archive: &ClickArchive) -> Option<Finding> {
    let first = archive.foreign().first()?;
    let number = archive.foreign().len() as u64;
    let text = format!(
        "{} {} details of clicks that are not in the log, such as {first}: the next start renames {} to *.replaced",
        counted(number, "file"),
        form(number, "has", "have"),
        form(number, "it", "them")
    );
    Some(Finding::warning(CLICKS, text))
}

/// Returns a finding about files that were set aside: no setting deletes them.
fn leftovers(archive: &ClickArchive) -> Option<Finding> {
    let left = archive.leftovers();
    if left.damaged + left.replaced == 0 {
        return None;
    }
    let text = format!(
        "{} set aside: damaged (clicks/*.damaged: {}), or with clicks that are not in the log (clicks/*.replaced: {}). \
         No answer has their details, and `clicks.keep` does not delete them: remove them when you no longer need them",
        counted(left.damaged + left.replaced, "file"),
        left.damaged,
        left.replaced
    );
    Some(Finding::warning(CLICKS, text))
}

/// Returns the number of drains whose details are in the log alone.
fn drains_behind(archive: &ClickArchive, log: &Archive) -> Result<u64, LogError> {
    // A log above this size is not read by `doctor`.
    if log.bytes() > READ_MAX {
        return Ok(0);
    }
    let mut drains = 0;
    log.each_record(&mut |record| {
        drains += u64::from(tick_behind(&record, archive.durable()).is_some());
        Ok(())
    })?;
    Ok(drains)
}
