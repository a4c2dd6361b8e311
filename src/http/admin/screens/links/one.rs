//! One link: its address, its clicks, what may be done with it, its history and its deliveries.

use askama::Template;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::link_of;
use super::list::{LinkBadge, badges, without_scheme};
use crate::http::admin::answers::{ranked_chart, time_chart};
use crate::http::admin::chart::grouped;
use crate::http::admin::format::minute;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::{AnalyticsView, LinkView, Reply};
use crate::http::body::HttpResponse;

/// Changes and deliveries on the page.
const SHOWN: usize = 10;

/// The properties of the ranked lists.
const LISTS: [&str; 4] = ["referrer", "country", "device", "browser"];

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    frame: &'a Frame,
    id: String,
    short_url: String,
    shown_url: String,
    title: Option<String>,
    destination: String,
    facts: Vec<(&'static str, String)>,
    badges: Vec<LinkBadge>,
    tags: Vec<(String, String)>,
    aliases: Vec<String>,
    clicks: String,
    visitors: Option<String>,
    chart: Option<String>,
    lists: Vec<String>,
    history: Vec<ShownRevision>,
    deliveries: Vec<(String, String, String)>,
    has_password: bool,
}

/// A change of the link.
struct ShownRevision {
    revision: String,
    at: String,
    by: String,
    operation: String,
    fields: Vec<(String, String, String)>,
    is_latest: bool,
}

/// Shows the link.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let view = link_of(request, id).await?;
    let options = &view.link.options;
    let (visitors, chart, lists) = statistics(request, id).await?;
    let history = request.json(&format!("/api/v1/links/{id}/history"), &format!("limit={SHOWN}")).await?;
    let deliveries = if options.webhook_urls.is_empty() {
        Vec::new()
    } else {
        let all = request.json(&format!("/api/v1/links/{id}/deliveries"), "").await?;
        all["deliveries"].as_array().into_iter().flatten().take(SHOWN).map(delivery).collect()
    };
    let page = LinkPage {
        frame: request.frame,
        id: view.link.id.to_string(),
        shown_url: without_scheme(&view.short_url).to_owned(),
        short_url: view.short_url.clone(),
        title: options.title.as_deref().map(str::to_owned),
        destination: options.target().as_str().to_owned(),
        facts: facts(&view),
        badges: badges(&view, request.now()),
        tags: view
            .tags
            .iter()
            .map(|tag| (tag.name.to_string(), super::list::path_of(&[("tag", &tag.name)])))
            .collect(),
        aliases: view.aliases.iter().map(|alias| alias.short_url.clone()).collect(),
        clicks: grouped(view.clicks),
        visitors,
        chart,
        lists,
        history: changes(&history["history"]),
        deliveries,
        has_password: options.password.is_some(),
    };
    Ok(request.frame.page(StatusCode::OK, &page))
}

/// Leads to the link of a code on the default domain.
pub(in crate::http::admin) async fn by_code(
    request: &PageRequest<'_>,
    code: &str,
) -> Result<HttpResponse, PageError> {
    // Its name, since a workspace may have another default domain.
    let domain = query_of(&[("domain", request.api.backend().links.site().host())]);
    match request.get(&format!("/api/v1/links/by-code/{code}"), &domain).await? {
        Reply::Link(view) => Ok(request.frame.redirect(&format!("/admin/links/{}", view.link.id))),
        _ => Err(PageError::Internal),
    }
}

type Statistics = (Option<String>, Option<String>, Vec<String>);

/// Returns the visitors and the charts of the last 30 days. Empty for a key that may not read them.
async fn statistics(request: &PageRequest<'_>, id: &str) -> Result<Statistics, PageError> {
    if !request.frame.may().read_statistics {
        return Ok(Statistics::default());
    }
    let Ok(over_time) = ask(request, id, &[("groupBy", "time"), ("compare", "previous")]).await else {
        // Such as a server without details: the number of clicks is shown all the same.
        return Ok(Statistics::default());
    };
    let mut lists = Vec::new();
    for facet in LISTS {
        let view = ask(request, id, &[("groupBy", facet), ("limit", "7")]).await?;
        let chart = ranked_chart(&view, Some(("/admin/statistics", &[("linkId", id)])));
        if !chart.rows.is_empty() {
            lists.push(chart.html());
        }
    }
    let visitors = grouped(over_time.rows.total.visitors);
    Ok((Some(visitors), Some(time_chart(&over_time, "Clicks in the last 30 days", "clicks").html()), lists))
}

async fn ask(
    request: &PageRequest<'_>,
    id: &str,
    pairs: &[(&str, &str)],
) -> Result<AnalyticsView, PageError> {
    let query = query_of(&[&[("linkId", id), ("interval", "30d")], pairs].concat());
    match request.get("/api/v1/analytics", &query).await? {
        Reply::Analytics(view, _) => Ok(*view),
        _ => Err(PageError::Internal),
    }
}

fn facts(view: &LinkView) -> Vec<(&'static str, String)> {
    let options = &view.link.options;
    let mut facts = vec![("Redirect", options.status.code().to_string())];
    let moment = |at: Option<crate::clock::Timestamp>| at.map(minute);
    let more = [
        ("Valid from", moment(options.valid_since)),
        ("Expires", moment(options.expires_at)),
        ("Most clicks", options.max_clicks.map(grouped)),
        ("Afterwards", options.expired_url.as_ref().map(|url| url.as_str().to_owned())),
        ("Last click", view.recent.and_then(|recent| recent.latest).map(minute)),
        ("Created", Some(minute(view.link.created_at))),
        ("By", Some(view.creator.as_ref().map_or("the operator".to_owned(), |key| key.name.to_string()))),
        (
            "Changed",
            Some(minute(view.link.updated_at)).filter(|_| view.link.updated_at != view.link.created_at),
        ),
        ("Rules", Some(options.branches().len()).filter(|rules| *rules > 0).map(|rules| rules.to_string())),
        ("Notes", options.notes.as_deref().map(str::to_owned)),
    ];
    facts.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    facts
}

fn changes(history: &Value) -> Vec<ShownRevision> {
    let text = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let list = history.as_array().into_iter().flatten().enumerate();
    list.map(|(at, change)| {
        let fields = change["changes"].as_array().into_iter().flatten();
        ShownRevision {
            revision: text(&change["revision"]),
            at: when(&change["at"]),
            by: change["by"]["name"].as_str().unwrap_or("the operator").to_owned(),
            operation: text(&change["operation"]),
            fields: fields
                .map(|field| (text(&field["field"]), text(&field["before"]), text(&field["after"])))
                .collect(),
            is_latest: at == 0,
        }
    })
    .collect()
}

/// Returns a time of the API as pages show it.
fn when(value: &Value) -> String {
    let text = value.as_str().unwrap_or("");
    text.parse().map_or_else(|_| text.to_owned(), minute)
}

fn delivery(attempt: &Value) -> (String, String, String) {
    let outcome = match (attempt["delivered"] == true, attempt["error"].as_str()) {
        (true, _) => "delivered".to_owned(),
        (false, Some(error)) => error.to_owned(),
        (false, None) => format!("status {}", attempt["status"]),
    };
    (when(&attempt["at"]), attempt["url"].as_str().unwrap_or("").to_owned(), outcome)
}

/// Deletes the link.
pub(in crate::http::admin) async fn delete(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("/api/v1/links/{id}"), &Value::Null).await?;
    Ok(request.frame.redirect("/admin/links?done=deleted"))
}

/// Undoes the last change of the link, or goes back to the state after a revision.
pub(in crate::http::admin) async fn undo(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    let body = request.form.text("revision").map_or(json!({}), |revision| json!({"revision": revision}));
    request.send(&Method::POST, &format!("/api/v1/links/{id}/undo"), &body).await?;
    Ok(request.frame.redirect(&format!("/admin/links/{id}?done=undone")))
}

/// Ends the lock that wrong passwords have put on the link.
pub(in crate::http::admin) async fn unlock(
    request: &PageRequest<'_>,
    id: &str,
) -> Result<HttpResponse, PageError> {
    request.send(&Method::DELETE, &format!("/api/v1/links/{id}/password-lock"), &Value::Null).await?;
    Ok(request.frame.redirect(&format!("/admin/links/{id}?done=unlocked")))
}
