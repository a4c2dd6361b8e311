//! The import itself, in steps: each creates the next links by one bulk of the API, and the page carries the rest.
//!
//! A step has a key of its own, so that a form that a browser sends again gets the first answer and creates nothing twice.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::check::text;
use crate::formats::waypost::draft;
use crate::http::admin::chart::grouped;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, reply_of};
use crate::http::admin::screens::links::edit::tag_ids;
use crate::http::admin::screens::steps::{self, StepFailures, StepState, number};
use crate::http::api::dialect::{BulkView, Created, Reply};
use crate::http::body::HttpResponse;
use crate::model::text::folded_name;

/// Links of one step. A bulk of the API has at most 1,000; half of it takes a second on a slow disk.
const STEP: usize = 500;

/// The path of the steps.
pub(super) const PATH: &str = "/admin/transfer/run";

/// A row that a step creates, as the page carries it.
struct CarriedRow {
    line: u64,
    link: Map<String, Value>,
}

impl CarriedRow {
    fn read(text: &str) -> Option<CarriedRow> {
        let row: Value = serde_json::from_str(text).ok()?;
        let link = row["link"].as_object()?.clone();
        Some(CarriedRow { line: row["line"].as_u64()?, link })
    }

    /// Returns the name of the row in the list of failures.
    fn name(&self) -> String {
        let what = text(&self.link, draft::CODE).or_else(|| text(&self.link, "url")).unwrap_or("");
        format!("line {}: {what}", self.line)
    }
}

/// Returns a row as the page carries it: one line of JSON.
pub(super) fn carried(line: usize, link: &Map<String, Value>) -> String {
    json!({"line": line, "link": link}).to_string()
}

/// Creates the next links, and shows how far the import is.
pub(in crate::http::admin) async fn step(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let form = &request.form;
    // Not trimmed: a row is one line, and a browser ends lines with both characters.
    let rows = form.raw("rows").unwrap_or("");
    let mut lines = rows.lines().map(str::trim).filter(|line| !line.is_empty());
    let now: Vec<&str> = lines.by_ref().take(STEP).collect();
    let mut rest: Vec<&str> = lines.collect();
    let mut failures = StepFailures::read(form);
    let (mut created, mut reused) = (number(form, "created"), number(form, "reused"));
    let mut done = number(form, "done");
    let mut wait = None;
    match create(request, &now, &mut failures).await {
        Ok((new, old)) => {
            created += new;
            reused += old;
            done += now.len() as u64;
        }
        Err(error) if error.retry_after().is_some() => {
            // The same step again, under the same key.
            wait = error.retry_after();
            rest = rows.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        }
        Err(error) => return Err(error),
    }
    // The next step is a part of the same import, with its choices.
    let mut fields: Vec<(String, String)> = ["run", "began", "reuse", "tag", "total"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), form.text(name)?.to_owned())))
        .collect();
    for (name, count) in [("done", done), ("created", created), ("reused", reused)] {
        fields.push((name.to_owned(), count.to_string()));
    }
    // Sums of all steps, since the page of a step replaces the one before.
    let mut results = vec![format!("{} created.", grouped(created))];
    if reused > 0 {
        results.push(format!("{} used a link that was there.", grouped(reused)));
    }
    Ok(steps::show(
        request,
        StepState {
            heading: "Import".to_owned(),
            done,
            total: number(form, "total"),
            unit: "rows",
            results,
            failures,
            next: (!rest.is_empty()).then_some(PATH),
            fields,
            rows: Some(rest.join("\n")),
            wait,
            back: ("/admin/links".to_owned(), "See the links"),
        },
    ))
}

/// Creates the links of these rows. Returns the number of new links, and of those that were there.
async fn create(
    request: &PageRequest<'_>,
    now: &[&str],
    failures: &mut StepFailures,
) -> Result<(u64, u64), PageError> {
    let mut rows = Vec::new();
    for text in now {
        let row = CarriedRow::read(text).ok_or_else(|| PageError::rule("rows", "are no rows of a check"))?;
        rows.push(row);
    }
    let Some(first) = rows.first() else { return Ok((0, 0)) };
    let key = format!("import-{}-{}", request.form.text("run").unwrap_or(""), first.line);
    // Before the bulk: it takes ids only.
    let names = NamedIds::read(request, &rows).await?;
    let reuses = request.form.has("reuse");
    let links: Vec<Value> = rows.iter().map(|row| names.body(&row.link, reuses)).collect();
    let answer = request.send_once("/api/v1/links/bulk", &json!({"links": links}), &key).await?;
    let Reply::Made(Created::Bulk(bulk), _) = reply_of(answer)? else { return Err(PageError::Internal) };
    for failed in &bulk.failed {
        let name = rows.get(failed.row).map_or_else(String::new, CarriedRow::name);
        // The model's `shortCode` is `customSlug` in the API.
        let reason = failed.reason.strip_prefix("shortCode: ").map(|rule| format!("customSlug: {rule}"));
        failures.push(&name, String::new(), reason.as_deref().unwrap_or(&failed.reason));
    }
    // Behind the bulk: a creation takes no former addresses.
    add_aliases(request, &rows, &bulk, failures).await;
    let began = number(&request.form, "began");
    let is_old = |at: i64| u64::try_from(at).is_ok_and(|at| at < began);
    let old = bulk.links.iter().filter(|view| is_old(view.link.created_at.as_millis())).count() as u64;
    Ok((bulk.links.len() as u64 - old, old))
}

/// Adds the former addresses of created links, which no creation takes.
async fn add_aliases(
    request: &PageRequest<'_>,
    rows: &[CarriedRow],
    bulk: &BulkView,
    failures: &mut StepFailures,
) {
    let is_made = |at: &usize| bulk.failed.iter().all(|failed| failed.row != *at);
    let made = (0..rows.len()).filter(is_made).zip(&bulk.links);
    for (row, view) in made.map(|(at, view)| (&rows[at], view)) {
        let Some(aliases) =
            row.link.get("aliases").filter(|all| all.as_array().is_some_and(|all| !all.is_empty()))
        else {
            continue;
        };
        let path = format!("/api/v1/links/{}", view.link.id);
        if let Err(error) = request.send(&Method::PATCH, &path, &json!({"aliases": aliases})).await {
            let page = format!("/admin/links/{}", view.link.id);
            let why = format!("created without its former addresses: {}", error.words().1);
            failures.push(&row.name(), page, &why);
        }
    }
}

/// The ids of the tags and campaigns that rows name.
struct NamedIds {
    tags: Vec<(String, String)>,
    campaigns: Vec<(String, String)>,
    /// The id of a tag for all rows.
    tag: Option<String>,
}

impl NamedIds {
    /// Returns the ids. Creates tags and campaigns of new names.
    async fn read(request: &PageRequest<'_>, rows: &[CarriedRow]) -> Result<NamedIds, PageError> {
        let mut names: Vec<&str> = Vec::new();
        for name in rows.iter().flat_map(|row| tags_of(&row.link)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let ids = tag_ids(request, &names).await?;
        let tags = names.iter().map(|name| (*name).to_owned()).zip(ids).collect();
        let tag = match request.form.text("tag") {
            Some(name) => tag_ids(request, &[name]).await?.pop(),
            None => None,
        };
        let mut wanted: Vec<&str> = Vec::new();
        for name in rows.iter().filter_map(|row| text(&row.link, "campaignName")) {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        Ok(NamedIds { tags, campaigns: campaign_ids(request, &wanted).await?, tag })
    }

    /// Returns the body of a row for the bulk.
    fn body(&self, link: &Map<String, Value>, reuses: bool) -> Value {
        let mut body = link.clone();
        let id_of = |all: &[(String, String)], name: &str| {
            all.iter().find(|(known, _)| known == name).map(|(_, id)| id.clone())
        };
        let mut ids: Vec<String> = tags_of(link).filter_map(|name| id_of(&self.tags, name)).collect();
        ids.extend(self.tag.clone());
        // A tag for all rows may be one of the row as well.
        ids.sort_unstable();
        ids.dedup();
        if let Some(id) = text(link, "campaignName").and_then(|name| id_of(&self.campaigns, name)) {
            body.insert("campaignId".to_owned(), json!(id));
        }
        for name in ["tags", "campaignName", "aliases"] {
            body.remove(name);
        }
        if !ids.is_empty() {
            body.insert("tagIds".to_owned(), json!(ids));
        }
        if reuses && text(link, draft::CODE).is_none() {
            body.insert("reuse".to_owned(), json!(true));
        }
        Value::Object(body)
    }
}

fn tags_of(link: &Map<String, Value>) -> impl Iterator<Item = &str> {
    link.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Returns the names with the ids of their campaigns. Creates those that do not exist.
async fn campaign_ids(request: &PageRequest<'_>, names: &[&str]) -> Result<Vec<(String, String)>, PageError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Reply::Campaigns(known) = request.get("/api/v1/campaigns", "").await? else {
        return Err(PageError::Internal);
    };
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        // As names of tags: two spellings of one name would be two campaigns of one look.
        let is_named = |text: &str| folded_name(text) == folded_name(name);
        if let Some(view) = known.campaigns.iter().find(|view| is_named(&view.campaign.name)) {
            ids.push(((*name).to_owned(), view.campaign.id.as_str().to_owned()));
            continue;
        }
        let answer = request.send(&Method::POST, "/api/v1/campaigns", &json!({"name": name})).await?;
        match reply_of(answer)? {
            Reply::Made(Created::Campaign(view), _) | Reply::Campaign(view) => {
                ids.push(((*name).to_owned(), view.campaign.id.as_str().to_owned()));
            }
            _ => return Err(PageError::Internal),
        }
    }
    Ok(ids)
}
