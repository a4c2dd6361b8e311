//! The cache of sums: answers with it are those without, it is bounded, and it computes once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::analytics::query::cache::{MEMORY_DEFAULT, SumsCache};
use crate::analytics::query::part_sums::{PartSums, QuestionKey};
use crate::analytics::query::scan::{sums_of_parts, with_open};

/// Returns the answer of a store by way of the cache, and whether the parts were read.
fn ask_cached(cache: &SumsCache, store: &TestStore, question: &ClickQuestion) -> (ClickAnswer, bool) {
    let source = source_of(&store.parts, &store.open);
    let is_read = AtomicBool::new(false);
    let compute = || {
        is_read.store(true, Ordering::Relaxed);
        sums_of_parts(&source, question)
    };
    let key = QuestionKey::of(question, &store.parts, 0);
    let sums = cache.get_or_compute(key, &|| false, compute).expect("sums");
    let answer = with_open(&source, question, sums).expect("an answer");
    (ClickAnswer { has_other: Vec::new(), ..answer }, is_read.into_inner())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn answers_from_the_cache_are_those_of_a_plain_loop((visits, split, question) in stores()) {
        // Room for any question: a large one is not kept in the default.
        let cache = SumsCache::new(1 << 30);
        let store = TestStore::new(&visits, &split);
        let (answer, is_read) = ask_cached(&cache, &store, &question);
        prop_assert!(is_read);
        prop_assert_eq!(answer, brute::answer(&visits, &question));
        // Another page of the same rows.
        let mut page = question.clone();
        page.breakdowns.iter_mut().for_each(|breakdown| (breakdown.limit, breakdown.offset) = (2, 1));
        let (answer, is_read) = ask_cached(&cache, &store, &page);
        prop_assert!(!is_read);
        prop_assert_eq!(answer, brute::answer(&visits, &page));
        // The open cells are other ones a second later: all that came in twice.
        let open = visits.iter().zip(&split).filter(|(_, part)| **part == 0).map(|(visit, _)| visit.clone());
        let twice: Vec<_> = visits.iter().cloned().chain(open).collect();
        let mut of_twice = split.clone();
        of_twice.resize(twice.len(), 0);
        let later = TestStore { parts: store.parts.clone(), open: TestStore::new(&twice, &of_twice).open };
        let (answer, is_read) = ask_cached(&cache, &later, &question);
        prop_assert!(!is_read);
        prop_assert_eq!(answer, brute::answer(&twice, &question));
        // A merge has replaced the parts: the same cells in other files.
        let merged = TestStore::new(&visits, &split);
        let (answer, _) = ask_cached(&cache, &merged, &question);
        prop_assert_eq!(answer, brute::answer(&visits, &question));
    }
}

/// A question about all that [`data::many`] returns.
fn about_all(breakdowns: Vec<Breakdown>) -> ClickQuestion {
    let span = Span { from: data::FROM, to: data::FROM + data::LENGTH };
    ClickQuestion { span, ..question(LinkScope::Workspaces(vec![1]), breakdowns) }
}

#[test]
fn each_part_of_a_question_is_in_its_key() {
    let visits = data::many(500, data::FROM, data::LENGTH);
    let split: Vec<_> = (0..500).map(|at| at % 3).collect();
    let store = TestStore::new(&visits, &split);
    let asked = || about_all(vec![by(&[Facet::Country])]);
    let filter = |facet, excludes| FacetFilter { facet, keys: vec![FacetKey::text("x")], excludes };
    let (from, to) = (data::FROM, data::FROM + data::LENGTH);
    let of_links = |links| QuestionKey::of(&about_all(vec![by(&[Facet::Tag])]), &store.parts, links);
    let questions = [
        asked(),
        ClickQuestion { scope: LinkScope::All, ..asked() },
        ClickQuestion { scope: LinkScope::Workspaces(vec![2]), ..asked() },
        ClickQuestion { scope: LinkScope::Workspaces(vec![1, 2]), ..asked() },
        ClickQuestion { scope: LinkScope::Links(vec![data::row(1, 1)]), ..asked() },
        ClickQuestion { scope: LinkScope::Links(vec![data::row(2, 1)]), ..asked() },
        ClickQuestion { span: Span { from: from + 900_000, to }, ..asked() },
        ClickQuestion { span: Span { from, to: to - 900_000 }, ..asked() },
        ClickQuestion { zone: TimeZone::get("Asia/Kolkata").expect("a zone"), ..asked() },
        ClickQuestion { zone: TimeZone::fixed(jiff::tz::offset(5)), ..asked() },
        ClickQuestion { granularity: Granularity::Week, ..asked() },
        ClickQuestion { visits: Visits::Bots, ..asked() },
        ClickQuestion { filters: vec![filter(Facet::Referrer, false)], ..asked() },
        ClickQuestion { filters: vec![filter(Facet::Referrer, true)], ..asked() },
        ClickQuestion { filters: vec![filter(Facet::City, false)], ..asked() },
        ClickQuestion { previous: Some(Span { from: from - 900_000, to: from }), ..asked() },
        ClickQuestion { previous: Some(Span { from: from - 1_800_000, to: from }), ..asked() },
        about_all(vec![by(&[Facet::Continent])]),
        about_all(vec![by(&[Facet::Country]), by(&[])]),
        about_all(vec![by(&[]), by(&[Facet::Country])]),
        about_all(vec![by(&[Facet::Country, Facet::Os])]),
    ];
    let mut keys: Vec<_> =
        questions.iter().map(|question| QuestionKey::of(question, &store.parts, 0)).collect();
    // Fewer parts, and parts of the same cells that are other files.
    keys.push(QuestionKey::of(&asked(), &store.parts[1..], 0));
    keys.push(QuestionKey::of(&asked(), &TestStore::new(&visits, &split).parts, 0));
    keys.extend([of_links(0), of_links(1)]);
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "key {at}");
    }
    // What has no influence on the sums: a moment within its quarter of an hour, and links for a question without them.
    let later = ClickQuestion { span: Span { from: from + 5, to: to - 5 }, ..asked() };
    assert_eq!(QuestionKey::of(&later, &store.parts, 7), keys[0]);
}

#[test]
fn a_part_outside_of_the_span_is_not_in_the_key() {
    let store = TestStore::new(&data::many(50, data::FROM, 86_400_000), &[1; 50]);
    let asked = ClickQuestion { span: Span { from: 0, to: data::FROM }, ..about_all(vec![by(&[])]) };
    assert_eq!(QuestionKey::of(&asked, &store.parts, 0), QuestionKey::of(&asked, &[], 0));
    // The span before has the clicks.
    let after = data::FROM + 86_400_000;
    let asked = ClickQuestion { span: Span { from: after, to: 2 * after - data::FROM }, ..asked };
    assert_eq!(QuestionKey::of(&asked, &store.parts, 0), QuestionKey::of(&asked, &[], 0));
    let asked = ClickQuestion { previous: Some(asked.span.previous(&asked.zone)), ..asked };
    assert_ne!(QuestionKey::of(&asked, &store.parts, 0), QuestionKey::of(&asked, &[], 0));
}

#[test]
fn the_least_recently_used_sums_leave_a_full_cache() {
    let store = TestStore::new(&data::many(2_000, data::FROM, data::LENGTH), &[1; 2_000]);
    let cache = SumsCache::new(64 << 10);
    // Each has its own sums, of some hundred bytes.
    let asked = |at: i64| {
        let span = Span { from: data::FROM, to: data::FROM + data::LENGTH - at * 900_000 };
        ClickQuestion { span, ..about_all(vec![by(&[Facet::Country]), by(&[Facet::Referrer])]) }
    };
    let is_read = |at| ask_cached(&cache, &store, &asked(at)).1;
    for at in 0..2_000 {
        assert!(is_read(at), "{at}");
        assert!(!is_read(0), "{at}: the first one is used all the time");
        assert!(cache.bytes() <= 64 << 10);
    }
    assert!(cache.bytes() > 48 << 10, "it is used");
    assert!(!is_read(1_999) && is_read(1), "the oldest ones were evicted");
}

#[test]
fn large_sums_are_not_kept() {
    let visits = data::various(3_000, data::FROM, data::LENGTH, 200, 1_000);
    let store = TestStore::new(&visits, &vec![1; visits.len()]);
    let cache = SumsCache::new(64 << 10);
    let asked = about_all(vec![by(&[Facet::Referrer, Facet::Link])]);
    let brute = brute::answer(&visits, &asked);
    for _ in 0..2 {
        assert_eq!(ask_cached(&cache, &store, &asked), (brute.clone(), true));
    }
    // 0 bytes keep nothing.
    let none = SumsCache::new(0);
    let total = about_all(vec![by(&[])]);
    assert!(ask_cached(&none, &store, &total).1 && ask_cached(&none, &store, &total).1);
    assert_eq!((cache.bytes(), none.bytes()), (0, 0));
}

/// Sums of nothing, under the key of their question.
fn empty() -> (QuestionKey, PartSums) {
    let asked = about_all(vec![by(&[])]);
    let sums = sums_of_parts(&source_of(&[], &Tick::default()), &asked).expect("sums");
    (QuestionKey::of(&asked, &[], 0), sums)
}

#[test]
fn questions_at_once_are_computed_once() {
    const THREADS: usize = 8;
    // Without memory, so that only the wait for each other can save a computation.
    let (cache, (key, sums)) = (SumsCache::new(0), empty());
    let (computed, together) = (AtomicUsize::new(0), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                let compute = || {
                    computed.fetch_add(1, Ordering::Relaxed);
                    // Until all others wait for it.
                    while cache.waiting(key) < THREADS - 1 {
                        std::thread::yield_now();
                    }
                    Ok(sums.clone())
                };
                cache.get_or_compute(key, &|| false, compute).expect("sums");
            });
        }
    });
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn a_question_that_fails_leaves_the_work_to_the_next() {
    let (cache, (key, sums)) = (&SumsCache::new(MEMORY_DEFAULT), empty());
    std::thread::scope(|scope| {
        let first = scope.spawn(move || {
            let compute = || {
                while cache.waiting(key) == 0 {
                    std::thread::yield_now();
                }
                Err(QueryError::TooLarge)
            };
            error_of(&cache.get_or_compute(key, &|| false, compute))
        });
        while !cache.is_running(key) {
            std::thread::yield_now();
        }
        cache.get_or_compute(key, &|| false, || Ok(sums.clone())).expect("computed by the second");
        assert_eq!(first.join().expect("no panic"), "TooLarge");
    });
    // A panic ends the computation as well.
    let panics = || cache.get_or_compute(other_key(), &|| false, || panic!("a bug")).map(drop);
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err() && !cache.is_running(other_key()));
}

#[test]
fn a_wait_ends_with_its_caller() {
    let (cache, (key, sums)) = (SumsCache::new(MEMORY_DEFAULT), empty());
    let has_left = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let compute = || {
                while !has_left.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                Ok(sums.clone())
            };
            cache.get_or_compute(key, &|| false, compute).expect("sums");
        });
        while !cache.is_running(key) {
            std::thread::yield_now();
        }
        let waited = cache.get_or_compute(key, &|| true, || unreachable!("the first one computes"));
        assert_eq!(error_of(&waited), "TooSlow");
        has_left.store(true, Ordering::Release);
    });
}

fn other_key() -> QuestionKey {
    QuestionKey::of(&about_all(vec![by(&[Facet::Os])]), &[], 0)
}

fn error_of(result: &Result<PartSums, QueryError>) -> String {
    result.as_ref().map(|_| ()).map_err(|error| format!("{error:?}")).expect_err("it fails")
}
