//! Redirect loops within this server. Every write that would close a loop is rejected. A loop that exists
//! nevertheless ends at its first visit, which counts no click.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use waypost::core::{Caller, Context, Imported, Links, OnConflict};
use waypost::model::destination::Destination;
use waypost::model::id::Id;
use waypost::model::link::{DomainChoice, Draft, Edit, Names};
use waypost::model::short_code::ShortCode;
use waypost::visit::UnknownHosts;

use crate::support::app::{HOST, TestApp};
use crate::support::hooks::workspace;
use crate::support::http::{Answer, Client, text};
use crate::support::leaves::Leaves;
use crate::support::native::{LINKS, path_of};
use crate::support::process::Plan;

const BACK: &str = "url: must not lead back to this short link";
const EXPIRED_BACK: &str = "expiredUrl: must not lead back to this short link";

fn own(path: &str) -> String {
    format!("http://{HOST}/{path}")
}

/// Creates an expired link.
fn over(admin: &mut Client, code: &str, more: &Value) -> Value {
    let mut body = json!({"url": "https://e.test/", "customSlug": code, "expiresAt": "2020-01-01"});
    body.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    admin.create(&body)
}

#[track_caller]
fn is_loop_page(answer: &Answer, row: &str) {
    assert_eq!((answer.status, answer.header("location")), (508, None), "{row}");
    assert!(answer.text().contains("This link redirects in a circle"), "{row}: {}", answer.text());
}

/// Follows redirects within the server. Returns their number and the last status.
fn follow(app: &TestApp, path: &str) -> (usize, u16) {
    let (mut at, mut hops) = (path.to_owned(), 0);
    loop {
        let answer = app.visitor().get(&at);
        let next = answer.header("location").and_then(|to| to.strip_prefix(&own("")));
        match next.filter(|_| hops < 60) {
            Some(next) => at = format!("/{next}"),
            None => return (hops, answer.status),
        }
        hops += 1;
    }
}

#[test]
fn t48_loops_among_our_own_links_are_refused() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let first = admin.create(&json!({"url": "http://go.test/b", "customSlug": "a"}));
    admin.post(LINKS, &json!({"url": "http://go.test/a", "customSlug": "b"})).refuses(
        422,
        BACK,
        "a to b to a",
    );
    admin.create(&json!({"url": "https://e.test/", "customSlug": "b"}));
    let path = path_of(&admin.create(&json!({"url": "http://go.test/a", "customSlug": "c"})));
    admin.patch(&path, &json!({"url": "http://GO.test:80/%63"})).refuses(422, BACK, "another spelling");
    admin.patch(&path_of(&first), &json!({"url": "http://go.test/c?x#y"})).refuses(422, BACK, "a to c to a");
    admin.patch(&path, &json!({"url": "http://go.test/a"})).expect(200, "a chain that ends");
    admin.create(&json!({"url": "http://go.test/nobody"}));
}

#[test]
fn f02_circles_through_expired_urls_are_rejected() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let la = over(&mut admin, "la", &json!({}));
    over(&mut admin, "lb", &json!({"expiredUrl": own("la")}));
    admin.patch(&path_of(&la), &json!({"expiredUrl": own("lb")})).refuses(422, EXPIRED_BACK, "two");
    // Used up instead of expired.
    let ma = admin.create(&json!({"url": "https://e.test/", "customSlug": "ma", "maxClicks": 1}));
    admin.create(
        &json!({"url": "https://e.test/", "customSlug": "mb", "maxClicks": 1, "expiredUrl": own("ma")}),
    );
    admin.patch(&path_of(&ma), &json!({"expiredUrl": own("mb")})).refuses(422, EXPIRED_BACK, "used up");
    // A ring of three.
    let ra = over(&mut admin, "ra", &json!({}));
    over(&mut admin, "rb", &json!({"expiredUrl": own("ra")}));
    over(&mut admin, "rc", &json!({"expiredUrl": own("rb")}));
    admin.patch(&path_of(&ra), &json!({"expiredUrl": own("rc")})).refuses(422, EXPIRED_BACK, "three");
    // Across two domains.
    admin.post("/api/v1/domains", &json!({"domain": "d.test"})).expect(201, "a domain");
    over(&mut admin, "da", &json!({"expiredUrl": "https://d.test/db"}));
    let body = json!({"url": "https://e.test/", "customSlug": "db", "domain": "d.test", "expiresAt": "2020-01-01", "expiredUrl": own("da")});
    admin.post(LINKS, &body).refuses(422, EXPIRED_BACK, "two domains");
    // One by expiry and one by a click, in both orders.
    over(&mut admin, "na", &json!({"expiredUrl": own("nb")}));
    admin.post(LINKS, &json!({"url": own("na"), "customSlug": "nb"})).refuses(422, BACK, "N08 (1)");
    admin.create(&json!({"url": own("pb"), "customSlug": "pa"}));
    let body = json!({"url": "https://e.test/", "customSlug": "pb", "expiresAt": "2020-01-01", "expiredUrl": own("pa")});
    admin.post(LINKS, &body).refuses(422, EXPIRED_BACK, "the other order");
    // Deleted and created again.
    let qa = admin.create(&json!({"url": "https://e.test/", "customSlug": "qa"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "qb", "expiredUrl": own("qa")}));
    admin.delete(&path_of(&qa)).expect(200, "deleted");
    admin.post(LINKS, &json!({"url": own("qb"), "customSlug": "qa"})).refuses(422, BACK, "created anew");
}

#[test]
fn n08_rows_of_a_bulk_close_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let row = |code: &str, field: &str, to: &str| {
        let mut row = json!({"url": "https://e.test/", "customSlug": code, "expiresAt": "2020-01-01"});
        row[field] = json!(own(to));
        row
    };
    let bulk = |atomic: bool, rows: &[Value]| json!({"links": rows, "atomic": atomic});
    for fields in [["expiredUrl", "expiredUrl"], ["expiredUrl", "url"], ["url", "expiredUrl"]] {
        let rows = [row("a", fields[0], "b"), row("b", fields[1], "a")];
        let why = format!(
            "links: row 1: {}: must not lead back to this short link; nothing was created",
            fields[1]
        );
        admin.post(&format!("{LINKS}/bulk"), &bulk(true, &rows)).refuses(422, &why, &why);
    }
    let rows = [row("a", "expiredUrl", "b"), row("b", "expiredUrl", "a")];
    let answer = admin.post(&format!("{LINKS}/bulk"), &bulk(false, &rows));
    let failed = answer.json()["failed"].clone();
    assert_eq!(
        failed[0]["error"].as_str().or(failed[0]["reason"].as_str()),
        Some(EXPIRED_BACK),
        "{}",
        answer.text()
    );
    // A row that fails because its code is in use does not hide the link with that code.
    admin.create(&json!({"url": own("t2"), "customSlug": "t1"}));
    let rows = [
        json!({"url": "https://e.test/", "customSlug": "t1"}),
        json!({"url": own("t1"), "customSlug": "t2"}),
    ];
    admin.post(&format!("{LINKS}/bulk"), &bulk(false, &rows));
    assert_eq!(app.visitor().get("/t2").status, 404, "it would lead to t1 and back");
}

#[test]
fn n08_custom_values_close_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let values = format!("/api/v1/workspaces/{}", workspace(&app));
    let filled = |to: &str| format!("{}{{{{custom_values.to}}}}", own(to));
    // Before the value exists, the links lead nowhere.
    admin.create(&json!({"url": filled(""), "customSlug": "a"}));
    admin.create(&json!({"url": own("a"), "customSlug": "b"}));
    let why = "customValues: with these values, url of \"a\" must not lead back to this short link";
    for (to, is_loop) in [("a", true), ("b", true), ("c", false), ("b?x#y", true), ("https://e.test/", false)]
    {
        let answer = admin.patch(&values, &json!({"customValues": {"to": to}}));
        if is_loop {
            answer.refuses(422, why, to);
        } else {
            answer.expect(200, to);
        }
    }
    // The old values stay, also for visitors.
    admin.patch(&values, &json!({"customValues": {"to": "c"}})).expect(200, "c");
    admin.patch(&values, &json!({"customValues": {"to": "b"}})).refuses(422, why, "b");
    assert_eq!(app.visitor().get("/a").header("location"), Some(&*own("c")));
    // With a value, links are checked with it.
    admin.post(LINKS, &json!({"url": own("a"), "customSlug": "c"})).refuses(422, BACK, "a leads to c");
    admin.post(LINKS, &json!({"url": filled(""), "customSlug": "c"})).refuses(422, BACK, "itself");
    admin.patch(&values, &json!({"name": "Renamed"})).expect(200, "no value");
    // A whole URL as a value.
    admin.create(&json!({"url": "{{custom_values.site}}", "customSlug": "s"}));
    let body = json!({"customValues": {"site": own("s")}});
    let why = "customValues: with these values, url of \"s\" must not lead back to this short link";
    admin.patch(&values, &body).refuses(422, why, "a whole address");
}

/// New values that move many links are checked again and again while other links change, and never under the
/// lock that keeps other writes waiting: there, debug builds panic.
#[test]
fn n06_many_links_are_not_checked_under_the_lock() {
    const MOVED: usize = 8;
    const PATCHES: usize = 30;
    let app = TestApp::start();
    let mut admin = app.admin();
    let values = format!("/api/v1/workspaces/{}", workspace(&app));
    for number in 0..MOVED {
        admin.create(&json!({"url": format!("{}{{{{custom_values.to}}}}?{number}", own(""))}));
    }
    admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    admin.create(&json!({"url": own("a"), "customSlug": "b"}));
    let done = AtomicBool::new(false);
    let changed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = app.admin();
            // Links that lead to this server hold the lock.
            while !done.load(Ordering::Relaxed) {
                admin.create(&json!({"url": own("a")}));
            }
        });
        let changed = (0..PATCHES).filter(|number| {
            let to = if number % 2 == 0 { "a" } else { "b" };
            let body = json!({"customValues": {"to": to}});
            let status = admin.patch(&values, &body).status;
            // 503: other links changed during each of its attempts.
            assert!(matches!(status, 200 | 503), "{status}");
            status == 200
        });
        let changed = changed.count();
        done.store(true, Ordering::Relaxed);
        changed
    });
    assert!(changed > 0);
}

/// Links with placeholders have entries of their own in the table.
#[test]
fn n08_a_link_that_gets_and_loses_a_placeholder_is_found_and_forgotten() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let values = format!("/api/v1/workspaces/{}", workspace(&app));
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let body = json!({"url": format!("{}{{{{custom_values.to}}}}", own(""))});
    admin.patch(&path_of(&made), &body).expect(200, "a placeholder");
    let app = app.restart();
    let mut admin = app.admin();
    let why = "customValues: with these values, url of \"a\" must not lead back to this short link";
    admin.patch(&values, &json!({"customValues": {"to": "a"}})).refuses(422, why, "found");
    admin.patch(&path_of(&made), &json!({"url": "https://e.test/"})).expect(200, "none any more");
    admin.patch(&values, &json!({"customValues": {"to": "a"}})).expect(200, "forgotten");
}

/// A table of an older version lacks these entries, and is rebuilt from the log.
#[test]
fn n08_a_table_without_the_entries_of_placeholders_is_rebuilt() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let values = format!("/api/v1/workspaces/{}", workspace(&app));
    admin.create(&json!({"url": format!("{}{{{{custom_values.to}}}}", own("")), "customSlug": "a"}));
    let app = app.restart_with(|config| {
        let table = Leaves::open(&config.data_dir);
        assert_eq!(table.keys(b'F').len(), 1, "one link has a placeholder");
        b"FV".iter().for_each(|kind| table.remove_kind(*kind));
    });
    let why = "customValues: with these values, url of \"a\" must not lead back to this short link";
    app.admin().patch(&values, &json!({"customValues": {"to": "a"}})).refuses(422, why, "found again");
}

#[test]
fn n08_contact_links_are_edges() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let a = admin.create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let words = format!("{{{{trigger_link.{}}}}}", text(&a, "id"));
    let rendered =
        admin.post("/api/v1/render", &json!({"text": words, "contactId": "c1"})).expect(200, "text");
    let contact = text(&rendered, "text").to_owned();
    assert!(contact.contains("/links/r/2/"), "{contact}");
    admin.patch(&path_of(&a), &json!({"url": contact})).refuses(422, BACK, "its own contact link");
    admin.patch(&path_of(&a), &json!({"expiredUrl": contact})).refuses(422, EXPIRED_BACK, "expired");
    admin.create(&json!({"url": contact, "customSlug": "b"}));
    admin.patch(&path_of(&a), &json!({"url": own("b")})).refuses(422, BACK, "through another");
    assert_eq!(app.visitor().get("/b").header("location"), Some(&*contact));
}

fn context(links: &Links) -> Context {
    let workspace = links.tenants().acting(&Caller::Environment, None).expect("there is one");
    let now = links.clock().now();
    Context::of_program(workspace, now)
}

/// Returns a line of an import.
fn line(code: &str, to: &str, expired: Option<&str>, id: Option<Id>) -> Imported {
    let expired = expired.map(|to| Destination::parse_web("expiredUrl", to).expect("a URL"));
    let draft = Draft {
        code: Some(ShortCode::parse(code).expect("a code")),
        destination: to.into(),
        link_type: waypost::model::destination::LinkType::Url,
        domain: DomainChoice::Default,
        password: None,
        edits: expired.map(|to| Edit::ExpiredUrl(Some(to))).into_iter().collect(),
        names: Names::default(),
        reuse: false,
        code_prefix: None,
    };
    Imported { draft, id, created_at: None, updated_at: None, clicks: 0, hash: None, aliases: Vec::new() }
}

#[test]
fn n08_lines_of_an_import_close_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let values = format!("/api/v1/workspaces/{}", workspace(&app));
    admin.patch(&values, &json!({"customValues": {"to": "v"}})).expect(200, "values");
    // The contact link of a link that is created again with its old id.
    let gone = admin.create(&json!({"url": "https://e.test/", "customSlug": "gone"}));
    let words = format!("{{{{trigger_link.{}}}}}", text(&gone, "id"));
    let rendered =
        admin.post("/api/v1/render", &json!({"text": words, "contactId": "c1"})).expect(200, "text");
    let contact = text(&rendered, "text").to_owned();
    admin.create(&json!({"url": contact, "customSlug": "to-gone"}));
    admin.delete(&path_of(&gone)).expect(200, "deleted");
    let id: Id = text(&gone, "id").parse().expect("an id");
    let links = app.app().core().links();
    for dry_run in [true, false] {
        let context = context(&links);
        let mut import = links.import(OnConflict::Fail, dry_run);
        let mut refused = |line| app.wait(import.add(&context, line)).err().map(|error| error.to_string());
        let placeholder = format!("{}{{{{custom_values.to}}}}", own(""));
        let rows = [
            (line("a", "https://e.test/", Some(&own("b")), None), None),
            (line("b", "https://e.test/", Some(&own("a")), None), Some(EXPIRED_BACK)),
            (line("c", "https://e.test/", Some(&own("d")), None), None),
            (line("d", &own("c"), None, None), Some(BACK)),
            (line("u", &placeholder, None, None), None),
            (line("v", &own("u"), None, None), Some(BACK)),
            (line("back", &own("to-gone"), None, Some(id)), Some(BACK)),
        ];
        for (row, (line, want)) in rows.into_iter().enumerate() {
            assert_eq!(refused(line).as_deref(), want, "row {row}, dry run: {dry_run}");
        }
        app.wait(import.finish()).expect("written");
    }
}

#[test]
fn n08_links_of_a_snapshot_close_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    over(&mut admin, "ping", &json!({"expiredUrl": "https://b.test/pong"}));
    over(&mut admin, "pong", &json!({"expiredUrl": "https://b.test/ping"}));
    let frozen = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "frozen");
    let snapshot = text(&frozen["snapshot"], "id");
    let share = admin
        .post(&format!("/api/v1/snapshots/{snapshot}/shares"), &json!({"type": "permanent_link"}))
        .expect(201, "shared");
    admin.post("/api/v1/companies", &json!({"name": "B", "id": "B"})).expect(201, "a company");
    admin.post("/api/v1/workspaces", &json!({"name": "B", "id": "BW", "companyId": "B"})).expect(201, "it");
    let mut other = app.admin().with("X-Workspace-Id", "BW");
    other.post("/api/v1/domains", &json!({"domain": "b.test"})).expect(201, "a domain");
    other.patch("/api/v1/workspaces/BW", &json!({"defaultDomain": "b.test"})).expect(200, "it");
    let why = "snapshot: expiredUrl: of \"pong\" must not lead back to this short link";
    let body = json!({"shareId": share["share"]["id"]});
    other.post("/api/v1/snapshots/import", &body).refuses(422, why, "b.test is its own there");
}

#[test]
fn n08_new_domains_close_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let (link, root) = (BACK, "rootUrl: must not lead back to itself");
    // Loaded into the cache as a link to another host.
    let made = admin.create(&json!({"url": "https://later.test/x", "customSlug": "a"}));
    over(&mut admin, "e", &json!({"expiredUrl": "https://later.test/"}));
    assert_eq!(app.visitor().get("/a").status, 302);
    admin
        .post("/api/v1/domains", &json!({"domain": "later.test", "rootUrl": own("e")}))
        .refuses(422, root, "e");
    for round in 0..2 {
        let domain = admin.post("/api/v1/domains", &json!({"domain": "later.test"})).expect(201, "it");
        let body = |to: &str| json!({"url": to, "domain": "later.test", "customSlug": "x"});
        admin.post(LINKS, &body(&own("a"))).refuses(422, link, &format!("round {round}"));
        let path = format!("/api/v1/domains/{}", text(&domain["domain"], "id"));
        admin.patch(&path, &json!({"rootUrl": own("e")})).refuses(422, root, "e");
        admin.delete(&path).expect(200, "deleted");
    }
    // The write cannot see this loop: the host was another server's when the link was cached.
    admin.delete(&path_of(&made)).expect(200, "deleted");
    admin.create(&json!({"url": "https://late.test/f/g", "customSlug": "g"}));
    assert_eq!(app.visitor().get("/g").status, 302);
    admin.post("/api/v1/domains", &json!({"domain": "late.test"})).expect(201, "it");
    let f = json!({"url": own(""), "domain": "late.test", "customSlug": "f", "forwardPath": true});
    admin.create(&f);
    is_loop_page(&app.visitor().get("/g"), "g to f, which appends g");
}

/// A chain beyond the limit gets an error about its length, and not about a loop.
#[test]
fn r76_a_chain_has_a_bounded_length() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "c0"}));
    for n in 1..=8 {
        admin.create(&json!({"url": own(&format!("c{}", n - 1)), "customSlug": format!("c{n}")}));
    }
    let long =
        "must not lead through more than 8 of this server's links, one behind the other; shorten the chain";
    let nine = json!({"url": own("c8"), "customSlug": "c9"});
    admin.post(LINKS, &nine).refuses(422, &format!("url: {long}"), "nine");
    let nine = json!({"url": own("c8")});
    admin.post(LINKS, &nine).refuses(422, &format!("url: {long}"), "a code that is generated");
    let nine = json!({"url": "https://e.test/", "expiredUrl": own("c8"), "customSlug": "c9"});
    admin.post(LINKS, &nine).refuses(422, &format!("expiredUrl: {long}"), "when expired");
    assert_eq!(follow(&app, "/c8"), (8, 302));
}

/// A chain that ends is followed, and each of its links counts its click.
#[test]
fn a_chain_that_ends_is_no_loop() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let b = admin.create(&json!({"url": "https://e.test/", "customSlug": "b"}));
    let a = admin.create(&json!({"url": own("b?x=1#y"), "customSlug": "a"}));
    for _ in 0..2 {
        assert_eq!(app.visitor().get("/a").header("location"), Some(&*own("b?x=1#y")));
        assert_eq!(app.visitor().head("/a").status, 302);
        assert_eq!(app.visitor().get("/b?x=1").header("location"), Some("https://e.test/"));
    }
    assert_eq!((admin.clicks(text(&a, "id")), admin.clicks(text(&b, "id"))), (2, 2));
}

/// A loop from an older version, or from another `public_url`, ends at its first visit. No click is counted.
#[test]
fn n08_an_existing_loop_ends_at_its_first_visit() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let moved = |path: &str| format!("https://moved.test/{path}");
    let mut ids = Vec::new();
    for (code, to) in [("a", "b"), ("b", "c?x=1"), ("c", "a"), ("into", "a"), ("self", "self")] {
        ids.push(text(&admin.create(&json!({"url": moved(to), "customSlug": code})), "id").to_owned());
    }
    for (code, to) in [("o1", "o2"), ("o2", "o1")] {
        ids.push(text(&over(&mut admin, code, &json!({"expiredUrl": moved(to)})), "id").to_owned());
    }
    let title = admin.create(&json!({"url": moved("t2"), "customSlug": "t1", "title": "T", "cloaked": true}));
    let back = admin.create(&json!({"url": moved("t1"), "customSlug": "t2", "maxClicks": 3}));
    ids.extend([text(&title, "id").to_owned(), text(&back, "id").to_owned()]);
    assert_eq!(app.visitor().get("/a").status, 302, "moved.test is somebody else's");
    let app = app.restart_with(|config| config.public_url = "https://moved.test".to_owned());
    let mut visitor = app.visitor().at("moved.test");
    for round in 0..2 {
        for code in ["a", "b", "c", "into", "self", "o1", "o2", "t1", "t2"] {
            is_loop_page(&visitor.get(&format!("/{code}")), &format!("{code}, round {round}"));
            // HEAD on a link with a limit reveals nothing.
            let head = if code == "t2" { 200 } else { 508 };
            assert_eq!(visitor.head(&format!("/{code}")).status, head, "HEAD {code}");
        }
    }
    let mut admin = app.admin();
    let clicks: Vec<u64> = ids.iter().map(|id| admin.clicks(id)).collect();
    assert_eq!(clicks, [1, 0, 0, 0, 0, 0, 0, 0, 0], "the one before the move");
    let explained = admin.get(&format!("{LINKS}/{}/explain", ids[0]));
    assert!(
        explained.text().contains("\"loop\"") && explained.text().contains("508"),
        "{}",
        explained.text()
    );
    // The loop does not block other changes, and one edit that leaves the loop opens all its links.
    let a = format!("{LINKS}/{}", ids[0]);
    admin.patch(&a, &json!({"title": "T"})).expect(200, "another change");
    admin.patch(&a, &json!({"url": "https://e.test/"})).expect(200, "out of it");
    for (code, to) in [("a", "https://e.test/".to_owned()), ("into", moved("a")), ("c", moved("a"))] {
        let answer = visitor.get(&format!("/{code}"));
        assert_eq!((answer.status, answer.header("location")), (302, Some(&*to)), "{code}");
    }
}

/// A visit follows as many redirects as browsers do. Links to codes that do not exist yet can form a chain
/// that no single write would allow.
#[test]
fn n08_a_chain_beyond_what_browsers_follow_ends() {
    let app = TestApp::start();
    let mut admin = app.admin();
    for n in 0..25 {
        admin.create(&json!({"url": own(&format!("c{}", n + 1)), "customSlug": format!("c{n}")}));
    }
    admin.create(&json!({"url": "https://e.test/", "customSlug": "c25"}));
    is_loop_page(&app.visitor().get("/c4"), "21 more");
    assert_eq!(follow(&app, "/c5"), (20, 302));
}

/// Fallbacks and roots that lead to the server itself, which has taken over their host.
#[test]
fn f09_fallbacks_to_the_server_itself_are_not_followed() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let default = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    let urls = json!({
        "notFoundUrl": "https://moved.test/404", "expiredUrl": "https://moved.test/over", "rootUrl": "https://moved.test/",
    });
    admin.patch(&default, &urls).expect(200, "somebody else's");
    over(&mut admin, "old", &json!({}));
    over(&mut admin, "older", &json!({"expiredUrl": "https://e.test/own"}));
    let moved = |path: &str| Some(format!("https://moved.test/{path}"));
    for (path, to) in [("/404", moved("404")), ("/old", moved("over")), ("/", moved(""))] {
        let answer = app.visitor().get(path);
        assert_eq!((answer.status, answer.header("location")), (302, to.as_deref()), "{path}");
    }
    let app = app.restart_with(|config| config.public_url = "https://moved.test".to_owned());
    let mut visitor = app.visitor().at("moved.test");
    for (path, status, location) in [
        ("/404", 404, None),
        ("/nope", 404, None),
        ("/a/b", 404, None),
        ("/", 404, None),
        ("/old", 410, None),
        ("/over", 404, None),
        ("/older", 302, Some("https://e.test/own")),
        ("/links/r/2/x", 404, None),
    ] {
        let answer = visitor.get(path);
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path}");
    }
    assert_eq!(app.app().core().links().misdirected().len(), 3);
}

/// `rootUrl` and links that form a loop once the host is the server's own.
#[test]
fn n08_a_root_in_a_loop_ends() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let default = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    admin.patch(&default, &json!({"rootUrl": "https://moved.test/home"})).expect(200, "somebody else's");
    let home = admin.create(&json!({"url": "https://moved.test/", "customSlug": "home"}));
    let app = app.restart_with(|config| config.public_url = "https://moved.test".to_owned());
    let mut visitor = app.visitor().at("moved.test");
    for path in ["/", "/home", "/?x=1"] {
        is_loop_page(&visitor.get(path), path);
    }
    app.admin().patch(&path_of(&home), &json!({"url": "https://e.test/"})).expect(200, "out of it");
    assert_eq!(visitor.get("/").header("location"), Some("https://moved.test/home"));
}

/// Visits of unknown hosts may be treated as visits of the default domain. Only such a visit shows that the
/// host leads here.
#[test]
fn n08_a_loop_through_an_unknown_host_ends() {
    let app = TestApp::start_with(|config| config.visit.unknown_hosts = UnknownHosts::DefaultDomain);
    let mut admin = app.admin();
    admin.create(&json!({"url": "http://foo.test/u2", "customSlug": "u1"}));
    let second = admin.create(&json!({"url": own("u1"), "customSlug": "u2"}));
    admin.create(&json!({"url": "http://foo.test/v1?x#y", "customSlug": "v1"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "away"}));
    admin.create(&json!({"url": "http://foo.test/", "customSlug": "root"}));
    let mut there = app.visitor().at("foo.test");
    for code in ["u1", "u2", "v1"] {
        is_loop_page(&there.get(&format!("/{code}")), code);
    }
    assert_eq!(admin.clicks(text(&second, "id")), 0);
    // What leads elsewhere is redirected.
    let away = there.get("/away");
    assert_eq!((away.status, away.header("location")), (302, Some("https://e.test/")));
    let listed = admin.get("/api/v1/domains").expect(200, "domains");
    let path = format!("/api/v1/domains/{}", text(&listed["domains"][0], "id"));
    admin.patch(&path, &json!({"rootUrl": own("root")})).expect(200, "the root");
    is_loop_page(&there.get("/"), "a root");
    admin.patch(&path, &json!({"rootUrl": "http://foo.test/"})).expect(200, "the root");
    assert_eq!(there.get("/").status, 404, "its own root");
}

#[test]
fn n08_doctor_finds_loops_and_fallbacks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Plan::on(&data).env("WAYPOST_PUBLIC_URL", "http://localhost:8080").start();
    let mut admin = server.admin();
    let moved = |path: &str| format!("http://127.0.0.1:9099/{path}");
    over(&mut admin, "la", &json!({"expiredUrl": moved("lb")}));
    over(&mut admin, "lb", &json!({"expiredUrl": moved("la")}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "away"}));
    let domains = admin.get("/api/v1/domains").expect(200, "domains");
    let default = format!("/api/v1/domains/{}", text(&domains["domains"][0], "id"));
    let urls = json!({"notFoundUrl": moved("404"), "rootUrl": "https://ring.test/"});
    admin.patch(&default, &urls).expect(200, "somebody else's");
    // Two roots that lead to each other once the server has the other's host.
    let ring = json!({"domain": "ring.test", "rootUrl": moved("")});
    admin.post("/api/v1/domains", &ring).expect(201, "another domain");
    server.stop();
    let doctor = |url: &str| Plan::on(&data).env("WAYPOST_PUBLIC_URL", url).arg("doctor").fails();
    let (code, said, stderr) = doctor("http://localhost:8080");
    assert!(said.contains("ok       loops: none of 3 links leads back"), "{said}{stderr}");
    assert!(!said.contains("root URL"), "{said}");
    assert_eq!(code, Some(0), "{said}{stderr}");
    let (code, said, stderr) = doctor("http://localhost:9099");
    let looping = "warning  loops: 2 of 3 links form a loop, such as /la (leads back to itself), /lb (leads back to itself)";
    let fallback = "such as localhost: notFoundUrl http://127.0.0.1:9099/404";
    assert!(said.contains(looping) && said.contains(fallback), "{said}{stderr}");
    let roots = "loops: 2 root URLs of domains form a loop, such as localhost: rootUrl https://ring.test/: the visitors get an";
    assert!(said.contains(roots), "{said}");
    assert_eq!(code, Some(0), "{said}{stderr}");
}
