//! Details of clicks: ticks, blocks and parts from a damaged disk.

use std::sync::Arc;

use super::input::Input;
use crate::analytics::block::{CellBlock, CellFields};
use crate::analytics::cell::{COUNTED, CellCounts, CellValues, ClickCell, Dimension, TimeSlot};
use crate::analytics::open::{self, OpenCells};
use crate::analytics::part::header::{PartHeader, PartLevel};
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::{ClickPart, PartList};
use crate::analytics::part::summary::SummaryRule;
use crate::analytics::part::writer::PartWriter;
use crate::analytics::tick::{LinkRow, Tick, WORKSPACE_BYTES};

/// Takes a tick or a block, as the first byte chooses.
pub(super) fn details(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind & 1 == 0 { tick(rest) } else { block(rest) }
}

/// Asserts that the cells of a tick are those that were added, also after another encoding.
fn tick(bytes: &[u8]) {
    let Ok(tick) = Tick::decode(bytes) else { return };
    let mut open = OpenCells::default();
    open.add(&tick);
    let sorted = open.sorted();
    assert_eq!(Tick::decode(&sorted.encode()), Ok(sorted));
}

/// Asserts that a block has as many numbers in each column as it has cells, or is rejected.
fn block(bytes: &[u8]) {
    let mut block = CellBlock::default();
    if block.decode(bytes, CellFields::ALL, TimeSlot(100)).is_ok() {
        // Each reads all columns.
        let cells: Vec<_> = (0..block.len()).map(|at| block.cell(at)).collect();
        assert!(cells.is_sorted_by_key(|cell| cell.link), "differences are not negative");
    }
}

/// Takes the bytes of a part, or clicks and a place of damage, as the first byte chooses.
pub(super) fn parts(data: &[u8]) {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        // Either result is right: a checksum may cover what makes no sense.
        let _ = cells_of(data.get(1..).unwrap_or_default().to_vec());
    } else {
        written_part(&mut input);
    }
}

/// Asserts that a written part has the cells that were written, and that damage is found or changes none of them.
fn written_part(input: &mut Input<'_>) {
    let (place, mask) = (usize::from(input.byte()) << 8 | usize::from(input.byte()), input.byte());
    let tick = clicks(input).sorted();
    let file = Arc::new(Mem::default());
    let header = PartHeader {
        level: PartLevel::Run,
        node: 0,
        log: 7,
        first: TimeSlot(1_000),
        last: TimeSlot(1_255),
        from: 1,
        to: 2,
    };
    // Tables for all scopes of two cells, in place of those with thousands.
    let rule = SummaryRule { cells_min: 2, cells_each: 1 };
    let writer = PartWriter::with_summaries(Arc::clone(&file) as _, &header, rule).expect("memory");
    let bytes = open::write(&tick, writer).expect("memory");
    let written = file.0.lock().clone();
    assert_eq!(written.len() as u64, bytes);
    let cells = cells_of(written.clone()).expect("a whole part");
    assert_eq!(cells, tick.cells);
    let part = ClickPart::open(Arc::new(Mem(written.clone().into()))).expect("a whole part");
    check_tables(&part, &cells);
    let mut damaged = written;
    let at = place % damaged.len();
    damaged[at] ^= mask;
    if let Some(found) = cells_of(damaged) {
        assert_eq!(found, cells, "damage at byte {at} by {mask:#x}");
    }
}

/// Returns cells of the clicks in the input: eight bytes each, so that some agree.
fn clicks(input: &mut Input<'_>) -> OpenCells {
    let mut open = OpenCells::default();
    while !input.is_empty() {
        let mut row: LinkRow = [0; 20];
        (row[3], row[19]) = (input.byte() & 3, input.byte() & 15);
        let slot = TimeSlot(1_000 + u32::from(input.byte()));
        let mut values = CellValues::default();
        values[Dimension::Country as usize] = input.byte().into();
        values[Dimension::Agent as usize] = input.byte().into();
        // Tables have counted clicks only.
        values[Dimension::Trigger as usize] = if row[19] & 1 == 0 { COUNTED } else { 0 };
        // One text in two columns of several bytes.
        let text = input.take(1).repeat(usize::from(input.byte() & 63));
        if !text.is_empty() {
            let number = open.text(&text);
            for dimension in [Dimension::Path, Dimension::Referrer] {
                values[dimension as usize] = dimension.with_text(0, number);
            }
        }
        let link = open.link(&row);
        let clicks = 1 + u32::from(input.byte());
        open.count(link, slot, values, CellCounts { clicks, visitors: 1, workspace_visitors: 0 });
    }
    open
}

/// Returns all cells of a part, `None` if it is rejected.
fn cells_of(bytes: Vec<u8>) -> Option<Vec<ClickCell>> {
    let part = ClickPart::open(Arc::new(Mem(bytes.into()))).ok()?;
    part.check().ok()?;
    // What was checked can be read in every way.
    for list in [PartList::Links, PartList::Texts] {
        let last = part.entries(list).checked_sub(1);
        assert!(last.is_none_or(|last| part.entry(list, last).is_ok()));
    }
    let (mut block, mut cells) = (CellBlock::default(), Vec::new());
    for at in 0..part.blocks() {
        part.block(at, CellFields::ALL, &mut block).expect("it was checked");
        cells.extend((0..block.len()).map(|at| block.cell(at)));
    }
    Some(cells)
}

/// Asserts that the tables of each workspace and link have the clicks of its counted cells.
fn check_tables(part: &ClickPart, cells: &[ClickCell]) {
    let rows: Vec<_> = (0..part.entries(PartList::Links))
        .map(|link| part.entry(PartList::Links, link).expect("it was checked"))
        .collect();
    let mut block = CellBlock::default();
    for scope in rows.iter().flat_map(|row| [&row[..WORKSPACE_BYTES], row]) {
        let is_counted = |cell: &&ClickCell| {
            rows[cell.link as usize].starts_with(scope)
                && cell.values[Dimension::Trigger as usize] & COUNTED != 0
        };
        let clicks = |cell: &ClickCell| u64::from(cell.counts.clicks);
        let want: u64 = cells.iter().filter(is_counted).map(clicks).sum();
        for table in part.tables(scope) {
            let mut found = 0;
            for at in 0..table.blocks.len() {
                part.table_block(table, at, CellFields::ALL, &mut block).expect("it was checked");
                found += (0..block.len()).map(|at| clicks(&block.cell(at))).sum::<u64>();
            }
            assert_eq!(found, want, "{table:?}");
        }
    }
}
