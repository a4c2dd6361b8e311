//! The bodies in the description. Requests and their responses are those of the transcripts in
//! `tests/suite/dialects`: a test writes them to `examples.json` and compares them with it. Errors that no
//! transcript can provoke are rendered by the dialect.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::http::api::dialect::{ApiError, Dialect, ServerError};
use crate::http::api::registry::dialect_of;
use crate::http::conn::server::Settings;

/// The examples of each operation, by its id.
const EXAMPLES: &str = include_str!("examples.json");

/// The examples of one operation.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    request: Option<Value>,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// Adds its example to every body of the document.
pub(super) fn show(document: &mut Value) {
    let mut all: BTreeMap<String, Examples> = read(EXAMPLES);
    let mut shared = BTreeMap::new();
    for (template, item) in document["paths"].as_object_mut().into_iter().flatten() {
        let dialect = dialect_of(template);
        // A path may have `parameters` beside its methods.
        let operations = item.as_object_mut().into_iter().flatten().filter(|(key, _)| *key != "parameters");
        for (_, operation) in operations {
            let examples = operation["operationId"].as_str().and_then(|id| all.remove(id));
            show_one(operation, examples.unwrap_or_default(), dialect, &mut shared);
        }
    }
    for (name, (status, example, dialect)) in shared {
        if let Some(example) = example.or_else(|| rendered(&status, dialect)) {
            set(&mut document["components"]["responses"][name], example);
        }
    }
}

/// Responses that operations share, by name: the status, the first example of any operation, and the dialect
/// that renders an error without an example.
type SharedResponses = BTreeMap<String, (String, Option<Value>, &'static dyn Dialect)>;

fn show_one(
    operation: &mut Value,
    Examples { request, mut answers }: Examples,
    dialect: &'static dyn Dialect,
    shared: &mut SharedResponses,
) {
    if let Some((request, body)) = request.zip(operation.get_mut("requestBody")) {
        set(body, request);
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let example = answers.remove(status);
        if let Some(target) = response["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap_or(target);
            // One response for all operations that refer to it, so its first example wins.
            let entry = shared.entry(name.to_owned()).or_insert_with(|| (status.clone(), None, dialect));
            entry.1 = entry.1.take().or(example);
        } else if let Some(example) = example.or_else(|| rendered(status, dialect)) {
            set(response, example);
        }
    }
}

fn set(message: &mut Value, example: Value) {
    message["content"]["application/json"]["example"] = example;
}

/// Renders an error with this status that no transcript contains.
fn rendered(status: &str, dialect: &dyn Dialect) -> Option<Value> {
    let error = match status {
        "402" => ApiError::NoCredits,
        "403" => ApiError::Forbidden("this key lacks the scope links.write".to_owned()),
        "408" => ServerError::SlowBody.into(),
        "412" => ApiError::Changed,
        "413" => ServerError::TooLarge(Settings::default().max_body).into(),
        "415" => ServerError::EncodedBody.into(),
        "429" => ApiError::TooMany(2),
        "500" => ServerError::Internal.into(),
        "503" => ServerError::Busy.into(),
        "505" => ServerError::OldHttp.into(),
        "507" => ServerError::DiskFull.into(),
        _ => return None,
    };
    serde_json::from_slice(&dialect.error(&error).bytes).ok()
}

/// Parses a file of the description. Panics on an error: the files are part of the program, and the tests
/// parse each of them.
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).expect("the files of the description are what they should be")
}
