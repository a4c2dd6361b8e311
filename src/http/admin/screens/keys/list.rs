//! The list of keys, and the settings of other programs.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::tools::Tools;
use super::words;
use crate::http::admin::format::{day, minute};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::admin::pages::{ListPlace, of_page};
use crate::http::api::dialect::{KeyView, Reply};
use crate::http::body::HttpResponse;
use crate::model::key::Reach;

/// Keys on a page.
const KEYS: usize = 50;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage<'a> {
    frame: &'a Frame,
    rows: Vec<KeyRow>,
    place: ListPlace,
    tools: Tools,
    is_made: bool,
}

struct KeyRow {
    id: String,
    name: String,
    hint: String,
    scopes: Vec<&'static str>,
    reach: String,
    created: String,
    expires: Option<String>,
    has_expired: bool,
    is_own: bool,
}

/// Shows the list. A key without the scope `admin` sees the settings of other programs alone.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let all = if request.frame.may().administer {
        let Reply::Keys(all) = request.get("/api/v1/keys", "").await? else {
            return Err(PageError::Internal);
        };
        all
    } else {
        Vec::new()
    };
    let (shown, place) = of_page(request, all, KEYS, "/admin/keys", &[]);
    let rows = shown.iter().map(|view| KeyRow::of(request, view)).collect();
    let tools = Tools::of(request.frame, None);
    let page = KeysPage { frame: request.frame, rows, place, tools, is_made: false };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Revokes a key.
pub(in crate::http::admin) async fn revoke(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("/api/v1/keys/{id}"), &Value::Null).await?;
    Ok(request.frame.redirect("/admin/keys?done=revoked"))
}

impl KeyRow {
    fn of(request: &PageRequest<'_>, view: &KeyView) -> KeyRow {
        let key = &view.key;
        let mut scopes: Vec<_> = key.scopes.iter().map(|scope| words::scope(scope).0).collect();
        if key.create_only {
            scopes = vec!["only creates links"];
        }
        KeyRow {
            id: key.id.to_string(),
            name: key.name.to_string(),
            hint: key.hint.to_string(),
            scopes,
            reach: match (&key.reach, &view.workspace) {
                (Reach::Instance, _) => "the whole server".to_owned(),
                (Reach::Company(company), _) => format!("company {company}"),
                (Reach::Workspace(_), Some(workspace)) => workspace.name.to_string(),
                (Reach::Workspace(number), None) => format!("workspace {}", number.0),
            },
            created: day(key.created_at),
            expires: key.expires_at.map(minute),
            has_expired: !key.is_live(request.now()),
            is_own: request.who.caller.key() == Some(key.id),
        }
    }
}
