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
mod list;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

pub use self::agent::Agent;

/// Bytes of a User-Agent that are read, so that a long one costs no more to hash and match. User-Agents of
/// in-app browsers have up to some 500 bytes. Past it: ignored.
const MAX_LOOKED_AT: usize = 1024;

/// Slots of the cache: 64 KiB. A busy site meets a few thousand User-Agents an hour. An evicted one is
/// matched again, which takes about a microsecond.
const SLOTS: usize = 8192;

/// The bits of a slot that contain the kind of visitor; zero in an empty slot. The other bits are those of
/// the hash.
const VERDICT: u64 = 0b11;

/// Classifies visitors. A handle, cheap to clone.
#[derive(Clone)]
pub struct Agents {
    cache: Arc<AgentCache>,
}

struct AgentCache {
    /// Random for each process, so that an attacker cannot choose User-Agents that share a slot.
    keys: RandomState,
    /// 1. The low 13 bits of the hash choose the slot. The slot contains the upper 62 bits of the hash, and
    ///    the kind in place of the lowest two. Together these are all bits of the hash, so another User-Agent
    ///    is mistaken for the cached one once in 2^64 look-ups; the cost is one click counted wrongly.
    /// 2. All accesses are `Relaxed`: one word contains all that a reader needs, and guards nothing else. Of
    ///    two concurrent writers, the slot keeps either word, and both are right.
    slots: Box<[AtomicU64]>,
}

impl Agents {
    /// Creates an empty cache. The list is compiled at the first miss: 2 ms, once.
    pub fn new() -> Agents {
        // Zero is an empty slot: no kind has these bits.
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Agents { cache: Arc::new(AgentCache { keys: RandomState::new(), slots }) }
    }

    /// Returns the kind of visitor that sends this User-Agent. Without one, or with an empty one, the visitor
    /// is a person: scripts may omit it.
    pub fn of(&self, user_agent: Option<&[u8]>) -> Agent {
        let Some(user_agent) = user_agent.filter(|bytes| !bytes.is_empty()) else { return Agent::Person };
        let looked_at = &user_agent[..user_agent.len().min(MAX_LOOKED_AT)];
        let hash = self.cache.keys.hash_one(looked_at);
        // Truncated on purpose: only the low bits choose.
        #[allow(clippy::cast_possible_truncation)]
        let slot = &self.cache.slots[hash as usize % SLOTS];
        let known = slot.load(Ordering::Relaxed);
        // All bits but the kind must be equal. An empty slot may match a hash, but has no kind.
        if (known ^ hash) & !VERDICT == 0
            && let Some(agent) = Agent::of_bits(known & VERDICT)
        {
            return agent;
        }
        // Not the whole User-Agent: equal hashes must have equal results.
        let agent = list::find(looked_at);
        // Two threads may store at once (`slots`, rule 2).
        slot.store(hash & !VERDICT | agent.bits(), Ordering::Relaxed);
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
