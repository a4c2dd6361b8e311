//! `title`, `description`, `image`: what Facebook, X, Slack, WhatsApp, Telegram, LinkedIn, Discord,
//! iMessage and others show in place of a link. Their crawlers get a page with Open Graph and
//! Twitter tags; it is no click, uses up no limit and tells no webhook. People are redirected.

use super::agents::Agent;
use super::rule::{Evaluation, Rule, Verdict};

pub(super) const PREVIEW: Rule = Rule {
    name: "title, description, image",
    verdict: |evaluation| (asks(evaluation) && has_any(evaluation)).then_some(Verdict::Preview),
    why: |evaluation| {
        let text = match (asks(evaluation), has_any(evaluation)) {
            (true, true) => "a link preview is shown title, description and image",
            (true, false) => "a link preview asks, and there is nothing to show it",
            (false, _) => "this is no link preview",
        };
        text.to_owned()
    },
};

fn asks(evaluation: &Evaluation<'_>) -> bool {
    evaluation.facts.agent == Agent::Preview
}

/// Whether there is anything to show.
pub(super) fn has_any(evaluation: &Evaluation<'_>) -> bool {
    let options = &evaluation.conditional.link.options;
    options.title.is_some() || options.description.is_some() || options.image.is_some()
}
