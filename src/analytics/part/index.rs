//! [`Index`]: where the blocks of a part and the chunks of its lists are. It is in memory while the part is open.

use super::error::PartError;
use super::extent::Extent;
use super::summary::{SUMMARIZED, SummaryTable, WIDTHS};
use crate::analytics::column::{read_varint, write_varint};

/// The last bytes of a part.
const TRAILER_BYTES: usize = 8 + 4 + 4 + 4;

// The last byte differs from that of the header, which is therefore never read as a trailer.
const TRAILER_MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'E'];

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Its bytes.
    pub extent: Extent,
    /// The link of its first cell.
    pub link: u32,
    /// The least and the greatest slot of its cells, less the first slot of the part.
    pub slots: (u32, u32),
}

/// Where the chunks of a list are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListIndex {
    /// Number of entries of the list.
    pub entries: u32,
    /// The bytes of each chunk.
    pub extents: Vec<Extent>,
    /// The first entries of all chunks, one behind the other.
    // One buffer in place of a vector for each: a part of a month has thousands of chunks.
    pub firsts: Vec<u8>,
    /// Where each of them ends.
    pub ends: Vec<u32>,
}

impl ListIndex {
    /// Returns the first entry of a chunk.
    pub fn first(&self, chunk: usize) -> &[u8] {
        let start = chunk.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.firsts[start as usize..self.ends[chunk] as usize]
    }

    /// Adds a chunk.
    pub fn push(&mut self, extent: Extent, first: &[u8]) {
        self.extents.push(extent);
        self.firsts.extend_from_slice(first);
        self.ends.push(u32::try_from(self.firsts.len()).expect("the writer bounds its lists"));
    }
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The blocks, in their order.
    pub blocks: Vec<BlockEntry>,
    /// The links.
    pub links: ListIndex,
    /// The texts.
    pub texts: ListIndex,
    /// The tables of large scopes, in the order in which the writer ended their scopes.
    pub tables: Vec<SummaryTable>,
}

impl Index {
    /// Returns the index and the trailer of a file in which they begin at `offset`.
    pub fn encode(&self, offset: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write_varint(&mut out, length(self.blocks.len()));
        let mut extents = ExtentWriter::default();
        let mut link = 0;
        for block in &self.blocks {
            extents.write(&mut out, block.extent);
            // Blocks are sorted by link, so the difference is never negative.
            write_varint(&mut out, block.link - link);
            link = block.link;
            let (first, last) = block.slots;
            write_varint(&mut out, first);
            write_varint(&mut out, last - first);
        }
        for list in [&self.links, &self.texts] {
            write_varint(&mut out, list.entries);
            write_varint(&mut out, length(list.extents.len()));
            // Each list begins with a whole offset, since gaps are those within one kind.
            let mut extents = ExtentWriter::default();
            for (chunk, extent) in list.extents.iter().enumerate() {
                extents.write(&mut out, *extent);
                let first = list.first(chunk);
                write_varint(&mut out, length(first.len()));
                out.extend_from_slice(first);
            }
        }
        self.encode_tables(&mut out);
        let (bytes, crc) = (length(out.len()), crc32c::crc32c(&out));
        // The trailer needs no checksum: a flipped bit contradicts the size, the index or the magic.
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        out
    }

    fn encode_tables(&self, out: &mut Vec<u8>) {
        write_varint(out, length(self.tables.len()));
        for SummaryTable { scope, dimension, width, blocks } in &self.tables {
            write_varint(out, length(scope.len()));
            out.extend_from_slice(scope);
            out.push(*dimension as u8);
            write_varint(out, *width);
            write_varint(out, length(blocks.len()));
            let mut extents = ExtentWriter::default();
            for extent in blocks {
                extents.write(out, *extent);
            }
        }
    }

    /// Returns where the index is in a file that ends with `trailer` and has `size` bytes.
    pub fn extent(trailer: &[u8; Index::TRAILER_BYTES], size: u64) -> Result<Extent, PartError> {
        let number = |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("four bytes"));
        let offset = u64::from_le_bytes(trailer[..8].try_into().expect("eight bytes"));
        let extent = Extent { offset, bytes: number(8), crc: number(12) };
        let end = offset.checked_add(u64::from(extent.bytes));
        // Exactly at the end of the file, so a damaged length allocates at most the size of the file.
        let ends = end.and_then(|end| end.checked_add(TRAILER_BYTES as u64)) == Some(size);
        if trailer[16..] != TRAILER_MAGIC || !ends {
            return Err(PartError::Damaged("it does not end as a part"));
        }
        Ok(extent)
    }

    /// Bytes of the trailer.
    pub const TRAILER_BYTES: usize = TRAILER_BYTES;

    /// Decodes an index whose checksum was compared. That of version 1 has neither the slots of blocks nor tables.
    pub fn decode(mut bytes: &[u8], has_summaries: bool) -> Result<Index, PartError> {
        let bytes = &mut bytes;
        let mut index = Index::default();
        let mut extents = ExtentReader::default();
        let mut link = 0_u32;
        for _ in 0..read_varint(bytes)? {
            let extent = extents.read(bytes)?;
            link = link.checked_add(read_varint(bytes)?).ok_or(DAMAGED)?;
            let slots = if has_summaries { read_slots(bytes)? } else { ANY_SLOT };
            index.blocks.push(BlockEntry { extent, link, slots });
        }
        for list in [&mut index.links, &mut index.texts] {
            list.entries = read_varint(bytes)?;
            let mut extents = ExtentReader::default();
            for _ in 0..read_varint(bytes)? {
                let extent = extents.read(bytes)?;
                let length = read_varint(bytes)? as usize;
                let (first, rest) = bytes.split_at_checked(length).ok_or(DAMAGED)?;
                *bytes = rest;
                list.push(extent, first);
            }
        }
        if has_summaries {
            for _ in 0..read_varint(bytes)? {
                index.tables.push(read_table(bytes)?);
            }
        }
        if bytes.is_empty() { Ok(index) } else { Err(DAMAGED) }
    }
}

const DAMAGED: PartError = PartError::Damaged("its index contradicts itself");

/// The slots of a block of which they are not known.
const ANY_SLOT: (u32, u32) = (0, u32::MAX);

fn read_slots(bytes: &mut &[u8]) -> Result<(u32, u32), PartError> {
    let first = read_varint(bytes)?;
    let last = first.checked_add(read_varint(bytes)?).ok_or(DAMAGED)?;
    Ok((first, last))
}

fn read_table(bytes: &mut &[u8]) -> Result<SummaryTable, PartError> {
    let length = read_varint(bytes)? as usize;
    let (scope, rest) = bytes.split_at_checked(length).ok_or(DAMAGED)?;
    let (number, rest) = rest.split_first().ok_or(DAMAGED)?;
    *bytes = rest;
    let dimension = SUMMARIZED.into_iter().find(|dimension| *dimension as u8 == *number).ok_or(DAMAGED)?;
    // A question divides by the width.
    let width = Some(read_varint(bytes)?).filter(|width| WIDTHS.contains(width)).ok_or(DAMAGED)?;
    let (mut blocks, mut extents) = (Vec::new(), ExtentReader::default());
    for _ in 0..read_varint(bytes)? {
        blocks.push(extents.read(bytes)?);
    }
    Ok(SummaryTable { scope: scope.into(), dimension, width, blocks })
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("the writer bounds its parts")
}

/// Writes extents of one kind, which have the bytes of other kinds between them: the first offset, and then the gaps.
#[derive(Default)]
struct ExtentWriter {
    end: Option<u64>,
}

impl ExtentWriter {
    fn write(&mut self, out: &mut Vec<u8>, extent: Extent) {
        match self.end {
            None => out.extend_from_slice(&extent.offset.to_le_bytes()),
            Some(end) => {
                let gap = extent.offset.checked_sub(end).expect("extents are written in their order");
                write_varint(out, u32::try_from(gap).expect("some blocks are between two chunks of links"));
            }
        }
        self.end = Some(extent.offset + u64::from(extent.bytes));
        write_varint(out, extent.bytes);
        out.extend_from_slice(&extent.crc.to_le_bytes());
    }
}

#[derive(Default)]
struct ExtentReader {
    end: Option<u64>,
}

impl ExtentReader {
    fn read(&mut self, bytes: &mut &[u8]) -> Result<Extent, PartError> {
        let offset = match self.end {
            None => {
                let (offset, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
                *bytes = rest;
                u64::from_le_bytes(*offset)
            }
            Some(end) => end.checked_add(u64::from(read_varint(bytes)?)).ok_or(DAMAGED)?,
        };
        // Not compared with the size of the file: a read behind its end fails.
        let length = read_varint(bytes)?;
        let (crc, rest) = bytes.split_first_chunk().ok_or(DAMAGED)?;
        *bytes = rest;
        self.end = Some(offset.checked_add(u64::from(length)).ok_or(DAMAGED)?);
        Ok(Extent { offset, bytes: length, crc: u32::from_le_bytes(*crc) })
    }
}
