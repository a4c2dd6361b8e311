//! [`Period`]: the time of a question about clicks, as clients name it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use crate::analytics::query::calendar::{Granularity, Span};
use crate::clock::Timestamp;

/// The time of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// The last days of the calendar, today included.
    Days(i32),
    /// The last hours of the clock, up to this moment.
    Hours(i64),
    /// The last months of the calendar, the present one included.
    Months(i32),
    /// From the first click or the creation, whatever is earlier, to now.
    All,
    /// From an instant to another one, which the span does not contain; without it to now.
    Between(Timestamp, Option<Timestamp>),
}

impl Period {
    /// Returns the span that a span of this period is compared with: months with months, and all else by its length.
    pub(super) fn before(&self, span: Span, zone: &TimeZone) -> Span {
        let of_months = match self {
            Period::Months(_) => true,
            Period::Between(..) => span.has_whole_months(zone),
            Period::Days(_) | Period::Hours(_) | Period::All => false,
        };
        // A question begins with the day of a month only by chance: seven days are compared with seven days.
        let months = if of_months { span.months_before(zone) } else { None };
        months.unwrap_or_else(|| span.previous(zone))
    }

    /// Returns the span of the period at `now`, `None` if it contains nothing.
    pub(super) fn span(&self, now: Timestamp, first: Timestamp, zone: &TimeZone) -> Option<Span> {
        let time = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(zone.clone());
        // The present quarter of an hour is in the span.
        let to = now.as_millis() + 1;
        let since = |time: Option<Zoned>| time.map(|time| time.timestamp().as_millisecond());
        let from = match self {
            // By the clock: the last 24 hours are no calendar day when an offset changes.
            Period::Hours(hours) => now.as_millis() - hours * 3_600_000,
            // By the calendar: a day of 23 or 25 hours is in the span as a whole.
            Period::Days(days) => since(midnight(time.date().checked_sub((days - 1).days()).ok()?, zone))?,
            Period::Months(months) => {
                since(midnight(time.date().first_of_month().checked_sub((months - 1).months()).ok()?, zone))?
            }
            // From the start of its day: cells that have become coarser begin there.
            Period::All => first.as_millis().min(now.as_millis()).div_euclid(DAY) * DAY,
            Period::Between(from, until) => {
                let to = until.map_or(to, Timestamp::as_millis);
                // Also with an end: a time that has not begun is a mistake, and its answer would look like one without clicks.
                let has_begun = from <= &now;
                return Some(Span { from: from.as_millis(), to })
                    .filter(|span| has_begun && span.from < span.to && span.from >= 0);
            }
        };
        // A period of many years may begin before 1970, and no slot does.
        Some(Span { from: from.max(0), to }).filter(|span| span.from < span.to)
    }
}

fn midnight(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()
}

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// Returns a granularity with some dozens of rows.
pub(super) fn fitting(span: Span) -> Granularity {
    match (span.to - span.from) / DAY {
        0..=2 => Granularity::Hour,
        3..=100 => Granularity::Day,
        101..=800 => Granularity::Week,
        _ => Granularity::Month,
    }
}
