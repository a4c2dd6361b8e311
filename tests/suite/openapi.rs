//! The OpenAPI description is true. Every reference resolves, and every example matches its schema. Every
//! response here matches the description: its status, its headers, and a body with all described fields and
//! no other. The bodies in the description are those of the transcripts in `dialects`; after a change there,
//! `WAYPOST_WRITE_EXAMPLES=1` writes them.
//!
//! After large changes, run `openapi-spec-validator` by hand (0.9 found no error). `tests/soak/schemathesis`
//! tests the description with random requests.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::app::{KEY, TestApp};
use crate::support::http::{Answer, Client, text};

/// The description of an app.
struct Description {
    document: Value,
    /// The document, with no field allowed beyond those described.
    strict: Value,
    /// Operations and statuses that were checked.
    seen: BTreeSet<(String, u16)>,
    /// By schema, and whether it is strict. Compiling one takes longer than most requests.
    validators: RefCell<BTreeMap<(String, bool), Rc<Validator>>>,
}

/// An operation of the document.
struct Operation<'a> {
    path: &'a str,
    method: String,
    details: &'a Value,
}

impl Description {
    fn of(app: &TestApp) -> Description {
        let document = app.visitor().get("/api/openapi.json").expect(200, "the description");
        let mut strict = document["components"]["schemas"].clone();
        for schema in strict.as_object_mut().expect("schemas").values_mut() {
            close_within(schema);
        }
        Description { document, strict, seen: BTreeSet::new(), validators: RefCell::default() }
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let mut found = Vec::new();
        for (path, item) in members(&self.document["paths"]) {
            for (method, details) in members(item).filter(|(key, _)| *key != "parameters") {
                found.push(Operation { path, method: method.to_uppercase(), details });
            }
        }
        found
    }

    /// Finds the operation of a request. Paths without braces take precedence, as in the program.
    fn find(&self, method: &str, target: &str) -> Option<&Value> {
        let path = target.split('?').next().expect("a path").trim_end_matches('/');
        let mut fitting: Vec<_> = self
            .operations()
            .into_iter()
            .filter(|operation| operation.method == method && fits(operation.path, path))
            .collect();
        fitting.sort_by_key(|operation| operation.path.matches('{').count());
        fitting.first().map(|operation| operation.details)
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        value["$ref"].as_str().map_or(value, |target| self.target(target))
    }

    fn target(&self, target: &str) -> &Value {
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads elsewhere"));
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{target} leads nowhere"))
    }

    /// Returns the validator of a schema of the document.
    fn validator(&self, schema: &Value, strict: bool) -> Rc<Validator> {
        let mut validators = self.validators.borrow_mut();
        let compile = || Rc::new(self.compile(schema, strict));
        Rc::clone(validators.entry((schema.to_string(), strict)).or_insert_with(compile))
    }

    fn compile(&self, schema: &Value, strict: bool) -> Validator {
        let schemas = if strict { &self.strict } else { &self.document["components"]["schemas"] };
        let mut schema = schema.clone();
        if strict {
            close(&mut schema);
        }
        schema["components"] = json!({"schemas": schemas});
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        options.build(&schema).unwrap_or_else(|error| panic!("{error}: {schema}"))
    }

    /// Checks a response against the description.
    #[track_caller]
    fn check(&mut self, method: &str, target: &str, answer: &Answer) {
        let row = format!("{method} {target}: {} {}", answer.status, answer.text());
        let operation = self.find(method, target).unwrap_or_else(|| panic!("not described: {row}"));
        let described = operation["responses"].get(answer.status.to_string());
        let described = self.follow(described.unwrap_or_else(|| panic!("an undescribed status: {row}")));
        for (name, header) in members(&described["headers"]) {
            let header = self.follow(header);
            // A response that repeats an earlier one has no `ETag`.
            if header["required"] != true && answer.header(name).is_none() {
                continue;
            }
            let value = answer.header(name).unwrap_or_else(|| panic!("{name} is missing: {row}"));
            let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
            // An id of sixteen digits is a string, not a number.
            let value =
                if header["schema"]["type"] == "integer" { value } else { json!(answer.header(name)) };
            fit(&self.validator(&header["schema"], false), &value, &format!("{name} of {row}"));
        }
        let kind = answer.header("content-type").unwrap_or_default();
        if kind.starts_with("application/json") {
            let schema = &described["content"]["application/json"]["schema"];
            fit(&self.validator(schema, true), &answer.json(), &row);
        } else {
            assert!(described["content"][kind].is_object(), "{kind} is not described: {row}");
        }
        let seen = (text(operation, "operationId").to_owned(), answer.status);
        self.seen.insert(seen);
    }
}

#[track_caller]
fn fit(validator: &Validator, value: &Value, row: &str) {
    let errors: Vec<_> =
        validator.iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}: {row}");
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a path matches a template.
fn fits(template: &str, path: &str) -> bool {
    let template: Vec<_> = template.trim_end_matches('/').split('/').collect();
    let path: Vec<_> = path.split('/').collect();
    let same = |(wanted, segment): (&&str, &&str)| wanted.starts_with('{') || wanted == segment;
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

/// Forbids fields beyond those described, where this schema is used.
fn close(schema: &mut Value) {
    let is_open = schema.get("additionalProperties").is_some();
    if !is_open && ["$ref", "allOf", "properties"].iter().any(|key| schema.get(key).is_some()) {
        schema["unevaluatedProperties"] = json!(false);
    }
    close_within(schema);
}

/// Like `close`, for the schemas within.
fn close_within(schema: &mut Value) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = schema.get_mut("items") {
        close(items);
    }
}

/// Calls `see` with each value in a document and its path.
fn each<'a>(path: &str, value: &'a Value, see: &mut impl FnMut(&str, &'a Value)) {
    see(path, value);
    for (key, inner) in members(value) {
        each(&format!("{path}/{key}"), inner, see);
    }
    for (at, inner) in value.as_array().into_iter().flatten().enumerate() {
        each(&format!("{path}/{at}"), inner, see);
    }
}

#[test]
fn references_resolve_and_examples_match() {
    let app = TestApp::start();
    let description = Description::of(&app);
    let document = &description.document;
    assert_eq!(
        (text(document, "openapi"), &document["servers"]),
        ("3.1.0", &json!([{"url": "http://go.test"}]))
    );
    let (mut references, mut examples) = (BTreeSet::new(), 0);
    each("", document, &mut |path, value| {
        if let Some(target) = value["$ref"].as_str() {
            description.target(target);
            references.insert(target.to_owned());
        }
        let Some(schema) = value.get("schema") else {
            for example in value["examples"].as_array().into_iter().flatten() {
                examples += 1;
                fit(&description.validator(value, false), example, path);
            }
            return;
        };
        assert!(jsonschema::meta::is_valid(schema), "{path}: {schema}");
        if let Some(example) = value.get("example") {
            examples += 1;
            // An example shows described fields only.
            fit(&description.validator(schema, true), example, path);
        }
    });
    assert!(examples > 20, "{examples} examples");
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for (name, _) in members(&document["components"][kind]) {
            let target = format!("#/components/{kind}/{name}");
            assert!(references.contains(&target), "nothing refers to {target}");
        }
    }
}

#[test]
fn every_operation_is_described() {
    let app = TestApp::start();
    let description = Description::of(&app);
    let tags: BTreeSet<_> =
        description.document["tags"].as_array().expect("tags").iter().map(|tag| text(tag, "name")).collect();
    let mut ids = BTreeSet::new();
    for Operation { path, method, details } in description.operations() {
        assert!(ids.insert(text(details, "operationId")), "{method} {path}: its id is another's");
        let tag = details["tags"][0].as_str().expect("a tag");
        assert!(tags.contains(tag), "{method} {path}: {tag}");
        assert!(!text(details, "summary").is_empty(), "{method} {path}");
        let shared = &description.document["paths"][path]["parameters"];
        let parameters = [shared, &details["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let parameters: Vec<_> = parameters.map(|parameter| description.follow(parameter)).collect();
        for parameter in &parameters {
            let told = parameter["description"].is_string() && parameter["schema"].is_object();
            assert!(told, "{method} {path}: {parameter}");
        }
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
        let body = &details["requestBody"]["content"]["application/json"];
        assert_eq!(body["schema"].is_object(), !body["example"].is_null(), "{method} {path}: no example");
    }
}

/// Generators of clients make types of schemas, and identifiers of their members. What they refuse, or make no working
/// client of, must not come back: openapi-python-client 0.29 and OpenAPI Generator 7.26 were tried by hand.
#[test]
fn generators_can_make_types_of_the_document() {
    let app = TestApp::start();
    let description = Description::of(&app);
    let schemas = &description.document["components"]["schemas"];
    let names: BTreeSet<&str> = members(schemas).map(|(name, _)| name).collect();
    for name in &names {
        // Go's constructor of a schema `Link` is `NewLink`.
        let of_constructor = names.iter().any(|other| **other == format!("New{name}"));
        assert!(!of_constructor, "{name} and New{name}");
    }
    each("", &description.document, &mut |path, value| {
        let is_schema = path.contains("/schema/") || path.ends_with("/schema") || path.contains("/schemas/");
        if !is_schema || path.contains("/example") {
            return;
        }
        assert_ne!(value["type"], "null", "{path}: a type that has no value but null");
        let Some(all) = value["enum"].as_array() else { return };
        let all: Vec<_> = all.iter().filter(|one| !one.is_null()).collect();
        let is_one_type = all.iter().all(|one| one.is_string()) || all.iter().all(|one| one.is_number());
        assert!(is_one_type, "{path}: {all:?}");
        let identifier = |one: &Value| -> String {
            let text = one.as_str().map_or_else(|| one.to_string(), str::to_owned);
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase()
        };
        let identifiers: BTreeSet<_> = all.iter().map(|one| identifier(one)).collect();
        assert!(identifiers.len() == all.len() && !identifiers.contains(""), "{path}: {all:?}");
    });
    // An inline type gets its name from its place. A schema that others include by `allOf` has its place several times.
    let mut inline: BTreeMap<String, String> = BTreeMap::new();
    let mut included = BTreeSet::new();
    each("", schemas, &mut |path, value| {
        for part in value["allOf"].as_array().into_iter().flatten() {
            included.extend(
                part["$ref"].as_str().map(|target| target.rsplit('/').next().unwrap_or("").to_owned()),
            );
        }
        let place = path.trim_start_matches('/');
        let is_type = value["properties"].is_object() || value["enum"].is_array();
        if !is_type || !place.contains('/') || place.contains("/example") {
            return;
        }
        let words = place.split('/').filter(|word| *word != "properties");
        let title: String = words.map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        let title = title.replace("Items", "Item");
        assert!(!names.contains(&*title), "{path}: {title} is a schema as well");
        let other = inline.insert(title.clone(), path.to_owned());
        assert_eq!(other, None, "{path}: another {title}");
    });
    assert!(included.len() > 1, "{included:?}");
    for path in inline.values() {
        let owner = path.trim_start_matches('/').split('/').next().unwrap_or("");
        assert!(!included.contains(owner), "{path}: {owner} is included by others, so the type needs a name");
    }
}

/// Returns the target of an operation, with the examples of its parameters.
fn target(description: &Description, operation: &Operation<'_>) -> String {
    let shared = &description.document["paths"][operation.path]["parameters"];
    let parameters = [shared, &operation.details["parameters"]].into_iter().filter_map(Value::as_array);
    let mut target = operation.path.to_owned();
    let mut query = Vec::new();
    for parameter in parameters.flatten().map(|parameter| description.follow(parameter)) {
        let example = parameter["example"].as_str().unwrap_or("example");
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{}}}", text(parameter, "name")), example);
        } else if parameter["in"] == "query" && parameter["required"] == true {
            query.push(format!("{}={example}", text(parameter, "name")));
        }
    }
    if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
}

/// A request built from the example of an operation.
struct Asked {
    method: String,
    target: String,
    body: Option<String>,
    /// Whether the body is a picture.
    is_picture: bool,
    scope: String,
}

fn all_asked(description: &Description) -> Vec<Asked> {
    let picture = |operation: &Operation<'_>| {
        operation.details["requestBody"]["content"]["image/svg+xml"]["example"].as_str().map(str::to_owned)
    };
    let asked = |operation: Operation<'_>| Asked {
        target: target(description, &operation),
        body: operation.details["requestBody"]["content"]["application/json"]
            .get("example")
            .map(Value::to_string)
            .or_else(|| picture(&operation)),
        is_picture: picture(&operation).is_some(),
        scope: text(operation.details, "x-scope").to_owned(),
        method: operation.method,
    };
    description.operations().into_iter().map(asked).collect()
}

#[test]
fn errors_are_as_described_on_every_operation() {
    let app = TestApp::start();
    let mut description = Description::of(&app);
    let key = |scope| {
        let made = app.admin().post("/api/v1/keys", &json!({"name": "k", "scopes": [scope]}));
        text(&made.expect(201, "a key")["key"], "secret").to_owned()
    };
    let (of_links, of_snapshots) = (key("links.readonly"), key("snapshots.readonly"));
    let large = vec![b' '; 8 * 1024 * 1024 + 1];
    for Asked { method, target, body, is_picture, scope } in all_asked(&description) {
        let body = body.as_deref().map(str::as_bytes);
        let mut check = |mut client: Client, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>| {
            let answer = client.send(&method, target, headers, body);
            description.check(&method, target, &answer);
            answer
        };
        let with = |pair: &str| format!("{target}{}{pair}", if target.contains('?') { '&' } else { '?' });
        assert_eq!(check(app.visitor(), &target, &[], body).status, 401, "{method} {target}");
        assert_eq!(
            check(app.visitor().with_key("wrong"), &target, &[], body).status,
            401,
            "{method} {target}"
        );
        let powerless = if scope.starts_with("snapshots.") { &of_links } else { &of_snapshots };
        let forbidden = check(app.visitor().with_key(powerless), &target, &[], body);
        assert_eq!(forbidden.status, 403, "{method} {target}");
        if target.starts_with("/api/v1/") {
            let lacks = format!("this key lacks the scope {scope}");
            assert_eq!(forbidden.json()["error"], json!(lacks), "{method} {target}");
        }
        let elsewhere = check(app.admin(), &target, &[("X-Workspace-Id", "nowhere")], body);
        assert!(matches!(elsewhere.status, 403 | 404), "{method} {target}: {elsewhere:?}");
        check(app.admin(), &with("workspaceId=a&workspaceId=b"), &[], body);
        if body.is_some() {
            for (bytes, headers, status) in [
                (&b"{"[..], None, if is_picture { 422 } else { 400 }),
                (&b"{}"[..], Some(("Content-Encoding", "gzip")), 415),
                (&large[..], None, 413),
            ] {
                let answer = check(app.admin(), &target, headers.as_slice(), Some(bytes));
                assert_eq!(answer.status, status, "{method} {target}");
            }
        }
    }
    let app = TestApp::start_with(|config| config.limits.instance_requests_per_minute = 1);
    app.admin().get("/api/v1/tags").expect(200, "the one request");
    for Asked { method, target, body, .. } in all_asked(&description) {
        let ask = || app.admin().send(&method, &target, &[], body.as_deref().map(str::as_bytes));
        let mut answer = ask();
        // If a minute has passed since the last one, another request is allowed.
        if answer.status != 429 {
            answer = ask();
        }
        assert_eq!(answer.status, 429, "{method} {target}");
        description.check(&method, &target, &answer);
    }
}

/// A request, its status, and the value of the response that later requests need: its name and its path.
type Row = (&'static str, &'static str, &'static str, u16, Option<(&'static str, &'static str)>);

#[rustfmt::skip]
const NATIVE: &[Row] = &[
    ("GET", "/api/v1/workspaces", "", 200, Some(("HOME", "/workspaces/0/id"))),
    ("GET", "/api/v1/workspaces", "", 200, Some(("OWNER", "/workspaces/0/companyId"))),
    ("POST", "/api/v1/tags", r#"{"name":"spring"}"#, 201, Some(("TAG", "/tag/id"))),
    ("POST", "/api/v1/tags", r#"{"name":"spring"}"#, 409, None),
    ("POST", "/api/v1/tags", r#"{"name":" "}"#, 422, None),
    ("PATCH", "/api/v1/tags/TAG", r##"{"color":"#16a34a"}"##, 200, None),
    ("POST", "/api/v1/domains", r#"{"domain":"links.test","rootUrl":"https://e.test/"}"#, 201, Some(("DOMAIN", "/domain/id"))),
    ("POST", "/api/v1/domains", r#"{"domain":"links.test"}"#, 409, None),
    ("POST", "/api/v1/domains", r#"{"domain":"a b"}"#, 422, None),
    ("GET", "/api/v1/domains/DOMAIN", "", 200, None),
    ("PATCH", "/api/v1/domains/DOMAIN", r#"{"rootUrl":null,"expiredUrl":"https://e.test/"}"#, 200, None),
    ("POST", "/api/v1/domains/DOMAIN/verify", "", 200, None),
    ("POST", "/api/v1/links", r#"{"url":"https://e.test/","domain":"links.test","customSlug":"full","title":"T","description":"D","image":"https://e.test/i","password":"secret","validSince":"2020-01-01","expiresAt":"2030-01-01T00:00:00Z","maxClicks":5,"expiredUrl":"https://e.test/x","tagIds":["TAG"],"forwardParameters":true,"utmSource":"s","metaPixelId":"123456789012345","googleTagId":"G-ABCDEF1234","webhookUrls":["https://e.test/a","https://e.test/b"],"notes":"n","redirectType":308}"#, 201, Some(("LINK", "/link/id"))),
    ("POST", "/api/v1/links", r#"{"url":"https://e.test/","domain":"links.test","customSlug":"full"}"#, 409, None),
    ("POST", "/api/v1/links", r#"{"url":"javascript:x"}"#, 422, None),
    ("POST", "/api/v1/links", r#"{"url":"tel:+49301234","linkType":"TEL"}"#, 201, None),
    ("POST", "/api/v1/links/bulk", r#"{"links":[{"url":"https://e.test/"},{"url":5},{"url":"https://e.test/","customSlug":"api"}]}"#, 201, None),
    ("POST", "/api/v1/links/bulk", r#"{"links":[]}"#, 422, None),
    ("GET", "/api/v1/links?limit=1&sort=oldest", "", 200, None),
    ("GET", "/api/v1/links?limit=0", "", 400, None),
    ("GET", "/api/v1/links?sort=clicks&page=1000000", "", 422, None),
    ("GET", "/api/v1/links/LINK", "", 200, None),
    ("GET", "/api/v1/links/00000000000000000000", "", 404, None),
    ("PATCH", "/api/v1/links/LINK", r#"{"title":null,"redirectType":"301","maxClicks":null}"#, 200, None),
    ("PATCH", "/api/v1/links/LINK", r#"{"linkType":"TEL"}"#, 422, None),
    ("GET", "/api/v1/links/by-code/full?domain=links.test", "", 200, None),
    ("GET", "/api/v1/links/by-code/unknown", "", 404, None),
    ("GET", "/api/v1/links/by-code/full?domain=nowhere.test", "", 422, None),
    ("PATCH", "/api/v1/links/by-code/full?domain=links.test", r#"{"title":"T","nonsense":1}"#, 200, None),
    ("PATCH", "/api/v1/links/by-code/full?domain=links.test", r#"{"linkType":"TEL"}"#, 422, None),
    ("GET", "/api/v1/links/by-code/full/explain?domain=links.test&at=2029-01-01", "", 200, None),
    ("GET", "/api/v1/links/by-code/full/explain?domain=nowhere.test", "", 422, None),
    ("GET", "/api/v1/links/by-code/full/deliveries?domain=links.test", "", 200, None),
    ("GET", "/api/v1/links/by-code/full/deliveries?domain=nowhere.test", "", 422, None),
    ("GET", "/api/v1/links/LINK/qr", "", 200, None),
    ("PUT", "/api/v1/domains/DOMAIN/qr-logo", r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#, 200, None),
    ("GET", "/api/v1/domains/DOMAIN/qr-logo", "", 200, None),
    ("GET", "/api/v1/links/LINK/qr?logo=true", "", 200, None),
    ("GET", "/api/v1/links/LINK/qr?logo=true&format=png", "", 422, None),
    ("PUT", "/api/v1/domains/DOMAIN/qr-logo", "<script/>", 422, None),
    ("DELETE", "/api/v1/domains/DOMAIN/qr-logo", "", 200, None),
    ("DELETE", "/api/v1/domains/DOMAIN/qr-logo", "", 404, None),
    ("PUT", "/api/v1/domains/DOMAIN/apple-app-site-association", r#"{"webcredentials":{"apps":["ABCDE12345.a.b"]}}"#, 200, None),
    ("PUT", "/api/v1/domains/DOMAIN/apple-app-site-association", r#"{"applinks":{}}"#, 422, None),
    ("GET", "/api/v1/domains/DOMAIN/apple-app-site-association", "", 200, None),
    ("DELETE", "/api/v1/domains/DOMAIN/apple-app-site-association", "", 200, None),
    ("PUT", "/api/v1/domains/DOMAIN/assetlinks.json", r#"[{"relation":["delegate_permission/common.handle_all_urls"],"target":{"namespace":"web","site":"https://e.test"}}]"#, 200, None),
    ("PUT", "/api/v1/domains/DOMAIN/assetlinks.json", "[]", 422, None),
    ("GET", "/api/v1/domains/DOMAIN/assetlinks.json", "", 200, None),
    ("DELETE", "/api/v1/domains/DOMAIN/assetlinks.json", "", 200, None),
    ("PATCH", "/api/v1/domains/DOMAIN", r##"{"publicQr":true,"qrForeground":"#1a237e","qrBackground":"ffe082"}"##, 200, None),
    ("PATCH", "/api/v1/domains/DOMAIN", r#"{"qrForeground":"eee"}"#, 422, None),
    ("PUT", "/api/v1/workspaces/HOME/qr-logo", r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#, 200, None),
    ("GET", "/api/v1/workspaces/HOME/qr-logo", "", 200, None),
    ("DELETE", "/api/v1/workspaces/HOME/qr-logo", "", 200, None),
    ("GET", "/api/v1/links/LINK/qr?format=png&size=300&margin=2&level=H&fg=1a2b3c&bg=fff&logo=false", "", 200, None),
    ("GET", "/api/v1/links/LINK/qr?fg=eee", "", 422, None),
    ("GET", "/api/v1/links/LINK/qr?size=x", "", 400, None),
    ("GET", "/api/v1/links/by-code/full/qr?domain=links.test", "", 200, None),
    ("GET", "/api/v1/links/by-code/full/qr?domain=nowhere.test", "", 422, None),
    ("GET", "/api/v1/links/by-code/unknown/qr", "", 404, None),
    ("DELETE", "/api/v1/links/by-code/full/password-lock?domain=links.test", "", 200, None),
    ("DELETE", "/api/v1/links/by-code/full/password-lock?domain=nowhere.test", "", 422, None),
    ("DELETE", "/api/v1/links/by-code/unknown/password-lock", "", 404, None),
    ("GET", "/api/v1/tags?q=x", "", 200, None),
    ("GET", "/api/v1/links?q=x&nonsense=1", "", 200, None),
    ("GET", "/api/v1/links/LINK/explain?ua=Googlebot&at=2029-01-01", "", 200, None),
    ("GET", "/api/v1/links/LINK/explain?device=mobile&country=DE&clicks=5", "", 200, None),
    ("GET", "/api/v1/links/LINK/explain?device=toaster", "", 422, None),
    ("POST", "/api/v1/explain", r#"{"id":"LINK","visitor":{"os":"iOS","clicks":5}}"#, 200, None),
    ("POST", "/api/v1/explain", r#"{"link":{"url":"https://e.test/","rules":[{"status":404}]}}"#, 200, None),
    ("POST", "/api/v1/explain", "{}", 422, None),
    ("POST", "/api/v1/explain", r#"{"id":"00000000000000000000"}"#, 404, None),
    ("PATCH", "/api/v1/links/LINK", r#"{"rules":[{"conditions":[{"field":"query","key":"a","operator":"exists"}],"url":"https://e.test/a"},{"name":"t","variants":[{"url":"https://e.test/b","weight":1},{"url":"https://e.test/c","weight":2}],"sticky":"cookie","winner":2}]}"#, 200, None),
    ("GET", "/api/v1/analytics?groupBy=link,device&interval=all&compare=previous", "", 200, None),
    ("GET", "/api/v1/analytics?linkId=LINK&groupBy=time,hourOfWeek&timezone=Asia/Kolkata", "", 200, None),
    ("GET", "/api/v1/analytics?q=x", "", 422, None),
    ("GET", "/api/v1/analytics?groupBy=time&interval=24h&device=mobile,tablet&referrer=-null&limit=5", "", 200, None),
    ("GET", "/api/v1/analytics/summary?interval=7d", "", 200, None),
    ("GET", "/api/v1/analytics/live", "", 200, None),
    ("GET", "/api/v1/analytics/live?linkId=LINK", "", 422, None),
    ("GET", "/api/v1/analytics/nothing", "", 404, None),
    ("POST", "/api/v1/analytics/shares", r#"{"linkId":"LINK","password":"s3cret","expiresAt":null,"nonsense":1}"#, 201, Some(("CLICKSHARE", "/share/id"))),
    ("POST", "/api/v1/analytics/shares", r#"{"tagId":"TAG"}"#, 201, None),
    ("PATCH", "/api/v1/analytics/shares/CLICKSHARE", r#"{"password":null,"expiresAt":null,"timezone":"Europe/Berlin"}"#, 200, None),
    ("PATCH", "/api/v1/analytics/shares/CLICKSHARE", r#"{"timezone":"Mars"}"#, 422, None),
    ("GET", "/api/v1/analytics?bom=true", "", 422, None),
    ("POST", "/api/v1/analytics/shares", r#"{"linkId":"LINK","expiresAt":"2020-01-01"}"#, 422, None),
    ("POST", "/api/v1/analytics/shares", r#"{"linkId":"00000000000000000000"}"#, 404, None),
    ("GET", "/api/v1/analytics/shares", "", 200, None),
    ("DELETE", "/api/v1/analytics/shares/CLICKSHARE", "", 200, None),
    ("DELETE", "/api/v1/analytics/shares/CLICKSHARE", "", 404, None),
    ("GET", "/api/v1/analytics?interval=5d", "", 400, None),
    ("GET", "/api/v1/analytics?linkId=00000000000000000000", "", 404, None),
    ("GET", "/api/v1/analytics?groupBy=time&granularity=15m&interval=365d", "", 422, None),
    ("DELETE", "/api/v1/links/LINK/password-lock", "", 200, None),
    ("DELETE", "/api/v1/links/00000000000000000000/password-lock", "", 404, None),
    ("GET", "/api/v1/links/LINK/deliveries", "", 200, None),
    ("POST", "/api/v1/render", r#"{"text":"{{trigger_link.LINK}} {{trigger_link.x}}","contactId":"c"}"#, 200, None),
    ("GET", "/api/v1/tags", "", 200, None),
    ("GET", "/api/v1/domains", "", 200, None),
    ("DELETE", "/api/v1/domains/DOMAIN", "", 422, None),
    ("POST", "/api/v1/links", r#"{"url":"https://e.test/","customSlug":"coded","key":"x"}"#, 201, None),
    ("PATCH", "/api/v1/links/by-code/coded", r#"{"title":"T","password":"open sesame"}"#, 200, None),
    ("GET", "/api/v1/links/by-code/coded/history?limit=1&unknown=1", "", 200, None),
    ("GET", "/api/v1/links/by-code/coded/history?domain=nowhere.test", "", 422, None),
    ("POST", "/api/v1/links/by-code/coded/undo", "{}", 201, None),
    ("POST", "/api/v1/links/by-code/coded/undo", r#"{"revision":"x"}"#, 404, None),
    ("GET", "/api/v1/links/LINK/history", "", 200, None),
    ("GET", "/api/v1/links/LINK/history?cursor=x", "", 400, None),
    ("POST", "/api/v1/links/LINK/undo", r#"{"to":"LINK"}"#, 422, None),
    ("POST", "/api/v1/links/LINK/undo", "", 201, None),
    ("POST", "/api/v1/links/LINK/undo", "{}", 201, None),
    ("GET", "/api/v1/audit?kind=link&operation=undo&key=operator&from=2020-01-01&limit=1", "", 200, None),
    ("GET", "/api/v1/audit?link=LINK&key=Ann&limit=1", "", 200, None),
    ("GET", "/api/v1/audit?kind=visitor", "", 422, None),
    ("DELETE", "/api/v1/links/by-code/coded?domain=nowhere.test", "", 422, None),
    ("DELETE", "/api/v1/links/by-code/coded", "", 200, None),
    ("DELETE", "/api/v1/links/by-code/coded", "", 404, None),
    ("DELETE", "/api/v1/links/LINK", "", 200, None),
    ("DELETE", "/api/v1/links/LINK", "", 404, None),
    ("GET", "/api/v1/links/deleted?limit=1", "", 200, None),
    ("GET", "/api/v1/links/deleted?code=%2F", "", 422, None),
    ("POST", "/api/v1/links/LINK/restore", r#"{"customSlug":"back"}"#, 201, None),
    ("POST", "/api/v1/links/LINK/restore", "{}", 422, None),
    ("DELETE", "/api/v1/links/LINK", "", 200, None),
    ("DELETE", "/api/v1/domains/DOMAIN", "", 200, None),
    ("DELETE", "/api/v1/tags/TAG", "", 200, None),
    ("POST", "/api/v1/companies", r#"{"name":"Agency","id":"agency","relationshipNumber":"0-128-926"}"#, 201, None),
    ("POST", "/api/v1/companies", r#"{"name":"Agency","id":"agency"}"#, 409, None),
    ("POST", "/api/v1/companies", r#"{"name":" "}"#, 422, None),
    ("GET", "/api/v1/companies", "", 200, None),
    ("POST", "/api/v1/workspaces", r#"{"name":"Shop","companyId":"agency","credits":3,"customValues":{"a":"b"}}"#, 201, Some(("WORKSPACE", "/workspace/id"))),
    ("POST", "/api/v1/workspaces", r#"{"name":"Shop","id":"WORKSPACE"}"#, 409, None),
    ("GET", "/api/v1/workspaces", "", 200, None),
    ("GET", "/api/v1/workspaces/WORKSPACE", "", 200, None),
    ("PATCH", "/api/v1/workspaces/WORKSPACE", r#"{"credits":null}"#, 200, None),
    ("GET", "/api/v1/workspaces/WORKSPACE/webhook-secret", "", 200, None),
    ("POST", "/api/v1/workspaces/WORKSPACE/webhook-secret/rotate", "", 201, None),
    ("GET", "/api/v1/workspaces/nowhere", "", 404, None),
    ("POST", "/api/v1/keys", r#"{"name":"k","scopes":["links.write"],"createOnly":true,"expiresAt":"2030-01-01"}"#, 201, Some(("KEY", "/key/id"))),
    ("POST", "/api/v1/keys", r#"{"name":"k","scopes":["all"]}"#, 422, None),
    ("GET", "/api/v1/keys", "", 200, None),
    ("DELETE", "/api/v1/keys/KEY", "", 200, None),
    ("POST", "/api/v1/campaigns", r#"{"name":"C","id":"spring"}"#, 201, None),
    ("POST", "/api/v1/campaigns", r#"{"name":"C","id":"spring"}"#, 409, None),
    ("POST", "/api/v1/campaigns", r#"{"name":" "}"#, 422, None),
    ("GET", "/api/v1/campaigns", "", 200, None),
    ("GET", "/api/v1/campaigns/spring", "", 200, None),
    ("PATCH", "/api/v1/campaigns/spring", r#"{"name":"D"}"#, 200, None),
    ("DELETE", "/api/v1/campaigns/spring", "", 200, None),
    ("DELETE", "/api/v1/campaigns/spring", "", 404, None),
];

#[rustfmt::skip]
const LINQUID: &[Row] = &[
    ("POST", "/api/campaigns", r#"{"name":"C"}"#, 201, Some(("CAMPAIGN", "/data/id"))),
    ("GET", "/api/campaigns?limit=1", "", 200, None),
    ("GET", "/api/campaigns/CAMPAIGN", "", 200, None),
    ("PATCH", "/api/campaigns/CAMPAIGN", r#"{"name":"D"}"#, 200, None),
    ("POST", "/api/links", r#"{"destinationUrl":"https://e.test/","shortCode":"lent","title":"T","tags":["a"],"clicksLimit":5,"password":"p","campaignId":"CAMPAIGN","expiresAt":"2030-01-01"}"#, 201, Some(("LENT", "/data/id"))),
    ("POST", "/api/links", r#"{"destinationUrl":"https://e.test/","shortCode":"lent"}"#, 409, None),
    ("POST", "/api/links", r#"{"destinationUrl":5}"#, 400, None),
    ("GET", "/api/links?limit=1&campaignId=CAMPAIGN", "", 200, None),
    ("GET", "/api/links/LENT", "", 200, None),
    ("GET", "/api/links/lent", "", 200, None),
    ("GET", "/api/links/unknown", "", 404, None),
    ("GET", "/api/analytics/workspace/overview?days=7", "", 200, None),
    ("GET", "/api/analytics/LENT/timeseries?days=400&timezone=Asia/Kolkata", "", 200, None),
    ("GET", "/api/analytics/LENT/devices", "", 200, None),
    ("GET", "/api/analytics/LENT/regions", "", 200, None),
    ("GET", "/api/analytics/workspace/nothing", "", 404, None),
    ("GET", "/api/analytics/workspace/overview?granularity=week", "", 400, None),
    ("PATCH", "/api/links/LENT", r#"{"clicksLimit":null,"password":""}"#, 200, None),
    ("POST", "/api/rules", r#"{"linkId":"LENT","name":"R","conditions":[{"field":"os","operator":"equals","value":"iOS"}],"destinationUrl":"https://e.test/ios","priority":5}"#, 201, Some(("RULE", "/data/id"))),
    ("POST", "/api/rules", r#"{"linkId":"LENT","name":"R","type":"percentage","conditions":{"percentage":40},"destinationUrl":"https://e.test/b"}"#, 201, None),
    ("POST", "/api/rules", r#"{"linkId":"LENT","name":"R","conditions":[{"field":"isp","operator":"equals","value":"x"}],"destinationUrl":"https://e.test/"}"#, 400, None),
    ("GET", "/api/rules?linkId=LENT&limit=1", "", 200, None),
    ("GET", "/api/rules?linkId=link_00000000000000000000", "", 404, None),
    ("GET", "/api/rules/RULE", "", 200, None),
    ("PUT", "/api/rules/RULE", r#"{"enabled":false,"description":"d","conditions":{"devices":["mobile"]}}"#, 200, None),
    ("PATCH", "/api/rules/RULE", r#"{"priority":2}"#, 200, None),
    ("PUT", "/api/rules/RULE", r#"{"priority":"first"}"#, 400, None),
    ("DELETE", "/api/rules/RULE", "", 200, None),
    ("DELETE", "/api/rules/RULE", "", 404, None),
    ("DELETE", "/api/links/LENT", "", 200, None),
    ("DELETE", "/api/links/LENT", "", 404, None),
];

#[rustfmt::skip]
const HIGHLEVEL: &[Row] = &[
    ("POST", "/links/", r#"{"locationId":"HOME","name":"N","redirectTo":"https://e.test/"}"#, 201, Some(("TRIGGER", "/link/id"))),
    ("POST", "/links/", r#"{"locationId":"HOME","name":""}"#, 422, None),
    ("GET", "/links/?locationId=HOME", "", 200, None),
    ("GET", "/links/?locationId=HOME&skip=0&limit=1", "", 200, None),
    ("GET", "/links/", "", 400, None),
    ("GET", "/links/search?locationId=HOME&query=N", "", 200, None),
    ("GET", "/links/id/TRIGGER?locationId=HOME", "", 200, None),
    ("GET", "/links/TRIGGER", "", 200, None),
    ("PUT", "/links/TRIGGER", r#"{"name":"M"}"#, 201, None),
    ("PUT", "/links/TRIGGER", "{}", 422, None),
    ("DELETE", "/links/TRIGGER", "", 201, None),
    ("DELETE", "/links/TRIGGER", "", 404, None),
    ("GET", "/locations/HOME", "", 200, None),
    ("GET", "/locations/nowhere", "", 403, None),
];

#[rustfmt::skip]
const SNAPSHOTS: &[Row] = &[
    ("POST", "/api/v1/snapshots", r#"{"name":"S"}"#, 201, Some(("SNAPSHOT", "/snapshot/id"))),
    ("POST", "/api/v1/snapshots", r#"{"name":" "}"#, 422, None),
    ("GET", "/api/v1/snapshots", "", 200, None),
    ("GET", "/api/v1/snapshots/SNAPSHOT", "", 200, None),
    ("POST", "/api/v1/snapshots/SNAPSHOT/shares", r#"{"type":"permanent_link"}"#, 201, Some(("SHARE", "/share/id"))),
    ("POST", "/api/v1/snapshots/SNAPSHOT/shares", r#"{"type":"agency_link"}"#, 422, None),
    ("POST", "/api/v1/snapshots/import", r#"{"shareId":"SHARE","workspaceId":"HOME","onConflict":"rename"}"#, 201, Some(("IMPORT", "/import/id"))),
    ("GET", "/api/v1/snapshots/imports/IMPORT", "", 200, None),
    ("GET", "/snapshots/?companyId=OWNER", "", 200, None),
    ("GET", "/snapshots/", "", 400, None),
    ("POST", "/snapshots/share/link?companyId=OWNER", r#"{"snapshot_id":"SNAPSHOT","share_type":"location_link","share_location_id":"HOME, b"}"#, 201, None),
    ("POST", "/snapshots/share/link?companyId=OWNER", r#"{"snapshotId":"SNAPSHOT"}"#, 400, None),
    ("GET", "/snapshots/snapshot-status/SNAPSHOT?companyId=OWNER&from=2020-01-01&to=2030-01-01", "", 200, None),
    ("GET", "/snapshots/snapshot-status/SNAPSHOT/location/HOME?companyId=OWNER", "", 200, None),
    ("DELETE", "/api/v1/snapshots/SNAPSHOT", "", 200, None),
    ("GET", "/api/v1/snapshots/SNAPSHOT", "", 404, None),
];

#[test]
fn responses_are_as_described() {
    let app = TestApp::start();
    let mut description = Description::of(&app);
    let mut client = app.admin();
    let mut known: Vec<(&str, String)> = Vec::new();
    for (method, target, body, status, keeps) in [NATIVE, LINQUID, HIGHLEVEL, SNAPSHOTS].into_iter().flatten()
    {
        if description.find(method, target).is_none() {
            continue;
        }
        let filled =
            |text: &str| known.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id));
        let (target, body) = (filled(target), filled(body));
        let answer = client.send(method, &target, &[], (!body.is_empty()).then_some(body.as_bytes()));
        assert_eq!(answer.status, *status, "{method} {target} {body}: {}", answer.text());
        description.check(method, &target, &answer);
        if let Some((name, pointer)) = keeps {
            let id = answer.json().pointer(pointer).and_then(Value::as_str).expect("an id").to_owned();
            known.push((name, id));
        }
    }
    for Operation { details, .. } in description.operations() {
        let id = text(details, "operationId");
        let succeeded = description.seen.iter().any(|(seen, status)| seen == id && *status < 300);
        assert!(succeeded, "{id} never succeeded");
    }
}

#[test]
fn document_and_page_are_public_and_load_nothing() {
    let app = TestApp::start();
    let mut visitor = app.visitor();
    for (path, kind) in
        [("/api/openapi.json", "application/json; charset=utf-8"), ("/api/docs", "text/html; charset=utf-8")]
    {
        let answer = visitor.get(path);
        let head = visitor.head(&format!("{path}/"));
        assert_eq!((answer.status, head.status), (200, 200), "{path}");
        for name in ["content-type", "content-length", "cache-control", "content-security-policy"] {
            assert_eq!(answer.header(name), head.header(name), "{path} {name}");
        }
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(visitor.delete(path).status, 405, "{path}");
    }
    let page = visitor.get("/api/docs");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = scraper::Html::parse_document(&page.text());
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    let select = |css: &str| scraper::Selector::parse(css).expect("a selector");
    let loads = "link, img, iframe, object, embed, [src], [style], [onclick]";
    assert_eq!(html.select(&select(loads)).count(), 0);
    // The one script is the one of the policy, and needs no address.
    let scripts: Vec<_> = html.select(&select("script")).map(|script| script.text().collect()).collect();
    let [script]: [String; 1] = scripts.try_into().expect("one script");
    let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
    assert!(policy.contains(&format!("; script-src 'sha256-{hash}';")), "{policy}");
    assert!(!["http:", "https:", "fetch", "innerHTML", "import"].iter().any(|word| script.contains(word)));
    let described = Description::of(&app);
    assert_eq!(html.select(&select("article")).count(), described.operations().len());
    for anchor in html.select(&select("nav a")) {
        let target = anchor.attr("href").and_then(|href| href.strip_prefix('#')).expect("within the page");
        assert_eq!(html.select(&select(&format!("[id='{target}']"))).count(), 1, "{target}");
    }
    assert!(!page.text().contains(KEY));
    // For the keyboard: the first stop skips the list. For readers of headings: no level is left out.
    let first = html.select(&select("a[href]")).next().and_then(|link| link.attr("href"));
    assert_eq!((first, html.select(&select("main#content")).count()), (Some("#content"), 1));
    let headings = select("h1, h2, h3, h4");
    let levels = html.select(&headings).map(|heading| heading.value().name().as_bytes()[1]);
    let mut before = b'0';
    for level in levels {
        assert!(level <= before + 1, "h{} after h{}", char::from(level), char::from(before));
        before = level;
    }
}

/// The commands of the page work as they are on a new instance.
#[test]
fn the_first_examples_of_the_page_work() {
    let app = TestApp::start();
    let page = app.visitor().get("/api/docs").text();
    let html = scraper::Html::parse_document(&page);
    let select = |css: &str| scraper::Selector::parse(css).expect("a selector");
    let commands: Vec<String> = html.select(&select("pre")).map(|pre| pre.text().collect()).collect();
    assert_eq!(commands[0], "KEY=$(cat data/admin.key)");
    let created = ["createLink", "createLinks", "createTag", "createCampaign", "createDomain"];
    let mut tried = 0;
    let body_of = |command: &str| {
        let (_, body) = command.split_once("-d '")?;
        Some(body.strip_suffix('\'').expect("its end").replace("'\\''", "'"))
    };
    for id in created {
        let Some(pre) = html.select(&select(&format!("article#{id} pre"))).next() else { continue };
        let command: String = pre.text().collect();
        let body = body_of(&command).unwrap_or_else(|| panic!("no body: {command}"));
        let path =
            command.split('"').nth(3).and_then(|url| url.strip_prefix("http://go.test")).expect("a URL");
        let sent = app.admin().send("POST", path, &[], Some(body.as_bytes()));
        assert_eq!(sent.status, 201, "{command}: {}", sent.text());
        tried += 1;
    }
    assert!(tried >= 3, "{tried} commands");
    let sent =
        app.admin().send("POST", "/api/v1/links", &[], body_of(&commands[1]).as_deref().map(str::as_bytes));
    assert_eq!(sent.status, 201, "{}", commands[1]);
    // Fields in their order of use: the code is among the first.
    let fields: Vec<String> = html
        .select(&select("article#createLink details[open] dt code"))
        .map(|it| it.text().collect())
        .collect();
    assert_eq!(fields[..4], ["url", "customSlug", "domain", "title"], "{fields:?}");
}

/// The variable that makes the test write [`EXAMPLES`].
const WRITE: &str = "WAYPOST_WRITE_EXAMPLES";

/// The bodies that the description shows.
const EXAMPLES: &str = "src/http/api/openapi/examples.json";

#[test]
fn examples_are_the_transcripts() {
    let description = Description::of(&TestApp::start());
    let mut examples: BTreeMap<String, Value> = BTreeMap::new();
    for (exchange, example) in super::dialects::run_all() {
        let Some(operation) = description.find(&exchange.method, &exchange.target) else { continue };
        let shown = examples.entry(text(operation, "operationId").to_owned()).or_insert_with(|| json!({}));
        // A transcript begins with the first response of its kind.
        if exchange.status < 300 && shown.get("request").is_none() {
            shown
                .as_object_mut()
                .expect("an object")
                .extend(example.request.map(|body| ("request".to_owned(), body)));
        }
        let status = exchange.status.to_string();
        if let Some(answer) = example.answer.filter(|_| shown["answers"].get(&status).is_none()) {
            shown["answers"][status] = answer;
        }
    }
    let made = format!("{:#}\n", json!(examples));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLES);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &made).expect("the examples can be written");
    }
    let kept = fs::read_to_string(&path).expect("the examples");
    assert!(made == kept, "{EXAMPLES} is not what the transcripts show: run this test with {WRITE}=1");
    let mut missing = Vec::new();
    for Operation { path, method, details } in description.operations() {
        let examples = examples.get(text(details, "operationId"));
        let shown = examples.unwrap_or_else(|| panic!("{method} {path}: no transcript"));
        let request = &details["requestBody"]["content"]["application/json"]["example"];
        assert_eq!(request, &shown["request"], "{method} {path}");
        for (status, response) in members(&details["responses"]) {
            let content = &description.follow(response)["content"];
            if content.is_object() && content.get("application/json").is_none() {
                // A picture, whose example would be its bytes.
                continue;
            }
            let example = &content["application/json"]["example"];
            // No transcript contains an import that outlasts its request.
            // 304 has no body.
            if example.is_null() && status != "202" && status != "304" {
                missing.push(format!("{method} {path} {status}"));
            }
            if response.get("$ref").is_none() {
                assert_eq!(example, &shown["answers"][status], "{method} {path} {status}");
            }
        }
    }
    assert!(missing.is_empty(), "no example of {missing:?}");
}
