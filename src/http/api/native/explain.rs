//! The explanation of a click in the native dialect.

use serde::Serialize;

use super::links;
use crate::clock::{NotATimestamp, Timestamp};
use crate::http::api::dialect::{
    BadRequest, Command, ExplainRequest, ExplainedRule, Explanation, LinkAct, RequestParts, ScopedCommand,
    read,
};
use crate::json::{AsText, Mistyped};
use crate::model::Invalid;

/// Parses `GET /links/{id}/explain`.
pub(super) fn parse(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = links::id(request)?;
    read(request, Command::ExplainLink(id, question(request)?))
}

/// Parses `GET /links/by-code/{code}/explain?domain=`.
pub(super) fn parse_by_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    links::by_code(request, LinkAct::Explain(question(request)?))
}

fn question(request: &RequestParts<'_>) -> Result<ExplainRequest, BadRequest> {
    let text = |name| request.query.text(name).map(|text| text.map(Box::from));
    // `Mistyped`, since a query that cannot be parsed is 400 (docs/decisions.md A10).
    let at = |text: &str| {
        text.parse().map_err(|error: NotATimestamp| Mistyped(Invalid::new("at", error.to_string())))
    };
    Ok(ExplainRequest {
        user_agent: text("ua")?,
        query: text("query")?,
        at: request.query.text("at")?.map(at).transpose()?,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExplanationJson<'a> {
    at: AsText<Timestamp>,
    outcome: &'static str,
    status: u16,
    location: Option<&'a str>,
    counted: bool,
    password_locked_until: Option<AsText<Timestamp>>,
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
        let step = |reason: &'a ExplainedRule| StepJson {
            rule: reason.rule,
            passes: reason.passes,
            why: &reason.why,
        };
        ExplanationJson {
            at: AsText(explanation.at),
            outcome: explanation.outcome,
            status: explanation.status,
            location: explanation.location.as_deref(),
            counted: explanation.is_counted,
            password_locked_until: explanation.locked_until.map(AsText),
            steps: explanation.steps.iter().map(step).collect(),
        }
    }
}
