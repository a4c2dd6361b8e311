//! [`TablePlan`]: which summaries of a part answer a question, in place of its cells.

use std::ops::Range;

use super::calendar::Calendar;
use super::facet::Facet;
use super::question::{Breakdown, ClickQuestion, LinkScope, Visits};
use crate::analytics::block::CellField;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::summary::SummaryTable;

/// The tables for a question.
#[derive(Debug)]
pub(super) struct TablePlan<'a> {
    /// The table of each breakdown.
    pub(super) tables: Vec<&'a SummaryTable>,
    /// The slots that the tables answer. The slots before and behind them are read from cells.
    pub(super) slots: Range<u32>,
}

impl<'a> TablePlan<'a> {
    /// Returns the tables for a span of slots, `None` if cells must be read.
    pub(super) fn new(
        part: &'a ClickPart,
        question: &ClickQuestion,
        slots: &Range<u32>,
        calendar: Option<&Calendar>,
    ) -> Option<TablePlan<'a>> {
        // Tables have counted clicks only, by one dimension each.
        if question.visits != Visits::Counted || !question.filters.is_empty() {
            return None;
        }
        let scope = match &question.scope {
            LinkScope::Workspaces(workspaces) if workspaces.len() == 1 => {
                workspaces[0].to_be_bytes().to_vec()
            }
            LinkScope::Links(links) if links.len() == 1 => links[0].to_vec(),
            _ => return None,
        };
        let tables: Vec<_> = part.tables(&scope).collect();
        let chosen: Option<Vec<_>> =
            question.breakdowns.iter().map(|breakdown| table_of(breakdown, &tables)).collect();
        let tables = chosen.filter(|tables| !tables.is_empty())?;
        // Widths are multiples of each other, so what is aligned for the longest is aligned for all.
        let width = tables.iter().map(|table| table.width).max()?;
        let of_part = part.header().first.0..part.header().last.0.saturating_add(1);
        // Nothing is before or behind the cells of the part, so its own ends need not be aligned.
        let from = if slots.start <= of_part.start {
            of_part.start
        } else {
            slots.start.checked_next_multiple_of(width)?
        };
        let to = if slots.end >= of_part.end { of_part.end } else { slots.end / width * width };
        let within = from..to;
        let times = || question.breakdowns.iter().flat_map(|breakdown| &breakdown.by);
        let is_exact = times().all(|facet| agree(*facet, &within, width, calendar));
        (from < to && is_exact).then_some(TablePlan { tables, slots: within })
    }
}

/// Returns the table with the keys of a breakdown.
fn table_of<'a>(breakdown: &Breakdown, tables: &[&'a SummaryTable]) -> Option<&'a SummaryTable> {
    let fields = breakdown.by.iter().map(|facet| facet.field()).filter(|field| *field != CellField::Slot);
    // Two facets of one dimension, such as device and browser, have one table.
    let fits =
        |table: &&&SummaryTable| fields.clone().all(|field| field == CellField::Value(table.dimension));
    // The finest table leaves the fewest slots to cells, and of these the shortest is read fastest.
    tables.iter().filter(fits).min_by_key(|table| (table.width, table.blocks.len())).copied()
}

/// Returns whether all slots of a table's slot have the same key of a facet.
fn agree(facet: Facet, slots: &Range<u32>, width: u32, calendar: Option<&Calendar>) -> bool {
    if !facet.is_time() || width == 1 {
        return true;
    }
    let Some(calendar) = calendar else { return false };
    let mut start = slots.start;
    while start < slots.end {
        let next = (start / width + 1).saturating_mul(width).min(slots.end);
        let is_one = match facet {
            // Buckets ascend, so both ends are enough.
            Facet::Time => calendar.bucket(start) == calendar.bucket(next - 1),
            _ => (start..next).all(|slot| calendar.hour_of_week(slot) == calendar.hour_of_week(start)),
        };
        if !is_one {
            return false;
        }
        start = next;
    }
    true
}
