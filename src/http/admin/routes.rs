//! The pages of the dashboard by path.

use hyper::Method;

use super::link_files::LinkFileKind;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::screens::{choices, links, live, overview, shares, sign_in, snapshots, statistics, transfer};
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
        _ => Err(PageError::NoPage),
    }
}
