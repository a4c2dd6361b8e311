//! Compares answers with those of a plain loop over generated visits.

mod brute;
mod cache;
mod data;
mod summaries;
mod zones;

use std::cell::Cell as Flag;
use std::sync::{Arc, LazyLock};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use self::data::{MadeVisit, TestStore};
use super::answer::ClickAnswer;
use super::calendar::{Granularity, Span};
use super::error::QueryError;
use super::facet::{Facet, FacetKey};
use super::first::first_slot;
use super::question::{Breakdown, ClickQuestion, FacetFilter, LinkScope, Visits};
use super::scan::{CellSource, answer};
use super::totals::ClickTotals;
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;
use crate::analytics::part::mem::Mem;
use crate::analytics::part::reader::ClickPart;
use crate::analytics::part::summary::SummaryRule;
use crate::analytics::tick::Tick;

/// Returns the parts and the open cells as questions read them.
fn source_of<'a>(parts: &'a [Arc<ClickPart>], open: &'a Tick) -> CellSource<'a> {
    let (campaign_of, facts_of) = (&data::campaign_of, &data::facts_of);
    CellSource { parts, open, campaign_of, facts_of, is_cancelled: &|| false }
}

/// Returns the answer of a store.
fn ask(store: &TestStore, question: &ClickQuestion) -> Result<ClickAnswer, QueryError> {
    let source = source_of(&store.parts, &store.open);
    // Tested apart: it depends on the order of filters.
    answer(&source, question).map(|answer| ClickAnswer { has_other: Vec::new(), ..answer })
}

fn by(facets: &[Facet]) -> Breakdown {
    Breakdown { by: facets.to_vec(), limit: usize::MAX, offset: 0 }
}

fn question(scope: LinkScope, breakdowns: Vec<Breakdown>) -> ClickQuestion {
    ClickQuestion {
        scope,
        span: Span { from: 0, to: 4_000_000_000 },
        zone: TimeZone::UTC,
        granularity: Granularity::Day,
        visits: Visits::Counted,
        filters: Vec::new(),
        breakdowns,
        previous: None,
    }
}

fn facets() -> impl Strategy<Value = Facet> {
    proptest::sample::select(Facet::all().collect::<Vec<_>>())
}

fn scopes() -> impl Strategy<Value = LinkScope> {
    let links = proptest::collection::btree_set((0_u32..4, 0_u8..9), 0..6);
    prop_oneof![
        Just(LinkScope::All),
        // One workspace more than visits have.
        proptest::collection::btree_set(0_u32..5, 0..4)
            .prop_map(|set| LinkScope::Workspaces(set.into_iter().collect())),
        links.prop_map(|set| {
            LinkScope::Links(set.into_iter().map(|(workspace, link)| data::row(workspace, link)).collect())
        }),
    ]
}

/// Filters by keys that some visits have, and by keys that none has.
fn filters(visits: &[MadeVisit]) -> impl Strategy<Value = Vec<FacetFilter>> + use<> {
    let visits = Arc::new(visits.to_vec());
    let filter = (facets(), proptest::collection::vec(any::<proptest::sample::Index>(), 0..4), any::<bool>());
    let filter = filter.prop_filter_map("spans filter by time", move |(facet, picks, excludes)| {
        let of_visit = |pick: &proptest::sample::Index| match visits.len() {
            0 => FacetKey::text("none has it"),
            count => brute::key(facet, &visits[pick.index(count)], &TimeZone::UTC, Granularity::Day),
        };
        // With a key that no visit has, which must not match any.
        let keys = picks.iter().map(of_visit).chain([FacetKey::text("none has it")]).collect();
        (facet != Facet::Time).then_some(FacetFilter { facet, keys, excludes })
    });
    proptest::collection::vec(filter, 0..3)
}

fn breakdowns() -> impl Strategy<Value = Vec<Breakdown>> {
    // A limit of 0 leaves all rows to `other`, and an offset may be behind the last row.
    let breakdown =
        (proptest::collection::vec(facets(), 0..3), prop_oneof![Just(usize::MAX), 0_usize..6], 0_usize..4);
    let breakdown = breakdown.prop_filter_map("facets are different", |(by, limit, offset)| {
        let is_double = by.len() == 2 && by[0] == by[1];
        (!is_double).then_some(Breakdown { by, limit, offset })
    });
    proptest::collection::vec(breakdown, 1..4)
}

fn questions(visits: &[MadeVisit]) -> impl Strategy<Value = ClickQuestion> + use<> {
    use Granularity::{Day, Hour, Month, Quarter, Week};
    use Visits::{Bots, Counted, Misses, Prefetches};
    let zone =
        proptest::sample::select(&["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"][..]);
    let granularity = proptest::sample::select(&[Quarter, Hour, Day, Week, Month][..]);
    let kind = proptest::sample::select(&[Counted, Counted, Counted, Bots, Prefetches, Misses][..]);
    // From a day before the visits to a month behind them, so some spans have none.
    let span = (data::FROM - 90_000_000..data::FROM + 2 * data::LENGTH, 1..data::LENGTH);
    let lists = (filters(visits), breakdowns(), any::<bool>());
    (scopes(), span, zone, granularity, kind, lists).prop_map(
        |(scope, (from, length), zone, granularity, visits, (filters, breakdowns, compares))| {
            let (span, zone) = (Span { from, to: from + length }, TimeZone::get(zone).expect("a zone"));
            let previous = compares.then(|| span.previous(&zone));
            ClickQuestion { scope, span, zone, granularity, visits, filters, breakdowns, previous }
        },
    )
}

/// Visits, the part of each, and a question about them.
fn stores() -> impl Strategy<Value = (Vec<MadeVisit>, Vec<usize>, ClickQuestion)> {
    proptest::collection::vec(data::visits(), 0..150).prop_flat_map(|visits| {
        let split = proptest::collection::vec(0_usize..4, visits.len());
        let question = questions(&visits);
        (Just(visits), split, question)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn answers_are_those_of_a_plain_loop(
        (visits, split, question) in stores()
    ) {
        let store = TestStore::new(&visits, &split);
        prop_assert_eq!(ask(&store, &question).expect("an answer"), brute::answer(&visits, &question));
    }
}

/// Visits of many blocks and chunks, in one part and in the open cells.
static LARGE: LazyLock<(Vec<MadeVisit>, TestStore)> = LazyLock::new(|| {
    // Hundreds of links and a thousand referrers need several chunks of both lists.
    let visits = data::various(10_000, data::FROM, data::LENGTH, 200, 1_000);
    let split: Vec<_> = (0..visits.len()).map(|at| at % 2).collect();
    let store = TestStore::new(&visits, &split);
    (visits, store)
});

proptest! {
    // Each is a plain loop over thousands of visits.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_from_many_blocks_are_those_of_a_plain_loop(question in questions(&LARGE.0)) {
        let (visits, store) = &*LARGE;
        prop_assert_eq!(ask(store, &question).expect("an answer"), brute::answer(visits, &question));
    }
}

// Questions about all cells decode only what one facet needs.
#[test]
fn every_facet_alone() {
    let visits = data::various(2_000, data::FROM, 86_400_000, 9, 300);
    let split: Vec<_> = (0..visits.len()).map(|at| at % 2).collect();
    let store = TestStore::new(&visits, &split);
    for facet in Facet::all() {
        let mut question = question(LinkScope::All, vec![by(&[facet])]);
        question.span = Span { from: data::FROM, to: data::FROM + 86_400_000 };
        assert_eq!(
            ask(&store, &question).expect("an answer"),
            brute::answer(&visits, &question),
            "{facet:?}"
        );
        if facet != Facet::Time {
            // The key of a visit, so the filter removes something.
            let keys = vec![brute::key(facet, &visits[0], &question.zone, question.granularity)];
            question.filters = vec![FacetFilter { facet, keys, excludes: true }];
            question.breakdowns = vec![by(&[])];
            let answer = ask(&store, &question).expect("an answer");
            assert_eq!(answer, brute::answer(&visits, &question), "{facet:?}");
        }
    }
}

#[test]
fn pages_have_all_rows_once() {
    let visits = data::many(3_000, data::FROM, 10 * 86_400_000);
    let store = TestStore::new(&visits, &[]);
    let mut question = question(LinkScope::All, vec![by(&[Facet::Link, Facet::Country])]);
    question.span = Span { from: data::FROM, to: data::FROM + 10 * 86_400_000 };
    let whole = ask(&store, &question).expect("an answer").breakdowns.remove(0);
    assert!(
        whole.rows.len() > 20 && whole.count == whole.rows.len() && whole.other == ClickTotals::default()
    );
    let mut rows = Vec::new();
    // With a page behind the last row: all is in its `other`.
    for offset in (0..whole.count + 7).step_by(7) {
        question.breakdowns[0] = Breakdown { by: vec![Facet::Link, Facet::Country], limit: 7, offset };
        let page = ask(&store, &question).expect("an answer").breakdowns.remove(0);
        let listed = page.rows.iter().fold(page.other, |sum, row| sum.plus(row.totals));
        assert_eq!((listed, page.total, page.count), (whole.total, whole.total, whole.count));
        rows.extend(page.rows);
    }
    assert_eq!(rows, whole.rows);
}

#[test]
fn an_empty_store_has_an_answer() {
    let store = TestStore::new(&[], &[]);
    let breakdowns = vec![
        by(&[]),
        by(&[Facet::Time]),
        by(&[Facet::Country, Facet::Utm(crate::analytics::values::UtmName::Term)]),
    ];
    let mut question = question(LinkScope::Workspaces(vec![1]), breakdowns);
    question.span = Span { from: 0, to: 3 * 86_400_000 };
    // Nothing is before 1970, so the span before has no slots.
    question.previous = Some(question.span.previous(&question.zone));
    let answer = ask(&store, &question).expect("an answer");
    let rows: Vec<_> = answer.breakdowns.iter().map(|breakdown| breakdown.rows.len()).collect();
    assert_eq!(rows, [0, 3, 0], "a row for each day");
    assert!(
        answer.breakdowns.iter().all(|rows| rows.total == ClickTotals::default() && rows.previous.is_some())
    );
}

#[test]
fn a_question_can_be_cancelled() {
    let visits = data::many(20_000, data::FROM, 86_400_000 * 20);
    let store = TestStore::new(&visits, &[]);
    let mut question = question(LinkScope::All, vec![by(&[])]);
    question.span = Span { from: data::FROM, to: data::FROM + 86_400_000 * 20 };
    let blocks = Flag::new(0);
    let is_cancelled = || {
        blocks.set(blocks.get() + 1);
        blocks.get() == 3
    };
    let source = CellSource { is_cancelled: &is_cancelled, ..source_of(&store.parts, &store.open) };
    assert!(matches!(answer(&source, &question), Err(QueryError::TooSlow)));
    assert_eq!(blocks.get(), 3, "nothing is read behind it");
}

/// An answer tells that rows of an open set may be too low, and only then.
#[test]
fn values_that_were_not_kept_are_noticed() {
    let visits = data::many(3_000, data::FROM, 86_400_000);
    let (store, empty) = (TestStore::new(&visits, &vec![0; visits.len()]), TestStore::new(&[], &[]));
    for (facet, has_some) in [(Facet::Region, true), (Facet::Country, false), (Facet::Link, false)] {
        let mut question = question(LinkScope::All, vec![by(&[facet])]);
        question.span = Span { from: data::FROM, to: data::FROM + 86_400_000 };
        for (store, want) in [(&store, has_some), (&empty, false)] {
            let source = source_of(&store.parts, &store.open);
            let answer = answer(&source, &question).expect("an answer");
            assert_eq!(answer.has_other, if want { vec![facet] } else { Vec::new() });
        }
    }
}

#[test]
fn a_damaged_part_is_named() {
    let visits = data::many(3_000, data::FROM, 86_400_000);
    let bytes = data::part_bytes(&visits);
    let mut question =
        question(LinkScope::All, vec![by(&[Facet::Referrer, Facet::Link]), by(&[Facet::Time])]);
    question.span = Span { from: data::FROM, to: data::FROM + 86_400_000 };
    // The first of the two parts: the error must name the place of the second.
    let sound = Arc::new(ClickPart::open(Arc::new(Mem(bytes.clone().into()))).expect("a part"));
    let empty = Tick::default();
    let asked = |parts: &[Arc<ClickPart>]| {
        let source = source_of(parts, &empty);
        answer(&source, &question)
    };
    let twice = asked(&[Arc::clone(&sound), Arc::clone(&sound)]).expect("an answer");
    let mut seen = 0;
    // 41 is odd, so all bits of a byte are flipped in turn.
    for at in (0..bytes.len()).step_by(41) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Ok(part) = ClickPart::open(Arc::new(Mem(damaged.into()))) else { continue };
        match asked(&[Arc::clone(&sound), Arc::new(part)]) {
            Err(QueryError::Part(1, PartError::Damaged(_))) => seen += 1,
            // A list that the question does not read.
            Ok(answer) => assert_eq!(answer, twice, "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn days_of_other_parts_are_not_read() {
    let visits = data::many(500, data::FROM, 86_400_000);
    // Without tables, so that the first block is the first thing behind the header.
    let mut damaged = data::part_bytes_with(&visits, SummaryRule::default());
    damaged[crate::analytics::part::header::PartHeader::BYTES + 9] ^= 1;
    let parts = [Arc::new(ClickPart::open(Arc::new(Mem(damaged.into()))).expect("a part"))];
    let empty = Tick::default();
    let source = source_of(&parts, &empty);
    let mut question = question(LinkScope::All, vec![by(&[])]);
    question.span = Span { from: 0, to: data::FROM };
    assert!(answer(&source, &question).is_ok());
    // One millisecond later it has the first slot, in which the part has clicks.
    question.span.to = data::FROM + 1;
    assert!(matches!(answer(&source, &question), Err(QueryError::Part(0, _))));
}

proptest! {
    #[test]
    fn the_first_slot_is_that_of_a_plain_loop((visits, split, question) in stores(), day in 0_u32..50) {
        let store = TestStore::new(&visits, &split);
        let source = source_of(&store.parts, &store.open);
        let before = TimeSlot(TimeSlot::of_millis(data::FROM).0 + day * 96);
        let slots = visits.iter().filter(|visit| brute::is_within(&question.scope, visit));
        let slots = slots.map(|visit| TimeSlot::of_millis(visit.millis));
        let want = slots.filter(|slot| *slot < before).min();
        prop_assert_eq!(first_slot(&source, &question.scope, before).expect("read"), want);
    }
}
