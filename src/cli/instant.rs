//! Instants as people type them.

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::output::print_note;
use crate::clock::{Clock, GivenTime, Timestamp};

/// All forms, for errors.
const FORMS: &str = "must be a date such as 2027-12-31, a time such as 2027-12-31T18:00:00Z, a duration from now such as 30d, \
                     12h, 1w, 6mo, 90min or 2d12h, or never";

/// Units of durations, in seconds. Months are counted in the calendar.
const UNITS: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// The unit that is minutes for some people and months for others.
const AMBIGUOUS: &str = "m";

/// Most months of a duration: a thousand years. Past it: rejected, like a date that cannot be.
const MONTHS_MAX: i32 = 12_000;

/// A duration as it is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lasts {
    months: i64,
    seconds: u64,
}

/// The end of a link or a key.
#[derive(Clone, Debug)]
pub(super) struct End {
    text: String,
    /// The instant; `None` for never.
    at: Option<Timestamp>,
    /// The value for the API.
    value: Value,
}

impl End {
    /// Parses a date, a time, a duration from now, or `never`.
    pub(super) fn parse(text: &str) -> Result<End, String> {
        let end = |at, value| Ok(End { text: text.to_owned(), at, value });
        if matches!(text, "" | "never" | "none") {
            return end(None, Value::Null);
        }
        if let Some(lasts) = duration(text)? {
            let at = lasts.after(Clock::system().now()).ok_or(FORMS)?;
            return end(Some(at), json!(at.to_string()));
        }
        // The server reads it again, with the same rule as for all its clients.
        let given = GivenTime::parse_end(text).map_err(|_| FORMS.to_owned())?;
        // The server knows the zone of a date alone: it has passed if it has passed in every zone.
        let last = TimeZone::fixed(jiff::tz::offset(-12));
        end(Some(given.within(|| last)), json!(text))
    }

    /// Returns the value for the API. Warns about an end in the past.
    pub(super) fn value(&self) -> Value {
        if self.at.is_some_and(|at| at <= Clock::system().now()) {
            print_note(&format!("warning: --expires {} is in the past", self.text));
        }
        self.value.clone()
    }
}

impl Lasts {
    /// Returns the instant after this time, or `None` if it is too far away.
    fn after(self, now: Timestamp) -> Option<Timestamp> {
        let zoned = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC);
        let months = self.months.try_into().ok().filter(|months: &i32| *months <= MONTHS_MAX)?;
        // The last day of a month that has no such day.
        let end = zoned.checked_add(months.months()).ok()?;
        let millis = i64::try_from(self.seconds).ok()?.checked_mul(1_000)?;
        Some(Timestamp::from_millis(end.timestamp().as_millisecond()).plus_millis(millis))
    }
}

/// Parses `30d`, `2d12h` or `6mo`: whole numbers, each with its unit. Returns `None` for anything else, and fails for
/// `1m`, which is a minute or a month.
fn duration(text: &str) -> Result<Option<Lasts>, String> {
    let mut lasts = Lasts::default();
    let mut rest = text;
    let mut last_unit = "";
    while !rest.is_empty() {
        // Dates begin with a number as well, and have no unit behind it.
        let (number, tail) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (unit, tail) = tail.split_at(tail.bytes().take_while(u8::is_ascii_alphabetic).count());
        let Ok(count) = number.parse::<u32>() else { return Ok(None) };
        // Nobody adds months to hours: `1h30m` is clear.
        let is_clear = last_unit == "h";
        let each = UNITS.into_iter().find(|(name, _)| *name == unit);
        match (unit, each) {
            ("mo", _) => lasts.months += i64::from(count),
            (AMBIGUOUS, _) if is_clear => lasts.seconds = lasts.seconds.saturating_add(u64::from(count) * 60),
            (AMBIGUOUS, _) => {
                return Err(format!("{number}m may mean minutes or months: write {number}min or {number}mo"));
            }
            (_, Some((_, each))) => lasts.seconds = lasts.seconds.saturating_add(u64::from(count) * each),
            (_, None) => return Ok(None),
        }
        (last_unit, rest) = (unit, tail);
    }
    Ok((!text.is_empty()).then_some(lasts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let lasts = |months, seconds| Some(Lasts { months, seconds });
        let rows = [
            ("30d", lasts(0, 2_592_000)),
            ("1w", lasts(0, 604_800)),
            ("2d12h", lasts(0, 216_000)),
            ("1h30m", lasts(0, 5_400)),
            ("1h30min", lasts(0, 5_400)),
            ("90min", lasts(0, 5_400)),
            ("90s", lasts(0, 90)),
            ("6mo", lasts(6, 0)),
            ("1mo2d", lasts(1, 172_800)),
            ("", None),
            ("d", None),
            ("30", None),
            ("1d2", None),
            ("1y", None),
            ("-1d", None),
            ("1.5d", None),
            ("2027-12-31", None),
            ("99999999999999999999d", None),
        ];
        for (text, want) in rows {
            assert_eq!(duration(text), Ok(want), "{text}");
        }
        for text in ["1m", "90m", "1d5m", "1mo5m"] {
            assert!(duration(text).is_err_and(|why| why.contains("min or ")), "{text}");
        }
        let now: Timestamp = "2027-01-31T10:00:00Z".parse().expect("a time");
        let after = |text: &str| {
            duration(text).ok().flatten().and_then(|lasts| lasts.after(now)).map(|at| at.to_string())
        };
        // The last day of a month that has no 31st.
        assert_eq!(after("1mo").as_deref(), Some("2027-02-28T10:00:00.000Z"));
        assert_eq!(after("12mo1h").as_deref(), Some("2028-01-31T11:00:00.000Z"));
        assert_eq!(after("4294967295mo"), None);
    }

    #[test]
    fn instants() {
        let value = |text: &str| End::parse(text).map(|end| end.value).ok();
        assert_eq!([value("never"), value("")], [Some(Value::Null), Some(Value::Null)]);
        assert_eq!(value("2027-01-01"), Some(json!("2027-01-01")));
        let later = value("4w2d").and_then(|at| at.as_str().map(str::to_owned)).expect("a time");
        assert!(later > Clock::system().now().plus_millis(29 * 86_400_000).to_string(), "{later}");
        for text in ["tomorrow", "soon", "1y", "2027-13-01", "30", "99999999999w", "4294967295mo"] {
            let error = End::parse(text).map(|end| end.value);
            assert!(error.as_ref().is_err_and(|why| why == FORMS), "{text}: {error:?}");
        }
    }
}
