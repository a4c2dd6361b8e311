//! The history of a log as the table remembers it: tells a log that lost its end from one that went
//! another way.
//!
//! The id of a log says where it began. Two copies of one data folder share it, and each may go on
//! by itself: then both have a position 301, and the two are not the same. So the table keeps a
//! [`HistoryEntry`] for each of the last positions, and a start compares them with the log.

use super::scan::{RecentChanges, ScanReport};
use super::segments::{Changes, Segments};
use crate::log::{AppliedState, LogError, Position};

/// How the history of a log and that of its table compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// One is the beginning of the other, as far as the log can be read.
    Same,
    /// They differ at this position.
    Forked(Position),
    /// The table remembers nothing of what the log holds: it was written by a version that kept no
    /// history, or reached its position long after the log's last.
    Unknown,
}

/// Compares a log with the table of the same log that has applied `applied`.
pub(crate) fn compare(
    report: &mut ScanReport,
    applied_state: &dyn AppliedState,
    applied: Position,
) -> Result<Relation, LogError> {
    let mut recent = std::mem::take(&mut report.recent);
    if recent.is_empty() {
        recent = read(&report.segments, applied)?;
    }
    let mut relation = Relation::Unknown;
    for change in recent.iter() {
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
        // The log holds nothing that the table could contradict.
        return Relation::Same;
    };
    let base = snapshot.header.before;
    match applied_state.history(base) {
        Some(entry) if entry.state == snapshot.header.fingerprint.digest() => Relation::Same,
        // Not taken for a fork: a compaction may have put a wrong fingerprint right.
        _ => Relation::Unknown,
    }
}

/// Reads the last Changes up to `applied` from a segment that the report did not have to read.
fn read(segments: &Segments, applied: Position) -> Result<RecentChanges, LogError> {
    let mut recent = RecentChanges::default();
    let end = segments.list.last().map_or(Position::START, |segment| segment.last);
    let Some(segment) = segments.find(applied.min(end)) else { return Ok(recent) };
    let mut changes = Changes::new(segment)?;
    // A segment that cannot be read on is damage, of which the report tells.
    while let Ok(Some(change)) = changes.next() {
        if change.position > applied {
            break;
        }
        recent.push(change);
    }
    Ok(recent)
}
