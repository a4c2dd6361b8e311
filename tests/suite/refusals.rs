//! Requests that the native API rejects: the status, the field and the rule of each.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::text;
use crate::support::native::{LINKS, path_of};

const SCHEMES: &str = "url: must use one of these schemes: http, https";
const CONTROL: &str = "url: must not contain control characters";
const ABSOLUTE: &str = "url: must be an absolute URL such as https://example.com/page";
const USER: &str = "url: must not contain a user name or password";
const STAMP: &str = "expiresAt: must be a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";
/// The message about an instant that is no string.
const STAMP_TEXT: &str =
    "expiresAt: must be a string with a date such as 2026-12-31, or a time such as 2026-12-31T23:59:59Z";
const COUNT: &str = "maxClicks: must be a whole number, at least 1, or null for no limit";
const CODE: &str = "customSlug: must consist of letters, digits, emoji and the characters - _ . ~";

/// Bodies of a create, with the status and the sentence that refuse them.
const REFUSALS: &[(&str, u16, &str)] = &[
    (r"{}", 400, "url: is required"),
    (r#"{"url": null}"#, 400, "url: must be a string"),
    (r#"{"url": 1}"#, 400, "url: must be a string"),
    (r#"{"url": ["https://e.test/"]}"#, 400, "url: must be a string"),
    (r#"{"url": "https://e.test/x", "title": 1}"#, 400, "title: must be a string"),
    (r#"{"url": "https://e.test/x", "isActive": "true"}"#, 400, "isActive: must be true or false"),
    (r#"{"url": "https://e.test/x", "tagIds": "x"}"#, 400, "tagIds: must be an array of strings"),
    (r#"{"url": "https://e.test/x", "workspaceId": 1}"#, 400, "workspaceId: must be a string"),
    (r#"{"url": ""}"#, 422, "url: must not be empty"),
    (r#"{"url": "javascript:alert(1)"}"#, 422, SCHEMES),
    (r#"{"url": "JaVaScRiPt:alert(1)"}"#, 422, SCHEMES),
    (r#"{"url": " javascript:alert(1)"}"#, 422, "url: must not begin or end with white space"),
    (r#"{"url": "java\tscript:alert(1)"}"#, 422, CONTROL),
    (r#"{"url": "\u0001javascript:alert(1)"}"#, 422, CONTROL),
    (r#"{"url": "data:text/html,<script>"}"#, 422, SCHEMES),
    (r#"{"url": "vbscript:x"}"#, 422, SCHEMES),
    (r#"{"url": "file:///etc/passwd"}"#, 422, SCHEMES),
    (r#"{"url": "blob:https://e.test/x"}"#, 422, SCHEMES),
    (r#"{"url": "view-source:https://e.test"}"#, 422, SCHEMES),
    (r#"{"url": "intent://x"}"#, 422, SCHEMES),
    (r#"{"url": "mailto:a@b.c"}"#, 422, SCHEMES),
    (r#"{"url": "//evil.test"}"#, 422, ABSOLUTE),
    (r#"{"url": "\\\\evil.test"}"#, 422, ABSOLUTE),
    (r#"{"url": "/x"}"#, 422, ABSOLUTE),
    (r#"{"url": "example.com"}"#, 422, ABSOLUTE),
    (r#"{"url": "https://"}"#, 422, "url: is not a valid URL: empty host"),
    (r#"{"url": "https://e.test/\r\nSet-Cookie: a=b"}"#, 422, CONTROL),
    (r#"{"url": "https://e.test/\u0000"}"#, 422, CONTROL),
    (r#"{"url": "https://good.test@evil.test/"}"#, 422, USER),
    (r#"{"url": "https://u:p@evil.test/"}"#, 422, USER),
    (
        r#"{"url": "http://go.test/self", "customSlug": "self"}"#,
        422,
        "url: must not lead back to this short link",
    ),
    (
        r#"{"url": "http://go.test./self", "customSlug": "self"}"#,
        422,
        "url: must not lead back to this short link",
    ),
    (r#"{"url": "https://e.test/x", "linkType": "FAX"}"#, 422, "linkType: must be URL, MAILTO, TEL or SMS"),
    (
        r#"{"url": "jane", "linkType": "MAILTO"}"#,
        422,
        "url: must be an e-mail address such as jane@example.com",
    ),
    (r#"{"url": "abc", "linkType": "TEL"}"#, 422, "url: must be a telephone number such as +49 30 1234"),
    (r#"{"url": "+4930", "linkType": "TEL", "cloaked": true}"#, 422, "cloaked: works only with linkType URL"),
    (
        r#"{"url": "https://e.test/x", "domain": "unheard-of.test"}"#,
        422,
        "domain: is not a domain of this workspace",
    ),
    (
        r#"{"url": "https://e.test/x", "customSlug": "api"}"#,
        422,
        "customSlug: is reserved for a path of Waypost: choose another code; reserved are api, links, snapshots, locations, healthz, readyz, metrics, .well-known, robots.txt, favicon.ico, assets, admin",
    ),
    (
        r#"{"url": "https://e.test/x", "alias": ".."}"#,
        422,
        "alias: must not be \".\" or \"..\", which browsers remove from a URL",
    ),
    (r#"{"url": "https://e.test/x", "customSlug": "a/b"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a%2fb"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a b"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a\u200bb"}"#, 422, CODE),
    (r#"{"url": "https://e.test/x", "customSlug": "a\u202ebc"}"#, 422, CODE),
    (
        r#"{"url": "https://e.test/x", "customSlug": "there"}"#,
        409,
        "customSlug: \"there\" is already in use on this domain",
    ),
    (
        r#"{"url": "https://e.test/x", "redirectType": "303"}"#,
        422,
        "redirectType: must be PERMANENT_301, TEMPORARY_302, 301, 302, 307 or 308",
    ),
    (
        r#"{"url": "https://e.test/x", "title": "a\u0000b"}"#,
        422,
        "title: must not contain control characters",
    ),
    (
        r#"{"url": "https://e.test/x", "password": "********"}"#,
        422,
        "password: must be a new password: ******** only stands for a hidden one",
    ),
    (r#"{"url": "https://e.test/x", "maxClicks": -1}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 1.5}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 1e20}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": "5"}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": true}"#, 400, COUNT),
    (r#"{"url": "https://e.test/x", "maxClicks": 0}"#, 422, COUNT),
    (r#"{"url": "https://e.test/x", "expiresAt": "9999-12-31T23:59:60Z"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "0000-01-01"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "+010000-01-01T00:00:00Z"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "2024-02-30"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "2024-01-15T10:30:00+25:00"}"#, 422, STAMP),
    (r#"{"url": "https://e.test/x", "expiresAt": "tomorrow"}"#, 422, STAMP),
    (
        r#"{"url": "https://e.test/x", "metaPixelId": "1');alert(1);//"}"#,
        422,
        "metaPixelId: must be 5 to 20 digits",
    ),
    (
        r#"{"url": "https://e.test/x", "googleTagId": "G-X\"></script>"}"#,
        422,
        "googleTagId: must be a tag id such as G-ABC123XYZ",
    ),
    (
        r#"{"url": "https://e.test/x", "webhookUrls": "https://a.test/,,https://b.test/"}"#,
        422,
        "webhookUrls: must not have an empty part",
    ),
    (
        r#"{"url": "https://e.test/x", "image": "javascript:alert(1)"}"#,
        422,
        "image: must use one of these schemes: http, https",
    ),
    (
        r#"{"url": "https://e.test/x", "expiredUrl": "nonsense"}"#,
        422,
        "expiredUrl: must be an absolute URL such as https://example.com/page",
    ),
    (r#"{"url": "https://e.test/x", "tagIds": ["x"]}"#, 422, "tagIds: \"x\" is not a tag's id"),
    (
        r#"{"url": "https://e.test/x", "tagIds": ["00000000000000000001"]}"#,
        422,
        "tagIds: 00000000000000000001 is not a tag of this workspace",
    ),
    (
        r#"{"url": "https://e.test/", "validSince": "2026-01-02", "expiresAt": "2026-01-01"}"#,
        422,
        "validSince: must be before expiresAt",
    ),
];

#[test]
fn t60_refusals_of_links_name_field_and_rule() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let before = admin.create(&json!({"url": "https://e.test/", "customSlug": "there"}));
    let with = |field: &str, value: Value| {
        let mut body = json!({"url": "https://e.test/x"});
        body[field] = value;
        body
    };
    let long_url = format!("https://e.test/{}", "x".repeat(8_192));
    let mut rows: Vec<(Value, u16, &str)> = vec![
        (with("expiresAt", json!(1_700_000_000_000_u64)), 400, STAMP_TEXT),
        (json!({"url": long_url}), 422, "url: must be at most 8192 bytes"),
        (with("customSlug", json!("x".repeat(129))), 422, "customSlug: must be at most 128 characters"),
        (with("title", json!("x".repeat(501))), 422, "title: must be at most 500 characters"),
        (with("description", json!("x".repeat(2_001))), 422, "description: must be at most 2000 characters"),
        (with("notes", json!("x".repeat(4_001))), 422, "notes: must be at most 4000 characters"),
        (with("password", json!("x".repeat(1_025))), 422, "password: must be at most 1024 bytes"),
        (
            with("maxClicks", json!(9_007_199_254_740_993_u64)),
            422,
            "maxClicks: must be at most 9007199254740991",
        ),
        (with("maxClicks", json!(u64::MAX)), 422, "maxClicks: must be at most 9007199254740991"),
        (with("webhookUrls", json!(vec!["https://a.test/"; 6])), 422, "webhookUrls: must be at most 5 URLs"),
    ];
    let more = REFUSALS.iter().map(|(body, status, error)| {
        (serde_json::from_str(body).unwrap_or_else(|why| panic!("{body}: {why}")), *status, *error)
    });
    rows.extend(more);
    for (body, status, error) in &rows {
        admin.post(LINKS, body).refuses(*status, error, &body.to_string());
        if body.get("url").is_some_and(Value::is_string)
            && ["customSlug", "alias", "domain", "linkType"].iter().all(|field| body.get(*field).is_none())
            && body["password"] != "********"
        {
            admin.patch(&path_of(&before), body).refuses(*status, error, &format!("PATCH {body}"));
        }
    }
    let list = admin.get(LINKS).expect(200, "the list");
    assert_eq!(list["total"], 1, "nothing was made");
    assert_eq!(admin.get(&path_of(&before)).expect(200, "read")["link"], before, "nothing was changed");
}

#[test]
fn bodies_that_cannot_be_read() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let deep = "[".repeat(30_000);
    let rows: Vec<(&[u8], u16, &str)> = vec![
        (b"", 400, "the body is empty: send a JSON object such as {\"name\": \"value\"}"),
        (b"url=https%3A%2F%2Fe.test%2F", 400, "the body is not valid JSON: it is a form; send a JSON object"),
        (b"{", 400, "the body is not valid JSON"),
        (b"null", 400, "the body must be a JSON object"),
        (b"[]", 400, "the body must be a JSON object"),
        (b"\"x\"", 400, "the body must be a JSON object"),
        (br#"{"url":"https://e.test/"}}"#, 400, "the body is not valid JSON: trailing characters"),
        (
            br#"{"url":"https://a.test/","url":"https://b.test/"}"#,
            400,
            "the body is not valid JSON: an object has the key \"url\" twice",
        ),
        (
            br#"{"url":"https://e.test/","maxClicks":1e400}"#,
            400,
            "the body is not valid JSON: number out of range",
        ),
        (br#"{"url":"https://e.test/","title":"\ud800"}"#, 400, "the body is not valid JSON"),
        (b"{\"url\":\"https://e.test/\xff\"}", 400, "the body is not valid JSON"),
        (b"\xef\xbb\xbf{}", 400, "url: is required"),
        (b"{\0\"\0", 400, "the body is not valid JSON: it is encoded as UTF-16"),
        (deep.as_bytes(), 400, "the body is not valid JSON: recursion limit"),
    ];
    for (body, status, error) in rows {
        let row = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = admin.send("POST", LINKS, &[], Some(body));
        let got = answer.expect(status, &row)["error"].clone();
        assert!(got.as_str().is_some_and(|got| got.starts_with(error)), "{row}: {got}");
    }
    let big = format!(r#"{{"url":"https://e.test/","notes":"{}"}}"#, "x".repeat(70_000));
    let answer = admin.send("POST", LINKS, &[], Some(big.as_bytes()));
    answer.refuses(413, "the body must be at most 65536 bytes", "70 KB");
    let gzip = [("Content-Encoding", "gzip")];
    let answer = admin.send("POST", LINKS, &gzip, Some(b"\x1f\x8b"));
    answer.refuses(415, "the body must not have a Content-Encoding", "gzip");
}

#[test]
fn unknown_methods_and_paths() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let rows = [
        ("PUT", LINKS, "POST, GET, HEAD"),
        ("DELETE", LINKS, "POST, GET, HEAD"),
        ("POST", "/api/v1/links/0N88zgftjJ3fB4fM5UJ4", "GET, HEAD, PATCH, DELETE"),
        ("PATCH", "/api/v1/keys", "GET, HEAD, POST"),
        ("OPTIONS", "/api/v1/tags", "GET, HEAD, POST"),
    ];
    for (method, path, allow) in rows {
        let answer = admin.send(method, path, &[], None);
        let listed = answer.header("allow").unwrap_or("");
        answer.refuses(405, &format!("the method is not allowed here; allowed are {listed}"), path);
        let got: HashSet<&str> = listed.split(", ").collect();
        assert_eq!(got, allow.split(", ").collect(), "{method} {path}");
    }
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/links",
        "/api/v1/nonsense",
        "/api/v1/links/a/b",
        "/api/v1//links",
    ] {
        let why = "there is no such endpoint: /api/docs lists all endpoints";
        admin.get(path).refuses(404, why, path);
    }
    for path in ["/api/v1/links/00000000000000000000", "/api/v1/links/%00"] {
        admin.get(path).refuses(404, "link not found", path);
    }
    // A code in place of an id.
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/explain"), ("GET", "/deliveries")] {
        let why = "link not found: an id is needed here; by code, it is /api/v1/links/by-code/CODE";
        admin.send(method, &format!("/api/v1/links/promo{path}"), &[], None).refuses(404, why, path);
    }
}

#[test]
fn bodies_of_get_and_delete_and_a_slash_at_the_end_are_ignored() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/"}));
    let json_type = [("Content-Type", "application/json")];
    assert_eq!(admin.send("GET", LINKS, &json_type, Some(b"nonsense")).status, 200);
    assert_eq!(admin.get(&format!("{LINKS}/")).status, 200);
    assert_eq!(admin.get(&format!("{}/", path_of(&made))).status, 200);
    let answer = admin.send("DELETE", &path_of(&made), &json_type, Some(b"{nonsense"));
    assert_eq!(answer.expect(200, "deleted"), json!({"success": true}));
    admin.delete(&path_of(&made)).refuses(404, "link not found", "deleted twice");
    let body = json!({"url": "https://e.test/"}).to_string();
    let answer = admin.send("POST", &format!("{LINKS}/"), &[], Some(body.as_bytes()));
    assert_eq!(text(&answer.expect(201, "a slash")["link"], "shortCode").len(), 7);
}

#[test]
fn responses_are_for_no_other_site_and_no_cache() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let answer = admin.send("GET", LINKS, &[("Origin", "https://evil.test")], None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("server"), None);
}

#[test]
fn a_code_may_be_given_as_alias() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let aliases = ["customSlug", "alias"].map(|field| json!({"url": "https://e.test/", field: field}));
    assert_eq!(admin.create(&aliases[0])["shortCode"], "customSlug");
    assert_eq!(admin.create(&aliases[1])["shortCode"], "alias");
}
