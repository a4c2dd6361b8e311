//! The bodies that the description shows. Those of requests and of what is answered to them are the
//! transcripts' in `tests/suite/dialects`, which a test writes to `examples.json` and compares with
//! it; failures that no transcript can bring about are what the dialect says of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::http::api::dialect::{ApiError, Dialect, ServerError};
use crate::http::api::dialect_of;
use crate::http::conn::server::Settings;

/// By operation.
const EXAMPLES: &str = include_str!("examples.json");

/// Of one operation.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    request: Option<Value>,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
}

/// Gives every body of the document its example.
pub(super) fn show(document: &mut Value) {
    let mut all: BTreeMap<String, Examples> = read(EXAMPLES);
    let mut shared = BTreeMap::new();
    for (template, item) in document["paths"].as_object_mut().into_iter().flatten() {
        let dialect = dialect_of(template);
        let operations = item.as_object_mut().into_iter().flatten().filter(|(key, _)| *key != "parameters");
        for (_, operation) in operations {
            let examples = operation["operationId"].as_str().and_then(|id| all.remove(id));
            show_one(operation, examples.unwrap_or_default(), dialect, &mut shared);
        }
    }
    for (name, (status, example, dialect)) in shared {
        if let Some(example) = example.or_else(|| told(&status, dialect)) {
            set(&mut document["components"]["responses"][name], example);
        }
    }
}

/// Responses that operations share: status, the first example that one of them has, and who words
/// what has none.
type Shared = BTreeMap<String, (String, Option<Value>, &'static dyn Dialect)>;

fn show_one(
    operation: &mut Value,
    Examples { request, mut answers }: Examples,
    dialect: &'static dyn Dialect,
    shared: &mut Shared,
) {
    if let Some((request, body)) = request.zip(operation.get_mut("requestBody")) {
        set(body, request);
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let example = answers.remove(status);
        if let Some(target) = response["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap_or(target);
            let entry = shared.entry(name.to_owned()).or_insert_with(|| (status.clone(), None, dialect));
            entry.1 = entry.1.take().or(example);
        } else if let Some(example) = example.or_else(|| told(status, dialect)) {
            set(response, example);
        }
    }
}

fn set(message: &mut Value, example: Value) {
    message["content"]["application/json"]["example"] = example;
}

/// What a dialect says of a failure with this status that no transcript shows.
fn told(status: &str, dialect: &dyn Dialect) -> Option<Value> {
    let failure = match status {
        "402" => ApiError::NoCredits,
        "403" => ApiError::Forbidden("this key lacks the scope links.write".to_owned()),
        "408" => ServerError::SlowBody.into(),
        "413" => ServerError::TooLarge(Settings::default().max_body).into(),
        "415" => ServerError::EncodedBody.into(),
        "429" => ApiError::TooMany(2),
        "500" => ServerError::Internal.into(),
        "503" => ServerError::Busy.into(),
        "505" => ServerError::OldHttp.into(),
        "507" => ServerError::DiskFull.into(),
        _ => return None,
    };
    serde_json::from_slice(&dialect.failure(&failure).bytes).ok()
}

/// The files are part of the program, and the tests read each of them.
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).expect("the files of the description are what they should be")
}
