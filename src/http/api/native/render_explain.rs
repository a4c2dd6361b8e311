//! What a click would do, in the native dialect.

use serde::Serialize;

use super::render::Text;
use crate::clock::Timestamp;
use crate::http::api::dialect::{Explanation, Reason};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExplanationJson<'a> {
    at: Text<Timestamp>,
    outcome: &'static str,
    status: u16,
    location: Option<&'a str>,
    counted: bool,
    password_locked_until: Option<Text<Timestamp>>,
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    rule: &'static str,
    passes: bool,
    why: &'a str,
}

impl<'a> ExplanationJson<'a> {
    pub(super) fn of(explanation: &'a Explanation) -> ExplanationJson<'a> {
        let step =
            |reason: &'a Reason| StepJson { rule: reason.rule, passes: reason.passes, why: &reason.why };
        ExplanationJson {
            at: Text(explanation.at),
            outcome: explanation.outcome,
            status: explanation.status,
            location: explanation.location.as_deref(),
            counted: explanation.is_counted,
            password_locked_until: explanation.locked_until.map(Text),
            steps: explanation.steps.iter().map(step).collect(),
        }
    }
}
