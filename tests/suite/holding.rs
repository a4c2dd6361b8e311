//! Clients with a key that occupy resources: responses that they do not read, and requests that they do not
//! finish. Other tenants keep their share, and visitors are not affected.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Connection, raw, text};
use crate::support::process::{PATIENCE, poll};

const HERE: &str = "ve9EPM428h8vShlRW1KT";
const ELSEWHERE: &str = "otherLocation0000001";

/// Links of a workspace whose list is about 7 MB long: more than socket buffers hold while the client does
/// not read.
const MANY: usize = 1_000;
const LONG: usize = 7_000;

/// Time for which a request waits for memory. It is also the time limit for a body.
const WAIT: Duration = Duration::from_secs(5);

/// Creates the workspace, and returns a key of it.
fn key_of(app: &TestApp, workspace: &str) -> String {
    let mut admin = app.admin();
    admin.post("/api/v1/workspaces", &json!({"name": "L", "id": workspace})).expect(201, workspace);
    let scopes = ["links.readonly", "links.write"];
    let body = json!({"name": "n", "workspaceId": workspace, "scopes": scopes});
    text(&admin.post("/api/v1/keys", &body).expect(201, "a key")["key"], "secret").to_owned()
}

fn rows(length: usize) -> Value {
    let row = |n| json!({"url": format!("https://e.test/{n}/{}", "x".repeat(length))});
    json!({ "links": (0..MANY).map(row).collect::<Vec<_>>() })
}

fn old_list(key: &str, workspace: &str) -> Vec<u8> {
    format!("GET /links/?locationId={workspace}&limit={MANY} HTTP/1.0\r\nX-API-Key: {key}\r\n\r\n")
        .into_bytes()
}

fn bulk(key: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    let head = format!("Host: {HOST}\r\nX-API-Key: {key}\r\nIdempotency-Key: k\r\nContent-Length: {length}");
    format!("POST /api/v1/links/bulk HTTP/1.1\r\n{head}\r\n\r\n{body}").into_bytes()
}

#[test]
fn unread_lists_leave_room_for_others() {
    hold_unread("lists", 200, |greedy| old_list(greedy, HERE));
}

/// A repeated request only produces its response.
#[test]
fn unread_responses_of_bulks_leave_room_for_others() {
    hold_unread("bulks", 201, |greedy| bulk(greedy, &rows(LONG)));
}

/// Requests long responses, whose status is `fine`, until one is refused, and reads none of them.
fn hold_unread(what: &str, fine: u16, request: impl FnOnce(&str) -> Vec<u8>) {
    let app = TestApp::start_with(|config| config.http.body_timeout = WAIT);
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let (long, short) = (bulk(&greedy, &rows(LONG)), bulk(&other, &rows(10)));
    assert_eq!(raw(app.address(), &long).expect("an answer").status, 201);
    let request = request(&greedy);
    let mut held = Vec::new();
    let refused = loop {
        let mut connection = Connection::open(app.address()).expect("accepted");
        connection.send(&request).expect("it reads");
        if !connection.has_status(fine).expect("an answer") {
            break connection.receive(false).expect("an answer").expect("an answer");
        }
        held.push(connection);
        assert!(held.len() < 10, "{what}: some 70 MB are held for one workspace");
    };
    // A workspace has 24 MB, enough for three lists of 7 MB.
    assert!((2..=3).contains(&held.len()), "{what}: {}", held.len());
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{what}");
    // Short responses still have room, as have other tenants.
    let mut client = app.visitor().with_key(&greedy);
    client.get("/api/v1/links?limit=1").expect(200, what);
    assert_eq!(raw(app.address(), &short).expect("an answer").status, 201, "{what}");
    let list = raw(app.address(), &old_list(&other, ELSEWHERE)).expect("an answer");
    assert_eq!(list.expect(200, what)["links"].as_array().map(Vec::len), Some(MANY), "{what}");
    assert_eq!(app.visitor().get("/s").status, 302, "{what}");
    drop(held);
    poll("room, once they have hung up", PATIENCE, || {
        let answer = raw(app.address(), &request).expect("an answer");
        (answer.status == fine).then(|| assert!(answer.body.len() > MANY * LONG))
    });
}

/// A few clients that send no body would otherwise occupy all slots, and others would get 503.
#[test]
fn unfinished_bulk_requests_leave_slots_to_others() {
    // Longer than any client here waits.
    let app = TestApp::start_with(|config| config.http.body_timeout = Duration::from_mins(10));
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    let head = format!("Host: {HOST}\r\nX-API-Key: {greedy}\r\nContent-Length: 8000000");
    let head = format!("POST /api/v1/links/bulk HTTP/1.1\r\n{head}\r\nExpect: 100-continue\r\n\r\n");
    let mut held: Vec<Connection> = Vec::new();
    for _ in 0..40 {
        let mut connection = Connection::open(app.address()).expect("accepted");
        connection.send(head.as_bytes()).expect("it reads");
        if held.is_empty() {
            // The server sends 100 Continue when the request has its slot.
            let word = connection.take("HTTP/1.1 100".len()).expect("a word");
            assert_eq!(String::from_utf8_lossy(&word), "HTTP/1.1 100");
        }
        held.push(connection);
    }
    let answer = raw(app.address(), &bulk(&other, &rows(10))).expect("an answer, though none gave up");
    assert_eq!(answer.expect(201, "another's")["created"], MANY);
}

/// Reads a counter of rejections from `/metrics`.
fn metric(app: &TestApp, name: &str) -> u64 {
    let text = app.admin().get("/metrics").text();
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A tenant with unfinished requests occupies its share of bodies under way, and no slot. Its own finished
/// requests, other tenants and the operator are not affected.
#[test]
fn n04_bodies_that_are_not_finished_hold_no_slots() {
    const OPENED: u64 = 500;
    // Three quarters of half of 1,024: see `fair`.
    const SHARE: u64 = 384;
    let app = TestApp::start_with(|config| {
        config.http.body_timeout = Duration::from_mins(10);
        config.http.max_connections_per_address = 2_000;
    });
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {greedy}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let mut held: Vec<Connection> = Vec::new();
    for _ in 0..OPENED {
        let mut connection = Connection::open(app.address()).expect("accepted");
        connection.send(head.as_bytes()).expect("it reads");
        held.push(connection);
    }
    poll("those beyond the share are refused", PATIENCE, || {
        (metric(&app, "waypost_api_failed_total") == OPENED - SHARE).then_some(())
    });
    let row = json!({"url": "https://e.test/"});
    for (what, key) in [("the same tenant", &greedy), ("another tenant", &other)] {
        app.visitor().with_key(key).post("/api/v1/links", &row).expect(201, what);
    }
    admin.post("/api/v1/links", &row).expect(201, "the operator");
    assert_eq!(app.visitor().get("/s").status, 302);
    let keys = admin.get("/api/v1/keys").expect(200, "all keys");
    let all = keys["keys"].as_array().expect("a list");
    let id = all.iter().find(|key| key["workspaceId"] == HERE).map(|key| text(key, "id").to_owned());
    admin.delete(&format!("/api/v1/keys/{}", id.expect("its key"))).expect(200, "the operator revokes it");
    assert_eq!(metric(&app, "waypost_api_failed_total"), OPENED - SHARE, "nobody else was refused");
    // The missing rest of the body comes too late.
    let mut first = held.swap_remove(0);
    first.send(&[b' '; 99]).expect("it reads on");
    first.receive(false).expect("an answer").expect("an answer").expect(401, "the key is revoked");
}

/// Creates links of 8,000 bytes with titles of 2,000. A hundred of them exceed the limit of a page.
fn fat(client: &mut crate::support::http::Client, count: usize) {
    let rows: Vec<_> = (0..count)
        .map(|n| {
            let url = format!("https://e.test/{n}/{}", "x".repeat(8_000));
            json!({"url": url, "title": "\u{1f600}".repeat(500), "customSlug": format!("fat{n:03}"), "notes": "n".repeat(4_000)})
        })
        .collect();
    for rows in rows.chunks(50) {
        client.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "links");
    }
}

/// Returns the codes of the links of a page.
fn codes(page: &Value, list: &str, code: &str) -> Vec<String> {
    page[list].as_array().expect("a list").iter().map(|link| text(link, code).to_owned()).collect()
}

#[test]
fn n01_a_page_ends_at_a_bound_of_bytes_and_its_cursor_leads_to_the_rest() {
    const COUNT: usize = 100;
    const LONGEST: usize = 600 * 1024;
    let app = TestApp::start();
    let key = key_of(&app, HERE);
    let mut client = app.visitor().with_key(&key);
    fat(&mut client, COUNT);
    for query in ["sort=newest", "sort=oldest", "search=E.test", "page=1", "sort=title", "sort=clicks"] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let answer = client.get(&format!("/api/v1/links?limit=100&{query}{cursor}"));
            assert!(answer.body.len() < LONGEST, "{query}: {}", answer.body.len());
            let page = answer.expect(200, query);
            assert_eq!((&page["total"], &page["limit"]), (&json!(COUNT), &json!(100)), "{query}");
            seen.extend(codes(&page, "links", "shortCode"));
            pages += 1;
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(pages > 1, "{query}: a page ends early");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), COUNT, "{query}: each link once");
    }
}

/// Pages without a cursor must be complete. A page that would be too long is rejected, and the error names
/// the largest limit that fits.
#[test]
fn n01_a_page_without_a_cursor_names_the_limit_that_fits() {
    const COUNT: usize = 100;
    let app = TestApp::start();
    let key = key_of(&app, HERE);
    let mut client = app.visitor().with_key(&key);
    fat(&mut client, COUNT);
    let rows = [("/api/links?", "data", "shortCode")];
    for (path, list, code) in rows {
        let refused = client.get(&format!("{path}limit=100"));
        assert!([400, 422].contains(&refused.status), "{path}: {refused:?}");
        let said = refused.text();
        let fits = said.split("must be at most ").nth(1).and_then(|rest| rest.split(' ').next());
        let fits: usize = fits.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{path}: {said}"));
        let mut seen = Vec::new();
        for page in 1..=COUNT.div_ceil(fits) {
            let page = client.get(&format!("{path}limit={fits}&page={page}")).expect(200, path);
            seen.extend(codes(&page, list, code));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), COUNT, "{path}: each link once");
    }
    // A page of ordinary links still has a hundred of them.
    let other = key_of(&app, ELSEWHERE);
    let mut client = app.visitor().with_key(&other);
    let rows: Vec<_> = (0..COUNT).map(|n| json!({"url": format!("https://e.test/{n}")})).collect();
    client.post("/api/v1/links/bulk", &json!({"links": rows})).expect(201, "links");
    for (path, list, _) in rows_of_lists() {
        let page = client.get(&format!("{path}limit=100")).expect(200, path);
        assert_eq!(page[list].as_array().map(Vec::len), Some(COUNT), "{path}");
    }
}

fn rows_of_lists() -> [(&'static str, &'static str, &'static str); 3] {
    [
        ("/api/v1/links?", "links", "shortCode"),
        ("/api/v1/links?sort=title&", "links", "shortCode"),
        ("/api/links?", "data", "shortCode"),
    ]
}

/// Unread lists occupy the memory share of their tenant. A list acquires its share before it reads the table,
/// so a list that waits has produced nothing.
#[test]
fn n01_unread_lists_hold_their_tenants_share_and_no_more() {
    // 24 MB in units of 64 KB, of which a list takes 16: see `largest`.
    const SHARE: usize = 384 / 16;
    let app = TestApp::start_with(|config| {
        config.http.max_connections_per_address = 2_000;
        config.http.body_timeout = WAIT;
    });
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    assert_eq!(raw(app.address(), &bulk(&greedy, &rows(LONG))).expect("an answer").status, 201);
    let list = format!(
        "GET /links/?locationId={HERE}&limit={MANY} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {greedy}\r\n\r\n"
    );
    let mut held: Vec<Connection> = Vec::new();
    for _ in 0..2 * SHARE {
        let mut connection = small_window(app.address());
        connection.send(list.as_bytes()).expect("it reads");
        held.push(connection);
    }
    let begins = held.iter_mut().map(|connection| connection.take("HTTP/1.1 200".len()).expect("an answer"));
    let served = begins.filter(|begin| begin == b"HTTP/1.1 200").count();
    assert_eq!(served, SHARE, "the rest is told to come again");
    for (what, key) in [("another tenant", other.as_str()), ("the operator", crate::support::app::KEY)] {
        let mut client = app.visitor().with_key(key);
        client.get("/api/v1/links?limit=100").expect(200, what);
    }
    assert_eq!(app.visitor().get("/nothing").status, 404);
    drop(held);
    let mut client = app.visitor().with_key(&greedy);
    poll("room, once they have hung up", PATIENCE, || {
        (client.get("/api/v1/links?limit=100").status == 200).then_some(())
    });
}

/// Here a read waits for memory; elsewhere it may wait for a thread. If its client hangs up, the connection
/// is closed and the work cancelled, after the grace period for half-closed clients.
#[test]
fn n18_a_read_is_cancelled_when_its_client_hangs_up() {
    const SHARE: usize = 384 / 16;
    let app = TestApp::start_with(|config| {
        config.http.body_timeout = Duration::from_mins(10);
        config.http.max_connections_per_address = 2_000;
    });
    let greedy = key_of(&app, HERE);
    assert_eq!(raw(app.address(), &bulk(&greedy, &rows(LONG))).expect("an answer").status, 201);
    let list = format!(
        "GET /links/?locationId={HERE}&limit={MANY} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {greedy}\r\n\r\n"
    );
    let open = || metric(&app, "waypost_http_connections_open");
    let mut unread: Vec<Connection> = Vec::new();
    for _ in 0..SHARE {
        let mut connection = small_window(app.address());
        connection.send(list.as_bytes()).expect("it reads");
        assert!(connection.begins().expect("an answer"));
        unread.push(connection);
    }
    let before = open();
    let mut waiting: Vec<Connection> = Vec::new();
    for _ in 0..5 {
        let mut connection = Connection::open(app.address()).expect("accepted");
        connection.send(list.as_bytes()).expect("it reads");
        waiting.push(connection);
    }
    poll("they are accepted", PATIENCE, || (open() >= before + 5).then_some(()));
    drop(waiting);
    // Less than the 30 s after which a client that does not read is cut off.
    let within = Duration::from_secs(20);
    poll("they are given up long before their ten minutes", within, || (open() <= before).then_some(()));
}

/// Opens a connection with a receive buffer that accepts next to nothing.
fn small_window(address: std::net::SocketAddr) -> Connection {
    Connection::open_with(address, 4_096).expect("accepted")
}
