//! One workspace: its options and its logo.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::options::{CREDITS, OPTIONS};
use crate::core::WorkspaceView;
use crate::http::admin::fields::{FieldTexts, ShownField};
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::admin::screens::logos;
use crate::http::api::dialect::Reply;
use crate::http::api::in_process::json_of;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "workspace.html")]
struct WorkspacePage<'a> {
    frame: &'a Frame,
    id: &'a str,
    name: String,
    company: String,
    created: String,
    tag: String,
    /// The credits that the form was shown with.
    credits: String,
    fields: Vec<ShownField>,
    logo: Option<String>,
    logo_action: String,
    error: Option<String>,
}

/// Shows a workspace, or changes its options.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    if !request.is_post() {
        return page(request, id, None, None).await;
    }
    let mut texts = FieldTexts::default();
    texts.enter(OPTIONS, &request.form);
    match save(request, id, &texts).await {
        Ok(()) => Ok(request.frame.redirect(&format!("/admin/workspaces/{id}?done=saved"))),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => page(request, id, Some(texts), Some(error)).await,
    }
}

async fn save(request: &PageRequest<'_>, id: &str, texts: &FieldTexts) -> Result<(), PageError> {
    let mut body = texts.body(OPTIONS, false)?;
    // Links that were created since the form was shown must not give their credits back.
    if request.form.text("credits-shown").unwrap_or("") == texts.get(CREDITS) {
        body.remove(CREDITS);
    }
    let (path, tag) = (format!("/api/v1/workspaces/{id}"), request.form.text("tag"));
    request.send_if(&Method::PATCH, &path, &Value::Object(body), tag).await.map(drop)
}

/// Returns the logo.
pub(in crate::http::admin) async fn logo(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let path = format!("/api/v1/workspaces/{id}/qr-logo");
    if !request.is_post() {
        return logos::show(request, &path).await;
    }
    match logos::save(request, &path).await {
        Ok(()) => Ok(request.frame.redirect(&format!("/admin/workspaces/{id}?done=saved"))),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => page(request, id, None, Some(error)).await,
    }
}

async fn page(
    request: &PageRequest<'_>,
    id: &str,
    entered: Option<FieldTexts>,
    error: Option<PageError>,
) -> Result<HttpResponse, PageError> {
    let answer = request.read(&format!("/api/v1/workspaces/{id}"), "").await?;
    let tag = answer.tag.as_ref().and_then(|tag| tag.to_str().ok()).unwrap_or("").to_owned();
    let reply = reply_of(answer)?;
    let object = json_of(&reply);
    let Reply::Workspace(view) = reply else { return Err(PageError::Internal) };
    let present = texts_of(&view, &object["workspace"]);
    // After a form, what its reader has seen: the next try must not overwrite what others have changed.
    let shown = |name, now: &str| match &entered {
        Some(_) => request.form.text(name).unwrap_or("").to_owned(),
        None => now.to_owned(),
    };
    let (tag, credits) = (shown("tag", &tag), shown("credits-shown", present.get(CREDITS)));
    let texts = entered.as_ref().unwrap_or(&present);
    let failed = error.as_ref().and_then(PageError::field);
    let page = WorkspacePage {
        frame: request.frame,
        id,
        name: view.workspace.name.to_string(),
        company: view.workspace.company.to_string(),
        created: minute(view.workspace.created_at),
        tag,
        credits,
        fields: texts.shown(OPTIONS, failed.as_ref()),
        logo: view.workspace.qr.logo.map(|_| format!("/admin/workspaces/{id}/logo")),
        logo_action: format!("/admin/workspaces/{id}/logo"),
        error: error.as_ref().map(|error| error.words().1),
    };
    Ok(request.frame.page(error.map_or(StatusCode::OK, |error| error.words().0), &page))
}

fn texts_of(view: &WorkspaceView, object: &Value) -> FieldTexts {
    let mut texts = FieldTexts::of(OPTIONS, object);
    // The API shows what is in effect. Saved as it is, both would no longer follow the server.
    if view.workspace.default_domain.is_none() {
        texts.set("defaultDomain", "");
    }
    texts.set("timezone", view.workspace.timezone.as_deref().unwrap_or(""));
    texts
}
