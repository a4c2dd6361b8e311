//! [`TopLinks`]: the links with the largest numbers, such as clicks, of more links than memory should keep.
//!
//! 1. The links in memory are the first ones of all: none that was left out is larger than one of them.
//! 2. With [`TopLinks::raise`], a number only grows. A link that was left out comes back with a number that is larger than
//!    those left out.

use std::collections::HashMap;

use ahash::RandomState;

use crate::model::id::Id;

/// Links that are collected beyond those to keep, before the surplus is left out.
const SURPLUS: usize = 4_096;

/// The links with the largest numbers. Of equal numbers, the newest link is the first.
#[derive(Clone, Debug)]
pub struct TopLinks {
    numbers: HashMap<Id, u64, RandomState>,
    /// The largest link that was left out.
    floor: Option<(u64, Id)>,
    keep: usize,
}

impl TopLinks {
    /// Creates the empty list, which keeps at least the first `keep` links.
    pub fn new(keep: usize) -> TopLinks {
        TopLinks { numbers: HashMap::default(), floor: None, keep }
    }

    /// Returns whether [`TopLinks::set`] with this number would change anything.
    pub fn concerns(&self, id: Id, number: u64) -> bool {
        self.numbers.contains_key(&id) || Some((number, id)) > self.floor
    }

    /// Sets the number of a link. A link with 0 is not in the list.
    pub fn set(&mut self, id: Id, number: u64) {
        // Below the floor, its place among the links that were left out is not known.
        if number == 0 || Some((number, id)) <= self.floor {
            self.numbers.remove(&id);
            return;
        }
        self.numbers.insert(id, number);
        if self.numbers.len() >= self.keep + SURPLUS {
            self.cut();
        }
    }

    /// Sets the number of a link that has none yet.
    pub fn set_if_absent(&mut self, id: Id, number: u64) {
        if !self.numbers.contains_key(&id) {
            self.set(id, number);
        }
    }

    /// Sets the number of a link if it is larger than the present one.
    pub fn raise(&mut self, id: Id, number: u64) {
        if self.numbers.get(&id).is_none_or(|known| *known < number) {
            self.set(id, number);
        }
    }

    /// Removes a link that does not exist any more.
    pub fn remove(&mut self, id: Id) {
        self.numbers.remove(&id);
    }

    /// Returns whether links were left out.
    pub fn is_cut(&self) -> bool {
        self.floor.is_some()
    }

    /// Returns how many links have at least this number.
    pub fn at_least(&self, number: u64) -> usize {
        self.numbers.values().filter(|known| **known >= number).count()
    }

    /// Returns all links in memory, in any order.
    pub fn all(&self) -> impl Iterator<Item = (u64, Id)> {
        self.numbers.iter().map(|(id, number)| (*number, *id))
    }

    /// Leaves out all but the first `keep` links.
    fn cut(&mut self) {
        let mut rows: Vec<_> = self.all().collect();
        // A selection is linear, and the order of the kept links does not matter here.
        rows.select_nth_unstable_by(self.keep, |a, b| b.cmp(a));
        self.floor = self.floor.max(rows.get(self.keep).copied());
        self.numbers = rows.drain(..self.keep).map(|(number, id)| (id, number)).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against all numbers: what is in memory are the first links, whatever grew, shrank and was removed.
        #[test]
        fn the_first_links_are_those_of_all(
            steps in proptest::collection::vec((0_u128..20_000, 0_u64..50, 0_u8..8), 0..20_000),
            keep in 1_usize..50,
        ) {
            let (mut top, mut all) = (TopLinks::new(keep), HashMap::new());
            for (id, number, step) in steps {
                let id = Id::from_bits(id);
                match step {
                    0 => { top.remove(id); all.remove(&id); }
                    1..4 => { top.set(id, number); all.insert(id, number); }
                    // Grows, as clicks do.
                    _ => {
                        let grown = all.get(&id).copied().unwrap_or(0) + number;
                        top.set(id, grown);
                        all.insert(id, grown);
                    }
                }
            }
            let mut want: Vec<_> =
                all.into_iter().filter(|(_, number)| *number > 0).map(|(id, number)| (number, id)).collect();
            want.sort_unstable_by(|a, b| b.cmp(a));
            let mut found: Vec<_> = top.all().collect();
            found.sort_unstable_by(|a, b| b.cmp(a));
            prop_assert!(want.starts_with(&found));
            prop_assert_eq!(top.is_cut() || found.len() == want.len(), true);
        }
    }

    #[test]
    fn numbers_that_grow_only_keep_the_first_links() {
        let (mut top, keep) = (TopLinks::new(10), 10);
        // Each link first with its largest number, as parts are read from the newest to the oldest.
        for round in (0..3_u64).rev() {
            for id in 0..20_000_u64 {
                top.raise(Id::from_bits(id.into()), round * 20_000 + id);
            }
        }
        assert!(top.is_cut());
        assert_eq!(top.at_least(2 * 20_000 + 19_990), keep);
    }
}
