//! Statistics in Linquid's dialect: the questions of `/api/v1/analytics` under the paths of the vendor, below
//! `/api/analytics/workspace` and `/api/analytics/{linkId}`. The vendor's pages print the shapes of a few answers; all
//! others have the rows of these (docs/decisions.md A16).

use jiff::Timestamp as Instant;
use serde::Serialize;

use super::links;
use crate::http::api::dialect::{
    ANALYTICS_ROWS_MAX, About, AnalyticsQuery, AnalyticsView, AnswerRow, BadRequest, Body, Command, Facet,
    FacetKey, Granularity, Period, RequestParts, ScopedCommand, Visits, instant_in, read, zone_in,
};
use crate::http::api::query::Query;
use crate::json::Mistyped;
use crate::model::Invalid;

/// Rows of an answer without `limit`.
const LIMIT_DEFAULT: u64 = 50;

/// Days of an answer without `days`.
const DAYS_DEFAULT: u64 = 30;

/// Most days: a hundred years.
const DAYS_MAX: u64 = 36_500;

/// The vendor reports money. Waypost knows of none.
const CURRENCY: &str = "USD";

/// The last segments of the paths, each with the tables of its answer.
const NAMES: [(&str, &[Facet]); 11] = [
    ("overview", &[]),
    ("summary", &[]),
    ("timeseries", &[Facet::Time]),
    ("geo", &[Facet::Country]),
    ("regions", &[Facet::Region]),
    ("cities", &[Facet::City]),
    ("continents", &[Facet::Continent]),
    ("devices", &[Facet::Device, Facet::Browser, Facet::Os]),
    ("languages", &[Facet::Language]),
    ("referrers", &[Facet::Referrer]),
    ("triggers", &[Facet::Trigger]),
];

/// The values of `granularity`.
const GRANULARITIES: [(&str, Granularity); 3] =
    [("hour", Granularity::Hour), ("day", Granularity::Day), ("month", Granularity::Month)];

/// Parses `GET /api/analytics/workspace/{what}`.
pub(super) fn of_workspace(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    question(request, About::Workspace, request.id)
}

/// Parses `GET /api/analytics/{linkId}/{what}`.
pub(super) fn of_link(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    // The path from the first to the last segment in braces.
    let (link, what) = request.id.split_once('/').ok_or(BadRequest::NotFound("endpoint"))?;
    let id = links::id_or_hint(link)?;
    question(request, About::Link(id), what)
}

fn question(request: &RequestParts<'_>, about: About, what: &str) -> Result<ScopedCommand, BadRequest> {
    let found = NAMES.iter().find(|(name, _)| *name == what);
    let (_, tables) = found.ok_or(BadRequest::NotFound("endpoint"))?;
    let query = &request.query;
    let limit = query.number("limit", 1, ANALYTICS_ROWS_MAX as u64)?.unwrap_or(LIMIT_DEFAULT);
    // A chart needs all rows of its time.
    let limit = if **tables == [Facet::Time] { ANALYTICS_ROWS_MAX as u64 } else { limit };
    let zone = zone_in(query, "timezone")?;
    let asked = AnalyticsQuery {
        about,
        period: period(query, &zone)?,
        zone,
        granularity: granularity(query)?,
        visits: Visits::Counted,
        filters: Vec::new(),
        named: Vec::new(),
        by: tables.to_vec(),
        limit: usize::try_from(limit).unwrap_or(ANALYTICS_ROWS_MAX),
        offset: 0,
        compares: false,
    };
    read(request, Command::AnalyticsTables(Box::new(asked)))
}

/// Returns the time of a question: `start` and `end`, or the last `days`.
fn period(query: &Query<'_>, zone: &jiff::tz::TimeZone) -> Result<Period, BadRequest> {
    let days = query.number("days", 1, DAYS_MAX)?;
    match (instant_in(query, "start", zone)?, instant_in(query, "end", zone)?) {
        (Some(start), Some(end)) if end <= start => {
            Err(BadRequest::Rule(Invalid::new("end", "must be after `start`")))
        }
        // `days` beside it is ignored: the vendor's pages send both.
        (Some(start), end) => Ok(Period::Between(start, end)),
        (None, Some(_)) => Err(BadRequest::Rule(Invalid::new("start", "is required with `end`"))),
        (None, None) => Ok(Period::Days(days.unwrap_or(DAYS_DEFAULT).try_into().unwrap_or(i32::MAX))),
    }
}

fn granularity(query: &Query<'_>) -> Result<Option<Granularity>, BadRequest> {
    let Some(text) = query.text("granularity")? else { return Ok(None) };
    let found = GRANULARITIES.iter().find(|(name, _)| *name == text);
    let error = || Mistyped(Invalid::new("granularity", "must be hour, day or month"));
    Ok(Some(found.ok_or_else(error)?.1))
}

/// Renders the tables of an answer.
pub(super) fn render(tables: &[AnalyticsView]) -> Body {
    let rows = |at: usize| tables.get(at).map(rows_of).unwrap_or_default();
    let Some(first) = tables.first() else { return ok(&Vec::<TableRow>::new()) };
    match first.by[..] {
        [] => {
            let totals = first.rows.total;
            ok(&LinquidTotals {
                clicks: totals.clicks,
                unique_visitors: totals.visitors,
                conversions: 0,
                revenue: 0,
                currency: CURRENCY,
            })
        }
        [Facet::Time] => ok(&Series::of(first)),
        [Facet::Device] => ok(&DeviceTables { devices: rows(0), browsers: rows(1), systems: rows(2) }),
        _ => ok(&rows(0)),
    }
}

fn ok<T: Serialize>(data: &T) -> Body {
    #[derive(Serialize)]
    struct Answer<'a, T> {
        success: bool,
        data: &'a T,
    }
    Body::ok(&Answer { success: true, data })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinquidTotals {
    clicks: u64,
    unique_visitors: u64,
    conversions: u64,
    revenue: u64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Series {
    timeseries: Vec<SeriesRow>,
    granularity: &'static str,
    currency: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SeriesRow {
    timestamp: String,
    clicks: u64,
    unique_visitors: u64,
    conversions: u64,
    revenue: u64,
}

impl Series {
    fn of(view: &AnalyticsView) -> Series {
        let row = |row: &AnswerRow| SeriesRow {
            timestamp: timestamp(view, row.keys.first()),
            clicks: row.totals.clicks,
            unique_visitors: row.totals.visitors,
            conversions: 0,
            revenue: 0,
        };
        let name = GRANULARITIES.iter().find(|(_, known)| *known == view.granularity);
        Series {
            timeseries: view.rows.rows.iter().map(row).collect(),
            // Weeks come from a long time without `granularity`; the vendor has no word for them.
            granularity: name.map_or("week", |(name, _)| name),
            currency: CURRENCY,
        }
    }
}

/// Returns a time in the zone of the question, without the offset, as the vendor's sample has it.
fn timestamp(view: &AnalyticsView, key: Option<&FacetKey>) -> String {
    let Some(FacetKey::Time(millis)) = key else { return String::new() };
    let instant = Instant::from_millisecond(*millis);
    // Cannot fail: spans are within the years 1970 to 9998.
    let zoned = instant.map(|instant| instant.to_zoned(view.zone.clone()));
    zoned.map(|zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S.000").to_string()).unwrap_or_default()
}

#[derive(Serialize)]
struct DeviceTables {
    #[serde(rename = "deviceData")]
    devices: Vec<TableRow>,
    #[serde(rename = "browserData")]
    browsers: Vec<TableRow>,
    #[serde(rename = "osData")]
    systems: Vec<TableRow>,
}

/// A row of the vendor's sample for regions.
#[derive(Serialize)]
struct TableRow {
    country: Option<String>,
    dimension: Option<String>,
    clicks: u64,
    unique_clicks: u64,
    percentage: f64,
}

fn rows_of(view: &AnalyticsView) -> Vec<TableRow> {
    let total = view.rows.total.clicks;
    view.rows.rows.iter().map(|row| TableRow::of(row, view.by.first(), total)).collect()
}

impl TableRow {
    fn of(row: &AnswerRow, facet: Option<&Facet>, total: u64) -> TableRow {
        let text = match row.keys.first() {
            None | Some(FacetKey::None) => None,
            Some(FacetKey::Text(text)) => Some(text.to_string()),
            Some(other) => Some(other.to_string()),
        };
        // A place has the country, then the region, then the city.
        let part = |text: &String, last: bool| {
            let mut parts = text.split('\t');
            if last { parts.next_back() } else { parts.next() }.map(str::to_owned)
        };
        let is_place = matches!(facet, Some(Facet::Country | Facet::Region | Facet::City));
        TableRow {
            country: text.as_ref().filter(|_| is_place).and_then(|text| part(text, false)),
            dimension: text.as_ref().and_then(|text| part(text, true)),
            clicks: row.totals.clicks,
            unique_clicks: row.totals.visitors,
            percentage: percentage(row.totals.clicks, total),
        }
    }
}

/// Returns the share of all clicks, rounded to two digits behind the point.
fn percentage(clicks: u64, total: u64) -> f64 {
    // In integers up to the end: 10,000 is 100 %, and half of the total rounds. A row has no more clicks than the total.
    let total = u128::from(total.max(1));
    let share = (u128::from(clicks) * 10_000 + total / 2) / total;
    f64::from(u32::try_from(share).unwrap_or(10_000)) / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_two_digits() {
        let rows = [
            (0, 0, 0.0),
            (1, 3, 33.33),
            (2, 3, 66.67),
            (3, 3, 100.0),
            (8, 11, 72.73),
            (3, 11, 27.27),
            (1, 20_000, 0.01),
            (u64::MAX, u64::MAX, 100.0),
        ];
        for (clicks, total, want) in rows {
            assert!((percentage(clicks, total) - want).abs() < f64::EPSILON, "{clicks} of {total}");
        }
    }

    #[test]
    fn questions() {
        let ask = |id: &str, query: &str| {
            let request = RequestParts { id, query: Query::parse(Some(query)), body: b"" };
            let scoped = if id.contains('/') { of_link(&request) } else { of_workspace(&request) };
            scoped.map(|scoped| match scoped.command {
                Command::AnalyticsTables(query) => {
                    (query.about, query.period, query.granularity, query.limit, query.by.len())
                }
                other => panic!("{other:?}"),
            })
        };
        let id = "000000000000000000AB".parse().expect("an id");
        let found = ask("link_000000000000000000AB/devices", "limit=5").expect("a question");
        assert_eq!(found, (About::Link(id), Period::Days(30), None, 5, 3));
        let found = ask("timeseries", "days=7&granularity=month&limit=5").expect("a question");
        let limit = ANALYTICS_ROWS_MAX;
        assert_eq!(found, (About::Workspace, Period::Days(7), Some(Granularity::Month), limit, 1));
        assert_eq!(ask("clicks", ""), Err(BadRequest::NotFound("endpoint")));
        assert_eq!(ask("x/summary", ""), Err(BadRequest::CodeForId("GET /api/links/CODE")));
        let rule = |field, why| Err(BadRequest::Rule(Invalid::new(field, why)));
        assert_eq!(ask("overview", "end=2026-01-01"), rule("start", "is required with `end`"));
        let upside_down = "start=2026-01-02&end=2026-01-01";
        assert_eq!(ask("overview", upside_down), rule("end", "must be after `start`"));
        let mistyped = Invalid::new("granularity", "must be hour, day or month");
        assert_eq!(ask("overview", "granularity=week"), Err(BadRequest::Mistyped(mistyped)));
    }
}
