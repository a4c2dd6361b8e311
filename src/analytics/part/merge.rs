//! Merges parts into one: equal cells add up, and slots may become coarser.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeSet, BinaryHeap};
use std::io;

use super::error::PartError;
use super::list::{CHUNK, ListChunk};
use super::reader::{ClickPart, PartList};
use super::writer::PartWriter;
use crate::analytics::block::{CellBlock, CellFields};
use crate::analytics::cell::{CellCounts, CellValues, ClickCell, Dimension, TimeSlot};

/// Why a merge failed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A source cannot be read: its place among the sources, and the reason.
    #[error("source {0}: {1}")]
    Source(usize, PartError),
    /// The caller does not need the merged part any more.
    #[error("stopped")]
    Stopped,
    /// The merged part cannot be written.
    #[error("cannot write the merged part: {0}")]
    Write(#[from] io::Error),
}

/// Cells between two questions whether the merge goes on: some milliseconds.
const CELLS_AT_ONCE: u64 = 65_536;

/// Merges `parts`. `coarser` returns the slot that replaces another one, and keeps their order. Cells of links for
/// which `is_kept` is false are left out, with the texts of those links only. Returns the size of the merged part.
/// Fails with [`MergeError::Stopped`] soon after `is_stopping` returns true.
pub fn merge(
    parts: &[&ClickPart],
    writer: PartWriter,
    coarser: impl Fn(TimeSlot) -> TimeSlot,
    is_kept: impl Fn(&[u8]) -> bool,
    is_stopping: &dyn Fn() -> bool,
) -> Result<u64, MergeError> {
    let mut kept = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        if is_stopping() {
            return Err(MergeError::Stopped);
        }
        kept.push(Kept::of(part, &is_kept).map_err(|error| MergeError::Source(at, error))?);
    }
    // All texts first: cells of two sources are compared by their new numbers.
    let texts = all_texts(parts, &kept)?;
    let mut sources = BinaryHeap::with_capacity(parts.len());
    for (at, (part, kept)) in parts.iter().zip(&kept).enumerate() {
        let source = MergeSource::open(part, kept, &texts).map_err(|error| MergeError::Source(at, error))?;
        if !source.has_ended {
            // In a box: the heap exchanges its entries.
            sources.push(LeastFirst { at, source: Box::new(source) });
        }
    }
    let mut group = LinkGroup { writer, link: Vec::new(), slot: TimeSlot(0), cells: Vec::new() };
    // Cells that are left out count too: a merge that drops all cells must stop as well.
    for count in 0_u64.. {
        if count.is_multiple_of(CELLS_AT_ONCE) && is_stopping() {
            return Err(MergeError::Stopped);
        }
        let Some(mut least) = sources.peek_mut() else { break };
        let source = &mut least.source;
        if source.kept.links[source.cell.link as usize] {
            group.push(&source.link, coarser(source.cell.slot), source.cell.values, source.cell.counts)?;
        }
        if let Err(error) = source.step() {
            return Err(MergeError::Source(least.at, error));
        }
        // Otherwise the heap finds the place of its next cell, mostly the first one again.
        if source.has_ended {
            PeekMut::pop(least);
        }
    }
    group.flush()?;
    Ok(group.writer.finish(texts.iter().map(Vec::as_slice))?)
}

/// What a merge keeps of a part, by the places in its lists.
struct Kept {
    links: Vec<bool>,
    texts: Vec<bool>,
}

impl Kept {
    fn of(part: &ClickPart, is_kept: &impl Fn(&[u8]) -> bool) -> Result<Kept, PartError> {
        let mut links = Vec::with_capacity(part.entries(PartList::Links) as usize);
        part.for_each(PartList::Links, |link| links.push(is_kept(link)))?;
        let mut texts = vec![false; part.entries(PartList::Texts) as usize];
        let mut block = CellBlock::default();
        for at in 0..part.blocks() {
            part.block(at, CellFields::ALL, &mut block)?;
            for cell in (0..block.len()).map(|at| block.cell(at)) {
                let is_kept = links.get(cell.link as usize).ok_or(PartError::Damaged("a link is missing"))?;
                // A text of a deleted link may be what somebody wanted to have deleted.
                for text in cell.texts().filter(|_| *is_kept) {
                    *texts.get_mut(text as usize).ok_or(PartError::Damaged("a text is missing"))? = true;
                }
            }
        }
        Ok(Kept { links, texts })
    }
}

/// Returns the kept texts of all parts, sorted and each once.
fn all_texts(parts: &[&ClickPart], kept: &[Kept]) -> Result<Vec<Vec<u8>>, MergeError> {
    let mut texts = BTreeSet::new();
    for (at, (part, kept)) in parts.iter().zip(kept).enumerate() {
        let mut are_kept = kept.texts.iter();
        let add = |text: &[u8]| {
            // Looked up before the copy: most texts are in several parts.
            if are_kept.next() == Some(&true) && !texts.contains(text) {
                texts.insert(text.to_vec());
            }
        };
        part.for_each(PartList::Texts, add).map_err(|error| MergeError::Source(at, error))?;
    }
    Ok(texts.into_iter().collect())
}

/// The cells of one part, in their order.
struct MergeSource<'a> {
    part: &'a ClickPart,
    kept: &'a Kept,
    /// The new places of its texts.
    texts: Vec<u32>,
    block: CellBlock,
    next_block: usize,
    next_cell: usize,
    /// The current cell, with the new places of its texts.
    cell: ClickCell,
    /// Its entry in the list of links.
    link: Vec<u8>,
    /// The chunk of the list with this entry, and its number. A read of the chunk for each link took two thirds of a
    /// merge of many links with few cells.
    links: ListChunk,
    links_number: Option<usize>,
    has_ended: bool,
}

impl<'a> MergeSource<'a> {
    fn open(part: &'a ClickPart, kept: &'a Kept, texts: &[Vec<u8>]) -> Result<MergeSource<'a>, PartError> {
        let mut places = Vec::with_capacity(part.entries(PartList::Texts) as usize);
        part.for_each(PartList::Texts, |text| {
            // A text that is left out gets the place of its neighbour: its cells are left out as well, and must stay
            // in their order.
            let place =
                texts.binary_search_by(|other| other.as_slice().cmp(text)).unwrap_or_else(|place| place);
            places.push(u32::try_from(place).expect("a part has fewer texts"));
        })?;
        let mut source = MergeSource {
            part,
            kept,
            texts: places,
            block: CellBlock::default(),
            next_block: 0,
            next_cell: 0,
            // No link has this number, so the first step reads the row of its link.
            cell: ClickCell { link: u32::MAX, ..ClickCell::default() },
            link: Vec::new(),
            links: ListChunk::default(),
            links_number: None,
            has_ended: false,
        };
        source.step()?;
        Ok(source)
    }

    /// Goes to the next cell.
    fn step(&mut self) -> Result<(), PartError> {
        // A loop: a block without cells is no error of its reader.
        while self.next_cell == self.block.len() {
            if self.next_block == self.part.blocks() {
                self.has_ended = true;
                return Ok(());
            }
            self.part.block(self.next_block, CellFields::ALL, &mut self.block)?;
            (self.next_block, self.next_cell) = (self.next_block + 1, 0);
        }
        let before = self.cell.link;
        self.cell = self.block.cell(self.next_cell);
        self.next_cell += 1;
        // Cells are sorted by link, so the list is read for each link and not for each cell.
        if self.cell.link != before {
            self.read_link()?;
        }
        // All texts keep their order in the new list, so the cells of a source stay sorted.
        for dimension in Dimension::ALL {
            let value = &mut self.cell.values[dimension as usize];
            if let Some(text) = dimension.text_of(*value) {
                let place = self.texts.get(text as usize).ok_or(PartError::Damaged("a text is missing"))?;
                *value = dimension.with_text(*value, *place);
            }
        }
        Ok(())
    }

    fn read_link(&mut self) -> Result<(), PartError> {
        let (chunk, at) = (self.cell.link as usize / CHUNK, self.cell.link as usize % CHUNK);
        if self.links_number != Some(chunk) {
            self.part.chunk(PartList::Links, chunk, &mut self.links)?;
            self.links_number = Some(chunk);
        }
        let link = self.links.get(at).ok_or(PartError::Damaged("a link is missing"))?;
        self.link.clear();
        self.link.extend_from_slice(link);
        Ok(())
    }

    fn order(&self, other: &MergeSource<'_>) -> Ordering {
        // By the row of the link: the number of a link differs between parts.
        let key = |source: &MergeSource<'_>| (source.cell.slot, source.cell.values);
        self.link.cmp(&other.link).then_with(|| key(self).cmp(&key(other)))
    }
}

/// A source in the heap, which has the one with the least cell first.
struct LeastFirst<'a> {
    /// Its place among the sources.
    at: usize,
    source: Box<MergeSource<'a>>,
}

impl Ord for LeastFirst<'_> {
    fn cmp(&self, other: &LeastFirst<'_>) -> Ordering {
        // Reversed: the heap has the greatest first.
        other.source.order(&self.source)
    }
}

impl PartialOrd for LeastFirst<'_> {
    fn partial_cmp(&self, other: &LeastFirst<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for LeastFirst<'_> {
    fn eq(&self, other: &LeastFirst<'_>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for LeastFirst<'_> {}

/// The cells of one link and slot, which become those of the merged part.
struct LinkGroup {
    writer: PartWriter,
    link: Vec<u8>,
    slot: TimeSlot,
    cells: Vec<(CellValues, CellCounts)>,
}

impl LinkGroup {
    fn push(
        &mut self,
        link: &[u8],
        slot: TimeSlot,
        values: CellValues,
        counts: CellCounts,
    ) -> io::Result<()> {
        // The slot is the coarser one, so several slots of a source form one group.
        if self.link != link || self.slot != slot {
            self.flush()?;
            self.link.clear();
            self.link.extend_from_slice(link);
            self.slot = slot;
        }
        self.cells.push((values, counts));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Sources are sorted by their finer slots, so the values of a coarser slot come in any order.
        self.cells.sort_unstable_by_key(|(values, _)| *values);
        let mut cells = self.cells.drain(..).peekable();
        while let Some((values, mut counts)) = cells.next() {
            while let Some((_, more)) = cells.next_if(|(next, _)| *next == values) {
                counts.add(more);
            }
            self.writer.push(&self.link, self.slot, values, counts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::analytics::cell::NAMED;
    use crate::analytics::part::header::{PartHeader, PartLevel};
    use crate::analytics::part::mem::Mem;

    /// Cells with their texts in place of numbers.
    type Cells = BTreeMap<(u32, TimeSlot, u32, Option<String>), CellCounts>;

    const HEADER: PartHeader = PartHeader {
        level: PartLevel::Run,
        node: 0,
        log: 7,
        first: TimeSlot(96),
        last: TimeSlot(191),
        from: 3,
        to: 900,
    };

    fn add(cells: &mut Cells, link: u32, slot: u32, class: u32, name: Option<u32>, counts: CellCounts) {
        // Names of different lengths, which parts number differently.
        let name = name.map(|name| "name ".repeat(name as usize % 5) + &name.to_string());
        cells.entry((link, TimeSlot(slot), class, name)).or_default().add(counts);
    }

    fn written(cells: &Cells) -> ClickPart {
        let texts: BTreeSet<&str> = cells.keys().filter_map(|(.., name)| name.as_deref()).collect();
        let texts: Vec<_> = texts.into_iter().collect();
        let mut sorted: Vec<_> = cells
            .iter()
            .map(|((link, slot, class, name), counts)| {
                let mut values = [0; Dimension::COUNT];
                values[Dimension::Country as usize] = *class;
                if let Some(name) = name {
                    let place = u32::try_from(texts.binary_search(&name.as_str()).expect("it is there"))
                        .expect("few");
                    let (agent, referrer) = (Dimension::Agent, Dimension::Referrer);
                    values[agent as usize] = agent.with_text(NAMED, place);
                    values[referrer as usize] = referrer.with_text(0, place);
                }
                (*link, *slot, values, *counts)
            })
            .collect();
        sorted.sort_by_key(|(link, slot, values, _)| (*link, *slot, *values));
        let file = Arc::new(Mem::default());
        let mut writer = PartWriter::new(Arc::clone(&file) as _, &HEADER).expect("written");
        for (link, slot, values, counts) in sorted {
            writer.push(&link.to_be_bytes(), slot, values, counts).expect("written");
        }
        writer.finish(texts.iter().map(|text| text.as_bytes())).expect("written");
        ClickPart::open(file).expect("a part")
    }

    fn read_back(part: &ClickPart) -> Cells {
        let (mut cells, mut block) = (Cells::new(), CellBlock::default());
        for at in 0..part.blocks() {
            part.block(at, CellFields::ALL, &mut block).expect("a block");
            for cell in (0..block.len()).map(|at| block.cell(at)) {
                let link = part.entry(PartList::Links, cell.link).expect("a link");
                let link = u32::from_be_bytes(link.try_into().expect("four bytes"));
                let [agent, referrer] = [Dimension::Agent, Dimension::Referrer].map(|dimension| {
                    let text = dimension.text_of(cell.values[dimension as usize])?;
                    Some(
                        String::from_utf8(part.entry(PartList::Texts, text).expect("a text")).expect("UTF-8"),
                    )
                });
                // One text in two dimensions: a merge renumbers both, and keeps the bit of names.
                assert_eq!(agent, referrer);
                let class = cell.values[Dimension::Country as usize];
                let before = cells.insert((link, cell.slot, class, agent), cell.counts);
                assert_eq!(before, None, "a cell is there once");
            }
        }
        cells
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_merge_is_the_sum_of_its_parts(
            rows in proptest::collection::vec(
                (0_usize..4, 0_u32..200, 96_u32..192, 0_u32..3, proptest::option::of(0_u32..40), 1_u32..5), 0..1_500
            ),
            // Quarters of an hour, hours and days: each precision of a part.
            width in prop_oneof![Just(1_u32), Just(4), Just(96)],
        ) {
            let (mut parts, mut sum) = (vec![Cells::new(); 4], Cells::new());
            for (part, link, slot, class, name, clicks) in rows {
                // Different numbers in most rows, so that an exchange of two counts is noticed.
                let counts = CellCounts { clicks, visitors: clicks / 2, workspace_visitors: clicks / 3 };
                add(&mut parts[part], link, slot, class, name, counts);
                // The links that are left out.
                if link % 7 != 0 {
                    add(&mut sum, link, slot / width * width, class, name, counts);
                }
            }
            let parts: Vec<_> = parts.iter().map(written).collect();
            let parts: Vec<_> = parts.iter().collect();
            let file = Arc::new(Mem::default());
            let writer = PartWriter::new(Arc::clone(&file) as _, &HEADER).expect("written");
            let is_kept = |link: &[u8]| u32::from_be_bytes(link.try_into().expect("four bytes")) % 7 != 0;
            let coarser = |slot: TimeSlot| TimeSlot(slot.0 / width * width);
            merge(&parts, writer, coarser, is_kept, &|| false).expect("merged");
            prop_assert_eq!(read_back(&ClickPart::open(file).expect("a part")), sum);
        }
    }
}
