//! Compares the history of a log with the history that its table stores. The comparison distinguishes a log
//! that lost its end from a log that forked.
//!
//! The id of a log identifies its beginning. Two copies of one data folder have the same id, and both may
//! continue: then both have a position 301 with different Changes. Therefore the table stores a
//! [`HistoryEntry`](crate::log::HistoryEntry) for each of its last positions, and a start compares the
//! entries with the log.

use super::scan::{RecentChanges, ScanReport};
use super::segments::{Changes, Segments};
use crate::log::{AppliedState, LogError, Position};

/// How the history of a log and the history of its table relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// One history is the beginning of the other, as far as the log can be read.
    Same,
    /// The histories differ at this position.
    Forked(Position),
    /// The table stores no history of the positions in the log. A version without history wrote the table,
    /// or its position is far beyond the end of the log.
    Unknown,
}

/// Compares a log with a table of the same log that has applied `applied`.
pub(crate) fn compare(
    report: &mut ScanReport,
    applied_state: &dyn AppliedState,
    applied: Position,
) -> Result<Relation, LogError> {
    let mut recent = std::mem::take(&mut report.recent);
    if recent.is_empty() {
        // The scan read no Change that the table has applied.
        recent = read(&report.segments, applied)?;
    }
    let mut relation = Relation::Unknown;
    for change in recent.iter() {
        // 0 means that the table does not know the Change.
        let known = applied_state.history(change.position).filter(|entry| entry.change != 0);
        match known {
            Some(entry) if entry.change != change.digest() => return Ok(Relation::Forked(change.position)),
            Some(_) => relation = Relation::Same,
            None => {}
        }
    }
    Ok(if recent.is_empty() { compare_snapshot(&report.segments, applied_state, applied) } else { relation })
}

/// Compares the state of the snapshot that a log without Changes begins with.
fn compare_snapshot(segments: &Segments, applied_state: &dyn AppliedState, applied: Position) -> Relation {
    let Some(snapshot) = segments.snapshot().filter(|snapshot| snapshot.header.before <= applied) else {
        // The log contains nothing that the table could contradict.
        return Relation::Same;
    };
    let base = snapshot.header.before;
    match applied_state.history(base) {
        Some(entry) if entry.state == snapshot.header.fingerprint.digest() => Relation::Same,
        // A different state is no proof of a fork: a compaction may have corrected a wrong fingerprint.
        _ => Relation::Unknown,
    }
}

/// Reads the last Changes up to `applied` from a segment that the scan skipped.
fn read(segments: &Segments, applied: Position) -> Result<RecentChanges, LogError> {
    let mut recent = RecentChanges::default();
    let end = segments.list.last().map_or(Position::START, |segment| segment.last);
    let Some(segment) = segments.find(applied.min(end)) else { return Ok(recent) };
    let mut changes = Changes::new(segment)?;
    // The scan reports the damage of a segment that cannot be read to its end.
    while let Ok(Some(change)) = changes.next() {
        if change.position > applied {
            break;
        }
        recent.push(change);
    }
    Ok(recent)
}
