//! The explanation of a click in the native dialect.

use serde::Serialize;

use super::links;
use super::unknown::{NEW_LINK, UnknownFields, noted};
use crate::clock::Timestamp;
use crate::formats::waypost::draft;
use crate::http::api::dialect::{
    BadRequest, Command, ExplainRequest, ExplainedBranch, ExplainedRule, Explanation, LinkAct, RequestParts,
    ScopedCommand, object, read, write,
};
use crate::json::{self, AsText, Field, FieldError, Json, Mistyped, Object, whole};
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::link::DomainChoice;

/// The fields of `POST /explain`.
pub(super) const EXPLAIN: &[&[&str]] = &[&["link", "id", "visitor", "workspaceId"]];

/// Parses `GET /links/{id}/explain`.
pub(super) fn parse(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = links::id(request)?;
    read(request, Command::ExplainLink(id, question(request)?))
}

/// Parses `GET /links/by-code/{code}/explain?domain=`.
pub(super) fn parse_by_code(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    links::by_code(request, LinkAct::Explain(question(request)?))
}

fn question(request: &RequestParts<'_>) -> Result<Box<ExplainRequest>, BadRequest> {
    let mut question = ExplainRequest::default();
    for name in ExplainRequest::NAMES {
        if let Some(text) = request.query.text(name)? {
            // `at` of a query that cannot be parsed is 400 (docs/decisions.md A10); the others are rules.
            question.set(name, text).map_err(|invalid| match name {
                "at" => BadRequest::Mistyped(invalid),
                _ => BadRequest::Rule(invalid),
            })?;
        }
    }
    Ok(Box::new(question))
}

/// Parses `POST /explain {link | id, visitor}`, and names the unknown fields of the link as the creation of it would.
pub(super) fn parse_noted_draft(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let mut scoped = noted(request, parse_draft, EXPLAIN)?;
    // Parsed again, as in `noted`: the parsing above has rejected every other body.
    let body = json::object(request.body).unwrap_or_default();
    if let Field::Value(Json::Object(link)) = body.get("link") {
        let mut unknown = UnknownFields::default();
        unknown.note("link.", link, NEW_LINK);
        scoped.warnings.extend(unknown.warnings());
    }
    Ok(scoped)
}

fn parse_draft(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let question = match body.get("visitor") {
        Field::Absent | Field::Null => Box::default(),
        Field::Value(Json::Object(visitor)) => described(visitor)?,
        Field::Value(_) => {
            return Err(BadRequest::Mistyped(Invalid::new("visitor", "must be an object")));
        }
    };
    let command = match (body.get("link"), body.text("id")?.value()) {
        (Field::Value(Json::Object(link)), None) => {
            // As in a body of its own: the place is that of the field within the link.
            let draft = draft::read(link, &DomainChoice::Default).map_err(|error| within("link", error))?;
            Command::ExplainDraft(Box::new(draft), question)
        }
        (Field::Absent | Field::Null, Some(id)) => {
            // 404 for a text that can be no id, as in a path.
            let id: Id = id.parse().map_err(|_| BadRequest::NotFound("link"))?;
            Command::ExplainLink(id, question)
        }
        (Field::Value(Json::Object(_)), Some(_)) => {
            return Err(BadRequest::Rule(Invalid::new("link", "works only without id")));
        }
        (Field::Value(_), _) => {
            return Err(BadRequest::Mistyped(Invalid::new("link", "must be an object, as for a new link")));
        }
        (Field::Absent | Field::Null, None) => {
            return Err(BadRequest::Rule(Invalid::new("link", "is required, or the id of a link in id")));
        }
    };
    write(request, &body, command)
}

/// Returns an error with the place of its field within another field.
fn within(outer: &'static str, error: FieldError) -> BadRequest {
    let moved = |invalid: Invalid| {
        let field = if invalid.field == "shortCode" { draft::CODE } else { invalid.field };
        Invalid::new(outer, invalid.why).below(&format!(".{field}{}", invalid.at))
    };
    match error {
        FieldError::Mistyped(invalid) => BadRequest::Mistyped(moved(invalid)),
        FieldError::Rule(invalid) => BadRequest::Rule(moved(invalid)),
    }
}

fn described(visitor: &Object) -> Result<Box<ExplainRequest>, BadRequest> {
    let mut question = ExplainRequest::default();
    let misplaced = |error: FieldError| within("visitor", error);
    if let Some((name, _)) = visitor.iter().find(|(name, _)| !ExplainRequest::NAMES.contains(name)) {
        // Not ignored: the answer would be that of another visitor.
        let at = if crate::json::looks_like_a_field(name) { format!(".{name}") } else { String::new() };
        let names = ExplainRequest::NAMES.join(", ");
        let why = format!("is no property of a visitor; these are: {names}");
        return Err(BadRequest::Rule(Invalid::new("visitor", why).below(&at)));
    }
    for name in ExplainRequest::NAMES {
        let number = match visitor.get(name) {
            Field::Value(Json::Number(number)) if name == "clicks" => {
                let rule = || Mistyped(Invalid::new(name, crate::json::COUNT_RULE));
                Some(whole(number).ok_or_else(rule).map_err(|error| misplaced(error.into()))?.to_string())
            }
            _ => None,
        };
        let text = match &number {
            Some(number) => Some(number.as_str()),
            None => visitor.text(name).map_err(|error| misplaced(error.into()))?.value(),
        };
        if let Some(text) = text {
            question.set(name, text).map_err(|invalid| misplaced(FieldError::Rule(invalid)))?;
        }
    }
    Ok(Box::new(question))
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
    rules: Vec<ExplainedRuleJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    rule: &'a str,
    passes: bool,
    why: &'a str,
}

/// A rule of the link, for programs: `why` of its step is for people.
#[derive(Serialize)]
struct ExplainedRuleJson<'a> {
    id: u16,
    name: Option<&'a str>,
    holds: Option<bool>,
    conditions: Vec<ExplainedConditionJson<'a>>,
}

#[derive(Serialize)]
struct ExplainedConditionJson<'a> {
    field: &'static str,
    holds: Option<bool>,
    actual: Option<&'a str>,
}

impl<'a> ExplainedRuleJson<'a> {
    fn of(branch: &'a ExplainedBranch) -> ExplainedRuleJson<'a> {
        // In the places of the link's own list: the field is repeated for readers only.
        let conditions = branch.conditions.iter().map(|condition| ExplainedConditionJson {
            field: condition.field.name(),
            holds: condition.holds,
            actual: condition.actual.as_deref(),
        });
        ExplainedRuleJson {
            id: branch.number,
            name: branch.name.as_deref(),
            holds: branch.holds,
            conditions: conditions.collect(),
        }
    }
}

impl<'a> ExplanationJson<'a> {
    pub(super) fn of(explanation: &'a Explanation) -> ExplanationJson<'a> {
        let step = |reason: &'a ExplainedRule| StepJson {
            rule: &reason.rule,
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
            rules: explanation.branches.iter().map(ExplainedRuleJson::of).collect(),
        }
    }
}
