//! [`Sums`]: the counts of each row of a breakdown.

use ahash::AHashMap;

use super::totals::ClickTotals;

/// Numbers of second keys that have a place in the dense table.
// 1,024 second keys are enough for all countries, and for the days of two years.
const DENSE_BITS: u32 = 10;

/// Places of the dense table of pairs: 4 MB.
const DENSE_MAX: u64 = 256 << DENSE_BITS;

/// Most pairs outside of the dense table: 50 MB. A workspace can have more pairs of links and referrers than
/// memory.
const SPARSE_MAX: usize = 1 << 20;

/// The counts of the rows of a breakdown by up to two facets.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By the number of the key. Of two keys, the frequent pairs: numbers are given in the order of the first
    /// click.
    dense: Vec<ClickTotals>,
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
        for ((first, second), more) in first.iter().zip(second).zip(amounts.iter()) {
            let sum = match dense_place(*first, *second) {
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

    fn grow(&mut self, places: usize) {
        if self.dense.len() < places {
            self.dense.resize(places, ClickTotals::default());
        }
    }

    /// Returns the counts of a row.
    pub(super) fn get(&self, keys: [u32; 2], is_pair: bool) -> ClickTotals {
        let place = if is_pair { dense_place(keys[0], keys[1]) } else { Some(keys[0] as usize) };
        match place {
            Some(place) => self.dense.get(place).copied().unwrap_or_default(),
            None => self.sparse.get(&pair(keys[0], keys[1])).copied().unwrap_or_default(),
        }
    }

    /// Iterates over all rows that have a count, in any order.
    pub(super) fn rows(&self, is_pair: bool) -> impl Iterator<Item = ([u32; 2], ClickTotals)> {
        let dense = (0_u32..).zip(&self.dense).map(move |(place, sum)| {
            let keys = [place >> DENSE_BITS, place & ((1 << DENSE_BITS) - 1)];
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

/// Returns the place of a pair in the dense table.
fn dense_place(first: u32, second: u32) -> Option<usize> {
    let place = u64::from(first) << DENSE_BITS | u64::from(second);
    // Both bounds: a larger second key would have the place of the next first key.
    (second < 1 << DENSE_BITS && place < DENSE_MAX)
        .then(|| usize::try_from(place).expect("below the maximum"))
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
