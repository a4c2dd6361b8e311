//! [`ClickAnswer`]: the rows of all breakdowns, as plain data.

use std::cmp::Ordering;

use super::columns::FacetColumn;
use super::facet::{Facet, FacetKey};
use super::question::Breakdown;
use super::sums::Sums;
use super::totals::ClickTotals;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickAnswer {
    /// The rows of each breakdown of the question, in their order.
    pub breakdowns: Vec<Rows>,
    /// The facets of the question with visits whose value was not kept, since there were too many.
    pub has_other: Vec<Facet>,
}

/// The rows of a breakdown. The rows and `other` add up to `total`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows from the offset of the breakdown to its limit. A breakdown by time alone has a row for each
    /// bucket of the span, others have rows with counts only.
    pub rows: Vec<AnswerRow>,
    /// The number of rows without offset and limit.
    pub count: usize,
    /// The sum of all rows.
    pub total: ClickTotals,
    /// The sum of the rows before the offset and behind the limit.
    pub other: ClickTotals,
    /// The total of the span before, if the question compares.
    pub previous: Option<ClickTotals>,
}

/// A row of a breakdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// A key for each facet of the breakdown.
    pub keys: Vec<FacetKey>,
    /// The counts.
    pub totals: ClickTotals,
    /// The counts of the same keys in the span before, if the question compares. The bucket of a time is the
    /// one at the same place of its span.
    pub previous: Option<ClickTotals>,
}

/// The sums of a breakdown, from which its rows are built.
pub(super) struct AnswerTable<'a> {
    pub(super) breakdown: &'a Breakdown,
    /// The columns of its facets.
    pub(super) columns: Vec<&'a FacetColumn>,
    pub(super) sums: &'a Sums,
    /// The sums of the span before, if the question compares.
    pub(super) previous: Option<&'a Sums>,
    /// The starts of the buckets of time.
    pub(super) starts: &'a [i64],
}

/// The numbers of a row's keys, and its counts.
type AnswerGroup = ([u32; 2], ClickTotals);

impl AnswerTable<'_> {
    /// Returns the rows.
    pub(super) fn rows(&self) -> Rows {
        let mut groups = self.groups();
        // Counted before the sort, which removes the groups behind the last row.
        let (count, total) = (groups.len(), self.sums.total());
        self.sort(&mut groups);
        let Breakdown { limit, offset, .. } = *self.breakdown;
        let rows: Vec<_> = groups.iter().skip(offset).take(limit).map(|group| self.row(*group)).collect();
        // `other` is the rest of the total, so rows and `other` always add up to it.
        let listed = rows.iter().fold(ClickTotals::default(), |sum, row| sum.plus(row.totals));
        Rows { rows, count, total, other: total.minus(listed), previous: self.previous.map(Sums::total) }
    }

    fn is_pair(&self) -> bool {
        self.columns.len() == 2
    }

    fn groups(&self) -> Vec<AnswerGroup> {
        match self.breakdown.by[..] {
            [] => Vec::new(),
            // Buckets without clicks are rows, so that a chart has no gaps.
            [Facet::Time] => (0..)
                .zip(self.starts)
                .map(|(bucket, _)| ([bucket, 0], self.sums.get([bucket, 0], false)))
                .collect(),
            _ => self.sums.rows(self.is_pair()).collect(),
        }
    }

    /// Sorts the groups up to the last one of the answer. There can be a million behind it.
    fn sort(&self, groups: &mut Vec<AnswerGroup>) {
        // A limit can be the largest number, for all rows.
        let last = self.breakdown.offset.saturating_add(self.breakdown.limit);
        if last < groups.len() {
            // A selection is linear: a sort of a million groups for ten rows is not.
            groups.select_nth_unstable_by(last, |a, b| self.order(a, b));
            groups.truncate(last);
        }
        groups.sort_unstable_by(|a, b| self.order(a, b));
    }

    /// Compares by time, then by clicks, the most first, then by keys. No two rows are equal, so pages have
    /// no gaps.
    fn order(&self, a: &AnswerGroup, b: &AnswerGroup) -> Ordering {
        let columns = || self.columns.iter().zip(a.0.into_iter().zip(b.0));
        let times = columns().filter(|(column, _)| column.facet().is_time());
        // The numbers of buckets and of hours ascend with time.
        let by_time = times.map(|(_, (a, b))| a.cmp(&b)).find(|order| order.is_ne());
        by_time.unwrap_or(Ordering::Equal).then_with(|| b.1.clicks.cmp(&a.1.clicks)).then_with(|| {
            // By the keys: their numbers depend on the order of the parts, and so would pages.
            let by_key = columns().map(|(column, (a, b))| column.compare(a, b)).find(|order| order.is_ne());
            by_key.unwrap_or(Ordering::Equal)
        })
    }

    fn row(&self, (numbers, totals): AnswerGroup) -> AnswerRow {
        let keys = self
            .columns
            .iter()
            .zip(numbers)
            .map(|(column, number)| column.key(number, self.starts))
            .collect();
        // Both spans share the numbers of keys. A key that the span before lacks has counts of 0.
        let previous = self.previous.map(|sums| sums.get(numbers, self.is_pair()));
        AnswerRow { keys, totals, previous }
    }
}
