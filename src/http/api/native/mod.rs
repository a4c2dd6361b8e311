//! The native dialect: Brevr's `/api/v1` with our additions (docs/decisions.md A9-A15). Also the one that
//! words refusals on paths under `/api` that nobody else claims.
//!
//! 400 is a request that cannot be read (JSON, query, a field missing or of the wrong type), 422
//! one that can, but breaks a rule. Every error is `{"error": "field: rule"}`.

mod campaigns;
mod error;
mod fields;
mod links;
mod places;
pub mod portable;
mod render;
mod render_explain;
mod render_places;
mod render_snapshots;
mod render_webhooks;
mod snapshots;

use crate::http::api::dialect::{
    self, ApiError, BadRequest, Body, BodyKind, Command, Dialect, Endpoint, RequestParts, ScopedCommand,
    object, read, write,
};

/// The dialect.
pub(super) struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, path: &str) -> bool {
        path == "/api/v1" || path.starts_with("/api/v1/")
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    fn failure(&self, failure: &ApiError) -> Body {
        error::render(failure)
    }
}

/// An endpoint whose replies of all kinds are rendered by [`render::reply`].
const fn endpoint(
    method: &'static str,
    template: &'static str,
    body: BodyKind,
    parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
) -> Endpoint {
    dialect::endpoint(method, template, body, parse, |reply| Some(render::reply(reply)))
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/api/v1/links", BodyKind::Plain, links::create),
    endpoint("GET", "/api/v1/links", BodyKind::None, links::list),
    endpoint("POST", "/api/v1/links/bulk", BodyKind::Bulk, links::create_bulk),
    endpoint("GET", "/api/v1/links/{id}", BodyKind::None, |call| read(call, Command::Link(call.id("link")?))),
    endpoint("PATCH", "/api/v1/links/{id}", BodyKind::Plain, links::update),
    endpoint("DELETE", "/api/v1/links/{id}", BodyKind::None, |call| read(call, Command::DeleteLink(call.id("link")?))),
    endpoint("GET", "/api/v1/links/{id}/explain", BodyKind::None, links::explain),
    endpoint("DELETE", "/api/v1/links/{id}/password-lock", BodyKind::None, |call| read(call, Command::UnlockPassword(call.id("link")?))),
    endpoint("GET", "/api/v1/links/{id}/deliveries", BodyKind::None, |call| read(call, Command::Deliveries(call.id("link")?))),
    endpoint("POST", "/api/v1/render", BodyKind::Plain, links::render),
    endpoint("GET", "/api/v1/tags", BodyKind::None, |call| read(call, Command::Tags)),
    endpoint("POST", "/api/v1/tags", BodyKind::Plain, places::create_tag),
    endpoint("PATCH", "/api/v1/tags/{id}", BodyKind::Plain, places::update_tag),
    endpoint("DELETE", "/api/v1/tags/{id}", BodyKind::None, |call| read(call, Command::DeleteTag(call.id("tag")?))),
    endpoint("GET", "/api/v1/campaigns", BodyKind::None, |call| read(call, Command::Campaigns(None))),
    endpoint("POST", "/api/v1/campaigns", BodyKind::Plain, campaigns::create),
    endpoint("GET", "/api/v1/campaigns/{id}", BodyKind::None, |call| read(call, Command::Campaign(call.foreign_id("campaign")?.into()))),
    endpoint("PATCH", "/api/v1/campaigns/{id}", BodyKind::Plain, campaigns::update),
    endpoint("GET", "/api/v1/domains", BodyKind::None, |call| read(call, Command::Domains)),
    endpoint("POST", "/api/v1/domains", BodyKind::Plain, places::create_domain),
    endpoint("GET", "/api/v1/domains/{id}", BodyKind::None, |call| read(call, Command::Domain(call.id("domain")?))),
    endpoint("PATCH", "/api/v1/domains/{id}", BodyKind::Plain, places::update_domain),
    endpoint("DELETE", "/api/v1/domains/{id}", BodyKind::None, |call| read(call, Command::DeleteDomain(call.id("domain")?))),
    // There is nothing to verify: whoever may add a domain is believed. Clients call it all the same.
    endpoint("POST", "/api/v1/domains/{id}/verify", BodyKind::None, |call| read(call, Command::Domain(call.id("domain")?))),
    endpoint("GET", "/api/v1/workspaces", BodyKind::None, |call| read(call, Command::Workspaces)),
    endpoint("POST", "/api/v1/workspaces", BodyKind::Plain, places::create_workspace),
    endpoint("GET", "/api/v1/workspaces/{id}", BodyKind::None, |call| read(call, Command::Workspace(call.foreign_id("workspace")?))),
    endpoint("PATCH", "/api/v1/workspaces/{id}", BodyKind::Plain, places::update_workspace),
    endpoint("GET", "/api/v1/workspaces/{id}/webhook-secret", BodyKind::None, |call| read(call, Command::WebhookSecret(call.foreign_id("workspace")?))),
    endpoint("POST", "/api/v1/workspaces/{id}/webhook-secret/rotate", BodyKind::None, |call| read(call, Command::RotateWebhookSecret(call.foreign_id("workspace")?))),
    endpoint("GET", "/api/v1/companies", BodyKind::None, |call| read(call, Command::Companies)),
    endpoint("POST", "/api/v1/companies", BodyKind::Plain, places::create_company),
    endpoint("GET", "/api/v1/keys", BodyKind::None, |call| read(call, Command::Keys)),
    endpoint("POST", "/api/v1/keys", BodyKind::Plain, places::create_key),
    endpoint("DELETE", "/api/v1/keys/{id}", BodyKind::None, |call| read(call, Command::RevokeKey(call.id("key")?))),
    endpoint("GET", "/api/v1/snapshots", BodyKind::None, snapshots::list),
    endpoint("POST", "/api/v1/snapshots", BodyKind::Plain, snapshots::create),
    endpoint("POST", "/api/v1/snapshots/import", BodyKind::Plain, snapshots::import),
    endpoint("GET", "/api/v1/snapshots/imports/{id}", BodyKind::None, snapshots::status),
    endpoint("GET", "/api/v1/snapshots/{id}", BodyKind::None, snapshots::one),
    endpoint("DELETE", "/api/v1/snapshots/{id}", BodyKind::None, snapshots::delete),
    endpoint("POST", "/api/v1/snapshots/{id}/shares", BodyKind::Plain, snapshots::share),
];
