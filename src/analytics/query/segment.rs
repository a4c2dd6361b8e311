//! [`ScanSegment`]: a part or the open cells, read in the same way.

use std::ops::Range;

use super::question::{LinkScope, push_range};
use crate::analytics::block::{CELLS_MAX, CellBlock, CellFields};
use crate::analytics::part::error::PartError;
use crate::analytics::part::list::{CHUNK, ListChunk};
use crate::analytics::part::reader::{ClickPart, PartList};
use crate::analytics::tick::{LINK_BYTES, LinkRow, Tick};

/// Most links that are searched one by one, each by a read of a chunk. More are found by one walk over the list.
const SEARCHED_MAX: usize = 64;

/// A part or the open cells.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScanSegment<'a> {
    Part(&'a ClickPart),
    Open(&'a Tick),
}

impl ScanSegment<'_> {
    /// Returns the slots that its cells can have.
    pub(super) fn slots(self) -> Range<u32> {
        match self {
            ScanSegment::Part(part) => part.header().first.0..part.header().last.0.saturating_add(1),
            ScanSegment::Open(tick) => {
                let mut slots = tick.cells.iter().map(|cell| cell.slot.0);
                let Some(first) = slots.next() else { return 0..0 };
                let (first, last) = slots.fold((first, first), |(a, b), slot| (a.min(slot), b.max(slot)));
                first..last.saturating_add(1)
            }
        }
    }

    /// Returns the number of links.
    pub(super) fn links(self) -> u32 {
        match self {
            ScanSegment::Part(part) => part.entries(PartList::Links),
            ScanSegment::Open(tick) => u32::try_from(tick.links.len()).expect("open cells are bounded"),
        }
    }

    /// Returns sorted links as ranges of their numbers, by one walk over the whole list.
    fn walk(self, links: &[LinkRow]) -> Result<Vec<Range<u32>>, PartError> {
        let (mut ranges, mut wanted, mut at) = (Vec::new(), links.iter().peekable(), 0_u32);
        let mut see = |row: &[u8]| {
            while wanted.next_if(|link| link.as_slice() < row).is_some() {}
            if wanted.next_if(|link| link.as_slice() == row).is_some() {
                push_range(&mut ranges, at..at + 1);
            }
            at += 1;
        };
        match self {
            ScanSegment::Part(part) => part.for_each(PartList::Links, see)?,
            ScanSegment::Open(tick) => tick.links.iter().for_each(|row| see(row)),
        }
        Ok(ranges)
    }

    /// Returns the links of a scope as sorted ranges of their numbers.
    pub(super) fn links_of(self, scope: &LinkScope) -> Result<Vec<Range<u32>>, PartError> {
        let mut ranges = Vec::new();
        if let LinkScope::Links(links) = scope {
            if links.len() > SEARCHED_MAX {
                return self.walk(links);
            }
            for link in links {
                // A link without cells here has an empty range, which is left out.
                let (at, is_there) = self.find(link)?;
                push_range(&mut ranges, at..at + u32::from(is_there));
            }
            return Ok(ranges);
        }
        for (first, end) in scope.rows() {
            // The place is also right if the part does not have the row itself.
            let end = match end {
                Some(end) => self.find(&end)?.0,
                None => self.links(),
            };
            // Nothing is before the first row, so a question about all links reads no list.
            let start = if first == [0; LINK_BYTES] { 0 } else { self.find(&first)?.0 };
            push_range(&mut ranges, start..end);
        }
        Ok(ranges)
    }

    fn find(self, row: &LinkRow) -> Result<(u32, bool), PartError> {
        match self {
            ScanSegment::Part(part) => part.find(PartList::Links, row),
            ScanSegment::Open(tick) => {
                let (at, is_there) = match tick.links.binary_search(row) {
                    Ok(at) => (at, true),
                    Err(at) => (at, false),
                };
                Ok((u32::try_from(at).expect("open cells are bounded"), is_there))
            }
        }
    }

    /// Returns the blocks that can have cells of these sorted ranges of links, as sorted ranges.
    pub(super) fn blocks_of(self, links: &[Range<u32>]) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        // Two ranges can share a block, which must be read and counted once.
        for range in links {
            push_range(
                &mut blocks,
                match self {
                    ScanSegment::Part(part) => part.blocks_of(range),
                    ScanSegment::Open(tick) => {
                        // Open cells have no blocks, so blocks of the same size are made of them.
                        let cells = |link| tick.cells.partition_point(|cell| cell.link < link);
                        cells(range.start) / CELLS_MAX..cells(range.end).div_ceil(CELLS_MAX)
                    }
                },
            );
        }
        blocks
    }

    /// Returns whether a block can have cells in this span of slots.
    pub(super) fn has_slots(self, at: usize, slots: &Range<u32>) -> bool {
        match self {
            ScanSegment::Part(part) => part.has_slots(at, slots),
            // Open cells are few, and in no order of time.
            ScanSegment::Open(_) => true,
        }
    }

    /// Decodes these fields of a block.
    pub(super) fn block(self, at: usize, fields: CellFields, block: &mut CellBlock) -> Result<(), PartError> {
        match self {
            ScanSegment::Part(part) => part.block(at, fields, block),
            ScanSegment::Open(tick) => {
                let cells = tick.cells.get(at * CELLS_MAX..).unwrap_or_default();
                block.copy(&cells[..cells.len().min(CELLS_MAX)], fields);
                Ok(())
            }
        }
    }

    fn chunk(self, list: PartList, number: usize, chunk: &mut ListChunk) -> Result<(), PartError> {
        let tick = match self {
            ScanSegment::Part(part) => return part.chunk(list, number, chunk),
            ScanSegment::Open(tick) => tick,
        };
        chunk.clear();
        let start = number * CHUNK;
        match list {
            PartList::Links => tick.links.iter().skip(start).take(CHUNK).for_each(|link| chunk.push(link)),
            PartList::Texts => tick.texts.iter().skip(start).take(CHUNK).for_each(|text| chunk.push(text)),
        }
        Ok(())
    }
}

/// The lists of a segment. Chunks are decoded when an entry of them is needed.
#[derive(Debug)]
pub(super) struct Lists<'a> {
    segment: ScanSegment<'a>,
    /// Chunks of texts by their number. Texts are read in any order, so all chunks stay.
    texts: Vec<Option<ListChunk>>,
    /// Bytes of these chunks.
    text_bytes: usize,
    /// One chunk of links, and its number. Links are read in their order.
    links: ListChunk,
    links_number: Option<usize>,
}

impl<'a> Lists<'a> {
    /// Creates the lists of a segment, and reads nothing.
    pub(super) fn new(segment: ScanSegment<'a>) -> Lists<'a> {
        Lists { segment, texts: Vec::new(), text_bytes: 0, links: ListChunk::default(), links_number: None }
    }

    /// Returns a text by its number.
    pub(super) fn text(&mut self, number: u32) -> Result<&[u8], PartError> {
        let chunk = number as usize / CHUNK;
        if self.texts.len() <= chunk {
            // A number of a damaged block must not allocate memory.
            if let ScanSegment::Part(part) = self.segment
                && number >= part.entries(PartList::Texts)
            {
                return Err(PartError::Damaged("a text is missing"));
            }
            // Empty places only: a question about one link needs few chunks of a long list.
            self.texts.resize_with(chunk + 1, || None);
        }
        let slot = &mut self.texts[chunk];
        if slot.is_none() {
            let mut decoded = ListChunk::default();
            self.segment.chunk(PartList::Texts, chunk, &mut decoded)?;
            self.text_bytes += decoded.bytes();
            *slot = Some(decoded);
        }
        let text = slot.as_ref().and_then(|chunk| chunk.get(number as usize % CHUNK));
        text.ok_or(PartError::Damaged("a text is missing"))
    }

    /// Returns the bytes of the texts in memory.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Returns the row of a link by its number.
    pub(super) fn link(&mut self, number: u32) -> Result<LinkRow, PartError> {
        let chunk = number as usize / CHUNK;
        if self.links_number != Some(chunk) {
            // After a failed read, the chunk in memory is not the one of any number.
            self.links_number = None;
            self.segment.chunk(PartList::Links, chunk, &mut self.links)?;
            self.links_number = Some(chunk);
        }
        let row = self.links.get(number as usize % CHUNK).and_then(|row| row.try_into().ok());
        row.ok_or(PartError::Damaged("a link is missing"))
    }
}
