//! The links of a workspace with the latest clicks.
//!
//! Parts are read from the newest to the oldest, and reading ends at the first part that cannot change the answer. On a
//! busy server the cells of the last hours suffice.

use std::cmp::Reverse;
use std::sync::Arc;

use super::files::StoredPart;
use super::recent::{FIELDS, RecentError};
use super::shared::Shared;
use crate::analytics::block::{CellBlock, CellField};
use crate::analytics::cell::{COUNTED, Dimension, TimeSlot};
use crate::analytics::part::error::PartError;
use crate::analytics::part::list::{CHUNK, ListChunk};
use crate::analytics::part::reader::PartList;
use crate::analytics::tick::{link_row, parse_link_row};
use crate::analytics::top::TopLinks;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// Returns the number by which a link with a click in a slot is sorted: 0 is a link without a click.
fn rank(slot: TimeSlot) -> u64 {
    u64::from(slot.0) + 1
}

impl Shared {
    /// See [`ClickStore::latest`](super::ClickStore::latest).
    pub(super) fn latest(
        &self,
        workspace: WorkspaceNumber,
        keep: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<TopLinks, RecentError> {
        let mut top = TopLinks::new(keep);
        let mut parts = {
            // One lock for both: a seal between two would hide the cells of the part.
            let cells = self.cells.lock();
            cells.open.each_of(workspace, |link, slot| top.raise(link, rank(slot)));
            cells.parts.clone()
        };
        parts.sort_by_key(|part| Reverse(part.header().last));
        let mut block = CellBlock::default();
        for stored in &parts {
            // Equal slots are sorted by link, so a part with the same slot as the last link is read.
            if top.at_least(rank(stored.header().last) + 1) >= keep {
                break;
            }
            let mut reader =
                PartLatest { stored, block: &mut block, chunk: ListChunk::default(), loaded: None };
            reader.add(workspace, &mut top, is_cancelled).inspect_err(|error| self.note(stored, error))?;
        }
        Ok(top)
    }
}

/// Reads the links of one part.
struct PartLatest<'a> {
    stored: &'a Arc<StoredPart>,
    block: &'a mut CellBlock,
    chunk: ListChunk,
    /// The number of the chunk that is decoded.
    loaded: Option<usize>,
}

impl PartLatest<'_> {
    fn add(
        &mut self,
        workspace: WorkspaceNumber,
        top: &mut TopLinks,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), RecentError> {
        let part = &self.stored.part;
        let start_of = |number| part.find(PartList::Links, &link_row(number, Id::from_bits(0)));
        let start = start_of(workspace)?.0;
        // The last workspace has no number behind it.
        let end = match workspace.0.checked_add(1) {
            Some(next) => start_of(WorkspaceNumber(next))?.0,
            None => part.entries(PartList::Links),
        };
        let links = start..end;
        // An empty range may lie within a block, which has no cell of the workspace then.
        for at in if links.is_empty() { 0..0 } else { part.blocks_of(&links) } {
            if is_cancelled() {
                return Err(RecentError::TooSlow);
            }
            part.block(at, FIELDS, self.block)?;
            for (link, slot) in latest_of_block(self.block) {
                if links.contains(&link) {
                    top.raise(self.link(link)?, rank(slot));
                }
            }
        }
        Ok(())
    }

    /// Returns a link by its place. Places ascend, so each chunk is decoded once.
    fn link(&mut self, place: u32) -> Result<Id, PartError> {
        let (number, at) = (place as usize / CHUNK, place as usize % CHUNK);
        if self.loaded != Some(number) {
            // After a failed read, the chunk is not the one of any number.
            self.loaded = None;
            self.stored.part.chunk(PartList::Links, number, &mut self.chunk)?;
            self.loaded = Some(number);
        }
        let row = self.chunk.get(at).and_then(parse_link_row);
        row.map(|(_, link)| link).ok_or(PartError::Damaged("a link is missing"))
    }
}

/// Returns each link of a block that has a counted click, with the slot of its latest one.
fn latest_of_block(block: &CellBlock) -> Vec<(u32, TimeSlot)> {
    let [links, slots] = [CellField::Link, CellField::Slot].map(|field| block.column(field));
    let triggers = block.column(CellField::Value(Dimension::Trigger));
    let mut latest: Vec<(u32, TimeSlot)> = Vec::new();
    for ((link, slot), trigger) in links.iter().zip(slots).zip(triggers) {
        if trigger & COUNTED == 0 {
            continue;
        }
        match latest.last_mut() {
            // The cells of a link ascend in time.
            Some(last) if last.0 == *link => last.1 = TimeSlot(*slot),
            _ => latest.push((*link, TimeSlot(*slot))),
        }
    }
    latest
}
