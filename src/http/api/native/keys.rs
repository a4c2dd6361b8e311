//! API keys in the native dialect.

use serde::Serialize;

use crate::clock::GivenTime;
use crate::http::api::dialect::{
    BadRequest, Command, KeyView, RequestParts, ScopedCommand, foreign_id, object, read,
};
use crate::json::{AsText, Field, Mistyped, Object};
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::key::{KeyDraft, KeyReach, Reach, Scope};

/// The fields of a new key.
pub(super) const NEW: &[&[&str]] =
    &[&["name", "scopes", "workspaceId", "companyId", "instance", "createOnly", "expiresAt"]];

/// Parses `POST /keys {name, scopes, workspaceId? | companyId? | instance?, createOnly?, expiresAt?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let name: Box<str> = body.required("name")?.into();
    let scopes = match body.texts("scopes")? {
        // A key without a scope could do nothing.
        Field::Value(names) if names.is_empty() => {
            return Err(Invalid::new("scopes", "must not be empty").into());
        }
        Field::Value(names) => names.into_iter().map(Scope::parse).collect::<Result<_, _>>()?,
        Field::Absent => return Err(Mistyped(Invalid::new("scopes", "is required")).into()),
        Field::Null => {
            return Err(Mistyped(Invalid::new("scopes", "must be an array of strings")).into());
        }
    };
    // A key may reach several workspaces, whose zones may differ.
    let expires_at = body.end("expiresAt")?.value().map(GivenTime::in_utc);
    let create_only = body.flag("createOnly")?.value().unwrap_or(false);
    let draft = KeyDraft { name, reach: reach(&body)?, scopes, create_only, expires_at };
    // Here `workspaceId` is the reach of the key, not the workspace that the request acts in.
    read(request, Command::CreateKey(draft))
}

fn reach(body: &Object) -> Result<Option<KeyReach>, BadRequest> {
    // `""` is null elsewhere. Here null may reach more than the field that was left empty was to allow.
    for name in ["workspaceId", "companyId"] {
        if body.string(name)? == Field::Value("") {
            return Err(Invalid::new(name, "must not be empty").into());
        }
    }
    let workspace = foreign_id(body, "workspaceId")?.map(KeyReach::Workspace);
    let company = foreign_id(body, "companyId")?.map(KeyReach::Company);
    // `false` is the same as an absent field.
    let instance = body.flag("instance")?.value().filter(|on| *on).map(|_| KeyReach::Instance);
    let mut named = workspace.into_iter().chain(company).chain(instance);
    let reach = named.next();
    // Two reaches contradict each other, and the wider one must not win.
    if named.next().is_some() {
        let why = "only one of workspaceId, companyId and instance can be given";
        return Err(Invalid::new("workspaceId", why).into());
    }
    Ok(reach)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyJson<'a> {
    id: AsText<Id>,
    name: &'a str,
    kind: &'static str,
    workspace_id: Option<&'a str>,
    company_id: Option<&'a str>,
    scopes: Vec<&'static str>,
    create_only: bool,
    expires_at: Option<String>,
    /// The secret's first characters.
    hint: &'a str,
    created_at: String,
    /// Only in the response that creates the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> KeyJson<'a> {
    pub(super) fn of(view: &'a KeyView, secret: Option<&'a str>) -> KeyJson<'a> {
        let key = &view.key;
        let workspace = view.workspace.as_deref();
        let (kind, company) = match &key.reach {
            Reach::Instance => ("instance", None),
            Reach::Company(id) => ("company", Some(id)),
            Reach::Workspace(_) => ("workspace", workspace.map(|workspace| &workspace.company)),
        };
        KeyJson {
            id: AsText(key.id),
            name: &key.name,
            kind,
            workspace_id: workspace.map(|workspace| workspace.id.as_str()),
            company_id: company.map(ForeignId::as_str),
            scopes: key.scopes.iter().map(Scope::name).collect(),
            create_only: key.create_only,
            expires_at: key.expires_at.map(|at| at.to_string()),
            hint: &key.hint,
            created_at: key.created_at.to_string(),
            secret,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::check_parse;

    fn mistyped(field: &'static str, why: &str) -> Result<&'static str, BadRequest> {
        Err(BadRequest::Mistyped(Invalid::new(field, why)))
    }

    fn rule(field: &'static str, why: &str) -> Result<&'static str, BadRequest> {
        Err(BadRequest::Rule(Invalid::new(field, why)))
    }

    #[test]
    fn scopes_and_reach() {
        let key = r#"CreateKey(KeyDraft { name: "k", reach: Some(Workspace(ForeignId("w"))), scopes: Scopes(3), create_only: true, expires_at: None })"#;
        let body =
            r#"{"name":"k","scopes":["links.write","links.readonly"],"workspaceId":"w","createOnly":true}"#;
        check_parse(create, body, Ok(key));
        check_parse(create, r#"{"name":"k"}"#, mistyped("scopes", "is required"));
        check_parse(create, r#"{"name":"k","scopes":[]}"#, rule("scopes", "must not be empty"));
        check_parse(
            create,
            r#"{"name":"k","scopes":[1]}"#,
            mistyped("scopes", "must be an array of strings"),
        );
        let names = "must be of links.readonly, links.write, snapshots.readonly, snapshots.write, admin, metrics.readonly, analytics.readonly";
        check_parse(create, r#"{"name":"k","scopes":["all"]}"#, rule("scopes", names));
        let both = r#"{"name":"k","scopes":["admin"],"companyId":"c","instance":true}"#;
        check_parse(
            create,
            both,
            rule("workspaceId", "only one of workspaceId, companyId and instance can be given"),
        );
    }
}
