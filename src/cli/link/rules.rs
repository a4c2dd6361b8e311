//! The rules of a link as text for people.

use serde_json::Value;

use crate::cli::columns::text;

/// Returns a line for each rule: its id and name, when it holds, and where it leads.
pub(super) fn lines(rules: &Value) -> Vec<(String, String)> {
    let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
    rules.iter().map(|rule| (format!("rule {}", text(&rule["id"])), line(rule))).collect()
}

/// Returns the id of a rule, as in statistics, and its name.
pub(super) fn title(rule: &Value) -> String {
    let name = rule["name"].as_str().map(|name| format!(" {name:?}")).unwrap_or_default();
    format!("rule {}{name}", text(&rule["id"]))
}

/// Returns when a rule holds, and where it leads.
pub(super) fn line(rule: &Value) -> String {
    let conditions = rule["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let between = if rule["match"] == "any" { " or " } else { " and " };
    let conditions: Vec<_> = conditions.iter().map(condition).collect();
    let mut parts = Vec::new();
    if rule["enabled"] == false {
        parts.push("off".to_owned());
    }
    parts.extend(rule["name"].as_str().map(|name| format!("{name:?}")));
    parts.push(if conditions.is_empty() {
        "always".to_owned()
    } else {
        format!("if {}", conditions.join(between))
    });
    for (name, word) in [("from", "from"), ("until", "until")] {
        parts.extend(rule[name].as_str().map(|at| format!("{word} {at}")));
    }
    format!("{}: {}", parts.join(" "), outcome(rule))
}

fn condition(condition: &Value) -> String {
    let key = condition["key"].as_str().map(|key| format!(" {key}")).unwrap_or_default();
    let value = match &condition["value"] {
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("+"),
                    other => text(other),
                };
                (!value.is_empty()).then(|| format!("{name} {value}"))
            };
            members.iter().filter_map(member).collect::<Vec<_>>().join(" ")
        }
        other => text(other),
    };
    format!("{}{key} {} {value}", text(&condition["field"]), text(&condition["operator"]))
}

fn outcome(rule: &Value) -> String {
    if let Some(url) = rule["url"].as_str() {
        return url.to_owned();
    }
    let Some(variants) = rule["variants"].as_array() else { return text(&rule["status"]) };
    let variant = |variant: &Value| {
        let name = variant_name(if variant["name"].is_null() { &variant["id"] } else { &variant["name"] });
        format!("{name} (weight {}) {}", text(&variant["weight"]), text(&variant["url"]))
    };
    let winner = &rule["winner"];
    let ended = if winner.is_null() { String::new() } else { format!("; winner {}", variant_name(winner)) };
    variants.iter().map(variant).collect::<Vec<_>>().join(", ") + &ended
}

/// Returns the name of a variant, or its id as such: weight and id are both numbers.
fn variant_name(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("variant {value}"), |name| format!("{name:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_rule() {
        let rules = json!([
            {"id": 3, "name": "DE", "enabled": true, "match": "all", "conditions": [
                {"field": "country", "operator": "in", "value": ["DE", "AT"]},
                {"field": "query", "key": "a", "operator": "exists", "value": true}], "url": "https://e.test/de"},
            {"id": 4, "name": null, "enabled": false, "match": "all", "conditions": [], "until": "2027-01-01T00:00:00.000Z",
             "variants": [{"id": 1, "name": "a", "url": "https://e.test/a", "weight": 60},
                {"id": 2, "name": null, "url": "https://e.test/b", "weight": 40}], "winner": "a"},
            {"id": 5, "match": "any", "conditions": [
                {"field": "time", "operator": "within", "value": {"days": ["mon", "tue"], "from": "08:00", "to": "18:00", "zone": "UTC"}},
                {"field": "os", "operator": "equals", "value": "iOS"}], "status": 404},
        ]);
        let want = [
            ("rule 3", "\"DE\" if country in DE, AT and query a exists true: https://e.test/de"),
            (
                "rule 4",
                "off always until 2027-01-01T00:00:00.000Z: \"a\" (weight 60) https://e.test/a, variant 2 (weight 40) \
                 https://e.test/b; winner \"a\"",
            ),
            ("rule 5", "if time within days mon+tue from 08:00 to 18:00 zone UTC or os equals iOS: 404"),
        ];
        let want = want.map(|(name, line)| (name.to_owned(), line.to_owned()));
        assert_eq!(lines(&rules), want);
        assert_eq!(lines(&json!(null)), []);
    }
}
