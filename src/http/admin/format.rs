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
    // As exact as the moment is: a form that is saved without an edit must not change it.
    let format = match at.as_millis() {
        millis if millis % 60_000 == 0 => "%Y-%m-%dT%H:%M",
        millis if millis % 1_000 == 0 => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.3f",
    };
    instant.map_or_else(|_| String::new(), |instant| instant.strftime(format).to_string())
}

/// Returns a moment that a browser has entered as the API takes it. Any other text is for the API to refuse.
pub(super) fn with_zone(text: &str) -> String {
    match text.len() {
        16 if text.contains('T') => format!("{text}:00Z"),
        19.. if text.contains('T') && !text.ends_with('Z') => format!("{text}Z"),
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
    fn moments_are_entered_as_they_are_shown() {
        let rows = [
            (1_796_015_220_000, "2026-11-30T05:07", "2026-11-30T05:07:00Z"),
            (1_796_015_221_000, "2026-11-30T05:07:01", "2026-11-30T05:07:01Z"),
            (1_796_015_221_999, "2026-11-30T05:07:01.999", "2026-11-30T05:07:01.999Z"),
        ];
        for (millis, entered, sent) in rows {
            assert_eq!(moment(Timestamp::from_millis(millis)), entered);
            assert_eq!(with_zone(entered), sent);
        }
        // Of programs, and for the API to refuse.
        assert_eq!(with_zone("2026-11-30T05:07:01Z"), "2026-11-30T05:07:01Z");
        assert_eq!(with_zone("soon"), "soon");
    }

    #[test]
    fn times_name_their_zone() {
        let at = Timestamp::from_millis(1_796_015_220_000);
        assert_eq!((day(at).as_str(), minute(at).as_str()), ("30 Nov 2026", "30 Nov 2026, 05:07 UTC"));
    }
}
