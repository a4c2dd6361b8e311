//! [`Ranges`]: sorted starts of ranges, each with a country, in about four bytes a range.
//!
//! 1. [`BLOCK`] starts form a block. The first start of each block is in a list of its own, which is searched first.
//! 2. A block has its starts as differences to its first start, without the zero bits that all of them end with, and
//!    in as many bytes as the largest one needs. So ranges of whole networks take two or three bytes, and a range that
//!    begins anywhere takes as many as it must.

use std::hint::select_unpredictable;

use super::address::Address;

/// Starts of a block.
const BLOCK: usize = 64;

/// Bytes of the widest number that [`Address::read`] reads.
const WORD: usize = 16;

/// Ranges without gaps: each ends before the start of the next.
#[derive(Debug)]
pub(super) struct Ranges<A> {
    /// The first start of each block, ascending.
    firsts: Vec<A>,
    blocks: Vec<RangeBlock>,
    /// The differences of all blocks, little-endian, and as many zeros as a read of the last one takes.
    differences: Vec<u8>,
    /// The number of the country of each range.
    countries: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct RangeBlock {
    /// Where its differences begin.
    at: u32,
    /// Bytes of a difference.
    width: u8,
    /// Zero bits with which all differences end.
    shift: u8,
}

impl<A: Address> Ranges<A> {
    /// Packs starts, which ascend, and the numbers of their countries.
    pub(super) fn new(starts: impl Iterator<Item = (A, u8)>) -> Ranges<A> {
        let mut ranges =
            Ranges { firsts: Vec::new(), blocks: Vec::new(), differences: Vec::new(), countries: Vec::new() };
        let mut block = Vec::with_capacity(BLOCK);
        for (start, country) in starts {
            if block.len() == BLOCK {
                ranges.push(&block);
                block.clear();
            }
            block.push(start);
            ranges.countries.push(country);
        }
        // The last block is shorter, or empty if there are no ranges at all.
        ranges.push(&block);
        ranges.differences.extend_from_slice(&[0; WORD]);
        // The table lives as long as the process, and a vector may have twice the needed memory.
        ranges.firsts.shrink_to_fit();
        ranges.blocks.shrink_to_fit();
        ranges.differences.shrink_to_fit();
        ranges.countries.shrink_to_fit();
        ranges
    }

    fn push(&mut self, block: &[A]) {
        let Some(first) = block.first() else { return };
        let differences = block.iter().map(|start| -> u128 { (*start - *first).into() });
        let ones = differences.clone().fold(0, |ones, difference| ones | difference);
        // A block of one start has no ones, and a shift by all 128 bits would panic.
        let shift = if ones == 0 { 0 } else { ones.trailing_zeros() };
        let width = (u128::BITS - (ones >> shift).leading_zeros()).div_ceil(8);
        let at = u32::try_from(self.differences.len()).expect("the number of rows is bounded");
        let narrow = |number: u32| u8::try_from(number).expect("at most 128");
        self.blocks.push(RangeBlock { at, width: narrow(width), shift: narrow(shift) });
        self.firsts.push(*first);
        for difference in differences {
            self.differences.extend_from_slice(&(difference >> shift).to_le_bytes()[..width as usize]);
        }
    }

    /// Returns the number of the country of an address; 0 is none.
    pub(super) fn find(&self, address: A) -> u8 {
        let Some(at) = self.firsts.partition_point(|first| *first <= address).checked_sub(1) else {
            return 0;
        };
        let block = self.blocks[at];
        // Shifts zeros out of all differences, so the order stays.
        let wanted = (address - self.firsts[at]) >> block.shift.into();
        let starts = self.countries.len().min((at + 1) * BLOCK) - at * BLOCK;
        // Binary search without branches, since no processor predicts them. The first difference is zero.
        let (mut low, mut count) = (0, starts);
        while count > 1 {
            let middle = low + count / 2;
            low = select_unpredictable(self.difference(block, middle) <= wanted, middle, low);
            count -= count / 2;
        }
        self.countries[at * BLOCK + low]
    }

    fn difference(&self, block: RangeBlock, place: usize) -> A {
        let from = block.at as usize + place * usize::from(block.width);
        A::read(&self.differences[from..], block.width)
    }

    /// Returns the number of ranges with a country.
    pub(super) fn count(&self) -> usize {
        self.countries.iter().filter(|country| **country != 0).count()
    }

    /// Returns the bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let Ranges { firsts, blocks, differences, countries } = self;
        size_of_val(&firsts[..]) + size_of_val(&blocks[..]) + differences.len() + countries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Starts of networks of many sizes, near each other and far apart.
    fn start() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0_u32..129).prop_flat_map(|(number, shift)| {
            let network = number.checked_shr(shift).unwrap_or(0);
            prop_oneof![Just(network), Just(network.checked_shl(shift).unwrap_or(0)), Just(number)]
        })
    }

    proptest! {
        #[test]
        fn ranges_find_what_a_naive_search_finds(
            starts in proptest::collection::btree_map(start(), any::<u8>(), 0..400),
            addresses in proptest::collection::vec(start(), 0..50),
        ) {
            let ranges = Ranges::new(starts.iter().map(|(start, country)| (*start, *country)));
            prop_assert_eq!(ranges.count(), starts.values().filter(|country| **country > 0).count());
            // Both sides of each edge: a search that is off by one fails there.
            let near = starts.keys().flat_map(|start| [start.wrapping_sub(1), *start, start.wrapping_add(1)]);
            // The same starts as IPv4, since both families share the code.
            let narrow = |number: u128| u32::try_from(number).unwrap_or(0);
            let narrow_starts: BTreeMap<u32, u8> = starts.iter().map(|(start, country)| (narrow(*start), *country)).collect();
            let narrow_ranges = Ranges::new(narrow_starts.iter().map(|(start, country)| (*start, *country)));
            for address in near.chain(addresses).chain([0, u128::MAX]) {
                let want = starts.range(..=address).next_back().map_or(0, |(_, country)| *country);
                prop_assert_eq!(ranges.find(address), want, "{:x}", address);
                let address = narrow(address);
                let want = narrow_starts.range(..=address).next_back().map_or(0, |(_, country)| *country);
                prop_assert_eq!(narrow_ranges.find(address), want, "{:x}", address);
            }
        }
    }

    #[test]
    fn networks_take_few_bytes() {
        // Nine zero bits end each start, and must take no memory.
        let starts: BTreeMap<u128, u8> = (0..100_000_u128).map(|number| (number << 9, 1)).collect();
        let ranges = Ranges::new(starts.into_iter());
        assert!(ranges.bytes() < 250_000, "{}", ranges.bytes());
        assert_eq!(Ranges::<u32>::new(std::iter::empty()).find(7), 0);
    }
}
