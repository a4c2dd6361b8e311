//! Questions about clicks in the native dialect: `GET /analytics`.

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::filters::{breaks, filled, filters};
use crate::clock::Timestamp;
use crate::formats::waypost::spelling::likely;
use crate::http::api::dialect::{
    ANALYTICS_ROWS_MAX, About, AnalyticsFormat, AnalyticsQuery, AnalyticsView, AnswerRow, BadRequest,
    ClickTotals, Command, Facet, FacetKey, Granularity, Period, RequestParts, ScopedCommand, Span, UtmName,
    VariantShare, Visits, instant_in, link_of_row, only_known, read, zone_in,
};
use crate::http::api::query::Query;
use crate::json::{AsText, looks_like_a_field};
use crate::model::Invalid;
use crate::model::id::ForeignId;

/// Rows of an answer without `limit`. Rows by time alone are all of their period.
const LIMIT_DEFAULT: u64 = 100;

/// Rows of a whole week.
const HOURS_OF_WEEK: u64 = 7 * 24;

/// The values of `interval`.
const INTERVALS: [(&str, Period); 9] = [
    ("24h", Period::Hours(24)),
    ("today", Period::Days(1)),
    ("7d", Period::Days(7)),
    ("30d", Period::Days(30)),
    ("90d", Period::Days(90)),
    ("365d", Period::Days(365)),
    ("month", Period::Months(1)),
    ("12mo", Period::Months(12)),
    ("all", Period::All),
];

/// The values of `granularity`.
const GRANULARITIES: [(&str, Granularity); 5] = [
    ("15m", Granularity::Quarter),
    ("hour", Granularity::Hour),
    ("day", Granularity::Day),
    ("week", Granularity::Week),
    ("month", Granularity::Month),
];

/// The values of `visits`.
const VISITS: [(&str, Visits); 4] = [
    ("clicks", Visits::Counted),
    ("bots", Visits::Bots),
    ("prefetches", Visits::Prefetches),
    ("misses", Visits::Misses),
];

/// Parses `GET /analytics`.
pub(super) fn parse(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let formats = [("json", AnalyticsFormat::Json), ("csv", AnalyticsFormat::Csv)];
    let format = one_of(&request.query, "format", &formats)?.unwrap_or(AnalyticsFormat::Json);
    let scoped = question(request, facets(&request.query)?, with_mark(&request.query, format)?)?;
    only_known(&request.query)?;
    Ok(scoped)
}

/// Returns the format with the byte order mark that `bom` asks for.
fn with_mark(query: &Query<'_>, format: AnalyticsFormat) -> Result<AnalyticsFormat, BadRequest> {
    match (query.flag("bom")?, format) {
        (Some(true), AnalyticsFormat::Csv) => Ok(AnalyticsFormat::CsvWithMark),
        (Some(true), _) => Err(breaks("bom", "needs `format=csv`")),
        (_, format) => Ok(format),
    }
}

/// The vendor's paths below `/analytics`, each with its grouping.
const NAMES: [(&str, &[Facet]); 7] = [
    ("summary", &[]),
    ("timeseries", &[Facet::Time]),
    ("geo", &[Facet::Country]),
    ("devices", &[Facet::Device]),
    ("referrers", &[Facet::Referrer]),
    ("utm", &[Facet::Utm(UtmName::Campaign)]),
    (EXPORT, &[Facet::Time, Facet::Link]),
];

/// The path whose answer is a table, and whose grouping may be another one.
const EXPORT: &str = "export";

/// Parses `GET /analytics/{what}`.
pub(super) fn parse_by_name(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let found = NAMES.iter().find(|(name, _)| *name == request.id);
    let (name, by) = found.ok_or(BadRequest::NotFound("endpoint"))?;
    if *name != EXPORT {
        return question(request, by.to_vec(), AnalyticsFormat::Json);
    }
    let asked = Some(facets(&request.query)?).filter(|by| !by.is_empty());
    question(request, asked.unwrap_or_else(|| by.to_vec()), with_mark(&request.query, AnalyticsFormat::Csv)?)
}

fn question(
    request: &RequestParts<'_>,
    by: Vec<Facet>,
    format: AnalyticsFormat,
) -> Result<ScopedCommand, BadRequest> {
    let query = &request.query;
    // A chart needs all rows of its time; a table begins with the first ones.
    let limit_default = match by[..] {
        [Facet::Time] => ANALYTICS_ROWS_MAX as u64,
        // A table has no place that says what is missing.
        _ if format != AnalyticsFormat::Json => ANALYTICS_ROWS_MAX as u64,
        [Facet::HourOfWeek] => HOURS_OF_WEEK,
        _ => LIMIT_DEFAULT,
    };
    let number = |name, least, most, default| query.number(name, least, most).map(|n| n.unwrap_or(default));
    let limit = number("limit", 1, ANALYTICS_ROWS_MAX as u64, limit_default)?;
    let offset = number("offset", 0, 1_000_000, 0)?;
    // Before the period, since a date is an instant only within a zone.
    let zone = zone_in(query, "timezone")?;
    let (filters, named) = filters(query)?;
    let asked = AnalyticsQuery {
        about: about(query)?,
        period: period(query, &zone)?,
        zone,
        granularity: one_of(query, "granularity", &GRANULARITIES)?,
        visits: one_of(query, "visits", &VISITS)?.unwrap_or_default(),
        filters,
        named,
        by,
        limit: usize::try_from(limit).unwrap_or(ANALYTICS_ROWS_MAX),
        offset: usize::try_from(offset).unwrap_or(usize::MAX),
        compares: one_of(query, "compare", &[("previous", true)])?.unwrap_or_default(),
    };
    check_visits(&asked)?;
    read(request, Command::Analytics(Box::new(asked), format))
}

/// Fails if the question is about what such visits do not have. Its answer would be empty, and look like one without visits.
fn check_visits(asked: &AnalyticsQuery) -> Result<(), BadRequest> {
    let filters = |facet| asked.filters.iter().any(|filter| filter.facet == facet);
    let is_of_misses = asked.visits == Visits::Misses;
    if is_of_misses && asked.about != About::Workspace {
        return Err(breaks(
            "visits",
            "must not be `misses` with linkId, tagId or campaignId: a miss found no link",
        ));
    }
    if is_of_misses && asked.by.contains(&Facet::Link) {
        return Err(breaks("groupBy", "must not be `link` with `visits=misses`: a miss found no link"));
    }
    if !is_of_misses && (asked.by.contains(&Facet::Path) || filters(Facet::Path)) {
        return Err(breaks("path", "needs `visits=misses`: only a visit without a link has a path"));
    }
    Ok(())
}

fn mistyped(name: &'static str, rule: impl Into<String>) -> BadRequest {
    BadRequest::Mistyped(Invalid::new(name, rule.into()))
}

/// Returns the value of a parameter that has one of some names.
fn one_of<T: Clone>(
    query: &Query<'_>,
    name: &'static str,
    values: &[(&str, T)],
) -> Result<Option<T>, BadRequest> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    let found = values.iter().find(|(known, _)| *known == text).map(|(_, value)| value.clone());
    let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    // An error and no default: a misspelt value would change the answer without notice.
    found.map(Some).ok_or_else(|| mistyped(name, format!("must be {}", listed(&names))))
}

/// Returns `a, b or c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Returns what the rows are about.
fn facets(query: &Query<'_>) -> Result<Vec<Facet>, BadRequest> {
    let Some(text) = query.text("groupBy")? else { return Ok(Vec::new()) };
    // `total` is the answer without groups, so it adds none.
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| *name != "total").collect();
    let facet = |name: &&str| Facet::of_name(name).ok_or_else(|| unknown_facet(name));
    let facets: Vec<_> = names.iter().map(facet).collect::<Result<_, _>>()?;
    match facets[..] {
        [_, _, _, ..] => Err(breaks("groupBy", "must be at most two properties")),
        [first, second] if first == second => Err(breaks("groupBy", "must be two different properties")),
        _ => Ok(facets),
    }
}

/// Words of users and of other programs for properties, in lower case.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("hour", &["time"]),
    ("day", &["time"]),
    ("date", &["time"]),
    ("week", &["time"]),
    ("month", &["time"]),
    ("weekday", &["hourOfWeek"]),
    ("dayofweek", &["hourOfWeek"]),
    ("linkid", &["link"]),
    ("code", &["link"]),
    ("shorturl", &["link"]),
    ("tagid", &["tag"]),
    ("campaignid", &["campaign"]),
    ("countrycode", &["country"]),
    ("platform", &["os"]),
    ("system", &["os"]),
    ("bot", &["agent"]),
    ("useragent", &["agent"]),
    ("referer", &["referrer"]),
    ("source", &["utmSource"]),
    ("medium", &["utmMedium"]),
    ("qr", &["trigger"]),
];

/// Returns the error of a name that no property has, with the one that it likely means.
fn unknown_facet(name: &str) -> BadRequest {
    let known: Vec<_> = std::iter::once("total").chain(Facet::all().map(Facet::name)).collect();
    // Any other text may be a secret at the wrong place.
    let meant = Some(name).filter(|name| looks_like_a_field(name)).and_then(|name| {
        let meant = likely(name, &[&known], SYNONYMS)?;
        Some(format!("{name} is no property, did you mean {meant}? It "))
    });
    let hint = meant.unwrap_or_default();
    breaks("groupBy", format!("{hint}must be one or two different names of {}", listed(&known)))
}

fn about(query: &Query<'_>) -> Result<About, BadRequest> {
    for name in ["linkId", "tagId", "campaignId"] {
        filled(query, name, "an id")?;
    }
    let link = query.text("linkId")?;
    let tag = query.text("tagId")?;
    let campaign = query.text("campaignId")?;
    // An id that no object can have is an object that does not exist.
    let id = |text: &str, what| text.parse().map_err(|_| BadRequest::NotFound(what));
    match (link, tag, campaign) {
        (None, None, None) => Ok(About::Workspace),
        (Some(link), None, None) => {
            let by_code = |_| BadRequest::CodeForId("/api/v1/analytics?link=CODE");
            Ok(About::Link(link.parse().map_err(by_code)?))
        }
        (None, Some(tag), None) => Ok(About::Tag(id(tag, "tag")?)),
        (None, None, Some(campaign)) => {
            let id =
                ForeignId::parse("campaignId", campaign).map_err(|_| BadRequest::NotFound("campaign"))?;
            Ok(About::Campaign(id.into()))
        }
        // Two of them could mean the links of both or of either.
        _ => Err(breaks("linkId", "must be the only one of linkId, tagId and campaignId")),
    }
}

/// Returns the time of a question: `interval`, or `from` and `to`.
fn period(query: &Query<'_>, zone: &TimeZone) -> Result<Period, BadRequest> {
    let interval = one_of(query, "interval", &INTERVALS)?;
    let (from, to) = (instant_in(query, "from", zone)?, instant_in(query, "to", zone)?);
    match (interval, from, to) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            Err(breaks("interval", "must be given without `from` and `to`"))
        }
        (Some(interval), None, None) => Ok(interval),
        // Here and not at the span, so that the error names the parameter.
        (None, Some(from), Some(to)) if to <= from => Err(breaks("to", "must be after `from`")),
        (None, Some(from), to) => Ok(Period::Between(from, to)),
        (None, None, Some(_)) => Err(breaks("from", "is required with `to`")),
        (None, None, None) => Ok(Period::Days(30)),
    }
}

/// The answer as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnalyticsJson<'a> {
    analytics: Vec<RowJson<'a>>,
    total: TotalsJson,
    other: TotalsJson,
    /// The number of rows without limit and offset.
    rows: usize,
    unattributed: Option<u64>,
    /// Whether details of new clicks are kept.
    statistics: bool,
    previous: Option<EarlierJson>,
    from: String,
    to: String,
    timezone: &'a str,
    granularity: &'static str,
    as_of: AsText<Timestamp>,
    /// The reasons are in `warnings`.
    is_estimate: bool,
}

#[derive(Clone, Copy, Serialize)]
struct TotalsJson {
    clicks: u64,
    visitors: u64,
}

/// The share of a variant of the clicks of its rule, and its 95 % interval.
#[derive(Clone, Copy, Serialize)]
struct ShareOfClicksJson {
    value: f64,
    low: f64,
    high: f64,
}

impl From<VariantShare> for ShareOfClicksJson {
    fn from(VariantShare { share, low, high }: VariantShare) -> ShareOfClicksJson {
        // Four digits: more would look like more than is known.
        let short = |number: f64| (number * 10_000.0).round() / 10_000.0;
        ShareOfClicksJson { value: short(share), low: short(low), high: short(high) }
    }
}

/// The total of the time before, and this time.
#[derive(Serialize)]
struct EarlierJson {
    clicks: u64,
    visitors: u64,
    from: String,
    to: String,
}

impl EarlierJson {
    fn of(view: &AnalyticsView) -> Option<EarlierJson> {
        let (Span { from, to }, ClickTotals { clicks, visitors }) = view.previous.zip(view.rows.previous)?;
        Some(EarlierJson { clicks, visitors, from: shown(view, from), to: shown(view, to) })
    }
}

impl From<ClickTotals> for TotalsJson {
    fn from(totals: ClickTotals) -> TotalsJson {
        TotalsJson { clicks: totals.clicks, visitors: totals.visitors }
    }
}

/// A row: a member for each key, then the counts.
struct RowJson<'a> {
    view: &'a AnalyticsView,
    row: &'a AnswerRow,
}

impl<'a> AnalyticsJson<'a> {
    pub(super) fn of(view: &'a AnalyticsView) -> AnalyticsJson<'a> {
        AnalyticsJson {
            analytics: view.rows.rows.iter().map(|row| RowJson { view, row }).collect(),
            total: view.rows.total.into(),
            other: view.rows.other.into(),
            rows: view.rows.count,
            unattributed: view.unattributed,
            statistics: view.has_statistics,
            previous: EarlierJson::of(view),
            from: shown(view, view.span.from),
            to: shown(view, view.span.to),
            // Zones without a name were rejected by `zone`.
            timezone: view.zone.iana_name().unwrap_or("UTC"),
            granularity: name_of(view.granularity),
            as_of: AsText(view.as_of),
            is_estimate: !view.warnings.is_empty(),
        }
    }
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RowJson { view, row } = self;
        // A map and no struct, since the question chooses the members.
        let mut map = serializer.serialize_map(None)?;
        for (facet, key) in view.by.iter().zip(&row.keys) {
            match key {
                _ if facet.is_of_link() && *facet != Facet::Link => {
                    for (name, text) in named_columns(view, *facet, key) {
                        map.serialize_entry(name, &text)?;
                    }
                }
                _ if has_name(*facet) => {
                    map.serialize_entry(facet.name(), &number_of(key))?;
                    map.serialize_entry(name_column(*facet), &name_of_key(view, *facet, key))?;
                }
                FacetKey::Number(number) => map.serialize_entry(facet.name(), number)?,
                FacetKey::HourOfWeek(hour) => map.serialize_entry(facet.name(), hour)?,
                FacetKey::Link(link) => {
                    let id = link_of_row(link);
                    map.serialize_entry("linkId", &id.map(|id| id.to_string()))?;
                    map.serialize_entry("shortUrl", &id.and_then(|id| view.links.get(&id)))?;
                }
                _ => map.serialize_entry(facet.name(), &text_of(view, key))?,
            }
        }
        map.serialize_entry("clicks", &row.totals.clicks)?;
        map.serialize_entry("visitors", &row.totals.visitors)?;
        if let Some(previous) = row.previous {
            map.serialize_entry("previous", &TotalsJson::from(previous))?;
        }
        if let Some(share) = row.keys.first().and_then(|key| view.shares.get(key)) {
            map.serialize_entry("share", &ShareOfClicksJson::from(*share))?;
        }
        map.end()
    }
}

/// Returns the members of a tag, a campaign or a domain: its id and its name. A deleted one has no name.
pub(super) fn named_columns(
    view: &AnalyticsView,
    facet: Facet,
    key: &FacetKey,
) -> Vec<(&'static str, Option<String>)> {
    let name = view.names.get(&(facet.name(), key.clone())).map(ToString::to_string);
    let id = || Some(key.to_string()).filter(|id| !id.is_empty());
    match facet {
        Facet::Tag => vec![("tagId", id()), ("tag", name)],
        Facet::Campaign => vec![("campaignId", id()), ("campaign", name)],
        // Its number is of this server only.
        _ => vec![(facet.name(), name)],
    }
}

/// Returns whether rows have the name of a key beside its number: the numbers of rules and variants are of one link.
pub(super) fn has_name(facet: Facet) -> bool {
    matches!(facet, Facet::Rule | Facet::Variant)
}

/// Returns the name of the column of names.
fn name_column(facet: Facet) -> &'static str {
    if facet == Facet::Rule { "ruleName" } else { "variantName" }
}

fn number_of(key: &FacetKey) -> Option<u32> {
    match key {
        FacetKey::Number(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn name_of_key<'a>(view: &'a AnalyticsView, facet: Facet, key: &FacetKey) -> Option<&'a str> {
    view.names.get(&(facet.name(), key.clone())).map(|name| &**name)
}

/// Returns the text of a key, `None` for no value.
pub(super) fn text_of(view: &AnalyticsView, key: &FacetKey) -> Option<String> {
    match key {
        FacetKey::None => None,
        FacetKey::Time(millis) => Some(shown(view, *millis)),
        FacetKey::Text(text) => Some(text.to_string()),
        FacetKey::Other
        | FacetKey::Tags(_)
        | FacetKey::Number(_)
        | FacetKey::HourOfWeek(_)
        | FacetKey::Link(_) => Some(key.to_string()),
    }
}

/// Returns an instant with the offset of the question's zone.
fn shown(view: &AnalyticsView, millis: i64) -> String {
    shown_as(view, millis, "%Y-%m-%dT%H:%M:%S%:z")
}

/// Returns an instant in the question's zone, in a format of `strftime`.
pub(super) fn shown_as(view: &AnalyticsView, millis: i64, format: &str) -> String {
    // Cannot fail: spans are within the years 1970 to 9998.
    let Ok(instant) = Instant::from_millisecond(millis) else { return String::new() };
    let zoned = instant.to_zoned(view.zone.clone());
    zoned.strftime(format).to_string()
}

fn name_of(granularity: Granularity) -> &'static str {
    GRANULARITIES.iter().find(|(_, known)| *known == granularity).map_or("day", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    #[test]
    fn unknown_parameters_of_statistics_are_refused() {
        let rows = [
            ("interval=7d&link=a&workspaceId=w&format=csv", None),
            ("code=a", Some("code: is no parameter of this request; did you mean link?")),
            (
                "shortCode=a&groupBy=referrer",
                Some("shortCode: is no parameter of this request; did you mean link?"),
            ),
            ("tagid=x", Some("tagid: is no parameter of this request; did you mean tagId?")),
            ("groupby=link", Some("groupby: is no parameter of this request; did you mean groupBy?")),
            ("days=7", Some("days: is no parameter of this request; did you mean interval?")),
            ("zzz=7", Some("zzz: is no parameter of this request")),
            ("wp_0123=1", Some("query: has a name that is no parameter of this request")),
        ];
        for (query, want) in rows {
            let request = RequestParts { id: "", query: Query::parse(Some(query)), body: b"" };
            let refused = parse(&request).err();
            let text = refused.map(|error| match error {
                BadRequest::Rule(rule) => rule.to_string(),
                other => panic!("{query}: {other:?}"),
            });
            assert_eq!(text.as_deref(), want, "{query}");
        }
    }
}
