//! [`NumberTop`]: the first rows of a list by a number, such as clicks.

/// A row: its number, and its slot. Of equal numbers, the newest link is the first.
pub(in crate::core) type NumberRow = (u64, u32);

/// The first rows behind a cursor.
#[derive(Debug)]
pub(in crate::core) struct NumberTop {
    count: usize,
    /// Rows from this one on are before the cursor.
    behind: Option<NumberRow>,
    rows: Vec<NumberRow>,
    /// The last of the first `count` rows, once there are as many: what is behind it is not kept.
    last: Option<NumberRow>,
}

impl NumberTop {
    /// Creates an empty list for `count` rows.
    pub(in crate::core) fn new(count: usize, behind: Option<NumberRow>) -> NumberTop {
        NumberTop { count: count.max(1), behind, rows: Vec::new(), last: None }
    }

    /// Adds a row, unless it is before the cursor or behind enough others.
    pub(in crate::core) fn add(&mut self, row: NumberRow) {
        // Before the push: nearly all rows of a long list end here.
        if self.behind.is_some_and(|behind| row >= behind) || self.last.is_some_and(|last| row < last) {
            return;
        }
        self.rows.push(row);
        // Twice the rows, so that each row costs the same on average.
        if self.rows.len() >= 2 * self.count + 64 {
            let (_, last, _) = self.rows.select_nth_unstable_by(self.count - 1, |a, b| b.cmp(a));
            self.last = Some(*last);
            self.rows.truncate(self.count);
        }
    }

    /// Returns the first rows in their order.
    pub(in crate::core) fn finish(mut self) -> Vec<NumberRow> {
        self.rows.sort_unstable_by(|a, b| b.cmp(a));
        self.rows.truncate(self.count);
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_rows_are_those_of_a_sorted_list(
            rows in prop::collection::vec((0_u64..40, 0_u32..5_000), 0..2_000),
            count in 1_usize..30,
            behind in prop::option::of((0_u64..40, 0_u32..5_000)),
        ) {
            let mut top = NumberTop::new(count, behind);
            for row in &rows {
                top.add(*row);
            }
            let mut want: Vec<_> = rows.into_iter().filter(|row| behind.is_none_or(|behind| *row < behind)).collect();
            want.sort_unstable_by(|a, b| b.cmp(a));
            want.truncate(count);
            prop_assert_eq!(top.finish(), want);
        }
    }
}
