//! [`Sums`]: the counts of each row of a breakdown.

use ahash::AHashMap;

use super::totals::ClickTotals;

/// Numbers of second keys that have a place in the dense table.
// 1,024 second keys are enough for all countries, and for the days of two years.
const DENSE_BITS: u32 = 10;

/// Numbers of first keys that have a place in the dense table, which has 4 MB with all second keys.
const FIRST_MAX: u32 = 256;

/// Most pairs outside of the dense table: 50 MB. A workspace can have more pairs of links and referrers than
/// memory.
const SPARSE_MAX: usize = 1 << 20;

/// The counts of the rows of a breakdown by up to two facets.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By the number of the key. Of two keys, the frequent pairs: numbers are given in the order of the first
    /// click.
    dense: Vec<ClickTotals>,
    /// The bits of the second key in a place of a pair: as few as the keys so far need, and at most [`DENSE_BITS`].
    // With all bits at once, 200 links by three devices would take 3 MB, and no cache would keep them.
    second_bits: u32,
    /// The other pairs, the number of the first key in the upper half.
    sparse: AHashMap<u64, ClickTotals>,
}

/// The counts of the selected cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts<'a> {
    pub(super) clicks: &'a [u32],
    pub(super) visitors: &'a [u32],
}

impl Amounts<'_> {
    fn iter(&self) -> impl Iterator<Item = ClickTotals> {
        let pairs = self.clicks.iter().zip(self.visitors);
        // A cell has 32 bits, and the sum of cells can have more.
        pairs.map(|(clicks, visitors)| ClickTotals { clicks: (*clicks).into(), visitors: (*visitors).into() })
    }
}

impl Sums {
    /// Adds all cells to one row.
    pub(super) fn add_total(&mut self, amounts: Amounts<'_>) {
        let sum = amounts.iter().fold(ClickTotals::default(), ClickTotals::plus);
        self.grow(1);
        self.dense[0] = self.dense[0].plus(sum);
    }

    /// Adds cells to the rows of their keys.
    pub(super) fn add(&mut self, keys: &[u32], amounts: Amounts<'_>) {
        // Once for the block, so that the loop below only adds.
        self.grow(keys.iter().max().map_or(0, |last| *last as usize + 1));
        for (key, more) in keys.iter().zip(amounts.iter()) {
            let sum = &mut self.dense[*key as usize];
            *sum = sum.plus(more);
        }
    }

    /// Adds cells to the rows of their pairs of keys.
    pub(super) fn add_pairs(&mut self, first: &[u32], second: &[u32], amounts: Amounts<'_>) {
        self.widen(second);
        for ((first, second), more) in first.iter().zip(second).zip(amounts.iter()) {
            let sum = match self.dense_place(*first, *second) {
                Some(place) => {
                    self.grow(place + 1);
                    &mut self.dense[place]
                }
                None => self.sparse.entry(pair(*first, *second)).or_default(),
            };
            *sum = sum.plus(more);
        }
    }

    /// Returns whether there are so many rows that the question must be given up.
    pub(super) fn is_too_large(&self) -> bool {
        // Single keys need no bound: they are at most as many as the links or texts of the source.
        self.sparse.len() > SPARSE_MAX
    }

    /// Returns the bytes of memory that they have outside of themselves.
    pub(super) fn heap_bytes(&self) -> usize {
        // A place of the table is a pair, its counts, and a byte of its hash.
        let sparse = self.sparse.capacity() * (size_of::<(u64, ClickTotals)>() + 1);
        self.dense.capacity() * size_of::<ClickTotals>() + sparse
    }

    /// Gives the places of pairs room for these second keys.
    fn widen(&mut self, second: &[u32]) {
        if self.second_bits == DENSE_BITS {
            return;
        }
        // Larger ones are in the sparse table.
        let widest = second.iter().filter(|key| **key < 1 << DENSE_BITS).max().map_or(0, |key| *key);
        let (before, bits) = (self.second_bits, u32::BITS - widest.leading_zeros());
        if bits <= before {
            return;
        }
        let narrow = std::mem::take(&mut self.dense);
        self.second_bits = bits;
        for (place, sum) in narrow.into_iter().enumerate().filter(|(_, sum)| *sum != ClickTotals::default()) {
            let (first, second) = (place >> before, place & ((1 << before) - 1));
            let place = first << bits | second;
            self.grow(place + 1);
            self.dense[place] = sum;
        }
    }

    /// Returns the place of a pair in the dense table, which has room for all second keys that it may contain.
    fn dense_place(&self, first: u32, second: u32) -> Option<usize> {
        // Both bounds: a larger second key would have the place of the next first key.
        let is_dense = second < 1 << DENSE_BITS && first < FIRST_MAX;
        is_dense.then_some((first as usize) << self.second_bits | second as usize)
    }

    fn grow(&mut self, places: usize) {
        if self.dense.len() < places {
            self.dense.resize(places, ClickTotals::default());
        }
    }

    /// Returns the counts of a row.
    pub(super) fn get(&self, keys: [u32; 2], is_pair: bool) -> ClickTotals {
        if is_pair && keys[1] < 1 << DENSE_BITS && keys[1] >> self.second_bits != 0 {
            // No pair has this second key, which would have the place of another pair.
            return ClickTotals::default();
        }
        let place = if is_pair { self.dense_place(keys[0], keys[1]) } else { Some(keys[0] as usize) };
        match place {
            Some(place) => self.dense.get(place).copied().unwrap_or_default(),
            None => self.sparse.get(&pair(keys[0], keys[1])).copied().unwrap_or_default(),
        }
    }

    /// Iterates over all rows that have a count, in any order.
    pub(super) fn rows(&self, is_pair: bool) -> impl Iterator<Item = ([u32; 2], ClickTotals)> {
        let bits = self.second_bits;
        let dense = (0_u32..).zip(&self.dense).map(move |(place, sum)| {
            let keys = [place >> bits, place & ((1 << bits) - 1)];
            (if is_pair { keys } else { [place, 0] }, *sum)
        });
        let sparse = self.sparse.iter().map(|(pair, sum)| (keys(*pair), *sum));
        // The dense table has places for pairs that never occurred, and they are no rows.
        dense.chain(sparse).filter(|(_, sum)| *sum != ClickTotals::default())
    }

    /// Returns the sum of all rows.
    pub(super) fn total(&self) -> ClickTotals {
        self.dense.iter().chain(self.sparse.values()).copied().fold(ClickTotals::default(), ClickTotals::plus)
    }
}

fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

fn keys(pair: u64) -> [u32; 2] {
    [pair >> 32, pair & u64::from(u32::MAX)].map(|half| u32::try_from(half).expect("32 bits"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn pairs_have_their_own_sums() {
        // The corners of the dense table, one step behind each, a pair far away, and two pairs twice.
        let first = [0, 1, 255, 256, 0, 1, 70_000, 255];
        let second = [0, 1_023, 1_023, 0, 1_024, 1_023, 90_000, 1_023];
        // Powers of two, so that each sum shows its pairs.
        let clicks = [1, 2, 4, 8, 16, 32, 64, 128];
        let mut sums = Sums::default();
        sums.add_pairs(&first, &second, Amounts { clicks: &clicks, visitors: &[1; 8] });
        let mut want = BTreeMap::<_, ClickTotals>::new();
        for ((first, second), clicks) in first.into_iter().zip(second).zip(clicks) {
            let sum = want.entry([first, second]).or_default();
            *sum = sum.plus(ClickTotals { clicks: clicks.into(), visitors: 1 });
        }
        assert_eq!(sums.rows(true).collect::<BTreeMap<_, _>>(), want);
        for (keys, sum) in want {
            assert_eq!(sums.get(keys, true), sum);
        }
        assert_eq!(sums.get([5, 5], true), ClickTotals::default());
        assert_eq!(sums.total(), ClickTotals { clicks: 255, visitors: 8 });
        assert_eq!(sums.get([1, 1], true), ClickTotals::default());
    }

    /// The table grows with the second keys, in any order of their pairs, and is no larger than they need.
    #[test]
    fn few_second_keys_take_few_places() {
        let mut pairs: Vec<_> =
            (0..200).flat_map(|first| (0..3).map(move |second| (first, second))).collect();
        for round in 0..3_u64 {
            let mut sums = Sums::default();
            for (first, second) in &pairs {
                let clicks = [first * 3 + second + 1];
                sums.add_pairs(&[*first], &[*second], Amounts { clicks: &clicks, visitors: &[1] });
            }
            let want =
                pairs.iter().map(|(first, second)| ([*first, *second], u64::from(first * 3 + second + 1)));
            let rows = sums.rows(true).map(|(keys, sum)| (keys, sum.clicks));
            assert_eq!(rows.collect::<BTreeMap<_, _>>(), want.collect(), "{round}");
            for second in 3..1_024 {
                assert_eq!(sums.get([7, second], true), ClickTotals::default(), "{second}");
            }
            let bytes = sums.heap_bytes();
            assert!(bytes < 64 << 10, "{bytes} bytes in round {round}");
            // Wide keys first, then in the middle.
            pairs.rotate_right(1);
        }
    }

    #[test]
    fn too_many_pairs_are_noticed() {
        let mut sums = Sums::default();
        let (second, ones) = (vec![5_000; SPARSE_MAX], vec![1; SPARSE_MAX]);
        let first: Vec<u32> = (0..).take(SPARSE_MAX).collect();
        let amounts = Amounts { clicks: &ones, visitors: &ones };
        sums.add_pairs(&first, &second, amounts);
        assert!(!sums.is_too_large());
        sums.add_pairs(&first[..1], &[5_001], amounts);
        assert!(sums.is_too_large());
    }

    #[test]
    fn keys_have_their_sums() {
        let mut sums = Sums::default();
        let amounts = Amounts { clicks: &[1, 2, 3], visitors: &[0, 1, 1] };
        sums.add(&[4, 2, 4], amounts);
        sums.add(&[2, 2, 2], amounts);
        let want = [
            ([2, 0], ClickTotals { clicks: 8, visitors: 3 }),
            ([4, 0], ClickTotals { clicks: 4, visitors: 1 }),
        ];
        // Keys 0, 1 and 3 have places without counts, and are no rows.
        assert!(sums.rows(false).eq(want));
        assert_eq!(sums.get([4, 0], false), want[1].1);
        assert_eq!(sums.get([9, 0], false), ClickTotals::default());
        let mut total = Sums::default();
        total.add_total(amounts);
        assert_eq!(total.total(), ClickTotals { clicks: 6, visitors: 2 });
    }
}
