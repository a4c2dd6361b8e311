//! Answers by a plain loop over visits, without cells, tables and numbers of keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::data::{self, BOTS, BROWSERS, CAMPAIGNS, COUNTRIES, LANGUAGES, MadeVisit, PATHS, PLACES};
use crate::analytics::cell::{COUNTED, PREFETCHED};
use crate::analytics::query::answer::{AnswerRow, ClickAnswer, Rows};
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::facet::{Facet, FacetKey};
use crate::analytics::query::question::{Breakdown, ClickQuestion, LinkScope, Visits};
use crate::analytics::query::totals::ClickTotals;
use crate::analytics::values::UtmName;
use crate::model::id::Id;

// Written out: a plain loop must not share the arithmetic that it checks.
const SLOT: i64 = 900_000;

fn text(text: Option<&str>) -> FacetKey {
    match text {
        None | Some("") => FacetKey::None,
        Some("\0") => FacetKey::Other,
        Some(text) => FacetKey::text(text),
    }
}

fn number(number: u32) -> FacetKey {
    if number == 0 { FacetKey::None } else { FacetKey::Number(number) }
}

/// Returns the key of a visit.
pub(super) fn key(facet: Facet, visit: &MadeVisit, zone: &TimeZone, granularity: Granularity) -> FacetKey {
    let time = Timestamp::from_millisecond(visit.millis).expect("in range").to_zoned(zone.clone());
    let class = |at: usize| text(BROWSERS.get(visit.agent).and_then(|(_, names)| names[at]));
    match facet {
        Facet::Time => FacetKey::Time(bucket(visit.millis, zone, granularity)),
        Facet::HourOfWeek => FacetKey::HourOfWeek(
            u8::try_from(i32::from(time.weekday().to_monday_zero_offset()) * 24 + i32::from(time.hour()))
                .expect("below 168"),
        ),
        Facet::Link => FacetKey::Link(data::row(visit.workspace, visit.link)),
        // The facts of links as in `data::facts_of`, written out.
        Facet::Tag | Facet::Campaign | Facet::Domain if visit.link == 8 => FacetKey::None,
        Facet::Tag => match visit.link & 3 {
            0 => FacetKey::None,
            1 => FacetKey::Tags([Id::from_bits(7)].into()),
            _ => FacetKey::Tags([7, 9].map(Id::from_bits).into()),
        },
        Facet::Campaign if visit.link & 1 == 0 => FacetKey::text("spring"),
        Facet::Campaign => FacetKey::None,
        Facet::Domain => FacetKey::Number(u32::from(visit.link % 3)),
        Facet::Country => text(COUNTRIES[visit.country].map(|(country, _)| country)),
        Facet::Continent => text(COUNTRIES[visit.country].map(|(_, continent)| continent)),
        Facet::Region => text(PLACES[visit.place].and_then(|(_, region, _)| region)),
        Facet::City => text(PLACES[visit.place].and_then(|(.., city)| city)),
        Facet::Device => class(0),
        Facet::Os => class(1),
        Facet::Browser => class(2),
        Facet::Agent => text(visit.agent.checked_sub(BROWSERS.len()).map(|bot| BOTS[bot])),
        Facet::Language => text(LANGUAGES[visit.language]),
        Facet::Referrer => text(data::referrer(visit.referrer).as_deref()),
        Facet::Utm(parameter) => utm(parameter, visit),
        Facet::Trigger => match visit.trigger & 7 {
            0 => FacetKey::text("link"),
            1 => FacetKey::text("qr"),
            2 => FacetKey::text("api"),
            other => FacetKey::Number(other),
        },
        Facet::Rule => number(visit.choice.0),
        Facet::Variant => number(visit.choice.1),
        Facet::Path => text(PATHS[visit.path]),
    }
}

fn utm(parameter: UtmName, visit: &MadeVisit) -> FacetKey {
    let brought = CAMPAIGNS[visit.campaign].map(|values| values[parameter as usize]);
    // The parameters of links as in `data::campaign_of`, written out.
    match (brought, visit.link % 3, parameter) {
        (Some(value), ..) if !value.is_empty() => FacetKey::text(value),
        (_, 1, UtmName::Source) => FacetKey::text("own1"),
        (_, 2, UtmName::Source) => FacetKey::text("own2"),
        (_, 2, UtmName::Content) => FacetKey::text("link"),
        _ => FacetKey::None,
    }
}

/// Returns the start of the bucket of a time.
fn bucket(millis: i64, zone: &TimeZone, granularity: Granularity) -> i64 {
    let time = Timestamp::from_millisecond(millis).expect("in range").to_zoned(zone.clone());
    let day = match granularity {
        Granularity::Quarter => return millis / SLOT * SLOT,
        Granularity::Hour => {
            // Back to the first quarter of this hour, which is another one after the clock was set back.
            let mut start = millis / SLOT * SLOT;
            loop {
                let before = Timestamp::from_millisecond(start - 1).expect("in range").to_zoned(zone.clone());
                let [is, was] = [&time, &before].map(|time| (time.date(), time.hour(), time.offset()));
                if is != was {
                    return start;
                }
                start -= SLOT;
            }
        }
        Granularity::Day => time.date(),
        Granularity::Week => {
            let days = i64::from(time.weekday().to_monday_zero_offset());
            time.date().checked_sub(jiff::Span::new().days(days)).expect("in range")
        }
        Granularity::Month => time.date().first_of_month(),
    };
    // A midnight that does not exist becomes the first time of its day.
    day.to_zoned(zone.clone()).expect("in range").timestamp().as_millisecond()
}

/// Returns the starts of all buckets that have one of the slots.
fn starts(slots: &Range<u32>, question: &ClickQuestion) -> Vec<i64> {
    let all = slots.clone().map(|slot| bucket(i64::from(slot) * SLOT, &question.zone, question.granularity));
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns whether a visit is of a link of the scope.
pub(super) fn is_within(scope: &LinkScope, visit: &MadeVisit) -> bool {
    match scope {
        LinkScope::All => true,
        LinkScope::Workspaces(workspaces) => workspaces.contains(&visit.workspace),
        LinkScope::Links(links) => links.contains(&data::row(visit.workspace, visit.link)),
    }
}

fn is_in(visit: &MadeVisit, slots: &Range<u32>, question: &ClickQuestion) -> bool {
    let in_scope = is_within(&question.scope, visit);
    let is_bot = visit.agent >= BROWSERS.len();
    let is_of_kind = match question.visits {
        Visits::Counted => visit.trigger & COUNTED != 0,
        Visits::Bots => is_bot && visit.path == 0,
        Visits::Prefetches => visit.trigger & PREFETCHED != 0,
        Visits::Misses => visit.path != 0,
    };
    let passes = question.filters.iter().all(|filter| {
        let has_one = match key(filter.facet, visit, &question.zone, question.granularity) {
            FacetKey::Tags(tags) => {
                tags.iter().any(|tag| filter.keys.contains(&FacetKey::Tags([*tag].into())))
            }
            key => filter.keys.contains(&key),
        };
        has_one != filter.excludes
    });
    let slot = u32::try_from(visit.millis / SLOT).expect("in range");
    in_scope && is_of_kind && passes && slots.contains(&slot)
}

type Groups = BTreeMap<Vec<FacetKey>, ClickTotals>;

fn groups(
    visits: &[MadeVisit],
    slots: &Range<u32>,
    question: &ClickQuestion,
    breakdown: &Breakdown,
) -> Groups {
    let is_of_link = |facet| matches!(facet, Facet::Link | Facet::Tag | Facet::Campaign | Facet::Domain);
    let names_links = question.filters.iter().any(|filter| is_of_link(filter.facet) && !filter.excludes);
    let is_by_link = breakdown.by.iter().any(|facet| is_of_link(*facet));
    let of_links = matches!(question.scope, LinkScope::Links(_)) || names_links || is_by_link;
    let mut groups = Groups::new();
    for visit in visits.iter().filter(|visit| is_in(visit, slots, question)) {
        let key = |facet: &Facet| key(*facet, visit, &question.zone, question.granularity);
        let visitors = if of_links { visit.counts.visitors } else { visit.counts.workspace_visitors };
        let more = ClickTotals { clicks: visit.counts.clicks.into(), visitors: visitors.into() };
        let sum = groups.entry(breakdown.by.iter().map(key).collect()).or_default();
        *sum = sum.plus(more);
    }
    groups
}

fn total(groups: &Groups) -> ClickTotals {
    groups.values().copied().fold(ClickTotals::default(), ClickTotals::plus)
}

fn rows(visits: &[MadeVisit], question: &ClickQuestion, breakdown: &Breakdown) -> Rows {
    let slots = question.span.slots();
    let mut found = groups(visits, &slots, question, breakdown);
    let sum = total(&found);
    // Only time alone has rows without clicks: pairs with a second facet would be too many.
    if breakdown.by == [Facet::Time] {
        for start in starts(&slots, question) {
            found.entry(vec![FacetKey::Time(start)]).or_default();
        }
    }
    let before = question.previous.map(Span::slots).unwrap_or_default();
    let before = before.start..before.end.min(slots.start);
    let earlier = question.previous.map(|_| groups(visits, &before, question, breakdown));
    // The bucket at the same place of the span before.
    let has_times = question.previous.is_some() && breakdown.by.contains(&Facet::Time);
    let buckets = |slots| if has_times { starts(slots, question) } else { Vec::new() };
    let earlier_of: BTreeMap<_, _> = buckets(&slots).into_iter().zip(buckets(&before)).collect();
    let earlier_key = |key: &FacetKey| match key {
        FacetKey::Time(start) => {
            earlier_of.get(start).map_or(FacetKey::Other, |start| FacetKey::Time(*start))
        }
        key => key.clone(),
    };
    if breakdown.by.is_empty() {
        found.clear();
    }
    let mut all: Vec<_> = found
        .into_iter()
        .map(|(keys, totals)| {
            let of_keys: Vec<_> = keys.iter().map(earlier_key).collect();
            let previous = earlier.as_ref().map(|groups| groups.get(&of_keys).copied().unwrap_or_default());
            AnswerRow { keys, totals, previous }
        })
        .collect();
    all.sort_by_key(|row| {
        let times = row.keys.iter().filter(|key| matches!(key, FacetKey::Time(_) | FacetKey::HourOfWeek(_)));
        (times.cloned().collect::<Vec<_>>(), Reverse(row.totals.clicks), row.keys.clone())
    });
    let count = all.len();
    let rows: Vec<_> = all.into_iter().skip(breakdown.offset).take(breakdown.limit).collect();
    let listed = rows.iter().fold(ClickTotals::default(), |sum, row| sum.plus(row.totals));
    let other = ClickTotals { clicks: sum.clicks - listed.clicks, visitors: sum.visitors - listed.visitors };
    Rows { rows, count, total: sum, other, previous: earlier.as_ref().map(total) }
}

/// Returns the answer.
pub(super) fn answer(visits: &[MadeVisit], question: &ClickQuestion) -> ClickAnswer {
    let rows = question.breakdowns.iter().map(|breakdown| rows(visits, question, breakdown));
    ClickAnswer { breakdowns: rows.collect(), has_other: Vec::new() }
}
