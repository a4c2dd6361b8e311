//! The page of a share of statistics: the clicks of a link or tag, as tables with bars. It has no script, and shows
//! nothing else of the link or tag but its title or name.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use jiff::Timestamp as Instant;

use super::layout::{POLICY, page};
use crate::analytics::query::answer::AnswerRow;
use crate::analytics::query::calendar::Granularity;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::totals::ClickTotals;
use crate::analytics::values::UtmName;
use crate::core::{AnalyticsView, SharedStatistics, SharedTitle, link_of_row};

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
    title: &'a SharedTitle,
    total: ClickTotals,
    from: String,
    to: String,
    zone: &'a str,
    is_zone_unknown: bool,
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
    /// The length of the bar, in percent of the longest of the table.
    bar: u64,
}

/// Returns the page. `is_zone_unknown`: the address names a time zone that does not exist.
pub fn statistics(
    statistics: &SharedStatistics,
    periods: &[ShownPeriod],
    is_zone_unknown: bool,
) -> Response<Full<Bytes>> {
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
        is_zone_unknown,
        unattributed: first.unattributed.filter(|clicks| *clicks > 0),
        has_statistics: first.has_statistics,
        periods,
        tables: tables.iter().filter_map(ShownTable::of).collect(),
    };
    page(StatusCode::OK, &shown, POLICY.clone())
}

impl ShownTable {
    /// Returns a table, `None` for one that has only clicks without a value. Rows by time begin at the first click.
    fn of(view: &AnalyticsView) -> Option<ShownTable> {
        let facet = *view.by.first()?;
        let key_of = |row: &AnswerRow| row.keys.first().cloned();
        let rows = &view.rows;
        if rows.rows.iter().all(|row| key_of(row).is_none_or(|key| key == FacetKey::None)) {
            return None;
        }
        let named = |row| Some((name_of(view, facet, &key_of(row)?), row.totals));
        // Years of zeros would hide the rows that say something.
        let is_before = |row: &&AnswerRow| facet == Facet::Time && row.totals.clicks == 0;
        let mut shown: Vec<_> = rows.rows.iter().skip_while(is_before).filter_map(named).collect();
        if rows.other.clicks > 0 {
            shown.push(("all others".to_owned(), rows.other));
        }
        let most = shown.iter().map(|(_, totals)| totals.clicks).max()?.max(1);
        // Rounded up: a single click has a bar that can be seen.
        let bar = |clicks: u64| clicks.saturating_mul(100).div_ceil(most);
        let rows = shown.into_iter().map(|(name, totals)| ShownRow { name, totals, bar: bar(totals.clicks) });
        Some(ShownTable { name: heading(facet, view.granularity), rows: rows.collect() })
    }
}

/// Returns the words for what the rows of a facet are.
pub(crate) fn heading(facet: Facet, granularity: Granularity) -> &'static str {
    match facet {
        Facet::Time => match granularity {
            Granularity::Quarter => "15 minutes from",
            Granularity::Hour => "Hour from",
            Granularity::Day => "Day",
            Granularity::Week => "Week from",
            Granularity::Month => "Month",
        },
        Facet::Link => "Link",
        Facet::Referrer => "From the site",
        Facet::Country => "Country",
        Facet::Device => "Device",
        Facet::Browser => "Browser",
        Facet::Os => "System",
        Facet::Language => "Language",
        Facet::Trigger => "Link or QR code",
        Facet::Utm(UtmName::Source) => "Source (utm_source)",
        Facet::Utm(UtmName::Campaign) => "Campaign (utm_campaign)",
        // On no page.
        other => other.name(),
    }
}

/// Returns the words for a row of an answer by this facet.
pub(crate) fn name_of(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> String {
    match key {
        FacetKey::None => match facet {
            // Apps send no referrer, and neither do many sites.
            Facet::Referrer => "direct or unknown",
            // Most links have no parameter: nothing is missing.
            Facet::Utm(_) => "none",
            _ => "unknown",
        }
        .to_owned(),
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
        FacetKey::Text(text) if facet == Facet::Trigger => trigger(text).to_owned(),
        FacetKey::Text(text) => text.to_string(),
        FacetKey::Other | FacetKey::Tags(_) | FacetKey::Number(_) | FacetKey::HourOfWeek(_) => {
            key.to_string()
        }
    }
}

/// Returns the words for a value of [`Facet::Trigger`].
fn trigger(name: &str) -> &str {
    match name {
        "link" => "Link",
        "qr" => "QR code",
        "api" => "API",
        other => other,
    }
}

/// Returns an instant in the zone of the answer.
fn time(view: &AnalyticsView, millis: i64, format: &str) -> String {
    // Cannot fail: spans are within the years 1970 to 9998.
    let Ok(instant) = Instant::from_millisecond(millis) else { return String::new() };
    instant.to_zoned(view.zone.clone()).strftime(format).to_string()
}
