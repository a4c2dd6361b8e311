//! Days and hours over changes of the clock: the sixth acceptance check of statistics.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::data::{self, TestStore};
use super::{ask, brute, by, question};
use crate::analytics::query::calendar::{Granularity, Span};
use crate::analytics::query::facet::Facet;
use crate::analytics::query::question::LinkScope;

/// Zone, and a day in the middle of the visits: the last and the first one of two offsets.
const CHANGES: [(&str, &str); 10] = [
    ("Asia/Kolkata", "2026-03-29T00:00"),
    ("Asia/Kathmandu", "2026-10-25T00:00"),
    ("America/St_Johns", "2026-03-08T00:00"),
    ("America/St_Johns", "2026-11-01T00:00"),
    ("Australia/Lord_Howe", "2026-04-05T00:00"),
    ("Australia/Lord_Howe", "2026-10-04T00:00"),
    // Samoa left out the 30th of December 2011, and its clocks changed until 2021.
    ("Pacific/Apia", "2011-12-31T00:00"),
    ("Pacific/Apia", "2021-04-04T00:00"),
    ("Pacific/Chatham", "2026-04-05T00:00"),
    ("America/Asuncion", "2024-03-24T00:00"),
];

#[test]
fn every_day_and_hour_of_every_facet_over_changes_of_the_clock() {
    for (name, day) in CHANGES {
        let zone = TimeZone::get(name).expect("a zone");
        let day: DateTime = day.parse().expect("a time");
        let middle = day.to_zoned(zone.clone()).expect("in range").timestamp().as_millisecond();
        // Two days before and behind, without clicks at the edges of the span, so that all zones have all of
        // them.
        let visits = data::many(1_500, middle - 2 * 86_400_000, 4 * 86_400_000);
        // The clicks of an hour are in three parts and in the open cells.
        let split: Vec<_> = (0..visits.len()).map(|at| at * 7 % 4).collect();
        let store = TestStore::new(&visits, &split);
        let breakdowns =
            Facet::all().filter(|facet| *facet != Facet::Time).map(|facet| by(&[Facet::Time, facet]));
        let mut asked = question(LinkScope::All, breakdowns.chain([by(&[Facet::Time])]).collect());
        asked.span = Span { from: middle - 5 * 86_400_000, to: middle + 5 * 86_400_000 };
        for granularity in [Granularity::Hour, Granularity::Day] {
            (asked.zone, asked.granularity) = (zone.clone(), granularity);
            let answer = ask(&store, &asked).expect("an answer");
            assert_eq!(answer, brute::answer(&visits, &asked), "{name} {day} {granularity:?}");
            // Another zone moves clicks to other buckets, and loses none.
            asked.zone = TimeZone::UTC;
            let of_utc = ask(&store, &asked).expect("an answer");
            for (here, there) in answer.breakdowns.iter().zip(&of_utc.breakdowns) {
                assert_eq!(here.total.clicks, there.total.clicks, "{name} {day}");
                assert_eq!(
                    here.total.clicks,
                    visits.iter().map(|visit| u64::from(visit.counts.clicks)).sum::<u64>()
                );
            }
        }
    }
}

#[test]
fn the_span_before_is_compared_by_days() {
    // The span has the day of 25 hours, the span before has none.
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    let millis = |time: &str| {
        let time: DateTime = time.parse().expect("a time");
        time.to_zoned(zone.clone()).expect("in range").timestamp().as_millisecond()
    };
    let (before, from, to) =
        (millis("2026-10-19T00:00"), millis("2026-10-22T00:00"), millis("2026-10-26T00:00"));
    // In both spans, and in a day behind them that must not count.
    let visits = data::many(2_000, before - 86_400_000, to - before + 2 * 86_400_000);
    let store = TestStore::new(&visits, &[]);
    let mut asked = question(LinkScope::All, vec![by(&[Facet::Time]), by(&[Facet::Country]), by(&[])]);
    let previous = Span { from, to }.previous(&zone);
    (asked.zone, asked.previous, asked.span) = (zone.clone(), Some(previous), Span { from, to });
    assert_eq!(previous.from, millis("2026-10-18T00:00"));
    let answer = ask(&store, &asked).expect("an answer");
    assert_eq!(answer, brute::answer(&visits, &asked));
    let rows = &answer.breakdowns[0];
    assert_eq!(rows.rows.len(), 4);
    // The total of the span before is the same by time and without rows.
    assert_eq!(rows.previous, answer.breakdowns[2].previous);
    assert!(rows.rows.iter().all(|row| row.previous.is_some_and(|previous| previous.clicks > 0)));
}
