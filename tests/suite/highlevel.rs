//! HighLevel's links from outside: each operation with each error, one core with the native API, and lists of
//! any length in constant memory. The examples of the vendor's documentation are in `dialects/highlevel`.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::service::Service;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use waypost::config::Config;
use waypost::http::body::{BodyChunk, Content};
use waypost::http::conn::server;
use waypost::http::conn::server::Settings;
use waypost::http::counts::HttpCounts;

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, Connection, raw, text};
use crate::support::process::{PATIENCE, Plan, Process, poll};

const NO_ACCESS: &str = "The token does not have access to this location.";

/// A location of the vendor's examples, another location, and their keys.
struct Places {
    app: TestApp,
    id: String,
    foreign_id: String,
}

const HERE: &str = "ve9EPM428h8vShlRW1KT";
const ELSEWHERE: &str = "otherLocation0000001";

impl Places {
    fn new() -> Places {
        Places::start(|_| {})
    }

    fn start(change: impl FnOnce(&mut Config)) -> Places {
        let app = TestApp::start_with(change);
        let mut admin = app.admin();
        for id in [HERE, ELSEWHERE] {
            let body = json!({"name": "L", "id": id});
            admin.post("/api/v1/workspaces", &body).expect(201, id);
        }
        let mut make = |location| text(&create(&mut admin, location, "first tag"), "id").to_owned();
        let (id, foreign_id) = (make(HERE), make(ELSEWHERE));
        Places { app, id, foreign_id }
    }

    /// Returns a client with a key of `HERE`.
    fn with(&self, more: &Value) -> Client {
        let mut body = json!({"name": "n", "workspaceId": HERE, "scopes": ["links.readonly", "links.write"]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let made = self.app.admin().post("/api/v1/keys", &body).expect(201, "a key");
        self.app.visitor().with_key(text(&made["key"], "secret"))
    }
}

#[track_caller]
fn create(client: &mut Client, location: &str, name: &str) -> Value {
    let body = json!({"locationId": location, "name": name, "redirectTo": "https://www.google.com/"});
    client.post("/links/", &body).expect(201, name)["link"].clone()
}

/// Checks an error: its status, and exactly these keys.
#[track_caller]
fn refused(answer: &Answer, status: u16, message: impl Into<Value>, error: Option<&str>, row: &str) {
    let mut want = json!({"statusCode": status, "message": message.into()});
    if let Some(error) = error {
        want["error"] = error.into();
    }
    assert_eq!(answer.expect(status, row), want, "{row}");
}

/// An operation. In its target `L` is a location and `I` a link.
struct Operation {
    method: &'static str,
    target: &'static str,
    body: Option<&'static str>,
    scope: &'static str,
}

const fn operation(
    method: &'static str,
    target: &'static str,
    body: Option<&'static str>,
    scope: &'static str,
) -> Operation {
    Operation { method, target, body, scope }
}

const OPERATIONS: [Operation; 11] = [
    operation(
        "POST",
        "/links/",
        Some(r#"{"locationId":"=L","name":"n","redirectTo":"https://e.test/"}"#),
        "links.write",
    ),
    operation("GET", "/links/?locationId==L", None, "links.readonly"),
    operation("GET", "/links?locationId==L&skip=0&limit=5", None, "links.readonly"),
    operation("GET", "/links/search?locationId==L", None, "links.readonly"),
    operation("GET", "/links/id/=I?locationId==L", None, "links.readonly"),
    operation("GET", "/links/=I", None, "links.readonly"),
    operation("PUT", "/links/=I", Some(r#"{"name":"n"}"#), "links.write"),
    operation("PUT", "/links/=I?locationId==L", Some(r#"{"redirectTo":"https://e.test/"}"#), "links.write"),
    operation("GET", "/locations/=L", None, "links.readonly"),
    operation("DELETE", "/links/=I?locationId==L", None, "links.write"),
    operation("DELETE", "/links/=I", None, "links.write"),
];

impl Operation {
    fn send(&self, client: &mut Client, location: &str, id: &str) -> Answer {
        let filled = |text: &str| text.replace("=L", location).replace("=I", id);
        let body = self.body.map(filled);
        client.send(self.method, &filled(self.target), &[], body.as_deref().map(str::as_bytes))
    }

    fn row(&self, what: &str) -> String {
        format!("{} {}: {what}", self.method, self.target)
    }

    fn names(&self, what: &str) -> bool {
        self.target.contains(what) || self.body.is_some_and(|body| body.contains(what))
    }
}

#[test]
fn each_operation_has_the_vendors_errors() {
    let places = Places::new();
    let unknown = "0".repeat(20);
    let mut whole = places.with(&json!({}));
    let mut form = places.with(&json!({"scopes": ["links.write"], "createOnly": true}));
    for operation in &OPERATIONS {
        let row = |what: &str| operation.row(what);
        let bad = "Invalid token: access token is invalid";
        for (what, mut client) in [
            ("no key", places.app.visitor()),
            ("a bad key", places.app.visitor().with_key("pit-1234")),
            ("two keys", places.app.visitor().with_key("a").with("X-API-Key", "b")),
        ] {
            let answer = operation.send(&mut client, HERE, &places.id);
            refused(&answer, 401, bad, Some("Unauthorized"), &row(what));
        }
        let other = if operation.scope == "links.write" { "links.readonly" } else { "snapshots.write" };
        let mut lacking = places.with(&json!({"scopes": [other]}));
        let answer = operation.send(&mut lacking, HERE, &places.id);
        let message = format!("this key lacks the scope {}", operation.scope);
        refused(&answer, 403, message, Some("Forbidden"), &row("another scope"));
        if operation.method != "POST" {
            let answer = operation.send(&mut form, HERE, &places.id);
            refused(&answer, 403, "this key may only create links", Some("Forbidden"), &row("create-only"));
        }
        if operation.names("=L") {
            for location in [ELSEWHERE, "nowhere", &unknown] {
                let answer = operation.send(&mut whole, location, &places.id);
                refused(&answer, 403, NO_ACCESS, None, &row(location));
            }
        }
        if operation.names("=I") {
            for id in [places.foreign_id.as_str(), &unknown, "search", "id", "r", "x"] {
                // With "search" as an id, the path is that of the search, which only reads.
                if operation.target.split('?').next() == Some("/links/=I") && id == "search" {
                    if operation.method != "GET" {
                        let answer = operation.send(&mut whole, HERE, id);
                        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
                    }
                    continue;
                }
                let answer = operation.send(&mut whole, HERE, id);
                refused(&answer, 404, "Link not found", None, &row(id));
            }
        }
        let target = operation.target.replace("=L", HERE).replace("=I", &places.id);
        for method in ["PATCH", "OPTIONS", "TRACE"] {
            let answer = whole.send(method, &target, &[], None);
            let allow = answer.header("allow").expect("the methods");
            assert!(allow.contains(operation.method), "{answer:?}");
            let message = format!("the method is not allowed here; allowed are {allow}");
            refused(&answer, 405, message, Some("Method Not Allowed"), &row(method));
        }
    }
    // None of these requests had an effect.
    let all = whole.get(&format!("/links/?locationId={HERE}")).expect(200, "the list");
    assert_eq!(all["links"][0]["name"], "first tag");
    assert_eq!(all["links"].as_array().map(Vec::len), Some(1));
    let last = OPERATIONS.last().expect("a deletion");
    assert_eq!(last.send(&mut whole, HERE, &places.id).status, 201);
    let again = last.send(&mut whole, HERE, &places.id);
    refused(&again, 404, "Link not found", None, "deleted twice");
}

#[test]
fn bodies_and_queries_are_refused_by_field() {
    let places = Places::new();
    let mut client = places.with(&json!({}));
    let long = "x".repeat(8_193);
    let link = format!("/links/{}", places.id);
    let put = |body: &str| ("PUT", link.clone(), body.to_owned());
    let post = |body: &str| ("POST", "/links/".to_owned(), body.to_owned());
    let get = |target: &str| ("GET", target.to_owned(), String::new());
    let whole =
        |name: &str, to: &str| json!({"locationId": HERE, "name": name, "redirectTo": to}).to_string();
    let rows = [
        (post(""), 400, "the body is empty: send a JSON object such as {\"name\": \"value\"}"),
        (post("[]"), 400, "the body must be a JSON object"),
        (
            post(r#"{"name":"a","name":"b"}"#),
            400,
            "the body is not valid JSON: an object has the key \"name\" twice at line 1 column 23",
        ),
        (put("null"), 400, "the body must be a JSON object"),
        (post("{}"), 422, "locationId is required"),
        (post(r#"{"locationId":5}"#), 422, "locationId must be a string"),
        (post(r#"{"locationId":""}"#), 422, "locationId must not be empty"),
        (post(&format!(r#"{{"locationId":"{HERE}"}}"#)), 422, "name is required"),
        (post(&whole("", "https://e.test/")), 422, "name must not be empty"),
        (post(&whole(" ", "https://e.test/")), 422, "name must not be empty"),
        (post(&format!(r#"{{"locationId":"{HERE}","name":null}}"#)), 422, "name must be a string"),
        (post(&format!(r#"{{"locationId":"{HERE}","name":"n"}}"#)), 422, "redirectTo is required"),
        (
            post(&format!(r#"{{"locationId":"{HERE}","name":"n","redirectTo":["x"]}}"#)),
            422,
            "redirectTo must be a string",
        ),
        (post(&whole("n", "")), 422, "redirectTo must not be empty"),
        (
            post(&whole("n", "google")),
            422,
            "redirectTo must be an absolute URL such as https://example.com/page",
        ),
        (
            post(&whole("n", "javascript:alert(1)")),
            422,
            "redirectTo must use one of these schemes: http, https",
        ),
        (post(&whole("n", &format!("https://e.test/{long}"))), 422, "redirectTo must be at most 8192 bytes"),
        (post(&whole(&long, "https://e.test/")), 422, "name must be at most 500 characters"),
        (
            post(&whole("n", "{{custom_values.a b}}")),
            422,
            "redirectTo must write placeholders as {{custom_values.NAME}}, NAME of A-Z, a-z, 0-9 and _, and other braces as %7B and %7D",
        ),
        (put("{}"), 422, "name or redirectTo is required"),
        (put(r#"{"title":"x"}"#), 422, "name or redirectTo is required"),
        (put(r#"{"name":""}"#), 422, "name must not be empty"),
        (put(r#"{"name":" \t"}"#), 422, "name must not be empty"),
        (put(r#"{"name":1}"#), 422, "name must be a string"),
        (put(r#"{"redirectTo":null}"#), 422, "redirectTo must be a string"),
        (
            put(r#"{"name":"x","redirectTo":"/x"}"#),
            422,
            "redirectTo must be an absolute URL such as https://example.com/page",
        ),
        (get("/links/"), 400, "locationId is required"),
        (get("/links/?locationId="), 400, "locationId is required"),
        (get("/links/search"), 400, "locationId is required"),
        (get("/links/?locationId=a&locationId=b"), 400, "locationId must be given once"),
        (
            get("/links/search?locationId=a&limit=x"),
            400,
            "limit must be a whole number from 0 to 9007199254740991",
        ),
        (get("/links/?locationId=a&skip=-1"), 400, "skip must be a whole number from 0 to 9007199254740991"),
    ];
    for ((method, target, body), status, message) in rows {
        let answer = client.send(method, &target, &[], Some(body.as_bytes()));
        let row = format!("{method} {target} {body}");
        match status {
            422 => refused(&answer, 422, json!([message]), Some("Unprocessable Entity"), &row),
            status => refused(&answer, status, message, None, &row),
        }
    }
    let answer = client.send("POST", "/links/", &[], Some(&vec![b' '; 64 * 1024 + 1]));
    refused(&answer, 413, "the body must be at most 65536 bytes", Some("Payload Too Large"), "65 KB");
    let answer = client.send("PUT", &link, &[("Content-Encoding", "gzip")], Some(b"{}"));
    let message = "the body must not have a Content-Encoding";
    refused(&answer, 415, message, Some("Unsupported Media Type"), "compressed");
    for target in ["/links/a/b", "/links/id/a/b", "/locations", "/locations/a/b"] {
        let answer = client.get(target);
        let message = "there is no such endpoint: /api/docs lists all endpoints";
        refused(&answer, 404, message, None, target);
    }
    let shown = client.get(&link).expect(200, "the link");
    assert_eq!(shown["link"]["name"], "first tag", "no refusal changed it");
}

#[test]
fn a_repeated_post_makes_one_link() {
    let places = Places::new();
    let mut client = places.with(&json!({}));
    let body =
        |name: &str| json!({"locationId": HERE, "name": name, "redirectTo": "https://e.test/"}).to_string();
    let mut post = |key: &str, name: &str| {
        client.send("POST", "/links/", &[("Idempotency-Key", key)], Some(body(name).as_bytes()))
    };
    let first = post("k", "n").expect(201, "first");
    assert_eq!(post("k", "n").expect(201, "again"), first);
    let message = json!(["Idempotency-Key was used before with another request body"]);
    refused(&post("k", "m"), 422, message, Some("Unprocessable Entity"), "another body");
    let message = "Idempotency-Key must be 1 to 255 visible ASCII characters";
    refused(&post("a b", "n"), 400, message, None, "no key");
}

#[test]
fn credits_and_requests_run_out() {
    let places = Places::start(|config| config.limits.requests_per_minute = 4);
    let mut client = places.with(&json!({}));
    let credits = json!({"credits": 1});
    places.app.admin().patch(&format!("/api/v1/workspaces/{HERE}"), &credits).expect(200, "one credit");
    let body = json!({"locationId": HERE, "name": "n", "redirectTo": "https://e.test/"});
    let made = client.post("/links/", &body);
    made.expect(201, "the last credit");
    for (name, value) in [("limit-daily", "5760"), ("interval-milliseconds", "60000"), ("max", "4")] {
        assert_eq!(made.header(&format!("x-ratelimit-{name}")), Some(value), "{name}");
    }
    assert_eq!(made.header("x-ratelimit-remaining"), Some("3"));
    assert_eq!(made.header("x-ratelimit-daily-remaining"), Some("5759"));
    let message = "the location has no credits left";
    refused(&client.post("/links/", &body), 402, message, Some("Payment Required"), "none left");
    let shown = json!({"name": "m"});
    let link = format!("/links/{}", places.id);
    client.send("PUT", &link, &[], Some(shown.to_string().as_bytes())).expect(201, "a change is free");
    client.get(&link).expect(200, "the last request");
    let early = client.get(&link);
    let seconds = early.header("retry-after").expect("when to come back").to_owned();
    let message = format!("Too Many Requests; try again in {seconds} s");
    refused(&early, 429, message, Some("Too Many Requests"), "the fifth in a minute");
    assert_eq!(early.header("x-ratelimit-remaining"), Some("0"));
}

#[test]
fn a_location_that_is_named_bounds_what_its_key_sees() {
    let places = Places::new();
    let mut admin = places.app.admin();
    admin.get(&format!("/links/{}", places.foreign_id)).expect(200, "within an instance key's reach");
    let answer = admin.get(&format!("/links/id/{}?locationId={HERE}", places.foreign_id));
    refused(&answer, 404, "Link not found", None, "not of this location");
    let answer = admin.delete(&format!("/links/{}?locationId={HERE}", places.foreign_id));
    refused(&answer, 404, "Link not found", None, "nor deleted there");
    let mut client = places.with(&json!({})).with("X-Workspace-Id", HERE);
    let message = "The token does not have access to this location.";
    for location in [ELSEWHERE, "nonexistent000000001"] {
        let answer = client.get(&format!("/links/?locationId={location}"));
        refused(&answer, 403, message, None, "the location counts, not the header");
        let body = json!({"locationId": location, "name": "n", "redirectTo": "https://e.test/"});
        refused(&client.post("/links/", &body), 403, message, None, "nor is it made elsewhere");
    }
    client.get(&format!("/links/?locationId={HERE}")).expect(200, "its own");
}

#[test]
fn skip_limit_and_query_are_honoured() {
    let places = Places::new();
    let mut client = places.with(&json!({}));
    for n in 1..=150 {
        // No generated code contains a colon.
        create(&mut client, HERE, &format!("n:{n}"));
    }
    let mut names = |target: &str| {
        let list = client.get(&format!("{target}locationId={HERE}")).expect(200, target);
        let links = list["links"].as_array().expect("links").clone();
        let names: Vec<String> = links.iter().map(|link| text(link, "name").to_owned()).collect();
        (names.len(), names.first().cloned(), names.last().cloned())
    };
    let some = |text: &str| Some(text.to_owned());
    let rows = [
        ("/links/?", 151, some("n:150"), some("first tag")),
        ("/links/?limit=2&", 2, some("n:150"), some("n:149")),
        ("/links/?skip=149&", 2, some("n:1"), some("first tag")),
        ("/links/?skip=64&limit=64&", 64, some("n:86"), some("n:23")),
        ("/links/?limit=64&", 64, some("n:150"), some("n:87")),
        ("/links/?limit=128&", 128, some("n:150"), some("n:23")),
        ("/links/?skip=151&", 0, None, None),
        ("/links/?limit=0&", 0, None, None),
        ("/links/search?", 20, some("n:150"), some("n:131")),
        ("/links/search?limit=1000&", 151, some("n:150"), some("first tag")),
        ("/links/search?query=N:14&", 11, some("n:149"), some("n:14")),
        ("/links/search?query=N:14&skip=1&limit=2&", 2, some("n:148"), some("n:147")),
        ("/links/search?query=google.com&limit=1000&", 151, some("n:150"), some("first tag")),
        ("/links/search?query=no:thing&", 0, None, None),
    ];
    for (target, count, first, last) in rows {
        assert_eq!(names(target), (count, first, last), "{target}");
    }
    let head = client.head(&format!("/links/?locationId={HERE}"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn links_are_the_same_in_both_dialects() {
    let places = Places::new();
    let mut client = places.with(&json!({}));
    let mut native = places.with(&json!({}));
    // Created in this dialect, read and changed in the native one.
    let made = native.get(&format!("/api/v1/links/{}", places.id)).expect(200, "native")["link"].clone();
    assert_eq!((&made["title"], &made["url"]), (&json!("first tag"), &json!("https://www.google.com/")));
    assert_eq!(made["workspaceId"], HERE);
    native
        .patch(&format!("/api/v1/links/{}", places.id), &json!({"title": "T", "utmSource": "s"}))
        .expect(200, "patched");
    let shown = client.get(&format!("/links/id/{}", places.id)).expect(200, "shown")["link"].clone();
    assert_eq!(
        (&shown["name"], &shown["redirectTo"]),
        (&json!("T"), &json!("https://www.google.com/?utm_source=s"))
    );
    native.delete(&format!("/api/v1/links/{}", places.id)).expect(200, "deleted");
    refused(&client.get(&format!("/links/{}", places.id)), 404, "Link not found", None, "deleted natively");
    // Created in the native dialect, with every option that this dialect lacks.
    let tag = native.post("/api/v1/tags", &json!({"name": "red"})).expect(201, "a tag")["tag"].clone();
    let link = native.create(&json!({
        "url": "https://e.test/a", "customSlug": "full", "utmSource": "mail", "maxClicks": 9, "notes": "n",
        "tagIds": [tag["id"]], "expiresAt": "2030-01-01T00:00:00Z", "redirectType": 301, "password": "p",
    }));
    let path = format!("/links/{}", text(&link, "id"));
    let shown = client.get(&path).expect(200, "by id")["link"].clone();
    assert_eq!(shown["name"], "full", "without a title, its code");
    assert_eq!(shown["redirectTo"], "https://e.test/a?utm_source=mail");
    let body = json!({"name": "full", "redirectTo": "https://e.test/c"});
    client.send("PUT", &path, &[], Some(body.to_string().as_bytes())).expect(201, "as it was shown");
    let now = native.get(&format!("/api/v1{path}")).expect(200, "native")["link"].clone();
    assert_eq!(now["title"], json!(null), "a name that was only shown is not kept");
    let body = json!({"name": "N", "redirectTo": "https://e.test/b?utm_source=x"});
    let changed = client.send("PUT", &path, &[], Some(body.to_string().as_bytes())).expect(201, "changed");
    assert_eq!(changed["link"]["redirectTo"], "https://e.test/b?utm_source=mail");
    let now = native.get(&format!("/api/v1{path}")).expect(200, "native")["link"].clone();
    let mut want = link.clone();
    want["title"] = json!("N");
    want["url"] = json!("https://e.test/b?utm_source=mail");
    want["updatedAt"] = now["updatedAt"].clone();
    assert_eq!(now, want, "what it has no word for is untouched");
    client.delete(&path).expect(201, "deleted here");
    native.get(&format!("/api/v1{path}")).refuses(404, "link not found", "deleted here");
    assert_eq!(places.app.visitor().get("/full").status, 404);
}

#[test]
fn custom_values_are_filled_into_destinations() {
    let places = Places::new();
    let mut admin = places.app.admin();
    let body = json!({"locationId": HERE, "name": "n", "redirectTo": "{{ custom_values.page }}?a=1"});
    let link = admin.post("/links/", &body).expect(201, "made")["link"].clone();
    assert_eq!(link["redirectTo"], "{{custom_values.page}}?a=1");
    let native = admin.get(&format!("/api/v1/links/{}", text(&link, "id"))).expect(200, "native");
    let code = format!("/{}", text(&native["link"], "shortCode"));
    assert_eq!(places.app.visitor().get(&code).status, 404, "no value yet");
    let values = json!({"customValues": {"page": "https://e.test/p"}});
    admin.patch(&format!("/api/v1/workspaces/{HERE}"), &values).expect(200, "a value");
    let click = places.app.visitor().get(&code);
    assert_eq!((click.status, click.header("location")), (302, Some("https://e.test/p?a=1")));
}

/// Length of the destinations in long lists.
const LONG: usize = 8_000;

/// Kilobytes by which the process may grow while nine clients read, or do not read, a list of 20 MB: half of
/// what one copy of the list would take. On an idle machine the growth is 5 MB.
const GROWTH_MAX: u64 = 10 * 1024;

fn kilobytes(process: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(process.proc("status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn descriptors(process: &Process) -> usize {
    fs::read_dir(process.proc("fd")).expect("the process runs").count()
}

/// A server with a list of links that have long destinations.
struct LongList {
    folder: TempDir,
    process: Process,
    count: usize,
    /// Path and query of the whole list.
    target: String,
}

impl LongList {
    /// Creates `count` links, a multiple of 500.
    fn new(count: usize) -> LongList {
        const ROWS: usize = 500;
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A small sled cache and two allocator arenas: both grow for reasons of their own and would hide the
        // growth under test.
        let plan = Plan::on(&folder.path().join("data"))
            .env("WAYPOST_TABLE__CACHE_CAPACITY", "1048576")
            .env("MALLOC_ARENA_MAX", "2");
        let process = plan.start();
        let mut admin = process.admin();
        let url = format!("https://e.test/{}", "x".repeat(LONG));
        let rows: Vec<Value> = (0..ROWS).map(|_| json!({ "url": url })).collect();
        for _ in 0..count / ROWS {
            admin.post("/api/v1/links/bulk", &json!({ "links": rows })).expect(201, "a bulk");
        }
        let workspaces = admin.get("/api/v1/workspaces").expect(200, "the workspaces");
        let target = format!("/links/?locationId={}", text(&workspaces["workspaces"][0], "id"));
        LongList { folder, process, count, target }
    }

    /// Reads the whole list, and returns its length in bytes and the ids of its links.
    fn read(&self) -> (usize, Vec<String>) {
        let whole = self.process.admin().get(&self.target);
        assert_eq!(whole.header("transfer-encoding"), Some("chunked"));
        let list = whole.expect(200, "the list");
        let links = list["links"].as_array().expect("links");
        let ids: Vec<String> = links.iter().map(|link| text(link, "id").to_owned()).collect();
        assert_eq!(ids.len(), self.count);
        assert!(ids.is_sorted_by(|newer, older| newer > older), "each once, the newest first");
        (whole.body.len(), ids)
    }

    /// Requests the list, and leaves the response unread.
    fn request(&self) -> Connection {
        let key = crate::support::app::KEY;
        let head =
            format!("GET {} HTTP/1.1\r\nHost: go.test\r\nAuthorization: Bearer {key}\r\n\r\n", self.target);
        let mut connection = Connection::open(self.process.address()).expect("accepted");
        connection.send(head.as_bytes()).expect("sent");
        connection
    }
}

#[test]
fn a_long_list_takes_no_memory_however_it_is_read() {
    let list = LongList::new(2_500);
    let process = &list.process;
    // Warm up: caches and the allocator keep this memory for good.
    let length = process.admin().get(&list.target).body.len();
    assert!(length > list.count * LONG, "{length}");
    let before = descriptors(process);
    fs::write(process.proc("clear_refs"), "5").expect("the highest mark is reset");
    let resident = kilobytes(process, "VmRSS:");
    // Eight clients that read a little and stop, and one that reads at full speed.
    let mut slow: Vec<Connection> = (0..8)
        .map(|_| {
            let mut connection = list.request();
            assert!(connection.take(2_000).expect("the beginning").starts_with(b"HTTP/1.1 200"));
            connection
        })
        .collect();
    assert_eq!(process.admin().get(&list.target).body.len(), length);
    let grown = kilobytes(process, "VmHWM:").saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} KB more while a list of {length} was read");
    // One client continues, the others hang up.
    let mut rest = slow.pop().expect("one of eight");
    drop(slow);
    assert!(rest.take(1_000_000).is_ok());
    drop(rest);
    poll("connections are closed", PATIENCE, || (descriptors(process) <= before).then_some(()));
}

/// The table is lost while it is read: no client may take a part for the whole. Most of this list is in no
/// cache.
#[test]
fn a_long_list_that_cannot_be_read_to_its_end_is_cut() {
    let list = LongList::new(3_000);
    let process = &list.process;
    let length = process.admin().get(&list.target).body.len();
    let mut cut = list.request();
    assert!(cut.begins().expect("the beginning"));
    fs::File::create(list.folder.path().join("data/table/db")).expect("the table's file, emptied");
    let answer = cut.receive(false).map(|answer| answer.map(|answer| answer.body.len()));
    assert!(answer.is_err(), "{answer:?} of {length}");
    assert_eq!(process.visitor().get("/healthz").status, 200, "it lives on");
}

#[test]
fn a_long_list_is_searched_to_its_end() {
    let list = LongList::new(2_500);
    let mut admin = list.process.admin();
    let (_, ids) = list.read();
    // Searches through all links find the last one, or nothing.
    let search = list.target.replace("/links/?", "/links/search?");
    let found = admin.get(&format!("{search}&query=E.TEST&skip={}", list.count - 1)).expect(200, "found");
    assert_eq!((&found["links"][0]["id"], &found["links"][1]), (&json!(ids[list.count - 1]), &json!(null)));
    assert_eq!(admin.get(&format!("{search}&query=e.tets")).expect(200, "none"), json!({"links": []}));
}

/// An HTTP/1.0 client cannot distinguish a part from the whole, and the server does not buffer a list of this
/// length.
#[test]
fn a_long_list_is_too_long_for_old_clients() {
    let list = LongList::new(2_500);
    let mut admin = list.process.admin();
    let (_, ids) = list.read();
    let old = |target: &str| {
        let head = format!("GET {target} HTTP/1.0\r\nX-API-Key: {}\r\n\r\n", crate::support::app::KEY);
        raw(list.process.address(), head.as_bytes()).expect("an answer")
    };
    let sentence = "the list is too long for HTTP/1.0; ask with HTTP/1.1, or with skip and limit";
    refused(&old(&list.target), 505, sentence, Some("HTTP Version Not Supported"), "a long list");
    let limited = format!("{}&limit=500", list.target);
    let held = old(&limited);
    assert_eq!((held.header("content-length").is_some(), held.header("transfer-encoding")), (true, None));
    assert_eq!(held.body, admin.get(&limited).body, "the same list");
    assert!(held.text().contains(&ids[499]));
}

#[test]
fn a_search_under_way_is_not_cut_for_others() {
    // More than may queue for a thread, each in several batches.
    const SEARCHING: usize = 150;
    const FOUND: usize = 200;
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.post("/api/v1/workspaces", &json!({"name": "L", "id": HERE})).expect(201, HERE);
    let rows: Vec<Value> = (0..FOUND).map(|_| json!({"url": "https://e.test/"})).collect();
    let mut there = app.admin().with("X-Workspace-Id", HERE);
    there.post("/api/v1/links/bulk", &json!({ "links": rows })).expect(201, "a bulk");
    let target = format!("/links/search?locationId={HERE}&query=e.test&limit=1000");
    let busy = std::thread::scope(|scope| {
        let searches: Vec<_> = (0..SEARCHING)
            .map(|_| {
                scope.spawn(|| {
                    let answer = app.admin().try_send("GET", &target, &[], None).expect("not cut");
                    if answer.status == 200 {
                        assert_eq!(answer.json()["links"].as_array().map(Vec::len), Some(FOUND));
                    }
                    answer.status
                })
            })
            .collect();
        let statuses = searches.into_iter().map(|search| search.join().expect("a search"));
        statuses.filter(|status| *status == 503).count()
    });
    assert!(busy < SEARCHING, "somebody is let in");
}

/// A service whose response is cut at `/cut`.
struct CutList;

impl<B> Service<Request<B>> for CutList {
    type Response = Response<Content>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Content>, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (sender, content) = Content::streamed();
        let is_cut = request.uri().path() == "/cut";
        tokio::spawn(async move {
            for (bytes, is_last) in [("{\"links\":[", false), ("]}", true)] {
                let _ = sender.send(BodyChunk { bytes: Bytes::from(bytes), is_last }).await;
                if is_cut {
                    return;
                }
            }
        });
        std::future::ready(Ok(Response::new(content)))
    }
}

#[test]
fn a_list_that_cannot_continue_is_cut() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let address = runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let counts = Arc::new(HttpCounts::default());
        let settings = Settings::default();
        tokio::spawn(async move {
            server::serve(vec![listener.into()], &settings, counts, |_, _| CutList, std::future::pending())
                .await
        });
        address
    });
    let mut client = Client::new(address, "go.test");
    assert_eq!(client.get("/whole").text(), "{\"links\":[]}");
    let cut = Client::new(address, "go.test").try_send("GET", "/cut", &[], None);
    assert_eq!(cut.expect_err("cut").kind(), std::io::ErrorKind::UnexpectedEof);
}
