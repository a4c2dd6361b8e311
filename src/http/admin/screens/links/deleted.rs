//! Deleted links, which can be restored for a while.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::http::admin::chart::grouped;
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "deleted.html")]
struct DeletedLinksPage<'a> {
    frame: &'a Frame,
    rows: Vec<DeletedRow>,
    next: Option<String>,
}

struct DeletedRow {
    id: String,
    code: String,
    domain: String,
    destination: String,
    clicks: String,
    deleted: String,
    until: String,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let cursor = request.param("cursor").unwrap_or_default();
    let query = query_of(&[("limit", "25"), ("cursor", &cursor)]);
    let Reply::DeletedLinks(page) = request.get("/api/v1/links/deleted", &query).await? else {
        return Err(PageError::Internal);
    };
    let rows = page.links.iter().map(|left| DeletedRow {
        id: left.link.id.to_string(),
        code: left.link.shown_code().as_str().to_owned(),
        domain: left.domain.as_deref().unwrap_or("a deleted domain").to_owned(),
        destination: left.link.options.target().as_str().to_owned(),
        clicks: grouped(left.clicks),
        deleted: minute(left.deleted_at),
        until: minute(left.restorable_until),
    });
    let next =
        page.next.map(|next| format!("/admin/links/deleted?{}", query_of(&[("cursor", &next.to_string())])));
    Ok(request
        .frame
        .page(StatusCode::OK, &DeletedLinksPage { frame: request.frame, rows: rows.collect(), next }))
}

/// Restores a link. Its code may be in use by now: then the form has another one.
pub(in crate::http::admin) async fn restore(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let body = request.form.text("customSlug").map_or(json!({}), |code| json!({"customSlug": code}));
    request.send(&Method::POST, &format!("/api/v1/links/{id}/restore"), &body).await?;
    Ok(request.frame.redirect(&format!("/admin/links/{id}?done=restored")))
}
