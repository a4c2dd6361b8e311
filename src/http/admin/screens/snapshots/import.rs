//! The import of a shared snapshot, and its progress. The server continues it whether or not a page shows it.

use askama::Template;
use hyper::StatusCode;
use serde_json::json;

use super::list::refused;
use crate::http::admin::chart::grouped;
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{Created, Reply};
use crate::http::api::in_process::json_of;
use crate::http::body::HttpResponse;
use crate::model::snapshot::ImportStatus;

/// Begins an import.
pub(in crate::http::admin) async fn begin(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let body = json!({
        "shareLink": form.text("shareLink").unwrap_or(""),
        "onConflict": form.text("onConflict").unwrap_or("fail"),
    });
    let key = format!("snapshot-import-{}", form.text("once").unwrap_or(""));
    match request.send_once("/api/v1/snapshots/import", &body, &key).await.and_then(reply_of) {
        Ok(Reply::Made(Created::Import(view), _)) => {
            Ok(request.frame.redirect(&format!("/admin/snapshots/imports/{}", view.import.id)))
        }
        Ok(_) => Err(PageError::Internal),
        Err(error) => refused(request, error).await,
    }
}

#[derive(Template)]
#[template(path = "snapshot_import.html")]
struct ImportPage<'a> {
    frame: &'a Frame,
    is_pending: bool,
    /// The sentence of an import that failed.
    error: Option<String>,
    done: u64,
    total: u64,
    /// The length of the bar, which is not 0.
    most: u64,
    facts: Vec<(&'static str, String)>,
}

/// Shows how far an import is.
pub(in crate::http::admin) async fn status(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let reply = request.get(&format!("/api/v1/snapshots/imports/{id}"), "").await?;
    // The API has the sentence of a failure, in the words of this dialect.
    let shown = json_of(&reply);
    let Reply::Import(view) = reply else { return Err(PageError::Internal) };
    let import = &view.import;
    let mut facts = vec![
        ("Workspace", view.workspace.as_str().to_owned()),
        ("Started", minute(import.created_at)),
        ("Created", grouped(import.made)),
        ("Left out", grouped(import.skipped)),
        ("With another code", grouped(import.renamed)),
    ];
    facts.extend(import.finished_at.map(|at| ("Ended", minute(at))));
    let page = ImportPage {
        frame: request.frame,
        is_pending: import.status == ImportStatus::Pending,
        error: shown["import"]["error"].as_str().or_else(|| shown["error"].as_str()).map(str::to_owned),
        done: view.done,
        total: import.links,
        most: import.links.max(1),
        facts,
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}
