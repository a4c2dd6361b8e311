//! A new key: its form, and the only page that ever shows its secret.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::tools::Tools;
use super::words;
use crate::http::admin::fields::{FieldTexts, ShownField, SimpleField, SimpleInput};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::api::dialect::{Created, Reply};
use crate::http::body::HttpResponse;
use crate::model::key::{Reach, Scope};

const FIELDS: &[SimpleField] = &[
    SimpleField::new("name", "Name", SimpleInput::Name, "For lists: the person or the program that has it."),
    SimpleField::new("reach", "Reach", SimpleInput::Menu, "What the key sees. It cannot be changed later."),
    SimpleField::new(
        "expiresAt",
        "Expires",
        SimpleInput::Time,
        "UTC. Empty: the key is valid until it is revoked.",
    ),
    SimpleField::new(
        "createOnly",
        "Only creates links",
        SimpleInput::Flag,
        "For forms and scripts whose key may become known. It needs the right to change links, and reads nothing.",
    ),
];

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewKeyPage<'a> {
    frame: &'a Frame,
    error: Option<String>,
    scopes_error: Option<String>,
    fields: Vec<ShownField>,
    scopes: Vec<ScopeBox>,
}

/// A scope that the key may get.
struct ScopeBox {
    name: &'static str,
    words: &'static str,
    is_checked: bool,
}

#[derive(Template)]
#[template(path = "key_made.html")]
struct MadeKeyPage<'a> {
    frame: &'a Frame,
    name: String,
    secret: String,
    /// Settings of other programs, for a key that creates links.
    tools: Option<Tools>,
    is_made: bool,
}

/// Shows the form, or creates the key and shows its secret.
pub(in crate::http::admin) async fn new(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    if !request.is_post() {
        request.needs(Scope::Admin)?;
    }
    let mut texts = FieldTexts::default();
    let reaches = reaches(request).await?;
    texts.set("reach", reaches.first().map_or("", |(reach, _)| reach));
    let mut error = None;
    if request.is_post() {
        texts.enter(FIELDS, &request.form);
        match create(request, &texts).await {
            Ok(page) => return Ok(page),
            Err(failed) if failed.is_of_server() => return Err(failed),
            Err(failed) => error = Some(failed),
        }
    }
    texts.offer("reach", reaches);
    let failed = error.as_ref().and_then(PageError::field).map(|(field, rule)| match &*field {
        // The form has one menu for the three fields of the API.
        "workspaceId" | "companyId" | "instance" => ("reach".to_owned(), rule),
        _ => (field, rule),
    });
    let chosen: Vec<&str> = request.form.all("scopes").collect();
    let scope_box = |scope: Scope| ScopeBox {
        name: scope.name(),
        words: words::scope(scope).1,
        is_checked: if request.is_post() {
            chosen.contains(&scope.name())
        } else {
            scope == Scope::LinksWrite
        },
    };
    let page = NewKeyPage {
        frame: request.frame,
        fields: texts.shown(FIELDS, failed.as_ref()),
        scopes: words::grantable(&request.who.caller).map(scope_box).collect(),
        scopes_error: failed.filter(|(field, _)| field == "scopes").map(|(_, rule)| rule),
        error: error.as_ref().map(|error| error.words().1),
    };
    Ok(request.frame.page(error.map_or(StatusCode::OK, |error| error.words().0), &page))
}

async fn create(request: &PageRequest<'_>, texts: &FieldTexts) -> Result<HttpResponse, PageError> {
    let mut body: Map<String, Value> = texts.body(FIELDS, true)?;
    body.remove("reach");
    match texts.get("reach").split_once(':') {
        Some(("workspace", id)) => body.insert("workspaceId".to_owned(), json!(id)),
        Some(("company", id)) => body.insert("companyId".to_owned(), json!(id)),
        _ => body.insert("instance".to_owned(), Value::Bool(texts.get("reach") == "instance")),
    };
    let scopes: Vec<&str> = request.form.all("scopes").collect();
    body.insert("scopes".to_owned(), json!(scopes));
    let answer = request.send(&Method::POST, "/api/v1/keys", &Value::Object(body)).await?;
    let Reply::Made(Created::Key(view), Some(secret)) = reply_of(answer)? else {
        return Err(PageError::Internal);
    };
    let tools = view.key.scopes.allow(Scope::LinksWrite).then(|| Tools::of(request.frame, Some(&secret)));
    let name = view.key.name.to_string();
    // No redirect: the secret is in no address, and a second request could not show it.
    let page = MadeKeyPage { frame: request.frame, name, secret, tools, is_made: true };
    Ok(request.frame.page(StatusCode::CREATED, &page))
}

/// Returns what a new key may reach, by values and names: no more than the key of the session.
async fn reaches(request: &PageRequest<'_>) -> Result<Vec<(String, String)>, PageError> {
    let person = request.frame.person.as_ref();
    let workspaces = person.map_or(&[][..], |person| person.workspaces.as_slice());
    let workspace = |(id, name): &(String, String)| (format!("workspace:{id}"), format!("Workspace {name}"));
    let mut all: Vec<_> = workspaces.iter().map(workspace).collect();
    let reach = request.who.caller.reach();
    if matches!(reach, Reach::Workspace(_)) {
        return Ok(all);
    }
    let Reply::Companies(companies) = request.get("/api/v1/companies", "").await? else {
        return Err(PageError::Internal);
    };
    all.extend(
        companies.iter().map(|company| {
            (format!("company:{}", company.id), format!("All workspaces of {}", company.name))
        }),
    );
    if reach == Reach::Instance {
        all.push(("instance".to_owned(), "The whole server".to_owned()));
    }
    Ok(all)
}
