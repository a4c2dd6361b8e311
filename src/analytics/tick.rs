//! [`Tick`]: the cells of one drain of the counters, as the log has them beside the click totals.
//!
//! 1. The version, a byte.
//! 2. The first slot, four bytes, little-endian.
//! 3. The links, as many as a varint says: workspace and id, 20 bytes each, sorted.
//! 4. The texts, as many as a varint says: each with its length in front as a varint, sorted.
//! 5. Blocks of cells ([`crate::analytics::block`]), each with its length in front as a varint.

use crate::analytics::block::{self, CELLS_MAX, CellBlock, CellFields};
use crate::analytics::cell::{ClickCell, Dimension, TimeSlot};
use crate::analytics::column::{BadColumn, read_varint, write_varint};
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::workspace::WorkspaceNumber;

/// The only version so far.
const VERSION: u8 = 1;

/// Bytes of a link: the number of its workspace and its id, big-endian, so that rows sort as their numbers do.
pub const LINK_BYTES: usize = WORKSPACE_BYTES + 16;

/// Bytes of a link's workspace, the first ones of its row.
pub const WORKSPACE_BYTES: usize = 4;

/// The longest text, in bytes: a host name has at most 253.
pub const TEXT_MAX: usize = 253;

/// A workspace and a link of it.
pub type LinkRow = [u8; LINK_BYTES];

/// Returns the row of a link.
pub fn link_row(workspace: WorkspaceNumber, link: Id) -> LinkRow {
    let mut row = [0; LINK_BYTES];
    let (of_workspace, of_link) = row.split_at_mut(WORKSPACE_BYTES);
    of_workspace.copy_from_slice(&workspace.0.to_be_bytes());
    of_link.copy_from_slice(&link.bits().to_be_bytes());
    row
}

/// Returns workspace and link of a row, `None` if it has another length.
pub fn parse_link_row(row: &[u8]) -> Option<(WorkspaceNumber, Id)> {
    let (workspace, link) = row.split_first_chunk()?;
    let link = u128::from_be_bytes(link.try_into().ok()?);
    Some((WorkspaceNumber(u32::from_be_bytes(*workspace)), Id::from_bits(link)))
}

/// Returns the domain of a row that stands for its visits without a link, `None` for a link: the id of a link has its time
/// in the upper bytes, and the number of a domain has four bytes.
pub fn domain_of_row(row: &[u8]) -> Option<DomainNumber> {
    let (_, link) = parse_link_row(row)?;
    u32::try_from(link.bits()).ok().map(DomainNumber)
}

/// The cells of one drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// The links, sorted and each once. [`ClickCell::link`] is a place in them.
    pub links: Vec<LinkRow>,
    /// The texts, sorted and each once.
    pub texts: Vec<Box<[u8]>>,
    /// The cells, sorted, no two of which agree in link, slot and values.
    pub cells: Vec<ClickCell>,
}

impl Tick {
    /// Returns ticks with the same cells, each of which has at most `bytes` encoded, or one cell.
    pub fn pieces(self, bytes: usize) -> Vec<Tick> {
        // A cell alone has a few texts of at most 253 bytes, so a tick of one cell is small enough.
        if self.cells.len() < 2 || self.bytes_max() <= bytes {
            return vec![self];
        }
        // Halves of the cells: the bytes of a cell are not known, since it shares texts with others.
        let middle = self.cells.len() / 2;
        let halves = [self.part(&self.cells[..middle]), self.part(&self.cells[middle..])];
        halves.into_iter().flat_map(|half| half.pieces(bytes)).collect()
    }

    /// Returns an upper bound of the encoded bytes: the lists, and columns in which each number takes five bytes.
    fn bytes_max(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + 2).sum();
        // A varint has at most five bytes. The heads of more blocks fit into what small numbers leave free.
        64 + LINK_BYTES * self.links.len() + texts + 5 * (Dimension::COUNT + 5) * self.cells.len()
    }

    /// Returns a tick of some of its cells, with the links and texts of those only.
    fn part(&self, cells: &[ClickCell]) -> Tick {
        let (mut links, mut texts) = (vec![false; self.links.len()], vec![false; self.texts.len()]);
        for cell in cells {
            links[cell.link as usize] = true;
            cell.texts().for_each(|text| texts[text as usize] = true);
        }
        let (links, link_places) = kept(&self.links, &links);
        let (texts, text_places) = kept(&self.texts, &texts);
        // The cells stay sorted, since the kept entries keep their order.
        let renumbered = cells.iter().map(|cell| {
            let mut cell = ClickCell { link: link_places[cell.link as usize], ..*cell };
            cell.renumber(&text_places);
            cell
        });
        Tick { cells: renumbered.collect(), links, texts }
    }

    /// Returns the encoded tick.
    pub fn encode(&self) -> Vec<u8> {
        // A block subtracts the first slot from every slot, so no slot may be smaller.
        let first = self.cells.iter().map(|cell| cell.slot).min().unwrap_or_default();
        let mut out = vec![VERSION];
        out.extend_from_slice(&first.0.to_le_bytes());
        write_varint(&mut out, length(self.links.len()));
        for link in &self.links {
            out.extend_from_slice(link);
        }
        write_varint(&mut out, length(self.texts.len()));
        for text in &self.texts {
            write_varint(&mut out, length(text.len()));
            out.extend_from_slice(text);
        }
        let mut bytes = Vec::new();
        for cells in self.cells.chunks(CELLS_MAX) {
            bytes.clear();
            block::encode(cells, first, &mut bytes);
            write_varint(&mut out, length(bytes.len()));
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// Decodes a tick, which must end with `bytes`.
    pub fn decode(mut bytes: &[u8]) -> Result<Tick, BadColumn> {
        let bytes = &mut bytes;
        if take(bytes, 1)? != [VERSION] {
            return Err(BadColumn);
        }
        let first = TimeSlot(u32::from_le_bytes(take(bytes, 4)?.try_into().expect("four bytes")));
        let mut tick = Tick::default();
        // Without a reserved capacity: a damaged count must not allocate memory.
        for _ in 0..read_varint(bytes)? {
            tick.links.push(take(bytes, LINK_BYTES)?.try_into().expect("its length"));
        }
        for _ in 0..read_varint(bytes)? {
            let length = read_varint(bytes)? as usize;
            tick.texts.push(take(bytes, length)?.into());
        }
        let mut block = CellBlock::default();
        while !bytes.is_empty() {
            let length = read_varint(bytes)? as usize;
            block.decode(take(bytes, length)?, CellFields::ALL, first)?;
            tick.cells.extend((0..block.len()).map(|at| block.cell(at)));
        }
        // `OpenCells::add` indexes the lists by these numbers, without a check.
        let is_known =
            |cell: &ClickCell| (cell.link as usize) < tick.links.len() && cell.knows(tick.texts.len());
        if tick.cells.iter().all(is_known) { Ok(tick) } else { Err(BadColumn) }
    }
}

/// Returns the kept entries of a list, and the new places of those.
fn kept<T: Clone>(list: &[T], is_kept: &[bool]) -> (Vec<T>, Vec<u32>) {
    let (mut entries, mut places) = (Vec::new(), Vec::with_capacity(list.len()));
    for (entry, is_kept) in list.iter().zip(is_kept) {
        // An entry that is not kept has the place of the next one, which no cell uses.
        places.push(length(entries.len()));
        entries.extend(is_kept.then(|| entry.clone()));
    }
    (entries, places)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], BadColumn> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(BadColumn)?;
    *bytes = rest;
    Ok(taken)
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("a tick has at most 1 MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_domains_are_told_from_those_of_links() {
        let row = |id: u128| link_row(WorkspaceNumber(7), Id::from_bits(id));
        assert_eq!(domain_of_row(&row(0)), Some(DomainNumber::DEFAULT));
        assert_eq!(domain_of_row(&row(u32::MAX.into())), Some(DomainNumber(u32::MAX)));
        // The first id that a clock of this century gives.
        let link: Id = "0N8j3XJizQZNje4m70Rs".parse().expect("an id");
        assert_eq!(domain_of_row(&link_row(WorkspaceNumber(7), link)), None);
        assert_eq!(domain_of_row(&row(1 << 32)), None);
        assert_eq!(domain_of_row(b"short"), None);
    }
}
