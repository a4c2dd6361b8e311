//! The live view: the clicks of this moment. The only page that needs a script, which listens to the events of the API.
//! Without one, the page shows the last hour as it was when the page was opened.

use askama::Template;
use hyper::{StatusCode, Version};

use super::statistics::short_url;
use crate::analytics::live::LiveMinutes;
use crate::clock::Timestamp;
use crate::http::admin::chart::{ChartSlot, TimeChart, grouped};
use crate::http::admin::frame::Frame;
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::body::HttpResponse;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

#[derive(Template)]
#[template(path = "live.html")]
struct LiveScreen<'a> {
    frame: &'a Frame,
    /// The link, if the page is about one.
    link: Option<String>,
    /// The address of the events.
    events: String,
    hour: String,
    minute: String,
    chart: Option<String>,
    /// The page without a script.
    here: &'a str,
}

/// Shows the page.
pub(in crate::http::admin) async fn show(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let query = question(request);
    // The minutes of one link are counted while somebody listens, so its page begins without them.
    let minutes = if query.is_empty() { Some(minutes(request).await?) } else { None };
    let numbers = minutes.as_ref().map(|minutes| minutes.clicks.as_slice()).unwrap_or_default();
    let hour = numbers.iter().flatten().fold(0_u64, |sum, clicks| sum.saturating_add(*clicks));
    let screen = LiveScreen {
        frame: request.frame,
        link: link(request).await,
        events: if query.is_empty() {
            "/admin/live/events".into()
        } else {
            format!("/admin/live/events?{query}")
        },
        hour: grouped(hour),
        minute: grouped(numbers.last().copied().flatten().unwrap_or(0)),
        chart: minutes.as_ref().map(|minutes| chart(minutes).html()),
        here: &request.frame.here,
    };
    Ok(request.frame.page(StatusCode::OK, &screen))
}

/// Returns the events of the API as a stream.
pub(in crate::http::admin) async fn events(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    // An older client would wait for the end of the stream.
    if request.parts.version < Version::HTTP_11 {
        return Err(PageError::NoPage);
    }
    request.events("/api/v1/analytics/live", &question(request)).await
}

/// Returns the link of the address as a question to the API, empty for the workspace.
fn question(request: &PageRequest<'_>) -> String {
    let (id, link) = (request.param("linkId").unwrap_or_default(), request.param("link").unwrap_or_default());
    // A link in quotes is a filter of the statistics, which lead here.
    let link = link.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&link);
    query_of(&[("linkId", id.as_str()), ("link", link)])
}

async fn link(request: &PageRequest<'_>) -> Option<String> {
    match request.param("linkId") {
        Some(id) => Some(short_url(request, &id).await),
        None => request.param("link"),
    }
}

async fn minutes(request: &PageRequest<'_>) -> Result<LiveMinutes, PageError> {
    match request.get("/api/v1/analytics/live", "").await? {
        Reply::LiveMinutes(minutes) => Ok(minutes),
        _ => Err(PageError::Internal),
    }
}

/// Returns the chart of an hour. A minute that the server has not seen is drawn as one without clicks.
fn chart(minutes: &LiveMinutes) -> TimeChart {
    let last = minutes.clicks.len().saturating_sub(1);
    let slot = |(at, clicks): (usize, &Option<u64>)| {
        let start = minutes.from.as_millis() + i64::try_from(at).unwrap_or(0) * MINUTE;
        ChartSlot {
            label: shown(start, "%H:%M"),
            long: shown(start, "%H:%M UTC"),
            clicks: clicks.unwrap_or(0),
            is_running: at == last,
            ..ChartSlot::default()
        }
    };
    let slots = minutes.clicks.iter().enumerate().map(slot).collect();
    TimeChart { heading: "Clicks in the last hour".to_owned(), unit: "clicks", slots }
}

fn shown(millis: i64, format: &str) -> String {
    let instant = jiff::Timestamp::from_millisecond(Timestamp::from_millis(millis).as_millis());
    // The clock is within the years that a calendar has.
    instant.map_or_else(|_| String::new(), |instant| instant.strftime(format).to_string())
}
