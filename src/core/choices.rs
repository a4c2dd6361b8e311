//! The rules and variants of one link in an answer about clicks: their names, and how certain the share of a variant is.
//!
//! Names are those that the link has now. A rule that was deleted has its number alone.

use std::collections::BTreeMap;

use super::error::Error;
use super::link_facets::{FacetNames, NamedFilter};
use super::shared::Shared;
use crate::analytics::query::answer::Rows;
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::question::{FacetFilter, LinkScope};
use crate::analytics::tick::parse_link_row;
use crate::model::Invalid;
use crate::model::link::Link;
use crate::model::link::branch::{BranchOutcome, Variant};

/// The share of a variant of the clicks of its rule, with the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // From 0 to 1.
pub struct VariantShare {
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// The shares of the variants of a link, by their keys.
pub type VariantShares = BTreeMap<FacetKey, VariantShare>;

impl Shared {
    /// Returns the link of a question about one link, if it asks for rules or variants.
    pub(super) fn chosen_link(&self, scope: &LinkScope, by: &[Facet]) -> Result<Option<Link>, Error> {
        let is_asked = by.iter().any(|facet| matches!(facet, Facet::Rule | Facet::Variant));
        let row = match scope {
            // Numbers of several links mean different rules.
            LinkScope::Links(rows) if is_asked && rows.len() == 1 => rows.first(),
            _ => None,
        };
        let Some((workspace, id)) = row.and_then(|row| parse_link_row(row)) else { return Ok(None) };
        Ok(self.table.link_by_id(workspace, id)?.map(|found| found.record))
    }

    /// Returns a filter by rules or variants with the numbers of its names. Fails if the question is not about one link, and
    /// if the link has no rule or variant of a name.
    pub(super) fn choice_filter(&self, scope: &LinkScope, named: &NamedFilter) -> Result<FacetFilter, Error> {
        let facet = named.facet;
        let broken = |why: String| Invalid::new(facet.name(), why);
        let link = self.chosen_link(scope, &[facet])?.ok_or_else(|| {
            let name = named.values.iter().flatten().next().map_or("", |name| name);
            broken(format!("{name:?} is a name, which needs `link`: without it, the value is a number"))
        })?;
        let mut names = FacetNames::new();
        add_names(&mut names, &link);
        // A rule and a variant may have one name.
        names.retain(|(of, _), _| *of == facet.name());
        let mut keys = Vec::new();
        for value in &named.values {
            let Some(text) = value else {
                keys.push(FacetKey::None);
                continue;
            };
            // Two rules may have variants of one name.
            let found = names.iter().filter(|(_, name)| *name == text).map(|((_, key), _)| key.clone());
            let found: Vec<_> = found.collect();
            if !found.is_empty() {
                keys.extend(found);
                continue;
            }
            // The number of one that has no name, or is no longer there.
            let unknown = |_| {
                let known: Vec<_> = names.values().map(|name| format!("{name:?}")).collect();
                let known = if known.is_empty() { "no names".to_owned() } else { known.join(", ") };
                broken(format!("{text:?} is no value: this link has {known}"))
            };
            keys.push(facet.key(text).map_err(unknown)?);
        }
        Ok(FacetFilter { facet, keys, excludes: named.excludes })
    }
}

/// Adds the names of the rules and variants of a link.
pub(super) fn add_names(names: &mut FacetNames, link: &Link) {
    let key = |number: u16| FacetKey::Number(number.into());
    for branch in link.options.branches() {
        let name = branch.name.clone();
        names.extend(name.map(|name| ((Facet::Rule.name(), key(branch.number)), name)));
        for variant in variants(&branch.outcome) {
            let name = variant.name.clone();
            names.extend(name.map(|name| ((Facet::Variant.name(), key(variant.number)), name)));
        }
    }
}

fn variants(outcome: &BranchOutcome) -> &[Variant] {
    match outcome {
        BranchOutcome::Split(split) => &split.variants,
        BranchOutcome::Url(_) | BranchOutcome::NotFound => &[],
    }
}

/// Returns the shares of the variants of a link in rows by variant alone. None if rows are missing: the shares of some
/// would be too high.
pub(super) fn shares(link: &Link, by: &[Facet], rows: &Rows) -> VariantShares {
    let mut shares = VariantShares::new();
    if by != [Facet::Variant] || rows.count != rows.rows.len() {
        return shares;
    }
    let clicks_of = |variant: &Variant| {
        let key = FacetKey::Number(variant.number.into());
        let row = rows.rows.iter().find(|row| row.keys.first() == Some(&key));
        row.map_or(0, |row| row.totals.clicks)
    };
    for branch in link.options.branches() {
        let all: u64 = variants(&branch.outcome).iter().map(clicks_of).sum();
        for variant in variants(&branch.outcome).iter().filter(|_| all > 0) {
            shares.insert(FacetKey::Number(variant.number.into()), interval(clicks_of(variant), all));
        }
    }
    shares
}

/// Returns the share of `part` in `all` with its interval, by Wilson's formula: unlike the simple one, it stays within 0
/// and 1, and holds for few clicks.
fn interval(part: u64, all: u64) -> VariantShare {
    /// The 97.5 % quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    // Counts beyond 2^53 differ in no shown digit.
    #[allow(clippy::cast_precision_loss)]
    let (part, all) = (part as f64, all as f64);
    let share = part / all;
    let scale = 1.0 + Z * Z / all;
    let middle = (share + Z * Z / (2.0 * all)) / scale;
    let half = Z / scale * (share * (1.0 - share) / all + Z * Z / (4.0 * all * all)).sqrt();
    VariantShare { share, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_shares() {
        let rows = [
            // By the published tables of Wilson's interval.
            (0, 10, 0.0, 0.0, 0.277_5),
            (5, 10, 0.5, 0.236_6, 0.763_4),
            (10, 10, 1.0, 0.722_5, 1.0),
            (60_000, 100_000, 0.6, 0.596_96, 0.603_03),
        ];
        for (part, all, share, low, high) in rows {
            let got = interval(part, all);
            for (got, want) in [(got.share, share), (got.low, low), (got.high, high)] {
                assert!((got - want).abs() < 0.000_1, "{part} of {all}: {got} and not {want}");
            }
        }
    }
}
