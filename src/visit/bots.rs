//! `blockBots`: known bots get 403 and are not counted. A link can be shown in a chat and still be closed to
//! crawlers: link previews get its title, description and image. A link preview of a link without them is
//! treated like any bot, since it would follow the link.

use super::preview;
use super::rule::{Evaluation, Rule, Verdict};
use crate::agents::Agent;

pub(super) const BLOCK_BOTS: Rule = Rule {
    name: "blockBots",
    verdict: |evaluation| (blocks(evaluation) && is_blocked_agent(evaluation)).then_some(Verdict::Blocked),
    why: |evaluation| {
        let visitor = match evaluation.facts.agent.kind {
            Agent::Person => "a person",
            Agent::Preview if preview::has_any(evaluation) => "a link preview",
            Agent::Preview => "a link preview with nothing to show",
            Agent::Bot => "a known bot",
        };
        format!("bots are {}, and this is {visitor}", if blocks(evaluation) { "blocked" } else { "allowed" })
    },
};

fn blocks(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.block_bots
}

fn is_blocked_agent(evaluation: &Evaluation<'_>) -> bool {
    match evaluation.facts.agent.kind {
        Agent::Person => false,
        // With something to show, the next rule answers with the preview page.
        Agent::Preview => !preview::has_any(evaluation),
        // Also with a title: only previews get the page of the next rule.
        Agent::Bot => true,
    }
}
