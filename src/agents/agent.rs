//! [`Agent`]: the kinds of visitors.

/// The kind of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A person, as far as the User-Agent reveals. Also a library such as curl, which may act for a person,
    /// and a request without a User-Agent.
    Person,
    /// A crawler of a messenger or a social network that shows a card for a posted link.
    Preview,
    /// Any other known bot.
    Bot,
}

impl Agent {
    /// Returns the name in metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Agent::Person => "person",
            Agent::Preview => "preview",
            Agent::Bot => "bot",
        }
    }

    /// Returns the bits in a slot of the cache. They are never zero, which is an empty slot.
    pub(super) fn bits(self) -> u16 {
        match self {
            // In memory only: the numbers may change with any version.
            Agent::Person => 1,
            Agent::Preview => 2,
            Agent::Bot => 3,
        }
    }

    /// Returns the kind of these bits, or `None` for an empty slot.
    pub(super) fn of_bits(bits: u16) -> Option<Agent> {
        // A search over `bits` and no second match: the numbers exist once.
        [Agent::Person, Agent::Preview, Agent::Bot].into_iter().find(|agent| agent.bits() == bits)
    }
}
