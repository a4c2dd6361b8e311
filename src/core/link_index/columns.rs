//! The columns of an index that lists by clicks need, each once it is used: a number for each slot.

use super::slots::SlotSet;
use crate::analytics::cell::TimeSlot;
use crate::analytics::store::{KnownParts, RecentClicks};
use crate::model::id::Id;

/// The click totals of the log. Clicks of the last flush interval are only in counters: lists add them to the first rows.
#[derive(Debug)]
pub(super) struct ClickColumn {
    pub(super) totals: Vec<u64>,
    /// The slots whose totals were noted while the table is read: what is read later may be older.
    pub(super) noted: SlotSet,
    /// The link behind which reading continues, `None` once all were read.
    pub(super) after: Option<Id>,
}

impl ClickColumn {
    /// Creates a column that is read from behind a link. Links before the first one are of other workspaces.
    pub(super) fn new(after: Id) -> ClickColumn {
        ClickColumn { totals: Vec::new(), noted: SlotSet::default(), after: Some(after) }
    }

    /// Sets the total of a slot.
    pub(super) fn note(&mut self, slot: u32, total: u64) {
        let at = slot as usize;
        if at >= self.totals.len() {
            // Links without a click at the end take no memory.
            self.totals.resize(at + 1, 0);
        }
        self.totals[at] = total;
        if self.after.is_some() {
            self.noted.insert(slot);
        }
    }
}

/// The clicks of the last days and the latest click. They come from the details of clicks.
#[derive(Debug)]
pub(super) struct RecentColumn {
    pub(super) since: TimeSlot,
    pub(super) known: KnownParts,
    /// The clicks from `since` on.
    clicks: Vec<u32>,
    /// One more than the slot of time of the latest click, 0 without one.
    pub(super) latest: Vec<u32>,
}

impl RecentColumn {
    pub(super) fn new(since: TimeSlot) -> RecentColumn {
        RecentColumn { since, known: KnownParts::default(), clicks: Vec::new(), latest: Vec::new() }
    }

    pub(super) fn add(&mut self, slot: u32, sum: RecentClicks) {
        let at = slot as usize;
        if at >= self.clicks.len() {
            self.clicks.resize(at + 1, 0);
            self.latest.resize(at + 1, 0);
        }
        // Saturates: beyond four billion clicks in a month, the order of two links does not matter.
        let clicks = u64::from(self.clicks[at]) + sum.clicks;
        self.clicks[at] = u32::try_from(clicks).unwrap_or(u32::MAX);
        self.latest[at] = self.latest[at].max(sum.latest.map_or(0, |slot| slot.0 + 1));
    }

    pub(super) fn of(&self, slot: u32) -> RecentClicks {
        let at = slot as usize;
        let number = |column: &[u32]| column.get(at).copied().unwrap_or(0);
        RecentClicks {
            clicks: number(&self.clicks).into(),
            latest: number(&self.latest).checked_sub(1).map(TimeSlot),
        }
    }
}
