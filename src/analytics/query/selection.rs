//! [`Selection`]: the cells of a block that are in the answer.

use std::ops::Range;

/// The places of cells in their block, ascending. Kept from block to block for its memory.
#[derive(Debug, Default)]
pub(super) struct Selection {
    cells: Vec<u32>,
    /// The number of cells of the block.
    block: usize,
}

impl Selection {
    /// Selects all cells of a block.
    pub(super) fn fill(&mut self, cells: usize) {
        self.block = cells;
        self.cells.clear();
        self.cells.extend((0..).take(cells));
    }

    /// Selects the cells of links in these sorted ranges. `links` are those of the cells, ascending.
    pub(super) fn fill_links(&mut self, links: &[u32], ranges: &[Range<u32>]) {
        let (Some(first), Some(last)) = (links.first(), links.last()) else { return self.fill(0) };
        self.block = links.len();
        self.cells.clear();
        // A campaign has thousands of ranges, of which a block needs few.
        let start = ranges.partition_point(|range| range.end <= *first);
        for range in ranges[start..].iter().take_while(|range| range.start <= *last) {
            let cells = place(links, range.start)..place(links, range.end);
            self.cells.extend(cells);
        }
    }

    /// Removes the cells for which `is_kept` is false. It is called with the place of a cell in the block.
    pub(super) fn keep(&mut self, mut is_kept: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for at in 0..self.cells.len() {
            // Without a branch: the processor cannot predict which cells pass a filter.
            let cell = self.cells[at];
            self.cells[kept] = cell;
            kept += usize::from(is_kept(cell as usize));
        }
        self.cells.truncate(kept);
    }

    /// Removes the cells for which `is_kept` is false. It is called with one of `values`, which has one for
    /// each cell.
    pub(super) fn keep_values(&mut self, values: &[u32], is_kept: impl Fn(u32) -> bool) {
        let mut kept = 0;
        // `kept` is never ahead of `at`, so a place is read before it is overwritten.
        for (at, value) in values.iter().enumerate().take(self.cells.len()) {
            self.cells[kept] = self.cells[at];
            kept += usize::from(is_kept(*value));
        }
        self.cells.truncate(kept);
    }

    /// Returns whether all cells of the block are selected.
    pub(super) fn is_whole(&self) -> bool {
        self.cells.len() == self.block
    }

    /// Returns whether no cell is selected.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends the numbers of the selected cells in a column of their block.
    pub(super) fn gather(&self, column: &[u32], out: &mut Vec<u32>) {
        // Without filters most blocks are whole, and one copy is faster than a load for each cell.
        if self.is_whole() {
            out.extend_from_slice(column);
        } else {
            out.extend(self.cells.iter().map(|cell| column[*cell as usize]));
        }
    }
}

/// Returns the place of the first cell of a link that is `link` or behind it.
fn place(links: &[u32], link: u32) -> u32 {
    let place = links.partition_point(|other| *other < link);
    u32::try_from(place).expect("a block has at most 2,048 cells")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(selection: &Selection) -> Vec<u32> {
        let mut places = Vec::new();
        selection.gather(&(0..u32::try_from(selection.block).expect("few")).collect::<Vec<_>>(), &mut places);
        places
    }

    // One range is meant, not its numbers.
    #[allow(clippy::single_range_in_vec_init)]
    #[test]
    fn cells_of_links_are_selected() {
        let links = [3, 3, 4, 7, 7, 7, 9];
        let rows: [(&[Range<u32>], &[u32]); 7] = [
            (&[], &[]),
            (&[3..4], &[0, 1]),
            // A range before all links must not end the search.
            (&[0..1, 3..4, 7..8], &[0, 1, 3, 4, 5]),
            (&[0..100], &[0, 1, 2, 3, 4, 5, 6]),
            (&[9..10], &[6]),
            (&[10..12], &[]),
            (&[5..6, 8..9], &[]),
        ];
        let mut selection = Selection::default();
        for (ranges, want) in rows {
            selection.fill_links(&links, ranges);
            assert_eq!(selected(&selection), want, "{ranges:?}");
            assert_eq!(selection.is_whole(), want.len() == links.len());
        }
        selection.fill_links(&[], &[Range { start: 0, end: 9 }]);
        assert!(selection.is_empty());
    }

    #[test]
    fn cells_are_removed() {
        let mut selection = Selection::default();
        selection.fill(6);
        selection.keep(|at| at != 2);
        assert_eq!(selected(&selection), [0, 1, 3, 4, 5]);
        selection.keep_values(&[7, 8, 7, 8, 7], |value| value == 7);
        assert_eq!(selected(&selection), [0, 3, 5]);
    }
}
