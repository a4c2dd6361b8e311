//! Fields of forms: their labels and hints, their texts, and the JSON that the API gets. Names are those of the API, so
//! that its errors name the field of the form, and its answers fill it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::form::Form;
use super::format::{moment, with_zone};
use super::page_error::PageError;
use super::page_request::refused;

/// How a field of a simple form is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimpleInput {
    /// One line. An empty one clears the field.
    Line,
    /// One line that is sent as it is, also empty: the API names the rule.
    Name,
    /// A whole number. An empty one is no bound.
    Number,
    /// A moment of UTC.
    Time,
    /// A color, which a form always has.
    Color,
    /// A box.
    Flag,
    /// One of the entries that the page offers.
    Menu,
    /// An object of texts: `NAME = value`, one in a line.
    Pairs,
}

/// A field of a simple form.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimpleField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: SimpleInput,
}

impl SimpleField {
    /// Creates a field.
    pub(super) const fn new(
        name: &'static str,
        label: &'static str,
        kind: SimpleInput,
        hint: &'static str,
    ) -> SimpleField {
        SimpleField { name, label, hint, kind }
    }
}

/// A field with its text, as `field.html` shows it.
#[derive(Debug)]
pub(super) struct ShownField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    /// The type of the input, `lines` or `select`.
    pub(super) input: &'static str,
    pub(super) value: String,
    pub(super) options: Vec<ShownOption>,
    pub(super) error: Option<String>,
    /// Whether it has a whole line of the form.
    pub(super) is_wide: bool,
}

/// An entry of a menu.
#[derive(Debug)]
pub(super) struct ShownOption {
    pub(super) value: String,
    pub(super) name: String,
    pub(super) is_chosen: bool,
}

/// The texts of the fields of a simple form, and the entries of its menus. A box that is checked has `on`.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldTexts {
    texts: BTreeMap<&'static str, String>,
    menus: BTreeMap<&'static str, Vec<(String, String)>>,
}

impl FieldTexts {
    /// Returns the texts of an object of the API.
    pub(super) fn of(fields: &[SimpleField], object: &Value) -> FieldTexts {
        let mut texts = FieldTexts::default();
        for field in fields {
            // A field that this version of the API does not show is empty.
            texts.set(field.name, &text_of(field.kind, &object[field.name]));
        }
        texts
    }

    /// Sets the texts to those of a form that was sent. The menus stay.
    pub(super) fn enter(&mut self, fields: &[SimpleField], form: &Form) {
        for field in fields {
            let text = match field.kind {
                // Browsers leave out a box that is not checked.
                SimpleInput::Flag if form.has(field.name) => "on",
                SimpleInput::Flag => "",
                _ => form.text(field.name).unwrap_or(""),
            };
            // Browsers send lines with both characters.
            self.set(field.name, &text.replace("\r\n", "\n"));
        }
    }

    /// Sets the text of a field.
    pub(super) fn set(&mut self, name: &'static str, text: &str) {
        self.texts.insert(name, text.to_owned());
    }

    /// Returns the text of a field.
    pub(super) fn get(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Sets the values and names of a menu. The text of the field is added if it is not among them.
    pub(super) fn offer(&mut self, name: &'static str, mut entries: Vec<(String, String)>) {
        // Another page may have removed it, and saving the form must not choose another one.
        let chosen = self.get(name);
        if !chosen.is_empty() && entries.iter().all(|(value, _)| value != chosen) {
            entries.push((chosen.to_owned(), chosen.to_owned()));
        }
        self.menus.insert(name, entries);
    }

    /// Returns the fields of a request that creates the object, where empty fields are left out, or that changes it,
    /// where they are `null`. Fails for a line without its name.
    pub(super) fn body(&self, fields: &[SimpleField], is_new: bool) -> Result<Map<String, Value>, PageError> {
        let mut body = Map::new();
        for field in fields {
            let text = self.get(field.name);
            let value = match field.kind {
                // Also an empty one: only the API knows whether it may be.
                SimpleInput::Name => json!(text),
                SimpleInput::Flag => Value::Bool(text == "on"),
                SimpleInput::Pairs => pairs(field.name, text)?,
                _ if text.is_empty() && is_new => continue,
                _ if text.is_empty() => Value::Null,
                // What is no number goes on as a text, and the API refuses it by its name.
                SimpleInput::Number => {
                    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
                }
                SimpleInput::Time => json!(with_zone(text)),
                SimpleInput::Line | SimpleInput::Color | SimpleInput::Menu => json!(text),
            };
            body.insert(field.name.to_owned(), value);
        }
        Ok(body)
    }

    /// Returns the fields for `field.html`. `failed` is the field that a request failed for, and the rule.
    pub(super) fn shown(&self, fields: &[SimpleField], failed: Option<&(String, String)>) -> Vec<ShownField> {
        fields.iter().map(|field| self.shown_field(field, failed)).collect()
    }

    fn shown_field(&self, field: &SimpleField, failed: Option<&(String, String)>) -> ShownField {
        let value = self.get(field.name).to_owned();
        let input = match field.kind {
            SimpleInput::Line | SimpleInput::Name => "text",
            SimpleInput::Number => "number",
            SimpleInput::Time => "datetime-local",
            SimpleInput::Color => "color",
            SimpleInput::Flag => "checkbox",
            SimpleInput::Menu => "select",
            SimpleInput::Pairs => "lines",
        };
        let entries = self.menus.get(field.name).into_iter().flatten();
        let option = |(entry, name): &(String, String)| ShownOption {
            value: entry.clone(),
            name: name.clone(),
            is_chosen: *entry == value,
        };
        let options = entries.map(option).collect();
        // The API shows its place behind the name of a list or an object.
        let is_named = |named: &str| named.split(['[', '.']).next() == Some(field.name);
        let error = failed.filter(|(named, _)| is_named(named)).map(|(_, rule)| rule.clone());
        ShownField {
            name: field.name,
            label: field.label,
            hint: field.hint,
            input,
            options,
            error,
            // Their hints are longer than half a line.
            is_wide: matches!(field.kind, SimpleInput::Flag | SimpleInput::Pairs),
            value,
        }
    }

    /// Returns labels and texts of the fields that are set, for a page without a form.
    pub(super) fn facts(&self, fields: &[SimpleField]) -> Vec<(&'static str, String)> {
        let fact = |field: &SimpleField| {
            let text = match (field.kind, self.get(field.name)) {
                (SimpleInput::Flag, "on") => "yes",
                (SimpleInput::Flag, _) => "no",
                (_, text) => text,
            };
            Some((field.label, text.to_owned())).filter(|(_, text)| !text.is_empty())
        };
        fields.iter().filter_map(fact).collect()
    }
}

/// Returns the text of a field for a value of the API.
fn text_of(kind: SimpleInput, value: &Value) -> String {
    match value {
        // A form has one empty state.
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "on".to_owned(),
        Value::String(text) if kind == SimpleInput::Time => {
            text.parse().map_or_else(|_| text.clone(), moment)
        }
        Value::String(text) => text.clone(),
        Value::Object(pairs) => {
            let line =
                |(name, value): (&String, &Value)| format!("{name} = {}", value.as_str().unwrap_or_default());
            pairs.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

/// Returns the object of the lines `NAME = value`.
fn pairs(field: &'static str, text: &str) -> Result<Value, PageError> {
    let mut pairs = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // A value may have the sign, and a name may not.
        let Some((name, value)) = line.split_once('=') else {
            let start: String = line.chars().take(60).collect();
            return Err(refused(field, format!("each line must be NAME = value, and one is {start}")));
        };
        // People write blanks around the sign.
        let name = name.trim();
        if pairs.insert(name.to_owned(), json!(value.trim())).is_some() {
            return Err(refused(field, format!("{name} must be given once")));
        }
    }
    Ok(Value::Object(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [SimpleField; 6] = [
        SimpleField::new("name", "Name", SimpleInput::Name, ""),
        SimpleField::new("rootUrl", "Root", SimpleInput::Line, ""),
        SimpleField::new("credits", "Credits", SimpleInput::Number, ""),
        SimpleField::new("publicQr", "Public", SimpleInput::Flag, ""),
        SimpleField::new("expiresAt", "Expires", SimpleInput::Time, ""),
        SimpleField::new("customValues", "Values", SimpleInput::Pairs, ""),
    ];

    #[test]
    fn an_object_becomes_a_form_and_an_object_again() {
        let object = json!({
            "name": "a", "rootUrl": null, "credits": 0, "publicQr": true,
            "expiresAt": "2035-01-01T10:00:00.000Z", "customValues": {"a": "x=y", "b": ""},
        });
        let texts = FieldTexts::of(&FIELDS, &object);
        assert_eq!(texts.get("expiresAt"), "2035-01-01T10:00");
        assert_eq!(texts.get("customValues"), "a = x=y\nb = ");
        let mut want = object.clone();
        want["expiresAt"] = json!("2035-01-01T10:00:00Z");
        assert_eq!(texts.body(&FIELDS, false).ok().map(Value::Object), Some(want));
        let new = texts.body(&FIELDS, true).expect("pairs");
        assert!(!new.contains_key("rootUrl"), "a new object has what it is not given");
        assert_eq!(texts.facts(&FIELDS).len(), 5, "what is not set is no fact");
    }

    #[test]
    fn what_the_form_cannot_say_is_refused_by_its_name() {
        let mut texts = FieldTexts::default();
        for (text, want) in [
            ("a", "customValues: each line must be NAME = value, and one is a"),
            ("a = 1\na = 2", "customValues: a must be given once"),
        ] {
            texts.set("customValues", text);
            let error = texts.body(&FIELDS, true).expect_err(text);
            assert_eq!(error.words().1, want);
            let failed = error.field();
            let shown = texts.shown(&FIELDS, failed.as_ref());
            let wrong: Vec<_> = shown.iter().filter(|field| field.error.is_some()).collect();
            assert_eq!((wrong.len(), wrong[0].value.as_str()), (1, text));
        }
        texts.set("credits", "-1");
        texts.set("customValues", "");
        assert_eq!(texts.body(&FIELDS, true).expect("for the API")["credits"], "-1");
    }

    #[test]
    fn a_menu_has_what_is_chosen() {
        let field = [SimpleField::new("timezone", "Zone", SimpleInput::Menu, "")];
        let mut texts = FieldTexts::default();
        texts.set("timezone", "Asia/Kolkata");
        texts.offer("timezone", vec![("UTC".to_owned(), "UTC".to_owned())]);
        let shown = texts.shown(&field, None);
        let chosen: Vec<_> =
            shown[0].options.iter().map(|option| (&*option.value, option.is_chosen)).collect();
        assert_eq!(chosen, [("UTC", false), ("Asia/Kolkata", true)]);
    }
}
