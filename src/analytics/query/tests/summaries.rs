//! Compares answers from the summaries of a part with those of a plain loop.

use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::data::{self, MadeVisit, TestStore};
use super::{ask, breakdowns, brute, by, question};
use crate::analytics::cell::Dimension;
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::summary::{SUMMARIZED, SummaryRule};
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::facet::Facet;
use crate::analytics::query::question::{ClickQuestion, LinkScope, Visits};
use crate::analytics::tick::Tick;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Begins at noon of UTC, so that the first day of a table is half a day.
const FROM: i64 = data::FROM + 12 * HOUR;
const LENGTH: i64 = 3 * DAY;

/// A part whose tables have slots of this length, and its visits. Fewer counts for each cell make longer slots.
fn store(cells_each: usize) -> (Vec<MadeVisit>, TestStore) {
    // Almost all visits differ, so that there are almost as many cells.
    let visits = data::various(6_000, FROM, LENGTH, 3, 40);
    let bytes = data::part_bytes_with(&visits, SummaryRule { cells_min: 400, cells_each });
    let part = Arc::new(ClickPart::open(Arc::new(Mem(bytes.into()))).expect("a part"));
    part.check().expect("every byte decodes");
    (visits, TestStore { parts: vec![part], open: Tick::default() })
}

/// One table for each length of slots and more.
static STORES: LazyLock<[(Vec<MadeVisit>, TestStore); 3]> = LazyLock::new(|| [1, 2, 8].map(store));

/// Returns the length of the slots of a table.
fn width(store: &TestStore, scope: &[u8], dimension: Dimension) -> Option<u32> {
    let table = store.parts[0].tables(scope).find(|table| table.dimension == dimension);
    table.map(|table| table.width)
}

// Without this, the comparisons below could read cells alone.
#[test]
fn workspaces_and_busy_links_have_tables_and_others_have_none() {
    let [fine, middle, coarse] = &*STORES;
    let scope = 2_u32.to_be_bytes();
    for dimension in SUMMARIZED {
        assert_eq!(width(&fine.1, &scope, dimension), Some(1), "{dimension:?}");
    }
    assert_eq!(width(&middle.1, &scope, Dimension::Country), Some(4));
    assert_eq!(width(&coarse.1, &scope, Dimension::Country), Some(96));
    // 40 sites in 4 days are more than an eighth of 1,500 cells at most.
    assert_eq!(width(&middle.1, &scope, Dimension::Referrer), Some(96));
    assert_eq!(width(&coarse.1, &scope, Dimension::Place), Some(96));
    let tables = |store: &TestStore, scope: &[u8]| store.parts[0].tables(scope).count();
    assert_eq!(tables(&fine.1, &data::row(2, 1)), 7, "500 cells");
    assert_eq!(tables(&fine.1, &data::row(2, 7)), 0, "no such link");
    assert_eq!(tables(&fine.1, &9_u32.to_be_bytes()), 0, "no such workspace");
    let rule = SummaryRule { cells_min: 1_000, cells_each: 1 };
    let bytes = data::part_bytes_with(&fine.0, rule);
    let part = ClickPart::open(Arc::new(Mem(bytes.into()))).expect("a part");
    assert_eq!(part.tables(&scope).count(), 7, "1,500 cells");
    assert_eq!(part.tables(&data::row(2, 1)).count(), 0, "500 cells are too few");
}

/// Questions that tables can answer: about one workspace or one link, without filters.
fn questions() -> impl Strategy<Value = ClickQuestion> {
    use Granularity::{Day, Hour, Month, Quarter, Week};
    let zone = proptest::sample::select(&["UTC", "Asia/Kolkata", "America/New_York"][..]);
    let granularity = proptest::sample::select(&[Quarter, Hour, Day, Week, Month][..]);
    let scope = prop_oneof![
        (0_u32..4).prop_map(|workspace| LinkScope::Workspaces(vec![workspace])),
        (0_u32..4, 0_u8..3).prop_map(|(workspace, link)| LinkScope::Links(vec![data::row(workspace, link)])),
    ];
    // Ends of slots, of hours and of days, before, within and behind the part.
    let step = proptest::sample::select(&[HOUR / 4, HOUR, DAY][..]);
    let span = (step, 0_i64..500, 1_i64..500).prop_map(|(step, from, length)| {
        let (from, length) = (from % (5 * DAY / step), 1 + length % (5 * DAY / step));
        let from = data::FROM - DAY / 2 + from * step;
        Span { from, to: from + length * step }
    });
    (scope, span, zone, granularity, breakdowns(), any::<bool>()).prop_map(
        |(scope, span, zone, granularity, breakdowns, compares)| {
            let zone = TimeZone::get(zone).expect("a zone");
            ClickQuestion {
                span,
                previous: compares.then(|| span.previous(&zone)),
                zone,
                granularity,
                visits: Visits::Counted,
                ..question(scope, breakdowns)
            }
        },
    )
}

proptest! {
    // Each is a plain loop over thousands of visits.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn answers_from_tables_are_those_of_a_plain_loop(question in questions()) {
        for (visits, store) in &*STORES {
            prop_assert_eq!(ask(store, &question).expect("an answer"), brute::answer(visits, &question));
        }
    }
}

#[test]
fn every_facet_with_time_from_tables() {
    for (visits, store) in &*STORES {
        for facet in Facet::all() {
            for granularity in [Granularity::Hour, Granularity::Day] {
                let by_time = if facet == Facet::Time { by(&[facet]) } else { by(&[Facet::Time, facet]) };
                let breakdowns = vec![by(&[facet]), by_time];
                let question = ClickQuestion {
                    span: Span { from: data::FROM, to: data::FROM + 4 * DAY },
                    granularity,
                    ..question(LinkScope::Workspaces(vec![1]), breakdowns)
                };
                let answer = ask(store, &question).expect("an answer");
                assert_eq!(answer, brute::answer(visits, &question), "{facet:?}");
            }
        }
    }
}
