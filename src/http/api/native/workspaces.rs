//! Workspaces and companies in the native dialect.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::domains::qr_edits;
use crate::http::api::dialect::{
    BadRequest, Command, NamedDomain, RequestParts, ScopedCommand, WorkspaceView, foreign_id, object, read,
    zone_of,
};
use crate::json::{COUNT_RULE, Field, Json, Mistyped, Object};
use crate::model::Invalid;
use crate::model::attachment::AttachmentFormat;
use crate::model::workspace::{Company, CompanyDraft, WorkspaceDraft, WorkspaceEdit};

/// The fields that a creation and a change of a workspace set, beside the name.
const SET: &[&str] = &[
    "credits",
    "defaultDomain",
    "customValues",
    "statistics",
    "timezone",
    "qrForeground",
    "qrBackground",
    "checkLinks",
];

/// The fields of a new workspace.
pub(super) const NEW: &[&[&str]] = &[&["name", "id", "companyId"], SET];

/// The fields that a change of a workspace sets, and those that a client may send back.
pub(super) const CHANGE: &[&[&str]] = &[&["name"], SET, READ_ONLY];

/// The fields of a whole workspace that no change sets.
pub(super) const READ_ONLY: &[&str] = &["id", "companyId", "createdAt", "qrLogo"];

/// The fields of a new company.
pub(super) const NEW_COMPANY: &[&[&str]] = &[&["name", "id", "relationshipNumber"]];

/// Parses `POST /workspaces {name, id?, companyId?, credits?, defaultDomain?, customValues?, statistics?, timezone?,
/// qrForeground?, qrBackground?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let draft = WorkspaceDraft {
        id: foreign_id(&body, "id")?,
        company: foreign_id(&body, "companyId")?,
        name: body.required("name")?.into(),
        edits: edits(&body)?,
    };
    // Not `write`: the body describes a workspace, and does not name the one that the request acts in.
    read(request, Command::CreateWorkspace(draft, default_domain(&body)?))
}

/// Parses `PATCH /workspaces/{id}`. `credits: null` is unlimited. `customValues` replaces all values.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.foreign_id("workspace")?;
    let body = object(request)?;
    let name = body.optional("name")?.map(|name| WorkspaceEdit::Name(name.into()));
    let edits = name.into_iter().chain(edits(&body)?).collect();
    read(request, Command::UpdateWorkspace(id, edits, default_domain(&body)?))
}

fn edits(body: &Object) -> Result<Vec<WorkspaceEdit>, BadRequest> {
    // Null is unlimited, and differs from an absent field.
    let credits = body.count("credits", COUNT_RULE)?.nullable().map(WorkspaceEdit::Credits);
    let values = custom_values(body)?.map(WorkspaceEdit::CustomValues);
    let statistics = flag(body, "statistics")?.map(WorkspaceEdit::Statistics);
    let zone = body.text("timezone")?.map(|text| zone_of(text, "timezone")).transpose()?.nullable();
    // By the name in the database, whose spelling a client need not know.
    let name = |zone: Option<TimeZone>| zone.as_ref().and_then(|zone| zone.iana_name()).map(Into::into);
    let timezone = zone.map(|zone| WorkspaceEdit::Timezone(name(zone)));
    let qr = qr_edits(body)?.into_iter().map(WorkspaceEdit::Qr);
    let checks = flag(body, "checkLinks")?.map(WorkspaceEdit::CheckLinks);
    let edits = credits.into_iter().chain(values).chain(statistics).chain(timezone);
    Ok(edits.chain(qr).chain(checks).collect())
}

fn flag(body: &Object, name: &'static str) -> Result<Option<bool>, BadRequest> {
    match body.flag(name)? {
        Field::Absent => Ok(None),
        // Not ignored: it could be meant as off.
        Field::Null => Err(Mistyped(Invalid::new(name, "must be true or false")).into()),
        Field::Value(on) => Ok(Some(on)),
    }
}

type CustomValues = BTreeMap<Box<str>, Box<str>>;

fn custom_values(body: &Object) -> Result<Option<CustomValues>, Mistyped> {
    let mistyped = || Mistyped(Invalid::new("customValues", "must be an object of strings"));
    let values = match body.get("customValues") {
        Field::Absent => return Ok(None),
        // Null clears, as it does for other fields.
        Field::Null => return Ok(Some(BTreeMap::new())),
        Field::Value(Json::Object(values)) => values,
        Field::Value(_) => return Err(mistyped()),
    };
    let each = |(name, value): (&str, &Json)| match value {
        Json::Text(text) => Ok((name.into(), text.as_str().into())),
        // Also a number: its form in a destination would be a guess.
        _ => Err(mistyped()),
    };
    values.iter().map(each).collect::<Result<_, _>>().map(Some)
}

/// Returns a name or an id. The dispatcher resolves it, since a dialect sees no domains.
fn default_domain(body: &Object) -> Result<NamedDomain, Mistyped> {
    Ok(body.text("defaultDomain")?.map(Box::from).nullable())
}

/// Parses `POST /companies {name, id?, relationshipNumber?}`.
pub(super) fn create_company(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let draft = CompanyDraft {
        id: foreign_id(&body, "id")?,
        name: body.required("name")?.into(),
        relationship_number: body.text("relationshipNumber")?.value().map(Box::from),
    };
    draft.check()?;
    read(request, Command::CreateCompany(draft))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkspaceJson<'a> {
    id: &'a str,
    name: &'a str,
    company_id: &'a str,
    credits: Option<u64>,
    default_domain: &'a str,
    custom_values: &'a BTreeMap<Box<str>, Box<str>>,
    statistics: bool,
    timezone: &'a str,
    qr_foreground: Option<String>,
    qr_background: Option<String>,
    qr_logo: Option<&'static str>,
    check_links: bool,
    created_at: String,
}

impl<'a> WorkspaceJson<'a> {
    pub(super) fn of(view: &'a WorkspaceView) -> WorkspaceJson<'a> {
        let workspace = &view.workspace;
        WorkspaceJson {
            id: workspace.id.as_str(),
            name: &workspace.name,
            company_id: workspace.company.as_str(),
            credits: view.credits,
            default_domain: &view.default_domain,
            custom_values: &workspace.custom_values,
            statistics: workspace.statistics,
            timezone: workspace.timezone.as_deref().unwrap_or("UTC"),
            qr_foreground: workspace.qr.foreground.map(|color| color.to_string()),
            qr_background: workspace.qr.background.map(|color| color.to_string()),
            qr_logo: workspace.qr.logo.map(AttachmentFormat::media_type),
            check_links: workspace.check_links,
            created_at: workspace.created_at.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompanyJson<'a> {
    id: &'a str,
    name: &'a str,
    relationship_number: &'a str,
    created_at: String,
}

impl<'a> CompanyJson<'a> {
    pub(super) fn of(company: &'a Company) -> CompanyJson<'a> {
        CompanyJson {
            id: company.id.as_str(),
            name: &company.name,
            relationship_number: &company.relationship_number,
            created_at: company.created_at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::{TEST_ID, check_parse};

    #[test]
    fn edits_and_their_types() {
        let changed = format!(
            "UpdateWorkspace(ForeignId(\"{TEST_ID}\"), [Credits(None), CustomValues({{\"a\": \"b\"}}), Statistics(false), Timezone(Some(\"Europe/Berlin\"))], Some(Some(\"go.test\")))"
        );
        let body = r#"{"credits":null,"customValues":{"a":"b"},"defaultDomain":"go.test","statistics":false,"timezone":"europe/berlin"}"#;
        check_parse(update, body, Ok(&changed));
        let mistyped = |field, why| Err(Mistyped(Invalid::new(field, why)).into());
        let zone = |name| zone_of(name, "timezone");
        let rule = "must be an object of strings";
        check_parse(update, r#"{"customValues":{"a":1}}"#, mistyped("customValues", rule));
        let rule = "must be true or false";
        check_parse(update, r#"{"statistics":null}"#, mistyped("statistics", rule));
        check_parse(update, r#"{"timezone":"Mars"}"#, Err(zone("Mars").expect_err("no zone")));
        check_parse(update, r#"{"credits":-1}"#, mistyped("credits", COUNT_RULE));
        let empty = Invalid::new("name", "must not be empty");
        check_parse(create_company, r#"{"name":" "}"#, Err(empty.into()));
    }
}
