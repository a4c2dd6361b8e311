//! API keys: which credentials are accepted, what scopes allow, and how keys expire.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{KEY, TestApp};
use crate::support::http::text;
use crate::support::native::{BAD_KEY, LINKS, NO_KEY, new_key, path_of};

#[test]
fn t69_credentials_that_are_accepted() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut made = |more: Value| new_key(&mut admin, &more);
    let (other, revoked) = (made(json!({})), made(json!({"name": "revoked"})));
    let expiring = made(json!({"expiresAt": "2026-01-01T01:00:00Z"}));
    let keys = admin.get("/api/v1/keys").expect(200, "the keys");
    let gone =
        keys["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "revoked").expect("it");
    admin.delete(&format!("/api/v1/keys/{}", text(gone, "id"))).expect(200, "revoked");
    app.advance(Duration::from_hours(2));
    let bearer = |key: &str| format!("Bearer {key}");
    let rows: Vec<(&str, Vec<(&str, String)>, bool)> = vec![
        ("the key", vec![("Authorization", bearer(KEY))], true),
        ("bearer in small letters", vec![("Authorization", format!("bearer {KEY}"))], true),
        ("X-API-Key", vec![("X-API-Key", KEY.to_owned())], true),
        (
            "the same twice, both ways",
            vec![("Authorization", bearer(KEY)), ("X-API-Key", KEY.to_owned())],
            true,
        ),
        ("no key", vec![], false),
        ("no key behind the word", vec![("Authorization", "Bearer".to_owned())], false),
        ("an empty key", vec![("Authorization", "Bearer ".to_owned())], false),
        ("two spaces", vec![("Authorization", format!("Bearer  {KEY}"))], false),
        ("a word behind it", vec![("Authorization", format!("Bearer {KEY} x"))], false),
        (
            "an empty key and a good one",
            vec![("Authorization", String::new()), ("X-API-Key", KEY.to_owned())],
            true,
        ),
        ("no scheme", vec![("Authorization", KEY.to_owned())], false),
        ("another scheme", vec![("Authorization", format!("Basic {KEY}"))], false),
        ("in another case", vec![("Authorization", bearer(&KEY.to_uppercase()))], false),
        ("cut short", vec![("Authorization", bearer(&KEY[..KEY.len() - 1]))], false),
        ("prolonged", vec![("Authorization", format!("Bearer {KEY}0"))], false),
        ("two lines", vec![("Authorization", bearer(KEY)), ("Authorization", bearer(KEY))], false),
        ("two keys", vec![("Authorization", bearer("wrong")), ("X-API-Key", KEY.to_owned())], false),
        ("two good keys", vec![("Authorization", bearer(KEY)), ("X-API-Key", other)], false),
        ("revoked", vec![("Authorization", bearer(&revoked))], false),
        ("expired", vec![("Authorization", bearer(&expiring))], false),
        ("10 KB", vec![("Authorization", bearer(&"k".repeat(10_000)))], false),
    ];
    let mut refusals = HashSet::new();
    for (row, headers, fits) in rows {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = app.visitor().send("GET", LINKS, &headers, None);
        assert_eq!(answer.status, if fits { 200 } else { 401 }, "{row}: {answer:?}");
        if !fits {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{row}");
            // Whether a key was sent, and in which form, is no secret.
            let want = match row {
                "no key" | "no key behind the word" | "an empty key" => NO_KEY,
                "no scheme" => "`Bearer` is missing: send the key as `Authorization: Bearer KEY`",
                "another scheme" => {
                    "this server takes the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
                }
                _ => BAD_KEY,
            };
            answer.refuses(401, want, row);
            refusals.insert(answer.text());
        }
    }
    assert_eq!(refusals.len(), 4, "one text for every key, so that nothing is learnt from it: {refusals:?}");
    let mut stranger = app.visitor();
    let in_query = "a key in the address ends up in logs and histories: replace this key, and send it as `Authorization: Bearer KEY`";
    stranger.get(&format!("{LINKS}?key={KEY}&api_key={KEY}")).refuses(401, in_query, "a query");
    stranger.get(&format!("{LINKS}?search=key")).refuses(401, NO_KEY, "no key in the query");
    // The key is checked before anything else.
    for (method, path) in
        [("POST", LINKS), ("PATCH", "/api/v1/links/x"), ("GET", "/api/v1/keys"), ("GET", "/metrics")]
    {
        let answer = stranger.send(method, path, &[], (method != "GET").then_some(b"{"));
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}

#[test]
fn scopes_and_create_only() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let made = admin.create(&json!({"url": "https://e.test/"}));
    let path = path_of(&made);
    let link = json!({"url": "https://e.test/"});
    // For each key: list, create, change, delete, keys.
    let rows = [
        (json!({"scopes": ["links.readonly"]}), [200, 403, 403, 403, 403]),
        (json!({"scopes": ["links.write"]}), [200, 201, 200, 200, 403]),
        (json!({"scopes": ["admin"]}), [403, 403, 403, 403, 200]),
        (json!({"scopes": ["snapshots.write"]}), [403, 403, 403, 403, 403]),
        (json!({"scopes": ["links.write"], "createOnly": true}), [403, 201, 403, 403, 403]),
        (json!({"scopes": ["links.readonly", "links.write", "admin"]}), [200, 201, 200, 200, 200]),
    ];
    for (more, want) in rows {
        let secret = new_key(&mut admin, &more);
        let mut client = app.visitor().with_key(&secret);
        let target = path_of(&admin.create(&link));
        let got = [
            client.get(LINKS).status,
            client.post(LINKS, &link).status,
            client.patch(&target, &json!({"title": "T"})).status,
            client.delete(&target).status,
            client.get("/api/v1/keys").status,
        ];
        assert_eq!(got, want, "{more}");
    }
    let secret = new_key(&mut admin, &json!({"scopes": ["links.readonly"]}));
    let mut client = app.visitor().with_key(&secret);
    client.post(LINKS, &link).refuses(403, "this key lacks the scope links.write", "a reader");
    let secret = new_key(&mut admin, &json!({"createOnly": true}));
    let mut client = app.visitor().with_key(&secret);
    client.get(&path).refuses(403, "this key may only create links", "a form");
    // A key that could do nothing.
    for scopes in [json!(["admin"]), json!(["links.readonly"]), json!(["snapshots.write"])] {
        let body = json!({"name": "n", "scopes": scopes, "createOnly": true});
        admin.post("/api/v1/keys", &body).refuses(422, "createOnly: needs the scope links.write", "no scope");
    }
    // No key grants scopes that it does not have.
    let secret = new_key(&mut admin, &json!({"scopes": ["admin", "links.readonly"]}));
    let mut keeper = app.visitor().with_key(&secret);
    let more = json!({"name": "n", "scopes": ["links.write"]});
    let why = "a key cannot grant scopes that it does not have";
    keeper.post("/api/v1/keys", &more).refuses(403, why, "more than it may");
    let rows = [
        (json!({"instance": true}), "a key cannot reach further than the key that creates it"),
        (
            json!({"companyId": "unheard-of"}),
            "companyId: there is no such company within the reach of this key",
        ),
        (
            json!({"workspaceId": "unheard-of"}),
            "workspaceId: there is no such workspace within the reach of this key",
        ),
    ];
    for (reach, why) in rows {
        let mut body = json!({"name": "n", "scopes": ["links.readonly"]});
        body.as_object_mut().expect("an object").extend(reach.as_object().expect("fields").clone());
        keeper.post("/api/v1/keys", &body).refuses(403, why, &reach.to_string());
    }
}

#[test]
fn keys_are_shown_once_and_end() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"name": "form", "scopes": ["links.write"], "createOnly": true, "expiresAt": "2026-01-01T00:01:00Z"});
    let made = admin.post("/api/v1/keys", &body).expect(201, "a key")["key"].clone();
    let secret = text(&made, "secret").to_owned();
    assert!(secret.starts_with("wp_") && secret.len() == 46, "{secret}");
    let listed = admin.get("/api/v1/keys").expect(200, "keys")["keys"].clone();
    assert!(!listed.to_string().contains(&secret), "told once");
    let mut want = made.clone();
    want.as_object_mut().expect("an object").remove("secret");
    assert_eq!(listed, json!([want]));
    assert_eq!((&want["kind"], &want["createOnly"]), (&json!("workspace"), &json!(true)));
    let mut form = app.visitor().with_key(&secret);
    let link = form.create(&json!({"url": "https://e.test/"}));
    let seen = admin.get(&path_of(&link)).expect(200, "read")["link"]["createdBy"].clone();
    assert_eq!(seen, json!({"id": made["id"], "name": "form", "email": null}));
    app.advance(Duration::from_secs(59));
    form.create(&json!({"url": "https://e.test/"}));
    app.advance(Duration::from_secs(1));
    form.post(LINKS, &json!({"url": "https://e.test/"})).refuses(401, BAD_KEY, "expired");
    let rows = [
        (json!({"scopes": ["admin"]}), 400, "name: is required"),
        (json!({"name": " ", "scopes": ["admin"]}), 422, "name: must not be empty"),
        (json!({"name": "n"}), 400, "scopes: is required"),
        (json!({"name": "n", "scopes": []}), 422, "scopes: must not be empty"),
        (
            json!({"name": "n", "scopes": ["all"]}),
            422,
            "scopes: must be of links.readonly, links.write, snapshots.readonly, snapshots.write, admin, metrics.readonly, analytics.readonly",
        ),
        (
            json!({"name": "n", "scopes": ["admin"], "expiresAt": "2020-01-01"}),
            422,
            "expiresAt: must be in the future",
        ),
        (
            json!({"name": "n", "scopes": ["admin"], "instance": true, "companyId": "c"}),
            422,
            "workspaceId: only one of workspaceId, companyId and instance can be given",
        ),
    ];
    for (body, status, error) in rows {
        admin.post("/api/v1/keys", &body).refuses(status, error, &body.to_string());
    }
    let path = format!("/api/v1/keys/{}", text(&made, "id"));
    admin.delete(&path).expect(200, "revoked");
    admin.delete(&path).refuses(404, "key not found", "revoked twice");
    let app = app.restart();
    assert_eq!(app.admin().get("/api/v1/keys").expect(200, "keys")["keys"], json!([]));
    // The key is gone; its links remain.
    let link = app.admin().get(&path_of(&link)).expect(200, "read")["link"].clone();
    assert_eq!(link["createdBy"], json!(null));
}
