//! The audit list of the workspace: who has changed what.

use askama::Template;
use hyper::StatusCode;
use serde_json::Value;

use super::links::list::without_scheme;
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::body::HttpResponse;
use crate::model::audit::{AuditAct, SubjectKind};

/// Entries on a page.
const LIMIT: &str = "50";

/// The filters, which are parameters of `GET /api/v1/audit`.
const FILTERS: [&str; 6] = ["key", "kind", "operation", "link", "from", "to"];

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditScreen<'a> {
    frame: &'a Frame,
    error: Option<String>,
    given: AuditGiven,
    kinds: Vec<(&'static str, bool)>,
    operations: Vec<(&'static str, bool)>,
    is_filtered: bool,
    rows: Vec<ChangedObject>,
    first: Option<String>,
    next: Option<String>,
}

/// What the form of filters shows.
struct AuditGiven {
    key: String,
    link: String,
    from: String,
    to: String,
}

struct ChangedObject {
    at: String,
    by: String,
    operation: String,
    kind: String,
    name: String,
    /// Its page, if it has one.
    page: Option<String>,
    fields: Vec<String>,
}

/// Shows the list.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let given = |name| request.param(name).unwrap_or_default();
    let kept: Vec<(&str, String)> = FILTERS.iter().map(|name| (*name, given(name))).collect();
    let cursor = given("cursor");
    let pairs: Vec<(&str, &str)> = kept.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let asked = query_of(&[&pairs[..], &[("limit", LIMIT), ("cursor", &cursor)]].concat());
    // A filter that is refused is corrected in the form, so the form stays.
    let (answer, error) = match request.json("/api/v1/audit", &asked).await {
        Ok(answer) => (answer, None),
        Err(error) if error.is_of_server() || error.words().0 == StatusCode::FORBIDDEN => return Err(error),
        Err(error) => (Value::Null, Some(error)),
    };
    let chosen = |names: &'static [&'static str], name| {
        let chosen = given(name);
        names.iter().map(|name| (*name, *name == chosen)).collect()
    };
    let path =
        |cursor: &str| format!("/admin/audit?{}", query_of(&[&pairs[..], &[("cursor", cursor)]].concat()));
    let page = AuditScreen {
        frame: request.frame,
        given: AuditGiven { key: given("key"), link: given("link"), from: given("from"), to: given("to") },
        kinds: chosen(SubjectKind::NAMES, "kind"),
        operations: chosen(AuditAct::NAMES, "operation"),
        is_filtered: kept.iter().any(|(_, value)| !value.is_empty()),
        rows: answer["audit"].as_array().into_iter().flatten().map(ChangedObject::of).collect(),
        first: (!cursor.is_empty()).then(|| path("")),
        next: answer["nextCursor"].as_str().map(path),
        error: error.as_ref().map(|error| error.words().1),
    };
    Ok(request.frame.page(error.map_or(StatusCode::OK, |error| error.words().0), &page))
}

impl ChangedObject {
    fn of(entry: &Value) -> ChangedObject {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let (kind, id) = (text(&entry["kind"]), text(&entry["subject"]["id"]));
        let operation = text(&entry["operation"]);
        let list = match &*kind {
            "link" => Some("links"),
            "tag" => Some("tags"),
            "campaign" => Some("campaigns"),
            "domain" => Some("domains"),
            "workspace" => Some("workspaces"),
            _ => None,
        };
        // Of a deleted object, there is no page. Of a deleted link, there is the history.
        let page = list.filter(|_| operation != "delete").map(|list| format!("/admin/{list}/{id}"));
        let at = text(&entry["at"]);
        ChangedObject {
            at: at.parse().map_or(at, minute),
            by: match &entry["by"] {
                Value::Null => "the operator".to_owned(),
                by => by["name"].as_str().map_or_else(|| text(&by["id"]), str::to_owned),
            },
            operation,
            kind,
            // Of a link, the name is its address.
            name: entry["subject"]["name"].as_str().map_or(id, |name| without_scheme(name).to_owned()),
            page,
            fields: entry["fields"].as_array().into_iter().flatten().map(text).collect(),
        }
    }
}
