//! The QR code of a link: a form with its properties, the picture, and both files.

use askama::Template;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::link_of;
use super::list::without_scheme;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::body::{Content, HttpResponse};
use crate::qr::picture::{MARGIN_DEFAULT, POLICY, SIZE_DEFAULT};

/// The parameters of the picture, which are those of the API, but for its format.
const PARAMETERS: [&str; 6] = ["size", "margin", "level", "fg", "bg", "logo"];

#[derive(Template)]
#[template(path = "qr.html")]
struct QrPage<'a> {
    frame: &'a Frame,
    id: &'a str,
    shown_url: String,
    size: String,
    margin: String,
    foreground: String,
    background: String,
    levels: Vec<(&'static str, &'static str, bool)>,
    has_no_logo: bool,
    svg: String,
    png: String,
    error: Option<String>,
}

/// Shows the form and the picture.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let view = link_of(request, id).await?;
    let query = parameters(request);
    // Drawn here as well, so that the page names what is wrong with its form.
    let error = picture(request, id, &query).await.err().map(|error| error.words().1);
    let given = |name, default: &str| request.param(name).unwrap_or_else(|| default.to_owned());
    let level = given("level", "auto");
    let levels = [
        ("auto", "As high as the size allows"),
        ("L", "L, 7 %"),
        ("M", "M, 15 %"),
        ("Q", "Q, 25 %"),
        ("H", "H, 30 %"),
    ];
    let page = QrPage {
        frame: request.frame,
        id,
        shown_url: without_scheme(&view.short_url).to_owned(),
        size: given("size", &SIZE_DEFAULT.to_string()),
        margin: given("margin", &MARGIN_DEFAULT.to_string()),
        foreground: color(&given("fg", ""), "#000000"),
        background: color(&given("bg", ""), "#ffffff"),
        levels: levels.iter().map(|(value, name)| (*value, *name, *value == level)).collect(),
        has_no_logo: request.param("logo").as_deref() == Some("false"),
        svg: format!("/admin/links/{id}/qr.svg?{query}"),
        png: format!("/admin/links/{id}/qr.png?{query}"),
        error,
    };
    let status = if page.error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(request.frame.page(status, &page))
}

/// Returns the picture as a file of this format.
pub(in crate::http::admin) async fn file(
    request: &PageRequest<'_>,
    id: &str,
    format: &'static str,
) -> Result<HttpResponse, PageError> {
    let query = format!("{}&format={format}", parameters(request));
    let (kind, bytes) = picture(request, id, query.trim_start_matches('&')).await?;
    let mut response = Response::new(Content::from(Bytes::from(bytes)));
    let headers = response.headers_mut();
    request.frame.protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // An SVG that is opened as a page must not run anything, whatever its logo is.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if request.param("download").is_some() {
        let name = format!("attachment; filename=\"qr-{id}.{format}\"");
        headers.extend(HeaderValue::try_from(name).ok().map(|name| (CONTENT_DISPOSITION, name)));
    }
    Ok(response)
}

async fn picture(
    request: &PageRequest<'_>,
    id: &str,
    query: &str,
) -> Result<(&'static str, Vec<u8>), PageError> {
    match request.get(&format!("/api/v1/links/{id}/qr"), query).await? {
        Reply::Qr(picture) => Ok((picture.format.media_type(), picture.bytes)),
        _ => Err(PageError::Internal),
    }
}

/// Returns the parameters of the picture in the address.
fn parameters(request: &PageRequest<'_>) -> String {
    let given: Vec<(&str, String)> =
        PARAMETERS.iter().filter_map(|name| Some((*name, request.param(name)?))).collect();
    let pairs: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    query_of(&pairs)
}

/// Returns a color as a browser's field takes it.
fn color(given: &str, default: &str) -> String {
    let digits = given.trim_start_matches('#');
    let is_color = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_color { format!("#{digits}") } else { default.to_owned() }
}
