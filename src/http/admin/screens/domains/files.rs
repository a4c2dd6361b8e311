//! The forms that upload and remove the files of a domain: its logo, and those of app links.

use hyper::Method;
use serde_json::Value;

use super::apps::{ANDROID, APPLE};
use super::page::{DomainForm, page};
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, refused};
use crate::http::admin::screens::logos;
use crate::http::body::HttpResponse;

/// Uploads or removes the logo.
pub(in crate::http::admin) async fn save_logo(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    match logos::save(request, &format!("/api/v1/domains/{id}/qr-logo")).await {
        Ok(()) => Ok(request.frame.redirect(&format!("/admin/domains/{id}?done=saved"))),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => page(request, id, DomainForm { error: Some(error), ..DomainForm::default() }).await,
    }
}

/// Saves a file of app links, or removes it if the text is empty.
pub(in crate::http::admin) async fn save_apps(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let name = match request.form.text("file") {
        Some(APPLE) => APPLE,
        Some(ANDROID) => ANDROID,
        _ => return Err(refused("file", format!("must be {APPLE} or {ANDROID}"))),
    };
    let path = format!("/api/v1/domains/{id}/{name}");
    let saved = match request.form.text("content") {
        Some(text) => request.ask(&Method::PUT, &path, "", text.as_bytes(), None).await,
        None => request.send(&Method::DELETE, &path, &Value::Null).await,
    };
    match saved {
        // What phones may not know is for a person to read.
        Ok(answer) if !answer.warnings.is_empty() => {
            page(request, id, DomainForm { warnings: answer.warnings, ..DomainForm::default() }).await
        }
        Ok(_) => Ok(request.frame.redirect(&format!("/admin/domains/{id}?done=saved"))),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => {
            let text = request.form.text("content").unwrap_or("").to_owned();
            let apps = Some((name.to_owned(), text));
            page(request, id, DomainForm { apps, error: Some(error), ..DomainForm::default() }).await
        }
    }
}
