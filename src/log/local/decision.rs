//! Decides what a start does with a log and the table beside it. Writes nothing.
//!
//! [`decide`] reads and decides. [`super::recovery`] executes the decision, and `doctor` prints the same
//! decision as a [`Forecast`].

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::folder::{self, FolderContents};
use super::history::{self, Relation};
use super::scan::{self, Range, ScanReport};
use super::shared::Settings;
use crate::log::{AppliedState, LogError, Position, TableFate, table_fate};

/// What a start does with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFate {
    /// Begin a log: there is none, and no file or table shows that there was one.
    Begin,
    /// Keep the log, which is sound.
    Keep,
    /// Rewrite the log.
    Rewrite(Rewrite),
    /// Reject the start, for this reason.
    Refuse(String),
}

/// How a damaged log is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// What is wrong with the log.
    pub(crate) why: String,
    /// The source of the new log.
    pub(crate) from: RewriteSource,
}

/// The source of a rewritten log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RewriteSource {
    /// Its own frames, none of which is missing.
    Frames,
    /// The table, which is intact at this position.
    Table(Position),
    /// Everything that can be read, without the positions named here.
    Remains(String),
}

impl Rewrite {
    /// Returns a description of the finished repair.
    pub(crate) fn report(&self) -> String {
        let why = &self.why;
        match &self.from {
            RewriteSource::Frames => format!(
                "{why}. No position was lost: the log was rewritten from its own content, and its previous files \
                 are kept as *.replaced"
            ),
            RewriteSource::Table(position) => format!(
                "{why}. The table is intact at position {position}: the log was rewritten from it, and its previous \
                 files are kept as *.replaced"
            ),
            RewriteSource::Remains(lost) => format!(
                "{why}. Continued without {lost}, as --accept-loss demands; everything else in the log and the \
                 table was kept, and the damaged files are kept as *.damaged"
            ),
        }
    }

    fn forecast(&self) -> String {
        let why = &self.why;
        match &self.from {
            RewriteSource::Frames => format!(
                "{why}. No position is lost: the next start rewrites the log from its own content, and keeps its \
                 present files as *.replaced"
            ),
            RewriteSource::Table(position) => format!(
                "{why}. The table is intact at position {position}: the next start rewrites the log from the \
                 table, and keeps the present files of the log as *.replaced. If you restored this log on purpose, \
                 rename the table first: otherwise records that only the table contains return"
            ),
            RewriteSource::Remains(lost) => {
                format!("{why}. The next start continues without {lost}, as --accept-loss demands")
            }
        }
    }
}

/// What the next start will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Whether the start will fail.
    pub is_refused: bool,
    /// What the start will do with the log, and why; `None` if the log is sound.
    pub log: Option<String>,
    /// What the start will do with the table.
    pub table: TableFate,
    /// The position that the table has applied.
    pub applied: Position,
}

/// Returns what a start will do with this log and this table. Writes nothing.
pub(crate) fn forecast(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    applied_state: &Arc<dyn AppliedState>,
) -> Result<Forecast, LogError> {
    let decision = decide(disk, settings, applied_state)?;
    let (is_refused, log) = match &decision.fate {
        LogFate::Begin | LogFate::Keep => (false, None),
        LogFate::Rewrite(rewrite) => (false, Some(rewrite.forecast())),
        LogFate::Refuse(why) => (true, Some(why.clone())),
    };
    let applied = applied_state.applied();
    let table = applied_state.log_id().map(|id| (id, applied));
    let (base, end) = (decision.report.segments.base(), decision.report.end);
    let table = table_fate(decision.id.unwrap_or_default(), base, end, table);
    Ok(Forecast { is_refused, log, table, applied })
}

/// A decision, and what it was decided from.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The contents of the folder.
    pub(crate) folder: FolderContents,
    /// The scan of the folder.
    pub(crate) report: ScanReport,
    /// The id of the log, if it is known.
    pub(crate) id: Option<u128>,
    /// Whether the table belongs to this log.
    pub(crate) ours: bool,
    /// What the start does with the log.
    pub(crate) fate: LogFate,
}

/// Decides what a start does.
pub(crate) fn decide(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    applied_state: &Arc<dyn AppliedState>,
) -> Result<Decision, LogError> {
    // This process has locked the log, so no other process removes files: none must stay open.
    let folder = folder::open_folder(disk, 0)?;
    let id = folder.found.iter().find_map(|found| found.header.map(|h| h.log));
    // The files of the log decide, because the table may belong to another log.
    let id = id.or(applied_state.log_id()).or(folder.mark.map(|mark| mark.log));
    let ours = id.is_some() && applied_state.log_id() == id;
    // The position of another log's table means nothing in this log.
    let applied = if ours { applied_state.applied() } else { Position::START };
    let mut report = scan::scan_folder(&folder, applied, &mut |_| {})?;
    let relation =
        if ours { history::compare(&mut report, &**applied_state, applied)? } else { Relation::Unknown };
    // The end of the log itself: `must_reach` raises it.
    let end = report.end;
    let text = format!("the table has applied position {applied}, which the log does not reach");
    report.must_reach(applied, text);
    let judge =
        Judge { disk: &**disk, settings, applied_state, report: &report, ours, applied, end, relation };
    let fate = if folder.found.is_empty() && report.broken.is_empty() {
        // Only if there is no file of a log, and nothing shows that there was one.
        LogFate::Begin
    } else {
        judge.fate()
    };
    Ok(Decision { folder, report, id, ours, fate })
}

/// The inputs of the decision.
struct Judge<'a> {
    disk: &'a dyn Disk,
    settings: &'a Settings,
    applied_state: &'a Arc<dyn AppliedState>,
    report: &'a ScanReport,
    ours: bool,
    applied: Position,
    /// The last position of the log itself, without the table.
    end: Position,
    relation: Relation,
}

impl Judge<'_> {
    fn fate(&self) -> LogFate {
        let report = self.report;
        // First: neither history may replace the other, whatever else is damaged.
        if let Relation::Forked(at) = self.relation {
            return LogFate::Refuse(self.fork(at));
        }
        if report.broken.is_empty() {
            return LogFate::Keep;
        }
        let why = report.broken.join("; ");
        // Only bytes between Changes are damaged, so the frames of the log are enough.
        if report.lost.is_empty() && !report.open_end {
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Frames });
        }
        // Before `accept_loss`: what the table has is not lost.
        if self.table_replaces() {
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Table(self.applied) });
        }
        if self.settings.accept_loss {
            let lost = ranges(&report.lost, report.open_end);
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Remains(lost) });
        }
        LogFate::Refuse(self.refusal(&why))
    }

    /// Returns whether the table has everything that the log lost, and the same history as the log.
    fn table_replaces(&self) -> bool {
        let report = self.report;
        let covered = |(_, to): &Range| *to <= self.applied;
        let reaches = report.lost.iter().all(covered) && (!report.open_end || self.applied >= report.end);
        // The check of the table is last, because it reads every record.
        self.ours && reaches && self.relation == Relation::Same && self.applied_state.is_intact()
    }

    fn fork(&self, at: Position) -> String {
        let dir = self.dir();
        format!(
            "the log and the table in {dir} have the same origin and different histories: they differ at position \
             {at}, and both continued, the log to position {} and the table to position {}. One of them was restored \
             from a copy. Nothing was changed. Keep the log: mv {dir}/table {dir}/table.aside. Or keep the table: mv \
             {dir}/log {dir}/log.aside, then: waypost serve --accept-loss, which rewrites the log from the table",
            self.end, self.applied
        )
    }

    fn refusal(&self, what: &str) -> String {
        let (report, dir) = (self.report, self.dir());
        let table = if self.ours && self.applied > self.end && self.relation == Relation::Unknown {
            format!(
                "the table, at position {}, does not remember the history of the log up to there, so it may have \
                 another one (to keep the table alone: mv {dir}/log {dir}/log.aside, then: waypost serve --accept-loss)",
                self.applied
            )
        } else if self.ours {
            format!("the table, at position {}, cannot replace it", self.applied)
        } else {
            "there is no table of this log to replace it".to_owned()
        };
        format!(
            "the log is damaged: {what}. Lost: {}. Readable: {}; {table}. Restore a backup, or \
             continue without what is lost: waypost serve --accept-loss",
            ranges(&report.lost, report.open_end),
            ranges(&readable(&report.lost, report.end), false)
        )
    }

    /// Returns the data folder, as messages name it.
    fn dir(&self) -> String {
        let log = self.disk.path("");
        let dir = Path::new(&log).parent().map_or("", |dir| dir.to_str().unwrap_or(""));
        if dir.is_empty() { ".".to_owned() } else { dir.to_owned() }
    }
}

/// Returns the ranges between the lost ones.
fn readable(lost: &[Range], end: Position) -> Vec<Range> {
    let mut lost = lost.to_vec();
    lost.sort_unstable();
    let mut next = Position(1);
    let mut ranges = Vec::new();
    for (from, to) in lost {
        if from > next {
            ranges.push((next, Position(from.0 - 1)));
        }
        next = next.max(to.next());
    }
    if next <= end {
        ranges.push((next, end));
    }
    ranges
}

fn ranges(ranges: &[Range], open_end: bool) -> String {
    let mut texts: Vec<String> = ranges.iter().map(scan::span).collect();
    if open_end {
        texts.push("everything after the last file".to_owned());
    }
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((from, to): (u64, u64)) -> Range {
        (Position(from), Position(to))
    }

    #[test]
    fn readable_ranges_lie_between_lost_ones() {
        let rows: [(&[(u64, u64)], u64, &[(u64, u64)]); 10] = [
            (&[], 5, &[(1, 5)]),
            (&[], 1, &[(1, 1)]),
            (&[], 0, &[]),
            (&[(1, 5)], 5, &[]),
            (&[(2, 5)], 5, &[(1, 1)]),
            (&[(3, 4)], 9, &[(1, 2), (5, 9)]),
            // Not in order.
            (&[(6, 7), (2, 3)], 9, &[(1, 1), (4, 5), (8, 9)]),
            // One range is within the other.
            (&[(2, 6), (3, 4)], 9, &[(1, 1), (7, 9)]),
            // Nothing is between the two.
            (&[(2, 3), (4, 5)], 6, &[(1, 1), (6, 6)]),
            (&[(1, 1), (3, 3)], 3, &[(2, 2)]),
        ];
        for (lost, end, want) in rows {
            let lost: Vec<Range> = lost.iter().copied().map(range).collect();
            let want: Vec<Range> = want.iter().copied().map(range).collect();
            assert_eq!(readable(&lost, Position(end)), want, "{lost:?} of {end}");
        }
    }

    #[test]
    fn ranges_in_words() {
        let rows: [(&[(u64, u64)], bool, &str); 4] = [
            (&[], false, "nothing"),
            (&[], true, "everything after the last file"),
            (&[(2, 2), (4, 6)], false, "position 2, positions 4 to 6"),
            (&[(2, 2)], true, "position 2, everything after the last file"),
        ];
        for (lost, open_end, want) in rows {
            let lost: Vec<Range> = lost.iter().copied().map(range).collect();
            assert_eq!(ranges(&lost, open_end), want);
        }
    }

    /// For each source, the forecast announces what the report states later.
    #[test]
    fn forecast_and_report_of_each_source_agree() {
        let rows = [
            (
                RewriteSource::Frames,
                "the next start rewrites the log from its own content",
                "No position was lost",
            ),
            (
                RewriteSource::Table(Position(7)),
                "The table is intact at position 7: the next start",
                "The table is intact at position 7: the log was rewritten from it",
            ),
            (
                RewriteSource::Remains("position 3".to_owned()),
                "The next start continues without position 3, as --accept-loss demands",
                "Continued without position 3, as --accept-loss demands",
            ),
        ];
        for (from, forecast, report) in rows {
            let rewrite = Rewrite { why: "a frame is damaged".to_owned(), from };
            for (text, part) in [(rewrite.forecast(), forecast), (rewrite.report(), report)] {
                assert!(text.starts_with("a frame is damaged. ") && text.contains(part), "{text}");
            }
        }
    }
}
