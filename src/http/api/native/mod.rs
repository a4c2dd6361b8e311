//! The native dialect: Brevr's `/api/v1` with additions (docs/decisions.md A9-A15). It also words the errors of
//! paths under `/api` that no dialect claims.
//!
//! 400 is a request that cannot be parsed: JSON, query, a field that is missing or mistyped. 422 is a request
//! that breaks a rule. Every error is `{"error": "field: rule"}`. Unknown fields and parameters are ignored, and
//! the answer names them ([`unknown`]).

mod analytics;
mod analytics_csv;
mod app_links;
mod campaigns;
mod click_shares;
mod cursors;
mod domains;
mod error;
mod explain;
mod files;
mod filters;
mod history;
mod keys;
mod link_lists;
mod links;
mod live;
mod qr;
mod render;
mod snapshots;
mod tags;
mod unknown;
mod webhooks;
mod workspaces;

use self::unknown::{LINK_CHANGE, NEW_LINK, noted};
use crate::http::api::dialect::{
    self, ApiError, BadRequest, Body, BodyKind, Command, Cursor, Dialect, Endpoint, LinkAct, QueryWarnings,
    RequestParts, ScopedCommand, Sort, read,
};
use crate::model::attachment::AttachmentUse;

/// The dialect.
pub(super) struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, path: &str) -> bool {
        // Other paths under `/api` come here by the default of the registry.
        path == "/api/v1" || path.starts_with("/api/v1/")
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    fn error(&self, error: &ApiError) -> Body {
        error::render(error)
    }

    fn shows_recent_clicks(&self) -> bool {
        true
    }

    fn has_revisions(&self) -> bool {
        true
    }

    fn query_warnings(&self) -> QueryWarnings {
        QueryWarnings::InBody
    }
}

/// Returns the text of a cursor, as the `nextCursor` of a list.
pub(in crate::http) fn cursor_text(cursor: &Cursor, sort: Sort) -> Option<String> {
    cursors::text(cursor, sort)
}

/// Returns the status and the sentence of an error.
pub(super) fn words(error: &ApiError) -> (hyper::StatusCode, String) {
    error::words(error)
}

/// Renders a reply.
pub(super) fn render(reply: &dialect::Reply) -> Body {
    render::reply(reply)
}

/// Returns an endpoint whose replies [`render::reply`] renders.
const fn endpoint(
    method: &'static str,
    template: &'static str,
    body: BodyKind,
    parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
) -> Endpoint {
    // Any reply can be rendered, so endpoint and command never mismatch here.
    dialect::endpoint(method, template, body, parse, |reply| Some(render::reply(reply)))
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/api/v1/links", BodyKind::Plain, |request| noted(request, links::create, NEW_LINK)),
    endpoint("GET", "/api/v1/links", BodyKind::None, links::list),
    endpoint("POST", "/api/v1/links/bulk", BodyKind::Bulk, links::create_bulk),
    // Before `{id}`, which is any word.
    endpoint("GET", "/api/v1/links/deleted", BodyKind::None, history::deleted),
    // Before `{id}/explain`: a code may be any word.
    endpoint("GET", "/api/v1/links/by-code/{code}", BodyKind::None, |request| links::by_code(request, LinkAct::Read)),
    endpoint("PATCH", "/api/v1/links/by-code/{code}", BodyKind::Plain, |request| noted(request, links::update_by_code, LINK_CHANGE)),
    endpoint("DELETE", "/api/v1/links/by-code/{code}", BodyKind::None, |request| links::by_code(request, LinkAct::Delete)),
    endpoint("GET", "/api/v1/links/by-code/{code}/explain", BodyKind::None, explain::parse_by_code),
    endpoint("DELETE", "/api/v1/links/by-code/{code}/password-lock", BodyKind::None, |request| links::by_code(request, LinkAct::UnlockPassword)),
    endpoint("GET", "/api/v1/links/by-code/{code}/deliveries", BodyKind::None, |request| links::by_code(request, LinkAct::Deliveries)),
    endpoint("GET", "/api/v1/links/by-code/{code}/qr", BodyKind::None, qr::by_code),
    endpoint("GET", "/api/v1/links/by-code/{code}/history", BodyKind::None, history::of_code),
    endpoint("POST", "/api/v1/links/by-code/{code}/undo", BodyKind::Plain, history::undo_by_code),
    endpoint("GET", "/api/v1/links/{id}", BodyKind::None, |request| read(request, Command::Link(links::id(request)?))),
    endpoint("PATCH", "/api/v1/links/{id}", BodyKind::Plain, |request| noted(request, links::update, LINK_CHANGE)),
    endpoint("DELETE", "/api/v1/links/{id}", BodyKind::None, |request| read(request, Command::DeleteLink(links::id(request)?))),
    endpoint("GET", "/api/v1/links/{id}/explain", BodyKind::None, explain::parse),
    endpoint("DELETE", "/api/v1/links/{id}/password-lock", BodyKind::None, |request| read(request, Command::UnlockPassword(links::id(request)?))),
    endpoint("GET", "/api/v1/links/{id}/deliveries", BodyKind::None, |request| read(request, Command::Deliveries(links::id(request)?))),
    endpoint("GET", "/api/v1/links/{id}/qr", BodyKind::None, qr::by_id),
    endpoint("GET", "/api/v1/links/{id}/history", BodyKind::None, history::of_link),
    endpoint("POST", "/api/v1/links/{id}/undo", BodyKind::Plain, history::undo),
    endpoint("POST", "/api/v1/links/{id}/restore", BodyKind::Plain, history::restore),
    endpoint("GET", "/api/v1/audit", BodyKind::None, history::audit),
    endpoint("GET", "/api/v1/analytics", BodyKind::None, analytics::parse),
    // Before `{what}`, which is any word.
    endpoint("GET", "/api/v1/analytics/shares", BodyKind::None, |request| read(request, Command::ClickShares)),
    endpoint("POST", "/api/v1/analytics/shares", BodyKind::Plain, |request| noted(request, click_shares::create, click_shares::NEW)),
    endpoint("PATCH", "/api/v1/analytics/shares/{id}", BodyKind::Plain, |request| noted(request, click_shares::update, click_shares::CHANGE)),
    endpoint("DELETE", "/api/v1/analytics/shares/{id}", BodyKind::None, |request| read(request, Command::RevokeClickShare(request.id("share")?))),
    endpoint("GET", "/api/v1/analytics/live", BodyKind::None, live::parse),
    endpoint("GET", "/api/v1/analytics/{what}", BodyKind::None, analytics::parse_by_name),
    endpoint("POST", "/api/v1/explain", BodyKind::Plain, explain::parse_noted_draft),
    endpoint("POST", "/api/v1/render", BodyKind::Plain, |request| noted(request, links::render, links::TEMPLATE)),
    endpoint("GET", "/api/v1/tags", BodyKind::None, |request| read(request, Command::Tags)),
    endpoint("POST", "/api/v1/tags", BodyKind::Plain, |request| noted(request, tags::create, tags::NEW)),
    endpoint("PATCH", "/api/v1/tags/{id}", BodyKind::Plain, |request| noted(request, tags::update, tags::CHANGE)),
    endpoint("DELETE", "/api/v1/tags/{id}", BodyKind::None, |request| read(request, Command::DeleteTag(request.id("tag")?))),
    endpoint("GET", "/api/v1/campaigns", BodyKind::None, |request| read(request, Command::Campaigns(None))),
    endpoint("POST", "/api/v1/campaigns", BodyKind::Plain, |request| noted(request, campaigns::create, campaigns::NEW)),
    endpoint("GET", "/api/v1/campaigns/{id}", BodyKind::None, |request| read(request, Command::Campaign(request.foreign_id("campaign")?.into()))),
    endpoint("PATCH", "/api/v1/campaigns/{id}", BodyKind::Plain, |request| noted(request, campaigns::update, campaigns::CHANGE)),
    endpoint("DELETE", "/api/v1/campaigns/{id}", BodyKind::None, |request| read(request, Command::DeleteCampaign(request.foreign_id("campaign")?.into()))),
    endpoint("GET", "/api/v1/domains", BodyKind::None, |request| read(request, Command::Domains)),
    endpoint("POST", "/api/v1/domains", BodyKind::Plain, |request| noted(request, domains::create, domains::NEW)),
    endpoint("GET", "/api/v1/domains/{id}", BodyKind::None, |request| read(request, Command::Domain(request.id("domain")?))),
    endpoint("PATCH", "/api/v1/domains/{id}", BodyKind::Plain, |request| noted(request, domains::update, domains::CHANGE)),
    endpoint("DELETE", "/api/v1/domains/{id}", BodyKind::None, |request| read(request, Command::DeleteDomain(request.id("domain")?))),
    // Nothing is verified: a key that may add a domain is trusted. Clients of the vendor call this endpoint.
    endpoint("POST", "/api/v1/domains/{id}/verify", BodyKind::None, |request| read(request, Command::Domain(request.id("domain")?))),
    endpoint("GET", "/api/v1/domains/{id}/qr-logo", BodyKind::None, |request| files::of_domain(request, AttachmentUse::Logo)),
    endpoint("PUT", "/api/v1/domains/{id}/qr-logo", BodyKind::Plain, |request| files::set_of_domain(request, AttachmentUse::Logo)),
    endpoint("DELETE", "/api/v1/domains/{id}/qr-logo", BodyKind::None, |request| files::remove_of_domain(request, AttachmentUse::Logo)),
    endpoint("GET", "/api/v1/domains/{id}/apple-app-site-association", BodyKind::None, |request| files::of_domain(request, AttachmentUse::AppleApps)),
    endpoint("PUT", "/api/v1/domains/{id}/apple-app-site-association", BodyKind::Plain, |request| files::set_of_domain(request, AttachmentUse::AppleApps)),
    endpoint("DELETE", "/api/v1/domains/{id}/apple-app-site-association", BodyKind::None, |request| files::remove_of_domain(request, AttachmentUse::AppleApps)),
    endpoint("GET", "/api/v1/domains/{id}/assetlinks.json", BodyKind::None, |request| files::of_domain(request, AttachmentUse::AndroidApps)),
    endpoint("PUT", "/api/v1/domains/{id}/assetlinks.json", BodyKind::Plain, |request| files::set_of_domain(request, AttachmentUse::AndroidApps)),
    endpoint("DELETE", "/api/v1/domains/{id}/assetlinks.json", BodyKind::None, |request| files::remove_of_domain(request, AttachmentUse::AndroidApps)),
    endpoint("GET", "/api/v1/workspaces", BodyKind::None, |request| read(request, Command::Workspaces)),
    endpoint("POST", "/api/v1/workspaces", BodyKind::Plain, |request| noted(request, workspaces::create, workspaces::NEW)),
    endpoint("GET", "/api/v1/workspaces/{id}", BodyKind::None, |request| read(request, Command::Workspace(request.foreign_id("workspace")?))),
    endpoint("PATCH", "/api/v1/workspaces/{id}", BodyKind::Plain, |request| noted(request, workspaces::update, workspaces::CHANGE)),
    endpoint("GET", "/api/v1/workspaces/{id}/qr-logo", BodyKind::None, files::of_workspace),
    endpoint("PUT", "/api/v1/workspaces/{id}/qr-logo", BodyKind::Plain, files::set_of_workspace),
    endpoint("DELETE", "/api/v1/workspaces/{id}/qr-logo", BodyKind::None, files::remove_of_workspace),
    endpoint("GET", "/api/v1/workspaces/{id}/webhook-secret", BodyKind::None, |request| read(request, Command::WebhookSecret(request.foreign_id("workspace")?))),
    endpoint("POST", "/api/v1/workspaces/{id}/webhook-secret/rotate", BodyKind::None, |request| read(request, Command::RotateWebhookSecret(request.foreign_id("workspace")?))),
    endpoint("GET", "/api/v1/companies", BodyKind::None, |request| read(request, Command::Companies)),
    endpoint("POST", "/api/v1/companies", BodyKind::Plain, |request| noted(request, workspaces::create_company, workspaces::NEW_COMPANY)),
    endpoint("GET", "/api/v1/keys", BodyKind::None, |request| read(request, Command::Keys)),
    endpoint("POST", "/api/v1/keys", BodyKind::Plain, |request| noted(request, keys::create, keys::NEW)),
    endpoint("DELETE", "/api/v1/keys/{id}", BodyKind::None, |request| read(request, Command::RevokeKey(request.id("key")?))),
    endpoint("GET", "/api/v1/snapshots", BodyKind::None, snapshots::list),
    endpoint("POST", "/api/v1/snapshots", BodyKind::Plain, |request| noted(request, snapshots::create, snapshots::NEW)),
    endpoint("POST", "/api/v1/snapshots/import", BodyKind::Plain, |request| noted(request, snapshots::import, snapshots::IMPORT)),
    endpoint("GET", "/api/v1/snapshots/imports/{id}", BodyKind::None, snapshots::status),
    endpoint("GET", "/api/v1/snapshots/{id}", BodyKind::None, snapshots::one),
    endpoint("DELETE", "/api/v1/snapshots/{id}", BodyKind::None, snapshots::delete),
    endpoint("POST", "/api/v1/snapshots/{id}/shares", BodyKind::Plain, |request| noted(request, snapshots::share, snapshots::SHARE)),
];
