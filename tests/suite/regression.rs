//! One test per fault that was found once, its story in its doc.

use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::http::text;
use crate::support::process::Plan;

const LINKS: &str = "/api/v1/links";

/// Eight first visitors of a new link could each load it, and two loads made two counters, of
/// which the last to be drained overwrote the other's total.
#[test]
fn first_clicks_that_come_together_are_all_counted() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let ids: Vec<String> = (0..20)
        .map(|n| admin.create(&json!({"url": "https://e.test/", "customSlug": format!("c{n}")})))
        .map(|link| text(&link, "id").to_owned())
        .collect();
    for n in 0..20 {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(app.visitor().get(&format!("/c{n}")).status, 302));
            }
        });
    }
    let app = app.restart();
    for id in ids {
        assert_eq!(app.admin().clicks(&id), 8, "{id}");
    }
}

/// Deleting a domain looked for links, found none, and went on while a link was being made on it:
/// the link was left without a domain, and its workspace's list answered 503 for good.
#[test]
fn a_domain_is_not_deleted_from_under_a_new_link() {
    let app = Arc::new(TestApp::start());
    for round in 0..20 {
        let name = format!("d{round}.test");
        let domain = app.admin().post("/api/v1/domains", &json!({"domain": name})).expect(201, &name);
        let path = format!("/api/v1/domains/{}", text(&domain["domain"], "id"));
        let (made, deleted) = thread::scope(|scope| {
            let made =
                scope.spawn(|| app.admin().post(LINKS, &json!({"url": "https://e.test/", "domain": name})));
            let deleted = scope.spawn(|| app.admin().delete(&path));
            (made.join().expect("no panic").status, deleted.join().expect("no panic").status)
        });
        assert!(matches!((made, deleted), (201, 422) | (422, 200)), "round {round}: {made} {deleted}");
    }
    app.admin().get(LINKS).expect(200, "the list");
}

/// A domain's number was given to the next domain, and a repeated POST showed whoever had it now.
#[test]
fn a_repeated_post_never_shows_another_domain() {
    let app = TestApp::start();
    let mut once = app.admin().with("Idempotency-Key", "first");
    let body = json!({"domain": "one.test"});
    let domain = once.post("/api/v1/domains", &body).expect(201, "made");
    app.admin().delete(&format!("/api/v1/domains/{}", text(&domain["domain"], "id"))).expect(200, "deleted");
    app.admin().post("/api/v1/domains", &json!({"domain": "two.test"})).expect(201, "the next");
    let again = once.post("/api/v1/domains", &body);
    assert_eq!(again.status, 404, "{}", again.text());
}

/// A link that had a tag could not be changed in any way once the tag was deleted.
#[test]
fn a_deleted_tag_keeps_nothing_from_being_changed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let tag = admin.post("/api/v1/tags", &json!({"name": "promo"})).expect(201, "the tag");
    let tag = text(&tag["tag"], "id").to_owned();
    let link = admin.create(&json!({"url": "https://e.test/", "tagIds": [tag]}));
    admin.delete(&format!("/api/v1/tags/{tag}")).expect(200, "the tag is gone");
    let path = format!("{LINKS}/{}", text(&link, "id"));
    let changed = admin.patch(&path, &json!({"title": "T"})).expect(200, "a change of something else");
    assert_eq!(changed["link"]["tags"], json!([]));
    let error = format!("tagIds: {tag} is not a tag of this workspace");
    admin.create(&json!({"url": "https://e.test/", "customSlug": "other"}));
    admin.post(LINKS, &json!({"url": "https://e.test/", "tagIds": [tag]})).refuses(422, &error, "a new link");
}

/// Two rows of one bulk, or two requests at once, could make links that lead to each other: each
/// looked at a table that had neither.
#[test]
fn links_made_together_do_not_lead_to_each_other() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let pair = json!([
        {"url": "http://go.test/b", "customSlug": "a"},
        {"url": "http://go.test/a", "customSlug": "b"},
    ]);
    let bulk = admin.post("/api/v1/links/bulk", &json!({"links": pair})).expect(201, "row by row");
    assert_eq!((&bulk["created"], &bulk["failed"][0]["row"]), (&json!(1), &json!(1)), "{bulk}");
    for round in 0..20 {
        let row = |from: &str, to: &str| -> Value {
            json!({"url": format!("http://go.test/{to}{round}"), "customSlug": format!("{from}{round}")})
        };
        let both = thread::scope(|scope| {
            let one = scope.spawn(|| app.admin().post(LINKS, &row("x", "y")).status);
            let two = scope.spawn(|| app.admin().post(LINKS, &row("y", "x")).status);
            [one.join().expect("no panic"), two.join().expect("no panic")]
        });
        assert!(both == [201, 422] || both == [422, 201], "round {round}: {both:?}");
    }
}

/// A bulk of long texts was refused whole, since only destinations were counted when it was split.
#[test]
fn a_bulk_of_long_texts_is_split_by_what_it_takes() {
    let app = TestApp::start();
    let notes = "n".repeat(4_000);
    let rows: Vec<Value> =
        (0..600).map(|n| json!({"url": format!("https://e.test/{n}"), "notes": notes})).collect();
    let bulk = app.admin().post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "600 rows");
    assert_eq!((&bulk["created"], &bulk["failed"]), (&json!(600), &json!([])));
}

/// Two lines with one id made links that shared a place in the list; deleting one left the table
/// rebuilding itself for ever. And an id from the far future pushed all later ones over the edge.
#[test]
fn an_import_keeps_only_ids_that_nobody_has() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = folder.path().join("lines.jsonl");
    let id = "0N88vwqiElLIf3iP0wzK";
    let line = |slug: &str, id: &str| {
        json!({"url": "https://e.test/", "shortCode": slug, "id": id, "clickCount": 3}).to_string()
    };
    let text = [line("a", id), line("b", id), line("c", "zzzzzzzzzzzzzzzzzzzz")].join("\n");
    std::fs::write(&lines, text).expect("a small file");
    let data = folder.path().join("data");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"))
        .arg("import")
        .arg(&lines)
        .env("WAYPOST_DATA_DIR", &data)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = Plan::on(&data).start();
    let list = server.admin().get(LINKS).expect(200, "the list");
    let ids: std::collections::HashSet<&str> = list["links"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|link| crate::support::http::text(link, "id"))
        .collect();
    assert_eq!((ids.len(), list["total"].as_u64()), (3, Some(3)), "{list}");
    assert!(ids.contains(id) && !ids.contains("zzzzzzzzzzzzzzzzzzzz"), "{ids:?}");
    server.stop();
}
