//! Click totals of an index: read once from the table, then noted with each Change.

use super::columns::ClickColumn;
use super::index::LinkIndex;
use super::slots::SlotSet;
use crate::core::error::Error;
use crate::model::id::Id;
use crate::table::Table;

impl LinkIndex {
    /// Notes the total of a link that was applied.
    pub(in crate::core) fn note_total(&self, id: Id, total: u64) {
        let mut state = self.state.write();
        // Created links have no clicks before they have a slot.
        let Some(slot) = state.slot_of(id) else { return };
        if let Some(column) = &mut state.clicks {
            column.note(slot, total);
        }
    }

    /// Returns whether lists by clicks are used.
    pub(super) fn has_clicks(&self) -> bool {
        self.state.read().clicks.is_some()
    }

    /// Reads the next click totals, at most `at_most`. Returns whether all were read.
    pub(in crate::core) fn read_clicks(&self, table: &Table, at_most: usize) -> Result<bool, Error> {
        let (after, last) = {
            let mut state = self.state.write();
            let first = state.ids.first().map_or(0, |id| id.bits().saturating_sub(1));
            let last = state.ids.last().copied();
            let column = state.clicks.get_or_insert_with(|| ClickColumn::new(Id::from_bits(first)));
            (column.after, last)
        };
        // From here on all totals come from Changes.
        let Some(after) = after else { return Ok(true) };
        // Read without the lock of the index, which a Change waits for.
        let mut totals: Vec<(Id, u64)> = Vec::new();
        let end = table.each_total(after, at_most, &mut |id, _, total| match totals.last_mut() {
            // The totals of all nodes add up.
            Some((of, sum)) if *of == id => *sum += total,
            _ => totals.push((id, total)),
        })?;
        let mut state = self.state.write();
        let totals: Vec<_> =
            totals.into_iter().filter_map(|(id, total)| Some((state.slot_of(id)?, total))).collect();
        let Some(column) = &mut state.clicks else { return Ok(false) };
        for (slot, total) in totals {
            if !column.noted.contains(slot) {
                column.note(slot, total);
                column.noted.remove(slot);
            }
        }
        // Totals behind the last link are of newer links, which were noted.
        column.after = end.filter(|end| last.is_some_and(|last| *end < last));
        if column.after.is_none() {
            column.noted = SlotSet::default();
        }
        Ok(column.after.is_none())
    }

    /// Returns the totals of slots.
    pub(in crate::core) fn totals(&self, slots: &[u32]) -> Vec<u64> {
        let state = self.state.read();
        let totals = state.clicks.as_ref().map_or(&[][..], |column| &column.totals);
        slots.iter().map(|slot| totals.get(*slot as usize).copied().unwrap_or(0)).collect()
    }
}
