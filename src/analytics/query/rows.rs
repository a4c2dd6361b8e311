//! [`each_row`]: reads cells one by one, and spells their values as answers do: for `export` and `verify`.

use super::columns::key_of;
use super::facet::{Facet, FacetKey};
use super::question::Visits;
use super::segment::{Lists, ScanSegment};
use crate::analytics::block::{CellBlock, CellField, CellFields};
use crate::analytics::cell::{COUNTED, CellCounts, ClickCell, Dimension, NAMED, PREFETCHED, TimeSlot};
use crate::analytics::part::error::PartError;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::tick::{LinkRow, Tick};

/// Bytes of texts that are kept in memory: those of the last rows, which the next ones likely have as well.
const TEXT_BYTES: usize = 8 << 20;

/// What cells are read from.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // Each is named after what has the cells.
pub enum RowSource<'a> {
    Part(&'a ClickPart),
    Tick(&'a Tick),
}

/// A cell with its link.
#[derive(Debug)]
pub struct CellRow<'a, 'segment> {
    cell: ClickCell,
    link: LinkRow,
    lists: &'a mut Lists<'segment>,
}

/// Calls `each` with every cell, sorted by workspace, link and slot. Ends with its first error.
pub fn each_row<E: From<PartError>>(
    source: RowSource<'_>,
    mut each: impl FnMut(&mut CellRow<'_, '_>) -> Result<(), E>,
) -> Result<(), E> {
    let segment = match source {
        RowSource::Part(part) => ScanSegment::Part(part),
        RowSource::Tick(tick) => ScanSegment::Open(tick),
    };
    let mut block = CellBlock::default();
    let all = segment.blocks_of(std::slice::from_ref(&(0..segment.links())));
    let mut lists = Lists::new(segment);
    for at in all.into_iter().flatten() {
        segment.block(at, CellFields::ALL, &mut block)?;
        for cell in (0..block.len()).map(|at| block.cell(at)) {
            if lists.text_bytes() > TEXT_BYTES {
                // Lists keep all texts that were read, and a part can have millions.
                lists = Lists::new(segment);
            }
            let link = lists.link(cell.link)?;
            each(&mut CellRow { cell, link, lists: &mut lists })?;
        }
    }
    Ok(())
}

impl CellRow<'_, '_> {
    /// Returns the workspace and the link.
    pub fn link(&self) -> &LinkRow {
        &self.link
    }

    /// Returns the slot, the first one of an hour or a day if the part has lost precision.
    pub fn slot(&self) -> TimeSlot {
        self.cell.slot
    }

    /// Returns the number of clicks and visitors.
    pub fn counts(&self) -> CellCounts {
        self.cell.counts
    }

    /// Returns the kind of visits. A bot that its link counts is [`Visits::Counted`], and has a [`Facet::Agent`].
    pub fn visits(&self) -> Visits {
        let value = |dimension: Dimension| self.cell.values[dimension as usize];
        let trigger = value(Dimension::Trigger);
        if trigger & COUNTED != 0 {
            Visits::Counted
        } else if value(Dimension::Path) != 0 {
            // Before the bots: a bot that found no link is a miss.
            Visits::Misses
        } else if value(Dimension::Agent) & NAMED != 0 {
            Visits::Bots
        } else if trigger & PREFETCHED != 0 {
            Visits::Prefetches
        } else {
            // No version writes such a cell; it is in no total either way.
            Visits::Misses
        }
    }

    /// Returns the value of a facet. `None` is a UTM parameter that the visitor did not bring: the one of the link counts.
    pub fn key(&mut self, facet: Facet) -> Result<Option<FacetKey>, PartError> {
        let CellField::Value(dimension) = facet.field() else { return Ok(Some(FacetKey::None)) };
        key_of(facet, self.cell.values[dimension as usize], self.lists)
    }
}
