//! Dates as the two versions of HighLevel's API write them: `10-28-2022 06:24 PM` (month first, as in its
//! `dateAdded`), and ISO 8601. All are UTC, since no request names a zone.

use crate::clock::Timestamp;

/// The rule of a date.
pub(super) const RULE: &str = "must be a date such as 10-28-2022 06:24 PM or 2022-10-28T18:24:00Z";

const MINUTE_MILLIS: i64 = 60 * 1_000;
const DAY_MILLIS: i64 = 24 * 60 * MINUTE_MILLIS;

/// Parses either format. With `to_its_end`, a date of a minute or of a day is the last millisecond of that
/// minute or day.
pub(super) fn read(text: &str, to_its_end: bool) -> Option<Timestamp> {
    let text = text.trim();
    let (at, unit) = match twelve_hours(text) {
        Some(at) => (at, MINUTE_MILLIS),
        // A `+` of an offset that was not percent-encoded has become a space.
        None => match text.parse() {
            // Only a date without a time covers a whole day.
            Ok(at) => (at, if text.len() == "2022-10-28".len() { DAY_MILLIS } else { 1 }),
            Err(_) => (text.rsplit_once(' ').and_then(|(a, b)| format!("{a}+{b}").parse().ok())?, 1),
        },
    };
    Some(if to_its_end { at.plus_millis(unit - 1) } else { at })
}

/// Parses `10-28-2022 06:24 PM`, also with slashes, one digit, or no space before AM or PM.
fn twelve_hours(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(' ')?;
    let mut parts = date.split(['-', '/']);
    let (month, day, year) =
        (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 4)?);
    // A year of two digits is ambiguous.
    if parts.next().is_some() || year < 1_000 {
        return None;
    }
    let time = time.trim().to_ascii_uppercase();
    let (clock, noon) = match (time.strip_suffix("AM"), time.strip_suffix("PM")) {
        (Some(clock), _) => (clock, 0),
        (_, Some(clock)) => (clock, 12),
        _ => return None,
    };
    let (hour, minute) = clock.trim_end().split_once(':')?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    if !(1..=12).contains(&hour) || minute > 59 {
        return None;
    }
    // 12 AM is midnight, and 12 PM is noon.
    let hour = hour % 12 + noon;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z").parse().ok()
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let fits = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Returns `10/28/2022, 6:24:54 PM`, as in the vendor's example.
pub(super) fn show(at: Timestamp) -> String {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let parts = (part(0, 4), part(5, 7), part(8, 10), part(11, 13), text.get(13..19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(rest)) = parts else { return text };
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!("{month}/{day}/{year}, {hour}{rest} {half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        let rows = [
            ("10-10-2022 12:00 AM", false, Some("2022-10-10T00:00:00.000Z")),
            ("10-28-2022 06:24 PM", false, Some("2022-10-28T18:24:00.000Z")),
            ("10-28-2022 06:24 PM", true, Some("2022-10-28T18:24:59.999Z")),
            ("1/2/2022 12:05pm", false, Some("2022-01-02T12:05:00.000Z")),
            ("2022-10-28T18:24:54.000Z", true, Some("2022-10-28T18:24:54.000Z")),
            // A `+` that was not percent-encoded.
            ("2022-10-28T18:24:54 02:00", false, Some("2022-10-28T16:24:54.000Z")),
            ("2022-10-28", true, Some("2022-10-28T23:59:59.999Z")),
            // The month comes first, so this is month 28.
            ("28-10-2022 06:24 PM", false, None),
            ("10-28-2022 13:24 PM", false, None),
            ("10-28-2022 06:60 PM", false, None),
            ("10-28-2022", false, None),
            ("10-28-22 06:24 PM", false, None),
            ("", false, None),
            ("yesterday", false, None),
        ];
        for (text, to_its_end, want) in rows {
            let got = read(text, to_its_end).map(|at| at.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn shown_as_in_the_example() {
        let rows = [
            ("2022-10-28T18:24:54Z", "10/28/2022, 6:24:54 PM"),
            ("2022-01-02T00:05:06Z", "1/2/2022, 12:05:06 AM"),
            ("2022-01-02T12:00:00Z", "1/2/2022, 12:00:00 PM"),
        ];
        for (at, want) in rows {
            assert_eq!(show(at.parse().expect("valid")), want, "{at}");
        }
    }
}
