//! What the checks of a link have found, as a line for people.

use serde_json::Value;

use crate::cli::columns::text;

/// Returns the line of a link, `None` in a workspace without checks.
pub(super) fn line(health: &Value) -> Option<String> {
    let status = health["status"].as_str()?;
    let Some(checked_at) = health["checkedAt"].as_str() else {
        // Nothing else is known before the first check.
        return Some(format!("{status}: not checked yet"));
    };
    let http_status = health["httpStatus"].as_u64().map_or(String::new(), |status| format!(" ({status})"));
    let place = health["url"].as_str().map_or(String::new(), |_| format!(" at {}", text(&health["url"])));
    let (since, reason) = (text(&health["since"]), text(&health["reason"]));
    Some(format!("{status} since {since}: {reason}{http_status}{place}; checked at {checked_at}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_has_one_line() {
        let found = |status: &str, http_status: Value, url: Value| json!({"status": status, "since": "A", "checkedAt": "B", "url": url, "httpStatus": http_status, "reason": "r"});
        let rows = [
            (Value::Null, None),
            (json!({"status": "unknown", "checkedAt": null}), Some("unknown: not checked yet")),
            (found("ok", json!(200), Value::Null), Some("ok since A: r (200); checked at B")),
            (
                found("broken", Value::Null, json!("https://e.test/")),
                Some("broken since A: r at https://e.test/; checked at B"),
            ),
        ];
        for (health, want) in rows {
            assert_eq!(line(&health).as_deref(), want, "{health}");
        }
    }
}
