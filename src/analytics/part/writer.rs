//! [`PartWriter`]: writes a part from its sorted cells, with one block and one chunk in memory.

use std::io;
use std::sync::Arc;

use super::extent::Extent;
use super::header::PartHeader;
use super::index::{BlockEntry, Index, ListIndex};
use super::list::{CHUNK, write_entry};
use super::summary::{Summarizer, SummaryRule, SummaryTable};
use crate::analytics::block::{self, CELLS_MAX};
use crate::analytics::cell::{CellCounts, CellValues, ClickCell, TimeSlot};
use crate::analytics::tick::WORKSPACE_BYTES;
use crate::log::local::disk::DiskFile;

/// Writes one part.
#[derive(Debug)]
pub struct PartWriter {
    file: Arc<dyn DiskFile>,
    offset: u64,
    first: TimeSlot,
    cells: Vec<ClickCell>,
    links: ListWriter,
    blocks: Vec<BlockEntry>,
    /// The cells of the current workspace, and those of the current link.
    scopes: [Summarizer; 2],
    tables: Vec<SummaryTable>,
}

impl PartWriter {
    /// Begins a part in an empty file.
    pub fn new(file: Arc<dyn DiskFile>, header: &PartHeader) -> io::Result<PartWriter> {
        PartWriter::with_summaries(file, header, SummaryRule::default())
    }

    /// Like [`PartWriter::new`], with another rule for tables.
    pub fn with_summaries(
        file: Arc<dyn DiskFile>,
        header: &PartHeader,
        rule: SummaryRule,
    ) -> io::Result<PartWriter> {
        let bytes = header.encode();
        file.write_all_at(&bytes, 0)?;
        Ok(PartWriter {
            file,
            offset: bytes.len() as u64,
            first: header.first,
            cells: Vec::with_capacity(CELLS_MAX),
            links: ListWriter::default(),
            blocks: Vec::new(),
            scopes: [(), ()].map(|()| Summarizer::new(rule, header.first, header.last)),
            tables: Vec::new(),
        })
    }

    /// Adds a cell. Cells come sorted by link, slot and values, without two that agree in all three.
    pub fn push(
        &mut self,
        link: &[u8],
        slot: TimeSlot,
        values: CellValues,
        counts: CellCounts,
    ) -> io::Result<()> {
        // The first link differs from the empty `last`, so the list has an entry before the first cell.
        if self.links.last != link {
            let chunk = self.links.push(link);
            // At once, between two blocks: the list of a million links is never in memory.
            self.write_chunk(chunk)?;
            self.end_scopes(link)?;
        }
        self.scopes.iter_mut().for_each(|scope| scope.add(slot, values, counts));
        self.cells.push(ClickCell { link: self.links.index.entries - 1, slot, values, counts });
        if self.cells.len() == CELLS_MAX { self.write_block() } else { Ok(()) }
    }

    /// Ends the part with its sorted texts, and makes it durable.
    pub fn finish<'a>(mut self, texts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<u64> {
        self.write_block()?;
        // No link is empty, so both scopes end.
        self.end_scopes(&[])?;
        let chunk = self.links.take();
        self.write_chunk(chunk)?;
        let mut index = Index {
            blocks: std::mem::take(&mut self.blocks),
            links: std::mem::take(&mut self.links).index,
            texts: ListIndex::default(),
            tables: std::mem::take(&mut self.tables),
        };
        for text in texts {
            let chunk = self.links.push(text);
            self.write_chunk(chunk)?;
        }
        let chunk = self.links.take();
        self.write_chunk(chunk)?;
        index.texts = std::mem::take(&mut self.links.index);
        // Behind everything: a file that a crash has cut has no trailer and is no part.
        let bytes = index.encode(self.offset);
        self.file.write_all_at(&bytes, self.offset)?;
        // The caller renames the file next, and the name must not be durable before the bytes.
        self.file.sync_data()?;
        Ok(self.offset + bytes.len() as u64)
    }

    fn write_block(&mut self) -> io::Result<()> {
        // A block without cells is never written: a merge takes the first cell of each block.
        let Some(cell) = self.cells.first() else { return Ok(()) };
        let link = cell.link;
        let offset = |cell: &ClickCell| cell.slot.0 - self.first.0;
        let least = self.cells.iter().map(offset).min().unwrap_or_default();
        let slots = (least, self.cells.iter().map(offset).max().unwrap_or_default());
        let cells = std::mem::take(&mut self.cells);
        let extent = self.write_cells(&cells)?;
        self.blocks.push(BlockEntry { extent, link, slots });
        self.cells = cells;
        self.cells.clear();
        Ok(())
    }

    fn write_cells(&mut self, cells: &[ClickCell]) -> io::Result<Extent> {
        let mut bytes = Vec::new();
        block::encode(cells, self.first, &mut bytes);
        self.write(&bytes)
    }

    /// Writes the tables of the scopes that end before `link`.
    fn end_scopes(&mut self, link: &[u8]) -> io::Result<()> {
        for (at, bytes) in [WORKSPACE_BYTES, link.len()].into_iter().enumerate() {
            let scope = link.get(..bytes).unwrap_or_default();
            if self.scopes[at].is_of(scope) {
                continue;
            }
            // Taken out, since its cells are written by this writer.
            let empty = Summarizer::new(SummaryRule::default(), self.first, self.first);
            let mut summarizer = std::mem::replace(&mut self.scopes[at], empty);
            let tables = summarizer.end(scope, |cells| self.write_cells(cells))?;
            self.scopes[at] = summarizer;
            self.tables.extend(tables);
        }
        Ok(())
    }

    fn write_chunk(&mut self, chunk: Option<FullChunk>) -> io::Result<()> {
        if let Some(chunk) = chunk {
            let extent = self.write(&chunk.bytes)?;
            self.links.index.push(extent, &chunk.first);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        self.file.write_all_at(bytes, self.offset)?;
        let length = u32::try_from(bytes.len()).expect("a block has some 10 KB");
        let extent = Extent { offset: self.offset, bytes: length, crc: crc32c::crc32c(bytes) };
        self.offset += bytes.len() as u64;
        Ok(extent)
    }
}

/// A full chunk of a list.
#[derive(Debug)]
struct FullChunk {
    first: Vec<u8>,
    bytes: Vec<u8>,
}

/// Collects the entries of a list into chunks.
#[derive(Debug, Default)]
struct ListWriter {
    index: ListIndex,
    first: Vec<u8>,
    last: Vec<u8>,
    bytes: Vec<u8>,
}

impl ListWriter {
    /// Adds an entry, which sorts behind all others. Returns the chunk before it if that is full.
    fn push(&mut self, entry: &[u8]) -> Option<FullChunk> {
        debug_assert!(self.index.entries == 0 || *self.last < *entry, "sorted, and each once");
        // When the next entry comes, and not with the last one: a list never ends with an empty chunk.
        let full = if (self.index.entries as usize).is_multiple_of(CHUNK) { self.take() } else { None };
        if self.bytes.is_empty() {
            self.first = entry.to_vec();
            // A chunk is read alone, so its first entry shares nothing with the chunk before.
            self.last.clear();
        }
        write_entry(&mut self.bytes, &self.last, entry);
        self.last.clear();
        self.last.extend_from_slice(entry);
        self.index.entries += 1;
        full
    }

    /// Returns the entries that are in no chunk yet.
    fn take(&mut self) -> Option<FullChunk> {
        let bytes = std::mem::take(&mut self.bytes);
        (!bytes.is_empty()).then(|| FullChunk { first: std::mem::take(&mut self.first), bytes })
    }
}
