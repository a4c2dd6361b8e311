//! The pages of the dashboard by path.

use hyper::Method;

use super::link_files::LinkFileKind;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::screens::labels::{self, CAMPAIGNS, TAGS};
use super::screens::{
    audit, choices, domains, keys, links, live, logos, overview, settings, shares, sign_in, snapshots,
    statistics, transfer, workspaces,
};
use crate::http::body::HttpResponse;

/// Returns whether a path is that of the form for signing in.
pub(super) fn is_sign_in(path: &str) -> bool {
    path == "/admin/sign-in"
}

/// Responds to a request of a person who is signed in.
pub(super) async fn respond(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let path = request.parts.uri.path();
    let path = path.strip_prefix("/admin").unwrap_or(path).trim_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_post = request.parts.method == Method::POST;
    match (is_post, segments.as_slice()) {
        // A key without links, such as one that administers.
        (false, []) if !request.frame.may().read => Ok(request.frame.redirect("/admin/settings")),
        (false, []) => overview::show(request).await,
        (true, ["choice"]) => Ok(choices::keep(request)),
        (true, ["sign-out"]) => sign_in::sign_out(request).await,
        (false, ["links"]) => links::list::show(request).await,
        (false, ["links.csv"]) => links::files::of_list(request, LinkFileKind::Csv).await,
        (false, ["links.jsonl"]) => links::files::of_list(request, LinkFileKind::Lines).await,
        (true, ["links", "bulk"]) => links::bulk::act(request).await,
        // Before `id`, which is any word. A bookmark calls the shorter path with the address of a page.
        (_, ["links", "new"]) | (false, ["new"]) => links::edit::new(request).await,
        (false, ["links", "deleted"]) => links::deleted::show(request).await,
        (false, ["code", code]) => links::one::by_code(request, code).await,
        (false, ["links", id]) => links::one::show(request, id).await,
        (_, ["links", id, "edit"]) => links::edit::change(request, id).await,
        (true, ["links", id, "delete"]) => links::one::delete(request, id).await,
        (true, ["links", id, "undo"]) => links::one::undo(request, id).await,
        (true, ["links", id, "unlock"]) => links::one::unlock(request, id).await,
        (true, ["links", id, "restore"]) => links::deleted::restore(request, id).await,
        (false, ["links", id, "qr"]) => links::qr::show(request, id).await,
        (false, ["links", id, "qr.svg"]) => links::qr::file(request, id, "svg").await,
        (false, ["links", id, "qr.png"]) => links::qr::file(request, id, "png").await,
        (false, ["transfer"]) => transfer::show(request).await,
        (true, ["transfer"]) => transfer::check(request).await,
        (true, ["transfer", "run"]) => transfer::run::step(request).await,
        (false, ["clicks.csv"]) => transfer::clicks::file(request).await,
        (false, ["snapshots"]) => snapshots::list::show(request).await,
        (true, ["snapshots"]) => snapshots::list::create(request).await,
        (true, ["snapshots", "import"]) => snapshots::import::begin(request).await,
        (false, ["snapshots", "imports", id]) => snapshots::import::status(request, id).await,
        (false, ["snapshots", id]) => snapshots::one::show(request, id).await,
        (true, ["snapshots", id, "shares"]) => snapshots::one::share(request, id).await,
        (true, ["snapshots", id, "delete"]) => snapshots::one::delete(request, id).await,
        (false, ["shares"]) => shares::show(request).await,
        (true, ["shares"]) => shares::create(request).await,
        (_, ["shares", id]) => shares::one(request, id).await,
        (true, ["shares", id, "revoke"]) => shares::revoke(request, id).await,
        (false, ["statistics"]) => statistics::show(request).await,
        (false, ["statistics.csv"]) => statistics::tables::csv(request).await,
        (false, ["statistics", property]) => statistics::tables::show(request, property).await,
        (false, ["live"]) => live::show(request).await,
        (false, ["live", "events"]) => live::events(request).await,
        // A function of its own: a future is as large as the largest of its arms.
        _ => organize(request, is_post, &segments).await,
    }
}

/// Responds to a request for what links belong to, and for what keys may do.
async fn organize(
    request: &PageRequest<'_>,
    is_post: bool,
    segments: &[&str],
) -> Result<HttpResponse, PageError> {
    match (is_post, segments) {
        (_, ["tags", rest @ ..]) => label(request, &TAGS, is_post, rest).await,
        (_, ["campaigns", rest @ ..]) => label(request, &CAMPAIGNS, is_post, rest).await,
        (false, ["domains"]) => domains::list::show(request).await,
        // Before `id`, which is any word. So it is for keys and workspaces.
        (_, ["domains", "new"]) => domains::list::new(request).await,
        (_, ["domains", id]) => domains::one::show(request, id).await,
        (true, ["domains", id, "delete"]) => domains::one::delete(request, id).await,
        (false, ["domains", id, "logo"]) => {
            logos::show(request, &format!("/api/v1/domains/{id}/qr-logo")).await
        }
        (true, ["domains", id, "logo"]) => domains::files::save_logo(request, id).await,
        (true, ["domains", id, "apps"]) => domains::files::save_apps(request, id).await,
        (false, ["keys"]) => keys::list::show(request).await,
        (_, ["keys", "new"]) => keys::new::new(request).await,
        (true, ["keys", id, "revoke"]) => keys::list::revoke(request, id).await,
        (false, ["workspaces"]) => workspaces::list::show(request).await,
        (_, ["workspaces", "new"]) => workspaces::new::workspace(request).await,
        // A company has no page: no request of the API changes it.
        (_, ["companies", "new"]) => workspaces::new::company(request).await,
        (_, ["workspaces", id]) => workspaces::one::show(request, id).await,
        (_, ["workspaces", id, "logo"]) => workspaces::one::logo(request, id).await,
        // A page of its own, so that no other page has the secret in it.
        (false, ["workspaces", id, "webhook-secret"]) => workspaces::secret::show(request, id).await,
        (true, ["workspaces", id, "webhook-secret", "rotate"]) => {
            workspaces::secret::rotate(request, id).await
        }
        (false, ["audit"]) => audit::show(request).await,
        (false, ["settings"]) => settings::show::show(request).await,
        (true, ["sessions", id, "end"]) => settings::sessions::end(request, id).await,
        _ => Err(PageError::NoPage),
    }
}

/// Responds to a request for tags or campaigns.
async fn label(
    request: &PageRequest<'_>,
    kind: &labels::LabelKind,
    is_post: bool,
    segments: &[&str],
) -> Result<HttpResponse, PageError> {
    match (is_post, segments) {
        (false, []) => labels::show(request, kind).await,
        // Before `id`, as above.
        (_, ["new"]) => labels::new(request, kind).await,
        (_, [id]) => labels::one(request, kind, id).await,
        (true, [id, "delete"]) => labels::delete(request, kind, id).await,
        _ => Err(PageError::NoPage),
    }
}
