//! A part: one immutable file with the sorted cells of a span of time.
//!
//! 1. The header: [`PartHeader`](header::PartHeader).
//! 2. Blocks of cells ([`crate::analytics::block`]), sorted by link, slot and values.
//! 3. Tables that sum up the cells of large scopes: [`summary`]. They are between the blocks.
//! 4. The list of links and that of texts ([`list`]): the numbers in cells are places in them.
//! 5. The index: where each block and each chunk of a list is, its checksum, and its first entry.
//! 6. The trailer: where the index is, and its checksum.
//!
//! Every byte is under a checksum, and every checksum is compared before the bytes are used. A part is written under a
//! temporary name, synced and renamed, so a file with the name of a part is whole unless the disk damaged it.

pub mod error;
pub mod extent;
pub mod header;
pub mod index;
pub mod list;
#[cfg(any(test, fuzzing))]
pub(crate) mod mem;
pub mod merge;
pub mod reader;
pub mod summary;
pub mod writer;
