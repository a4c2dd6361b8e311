//! The list of snapshots, with the forms of a new one and of an import.

use askama::Template;
use hyper::StatusCode;
use serde_json::json;

use crate::http::admin::chart::grouped;
use crate::http::admin::form::new_key;
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{ApiError, Created, Reply, SnapshotView};
use crate::http::body::HttpResponse;
use crate::model::snapshot::SnapshotKind;

#[derive(Template)]
#[template(path = "snapshots.html")]
struct SnapshotsPage<'a> {
    frame: &'a Frame,
    rows: Vec<SnapshotRow>,
    error: Option<String>,
    /// The key with which the form of a new snapshot acts once.
    once: String,
    /// What was entered.
    name: String,
    with_passwords: bool,
    share: String,
    conflicts: [(&'static str, &'static str, bool); 3],
}

/// A snapshot on a page.
pub(super) struct SnapshotRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) origin: &'static str,
    pub(super) workspace: String,
    pub(super) links: String,
    pub(super) tags: String,
    pub(super) created: String,
    pub(super) has_passwords: bool,
}

impl SnapshotRow {
    pub(super) fn of(view: &SnapshotView) -> SnapshotRow {
        let snapshot = &view.snapshot;
        SnapshotRow {
            id: snapshot.id.as_str().to_owned(),
            name: snapshot.name.to_string(),
            origin: match snapshot.kind {
                SnapshotKind::Own => "created here",
                SnapshotKind::Imported => "imported",
            },
            workspace: view.workspace.as_str().to_owned(),
            links: grouped(snapshot.links),
            tags: grouped(snapshot.tags),
            created: minute(snapshot.created_at),
            has_passwords: snapshot.has_passwords,
        }
    }
}

/// Shows the list, the form of a new snapshot and the form of an import.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    list(request, None).await
}

async fn list(request: &PageRequest<'_>, error: Option<PageError>) -> Result<HttpResponse, PageError> {
    let Reply::Snapshots(all) = request.get("/api/v1/snapshots", "").await? else {
        return Err(PageError::Internal);
    };
    let form = &request.form;
    let given = |name| form.text(name).unwrap_or("").to_owned();
    let conflict = form.text("onConflict").unwrap_or("fail");
    let conflicts =
        [("fail", "import nothing"), ("skip", "leave the link out"), ("rename", "generate another code")];
    let page = SnapshotsPage {
        frame: request.frame,
        rows: all.iter().map(SnapshotRow::of).collect(),
        once: new_key(),
        name: given("name"),
        with_passwords: form.has("includePasswords"),
        share: given("shareLink"),
        conflicts: conflicts.map(|(value, name)| (value, name, value == conflict)),
        error: error.as_ref().map(|error| error.words().1),
    };
    let status = error.map_or(StatusCode::OK, |error| error.words().0);
    Ok(request.frame.page(status, &page))
}

/// Shows the list again with an error that its forms can mend.
pub(super) async fn refused(request: &PageRequest<'_>, error: PageError) -> Result<HttpResponse, PageError> {
    // A fault of the server is no fault of what was entered.
    match error {
        PageError::Api(ApiError::Server(_)) | PageError::Internal => Err(error),
        error => list(request, Some(error)).await,
    }
}

/// Creates a snapshot.
pub(in crate::http::admin) async fn create(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let body = json!({
        "name": form.text("name").unwrap_or(""),
        "includePasswords": form.has("includePasswords"),
    });
    let key = format!("snapshot-{}", form.text("once").unwrap_or(""));
    match request.send_once("/api/v1/snapshots", &body, &key).await.and_then(reply_of) {
        Ok(Reply::Made(Created::Snapshot(view), _)) => {
            let path = format!("/admin/snapshots/{}?done=created", view.snapshot.id.as_str());
            Ok(request.frame.redirect(&path))
        }
        Ok(_) => Err(PageError::Internal),
        Err(error) => refused(request, error).await,
    }
}
