//! One domain: shown, changed and removed.

use hyper::Method;
use serde_json::Value;

use super::options::OPTIONS;
use super::page::{DomainForm, page};
use crate::http::admin::fields::FieldTexts;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::body::HttpResponse;

/// Shows a domain, or changes its options.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    if !request.is_post() {
        return page(request, id, DomainForm::default()).await;
    }
    let mut texts = FieldTexts::default();
    texts.enter(OPTIONS, &request.form);
    let tag = request.form.text("tag");
    let body = Value::Object(texts.body(OPTIONS, false)?);
    match request.send_if(&Method::PATCH, &format!("/api/v1/domains/{id}"), &body, tag).await {
        Ok(_) => Ok(request.frame.redirect(&format!("/admin/domains/{id}?done=saved"))),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => {
            let (texts, tag) = (Some(texts), tag.map(str::to_owned));
            page(request, id, DomainForm { texts, tag, error: Some(error), ..DomainForm::default() }).await
        }
    }
}

/// Removes a domain.
pub(in crate::http::admin) async fn delete(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    match request.send(&Method::DELETE, &format!("/api/v1/domains/{id}"), &Value::Null).await {
        Ok(_) => Ok(request.frame.redirect("/admin/domains?done=deleted")),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => page(request, id, DomainForm { error: Some(error), ..DomainForm::default() }).await,
    }
}
