//! Time: [`Span`], [`Granularity`], and [`Calendar`], the bucket of each slot of a span in a zone.
//!
//! A slot is in the bucket of its first millisecond. That is exact where offsets are multiples of 15 minutes
//! and change at the start of a slot, which is so in all zones since 2012. Until 2011, clocks in Newfoundland
//! changed at 0:01; the 14 minutes behind are in the bucket before.

use std::ops::Range;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::analytics::cell::{SLOT_SECONDS, TimeSlot};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Days from the Monday before 1970 to 1970, a Thursday.
const MONDAY: i64 = 3;

/// The latest millisecond of a span: the end of the year 9998. A day later is still a time of every zone.
const MILLIS_MAX: i64 = 253_370_764_800_000;

/// A span of time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first millisecond.
    pub from: i64,
    /// The first millisecond behind the span.
    pub to: i64,
}

impl Span {
    /// Returns the slots of the span. The first one and the last one may be in the span with a part only;
    /// their clicks count whole.
    pub fn slots(self) -> Range<u32> {
        let start = TimeSlot::of_millis(self.from).0;
        // `to` is behind the span: one that ends where a slot begins leaves out that slot.
        let end = TimeSlot::of_millis(self.to.saturating_sub(1)).0.saturating_add(1);
        if self.from < self.to { start..end } else { start..start }
    }

    /// Returns the span before this one, of the same length. From the start of a day in this zone it is as many days
    /// earlier, to the same time of the day: a part of today is compared with the same part of yesterday.
    #[must_use]
    pub fn previous(self, zone: &TimeZone) -> Span {
        let shifted = Span { from: self.from - (self.to - self.from), to: self.from };
        let Span { from, to } = self.days_before(zone).unwrap_or(shifted);
        Span { from: from.max(0), to: to.max(0) }
    }

    /// Returns the span that is as many months of the calendar earlier as this one has begun or, if it ends within a month,
    /// to the same day and time of that month. Returns `None` if it does not begin with a month in this zone.
    pub fn months_before(self, zone: &TimeZone) -> Option<Span> {
        let from = start_of_day(self.from, zone).filter(|from| from.day() == 1)?;
        let to = Timestamp::from_millisecond(self.to).ok()?.to_zoned(zone.clone());
        let is_whole = start_of_day(self.to, zone).is_some() && to.day() == 1;
        let months = i32::from(to.year() - from.year()) * 12 + i32::from(to.month() - from.month());
        let months = months + i32::from(!is_whole);
        // The last day of a shorter month stands for the days that it does not have.
        let before =
            |time: &Zoned| Some(time.checked_sub(months.months()).ok()?.timestamp().as_millisecond());
        let to = before(&to)?.min(self.from);
        Some(Span { from: before(&from)?.max(0), to: to.max(0) })
    }

    /// Returns whether this span has whole months of the calendar in a zone.
    pub fn has_whole_months(self, zone: &TimeZone) -> bool {
        let is_month = |millis| start_of_day(millis, zone).is_some_and(|time| time.day() == 1);
        is_month(self.from) && is_month(self.to)
    }

    /// Returns the span before if this one begins with a day. Its days need not have as many hours.
    fn days_before(self, zone: &TimeZone) -> Option<Span> {
        let from = start_of_day(self.from, zone)?;
        let to = Timestamp::from_millisecond(self.to).ok()?.to_zoned(zone.clone());
        // A part of a day at the end counts as a day.
        let part = i32::from(start_of_day(self.to, zone).is_none());
        let days = from.date().until(to.date()).ok()?.get_days() + part;
        let before = |time: &Zoned| Some(time.checked_sub(days.days()).ok()?.timestamp().as_millisecond());
        Some(Span { from: before(&from)?, to: before(&to)? })
    }

    pub(super) fn is_valid(self) -> bool {
        // In this order: `from + 1` overflows for a `from` that is not valid.
        (0..=MILLIS_MAX).contains(&self.from) && (self.from + 1..=MILLIS_MAX).contains(&self.to)
    }
}

/// Returns a time that is the start of a day.
fn start_of_day(millis: i64, zone: &TimeZone) -> Option<Zoned> {
    let time = Timestamp::from_millisecond(millis).ok()?.to_zoned(zone.clone());
    // Not by midnight: where clocks go forward at midnight, a day begins at 1:00.
    (time.start_of_day().ok()? == time).then_some(time)
}

/// The length of a bucket of [`super::facet::Facet::Time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// 15 minutes.
    Quarter,
    /// An hour of the clock.
    Hour,
    /// A day of the calendar.
    Day,
    /// A week from Monday.
    Week,
    /// A month of the calendar.
    Month,
}

const GRANULARITIES: [Granularity; 5] =
    [Granularity::Quarter, Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month];

impl Granularity {
    /// Returns the granularity of a name.
    pub fn of_name(name: &str) -> Option<Granularity> {
        GRANULARITIES.into_iter().find(|granularity| granularity.name() == name)
    }

    /// Returns its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Quarter => "15m",
            Granularity::Hour => "hour",
            Granularity::Day => "day",
            Granularity::Week => "week",
            Granularity::Month => "month",
        }
    }

    /// Returns the most slots that a bucket can have before one of its slots: an hour or a day that a change
    /// of the clock prolongs has a few more than usual.
    fn lead(self) -> u32 {
        // Twice an hour and a day, and a day more than the longest week and month: more only takes time.
        // With fewer slots, the start of the first bucket could be too late.
        match self {
            Granularity::Quarter => 0,
            Granularity::Hour => 8,
            Granularity::Day => 2 * 96,
            Granularity::Week => 8 * 96,
            Granularity::Month => 32 * 96,
        }
    }

    /// Returns the number of the bucket that has this time of the clock, in seconds since 1970.
    fn number(self, local: i64) -> i64 {
        match self {
            Granularity::Quarter => local.div_euclid(SLOT_SECONDS),
            Granularity::Hour => local.div_euclid(HOUR),
            Granularity::Day => local.div_euclid(DAY),
            Granularity::Week => (local.div_euclid(DAY) + MONDAY).div_euclid(7),
            Granularity::Month => month(local.div_euclid(DAY)),
        }
    }

    /// Returns whether a bucket is the second one with its name if the clock was set back to it: an hour is,
    /// and a day is not.
    fn repeats(self) -> bool {
        // 2:30 comes twice and is in two hours, but in one day.
        matches!(self, Granularity::Quarter | Granularity::Hour)
    }
}

/// Returns the number of the month of a day since 1970. The calendar is that of Howard Hinnant's
/// `civil_from_days`, in which a year begins in March, so that the day of a leap year is its last.
fn month(day: i64) -> i64 {
    // From March 1 of the year 0 to 1970, and then by eras of 400 years.
    let day = day + 719_468;
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (day.div_euclid(146_097) * 400 + year) * 12 + (5 * of_year + 2) / 153
}

/// The bucket and the hour of the week of each slot of a span.
#[derive(Debug)]
pub struct Calendar {
    first: u32,
    buckets: Vec<u32>,
    hours: Vec<u8>,
    starts: Vec<i64>,
}

impl Calendar {
    /// Creates the calendar of these slots.
    pub fn new(slots: Range<u32>, granularity: Granularity, zone: &TimeZone) -> Calendar {
        // A change before all slots, so that the first slot reads the offset of the zone.
        let mut clock = ZoneClock { zone, offset: 0, until: Some(i64::MIN) };
        let mut buckets = Buckets { granularity, names: Vec::new(), starts: Vec::new(), before: i64::MIN };
        // The slots before the span find the start of its first bucket.
        for slot in slots.start.saturating_sub(granularity.lead())..slots.start {
            buckets.push(slot, clock.local(slot));
        }
        let (mut numbers, mut hours) = (Vec::with_capacity(slots.len()), Vec::with_capacity(slots.len()));
        for slot in slots.clone() {
            let local = clock.local(slot);
            numbers.push(buckets.push(slot, local));
            hours.push(hour_of_week(local));
        }
        // Only the calendar of a span before can be without slots, and its starts are not read.
        let base = numbers.first().copied().unwrap_or_default();
        for number in &mut numbers {
            *number = number.saturating_sub(base);
        }
        let starts = buckets.starts.split_off((base as usize).min(buckets.starts.len()));
        Calendar { first: slots.start, buckets: numbers, hours, starts }
    }

    /// Returns the bytes of memory that it has outside of itself.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&self.buckets[..]) + self.hours.len() + size_of_val(&self.starts[..])
    }

    /// Returns the first milliseconds of all buckets. The first bucket may begin before the span.
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// Returns the bucket of a slot, `None` outside of the span.
    pub fn bucket(&self, slot: u32) -> Option<u32> {
        self.buckets.get(slot.checked_sub(self.first)? as usize).copied()
    }

    /// Returns the hour of the week of a slot, `None` outside of the span.
    pub fn hour_of_week(&self, slot: u32) -> Option<u8> {
        self.hours.get(slot.checked_sub(self.first)? as usize).copied()
    }
}

fn hour_of_week(local: i64) -> u8 {
    // Euclidean: west of Greenwich, the first hours since 1970 are before 1970 on the clock.
    let weekday = (local.div_euclid(DAY) + MONDAY).rem_euclid(7);
    u8::try_from(weekday * 24 + local.rem_euclid(DAY) / HOUR).expect("below 168")
}

/// Converts ascending slots to times of the clock. The zone is asked once for each change of its offset.
struct ZoneClock<'a> {
    zone: &'a TimeZone,
    offset: i64,
    /// The second of the next change, `None` if there is no other.
    until: Option<i64>,
}

impl ZoneClock<'_> {
    fn local(&mut self, slot: u32) -> i64 {
        let second = i64::from(slot) * SLOT_SECONDS;
        if self.until.is_some_and(|until| until <= second) {
            // The years of a valid span are those of a timestamp.
            let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
            self.offset = i64::from(self.zone.to_offset(time).seconds());
            self.until = self.zone.following(time).next().map(|change| change.timestamp().as_second());
        }
        second + self.offset
    }
}

/// Numbers the buckets of ascending slots.
struct Buckets {
    granularity: Granularity,
    names: Vec<i64>,
    starts: Vec<i64>,
    /// The time of the clock in the slot before.
    before: i64,
}

impl Buckets {
    fn push(&mut self, slot: u32, local: i64) -> u32 {
        let is_set_back = local < self.before;
        self.before = local;
        let name = self.granularity.number(local);
        let is_new_hour = is_set_back && self.granularity.repeats();
        // A clock that is set back at midnight may lead to the day before.
        let known = self.names.iter().rposition(|known| *known <= name).filter(|at| self.names[*at] == name);
        let number = known.filter(|_| !is_new_hour).unwrap_or_else(|| {
            self.names.push(name);
            // The slots before the span are pushed too, so this is the first slot of the bucket.
            self.starts.push(TimeSlot(slot).start_millis());
            self.names.len() - 1
        });
        u32::try_from(number).expect("fewer than slots")
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;
    use proptest::prelude::*;

    use super::*;

    // Offsets with half and quarter hours, and changes by half an hour, at midnight and by a whole day.
    const ZONES: [&str; 9] = [
        "UTC",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
        "America/Asuncion",
        "America/Havana",
    ];

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone of the bundled database")
    }

    fn millis(time: &str, zone: &TimeZone) -> i64 {
        let time: DateTime = time.parse().expect("a time");
        time.to_zoned(zone.clone()).expect("in range").timestamp().as_millisecond()
    }

    fn starts(name: &str, from: &str, to: &str, granularity: Granularity) -> Vec<String> {
        let zone = zone(name);
        let span = Span { from: millis(from, &zone), to: millis(to, &zone) };
        let calendar = Calendar::new(span.slots(), granularity, &zone);
        let text = |start: &i64| {
            let time = Timestamp::from_millisecond(*start).expect("in range").to_zoned(zone.clone());
            format!("{} {}", time.datetime(), time.offset())
        };
        calendar.starts().iter().map(text).collect()
    }

    #[test]
    fn buckets_over_changes_of_the_clock() {
        let rows: [(&str, &str, &str, Granularity, &[&str]); 10] = [
            // The day that Samoa left out.
            (
                "Pacific/Apia",
                "2011-12-29T00:00",
                "2012-01-01T00:00",
                Granularity::Day,
                &["2011-12-29T00:00:00 -10", "2011-12-31T00:00:00 +14"],
            ),
            // Half an hour back: the hour from 1 is there twice, the second time half.
            (
                "Australia/Lord_Howe",
                "2026-04-05T01:00",
                "2026-04-05T03:00",
                Granularity::Hour,
                &["2026-04-05T01:00:00 +11", "2026-04-05T01:30:00 +10:30", "2026-04-05T02:00:00 +10:30"],
            ),
            // Half an hour forward.
            (
                "Australia/Lord_Howe",
                "2026-10-04T01:00",
                "2026-10-04T04:00",
                Granularity::Hour,
                &["2026-10-04T01:00:00 +10:30", "2026-10-04T02:30:00 +11", "2026-10-04T03:00:00 +11"],
            ),
            // An hour back: the hour from 1 is there twice.
            (
                "America/St_Johns",
                "2026-11-01T00:00",
                "2026-11-01T03:00",
                Granularity::Hour,
                &[
                    "2026-11-01T00:00:00 -02:30",
                    "2026-11-01T01:00:00 -02:30",
                    "2026-11-01T01:00:00 -03:30",
                    "2026-11-01T02:00:00 -03:30",
                ],
            ),
            (
                "America/St_Johns",
                "2026-03-08T01:00",
                "2026-03-08T04:00",
                Granularity::Hour,
                &["2026-03-08T01:00:00 -03:30", "2026-03-08T03:00:00 -02:30"],
            ),
            // Hours of this zone begin at a quarter past those of UTC.
            (
                "Asia/Kathmandu",
                "2026-01-01T00:00",
                "2026-01-01T02:00",
                Granularity::Hour,
                &["2026-01-01T00:00:00 +05:45", "2026-01-01T01:00:00 +05:45"],
            ),
            (
                "Asia/Kolkata",
                "2026-01-01T00:00",
                "2026-01-03T00:00",
                Granularity::Day,
                &["2026-01-01T00:00:00 +05:30", "2026-01-02T00:00:00 +05:30"],
            ),
            // A bucket has its own start where the span begins inside of it.
            (
                "Asia/Kolkata",
                "2026-01-01T13:20",
                "2026-01-05T00:01",
                Granularity::Week,
                &["2025-12-29T00:00:00 +05:30", "2026-01-05T00:00:00 +05:30"],
            ),
            // One minute of March is enough for its bucket.
            (
                "Europe/Berlin",
                "2026-03-31T23:59",
                "2026-05-01T00:00",
                Granularity::Month,
                &["2026-03-01T00:00:00 +01", "2026-04-01T00:00:00 +02"],
            ),
            // Clocks are set back at midnight: the day has 25 hours.
            (
                "America/Asuncion",
                "2024-03-23T00:00",
                "2024-03-25T00:00",
                Granularity::Day,
                &["2024-03-23T00:00:00 -03", "2024-03-24T00:00:00 -04"],
            ),
        ];
        for (zone, from, to, granularity, want) in rows {
            assert_eq!(starts(zone, from, to, granularity), want, "{zone} {from} {granularity:?}");
        }
        // The third quarter is in the span with its first minute only.
        let quarters = starts("UTC", "2026-01-01T00:00", "2026-01-01T00:31", Granularity::Quarter);
        assert_eq!(quarters.len(), 3, "{quarters:?}");
    }

    #[test]
    fn the_span_before() {
        let rows = [
            // Days of 23 and 25 hours are days.
            ("Europe/Berlin", "2026-03-29T00:00", "2026-03-30T00:00", "2026-03-28T00:00"),
            ("Europe/Berlin", "2026-03-30T00:00", "2026-04-06T00:00", "2026-03-23T00:00"),
            // Not from the start of a day, so by its length of 24 hours.
            ("Europe/Berlin", "2026-03-30T12:00", "2026-03-31T12:00", "2026-03-29T12:00"),
            // The day before that day does not exist.
            ("Pacific/Apia", "2012-01-02T00:00", "2012-01-04T00:00", "2011-12-31T00:00"),
            // 28 days, although the span is a month.
            ("Asia/Kathmandu", "2026-02-01T00:00", "2026-03-01T00:00", "2026-01-04T00:00"),
        ];
        for (name, from, to, before) in rows {
            let zone = zone(name);
            let [from, to, before] = [from, to, before].map(|time| millis(time, &zone));
            assert_eq!(Span { from, to }.previous(&zone), Span { from: before, to: from }, "{name}");
        }
        let all = Span { from: 3_600_000, to: 90_000_000 };
        assert_eq!(all.previous(&TimeZone::UTC), Span { from: 0, to: 3_600_000 }, "nothing is before 1970");
    }

    #[test]
    fn months_before() {
        let rows = [
            ("2026-11-01T00:00", "2026-11-15T15:00", Some(("2026-10-01T00:00", "2026-10-15T15:00"))),
            ("2026-11-01T00:00", "2026-12-01T00:00", Some(("2026-10-01T00:00", "2026-11-01T00:00"))),
            ("2025-12-01T00:00", "2026-11-15T15:00", Some(("2024-12-01T00:00", "2025-11-15T15:00"))),
            // February has no 31st, and its end is the end of the span before.
            ("2026-03-01T00:00", "2026-03-31T12:00", Some(("2026-02-01T00:00", "2026-02-28T12:00"))),
            ("2026-03-01T00:00", "2026-04-01T00:00", Some(("2026-02-01T00:00", "2026-03-01T00:00"))),
            ("2026-11-02T00:00", "2026-12-01T00:00", None),
            ("2026-11-01T00:15", "2026-12-01T00:00", None),
        ];
        for name in ["UTC", "Europe/Berlin", "Asia/Kathmandu"] {
            let zone = zone(name);
            for (from, to, want) in rows {
                let span = |from, to| Span { from: millis(from, &zone), to: millis(to, &zone) };
                let want = want.map(|(from, to)| span(from, to));
                assert_eq!(span(from, to).months_before(&zone), want, "{name} {from} {to}");
            }
            let whole =
                |from, to| Span { from: millis(from, &zone), to: millis(to, &zone) }.has_whole_months(&zone);
            assert!(
                whole("2026-11-01T00:00", "2027-01-01T00:00")
                    && !whole("2026-11-01T00:00", "2026-12-02T00:00")
            );
        }
    }

    #[test]
    fn granularities_have_names() {
        for granularity in GRANULARITIES {
            assert_eq!(Granularity::of_name(granularity.name()), Some(granularity));
        }
        assert_eq!(Granularity::of_name("year"), None);
    }

    #[test]
    fn the_slots_of_a_span() {
        assert_eq!(Span { from: 0, to: 900_000 }.slots(), 0..1);
        assert_eq!(Span { from: 899_999, to: 900_001 }.slots(), 0..2);
        assert_eq!(Span { from: 900_000, to: 900_001 }.slots(), 1..2);
    }

    #[test]
    fn the_months_of_days() {
        let day = jiff::civil::date(1970, 1, 1);
        let of = |date: jiff::civil::Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let base = month(0) - of(day);
        // Until 2134: the year 2100 has no leap day, and 2000 had one.
        for days in 0..60_000 {
            let date = day.checked_add(jiff::Span::new().days(days)).expect("in range");
            assert_eq!(month(days) - base, of(date), "{date}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // Each slot of a span of up to a month, which may contain a change of the clock, is compared with the
        // date and the hour that the zone has for its first and its last millisecond.
        #[test]
        fn every_slot_is_in_its_bucket(
            name in proptest::sample::select(&ZONES[..]),
            // From 2012 on: in Newfoundland the clock changed at 0:01 before (see above).
            from in 1_325_400_000_i64..1_800_000_000,
            slots in 1_u32..3_000,
            granularity in proptest::sample::select(&GRANULARITIES[..]),
        ) {
            let zone = zone(name);
            let first = TimeSlot::of_millis(from * 1_000).0;
            let calendar = Calendar::new(first..first + slots, granularity, &zone);
            for slot in first..first + slots {
                let bucket = calendar.bucket(slot).expect("in the span") as usize;
                let start = Timestamp::from_millisecond(calendar.starts()[bucket]).expect("in range");
                let start = start.to_zoned(zone.clone());
                for millis in [TimeSlot(slot).start_millis(), TimeSlot(slot).start_millis() + 899_999] {
                    let time = Timestamp::from_millisecond(millis).expect("in range").to_zoned(zone.clone());
                    let day = time.start_of_day().expect("in range");
                    let monday = i64::from(time.weekday().to_monday_zero_offset());
                    let date = time.date();
                    match granularity {
                        Granularity::Quarter => {
                            prop_assert_eq!(start.timestamp().as_millisecond(), TimeSlot(slot).start_millis());
                        }
                        Granularity::Hour => {
                            prop_assert_eq!((start.date(), start.hour()), (date, time.hour()));
                            prop_assert_eq!(start.offset(), time.offset());
                        }
                        Granularity::Day => prop_assert_eq!(&start, &day),
                        Granularity::Week => {
                            let date = date.checked_sub(jiff::Span::new().days(monday)).expect("in range");
                            prop_assert_eq!(&start, &date.to_zoned(zone.clone()).expect("in range"));
                        }
                        Granularity::Month => {
                            let date = date.first_of_month();
                            prop_assert_eq!(&start, &date.to_zoned(zone.clone()).expect("in range"));
                        }
                    }
                    let hour = monday * 24 + i64::from(time.hour());
                    prop_assert_eq!(calendar.hour_of_week(slot).map(i64::from), Some(hour));
                }
            }
            prop_assert_eq!(calendar.bucket(first + slots), None);
            prop_assert!(first == 0 || calendar.bucket(first - 1).is_none());
        }
    }
}
