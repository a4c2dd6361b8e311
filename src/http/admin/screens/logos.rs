//! The logos of domains and workspaces: shown, uploaded and removed.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response};
use serde_json::Value;

use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, refused};
use crate::http::api::dialect::Reply;
use crate::http::body::{Content, HttpResponse};
use crate::qr::picture::POLICY;

/// Returns the picture that this path of the API has.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    api: &str,
) -> Result<HttpResponse, PageError> {
    let Reply::File(file) = request.get(api, "").await? else { return Err(PageError::Internal) };
    let mut response = Response::new(Content::from(Bytes::from(file.bytes)));
    let headers = response.headers_mut();
    request.frame.protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // An SVG that is opened as a page must not run anything.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// Sets the picture to the file of the form, or removes it if that button was pressed.
pub(super) async fn save(request: &PageRequest<'_>, api: &str) -> Result<(), PageError> {
    if request.form.has("remove") {
        return request.send(&Method::DELETE, api, &Value::Null).await.map(drop);
    }
    let file = request.form.file("file").ok_or_else(|| refused("logo", "choose a PNG or an SVG first"))?;
    request.ask(&Method::PUT, api, "", file, None).await.map(drop)
}
