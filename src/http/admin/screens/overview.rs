//! The first screen: the clicks of the last 30 days and where they came from, and the newest links.

use askama::Template;
use hyper::StatusCode;

use super::links::list::{ListedRow, listed};
use crate::analytics::query::answer::AnswerRow;
use crate::analytics::query::facet::FacetKey;
use crate::core::AnalyticsView;
use crate::http::admin::answers::{ranked_chart, time_chart};
use crate::http::admin::chart::{RankedChart, RankedRow, grouped};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

/// Rows of a ranked list.
const ROWS: &str = "7";

/// The properties of the ranked lists.
const LISTS: [&str; 4] = ["link", "referrer", "country", "device"];

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage<'a> {
    frame: &'a Frame,
    clicks: Option<OverviewClicks>,
    /// Why there are no statistics, if the key could read them.
    why: Option<String>,
    newest: Vec<ListedRow>,
    total: String,
}

/// The clicks of the last 30 days.
struct OverviewClicks {
    clicks: String,
    visitors: String,
    change: Option<String>,
    chart: String,
    lists: Vec<String>,
}

/// Shows the screen.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let Reply::Links(page) = request.get("/api/v1/links", "limit=5").await? else {
        return Err(PageError::Internal);
    };
    let newest = listed(request, &page).await;
    let (clicks, why) = match clicks(request).await {
        Ok(clicks) => (clicks, None),
        // Such as a server that keeps no details. The rest of the screen is useful all the same.
        Err(PageError::Api(error)) => (None, Some(PageError::Api(error).words().1)),
        Err(error) => return Err(error),
    };
    let shown = OverviewPage { frame: request.frame, clicks, why, newest, total: grouped(page.total) };
    Ok(request.frame.page(StatusCode::OK, &shown))
}

async fn clicks(request: &PageRequest<'_>) -> Result<Option<OverviewClicks>, PageError> {
    if !request.frame.may().read_statistics {
        return Ok(None);
    }
    let over_time = ask(request, &[("groupBy", "time"), ("compare", "previous")]).await?;
    let mut lists = Vec::new();
    for facet in LISTS {
        let view = ask(request, &[("groupBy", facet), ("limit", ROWS)]).await?;
        let chart = ranked_chart(&view, Some(("/admin/statistics", &[])));
        if !chart.rows.is_empty() {
            lists.push(chart.html());
        }
    }
    if let Some(misses) = misses(request).await? {
        lists.push(misses);
    }
    let totals = over_time.rows.total;
    Ok(Some(OverviewClicks {
        clicks: grouped(totals.clicks),
        visitors: grouped(totals.visitors),
        change: over_time.rows.previous.and_then(|previous| change(totals.clicks, previous.clicks)),
        chart: time_chart(&over_time, "Clicks in the last 30 days", "clicks").html(),
        lists,
    }))
}

/// Returns the paths that had visits and no link. Each leads to the form of a link with this code.
async fn misses(request: &PageRequest<'_>) -> Result<Option<String>, PageError> {
    let view = ask(request, &[("visits", "misses"), ("groupBy", "path"), ("limit", ROWS)]).await?;
    let row = |row: &AnswerRow| {
        let Some(FacetKey::Text(path)) = row.keys.first() else { return None };
        let code = path.trim_start_matches('/');
        // A link has one segment.
        let is_code = request.frame.may().write && !code.is_empty() && !code.contains('/');
        let href = is_code.then(|| format!("/admin/links/new?{}", query_of(&[("customSlug", code)])));
        Some(RankedRow { label: path.to_string(), href, clicks: row.totals.clicks, visitors: 0 })
    };
    let rows: Vec<_> = view.rows.rows.iter().filter_map(row).collect();
    let total = view.rows.total.clicks;
    let chart = RankedChart { heading: "Addresses without a link".to_owned(), rows, total, more: None };
    Ok((!chart.rows.is_empty()).then(|| chart.html_of("visits")))
}

async fn ask(request: &PageRequest<'_>, pairs: &[(&str, &str)]) -> Result<AnalyticsView, PageError> {
    let query = query_of(&[&[("interval", "30d")], pairs].concat());
    match request.get("/api/v1/analytics", &query).await? {
        Reply::Analytics(view, _) => Ok(*view),
        _ => Err(PageError::Internal),
    }
}

/// Returns the change from a number to another in words: `+12 % than in the 30 days before`.
fn change(now: u64, before: u64) -> Option<String> {
    if before == 0 {
        return None;
    }
    let percent = (i128::from(now) - i128::from(before)) * 100 / i128::from(before);
    Some(format!("{percent:+} % to the 30 days before"))
}
