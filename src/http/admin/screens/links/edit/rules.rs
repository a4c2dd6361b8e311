//! [`RuleForm`]: a rule of a link in the form. Each rule has a number in the names of its fields: `r0-url`.

use serde_json::{Map, Value, json};

use crate::formats::waypost::rule_json::RuleJson;
use crate::http::admin::form::Form;
use crate::http::admin::format::{moment, with_zone};
use crate::model::link::branch::{Branch, WEEKDAYS};

/// Most rules that a form is read for: more than a link may have, so that the API names its bound.
const RULES_MAX: usize = 50;

/// Most conditions, or variants, that a rule of a form is read for.
const PARTS_MAX: usize = 50;

/// What decides the destination of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RuleOutcome {
    #[default]
    Url,
    Variants,
    NotFound,
}

impl RuleOutcome {
    /// All, by their names in the form and for people.
    pub(super) const ALL: [(RuleOutcome, &'static str, &'static str); 3] = [
        (RuleOutcome::Url, "url", "leads to"),
        (RuleOutcome::Variants, "variants", "divides visitors between"),
        (RuleOutcome::NotFound, "404", "answers 404"),
    ];

    fn of_name(name: &str) -> RuleOutcome {
        let found = RuleOutcome::ALL.into_iter().find(|(_, known, _)| *known == name);
        found.map_or(RuleOutcome::Url, |(outcome, ..)| outcome)
    }
}

/// A rule. All fields are texts as they were entered.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleForm {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) matches_any: bool,
    pub(super) conditions: Vec<ConditionForm>,
    pub(super) outcome: RuleOutcome,
    pub(super) url: String,
    pub(super) variants: Vec<VariantForm>,
    pub(super) sticky: String,
    pub(super) winner: String,
    pub(super) from: String,
    pub(super) until: String,
}

/// A condition of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct ConditionForm {
    pub(super) field: String,
    pub(super) key: String,
    pub(super) operator: String,
    pub(super) value: String,
}

/// A variant of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct VariantForm {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) weight: String,
}

impl RuleForm {
    /// Creates a rule that a person is to fill in.
    pub(super) fn new() -> RuleForm {
        RuleForm {
            enabled: true,
            conditions: vec![ConditionForm::default()],
            variants: vec![VariantForm::default(), VariantForm::default()],
            ..RuleForm::default()
        }
    }

    /// Returns the form of a rule.
    pub(super) fn of(branch: &Branch) -> RuleForm {
        let json = serde_json::to_value(RuleJson::of(branch)).unwrap_or_default();
        let text = |value: &Value, name: &str| text_of(&value[name]);
        let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
        let moment_of = |at: Option<crate::clock::Timestamp>| at.map_or_else(String::new, moment);
        let conditions = list("conditions");
        let variants = list("variants");
        let outcome = match (variants.is_empty(), json["status"].is_null()) {
            (false, _) => RuleOutcome::Variants,
            (true, false) => RuleOutcome::NotFound,
            (true, true) => RuleOutcome::Url,
        };
        RuleForm {
            id: text(&json, "id"),
            name: text(&json, "name"),
            enabled: json["enabled"] == true,
            matches_any: json["match"] == "any",
            conditions: conditions
                .iter()
                .map(|condition| ConditionForm {
                    field: text(condition, "field"),
                    key: text(condition, "key"),
                    operator: text(condition, "operator"),
                    value: shown_value(&condition["value"]),
                })
                .collect(),
            outcome,
            url: text(&json, "url"),
            variants: variants
                .iter()
                .map(|variant| VariantForm {
                    id: text(variant, "id"),
                    name: text(variant, "name"),
                    url: text(variant, "url"),
                    weight: text(variant, "weight"),
                })
                .collect(),
            sticky: text(&json, "sticky"),
            winner: text(&json, "winner"),
            from: moment_of(branch.from),
            until: moment_of(branch.until),
        }
    }

    /// Reads the rules of a form, in their order, with what its buttons do to them.
    pub(super) fn read_all(form: &Form) -> Vec<RuleForm> {
        (0..RULES_MAX).map_while(|at| RuleForm::read(form, at)).collect()
    }

    fn read(form: &Form, at: usize) -> Option<RuleForm> {
        let text = |name: &str| form.text(&format!("r{at}-{name}")).unwrap_or("").to_owned();
        form.raw(&format!("r{at}-outcome"))?;
        let condition = |part: usize| {
            let text = |name: &str| text(&format!("c{part}-{name}"));
            form.raw(&format!("r{at}-c{part}-field"))?;
            Some(ConditionForm {
                field: text("field"),
                key: text("key"),
                operator: text("operator"),
                value: text("value"),
            })
        };
        let variant = |part: usize| {
            let text = |name: &str| text(&format!("v{part}-{name}"));
            form.raw(&format!("r{at}-v{part}-url"))?;
            Some(VariantForm { id: text("id"), name: text("name"), url: text("url"), weight: text("weight") })
        };
        Some(RuleForm {
            id: text("id"),
            name: text("name"),
            enabled: form.has(&format!("r{at}-enabled")),
            matches_any: text("match") == "any",
            conditions: (0..PARTS_MAX).map_while(condition).collect(),
            outcome: RuleOutcome::of_name(&text("outcome")),
            url: text("url"),
            variants: (0..PARTS_MAX).map_while(variant).collect(),
            sticky: text("sticky"),
            winner: text("winner"),
            from: text("from"),
            until: text("until"),
        })
    }

    /// Returns the rule as the API takes it. Conditions and variants without a word are left out.
    pub(super) fn body(&self) -> Value {
        let filled = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        let number = |text: &str| text.parse::<u64>().map_or_else(|_| filled(text), |number| json!(number));
        let mut body = Map::new();
        body.insert("id".to_owned(), number(&self.id));
        body.insert("name".to_owned(), filled(&self.name));
        body.insert("enabled".to_owned(), json!(self.enabled));
        body.insert("match".to_owned(), json!(if self.matches_any { "any" } else { "all" }));
        let conditions = self.conditions.iter().filter(|condition| !condition.field.is_empty());
        body.insert("conditions".to_owned(), conditions.map(ConditionForm::body).collect());
        match self.outcome {
            RuleOutcome::Url => {
                body.insert("url".to_owned(), json!(self.url));
            }
            RuleOutcome::NotFound => {
                body.insert("status".to_owned(), json!(404));
            }
            RuleOutcome::Variants => {
                let variant = |variant: &VariantForm| {
                    json!({
                        "id": number(&variant.id),
                        "name": filled(&variant.name),
                        "url": variant.url,
                        "weight": number(&variant.weight),
                    })
                };
                let given = self.variants.iter().filter(|variant| !variant.url.is_empty());
                body.insert("variants".to_owned(), given.map(variant).collect());
                body.insert("sticky".to_owned(), filled(&self.sticky));
                body.insert("winner".to_owned(), filled(&self.winner));
            }
        }
        for (name, text) in [("from", &self.from), ("until", &self.until)] {
            let value = if text.is_empty() { Value::Null } else { json!(with_zone(text)) };
            body.insert(name.to_owned(), value);
        }
        Value::Object(body)
    }
}

impl ConditionForm {
    fn body(&self) -> Value {
        let mut body = json!({
            "field": self.field,
            "operator": self.operator,
            "value": entered_value(&self.field, &self.operator, &self.value),
        });
        if !self.key.is_empty() {
            body["key"] = json!(self.key);
        }
        body
    }
}

/// Returns the value of a condition as it is entered: texts with commas between them, a span as `FROM..TO`, and times
/// of a week as `mon tue 09:00-17:00 Europe/Berlin`.
fn shown_value(value: &Value) -> String {
    match value {
        Value::Array(texts) => texts.iter().map(text_of).map(quoted).collect::<Vec<_>>().join(", "),
        Value::Object(span) if span.contains_key("days") => {
            let days = span["days"].as_array().map(|days| days.iter().map(text_of).collect::<Vec<_>>());
            let (from, to) = (text_of(&span["from"]), text_of(&span["to"]));
            format!("{} {from}-{to} {}", days.unwrap_or_default().join(" "), text_of(&span["zone"]))
        }
        Value::Object(span) => {
            let end = |name: &str| span.get(name).map_or_else(String::new, text_of);
            format!("{}..{}", end("from"), end("to"))
        }
        Value::Bool(exists) => if *exists { "yes" } else { "no" }.to_owned(),
        other => quoted(text_of(other)),
    }
}

/// Returns a text of a list as it is entered: in quotes if it has a comma, a quote, or white space at an end.
fn quoted(text: String) -> String {
    if text.contains([',', '"']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Returns the texts of a list that was entered.
fn entered_list(text: &str) -> Vec<String> {
    let (mut all, mut one, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    let mut keep = |one: &mut String, was_quoted: &mut bool| {
        let whole = std::mem::take(one);
        let text = if std::mem::take(was_quoted) { whole } else { whole.trim().to_owned() };
        // Two commas, or one at the end, stand for nothing.
        all.extend((!text.is_empty()).then_some(text));
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' if one.trim().is_empty() && !is_quoted => {
                (one, is_quoted) = (String::new(), true);
                while let Some(letter) = letters.next() {
                    match letter {
                        // Two quotes are one of the text.
                        '"' if letters.peek() == Some(&'"') => one.extend(letters.next()),
                        '"' => break,
                        letter => one.push(letter),
                    }
                }
            }
            ',' => keep(&mut one, &mut is_quoted),
            // White space between the closing quote and the comma.
            letter if is_quoted && letter.is_whitespace() => {}
            letter => one.push(letter),
        }
    }
    keep(&mut one, &mut is_quoted);
    all
}

/// Returns the value that a text means for a field and an operator. What has no meaning is passed on, and the API names
/// the rule that it breaks.
fn entered_value(field: &str, operator: &str, text: &str) -> Value {
    if operator == "exists" {
        return json!(!matches!(text, "no" | "false"));
    }
    if let Some((from, to)) = text.split_once("..").filter(|_| matches!(field, "date" | "visits")) {
        let end = |text: &str| match (text.trim(), field) {
            ("", _) => Value::Null,
            (text, "visits") => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
            (text, _) => json!(text),
        };
        return json!({"from": end(from), "to": end(to)});
    }
    match field {
        "visits" => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
        "time" => week_times(text),
        "date" => json!(text),
        _ => match entered_list(text).as_slice() {
            [one] if !matches!(operator, "in" | "notIn") => json!(one),
            all => json!(all),
        },
    }
}

/// Reads `mon tue 09:00-17:00 Europe/Berlin`: days and zone may be left out.
fn week_times(text: &str) -> Value {
    let mut times = Map::new();
    let mut days = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        if WEEKDAYS.contains(&lower.as_str()) {
            days.push(json!(lower));
        } else if let Some((from, to)) = word.split_once('-').filter(|(from, _)| from.contains(':')) {
            times.insert("from".to_owned(), json!(from));
            times.insert("to".to_owned(), json!(to));
        } else {
            times.insert("zone".to_owned(), json!(word));
        }
    }
    if !days.is_empty() {
        times.insert("days".to_owned(), Value::Array(days));
    }
    Value::Object(times)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_they_are_entered() {
        let rows = [
            ("country", "in", "DE, AT", json!(["DE", "AT"])),
            ("language", "equals", "de", json!("de")),
            ("referrer", "contains", "news, blog", json!(["news", "blog"])),
            ("referrer", "contains", "\"a,b\", c", json!(["a,b", "c"])),
            ("query", "equals", "\"say \"\"hi\"\" \"", json!("say \"hi\" ")),
            ("query", "exists", "no", json!(false)),
            ("query", "exists", "yes", json!(true)),
            ("visits", "within", "3..", json!({"from": 3, "to": null})),
            ("visits", "equals", "3", json!(3)),
            ("date", "within", "2026-12-01..2026-12-24", json!({"from": "2026-12-01", "to": "2026-12-24"})),
            (
                "time",
                "within",
                "mon tue 09:00-17:00 Europe/Berlin",
                json!({"days": ["mon", "tue"], "from": "09:00", "to": "17:00", "zone": "Europe/Berlin"}),
            ),
        ];
        for (field, operator, text, value) in rows {
            assert_eq!(entered_value(field, operator, text), value, "{text}");
            assert_eq!(shown_value(&value), text);
        }
        // The API names the rule that these break.
        assert_eq!(entered_value("visits", "equals", "many"), json!("many"));
        assert_eq!(week_times("9 to 5"), json!({"zone": "5"}));
    }
}
