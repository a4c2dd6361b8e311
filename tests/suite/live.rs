//! The clicks of this moment as server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::{Client, raw, text};
use crate::support::native::new_key;
use crate::support::process::poll;

const LIVE: &str = "/api/v1/analytics/live";

/// Listeners of one workspace at once.
const SHARE: usize = 96;

fn start() -> TestApp {
    TestApp::start_with(|config| {
        config.clicks.flush_interval = Duration::from_millis(50);
        config.limits.requests_per_minute = 100_000;
    })
}

/// A client that reads events.
struct Listener {
    lines: BufReader<TcpStream>,
    /// All that came.
    seen: String,
}

impl Listener {
    fn open(app: &TestApp, key: &str, query: &str) -> Listener {
        let mut stream = TcpStream::connect(app.address()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let head = format!(
            "GET {LIVE}{query} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it is sent");
        Listener { lines: BufReader::new(stream), seen: String::new() }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.lines.read_line(&mut line).expect("within the timeout");
        self.seen.push_str(&line);
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads the head, and returns its status.
    fn status(&mut self) -> u16 {
        let status = self.line().expect("a status line").split(' ').nth(1).and_then(|code| code.parse().ok());
        while self.line().is_some_and(|line| !line.is_empty()) {}
        status.expect("a status")
    }

    /// Returns the name and the data of the next event, `None` at the end.
    fn event(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            // Between them are the sizes of chunks.
            let line = self.line()?;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
        }
    }

    /// Reads events until there were this many clicks.
    fn hears(&mut self, clicks: u64) {
        let mut heard = 0;
        while heard < clicks {
            let (name, data) = self.event().expect("an event");
            heard += if name.is_empty() { data["clicks"].as_u64().expect("a number") } else { 0 };
        }
        assert_eq!(heard, clicks);
    }
}

fn link(admin: &mut Client, code: &str) -> String {
    text(&admin.create(&json!({"url": "https://e.test/", "customSlug": code})), "id").to_owned()
}

/// Waits until the store has read the log of before the start: clicks before are no clicks of this moment.
fn caught_up(app: &TestApp) {
    let store = &app.app().core().analytics().expect("details are kept").store;
    poll("the store has caught up", Duration::from_secs(10), || store.has_caught_up().then_some(()));
}

#[test]
fn clicks_are_heard_within_seconds() {
    let app = start();
    caught_up(&app);
    let mut admin = app.admin();
    let first = link(&mut admin, "a");
    link(&mut admin, "b");
    let mut all = Listener::open(&app, KEY, "");
    let mut one = Listener::open(&app, KEY, &format!("?linkId={first}"));
    let mut named = Listener::open(&app, KEY, "?link=a");
    for listener in [&mut all, &mut one, &mut named] {
        assert_eq!(listener.status(), 200);
        assert!(listener.seen.to_lowercase().contains("\r\ncontent-type: text/event-stream\r\n"));
        let (name, data) = listener.event().expect("the minutes");
        assert_eq!((name.as_str(), data["clicksPerMinute"].as_array().map(Vec::len)), ("minutes", Some(60)));
        // The server has just started, and this minute lacks its beginning.
        assert_eq!(data["clicksPerMinute"][59], Value::Null, "{data}");
        assert_eq!(data["from"], "2025-12-31T23:01:00.000Z");
    }
    let visit = |code: &str| {
        let agent = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0");
        app.visitor().send("GET", &format!("/{code}"), &[agent], None);
    };
    (0..3).for_each(|_| visit("a"));
    (0..2).for_each(|_| visit("b"));
    // A bot does not count.
    app.visitor().send("GET", "/a", &[("user-agent", "Googlebot/2.1")], None);
    all.hears(5);
    one.hears(3);
    named.hears(3);
    // Also without clicks, an event comes every second.
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(all.event().expect("an event").1["clicks"], 0);
    }
    assert!(begun.elapsed() > Duration::from_millis(900));
    // With a new minute, all numbers come again.
    app.advance(Duration::from_mins(1));
    visit("a");
    let minutes = |listener: &mut Listener| loop {
        let (name, data) = listener.event().expect("an event");
        if name == "minutes" {
            break data;
        }
    };
    assert!(minutes(&mut all)["clicksPerMinute"][59].is_u64());
    assert_eq!(minutes(&mut one)["from"], "2025-12-31T23:02:00.000Z");
    let asked = poll("the click", Duration::from_secs(10), || {
        let minutes = app.admin().get(LIVE).expect(200, "minutes");
        Some(minutes).filter(|minutes| minutes["clicksPerMinute"][59] == 1)
    });
    assert_eq!(asked["from"], "2025-12-31T23:02:00.000Z");
    for listener in [&all, &one] {
        assert!(
            !listener.seen.contains("127.0.0.1") && !listener.seen.contains("Firefox"),
            "{}",
            listener.seen
        );
    }
}

#[test]
fn a_stream_ends_with_its_key_and_with_the_server() {
    let app = start();
    let mut admin = app.admin();
    let key = admin.post("/api/v1/keys", &json!({"name": "k", "scopes": ["analytics.readonly"]}));
    let key = key.expect(201, "a key")["key"].take();
    let mut with_key = Listener::open(&app, text(&key, "secret"), "");
    let mut other = Listener::open(&app, KEY, "");
    for listener in [&mut with_key, &mut other] {
        assert_eq!(listener.status(), 200);
        assert_eq!(listener.event().expect("minutes").0, "minutes");
    }
    admin.delete(&format!("/api/v1/keys/{}", text(&key, "id"))).expect(200, "revoked");
    let last = |listener: &mut Listener| loop {
        let (name, data) = listener.event().expect("an end");
        if name == "end" {
            break data["reason"].as_str().expect("a text").to_owned();
        }
    };
    assert_eq!(last(&mut with_key), "the key was revoked or has expired");
    // The body is complete, and the connection serves another request.
    let stopping = std::thread::spawn(move || {
        let begun = Instant::now();
        drop(app);
        begun.elapsed()
    });
    assert_eq!(last(&mut other), "the server stops");
    for listener in [with_key, other] {
        // A client that keeps its connection open is waited for.
        let _ = listener.lines.get_ref().shutdown(Shutdown::Both);
    }
    let took = stopping.join().expect("it stops");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_stream_of_one_link_ends_with_the_link() {
    let app = start();
    caught_up(&app);
    let mut admin = app.admin();
    let (gone, kept) = (link(&mut admin, "gone"), link(&mut admin, "kept"));
    let mut listeners = [format!("?linkId={gone}"), "?link=gone".to_owned(), format!("?linkId={kept}")]
        .map(|query| Listener::open(&app, KEY, &query));
    for listener in &mut listeners {
        assert_eq!(listener.status(), 200);
        assert_eq!(listener.event().expect("minutes").0, "minutes");
    }
    // A change of another link, and one of its own, end nothing.
    for id in [&gone, &kept] {
        admin.patch(&format!("/api/v1/links/{id}"), &json!({"title": "new"})).expect(200, "changed");
    }
    app.visitor().get("/gone");
    listeners[0].hears(1);
    admin.delete(&format!("/api/v1/links/{gone}")).expect(200, "deleted");
    for listener in &mut listeners[..2] {
        let reason = loop {
            let (name, data) = listener.event().expect("an end");
            if name == "end" {
                break data["reason"].clone();
            }
        };
        assert_eq!(reason, "the link was deleted");
    }
    app.visitor().get("/kept");
    listeners[2].hears(1);
    for listener in listeners {
        let _ = listener.lines.get_ref().shutdown(Shutdown::Both);
    }
}

#[test]
fn listeners_of_one_tenant_leave_places_to_others() {
    let app = start();
    let mut admin = app.admin();
    let mut workspace = |name: &str| {
        let made = admin.post("/api/v1/workspaces", &json!({"name": name})).expect(201, name);
        let id = text(&made["workspace"], "id").to_owned();
        new_key(&mut admin, &json!({"name": name, "scopes": ["analytics.readonly"], "workspaceId": id}))
    };
    let (first, second) = (workspace("first"), workspace("second"));
    let mut held: Vec<_> = (0..SHARE).map(|_| Listener::open(&app, &first, "")).collect();
    for (number, listener) in held.iter_mut().enumerate() {
        assert_eq!(listener.status(), 200, "{number}");
    }
    let mut refused = Listener::open(&app, &first, "");
    assert_eq!(refused.status(), 503);
    assert!(refused.seen.to_lowercase().contains("\r\nretry-after: "), "{}", refused.seen);
    for key in [second.as_str(), KEY] {
        assert_eq!(Listener::open(&app, key, "").status(), 200);
    }
    // Minutes without a stream take no place.
    app.visitor().with_key(&first).get(LIVE).expect(200, "minutes");
    drop(held);
    poll("places are free", Duration::from_secs(10), || {
        Some(()).filter(|()| Listener::open(&app, &first, "").status() == 200)
    });
}

#[test]
fn what_cannot_be_heard_is_an_error() {
    let app = start();
    let mut admin = app.admin();
    let id = link(&mut admin, "a");
    let rows = [("?linkId=00000000000000000000", 404), ("?linkId=a", 404), ("?workspaceId=nowhere", 404)];
    for (query, status) in rows {
        assert_eq!(Listener::open(&app, KEY, query).status(), status, "{query}");
    }
    assert_eq!(Listener::open(&app, "wp_wrong", "").status(), 401);
    for (name, value) in [("linkId", id.as_str()), ("link", "a")] {
        let rule = format!("{name}: needs `Accept: text/event-stream` over HTTP/1.1 or later");
        admin.get(&format!("{LIVE}?{name}={value}")).refuses(422, &rule, "no stream");
    }
    // What the stream cannot apply would look like applied.
    for name in ["tagId", "campaignId", "tag", "country", "device", "visits"] {
        let rule = format!(
            "{name}: is no filter of live clicks: they are those of the workspace, or of one link with `linkId` or `link`"
        );
        admin.get(&format!("{LIVE}?{name}=x")).refuses(422, &rule, name);
        assert_eq!(Listener::open(&app, KEY, &format!("?{name}=x")).status(), 422, "{name}");
    }
    for query in ["?link=", "?linkId=", "?link=nothing"] {
        assert_eq!(Listener::open(&app, KEY, query).status(), 422, "{query}");
    }
    // HTTP/1.0 has no chunks.
    let old = format!(
        "GET {LIVE} HTTP/1.0\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nAccept: text/event-stream\r\n\r\n"
    );
    let answer = raw(app.address(), old.as_bytes()).expect("an answer");
    assert!(answer.expect(200, "minutes")["clicksPerMinute"].is_array());
    let without = TestApp::start_with(|config| config.clicks.details = false);
    for status in [without.admin().get(LIVE).status, Listener::open(&without, KEY, "").status()] {
        assert_eq!(status, 422);
    }
}
