//! `blockBots`: known bots get 403 and are not counted. A link may be shown in a chat and still be
//! closed to crawlers: link previews get its title, description and image, but without any they are
//! bots like others, which would follow it.

use super::agents::Agent;
use super::preview;
use super::rule::{Evaluation, Rule, Verdict};

pub(super) const BLOCK_BOTS: Rule = Rule {
    name: "blockBots",
    verdict: |evaluation| (blocks(evaluation) && is_kept_out(evaluation)).then_some(Verdict::Blocked),
    why: |evaluation| {
        let who = match evaluation.facts.agent {
            Agent::Person => "a person",
            Agent::Preview if preview::has_any(evaluation) => "a link preview",
            Agent::Preview => "a link preview with nothing to show",
            Agent::Bot => "a known bot",
        };
        format!("bots are {}, and this is {who}", if blocks(evaluation) { "blocked" } else { "let in" })
    },
};

fn blocks(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.block_bots
}

fn is_kept_out(evaluation: &Evaluation<'_>) -> bool {
    match evaluation.facts.agent {
        Agent::Person => false,
        Agent::Preview => !preview::has_any(evaluation),
        Agent::Bot => true,
    }
}
