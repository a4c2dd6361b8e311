//! [`Slots`]: the entries of a shard, one behind the other in pieces of fixed size. As one vector
//! that grows they would leave holes of its former sizes all over the allocator's memory, or have a
//! quarter of it unused where it doubles.

use super::entry::Entry;

/// Entries in a piece: 2.5 KB.
const PIECE: usize = 32;

/// Entries by their place, without gaps.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// All full but the last, of which there is none without an entry.
    pieces: Vec<Vec<Entry>>,
    len: usize,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The entry at a place that is taken.
    pub(super) fn at(&self, place: u32) -> &Entry {
        let place = place as usize;
        &self.pieces[place / PIECE][place % PIECE]
    }

    /// Puts an entry behind the last, and answers where that is.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let place = u32::try_from(self.len).expect("a shard holds fewer than 2^32 links");
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces.last_mut().expect("there is one, with room").push(entry);
        self.len += 1;
        place
    }

    /// Takes the entry at a place out. The last one, if that is another, takes its place.
    pub(super) fn take(&mut self, place: u32) -> Entry {
        let piece = self.pieces.last_mut().expect("a place is taken");
        let last = piece.pop().expect("no piece is empty");
        if piece.is_empty() {
            self.pieces.pop();
        }
        self.len -= 1;
        let place = place as usize;
        if place == self.len {
            return last;
        }
        std::mem::replace(&mut self.pieces[place / PIECE][place % PIECE], last)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clicks::counter::Counter;
    use crate::clock::Timestamp;
    use crate::model::destination::{Destination, LinkType};
    use crate::model::domain::DomainNumber;
    use crate::model::id::Id;
    use crate::model::link::{Link, Options};
    use crate::model::short_code::ShortCode;
    use crate::model::workspace::WorkspaceNumber;

    fn entry(n: u128) -> Entry {
        let options =
            Options::new(Destination::parse_web("url", "https://e.test/").expect("valid"), LinkType::Url);
        let target = Ok(options.target());
        let link = Link {
            id: Id::from_bits(n),
            workspace: WorkspaceNumber(0),
            domain: DomainNumber::DEFAULT,
            code: ShortCode::parse("a").expect("valid"),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            created_by: None,
            options,
        };
        Entry::compile(link, Arc::new(Counter::new(Id::from_bits(n), 0)), target)
    }

    fn numbers(slots: &Slots) -> Vec<u128> {
        (0..slots.len()).map(|at| slots.at(u32::try_from(at).expect("few")).counter.id().bits()).collect()
    }

    /// As a vector's `swap_remove` does it, over the borders of pieces.
    #[test]
    fn the_last_fills_the_place_of_what_is_taken() {
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
        assert!(slots.pieces.iter().all(|piece| piece.capacity() == PIECE), "no piece has grown");
    }
}
