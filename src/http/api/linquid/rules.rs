//! Requests about the rules of a link (docs/decisions.md A29). Both bodies of the vendor's pages are accepted: the flat one, whose
//! `conditions` are an array ([`flat`]), and the typed one, whose `conditions` are an object of a `type` ([`typed`]).
//!
//! 1. What a rule cannot express here is an error that names the field and the reason. No field is ignored, unlike in
//!    other bodies of the vendor: a rule without one of its conditions would send visitors to the wrong destination.
//! 2. A change names only what it changes. A rule that another API has made shows everything that this one can show, and
//!    keeps the rest.
//! 3. A lower `priority` is evaluated first in both bodies, as the vendor's page of `POST /api/rules` defines it.

mod errors;
mod fields;
mod flat;
mod ids;
pub(super) mod render;
mod typed;

use self::errors::{mistyped, rule};
use super::links;
use super::paging::paging;
use crate::http::api::dialect::{
    BadRequest, Command, RequestParts, RuleCommand, ScopedCommand, object, read, write,
};
use crate::json::{Field, Json, Object, looks_like_a_field};
use crate::model::link::branch::{BranchId, BranchPatch, FormedConditions, PRIORITY_MAX};

/// The fields that a body may have: those that are set, and those that a client sends back.
const FIELDS: [&str; 14] = [
    "id",
    "linkId",
    "campaignId",
    "workspaceId",
    "name",
    "description",
    "type",
    "conditions",
    "conditionLogic",
    "destinationUrl",
    "priority",
    "enabled",
    "createdAt",
    "updatedAt",
];

/// The vendor's fields that rules have not, each with the reason.
const UNAVAILABLE: [(&str, &str); 8] = [
    ("deepLinkEnabled", NO_DEEP_LINKS),
    ("deepLinkIos", NO_DEEP_LINKS),
    ("deepLinkAndroid", NO_DEEP_LINKS),
    ("deepLinkFallbackUrl", NO_DEEP_LINKS),
    ("inappBrowserBreakout", "is not available: browsers within apps get the same redirect as others"),
    ("forwardUtms", OF_THE_LINK),
    ("preserveQueryParams", OF_THE_LINK),
    ("redirectDelayMs", "is not available: a redirect is immediate"),
];

const NO_DEEP_LINKS: &str =
    "is not available for a rule: give it the condition `os`, and the URL of the app as `destinationUrl`";
const OF_THE_LINK: &str =
    "is not available for a rule: the field `forwardParameters` of the native API applies to the whole link";

/// Parses `POST /api/rules`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    check_names(&body)?;
    let link = match body.text("linkId")?.value() {
        Some(id) => id,
        None if body.text("campaignId")?.value().is_some() => return Err(of_campaign()),
        None => return Err(mistyped(".linkId", "is required")),
    };
    let link = links::id_in(link)?;
    body.required("name")?;
    body.required("destinationUrl")?;
    if !matches!(body.get("conditions"), Field::Value(_)) {
        return Err(mistyped(".conditions", "is required"));
    }
    let patch = patch(&body)?;
    write(request, &body, Command::OfRules(RuleCommand::Create(link, patch)))
}

/// Parses `PUT /api/rules/{ruleId}`. Fields that are absent stay unchanged.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = id(request)?;
    let body = object(request)?;
    check_names(&body)?;
    if let Some(link) = body.text("linkId")?.value()
        && links::id_in(link).ok() != Some(id.link)
    {
        return Err(rule(".linkId", "cannot be changed: create the rule on the other link"));
    }
    let patch = patch(&body)?;
    write(request, &body, Command::OfRules(RuleCommand::Update(id, patch)))
}

/// Parses `GET /api/rules/{ruleId}`.
pub(super) fn get(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfRules(RuleCommand::One(id(request)?)))
}

/// Parses `DELETE /api/rules/{ruleId}`.
pub(super) fn delete(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfRules(RuleCommand::Delete(id(request)?)))
}

/// Parses `GET /api/rules?linkId&page&limit`.
pub(super) fn list(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let paging = paging(&request.query)?;
    if request.query.text("campaignId")?.is_some() {
        return Err(of_campaign());
    }
    let Some(link) = request.query.text("linkId")? else {
        // No index of links with rules exists: the list would read every link of the workspace.
        return Err(mistyped(".linkId", "is required: rules are listed link by link"));
    };
    read(request, Command::OfRules(RuleCommand::List(links::id_in(link)?, paging)))
}

/// Returns the rule in the path.
fn id(request: &RequestParts<'_>) -> Result<BranchId, BadRequest> {
    ids::parse(request.id).ok_or(BadRequest::NotFound("rule"))
}

fn patch(body: &Object) -> Result<BranchPatch, BadRequest> {
    if body.text("campaignId")?.value().is_some() {
        return Err(of_campaign());
    }
    let form = body.text("type")?.value();
    form.map_or(Ok(()), |form| typed::check_name(form).map_err(BadRequest::from))?;
    let logic = body.text("conditionLogic")?.value().map(is_or).transpose()?;
    let conditions = match (body.get("conditions"), form) {
        (Field::Absent | Field::Null, _) => None,
        (Field::Value(Json::List(items)), None) => Some(flat::read(items)?),
        (Field::Value(Json::List(_)), Some(_)) => {
            return Err(mistyped(".conditions", "must be an object with `type`, and an array without it"));
        }
        (Field::Value(Json::Object(members)), form) => Some(typed::read(form, members)?),
        (Field::Value(_), _) => {
            return Err(mistyped(".conditions", "must be an array of conditions, or the object of a `type`"));
        }
    };
    let is_typed = conditions.as_ref().is_some_and(|conditions: &FormedConditions| conditions.form.is_some());
    if is_typed && logic == Some(true) {
        return Err(rule(".conditionLogic", "must be AND with `type`: all of its conditions must hold"));
    }
    let description = body.text("description")?.nullable();
    Ok(BranchPatch {
        // Null, but not an empty text, leaves a field as it is: a rule of the native API may have neither.
        name: body.string("name")?.value().map(Box::from),
        description: description.map(|text| text.map(Box::from)),
        enabled: body.flag("enabled")?.value(),
        priority: priority(body)?,
        url: body.string("destinationUrl")?.value().map(Box::from),
        conditions,
        matches_any: logic.or(is_typed.then_some(false)),
        form: form.map(Box::from),
    })
}

/// Returns whether one condition is enough.
fn is_or(logic: &str) -> Result<bool, BadRequest> {
    match logic {
        "AND" => Ok(false),
        "OR" => Ok(true),
        _ => Err(rule(".conditionLogic", "must be AND or OR")),
    }
}

fn priority(body: &Object) -> Result<Option<u32>, BadRequest> {
    const RULE: &str = "must be a whole number from 0 to 1000000; a lower number is evaluated first";
    let number = body.count("priority", RULE)?.value();
    let rank = |number: u64| u32::try_from(number).ok().filter(|rank| *rank <= PRIORITY_MAX);
    number.map(|number| rank(number).ok_or_else(|| rule(".priority", RULE))).transpose()
}

/// Rejects a field that has no meaning here.
fn check_names(body: &Object) -> Result<(), BadRequest> {
    for (name, value) in body.iter() {
        let is_off = match value {
            Json::Null | Json::Bool(false) => true,
            Json::Number(number) => number.as_u64() == Some(0),
            Json::Text(text) => text.is_empty(),
            Json::Bool(true) | Json::List(_) | Json::Object(_) => false,
        };
        match UNAVAILABLE.iter().find(|(known, _)| *known == name) {
            // A client that sends back a rule of the vendor has them all, empty.
            Some(_) if is_off => {}
            Some((_, why)) => return Err(rule(&format!(".{name}"), *why)),
            None if FIELDS.contains(&name) => {}
            None => {
                // Only names that look like fields are repeated, as in all errors.
                let at = if looks_like_a_field(name) { format!(".{name}") } else { String::new() };
                return Err(rule(&at, "is no field of a rule"));
            }
        }
    }
    Ok(())
}

fn of_campaign() -> BadRequest {
    rule(
        ".campaignId",
        "is not available: a rule belongs to one link; create it with the `linkId` of each link of the campaign",
    )
}
