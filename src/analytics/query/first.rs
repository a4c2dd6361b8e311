//! [`first_slot`]: when the clicks of some links begin, for questions about all of their time.

use std::ops::Range;

use super::error::QueryError;
use super::question::LinkScope;
use super::scan::CellSource;
use super::segment::ScanSegment;
use crate::analytics::block::{CellBlock, CellField, CellFields};
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;

/// Returns the first slot of the links of a scope, `None` if they have none before `before`. Only parts that begin earlier
/// are read.
pub fn first_slot(
    source: &CellSource<'_>,
    scope: &LinkScope,
    before: TimeSlot,
) -> Result<Option<TimeSlot>, QueryError> {
    let parts = source.parts.iter().map(|part| ScanSegment::Part(part));
    // Lowered by each part, so that later ones are read for earlier slots only.
    let mut first = before.0;
    for (at, segment) in parts.chain([ScanSegment::Open(source.open)]).enumerate() {
        if segment.slots().start < first {
            let found = first_of(segment, scope, first, source.is_cancelled);
            first = found.map_err(|error| QueryError::Part(at, error))?.ok_or(QueryError::TooSlow)?;
        }
    }
    Ok((first < before.0).then_some(TimeSlot(first)))
}

/// Returns the first slot in a segment, or `first` without an earlier one; `None` if the read was cancelled.
fn first_of(
    segment: ScanSegment<'_>,
    scope: &LinkScope,
    mut first: u32,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Option<u32>, PartError> {
    let links = segment.links_of(scope)?;
    let mut block = CellBlock::default();
    for at in segment.blocks_of(&links).into_iter().flatten() {
        if !segment.has_slots(at, &(0..first)) {
            continue;
        }
        if is_cancelled() {
            return Ok(None);
        }
        // Also visits that do not count: a span that begins a little early changes no number.
        segment.block(at, CellFields::BASE, &mut block)?;
        let cells = block.column(CellField::Link).iter().zip(block.column(CellField::Slot));
        let earlier = cells.filter(|(link, slot)| **slot < first && has(&links, **link));
        first = earlier.map(|(_, slot)| *slot).min().unwrap_or(first);
    }
    Ok(Some(first))
}

/// Returns whether one of sorted ranges has a link.
fn has(links: &[Range<u32>], link: u32) -> bool {
    let at = links.partition_point(|range| range.end <= link);
    links.get(at).is_some_and(|range| range.contains(&link))
}
