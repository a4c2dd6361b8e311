//! The rights of a key count when they are used. If a key is revoked or expires while its request waits, the
//! request gets 401 and writes nothing.

use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use waypost::core::{Caller, Context, Error, Links};
use waypost::model::destination::LinkType;
use waypost::model::domain::{DomainDraft, HostName};
use waypost::model::id::{ForeignId, Id};
use waypost::model::key::{KeyDraft, Scope, Scopes};
use waypost::model::link::{AddressPatch, DomainChoice, Draft, Names, Patch};
use waypost::model::short_code::ShortCode;
use waypost::model::snapshot::{ShareKind, SnapshotDraft};
use waypost::model::workspace::{CompanyDraft, WorkspaceDraft};

use crate::support::app::{HOST, TestApp};
use crate::support::failing_log::{Fault, Faults};
use crate::support::http::{Answer, Client, Connection, text};
use crate::support::native::BAD_KEY;
use crate::support::process::{PATIENCE, poll};

const SCOPES: [&str; 3] = ["admin", "links.write", "snapshots.write"];

/// How a key loses its rights.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Revoked,
    Expired,
}

/// A key of the whole instance, and how it loses its rights.
struct Key {
    id: String,
    secret: String,
    loss: Loss,
}

impl Key {
    fn of(app: &TestApp, loss: Loss) -> Key {
        let mut body = json!({"name": "n", "scopes": SCOPES, "instance": true});
        if matches!(loss, Loss::Expired) {
            body["expiresAt"] = json!(app.clock().now().plus_millis(60_000).to_string());
        }
        let made = app.admin().post("/api/v1/keys", &body).expect(201, "a key");
        let (id, secret) = (text(&made["key"], "id").to_owned(), text(&made["key"], "secret").to_owned());
        Key { id, secret, loss }
    }

    fn lose(&self, app: &TestApp) {
        match self.loss {
            Loss::Revoked => {
                app.admin().delete(&format!("/api/v1/keys/{}", self.id)).expect(200, "revoked");
            }
            Loss::Expired => app.advance(Duration::from_mins(2)),
        }
    }
}

/// Returns the end of the log, after all clicks and maintenance writes.
fn position(admin: &mut Client) -> u64 {
    let metrics = admin.get("/metrics").text();
    let number = metrics.lines().find_map(|line| line.strip_prefix("waypost_log_position "));
    number.and_then(|number| number.parse().ok()).expect("a metric")
}

/// Returns all operations with a body from the description of the API: method, path, example.
fn operations(app: &TestApp) -> Vec<(String, String, Value)> {
    let description = app.visitor().get("/api/openapi.json").expect(200, "the description");
    let mut found = Vec::new();
    for (template, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            if !example.is_null() {
                // Unknown ids suffice, since the key is checked before the object.
                let mut path = template.clone();
                while let (Some(open), Some(close)) = (path.find('{'), path.find('}')) {
                    path.replace_range(open..=close, "000000000000000000AB");
                }
                found.push((method.to_uppercase(), path, example.clone()));
            }
        }
    }
    found
}

/// Sends a head, waits until the server reads the body, removes the rights of the key, and sends the body.
fn late_body(app: &TestApp, key: &Key, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut connection = Connection::open(app.address()).expect("accepted");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {}\r\n{headers}Content-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        key.secret,
        body.len()
    );
    connection.send(head.as_bytes()).expect("it reads");
    let word = "HTTP/1.1 100 Continue\r\n\r\n";
    let got = connection.take(word.len()).expect("a word");
    assert_eq!(String::from_utf8_lossy(&got), word, "{method} {path}");
    key.lose(app);
    connection.send(body).expect("it reads on");
    connection.receive(false).expect("an answer").expect("an answer")
}

#[test]
fn n03_a_key_that_loses_its_rights_before_the_body_comes_writes_nothing() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let operations = operations(&app);
    for must in ["/api/v1/keys", "/api/v1/links", "/api/v1/links/bulk", "/api/links", "/links/"] {
        let is_there = operations.iter().any(|(method, path, _)| method == "POST" && path == must);
        assert!(is_there, "{must} is among {operations:?}");
    }
    for (method, path, body) in &operations {
        for loss in [Loss::Revoked, Loss::Expired] {
            let what = format!("{method} {path} {loss:?}");
            let key = Key::of(&app, loss);
            let began = position(&mut admin);
            let answer = late_body(&app, &key, method, path, "", body.to_string().as_bytes());
            assert_eq!(answer.status, 401, "{what}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            let said = answer.json();
            assert!(said.get("link").is_none() && said.get("key").is_none(), "{what}: {said}");
            let writes = position(&mut admin) - began;
            assert_eq!(writes, u64::from(matches!(loss, Loss::Revoked)), "{what}: only the loss is written");
        }
    }
}

#[test]
fn n03_a_replay_needs_a_valid_key() {
    let app = TestApp::start();
    let key = Key::of(&app, Loss::Revoked);
    let body = json!({"url": "https://e.test/", "customSlug": "once"}).to_string();
    let headers = [("Idempotency-Key", "k")];
    let mut client = app.visitor().with_key(&key.secret);
    let made = client.send("POST", "/api/v1/links", &headers, Some(body.as_bytes()));
    assert_eq!(made.status, 201, "{made:?}");
    let again = late_body(&app, &key, "POST", "/api/v1/links", "Idempotency-Key: k\r\n", body.as_bytes());
    again.refuses(401, BAD_KEY, "a replay");
}

fn draft(code: &str) -> Draft {
    Draft {
        domain: DomainChoice::Default,
        code: ShortCode::parse(code).ok(),
        destination: "https://e.test/".into(),
        link_type: LinkType::Url,
        password: None,
        edits: Vec::new(),
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    }
}

fn context(links: &Links, key: &Key) -> Context {
    let caller = links.tenants().authenticate(&key.secret, links.clock().now()).expect("a valid key");
    Context {
        key: caller.credential(),
        reach: caller.reach(),
        scopes: Scopes::all(),
        tenant: links.tenants().tenant_of(&caller.reach()),
        workspace: links.tenants().acting(&Caller::Environment, None).expect("the first workspace"),
        request: 0,
        now: links.clock().now(),
        claim: None,
        client: waypost::core::Client::default(),
        object: waypost::core::ObjectRevision::default(),
    }
}

/// Runs all writing commands as requests do after their last check before the commit.
async fn every_write(
    links: &Links,
    context: &Context,
    link: Id,
    tag: Id,
    snapshot: &ForeignId,
    keys: [Id; 2],
) -> Vec<(&'static str, Result<(), Error>)> {
    let workspace = context.workspace.id.clone();
    let key = |name: &str| KeyDraft {
        name: name.into(),
        reach: None,
        // All that a key of a workspace may have.
        scopes: Scopes::all().iter().filter(|scope| *scope != Scope::MetricsRead).collect(),
        create_only: false,
        expires_at: context.key.and_then(|key| key.expires_at),
    };
    let patch = Patch {
        destination: Some("https://e.test/2".into()),
        password: None,
        edits: Vec::new(),
        names: Names::default(),
        address: AddressPatch::default(),
    };
    let company = CompanyDraft { id: None, name: "C".into(), relationship_number: None };
    let workspace_draft = WorkspaceDraft { id: None, company: None, name: "W".into(), edits: Vec::new() };
    let snapshot_draft = SnapshotDraft { id: None, name: "S".into(), with_passwords: false };
    let domain =
        DomainDraft { name: HostName::parse("domain", "other.test").expect("a name"), edits: Vec::new() };
    vec![
        ("create", links.create(context, draft("new")).await.map(drop)),
        ("update", links.update(context, link, patch).await.map(drop)),
        ("delete", links.delete(context, link).await),
        ("create_tag", links.tenants().create_tag(context, "blue".into(), Vec::new()).await.map(drop)),
        ("delete_tag", links.tenants().delete_tag(context, tag).await),
        ("create_domain", links.tenants().create_domain(context, domain).await.map(drop)),
        ("create_workspace", links.tenants().create_workspace(context, workspace_draft).await.map(drop)),
        (
            "update_workspace",
            links.tenants().update_workspace(context, &workspace, Vec::new()).await.map(drop),
        ),
        ("create_company", links.tenants().create_company(context, company).await.map(drop)),
        ("create_key", links.tenants().create_key(context, key("successor")).await.map(drop)),
        ("revoke_key", links.tenants().revoke_key(context, keys[0]).await),
        ("revoke_key, itself", links.tenants().revoke_key(context, keys[1]).await),
        ("rotate", links.tenants().rotate_webhook_secret(context, &workspace).await.map(drop)),
        ("create_snapshot", links.snapshots().create(context, snapshot_draft).await.map(drop)),
        ("share", links.snapshots().share(context, None, snapshot, ShareKind::Permanent).await.map(drop)),
        ("delete_snapshot", links.snapshots().delete(context, snapshot).await),
    ]
}

#[test]
fn n03_each_change_relies_on_the_record_of_its_key() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let link = admin.create(&json!({"url": "https://e.test/", "customSlug": "old"}));
    let link: Id = text(&link, "id").parse().expect("an id");
    let tag = admin.post("/api/v1/tags", &json!({"name": "red"})).expect(201, "a tag");
    let tag: Id = text(&tag["tag"], "id").parse().expect("an id");
    let made = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let snapshot = ForeignId::parse("id", text(&made["snapshot"], "id")).expect("an id");
    let links = app.app().core().links();
    for loss in [Loss::Revoked, Loss::Expired] {
        let (key, other) = (Key::of(&app, loss), Key::of(&app, Loss::Revoked));
        let held = context(&links, &key);
        assert!(links.tenants().check_key(held.key).is_ok(), "{loss:?}");
        key.lose(&app);
        assert!(matches!(links.tenants().check_key(held.key), Err(Error::Unauthorized)), "{loss:?}");
        let before = position(&mut admin);
        let keys = [&other, &key].map(|key| key.id.parse().expect("an id"));
        let all = app.wait(every_write(&links, &held, link, tag, &snapshot, keys));
        for (what, done) in all {
            let is_revoked_already = what == "revoke_key, itself" && matches!(done, Err(Error::NotFound(_)));
            let is_refused = matches!(done, Err(Error::Unauthorized));
            assert!(is_refused || is_revoked_already, "{what}, {loss:?}: {done:?}");
        }
        assert_eq!(position(&mut admin), before, "{loss:?}");
    }
    assert_eq!(app.visitor().get("/old").status, 302);
}

/// Runs a request of this key on another thread.
fn under_way(app: &TestApp, key: &Key, path: &'static str, body: Value) -> JoinHandle<Answer> {
    let mut client = app.visitor().with_key(&key.secret);
    std::thread::spawn(move || client.post(path, &body))
}

fn rows(prefix: &str, count: usize) -> Vec<Value> {
    let url = format!("https://e.test/{}", "x".repeat(8_000));
    (0..count).map(|n| json!({"url": url, "customSlug": format!("{prefix}{n}")})).collect()
}

fn total(admin: &mut Client, workspace: &str) -> u64 {
    let list = admin.get(&format!("/api/v1/links?limit=1&workspaceId={workspace}")).expect(200, "a list");
    list["total"].as_u64().expect("a number")
}

fn held(faults: &Faults) {
    poll("a held Change", PATIENCE, || (faults.held() > 0).then_some(()));
}

#[test]
fn n03_a_bulk_under_way_ends_with_its_key() {
    let faults = Faults::default();
    let app = TestApp::start_ill(|_| {}, &faults, true);
    let key = Key::of(&app, Loss::Revoked);
    let workspace = app.admin().get("/api/v1/workspaces").expect(200, "all")["workspaces"][0].clone();
    let workspace = text(&workspace, "id");
    faults.set(Some(Fault::HoldLarge));
    // About 1.6 MB: at least four Changes.
    let bulk = under_way(&app, &key, "/api/v1/links/bulk", json!({"links": rows("b", 200)}));
    held(&faults);
    faults.release();
    held(&faults);
    let first = total(&mut app.admin(), workspace);
    assert!(first > 0 && first < 200, "{first} links of the first Change");
    key.lose(&app);
    faults.set(None);
    faults.release();
    let answer = bulk.join().expect("no panic");
    answer.refuses(401, BAD_KEY, "the rest of a bulk");
    assert_eq!(total(&mut app.admin(), workspace), first);
}

#[test]
fn n03_snapshots_and_imports_under_way_end_with_their_key() {
    let faults = Faults::default();
    let app = TestApp::start_ill(|_| {}, &faults, true);
    let mut admin = app.admin();
    admin.post("/api/v1/links/bulk", &json!({"links": rows("s", 20)})).expect(201, "links");
    let made = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let snapshot = text(&made["snapshot"], "id").to_owned();
    let shared = admin
        .post(&format!("/api/v1/snapshots/{snapshot}/shares"), &json!({"type": "permanent_link"}))
        .expect(201, "a share");
    let share = text(&shared["share"], "id").to_owned();
    admin.post("/api/v1/workspaces", &json!({"name": "W", "id": "target"})).expect(201, "a workspace");
    let rows = [
        ("/api/v1/snapshots", json!({"name": "another"})),
        (
            "/api/v1/snapshots/import",
            json!({"shareId": share, "workspaceId": "target", "onConflict": "rename"}),
        ),
    ];
    for (path, body) in rows {
        let key = Key::of(&app, Loss::Revoked);
        faults.set(Some(Fault::HoldLarge));
        let request = under_way(&app, &key, path, body);
        held(&faults);
        key.lose(&app);
        faults.set(None);
        faults.release();
        request.join().expect("no panic").refuses(401, BAD_KEY, path);
    }
    let snapshots = admin.get("/api/v1/snapshots").expect(200, "all");
    assert_eq!(snapshots["snapshots"].as_array().map(Vec::len), Some(1), "{snapshots}");
    assert_eq!(total(&mut admin, "target"), 0);
}

/// A long list is sent for as long as its key is valid.
#[test]
fn n03_a_list_that_is_being_sent_ends_with_its_key() {
    let app = TestApp::start();
    let key = Key::of(&app, Loss::Revoked);
    let mut admin = app.admin();
    // 8 MB, more than socket buffers hold.
    for round in 0..2 {
        let rows = rows(&format!("r{round}-"), 500);
        admin.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "links");
    }
    let workspace = admin.get("/api/v1/workspaces").expect(200, "all")["workspaces"][0].clone();
    let path = format!("/links/?locationId={}&limit=1000", text(&workspace, "id"));
    let mut connection = Connection::open(app.address()).expect("accepted");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {}\r\n\r\n", key.secret);
    connection.send(head.as_bytes()).expect("it reads");
    assert!(connection.begins().expect("an answer"));
    key.lose(&app);
    let read = connection.receive(false);
    assert!(read.is_err(), "cut: {:?}", read.map(|answer| answer.map(|answer| answer.body.len())));
}
