//! Paths and keys of the native API.

use serde_json::{Value, json};

use crate::support::http::{Client, text};

pub(crate) const LINKS: &str = "/api/v1/links";

/// The error of a request without a key.
pub(crate) const NO_KEY: &str = "the API key is missing: send it as `Authorization: Bearer KEY`; \
    the first start writes a key to `admin.key` in the data folder";

/// The error of a request with a key that is not valid.
pub(crate) const BAD_KEY: &str = "the API key is unknown, revoked, expired or malformed; \
    the first start writes a key to `admin.key` in the data folder";

pub(crate) const KEYS: &str = "/api/v1/keys";

/// Returns the path of a link that the API returned.
pub(crate) fn path_of(link: &Value) -> String {
    format!("{LINKS}/{}", text(link, "id"))
}

/// Creates a key with the scope `links.write` and these fields, and returns its secret.
#[track_caller]
pub(crate) fn new_key(admin: &mut Client, fields: &Value) -> String {
    let mut body = json!({"name": "n", "scopes": ["links.write"]});
    body.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
    let created = admin.post(KEYS, &body).expect(201, &body.to_string());
    text(&created["key"], "secret").to_owned()
}
