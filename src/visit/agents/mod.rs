//! Who asks: a person, a crawler that fetches the preview of a link, or another bot.
//!
//! Asked on every redirect, since bots are not counted. A verdict is remembered by a keyed hash of
//! the User-Agent in a table of fixed size: a hit hashes, loads one word, allocates nothing, writes
//! nothing. Only a User-Agent not seen lately is matched against the [`list`], in linear time.
//!
//! The list is data, `crawlers.tsv`, made by the script `refresh` beside it; that script also holds
//! what differs from its source, with reasons. To refresh: run it, run the test it names, commit.

mod agent;
mod list;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

pub use self::agent::Agent;

/// How much of a User-Agent is looked at, in bytes, so that a long one costs no more to hash and
/// match than this. In-app browsers' reach some 500; what stands behind the limit is as if unsent.
const MAX_LOOKED_AT: usize = 1024;

/// Remembered verdicts: 64 KiB. A busy site meets a few thousand different User-Agents an hour; one
/// that lost its place to another is matched again, which takes about a microsecond.
const SLOTS: usize = 8192;

/// The bits of a slot that hold a verdict; zero is an empty slot's. The others are the hash's own.
const VERDICT: u64 = 0b11;

/// Tells who asks, by the User-Agent. A handle, cheap to clone.
#[derive(Clone)]
pub struct Agents {
    cache: Arc<AgentCache>,
}

struct AgentCache {
    /// Drawn per process, so that strangers cannot choose User-Agents that share a slot.
    keys: RandomState,
    /// The slot of a User-Agent is chosen by the low 13 bits of its hash and holds the upper 62,
    /// with the verdict in place of the lowest two. Together they are the whole hash, so another
    /// User-Agent is taken for it once in 2^64 look-ups; the cost of that is a click counted or not.
    ///
    /// Relaxed everywhere: one word carries all that a reader needs, and guards nothing else. Two
    /// writers of one slot leave either's word, both true.
    slots: Box<[AtomicU64]>,
}

impl Agents {
    /// With no verdict remembered yet. The list is compiled when first needed: 2 ms, once.
    pub fn new() -> Agents {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Agents { cache: Arc::new(AgentCache { keys: RandomState::new(), slots }) }
    }

    /// Who sent this User-Agent. None or an empty one is a person's: scripts may leave it out.
    pub fn of(&self, user_agent: Option<&[u8]>) -> Agent {
        let Some(user_agent) = user_agent.filter(|bytes| !bytes.is_empty()) else { return Agent::Person };
        let looked_at = &user_agent[..user_agent.len().min(MAX_LOOKED_AT)];
        let hash = self.cache.keys.hash_one(looked_at);
        // Truncation is meant: only the low bits choose.
        #[allow(clippy::cast_possible_truncation)]
        let slot = &self.cache.slots[hash as usize % SLOTS];
        let known = slot.load(Ordering::Relaxed);
        if (known ^ hash) & !VERDICT == 0
            && let Some(agent) = Agent::of_bits(known & VERDICT)
        {
            return agent;
        }
        let agent = list::find(looked_at);
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
