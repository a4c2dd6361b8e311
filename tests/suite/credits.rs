//! Credits: exactly as many links as were paid for, with any number of parallel requests, any kind of
//! request, and any crash.
//!
//! `WAYPOST_CREDIT_ROUNDS` sets the number of crashes, `WAYPOST_SEED` repeats the choices of a run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::{Client, text};
use crate::support::native::LINKS;
use crate::support::process::{Dice, PATIENCE, Plan, poll};

const BULK: &str = "/api/v1/links/bulk";
const BROKE: &str = "the workspace has no credits left";

const ROUNDS: u64 = 4;

/// Returns the path of the first workspace.
fn workspace(admin: &mut Client) -> String {
    let all = admin.get("/api/v1/workspaces").expect(200, "workspaces");
    format!("/api/v1/workspaces/{}", text(&all["workspaces"][0], "id"))
}

fn set(admin: &mut Client, credits: &Value) {
    let path = workspace(admin);
    let set = admin.patch(&path, &json!({"credits": credits})).expect(200, "set");
    assert_eq!(set["workspace"]["credits"], *credits);
}

fn left(admin: &mut Client) -> Value {
    let path = workspace(admin);
    let listed = admin.get("/api/v1/workspaces").expect(200, "all")["workspaces"][0]["credits"].clone();
    assert_eq!(admin.get(&path).expect(200, "one")["workspace"]["credits"], listed);
    listed
}

fn total(admin: &mut Client) -> u64 {
    admin.get("/api/v1/links?limit=1").expect(200, "the list")["total"].as_u64().expect("a number")
}

fn link() -> Value {
    json!({"url": "https://e.test/"})
}

#[test]
fn a_link_takes_one_credit_and_without_credits_none_is_created() {
    let mut app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&link());
    assert_eq!(left(&mut admin), Value::Null, "unlimited when unset");
    set(&mut admin, &json!(3));
    let made = admin.create(&link());
    assert_eq!(left(&mut admin), 2);
    // A request that creates no link takes no credit.
    let body = json!({"url": "https://e.test/", "customSlug": text(&made, "shortCode")});
    assert_eq!(admin.post(LINKS, &body).status, 409);
    assert_eq!(admin.post(LINKS, &json!({"url": "nonsense"})).status, 422);
    let id = format!("{LINKS}/{}", text(&made, "id"));
    admin.patch(&id, &json!({"title": "T"})).expect(200, "changed");
    assert_eq!(left(&mut admin), 2);
    admin.delete(&id).expect(200, "deleted");
    assert_eq!(left(&mut admin), 2, "nothing is given back");
    // A repeated request creates nothing either.
    for round in 0..3 {
        let body = link().to_string();
        let sent = admin.send("POST", LINKS, &[("Idempotency-Key", "k")], Some(body.as_bytes()));
        sent.expect(201, &format!("round {round}"));
    }
    assert_eq!(left(&mut admin), 1);
    app = app.restart();
    let mut admin = app.admin();
    assert_eq!(left(&mut admin), 1, "after a restart");
    admin.create(&link());
    for _ in 0..2 {
        admin.post(LINKS, &link()).refuses(402, BROKE, "none left");
    }
    assert_eq!((left(&mut admin), total(&mut admin)), (json!(0), 3));
    set(&mut admin, &json!(1));
    admin.create(&link());
    admin.post(LINKS, &link()).refuses(402, BROKE, "none left again");
    set(&mut admin, &Value::Null);
    admin.create(&link());
    assert_eq!(left(&mut admin), Value::Null);
    // Credits of another workspace have no effect here.
    let other = json!({"name": "W", "id": "other", "credits": 1});
    admin.post("/api/v1/workspaces", &other).expect(201, "a workspace");
    let mut there = app.admin().with("X-Workspace-Id", "other");
    there.create(&link());
    there.post(LINKS, &link()).refuses(402, BROKE, "none left there");
    admin.create(&link());
    // A workspace's own key cannot add credits.
    let key = json!({"name": "k", "scopes": ["admin", "links.write"], "workspaceId": "other"});
    let key = admin.post("/api/v1/keys", &key).expect(201, "a key");
    let mut own = app.visitor().with_key(text(&key["key"], "secret"));
    let why = "a workspace key cannot set its own credits";
    own.patch("/api/v1/workspaces/other", &json!({"credits": 9})).refuses(403, why, "its own");
}

#[test]
fn a_bulk_creates_as_many_links_as_there_are_credits() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let row = |code: &str| json!({"url": "https://e.test/", "customSlug": code});
    set(&mut admin, &json!(3));
    admin.create(&row("there"));
    let rows = json!({"links": [row("there"), row("a"), {"url": 5}, row("b"), row("b"), row("c"), link()]});
    let bulk = admin.post(BULK, &rows).expect(201, "a bulk");
    let failed: Vec<_> = bulk["failed"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["row"].as_u64().expect("a number"), text(row, "reason").to_owned()))
        .collect();
    let want = [
        (0, "customSlug: \"there\" is already in use on this domain"),
        (2, "url: must be a string"),
        (4, "customSlug: \"b\" is already in use on this domain"),
        (5, BROKE),
        (6, BROKE),
    ];
    assert_eq!(failed, want.map(|(row, why)| (row, why.to_owned())));
    assert_eq!((&bulk["created"], left(&mut admin)), (&json!(2), json!(0)));
    let none = admin.post(BULK, &json!({"links": [link()]})).expect(201, "a bulk for nothing");
    assert_eq!((&none["created"], text(&none["failed"][0], "reason")), (&json!(0), BROKE));

    set(&mut admin, &json!(2));
    let three = json!({"atomic": true, "links": [link(), link(), link()]});
    admin.post(BULK, &three).refuses(402, BROKE, "all or nothing");
    assert_eq!((left(&mut admin), total(&mut admin)), (json!(2), 3));
    let two = json!({"atomic": true, "links": [link(), link()]});
    assert_eq!(admin.post(BULK, &two).expect(201, "all")["created"], 2);
    assert_eq!(left(&mut admin), 0);

    // With an idempotency key, a request that failed for lack of credits stays failed, and no credit is taken
    // twice.
    set(&mut admin, &json!(2));
    let body = json!({"links": [link(), link(), link()]}).to_string();
    let mut post = || admin.send("POST", BULK, &[("Idempotency-Key", "k")], Some(body.as_bytes()));
    let first = post().expect(201, "the first");
    assert_eq!((&first["created"], &first["failed"][0]["row"]), (&json!(2), &json!(2)));
    assert_eq!(post().expect(201, "again"), first);
    assert_eq!((left(&mut admin), total(&mut admin)), (json!(0), 7));
}

/// Creates links over `clients` connections, until each is out of credits or the server is gone. Counts the
/// acknowledged links.
fn spend(address: SocketAddr, clients: usize, rows: usize, made: &AtomicU64) {
    let bulk = json!({"links": vec![link(); rows]});
    let (path, body) = if rows == 1 { (LINKS, link()) } else { (BULK, bulk) };
    let body = body.to_string();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::new(address, HOST).with_key(KEY);
                while let Ok(answer) = client.try_send("POST", path, &[], Some(body.as_bytes())) {
                    if answer.status == 402 {
                        break;
                    }
                    let answer = answer.expect(201, path);
                    let created = answer["created"].as_u64().unwrap_or(1);
                    made.fetch_add(created, Ordering::Relaxed);
                    if rows > 1 && created == 0 {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn parallel_requests_create_exactly_as_many_links_as_there_are_credits() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut sum = 0;
    for (clients, rows, credits) in [(64, 1, 40), (64, 1, 1), (8, 7, 100)] {
        set(&mut admin, &json!(credits));
        let made = AtomicU64::new(0);
        spend(app.address(), clients, rows, &made);
        assert_eq!(made.into_inner(), credits, "{clients} clients, {rows} rows");
        sum += credits;
        assert_eq!((left(&mut admin), total(&mut admin)), (json!(0), sum));
    }
}

#[test]
fn a_kill_neither_loses_nor_adds_a_credit() {
    let rounds = std::env::var("WAYPOST_CREDIT_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let (seed, mut dice) = Dice::seeded();
    for round in 0..rounds {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = || Plan::on(folder.path()).start();
        let mut server = start();
        let credits = 10_000;
        set(&mut server.admin(), &json!(credits));
        let rows = [1, 5][usize::try_from(dice.below(2)).expect("an index")];
        let (until, made) = (1 + dice.below(300), AtomicU64::new(0));
        let address = server.address();
        std::thread::scope(|scope| {
            scope.spawn(|| spend(address, 16, rows, &made));
            poll("links", PATIENCE, || (made.load(Ordering::Relaxed) >= until).then_some(()));
            server.kill();
        });
        let made = made.into_inner();
        let server = start();
        let mut admin = server.admin();
        let (links, left) = (total(&mut admin), left(&mut admin).as_u64().expect("a balance"));
        let what = format!("seed {seed} round {round}: {made} acknowledged, {links} there, {left} left");
        assert_eq!(links + left, credits, "{what}");
        assert!(made <= links, "{what}");
    }
}
