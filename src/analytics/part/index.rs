//! [`Index`]: where the blocks of a part and the chunks of its lists are. It is in memory while the part is open.

use super::error::PartError;
use crate::analytics::column::{read_varint, write_varint};

/// The last bytes of a part.
const TRAILER_BYTES: usize = 8 + 4 + 4 + 4;

// The last byte differs from that of the header, which is therefore never read as a trailer.
const TRAILER_MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'E'];

/// Where some bytes of the file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// From the start of the file.
    pub offset: u64,
    /// Their number.
    pub bytes: u32,
    /// Their CRC-32C.
    pub crc: u32,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Its bytes.
    pub extent: Extent,
    /// The link of its first cell.
    pub link: u32,
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
        let (bytes, crc) = (length(out.len()), crc32c::crc32c(&out));
        // The trailer needs no checksum: a flipped bit contradicts the size, the index or the magic.
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        out
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

    /// Decodes an index whose checksum was compared.
    pub fn decode(mut bytes: &[u8]) -> Result<Index, PartError> {
        let bytes = &mut bytes;
        let mut index = Index::default();
        let mut extents = ExtentReader::default();
        let mut link = 0_u32;
        for _ in 0..read_varint(bytes)? {
            let extent = extents.read(bytes)?;
            link = link.checked_add(read_varint(bytes)?).ok_or(DAMAGED)?;
            index.blocks.push(BlockEntry { extent, link });
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
        if bytes.is_empty() { Ok(index) } else { Err(DAMAGED) }
    }
}

const DAMAGED: PartError = PartError::Damaged("its index contradicts itself");

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
