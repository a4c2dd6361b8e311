//! What questions about clicks know of links beyond their ids: tags, campaigns, domains and codes, as filters and as rows.
//!
//! They are those that links have now: a tag that was added today has the clicks of last year.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::context::Context;
use super::error::Error;
use super::shared::Shared;
use super::tenants::viewer::Viewer;
use crate::analytics::query::answer::{AnswerRow, Rows};
use crate::analytics::query::facet::{Facet, FacetKey, LinkFacts};
use crate::analytics::query::question::FacetFilter;
use crate::analytics::query::totals::ClickTotals;
use crate::analytics::tick::{LinkRow, link_row, parse_link_row};
use crate::core::pools::cpu_pool::Cancel;
use crate::model::Invalid;
use crate::model::campaign::Campaign;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::DomainChoice;
use crate::model::short_code::{ShortCode, canonical};
use crate::model::tag::Tag;
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys;

/// A filter by a facet of links, whose values are names or ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFilter {
    /// The facet.
    pub facet: Facet,
    /// The values, `None` for links without one.
    pub values: Vec<Option<Box<str>>>,
    /// Passes the clicks of all other links instead.
    pub excludes: bool,
}

/// The names of tags, campaigns and domains in the rows of an answer, by the name of their facet and their key.
pub type FacetNames = BTreeMap<(&'static str, FacetKey), Box<str>>;

impl Shared {
    /// Returns a filter with the keys of its values. Fails if the acting workspace has no tag, campaign or link of a value.
    pub(super) fn named_filter(&self, context: &Context, filter: &NamedFilter) -> Result<FacetFilter, Error> {
        let mut keys = Vec::with_capacity(filter.values.len());
        for value in &filter.values {
            match value {
                None => keys.push(FacetKey::None),
                Some(text) => keys.extend(self.keys_of_name(context, filter.facet, text)?),
            }
        }
        Ok(FacetFilter { facet: filter.facet, keys, excludes: filter.excludes })
    }

    /// Returns the keys of a name: one, or those of all campaigns of this name.
    fn keys_of_name(&self, context: &Context, facet: Facet, text: &str) -> Result<Vec<FacetKey>, Error> {
        let workspace = context.workspace.number;
        let (found, what) = match facet {
            Facet::Tag => return Ok(vec![FacetKey::Tags([self.tag_by_name(workspace, text)?].into())]),
            Facet::Campaign => {
                let ids = self.campaigns_by_name(workspace, text)?;
                return Ok(ids.iter().map(|id| FacetKey::text(id.as_str())).collect());
            }
            // A domain of another tenant is unknown, like a missing one.
            Facet::Domain => {
                let choice = DomainChoice::Name(text.into());
                let found = self.domain_within_reach(context, &choice, &Viewer::of(context));
                (found.ok().map(|domain| FacetKey::Number(domain.record.number.0)), "domain with this name")
            }
            _ => (self.link_key(context, text)?, "link with this id or code"),
        };
        found.map(|key| vec![key]).ok_or_else(|| unknown(facet.name(), text, what))
    }

    /// Returns the row of a link of the acting workspace: by its id, its code, or domain and code with a slash between.
    pub(in crate::core) fn link_named(&self, context: &Context, text: &str) -> Result<LinkRow, Error> {
        match self.keys_of_name(context, Facet::Link, text)?[..] {
            [FacetKey::Link(row)] => Ok(row),
            _ => Err(Error::NotFound("link")),
        }
    }

    /// Returns the tag of an id or a name. Fails if the workspace has none.
    pub(super) fn tag_by_name(&self, workspace: WorkspaceNumber, text: &str) -> Result<Id, Error> {
        // The id first: a name may look like one.
        let by_id = match text.parse::<Id>() {
            Ok(id) => self.table.get::<Tag>(&keys::tag(workspace, id))?.map(|_| id),
            Err(_) => None,
        };
        let found = match by_id {
            Some(id) => Some(id),
            None => self.tag_named(workspace, text)?,
        };
        found.ok_or_else(|| unknown("tag", text, "tag with this id or name"))
    }

    /// Returns the campaign of an id, or all campaigns of a name, which need not be unique. Fails if the workspace has none.
    pub(super) fn campaigns_by_name(
        &self,
        workspace: WorkspaceNumber,
        text: &str,
    ) -> Result<Vec<ForeignId>, Error> {
        if let Ok(id) = ForeignId::parse("campaign", text)
            && let Some(found) = self.campaign(workspace, &id.into())?
        {
            return Ok(vec![found.record.id]);
        }
        // Names have no index, and a workspace has at most 10,000 campaigns.
        let all = self.read_all::<Campaign>(&keys::campaigns_of(workspace), &Cancel::default())?;
        let named = all.into_iter().filter(|campaign| *campaign.name == *text);
        let ids: Vec<_> = named.map(|campaign| campaign.id).collect();
        if ids.is_empty() {
            return Err(unknown("campaign", text, "campaign with this id or name"));
        }
        Ok(ids)
    }

    /// Returns the key of a link of the acting workspace: by its id, its code, its short URL with or without a scheme, or
    /// domain and code with a slash between.
    fn link_key(&self, context: &Context, text: &str) -> Result<Option<FacetKey>, Error> {
        let workspace = context.workspace.number;
        let key = |id| Some(FacetKey::Link(link_row(workspace, id)));
        if let Ok(id) = text.parse::<Id>()
            && self.table.owner_of(id)? == Some(workspace)
        {
            // Also a deleted link, whose clicks are kept for some time.
            return Ok(key(id));
        }
        let Some((domain, code)) = short_url_parts(text) else { return Ok(None) };
        let viewer = Viewer::of(context);
        // An unknown domain has no link, as one of another tenant.
        let Ok(domain) = self.domain_within_reach(context, &domain, &viewer) else { return Ok(None) };
        let (domain, code) = (domain.record.number, domain.record.key_of(code));
        let is_own = |owner| owner == workspace;
        if let Some(found) = self.table.link_seen(domain, code.as_str(), is_own)? {
            return Ok(key(found.record.id));
        }
        let found = self.table.link_of_alias(domain, code.as_str())?;
        Ok(found.filter(|found| is_own(found.record.workspace)).and_then(|found| key(found.record.id)))
    }

    /// Returns what the facets of a link follow from.
    pub(super) fn facts_of(&self, row: &LinkRow) -> Option<LinkFacts> {
        let (workspace, id) = parse_link_row(row)?;
        // A table that fails costs the names of a row, and not the whole answer.
        let link = self.table.link_by_id(workspace, id).ok()??.record;
        let campaign = link.options.campaign.map(|campaign| campaign.as_str().into());
        Some(LinkFacts { tags: link.options.tags, campaign, domain: link.domain.0 })
    }

    /// Returns the names of the keys of rows. What was deleted has none.
    pub(super) fn facet_names(
        &self,
        workspace: WorkspaceNumber,
        by: &[Facet],
        rows: &Rows,
    ) -> Result<FacetNames, Error> {
        let mut names = FacetNames::new();
        let keys = rows.rows.iter().flat_map(|row| by.iter().zip(&row.keys));
        for (facet, key) in keys {
            // Only tags can be many: each is read once.
            if names.contains_key(&(facet.name(), key.clone())) {
                continue;
            }
            let name = match (facet, key) {
                (Facet::Tag, FacetKey::Tags(tags)) => match tags.first() {
                    Some(id) => {
                        self.table.get::<Tag>(&keys::tag(workspace, *id))?.map(|found| found.record.name)
                    }
                    None => None,
                },
                (Facet::Campaign, FacetKey::Text(id)) => match ForeignId::parse("id", id) {
                    Ok(id) => self.campaign(workspace, &id.into())?.map(|found| found.record.name),
                    Err(_) => None,
                },
                (Facet::Domain, FacetKey::Number(number)) => self.domain_name(DomainNumber(*number)),
                _ => None,
            };
            names.extend(name.map(|name| ((facet.name(), key.clone()), name)));
        }
        Ok(names)
    }

    fn domain_name(&self, number: DomainNumber) -> Option<Box<str>> {
        if number == DomainNumber::DEFAULT {
            return Some(self.site.host().into());
        }
        let directory = self.directory.load();
        directory.domain(number)?.name.as_ref().map(|name| name.as_str().into())
    }
}

/// Returns the error of a name that nothing has.
fn unknown(field: &'static str, text: &str, what: &str) -> Error {
    Invalid::new(field, format!("{text:?} is no value: this workspace has no {what}")).into()
}

/// Returns domain and code of a short URL, or of a part of one: `https://go.test/a`, `go.test/a`, `/a` and `a`.
fn short_url_parts(text: &str) -> Option<(DomainChoice, ShortCode)> {
    let is_whole = ["https://", "http://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if is_whole {
        let url = url::Url::parse(text).ok()?;
        // The first segment: what is behind the code is forwarded, and is no part of it.
        let code = canonical(url.path_segments()?.next()?)?;
        // Domains have no port in their name.
        return Some((DomainChoice::Name(url.host_str()?.into()), ShortCode::parse(&code).ok()?));
    }
    let (domain, code) = text.rsplit_once('/').unwrap_or(("", text));
    // As in `localhost:8080/a`, which is copied from a short URL without its scheme.
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let domain = domain.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(domain, |(host, _)| host);
    let choice = if domain.is_empty() { DomainChoice::Default } else { DomainChoice::Name(domain.into()) };
    Some((choice, ShortCode::parse(&canonical(code)?).ok()?))
}

/// Returns rows by single tags from rows by all tags of a link. `at` is the place of the tags in the keys. A link with
/// several tags is in the row of each, so the rows can add up to more than the total. `other` has the clicks of links that
/// have none of the shown tags.
pub(super) fn by_single_tags(rows: &Rows, at: usize, offset: usize, limit: usize) -> Rows {
    let mut sums: HashMap<Vec<FacetKey>, AnswerRow> = HashMap::new();
    for row in &rows.rows {
        for keys in singles(row, at) {
            let empty = AnswerRow { keys: keys.clone(), totals: ClickTotals::default(), previous: None };
            let sum = sums.entry(keys).or_insert(empty);
            sum.totals = sum.totals.plus(row.totals);
            sum.previous = match (sum.previous, row.previous) {
                (Some(a), Some(b)) => Some(a.plus(b)),
                (a, b) => a.or(b),
            };
        }
    }
    let mut all: Vec<_> = sums.into_values().collect();
    // As in other answers: by time, then the most clicks, then by keys.
    all.sort_unstable_by(|a, b| {
        let of_time = |row: &AnswerRow| row.keys.iter().find(|key| is_time(key)).cloned();
        let by_clicks = b.totals.clicks.cmp(&a.totals.clicks);
        of_time(a).cmp(&of_time(b)).then(by_clicks).then_with(|| a.keys.cmp(&b.keys))
    });
    let count = all.len();
    let shown: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    let keys: HashSet<&Vec<FacetKey>> = shown.iter().map(|row| &row.keys).collect();
    let is_shown = |row: &&AnswerRow| singles(row, at).iter().any(|single| keys.contains(single));
    let rest = rows.rows.iter().filter(|row| !is_shown(row));
    let other = rest.fold(ClickTotals::default(), |sum, row| sum.plus(row.totals));
    Rows { rows: shown, count, total: rows.total, other, previous: rows.previous }
}

/// Returns the keys of a row with each of its tags alone.
fn singles(row: &AnswerRow, at: usize) -> Vec<Vec<FacetKey>> {
    let Some(FacetKey::Tags(tags)) = row.keys.get(at) else { return vec![row.keys.clone()] };
    let single = |tag: &Id| {
        let mut keys = row.keys.clone();
        keys[at] = FacetKey::Tags([*tag].into());
        keys
    };
    tags.iter().map(single).collect()
}

fn is_time(key: &FacetKey) -> bool {
    matches!(key, FacetKey::Time(_) | FacetKey::HourOfWeek(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_urls_have_a_domain_and_a_code() {
        let named = |domain: &str, code: &str| Some((DomainChoice::Name(domain.into()), code.to_owned()));
        let rows = [
            ("a", Some((DomainChoice::Default, "a".to_owned()))),
            ("/a", Some((DomainChoice::Default, "a".to_owned()))),
            ("go.test/a", named("go.test", "a")),
            ("localhost:8080/a", named("localhost", "a")),
            ("http://localhost:8080/a", named("localhost", "a")),
            ("HTTPS://Go.Test/a?utm_source=x#y", named("go.test", "a")),
            ("https://go.test/a/", named("go.test", "a")),
            ("https://go.test/%E6%98%A5", named("go.test", "春")),
            ("https://go.test/", None),
            ("https://", None),
            ("ftp://go.test/a", named("ftp://go.test", "a")),
            ("", None),
            ("/", None),
        ];
        for (text, want) in rows {
            let found = short_url_parts(text).map(|(domain, code)| (domain, code.as_str().to_owned()));
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn a_link_with_two_tags_is_in_both_rows() {
        let totals = |clicks| ClickTotals { clicks, visitors: clicks };
        let tags = |bits: &[u128]| FacetKey::Tags(bits.iter().map(|bits| Id::from_bits(*bits)).collect());
        let row = |key: FacetKey, clicks| AnswerRow {
            keys: vec![key],
            totals: totals(clicks),
            previous: Some(totals(clicks * 2)),
        };
        let all = [row(FacetKey::None, 9), row(tags(&[1, 2]), 5), row(tags(&[2, 3]), 4), row(tags(&[1]), 1)];
        let rows = Rows {
            rows: all.to_vec(),
            count: 4,
            total: totals(19),
            other: totals(0),
            previous: Some(totals(38)),
        };
        let found = by_single_tags(&rows, 0, 0, 10);
        let want = [row(FacetKey::None, 9), row(tags(&[2]), 9), row(tags(&[1]), 6), row(tags(&[3]), 4)];
        assert_eq!((&found.rows[..], found.count, found.other), (&want[..], 4, totals(0)));
        // Links with tag 2 are shown, and those without any are not, nor the one with tag 1 alone.
        let found = by_single_tags(&rows, 0, 1, 1);
        assert_eq!((&found.rows[..], found.other, found.total), (&want[1..2], totals(10), totals(19)));
    }
}
