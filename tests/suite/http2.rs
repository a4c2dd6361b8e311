//! HTTP/2: its requests, its limits, and attacks on it, each by fifty clients at once beside visitors. The frames
//! are written by hand.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::app::{HOST, KEY};
use crate::support::attacks::{ATTACKS, Attack, post};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, get, head, line, read_frame,
};
use crate::support::https_app::HttpsApp;
use crate::support::process::{PATIENCE, Plan, Process, unused_address};
use crate::support::tls::{Authority, TlsClient};

/// Clients of each attack.
const ATTACKERS: usize = 50;

/// Most bytes by which all floods together let the server grow.
const FLOODED_MAX: u64 = 16 * 1_024 * 1_024;

/// How late a deadline may be on a busy machine.
const LATE: Duration = Duration::from_secs(30);

/// Error codes (RFC 9113 7).
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn h2(app: &HttpsApp) -> TlsClient {
    let mut client = app.connect(&["h2"]);
    assert_eq!(client.protocol(), Some(&b"h2"[..]));
    client.send(PREFACE).expect("sent");
    client
}

/// Reads frames until `found` returns something. Panics at the end of the connection.
pub(super) fn until<T>(client: &mut TlsClient, what: &str, mut found: impl FnMut(&Frame) -> Option<T>) -> T {
    loop {
        let frame = read_frame(&mut client.0).unwrap_or_else(|| panic!("closed before {what}"));
        if let Some(found) = found(&frame) {
            return found;
        }
    }
}

/// Returns the status of a head, if it is one of the indexed ones or written out (RFC 7541 A).
pub(super) fn status(head: &[u8]) -> Option<u16> {
    match head {
        [0x88, ..] => Some(200),
        [0x8d, ..] => Some(404),
        [0x8c, ..] => Some(400),
        // `:status` with a literal value.
        [0x08 | 0x48 | 0x18, 3, digits @ ..] => std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok(),
        _ => None,
    }
}

/// Returns every frame until the connection ends.
fn rest(client: &mut TlsClient) -> Vec<Frame> {
    std::iter::from_fn(|| read_frame(&mut client.0)).collect()
}

fn goaway(frames: &[Frame]) -> Option<u32> {
    frames.iter().rev().find(|frame| frame.kind == GOAWAY).map(Frame::code)
}

#[test]
fn requests_of_http2_are_answered_as_those_of_http1() {
    let app = HttpsApp::start();
    let mut admin = app.app.admin();
    let link = admin.create(&json!({"url": "https://example.com/target", "customSlug": "abc"}));
    let mut client = h2(&app);
    // A hundred visits on one connection, and one request of the API with a body.
    for number in 0..99 {
        client.send(get(2 * number + 1, "/abc")).expect("sent");
    }
    let mut ended = 0;
    let mut heads = Vec::new();
    while ended < 99 {
        let frame = read_frame(&mut client.0).expect("open");
        if frame.kind == HEADERS {
            heads.extend(frame.payload);
            assert_ne!(frame.flags & END_STREAM, 0, "a redirect has no body");
            ended += 1;
        }
    }
    assert_eq!(admin.clicks(link["id"].as_str().expect("an id")), 99);
    let authorization = format!("Bearer {KEY}");
    let lines = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = br#"{"url": "https://example.com/2", "customSlug": "h2"}"#;
    client.send(frame(HEADERS, END_HEADERS, 301, &head("POST", "/api/v1/links", &lines))).expect("sent");
    client.send(frame(DATA, END_STREAM, 301, body)).expect("sent");
    let mut answer = Vec::new();
    loop {
        let frame = read_frame(&mut client.0).expect("open");
        if frame.kind == DATA && frame.stream == 301 {
            answer.extend(&frame.payload);
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["link"]["shortCode"], "h2");
    assert_eq!(app.app.visitor().at("other.test").get("/healthz").status, 200);
}

#[test]
fn t40_requests_that_http1_would_read_in_another_way_are_refused() {
    let app = HttpsApp::start();
    let rows: [(&str, Vec<u8>); 7] = [
        ("a capital in a name", head("GET", "/abc", &[("X-Upper", "1")])),
        ("a line feed in a value", head("GET", "/abc", &[("x-a", "1\r\nx-b: 2")])),
        ("a header of the connection", head("GET", "/abc", &[("transfer-encoding", "chunked")])),
        ("a path without a slash", head("GET", "abc", &[])),
        (
            "no path",
            [(":method", "GET"), (":scheme", "https"), (":authority", HOST)]
                .iter()
                .flat_map(|(n, v)| line(n, v))
                .collect(),
        ),
        (
            "neither path nor host",
            [(":method", "GET"), (":scheme", "https")].iter().flat_map(|(n, v)| line(n, v)).collect(),
        ),
        ("a pseudo header behind others", [head("GET", "/abc", &[("x", "1")]), line(":path", "/b")].concat()),
    ];
    for (row, head) in rows {
        let mut client = h2(&app);
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)).expect("sent");
        let end = until(&mut client, row, |frame| match frame.kind {
            RST_STREAM | GOAWAY => Some((frame.code(), None)),
            HEADERS => Some((0, status(&frame.payload))),
            _ => None,
        });
        assert!(matches!(end, (PROTOCOL_ERROR, None) | (0, Some(400))), "{row}: {end:?}");
    }
    // Two hosts: a server behind this one could read either.
    for (host, is_refused) in [("other.test", true), (HOST, false)] {
        let mut client = h2(&app);
        let head = head("GET", "/abc", &[("host", host)]);
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)).expect("sent");
        let found = until(&mut client, host, |frame| (frame.kind == HEADERS).then(|| status(&frame.payload)));
        assert_eq!(found == Some(400), is_refused, "{host}: {found:?}");
    }
}

#[test]
fn t43_http2_without_tls_is_refused() {
    let app = HttpsApp::start();
    let mut socket = std::net::TcpStream::connect(app.app.address()).expect("open");
    socket.set_read_timeout(Some(PATIENCE)).expect("open");
    socket.write_all(PREFACE).expect("open");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("closed in order");
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn t42_a_silent_connection_is_closed_whatever_frames_it_sends() {
    let within = Duration::from_secs(1);
    let app = HttpsApp::start_with(|config| config.http.header_timeout = within);
    let ping = frame(PING, 0, 0, &[7; 8]);
    let rows: [(&str, &[u8]); 4] = [
        ("half a preface", &PREFACE[..10]),
        ("the preface", PREFACE),
        ("half a head", &[PREFACE, &get(1, "/abc")[..15]].concat()),
        ("an open head", &[PREFACE, &frame(HEADERS, END_STREAM, 1, &head("GET", "/abc", &[]))].concat()),
    ];
    for (row, bytes) in rows {
        let mut client = app.connect(&["h2"]);
        let from = Instant::now();
        client.send(bytes).expect("sent");
        rest(&mut client);
        let took = from.elapsed();
        assert!(took >= within / 2 && took < within * 2 + LATE, "{row}: {took:?}");
    }
    // PING each 100 ms, which extends nothing.
    let mut client = h2(&app);
    let from = Instant::now();
    while client.send(&ping).is_ok() && from.elapsed() < LATE {
        thread::sleep(Duration::from_millis(100));
    }
    assert!(from.elapsed() < LATE, "a PING extends the deadline");
}

#[test]
fn a_connection_ends_after_a_thousand_requests_without_losing_one() {
    let app = HttpsApp::start();
    let mut admin = app.app.admin();
    let link = admin.create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    let mut client = h2(&app);
    let (mut answered, mut last) = (0, None);
    // Two at a time, until the server names the last stream that it answers.
    let mut stream = 1;
    while last.is_none() {
        client.send([get(stream, "/abc"), get(stream + 2, "/abc")].concat()).expect("sent");
        stream += 4;
        let mut due = 2;
        while due > 0 {
            let Some(frame) = read_frame(&mut client.0) else {
                panic!("closed with {due} due after {answered}")
            };
            match frame.kind {
                HEADERS => {
                    due -= 1;
                    answered += 1;
                }
                // The acknowledgement lets the server finish (RFC 9113 6.8).
                PING => client.send(frame_ack(&frame)).expect("sent"),
                GOAWAY => last = Some(frame.code()),
                _ => {}
            }
        }
    }
    assert_eq!(last, Some(0), "no error");
    assert!((1_000..1_010).contains(&answered), "{answered}");
    assert_eq!(admin.clicks(link["id"].as_str().expect("an id")), answered);
    // The server closes the connection by itself, in order.
    let from = Instant::now();
    rest(&mut client);
    assert!(from.elapsed() < LATE, "{:?}", from.elapsed());
}

fn frame_ack(ping: &Frame) -> Vec<u8> {
    frame(PING, 1, 0, &ping.payload)
}

/// Every attack by fifty clients at once ends, each with its code, and no visitor beside it fails.
#[test]
fn t34_t35_t36_t37_t38_t39_floods_of_http2_end_and_no_visitor_fails() {
    let app = HttpsApp::start();
    app.app.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    let (stop, visits) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut client = h2(&app);
                client.send(get(1, "/abc")).expect("a visitor is served");
                until(&mut client, "the redirect", |frame| (frame.kind == HEADERS).then_some(()));
                visits.fetch_add(1, Ordering::Relaxed);
            }
        });
        for attack in ATTACKS {
            let attackers: Vec<_> = (0..ATTACKERS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = h2(&app);
                        let sent = (attack.send)(&mut client);
                        (sent.is_ok(), rest(&mut client))
                    })
                })
                .collect();
            for attacker in attackers {
                let (_, frames) = attacker.join().expect("no panic");
                let code = goaway(&frames);
                if attack.codes.is_empty() {
                    assert_eq!(
                        code.filter(|code| *code != ENHANCE_YOUR_CALM),
                        None,
                        "{}: {code:?}",
                        attack.name
                    );
                } else if let Some(code) = code {
                    // The cut may overtake the GOAWAY on its way.
                    assert!(attack.codes.contains(&code), "{}: {code}", attack.name);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(visits.load(Ordering::Relaxed) >= ATTACKS.len(), "{visits:?}");
}

/// Returns the resident memory of a server in bytes.
fn resident(server: &Process) -> u64 {
    let status = fs::read_to_string(server.proc("status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

/// All floods by fifty clients at once, one after the other, against a process of its own.
#[test]
fn p11_floods_of_http2_take_little_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new();
    let files = authority.issue(folder.path(), &[HOST]);
    let https = unused_address();
    let server = Plan::on(&folder.path().join("data"))
        .env("WAYPOST_HTTPS__LISTEN", &https.to_string())
        .env(
            "WAYPOST_HTTPS__CERTIFICATES",
            &format!("[{{ chain = {:?}, key = {:?} }}]", files.chain, files.key),
        )
        .start();
    server.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    let clients = authority.trusting(&["h2"]);
    let attacked = |attack: &Attack| {
        thread::scope(|scope| {
            for _ in 0..ATTACKERS {
                scope.spawn(|| {
                    let mut client =
                        TlsClient::connect(https, HOST, Arc::clone(&clients)).expect("a connection");
                    // An error means that the server has closed the connection.
                    let _ = client.send(PREFACE).and_then(|()| (attack.send)(&mut client));
                    rest(&mut client);
                });
            }
        });
    };
    // What fifty connections take by themselves, and the allocator keeps.
    let visits = Attack { name: "visits", send: |client| client.send(get(1, "/abc")), codes: &[] };
    attacked(&visits);
    let before = resident(&server);
    for attack in ATTACKS {
        attacked(attack);
        let grown = resident(&server).saturating_sub(before);
        assert!(grown < FLOODED_MAX, "{}: {} KB", attack.name, grown / 1_024);
    }
    server.stop();
}

#[test]
fn t41_streams_past_a_hundred_are_refused_and_stalled_bodies_end() {
    let app = HttpsApp::start_with(|config| config.http.body_timeout = Duration::from_secs(1));
    app.app
        .admin()
        .create(&json!({"url": "https://example.com/", "customSlug": "abc", "password": "a password"}));
    let mut client = h2(&app);
    for number in 0..300 {
        client
            .send(post(2 * number + 1, &[("content-type", "application/x-www-form-urlencoded")]))
            .expect("sent");
    }
    let (mut refused, mut answered) = (0, 0);
    while refused + answered < 300 {
        let frame = read_frame(&mut client.0).expect("open");
        match frame.kind {
            RST_STREAM if frame.code() == REFUSED_STREAM => refused += 1,
            HEADERS => answered += 1,
            _ => {}
        }
    }
    assert_eq!((refused, answered), (200, 100));
}

/// A long list to a client whose window stays closed is reset at the deadline of its stream; the bound itself is
/// tested with a paused clock (`h09_a_client_that_keeps_its_window_closed_loses_the_stream`).
#[test]
fn h09_long_responses_wait_for_the_window_of_their_client() {
    let app = HttpsApp::start();
    let mut admin = app.app.admin();
    for number in 0..100 {
        let title = format!("{number:04} {}", "t".repeat(200));
        admin.create(&json!({"url": format!("https://example.com/{number}"), "title": title}));
    }
    let mut client = app.connect(&["h2"]);
    // SETTINGS_INITIAL_WINDOW_SIZE of 1,000 bytes.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 3, 232]);
    client.send([&PREFACE[..24], &settings].concat()).expect("sent");
    let authorization = format!("Bearer {KEY}");
    let lines = [("authorization", authorization.as_str())];
    let list = head("GET", "/api/v1/links?limit=100", &lines);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &list)).expect("sent");
    let mut got = 0;
    while got < 1_000 {
        let frame = read_frame(&mut client.0).expect("open");
        if frame.kind == DATA {
            got += frame.payload.len();
        }
    }
    assert_eq!(got, 1_000);
    // Another stream is served while this one waits.
    client.send(get(3, "/healthz")).expect("sent");
    until(&mut client, "health", |frame| (frame.kind == HEADERS && frame.stream == 3).then_some(()));
    // The rest arrives as the windows open.
    let mut whole = got;
    let update = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 1, 0, 0]);
    client.send([update(0), update(1)].concat()).expect("sent");
    loop {
        let frame = read_frame(&mut client.0).expect("open");
        if frame.kind != DATA || frame.stream != 1 {
            continue;
        }
        whole += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        client.send([update(0), update(1)].concat()).expect("sent");
    }
    assert!(whole > 20_000, "{whole}");
}

#[test]
fn a_stop_lets_streams_finish_and_closes_idle_connections() {
    let app = HttpsApp::start();
    let mut client = h2(&app);
    client.send(get(1, "/healthz")).expect("sent");
    until(&mut client, "health", |frame| (frame.kind == HEADERS).then_some(()));
    let HttpsApp { app, .. } = app;
    let from = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || drop(app));
        assert_eq!(goaway(&rest(&mut client)), Some(0));
    });
    assert!(from.elapsed() < LATE, "{:?}", from.elapsed());
}
