//! Durations as `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"30d"`: one whole number and one unit. For
//! `#[serde(with = "crate::settings::duration")]`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Units by name, in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Deserializes a duration. Fails unless it is a text that [`parse`] reads.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let wrong = || D::Error::custom("must be a duration such as \"500ms\", \"10s\", \"5m\" or \"30d\"");
    // One message for every wrong value: the likeliest mistake is a number without quotation marks and unit.
    let text = String::deserialize(deserializer).map_err(|_| wrong())?;
    parse(&text).ok_or_else(wrong)
}

/// Serializes a duration as [`show`] formats it.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

/// Parses `10s`. Returns `None` for anything but one whole number and one unit.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// Returns the shortest text that [`parse`] reads as this duration, to the millisecond.
pub fn show(duration: Duration) -> String {
    let total = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fitting = UNITS.into_iter().rev().find(|(_, millis)| total > 0 && total % millis == 0);
    let (unit, millis) = fitting.unwrap_or(("s", 1_000));
    format!("{}{unit}", total / millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let rows = [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("10", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("10 s", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, millis) in rows {
            let want = millis.map(Duration::from_millis);
            assert_eq!(parse(text), want, "{text}");
            if let Some(duration) = want {
                assert_eq!(show(duration), text);
            }
        }
    }
}
