//! The form of a link: to create one, to change one, and to try both before anything is saved.
//!
//! Its buttons add, move and remove rules, or explain a visit, and show the form again. Only the last one saves.

mod acts;
mod fields;
mod rules;
mod shown;
mod values;

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use self::shown::{Explained, Menus, ShownRule, ShownSection, TEST_FIELDS};
use self::values::LinkValues;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{Created, LinkView, Reply};
use crate::http::api::in_process::PageContent;
use crate::http::body::HttpResponse;

#[derive(Template)]
#[template(path = "link_form.html")]
struct FormPage<'a> {
    frame: &'a Frame,
    heading: String,
    action: &'a str,
    back: String,
    submit: &'static str,
    /// The tag of the link when the form was first shown.
    tag: String,
    error: Option<String>,
    first: ShownSection,
    sections: Vec<ShownSection>,
    rules: Vec<ShownRule>,
    test: Vec<(&'static str, &'static str, String)>,
    explained: Option<Explained>,
}

/// The form of a new link. `url` and other fields may be in the address, for bookmarks.
pub(in crate::http::admin) async fn new(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    if request.is_post() {
        return posted(request, None).await;
    }
    let mut values = LinkValues::new();
    for name in ["url", "title", "domain", "customSlug", "tags", "notes"] {
        if let Some(text) = request.param(name) {
            values.set(name, &text);
        }
    }
    if let Some(id) = request.param("copy") {
        values = LinkValues::of(&link(request, &id).await?.0);
        values.set("customSlug", "");
        // Rules of a copy get numbers of their own.
        for rule in &mut values.rules {
            rule.id.clear();
            rule.variants.iter_mut().for_each(|variant| variant.id.clear());
        }
    }
    shown(request, None, &values, FormState::default()).await
}

/// The form of a link that exists.
pub(in crate::http::admin) async fn change(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let (view, tag) = link(request, id).await?;
    if request.is_post() {
        return posted(request, Some(&view)).await;
    }
    shown(request, Some(&view), &LinkValues::of(&view), FormState { tag, ..FormState::default() }).await
}

/// Returns a link and its tag.
async fn link(request: &PageRequest<'_>, id: &str) -> Result<(LinkView, String), PageError> {
    let answer = request.read(&format!("/api/v1/links/{id}"), "").await?;
    let tag = answer.tag.as_ref().and_then(|tag| tag.to_str().ok()).unwrap_or("").to_owned();
    match reply_of(answer)? {
        Reply::Link(view) => Ok((*view, tag)),
        _ => Err(PageError::Internal),
    }
}

/// What a form shows beside its values.
#[derive(Default)]
struct FormState {
    tag: String,
    error: Option<PageError>,
    explained: Option<Explained>,
}

/// Does what the pressed button says.
async fn posted(request: &PageRequest<'_>, view: Option<&LinkView>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    let mut values = LinkValues::read(form);
    let tag = form.text("tag").unwrap_or("").to_owned();
    let act = form.text("act").unwrap_or("save");
    if act == "explain" {
        let explained = explain(request, view, &values).await;
        let (explained, error) = match explained {
            Ok(explained) => (Some(explained), None),
            Err(error) => (None, Some(error)),
        };
        return shown(request, view, &values, FormState { tag, error, explained }).await;
    }
    if acts::apply(act, &mut values.rules) {
        return shown(request, view, &values, FormState { tag, ..FormState::default() }).await;
    }
    match save(request, view, &values, &tag).await {
        Ok(path) => Ok(request.frame.redirect(&path)),
        Err(error) if error.is_of_server() => Err(error),
        Err(error) => {
            shown(request, view, &values, FormState { tag, error: Some(error), explained: None }).await
        }
    }
}

/// Saves the link, and returns the page that shows it.
async fn save(
    request: &PageRequest<'_>,
    view: Option<&LinkView>,
    values: &LinkValues,
    tag: &str,
) -> Result<String, PageError> {
    let tags = tag_ids(request, &values.tag_names()).await?;
    let body = values.body(view.is_none(), &tags);
    let (method, path) = match view {
        None => (Method::POST, "/api/v1/links".to_owned()),
        Some(view) => (Method::PATCH, format!("/api/v1/links/{}", view.link.id)),
    };
    let condition = Some(tag).filter(|tag| view.is_some() && !tag.is_empty());
    let answer = request.send_if(&method, &path, &body, condition).await?;
    let PageContent::Reply(reply) = answer.content else { return Err(PageError::Internal) };
    match *reply {
        Reply::Made(Created::Link(view), _) => Ok(format!("/admin/links/{}?done=created", view.link.id)),
        Reply::Changed(view) | Reply::Link(view) => Ok(format!("/admin/links/{}?done=saved", view.link.id)),
        _ => Err(PageError::Internal),
    }
}

/// Returns the ids of tags by their names. Creates those that do not exist.
pub(in crate::http::admin) async fn tag_ids(
    request: &PageRequest<'_>,
    names: &[&str],
) -> Result<Vec<String>, PageError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Reply::Tags(known) = request.get("/api/v1/tags", "").await? else { return Err(PageError::Internal) };
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let folded = crate::model::text::folded_name(name);
        if let Some(tag) = known.iter().find(|tag| crate::model::text::folded_name(&tag.name) == folded) {
            ids.push(tag.id.to_string());
            continue;
        }
        let answer = request.send(&Method::POST, "/api/v1/tags", &json!({"name": name})).await?;
        match reply_of(answer)? {
            Reply::Made(Created::Tag(tag), _) | Reply::Tag(tag) => ids.push(tag.id.to_string()),
            _ => return Err(PageError::Internal),
        }
    }
    Ok(ids)
}

/// Explains a visit of the unsaved link.
async fn explain(
    request: &PageRequest<'_>,
    view: Option<&LinkView>,
    values: &LinkValues,
) -> Result<Explained, PageError> {
    let mut link = values.body(true, &[]);
    if let Value::Object(body) = &mut link {
        // Of a link that exists, the code is in use by itself.
        if view.is_some() {
            body.remove("customSlug");
        }
        for rule in body.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            // The draft has no rules yet whose numbers they could be.
            forget_ids(rule);
        }
    }
    let given = TEST_FIELDS.iter().filter_map(|(name, _)| {
        let text = request.form.text(&format!("test-{name}"))?;
        Some(((*name).to_owned(), json!(text)))
    });
    let body = json!({"link": link, "visitor": Value::Object(given.collect())});
    let answer = request.send(&Method::POST, "/api/v1/explain", &body).await?;
    let warnings = answer.warnings.clone();
    match reply_of(answer)? {
        Reply::Explained(explanation) => Ok(Explained::of(&explanation, warnings)),
        _ => Err(PageError::Internal),
    }
}

fn forget_ids(rule: &mut Value) {
    rule["id"] = Value::Null;
    for variant in rule["variants"].as_array_mut().into_iter().flatten() {
        variant["id"] = Value::Null;
    }
}

async fn shown(
    request: &PageRequest<'_>,
    view: Option<&LinkView>,
    values: &LinkValues,
    FormState { tag, error, explained }: FormState,
) -> Result<HttpResponse, PageError> {
    let menus = Menus::read(request, values).await?;
    let is_new = view.is_none();
    let status = error.as_ref().map_or(StatusCode::OK, |error| error.words().0);
    let failed = error.as_ref().and_then(PageError::field);
    let section =
        |heading, fields| ShownSection::of(heading, fields, values, &menus, is_new, failed.as_ref());
    let page = FormPage {
        frame: request.frame,
        heading: view.map_or_else(|| "New link".to_owned(), |view| view.short_url.clone()),
        action: request.parts.uri.path(),
        back: view.map_or_else(|| "/admin/links".to_owned(), |view| format!("/admin/links/{}", view.link.id)),
        submit: if is_new { "Create the link" } else { "Save" },
        tag,
        error: error.map(|error| error.words().1),
        first: section("", fields::FIRST),
        sections: fields::SECTIONS.iter().map(|part| section(part.heading, part.fields)).collect(),
        rules: ShownRule::all(&values.rules, failed.as_ref()),
        test: TEST_FIELDS
            .iter()
            .map(|(name, label)| {
                let text = request.form.text(&format!("test-{name}")).unwrap_or("");
                (*name, *label, text.to_owned())
            })
            .collect(),
        explained,
    };
    Ok(request.frame.page(status, &page))
}
