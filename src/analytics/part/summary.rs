//! Summaries of a part: the clicks of one workspace or one link by time and one dimension, so that a question about it
//! does not read each cell.
//!
//! A table has the counted clicks of a scope by slot and by one dimension. It is exact: the sums of a table are those of
//! the scope's cells. Its slots are quarters of an hour, hours or days of UTC, the finest that make the table much
//! shorter than the cells of the scope. Only scopes with many cells have tables: others are read faster than that.

use ahash::AHashMap;

use super::extent::Extent;
use crate::analytics::block::CELLS_MAX;
use crate::analytics::cell::{COUNTED, CellCounts, CellValues, ClickCell, Dimension, TimeSlot};

/// The dimensions that have tables. A campaign depends on the link as well, and a path is of no counted click.
pub const SUMMARIZED: [Dimension; 7] = {
    use Dimension::{Agent, Choice, Country, Language, Place, Referrer, Trigger};
    [Country, Place, Agent, Referrer, Language, Trigger, Choice]
};

/// Lengths of the slots of a table, in slots: a quarter of an hour, an hour, a day. Each is a multiple of the one before.
pub const WIDTHS: [u32; 3] = [1, 4, DAY];

/// Slots of a day of UTC.
const DAY: u32 = 96;

/// Most counts of the tables of a scope while they are collected: 12 MB. A link and its workspace are two scopes.
// Countries by hours of a month are 160,000, and 20,000 sites by days are 600,000.
const COUNTS_MAX: usize = 1_000_000;

/// Which scopes get tables.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRule {
    /// Cells of a scope from which on it has tables.
    pub cells_min: usize,
    /// Cells of the scope for each count of a table, at least.
    pub cells_each: usize,
}

impl Default for SummaryRule {
    fn default() -> SummaryRule {
        // A scan of 65,536 cells takes a millisecond for each column. Tables of an eighth of the cells take less than a
        // tenth of the part.
        SummaryRule { cells_min: 65_536, cells_each: 8 }
    }
}

/// Where a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryTable {
    /// The start of the rows of the scope's links: the number of a workspace, or a whole row.
    pub scope: Box<[u8]>,
    /// The dimension of its values. All other values of its cells are 0.
    pub dimension: Dimension,
    /// Length of its slots, one of [`WIDTHS`]. The slot of a cell is a multiple of it, or the first one of the part.
    pub width: u32,
    /// Its blocks. Cells are sorted by slot and value, and all have link 0.
    pub blocks: Vec<Extent>,
}

/// Collects the tables of one scope at a time. Cells of a scope come one after another.
#[derive(Debug)]
pub(super) struct Summarizer {
    rule: SummaryRule,
    first: TimeSlot,
    last: TimeSlot,
    scope: Vec<u8>,
    /// The cells of a scope that has no more than [`SummaryRule::cells_min`] so far.
    // Most scopes end before, and tables for them would be created in vain.
    waiting: Vec<(TimeSlot, CellValues, CellCounts)>,
    cells: usize,
    tables: Vec<TableSums>,
}

impl Summarizer {
    pub(super) fn new(rule: SummaryRule, first: TimeSlot, last: TimeSlot) -> Summarizer {
        let (scope, waiting, tables) = (Vec::new(), Vec::new(), Vec::new());
        Summarizer { rule, first, last, scope, waiting, cells: 0, tables }
    }

    /// Returns whether the cells so far are of this scope. A new summarizer has the empty scope.
    pub(super) fn is_of(&self, scope: &[u8]) -> bool {
        self.scope == scope
    }

    /// Adds a cell of the scope.
    pub(super) fn add(&mut self, slot: TimeSlot, values: CellValues, counts: CellCounts) {
        if values[Dimension::Trigger as usize] & COUNTED == 0 {
            return;
        }
        self.cells += 1;
        if self.cells < self.rule.cells_min {
            self.waiting.push((slot, values, counts));
            return;
        }
        if self.tables.is_empty() {
            let new = |dimension| TableSums::new(dimension, self.first, self.last);
            self.tables = SUMMARIZED.into_iter().map(new).collect();
            for (slot, values, counts) in std::mem::take(&mut self.waiting) {
                self.sum(slot, values, counts);
            }
        }
        self.sum(slot, values, counts);
    }

    fn sum(&mut self, slot: TimeSlot, values: CellValues, counts: CellCounts) {
        let mut has_grown = false;
        let offset = slot.0 - self.first.0 / DAY * DAY;
        // By constants and once for all tables: a merge adds each cell to fourteen.
        let places = WIDTHS.map(|width| offset / width);
        for table in self.tables.iter_mut().filter(|table| table.width != 0) {
            has_grown |= table.add(&places, values, counts);
        }
        // A new value is rare, and only with one does a table grow.
        while has_grown && self.tables.iter().map(|table| table.counts.len()).sum::<usize>() > COUNTS_MAX {
            // The largest one that can get longer slots: the others keep what they have. Only when all have those of
            // days, one is given up.
            let largest = self
                .tables
                .iter_mut()
                .max_by_key(|table| ((1..DAY).contains(&table.width), table.counts.len()));
            let Some(largest) = largest else { return };
            largest.coarsen();
        }
    }

    /// Ends the scope and begins another one. `write` gets each table and its cells, and returns where it wrote them.
    pub(super) fn end<E>(
        &mut self,
        next: &[u8],
        mut write: impl FnMut(&[ClickCell]) -> Result<Extent, E>,
    ) -> Result<Vec<SummaryTable>, E> {
        let scope = std::mem::replace(&mut self.scope, next.to_vec());
        let most = std::mem::take(&mut self.cells) / self.rule.cells_each.max(1);
        self.waiting.clear();
        let mut written = Vec::new();
        for mut table in std::mem::take(&mut self.tables) {
            // A table that is too long becomes shorter with longer slots, or is left out.
            while table.width != 0 && table.len() > most {
                table.coarsen();
            }
            // The counts of a cell stay at their maximum, and a table must have the sums of the cells.
            if table.width != 0 && table.counts.iter().all(|counts| counts.clicks != u32::MAX) {
                let blocks = table.blocks(&mut write)?;
                written.push(SummaryTable {
                    scope: scope.as_slice().into(),
                    dimension: table.dimension,
                    width: table.width,
                    blocks,
                });
            }
        }
        Ok(written)
    }
}

/// The counts of a table while it is collected: for each value a row with a count for each slot.
// An array and no map: one addition for each cell and dimension, without a hash of slot and value.
#[derive(Debug)]
struct TableSums {
    dimension: Dimension,
    /// Length of a slot, 0 once the table was given up.
    width: u32,
    /// The place of `width` in [`WIDTHS`], and the number of slots of a row.
    // Kept, since each cell needs both: a division for each table would be the dearest part of a merge.
    precision: usize,
    slots: usize,
    /// The first slot of the part, and the start of its day.
    first: TimeSlot,
    start: u32,
    end: u32,
    values: Vec<u32>,
    rows: AHashMap<u32, usize>,
    /// The value of the last cell and its row: neighbours often agree.
    recent: Option<(u32, usize)>,
    counts: Vec<CellCounts>,
}

/// Returns the number of slots of this length from `start` to `end`.
fn slots(start: u32, end: u32, width: u32) -> usize {
    ((end - start) / width + 1) as usize
}

impl TableSums {
    fn new(dimension: Dimension, first: TimeSlot, last: TimeSlot) -> TableSums {
        let (width, start) = (WIDTHS[0], first.0 / DAY * DAY);
        TableSums {
            dimension,
            width,
            precision: 0,
            slots: slots(start, last.0, width),
            first,
            start,
            end: last.0,
            values: Vec::new(),
            rows: AHashMap::new(),
            recent: None,
            counts: Vec::new(),
        }
    }

    /// Adds a cell. `places` has the place of its slot in a row, for each of [`WIDTHS`]. Returns whether its value is new,
    /// for which the table has grown.
    fn add(&mut self, places: &[u32; WIDTHS.len()], values: CellValues, counts: CellCounts) -> bool {
        let (value, before) = (values[self.dimension as usize], self.counts.len());
        let row = match self.recent {
            Some((recent, row)) if recent == value => row,
            _ => self.row(value),
        };
        self.recent = Some((value, row));
        self.counts[row * self.slots + places[self.precision] as usize].add(counts);
        self.counts.len() != before
    }

    fn row(&mut self, value: u32) -> usize {
        if let Some(row) = self.rows.get(&value) {
            return *row;
        }
        let row = self.values.len();
        self.values.push(value);
        self.rows.insert(value, row);
        let more = self.slots;
        if self.counts.capacity() < self.counts.len() + more {
            // By an eighth and not to the double, since the tables of a month are the largest memory of a merge.
            self.counts.reserve_exact(more.max(self.counts.len() / 8));
        }
        self.counts.resize(self.counts.len() + more, CellCounts::default());
        row
    }

    /// Makes the slots longer, or gives the table up.
    fn coarsen(&mut self) {
        let before = self.slots;
        let Some((precision, width)) = (0..).zip(WIDTHS).find(|(_, width)| *width > self.width) else {
            *self = TableSums { width: 0, ..TableSums::new(self.dimension, self.first, TimeSlot(self.end)) };
            return;
        };
        let together = (width / self.width) as usize;
        (self.width, self.precision, self.slots) = (width, precision, slots(self.start, self.end, width));
        let mut counts = vec![CellCounts::default(); self.values.len() * self.slots];
        let rows = self.counts.chunks(before).zip(counts.chunks_mut(self.slots));
        for (row, into) in rows {
            for (slot, count) in row.iter().enumerate() {
                into[slot / together].add(*count);
            }
        }
        self.counts = counts;
    }

    /// Returns the number of its counts.
    fn len(&self) -> usize {
        self.counts.iter().filter(|counts| counts.clicks != 0).count()
    }

    fn blocks<E>(&self, write: &mut impl FnMut(&[ClickCell]) -> Result<Extent, E>) -> Result<Vec<Extent>, E> {
        let mut order: Vec<_> = self.values.iter().copied().zip(0_usize..).collect();
        order.sort_unstable();
        let (mut blocks, mut cells) = (Vec::new(), Vec::with_capacity(CELLS_MAX));
        for (slot, at) in (self.start..=self.end).step_by(self.width as usize).zip(0..) {
            for (value, row) in &order {
                let counts = self.counts[row * self.slots + at];
                if counts.clicks == 0 {
                    continue;
                }
                let mut values = CellValues::default();
                values[self.dimension as usize] = *value;
                // A block has no slot before the first one of its part.
                cells.push(ClickCell { link: 0, slot: self.first.max(TimeSlot(slot)), values, counts });
                if cells.len() == CELLS_MAX {
                    blocks.push(write(&cells)?);
                    cells.clear();
                }
            }
        }
        if !cells.is_empty() {
            blocks.push(write(&cells)?);
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_a_busy_month_fit_and_all_stay() {
        let (first, last) = (TimeSlot(96_000), TimeSlot(96_000 + 31 * DAY - 1));
        let mut summarizer = Summarizer::new(SummaryRule { cells_min: 2, cells_each: 1 }, first, last);
        let counts = CellCounts { clicks: 1, visitors: 0, workspace_visitors: 0 };
        for n in 0..400_000_u32 {
            let mut values = CellValues::default();
            values[Dimension::Country as usize] = n % 220;
            values[Dimension::Agent as usize] = n % 80;
            values[Dimension::Language as usize] = n % 40;
            values[Dimension::Referrer as usize] = n % 20_000;
            values[Dimension::Trigger as usize] = COUNTED;
            summarizer.add(TimeSlot(first.0 + n.wrapping_mul(7_919) % (31 * DAY)), values, counts);
        }
        assert!(summarizer.tables.iter().map(|table| table.counts.len()).sum::<usize>() <= COUNTS_MAX);
        let extent = Extent { offset: 0, bytes: 0, crc: 0 };
        let mut written = 0_u64;
        let tables = summarizer.end(&[], |cells| {
            written += cells.iter().map(|cell| u64::from(cell.counts.clicks)).sum::<u64>();
            Ok::<_, ()>(extent)
        });
        let width = |dimension| {
            let table = tables.iter().flatten().find(|table| table.dimension == dimension);
            table.map(|table| table.width)
        };
        // The sites need days. Countries and browsers must not cost them their table, nor lose more than quarters.
        assert_eq!(width(Dimension::Referrer), Some(DAY));
        assert_eq!(width(Dimension::Country), Some(4));
        assert!(SUMMARIZED.into_iter().all(|dimension| width(dimension).is_some()));
        assert_eq!(written, 7 * 400_000, "each table has all clicks");
    }
}
