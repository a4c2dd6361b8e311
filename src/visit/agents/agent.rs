//! [`Agent`]: the kinds of visitors.

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
    pub(super) fn bits(self) -> u64 {
        match self {
            Agent::Person => 1,
            Agent::Preview => 2,
            Agent::Bot => 3,
        }
    }

    /// Back from the verdict bits; none of an empty slot.
    pub(super) fn of_bits(bits: u64) -> Option<Agent> {
        [Agent::Person, Agent::Preview, Agent::Bot].into_iter().find(|agent| agent.bits() == bits)
    }
}
