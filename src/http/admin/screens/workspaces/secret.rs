//! The secret that signs the webhooks of a workspace.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "webhook_secret.html")]
struct SecretPage<'a> {
    frame: &'a Frame,
    id: &'a str,
    secret: String,
    created: String,
    previous: Option<String>,
}

/// Shows the secret, which a workspace has from the first look at it on.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let path = format!("/api/v1/workspaces/{id}/webhook-secret");
    let Reply::WebhookSecret(view) = request.get(&path, "").await? else { return Err(PageError::Internal) };
    let page = SecretPage {
        frame: request.frame,
        id,
        secret: view.secret.text(),
        created: minute(view.created_at),
        previous: view.previous_expires_at.map(minute),
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Creates another secret.
pub(in crate::http::admin) async fn rotate(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let path = format!("/api/v1/workspaces/{id}/webhook-secret/rotate");
    request.send(&Method::POST, &path, &Value::Null).await?;
    Ok(request.frame.redirect(&format!("/admin/workspaces/{id}/webhook-secret?done=rotated")))
}
