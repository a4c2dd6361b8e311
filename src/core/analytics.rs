//! Questions of clients about clicks: which links a client may ask about, and what the answer shows of them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::choices::{self, VariantShares};
use super::context::Context;
use super::error::Error;
use super::handle::Links;
use super::link_facets::{FacetNames, NamedFilter, by_single_tags};
use super::period::{DAY, Period, fitting};
use super::shared::Shared;
use super::tenants::directory::Versioned;
use super::tenants::viewer::Viewer;
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;
use crate::analytics::query::answer::{ClickAnswer, Rows};
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::error::QueryError;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::first::first_slot;
use crate::analytics::query::part_sums::QuestionKey;
use crate::analytics::query::question::{
    Breakdown, ClickQuestion, FacetFilter, LinkScope, SLOTS_MAX, Visits,
};
use crate::analytics::query::scan::{CellSource, sums_of_parts, with_open};
use crate::analytics::query::totals::ClickTotals;
use crate::analytics::referrer;
use crate::analytics::tick::{LinkRow, link_row, parse_link_row};
use crate::analytics::values::UtmValues;
use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::campaign::CampaignRef;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::tag::Tag;
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys;

/// Longest time of one question. Past it, the question fails with [`Error::Busy`].
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Most links of a tag or a campaign that a question reads.
const LINKS_MAX: usize = 200_000;

/// Most rows of an answer.
pub const ROWS_MAX: usize = 10_000;

/// A question of a client.
#[derive(Clone, Debug)]
pub struct AnalyticsQuery {
    /// The links.
    pub about: About,
    /// The time.
    pub period: Period,
    /// The zone of days, and the name by which the client gave it.
    pub zone: TimeZone,
    /// The length of the rows by time. `None`: one that fits the period.
    pub granularity: Option<Granularity>,
    /// The kind of visits.
    pub visits: Visits,
    /// A visit is in the answer if it passes all filters.
    pub filters: Vec<FacetFilter>,
    /// Filters by names of the workspace.
    pub named: Vec<NamedFilter>,
    /// What the rows are about, at most two.
    pub by: Vec<Facet>,
    /// The most rows, up to [`ROWS_MAX`].
    pub limit: usize,
    /// The number of rows that are left out before the first one.
    pub offset: usize,
    /// Adds the counts of the period before.
    pub compares: bool,
}

/// The links of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is named after what has the links.
pub enum About {
    /// The acting workspace.
    Workspace,
    Link(Id),
    Tag(Id),
    Campaign(CampaignRef),
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct AnalyticsView {
    /// What the rows are about.
    pub by: Vec<Facet>,
    /// The rows.
    pub rows: Rows,
    /// The time of the rows.
    pub span: Span,
    /// The time before, if the question compares.
    pub previous: Option<Span>,
    /// The zone of days.
    pub zone: TimeZone,
    /// The length of the rows by time.
    pub granularity: Granularity,
    /// The clicks of a link that have no details: before details were kept, imported, or dropped. Only for all clicks of
    /// one link.
    pub unattributed: Option<u64>,
    /// Whether details of new clicks are kept: no option of the link or the workspace turns them off.
    pub has_statistics: bool,
    /// The time of the answer. Clicks of the last flush interval may be missing.
    pub as_of: Timestamp,
    /// The short URLs of the links in the rows.
    pub links: BTreeMap<Id, Box<str>>,
    /// The titles of those that have one.
    pub titles: BTreeMap<Id, Box<str>>,
    /// The names of the tags, campaigns and domains in the rows, and of the rules and variants of one link.
    pub names: FacetNames,
    /// The shares of the variants of a link.
    pub shares: VariantShares,
    /// Why some numbers are estimates. Empty if all are exact.
    pub warnings: Vec<String>,
    /// What the server lacks for this question.
    pub notes: Vec<String>,
}

/// The links of a question.
pub(super) struct AskedLinks {
    workspace: WorkspaceNumber,
    scope: LinkScope,
    /// Those by names.
    filters: Vec<FacetFilter>,
    /// A time before their first click.
    since: Timestamp,
    /// [`AnalyticsView::has_statistics`].
    has_statistics: bool,
}

impl Links {
    /// Answers a question about clicks of the acting workspace. Fails with [`Error::NotFound`] if the caller sees no such
    /// link, tag or campaign, with [`Error::Busy`] past [`DEADLINE`], and with [`Error::NotReady`] until the details of
    /// before the start are read.
    pub async fn analytics(&self, context: &Context, query: AnalyticsQuery) -> Result<AnalyticsView, Error> {
        let by = vec![query.by.clone()];
        let mut views = self.answer(context, query, by).await?;
        views.pop().ok_or(Error::NotFound("analytics"))
    }

    /// Like [`Links::analytics`], with a table for each property of the question, or the total without any.
    pub async fn analytics_tables(
        &self,
        context: &Context,
        query: AnalyticsQuery,
    ) -> Result<Vec<AnalyticsView>, Error> {
        let by = if query.by.is_empty() {
            vec![Vec::new()]
        } else {
            query.by.iter().map(|facet| vec![*facet]).collect()
        };
        self.answer(context, query, by).await
    }

    /// Returns a table for each of `tables`.
    async fn answer(
        &self,
        context: &Context,
        query: AnalyticsQuery,
        tables: Vec<Vec<Facet>>,
    ) -> Result<Vec<AnalyticsView>, Error> {
        self.shared.check_details()?;
        let asking = context.clone();
        self.computing(&context.tenant, move |shared, cancel| {
            // From here, so that the wait for other scans does not count.
            let end = Instant::now() + DEADLINE;
            // Before the view: a question about a foreign link must cost no copy of the cells.
            let asked = shared.asked_links(&asking, &query)?;
            let table = |by| Breakdown { by, limit: query.limit, offset: query.offset };
            let stops = || cancel.is_set() || Instant::now() > end;
            shared.answer(asking.now, asked, &query, tables.into_iter().map(table).collect(), &stops)
        })
        .await
    }
}

impl Shared {
    /// Fails if the operator keeps no details.
    pub(super) fn check_details(&self) -> Result<(), Error> {
        if self.analytics.is_some() {
            return Ok(());
        }
        let rule = "this server keeps totals only: `details = false` is set in [clicks], or the folder of details could not be used at the start (see the log of the server)";
        Err(Error::Rule(Invalid::new("analytics", rule)))
    }

    /// Returns the answer for each table, from one pass over the cells.
    pub(super) fn answer(
        &self,
        now: Timestamp,
        asked: AskedLinks,
        query: &AnalyticsQuery,
        tables: Vec<Breakdown>,
        stops: &dyn Fn() -> bool,
    ) -> Result<Vec<AnalyticsView>, Error> {
        let AskedLinks { workspace, scope, mut since, has_statistics, filters: named } = asked;
        if query.period == Period::All {
            since = self.first_of(&scope, since, stops)?;
        }
        let span = query.period.span(now, since, &query.zone);
        let span = span
            .ok_or_else(|| Invalid::new("from", "must be before `to` and now, in the years 1970 to 9998"))?;
        if span.slots().len() > SLOTS_MAX as usize {
            return Err(Error::Rule(Invalid::new("to", "must be at most 100 years after `from`")));
        }
        let granularity = query.granularity.unwrap_or_else(|| fitting(span));
        check_rows(query, span, granularity)?;
        let previous = query.compares.then(|| query.period.before(span, &query.zone));
        // Only then are the clicks of the cells and those of the total the same ones.
        let filters = [query.filters.clone(), named].concat();
        let is_whole = filters.is_empty() && query.period == Period::All && query.visits == Visits::Counted;
        let question = ClickQuestion {
            scope,
            span,
            zone: query.zone.clone(),
            granularity,
            visits: query.visits,
            filters,
            breakdowns: tables.iter().map(with_all_tags).collect(),
            previous,
        };
        let answered = self.computed(&question, stops)?;
        let warnings = self.estimates(now, &answered.has_other, span);
        let notes = self.lacking(query);
        let view = |(table, mut rows): (Breakdown, Rows)| {
            if let Some(at) = table.by.iter().position(|facet| *facet == Facet::Tag) {
                rows = by_single_tags(&rows, at, table.offset, table.limit);
            }
            if table.by.is_empty() {
                // Nothing is left out of an answer without rows.
                rows.other = ClickTotals::default();
            }
            let unattributed = match query.about {
                About::Link(id) if is_whole => Some(self.total_of(id)?.saturating_sub(rows.total.clicks)),
                _ => None,
            };
            let mut names = self.facet_names(workspace, &table.by, &rows)?;
            let mut shares = VariantShares::new();
            if let Some(link) = self.chosen_link(&question.scope, &table.by)? {
                choices::add_names(&mut names, &link);
                shares = choices::shares(&link, &table.by, &rows);
            }
            let (links, titles) = self.shown_links(&rows)?;
            Ok(AnalyticsView {
                names,
                shares,
                by: table.by,
                links,
                titles,
                warnings: warnings.clone(),
                notes: notes.clone(),
                rows,
                span,
                previous,
                zone: query.zone.clone(),
                granularity,
                unattributed,
                has_statistics,
                as_of: now,
            })
        };
        tables.into_iter().zip(answered.breakdowns).map(view).collect()
    }

    /// Returns what the server lacks for a question about countries or places: without a source of them, an answer looks
    /// like visits from nowhere.
    fn lacking(&self, query: &AnalyticsQuery) -> Vec<String> {
        let Some(details) = &self.analytics else { return Vec::new() };
        let countries = details.countries.load();
        let has_places = countries.as_ref().is_some_and(|countries| countries.source().has_places);
        let has_countries = countries.is_some() || details.capture.settings().country_header.is_some();
        let mut asked = query.by.iter().copied().chain(query.filters.iter().map(|filter| filter.facet));
        let lacks = asked.find_map(|facet| match facet {
            Facet::Country | Facet::Continent if !has_countries => Some(format!(
                "{}: this server has no file or header of countries, so new clicks have none",
                facet.name()
            )),
            Facet::Region | Facet::City if !has_places => Some(format!(
                "{}: this server keeps no places, so new clicks have none (`clicks.places`)",
                facet.name()
            )),
            _ => None,
        });
        lacks.into_iter().collect()
    }

    /// Returns why numbers of an answer are estimates.
    fn estimates(&self, now: Timestamp, has_other: &[Facet], span: Span) -> Vec<String> {
        let too_low = |facet: &Facet| {
            let name = facet.name();
            format!("{name}: rare values were not kept and are in `other`, so other rows can be too low")
        };
        let mut warnings: Vec<_> = has_other.iter().map(too_low).collect();
        let today = now.as_millis().div_euclid(DAY) * DAY;
        // What earlier days had is not known any more.
        let has_too_many = || self.analytics.as_ref().is_some_and(|details| details.visitors_are_estimates());
        if span.to > today && has_too_many() {
            warnings.push(
                "visitors: more came today than clicks.visitor_memory is for, so their number is too low"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Returns the first click of some links, or `since` if none is before the day of `since`: a clock that was wrong, and is
    /// right again, may have stored clicks before the creation of their link.
    fn first_of(
        &self,
        scope: &LinkScope,
        since: Timestamp,
        stops: &dyn Fn() -> bool,
    ) -> Result<Timestamp, Error> {
        // From the start of its day, as in the span: cells that have become coarser begin there.
        let before = TimeSlot::of_millis(since.as_millis().div_euclid(DAY) * DAY);
        let first = self.of_cells(stops, |source| first_slot(source, scope, before))?;
        Ok(first.map_or(since, |slot| Timestamp::from_millis(slot.start_millis())))
    }

    /// Reads the cells of a question.
    fn computed(&self, question: &ClickQuestion, stops: &dyn Fn() -> bool) -> Result<ClickAnswer, Error> {
        let details = self.analytics.as_ref().ok_or(Error::NotFound("analytics"))?;
        // Before the records of links are read: a change in between then leaves sums of a number that is not asked for again.
        let links = self.link_changes.load(Ordering::Acquire);
        self.of_cells(stops, |source| {
            let key = QuestionKey::of(question, source.parts, links);
            let of_parts = details.sums.get_or_compute(key, stops, || sums_of_parts(source, question))?;
            with_open(source, question, of_parts)
        })
    }

    /// Runs `read` on the cells of this moment. Sets a damaged file aside.
    fn of_cells<T>(
        &self,
        stops: &dyn Fn() -> bool,
        read: impl FnOnce(&CellSource<'_>) -> Result<T, QueryError>,
    ) -> Result<T, Error> {
        let store = &self.analytics.as_ref().ok_or(Error::NotFound("analytics"))?.store;
        if !store.has_caught_up() {
            // Numbers that are too low look like lost clicks.
            return Err(Error::NotReady("click details of before the start are being read".to_owned()));
        }
        let view = store.view();
        let source = CellSource {
            parts: &view.parts,
            open: &view.open,
            campaign_of: &|row| self.campaign_of(row),
            facts_of: &|row| self.facts_of(row),
            is_cancelled: stops,
        };
        read(&source).map_err(|error| match error {
            QueryError::Part(at, error) => {
                // A disk may read at the next try, and a later version can read its parts: both stay in place.
                if let (Some(part), PartError::Damaged(_)) = (view.parts.get(at), &error) {
                    store.set_aside(part, &error);
                }
                Error::NotReady(format!("a file of click details cannot be read: {error}"))
            }
            QueryError::TooSlow => Error::Busy,
            other => Error::Rule(Invalid::new("analytics", other.to_string())),
        })
    }

    /// Returns the links of a question. Fails if the caller sees no such object, or if a name of a filter is unknown.
    fn asked_links(&self, context: &Context, query: &AnalyticsQuery) -> Result<AskedLinks, Error> {
        let workspace = match &query.about {
            // Before the link is read, since a link of another tenant must look like a missing one.
            About::Link(id) => self.workspace_in_sight(&Viewer::of(context), *id)?,
            About::Workspace | About::Tag(_) | About::Campaign(_) => context.workspace.number,
        };
        let mut asked = self.links_within(workspace, &query.about)?;
        // Names of rules and variants last: they are those of the link that another filter may name.
        let is_of_link = |named: &&NamedFilter| !matches!(named.facet, Facet::Rule | Facet::Variant);
        for named in query.named.iter().filter(is_of_link) {
            let filter = self.named_filter(context, named)?;
            asked.has_statistics &= self.link_has_statistics(&filter)?;
            match links_of(&filter).filter(|_| matches!(asked.scope, LinkScope::Workspaces(_))) {
                // Reads these links, and not those of the whole workspace.
                Some(links) => asked.scope = LinkScope::Links(links),
                None => asked.filters.push(filter),
            }
        }
        for named in query.named.iter().filter(|named| !is_of_link(named)) {
            // Behind the others, which may have narrowed the question to one link.
            asked.filters.push(self.choice_filter(&asked.scope, named)?);
        }
        Ok(asked)
    }

    /// Returns the links of a question about a workspace. Fails if the workspace has no such object.
    pub(super) fn links_within(
        &self,
        workspace: WorkspaceNumber,
        about: &About,
    ) -> Result<AskedLinks, Error> {
        let (has_statistics, filters) = (self.has_statistics(workspace), Vec::new());
        let created_at = |versioned: &Versioned<Workspace>| versioned.record.created_at;
        // Not the first click of the server, which is no business of a tenant.
        let since = self.directory.load().workspace(workspace).map(created_at);
        let since = since.ok_or(Error::NotFound("workspace"))?;
        let listed = |field: &'static str, prefix: &[u8]| -> Result<AskedLinks, Error> {
            // One more than the limit, to notice that there are more.
            let keys = self.table.first_keys(prefix, LINKS_MAX + 1)?;
            if keys.len() > LINKS_MAX {
                let rule = format!("has more than {LINKS_MAX} links: ask about the workspace");
                return Err(Error::Rule(Invalid::new(field, rule)));
            }
            let ids = keys.iter().filter_map(|key| key.last_chunk::<16>());
            // In the order of the ids, which is that of the rows.
            let rows = ids.map(|id| link_row(workspace, Id::from_bits(u128::from_be_bytes(*id)))).collect();
            Ok(AskedLinks {
                workspace,
                scope: LinkScope::Links(rows),
                filters: Vec::new(),
                since,
                has_statistics,
            })
        };
        match about {
            About::Workspace => {
                let scope = LinkScope::Workspaces(vec![workspace.0]);
                Ok(AskedLinks { workspace, scope, filters, since, has_statistics })
            }
            About::Link(id) => {
                let link = self.table.link_by_id(workspace, *id)?.ok_or(Error::NotFound("link"))?;
                Ok(AskedLinks {
                    workspace,
                    filters,
                    scope: LinkScope::Links(vec![link_row(workspace, *id)]),
                    since: link.record.created_at.min(Timestamp::from_millis(id.millis())),
                    has_statistics: link.record.options.statistics && has_statistics,
                })
            }
            About::Tag(id) => {
                self.table.get::<Tag>(&keys::tag(workspace, *id))?.ok_or(Error::NotFound("tag"))?;
                listed("tagId", &keys::list_of_tag(workspace, *id))
            }
            About::Campaign(named) => {
                let campaign = self.campaign(workspace, named)?.ok_or(Error::NotFound("campaign"))?;
                listed("campaignId", &keys::list_of_campaign(workspace, &campaign.record.id))
            }
        }
    }

    /// Returns false if a filter passes one link only, whose option turns its statistics off.
    fn link_has_statistics(&self, filter: &FacetFilter) -> Result<bool, Error> {
        let links = links_of(filter).unwrap_or_default();
        let [row] = links[..] else { return Ok(true) };
        let Some((workspace, id)) = parse_link_row(&row) else { return Ok(true) };
        Ok(self.table.link_by_id(workspace, id)?.is_none_or(|link| link.record.options.statistics))
    }

    /// Returns all clicks of a link, or 0 if it does not exist any more.
    fn total_of(&self, id: Id) -> Result<u64, Error> {
        let Some(owner) = self.table.owner_of(id)? else { return Ok(0) };
        let link = self.table.link_by_id(owner, id)?;
        link.map_or(Ok(0), |link| self.clicks_of(&link.record))
    }

    /// Returns the UTM parameters of a link's destination.
    fn campaign_of(&self, row: &LinkRow) -> Option<UtmValues> {
        let (workspace, id) = parse_link_row(row)?;
        // A table that fails costs the parameters of a row, and not the whole answer.
        let options = self.table.link_by_id(workspace, id).ok()??.record.options;
        // Those of the options win, as in the redirect.
        let own = options.utm.pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(own).finish();
        let query = options.destination.as_str().split_once('?').map_or("", |(_, rest)| rest);
        // A fragment is not sent to the site, so it has no parameters.
        let query = query.split('#').next().unwrap_or_default();
        Some(referrer::campaign(format!("{parameters}&{query}").as_bytes()))
    }

    pub(super) fn short_url_of(&self, link: &Link) -> Box<str> {
        // The domain may be deleted after its link was read; the link then has no URL.
        let directory = self.directory.load();
        let domain = directory.domain(link.domain);
        domain.map(|domain| self.site.short_url(domain, link.shown_code())).unwrap_or_default().into()
    }

    /// Returns the short URLs and the titles of the links in rows.
    fn shown_links(&self, rows: &Rows) -> Result<(LinkTexts, LinkTexts), Error> {
        let keys = rows.rows.iter().flat_map(|row| &row.keys);
        let (mut urls, mut titles) = (LinkTexts::new(), LinkTexts::new());
        for row in keys.filter_map(|key| if let FacetKey::Link(row) = key { Some(row) } else { None }) {
            // A deleted link keeps its clicks and has no URL.
            let Some((workspace, id)) = parse_link_row(row) else { continue };
            if let Some(link) = self.table.link_by_id(workspace, id)? {
                urls.insert(id, self.short_url_of(&link.record));
                titles.extend(link.record.options.title.map(|title| (id, title)));
            }
        }
        Ok((urls, titles))
    }
}

/// A text of each link.
type LinkTexts = BTreeMap<Id, Box<str>>;

/// Returns a table with all rows if it is by tags: those by single tags are made of them.
fn with_all_tags(table: &Breakdown) -> Breakdown {
    let is_by_tag = table.by.contains(&Facet::Tag);
    let (limit, offset) = if is_by_tag { (usize::MAX, 0) } else { (table.limit, table.offset) };
    Breakdown { by: table.by.clone(), limit, offset }
}

/// Returns the links of a filter that passes clicks of these links only.
fn links_of(filter: &FacetFilter) -> Option<Vec<LinkRow>> {
    let link = |key: &FacetKey| if let FacetKey::Link(row) = key { Some(*row) } else { None };
    let mut links: Vec<_> = filter.keys.iter().map(link).collect::<Option<_>>()?;
    links.sort_unstable();
    links.dedup();
    (!filter.excludes && !links.is_empty()).then_some(links)
}

/// Fails if the rows by time would be too many.
fn check_rows(query: &AnalyticsQuery, span: Span, granularity: Granularity) -> Result<(), Error> {
    let length = match granularity {
        Granularity::Quarter => 900_000,
        Granularity::Hour => 3_600_000,
        Granularity::Day => DAY,
        Granularity::Week => 7 * DAY,
        // The shortest month, so that the estimate is not below the number of rows.
        Granularity::Month => 28 * DAY,
    };
    // Rows by time include empty ones, so a short question could have millions of rows.
    let is_by_time = query.by.contains(&Facet::Time);
    if is_by_time && usize::try_from((span.to - span.from) / length).unwrap_or(usize::MAX) > ROWS_MAX {
        let rule = format!("is too fine for this time: it would have more than {ROWS_MAX} rows");
        return Err(Error::Rule(Invalid::new("granularity", rule)));
    }
    Ok(())
}

/// Returns the id of the link of a row's key.
pub fn link_of(row: &LinkRow) -> Option<Id> {
    parse_link_row(row).map(|(_, id)| id)
}
