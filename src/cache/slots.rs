//! [`Slots`]: the entries of a shard, in blocks of fixed size. One growing vector would fragment the
//! allocator's memory with blocks of its former sizes, or leave a quarter of its own memory unused when it
//! doubles.

use super::entry::Entry;

/// Entries in a block: 2.5 KB.
const BLOCK: usize = 32;

/// Entries by slot, from 0, without gaps.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// All full but the last. None is empty.
    blocks: Vec<Vec<Entry>>,
    len: usize,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the entry at a slot. Panics if it has none.
    pub(super) fn at(&self, slot: u32) -> &Entry {
        let slot = slot as usize;
        &self.blocks[slot / BLOCK][slot % BLOCK]
    }

    /// Appends an entry and returns its slot.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let slot = u32::try_from(self.len).expect("a shard holds fewer than 2^32 links");
        if self.len.is_multiple_of(BLOCK) {
            // At full capacity: a block never grows, so it is never copied.
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        self.blocks.last_mut().expect("there is one, with room").push(entry);
        self.len += 1;
        slot
    }

    /// Removes the entry at a slot. The last entry moves to this slot.
    pub(super) fn take(&mut self, slot: u32) -> Entry {
        let block = self.blocks.last_mut().expect("a slot is taken");
        let last = block.pop().expect("no block is empty");
        // An empty block would stay empty: `push` adds a block of its own.
        if block.is_empty() {
            self.blocks.pop();
        }
        self.len -= 1;
        let slot = slot as usize;
        if slot == self.len {
            return last;
        }
        std::mem::replace(&mut self.blocks[slot / BLOCK][slot % BLOCK], last)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clicks::counter::Counter;
    use crate::model::id::Id;
    use crate::model::link::sample;

    fn entry(n: u128) -> Entry {
        let link = sample::link(n, "a", sample::plain());
        let target = Ok(link.options.target());
        Entry::compile(link, Arc::new(Counter::new(Id::from_bits(n), 0)), target)
    }

    fn numbers(slots: &Slots) -> Vec<u128> {
        (0..slots.len()).map(|at| slots.at(u32::try_from(at).expect("few")).counter.id().bits()).collect()
    }

    /// As `Vec::swap_remove`, across blocks.
    #[test]
    fn the_last_entry_fills_the_place_of_a_removed_one() {
        let (mut slots, mut model) = (Slots::default(), Vec::new());
        let mut chance = 1_u32;
        for n in 0..2_000 {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // It grows, then shrinks to nothing.
            let grows = (chance >> 16) % 5 < if n < 600 { 4 } else { 1 };
            if grows || model.is_empty() {
                assert_eq!(slots.push(entry(n)) as usize, model.len());
                model.push(n);
            } else {
                let at = (chance >> 8) as usize % model.len();
                let taken = slots.take(u32::try_from(at).expect("few"));
                assert_eq!(taken.counter.id().bits(), model.swap_remove(at));
            }
            assert_eq!(numbers(&slots), model, "step {n}");
        }
        assert!(slots.blocks.iter().all(|block| block.capacity() == BLOCK), "no block has grown");
    }
}
