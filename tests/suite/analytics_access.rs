//! Who may ask about clicks, and which clicks have no details.

use std::time::Duration;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::http::text;
use crate::support::native::new_key;

const QUESTION: &str = "/api/v1/analytics";

fn start() -> TestApp {
    TestApp::start_with(|config| config.clicks.flush_interval = Duration::from_millis(50))
}

#[test]
fn the_scope_of_analytics() {
    let app = start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/"}));
    // For each key: a question, a question of the vendor, the links.
    let rows = [
        (json!({"scopes": ["analytics.readonly"]}), [200, 200, 403]),
        (json!({"scopes": ["links.readonly"]}), [200, 200, 200]),
        (json!({"scopes": ["links.write"]}), [200, 200, 200]),
        (json!({"scopes": ["links.write"], "createOnly": true}), [403, 403, 403]),
        (json!({"scopes": ["admin"]}), [403, 403, 403]),
        (json!({"scopes": ["snapshots.write"]}), [403, 403, 403]),
    ];
    for (more, want) in rows {
        let mut client = app.visitor().with_key(&new_key(&mut admin, &more));
        let paths = [QUESTION, "/api/v1/analytics/summary", "/api/v1/links"];
        assert_eq!(paths.map(|path| client.get(path).status), want, "{more}");
    }
    let mut keeper = app.visitor().with_key(&new_key(&mut admin, &json!({"scopes": ["admin"]})));
    keeper.get(QUESTION).refuses(403, "this key lacks the scope analytics.readonly", "a keeper of keys");
    // Reading links includes it, so such a key may grant it; the other way round it may not.
    let grant = |own: &[&str], other: &str| {
        let mut own = own.to_vec();
        own.push("admin");
        let mut client = app.visitor().with_key(&new_key(&mut app.admin(), &json!({"scopes": own})));
        client.post("/api/v1/keys", &json!({"name": "k", "scopes": [other]}))
    };
    let made = grant(&["links.readonly"], "analytics.readonly").expect(201, "a narrower key");
    assert_eq!(made["key"]["scopes"], json!(["analytics.readonly"]));
    assert!(text(&made["key"], "secret").starts_with("wp_"));
    let why = "a key cannot grant scopes that it does not have";
    grant(&["analytics.readonly"], "links.readonly").refuses(403, why, "a wider key");
}
