//! [`ClickQuestion`]: what is asked about clicks.

use std::ops::Range;

use jiff::tz::TimeZone;

use super::calendar::{Granularity, Span};
use super::error::QueryError;
use super::facet::{Facet, FacetKey};
use crate::analytics::block::CellField;
use crate::analytics::tick::{LINK_BYTES, LinkRow};

/// Most facets of a breakdown.
// The sums are a table of pairs of keys, and a row has room for two.
const FACETS_MAX: usize = 2;

/// Longest span in slots: 100 years.
// A calendar has five bytes for each slot: some 18 MB at this length.
pub const SLOTS_MAX: u32 = 100 * 366 * 96;

/// The clicks that a question is about, and the breakdowns of its answer.
#[derive(Clone, Debug)]
pub struct ClickQuestion {
    /// The links.
    pub scope: LinkScope,
    /// The time.
    pub span: Span,
    /// The zone of days, hours and so on.
    pub zone: TimeZone,
    /// The length of the buckets of [`Facet::Time`].
    pub granularity: Granularity,
    /// The kind of visits.
    pub visits: Visits,
    /// A visit is in the answer if it passes all filters.
    pub filters: Vec<FacetFilter>,
    /// The breakdowns of the answer. They are computed together, which takes less time than a question for
    /// each.
    pub breakdowns: Vec<Breakdown>,
    /// Adds the counts of this span, such as [`Span::previous`].
    pub previous: Option<Span>,
}

/// The links of a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LinkScope {
    /// All links of all workspaces.
    All,
    /// All links of these workspaces, sorted and each once, and the visits of their domains that found no
    /// link.
    Workspaces(Vec<u32>),
    /// These links, sorted and each once.
    Links(Vec<LinkRow>),
}

/// The kind of visits that a question is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visits {
    /// Clicks that are in the totals of their links.
    #[default]
    Counted,
    /// Visits of links by known bots and link previews. A link can count them, so some may be in the totals.
    Bots,
    /// Loads of links by browsers before a click that may never come.
    Prefetches,
    /// Visits that found no link, of people and bots.
    Misses,
}

/// Passes visits by one facet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FacetFilter {
    /// The facet. A question has no filter by [`Facet::Time`], since it has a span.
    pub facet: Facet,
    /// The keys, of which a visit has one.
    pub keys: Vec<FacetKey>,
    /// Passes the visits that have none of the keys instead.
    pub excludes: bool,
}

/// A table of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// The facets, at most two. Without a facet the table has a total and no rows.
    pub by: Vec<Facet>,
    /// The most rows. Rows by time ascend, all others begin with the most clicks.
    pub limit: usize,
    /// The number of rows that are left out before the first one.
    pub offset: usize,
}

impl ClickQuestion {
    /// Returns the slots of the span and, if the question compares, those of the span before. A slot that is in both
    /// counts in the later one.
    pub(super) fn spans(&self) -> Vec<Range<u32>> {
        let slots = self.span.slots();
        let before = self.previous.map(Span::slots);
        let before = before.map(|before| before.start..before.end.min(slots.start));
        std::iter::once(slots).chain(before).collect()
    }

    /// Returns whether the answer depends on the records of links, and not on cells alone.
    pub(super) fn reads_links(&self) -> bool {
        let of_filters = self.filters.iter().map(|filter| filter.facet);
        let by = self.breakdowns.iter().flat_map(|breakdown| breakdown.by.iter().copied());
        of_filters.chain(by).any(Facet::reads_links)
    }

    /// Returns an error if the question has no answer for any clicks.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        // Of a span that was not checked: slots saturate and do not panic.
        let slots = self.span.slots();
        // Ranges of links are built in this order, and one that sorts before the last would be lost.
        let is_sorted = match &self.scope {
            LinkScope::All => true,
            LinkScope::Workspaces(workspaces) => workspaces.is_sorted_by(|a, b| a < b),
            LinkScope::Links(links) => links.is_sorted_by(|a, b| a < b),
        };
        let mut by = self.breakdowns.iter().map(|breakdown| &breakdown.by);
        let rules = [
            (self.span.is_valid(), "`from` must be before `to`, and both in the years 1970 to 9998"),
            (slots.end.saturating_sub(slots.start) <= SLOTS_MAX, "a span has at most 100 years"),
            (is_sorted, "workspaces and links must be sorted"),
            (
                by.all(|by| by.len() <= FACETS_MAX && !(by.len() == 2 && by[0] == by[1])),
                "at most two different facets",
            ),
            (self.filters.iter().all(|filter| filter.facet != Facet::Time), "`from` and `to` filter by time"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(QueryError::Question(rule)),
            None => Ok(()),
        }
    }

    /// Returns the column of the visitors of a breakdown: those of links or of the workspace.
    pub(super) fn visitors(&self, breakdown: &Breakdown) -> CellField {
        // A filter that excludes links leaves most of a workspace, so the visitors of the workspace count.
        let names_links = self.filters.iter().any(|filter| filter.facet.is_of_link() && !filter.excludes);
        let is_by_link = breakdown.by.iter().any(|facet| facet.is_of_link());
        let is_of_links = matches!(self.scope, LinkScope::Links(_));
        if names_links || is_by_link || is_of_links {
            CellField::Visitors
        } else {
            CellField::WorkspaceVisitors
        }
    }
}

impl FacetFilter {
    /// Returns whether visits with this key pass.
    pub(super) fn passes(&self, key: &FacetKey) -> bool {
        let has_one = match key {
            // A filter names single tags, of which the link has one.
            FacetKey::Tags(tags) => {
                tags.iter().any(|tag| self.keys.binary_search(&FacetKey::Tags([*tag].into())).is_ok())
            }
            key => self.keys.binary_search(key).is_ok(),
        };
        has_one != self.excludes
    }

    /// Returns the filter with sorted keys, as [`FacetFilter::passes`] needs them.
    pub(super) fn sorted(&self) -> FacetFilter {
        let mut filter = self.clone();
        filter.keys.sort_unstable();
        filter
    }
}

impl LinkScope {
    /// Returns the rows of links, as ranges of which the end is no part. A range without an end has all rows
    /// from its start.
    pub(super) fn rows(&self) -> Vec<(LinkRow, Option<LinkRow>)> {
        match self {
            LinkScope::All => vec![([0; LINK_BYTES], None)],
            LinkScope::Workspaces(workspaces) => {
                runs(workspaces).map(|run| (first(run.start), run.end.map(first))).collect()
            }
            LinkScope::Links(links) => links.iter().map(|link| (*link, successor(link))).collect(),
        }
    }
}

/// Returns the runs of consecutive numbers. A run that contains the last number has no end.
fn runs(numbers: &[u32]) -> impl Iterator<Item = WorkspaceRun> {
    // The last workspace has no number behind it, so its run has no end.
    numbers
        .chunk_by(|a, b| a.checked_add(1) == Some(*b))
        .filter_map(|run| Some(WorkspaceRun { start: *run.first()?, end: run.last()?.checked_add(1) }))
}

struct WorkspaceRun {
    start: u32,
    end: Option<u32>,
}

/// Returns the first row that a workspace can have.
fn first(workspace: u32) -> LinkRow {
    let mut row = [0; LINK_BYTES];
    row[..4].copy_from_slice(&workspace.to_be_bytes());
    row
}

/// Returns the row behind another one, `None` behind the last.
fn successor(row: &LinkRow) -> Option<LinkRow> {
    let mut row = *row;
    // With a carry: a row is a big-endian number.
    for byte in row.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(row);
        }
    }
    None
}

/// Adds a range to sorted ranges. Ranges that touch become one.
pub(super) fn push_range<T: Ord + Copy>(ranges: &mut Vec<Range<T>>, range: Range<T>) {
    match ranges.last_mut() {
        // A link that a part does not have is an empty range, and must not begin a new one.
        _ if range.is_empty() => {}
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> ClickQuestion {
        ClickQuestion {
            scope: LinkScope::All,
            span: Span { from: 0, to: 86_400_000 },
            zone: TimeZone::UTC,
            granularity: Granularity::Day,
            visits: Visits::Counted,
            filters: Vec::new(),
            breakdowns: Vec::new(),
            previous: None,
        }
    }

    #[test]
    fn contradictions_are_named() {
        assert!(question().check().is_ok());
        let by = |by: &[Facet]| vec![Breakdown { by: by.to_vec(), limit: 10, offset: 0 }];
        let time = FacetFilter { facet: Facet::Time, keys: Vec::new(), excludes: false };
        let rows = [
            (ClickQuestion { span: Span { from: 1, to: 0 }, ..question() }, "before"),
            (ClickQuestion { span: Span { from: -1, to: 5 }, ..question() }, "1970"),
            (ClickQuestion { span: Span { from: 0, to: i64::MAX }, ..question() }, "9998"),
            // 126 years of valid dates, which have too many slots.
            (ClickQuestion { span: Span { from: 0, to: 4_000_000_000_000 }, ..question() }, "100 years"),
            (ClickQuestion { scope: LinkScope::Workspaces(vec![2, 1]), ..question() }, "sorted"),
            (ClickQuestion { scope: LinkScope::Links(vec![[1; LINK_BYTES]; 2]), ..question() }, "sorted"),
            (ClickQuestion { breakdowns: by(&[Facet::Os, Facet::Link, Facet::Path]), ..question() }, "two"),
            (ClickQuestion { breakdowns: by(&[Facet::Os, Facet::Os]), ..question() }, "different"),
            (ClickQuestion { filters: vec![time], ..question() }, "time"),
        ];
        for (question, rule) in rows {
            let error = question.check().expect_err(rule).to_string();
            assert!(error.contains(rule), "{error}");
        }
    }

    #[test]
    fn the_rows_of_scopes() {
        // Neighbours become one range, for which the list is searched twice and not four times.
        let rows = LinkScope::Workspaces(vec![1, 2, 5, u32::MAX]).rows();
        let want = [(first(1), Some(first(3))), (first(5), Some(first(6))), (first(u32::MAX), None)];
        assert_eq!(rows, want);
        // The last row has no successor. With a first byte of 0, the carry reaches that byte.
        let mut row = [0xff; LINK_BYTES];
        assert_eq!(successor(&row), None);
        row[0] = 0;
        assert_eq!(
            successor(&row),
            Some({
                let mut next = [0; LINK_BYTES];
                next[0] = 1;
                next
            })
        );
    }

    #[test]
    fn visitors_are_those_of_links_or_of_workspaces() {
        let by = |facet| Breakdown { by: vec![facet], limit: 1, offset: 0 };
        let of_workspace = ClickQuestion { scope: LinkScope::Workspaces(vec![1]), ..question() };
        assert_eq!(of_workspace.visitors(&by(Facet::Os)), CellField::WorkspaceVisitors);
        assert_eq!(of_workspace.visitors(&by(Facet::Link)), CellField::Visitors);
        let mut filter = FacetFilter { facet: Facet::Link, keys: Vec::new(), excludes: true };
        let excluding = ClickQuestion { filters: vec![filter.clone()], ..of_workspace.clone() };
        assert_eq!(excluding.visitors(&by(Facet::Os)), CellField::WorkspaceVisitors);
        filter.excludes = false;
        let filtered = ClickQuestion { filters: vec![filter], ..of_workspace };
        assert_eq!(filtered.visitors(&by(Facet::Os)), CellField::Visitors);
        let of_links = ClickQuestion { scope: LinkScope::Links(Vec::new()), ..question() };
        assert_eq!(of_links.visitors(&by(Facet::Os)), CellField::Visitors);
    }
}
