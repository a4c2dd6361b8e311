//! Instants as people type them.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::output::print_note;
use crate::clock::{Clock, GivenTime, Timestamp};

/// All forms, for errors.
const FORMS: &str = "must be a date such as 2027-12-31, a time such as 2027-12-31T18:00:00Z, a duration from now such as 30d, \
                     12h, 1w or 2d12h, or never";

/// Units of durations, in seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

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
        if let Some(lasts) = duration(text).and_then(|lasts| i64::try_from(lasts.as_millis()).ok()) {
            let at = Clock::system().now().plus_millis(lasts);
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

/// Parses `30d`, `2d12h` or `1w`: whole numbers, each with its unit.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        let (_, each) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(each)?)?;
        rest = &tail[unit.len_utf8()..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let rows = [
            ("30d", Some(2_592_000)),
            ("1w", Some(604_800)),
            ("2d12h", Some(216_000)),
            ("1h30m", Some(5_400)),
            ("90s", Some(90)),
            ("", None),
            ("d", None),
            ("30", None),
            ("1d2", None),
            ("1y", None),
            ("-1d", None),
            ("1.5d", None),
            ("99999999999999999999d", None),
            ("9999999999999999999w", None),
        ];
        for (text, want) in rows {
            assert_eq!(duration(text), want.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn instants() {
        let value = |text: &str| End::parse(text).map(|end| end.value).ok();
        assert_eq!([value("never"), value("")], [Some(Value::Null), Some(Value::Null)]);
        assert_eq!(value("2027-01-01"), Some(json!("2027-01-01")));
        let later = value("4w2d").and_then(|at| at.as_str().map(str::to_owned)).expect("a time");
        assert!(later > Clock::system().now().plus_millis(29 * 86_400_000).to_string(), "{later}");
        for text in ["tomorrow", "soon", "1y", "2027-13-01", "30", "99999999999w"] {
            let error = End::parse(text).map(|end| end.value);
            assert!(
                error.as_ref().is_err_and(|why| why == FORMS) || text == "99999999999w",
                "{text}: {error:?}"
            );
        }
    }
}
