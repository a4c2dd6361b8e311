//! The recent clicks of all links of a workspace, part by part: for a column that keeps them. Parts never change, so each is
//! read once. A merge replaces parts by one of the same positions, which is not read again.

use std::sync::Arc;

use super::busy::RecentClicks;
use super::files::StoredPart;
use super::recent::{FIELDS, RecentError};
use super::shared::Shared;
use crate::analytics::block::{CellBlock, CellField};
use crate::analytics::cell::{COUNTED, Dimension, TimeSlot};
use crate::analytics::part::error::PartError;
use crate::analytics::part::list::{CHUNK, ListChunk};
use crate::analytics::part::reader::PartList;
use crate::analytics::tick::{link_row, parse_link_row};
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// The parts that a column has: for each node, all up to a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownParts(Vec<(u16, u64)>);

impl KnownParts {
    fn up_to(&self, node: u16) -> Option<u64> {
        self.0.iter().find(|(of, _)| *of == node).map(|(_, position)| *position)
    }

    fn add(&mut self, node: u16, position: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == node) {
            Some((_, known)) => *known = position,
            None => self.0.push((node, position)),
        }
    }
}

/// What a step leads to.
#[derive(Debug)]
pub enum RecentStep {
    /// A part was read. More follow.
    More,
    /// A merge has joined a known part and an unknown one: the column must be read from its beginning.
    Restart,
    /// All parts are known. These are the clicks in memory, which are in no part.
    Done(Vec<(Id, RecentClicks)>),
}

impl Shared {
    /// See [`ClickStore::recent_of`](super::ClickStore::recent_of).
    pub(super) fn recent_of(
        &self,
        workspace: WorkspaceNumber,
        since: TimeSlot,
        known: &mut KnownParts,
        each: &mut dyn FnMut(Id, RecentClicks),
    ) -> Result<RecentStep, RecentError> {
        let (parts, open) = {
            // One lock for both: a seal between two would count cells twice or not at all.
            let cells = self.cells.lock();
            let mut open = Vec::new();
            cells.open.each_of(workspace, |link, slot, clicks| {
                let mut sum = RecentClicks::default();
                sum.add(slot, clicks.into(), since);
                open.push((link, sum));
            });
            (cells.parts.clone(), open)
        };
        for stored in &parts {
            let header = stored.header();
            match known.up_to(header.node) {
                Some(known) if header.to <= known => continue,
                // A part of both cannot be read in half.
                Some(known) if header.from <= known => return Ok(RecentStep::Restart),
                Some(_) | None => {}
            }
            let mut reader = PartRecent::new(stored, since);
            let read = reader.each(workspace, &|| false, each);
            read.inspect_err(|error| self.note(stored, error))?;
            known.add(header.node, header.to);
            // One part in a step, so that a list of another tenant waits for one part at most.
            return Ok(RecentStep::More);
        }
        Ok(RecentStep::Done(open))
    }
}

/// Reads the sums of a workspace in one part.
pub(super) struct PartRecent<'a> {
    stored: &'a Arc<StoredPart>,
    since: TimeSlot,
    chunk: ListChunk,
    /// The number of the chunk that is decoded.
    loaded: Option<usize>,
}

impl<'a> PartRecent<'a> {
    /// Creates a reader that sums clicks from a slot on.
    pub(super) fn new(stored: &'a Arc<StoredPart>, since: TimeSlot) -> PartRecent<'a> {
        PartRecent { stored, since, chunk: ListChunk::default(), loaded: None }
    }

    /// Calls `each` with every link that has a counted click.
    pub(super) fn each(
        &mut self,
        workspace: WorkspaceNumber,
        is_cancelled: &dyn Fn() -> bool,
        each: &mut dyn FnMut(Id, RecentClicks),
    ) -> Result<(), RecentError> {
        let part = &self.stored.part;
        let start_of = |number| part.find(PartList::Links, &link_row(number, Id::from_bits(0)));
        let start = start_of(workspace)?.0;
        // The last workspace has no number behind it.
        let end = match workspace.0.checked_add(1) {
            Some(next) => start_of(WorkspaceNumber(next))?.0,
            None => part.entries(PartList::Links),
        };
        let (links, mut block) = (start..end, CellBlock::default());
        // The link whose cells are being added: those of one link may be in several blocks.
        let mut last: Option<(u32, RecentClicks)> = None;
        // An empty range may lie within a block, which has no cell of the workspace then.
        for at in if links.is_empty() { 0..0 } else { part.blocks_of(&links) } {
            if is_cancelled() {
                return Err(RecentError::TooSlow);
            }
            part.block(at, FIELDS, &mut block)?;
            let [places, slots, clicks] =
                [CellField::Link, CellField::Slot, CellField::Clicks].map(|field| block.column(field));
            let triggers = block.column(CellField::Value(Dimension::Trigger));
            for (((place, slot), clicks), trigger) in places.iter().zip(slots).zip(clicks).zip(triggers) {
                if trigger & COUNTED == 0 || !links.contains(place) {
                    continue;
                }
                if let Some((of, sum)) = last.take_if(|(of, _)| of != place) {
                    each(self.link(of)?, sum);
                }
                let sum = &mut last.get_or_insert((*place, RecentClicks::default())).1;
                sum.add(TimeSlot(*slot), (*clicks).into(), self.since);
            }
        }
        if let Some((of, sum)) = last {
            each(self.link(of)?, sum);
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
