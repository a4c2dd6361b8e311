//! What a start does with a log and the table beside it.
//!
//! [`decide`] reads and decides; [`crate::log::local::recovery`] carries the decision out, and `doctor` prints the
//! same decision ([`Forecast`]). Nothing here writes.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::folder::{self, Folder};
use super::history::{self, Relation};
use super::scan::{self, Range, ScanReport};
use super::shared::Settings;
use crate::log::{AppliedState, LogError, Position};

/// What becomes of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
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
    pub(crate) from: Source,
}

/// What a log is written anew from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
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
            Source::Frames => format!(
                "{why}. No position was lost: the log was written anew from what it holds, and its files from \
                 before are kept as *.replaced"
            ),
            Source::Table(position) => format!(
                "{why}. The table is whole at position {position}: the log was written anew from it, and its files \
                 from before are kept as *.replaced"
            ),
            Source::Remains(lost) => format!(
                "{why}. Went on without {lost} as --accept-loss demands; everything else that the log and \
                 the table hold was kept, the damaged files are set aside as *.damaged"
            ),
        }
    }

    fn forecast(&self) -> String {
        let why = &self.why;
        match &self.from {
            Source::Frames => format!(
                "{why}. No position is lost: the next start writes the log anew from what it holds, and keeps its \
                 present files as *.replaced"
            ),
            Source::Table(position) => format!(
                "{why}. The table is whole at position {position}: the next start writes the log anew from the \
                 table, and keeps the present files of the log as *.replaced. If this log was put back on purpose, \
                 rename the table before: what only the table holds comes back otherwise"
            ),
            Source::Remains(lost) => {
                format!("{why}. The next start goes on without {lost}, as --accept-loss demands")
            }
        }
    }
}

/// What becomes of a table beside a log that is kept or was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFate {
    /// There is none, or it holds nothing: it is built.
    Build,
    /// It is at the log's end.
    Keep,
    /// It is so many Changes behind, which are replayed.
    Replay(u64),
    /// It is behind the snapshot that the log begins with: it is built anew from that.
    Reload,
    /// It is not this log's, for this reason: it is renamed, and built anew.
    SetAside(&'static str),
}

/// Decides what becomes of a table of the log `table.0` that has applied `table.1`. The log has the id
/// `log`, begins with a snapshot of `base`, and ends at `end`.
pub fn table_fate(log: u128, base: Position, end: Position, table: Option<(u128, Position)>) -> TableFate {
    match table {
        None => TableFate::Build,
        Some((id, _)) if id != log => TableFate::SetAside("it belongs to another log"),
        Some((_, applied)) if applied > end => TableFate::SetAside("it is ahead of the log"),
        Some((_, applied)) if applied < base => TableFate::Reload,
        Some((_, applied)) if applied == end => TableFate::Keep,
        Some((_, applied)) => TableFate::Replay(end.0 - applied.0),
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
pub fn forecast(
    disk: &Arc<dyn Disk>,
    settings: &Settings,
    applied_state: &Arc<dyn AppliedState>,
) -> Result<Forecast, LogError> {
    let decision = decide(disk, settings, applied_state)?;
    let (is_refused, log) = match &decision.action {
        Action::Begin | Action::Keep => (false, None),
        Action::Rewrite(rewrite) => (false, Some(rewrite.forecast())),
        Action::Refuse(why) => (true, Some(why.clone())),
    };
    let applied = applied_state.applied();
    let table = applied_state.log_id().map(|id| (id, applied));
    let (base, end) = (decision.survey.chain.base(), decision.survey.end);
    let table = table_fate(decision.id.unwrap_or_default(), base, end, table);
    Ok(Forecast { is_refused, log, table, applied })
}

/// What was read and decided.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What is in the folder.
    pub(crate) folder: Folder,
    /// What can be read of it.
    pub(crate) survey: ScanReport,
    /// Which log it is, if anything tells.
    pub(crate) id: Option<u128>,
    /// Whether the table is of this log.
    pub(crate) ours: bool,
    /// What becomes of the log.
    pub(crate) action: Action,
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
    let mut survey = scan::survey(&folder, applied, &mut |_| {})?;
    let relation =
        if ours { history::compare(&mut survey, &**applied_state, applied)? } else { Relation::Unknown };
    let end = survey.end;
    let text = format!("the table has applied position {applied}, which the log does not reach");
    survey.must_reach(applied, text);
    let judge =
        Judge { disk: &**disk, settings, applied_state, survey: &survey, ours, applied, end, relation };
    let action = if folder.found.is_empty() && survey.broken.is_empty() {
        // Only where nothing is and nothing tells that something was.
        Action::Begin
    } else {
        judge.action()
    };
    Ok(Decision { folder, survey, id, ours, action })
}

/// What the decision rests on.
struct Judge<'a> {
    disk: &'a dyn Disk,
    settings: &'a Settings,
    applied_state: &'a Arc<dyn AppliedState>,
    survey: &'a ScanReport,
    ours: bool,
    applied: Position,
    /// The last position of the log itself.
    end: Position,
    relation: Relation,
}

impl Judge<'_> {
    fn action(&self) -> Action {
        let survey = self.survey;
        if let Relation::Forked(at) = self.relation {
            return Action::Refuse(self.fork(at));
        }
        if survey.broken.is_empty() {
            return Action::Keep;
        }
        let why = survey.broken.join("; ");
        if survey.lost.is_empty() && !survey.open_end {
            return Action::Rewrite(Rewrite { why, from: Source::Frames });
        }
        if self.table_stands_in() {
            return Action::Rewrite(Rewrite { why, from: Source::Table(self.applied) });
        }
        if self.settings.accept_loss {
            let lost = ranges(&survey.lost, survey.open_end);
            return Action::Rewrite(Rewrite { why, from: Source::Remains(lost) });
        }
        Action::Refuse(self.refusal(&why))
    }

    /// Whether the table has everything that the log lost, and is known to have the log's history.
    fn table_stands_in(&self) -> bool {
        let survey = self.survey;
        let covered = |(_, to): &Range| *to <= self.applied;
        let reaches = survey.lost.iter().all(covered) && (!survey.open_end || self.applied >= survey.end);
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
        let (survey, dir) = (self.survey, self.dir());
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
            ranges(&survey.lost, survey.open_end),
            ranges(&readable(&survey.lost, survey.end), false)
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

    #[test]
    fn the_fate_of_a_table() {
        let (other, ahead) = ("it belongs to another log", "it is ahead of the log");
        let rows = [
            (None, TableFate::Build),
            (Some((7, 9)), TableFate::Keep),
            (Some((7, 8)), TableFate::Replay(1)),
            (Some((7, 5)), TableFate::Replay(4)),
            (Some((7, 4)), TableFate::Reload),
            (Some((7, 10)), TableFate::SetAside(ahead)),
            (Some((8, 9)), TableFate::SetAside(other)),
            (Some((8, 10)), TableFate::SetAside(other)),
        ];
        for (table, want) in rows {
            let found = table.map(|(id, applied)| (id, Position(applied)));
            assert_eq!(table_fate(7, Position(5), Position(9), found), want, "{table:?}");
        }
    }

    /// A forecast says what the report says later, of the same source.
    #[test]
    fn what_is_forecast_and_what_is_reported() {
        let rows = [
            (Source::Frames, "the next start writes the log anew from what it holds", "No position was lost"),
            (
                Source::Table(Position(7)),
                "The table is whole at position 7: the next start",
                "The table is whole at position 7: the log was written anew from it",
            ),
            (
                Source::Remains("position 3".to_owned()),
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
