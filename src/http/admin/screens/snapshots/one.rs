//! One snapshot: its content, its shares, its end.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::list::SnapshotRow;
use crate::http::admin::form::new_key;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{ApiError, Created, Reply};
use crate::http::body::HttpResponse;

/// The kinds of shares, by their names in the API.
const KINDS: [(&str, &str, &str); 4] = [
    ("link", "Once", "by the first workspace that imports it; then the share is used up"),
    ("permanent_link", "Any number of times", "by everybody who has the link"),
    ("agency_link", "By companies", "by companies with the relationship numbers below"),
    ("location_link", "By workspaces", "into the workspaces whose ids are below"),
];

#[derive(Template)]
#[template(path = "snapshot.html")]
struct SnapshotPage<'a> {
    frame: &'a Frame,
    row: SnapshotRow,
    kinds: [(&'static str, &'static str, &'static str, bool); 4],
    once: String,
    error: Option<String>,
    /// The link of the share that was just created.
    share: Option<String>,
    listed: String,
}

/// Shows a snapshot.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    shown(request, id, None, None).await
}

async fn shown(
    request: &PageRequest<'_>,
    id: &str,
    share: Option<String>,
    error: Option<PageError>,
) -> Result<HttpResponse, PageError> {
    let Reply::Snapshot(view) = request.get(&format!("/api/v1/snapshots/{id}"), "").await? else {
        return Err(PageError::Internal);
    };
    let form = &request.form;
    let kind = form.text("type").unwrap_or("link");
    let page = SnapshotPage {
        frame: request.frame,
        row: SnapshotRow::of(&view),
        kinds: KINDS.map(|(value, name, hint)| (value, name, hint, value == kind)),
        once: new_key(),
        error: error.as_ref().map(|error| error.words().1),
        listed: if share.is_some() { String::new() } else { form.text("listed").unwrap_or("").to_owned() },
        share,
    };
    let status = error.map_or(StatusCode::OK, |error| error.words().0);
    Ok(request.frame.page(status, &page))
}

/// Creates a share, and shows its link. No list has it later.
pub(in crate::http::admin) async fn share(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let kind = form.text("type").unwrap_or("");
    // People paste lists with commas as well as lines.
    let listed: Vec<&str> = form.text("listed").unwrap_or("").split([',', '\n', ' ', '\r']).collect();
    let listed: Vec<&str> = listed.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect();
    let body = match kind {
        "agency_link" => json!({"type": kind, "relationshipNumbers": listed}),
        "location_link" => json!({"type": kind, "workspaceIds": listed}),
        _ => json!({"type": kind}),
    };
    let key = format!("share-{}", form.text("once").unwrap_or(""));
    let path = format!("/api/v1/snapshots/{id}/shares");
    match request.send_once(&path, &body, &key).await.and_then(reply_of) {
        Ok(Reply::Made(Created::Share(view), _)) => shown(request, id, Some(view.url), None).await,
        Ok(_) => Err(PageError::Internal),
        Err(error @ (PageError::Api(ApiError::Server(_)) | PageError::Internal)) => Err(error),
        Err(error) => shown(request, id, None, Some(error)).await,
    }
}

/// Deletes a snapshot. Its shares end with it.
pub(in crate::http::admin) async fn delete(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("/api/v1/snapshots/{id}"), &Value::Null).await?;
    Ok(request.frame.redirect("/admin/snapshots?done=deleted"))
}
