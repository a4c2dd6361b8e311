//! `blockBots`: known bots get 403 and are not counted. Link previews are another rule's: a link
//! may be shown in a chat and still be closed to crawlers.

use super::agents::Agent;
use super::rules::{Case, Rule, Verdict};

pub(super) const BLOCK_BOTS: Rule = Rule {
    name: "blockBots",
    verdict: |case| (blocks(case) && case.asking.agent == Agent::Bot).then_some(Verdict::Blocked),
    why: |case| {
        let who = match case.asking.agent {
            Agent::Person => "a person",
            Agent::Preview => "a link preview",
            Agent::Bot => "a known bot",
        };
        format!("bots are {}, and this is {who}", if blocks(case) { "blocked" } else { "let in" })
    },
};

fn blocks(case: &Case<'_>) -> bool {
    case.decided.link.options.block_bots
}
