//! `title`, `description`, `image`, `headTags`: what Facebook, X, Slack, WhatsApp, Telegram, LinkedIn, Discord, iMessage
//! and others show in place of a link. Their crawlers get a page with Open Graph and Twitter tags. Such a
//! visit is no click, counts in no limit and sends no webhook. People are redirected.

use super::rule::{Evaluation, Rule, Verdict};
use crate::agents::Agent;

pub(super) const PREVIEW: Rule = Rule {
    name: "title, description, image",
    verdict: |evaluation| (is_preview(evaluation) && has_any(evaluation)).then_some(Verdict::Preview),
    why: |evaluation| {
        let text = match (is_preview(evaluation), has_any(evaluation)) {
            (true, true) => "a link preview gets title, description and image",
            (true, false) => "this is a link preview, and the link has nothing to show",
            (false, _) => "this is no link preview",
        };
        text.to_owned()
    },
};

fn is_preview(evaluation: &Evaluation<'_>) -> bool {
    evaluation.facts.agent.kind == Agent::Preview
}

/// Returns whether the link has something to show in a preview.
pub(super) fn has_any(evaluation: &Evaluation<'_>) -> bool {
    evaluation.conditional.link.options.has_preview()
}
