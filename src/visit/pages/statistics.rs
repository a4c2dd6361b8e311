//! The page of a share of statistics: the clicks of a link or tag, as tables. It has no script and no chart, and shows
//! nothing else of the link or tag.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use jiff::Timestamp as Instant;

use super::layout::{POLICY, page};
use crate::analytics::query::calendar::Granularity;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::totals::ClickTotals;
use crate::core::{AnalyticsView, SharedStatistics, link_of_row};

/// A period that the page offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The type has the doc.
pub struct ShownPeriod {
    pub name: &'static str,
    pub url: String,
    /// Whether the page shows this period.
    pub is_shown: bool,
}

#[derive(Template)]
#[template(path = "statistics.html")]
struct StatisticsPage<'a> {
    title: &'a str,
    total: ClickTotals,
    from: String,
    to: String,
    zone: &'a str,
    unattributed: Option<u64>,
    has_statistics: bool,
    periods: &'a [ShownPeriod],
    tables: Vec<ShownTable>,
}

struct ShownTable {
    name: &'static str,
    rows: Vec<ShownRow>,
}

struct ShownRow {
    name: String,
    totals: ClickTotals,
}

/// Returns the page.
pub fn statistics(statistics: &SharedStatistics, periods: &[ShownPeriod]) -> Response<Full<Bytes>> {
    let SharedStatistics { title, tables } = statistics;
    let Some(first) = tables.first() else {
        // The first table is the one by time, which every page has.
        return super::error(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let shown = StatisticsPage {
        title,
        total: first.rows.total,
        from: time(first, first.span.from, "%Y-%m-%d"),
        // The end is no part of the time: its last moment is.
        to: time(first, first.span.to - 1, "%Y-%m-%d"),
        zone: first.zone.iana_name().unwrap_or("UTC"),
        unattributed: first.unattributed.filter(|clicks| *clicks > 0),
        has_statistics: first.has_statistics,
        periods,
        tables: tables.iter().filter_map(ShownTable::of).collect(),
    };
    page(StatusCode::OK, &shown, POLICY.clone())
}

impl ShownTable {
    /// Returns a table, `None` for one that has only clicks without a value.
    fn of(view: &AnalyticsView) -> Option<ShownTable> {
        let facet = *view.by.first()?;
        let key_of = |row: &crate::analytics::query::answer::AnswerRow| row.keys.first().cloned();
        let rows = &view.rows;
        if rows.rows.iter().all(|row| key_of(row).is_none_or(|key| key == FacetKey::None)) {
            return None;
        }
        let named = |row| Some(ShownRow { name: name_of(view, &key_of(row)?), totals: row.totals });
        let mut shown: Vec<ShownRow> = rows.rows.iter().filter_map(named).collect();
        if rows.other.clicks > 0 {
            shown.push(ShownRow { name: "all others".to_owned(), totals: rows.other });
        }
        Some(ShownTable { name: heading(facet), rows: shown })
    }
}

fn heading(facet: Facet) -> &'static str {
    match facet {
        Facet::Time => "Time",
        Facet::Link => "Link",
        Facet::Referrer => "From the site",
        Facet::Country => "Country",
        Facet::Device => "Device",
        Facet::Browser => "Browser",
        Facet::Os => "System",
        Facet::Language => "Language",
        Facet::Trigger => "By",
        // Others are on no page, except the two campaign parameters, whose names are known to people who set them.
        other => other.name(),
    }
}

fn name_of(view: &AnalyticsView, key: &FacetKey) -> String {
    match key {
        FacetKey::None => "none".to_owned(),
        FacetKey::Time(millis) => {
            let format = match view.granularity {
                Granularity::Quarter | Granularity::Hour => "%Y-%m-%d %H:%M",
                Granularity::Day | Granularity::Week => "%Y-%m-%d",
                Granularity::Month => "%Y-%m",
            };
            time(view, *millis, format)
        }
        FacetKey::Link(row) => {
            let url = link_of_row(row).and_then(|id| view.links.get(&id));
            url.map_or_else(|| "a deleted link".to_owned(), ToString::to_string)
        }
        FacetKey::Text(text) => text.to_string(),
        FacetKey::Other | FacetKey::Tags(_) | FacetKey::Number(_) | FacetKey::HourOfWeek(_) => {
            key.to_string()
        }
    }
}

/// Returns an instant in the zone of the answer.
fn time(view: &AnalyticsView, millis: i64, format: &str) -> String {
    // Cannot fail: spans are within the years 1970 to 9998.
    let Ok(instant) = Instant::from_millisecond(millis) else { return String::new() };
    instant.to_zoned(view.zone.clone()).strftime(format).to_string()
}
