//! Who asks: a person, a crawler that fetches the preview of a link, or another bot.
//!
//! Asked on every redirect, since bots are not counted. A verdict is remembered by a keyed hash of
//! the User-Agent in a table of fixed size: a hit hashes, loads one word, allocates nothing, writes
//! nothing. Only a User-Agent not seen lately is matched against the [`list`], in linear time.
//!
//! The list is data, `crawlers.tsv`, made by the script `refresh` beside it; that script also holds
//! what differs from its source, with reasons. To refresh: run it, run the test it names, commit.

mod list;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

/// How much of a User-Agent is looked at, in bytes, so that a long one costs no more to hash and
/// match than this. In-app browsers' reach some 500; what stands behind the limit is as if unsent.
const MAX_LOOKED_AT: usize = 1024;

/// Remembered verdicts: 64 KiB. A busy site meets a few thousand different User-Agents an hour; one
/// that lost its place to another is matched again, which takes about a microsecond.
const SLOTS: usize = 8192;

/// The bits of a slot that hold a verdict; zero is an empty slot's. The others are the hash's own.
const VERDICT: u64 = 0b11;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A person, as far as can be told: also libraries such as curl, which say nothing about who
    /// drives them, and requests without a User-Agent.
    Person,
    /// A crawler of a messenger or a network that shows a card for a link somebody posted.
    Preview,
    /// Any other known bot.
    Bot,
}

impl Agent {
    /// Its name in metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Agent::Person => "person",
            Agent::Preview => "preview",
            Agent::Bot => "bot",
        }
    }

    /// As the verdict bits of a slot.
    fn bits(self) -> u64 {
        match self {
            Agent::Person => 1,
            Agent::Preview => 2,
            Agent::Bot => 3,
        }
    }

    /// Back from the verdict bits; none of an empty slot.
    fn of_bits(bits: u64) -> Option<Agent> {
        [Agent::Person, Agent::Preview, Agent::Bot].into_iter().find(|agent| agent.bits() == bits)
    }
}

/// Tells who asks, by the User-Agent. A handle, cheap to clone.
#[derive(Clone)]
pub struct Agents {
    shared: Arc<Shared>,
}

struct Shared {
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
        Agents { shared: Arc::new(Shared { keys: RandomState::new(), slots }) }
    }

    /// Who sent this User-Agent. None or an empty one is a person's: scripts may leave it out.
    pub fn of(&self, user_agent: Option<&[u8]>) -> Agent {
        let Some(user_agent) = user_agent.filter(|bytes| !bytes.is_empty()) else { return Agent::Person };
        let looked_at = &user_agent[..user_agent.len().min(MAX_LOOKED_AT)];
        let hash = self.shared.keys.hash_one(looked_at);
        // Truncation is meant: only the low bits choose.
        #[allow(clippy::cast_possible_truncation)]
        let slot = &self.shared.slots[hash as usize % SLOTS];
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
