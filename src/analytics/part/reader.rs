//! [`ClickPart`]: an open part. Only its index is in memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::PartError;
use super::extent::Extent;
use super::header::PartHeader;
use super::index::{Index, ListIndex};
use super::list::{CHUNK, Entries, ListChunk};
use super::summary::SummaryTable;
use crate::analytics::block::{CellBlock, CellFields};
use crate::log::local::disk::DiskFile;

/// Largest index that is read: that of a part with a billion cells. Past it, the file is damaged.
const INDEX_MAX: u32 = 64 * 1024 * 1024;

/// The number of parts that this process has opened.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// An open part.
#[derive(Debug)]
pub struct ClickPart {
    /// See [`ClickPart::serial`].
    serial: u64,
    file: Arc<dyn DiskFile>,
    header: PartHeader,
    index: Index,
}

/// One of the two lists of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartList {
    /// Workspace and id of each link.
    Links,
    /// The texts.
    Texts,
}

impl ClickPart {
    /// Opens a part: reads its header and its index.
    pub fn open(file: Arc<dyn DiskFile>) -> Result<ClickPart, PartError> {
        let size = file.size()?;
        let mut first = [0; PartHeader::BYTES];
        let mut trailer = [0; Index::TRAILER_BYTES];
        // Without this bound, the place of the trailer would underflow.
        if size < (first.len() + trailer.len()) as u64 {
            return Err(PartError::Damaged("it is too short"));
        }
        // The header first: a later version may have another trailer and must be named as one.
        read(&*file, &mut first, 0)?;
        let header = PartHeader::decode(&first)?;
        read(&*file, &mut trailer, size - Index::TRAILER_BYTES as u64)?;
        let extent = Index::extent(&trailer, size)?;
        // Before the read, which allocates this number of bytes.
        if extent.bytes > INDEX_MAX {
            return Err(PartError::Damaged("its index is too large"));
        }
        let index = Index::decode(&read_extent(&*file, extent)?, PartHeader::has_summaries(&first))?;
        // Relaxed: only different numbers are needed.
        let serial = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(ClickPart { serial, file, header, index })
    }

    /// Returns a number that no other part has had that this process has opened.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Returns what the part contains.
    pub fn header(&self) -> &PartHeader {
        &self.header
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> usize {
        self.index.blocks.len()
    }

    /// Returns the blocks that may have cells of these links.
    pub fn blocks_of(&self, links: &Range<u32>) -> Range<usize> {
        let blocks = &self.index.blocks;
        // The block before the first that begins behind the first link may have cells of it.
        let start = blocks.partition_point(|block| block.link < links.start).saturating_sub(1);
        let end = blocks.partition_point(|block| block.link < links.end);
        start..end.max(start)
    }

    /// Decodes these fields of a block.
    pub fn block(&self, at: usize, fields: CellFields, block: &mut CellBlock) -> Result<(), PartError> {
        let bytes = read_extent(&*self.file, self.index.blocks[at].extent)?;
        Ok(block.decode(&bytes, fields, self.header.first)?)
    }

    /// Returns whether a block can have cells in this span of slots.
    pub fn has_slots(&self, at: usize, slots: &Range<u32>) -> bool {
        let (first, last) = self.index.blocks[at].slots;
        let from = self.header.first.0;
        // Saturating: a damaged index could name slots that do not exist.
        from.saturating_add(first) < slots.end && slots.start <= from.saturating_add(last)
    }

    /// Returns the tables of a scope: the number of a workspace, or the row of a link.
    pub fn tables(&self, scope: &[u8]) -> impl Iterator<Item = &SummaryTable> {
        self.index.tables.iter().filter(move |table| *table.scope == *scope)
    }

    /// Decodes these fields of a block of a table.
    pub fn table_block(
        &self,
        table: &SummaryTable,
        at: usize,
        fields: CellFields,
        block: &mut CellBlock,
    ) -> Result<(), PartError> {
        let bytes = read_extent(&*self.file, table.blocks[at])?;
        Ok(block.decode(&bytes, fields, self.header.first)?)
    }

    /// Returns the number of entries of a list.
    pub fn entries(&self, list: PartList) -> u32 {
        self.list(list).entries
    }

    /// Returns an entry of a list.
    pub fn entry(&self, list: PartList, at: u32) -> Result<Vec<u8>, PartError> {
        let index = self.list(list);
        // All chunks but the last one are full, so the place follows without a search.
        let chunk = at as usize / CHUNK;
        let extent = index.extents.get(chunk).ok_or(PartError::Damaged("a list is too short"))?;
        let bytes = read_extent(&*self.file, *extent)?;
        let mut entries = Entries::new(&bytes);
        // An entry is a difference to the one before, so all before it in the chunk are decoded.
        for _ in 0..at as usize % CHUNK {
            entries.take_next()?;
        }
        entries.take_next()?.map(<[u8]>::to_vec).ok_or(PartError::Damaged("a list is too short"))
    }

    /// Decodes the chunk of a list that begins with the entry `number` times [`CHUNK`].
    pub fn chunk(&self, list: PartList, number: usize, chunk: &mut ListChunk) -> Result<(), PartError> {
        let extents = &self.list(list).extents;
        let extent = extents.get(number).ok_or(PartError::Damaged("a list is too short"))?;
        let bytes = read_extent(&*self.file, *extent)?;
        let mut entries = Entries::new(&bytes);
        chunk.clear();
        while let Some(entry) = entries.take_next()? {
            chunk.push(entry);
        }
        Ok(())
    }

    /// Returns the place of the first entry of a list that sorts at or behind `entry`, and whether it is equal.
    pub fn find(&self, list: PartList, entry: &[u8]) -> Result<(u32, bool), PartError> {
        let index = self.list(list);
        let chunks = index.extents.len();
        // The last chunk whose first entry sorts at or before `entry`.
        let behind = partition_point(chunks, |chunk| index.first(chunk) <= entry);
        let Some(chunk) = behind.checked_sub(1) else { return Ok((0, false)) };
        let bytes = read_extent(&*self.file, index.extents[chunk])?;
        let mut entries = Entries::new(&bytes);
        let mut at = u32::try_from(chunk * CHUNK).map_err(|_| PartError::Damaged("a list is too long"))?;
        while let Some(found) = entries.take_next()? {
            if found >= entry {
                return Ok((at, found == entry));
            }
            at += 1;
        }
        // Behind the last entry of its chunk: the place is that of the first entry of the next chunk.
        Ok((at, false))
    }

    /// Returns the places of sorted entries in a list, `None` for one that the list does not have. Reads each chunk at
    /// most once.
    pub fn find_all(
        &self,
        list: PartList,
        entries: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Option<u32>>, PartError> {
        let index = self.list(list);
        let (mut chunk, mut loaded) = (ListChunk::default(), None);
        let mut find = |entry: &[u8]| -> Result<Option<u32>, PartError> {
            let behind = partition_point(index.extents.len(), |chunk| index.first(chunk) <= entry);
            let Some(number) = behind.checked_sub(1) else { return Ok(None) };
            // Sorted entries come to each chunk in one run.
            if loaded != Some(number) {
                self.chunk(list, number, &mut chunk)?;
                loaded = Some(number);
            }
            let at = partition_point(chunk.entries(), |at| chunk.get(at).is_some_and(|other| other < entry));
            let is_there = chunk.get(at) == Some(entry);
            let too_long = |_| PartError::Damaged("a list is too long");
            is_there.then(|| u32::try_from(number * CHUNK + at).map_err(too_long)).transpose()
        };
        entries.iter().map(|entry| find(entry.as_ref())).collect()
    }

    /// Calls `each` with all entries of a list, in their order.
    pub fn for_each(&self, list: PartList, mut each: impl FnMut(&[u8])) -> Result<(), PartError> {
        for extent in &self.list(list).extents {
            let bytes = read_extent(&*self.file, *extent)?;
            let mut entries = Entries::new(&bytes);
            while let Some(entry) = entries.take_next()? {
                each(entry);
            }
        }
        Ok(())
    }

    /// Reads the whole part. Fails if a byte is damaged, or a cell has no link or no text.
    pub fn check(&self) -> Result<(), PartError> {
        for list in [PartList::Links, PartList::Texts] {
            let mut count = 0;
            self.for_each(list, |_| count += 1)?;
            // Checksums detect damage, so only a fault of the writer can be found here.
            if count != self.entries(list) {
                return Err(PartError::Damaged("a list has another number of entries"));
            }
        }
        let (links, texts) = (self.entries(PartList::Links), self.entries(PartList::Texts));
        let mut block = CellBlock::default();
        for at in 0..self.blocks() {
            self.block(at, CellFields::ALL, &mut block)?;
            let mut cells = (0..block.len()).map(|at| block.cell(at));
            if !cells.all(|cell| cell.link < links && cell.knows(texts as usize)) {
                return Err(PartError::Damaged("a cell has no link or no text"));
            }
        }
        for table in &self.index.tables {
            for at in 0..table.blocks.len() {
                self.table_block(table, at, CellFields::ALL, &mut block)?;
                if !(0..block.len()).all(|at| block.cell(at).knows(texts as usize)) {
                    return Err(PartError::Damaged("a summary has no text"));
                }
            }
        }
        Ok(())
    }

    fn list(&self, list: PartList) -> &ListIndex {
        match list {
            PartList::Links => &self.index.links,
            PartList::Texts => &self.index.texts,
        }
    }
}

/// Returns the first number below `count` for which `is_before` is false.
fn partition_point(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    // The first entries are in one buffer, so there is no slice with a `partition_point`.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn read_extent(file: &dyn DiskFile, extent: Extent) -> Result<Vec<u8>, PartError> {
    let mut bytes = vec![0; extent.bytes as usize];
    read(file, &mut bytes, extent.offset)?;
    // Before any use of the bytes: a wrong number that decodes would be a wrong answer.
    if crc32c::crc32c(&bytes) != extent.crc {
        return Err(PartError::Damaged("a checksum differs"));
    }
    Ok(bytes)
}

fn read(file: &dyn DiskFile, mut buffer: &mut [u8], mut offset: u64) -> Result<(), PartError> {
    while !buffer.is_empty() {
        let count = file.read_at(buffer, offset)?;
        if count == 0 {
            return Err(PartError::Damaged("it is cut"));
        }
        buffer = &mut buffer[count..];
        offset += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::analytics::cell::{CellCounts, CellValues, Dimension, TimeSlot};
    use crate::analytics::part::header::PartLevel;
    use crate::analytics::part::mem::Mem;
    use crate::analytics::part::merge::merge;
    use crate::analytics::part::writer::PartWriter;

    type Cells = BTreeMap<(Vec<u8>, TimeSlot, CellValues), CellCounts>;

    const HEADER: PartHeader = PartHeader {
        level: PartLevel::Day,
        node: 0,
        log: 7,
        first: TimeSlot(96),
        last: TimeSlot(191),
        from: 3,
        to: 900,
    };

    fn cells(rows: impl IntoIterator<Item = (u32, u32, u32)>) -> Cells {
        let mut cells = Cells::new();
        for (link, slot, value) in rows {
            let mut values = [0; Dimension::COUNT];
            values[Dimension::Country as usize] = value;
            let counts = CellCounts { clicks: 1, visitors: value % 2, workspace_visitors: 0 };
            // Big-endian, so that the order of the bytes is that of the numbers.
            cells.entry((link.to_be_bytes().to_vec(), TimeSlot(96 + slot), values)).or_default().add(counts);
        }
        cells
    }

    fn written(cells: &Cells, texts: &BTreeSet<Vec<u8>>) -> Arc<Mem> {
        let file = Arc::new(Mem::default());
        let mut writer = PartWriter::new(Arc::clone(&file) as _, &HEADER).expect("written");
        for ((link, slot, values), counts) in cells {
            writer.push(link, *slot, *values, *counts).expect("written");
        }
        let size = writer.finish(texts.iter().map(Vec::as_slice)).expect("written");
        assert_eq!(size, file.size().expect("a size"));
        file
    }

    /// Returns the cells of some links of a part.
    fn read_back(part: &ClickPart, links: Range<u32>) -> Result<Cells, PartError> {
        let (mut found, mut block) = (Cells::new(), CellBlock::default());
        for at in part.blocks_of(&links) {
            part.block(at, CellFields::ALL, &mut block)?;
            for cell in (0..block.len()).map(|at| block.cell(at)).filter(|cell| links.contains(&cell.link)) {
                let link = part.entry(PartList::Links, cell.link)?;
                found.insert((link, cell.slot, cell.values), cell.counts);
            }
        }
        Ok(found)
    }

    proptest! {
        // Each writes and reads thousands of cells.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_part_returns_its_cells_links_and_texts(
            // Up to three blocks of cells and five chunks of links.
            rows in proptest::collection::vec((0_u32..600, 0_u32..96, 0_u32..9), 0..6_000),
            // Few and small bytes, so that many entries begin with another entry.
            texts in proptest::collection::btree_set(proptest::collection::vec(0_u8..4, 0..6), 0..400),
        ) {
            let cells = cells(rows);
            let part = ClickPart::open(written(&cells, &texts)).expect("a part");
            prop_assert_eq!(part.header(), &HEADER);
            let links: BTreeSet<_> = cells.keys().map(|(link, ..)| link.clone()).collect();
            for (list, entries) in [(PartList::Links, &links), (PartList::Texts, &texts)] {
                prop_assert_eq!(part.entries(list) as usize, entries.len());
                let mut all = Vec::new();
                part.for_each(list, |entry| all.push(entry.to_vec())).expect("a list");
                prop_assert!(all.iter().eq(entries));
                for (at, entry) in (0..).zip(entries) {
                    prop_assert_eq!(part.find(list, entry).expect("a list"), (at, true));
                    prop_assert_eq!(&part.entry(list, at).expect("a list"), entry);
                    // The least entry that sorts behind this one, so it has the next place.
                    let behind = [&entry[..], &[0]].concat();
                    prop_assert_eq!(part.find(list, &behind).expect("a list").0, at + 1);
                }
            }
            prop_assert_eq!(&read_back(&part, 0..u32::MAX).expect("cells"), &cells);
            // Both ends, and both sides of a change of the second byte. A link may have no cell.
            for link in [0, 1, 255, 256, 599_u32] {
                let row = link.to_be_bytes();
                let (at, is_there) = part.find(PartList::Links, &row).expect("a list");
                let of_link: Cells =
                    cells.iter().filter(|((of, ..), _)| *of == row).map(|(key, counts)| (key.clone(), *counts)).collect();
                prop_assert_eq!(is_there, !of_link.is_empty());
                let found = if is_there { read_back(&part, at..at + 1).expect("cells") } else { Cells::new() };
                prop_assert_eq!(found, of_link);
            }
        }
    }

    /// A part of version 1: seven visits of three links.
    const VERSION_1: &str = "f557ff4101000000d6c57a8669397267344c06b275dff816fe721e00fe721e00\
        02000000000000000700000000000000edae4b9d070501020001600300010003\
        000100030001000c8101a12b18aa2e8180808008050102000204050102000302\
        0b020300e5c801eeca0194000781010851100009030001000300010003000101\
        05010201001505010200010a0014000000000000d113f979d0764b1b50d1b54e\
        ce820a0ad7e9b926c8a287527db2080cfa98fb4deca82e0cc4fbb4b50009476f\
        6f676c65626f7400106e6577732e6578616d706c652e636f6d04066c65747465\
        7201340000000000000058f85740a30003018c0000000000000030cdb366a314\
        000000000000d113f979d0764b1b50d1b54ece820301bc000000000000002553\
        024cf309476f6f676c65626f74e1000000000000004c00000045ca36aff557ff\
        45";

    /// The same in the present version: the example of docs/format.md.
    const VERSION_2: &str = "f557ff4102000000d6c57a8669397267344c06b275dff816fe721e00fe721e00\
        02000000000000000700000000000000acc2b83d070501020001600300010003\
        000100030001000c8101a12b18aa2e8180808008050102000204050102000302\
        0b020300e5c801eeca0194000781010851100009030001000300010003000101\
        05010201001505010200010a0014000000000000d113f979d0764b1b50d1b54e\
        ce820a0ad7e9b926c8a287527db2080cfa98fb4deca82e0cc4fbb4b50009476f\
        6f676c65626f7400106e6577732e6578616d706c652e636f6d04066c65747465\
        7201340000000000000058f85740a300000003018c0000000000000030cdb366\
        a314000000000000d113f979d0764b1b50d1b54ece820301bc00000000000000\
        2553024cf309476f6f676c65626f7400e1000000000000004f000000e3070ebe\
        f557ff45";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let pairs = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits"));
        pairs.collect()
    }

    #[test]
    fn a_part_of_version_1_is_read_and_merged() {
        let bytes = hex(VERSION_1);
        assert_eq!(bytes.len(), 0x141);
        let part = ClickPart::open(Arc::new(Mem(bytes.into()))).expect("a part");
        part.check().expect("every byte decodes");
        let cells = read_back(&part, 0..u32::MAX).expect("cells");
        assert_eq!((cells.len(), part.entries(PartList::Texts)), (7, 3));
        let slot = part.header().first.0;
        // Any span can have cells of its blocks, since it does not know their slots.
        assert!(part.has_slots(0, &(slot..slot + 1)) && part.has_slots(0, &(slot + 9..slot + 10)));
        let file = Arc::new(Mem::default());
        let writer = PartWriter::new(Arc::clone(&file) as _, part.header()).expect("written");
        merge(&[&part], writer, |slot| slot, |_| true, &|| false).expect("merged");
        assert_eq!(*file.0.lock(), hex(VERSION_2));
        let merged = ClickPart::open(file).expect("a part");
        assert_eq!(read_back(&merged, 0..u32::MAX).expect("cells"), cells);
        // A part of the present version knows them.
        assert!(merged.has_slots(0, &(slot..slot + 1)) && !merged.has_slots(0, &(slot + 1..slot + 9)));
    }

    #[test]
    fn a_flipped_bit_is_never_read_as_data() {
        let cells = cells((0..300).map(|n| (n % 40, n % 96, n % 7)));
        // Two chunks of texts, so that the index has a gap between two extents.
        let texts = (0..200_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let file = written(&cells, &texts);
        let bytes = file.0.lock().clone();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let file = Arc::new(Mem(damaged.into()));
            let Ok(part) = ClickPart::open(file) else { continue };
            // Cells with their links, and then the texts, are all other bytes.
            let read = read_back(&part, 0..u32::MAX);
            let mut listed = BTreeSet::new();
            let texts_read = part.for_each(PartList::Texts, |text| {
                listed.insert(text.to_vec());
            });
            let is_seen = read.is_err() || texts_read.is_err();
            assert!(is_seen, "byte {at} of {}", bytes.len());
        }
        for length in 0..bytes.len() {
            assert!(ClickPart::open(Arc::new(Mem(bytes[..length].to_vec().into()))).is_err(), "{length}");
        }
    }
}
