//! Tags, domains, workspaces, companies and keys in the native dialect.

use std::collections::BTreeMap;

use serde::Serialize;

use super::render::Text;
use crate::http::api::dialect::{DomainView, KeyView, WorkspaceView};
use crate::model::destination::Destination;
use crate::model::id::{ForeignId, Id};
use crate::model::key::{Reach, Scope};
use crate::model::tag::Tag;
use crate::model::workspace::Company;

#[derive(Serialize)]
pub(super) struct TagJson<'a> {
    id: Text<Id>,
    name: &'a str,
    color: &'a str,
}

impl<'a> TagJson<'a> {
    pub(super) fn of(tag: &'a Tag) -> TagJson<'a> {
        TagJson { id: Text(tag.id), name: &tag.name, color: &tag.color }
    }
}

/// The vendor's `Domain`, then ours. A domain works or is not there, so most of the vendor's
/// states never occur.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DomainJson<'a> {
    id: Text<Id>,
    domain: &'a str,
    verified: bool,
    verified_at: Option<String>,
    created_at: String,
    status: &'static str,
    last_checked_at: Option<()>,
    failed_checks: u64,
    active_links: u64,
    ownership_verified: bool,
    verification_token: Option<()>,
    dns_provider: Option<()>,
    base_url: &'a str,
    case_sensitive: bool,
    not_found_url: Option<&'a str>,
    expired_url: Option<&'a str>,
    root_url: Option<&'a str>,
}

impl<'a> DomainJson<'a> {
    pub(super) fn of(view: &'a DomainView) -> DomainJson<'a> {
        let domain = &view.domain;
        let verified = domain.verified_at.is_some();
        DomainJson {
            id: Text(domain.id),
            domain: &view.name,
            verified,
            verified_at: domain.verified_at.map(|at| at.to_string()),
            created_at: domain.created_at.to_string(),
            status: if verified { "ACTIVE" } else { "PENDING_OWNERSHIP" },
            last_checked_at: None,
            failed_checks: 0,
            active_links: view.links,
            ownership_verified: verified,
            verification_token: None,
            dns_provider: None,
            base_url: &view.base_url,
            case_sensitive: domain.case_sensitive,
            not_found_url: domain.not_found_url.as_ref().map(Destination::as_str),
            expired_url: domain.expired_url.as_ref().map(Destination::as_str),
            root_url: domain.root_url.as_ref().map(Destination::as_str),
        }
    }
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyJson<'a> {
    id: Text<Id>,
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
    /// Told once, when the key is made.
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
            id: Text(key.id),
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
