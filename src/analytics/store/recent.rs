//! The clicks of single links in the last days, and the time of their latest click.
//!
//! 1. A page of links reads each part once: the places of its links, and the blocks that have their cells.
//! 2. Parts are read from the newest to the oldest. Of a part before the days, only the links without a later click
//!    are read, from their last block backwards.
//! 3. A link with many blocks in a part is read once for each part and day: see [`super::busy`].

use std::sync::Arc;

use super::busy::RecentClicks;
use super::files::StoredPart;
use super::shared::Shared;
use crate::analytics::block::{CellBlock, CellField, CellFields};
use crate::analytics::cell::{COUNTED, Dimension, TimeSlot};
use crate::analytics::part::error::PartError;
use crate::analytics::part::reader::PartList;
use crate::analytics::tick::LinkRow;

/// Blocks of a link in a part from which on its sum is kept: reading this number takes some 100 microseconds.
const BUSY_BLOCKS: usize = 8;

/// The fields that a sum needs.
pub(super) const FIELDS: CellFields = CellFields::BASE.with(CellField::Value(Dimension::Trigger));

/// Why the clicks of links are not known.
#[derive(Debug, thiserror::Error)]
pub enum RecentError {
    /// A part cannot be read. If it is damaged, it was set aside.
    #[error("a part cannot be read: {0}")]
    Part(#[from] PartError),
    /// The read was cancelled.
    #[error("the clicks of the links take too long to read")]
    TooSlow,
}

impl Shared {
    /// See [`ClickStore::recent`](super::ClickStore::recent).
    pub(super) fn recent(
        &self,
        links: &[LinkRow],
        since: TimeSlot,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<RecentClicks>, RecentError> {
        let mut sums = vec![RecentClicks::default(); links.len()];
        let mut parts = {
            // One lock for both: a seal between two would count cells twice or not at all.
            let cells = self.cells.lock();
            cells.open.each_counted(links, |at, slot, clicks| sums[at].add(slot, clicks.into(), since));
            cells.parts.clone()
        };
        parts.sort_by_key(|part| std::cmp::Reverse(part.header().last));
        let mut block = CellBlock::default();
        for stored in &parts {
            let mut reader = PartReader { stored, since, is_cancelled, block: &mut block, loaded: None };
            reader.add(links, &mut sums).inspect_err(|error| self.note(stored, error))?;
        }
        Ok(sums)
    }

    /// Sets a part aside whose read has failed, if it is damaged.
    pub(super) fn note(&self, stored: &StoredPart, error: &RecentError) {
        if let RecentError::Part(error @ PartError::Damaged(_)) = error {
            self.set_aside(&stored.part, error);
        }
    }
}

/// Reads the sums of one part.
struct PartReader<'a> {
    stored: &'a Arc<StoredPart>,
    since: TimeSlot,
    is_cancelled: &'a dyn Fn() -> bool,
    block: &'a mut CellBlock,
    /// The block that is decoded: neighbours in the list of links often share one.
    loaded: Option<usize>,
}

impl PartReader<'_> {
    fn add(&mut self, links: &[LinkRow], sums: &mut [RecentClicks]) -> Result<(), RecentError> {
        let last = self.stored.header().last;
        let counts = last >= self.since;
        let needs = |sum: &RecentClicks| counts || sum.latest.is_none_or(|latest| latest < last);
        // Before the list of the part is read: most links of a page have a later click than an old part.
        let wanted: Vec<_> = (0..links.len()).filter(|at| needs(&sums[*at])).collect();
        let rows: Vec<_> = wanted.iter().map(|at| links[*at]).collect();
        for (at, place) in wanted.into_iter().zip(self.stored.part.find_all(PartList::Links, &rows)?) {
            let Some(place) = place else { continue };
            let sum = if counts { self.sum(&links[at], place)? } else { self.latest(place)? };
            sums[at].join(sum);
        }
        Ok(())
    }

    /// Returns the sum of a link.
    fn sum(&mut self, link: &LinkRow, place: u32) -> Result<RecentClicks, RecentError> {
        let blocks = self.stored.part.blocks_of(&(place..place + 1));
        let is_busy = blocks.len() >= BUSY_BLOCKS;
        if is_busy && let Some(known) = self.stored.busy.get(link, self.since) {
            return Ok(known);
        }
        let mut sum = RecentClicks::default();
        for at in blocks {
            self.load(at)?;
            self.add_block(place, &mut sum);
        }
        if is_busy {
            self.stored.busy.insert(link, self.since, sum);
        }
        Ok(sum)
    }

    /// Returns the latest click of a link in a part before the days.
    fn latest(&mut self, place: u32) -> Result<RecentClicks, RecentError> {
        let mut sum = RecentClicks::default();
        // Backwards: the cells of a link ascend in time. More than one block is read only behind visits that do not count.
        for at in self.stored.part.blocks_of(&(place..place + 1)).rev() {
            self.load(at)?;
            self.add_block(place, &mut sum);
            if sum.latest.is_some() {
                break;
            }
        }
        Ok(sum)
    }

    fn load(&mut self, at: usize) -> Result<(), RecentError> {
        if (self.is_cancelled)() {
            return Err(RecentError::TooSlow);
        }
        if self.loaded != Some(at) {
            // After a failed read, the block is not the one of any number.
            self.loaded = None;
            self.stored.part.block(at, FIELDS, self.block)?;
            self.loaded = Some(at);
        }
        Ok(())
    }

    /// Adds the cells of a link in the decoded block.
    fn add_block(&self, place: u32, sum: &mut RecentClicks) {
        let links = self.block.column(CellField::Link);
        let cells = links.partition_point(|link| *link < place)..links.partition_point(|link| *link <= place);
        let column = |field| &self.block.column(field)[cells.clone()];
        let [slots, clicks] = [CellField::Slot, CellField::Clicks].map(column);
        let triggers = column(CellField::Value(Dimension::Trigger));
        for ((slot, clicks), trigger) in slots.iter().zip(clicks).zip(triggers) {
            if trigger & COUNTED != 0 {
                sum.add(TimeSlot(*slot), (*clicks).into(), self.since);
            }
        }
    }
}
