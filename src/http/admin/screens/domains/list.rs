//! The list of domains, and the form of a new one.

use askama::Template;
use hyper::StatusCode;

use super::options::{CASE, NOT_FOUND, ROOT};
use super::row::DomainRow;
use crate::http::admin::chart::grouped;
use crate::http::admin::fields::{FieldTexts, SimpleField, SimpleInput};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::admin::pages::{ListPlace, of_page};
use crate::http::admin::screens::simple_form::{FormOutcome, NewObject, create};
use crate::http::api::dialect::{Created, Reply};
use crate::http::body::HttpResponse;
use crate::model::key::Scope;

/// Domains on a page.
const DOMAINS: usize = 50;

/// A new domain.
const NEW: NewObject = NewObject {
    heading: "New domain",
    intro: "The name must lead to this server: give it an A record with the address of the server. If the server serves HTTPS, it requests the certificate itself.",
    fields: &[
        SimpleField::new("domain", "Name", SimpleInput::Name, "Such as go.example.com"),
        ROOT,
        NOT_FOUND,
        CASE,
    ],
    api: "/api/v1/domains",
    back: "/admin/domains",
    scope: Scope::Admin,
};

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage<'a> {
    frame: &'a Frame,
    total: String,
    rows: Vec<DomainRow>,
    place: ListPlace,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let Reply::Domains(all) = request.get("/api/v1/domains", "").await? else {
        return Err(PageError::Internal);
    };
    let total = grouped(all.len() as u64);
    let (shown, place) = of_page(request, all, DOMAINS, "/admin/domains", &[]);
    let rows = shown.iter().map(DomainRow::of).collect();
    Ok(request.frame.page(StatusCode::OK, &DomainsPage { frame: request.frame, total, rows, place }))
}

/// Shows the form of a new domain, or adds it.
pub(in crate::http::admin) async fn new(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let mut texts = FieldTexts::default();
    texts.set("caseSensitive", "on");
    match create(request, &NEW, texts).await? {
        FormOutcome::Page(page) => Ok(page),
        FormOutcome::Done(answer) => match reply_of(*answer)? {
            Reply::Made(Created::Domain(view), _) => {
                Ok(request.frame.redirect(&format!("/admin/domains/{}?done=created", view.domain.id)))
            }
            _ => Err(PageError::Internal),
        },
    }
}
