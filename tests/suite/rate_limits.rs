//! Rate limits of the APIs, by key and by address.

use serde_json::json;

use crate::support::app::{START, TestApp};
use crate::support::http::text;

#[test]
fn rejected_requests_get_the_time_to_wait() {
    let app = TestApp::start_with(|config| {
        config.limits.requests_per_minute = 3;
        config.limits.refused_per_minute = 2;
    });
    let mut admin = app.admin();
    let first = admin.get("/api/v1/links");
    assert_eq!(first.header("x-ratelimit-limit"), Some("10000000"), "the operator's own");
    let workspaces = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    let workspace = text(&workspaces["workspaces"][0], "id");
    let draft = json!({"name": "a workspace's", "workspaceId": workspace, "scopes": ["links.readonly"]});
    let key = admin.post("/api/v1/keys", &draft).expect(201, "a key");
    let mut limited = app.visitor().with_key(text(&key["key"], "secret"));
    for left in ["2", "1", "0"] {
        let answer = limited.get("/api/v1/links");
        let told = ["limit", "remaining"].map(|name| answer.header(&format!("x-ratelimit-{name}")));
        assert_eq!((answer.status, told), (200, [Some("3"), Some(left)]));
        let reset: i64 = answer.header("x-ratelimit-reset").expect("when").parse().expect("seconds");
        let seconds = reset - START / 1_000;
        assert!((1..=61).contains(&seconds), "{seconds}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = limited.get("/api/v1/links");
    let wait: u32 = refused.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    refused.refuses(429, &format!("too many requests; try again in {wait} s"), "the fourth");
    assert_eq!(admin.get("/api/v1/links").status, 200, "others are not held up");
    assert_eq!(app.visitor().get("/unknown").status, 404, "nor are visitors");

    let mut stranger = app.visitor().with_key("wp_wrong");
    let statuses: Vec<_> = (0..4).map(|_| stranger.get("/api/v1/links").status).collect();
    assert_eq!(statuses, [401, 401, 429, 429]);
    assert_eq!(admin.get("/api/v1/links").status, 200, "a valid key from the same address");
}

/// Requests to unknown endpoints count like others, and their responses have the rate headers of their
/// dialect.
#[test]
fn requests_to_no_endpoint_are_limited_too() {
    let app = TestApp::start_with(|config| config.limits.refused_per_minute = 4);
    let mut stranger = app.visitor();
    let rows = [
        ("GET", "/api/v1/nothing", 404, "x-ratelimit-limit"),
        ("PUT", "/api/links", 405, "x-ratelimit-limit"),
        ("PATCH", "/links/x", 405, "x-ratelimit-max"),
        ("GET", "/snapshots/nothing", 404, "x-ratelimit-max"),
    ];
    for (row, (method, path, status, limit)) in rows.into_iter().enumerate() {
        let answer = stranger.send(method, path, &[], None);
        assert_eq!((answer.status, answer.header(limit)), (status, Some("4")), "{method} {path}");
        let left = (3 - row).to_string();
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(&*left), "{method} {path}");
    }
    let early = stranger.send("PUT", "/links", &[], None);
    assert_eq!((early.status, early.header("x-ratelimit-remaining")), (429, Some("0")));
    assert!(early.header("retry-after").is_some());
    let mut admin = app.admin();
    let answer = admin.send("PUT", "/api/v1/links", &[], None);
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (405, Some("10000000")), "a key's own");
}
