//! Answers to questions about clicks as comma-separated values, for spreadsheets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::analytics::{has_name, name_of_key, named_columns, shown_as, text_of};
use crate::http::api::dialect::{
    AnalyticsView, AnswerRow, Body, ClickTotals, Facet, FacetKey, Granularity, Rows, link_of_row, push_field,
};
use crate::model::id::Id;

/// Renders the answer as comma-separated values (RFC 4180). A text that a spreadsheet would run as a formula begins with
/// an apostrophe.
pub(super) fn csv(view: &AnalyticsView, has_mark: bool) -> Body {
    let mut out = if has_mark { "\u{feff}".to_owned() } else { String::new() };
    for facet in &view.by {
        out.push_str(match facet {
            Facet::Link => "linkId,shortUrl,title",
            Facet::Tag => "tagId,tag",
            Facet::Campaign => "campaignId,campaign",
            Facet::Rule => "rule,ruleName",
            Facet::Variant => "variant,variantName",
            other => other.name(),
        });
        out.push(',');
    }
    out.push_str("clicks,visitors");
    out.push_str(if view.rows.previous.is_some() { ",previousClicks,previousVisitors\r\n" } else { "\r\n" });
    let Rows { rows, total, previous, .. } = &view.rows;
    // Without groups, the total is the only row.
    let whole = AnswerRow { keys: Vec::new(), totals: *total, previous: *previous };
    let rows = if view.by.is_empty() { std::slice::from_ref(&whole) } else { rows };
    for row in rows {
        for (facet, key) in view.by.iter().zip(&row.keys) {
            for text in columns(view, *facet, key) {
                push_field(&mut out, &text);
                out.push(',');
            }
        }
        push_counts(&mut out, row.totals);
        if let Some(previous) = row.previous {
            out.push(',');
            push_counts(&mut out, previous);
        }
        out.push_str("\r\n");
    }
    Body { status: hyper::StatusCode::OK, kind: "text/csv; charset=utf-8", bytes: out.into_bytes() }
}

fn push_counts(out: &mut String, ClickTotals { clicks, visitors }: ClickTotals) {
    // A text can always grow.
    let _ = write!(out, "{clicks},{visitors}");
}

fn columns(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> Vec<String> {
    if facet.is_of_link() && facet != Facet::Link {
        let columns = named_columns(view, facet, key).into_iter();
        return columns.map(|(_, text)| text.unwrap_or_default()).collect();
    }
    if has_name(facet) {
        let name = name_of_key(view, facet, key).unwrap_or_default().to_owned();
        return vec![text_of(view, key).unwrap_or_default(), name];
    }
    let link = match key {
        FacetKey::Link(link) => link,
        // A day is a date, which spreadsheets know. The offset of an hour is needed where clocks are set back.
        FacetKey::Time(millis) if !is_within_day(view.granularity) => {
            return vec![shown_as(view, *millis, "%Y-%m-%d")];
        }
        _ => return vec![text_of(view, key).unwrap_or_default()],
    };
    let id = link_of_row(link);
    let of = |texts: &BTreeMap<Id, Box<str>>| id.and_then(|id| texts.get(&id)).map(ToString::to_string);
    let [url, title] = [&view.links, &view.titles].map(|texts| of(texts).unwrap_or_default());
    vec![id.map(|id| id.to_string()).unwrap_or_default(), url, title]
}

fn is_within_day(granularity: Granularity) -> bool {
    matches!(granularity, Granularity::Quarter | Granularity::Hour)
}
