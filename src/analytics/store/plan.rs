//! Which parts are merged, and when: pure functions of the parts and the time.
//!
//! Parts of one day are merged by their size, so that a busy day never has many; the parts of a day once it has passed,
//! then those of eight days, then those of a month. Each click is written four to seven times in its first month, and
//! once more for each loss of precision.

use std::ops::Range;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::analytics::cell::{SLOT_SECONDS, TimeSlot};
use crate::analytics::part::header::{PartHeader, PartLevel};

/// Slots of a day.
const DAY: u32 = 24 * HOUR;

/// Slots of an hour.
const HOUR: u32 = 4;
const _: () = assert!(HOUR as i64 * SLOT_SECONDS == 3_600);

/// Runs of one size that are merged into the next size.
const SAME_SIZE: usize = 16;

/// Runs of a day of any size that are merged.
const ANY_SIZE: usize = 64;

/// Days that are merged before their month ends.
const WEEK: i8 = 8;

/// For how long cells keep their precision, by the age of their slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Quarters of an hour become hours.
    pub slots: Duration,
    /// Hours become days of UTC.
    pub hours: Duration,
    /// Cells are deleted. `None`: never.
    pub all: Option<Duration>,
}

/// A part as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) header: PartHeader,
    pub(super) bytes: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MergePlan {
    /// Merge these parts into one of a level, whose slots are multiples of `width`.
    Merge {
        /// The places of the parts.
        parts: Range<usize>,
        /// The level of the result.
        level: PartLevel,
        /// Length of the slots of the result, in slots.
        width: u32,
    },
    /// Delete a part.
    Delete(usize),
}

/// Returns what to do with the parts, which are in the order of their positions; `None` if there is nothing to do.
/// `holes` are the positions of parts that are not among them, over which none are merged.
pub(super) fn plan(parts: &[Planned], holes: &[(u64, u64)], now: TimeSlot, keep: &Keep) -> Option<MergePlan> {
    let is_apart =
        |a: &Planned, b: &Planned| holes.iter().any(|(from, to)| a.header.to < *from && *to < b.header.from);
    let mut start = 0;
    parts.chunk_by(|a, b| !is_apart(a, b)).find_map(|parts| {
        let planned = plan_of(parts, now, keep);
        let before = start;
        start += parts.len();
        Some(match planned? {
            MergePlan::Delete(at) => MergePlan::Delete(before + at),
            MergePlan::Merge { parts, level, width } => {
                MergePlan::Merge { parts: before + parts.start..before + parts.end, level, width }
            }
        })
    })
}

/// Returns what to do with neighbours.
fn plan_of(parts: &[Planned], now: TimeSlot, keep: &Keep) -> Option<MergePlan> {
    let oldest = keep.all.map(|age| before(now, age));
    // Deletions first: they free the room that a merge needs, and save the merge.
    if let Some(at) = oldest.and_then(|oldest| parts.iter().position(|part| part.header.last < oldest)) {
        return Some(MergePlan::Delete(at));
    }
    // Fine levels first, so that a passed day is one part before its week is merged.
    crowded(parts)
        .or_else(|| passed(parts, now, PartLevel::Day, day))
        .or_else(|| passed(parts, now, PartLevel::Week, week))
        .or_else(|| passed(parts, now, PartLevel::Month, month))
        .or_else(|| coarser(parts, before(now, keep.slots), PartLevel::Month, PartLevel::Hours, HOUR))
        .or_else(|| coarser(parts, before(now, keep.hours), PartLevel::Hours, PartLevel::Days, DAY))
}

fn before(now: TimeSlot, age: Duration) -> TimeSlot {
    let slots = age.as_secs() / u64::try_from(SLOT_SECONDS).expect("positive");
    // An age that reaches back past 1970 makes no part old.
    TimeSlot(now.0.saturating_sub(u32::try_from(slots).unwrap_or(u32::MAX)))
}

/// Returns the merge of runs of one day that are many.
fn crowded(parts: &[Planned]) -> Option<MergePlan> {
    let merge = |parts| MergePlan::Merge { parts, level: PartLevel::Run, width: 1 };
    for runs in groups(parts, |part| (part.header.log, part.header.level == PartLevel::Run, day(part))) {
        if parts[runs.start].header.level != PartLevel::Run {
            continue;
        }
        let within = &parts[runs.clone()];
        // Neighbours only: a merge over a gap would cover the positions of a part that stays.
        for same in groups(within, |part| size(part.bytes)) {
            if same.len() >= SAME_SIZE {
                return Some(merge(runs.start + same.start..runs.start + same.end));
            }
        }
        if runs.len() >= ANY_SIZE {
            return Some(merge(runs));
        }
    }
    None
}

/// Returns the class of a size: each is sixteen times the one before.
fn size(bytes: u64) -> u32 {
    // All parts below 1 MiB are one class: a quiet hour has a few KB, and its size is chance.
    (bytes / 65_536).checked_ilog2().unwrap_or(0) / 4
}

/// Returns the merge of all parts of a span of time that has passed, by the name that `span` gives to the span of a part.
fn passed<S: PartialEq>(
    parts: &[Planned],
    now: TimeSlot,
    level: PartLevel,
    span: impl Fn(&Planned) -> S,
) -> Option<MergePlan> {
    let current = Planned { header: PartHeader { first: now, last: now, ..PartHeader::empty() }, bytes: 0 };
    let is_finer = |part: &Planned| part.header.level < level;
    // A run that crosses midnight belongs to the day of its first slot.
    let all = groups(parts, |part| (part.header.log, is_finer(part), span(part)));
    let due = |group: &Range<usize>| {
        let first = &parts[group.start];
        // A slot of a later span: the clock was set back, or the last tick of a span was a moment late.
        is_finer(first) && span(first) != span(&current) && first.header.first < now
    };
    all.into_iter().find(due).map(|parts| MergePlan::Merge { parts, level, width: 1 })
}

/// Returns the loss of precision of one part, all of whose slots are before `oldest`.
fn coarser(
    parts: &[Planned],
    oldest: TimeSlot,
    from: PartLevel,
    level: PartLevel,
    width: u32,
) -> Option<MergePlan> {
    let is_due = |part: &Planned| part.header.level == from && part.header.last < oldest;
    let at = parts.iter().position(is_due)?;
    Some(MergePlan::Merge { parts: at..at + 1, level, width })
}

/// Returns the runs of neighbours with the same key.
fn groups<K: PartialEq>(parts: &[Planned], key: impl Fn(&Planned) -> K) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if key(&parts[group.start]) == key(part) => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

fn day(part: &Planned) -> u32 {
    part.header.first.0 / DAY
}

fn date(part: &Planned) -> Date {
    let days = i64::from(day(part));
    // A slot has 32 bits, so its day is before the year 124000; the calendar ends with 9999.
    let span = jiff::Span::new().try_days(days);
    span.ok().and_then(|span| Date::new(1970, 1, 1).ok()?.checked_add(span).ok()).unwrap_or(Date::MAX)
}

fn week(part: &Planned) -> (i16, i8, i8) {
    let date = date(part);
    // The last week has the rest of the month: up to seven days more would be a week of one day.
    (date.year(), date.month(), ((date.day() - 1) / WEEK).min(3))
}

fn month(part: &Planned) -> (i16, i8) {
    let date = date(part);
    (date.year(), date.month())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep =
        Keep { slots: Duration::from_hours(24 * 90), hours: Duration::from_hours(24 * 400), all: None };

    /// 1970-03-01 and 14 hours: the day has the number 59.
    const NOW: TimeSlot = TimeSlot(59 * DAY + 56);

    fn part(level: PartLevel, from: u64, first: u32, last: u32) -> Planned {
        let header = PartHeader {
            level,
            first: TimeSlot(first),
            last: TimeSlot(last),
            from,
            to: from,
            ..PartHeader::empty()
        };
        Planned { header, bytes: 1_000 }
    }

    // As `plan` returns it.
    #[allow(clippy::unnecessary_wraps)]
    fn merge(parts: Range<usize>, level: PartLevel, width: u32) -> Option<MergePlan> {
        Some(MergePlan::Merge { parts, level, width })
    }

    fn runs(day: u32, count: u64, from: u64) -> Vec<Planned> {
        (0..count).map(|n| part(PartLevel::Run, from + n, day * DAY + 1, day * DAY + 2)).collect()
    }

    #[test]
    fn runs_of_today_are_merged_when_they_are_many() {
        assert_eq!(plan(&runs(59, 15, 1), &[], NOW, &KEEP), None);
        assert_eq!(plan(&runs(59, 16, 1), &[], NOW, &KEEP), merge(0..16, PartLevel::Run, 1));
        // The larger one is of another size.
        let mut sizes = runs(59, 16, 1);
        sizes[0].bytes = 3_000_000;
        assert_eq!(plan(&sizes, &[], NOW, &KEEP), None);
        // Sizes that alternate are merged once they are many.
        let mut sizes = runs(59, 64, 1);
        for part in sizes.iter_mut().step_by(2) {
            part.bytes = 3_000_000;
        }
        assert_eq!(plan(&sizes[..63], &[], NOW, &KEEP), None);
        assert_eq!(plan(&sizes, &[], NOW, &KEEP), merge(0..64, PartLevel::Run, 1));
    }

    #[test]
    fn spans_that_have_passed_are_merged() {
        // Yesterday is the last day of February, whose fourth week has days 25 to 28.
        let yesterday = runs(58, 3, 1);
        assert_eq!(plan(&yesterday, &[], NOW, &KEEP), merge(0..3, PartLevel::Day, 1));
        let days: Vec<_> =
            (55..59).map(|day| part(PartLevel::Day, u64::from(day), day * DAY, day * DAY + 9)).collect();
        assert_eq!(plan(&days, &[], NOW, &KEEP), merge(0..4, PartLevel::Week, 1));
        let weeks: Vec<_> =
            [31, 39, 47, 55].map(|day| part(PartLevel::Week, day.into(), day * DAY, day * DAY)).into();
        assert_eq!(plan(&weeks, &[], NOW, &KEEP), merge(0..4, PartLevel::Month, 1));
        // January is another month, and of today nothing is merged.
        let months = [
            part(PartLevel::Week, 1, 0, 9),
            part(PartLevel::Week, 31, 31 * DAY, 31 * DAY),
            part(PartLevel::Run, 32, NOW.0, NOW.0),
        ];
        assert_eq!(plan(&months, &[], NOW, &KEEP), merge(0..1, PartLevel::Month, 1));
        assert_eq!(plan(&months[2..], &[], NOW, &KEEP), None);
    }

    #[test]
    fn old_parts_lose_precision_and_are_deleted() {
        let keep = Keep { all: Some(Duration::from_hours(24 * 500)), ..KEEP };
        let at = |days: u32| TimeSlot(NOW.0 + days * DAY);
        let month = [part(PartLevel::Month, 1, 0, 31 * DAY - 1)];
        // Both sides of each limit: a wrong comparison deletes or coarsens too early.
        assert_eq!(plan(&month, &[], at(61), &keep), None);
        assert_eq!(plan(&month, &[], at(62), &keep), merge(0..1, PartLevel::Hours, HOUR));
        let hours = [part(PartLevel::Hours, 1, 0, 31 * DAY - 4)];
        assert_eq!(plan(&hours, &[], at(371), &keep), None);
        assert_eq!(plan(&hours, &[], at(372), &keep), merge(0..1, PartLevel::Days, DAY));
        let days = [part(PartLevel::Days, 1, 0, 30 * DAY)];
        assert_eq!(plan(&days, &[], at(470), &keep), None);
        assert_eq!(plan(&days, &[], at(472), &keep), Some(MergePlan::Delete(0)));
    }

    #[test]
    fn parts_of_another_log_stay_apart() {
        let mut parts = runs(58, 2, 1);
        // `files::open` leaves such parts out, and a merge must not depend on that.
        parts[1].header.log = 9;
        assert_eq!(plan(&parts, &[], NOW, &KEEP), merge(0..1, PartLevel::Day, 1));
    }

    /// A part that cannot be read now, and that a merge over its positions would replace.
    #[test]
    fn no_merge_is_over_a_hole() {
        let parts = [runs(58, 2, 1), runs(58, 2, 10)].concat();
        let merged = |holes| plan(&parts, holes, NOW, &KEEP);
        assert_eq!(merged(&[]), merge(0..4, PartLevel::Day, 1));
        // Before, between two neighbours, and behind all.
        assert_eq!(merged(&[(0, 0), (90, 99)]), merge(0..4, PartLevel::Day, 1));
        assert_eq!(merged(&[(3, 9)]), merge(0..2, PartLevel::Day, 1));
        let parts = [vec![part(PartLevel::Month, 1, 58 * DAY, 58 * DAY)], runs(58, 2, 10)].concat();
        assert_eq!(plan(&parts, &[(3, 9)], NOW, &KEEP), merge(1..3, PartLevel::Day, 1));
    }

    /// Merges end: each plan, carried out, leads to fewer parts or a higher level.
    #[test]
    fn a_year_of_runs_ends_as_months() {
        let mut parts = Vec::new();
        for hour in 0..24 * 365_u32 {
            let now = TimeSlot(hour * HOUR);
            parts.push(part(PartLevel::Run, u64::from(hour) + 1, now.0, now.0 + 3));
            while let Some(plan) = plan(&parts, &[], now, &KEEP) {
                let MergePlan::Merge { parts: range, level, .. } = plan else { panic!("nothing is deleted") };
                let (first, last) = (parts[range.start].header, parts[range.end - 1].header);
                let header = PartHeader { level, last: last.last, to: last.to, ..first };
                let bytes = parts[range.clone()].iter().map(|part| part.bytes).sum();
                parts.splice(range, [Planned { header, bytes }]);
            }
            // Months, weeks, days, and the hours of today.
            assert!(parts.len() < 12 + 4 + 8 + 24, "{} at {hour}", parts.len());
        }
        let levels = |level| parts.iter().filter(|part| part.header.level == level).count();
        assert_eq!((levels(PartLevel::Month) + levels(PartLevel::Hours), levels(PartLevel::Week)), (11, 3));
    }
}
