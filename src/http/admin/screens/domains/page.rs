//! The page of a domain, also after a form on it has failed.

use askama::Template;
use hyper::StatusCode;
use serde_json::Value;

use super::apps::AppFiles;
use super::options::OPTIONS;
use super::row::DomainRow;
use crate::http::admin::fields::{FieldTexts, ShownField};
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{DomainView, Reply};
use crate::http::api::in_process::json_of;
use crate::http::body::HttpResponse;
use crate::model::destination::Destination;

#[derive(Template)]
#[template(path = "domain.html")]
struct DomainPage<'a> {
    frame: &'a Frame,
    row: DomainRow,
    base_url: String,
    added: String,
    tag: String,
    fields: Vec<ShownField>,
    facts: Vec<(&'static str, String)>,
    logo: Option<String>,
    logo_action: String,
    apps: Option<AppFiles>,
    error: Option<String>,
    warnings: Vec<String>,
}

/// What a form on the page of a domain has come to.
#[derive(Default)]
pub(super) struct DomainForm {
    pub(super) texts: Option<FieldTexts>,
    pub(super) tag: Option<String>,
    pub(super) apps: Option<(String, String)>,
    pub(super) error: Option<PageError>,
    pub(super) warnings: Vec<String>,
}

/// Returns the page of a domain after a form.
pub(super) async fn page(
    request: &PageRequest<'_>,
    id: &str,
    form: DomainForm,
) -> Result<HttpResponse, PageError> {
    let answer = request.read(&format!("/api/v1/domains/{id}"), "").await?;
    let tag = answer.tag.as_ref().and_then(|tag| tag.to_str().ok()).unwrap_or("").to_owned();
    let reply = reply_of(answer)?;
    let object = json_of(&reply);
    let Reply::Domain(view) = reply else { return Err(PageError::Internal) };
    let texts = form.texts.unwrap_or_else(|| texts_of(&view, &object["domain"]));
    let may_change = request.frame.may().administer;
    let apps = if may_change { Some(AppFiles::read(request, &view, form.apps).await?) } else { None };
    let failed = form.error.as_ref().and_then(PageError::field);
    let status = form.error.as_ref().map_or(StatusCode::OK, |error| error.words().0);
    let shown = DomainPage {
        frame: request.frame,
        row: DomainRow::of(&view),
        base_url: view.base_url.clone(),
        added: minute(view.domain.created_at),
        // That of the form: what its reader has not seen must not be overwritten by the next try.
        tag: form.tag.unwrap_or(tag),
        fields: texts.shown(OPTIONS, failed.as_ref()),
        facts: texts.facts(OPTIONS),
        logo: view.domain.qr.logo.map(|_| format!("/admin/domains/{id}/logo")),
        logo_action: format!("/admin/domains/{id}/logo"),
        apps,
        error: form.error.map(|error| error.words().1),
        warnings: form.warnings,
    };
    Ok(request.frame.page(status, &shown))
}

fn texts_of(view: &DomainView, object: &Value) -> FieldTexts {
    let mut texts = FieldTexts::of(OPTIONS, object);
    // The API shows the one in effect. Saved as it is, it would no longer follow the name.
    texts.set("baseUrl", view.domain.base_url.as_ref().map_or("", Destination::as_str));
    texts
}
