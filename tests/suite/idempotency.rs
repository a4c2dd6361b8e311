//! `Idempotency-Key`: a repeated POST is executed once, also in parallel and across a restart.

use std::sync::Barrier;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::{Answer, Client, text};

fn post(client: &mut Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send("POST", path, &[("Idempotency-Key", key)], Some(body.to_string().as_bytes()))
}

fn total(admin: &mut Client) -> u64 {
    let list = admin.get("/api/v1/links?limit=1").expect(200, "the list");
    list["total"].as_u64().expect("a number")
}

#[test]
fn a_repeated_post_gets_the_same_response_and_is_executed_once() {
    let mut app = TestApp::start();
    let rows = [
        ("/api/v1/links", json!({"url": "https://e.test/"})),
        ("/api/v1/links", json!({"url": "https://e.test/", "customSlug": "mine"})),
        ("/api/v1/links/bulk", json!({"links": [{"url": "https://e.test/1"}, {"url": "nonsense"}]})),
        ("/api/v1/tags", json!({"name": "red"})),
        ("/api/v1/domains", json!({"domain": "go2.test"})),
        ("/api/v1/workspaces", json!({"name": "W"})),
        ("/api/v1/companies", json!({"name": "C"})),
    ];
    let mut first = Vec::new();
    for (number, (path, body)) in rows.iter().enumerate() {
        let answer = post(&mut app.admin(), path, &format!("key-{number}"), body);
        let made = answer.expect(201, path);
        let again = post(&mut app.admin(), path, &format!("key-{number}"), body);
        assert_eq!(again.expect(201, path), made, "{path} {body}");
        first.push(made);
    }
    assert_eq!(total(&mut app.admin()), 3);
    app = app.restart();
    for (number, ((path, body), made)) in rows.iter().zip(&first).enumerate() {
        let again = post(&mut app.admin(), path, &format!("key-{number}"), body);
        assert_eq!(again.expect(201, path), *made, "{path} {body} after a restart");
        let slashed = post(&mut app.admin(), &format!("{path}/"), &format!("key-{number}"), body);
        assert_eq!(slashed.expect(201, path), *made, "{path}/ is the same path");
    }
    assert_eq!(total(&mut app.admin()), 3);
}

#[test]
fn a_key_belongs_to_one_body_one_path_one_caller() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/1"});
    let made = post(&mut admin, "/api/v1/links", "k", &body).expect(201, "the first");
    let error = "Idempotency-Key: was used before with another request body";
    let other = json!({"url": "https://e.test/2"});
    post(&mut admin, "/api/v1/links", "k", &other).refuses(422, error, "another body");
    post(&mut admin, "/api/v1/links?x=1", "k", &body).refuses(422, error, "another query");
    post(&mut admin, "/api/v1/tags", "k", &json!({"name": "t"})).expect(201, "another path");
    let secret = admin.post("/api/v1/keys", &json!({"name": "n", "scopes": ["links.write"]}));
    let secret = text(&secret.expect(201, "a key")["key"], "secret").to_owned();
    let theirs = post(&mut app.visitor().with_key(&secret), "/api/v1/links", "k", &body);
    assert_ne!(theirs.expect(201, "another caller"), made);
    assert_eq!(total(&mut admin), 2);
    // An error is not stored: with a corrected body, the same key works.
    post(&mut admin, "/api/v1/links", "k2", &json!({"url": "nonsense"})).expect(422, "a refusal");
    post(&mut admin, "/api/v1/links", "k2", &body).expect(201, "corrected");
    // The key expires after a day.
    app.advance(Duration::from_hours(25));
    assert_ne!(post(&mut admin, "/api/v1/links", "k", &body).expect(201, "a day later"), made);
    for bad in ["", "a b", "\u{e9}", &"k".repeat(256)] {
        let error = "Idempotency-Key: must be 1 to 255 visible ASCII characters";
        post(&mut admin, "/api/v1/links", bad, &body).refuses(400, error, bad);
    }
    // Other methods ignore the header.
    let answer = admin.send("GET", "/api/v1/links?limit=1", &[("Idempotency-Key", "a b")], None);
    assert_eq!(answer.status, 200);
}

#[test]
fn parallel_twins_create_one_link() {
    const TWINS: usize = 16;
    let app = TestApp::start();
    for round in 0..5 {
        let barrier = Barrier::new(TWINS);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let twins: Vec<_> = (0..TWINS)
                .map(|_| {
                    let (mut admin, barrier) = (app.admin(), &barrier);
                    scope.spawn(move || {
                        admin.get("/api/v1/tags");
                        barrier.wait();
                        let body = json!({"url": "https://e.test/", "title": format!("round {round}")});
                        post(&mut admin, "/api/v1/links", &format!("k{round}"), &body).expect(201, "a twin")
                    })
                })
                .collect();
            twins.into_iter().map(|twin| twin.join().expect("a twin")).collect()
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "round {round}: {answers:?}");
        assert_eq!(total(&mut app.admin()), round + 1);
    }
}

#[test]
fn a_new_keys_secret_is_returned_once() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"name": "n", "scopes": ["links.readonly"]});
    let made = post(&mut admin, "/api/v1/keys", "k", &body).expect(201, "the first")["key"].clone();
    let secret = text(&made, "secret").to_owned();
    let again = post(&mut admin, "/api/v1/keys", "k", &body).expect(201, "again")["key"].clone();
    assert_eq!(again.get("secret"), None, "{again}");
    assert_eq!(again["id"], made["id"]);
    let app = app.restart();
    let again = post(&mut app.admin(), "/api/v1/keys", "k", &body).expect(201, "after a restart");
    assert!(!again.to_string().contains(&secret), "{again}");
    app.visitor().with_key(&secret).get("/api/v1/links").expect(200, "the key works");
}

#[test]
fn a_repeated_post_does_not_create_a_deleted_link_again() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let body = json!({"url": "https://e.test/", "customSlug": "s"});
    let made = post(&mut admin, "/api/v1/links", "k", &body).expect(201, "made");
    admin.delete(&format!("/api/v1/links/{}", text(&made["link"], "id"))).expect(200, "deleted");
    let again = post(&mut admin, "/api/v1/links", "k", &body);
    assert_eq!(again.expect(201, "repeated")["link"]["id"], made["link"]["id"]);
    assert_eq!(total(&mut admin), 0);
    assert_eq!(app.visitor().get("/s").status, 404);
}
