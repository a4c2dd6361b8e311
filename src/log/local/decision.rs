//! What a start does with a log and the table beside it.
//!
//! [`decide`] reads and decides; [`crate::log::local::recovery`] carries the decision out, and `doctor` prints the
//! same decision ([`Forecast`]). Nothing here writes.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::folder::{self, FolderContents};
use super::history::{self, Relation};
use super::scan::{self, Range, ScanReport};
use super::shared::Settings;
use crate::log::{AppliedState, LogError, Position, TableFate, table_fate};

/// What becomes of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFate {
    /// There is none, and nothing tells of one: a log is begun.
    Begin,
    /// It is sound.
    Keep,
    /// It is written anew.
    Rewrite(Rewrite),
    /// The start is refused, for this reason.
    Refuse(String),
}

/// How a damaged log is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// What is wrong with it.
    pub(crate) why: String,
    /// From what it is written.
    pub(crate) from: RewriteSource,
}

/// What a log is written anew from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RewriteSource {
    /// From its own frames, none of which is missing.
    Frames,
    /// From the table, which is whole at this position.
    Table(Position),
    /// From everything that can be read, without what is named here.
    Remains(String),
}

impl Rewrite {
    /// Returns what was done, in words.
    pub(crate) fn report(&self) -> String {
        let why = &self.why;
        match &self.from {
            RewriteSource::Frames => format!(
                "{why}. No position was lost: the log was written anew from what it holds, and its files from \
                 before are kept as *.replaced"
            ),
            RewriteSource::Table(position) => format!(
                "{why}. The table is whole at position {position}: the log was written anew from it, and its files \
                 from before are kept as *.replaced"
            ),
            RewriteSource::Remains(lost) => format!(
                "{why}. Went on without {lost} as --accept-loss demands; everything else that the log and \
                 the table hold was kept, the damaged files are set aside as *.damaged"
            ),
        }
    }

    fn forecast(&self) -> String {
        let why = &self.why;
        match &self.from {
            RewriteSource::Frames => format!(
                "{why}. No position is lost: the next start writes the log anew from what it holds, and keeps its \
                 present files as *.replaced"
            ),
            RewriteSource::Table(position) => format!(
                "{why}. The table is whole at position {position}: the next start writes the log anew from the \
                 table, and keeps the present files of the log as *.replaced. If this log was put back on purpose, \
                 rename the table before: what only the table holds comes back otherwise"
            ),
            RewriteSource::Remains(lost) => {
                format!("{why}. The next start goes on without {lost}, as --accept-loss demands")
            }
        }
    }
}

/// What the next start will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Whether it will refuse.
    pub is_refused: bool,
    /// What it will do with the log, and why; `None` when the log is sound.
    pub log: Option<String>,
    /// What it will do with the table.
    pub table: TableFate,
    /// The position that the table has applied.
    pub applied: Position,
}

/// Says what a start on this log and this table will do. Writes nothing.
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

/// What was read and decided.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What is in the folder.
    pub(crate) folder: FolderContents,
    /// What can be read of it.
    pub(crate) report: ScanReport,
    /// Which log it is, if anything tells.
    pub(crate) id: Option<u128>,
    /// Whether the table is of this log.
    pub(crate) ours: bool,
    /// What becomes of the log.
    pub(crate) fate: LogFate,
}

/// Decides what a start does.
pub(crate) fn decide(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    applied_state: &Arc<dyn AppliedState>,
) -> Result<Decision, LogError> {
    // Nobody else removes files of a log that this process has locked, so none must stay open.
    let folder = folder::open_folder(disk, 0)?;
    let id = folder.found.iter().find_map(|found| found.header.map(|h| h.log));
    let id = id.or(applied_state.log_id()).or(folder.mark.map(|mark| mark.log));
    let ours = id.is_some() && applied_state.log_id() == id;
    let applied = if ours { applied_state.applied() } else { Position::START };
    let mut report = scan::scan_folder(&folder, applied, &mut |_| {})?;
    let relation =
        if ours { history::compare(&mut report, &**applied_state, applied)? } else { Relation::Unknown };
    let end = report.end;
    let text = format!("the table has applied position {applied}, which the log does not reach");
    report.must_reach(applied, text);
    let judge =
        Judge { disk: &**disk, settings, applied_state, report: &report, ours, applied, end, relation };
    let fate = if folder.found.is_empty() && report.broken.is_empty() {
        // Only where nothing is and nothing tells that something was.
        LogFate::Begin
    } else {
        judge.fate()
    };
    Ok(Decision { folder, report, id, ours, fate })
}

/// What the decision rests on.
struct Judge<'a> {
    disk: &'a dyn Disk,
    settings: &'a Settings,
    applied_state: &'a Arc<dyn AppliedState>,
    report: &'a ScanReport,
    ours: bool,
    applied: Position,
    /// The last position of the log itself.
    end: Position,
    relation: Relation,
}

impl Judge<'_> {
    fn fate(&self) -> LogFate {
        let report = self.report;
        if let Relation::Forked(at) = self.relation {
            return LogFate::Refuse(self.fork(at));
        }
        if report.broken.is_empty() {
            return LogFate::Keep;
        }
        let why = report.broken.join("; ");
        if report.lost.is_empty() && !report.open_end {
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Frames });
        }
        if self.table_stands_in() {
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Table(self.applied) });
        }
        if self.settings.accept_loss {
            let lost = ranges(&report.lost, report.open_end);
            return LogFate::Rewrite(Rewrite { why, from: RewriteSource::Remains(lost) });
        }
        LogFate::Refuse(self.refusal(&why))
    }

    /// Whether the table has everything that the log lost, and is known to have the log's history.
    fn table_stands_in(&self) -> bool {
        let report = self.report;
        let covered = |(_, to): &Range| *to <= self.applied;
        let reaches = report.lost.iter().all(covered) && (!report.open_end || self.applied >= report.end);
        self.ours && reaches && self.relation == Relation::Same && self.applied_state.holds()
    }

    fn fork(&self, at: Position) -> String {
        let dir = self.dir();
        format!(
            "the log and the table in {dir} have the same origin and different histories: they differ at position \
             {at}, and both went on, the log to position {} and the table to position {}. One of them was put back \
             from a copy. Nothing was changed. Keep the log: mv {dir}/table {dir}/table.aside. Or keep the table: mv \
             {dir}/log {dir}/log.aside, then: waypost serve --accept-loss, which writes the log anew from the table",
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
            format!("the table, at position {}, cannot stand in for it", self.applied)
        } else {
            "there is no table of this log to stand in for it".to_owned()
        };
        format!(
            "the log is damaged: {what}. Lost: {}. Readable: {}; {table}. Restore a backup, or go on \
             without what is lost: waypost serve --accept-loss",
            ranges(&report.lost, report.open_end),
            ranges(&readable(&report.lost, report.end), false)
        )
    }

    /// The data folder, as messages call it.
    fn dir(&self) -> String {
        let log = self.disk.path("");
        let dir = Path::new(&log).parent().map_or("", |dir| dir.to_str().unwrap_or(""));
        if dir.is_empty() { ".".to_owned() } else { dir.to_owned() }
    }
}

/// What lies between the lost ranges.
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
        texts.push("whatever came after the last file".to_owned());
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
    fn what_can_be_read_lies_between_what_is_lost() {
        let rows: [(&[(u64, u64)], u64, &[(u64, u64)]); 10] = [
            (&[], 5, &[(1, 5)]),
            (&[], 1, &[(1, 1)]),
            (&[], 0, &[]),
            (&[(1, 5)], 5, &[]),
            (&[(2, 5)], 5, &[(1, 1)]),
            (&[(3, 4)], 9, &[(1, 2), (5, 9)]),
            (&[(6, 7), (2, 3)], 9, &[(1, 1), (4, 5), (8, 9)]),
            (&[(2, 6), (3, 4)], 9, &[(1, 1), (7, 9)]),
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
            (&[], true, "whatever came after the last file"),
            (&[(2, 2), (4, 6)], false, "position 2, positions 4 to 6"),
            (&[(2, 2)], true, "position 2, whatever came after the last file"),
        ];
        for (lost, open_end, want) in rows {
            let lost: Vec<Range> = lost.iter().copied().map(range).collect();
            assert_eq!(ranges(&lost, open_end), want);
        }
    }

    /// A forecast says what the report says later, of the same source.
    #[test]
    fn what_is_forecast_and_what_is_reported() {
        let rows = [
            (
                RewriteSource::Frames,
                "the next start writes the log anew from what it holds",
                "No position was lost",
            ),
            (
                RewriteSource::Table(Position(7)),
                "The table is whole at position 7: the next start",
                "The table is whole at position 7: the log was written anew from it",
            ),
            (
                RewriteSource::Remains("position 3".to_owned()),
                "The next start goes on without position 3, as --accept-loss demands",
                "Went on without position 3 as --accept-loss demands",
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
