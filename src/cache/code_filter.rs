//! A Bloom filter over the codes of all links: requests for unknown codes cost no read of the table. Until it
//! is complete, it accepts every code.
//!
//! It is filled from the table and from Changes concurrently, in any order, since bits are only set. The bits
//! of a deleted link stay, and cost one read of the table for each request. It takes 12 bits per link, and up
//! to twice that after it has grown.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bits per code. With [`PROBES`], some 0.7 % of unknown codes are false positives.
const BITS_PER_CODE: usize = 12;

/// Bits set per code, all in one block.
const PROBES: u32 = 6;

/// Fewest codes of the first layer: 100 KB.
const FIRST: usize = 65_536;

/// Most layers. Each has twice the codes of the last, so that no log reaches the end.
const LAYERS_MAX: usize = 32;

/// The bits that one look-up reads: a line of the CPU's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Block([AtomicU64; 8]);

impl Block {
    /// Returns word and bit of each probe, from nine bits each of the mixed hash. The hash is mixed since its
    /// high bits choose the block, and are equal for all codes of a block.
    fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        // The constant is 2^64 divided by the golden ratio. The probes take 54 bits: the top ones, which are
        // mixed best.
        let hash = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 10;
        (0..PROBES).map(move |n| {
            let bits = hash >> (9 * n);
            ((bits & 7) as usize, 1 << ((bits >> 3) & 63))
        })
    }

    fn has(&self, hash: u64) -> bool {
        Block::probes(hash).all(|(word, bit)| self.0[word].load(Ordering::Relaxed) & bit != 0)
    }

    fn set(&self, hash: u64) {
        for (word, bit) in Block::probes(hash) {
            // Relaxed: `complete` publishes the bits of the fill, the table's callbacks those of a Change.
            self.0[word].fetch_or(bit, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Layer {
    blocks: Box<[Block]>,
    /// Codes for which it is sized.
    most: usize,
    learnt: AtomicUsize,
}

impl Layer {
    fn new(most: usize) -> Layer {
        let blocks = (most * BITS_PER_CODE).div_ceil(512);
        Layer { blocks: (0..blocks).map(|_| Block::default()).collect(), most, learnt: AtomicUsize::new(0) }
    }

    fn block(&self, hash: u64) -> &Block {
        // Scales the hash to the number of blocks. Cheaper than a remainder.
        let at = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        &self.blocks[usize::try_from(at).expect("below the number of blocks")]
    }
}

/// All codes, by their hash.
#[derive(Debug)]
pub(super) struct CodeFilter {
    /// Each is twice the size of the one before. New codes go into the last one.
    layers: [OnceLock<Layer>; LAYERS_MAX],
    last: AtomicUsize,
    is_whole: AtomicBool,
}

impl CodeFilter {
    /// Creates a filter sized for `expected` codes. It grows beyond them.
    pub(super) fn new(expected: usize) -> CodeFilter {
        let codes = CodeFilter {
            layers: [const { OnceLock::new() }; LAYERS_MAX],
            last: AtomicUsize::new(0),
            is_whole: AtomicBool::new(false),
        };
        codes.layers[0].get_or_init(|| Layer::new(expected.max(FIRST)));
        codes
    }

    /// Returns whether a link of this hash may exist.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        // Acquire: a thread that sees `is_whole` sees every bit that was set before.
        !self.is_whole.load(Ordering::Acquire) || self.has(hash)
    }

    fn has(&self, hash: u64) -> bool {
        // In all layers: a code is in the layer that was the last one when it was added.
        self.layers.iter().map_while(OnceLock::get).any(|layer| layer.block(hash).has(hash))
    }

    /// Adds the hash of a link.
    pub(super) fn learn(&self, hash: u64) {
        // A code that is added again, as by each edit of its link, must not use up the layer.
        if self.has(hash) {
            return;
        }
        // Acquire: the layer was created before its number was stored.
        let last = self.last.load(Ordering::Acquire);
        let Some(layer) = self.layers[last].get() else { return };
        layer.block(hash).set(hash);
        let learnt = layer.learnt.fetch_add(1, Ordering::Relaxed);
        // Of concurrent callers exactly one fills the layer, and creates the next.
        if learnt + 1 == layer.most && last + 1 < LAYERS_MAX {
            self.layers[last + 1].get_or_init(|| Layer::new(2 * layer.most));
            self.last.store(last + 1, Ordering::Release);
        }
    }

    /// Marks the filter complete: it has every link that existed at its creation, and every one since.
    pub(super) fn complete(&self) {
        self.is_whole.store(true, Ordering::Release);
    }

    /// Returns its size in bytes.
    pub(super) fn bytes(&self) -> usize {
        let blocks = self.layers.iter().map_while(OnceLock::get).map(|layer| layer.blocks.len());
        blocks.sum::<usize>() * size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes() -> impl Fn(u64) -> u64 {
        // Fixed keys: a rate near its bound must not fail by chance.
        let random = ahash::RandomState::with_seeds(1, 2, 3, 4);
        move |n| random.hash_one(n)
    }

    #[test]
    fn learnt_codes_are_accepted_and_few_others() {
        let hash = hashes();
        // Sized as expected, and grown three times.
        for expected in [500_000, 0] {
            let codes = CodeFilter::new(expected);
            assert!(codes.may_have(hash(0)), "accepts all before it is complete");
            for n in 0..400_000 {
                codes.learn(hash(n));
            }
            codes.complete();
            assert!((0..400_000).all(|n| codes.may_have(hash(n))));
            let wrong = (1_000_000..1_100_000).filter(|n| codes.may_have(hash(*n))).count();
            // 0.7 % in one layer. After growth, the rates of the layers add up.
            assert!(wrong < 1_500, "{wrong} of 100,000 with {expected} expected");
            // 12 bits a code, and up to twice that after growth.
            let bits = 8 * codes.bytes() / expected.max(400_000);
            assert!((12..=24).contains(&bits), "{bits} bits a code with {expected} expected");
        }
    }

    /// The bits of one code are in one block. There are six unless some coincide, spread over the whole
    /// block.
    #[test]
    fn a_code_sets_its_probes_in_all_words_and_bits() {
        let hash = hashes();
        let (mut words, mut bits, mut set) = ([0_u32; 8], 0_u64, 0);
        for n in 0..1_000 {
            let block = Block::default();
            block.set(hash(n));
            assert!(block.has(hash(n)));
            for (word, value) in block.0.iter().enumerate() {
                let value = value.load(Ordering::Relaxed);
                (words[word], bits, set) =
                    (words[word] + value.count_ones(), bits | value, set + value.count_ones());
            }
        }
        assert_eq!(bits, u64::MAX, "every bit is used");
        // Six of 512 coincide in 3 of 100 codes.
        assert!(set > 5_900 && set <= 6_000, "{set} bits");
        assert!(words.iter().all(|count| (600..900).contains(count)), "{words:?}");
    }

    #[test]
    fn codes_learnt_concurrently_are_all_accepted() {
        let hash = hashes();
        let codes = CodeFilter::new(0);
        std::thread::scope(|scope| {
            for part in 0..4 {
                let (codes, hash) = (&codes, &hash);
                scope.spawn(move || (0..100_000).for_each(|n| codes.learn(hash(part * 100_000 + n))));
            }
        });
        codes.complete();
        assert!((0..400_000).all(|n| codes.may_have(hash(n))));
        // A filter that accepts everything would pass the line above.
        assert!(!(500_000..500_100).all(|n| codes.may_have(hash(n))));
    }
}
