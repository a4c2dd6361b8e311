//! `blockBots`: known bots get 403 and are not counted. A link may be shown in a chat and still be
//! closed to crawlers: link previews get its title, description and image, but without any they are
//! bots like others, which would follow it.

use super::agents::Agent;
use super::preview;
use super::rules::{Case, Rule, Verdict};

pub(super) const BLOCK_BOTS: Rule = Rule {
    name: "blockBots",
    verdict: |case| (blocks(case) && is_kept_out(case)).then_some(Verdict::Blocked),
    why: |case| {
        let who = match case.asking.agent {
            Agent::Person => "a person",
            Agent::Preview if preview::has_any(case) => "a link preview",
            Agent::Preview => "a link preview with nothing to show",
            Agent::Bot => "a known bot",
        };
        format!("bots are {}, and this is {who}", if blocks(case) { "blocked" } else { "let in" })
    },
};

fn blocks(case: &Case<'_>) -> bool {
    case.conditional.link.options.block_bots
}

fn is_kept_out(case: &Case<'_>) -> bool {
    match case.asking.agent {
        Agent::Person => false,
        Agent::Preview => !preview::has_any(case),
        Agent::Bot => true,
    }
}
