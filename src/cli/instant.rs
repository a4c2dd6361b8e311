//! Instants as people type them.

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::settings::duration;

/// Returns an instant in the form of the API, from a date, a time, a duration from now, or `never`.
pub(super) fn when(text: &str) -> Value {
    if matches!(text, "" | "never" | "none") {
        return Value::Null;
    }
    let lasts = duration::parse(text).and_then(|lasts| i64::try_from(lasts.as_millis()).ok());
    match lasts {
        Some(millis) => json!(Clock::system().now().plus_millis(millis).to_string()),
        // The server checks it, with the same rule as for all its clients.
        None => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        assert_eq!([when("never"), when("")], [Value::Null, Value::Null]);
        assert_eq!(when("2027-01-01"), json!("2027-01-01"));
        let later = when("30d").as_str().expect("a time").to_owned();
        assert!(later > Clock::system().now().plus_millis(29 * 86_400_000).to_string(), "{later}");
    }
}
