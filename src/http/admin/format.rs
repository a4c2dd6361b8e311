//! Times as pages show them.

use crate::clock::Timestamp;

/// Returns the day of a time, in UTC: `30 Nov 2026`.
pub(super) fn day(at: Timestamp) -> String {
    shown(at, "%-d %b %Y")
}

/// Returns day and minute of a time, in UTC: `30 Nov 2026, 05:07 UTC`.
pub(super) fn minute(at: Timestamp) -> String {
    shown(at, "%-d %b %Y, %H:%M UTC")
}

/// Returns a moment as browsers enter it, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis());
    // Seconds only where there are some: most people enter minutes.
    let format = if at.as_millis() % 60_000 == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    instant.map_or_else(|_| String::new(), |instant| instant.strftime(format).to_string())
}

/// Returns a moment that a browser has entered as the API takes it. Any other text is for the API to refuse.
pub(super) fn with_zone(text: &str) -> String {
    match text.len() {
        16 if text.contains('T') => format!("{text}:00Z"),
        19 if text.contains('T') => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

fn shown(at: Timestamp, format: &str) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis());
    // Times of records are within the years that a calendar has.
    instant.map_or_else(|_| at.to_string(), |instant| instant.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_zone() {
        let at = Timestamp::from_millis(1_796_015_220_000);
        assert_eq!((day(at).as_str(), minute(at).as_str()), ("30 Nov 2026", "30 Nov 2026, 05:07 UTC"));
    }
}
