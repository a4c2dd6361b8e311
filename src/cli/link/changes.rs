//! The changes of a revision as lines for people. No value is cut: the end of a URL is often what changed.

use serde_json::Value;

use super::rules;
use crate::cli::columns::{columns, printable, text};

/// In front of each line, below the line of its revision.
const INDENT: &str = "  ";

/// What stands for no value.
const NONE: &str = "none";

/// What changed: its name, and the value before and after.
type ShownChange = (String, String, String);

/// Returns the lines of a revision. A change that fits the width has one line, and any other one a line for each value.
pub(super) fn lines(revision: &Value, width: usize) -> Vec<String> {
    let changes = revision["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let changes: Vec<_> = changes.iter().flat_map(shown).collect();
    let changes_values = matches!(revision["operation"].as_str(), Some("edit" | "undo" | "rename" | "move"));
    if changes.is_empty() && changes_values {
        return vec![format!("{INDENT}nothing: all values stayed as they were")];
    }
    changes.iter().flat_map(|change| change_lines(change, width)).collect()
}

fn change_lines((name, before, after): &ShownChange, width: usize) -> Vec<String> {
    let [name, before, after] = [name, before, after].map(|text| printable(text));
    let whole = format!("{INDENT}{name}: {before} -> {after}");
    if columns(&whole) <= width {
        return vec![whole];
    }
    let margin = " ".repeat(columns(&name) + 1);
    vec![format!("{INDENT}{name}: {before}"), format!("{INDENT}{margin}-> {after}")]
}

fn shown(change: &Value) -> Vec<ShownChange> {
    let (before, after) = (&change["before"], &change["after"]);
    if change["field"] == "rules" {
        return changed_rules(list(before), list(after));
    }
    vec![(text(&change["field"]), value(before), value(after))]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn value(value: &Value) -> String {
    let shown = text(value);
    if shown.is_empty() { NONE.to_owned() } else { shown }
}

/// Returns the rules that changed, as `link show` prints them.
fn changed_rules(before: &[Value], after: &[Value]) -> Vec<ShownChange> {
    let name = |rule: &Value| format!("rule {}", text(&rule["id"]));
    let is_same = |a: &Value, b: &Value| a["id"] == b["id"];
    let mut all = Vec::new();
    for rule in after {
        match before.iter().find(|old| is_same(old, rule)) {
            None => all.push((name(rule), NONE.to_owned(), rules::line(rule))),
            Some(old) if old != rule => all.extend(changed_rule(old, rule)),
            Some(_) => {}
        }
    }
    let removed = before.iter().filter(|old| !after.iter().any(|rule| is_same(old, rule)));
    all.extend(removed.map(|old| (name(old), rules::line(old), NONE.to_owned())));
    // The first rule that holds decides, so their order is a change of its own.
    let order = |rules: &[Value], others: &[Value]| -> Vec<String> {
        let kept = rules.iter().filter(|rule| others.iter().any(|other| is_same(other, rule)));
        kept.map(|rule| text(&rule["id"])).collect()
    };
    let (first, then) = (order(before, after), order(after, before));
    if first != then {
        all.push(("order of rules".to_owned(), first.join(", "), then.join(", ")));
    }
    all
}

fn changed_rule(old: &Value, rule: &Value) -> Vec<ShownChange> {
    let name = format!("rule {}", text(&rule["id"]));
    let (before, after) = (rules::line(old), rules::line(rule));
    if before != after {
        return vec![(name, before, after)];
    }
    // What the line of a rule leaves out, such as `sticky`.
    let members =
        rule.as_object().into_iter().flatten().filter(|(member, new)| old[member.as_str()] != **new);
    members
        .map(|(member, new)| (format!("{name} {member}"), value(&old[member.as_str()]), value(new)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_changed_are_shown_as_rules() {
        let rule = |id: u32, url: &str| json!({"id": id, "conditions": [], "url": url});
        let split = |sticky: &str| json!({"id": 3, "conditions": [], "sticky": sticky, "status": 404});
        let change = |before: Value, after: Value| {
            let revision = json!({"operation": "edit", "changes": [{"field": "rules", "before": before, "after": after}]});
            lines(&revision, 80)
        };
        let (a, b) = (rule(1, "https://e.test/a"), rule(2, "https://e.test/b"));
        let rows: [(Value, Value, &[&str]); 6] = [
            (Value::Null, json!([a]), &["  rule 1: none -> always: https://e.test/a"]),
            (json!([a, b]), json!([b]), &["  rule 1: always: https://e.test/a -> none"]),
            (json!([a, b]), json!([b, a]), &["  order of rules: 1, 2 -> 2, 1"]),
            (
                json!([a, b]),
                json!([rule(1, "https://e.test/c"), b]),
                &["  rule 1: always: https://e.test/a -> always: https://e.test/c"],
            ),
            (json!([split("visitor")]), json!([split("click")]), &["  rule 3 sticky: visitor -> click"]),
            (
                json!([a]),
                json!([rule(1, "https://e.test/a/longer/address/than/before")]),
                &[
                    "  rule 1: always: https://e.test/a",
                    "         -> always: https://e.test/a/longer/address/than/before",
                ],
            ),
        ];
        for (before, after, want) in rows {
            assert_eq!(change(before.clone(), after.clone()), want, "{before} {after}");
        }
    }

    #[test]
    fn no_value_is_cut_and_none_controls_the_terminal() {
        let long = "https://e.test/".to_owned() + &"x".repeat(200);
        let revision = json!({"operation": "edit", "changes": [{"field": "url", "before": "a\u{202e}\nb", "after": long}]});
        assert_eq!(lines(&revision, 80), ["  url: a  b".to_owned(), format!("      -> {long}")]);
        let same = json!({"operation": "edit", "changes": []});
        assert_eq!(lines(&same, 80), ["  nothing: all values stayed as they were"]);
        assert!(lines(&json!({"operation": "create", "changes": []}), 80).is_empty());
    }
}
