//! Whole lists: a page with all rows of a property, and tables for spreadsheets.

use askama::Template;
use bytes::Bytes;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::asked::Asked;
use super::filters::{FilterText, filter_texts};
use super::panels::ranked;
use super::words::plural;
use crate::analytics::query::facet::Facet;
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;
use crate::http::api::in_process::body_of;
use crate::http::body::{Content, HttpResponse};

/// Rows of a page.
const ROWS: usize = 100;

/// Most rows that are skipped, as in the API.
const OFFSET_MAX: usize = 1_000_000;

#[derive(Template)]
#[template(path = "statistics_list.html")]
struct ListScreen<'a> {
    frame: &'a Frame,
    heading: &'static str,
    back: String,
    filters: Vec<FilterText>,
    chart: String,
    csv: String,
    /// The rows of the page, as `101 to 200 of 1,234`.
    place: Option<String>,
    before: Option<String>,
    next: Option<String>,
}

/// Shows all rows of a property, which is the last part of the path.
pub(in crate::http::admin) async fn show(
    request: &PageRequest<'_>,
    property: &str,
) -> Result<HttpResponse, PageError> {
    // Hours have their own chart, and times too.
    let facet = Facet::of_name(property).filter(|facet| !matches!(facet, Facet::Time | Facet::HourOfWeek));
    let property = facet.ok_or(PageError::NoPage)?.name();
    let asked = Asked::of_page(request);
    let offset = request.param("offset").and_then(|offset| offset.parse::<usize>().ok()).unwrap_or(0);
    let offset = offset.min(OFFSET_MAX);
    let (limit, skipped) = (ROWS.to_string(), offset.to_string());
    let view = asked.ask(request, &[("groupBy", property), ("limit", &limit), ("offset", &skipped)]).await?;
    let shown = view.rows.rows.len();
    let mut chart = ranked(&view, &asked, property);
    chart.more = None;
    let screen = ListScreen {
        frame: request.frame,
        heading: plural(property),
        back: asked.here(),
        filters: filter_texts(request, &asked).await,
        chart: chart.html_of(asked.unit()),
        csv: asked.csv(property),
        place: (view.rows.count > ROWS)
            .then(|| format!("{} to {} of {}", offset + 1, offset + shown, view.rows.count)),
        before: (offset > 0).then(|| asked.list(property, offset.saturating_sub(ROWS))),
        next: (view.rows.count > offset + shown).then(|| asked.list(property, offset + shown)),
    };
    Ok(request.frame.page(StatusCode::OK, &screen))
}

/// Returns a table of the clicks for spreadsheets, grouped by the `groupBy` of the address.
pub(in crate::http::admin) async fn csv(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let asked = Asked::of_page(request);
    let by = request.param("groupBy").unwrap_or_default();
    // With the mark that makes a spreadsheet read UTF-8.
    let question = asked.question(&[("groupBy", &by), ("format", "csv"), ("bom", "true")]);
    let (kind, bytes) = body_of(&request.get("/api/v1/analytics", &question).await?);
    let mut response = Response::new(Content::from(Bytes::from(bytes)));
    let headers = response.headers_mut();
    request.frame.protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // The names of properties: the API has accepted them, so they are letters and a comma.
    let name = format!("attachment; filename=\"{}-by-{}.csv\"", asked.visits(), by.replace(',', "-and-"));
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (CONTENT_DISPOSITION, name)));
    Ok(response)
}
