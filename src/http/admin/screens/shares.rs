//! Shares of statistics: pages that show the clicks of one link or tag to people without a key.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::links::list::without_scheme;
use crate::http::admin::form::new_key;
use crate::http::admin::format::{minute, moment, with_zone};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of, reply_of};
use crate::http::api::dialect::{ApiError, ClickShareView, Created, Reply};
use crate::http::body::HttpResponse;
use crate::model::click_share::SharedClicks;
use crate::model::id::Id;
use crate::model::tag::Tag;

/// Shares of one page: the name of each link is read by itself.
const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "shares.html")]
struct ClickSharesPage<'a> {
    frame: &'a Frame,
    rows: Vec<ClickShareRow>,
    next: Option<String>,
    form: ClickShareForm,
}

/// A share on a page.
struct ClickShareRow {
    id: String,
    /// The link or tag, and its page.
    name: String,
    path: String,
    kind: &'static str,
    url: String,
    has_password: bool,
    is_over: bool,
    ends: String,
    timezone: String,
}

/// The form of a share.
#[derive(Default)]
struct ClickShareForm {
    /// Empty for a new share.
    id: String,
    once: String,
    error: Option<String>,
    link: String,
    tags: Vec<(String, String, bool)>,
    ends: String,
    timezone: String,
    has_password: bool,
}

#[derive(Template)]
#[template(path = "click_share.html")]
struct ClickSharePage<'a> {
    frame: &'a Frame,
    row: ClickShareRow,
    form: ClickShareForm,
}

/// Shows the list and the form of a new share. `link` and `tag` of the address fill the form.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let given = |name| request.param(name).unwrap_or_default();
    let tags = tags(request).await?;
    let form = ClickShareForm {
        once: new_key(),
        link: given("link"),
        tags: menu(&tags, &given("tag")),
        ..ClickShareForm::default()
    };
    list(request, &tags, form, StatusCode::OK).await
}

async fn list(
    request: &PageRequest<'_>,
    tags: &[Tag],
    form: ClickShareForm,
    status: StatusCode,
) -> Result<HttpResponse, PageError> {
    let mut all = all(request).await?;
    // The newest first: it was most likely just created.
    all.sort_unstable_by_key(|view| std::cmp::Reverse(view.share.created_at));
    let from = request.param("from").and_then(|from| from.parse::<usize>().ok()).unwrap_or(0);
    let mut rows = Vec::new();
    for view in all.iter().skip(from).take(LISTED) {
        rows.push(row(request, view, tags).await?);
    }
    // A number of the address may be any.
    let end = from.saturating_add(LISTED);
    let next = (end < all.len()).then(|| format!("/admin/shares?from={end}"));
    Ok(request.frame.page(status, &ClickSharesPage { frame: request.frame, rows, next, form }))
}

async fn all(request: &PageRequest<'_>) -> Result<Vec<ClickShareView>, PageError> {
    match request.get("/api/v1/analytics/shares", "").await? {
        Reply::ClickShares(all) => Ok(all),
        _ => Err(PageError::Internal),
    }
}

async fn tags(request: &PageRequest<'_>) -> Result<Vec<Tag>, PageError> {
    match request.get("/api/v1/tags", "").await? {
        Reply::Tags(all) => Ok(all),
        _ => Err(PageError::Internal),
    }
}

fn menu(tags: &[Tag], chosen: &str) -> Vec<(String, String, bool)> {
    let entry = |tag: &Tag| {
        let id = tag.id.to_string();
        let is_chosen = id == chosen || *tag.name == *chosen;
        (id, tag.name.to_string(), is_chosen)
    };
    tags.iter().map(entry).collect()
}

async fn row(
    request: &PageRequest<'_>,
    view: &ClickShareView,
    tags: &[Tag],
) -> Result<ClickShareRow, PageError> {
    let share = &view.share;
    let (name, path, kind) = match share.of {
        SharedClicks::Link(id) => {
            let name = match request.get(&format!("/api/v1/links/{id}"), "").await {
                Ok(Reply::Link(view)) => without_scheme(&view.short_url).to_owned(),
                Ok(_) => return Err(PageError::Internal),
                Err(PageError::Api(ApiError::NotFound(_))) => "a deleted link".to_owned(),
                Err(error) => return Err(error),
            };
            (name, format!("/admin/links/{id}"), "link")
        }
        SharedClicks::Tag(id) => {
            let name = tags.iter().find(|tag| tag.id == id).map(|tag| tag.name.to_string());
            let path = name
                .as_deref()
                .map_or_else(String::new, |name| format!("/admin/links?{}", query_of(&[("tag", name)])));
            (name.unwrap_or_else(|| "a deleted tag".to_owned()), path, "tag")
        }
    };
    Ok(ClickShareRow {
        id: share.id.to_string(),
        name,
        path,
        kind,
        url: view.url.clone(),
        has_password: share.password.is_some(),
        is_over: share.expires_at <= request.now(),
        ends: minute(share.expires_at),
        timezone: share.timezone.as_deref().unwrap_or("UTC").to_owned(),
    })
}

/// Creates a share.
pub(in crate::http::admin) async fn create(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    match created(request).await {
        Ok(id) => Ok(request.frame.redirect(&format!("/admin/shares/{id}?done=created"))),
        Err(error @ (PageError::Api(ApiError::Server(_)) | PageError::Internal)) => Err(error),
        Err(error) => {
            let form = &request.form;
            let given = |name| form.text(name).unwrap_or("").to_owned();
            let (status, why) = error.words();
            let tags = tags(request).await?;
            let form = ClickShareForm {
                once: new_key(),
                error: Some(why),
                link: given("link"),
                tags: menu(&tags, &given("tag")),
                ends: given("expiresAt"),
                timezone: given("timezone"),
                ..ClickShareForm::default()
            };
            list(request, &tags, form, status).await
        }
    }
}

async fn created(request: &PageRequest<'_>) -> Result<Id, PageError> {
    let form = &request.form;
    let mut body = Map::new();
    if let Some(text) = form.text("link") {
        body.insert("linkId".to_owned(), json!(link_id(request, text).await?));
    }
    if let Some(id) = form.text("tag") {
        body.insert("tagId".to_owned(), json!(id));
    }
    if let Some(password) = form.raw("password").filter(|text| !text.is_empty()) {
        body.insert("password".to_owned(), json!(password));
    }
    if let Some(end) = form.text("expiresAt") {
        body.insert("expiresAt".to_owned(), json!(with_zone(end)));
    }
    if let Some(zone) = form.text("timezone") {
        body.insert("timezone".to_owned(), json!(zone));
    }
    let key = format!("clicks-{}", form.text("once").unwrap_or(""));
    let answer = request.send_once("/api/v1/analytics/shares", &Value::Object(body), &key).await?;
    match reply_of(answer)? {
        Reply::Made(Created::ClickShare(view), _) => Ok(view.share.id),
        _ => Err(PageError::Internal),
    }
}

/// Returns the id of the link that a text names: by its id, its code or its short URL.
async fn link_id(request: &PageRequest<'_>, text: &str) -> Result<String, PageError> {
    if text.parse::<Id>().is_ok() {
        // A code may look like an id. Its short URL names it all the same.
        return Ok(text.to_owned());
    }
    let bare = without_scheme(text);
    let (host, code) = bare.rsplit_once('/').unwrap_or(("", bare));
    // Domains have no port, and short URLs of a trial have one.
    let domain = host.split_once(':').map_or(host, |(domain, _)| domain);
    // A pasted URL may be encoded already.
    let code = percent_encoding::percent_decode_str(code).decode_utf8_lossy().into_owned();
    let code = percent_encoding::utf8_percent_encode(&code, percent_encoding::NON_ALPHANUMERIC);
    let query = query_of(&[("domain", domain)]);
    match request.get(&format!("/api/v1/links/by-code/{code}"), &query).await? {
        Reply::Link(view) => Ok(view.link.id.to_string()),
        _ => Err(PageError::Internal),
    }
}

/// Shows a share and the form that changes it, or changes it.
pub(in crate::http::admin) async fn one(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let all = all(request).await?;
    // The API has no request for one share.
    let view = all.iter().find(|view| view.share.id.to_string() == id);
    let view = view.ok_or(PageError::Api(ApiError::NotFound("share")))?;
    let mut form = ClickShareForm {
        id: id.to_owned(),
        ends: moment(view.share.expires_at),
        timezone: view.share.timezone.as_deref().unwrap_or("UTC").to_owned(),
        has_password: view.share.password.is_some(),
        ..ClickShareForm::default()
    };
    let mut status = StatusCode::OK;
    if request.is_post() {
        match change(request, id).await {
            Ok(()) => return Ok(request.frame.redirect(&format!("/admin/shares/{id}?done=saved"))),
            Err(error @ (PageError::Api(ApiError::Server(_)) | PageError::Internal)) => return Err(error),
            Err(error) => {
                let (code, why) = error.words();
                status = code;
                form.error = Some(why);
                form.ends = request.form.text("expiresAt").unwrap_or("").to_owned();
                form.timezone = request.form.text("timezone").unwrap_or("").to_owned();
            }
        }
    }
    let row = row(request, view, &tags(request).await?).await?;
    Ok(request.frame.page(status, &ClickSharePage { frame: request.frame, row, form }))
}

async fn change(request: &PageRequest<'_>, id: &str) -> Result<(), PageError> {
    let form = &request.form;
    let or_null = |text: Option<String>| text.map_or(Value::Null, Value::String);
    let mut body = json!({
        "expiresAt": or_null(form.text("expiresAt").map(with_zone)),
        "timezone": or_null(form.text("timezone").map(str::to_owned)),
    });
    let password = form.raw("password").filter(|text| !text.is_empty());
    // The box wins: an entered password may be one that a browser filled in.
    if form.has("removePassword") {
        body["password"] = Value::Null;
    } else if let Some(password) = password {
        body["password"] = json!(password);
    }
    request.send(&Method::PATCH, &format!("/api/v1/analytics/shares/{id}"), &body).await.map(drop)
}

/// Revokes a share.
pub(in crate::http::admin) async fn revoke(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("/api/v1/analytics/shares/{id}"), &Value::Null).await?;
    Ok(request.frame.redirect("/admin/shares?done=revoked"))
}
