//! Snapshots: frozen, shared, imported, and visible as a whole or not at all.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::TestApp;
use crate::support::failing_log::{Fault, Faults};
use crate::support::http::{Answer, Client, text};
use crate::support::native::LINKS;
use crate::support::process::{PATIENCE, Plan, command, poll};

const SNAPSHOTS: &str = "/api/v1/snapshots";
const IMPORT: &str = "/api/v1/snapshots/import";

/// Creates a company with one workspace, and returns their ids.
fn company(admin: &mut Client, name: &str, number: &str) -> (String, String) {
    let company = format!("{name}Co");
    let body = json!({"name": name, "id": company, "relationshipNumber": number});
    admin.post("/api/v1/companies", &body).expect(201, name);
    let workspace = format!("{name}Loc");
    let body = json!({"name": name, "id": workspace, "companyId": company});
    admin.post("/api/v1/workspaces", &body).expect(201, name);
    (company, workspace)
}

/// Returns a client with a new key.
fn keyed(app: &TestApp, more: &Value) -> Client {
    let mut body = json!({"name": "k", "scopes": ["links.write", "snapshots.write", "admin"]});
    body.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    let made = app.admin().post("/api/v1/keys", &body).expect(201, &body.to_string());
    app.visitor().with_key(text(&made["key"], "secret"))
}

/// Two companies with a workspace and a key each. The first has a snapshot of its only link.
struct Neighbours {
    b: String,
    in_b: String,
    as_b: Client,
    c: String,
    in_c: String,
    as_c: Client,
    snapshot: Value,
}

fn neighbours(app: &TestApp) -> Neighbours {
    let mut admin = app.admin();
    let (b, in_b) = company(&mut admin, "B", "0-128-926");
    let (c, in_c) = company(&mut admin, "C", "1-208-926");
    let mut as_b = keyed(app, &json!({"companyId": b}));
    let as_c = keyed(app, &json!({"companyId": c}));
    as_b.create(&json!({"url": "https://e.test/", "customSlug": "one"}));
    let snapshot = frozen(&mut as_b, &json!({"name": "S"}));
    Neighbours { b, in_b, as_b, c, in_c, as_c, snapshot }
}

/// Returns a client with the instance key that acts in a workspace.
fn acting(app: &TestApp, workspace: &str) -> Client {
    app.admin().with("X-Workspace-Id", workspace)
}

#[track_caller]
fn frozen(client: &mut Client, body: &Value) -> Value {
    client.post(SNAPSHOTS, body).expect(201, &body.to_string())["snapshot"].clone()
}

#[track_caller]
fn shared(client: &mut Client, snapshot: &Value, body: &Value) -> Value {
    let path = format!("{SNAPSHOTS}/{}/shares", text(snapshot, "id"));
    client.post(&path, body).expect(201, &body.to_string())["share"].clone()
}

/// Waits for the end of the import in this response. On a busy machine the server responds with 202 before
/// the end.
#[track_caller]
fn ended(client: &mut Client, answer: &Answer) -> Value {
    if answer.status == 201 {
        return answer.json()["import"].clone();
    }
    let pending = answer.expect(202, "an import")["import"].clone();
    assert_eq!(pending["status"], "pending", "{pending}");
    let path = format!("{SNAPSHOTS}/imports/{}", text(&pending, "id"));
    poll("the end of the import", PATIENCE, || {
        let import = client.get(&path).expect(200, "its status")["import"].clone();
        (import["status"] != "pending").then_some(import)
    })
}

#[track_caller]
fn imported(client: &mut Client, share: &Value, more: &Value) -> Value {
    let mut body = json!({"shareLink": share["shareLink"]});
    body.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    let answer = client.post(IMPORT, &body);
    let import = ended(client, &answer);
    assert_eq!(import["status"], "completed", "{import}");
    import
}

/// Creates links of these codes, a thousand per request.
fn fill(client: &mut Client, prefix: &str, count: usize) {
    let rows: Vec<_> = (0..count)
        .map(|n| json!({"url": format!("https://e.test/{n}"), "customSlug": format!("{prefix}{n}")}))
        .collect();
    for some in rows.chunks(1_000) {
        let made = client.post("/api/v1/links/bulk", &json!({"links": some})).expect(201, prefix);
        assert_eq!(made["created"], some.len(), "{}", made["failed"]);
    }
}

fn total(client: &mut Client) -> u64 {
    client.get(&format!("{LINKS}?limit=1")).expect(200, "the list")["total"].as_u64().expect("a number")
}

fn codes(client: &mut Client) -> BTreeSet<String> {
    let list = client.get(&format!("{LINKS}?limit=100")).expect(200, "the list");
    list["links"].as_array().expect("links").iter().map(|link| text(link, "shortCode").to_owned()).collect()
}

#[test]
fn a_snapshot_is_frozen_and_brings_everything_but_clicks_and_passwords() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (_, there) = company(&mut admin, "B", "0-1-2");
    let mut other = acting(&app, &there);
    let domain = json!({"domain": "links.b.test"});
    other.post("/api/v1/domains", &domain).expect(201, "a domain");
    other.patch(&format!("/api/v1/workspaces/{there}"), &json!({"defaultDomain": "links.b.test"}));
    let color = json!({"name": "promo", "color": "#00ff00"});
    let tag = admin.post("/api/v1/tags", &color).expect(201, "a tag")["tag"].clone();
    let kept = json!({"name": "kept", "color": "#0000ff"});
    let kept_id = admin.post("/api/v1/tags", &kept).expect(201, "a tag")["tag"]["id"].clone();
    let theirs = other.post("/api/v1/tags", &json!({"name": "kept"})).expect(201, "a tag")["tag"].clone();
    let rich = json!({
        "url": "https://e.test/?a=1", "customSlug": "rich", "title": "T", "utmSource": "mail",
        "redirectType": "307", "maxClicks": 9, "notes": "n", "forwardParameters": true,
        "tagIds": [tag["id"], kept_id], "expiresAt": "2030-01-01T00:00:00Z",
    });
    let rich = admin.create(&rich);
    let secret = json!({"url": "https://e.test/s", "customSlug": "secret", "password": "open"});
    admin.create(&secret);
    app.visitor().get("/rich");

    let snapshot = frozen(&mut admin, &json!({"name": "First"}));
    assert_eq!((&snapshot["type"], &snapshot["links"]), (&json!("own"), &json!(2)), "{snapshot}");
    let with = frozen(&mut admin, &json!({"name": "Second", "includePasswords": true, "id": "chosen-1"}));
    assert_eq!(with["id"], "chosen-1");
    let list = admin.get(SNAPSHOTS).expect(200, "the list");
    let names: Vec<_> = list["snapshots"].as_array().expect("all").iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["Second", "First"]);
    admin.post(SNAPSHOTS, &json!({"name": "N", "id": "chosen-1"})).refuses(
        409,
        "id: is already in use",
        "the same id",
    );

    // Later changes are not part of the snapshot.
    admin.patch(&format!("{LINKS}/{}", text(&rich, "id")), &json!({"title": "Changed"})).expect(200, "edit");
    admin.create(&json!({"url": "https://e.test/late", "customSlug": "late"}));
    admin.patch(&format!("/api/v1/tags/{}", text(&tag, "id")), &json!({"name": "renamed"}));

    let share = shared(&mut admin, &snapshot, &json!({"type": "permanent_link"}));
    let import = imported(&mut other, &share, &json!({}));
    assert_eq!((&import["created"], &import["progress"]), (&json!(2), &json!({"done": 2, "total": 2})));
    assert_eq!(codes(&mut other), ["rich", "secret"].map(str::to_owned).into());
    let list = other.get(&format!("{LINKS}?search=rich")).expect(200, "the list");
    let link = other.get(&format!("{LINKS}/{}", text(&list["links"][0], "id"))).expect(200, "it");
    let link = &link["link"];
    for (key, want) in [
        ("title", json!("T")),
        ("url", json!("https://e.test/?a=1&utm_source=mail")),
        ("redirectType", json!("307")),
        ("maxClicks", json!(9)),
        ("notes", json!("n")),
        ("forwardParameters", json!(true)),
        ("expiresAt", json!("2030-01-01T00:00:00.000Z")),
        ("clickCount", json!(0)),
        ("domain", json!("links.b.test")),
        ("workspaceId", json!(there)),
    ] {
        assert_eq!(link[key], want, "{key}");
    }
    let tags: Vec<_> = link["tags"].as_array().expect("tags").iter().map(|t| t["tag"].clone()).collect();
    assert_eq!((&tags[0]["name"], &tags[0]["color"]), (&json!("promo"), &json!("#00ff00")));
    assert_eq!(tags[1], theirs, "mapped by its name, as it is there");
    let mut visitor = app.visitor().at("links.b.test");
    assert_eq!(visitor.get("/rich").header("location"), Some("https://e.test/?a=1&utm_source=mail"));
    assert_eq!(visitor.get("/secret").status, 302, "the password stays behind");

    // With passwords, if the snapshot includes them.
    let (_, third) = company(&mut admin, "C", "0-1-3");
    let mut third = acting(&app, &third);
    third.post("/api/v1/domains", &json!({"domain": "c.test"})).expect(201, "a domain");
    third.patch("/api/v1/workspaces/CLoc", &json!({"defaultDomain": "c.test"})).expect(200, "it");
    let share = shared(&mut admin, &with, &json!({"type": "link"}));
    imported(&mut third, &share, &json!({}));
    let asked = app.visitor().at("c.test").get("/secret");
    assert_eq!((asked.status, asked.header("location")), (200, None), "a form");

    // Deleted: its shares end, imported links stay.
    let path = format!("{SNAPSHOTS}/{}", text(&snapshot, "id"));
    assert_eq!(admin.delete(&path).expect(200, "deleted"), json!({"success": true}));
    admin.get(&path).refuses(404, "snapshot not found", "gone");
    let again = json!({"shareId": share["id"]});
    third.post(IMPORT, &again).refuses(410, "this share was for one import, which was made", "once");
    assert_eq!(total(&mut other), 2);
    let app = app.restart();
    assert_eq!(total(&mut acting(&app, &there)), 2);
}

#[test]
fn conflicts() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for code in ["a", "b"] {
        admin.create(&json!({"url": "https://e.test/", "customSlug": code}));
    }
    let snapshot = frozen(&mut admin, &json!({"name": "S"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "permanent_link"}));
    let (_, there) = company(&mut admin, "B", "0-1-2");
    let mut other = acting(&app, &there);
    let list = admin.get(LINKS).expect(200, "all");
    let b = list["links"].as_array().expect("all").iter().find(|link| link["shortCode"] == "b").expect("b");
    admin.delete(&format!("{LINKS}/{}", text(b, "id"))).expect(200, "deleted");

    let body = json!({"shareId": share["id"]});
    let why = "customSlug: \"a\" is already in use on this domain";
    other.post(IMPORT, &body).refuses(409, why, "fail");
    assert_eq!(total(&mut other), 0);
    let import = imported(&mut other, &share, &json!({"onConflict": "skip"}));
    assert_eq!((&import["created"], &import["skipped"]), (&json!(1), &json!(1)), "{import}");
    assert_eq!(codes(&mut other), ["b".to_owned()].into());
    let import = imported(&mut other, &share, &json!({"onConflict": "rename"}));
    assert_eq!((&import["created"], &import["renamed"]), (&json!(2), &json!(2)), "{import}");
    let import = imported(&mut other, &share, &json!({"onConflict": "rename"}));
    assert_eq!(import["renamed"], 2, "{import}");
    assert_eq!(codes(&mut other), ["a-2", "a-3", "b", "b-2", "b-3"].map(str::to_owned).into());
    assert_eq!(app.visitor().get("/b-3").status, 302);
    // The failed import returns its error, and has released its codes.
    let failed = other.get(&format!("{SNAPSHOTS}/imports/{}", text(&import, "id"))).expect(200, "it");
    assert_eq!(failed["import"]["status"], "completed");
}

/// If a tag is created while an import with a tag of the same name is under way, the imported links get the
/// existing tag.
#[test]
fn a_tag_created_during_an_import_does_not_undo_it() {
    const COUNT: usize = 2_000;
    let faults = Faults::default();
    let app = TestApp::start_ill(|_| {}, &faults, true);
    let mut admin = app.admin();
    fill(&mut admin, "x", COUNT);
    let tag = admin.post("/api/v1/tags", &json!({"name": "t"})).expect(201, "a tag")["tag"].clone();
    let list = admin.get(&format!("{LINKS}?limit=1")).expect(200, "the newest");
    admin
        .patch(&format!("{LINKS}/{}", text(&list["links"][0], "id")), &json!({"tagIds": [tag["id"]]}))
        .expect(200, "tagged");
    let snapshot = frozen(&mut admin, &json!({"name": "S"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "link"}));
    let mut other = acting(&app, &company(&mut admin, "B", "0-1-2").1);
    other.post("/api/v1/domains", &json!({"domain": "b.test"})).expect(201, "a domain");
    other.patch("/api/v1/workspaces/BLoc", &json!({"defaultDomain": "b.test"})).expect(200, "it");
    faults.set(Some(Fault::HoldLarge));
    let made = std::thread::scope(|scope| {
        let making = scope.spawn(|| {
            // Its links are on the way to the log, so it has looked up the tags already.
            poll("links that are held", PATIENCE, || (faults.held() > 0).then_some(()));
            let tag = acting(&app, "BLoc").post("/api/v1/tags", &json!({"name": "t"}));
            faults.set(None);
            faults.release();
            tag.expect(201, "before its end")["tag"].clone()
        });
        let import = imported(&mut other, &share, &json!({"onConflict": "rename"}));
        assert_eq!(import["created"], COUNT, "{import}");
        making.join().expect("made")
    });
    let tags = other.get("/api/v1/tags").expect(200, "the tags");
    assert_eq!(tags["tags"].as_array().map(Vec::len), Some(1), "{tags}");
    let list = other.get(&format!("{LINKS}?tagId={}", text(&made, "id"))).expect(200, "its links");
    assert_eq!(list["total"], 1, "{list}");
    assert_eq!(total(&mut other), COUNT as u64);
}

#[test]
fn a_one_time_share_is_used_up_by_one_of_many() {
    let app = TestApp::start();
    let mut admin = app.admin();
    fill(&mut admin, "x", 50);
    let snapshot = frozen(&mut admin, &json!({"name": "S"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "link"}));
    let body = json!({"shareId": share["id"], "onConflict": "rename"});
    let ways: Vec<u16> = std::thread::scope(|scope| {
        let imports: Vec<_> = (0..8)
            .map(|_| {
                let mut client = app.admin();
                let body = &body;
                scope.spawn(move || client.post(IMPORT, body).status)
            })
            .collect();
        imports.into_iter().map(|import| import.join().expect("answered")).collect()
    });
    let count = |status| ways.iter().filter(|way| **way == status).count();
    assert_eq!((count(201), count(410)), (1, 7), "{ways:?}");
    assert_eq!(total(&mut admin), 100);
    let app = app.restart();
    assert_eq!(app.admin().post(IMPORT, &body).status, 410, "it stays used up");
    // A permanent share can be used any number of times.
    let mut admin = app.admin();
    let share = shared(&mut admin, &snapshot, &json!({"type": "permanent_link"}));
    for _ in 0..3 {
        imported(&mut admin, &share, &json!({"onConflict": "rename"}));
    }
    assert_eq!(total(&mut admin), 250);
}

#[test]
fn restricted_shares_and_other_tenants() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let Neighbours { b, in_b, mut as_b, in_c, mut as_c, snapshot, .. } = neighbours(&app);
    let id = text(&snapshot, "id");
    let path = format!("{SNAPSHOTS}/{id}");
    // Other companies see nothing.
    assert_eq!(as_c.get(SNAPSHOTS).expect(200, "c")["snapshots"], json!([]));
    as_c.get(&path).refuses(404, "snapshot not found", "get");
    as_c.delete(&path).refuses(404, "snapshot not found", "delete");
    let link = json!({"type": "link"});
    as_c.post(&format!("{path}/shares"), &link).refuses(404, "snapshot not found", "share");
    // A workspace of the same company sees its own snapshots and imports.
    let body = json!({"name": "B2", "companyId": b});
    let second = admin.post("/api/v1/workspaces", &body).expect(201, "B2")["workspace"].clone();
    let mut as_b2 = keyed(&app, &json!({"workspaceId": second["id"]}));
    as_b2.get(&path).refuses(404, "snapshot not found", "another workspace");

    let rows = [
        (json!({"type": "agency_link", "relationshipNumbers": [" 1-208-926 "]}), [403, 201]),
        (json!({"type": "agency_link", "relationshipNumbers": ["9-9-9", "0-128-926"]}), [201, 403]),
        (json!({"type": "location_link", "workspaceIds": [in_c]}), [403, 201]),
        (json!({"type": "location_link", "workspaceIds": [in_b, "x"]}), [201, 403]),
        (json!({"type": "permanent_link", "workspaceIds": ["x"]}), [201, 201]),
    ];
    for (body, want) in rows {
        let share = shared(&mut as_b, &snapshot, &body);
        let import = json!({"shareLink": share["shareLink"], "onConflict": "rename"});
        let got = [as_b.post(IMPORT, &import).status, as_c.post(IMPORT, &import).status];
        assert_eq!(got, want, "{body}");
    }
    let list = as_c.get(SNAPSHOTS).expect(200, "c");
    let listed = &list["snapshots"];
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["type"]), (Some(1), &json!("imported")));
    as_c.post(&format!("{SNAPSHOTS}/{}/shares", text(&listed[0], "id")), &link).refuses(
        403,
        "only the owner of a snapshot may share it",
        "shared on",
    );
    let share = shared(&mut as_b, &snapshot, &link);
    let import = imported(&mut as_b, &share, &json!({"onConflict": "rename"}));
    let status = format!("{SNAPSHOTS}/imports/{}", text(&import, "id"));
    as_c.get(&status).refuses(404, "import not found", "another's import");
    assert_eq!(as_b.get(&status).expect(200, "ours")["import"], import);
    // Scopes.
    let mut reader = keyed(&app, &json!({"companyId": b, "scopes": ["snapshots.readonly"]}));
    reader.get(&path).expect(200, "read");
    let lacks = "this key lacks the scope snapshots.write";
    reader.post(SNAPSHOTS, &json!({"name": "N"})).refuses(403, lacks, "write");
    let unknown = json!({"shareId": "000000000000000000AB"});
    as_b.post(IMPORT, &unknown).refuses(404, "share not found", "unknown");
}

#[test]
fn repeated_posts_are_done_once() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "one"}));
    let post = |path: &str, key: &str, body: &Value| {
        let headers = [("Idempotency-Key", key)];
        app.admin().send("POST", path, &headers, Some(body.to_string().as_bytes()))
    };
    let body = json!({"name": "S"});
    let first = post(SNAPSHOTS, "k1", &body).expect(201, "frozen");
    assert_eq!(post(SNAPSHOTS, "k1", &body).expect(201, "again"), first);
    let path = format!("{SNAPSHOTS}/{}/shares", text(&first["snapshot"], "id"));
    let share = post(&path, "k2", &json!({"type": "link"})).expect(201, "shared");
    assert_eq!(post(&path, "k2", &json!({"type": "link"})).expect(201, "again"), share);
    let body = json!({"shareId": share["share"]["id"]});
    let taken = "customSlug: \"one\" is already in use on this domain";
    for row in ["refused", "refused again"] {
        post(IMPORT, "k3", &body).refuses(409, taken, row);
    }
    let body = json!({"shareId": share["share"]["id"], "onConflict": "skip"});
    let import = post(IMPORT, "k4", &body).expect(201, "imported");
    assert_eq!(post(IMPORT, "k4", &body).expect(201, "again"), import);
    assert_eq!(post(IMPORT, "k5", &body).status, 410);
}

/// Ends the threads of a scope, also if the test panics: the scope waits for them.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While thousands of links are imported, a list shows none or all of them, each link opens or does not, and
/// other links redirect.
#[test]
fn an_import_is_visible_as_a_whole_or_not_at_all() {
    // 24 Changes of the import.
    const COUNT: usize = 6_000;
    let app = TestApp::start();
    let mut admin = app.admin();
    fill(&mut admin, "x", COUNT);
    let tag = admin.post("/api/v1/tags", &json!({"name": "t"})).expect(201, "a tag")["tag"].clone();
    let list = admin.get(&format!("{LINKS}?limit=1")).expect(200, "the newest");
    let newest = format!("{LINKS}/{}", text(&list["links"][0], "id"));
    admin.patch(&newest, &json!({"tagIds": [tag["id"]]})).expect(200, "tagged");
    let snapshot = frozen(&mut admin, &json!({"name": "Many"}));
    assert_eq!(snapshot["links"], COUNT);
    let share = shared(&mut admin, &snapshot, &json!({"type": "link"}));
    let (_, there) = company(&mut admin, "B", "0-1-2");
    let mut other = acting(&app, &there);
    let domain = json!({"domain": "b.test"});
    other.post("/api/v1/domains", &domain).expect(201, "a domain");
    let default = json!({"defaultDomain": "b.test"});
    other.patch(&format!("/api/v1/workspaces/{there}"), &default).expect(200, "it");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lists = scope.spawn(|| {
            let (mut client, mut looks) = (acting(&app, &there), 0);
            while !over.load(Ordering::Relaxed) {
                let list = client.get(&format!("{LINKS}?limit=3")).expect(200, "a list");
                let total = list["total"].as_u64().expect("a number");
                assert!(total == 0 || total == COUNT as u64, "{total}");
                let shown = list["links"].as_array().expect("links").len();
                assert!(shown == 0 || (shown == 3 && total > 0), "{shown} of {total}");
                let domains = client.get("/api/v1/domains").expect(200, "domains")["domains"].clone();
                for domain in domains.as_array().expect("a list") {
                    let links = domain["activeLinks"].as_u64().expect("a number");
                    assert!(links == 0 || links == COUNT as u64, "{links} on {}", domain["domain"]);
                }
                let tags = client.get("/api/v1/tags").expect(200, "tags")["tags"].clone();
                // Read after the list: if the list has links, there are tags.
                assert!(total == 0 || tags != json!([]), "{tags}");
                looks += 1;
            }
            looks
        });
        let visits = scope.spawn(|| {
            let (mut here, mut there) = (app.visitor(), app.visitor().at("b.test"));
            let (mut looks, mut seen) = (0_usize, false);
            while !over.load(Ordering::Relaxed) {
                assert_eq!(here.get(&format!("/x{}", looks % COUNT)).status, 302, "while it runs");
                let now = there.get(&format!("/x{}", looks * 7_919 % COUNT)).status;
                assert!(now == 302 || now == 404 && !seen, "{now} after it was seen: {seen}");
                seen |= now == 302;
                looks += 1;
            }
            looks
        });
        let ending = Ending(&over);
        let import = imported(&mut other, &share, &json!({}));
        assert_eq!(import["created"], COUNT);
        assert_eq!(total(&mut other), COUNT as u64);
        let mut visitor = app.visitor().at("b.test");
        for n in 0..COUNT {
            if n % 97 == 0 {
                assert_eq!(visitor.get(&format!("/x{n}")).status, 302, "x{n}, right after");
            }
        }
        drop(ending);
        let looks = (lists.join().expect("lists"), visits.join().expect("visits"));
        assert!(looks.0 > 2 && looks.1 > 20, "{looks:?}");
    });
    let app = app.restart();
    assert_eq!(total(&mut acting(&app, &there)), COUNT as u64);
}

/// Imported links are counted, edited and deleted like any other, also with a rebuilt table and a compacted
/// log.
#[test]
fn imported_links_are_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Plan::on(folder.path()).start();
    let mut admin = server.admin();
    fill(&mut admin, "x", 40);
    let snapshot = frozen(&mut admin, &json!({"name": "S"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "permanent_link"}));
    let (_, there) = company(&mut admin, "B", "0-1-2");
    let mut other = server.admin().with("X-Workspace-Id", &there);
    imported(&mut other, &share, &json!({"onConflict": "rename"}));
    let list = other.get(&format!("{LINKS}?limit=100")).expect(200, "all");
    let all = list["links"].as_array().expect("links").clone();
    for link in &all[..10] {
        other.delete(&format!("{LINKS}/{}", text(link, "id"))).expect(200, "deleted");
    }
    for link in &all[10..15] {
        let path = format!("{LINKS}/{}", text(link, "id"));
        other.patch(&path, &json!({"title": "T"})).expect(200, "edited");
    }
    let conflict = json!({"shareId": share["id"], "workspaceId": there});
    other.post(IMPORT, &conflict).expect(409, "one that fails");
    let look = |client: &mut Client| (total(client), codes(client));
    let before = look(&mut other);
    assert_eq!((before.0, before.1.len()), (30, 30));
    server.stop();
    let server = Plan::on(folder.path()).start();
    assert_eq!(look(&mut server.admin().with("X-Workspace-Id", &there)), before, "after a restart");
    server.stop();
    let start = || {
        let plan = Plan::on(folder.path());
        plan.env("WAYPOST_LOG__SEGMENT_BYTES", "1048576").env("WAYPOST_LOG__COMPACT_ABOVE", "1048576").start()
    };
    let anew = |row: &str| {
        std::fs::remove_dir_all(folder.path().join("table")).expect("the table");
        let server = start();
        assert_eq!(look(&mut server.admin().with("X-Workspace-Id", &there)), before, "{row}");
        assert_eq!(total(&mut server.admin()), 40, "{row}");
        server
    };
    let server = anew("from the log");
    let mut admin = server.admin();
    let target = format!("{LINKS}/{}", text(&admin.create(&json!({"url": "https://e.test/"})), "id"));
    // 1.7 MB: one full segment, and a last one that is far from full, since a full segment is compacted.
    for _ in 0..400 {
        admin.patch(&target, &json!({"notes": "n".repeat(4_000)})).expect(200, "something to compact");
    }
    admin.delete(&target).expect(200, "deleted");
    let log = folder.path().join("log");
    poll("the log is compacted", PATIENCE, || {
        let files = std::fs::read_dir(&log).expect("the log").filter_map(|file| file.ok()?.metadata().ok());
        (files.map(|file| file.len()).sum::<u64>() < 1 << 20).then_some(())
    });
    server.stop();
    anew("from a compacted log").stop();
    let exported = command().arg("export").env("WAYPOST_DATA_DIR", folder.path()).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&exported.stdout).lines().count(), 70);
}

/// The data folder of a server that was killed in the middle of an import.
struct Killed {
    folder: TempDir,
    share: Value,
    there: String,
    /// A staged code.
    staged: String,
}

/// Kills a server in the middle of an import of this many links. Returns `None` if the import ended before
/// the kill, or had not begun.
fn killed_import(count: usize) -> Option<Killed> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Plan::on(folder.path()).start();
    let mut admin = server.admin();
    fill(&mut admin, "x", count);
    let snapshot = frozen(&mut admin, &json!({"name": "Many"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "link"}));
    let (_, there) = company(&mut admin, "B", "0-1-2");
    let body = json!({"shareId": share["id"], "workspaceId": there, "onConflict": "rename"}).to_string();
    let address = server.address();
    let asking = std::thread::spawn(move || {
        let mut client = Client::new(address, "go.test").with_key(crate::support::app::KEY);
        client.try_send("POST", IMPORT, &[], Some(body.as_bytes()))
    });
    // Staged codes are in use although they are invisible, which shows the progress of the import. The
    // attempts begin with the codes that the import stages last: a code that an attempt takes in the middle
    // of a Change repeats the Change.
    let staged = (0..count).rev().step_by(20).find_map(|number| {
        let code = format!("x{number}-2");
        let body = json!({"url": "https://e.test/", "customSlug": code});
        (admin.post(LINKS, &body).status == 409).then_some(code)
    });
    let seen = total(&mut server.admin().with("X-Workspace-Id", &there));
    server.kill();
    // A slow server responds with 202 before the end.
    if asking.join().expect("no panic").is_ok_and(|answer| answer.status != 202 || seen > 0) {
        return None;
    }
    assert_eq!(seen, 0);
    Some(Killed { folder, share, there, staged: staged? })
}

/// Kills servers in an import of this many links until a kill is in the middle.
fn killed_in_the_middle(count: usize) -> Killed {
    const KILLS: usize = 5;
    (0..KILLS).find_map(|_| killed_import(count)).expect("a kill in the middle")
}

/// After SIGKILL in the middle of an import, the next start shows nothing of it, and releases its codes.
#[test]
fn a_killed_import_leaves_nothing() {
    // 40 Changes, so that the kill meets the import between two of them.
    let Killed { folder, there, staged, .. } = killed_in_the_middle(10_000);
    let server = Plan::on(folder.path()).start();
    let mut admin = server.admin();
    let mut other = server.admin().with("X-Workspace-Id", &there);
    assert_eq!(total(&mut other), 0);
    assert_eq!(server.visitor().get(&format!("/{staged}")).status, 404);
    poll("the codes are free", PATIENCE, || {
        let body = json!({"url": "https://e.test/", "customSlug": staged});
        (admin.post(LINKS, &body).status == 201).then_some(())
    });
    assert_eq!(total(&mut other), 0);
    server.stop();
}

/// The share of a killed import is still unused.
#[test]
fn a_killed_import_can_be_repeated() {
    // Half of the links of the test above, since the import runs twice.
    const COUNT: usize = 5_000;
    let Killed { folder, share, there, .. } = killed_in_the_middle(COUNT);
    let server = Plan::on(folder.path()).start();
    let mut other = server.admin().with("X-Workspace-Id", &there);
    let import = poll("the import", PATIENCE, || {
        let body = json!({"shareId": share["id"], "onConflict": "rename"});
        let answer = other.post(IMPORT, &body);
        // 503 while the rest of the killed import is removed.
        (answer.status != 503).then(|| ended(&mut other, &answer))
    });
    assert_eq!(import["created"], COUNT, "{import}");
    assert_eq!(total(&mut other), COUNT as u64);
    server.stop();
}

/// The request of the vendor's documentation, byte for byte after its request line, and the documented
/// response.
#[test]
fn the_documented_request_of_highlevel() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/"}));
    frozen(&mut admin, &json!({"name": "S", "id": "1eM2UgkfaECOYyUdCo9Pa"}));
    let body = r#"{
  "snapshot_id": "1eM2UgkfaECOYyUdCo9Pa",
  "share_type": "permanent_link",
  "relationship_number": "0-128-926,1-208-926,2-008-926",
  "share_location_id": "l1C08ntBrFjLS0elLIYU, U1C08ntBrFjLS0elKIYP"
}"#;
    let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let answer = admin.send("POST", "/snapshots/share/link", &headers, Some(body.as_bytes()));
    let shared = answer.expect(201, "the documented request");
    let id = text(&shared, "id").to_owned();
    assert_eq!(id.len(), 20);
    assert_eq!(shared, json!({"id": id, "shareLink": format!("http://go.test/?share={id}")}));
    // Each `Version`, and the declared query.
    let companies = admin.get("/api/v1/companies").expect(200, "companies");
    let company = text(&companies["companies"][0], "id").to_owned();
    let target = format!("/snapshots/share/link/?companyId={company}");
    for version in ["2021-07-28", "2021-04-15", "2023-02-21", "v3", "legacy"] {
        let headers = [("Version", version), ("Content-Type", "application/json")];
        admin.send("POST", &target, &headers, Some(body.as_bytes())).expect(201, version);
    }
    let unauthorized = json!({
        "statusCode": 401, "message": "Invalid token: access token is invalid", "error": "Unauthorized",
    });
    assert_eq!(app.visitor().get("/snapshots/").expect(401, "no key"), unauthorized);
    let forbidden = json!({
        "statusCode": 403, "message": "The token does not have access to this location.", "error": "Forbidden",
    });
    for company in ["nobody", "a%20b"] {
        let answer = admin.get(&format!("/snapshots/?companyId={company}"));
        assert_eq!(answer.expect(403, company), forbidden);
    }
    let rows = [
        (r#"{"snapshotId":"1eM2UgkfaECOYyUdCo9Pa","shareType":"link"}"#, 400, "snapshot_id is required"),
        (r#"{"snapshot_id":"nothing","share_type":"link"}"#, 404, "Snapshot not found"),
        (
            r#"{"snapshot_id":"1eM2UgkfaECOYyUdCo9Pa","share_type":"location_link","share_location_id":" , "}"#,
            400,
            "share_location_id is required with this type of share",
        ),
    ];
    for (body, status, message) in rows {
        let answer = admin.send("POST", "/snapshots/share/link", &[], Some(body.as_bytes()));
        assert_eq!(answer.expect(status, body), json!({"statusCode": status, "message": message}), "{body}");
    }
    let answer = admin.get("/snapshots").expect(400, "no company");
    assert_eq!(answer, json!({"statusCode": 400, "message": "companyId is required"}));
    let nowhere = admin.get("/snapshots/x").expect(404, "no endpoint");
    assert_eq!(nowhere, json!({"statusCode": 404, "message": "Not found"}));
}

#[test]
fn highlevels_responses_about_imports() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let Neighbours { b, in_b, mut as_b, c, in_c, mut as_c, snapshot } = neighbours(&app);
    let id = text(&snapshot, "id");
    let list = format!("/snapshots/?companyId={b}");
    let want = json!({"snapshots": [{"id": id, "name": "S", "type": "own"}]});
    assert_eq!(as_b.get(&list).expect(200, "the list"), want);
    assert_eq!(as_c.get(&list).status, 403);

    let share = shared(&mut as_b, &snapshot, &json!({"type": "permanent_link"}));
    let mut ids = Vec::new();
    for _ in 0..3 {
        app.advance(std::time::Duration::from_hours(1));
        let import = imported(&mut as_b, &share, &json!({"onConflict": "rename"}));
        ids.push(text(&import, "id").to_owned());
    }
    imported(&mut as_c, &share, &json!({"onConflict": "rename"}));
    as_b.post(IMPORT, &json!({"shareId": share["id"]})).expect(409, "one that fails");

    let status = format!("/snapshots/snapshot-status/{id}");
    let ask = |client: &mut Client, query: &str| {
        let answer = client.get(&format!("{status}?companyId={b}&{query}")).expect(200, query);
        answer["data"].as_array().expect("a list").clone()
    };
    let all = ask(&mut as_b, "from=01-01-2026%2012:00%20AM&to=01-01-2026+11:59+PM");
    assert_eq!(all.len(), 4, "those of its own company: {all:?}");
    assert_eq!(all[0]["status"], "failed");
    let second = json!({
        "id": ids[1], "locationId": in_b, "status": "completed", "dateAdded": "1/1/2026, 2:00:00 AM",
    });
    assert_eq!(all[2], second);
    let some = ask(&mut as_b, "from=2026-01-01T01:30:00Z&to=2026-01-01T02:30:00.000Z&limit=7");
    assert_eq!(some, std::slice::from_ref(&second));
    let first = ask(&mut as_b, "from=2026-01-01&to=2026-01-01&limit=2");
    let last = text(&first[1], "id");
    let rest = ask(&mut as_b, &format!("from=2026-01-01&to=2026-01-01&limit=2&lastDoc={last}"));
    assert_eq!([first, rest].concat(), all);

    let latest = |client: &mut Client, company: &str, location: &str| {
        client.get(&format!("{status}/location/{location}?companyId={company}"))
    };
    // The failed one is the newest.
    let failed = latest(&mut as_b, &b, &in_b).expect(200, "the latest");
    let want =
        json!({"id": all[0]["id"], "locationId": in_b, "status": "failed", "completed": [], "pending": []});
    assert_eq!(failed, json!({"data": want}));
    let import = imported(&mut as_b, &share, &json!({"onConflict": "skip"}));
    let want = json!({
        "id": import["id"], "locationId": in_b, "status": "completed",
        "completed": ["links", "tags"], "pending": [],
    });
    assert_eq!(latest(&mut as_b, &b, &in_b).expect(200, "the latest"), json!({"data": want}));
    assert_eq!(latest(&mut as_b, &b, &in_c).status, 403, "a foreign location");
    assert_eq!(latest(&mut as_b, &b, "nowhere").status, 403);
    assert_eq!(latest(&mut as_b, &c, &in_b).status, 403, "a foreign company");
    assert_eq!(latest(&mut as_c, &c, &in_c).status, 404, "a foreign snapshot");

    // The location in the path takes precedence over a header.
    let second = json!({"name": "B, too", "id": "inB2", "companyId": b});
    admin.post("/api/v1/workspaces", &second).expect(201, "another location");
    imported(&mut as_b, &share, &json!({"workspaceId": "inB2", "onConflict": "rename"}));
    for (header, location, status) in [
        (&*in_b, &*in_c, 403),
        (&in_b, "nowhere", 403),
        (&in_c, &in_b, 200),
        ("nowhere", &in_b, 200),
        (&in_b, "inB2", 200),
    ] {
        let mut client = keyed(&app, &json!({"companyId": b})).with("X-Workspace-Id", header);
        let answer = latest(&mut client, &b, location);
        assert_eq!(answer.status, status, "{location}, {header}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.json()["data"]["locationId"], location, "{header}");
        }
    }
}

#[test]
fn opening_a_share_does_not_use_it_up() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for code in ["a", "b"] {
        admin.create(&json!({"url": "https://e.test/", "customSlug": code}));
    }
    let snapshot = frozen(&mut admin, &json!({"name": "<b>Mine</b>"}));
    let share = shared(&mut admin, &snapshot, &json!({"type": "link"}));
    let link = text(&share, "shareLink");
    let target = link.strip_prefix("http://go.test").expect("public_url");
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let path = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    admin.patch(&path, &json!({"rootUrl": "https://root.test/"})).expect(200, "a root");
    let mut visitor = app.visitor();
    for _ in 0..2 {
        let page = visitor.get(target);
        assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")), "{page:?}");
        let page = page.text();
        assert!(page.contains("2 links") && page.contains(link) && !page.contains("<b>Mine"), "{page}");
    }
    assert_eq!(visitor.head(target).status, 200);
    assert_eq!(visitor.get("/?share=000000000000000000AB").status, 404);
    assert_eq!(visitor.get("/?share=nonsense").header("location"), Some("https://root.test/"));
    assert_eq!(visitor.get("/?other=1").header("location"), Some("https://root.test/"));
    let unknown = app.visitor().at("unknown.test").get(target);
    assert_eq!(unknown.status, 404, "not our host");
    imported(&mut admin, &share, &json!({"onConflict": "rename"}));
    let page = visitor.get(target);
    assert_eq!((page.status, page.text().contains("POST /api")), (410, false));
    admin.delete(&format!("{SNAPSHOTS}/{}", text(&snapshot, "id"))).expect(200, "deleted");
    assert_eq!(visitor.get(target).status, 404);
}

#[test]
fn webhooks_of_another_company_are_not_imported() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let mut make = |path: &str, body: Value| admin.post(path, &body).expect(201, path);
    let hooks = json!({"url": "https://e.test/", "customSlug": "s", "webhookUrls": "https://hooks.test/a"});
    make("/api/v1/links", hooks);
    let snapshot = make("/api/v1/snapshots", json!({"name": "S"}));
    let shares = format!("/api/v1/snapshots/{}/shares", text(&snapshot["snapshot"], "id"));
    let share = make(&shares, json!({"type": "permanent_link"}));
    let share = text(&share["share"], "id").to_owned();
    let company = make("/api/v1/companies", json!({"name": "Other"}));
    let company = text(&company["company"], "id").to_owned();
    let home = text(&snapshot["snapshot"], "workspaceId").to_owned();
    let abroad = make("/api/v1/workspaces", json!({"name": "Theirs", "companyId": company}));
    let abroad = text(&abroad["workspace"], "id").to_owned();
    for (workspace, kept) in [(home, true), (abroad, false)] {
        let body = json!({"shareId": share, "workspaceId": workspace, "onConflict": "rename"});
        make("/api/v1/snapshots/import", body);
        let links =
            app.admin().get(&format!("/api/v1/links?limit=1&workspaceId={workspace}")).expect(200, "links");
        let id = text(&links["links"][0], "id").to_owned();
        let link = app.admin().get(&format!("/api/v1/links/{id}")).expect(200, "a link")["link"].clone();
        assert_eq!(link["webhookUrls"].is_string(), kept, "{link}");
    }
}

/// Links that led to other hosts where they were frozen, and lead to each other where they are imported:
/// within one Change of the import, and many Changes apart.
#[test]
fn links_that_lead_to_each_other_where_they_arrive() {
    for between in [0, 600] {
        let app = TestApp::start();
        let mut admin = app.admin();
        admin.create(&json!({"url": "https://b.test/pong", "customSlug": "ping"}));
        fill(&mut admin, "x", between);
        admin.create(&json!({"url": "https://b.test/ping", "customSlug": "pong"}));
        let snapshot = frozen(&mut admin, &json!({"name": "S"}));
        let share = shared(&mut admin, &snapshot, &json!({"type": "permanent_link"}));
        let (_, there) = company(&mut admin, "B", "0-1-2");
        let mut other = acting(&app, &there);
        other.post("/api/v1/domains", &json!({"domain": "b.test"})).expect(201, "a domain");
        let default = json!({"defaultDomain": "b.test"});
        other.patch(&format!("/api/v1/workspaces/{there}"), &default).expect(200, "it");

        let body = json!({"shareId": share["id"]});
        let why = "snapshot: url: of \"pong\" must not lead back to this short link";
        other.post(IMPORT, &body).refuses(422, why, &between.to_string());
        assert_eq!(total(&mut other), 0, "{between}");
        let import = imported(&mut other, &share, &json!({"onConflict": "skip"}));
        assert_eq!((&import["created"], &import["skipped"]), (&json!(between + 1), &json!(1)), "{import}");
        assert_eq!(app.visitor().at("b.test").get("/ping").status, 302, "{between}");
        assert_eq!(app.visitor().at("b.test").get("/pong").status, 404, "{between}");
    }
}
