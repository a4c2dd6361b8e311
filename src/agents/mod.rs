//! Classifies visitors by their User-Agent: a person, a crawler of link previews, or another bot.
//!
//! This runs on every redirect, since bots are not counted. A table of fixed size caches each result under a
//! keyed hash of the User-Agent. A hit computes the hash and loads one word; it allocates and writes nothing.
//! Only a miss matches the User-Agent against the [`list`], in linear time.
//!
//! The list is data, `crawlers.tsv`, which the script `refresh` beside it generates. The script also contains
//! the differences from its source, with reasons. To refresh: run the script, run the test that it names,
//! commit. `additions.tsv` is an own list beside it, with a source and a date for each row.

mod agent;
pub mod classes;
mod list;
mod user_agent;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

pub use self::agent::Agent;
pub use self::user_agent::{AgentDetail, UserAgent};

/// Bytes of a User-Agent that are read, so that a long one costs no more to hash and match. User-Agents of
/// in-app browsers have up to some 500 bytes. Past it: ignored.
const MAX_LOOKED_AT: usize = 1024;

/// Slots of the cache: 64 KiB. A busy site meets a few thousand User-Agents an hour. An evicted one is
/// matched again, which takes about a microsecond.
const SLOTS: usize = 8192;

/// The bits of a slot that contain [`UserAgent::bits`]; zero in an empty slot. The other bits are those of the hash.
const VERDICT: u64 = (1 << UserAgent::BITS) - 1;

/// Classifies visitors. A handle, cheap to clone.
#[derive(Clone)]
pub struct Agents {
    cache: Arc<AgentCache>,
}

struct AgentCache {
    /// Random for each process, so that an attacker cannot choose User-Agents that share a slot.
    keys: RandomState,
    /// 1. The low 13 bits of the hash choose the slot. The slot contains the upper 49 bits of the hash, and
    ///    the class in place of the lowest 15. Together these are 62 bits of the hash, so another User-Agent
    ///    is mistaken for the cached one once in 2^62 look-ups; the cost is one click counted wrongly.
    /// 2. All accesses are `Relaxed`: one word contains all that a reader needs, and guards nothing else. Of
    ///    two concurrent writers, the slot keeps either word, and both are right.
    slots: Box<[AtomicU64]>,
}

impl Agents {
    /// Creates an empty cache. The list is compiled at the first miss: 2 ms, once.
    pub fn new() -> Agents {
        Agents::with_keys(RandomState::new())
    }

    /// Creates an empty cache whose hashes are those of another process with the same seed. The seed must be random and
    /// secret.
    pub fn seeded(seed: [u8; 16]) -> Agents {
        let seed = u128::from_le_bytes(seed);
        // Truncated on purpose: the two halves.
        #[allow(clippy::cast_possible_truncation)]
        let (low, high) = (seed as u64, (seed >> 64) as u64);
        // The other two keys may follow from the first: only the secret seed is not to be known.
        Agents::with_keys(RandomState::with_seeds(low, high, !low, !high))
    }

    fn with_keys(keys: RandomState) -> Agents {
        // Zero is an empty slot: no kind has these bits.
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Agents { cache: Arc::new(AgentCache { keys, slots }) }
    }

    /// Returns the kind of visitor that sends this User-Agent. Without one, or with an empty one, the visitor
    /// is a person: scripts may omit it.
    pub fn of(&self, user_agent: Option<&[u8]>) -> Agent {
        self.look_up(user_agent).kind
    }

    /// Returns all that a User-Agent tells.
    #[inline]
    pub fn look_up(&self, user_agent: Option<&[u8]>) -> UserAgent {
        match user_agent.filter(|bytes| !bytes.is_empty()) {
            Some(user_agent) => self.classify(user_agent),
            // Without a look-up: a missing User-Agent must have the hash 0 under all keys.
            None => UserAgent::NONE,
        }
    }

    fn classify(&self, user_agent: &[u8]) -> UserAgent {
        let looked_at = &user_agent[..user_agent.len().min(MAX_LOOKED_AT)];
        let hash = self.cache.keys.hash_one(looked_at);
        // Truncated on purpose: only the low bits choose.
        #[allow(clippy::cast_possible_truncation)]
        let slot = &self.cache.slots[hash as usize % SLOTS];
        let known = slot.load(Ordering::Relaxed);
        // All bits but the class must be equal. An empty slot may match a hash, but has no kind.
        if (known ^ hash) & !VERDICT == 0
            && let Some(agent) = UserAgent::of_bits(known & VERDICT, hash)
        {
            return agent;
        }
        // Not the whole User-Agent: equal hashes must have equal results.
        let agent = UserAgent::find(looked_at, hash);
        // Two threads may store at once (`slots`, rule 2).
        slot.store(hash & !VERDICT | u64::from(agent.bits()), Ordering::Relaxed);
        agent
    }
}

impl Default for Agents {
    fn default() -> Agents {
        Agents::new()
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
