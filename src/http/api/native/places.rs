//! Requests about what links belong to: tags, domains, workspaces, companies, keys.

use std::collections::BTreeMap;

use super::{fields, object, read, write};
use crate::http::api::dialect::{BadRequest, Command, NamedDomain, RequestParts, ScopedCommand};
use crate::http::api::json::{COUNT_RULE, Field, Fields, Json, Mistyped};
use crate::model::Invalid;
use crate::model::destination::Destination;
use crate::model::domain::{DomainDraft, DomainEdit, HostName};
use crate::model::id::ForeignId;
use crate::model::key::{KeyDraft, KeyReach, Scope};
use crate::model::tag::TagEdit;
use crate::model::workspace::{CompanyDraft, WorkspaceDraft, WorkspaceEdit};

/// `POST /tags {name, color?}`.
pub(super) fn create_tag(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let name = body.required("name")?.into();
    let edits = body.text("color")?.value().map(|color| TagEdit::Color(color.into())).into_iter().collect();
    write(call, &body, Command::CreateTag { name, edits })
}

/// `PATCH /tags/{id} {name?, color?}`.
pub(super) fn update_tag(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.id("tag")?;
    let body = object(call)?;
    let name = set_text(&body, "name")?.map(|name| TagEdit::Name(name.into()));
    let color = set_text(&body, "color")?.map(|color| TagEdit::Color(color.into()));
    write(call, &body, Command::UpdateTag(id, name.into_iter().chain(color).collect()))
}

/// A text that can be changed, but not cleared.
pub(super) fn set_text<'a>(body: &'a Fields, name: &'static str) -> Result<Option<&'a str>, Mistyped> {
    match body.text(name)? {
        Field::Null => Err(Mistyped(Invalid::new(name, "must be a string"))),
        Field::Absent => Ok(None),
        Field::Value(text) => Ok(Some(text)),
    }
}

/// `POST /domains {domain, caseSensitive?, baseUrl?, notFoundUrl?, expiredUrl?, rootUrl?}`.
pub(super) fn create_domain(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let name = HostName::parse("domain", body.required("domain")?)?;
    let edits = domain_edits(&body)?;
    write(call, &body, Command::CreateDomain(DomainDraft { name, edits }))
}

/// `PATCH /domains/{id}`; null clears the URLs. The name cannot change and is ignored.
pub(super) fn update_domain(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.id("domain")?;
    let body = object(call)?;
    let edits = domain_edits(&body)?;
    write(call, &body, Command::UpdateDomain(id, edits))
}

/// The URLs of a domain, each with what it sets.
const DOMAIN_URLS: [(&str, SetUrl); 4] = [
    ("baseUrl", DomainEdit::BaseUrl),
    ("notFoundUrl", DomainEdit::NotFoundUrl),
    ("expiredUrl", DomainEdit::ExpiredUrl),
    ("rootUrl", DomainEdit::RootUrl),
];

type SetUrl = fn(Option<Destination>) -> DomainEdit;

fn domain_edits(body: &Fields) -> Result<Vec<DomainEdit>, BadRequest> {
    let mut edits: Vec<_> =
        body.flag("caseSensitive")?.value().map(DomainEdit::CaseSensitive).into_iter().collect();
    for (name, set) in DOMAIN_URLS {
        let url = body.text(name)?.map(|url| Destination::parse_web(name, url)).transpose()?;
        edits.extend(url.nullable().map(set));
    }
    Ok(edits)
}

/// `POST /workspaces {name, id?, companyId?, credits?, defaultDomain?, customValues?}`.
pub(super) fn create_workspace(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let draft = WorkspaceDraft {
        id: foreign_id(&body, "id")?,
        company: foreign_id(&body, "companyId")?,
        name: body.required("name")?.into(),
        edits: workspace_edits(&body)?,
    };
    read(call, Command::CreateWorkspace(draft, default_domain(&body)?))
}

/// `PATCH /workspaces/{id}`; `credits: null` is unlimited, `customValues` replaces them all.
pub(super) fn update_workspace(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = call.foreign_id("workspace")?;
    let body = object(call)?;
    let name = set_text(&body, "name")?.map(|name| WorkspaceEdit::Name(name.into()));
    let edits = name.into_iter().chain(workspace_edits(&body)?).collect();
    read(call, Command::UpdateWorkspace(id, edits, default_domain(&body)?))
}

fn workspace_edits(body: &Fields) -> Result<Vec<WorkspaceEdit>, BadRequest> {
    let credits = body.count("credits", COUNT_RULE)?.nullable().map(WorkspaceEdit::Credits);
    let values = custom_values(body)?.map(WorkspaceEdit::CustomValues);
    Ok(credits.into_iter().chain(values).collect())
}

type CustomValues = BTreeMap<Box<str>, Box<str>>;

fn custom_values(body: &Fields) -> Result<Option<CustomValues>, Mistyped> {
    let refuse = || Mistyped(Invalid::new("customValues", "must be an object of strings"));
    let values = match body.get("customValues") {
        Field::Absent => return Ok(None),
        Field::Null => return Ok(Some(BTreeMap::new())),
        Field::Value(Json::Object(values)) => values,
        Field::Value(_) => return Err(refuse()),
    };
    let each = |(name, value): (&str, &Json)| match value {
        Json::Text(text) => Ok((name.into(), text.as_str().into())),
        _ => Err(refuse()),
    };
    values.iter().map(each).collect::<Result<_, _>>().map(Some)
}

/// A name or an id; looked up by the dispatcher, which can see domains.
fn default_domain(body: &Fields) -> Result<NamedDomain, Mistyped> {
    Ok(body.text("defaultDomain")?.map(Box::from).nullable())
}

pub(super) fn foreign_id(body: &Fields, name: &'static str) -> Result<Option<ForeignId>, BadRequest> {
    Ok(body.text(name)?.value().map(|id| ForeignId::parse(name, id)).transpose()?)
}

/// `POST /companies {name, id?, relationshipNumber?}`.
pub(super) fn create_company(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let draft = CompanyDraft {
        id: foreign_id(&body, "id")?,
        name: body.required("name")?.into(),
        relationship_number: body.text("relationshipNumber")?.value().map(Box::from),
    };
    draft.check()?;
    read(call, Command::CreateCompany(draft))
}

/// `POST /keys {name, scopes, workspaceId? | companyId? | instance?, createOnly?, expiresAt?}`.
pub(super) fn create_key(call: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(call)?;
    let name: Box<str> = body.required("name")?.into();
    let scopes = match body.texts("scopes")? {
        Field::Value(names) if names.is_empty() => {
            return Err(Invalid::new("scopes", "must not be empty").into());
        }
        Field::Value(names) => names.into_iter().map(Scope::parse).collect::<Result<_, _>>()?,
        Field::Absent => return Err(Mistyped(Invalid::new("scopes", "is required")).into()),
        Field::Null => {
            return Err(Mistyped(Invalid::new("scopes", "must be an array of strings")).into());
        }
    };
    let expires_at =
        body.text("expiresAt")?.value().map(|at| fields::instant("expiresAt", at)).transpose()?;
    let create_only = body.flag("createOnly")?.value().unwrap_or(false);
    let draft = KeyDraft { name, reach: key_reach(&body)?, scopes, create_only, expires_at };
    // Here `workspaceId` says whose the key is, not where the request acts.
    read(call, Command::CreateKey(draft))
}

fn key_reach(body: &Fields) -> Result<Option<KeyReach>, BadRequest> {
    let workspace = foreign_id(body, "workspaceId")?.map(KeyReach::Workspace);
    let company = foreign_id(body, "companyId")?.map(KeyReach::Company);
    let instance = body.flag("instance")?.value().filter(|on| *on).map(|_| KeyReach::Instance);
    let mut named = workspace.into_iter().chain(company).chain(instance);
    let reach = named.next();
    if named.next().is_some() {
        let why = "only one of workspaceId, companyId and instance can be given";
        return Err(Invalid::new("workspaceId", why).into());
    }
    Ok(reach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    fn check(
        parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
        body: &str,
        want: Result<&str, BadRequest>,
    ) {
        let id = "000000000000000000AB";
        let call = RequestParts { id, query: Query::parse(None), body: body.as_bytes() };
        let got = parse(&call).map(|asked| format!("{:?}", asked.command));
        assert_eq!(got, want.map(str::to_owned), "{body}");
    }

    fn mistyped(field: &'static str, why: &str) -> Result<&'static str, BadRequest> {
        Err(BadRequest::Mistyped(Invalid::new(field, why)))
    }

    fn rule(field: &'static str, why: &str) -> Result<&'static str, BadRequest> {
        Err(BadRequest::Rule(Invalid::new(field, why)))
    }

    #[test]
    fn keys() {
        let key = r#"CreateKey(KeyDraft { name: "k", reach: Some(Workspace(ForeignId("w"))), scopes: Scopes(3), create_only: true, expires_at: None })"#;
        let body =
            r#"{"name":"k","scopes":["links.write","links.readonly"],"workspaceId":"w","createOnly":true}"#;
        check(create_key, body, Ok(key));
        check(create_key, r#"{"name":"k"}"#, mistyped("scopes", "is required"));
        check(create_key, r#"{"name":"k","scopes":[]}"#, rule("scopes", "must not be empty"));
        check(create_key, r#"{"name":"k","scopes":[1]}"#, mistyped("scopes", "must be an array of strings"));
        let names = "must be of links.readonly, links.write, snapshots.readonly, snapshots.write, admin";
        check(create_key, r#"{"name":"k","scopes":["all"]}"#, rule("scopes", names));
        let both = r#"{"name":"k","scopes":["admin"],"companyId":"c","instance":true}"#;
        check(
            create_key,
            both,
            rule("workspaceId", "only one of workspaceId, companyId and instance can be given"),
        );
    }

    #[test]
    fn places() {
        check(create_tag, r#"{"color":"red"}"#, mistyped("name", "is required"));
        check(update_tag, r#"{"name":null}"#, mistyped("name", "must be a string"));
        check(create_domain, "{}", mistyped("domain", "is required"));
        let id = "000000000000000000AB";
        let cleared = format!("UpdateDomain({id}, [CaseSensitive(true), RootUrl(None)])");
        check(update_domain, r#"{"rootUrl":null,"caseSensitive":true}"#, Ok(&cleared));
        let changed = format!(
            "UpdateWorkspace(ForeignId(\"{id}\"), [Credits(None), CustomValues({{\"a\": \"b\"}})], Some(Some(\"go.test\")))"
        );
        let body = r#"{"credits":null,"customValues":{"a":"b"},"defaultDomain":"go.test"}"#;
        check(update_workspace, body, Ok(&changed));
        check(
            update_workspace,
            r#"{"customValues":{"a":1}}"#,
            mistyped("customValues", "must be an object of strings"),
        );
        check(
            update_workspace,
            r#"{"credits":-1}"#,
            mistyped("credits", "must be a whole number, 0 or more"),
        );
        check(create_company, r#"{"name":" "}"#, rule("name", "must not be empty"));
    }
}
