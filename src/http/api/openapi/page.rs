//! The page of the APIs, `GET /api/docs`: the description ([`super::spec`]) for people. Plain HTML in one
//! response, rendered once, and nothing from other sites. Its one script searches and copies; without it, the page is
//! complete.

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use hyper::header::HeaderValue;
use serde_json::Value;

use super::spec::operations;
use crate::model::short_code::RESERVED;
use crate::visit::pages::{foundation, hash_source};

const STYLE: &str = include_str!("docs.css");

const SCRIPT: &str = include_str!("docs.js");

/// Forbids all loading; the style and the script are allowed by their hashes.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (foundation, script) = (foundation(STYLE), hash_source(SCRIPT));
    let policy = format!("{foundation}; script-src {script}; form-action 'none'");
    HeaderValue::try_from(policy).expect("a policy is visible ASCII")
});

/// Methods in the order in which a reader needs them.
const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];

/// Fields that a reader needs first, in this order. The others follow by their names.
const FIRST: [&str; 16] = [
    "id",
    "url",
    "name",
    "customSlug",
    "shortUrl",
    "shortCode",
    "domain",
    "title",
    "expiresAt",
    "maxClicks",
    "password",
    "redirectType",
    "isActive",
    "clickCount",
    "tagIds",
    "tags",
];

/// Optional fields of examples that name records of another instance. A reader who pastes a command has none of
/// them.
const FOREIGN: [&str; 4] = ["campaignId", "domain", "tagIds", "workspaceId"];

/// Most levels of nested objects. Past it only the name of an object is shown.
const DEPTH_MAX: usize = 3;

/// The page. Fields whose names end in `html` are escaped already.
#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    title: String,
    version: String,
    base_url: String,
    intro_html: String,
    /// The reserved codes.
    reserved: String,
    sections: Vec<DocsSection>,
}

struct DocsSection {
    name: String,
    anchor: String,
    about_html: String,
    operations: Vec<DocsOperation>,
}

struct DocsOperation {
    anchor: String,
    method: String,
    path: String,
    summary: String,
    about_html: String,
    scope: String,
    parameters: Vec<DocsRow>,
    body: Vec<DocsRow>,
    curl: String,
    answers: Vec<DocsResponse>,
}

/// A parameter or a field.
struct DocsRow {
    name: String,
    place: String,
    kind: String,
    is_required: bool,
    about_html: String,
}

struct DocsResponse {
    status: String,
    about_html: String,
    fields: Vec<DocsRow>,
}

/// Renders the page of a document.
pub(super) fn page(document: &Value) -> String {
    let reader = Reader { document, base_url: string(&document["servers"][0]["url"]) };
    let tags = document["tags"].as_array().into_iter().flatten();
    let page = DocsPage {
        title: string(&document["info"]["title"]),
        version: string(&document["info"]["version"]),
        base_url: reader.base_url.clone(),
        intro_html: prose(&document["info"]["description"]),
        reserved: RESERVED.join(", "),
        sections: tags.map(|tag| reader.section(tag)).collect(),
    };
    page.render().expect("texts can be written to a string")
}

/// A document whose references are followed.
struct Reader<'a> {
    document: &'a Value,
    base_url: String,
}

impl<'a> Reader<'a> {
    /// Returns the target of a reference, or the value itself if it is none.
    fn follow(&self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
        target.and_then(|path| self.document.pointer(path)).unwrap_or(value)
    }

    fn section(&self, tag: &Value) -> DocsSection {
        let name = string(&tag["name"]);
        let mut found: Vec<_> = operations(self.document)
            .filter(|(_, _, operation)| operation["tags"][0] == tag["name"])
            .collect();
        found.sort_by_key(|(path, method, _)| (*path, METHODS.iter().position(|known| known == method)));
        DocsSection {
            anchor: anchor(&name),
            about_html: prose(&tag["description"]),
            operations: found.iter().map(|(path, method, it)| self.operation(path, method, it)).collect(),
            name,
        }
    }

    fn operation(&self, path: &str, method: &str, operation: &'a Value) -> DocsOperation {
        // All operations of a path share these (OpenAPI 3.1).
        let shared = &self.document["paths"][path]["parameters"];
        let parameters = [shared, &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let content = &operation["requestBody"]["content"]["application/json"];
        let mut answers: Vec<_> = operation["responses"].as_object().into_iter().flatten().collect();
        answers.sort_by_key(|(status, _)| status.as_str());
        DocsOperation {
            anchor: string(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: string(&operation["summary"]),
            about_html: prose(&operation["description"]),
            scope: string(&operation["x-scope"]),
            parameters: parameters.map(|parameter| self.parameter(self.follow(parameter))).collect(),
            body: self.fields(&content["schema"], "", 0),
            curl: self.curl(path, method, content),
            answers: answers.into_iter().map(|(status, answer)| self.answer(status, answer)).collect(),
        }
    }

    fn parameter(&self, parameter: &'a Value) -> DocsRow {
        DocsRow {
            name: string(&parameter["name"]),
            place: string(&parameter["in"]),
            kind: self.kind(&parameter["schema"]),
            is_required: parameter["required"] == true,
            about_html: prose(&parameter["description"]),
        }
    }

    /// Returns the row of a response. Errors have no fields here: the page shows their shape once, at the
    /// top.
    fn answer(&self, status: &str, answer: &'a Value) -> DocsResponse {
        let answer = self.follow(answer);
        let schema = &answer["content"]["application/json"]["schema"];
        let fields = if status.starts_with('2') { self.fields(schema, "", 0) } else { Vec::new() };
        DocsResponse { status: status.to_owned(), about_html: prose(&answer["description"]), fields }
    }

    /// Returns the fields of an object, each before the fields within it: `link`, `link.id`, `tags[].name`.
    fn fields(&self, schema: &'a Value, prefix: &str, depth: usize) -> Vec<DocsRow> {
        let schema = self.follow(schema);
        let mut rows = Vec::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            // The parts of `allOf` are fields of the same object, so they add no level.
            rows.extend(self.fields(part, prefix, depth));
        }
        let required =
            |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
        let mut properties: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
        // Required fields first, and in each group the fields in their order of use. The sort is stable.
        let use_of = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
        properties.sort_by_key(|(name, _)| (!required(name), use_of(name)));
        for (name, property) in properties {
            // The text at the use of a schema is more exact than that of the schema.
            let about = [&property["description"], &self.follow(property)["description"]];
            rows.push(DocsRow {
                name: format!("{prefix}{name}"),
                place: String::new(),
                kind: self.kind(property),
                is_required: required(name),
                about_html: prose(about.into_iter().find(|text| text.is_string()).unwrap_or(&Value::Null)),
            });
            if depth < DEPTH_MAX {
                rows.extend(self.fields(property, &format!("{prefix}{name}."), depth + 1));
                rows.extend(self.fields(
                    &self.follow(property)["items"],
                    &format!("{prefix}{name}[]."),
                    depth + 1,
                ));
            }
        }
        rows
    }

    /// Describes the type of a schema.
    fn kind(&self, schema: &'a Value) -> String {
        let schema = self.follow(schema);
        if let Some(only) = schema.get("const") {
            return only.to_string();
        }
        if let Some(choices) = schema["enum"].as_array() {
            return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().map(string).collect::<Vec<_>>().join(" or "),
            Value::String(only) => only.clone(),
            _ => "object".to_owned(),
        };
        let items = &schema["items"];
        let mut words = if items.is_object() && !self.follow(items)["properties"].is_object() {
            types.replace("array", &format!("array of ({})", self.kind(items)))
        } else {
            types
        };
        if schema["format"] == "date-time" {
            words = words.replace("string", "time");
        }
        for (key, before, behind) in [
            ("minimum", "from ", ""),
            ("maximum", "to ", ""),
            ("maxLength", "at most ", " characters"),
            ("maxItems", "at most ", " items"),
            ("default", "default ", ""),
        ] {
            if let Some(value) = schema.get(key) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = write!(words, ", {before}{value}{behind}");
            }
        }
        words
    }

    /// Returns a command to try the operation.
    fn curl(&self, path: &str, method: &str, content: &'a Value) -> String {
        let path: String = path
            .split('/')
            .map(|segment| {
                // `$ID` is a variable of the shell, so a reader can paste the command.
                if segment.starts_with('{') {
                    segment.to_uppercase().replace(['{', '}'], "$")
                } else {
                    segment.to_owned()
                }
            })
            .map(|segment| segment.strip_suffix('$').map_or(segment.clone(), str::to_owned))
            .collect::<Vec<_>>()
            .join("/");
        // GET is what curl sends by default.
        let method = if method == "get" { String::new() } else { format!(" -X {}", method.to_uppercase()) };
        let mut command =
            format!("curl{method} -H \"Authorization: Bearer $KEY\" \"{}{path}\"", self.base_url);
        if let Some(example) = content["example"].as_object() {
            let required = self.follow(&content["schema"])["required"].as_array();
            let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|it| it == name));
            let mut example = example.clone();
            example.retain(|name, _| is_required(name) || !FOREIGN.contains(&name.as_str()));
            // A quote would end the argument.
            let body = format!("{:#}", Value::Object(example)).replace('\'', "'\\''");
            let _ = write!(command, " \\\n  -d '{body}'");
        }
        command
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Renders a description as HTML, with paragraphs and with code for text between backticks.
fn prose(text: &Value) -> String {
    let mut html = String::new();
    for paragraph in text.as_str().unwrap_or_default().split("\n\n").filter(|text| !text.is_empty()) {
        html.push_str("<p>");
        for (at, part) in paragraph.split('`').enumerate() {
            // `&` first, so that the second step's `&` is not escaped again. `>` is legal in text.
            let part = part.replace('&', "&amp;").replace('<', "&lt;");
            // Every second part is between backticks.
            if at % 2 == 1 {
                html.extend(["<code>", &part, "</code>"]);
            } else {
                html.push_str(&part);
            }
        }
        html.push_str("</p>");
    }
    html
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prose_is_escaped() {
        let text = json!("Say `<b>` & more.\n\nThen <i>.");
        assert_eq!(prose(&text), "<p>Say <code>&lt;b></code> &amp; more.</p><p>Then &lt;i>.</p>");
        assert_eq!(prose(&Value::Null), "");
    }
}
