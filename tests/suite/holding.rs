//! Clients with a key that hold on to what they get: answers that they do not read, requests that they
//! do not finish. Others find their share, and visitors are not touched.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{HOST, TestApp};
use crate::support::http::{Connection, raw, text};
use crate::support::process::{PATIENCE, poll};

const HERE: &str = "ve9EPM428h8vShlRW1KT";
const ELSEWHERE: &str = "otherLocation0000001";

/// Links of a workspace whose list is some 7 MB long: more than sockets take while nobody reads.
const MANY: usize = 1_000;
const LONG: usize = 7_000;

/// Makes the workspace; answers a key of it.
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
fn answers_that_nobody_reads_leave_room_for_others() {
    let app = TestApp::start_with(|config| config.http.body_timeout = Duration::from_secs(2));
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let (long, short) = (bulk(&greedy, &rows(LONG)), bulk(&other, &rows(10)));
    assert_eq!(raw(app.address(), &long).expect("an answer").status, 201);
    // A repetition makes nothing but the answer.
    for (what, request, fine) in [("lists", old_list(&greedy, HERE), 200), ("bulks", long, 201)] {
        let mut held = Vec::new();
        loop {
            let mut connection = Connection::open(app.address()).expect("accepted");
            connection.send(&request).expect("it reads");
            let begin = connection.take("HTTP/1.1 200".len()).expect("an answer");
            if !begin.ends_with(fine.to_string().as_bytes()) {
                break;
            }
            held.push(connection);
            assert!(held.len() < 10, "{what}: some 70 MB are held for one workspace");
        }
        assert!((3..=4).contains(&held.len()), "{what}: {}", held.len());
        let refused = raw(app.address(), &request).expect("an answer");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{what}");
        // Short answers have room, and so has whoever else there is.
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
}

/// Else a few that send nothing hold all places, and whoever waits for one is told that we are busy.
#[test]
fn bulk_requests_that_are_not_finished_leave_places_to_others() {
    let app = TestApp::start();
    let (greedy, other) = (key_of(&app, HERE), key_of(&app, ELSEWHERE));
    let began = Instant::now();
    let head = format!("Host: {HOST}\r\nX-API-Key: {greedy}\r\nContent-Length: 8000000");
    let head = format!("POST /api/v1/links/bulk HTTP/1.1\r\n{head}\r\nExpect: 100-continue\r\n\r\n");
    let mut held: Vec<Connection> = Vec::new();
    for _ in 0..40 {
        let mut connection = Connection::open(app.address()).expect("accepted");
        connection.send(head.as_bytes()).expect("it reads");
        if held.is_empty() {
            // It is at work when it is told to go on.
            let word = connection.take("HTTP/1.1 100".len()).expect("a word");
            assert_eq!(String::from_utf8_lossy(&word), "HTTP/1.1 100");
        }
        held.push(connection);
    }
    let answer = raw(app.address(), &bulk(&other, &rows(10))).expect("an answer");
    assert_eq!(answer.expect(201, "another's")["created"], MANY);
    assert!(began.elapsed() < Duration::from_secs(8), "none had to give up first: {:?}", began.elapsed());
}
