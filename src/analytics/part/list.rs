//! A list of a part: byte strings, sorted and different, in chunks. A number in a cell is the place of an entry.
//!
//! An entry is the number of bytes that it shares with the entry before it in its chunk, the number of its other bytes,
//! both as varints, and these bytes.

use super::error::PartError;
use crate::analytics::column::{read_varint, write_varint};

/// Entries of a chunk. A look-up reads one chunk: some 2 KB of links.
pub const CHUNK: usize = 128;

/// Appends an entry to a chunk, behind `before`, which is empty at the start of a chunk.
pub fn write_entry(out: &mut Vec<u8>, before: &[u8], entry: &[u8]) {
    // Sorted neighbours share much: links their workspace, places their country.
    let shared = before.iter().zip(entry).take_while(|(a, b)| a == b).count();
    let rest = &entry[shared..];
    write_varint(out, u32::try_from(shared).expect("entries are short"));
    write_varint(out, u32::try_from(rest.len()).expect("entries are short"));
    out.extend_from_slice(rest);
}

/// The decoded entries of a chunk. Kept from chunk to chunk for its memory.
#[derive(Debug, Default)]
pub struct ListChunk {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ListChunk {
    /// Removes all entries.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        self.ends.push(self.bytes.len());
    }

    /// Returns the number of entries.
    pub fn entries(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// Returns an entry by its place in the chunk.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }
}

/// Iterates over the entries of a chunk.
#[derive(Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    // The entry before, of which the next one repeats the start.
    entry: Vec<u8>,
}

impl<'a> Entries<'a> {
    /// Creates an iterator over the bytes of a chunk.
    pub fn new(bytes: &'a [u8]) -> Entries<'a> {
        Entries { bytes, entry: Vec::new() }
    }

    /// Returns the next entry, `None` at the end.
    pub fn take_next(&mut self) -> Result<Option<&[u8]>, PartError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let shared = read_varint(&mut self.bytes)? as usize;
        let length = read_varint(&mut self.bytes)? as usize;
        let damaged = PartError::Damaged("a list contradicts itself");
        let (rest, bytes) = self.bytes.split_at_checked(length).ok_or(damaged)?;
        // A truncation to a larger length does nothing, and the result would be another entry.
        if shared > self.entry.len() {
            return Err(PartError::Damaged("a list contradicts itself"));
        }
        self.bytes = bytes;
        self.entry.truncate(shared);
        self.entry.extend_from_slice(rest);
        Ok(Some(&self.entry))
    }
}
