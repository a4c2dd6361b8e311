//! Data about visitors: no address is stored, no third party is contacted without a pixel, no secret is
//! stored in clear, each event has one line in the log, and deleted data is removed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::browser::{Browser, Scripts};
use crate::support::http::text;
use crate::support::process::{PATIENCE, Plan, Process, poll};

const SLACK: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";

/// Returns every file below a folder, with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("ballast") {
            match fs::read(&path) {
                Ok(bytes) => found.push((path.display().to_string(), bytes)),
                // A compaction has removed the file since the folder was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
    found
}

/// Returns hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

/// Sends bytes from this address of the machine, and reads until the server closes.
fn send_from(server: &Process, from: [u8; 4], bytes: &[u8]) -> String {
    let address = server.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        socket.connect(address).await.expect("it listens").into_std().expect("a socket")
    });
    let mut stream = stream;
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(bytes).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer and its end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns the ways to write an address.
fn spellings(address: IpAddr) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![address.to_string().into_bytes()];
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            for text in [
                v4.to_bits().to_string(),
                format!("{a:02x}{b:02x}{c:02x}{d:02x}"),
                format!("::ffff:{v4}"),
                format!("{a}-{b}-{c}-{d}"),
            ] {
                all.push(text.into_bytes());
            }
            all.push(v4.octets().to_vec());
        }
        IpAddr::V6(v6) => {
            all.push(v6.octets().to_vec());
            all.push(v6.octets().iter().rev().copied().collect());
            // The network part alone would identify the visitor.
            let start = v6.to_string().split("::").next().expect("a part").to_owned();
            all.push(start.into_bytes());
        }
    }
    // A hash without a secret is as good as the address: there are few enough addresses to try all.
    let hashes: Vec<_> = all.iter().map(|bytes| Sha256::digest(bytes).to_vec()).collect();
    all.extend(hashes.iter().map(|hash| hash[..8].to_vec()));
    all.extend(hashes.iter().map(|hash| hex(&hash[..4]).into_bytes()));
    all
}

/// Visits, errors, guesses and scans from known addresses, directly and through a trusted proxy, with the log
/// at its most detailed level. No address is on disk, in the log or in the metrics.
#[test]
fn t117_no_address_of_a_visitor_is_stored_or_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path())
        .env("WAYPOST_LOG_FILTER", "trace")
        .env("WAYPOST_HTTP__TRUSTED_PROXIES", "[\"127.66.55.2\"]")
        .env("WAYPOST_LIMITS__MISSES_PER_MINUTE", "3")
        .env("WAYPOST_LIMITS__REFUSED_PER_MINUTE", "3")
        .env("WAYPOST_WEBHOOKS__ALLOWED_NETWORKS", "[\"127.0.0.0/8\"]")
        .start();
    let mut admin = server.admin();
    let hook = format!("http://{}/hook", server.address());
    admin.create(&json!({"url": "https://e.test/", "customSlug": "plain"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "few", "maxClicks": 5}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "asks", "password": "open sesame"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "tells", "webhookUrls": hook}));
    let direct = [127, 77, 66, 55];
    let proxy = [127, 66, 55, 2];
    let v4: IpAddr = [198, 51, 100, 77].into();
    let v6: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0x7766, 0x55, 0, 0, 0, 0x77).into();
    let visit = |from: [u8; 4], forwarded: &str| {
        let close = format!("Host: {HOST}\r\nConnection: close\r\n{forwarded}");
        let form =
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\npassword=wrong";
        let rows = [
            ("GET", "/plain", ""),
            ("GET", "/few", ""),
            ("GET", "/tells", "Referer: https://news.example.com/\r\n"),
            ("GET", "/asks", ""),
            ("HEAD", "/plain", ""),
            ("GET", "/no1", ""),
            ("GET", "/no2", ""),
            ("GET", "/no3", ""),
            ("GET", "/no4", ""),
            ("GET", "/api/v1/links", ""),
            ("GET", "/api/v1/links", "X-API-Key: wrong\r\n"),
            ("GET", "/links/", ""),
            ("GET", "/snapshots/", ""),
            ("GET", "/metrics", ""),
            ("BREW", "/plain", ""),
        ];
        for (method, path, more) in rows {
            send_from(&server, from, format!("{method} {path} HTTP/1.1\r\n{close}{more}\r\n").as_bytes());
        }
        for _ in 0..12 {
            send_from(&server, from, format!("POST /asks HTTP/1.1\r\n{close}{form}").as_bytes());
        }
        send_from(&server, from, b"nonsense\r\n\r\n");
        send_from(&server, from, format!("GET /plain HTTP/1.1\r\n{close}Host: again\r\n\r\n").as_bytes());
    };
    visit(direct, "");
    for address in [v4, v6] {
        visit(
            proxy,
            &format!("X-Forwarded-For: {address}\r\nX-Real-IP: {address}\r\nForwarded: for={address}\r\n"),
        );
    }
    let metrics = admin.get("/metrics").text();
    let lists = ["/api/v1/links", "/api/v1/keys", "/api/v1/workspaces"].map(|path| admin.get(path).text());
    poll("the click is told", PATIENCE, || {
        server.stderr().contains("the first attempt to deliver a webhook failed").then_some(())
    });
    let stdout = server.stdout();
    let log = server.stop();
    assert!(log.contains("API request"), "the log is there: {log}");
    let mut places = files(folder.path());
    assert!(places.iter().any(|(_, bytes)| holds(bytes, b"e.test")), "the store is there");
    places.push(("the log".to_owned(), log.into_bytes()));
    places.push(("the output".to_owned(), stdout.into_bytes()));
    places.push(("metrics".to_owned(), metrics.into_bytes()));
    places.extend(lists.into_iter().map(|text| ("a list".to_owned(), text.into_bytes())));
    for address in [direct.into(), v4, v6] {
        for spelling in spellings(address) {
            for (place, bytes) in &places {
                let shown = String::from_utf8_lossy(&spelling).into_owned();
                assert!(!holds(bytes, &spelling), "{address} as {shown:?} in {place}");
            }
        }
    }
}

/// The log has one line for each event and no control character, with any input from strangers.
#[test]
fn t82_strangers_cannot_add_lines_to_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).env("WAYPOST_LOG_FILTER", "trace").start();
    let mut admin = server.admin();
    let canary = "2026-01-01T00:00:00Z ERROR forged";
    admin.create(&json!({"url": "https://e.test/", "customSlug": "s", "title": format!("a\n{canary}"), "notes": format!("\r\n{canary}")}));
    admin.create(&json!({"url": "https://e.test/{{custom_values.forged}}", "customSlug": "unfilled"}));
    // A title may have several lines. A name in the log may not.
    for body in [
        json!({"name": format!("n\n{canary}"), "scopes": ["links.readonly"]}),
        json!({"name": "n\u{1b}[2J", "scopes": ["admin"]}),
    ] {
        admin.post("/api/v1/keys", &body);
        admin.post("/api/v1/tags", &body);
        admin.post("/api/v1/workspaces", &body);
    }
    let long = "r".repeat(8 * 1024 - 200);
    let rows = [
        "GET /%0a[INFO]%20forged HTTP/1.1\r\n".to_owned(),
        format!("GET /%0d%0a{} HTTP/1.1\r\n", canary.replace(' ', "%20")),
        "GET /%1b[2Jforged HTTP/1.1\r\n".to_owned(),
        "GET /%e2%80%a8forged HTTP/1.1\r\n".to_owned(),
        "GET /unfilled HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/%0aforged HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/links/%0aforged HTTP/1.1\r\n".to_owned(),
        "GET /links/r/2/%0aforged.x.y HTTP/1.1\r\n".to_owned(),
        "FORGED /s HTTP/1.1\r\n".to_owned(),
        "FORGED /api/v1/links HTTP/1.1\r\n".to_owned(),
        "GET /s HTTP/1.1\r\nUser-Agent: \u{1b}[2J\u{1b}]0;forged\u{7}\r\n".to_owned(),
        format!("GET /s HTTP/1.1\r\nUser-Agent: {canary}\tforged\u{9b}31m\r\n"),
        format!("GET /s HTTP/1.1\r\nReferer: https://forged.test/{long}\r\n"),
        "GET /s HTTP/1.1\r\nX-Forwarded-For: forged\u{1b}[31m, 1.2.3.4\r\n".to_owned(),
        "GET /api/v1/links HTTP/1.1\r\nX-Request-Id: forged\u{1b}[31m\r\n".to_owned(),
        "GET /api/v1/links HTTP/1.1\r\nX-Workspace-Id: forged\u{1b}\r\n".to_owned(),
        "POST /api/v1/links HTTP/1.1\r\nIdempotency-Key: forged\u{1b}\r\nContent-Length: 0\r\n".to_owned(),
        "forged\nforged\r\n".to_owned(),
    ];
    for head in rows {
        let end = format!("Host: {HOST}\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n");
        send_from(&server, [127, 0, 0, 1], format!("{head}{end}").as_bytes());
    }
    let stdout = server.stdout();
    let log = server.stop();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let stamp = line.get(..5).unwrap_or("");
        let is_stamped = stamp.ends_with('-') && stamp[..4].bytes().all(|b| b.is_ascii_digit());
        assert!(is_stamped, "a line that begins as none of ours: {line:?}");
        assert!(!line.contains(" ERROR forged") || !line.starts_with("2026-01-01T00:00:00Z"), "{line:?}");
        assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
        assert!(line.len() < 4_096, "{} bytes: {line:.200}", line.len());
    }
    assert!(!stdout.contains("forged"), "{stdout}");
}

/// The store contains the hash of a key, and no other file of the server contains more.
#[test]
fn t70_keys_are_stored_as_hashes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).env("WAYPOST_LOG_FILTER", "trace").start();
    let mut admin = server.admin();
    let mut made = Vec::new();
    for more in [json!({}), json!({"instance": true}), json!({"createOnly": true})] {
        let mut body = json!({"name": "n", "scopes": ["links.write"]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let once = [("Idempotency-Key", "k")];
        let first = admin.send(
            "POST",
            "/api/v1/keys",
            &once[..usize::from(made.is_empty())],
            Some(body.to_string().as_bytes()),
        );
        made.push(text(&first.expect(201, "a key")["key"], "secret").to_owned());
    }
    for key in &made {
        let mut client = server.visitor().with_key(key);
        client.create(&json!({"url": "https://e.test/"}));
        client.get(&format!("/api/v1/links?key={key}"));
    }
    let told = ["/api/v1/keys", "/metrics", "/healthz", "/readyz"];
    let told: Vec<_> =
        told.iter().map(|path| ((*path).to_owned(), admin.get(path).text().into_bytes())).collect();
    let log = server.stop();
    let mut places = files(folder.path());
    for key in &made {
        let hash = Sha256::digest(key.as_bytes());
        assert!(places.iter().any(|(_, bytes)| holds(bytes, &hash)), "the hash is what is kept");
    }
    places.extend(told);
    places.push(("the log".to_owned(), log.into_bytes()));
    made.push(KEY.to_owned());
    for key in &made {
        // The whole key, the key without its prefix, its end, and other encodings.
        let hex = hex(key.as_bytes());
        let bare = &key[3..];
        let clothes = [bare, &key[20..], &hex, &STANDARD_NO_PAD.encode(key), &URL_SAFE_NO_PAD.encode(bare)];
        for spelling in clothes {
            for (place, bytes) in &places {
                assert!(!holds(bytes, spelling.as_bytes()), "{spelling} in {place}");
            }
        }
    }
}

/// Thirty days after a link was deleted, no response contains any of its data. After a compaction, the log
/// does not either. (The table is a cache of the log: sled overwrites its old pages when it needs them, and a
/// rebuilt table never contained them.)
#[test]
fn t119_deleted_links_are_gone_after_a_month() {
    let app = TestApp::start_with(|config| config.log.compact_above = 1 << 20);
    let mut admin = app.admin();
    let body = json!({
        "url": "https://e.test/canary-url", "customSlug": "canary-code", "title": "canary-title",
        "notes": "canary-notes", "password": "canary",
    });
    let made = admin.create(&body);
    let id = text(&made, "id");
    let path = format!("/api/v1/links/{id}");
    admin.patch(&path, &json!({"password": null})).expect(200, "changed");
    assert_eq!(app.visitor().get("/canary-code").status, 302);
    assert_eq!(admin.clicks(id), 1);
    admin.delete(&path).expect(200, "deleted");
    // No GET, which would be a miss: its path is what the visitor asked for, and is kept for the owner of the domain.
    assert_eq!(app.visitor().send("HEAD", "/canary-code", &[], None).status, 404);
    let vendor = format!("/api/links/{id}");
    let code = |answer: &Value| answer["error"]["code"].as_str().unwrap_or("").to_owned();
    app.advance(Duration::from_hours(24 * 30));
    assert_eq!(app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept"), 0, "not yet");
    assert_eq!(code(&admin.delete(&vendor).expect(404, "again")), "ALREADY_DELETED");
    app.advance(Duration::from_secs(1));
    // The server's own sweep may come first, so the number of removed records is not asserted.
    app.wait(app.app().core().sweep_expired(app.clock().now())).expect("swept");
    poll("the end of its statistics", PATIENCE, || {
        (code(&admin.delete(&vendor).expect(404, "later")) == "NOT_FOUND").then_some(())
    });
    // Enough data for a compaction to begin.
    let other =
        format!("/api/v1/links/{}", text(&admin.create(&json!({"url": "https://e.test/other"})), "id"));
    for round in 0..320 {
        let notes = format!("{round} {}", "x".repeat(3_900));
        admin.patch(&other, &json!({"notes": notes})).expect(200, "changed");
    }
    let folder = app.data_dir().join("log");
    poll("the compaction", PATIENCE, || {
        let left = files(&folder).iter().any(|(_, bytes)| holds(bytes, b"canary"));
        (!left).then_some(())
    });
    assert!(
        files(&folder).iter().any(|(_, bytes)| holds(bytes, b"https://e.test/other")),
        "others are there"
    );
}

/// In Chromium: a page requests nothing from other hosts unless its link has a pixel. With `Sec-GPC: 1` or
/// `DNT: 1` it does not even then.
#[test]
fn t117_t118_no_third_party_is_contacted_unless_a_pixel_is_set() {
    let Some(browser) = Browser::start(Scripts::On) else { return };
    let app = TestApp::start();
    let mut admin = app.admin();
    let at = |path: &str| format!("http://{}/{path}", app.address());
    let here = at("healthz");
    let rows = [
        ("plain", json!({})),
        ("asks", json!({"password": "open sesame"})),
        ("framed", json!({"cloaked": true, "title": "T"})),
        ("over", json!({"expiresAt": "2020-01-01"})),
        ("card", json!({"title": "T", "image": "https://images.test/x.png"})),
    ];
    for (code, more) in &rows {
        let mut body = json!({"url": here, "customSlug": code});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        admin.create(&body);
    }
    let pixel = json!({"url": here, "customSlug": "fires", "metaPixelId": "1234567890", "googleTagId": "G-ABC123XYZ"});
    admin.create(&pixel);
    let mut framed = pixel.clone();
    framed["customSlug"] = json!("both");
    framed["cloaked"] = json!(true);
    admin.create(&framed);
    let snapshot = admin.post("/api/v1/snapshots", &json!({"name": "S"})).expect(201, "a snapshot");
    let path = format!("/api/v1/snapshots/{}/shares", text(&snapshot["snapshot"], "id"));
    let share = admin.post(&path, &json!({"type": "permanent_link"})).expect(201, "a share");
    let share = text(&share["share"], "shareLink").rsplit_once('/').expect("a URL").1.to_owned();
    browser.asked();
    for path in ["plain", "asks", "framed", "over", "card", "unknown", "", "api/docs", &share] {
        browser.open(&at(path));
        assert_eq!(browser.asked().into_iter().collect::<Vec<_>>(), Vec::<String>::new(), "/{path}");
    }
    // The preview page is for crawlers. A person who opens it contacts no other host either.
    let page = app.visitor().send("GET", "/card", &[("User-Agent", SLACK)], None);
    assert!(!page.text().contains("<img") && !page.text().contains("<script"), "{}", page.text());
    for signal in ["Sec-GPC", "DNT"] {
        browser.sends(signal, "1");
        for path in ["fires", "both"] {
            browser.open(&at(path));
            let asked = browser.asked();
            assert!(asked.is_empty(), "{signal} /{path}: {asked:?}");
        }
        browser.sends(signal, "0");
    }
    browser.open(&at("fires"));
    browser.arrives(&here);
    assert!(browser.asked().contains("connect.facebook.net"), "and the log would have shown it");
}
