//! Time as a value. Only this file reads the system's time. All other code takes `now` as an argument, so
//! tests can check expiry, limits and tombstones at any instant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in milliseconds since 1970-01-01T00:00:00Z, the resolution of the APIs.
///
/// Bounded to the years 0001 to 9999, so every value can be printed as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 0001-01-01T00:00:00Z.
const MIN_MILLIS: i64 = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z.
const MAX_MILLIS: i64 = 253_402_300_799_999;

/// All conversions use civil times: jiff's instants end a day before the year 9999 does, and clients write
/// "9999-12-31T23:59:59Z" for "never".
const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

impl Timestamp {
    /// Returns the instant `millis` milliseconds after 1970, clamped to the years 0001 to 9999.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.clamp(MIN_MILLIS, MAX_MILLIS))
    }

    /// Returns the milliseconds since 1970; negative before 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns this instant moved by `millis`, clamped to the years 0001 to 9999.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_add(millis))
    }

    /// Returns the same instant for `httpdate`, which does not support times before 1970.
    pub fn as_system_time(self) -> SystemTime {
        let millis = u64::try_from(self.0).unwrap_or(0);
        UNIX_EPOCH + std::time::Duration::from_millis(millis)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let millis = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |m| -m),
        };
        Timestamp::from_millis(millis)
    }
}

/// Prints RFC 3339 in UTC with milliseconds: `2024-01-15T10:30:00.000Z`, the format of all three APIs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}Z", local(self.0))
    }
}

/// As the text that [`fmt::Display`] prints.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The error of a text that is not an ISO 8601 instant within the years 0001 to 9999.
#[derive(Debug, thiserror::Error)]
#[error("must be a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z")]
pub struct NotATimestamp;

/// A time as a client gives it: a date alone begins and ends by a time zone, which the reader of the text does not
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenTime {
    /// The same instant in every zone.
    Instant(Timestamp),
    /// The first moment of a day.
    DayStart(Date),
    /// The last millisecond of a day: what ends on the 31st is valid through the 31st.
    DayEnd(Date),
}

impl GivenTime {
    /// Parses an instant like [`Timestamp::from_str`]. A date alone is the beginning of its day.
    pub fn parse_start(text: &str) -> Result<GivenTime, NotATimestamp> {
        parse_given(text, GivenTime::DayStart)
    }

    /// Parses an instant like [`Timestamp::from_str`]. A date alone is the end of its day.
    pub fn parse_end(text: &str) -> Result<GivenTime, NotATimestamp> {
        parse_given(text, GivenTime::DayEnd)
    }

    /// Returns the instant. `zone` is called for a date alone.
    pub fn within(self, zone: impl FnOnce() -> TimeZone) -> Timestamp {
        let start = |date: Date, zone| {
            // Fails for the last days of the year 9999 only, which are those of UTC then.
            let start = date.to_zoned(zone).map(|zoned| zoned.timestamp().as_millisecond());
            start.unwrap_or_else(|_| millis_of(date.at(0, 0, 0, 0)))
        };
        match self {
            GivenTime::Instant(at) => at,
            GivenTime::DayStart(date) => Timestamp::from_millis(start(date, zone())),
            // Not 24 hours from the beginning: days on which the clock changes have 23 or 25.
            GivenTime::DayEnd(date) => match date.tomorrow() {
                Ok(next) => Timestamp::from_millis(start(next, zone()) - 1),
                Err(_) => Timestamp::from_millis(MAX_MILLIS),
            },
        }
    }

    /// Returns the instant, for a place without a zone of its own: the days are those of UTC.
    pub fn in_utc(self) -> Timestamp {
        self.within(|| TimeZone::UTC)
    }
}

impl From<Timestamp> for GivenTime {
    fn from(at: Timestamp) -> GivenTime {
        GivenTime::Instant(at)
    }
}

fn parse_given(text: &str, of_day: fn(Date) -> GivenTime) -> Result<GivenTime, NotATimestamp> {
    let at: Timestamp = text.parse()?;
    // What parses and has none of these is a date alone.
    let has_time = text.contains([':', 'T', 't', ' ']);
    Ok(if has_time { at.into() } else { of_day(local(at.0).date()) })
}

/// Returns the civil time in UTC.
fn local(millis: i64) -> DateTime {
    EPOCH.saturating_add(jiff::SignedDuration::from_millis(millis))
}

fn millis_of(local: DateTime) -> i64 {
    // Within a civil time's range of years, milliseconds fit.
    i64::try_from(local.duration_since(EPOCH).as_millis()).unwrap_or(MAX_MILLIS)
}

/// Accepts RFC 3339 with any offset. Also accepts a local date and time or a bare date, because clients
/// send them, and reads both as UTC. Fails on a leap second (`:60`) and on impossible dates.
impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Timestamp, NotATimestamp> {
        // jiff reads `:60` as `:59`. An instant that moves silently is worse than an error.
        if text.len() > 40 || text.contains(":60") || offset_hours(text) > 23 {
            return Err(NotATimestamp);
        }
        let millis = match text.strip_suffix(['Z', 'z']) {
            Some(utc) if utc.contains(['T', 't', ' ']) => local_as_utc(utc)?,
            Some(_) => return Err(NotATimestamp),
            None => match text.parse::<jiff::Timestamp>() {
                Ok(stamp) => stamp.as_millisecond(),
                Err(_) => local_as_utc(text)?,
            },
        };
        if (MIN_MILLIS..=MAX_MILLIS).contains(&millis) { Ok(Timestamp(millis)) } else { Err(NotATimestamp) }
    }
}

/// Returns the hours of a numeric offset, 0 without an offset. RFC 3339 allows up to 23, jiff up to 25.
fn offset_hours(text: &str) -> u32 {
    let time = text.get(10..).unwrap_or("");
    let hours = time.rsplit_once(['+', '-']).and_then(|(_, offset)| offset.get(..2));
    hours.and_then(|hours| hours.parse().ok()).unwrap_or(0)
}

/// Parses `2026-12-31` or `2026-12-31T23:59:59` as UTC.
fn local_as_utc(text: &str) -> Result<i64, NotATimestamp> {
    // A zone that jiff cannot read ("+25:00", "[Mars/Base]") must not be dropped silently.
    let after_date = text.get(10..).unwrap_or("");
    if after_date.contains(['+', '-', '[', 'Z', 'z']) {
        return Err(NotATimestamp);
    }
    let local: DateTime = text.parse().map_err(|_| NotATimestamp)?;
    let since = local.duration_since(EPOCH);
    i64::try_from(since.as_millis()).map_err(|_| NotATimestamp)
}

/// The source of `now`: the system, or a value that a test sets.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// Returns the system's wall clock.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Returns a clock that stays at `start` until [`Clock::set`] moves it.
    pub fn fixed(start: Timestamp) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(start.0))))
    }

    /// Returns the current instant. Wall time may jump in both directions.
    pub fn now(&self) -> Timestamp {
        if let Some(hand) = &self.0 {
            return Timestamp(hand.load(Ordering::Relaxed));
        }
        SystemTime::now().into()
    }

    /// Moves a fixed clock. Has no effect on the system's clock.
    pub fn set(&self, now: Timestamp) {
        if let Some(hand) = &self.0 {
            hand.store(now.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_and_prints() {
        let rows = [
            ("2024-01-15T10:30:00.000Z", "2024-01-15T10:30:00.000Z"),
            ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"),
            ("2024-01-15T12:30:00+02:00", "2024-01-15T10:30:00.000Z"),
            ("2024-01-15T10:30:00.1239Z", "2024-01-15T10:30:00.123Z"),
            ("2024-01-15T10:30:00", "2024-01-15T10:30:00.000Z"),
            ("2024-01-15", "2024-01-15T00:00:00.000Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ];
        for (text, want) in rows {
            let got = text.parse::<Timestamp>().map(|t| t.to_string());
            assert_eq!(got.ok().as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn a1_a_date_alone_is_a_day_of_its_zone() {
        let shown =
            |time: GivenTime, zone: &str| time.within(|| TimeZone::get(zone).expect("a zone")).to_string();
        // The zone's offset, the days of both changes of its clock, a day that begins at 01:00, one that a zone
        // has skipped, and the ends of the years.
        for (text, zone, start, end) in [
            ("2026-12-31", "UTC", "2026-12-31T00:00:00.000Z", "2026-12-31T23:59:59.999Z"),
            ("2026-12-31", "Europe/Berlin", "2026-12-30T23:00:00.000Z", "2026-12-31T22:59:59.999Z"),
            ("2026-12-31", "America/New_York", "2026-12-31T05:00:00.000Z", "2027-01-01T04:59:59.999Z"),
            ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00.000Z", "2026-03-29T21:59:59.999Z"),
            ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00.000Z", "2026-10-25T22:59:59.999Z"),
            ("2026-03-08", "America/Havana", "2026-03-08T05:00:00.000Z", "2026-03-09T03:59:59.999Z"),
            ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00.000Z", "2011-12-30T09:59:59.999Z"),
            ("9999-12-31", "UTC", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31", "Asia/Kolkata", "9999-12-30T18:30:00.000Z", "9999-12-31T23:59:59.999Z"),
            ("0001-01-01", "Asia/Kolkata", "0001-01-01T00:00:00.000Z", "0001-01-01T18:06:31.999Z"),
        ] {
            assert_eq!(shown(GivenTime::parse_start(text).expect(text), zone), start, "{text} in {zone}");
            assert_eq!(shown(GivenTime::parse_end(text).expect(text), zone), end, "{text} in {zone}");
        }
        // A time is the same in every zone.
        for text in ["2026-12-31T10:00:00Z", "2026-12-31T12:00:00+02:00", "2026-12-31 10:00"] {
            let given = GivenTime::parse_end(text).expect(text);
            assert_eq!(shown(given, "Europe/Berlin"), "2026-12-31T10:00:00.000Z", "{text}");
        }
    }

    /// Rejected, or exact: never an instant that the text does not mean.
    #[test]
    fn t74_texts_that_are_no_instant_are_rejected() {
        for text in [
            "",
            "tomorrow",
            "2024-02-30",
            "2024-02-30T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
            "0000-01-01",
            "+010000-01-01T00:00:00Z",
            "2024-01-15T10:30:00+25:00",
            "1705314600000",
            "2024-01-15T24:00:00Z",
            "2024-01-15T10:30:00[Mars/Base]",
            "1705314600",
            "1705314600.000",
            "-000001-01-01T00:00:00Z",
            "-2024-01-15",
            "10000-01-01T00:00:00Z",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2023-02-29",
            "1900-02-29",
            "2024-1-5",
            "2024-01-15T10:60:00Z",
            "2024-01-15T10:30:61Z",
            "2024-01-15T25:00:00Z",
            "2024-01-15T10:30:00+24:00",
            "2024-01-15T10:30:00-99:00",
            "2024-01-15T10:30:00+01:60",
            "2024-01-15T10:30:00ZZ",
            "2024-01-15T10:30:00Z+01:00",
            "2024-01-15T10:30:00+01:00Z",
            "2024-01-15Z",
            "Z",
            "T10:30:00Z",
            "2024-01-15T",
            "2024-W03-1",
            " 2024-01-15",
            "2024-01-15 ",
            "2024-01-15T10:30:00Z\0",
            "2024-01-15T10:30:00Z\n",
            "\u{ff12}024-01-15",
            "\u{662}\u{660}\u{662}\u{664}-01-15",
            "2024\u{2212}01\u{2212}15",
            "0000-12-31T23:59:59Z",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
            "Mon, 15 Jan 2024 10:30:00 GMT",
            "1/15/2024",
            "P1D",
            "NaN",
            "never",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn t74_a_parsed_timestamp_prints_as_itself(text in "\\PC{0,44}|[0-9+-]{4,7}-[0-9]{2}-[0-9]{2}[Tt ]?[0-9:.+Zz-]{0,24}") {
            if let Ok(stamp) = text.parse::<Timestamp>() {
                let printed = stamp.to_string();
                prop_assert_eq!(printed.parse::<Timestamp>().ok(), Some(stamp), "{}", printed);
            }
        }
    }

    #[test]
    fn a_fixed_clock_moves_only_by_hand() {
        let clock = Clock::fixed(Timestamp::from_millis(5));
        assert_eq!(clock.now().as_millis(), 5);
        clock.clone().set(Timestamp::from_millis(9));
        assert_eq!(clock.now().as_millis(), 9);
    }
}
