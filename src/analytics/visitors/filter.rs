//! [`PairFilter`]: which pairs were seen today, in a bounded number of bytes.
//!
//! A scalable blocked Bloom filter. A layer that is full stays as it is, and a larger one takes the next pairs. A pair
//! may be taken for one that was seen, which under-counts visitors, and never the other way round.
//!
//! Each layer adds its errors to those of the others, so one large layer is better than many. A filter is therefore made
//! for the number of pairs that are expected, and replaced by a larger one where the pairs are in a file.

use super::key::VisitorPair;

/// Bytes of a block: a cache line. All bits of a pair are in one block, so a query loads one line of each layer.
const BLOCK_BYTES: usize = 64;

/// Words of a block.
const WORDS: usize = BLOCK_BYTES / 8;

/// Bits that a pair sets in its block.
const PROBES: usize = 8;

/// Bytes of the first layer.
const FIRST_BYTES: usize = 256 * 1024;

/// How many times as large as the layer before it a layer is. So the default limit has four layers.
const GROWTH: usize = 4;

/// Bits for each pair of a full layer that others follow. Its errors, 0.03 %, add to those of all later layers.
const BITS_FOLLOWED: usize = 20;

/// Bits for each pair of the last layer when it is full. Its errors are then 0.8 %, and a tenth of that on average until
/// then. At 13 bits, as for 10 million pairs in 16 MiB, they are 0.3 %.
const BITS_LAST: usize = 11;

/// A set of pairs.
#[derive(Debug)]
pub(super) struct PairFilter {
    /// At least one. Only the last one grows.
    layers: Vec<FilterLayer>,
    bytes_max: usize,
}

#[derive(Debug)]
struct FilterLayer {
    blocks: Vec<FilterBlock>,
    pairs: usize,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct FilterBlock([u64; WORDS]);

impl PairFilter {
    /// Creates an empty set with room for `expected` pairs in one layer, which grows to at most `bytes_max` bytes.
    pub(super) fn new(expected: usize, bytes_max: usize) -> PairFilter {
        // At least one block, so that `block_of` always has one to choose.
        let bytes_max = bytes_max.max(BLOCK_BYTES) / BLOCK_BYTES * BLOCK_BYTES;
        let mut bytes = FIRST_BYTES;
        // Ends at the limit, whatever is expected: a flood yesterday must not overflow today's size.
        while bytes * 8 / BITS_FOLLOWED < expected && bytes < bytes_max {
            bytes *= GROWTH;
        }
        PairFilter { layers: vec![FilterLayer::new(bytes, bytes_max)], bytes_max }
    }

    /// Adds a pair. Returns whether it is new.
    pub(super) fn insert(&mut self, pair: VisitorPair) -> bool {
        let probes = Probes::of(pair);
        // All layers: a full one keeps the pairs of the morning.
        if self.layers.iter().any(|layer| layer.contains(&probes)) {
            return false;
        }
        if self.last().is_full() {
            self.grow();
        }
        // Past the limit too: the last layer then has more errors, and never forgets a pair.
        self.layers.last_mut().expect("there is one").insert(&probes);
        true
    }

    /// Returns whether the next new pair adds a layer.
    pub(super) fn is_about_to_grow(&self) -> bool {
        self.last().is_full() && self.bytes() < self.bytes_max
    }

    /// Returns whether there are more pairs than the limit of memory is for. From then on, [`PairFilter::insert`]
    /// takes 1 % of new pairs for known ones, and more of later ones.
    pub(super) fn is_overfull(&self) -> bool {
        self.last().is_full() && self.bytes() >= self.bytes_max
    }

    /// Returns the number of pairs.
    pub(super) fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.pairs).sum()
    }

    /// Returns the bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(FilterLayer::bytes).sum()
    }

    fn last(&self) -> &FilterLayer {
        self.layers.last().expect("there is one")
    }

    /// Adds a layer, if the limit allows one.
    fn grow(&mut self) {
        // Cannot underflow: no layer is larger than what was left for it.
        let rest = self.bytes_max - self.bytes();
        if rest > 0 {
            self.layers.push(FilterLayer::new(self.last().bytes() * GROWTH, rest));
        }
    }
}

impl FilterLayer {
    /// Creates a layer of `wanted` bytes. If the `rest` of the limit is too small for two such layers, this one is the
    /// last and takes it all.
    fn new(wanted: usize, rest: usize) -> FilterLayer {
        // A last layer of a few blocks would be full at once, and its errors would add to the others.
        let (bytes, bits) = if rest < 2 * wanted { (rest, BITS_LAST) } else { (wanted, BITS_FOLLOWED) };
        let blocks = vec![FilterBlock([0; WORDS]); bytes / BLOCK_BYTES];
        FilterLayer { blocks, pairs: 0, capacity: bytes * 8 / bits }
    }

    fn is_full(&self) -> bool {
        self.pairs >= self.capacity
    }

    fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    fn contains(&self, probes: &Probes) -> bool {
        // One cache line: the wait for memory is most of the cost.
        let block = self.blocks[probes.block_of(self.blocks.len())].0;
        probes.bits.iter().all(|bit| block[bit.word] & bit.mask != 0)
    }

    fn insert(&mut self, probes: &Probes) {
        let at = probes.block_of(self.blocks.len());
        for bit in &probes.bits {
            self.blocks[at].0[bit.word] |= bit.mask;
        }
        self.pairs += 1;
    }
}

/// Where the bits of a pair are.
struct Probes {
    /// Chooses the block of each layer: 32 bits.
    block: u64,
    bits: [Bit; PROBES],
}

#[derive(Clone, Copy)]
struct Bit {
    word: usize,
    mask: u64,
}

impl Probes {
    fn of(pair: VisitorPair) -> Probes {
        let first = mix(pair.number());
        // Nine bits for each probe: seven probes take 63 bits, and the eighth takes bits that do not choose the block.
        let mut second = mix(first);
        let mut bits = [Bit::of(first); PROBES];
        for bit in &mut bits[1..] {
            *bit = Bit::of(second);
            second >>= 9;
        }
        Probes { block: first >> 32, bits }
    }

    /// Returns the place of the block among `blocks`.
    fn block_of(&self, blocks: usize) -> usize {
        // Cheaper than a remainder, and the number of blocks need not be a power of two.
        usize::try_from((self.block * blocks as u64) >> 32).expect("below the number of blocks")
    }
}

impl Bit {
    fn of(nine_bits: u64) -> Bit {
        let word = usize::try_from(nine_bits >> 6 & 7).expect("three bits");
        Bit { word, mask: 1 << (nine_bits & 63) }
    }
}

/// Distributes the bits of a number over all 64 bits: the end of `MurmurHash3`. A pair is a keyed hash already, of which
/// only 40 bits are left.
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ number >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Returns pairs that do not repeat: an odd factor maps 40 bits to 40 bits, each once.
    fn pairs(count: u64) -> impl Iterator<Item = VisitorPair> {
        (0..count).map(|number| VisitorPair::from_number(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Returns how many of these new pairs a filter takes for known ones.
    fn missed(filter: &mut PairFilter, pairs: impl Iterator<Item = VisitorPair>) -> usize {
        pairs.filter(|pair| !filter.insert(*pair)).count()
    }

    #[test]
    fn a_million_pairs_are_under_counted_by_less_than_a_thousandth() {
        let mut filter = PairFilter::new(0, 16 * MIB);
        let missed = missed(&mut filter, pairs(1_000_000));
        // 0.04 %, as the documentation of `visitors` promises.
        assert!(missed <= 400, "{missed}");
        assert!(!filter.is_overfull());
        assert!(filter.bytes() <= 6 * MIB, "{}", filter.bytes());
        assert_eq!(filter.len(), 1_000_000 - missed);
        assert!(pairs(1_000_000).all(|pair| !filter.insert(pair)), "none is forgotten");
    }

    /// Takes seconds in a release build, and a minute in a debug build: `cargo test --release -- --ignored`.
    #[test]
    #[ignore = "10 million pairs"]
    fn ten_million_pairs_fit_the_default_limit() {
        let mut filter = PairFilter::new(0, 16 * MIB);
        let missed = missed(&mut filter, pairs(10_000_000));
        assert!(missed <= 30_000, "{missed}");
        assert!(!filter.is_overfull());
        assert_eq!(filter.bytes(), 16 * MIB);
    }

    #[test]
    fn the_first_layer_is_small_and_the_limit_is_kept() {
        for (limit, first) in
            [(16 * MIB, 256 * 1024), (MIB, 256 * 1024), (300_000, 299_968), (65, 64), (0, 64)]
        {
            let mut filter = PairFilter::new(0, limit);
            assert_eq!(filter.len(), 0);
            assert_eq!(filter.bytes(), first, "{limit}");
            missed(&mut filter, pairs(200_000));
            assert!(filter.bytes() <= limit.max(BLOCK_BYTES), "{limit}");
        }
    }

    #[test]
    fn a_filter_for_many_pairs_has_one_layer() {
        for (expected, limit, bytes) in [
            (0, 16 * MIB, 256 * 1024),
            // The last number for which the first layer is enough, and the next one.
            (104_857, 16 * MIB, 256 * 1024),
            (104_858, 16 * MIB, MIB),
            (2_000_000, 16 * MIB, 16 * MIB),
            (10_000_000, 16 * MIB, 16 * MIB),
            // What `restore` passes for a number that does not fit.
            (usize::MAX, 16 * MIB, 16 * MIB),
            (10_000_000, 1_000, 960),
        ] {
            assert_eq!(PairFilter::new(expected, limit).bytes(), bytes, "{expected}");
        }
        let mut filter = PairFilter::new(100_000, MIB);
        for pair in pairs(200_000) {
            if filter.is_about_to_grow() {
                break;
            }
            filter.insert(pair);
        }
        assert_eq!((filter.len(), filter.bytes()), (104_857, 256 * 1024));
        missed(&mut filter, pairs(1_000_000));
        assert!(filter.is_overfull() && !filter.is_about_to_grow());
    }

    #[test]
    fn an_overfull_filter_says_so_before_one_percent_is_missed() {
        let mut filter = PairFilter::new(0, 64 * 1024);
        let mut missed = Vec::new();
        for pair in pairs(200_000) {
            let is_new = filter.insert(pair);
            if filter.is_overfull() {
                break;
            }
            missed.push(!is_new);
        }
        assert!(missed.len() > 45_000, "{}", missed.len());
        // The last pairs have the most errors.
        let last = &missed[missed.len() - 10_000..];
        assert!(last.iter().filter(|missed| **missed).count() <= 100, "the last fifth");
        assert!(missed.iter().filter(|missed| **missed).count() <= 150, "all");
    }
}
