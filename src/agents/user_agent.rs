//! [`UserAgent`]: all that a User-Agent tells.

use super::agent::Agent;
use super::classes::AgentClass;
use super::list;

/// What a User-Agent tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserAgent {
    /// The kind of visitor.
    pub kind: Agent,
    /// The bits of a person's [`AgentClass`], or the number of the pattern that found a bot.
    detail: u16,
    /// A hash of the text, with keys of this process; 0 without one.
    pub hash: u64,
}

/// What is behind the kind of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentDetail {
    /// Device, system and browser of a person.
    Class(AgentClass),
    /// The name of a bot or of a link preview.
    Bot(&'static str),
}

impl UserAgent {
    /// Number of bits of [`UserAgent::bits`].
    pub const BITS: u32 = 2 + AgentClass::BITS;

    /// The visitor without a User-Agent: a person, since scripts may omit it.
    pub const NONE: UserAgent = UserAgent { kind: Agent::Person, detail: 0, hash: 0 };

    /// Classifies a User-Agent.
    pub(super) fn find(text: &[u8], hash: u64) -> UserAgent {
        let (kind, number) = list::find(text);
        // Bots imitate browsers, so the class of a bot would mislead.
        let detail = if kind == Agent::Person { AgentClass::of(text).bits() } else { number };
        UserAgent { kind, detail, hash }
    }

    /// Returns the User-Agent of a person with this class.
    pub fn of_class(class: AgentClass, hash: u64) -> UserAgent {
        UserAgent { kind: Agent::Person, detail: class.bits(), hash }
    }

    /// Returns kind and detail as bits. They are of this process: the numbers of bots change with the list.
    pub fn bits(self) -> u16 {
        // 15 bits at most: the bits of a slot that are not those of the hash.
        self.detail << 2 | self.kind.bits()
    }

    /// Returns the User-Agent of these bits, `None` if they have no kind.
    pub fn of_bits(bits: u64, hash: u64) -> Option<UserAgent> {
        let bits = u16::try_from(bits).ok()?;
        Some(UserAgent { kind: Agent::of_bits(bits & 0b11)?, detail: bits >> 2, hash })
    }

    /// Returns what is behind the kind.
    pub fn detail(self) -> AgentDetail {
        match self.kind {
            Agent::Person => AgentDetail::Class(AgentClass::from_bits(self.detail)),
            Agent::Preview | Agent::Bot => AgentDetail::Bot(list::name(self.detail)),
        }
    }
}

/// Creates the User-Agent of a visitor of whom only the kind is known.
impl From<Agent> for UserAgent {
    fn from(kind: Agent) -> UserAgent {
        UserAgent { kind, ..UserAgent::NONE }
    }
}
