//! [`SlotSet`]: a set of slots, one bit for each. Slots are in the order of creation, so a page of a list is a range of
//! bits.

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct SlotSet(Vec<u64>);

impl SlotSet {
    /// Creates an empty set with room for `count` slots.
    pub(super) fn with_room(count: usize) -> SlotSet {
        SlotSet(vec![0; count.div_ceil(64)])
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, slot: u32) {
        let at = slot as usize / 64;
        if at >= self.0.len() {
            // A link that was created during a scan.
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (slot % 64);
    }

    /// Removes a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// Returns whether the set has a slot.
    pub(in crate::core) fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Removes all slots that `other` lacks.
    pub(super) fn intersect(&mut self, other: &SlotSet) {
        for (at, word) in self.0.iter_mut().enumerate() {
            *word &= other.0.get(at).copied().unwrap_or(0);
        }
    }

    /// Returns the number of slots.
    pub(in crate::core) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Returns the slots from `from` on, in order.
    pub(in crate::core) fn ascending(&self, from: u32) -> impl Iterator<Item = u32> {
        let first = from as usize / 64;
        let words = self.0.iter().enumerate().skip(first);
        words.flat_map(move |(at, word)| {
            let word = if at == first { word & (u64::MAX << (from % 64)) } else { *word };
            bits(word).map(move |bit| slot(at, bit))
        })
    }

    /// Returns the slots before `end`, the last first.
    pub(in crate::core) fn descending(&self, end: u32) -> impl Iterator<Item = u32> {
        let last = end as usize / 64;
        let words = self.0.iter().enumerate().take(last + 1).rev();
        words.flat_map(move |(at, word)| {
            let word = if at == last { word & !(u64::MAX << (end % 64)) } else { *word };
            bits_back(word).map(move |bit| slot(at, bit))
        })
    }

    /// Returns the slot from which on [`SlotSet::ascending`] lacks the first `count` slots.
    pub(in crate::core) fn behind_first(&self, count: u64) -> u32 {
        let mut left = count;
        for (at, word) in self.0.iter().enumerate() {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let skipped = bits(*word).nth(usize::try_from(left).unwrap_or(64));
                return skipped.map_or(u32::MAX, |bit| slot(at, bit));
            }
            left -= ones;
        }
        u32::MAX
    }

    /// Returns the slot before which [`SlotSet::descending`] lacks the last `count` slots.
    pub(in crate::core) fn before_last(&self, count: u64) -> u32 {
        let mut left = count;
        for (at, word) in self.0.iter().enumerate().rev() {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let first = bits_back(*word).nth(usize::try_from(left).unwrap_or(64));
                return first.map_or(0, |bit| slot(at, bit) + 1);
            }
            left -= ones;
        }
        0
    }
}

fn slot(word: usize, bit: u32) -> u32 {
    u32::try_from(word * 64).map_or(u32::MAX, |first| first + bit)
}

fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

fn bits_back(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.ilog2())?;
        word &= !(1 << bit);
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_slots_is_as_a_set_of_numbers(
            slots in prop::collection::btree_set(0_u32..300, 0..80),
            gone in prop::collection::vec(0_u32..300, 0..20),
            (from, count) in (0_u32..330, 0_u64..90),
        ) {
            let mut set = SlotSet::with_room(100);
            for slot in &slots {
                set.insert(*slot);
            }
            for slot in &gone {
                set.remove(*slot);
            }
            let want: Vec<u32> = slots.into_iter().filter(|slot| !gone.contains(slot)).collect();
            prop_assert_eq!(set.count(), want.len() as u64);
            prop_assert!((0..330).all(|slot| set.contains(slot) == want.contains(&slot)));
            let behind: Vec<u32> = want.iter().copied().filter(|slot| *slot >= from).collect();
            prop_assert_eq!(set.ascending(from).collect::<Vec<_>>(), behind);
            let mut before: Vec<u32> = want.iter().copied().filter(|slot| *slot < from).collect();
            before.reverse();
            prop_assert_eq!(set.descending(from).collect::<Vec<_>>(), before);
            let skipped = usize::try_from(count).expect("less than 90");
            let rest: Vec<u32> = want.iter().copied().skip(skipped).collect();
            prop_assert_eq!(set.ascending(set.behind_first(count)).collect::<Vec<_>>(), rest);
            let rest: Vec<u32> = want.iter().rev().copied().skip(skipped).collect();
            prop_assert_eq!(set.descending(set.before_last(count)).collect::<Vec<_>>(), rest);
        }
    }
}
