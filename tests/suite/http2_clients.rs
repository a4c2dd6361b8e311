//! What clients of HTTP/2 do that no attacker does: bursts, bodies behind an early response, cookies in many lines. And
//! the memory of the responses that clients do not accept.

use std::process::Command;

use serde_json::json;

use super::http2::{h2, status, until};
use crate::support::app::{HOST, KEY};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, RST_STREAM, SETTINGS, frame, get, head,
};
use crate::support::https_app::HttpsApp;
use crate::support::process::not_tested;
use crate::support::tls::TlsClient;

/// Twelve header lines of together 1.5 KB.
fn long_lines() -> Vec<(&'static str, &'static str)> {
    const VALUE: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
    vec![("x-a-long-header-line", VALUE); 12]
}

/// Reads this number of heads of responses. Returns how many are without a body. Panics at the end of the connection.
fn without_body(client: &mut TlsClient, count: usize) -> usize {
    let head = |frame: &Frame| (frame.kind == HEADERS).then_some(frame.flags & END_STREAM != 0);
    (0..count).filter(|_| until(client, "all responses", head)).count()
}

#[test]
fn a_burst_of_requests_is_answered() {
    let app = HttpsApp::start();
    let mut admin = app.app.admin();
    let link = admin.create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    // 150 KB of heads, and 240 KB of bodies, before the server has seen one.
    let heads: Vec<u8> = (0..100)
        .flat_map(|n| {
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head("GET", "/abc", &long_lines()))
        })
        .collect();
    let posts: Vec<u8> = (0..80)
        .flat_map(|n| {
            let head = frame(HEADERS, END_HEADERS, 2 * n + 1, &head("POST", "/api/v1/links", &[]));
            [head, frame(DATA, END_STREAM, 2 * n + 1, &[b' '; 3_000])].concat()
        })
        .collect();
    for (bytes, count) in [(heads, 100), (posts, 80)] {
        let mut client = h2(&app);
        // The handshake has settled.
        client.send(frame(PING, 0, 0, &[1; 8])).expect("sent");
        until(&mut client, "PING", |frame| (frame.kind == PING).then_some(()));
        client.send(bytes).expect("sent");
        without_body(&mut client, count);
    }
    assert_eq!(admin.clicks(link["id"].as_str().expect("an id")), 100);
}

#[test]
fn a_body_behind_its_response_is_discarded() {
    let app = HttpsApp::start();
    for (path, body) in [("/api/v1/links", 30), ("/api/v1/nope", 9_000)] {
        let mut client = h2(&app);
        client.send(frame(HEADERS, END_HEADERS, 1, &head("POST", path, &[]))).expect("sent");
        until(&mut client, path, |frame| (frame.flags & END_STREAM != 0 && frame.stream == 1).then_some(()));
        client.send(frame(DATA, END_STREAM, 1, &vec![b' '; body])).expect("sent");
        client.send(frame(PING, 0, 0, &[2; 8])).expect("sent");
        let is_reset = until(&mut client, path, |frame| match frame.kind {
            RST_STREAM => Some(true),
            PING => Some(false),
            _ => None,
        });
        assert!(!is_reset, "{path}");
        // The stream is over: the connection has nothing open, and serves the next request.
        client.send(get(3, "/nothing")).expect("sent");
        let found = until(&mut client, path, |frame| (frame.kind == HEADERS).then(|| status(&frame.payload)));
        assert_eq!(found, Some(404));
    }
}

/// curl 7.88 of Debian 12 reports an error of the stream if the server resets it after an early response.
#[test]
fn curl_reads_early_responses() {
    let app = HttpsApp::start();
    let large = app.folder.path().join("large");
    std::fs::write(&large, vec![b' '; 200_000]).expect("a file");
    let large = format!("@{}", large.display());
    for (key, path, body, want) in [
        ("wrong", "/api/v1/links", r#"{"url": "https://e.test"}"#, "401"),
        ("", "/api/v1/links", r#"{"url": "https://e.test"}"#, "401"),
        (KEY, "/api/v1/nope", r#"{"url": "https://e.test"}"#, "404"),
        (KEY, "/api/v1/links", &large, "413"),
    ] {
        for _ in 0..3 {
            let mut curl = Command::new("curl");
            curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_code} %{errormsg}"]);
            curl.arg("--connect-to").arg(format!("{HOST}:443:{}", app.address));
            curl.args(["-H", &format!("Authorization: Bearer {key}"), "--data-binary", body]);
            let Ok(output) = curl.arg(format!("https://{HOST}{path}")).output() else {
                return not_tested("early responses with curl: curl is not installed");
            };
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && told.starts_with(want), "{key} {path}: {told}");
        }
    }
}

#[test]
fn responses_that_clients_do_not_accept_are_bounded_in_memory() {
    let app = HttpsApp::start();
    // No byte of a body is accepted.
    let closed = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut clients: Vec<_> = (0..14)
        .map(|_| {
            let mut client = h2(&app);
            client.send(&closed).expect("sent");
            until(&mut client, "the acknowledgement", |frame: &Frame| {
                (frame.kind == SETTINGS && frame.flags == 1 && frame.payload.is_empty()).then_some(())
            });
            client
        })
        .collect();
    let mut refused = 0;
    for client in &mut clients {
        let requests: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 1, "/nothing")).collect();
        client.send(requests).expect("sent");
        let of_client = without_body(client, 100);
        assert!(of_client <= 96, "the first four of a connection are served");
        refused += of_client;
    }
    assert!(refused >= 14 * 96 - 1_024, "{refused}");
    // Another client has its own.
    let mut other = h2(&app);
    other.send(get(1, "/nothing")).expect("sent");
    assert_eq!(without_body(&mut other, 1), 0);
    // The memory is there again once the connections are gone.
    drop(clients);
    let mut stream = 1;
    loop {
        let mut client = h2(&app);
        client.send(&closed).expect("sent");
        client.send((0..100).flat_map(|n| get(2 * n + 1, "/nothing")).collect::<Vec<_>>()).expect("sent");
        if without_body(&mut client, 100) == 0 {
            break;
        }
        stream += 1;
        assert!(stream < 100, "it is not returned");
    }
}
