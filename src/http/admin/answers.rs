//! Charts from answers about clicks.

use jiff::Timestamp as Instant;

use super::chart::{ChartSlot, RankedChart, RankedRow, TimeChart};
use super::page_request::query_of;
use super::screens::links::list::without_scheme;
use crate::analytics::query::answer::AnswerRow;
use crate::analytics::query::calendar::Granularity;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::core::AnalyticsView;
use crate::visit::pages::{heading, name_of};

/// Returns the bars of an answer by time.
pub(super) fn time_chart(view: &AnalyticsView, heading: &str, unit: &'static str) -> TimeChart {
    let (short, long) = match view.granularity {
        Granularity::Quarter | Granularity::Hour => ("%H:%M", "%A, %-d %B %Y, %H:%M"),
        Granularity::Day => ("%-d %b", "%A, %-d %B %Y"),
        Granularity::Week => ("%-d %b", "the week from %-d %B %Y"),
        Granularity::Month => ("%b %Y", "%B %Y"),
    };
    // Clicks may still come into the last slot: its bar shows that it is not over.
    let last = view.rows.rows.len().saturating_sub(1);
    let slot = |(at, row): (usize, &AnswerRow)| {
        let Some(FacetKey::Time(millis)) = row.keys.first() else { return None };
        Some(ChartSlot {
            label: time(view, *millis, short),
            long: time(view, *millis, long),
            clicks: row.totals.clicks,
            visitors: row.totals.visitors,
            previous: row.previous.map(|totals| totals.clicks),
            is_running: at == last && view.span.to > view.as_of.as_millis() - 60_000,
        })
    };
    let slots = view.rows.rows.iter().enumerate().filter_map(slot).collect();
    TimeChart { heading: heading.to_owned(), unit, slots }
}

/// Returns the ranked bars of an answer by one property. `here` is the path and the query that each row adds a filter
/// to, and `None` if rows are no links.
pub(super) fn ranked_chart(view: &AnalyticsView, here: Option<(&str, &[(&str, &str)])>) -> RankedChart {
    // A question with one property has one facet, and this function is called with no other.
    let facet = view.by.first().copied().unwrap_or(Facet::Time);
    let row = |row: &AnswerRow| {
        let key = row.keys.first()?;
        let value = filter_value(view, facet, key);
        let href = here.zip(value).map(|((path, pairs), value)| {
            let query = query_of(&[pairs, &[(facet.name(), value.as_str())]].concat());
            format!("{path}?{query}")
        });
        // Visits of bots and misses have no visitors.
        let (clicks, visitors) = (row.totals.clicks, row.totals.visitors);
        Some(RankedRow {
            label: without_scheme(&name_of(view, facet, key)).to_owned(),
            href,
            clicks,
            visitors,
        })
    };
    // A property that no visit has is worth no list.
    let is_known = |row: &AnswerRow| row.keys.first().is_some_and(|key| *key != FacetKey::None);
    let all = if view.rows.rows.iter().any(is_known) { view.rows.rows.as_slice() } else { &[] };
    let rows: Vec<_> = all.iter().filter_map(row).filter(|row| row.clicks > 0).collect();
    let heading = heading(facet, view.granularity).to_owned();
    RankedChart { heading, rows, total: view.rows.total.clicks, more: None }
}

/// Returns the value by which a filter of the API finds the row of a key.
fn filter_value(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> Option<String> {
    match key {
        FacetKey::Link(row) => crate::core::link_of_row(row).map(|id| id.to_string()),
        // A value in quotes is taken as it is, with commas and hyphens.
        FacetKey::Text(text) => Some(format!("\"{}\"", text.replace('"', "\"\""))),
        FacetKey::Number(_) => Some(name_of(view, facet, key)),
        FacetKey::None => Some("null".to_owned()),
        FacetKey::Tags(_) | FacetKey::Time(_) | FacetKey::HourOfWeek(_) | FacetKey::Other => None,
    }
}

/// Returns an instant in the zone of an answer.
pub(super) fn time(view: &AnalyticsView, millis: i64, format: &str) -> String {
    // Cannot fail: spans are within the years 1970 to 9998.
    let Ok(instant) = Instant::from_millisecond(millis) else { return String::new() };
    instant.to_zoned(view.zone.clone()).strftime(format).to_string()
}
