//! Pages with one form that creates an object. A form that fails is shown again with what was entered.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::http::admin::fields::{FieldTexts, ShownField, SimpleField};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::in_process::PageAnswer;
use crate::http::body::HttpResponse;
use crate::model::key::Scope;

/// What a form creates.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewObject {
    /// `New tag`.
    pub(super) heading: &'static str,
    /// A sentence above the form, or nothing.
    pub(super) intro: &'static str,
    pub(super) fields: &'static [SimpleField],
    /// The path of the endpoint that creates it.
    pub(super) api: &'static str,
    /// The page of the list.
    pub(super) back: &'static str,
    /// The scope that the endpoint needs.
    pub(super) scope: Scope,
}

/// What a request for the page of a form has come to.
pub(super) enum FormOutcome {
    /// The form, empty or with an error.
    Page(HttpResponse),
    /// The object was created.
    Done(Box<PageAnswer>),
}

#[derive(Template)]
#[template(path = "form.html")]
struct SimpleForm<'a> {
    frame: &'a Frame,
    new: &'a NewObject,
    action: &'a str,
    error: Option<String>,
    fields: Vec<ShownField>,
}

/// Shows the form with these texts, or creates the object of the form that was sent.
pub(super) async fn create(
    request: &PageRequest<'_>,
    new: &NewObject,
    mut texts: FieldTexts,
) -> Result<FormOutcome, PageError> {
    let mut error = None;
    if !request.is_post() {
        // A form that the key cannot send would be a dead end.
        request.needs(new.scope)?;
    }
    if request.is_post() {
        texts.enter(new.fields, &request.form);
        match send(request, new, &texts).await {
            Ok(answer) => return Ok(FormOutcome::Done(Box::new(answer))),
            Err(failed) if failed.is_of_server() => return Err(failed),
            Err(failed) => error = Some(failed),
        }
    }
    let failed = error.as_ref().and_then(PageError::field);
    let page = SimpleForm {
        frame: request.frame,
        new,
        action: request.parts.uri.path(),
        fields: texts.shown(new.fields, failed.as_ref()),
        error: error.as_ref().map(|error| error.words().1),
    };
    let status = error.map_or(StatusCode::OK, |error| error.words().0);
    Ok(FormOutcome::Page(request.frame.page(status, &page)))
}

async fn send(
    request: &PageRequest<'_>,
    new: &NewObject,
    texts: &FieldTexts,
) -> Result<PageAnswer, PageError> {
    let body = Value::Object(texts.body(new.fields, true)?);
    request.send(&Method::POST, new.api, &body).await
}
