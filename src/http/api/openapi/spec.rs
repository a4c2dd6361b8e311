//! The description, OpenAPI 3.1, joined from hand-written files in a folder for each dialect. An operation
//! that no dialect in `DIALECTS` has is left out, so that the document promises only what the program does.
//! The tests keep it complete.
//!
//! The first file of a dialect may have `defaults`: parts that all its operations of a kind have in common.
//! [`examples`] adds the bodies.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::examples::{self, read};
use crate::http::api::dialect::Endpoint;
use crate::http::api::registry::DIALECTS;

/// Parts that all dialects share.
const COMMON: &str = include_str!("common.json");

/// The files of each dialect.
const DIALECT_FILES: &[&[&str]] = &[
    &[
        include_str!("native/dialect.json"),
        include_str!("native/links.json"),
        include_str!("native/history.json"),
        include_str!("native/analytics.json"),
        include_str!("native/domains.json"),
        include_str!("native/workspaces.json"),
        include_str!("native/campaigns.json"),
        include_str!("native/snapshots.json"),
    ],
    &[
        include_str!("linquid/dialect.json"),
        include_str!("linquid/links.json"),
        include_str!("linquid/rules.json"),
        include_str!("linquid/analytics.json"),
    ],
    &[
        include_str!("highlevel/dialect.json"),
        include_str!("highlevel/links.json"),
        include_str!("highlevel/snapshots.json"),
    ],
];

/// A file of a dialect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tags: Vec<Value>,
    #[serde(default)]
    defaults: Vec<Defaults>,
    #[serde(default)]
    paths: BTreeMap<String, Map<String, Value>>,
    components: Map<String, Value>,
}

/// Parts of all operations of a kind. A part that an operation has itself is not replaced.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    when: OperationKind,
    /// For each response without headers.
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    parameters: Vec<Value>,
    #[serde(default)]
    responses: Map<String, Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OperationKind {
    Every,
    /// All except GET.
    Write,
    /// With a body.
    Body,
    Post,
    /// Reads an object with an `ETag`.
    Tagged,
    /// Changes or deletes an object with an `ETag`.
    Conditional,
}

impl OperationKind {
    fn fits(self, method: &str, operation: &Map<String, Value>) -> bool {
        match self {
            OperationKind::Every => true,
            OperationKind::Write => method != "get",
            OperationKind::Body => operation.contains_key("requestBody"),
            OperationKind::Post => method == "post",
            OperationKind::Tagged => method == "get" && operation.contains_key("x-etag"),
            OperationKind::Conditional => operation.contains_key("x-if-match"),
        }
    }
}

/// Returns the document of the instance at this URL.
pub(super) fn document(base_url: &str) -> Value {
    let mut document: Value = read(COMMON);
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["servers"] = json!([{ "url": base_url }]);
    document["tags"] = json!([]);
    document["paths"] = json!({});
    for files in DIALECT_FILES {
        add(&mut document, files.iter().map(|text| read(text)).collect());
    }
    // After all dialects, which share responses.
    examples::show(&mut document);
    // Tags of operations that were left out would be empty sections.
    let Value::Array(tags) = document["tags"].take() else { return document };
    let used =
        |tag: &Value| operations(&document).any(|(_, _, operation)| operation["tags"][0] == tag["name"]);
    let used: Vec<_> = tags.into_iter().filter(used).collect();
    document["tags"] = used.into();
    document
}

/// Returns path, method and operation of each operation of a document.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(template, item)| {
        let methods = item.as_object().into_iter().flatten().filter(|(key, _)| *key != "parameters");
        methods.map(|(method, operation)| (template.as_str(), method.as_str(), operation))
    })
}

/// Adds the operations of a dialect that the program has.
fn add(document: &mut Value, mut files: Vec<File>) {
    let defaults: Vec<_> = files.iter_mut().flat_map(|file| std::mem::take(&mut file.defaults)).collect();
    let mut is_answered = false;
    // In reverse: the first file has the shared parts, and is needed if any other file is.
    for mut file in files.into_iter().rev() {
        let is_shared = file.paths.is_empty();
        file.paths.retain(|template, item| {
            // `parameters` is no operation: a path with nothing else is left out below.
            item.retain(|method, _| method == "parameters" || answers(method, template));
            item.keys().any(|key| key != "parameters")
        });
        is_answered |= !file.paths.is_empty();
        if file.paths.is_empty() && !(is_shared && is_answered) {
            continue;
        }
        for (method, operation) in file.paths.values_mut().flatten() {
            if let Value::Object(operation) = operation {
                complete(method, operation, &defaults);
            }
        }
        if let Some(Value::Object(responses)) = file.components.get_mut("responses") {
            add_headers(responses, &defaults);
        }
        merge(document, file);
    }
}

/// Returns whether a dialect has this endpoint. Names of segments in braces and a slash at the end do not
/// matter (docs/decisions.md A1).
fn answers(method: &str, template: &str) -> bool {
    let is_same = |endpoint: &Endpoint| {
        endpoint.method.eq_ignore_ascii_case(method) && shape(endpoint.template) == shape(template)
    };
    DIALECTS.iter().any(|dialect| dialect.endpoints().iter().any(is_same))
}

/// Returns the segments of a template, with all segments in braces equal.
fn shape(template: &str) -> Vec<&str> {
    let segments = template.strip_suffix('/').unwrap_or(template).split('/');
    segments.map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect()
}

/// Adds the parts of its kind to an operation.
fn complete(method: &str, operation: &mut Map<String, Value>, defaults: &[Defaults]) {
    for default in defaults.iter().filter(|default| default.when.fits(method, operation)).collect::<Vec<_>>()
    {
        if let Value::Array(parameters) = operation.entry("parameters").or_insert_with(|| json!([])) {
            parameters.extend(default.parameters.iter().cloned());
        }
        if let Some(Value::Object(responses)) = operation.get_mut("responses") {
            for (status, response) in &default.responses {
                // The response of the operation itself is more exact than the default.
                responses.entry(status.as_str()).or_insert_with(|| response.clone());
            }
        }
    }
    let has_tag = operation.contains_key("x-etag");
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        add_headers(responses, defaults);
        // Errors have none: they are references here.
        let tagged = responses.iter_mut().filter(|(status, _)| has_tag && status.as_str() < "400");
        for (_, response) in tagged.filter(|(_, response)| response.get("$ref").is_none()) {
            response["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
        }
    }
}

/// Adds the default headers to responses without headers.
fn add_headers(responses: &mut Map<String, Value>, defaults: &[Defaults]) {
    for response in responses.values_mut().filter_map(Value::as_object_mut) {
        // The target of a reference gets the headers itself.
        if response.contains_key("$ref") || response.contains_key("headers") {
            continue;
        }
        let all = defaults.iter().flat_map(|default| default.headers.clone());
        response.insert("headers".to_owned(), all.collect::<Map<_, _>>().into());
    }
}

/// Adds the parts of a file to the document. Their names are unique, which a test checks.
fn merge(document: &mut Value, file: File) {
    if let Value::Array(tags) = &mut document["tags"] {
        tags.extend(file.tags);
    }
    for (template, item) in file.paths {
        document["paths"][template] = item.into();
    }
    for (kind, named) in file.components {
        let Value::Object(named) = named else { continue };
        for (name, component) in named {
            document["components"][&kind][name] = component;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_described_and_nothing_else() {
        let document = document("http://localhost:8080");
        let described: BTreeSet<_> = operations(&document)
            .map(|(template, method, _)| (method.to_uppercase(), shape(template).join("/")))
            .collect();
        let answered: BTreeSet<_> = DIALECTS
            .iter()
            .flat_map(|dialect| dialect.endpoints())
            .map(|endpoint| (endpoint.method.to_owned(), shape(endpoint.template).join("/")))
            .collect();
        assert_eq!(described, answered);
    }

    #[test]
    fn all_operations_of_a_file_exist_or_none() {
        for text in DIALECT_FILES.iter().copied().flatten() {
            let file: File = read(text);
            let all =
                file.paths.iter().flat_map(|(template, item)| item.keys().map(move |key| (key, template)));
            let (answered, missing): (Vec<_>, Vec<_>) = all
                .filter(|(key, _)| *key != "parameters")
                .partition(|(method, template)| answers(method, template));
            assert!(answered.is_empty() || missing.is_empty(), "described, but not answered: {missing:?}");
        }
    }

    #[test]
    fn no_two_files_have_a_component_of_the_same_name() {
        let common: Value = read(COMMON);
        let mut names = BTreeSet::new();
        let mut add = |components: &Value| {
            for (kind, named) in components.as_object().into_iter().flatten() {
                for name in named.as_object().into_iter().flatten().map(|(name, _)| name) {
                    assert!(names.insert(format!("{kind}/{name}")), "{kind}/{name} is there twice");
                }
            }
        };
        add(&common["components"]);
        for text in DIALECT_FILES.iter().copied().flatten() {
            add(&Value::Object(read::<File>(text).components));
        }
    }
}
