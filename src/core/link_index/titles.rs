//! [`TitleTop`]: the first rows of a list by title, while its entries are read in any order.

use std::cmp::Ordering;

/// A row of a list by title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct TitleRow {
    /// The title in lower case.
    pub(in crate::core) title: Option<Box<[u8]>>,
    pub(in crate::core) slot: u32,
    /// Where its entry begins, to find out whether it changed since.
    pub(super) place: u64,
}

/// Orders by title with links without one last, then by the newest.
fn order(ours: (Option<&[u8]>, u32), theirs: (Option<&[u8]>, u32)) -> Ordering {
    let titles = match (ours.0, theirs.0) {
        (Some(ours), Some(theirs)) => ours.cmp(theirs),
        (ours, theirs) => theirs.is_some().cmp(&ours.is_some()),
    };
    titles.then(theirs.1.cmp(&ours.1))
}

/// The first rows behind a cursor.
#[derive(Debug)]
pub(in crate::core) struct TitleTop {
    count: usize,
    /// The title before the first row, and the slot of its link or of the next newer one: rows of the same title are before
    /// it.
    behind: Option<(Option<Box<[u8]>>, u32)>,
    rows: Vec<TitleRow>,
    /// Whether `rows` has more than `count` rows before it, so that the last of them decides what is added.
    is_full: bool,
}

impl TitleTop {
    /// Creates an empty list for `count` rows.
    pub(in crate::core) fn new(count: usize, behind: Option<(Option<Box<[u8]>>, u32)>) -> TitleTop {
        TitleTop { count: count.max(1), behind, rows: Vec::new(), is_full: false }
    }

    /// Adds a link, unless it is before the cursor or behind enough others.
    pub(super) fn add(&mut self, title: Option<&[u8]>, slot: u32, place: u64) {
        let row = (title, slot);
        if let Some((before, first)) = &self.behind
            // An older link of the same title is behind the cursor.
            && !order(row, (before.as_deref(), *first)).is_gt()
        {
            return;
        }
        if self.is_full
            && let Some(last) = self.rows.get(self.count - 1)
            && order(row, (last.title.as_deref(), last.slot)).is_gt()
        {
            return;
        }
        self.rows.push(TitleRow { title: title.map(Box::from), slot, place });
        // Twice the rows, so that each row costs the same on average.
        if self.rows.len() >= 2 * self.count + 64 {
            self.cut();
        }
    }

    /// Keeps the first rows, the last of them at its place.
    fn cut(&mut self) {
        let compare =
            |a: &TitleRow, b: &TitleRow| order((a.title.as_deref(), a.slot), (b.title.as_deref(), b.slot));
        if self.rows.len() > self.count {
            // A selection is linear, and the order of the kept rows does not matter yet.
            self.rows.select_nth_unstable_by(self.count - 1, compare);
            self.rows.truncate(self.count);
            self.is_full = true;
        }
    }

    /// Returns the rows in their order.
    pub(super) fn finish(mut self) -> Vec<TitleRow> {
        self.rows.sort_by(|a, b| order((a.title.as_deref(), a.slot), (b.title.as_deref(), b.slot)));
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_titles_are_those_of_a_sorted_list(
            titles in prop::collection::vec(prop::option::of("[ab]{0,3}"), 0..400),
            count in 1_usize..20,
            behind in prop::option::of((prop::option::of("[ab]{0,3}"), 0_u32..400)),
        ) {
            let behind: Option<(Option<Box<[u8]>>, u32)> =
                behind.map(|(title, slot)| (title.map(|title| title.into_bytes().into()), slot));
            let mut top = TitleTop::new(count, behind.clone());
            let mut all = Vec::new();
            for (slot, title) in titles.into_iter().enumerate() {
                let slot = u32::try_from(slot).expect("400");
                top.add(title.as_deref().map(str::as_bytes), slot, 0);
                all.push((title.map(|title| title.into_bytes().into_boxed_slice()), slot));
            }
            all.sort_by(|a, b| order((a.0.as_deref(), a.1), (b.0.as_deref(), b.1)));
            all.retain(|row| behind.as_ref().is_none_or(|(title, slot)| {
                order((row.0.as_deref(), row.1), (title.as_deref(), *slot)).is_gt()
            }));
            all.truncate(count);
            let found: Vec<_> = top.finish().into_iter().map(|row| (row.title, row.slot)).take(count).collect();
            prop_assert_eq!(found, all);
        }
    }
}
