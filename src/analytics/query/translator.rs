//! [`Translator`]: the keys' numbers for the numbers of a column, so that a key is built once and not for
//! each cell.

use std::collections::HashMap;

use crate::agents::classes::AgentClass;
use crate::analytics::cell::{Dimension, NAMED};

/// Largest place in the dense table: behind all texts of a part and all classes.
// 2 MB for each column of a question.
const DENSE_MAX: usize = 1 << 19;

/// Variants of a rule that have a place in the dense table.
// Each rule takes this number of places, and splits have few variants.
const VARIANTS: u32 = 64;

/// A number of the column that has no key yet.
const UNKNOWN: u32 = u32::MAX;

/// Maps numbers of one column to numbers of keys.
#[derive(Clone, Debug)]
pub(super) struct Translator {
    dimension: Dimension,
    dense: Vec<u32>,
    /// Numbers that no capture creates, but a file can have.
    sparse: HashMap<u32, u32>,
}

impl Translator {
    /// Creates the empty map of a column.
    pub(super) fn new(dimension: Dimension) -> Translator {
        Translator { dimension, dense: Vec::new(), sparse: HashMap::new() }
    }

    /// Removes everything: the numbers of the next part stand for other texts.
    pub(super) fn clear(&mut self) {
        self.dense.clear();
        self.sparse.clear();
    }

    /// Removes everything, with its memory.
    pub(super) fn release(&mut self) {
        *self = Translator::new(self.dimension);
    }

    /// Replaces all numbers. `key` returns the number of the key for a number that is not in the map yet.
    pub(super) fn replace<E>(
        &mut self,
        numbers: &mut [u32],
        mut key: impl FnMut(u32) -> Result<u32, E>,
    ) -> Result<(), E> {
        let dimension = self.dimension;
        for number in numbers {
            // Almost every cell takes this one load, and no hash.
            let known = self.dense.get(place(dimension, *number)).copied().filter(|known| *known != UNKNOWN);
            *number = match known {
                Some(known) => known,
                None => self.learn(*number, &mut key)?,
            };
        }
        Ok(())
    }

    #[cold]
    fn learn<E>(&mut self, number: u32, key: &mut impl FnMut(u32) -> Result<u32, E>) -> Result<u32, E> {
        // A sparse number comes here with each of its cells.
        if let Some(known) = self.sparse.get(&number) {
            return Ok(*known);
        }
        let known = key(number)?;
        let place = place(self.dimension, number);
        if place < DENSE_MAX {
            if self.dense.len() <= place {
                // By powers of two: ascending numbers would move the table at each of them.
                self.dense.resize((place + 1).next_power_of_two(), UNKNOWN);
            }
            self.dense[place] = known;
        } else {
            self.sparse.insert(number, known);
        }
        Ok(known)
    }
}

/// Returns the place of a number in the dense table. Different numbers have different places below
/// [`DENSE_MAX`].
fn place(dimension: Dimension, number: u32) -> usize {
    let classes = 1 << AgentClass::BITS;
    let place = match dimension {
        Dimension::Agent if number & NAMED != 0 => (number & !NAMED).saturating_add(classes),
        // Names follow the classes, so a larger class would have the place of a name.
        Dimension::Agent if number >= classes => u32::MAX,
        // A larger variant would have the place of a variant of the next rule.
        Dimension::Choice if number & 0xffff >= VARIANTS => u32::MAX,
        Dimension::Choice => (number >> 16) * VARIANTS + (number & 0xffff),
        _ => number,
    };
    place as usize
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_keeps_its_key(
            dimension in proptest::sample::select(&Dimension::ALL[..]),
            numbers in proptest::collection::vec(prop_oneof![
                0_u32..20, 0_u32..20_000, any::<u32>(),
                // Variants on both sides of the dense table.
                (0_u32..99, 0_u32..99).prop_map(|(rule, variant)| rule << 16 | variant),
                (0_u32..9_000).prop_map(|text| text | NAMED),
            ], 0..300),
        ) {
            let (mut translator, mut known) = (Translator::new(dimension), HashMap::new());
            for _ in 0..2 {
                let mut keys = numbers.clone();
                let replaced: Result<(), Infallible> = translator.replace(&mut keys, |number| {
                    let key = u32::try_from(known.len()).expect("few");
                    assert_eq!(known.insert(number, key), None, "a key is built once");
                    Ok(key)
                });
                replaced.expect("infallible");
                let want: Vec<_> = numbers.iter().map(|number| known[number]).collect();
                prop_assert_eq!(keys, want);
            }
        }
    }
}
