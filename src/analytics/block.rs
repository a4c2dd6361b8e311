//! A block: up to [`CELLS_MAX`] cells of a part, column by column, so that a question reads only the columns that it
//! names.
//!
//! 1. The number of cells as a varint.
//! 2. For each field in the order of [`CellField::ALL`]: the number of bytes of its column as a varint, and the column.
//!
//! Two columns have differences, which are small since cells are sorted: `Link` that to the cell before, and `TimeSlot` that
//! to the cell before if it is of the same link, and to the first slot of the part otherwise. The first cell of a block
//! counts as the first of its link.

use crate::analytics::cell::{CellCounts, ClickCell, Dimension, TimeSlot};
use crate::analytics::column::{self, BadColumn, read_varint, write_varint};

/// Most cells of a block. Larger blocks take less space and more time for a question about one link.
pub const CELLS_MAX: usize = 2_048;

/// A field of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellField {
    /// [`ClickCell::link`].
    Link,
    /// [`ClickCell::slot`].
    Slot,
    /// One of [`ClickCell::values`].
    Value(Dimension),
    /// [`CellCounts::clicks`].
    Clicks,
    /// [`CellCounts::visitors`].
    Visitors,
    /// [`CellCounts::workspace_visitors`].
    WorkspaceVisitors,
}

impl CellField {
    /// Number of fields.
    pub const COUNT: usize = Dimension::COUNT + 5;

    /// All fields, in the order of their columns.
    pub const ALL: [CellField; CellField::COUNT] = {
        let mut all = [CellField::Link; CellField::COUNT];
        all[1] = CellField::Slot;
        let mut at = 0;
        while at < Dimension::COUNT {
            all[2 + at] = CellField::Value(Dimension::ALL[at]);
            at += 1;
        }
        all[2 + at] = CellField::Clicks;
        all[3 + at] = CellField::Visitors;
        all[4 + at] = CellField::WorkspaceVisitors;
        all
    };

    /// Returns its place in [`CellField::ALL`].
    pub const fn column(self) -> usize {
        match self {
            CellField::Link => 0,
            CellField::Slot => 1,
            CellField::Value(dimension) => 2 + dimension as usize,
            CellField::Clicks => 2 + Dimension::COUNT,
            CellField::Visitors => 3 + Dimension::COUNT,
            CellField::WorkspaceVisitors => 4 + Dimension::COUNT,
        }
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellFields(u16);

impl CellFields {
    /// All fields.
    pub const ALL: CellFields = CellFields((1 << CellField::COUNT) - 1);

    /// The fields of every question: those that find and count.
    pub const BASE: CellFields =
        CellFields::NONE.with(CellField::Link).with(CellField::Slot).with(CellField::Clicks);

    /// No field.
    pub const NONE: CellFields = CellFields(0);

    /// Returns the set with one more field.
    #[must_use]
    pub const fn with(self, field: CellField) -> CellFields {
        CellFields(self.0 | 1 << field.column())
    }

    fn has(self, column: usize) -> bool {
        self.0 & 1 << column != 0
    }
}

/// Appends a block of sorted cells.
pub fn encode(cells: &[ClickCell], first: TimeSlot, out: &mut Vec<u8>) {
    // Differences of cells that are not sorted would be negative.
    debug_assert!(cells.len() <= CELLS_MAX && cells.is_sorted_by_key(ClickCell::key));
    write_varint(out, u32::try_from(cells.len()).expect("at most 2,048"));
    let (mut numbers, mut bytes) = (Vec::with_capacity(cells.len()), Vec::new());
    // Field by field, so that a decoder skips a column by its length.
    for field in CellField::ALL {
        numbers.clear();
        let mut before: Option<&ClickCell> = None;
        for cell in cells {
            numbers.push(number(field, cell, before, first));
            before = Some(cell);
        }
        bytes.clear();
        column::encode(&numbers, &mut bytes);
        write_varint(out, u32::try_from(bytes.len()).expect("some 10 KB at most"));
        out.extend_from_slice(&bytes);
    }
}

fn number(field: CellField, cell: &ClickCell, before: Option<&ClickCell>, first: TimeSlot) -> u32 {
    match field {
        CellField::Link => cell.link - before.map_or(0, |before| before.link),
        CellField::Slot => {
            // Another link may begin with an earlier slot, so its first slot is relative to the part.
            let from = before.filter(|before| before.link == cell.link).map_or(first, |before| before.slot);
            cell.slot.0 - from.0
        }
        _ => of_cell(field, cell),
    }
}

fn of_cell(field: CellField, cell: &ClickCell) -> u32 {
    match field {
        CellField::Link => cell.link,
        CellField::Slot => cell.slot.0,
        CellField::Value(dimension) => cell.values[dimension as usize],
        CellField::Clicks => cell.counts.clicks,
        CellField::Visitors => cell.counts.visitors,
        CellField::WorkspaceVisitors => cell.counts.workspace_visitors,
    }
}

/// The decoded columns of a block. Kept from block to block for its memory.
#[derive(Debug, Default)]
pub struct CellBlock {
    cells: usize,
    columns: [Vec<u32>; CellField::COUNT],
}

impl CellBlock {
    /// Decodes these fields of a block, which must end with `bytes`. The other columns are empty.
    pub fn decode(&mut self, mut bytes: &[u8], fields: CellFields, first: TimeSlot) -> Result<(), BadColumn> {
        self.cells = read_varint(&mut bytes)? as usize;
        // A column of equal numbers is short for any count, so a damaged count could allocate gigabytes.
        if self.cells > CELLS_MAX {
            return Err(BadColumn);
        }
        for (column, numbers) in self.columns.iter_mut().enumerate() {
            let length = read_varint(&mut bytes)? as usize;
            let (encoded, rest) = bytes.split_at_checked(length).ok_or(BadColumn)?;
            bytes = rest;
            numbers.clear();
            // A column that is not needed costs only its length.
            if fields.has(column) {
                column::decode(encoded, self.cells, numbers)?;
            }
        }
        // Bytes behind the last column mean that a length is wrong.
        if !bytes.is_empty() {
            return Err(BadColumn);
        }
        self.sum(fields, first)
    }

    /// Replaces the differences by their sums.
    fn sum(&mut self, fields: CellFields, first: TimeSlot) -> Result<(), BadColumn> {
        // Slots are differences within a link, so they have no sums without the links.
        debug_assert!(!fields.has(CellField::Slot.column()) || fields.has(CellField::Link.column()));
        let [links, slots, ..] = &mut self.columns;
        let mut link = 0_u32;
        for number in links.iter_mut() {
            // A wrapped sum would be the number of another link.
            link = link.checked_add(*number).ok_or(BadColumn)?;
            *number = link;
        }
        let (mut before, mut slot) = (None, first.0);
        for (number, link) in slots.iter_mut().zip(links) {
            let from = if before == Some(*link) { slot } else { first.0 };
            slot = from.checked_add(*number).ok_or(BadColumn)?;
            (*number, before) = (slot, Some(*link));
        }
        Ok(())
    }

    /// Replaces the block by these fields of some cells. The other columns are empty.
    pub fn copy(&mut self, cells: &[ClickCell], fields: CellFields) {
        self.cells = cells.len();
        for (field, numbers) in CellField::ALL.into_iter().zip(&mut self.columns) {
            // Numbers of the block before must not remain in a column that is not copied.
            numbers.clear();
            if fields.has(field.column()) {
                numbers.extend(cells.iter().map(|cell| of_cell(field, cell)));
            }
        }
    }

    /// Returns the number of cells.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Returns whether the block has no cells.
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// Returns the numbers of a field, which is one of the decoded ones.
    pub fn column(&self, field: CellField) -> &[u32] {
        &self.columns[field.column()]
    }

    /// Returns a cell of a block of which all fields were decoded.
    pub fn cell(&self, at: usize) -> ClickCell {
        let of = |field: CellField| self.column(field)[at];
        ClickCell {
            link: of(CellField::Link),
            slot: TimeSlot(of(CellField::Slot)),
            values: Dimension::ALL.map(|dimension| of(CellField::Value(dimension))),
            counts: CellCounts {
                clicks: of(CellField::Clicks),
                visitors: of(CellField::Visitors),
                workspace_visitors: of(CellField::WorkspaceVisitors),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(link: u32, slot: u32, value: u32) -> ClickCell {
        let mut values = [0; Dimension::COUNT];
        values[Dimension::Referrer as usize] = value;
        // Counts depend on the value, so an exchange of two columns is noticed.
        let counts = CellCounts { clicks: 1 + value % 3, visitors: value % 2, workspace_visitors: 0 };
        ClickCell { link, slot: TimeSlot(slot), values, counts }
    }

    fn encoded(cells: &[ClickCell], first: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(cells, TimeSlot(first), &mut bytes);
        bytes
    }

    #[test]
    fn the_columns_of_fields_are_at_their_places() {
        for (at, field) in CellField::ALL.into_iter().enumerate() {
            assert_eq!(field.column(), at, "{field:?}");
        }
        for (at, dimension) in Dimension::ALL.into_iter().enumerate() {
            assert_eq!(dimension as usize, at, "{dimension:?}");
        }
    }

    #[test]
    fn only_the_asked_columns_are_decoded() {
        // The second link has an earlier slot than the cell before it.
        let cells = [cell(3, 100, 7), cell(3, 104, 8), cell(9, 101, 7)];
        let bytes = encoded(&cells, 100);
        let mut block = CellBlock::default();
        block.decode(&bytes, CellFields::BASE, TimeSlot(100)).expect("a block");
        assert_eq!(block.column(CellField::Link), [3, 3, 9]);
        assert_eq!(block.column(CellField::Slot), [100, 104, 101]);
        assert_eq!(block.column(CellField::Clicks), [2, 3, 2]);
        assert!(block.column(CellField::Value(Dimension::Referrer)).is_empty());
    }

    #[test]
    fn bytes_that_are_no_block_are_rejected() {
        let bytes = encoded(&[cell(3, 100, 7), cell(9, 101, 7)], 100);
        let mut block = CellBlock::default();
        // Also a cut between two columns, where every column so far is whole.
        for length in 0..bytes.len() {
            assert!(block.decode(&bytes[..length], CellFields::ALL, TimeSlot(100)).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(block.decode(&longer, CellFields::ALL, TimeSlot(100)).is_err());
        // 4,096 cells, and a slot past the last one.
        assert!(block.decode(&[0x80, 0x20], CellFields::ALL, TimeSlot(100)).is_err());
        assert!(block.decode(&bytes, CellFields::ALL, TimeSlot(u32::MAX)).is_err());
    }

    proptest! {
        #[test]
        fn a_block_returns_its_cells(
            rows in proptest::collection::btree_set((0_u32..9, 50_u32..3_000, 0_u32..50), 0..300)
        ) {
            let cells: Vec<_> = rows.iter().map(|(link, slot, value)| cell(*link, *slot, *value)).collect();
            let mut block = CellBlock::default();
            prop_assert_eq!(block.decode(&encoded(&cells, 50), CellFields::ALL, TimeSlot(50)), Ok(()));
            let returned: Vec<_> = (0..block.len()).map(|at| block.cell(at)).collect();
            prop_assert_eq!(returned, cells);
        }
    }
}
