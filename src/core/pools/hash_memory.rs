//! The memory that Argon2 fills: buffers that are allocated once and reused.
//!
//! Argon2 fills 19 MiB for each of our hashes. If that memory is freed to the allocator after every hash, it
//! stays in the arena of the thread that computed the hash, once for every thread: a stranger's guesses made
//! the process grow without end. [`HashMemory`] promises that hashing uses at most [`HashMemory::slots`]
//! buffers of [`OWN_KIB`], and besides at most one larger buffer, which returns to the system after its hash.

use argon2::Block;
use parking_lot::Mutex;

use crate::model::link::HASH_MEMORY_KIB_MAX;

/// Memory of our own hashes in KiB, and so of each buffer that is kept: OWASP's first recommendation
/// for Argon2id.
pub(in crate::core) const OWN_KIB: u32 = 19 * 1024;

/// Most hashes that are computed at once, on any number of cores: 76 MiB of buffers. Past it, hashes wait for
/// each other.
const SLOTS_MAX: usize = 4;

/// The part of the memory for hashing that is for buffers, as a divisor; the rest is for one larger hash.
const BUFFERS_PART: usize = 2;

/// The memory that a hash needs and may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) struct TooLarge {
    /// Memory that the hash needs, in KiB.
    pub(in crate::core) wanted: u32,
    /// Most memory of one hash on this machine, in KiB.
    pub(in crate::core) allowed: u32,
}

/// Buffers for hashing.
#[derive(Debug)]
pub(in crate::core) struct HashMemory {
    slots: usize,
    /// Most memory of one hash, in KiB, of at least [`OWN_KIB`].
    largest: u32,
    /// Buffers of [`OWN_KIB`] that no hash uses now. The last one returned is the next one used, so
    /// that hashes one after another touch a single buffer. At most as many as hashes were ever
    /// computed at once, which the caller bounds by [`HashMemory::slots`].
    idle: Mutex<Vec<Vec<Block>>>,
    /// Held by the one hash that is larger than our own: buffers of many sizes at once would add up.
    large: Mutex<()>,
}

/// A buffer in use. It returns to the idle buffers also when its hash panics.
struct Loan<'a> {
    buffer: Vec<Block>,
    idle: &'a Mutex<Vec<Vec<Block>>>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.idle.lock().push(std::mem::take(&mut self.buffer));
    }
}

impl HashMemory {
    /// Divides `bytes` of memory among at most `threads` hashes at once. One hash of our own is
    /// always possible, however little memory there is.
    pub(in crate::core) fn new(bytes: usize, threads: usize) -> HashMemory {
        let own = OWN_KIB as usize * Block::SIZE;
        let fitting = bytes / BUFFERS_PART / own;
        let largest = u32::try_from(bytes / Block::SIZE).unwrap_or(u32::MAX);
        HashMemory {
            slots: fitting.min(threads).clamp(1, SLOTS_MAX),
            largest: largest.clamp(OWN_KIB, HASH_MEMORY_KIB_MAX),
            idle: Mutex::new(Vec::new()),
            large: Mutex::new(()),
        }
    }

    /// Returns how many hashes may be computed at once.
    pub(in crate::core) fn slots(&self) -> usize {
        self.slots
    }

    /// Runs `work` with a buffer of at least `kib` blocks of one KiB each. Blocks while another
    /// hash that is larger than our own is computed, if this one is larger as well.
    pub(in crate::core) fn with<T>(
        &self,
        kib: u32,
        work: impl FnOnce(&mut [Block]) -> T,
    ) -> Result<T, TooLarge> {
        // Rejected before anything is allocated.
        if kib > self.largest {
            return Err(TooLarge { wanted: kib, allowed: self.largest });
        }
        if kib <= OWN_KIB {
            let idle = self.idle.lock().pop();
            // Allocated at the first need: a server without passwords never has these buffers.
            let buffer = idle.unwrap_or_else(|| vec![Block::new(); OWN_KIB as usize]);
            let mut loan = Loan { buffer, idle: &self.idle };
            return Ok(work(&mut loan.buffer));
        }
        // Blocks a thread for heavy work, never one that polls tasks.
        let _alone = self.large.lock();
        // Reserved at its largest, so that the allocator always maps it by itself and unmaps it when
        // it is dropped: glibc keeps what is below 32 MiB once it has seen such a size. Pages that
        // the hash does not use are never touched.
        let mut buffer = Vec::with_capacity(HASH_MEMORY_KIB_MAX as usize);
        buffer.resize(kib as usize, Block::new());
        Ok(work(&mut buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// Hashes one after another use one buffer, and as many at once as there are threads use as many.
    #[test]
    fn n02_buffers_are_reused() {
        let memory = HashMemory::new(1024 * MIB, 2);
        for kib in [8, OWN_KIB, 100] {
            memory.with(kib, |buffer| assert_eq!(buffer.len(), OWN_KIB as usize)).expect("it fits");
            assert_eq!(memory.idle.lock().len(), 1);
        }
        // Two hashes at once need two buffers, so none is idle.
        let nested = memory.with(OWN_KIB, |_| memory.with(OWN_KIB, |_| memory.idle.lock().len()));
        assert_eq!(nested, Ok(Ok(0)));
        assert_eq!(memory.idle.lock().len(), 2);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            memory.with(OWN_KIB, |_| panic!("a hash that fails"))
        }));
        assert!(panicked.is_err());
        assert_eq!(memory.idle.lock().len(), 2, "its buffer came back");
    }

    /// A larger hash is computed alone, keeps nothing, and is rejected where the memory is not allowed.
    #[test]
    fn n22_a_larger_hash_takes_what_this_machine_allows() {
        for (bytes, slots, largest) in [
            // Less than one buffer: a hash of our own is possible all the same.
            (16 * MIB, 1, OWN_KIB),
            (32 * MIB, 1, 32 * 1024),
            // Half of 76 MiB has room for two buffers of 19 MiB.
            (76 * MIB, 2, 65_536),
            // Bounded by `SLOTS_MAX` and by the largest hash of the model.
            (1024 * MIB, 4, 65_536),
            (usize::MAX, 4, 65_536),
        ] {
            let memory = HashMemory::new(bytes, 64);
            assert_eq!((memory.slots(), memory.largest), (slots, largest), "{bytes}");
            assert!(memory.with(largest, |buffer| buffer.len()).is_ok());
            assert_eq!(memory.idle.lock().len(), usize::from(largest == OWN_KIB), "it was not kept");
            let refused = Err(TooLarge { wanted: largest + 1, allowed: largest });
            assert_eq!(memory.with(largest + 1, |_| ()), refused);
        }
        assert_eq!(HashMemory::new(usize::MAX, 1).slots(), 1);
        assert_eq!(HashMemory::new(usize::MAX, 0).slots(), 1);
    }
}
