//! [`RangeRows`]: ranges as they are read, in any order.

use super::address::Address;
use super::error::LineRule;
use super::ranges::Ranges;

/// Most ranges of an address family: five times those of the largest file known. Bounds the memory of reading.
const ROWS_MAX: usize = 2_000_000;

/// A range with a country.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<A> {
    pub start: A,
    /// The last address, not before `start`.
    pub end: A,
    /// Not zero.
    pub country: u8,
    /// Its line, for errors.
    pub line: u32,
}

/// Ranges of one address family.
#[derive(Debug)]
pub(super) struct RangeRows<A> {
    rows: Vec<Row<A>>,
}

impl<A> Default for RangeRows<A> {
    fn default() -> RangeRows<A> {
        RangeRows { rows: Vec::new() }
    }
}

/// Two ranges overlap and have different countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub line: u32,
    pub other: u32,
}

impl<A: Address> RangeRows<A> {
    /// Adds a range. Fails if there are too many.
    pub(super) fn push(&mut self, row: Row<A>) -> Result<(), LineRule> {
        // Files of cities have many ranges of a country in a row.
        if let Some(last) = self.rows.last_mut()
            && last.country == row.country
            && last.end.next() == Some(row.start)
        {
            last.end = row.end;
            return Ok(());
        }
        // Behind the join above, so that the bound is one of ranges and not of lines.
        if self.rows.len() == ROWS_MAX {
            return Err(LineRule::TooMany(ROWS_MAX));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Returns whether there are no ranges.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sorts the ranges and packs them. Fails if two of them overlap and have different countries.
    pub(super) fn pack(mut self) -> Result<Ranges<A>, Overlap> {
        // By line too, so that an overlap is reported in the same way each time.
        self.rows.sort_unstable_by_key(|row| (row.start, row.line));
        self.merge()?;
        Ok(Ranges::new(starts(&self.rows)))
    }

    /// Merges ranges that overlap or touch and have one country.
    fn merge(&mut self) -> Result<(), Overlap> {
        let mut kept = 0;
        for at in 1..self.rows.len() {
            let (last, row) = (self.rows[kept], self.rows[at]);
            let is_apart = row.start > last.end;
            // An error and no choice: nothing shows which of the two is right.
            if !is_apart && row.country != last.country {
                return Err(Overlap { line: last.line.max(row.line), other: last.line.min(row.line) });
            }
            if row.country == last.country && (!is_apart || last.end.next() == Some(row.start)) {
                // A row may lie within the one before it.
                self.rows[kept].end = last.end.max(row.end);
            } else {
                kept += 1;
                self.rows[kept] = row;
            }
        }
        self.rows.truncate(kept + 1);
        Ok(())
    }
}

/// Returns the starts of sorted ranges, and the start of each gap between them with country 0.
fn starts<A: Address>(rows: &[Row<A>]) -> impl Iterator<Item = (A, u8)> {
    rows.iter().enumerate().flat_map(|(at, row)| {
        // Without a start of its own, a gap would have the country before it.
        let gap = row.end.next().filter(|gap| rows.get(at + 1).is_none_or(|next| next.start > *gap));
        [Some((row.start, row.country)), gap.map(|gap| (gap, 0))].into_iter().flatten()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = (u32, u32, u8);

    fn pack(plain: &[Plain]) -> Result<Ranges<u32>, Overlap> {
        let mut rows = RangeRows::default();
        for (line, (start, end, country)) in (1..).zip(plain) {
            rows.push(Row { start: *start, end: *end, country: *country, line }).expect("few");
        }
        rows.pack()
    }

    #[test]
    fn ranges_that_overlap_must_agree() {
        let ranges =
            pack(&[(20, 29, 2), (5, 9, 1), (7, 12, 1), (13, 15, 1), (u32::MAX, u32::MAX, 3)]).expect("agree");
        assert_eq!(ranges.count(), 3);
        let found =
            [4, 5, 15, 16, 19, 20, 29, 30, u32::MAX - 1, u32::MAX].map(|address| ranges.find(address));
        assert_eq!(found, [0, 1, 1, 0, 0, 2, 2, 0, 0, 3]);
        for (plain, line, other) in [
            (vec![(1, 9, 1), (9, 10, 2)], 2, 1),
            // The later line is the one to report, in either order.
            (vec![(9, 10, 2), (1, 9, 1)], 2, 1),
            // The lines that overlap are not neighbours.
            (vec![(1, 9, 1), (30, 40, 1), (5, 5, 2)], 3, 1),
            (vec![(1, 9, 1), (1, 9, 2)], 2, 1),
        ] {
            assert_eq!(pack(&plain).expect_err("they differ"), Overlap { line, other }, "{plain:?}");
        }
        assert_eq!(pack(&[]).expect("none").find(0), 0);
    }

    proptest! {
        #[test]
        fn packed_rows_find_what_a_naive_search_finds(
            plain in proptest::collection::vec((0_u32..400, 0_u32..9, 1_u8..3), 0..60)
        ) {
            let plain: Vec<Plain> = plain.into_iter().map(|(start, more, country)| (start, start + more, country)).collect();
            let of = |address: u32| plain.iter().filter(move |(start, end, _)| (start..=end).contains(&&address));
            let conflict = (0..420).any(|address| of(address).any(|row| row.2 == 1) && of(address).any(|row| row.2 == 2));
            match pack(&plain) {
                Err(_) => prop_assert!(conflict),
                Ok(ranges) => {
                    prop_assert!(!conflict);
                    for address in 0..420 {
                        prop_assert_eq!(ranges.find(address), of(address).next().map_or(0, |row| row.2));
                    }
                }
            }
        }
    }
}
