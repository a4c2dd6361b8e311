//! The lists of the screen. Properties that answer one question share a panel, which shows one of them: the page stays
//! short, and costs a question for each panel and not for each property.

use super::asked::Asked;
use super::words::{label, plural, value};
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::core::AnalyticsView;
use crate::http::admin::chart::{HeatMap, RankedChart, RankedRow};
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::PageRequest;

/// Rows of a panel.
const ROWS: usize = 9;

const LINKS: &[&str] = &["link", "tag", "campaign", "domain"];
const SOURCES: &[&str] =
    &["referrer", "utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent", "trigger"];
const PLACES: &[&str] = &["country", "continent", "region", "city", "language"];
const PROGRAMS: &[&str] = &["device", "browser", "os"];
const CHOICES: &[&str] = &["variant", "rule"];

/// A panel: a chart with its tabs and its table for spreadsheets.
pub(super) struct StatisticsPanel {
    /// The name of the fragment that leads to it.
    pub(super) anchor: &'static str,
    pub(super) tabs: Vec<PanelTab>,
    pub(super) chart: String,
    pub(super) csv: String,
    /// What the server lacks for the list.
    pub(super) notes: Vec<String>,
}

/// A property that a panel can show.
pub(super) struct PanelTab {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) is_here: bool,
}

/// Returns the properties of each panel for this kind of visits. A miss has no link, and a bot no browser.
fn groups(asked: &Asked) -> Vec<&'static [&'static str]> {
    match asked.visits() {
        "bots" => vec![&["agent"], LINKS, SOURCES, PLACES],
        "misses" => vec![&["path"], &["referrer"], &["country", "continent"], PROGRAMS, &["agent"]],
        // The numbers of rules and variants are of one link.
        _ if asked.is_of_one_link() => vec![SOURCES, PLACES, PROGRAMS, CHOICES],
        _ => vec![LINKS, SOURCES, PLACES, PROGRAMS],
    }
}

/// Returns the panels of the page.
pub(super) async fn panels(
    request: &PageRequest<'_>,
    asked: &Asked,
) -> Result<Vec<StatisticsPanel>, PageError> {
    let mut panels = Vec::new();
    for group in groups(asked) {
        let property = asked.tab(group);
        let view = asked.ask(request, &[("groupBy", property), ("limit", &ROWS.to_string())]).await?;
        // Of most links, no rule has chosen the destination.
        let is_known = |row: &RankedRow| row.href.is_some() && !row.label.starts_with("no ");
        let chart = ranked(&view, asked, property);
        if group == CHOICES && !chart.rows.iter().any(is_known) {
            continue;
        }
        let tab = |tab: &&'static str| PanelTab {
            name: plural(tab),
            href: format!("{}#{}", asked.with_tab(group, tab), group[0]),
            is_here: *tab == property,
        };
        panels.push(StatisticsPanel {
            anchor: group[0],
            tabs: if group.len() > 1 { group.iter().map(tab).collect() } else { Vec::new() },
            chart: chart.html_of(asked.unit()),
            csv: asked.csv(property),
            notes: view.notes.clone(),
        });
    }
    Ok(panels)
}

/// Returns the ranked bars of an answer by one property. Each row adds its filter to the address.
pub(super) fn ranked(view: &AnalyticsView, asked: &Asked, property: &'static str) -> RankedChart {
    let facet = view.by.first().copied().unwrap_or(Facet::Link);
    let rows = view.rows.rows.iter().filter_map(|row| {
        let key = row.keys.first()?;
        Some(RankedRow {
            label: label(view, facet, key),
            href: value(view, facet, key).map(|value| asked.adding(property, &value)),
            clicks: row.totals.clicks,
            visitors: row.totals.visitors,
        })
    });
    let mut rows: Vec<RankedRow> = rows.filter(|row| row.clicks > 0).collect();
    let shown = rows.len();
    if view.rows.other.clicks > 0 {
        let (clicks, visitors) = (view.rows.other.clicks, view.rows.other.visitors);
        rows.push(RankedRow { label: "all others".to_owned(), href: None, clicks, visitors });
    }
    let more = (view.rows.count > shown).then(|| asked.list(property, 0));
    RankedChart { heading: plural(property).to_owned(), rows, total: view.rows.total.clicks, more }
}

/// Returns the hours of the week.
pub(super) async fn week(request: &PageRequest<'_>, asked: &Asked) -> Result<StatisticsPanel, PageError> {
    let view = asked.ask(request, &[("groupBy", "hourOfWeek")]).await?;
    let mut map = HeatMap { heading: plural("hourOfWeek").to_owned(), ..HeatMap::default() };
    for row in &view.rows.rows {
        let Some(FacetKey::HourOfWeek(hour)) = row.keys.first() else { continue };
        let (day, hour) = (usize::from(hour / 24), usize::from(hour % 24));
        // An hour is one of 168, so the day is one of seven.
        if let Some(cells) = map.cells.get_mut(day) {
            cells[hour] = row.totals.clicks;
        }
    }
    Ok(StatisticsPanel {
        anchor: "hourOfWeek",
        tabs: Vec::new(),
        chart: map.html_of(asked.unit()),
        csv: asked.csv("hourOfWeek"),
        notes: Vec::new(),
    })
}
