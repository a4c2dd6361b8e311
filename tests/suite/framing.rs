//! Hostile framing and slow clients, byte by byte. Each row varies an error of another server. A bad request
//! gets one response and the end of its connection, whatever follows the request.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::json;

use crate::support::app::{HOST, KEY, TestApp};
use crate::support::http::{Connection, raw, text};
use crate::support::process::{Dice, PATIENCE, Plan, Process, not_tested, poll};
use crate::support::server::{KEY as SERVER_KEY, Server, patient, status};

/// Must never get a response. A server that counts lengths differently would take these bytes for a request.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";

fn post(lines: &str, body: &str) -> Vec<u8> {
    let path = "/api/v1/links";
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nX-API-Key: {SERVER_KEY}\r\n{lines}\r\n{body}").into_bytes()
}

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat()
}

/// Checks that each row gets one response with one of these statuses, and the end of the connection.
fn check(server: &Server, rows: Vec<(&str, Vec<u8>, &[u16])>) {
    for (what, bytes, wanted) in rows {
        server.answers_once(what, &bytes, wanted);
    }
    assert_eq!(status(&server.raw(get(b"/healthz"))), 200);
    assert_eq!(server.metric("waypost_http_panics_total"), 0);
}

/// Requests in which one server sees one request and another sees two.
#[test]
fn t01_t02_t03_lengths_that_two_servers_read_differently() {
    let server = Server::start(patient);
    let both = format!("2\r\n{{}}\r\n0\r\n\r\n{SMUGGLED}");
    let chunked = |size: &str| {
        post("Transfer-Encoding: chunked\r\n", &format!("{size}\r\n{{}}\r\n0\r\n\r\n{SMUGGLED}"))
    };
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), &format!("{{}}{SMUGGLED}"));
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), &both);
    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("length, then chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &both), &[400]),
        ("chunks, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &both), &[400]),
        ("length 0 and chunks", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", &both), &[400]),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), &[400]),
        ("a list of lengths", length("2, 3"), &[400]),
        ("a signed length", length("+2"), &[400]),
        ("a negative length", length("-1"), &[400]),
        ("beyond u64", length("18446744073709551616"), &[400]),
        ("u64::MAX", length("18446744073709551615"), &[400, 413, 431]),
        ("hexadecimal", length("0x2"), &[400]),
        ("with a fraction", length("2.0"), &[400]),
        ("with a space within", length("1 2"), &[400]),
        ("an empty length", length(""), &[400]),
        ("unknown coding", coding("xchunked"), &[400]),
        ("chunked is not last", coding("chunked, identity"), &[400]),
        ("gzip, chunked", coding("gzip, chunked"), &[400]),
        ("identity, chunked", coding("identity, chunked"), &[400]),
        ("chunked twice", coding("chunked, chunked"), &[400]),
        ("a vertical tab before it", coding("\u{b}chunked"), &[400]),
        ("a quoted coding", coding("\"chunked\""), &[400]),
        (
            "two lines, the last not chunked",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &both),
            &[400],
        ),
        (
            "two lines, both chunked",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &both),
            &[400],
        ),
        (
            "chunks in HTTP/1.0",
            format!("POST /api/v1/links HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{both}")
                .into_bytes(),
            &[400],
        ),
        ("a chunk size 0x2", chunked("0x2"), &[400]),
        ("a chunk size 0_2", chunked("0_2"), &[400]),
        ("a chunk size +2", chunked("+2"), &[400]),
        ("a chunk size -2", chunked("-2"), &[400]),
        ("a chunk size beyond u64", chunked("ffffffffffffffff1"), &[400]),
        ("no chunk size", chunked(""), &[400]),
        ("a chunk that is longer than it says", chunked("1"), &[400]),
        (
            "a bare LF behind a chunk size",
            post("Transfer-Encoding: chunked\r\n", &format!("2\n{{}}\r\n0\r\n\r\n{SMUGGLED}")),
            &[400],
        ),
        ("an endless chunk extension", chunked(&format!("2;{}", "a".repeat(100_000))), &[400, 413]),
        (
            "endless trailers",
            post("Transfer-Encoding: chunked\r\n", &format!("0\r\n{}\r\n", "X: y\r\n".repeat(50_000))),
            &[400, 413, 431],
        ),
    ];
    check(&server, rows);
    assert_eq!(server.api("GET", "/api/v1/links", "").json["total"], 0, "nothing was made");
    // The body never ends.
    let server = Server::start(|config| {
        patient(config);
        config.http.body_timeout = Duration::from_millis(400);
    });
    let largest = chunked("ffffffffffffffff");
    check(&server, vec![("the largest chunk size", largest, &[400, 408, 413])]);
    assert_eq!(server.api("GET", "/api/v1/links", "").json["total"], 0, "nothing was made");
}

/// A request has exactly one well-formed host. The host of an absolute target takes precedence.
#[test]
fn t04_t05_t06_t07_hosts() {
    let server = Server::start(patient);
    let made = server.api("POST", "/api/v1/links", r#"{"url": "https://e.test/", "customSlug": "s"}"#);
    assert_eq!(made.status, 201, "{made:?}");
    let with = |lines: &str| format!("GET /s HTTP/1.1\r\n{lines}\r\n").into_bytes();
    let host = |host: &str| with(&format!("Host: {host}\r\n"));
    let long = "a".repeat(300);
    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("none", with(""), &[400]),
        ("two equal", with("Host: localhost\r\nHost: localhost\r\n"), &[400]),
        ("two different", with("Host: localhost\r\nHost: other.test\r\n"), &[400]),
        ("two, one in another case", with("Host: localhost\r\nhOsT: localhost\r\n"), &[400]),
        ("a list", host("localhost, localhost"), &[400]),
        ("user and path", host("a b/@evil"), &[400]),
        ("user", host("me@localhost"), &[400]),
        ("a path", host("localhost/x"), &[400]),
        ("a query", host("localhost?x"), &[400]),
        ("a fragment", host("localhost#x"), &[400]),
        ("a backslash", host("localhost\\x"), &[400]),
        ("a scheme", host("http://localhost"), &[400]),
        ("a port beyond 65535", host("localhost:99999"), &[400]),
        ("a port that is none", host("localhost:80a"), &[400]),
        ("two ports", host("localhost:80:80"), &[400]),
        ("empty", host(""), &[400]),
        ("white space", host(" \t "), &[400]),
        ("a port alone", host(":80"), &[400]),
        ("half an address", host("[::1"), &[400]),
        ("an address and more", host("[::1]x"), &[400]),
        ("a zone", host("[fe80::1%25eth0]"), &[400]),
        ("300 characters", host(&long), &[400]),
        ("an escape", host("local%68ost"), &[400]),
        ("not ASCII", host("b\u{fc}cher.test"), &[400]),
        ("a quote", host("local\"host"), &[400]),
        ("absolute form without Host", b"GET http://localhost/s HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        (
            "absolute form with two Hosts",
            b"GET http://localhost/s HTTP/1.1\r\nHost: localhost\r\nHost: h\r\n\r\n".to_vec(),
            &[400],
        ),
    ];
    check(&server, rows);
    let close = "Connection: close\r\n";
    let rows = [
        ("an empty port", format!("GET /s HTTP/1.1\r\nHost: localhost:\r\n{close}\r\n"), 302),
        ("an address", format!("GET /s HTTP/1.1\r\nHost: [::1]:80\r\n{close}\r\n"), 302),
        (
            "absolute, known",
            format!("GET http://localhost/s HTTP/1.1\r\nHost: other.test\r\n{close}\r\n"),
            302,
        ),
        (
            "absolute, unknown",
            format!("GET http://other.test/s HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"),
            404,
        ),
        ("HTTP/1.0 without Host", "GET /s HTTP/1.0\r\n\r\n".to_owned(), 302),
    ];
    for (what, bytes, want) in rows {
        let text = server.raw(bytes);
        assert_eq!(status(&text), want, "{what}: {text}");
    }
}

/// No page, redirect target or URL of the APIs contains the Host of a request.
#[test]
fn t08_no_answer_repeats_a_host() {
    let app = TestApp::start();
    let mut admin = app.admin();
    admin.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    admin.create(&json!({"url": "https://e.test/", "customSlug": "p", "password": "open sesame"}));
    let mut stranger = app.visitor().at("evil.test");
    for path in ["/s", "/p", "/", "/?share=x", "/nothing"] {
        let answer = stranger.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!format!("{answer:?}").contains("evil.test"), "{path}: {answer:?}");
    }
    let mut admin = app.admin().at("evil.test").with("X-Forwarded-Host", "evil.test");
    let made = admin.create(&json!({"url": "https://e.test/", "customSlug": "t"}));
    assert_eq!(made["shortUrl"], format!("http://{HOST}/t"));
    for path in ["/api/v1/links", "/api/links", "/api/v1/workspaces", "/api/docs", "/api/openapi.json"] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!format!("{answer:?}").contains("evil.test"), "{path}");
    }
}

#[test]
fn t09_t10_t11_t12_t20_t21_t42_t43_malformed_heads() {
    let server = Server::start(patient);
    let line = |line: &[u8]| [b"GET /s HTTP/1.1\r\nHost: h\r\n", line, b"\r\n\r\n"].concat();
    let long = |length: usize| format!("/{}", "a".repeat(length)).into_bytes();
    let many = |count: usize| format!("GET /s HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count));
    let big = format!("X: {}", "y".repeat(64 * 1024)).into_bytes();
    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a space before the colon", line(b"X : y"), &[400]),
        ("a tab before the colon", line(b"X\t: y"), &[400]),
        ("a folded line", line(b"X: y\r\n z"), &[400]),
        ("NUL in a value", line(b"X: a\0b"), &[400]),
        ("a bare CR in a value", line(b"X: a\rb"), &[400]),
        ("DEL in a value", line(b"X: a\x7fb"), &[400]),
        ("a vertical tab in a name", line(b"X\x0by: z"), &[400]),
        ("an empty name", line(b": y"), &[400]),
        ("no colon", line(b"nonsense"), &[400]),
        ("a name that is not ASCII", line("\u{fc}: y".as_bytes()), &[400]),
        ("a path of 9,000", get(&long(9_000)), &[414]),
        ("a query of 9,000", get(&[b"/s?", &long(9_000)[..]].concat()), &[414]),
        ("a path of 70,000", get(&long(70_000)), &[414, 431]),
        ("101 headers", many(101).into_bytes(), &[431]),
        ("a header of 64 KB", line(&big), &[431]),
        ("TRACE", b"TRACE /s HTTP/1.1\r\nHost: h\r\nX-Secret: canary\r\n\r\n".to_vec(), &[405]),
        ("CONNECT", b"CONNECT evil:443 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[405]),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[405]),
        ("GET *", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[400, 405]),
        ("PRI", b"PRI * HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[400, 405]),
        ("HTTP/0.9", b"GET /s\r\n\r\n".to_vec(), &[400]),
        ("HTTP/1.2", b"GET /s HTTP/1.2\r\nHost: h\r\n\r\n".to_vec(), &[400]),
        ("HTTP/2.0", b"GET /s HTTP/2.0\r\nHost: h\r\n\r\n".to_vec(), &[400]),
        ("HTTP/11.1", b"GET /s HTTP/11.1\r\nHost: h\r\n\r\n".to_vec(), &[400]),
        ("http/1.1", b"GET /s http/1.1\r\nHost: h\r\n\r\n".to_vec(), &[400]),
        ("no method", b" /s HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[400]),
        ("a method with a slash", b"GE/T /s HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), &[400, 405]),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), &[400]),
        ("h2c, prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), &[400]),
        (
            "10 MB after 100-continue",
            post("Expect: 100-continue\r\nContent-Length: 10485760\r\n", ""),
            &[413],
        ),
        ("2 GB declared", post("Content-Length: 2147483648\r\n", ""), &[413]),
    ];
    check(&server, rows);
    let trace = server.raw("TRACE /s HTTP/1.1\r\nHost: h\r\nX-Secret: canary\r\n\r\n");
    assert!(!trace.contains("canary"), "{trace}");
    // The server does not upgrade to HTTP/2: the response is of HTTP/1.1.
    let upgrade =
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let text = server.raw(format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n"));
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    // An earlier offer to upgrade does not affect a later response.
    let offer = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut client = server.connect();
    client.send(offer);
    client.until("\"}", 1);
    client.send("GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let text = client.rest();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text:?}");
    let method = format!("{} /s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "A".repeat(1_024));
    let text = server.raw(method);
    assert!(status(&text) == 405 && text.to_ascii_lowercase().contains("allow: get, head"), "{text}");
    assert!(!text.contains("AAAA"), "nothing is echoed: {text}");
}

/// Targets without a meaning get 400 or 404, open no file of this machine, and count no click.
#[test]
fn t13_t14_targets_without_a_meaning() {
    const ALPHABET: &[u8] = b"%/.\\;:@?#s0f2~\xc3\xa9\xff=&+";
    let app = TestApp::start();
    let made = app.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let rows: [&[u8]; 30] = [
        b"/\xff\xfe",
        b"/%ff",
        b"/%00",
        b"/s%00",
        b"/%zz",
        b"/%",
        b"/%4",
        b"/a b",
        b"/%c0%ae",
        b"/s%20x",
        b"/%20s",
        b"/s%09x",
        b"/s;x",
        b"/s#f",
        b"/s%23f",
        b"/s%3fx",
        b"/s%2f",
        b"/%2fs",
        b"//s",
        b"/./s",
        b"/x/../s",
        b"/s/x",
        b"/s%e2%80%8bx",
        b"/assets/../../etc/passwd",
        b"/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        b"/assets/..%5c..%5cetc",
        b"/assets/%252e%252e/etc/passwd",
        b"/assets//etc/passwd",
        b"/../../etc/passwd",
        b"/assets/\0.css",
    ];
    let close = format!(" HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").into_bytes();
    for target in rows {
        let shown = String::from_utf8_lossy(target).into_owned();
        let answer = raw(app.address(), &[b"GET ", target, &close].concat()).expect("an answer");
        assert!([400, 404].contains(&answer.status), "{shown}: {answer:?}");
        assert!(answer.header("location").is_none(), "{shown}: {answer:?}");
        assert!(!answer.text().contains("root:"), "{shown}: {answer:?}");
    }
    // No random target gets a status from 500 on.
    let (seed, mut dice) = Dice::seeded();
    let mut connection = Connection::open(app.address()).expect("accepted");
    for _ in 0..5_000 {
        let mut target = vec![b'/'];
        for _ in 0..dice.below(12) {
            target.push(ALPHABET[usize::try_from(dice.below(ALPHABET.len() as u64)).expect("small")]);
        }
        connection.send(&[b"GET ", &target[..], &close[..close.len() - 21], b"\r\n"].concat()).expect("sent");
        let answer = connection.receive(false).expect("an answer");
        let row = format!("{}, seed {seed}: {answer:?}", String::from_utf8_lossy(&target));
        let answer = answer.unwrap_or_else(|| panic!("{row}"));
        assert!(answer.status < 500, "{row}");
        if answer.closes() {
            connection = Connection::open(app.address()).expect("accepted");
        }
    }
    let mut admin = app.admin();
    let clicks = admin.clicks(text(&made, "id"));
    assert!(clicks < 5_000, "{clicks}");
    assert!(admin.get("/metrics").text().contains("waypost_http_panics_total 0"));
}

/// An overlong body is rejected at its head, at once, and takes no memory.
#[test]
fn t15_long_bodies_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).patient().start();
    let head = |lines: &str| {
        format!("POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n")
    };
    let before = memory(&server, "VmRSS:");
    for _ in 0..50 {
        let declared = head("Content-Length: 2147483648\r\n");
        let answer = raw(server.address(), declared.as_bytes()).expect("an answer");
        assert!(answer.status == 413 && answer.closes(), "{answer:?}");
    }
    // Without an announced length, a body is rejected at the limit. In parallel, since the server discards
    // the input of each for a while.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address()).expect("accepted");
                connection.send(head("Transfer-Encoding: chunked\r\n").as_bytes()).expect("sent");
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536)).into_bytes();
                while connection.send(&chunk).is_ok() {}
                // The server closes with unread input, so the response may be lost.
                if let Ok(Some(answer)) = connection.receive(false) {
                    assert_eq!(answer.status, 413, "{answer:?}");
                }
            });
        }
    });
    let grown = memory(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KB");
    server.stop();
}

/// Returns a value of `/proc/<id>/status`, in KB.
fn memory(server: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(server.proc("status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with(name)).expect("its memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// The binary contains no code to decompress.
#[test]
fn t16_no_decoder_is_linked() {
    let lock = include_str!("../../Cargo.lock");
    for name in
        ["flate2", "miniz_oxide", "brotli", "brotli-decompressor", "zstd", "libz-sys", "async-compression"]
    {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is among the dependencies");
    }
}

/// Every dialect rejects bodies that confuse parsers in its own format, and creates nothing.
#[test]
fn t17_t18_bodies_that_confuse_parsers() {
    let app = TestApp::start();
    let mut admin = app.admin();
    let location = admin.get("/api/v1/workspaces").json()["workspaces"][0]["id"].clone();
    let location = location.as_str().expect("an id");
    let dialects = [
        ("/api/v1/links", "url", &[400_u16, 422][..]),
        ("/api/links", "destinationUrl", &[400][..]),
        ("/links/", "redirectTo", &[400, 422][..]),
    ];
    for (path, field, wanted) in dialects {
        let more = format!(r#""locationId": "{location}", "name": "n", "customSlug": "s""#);
        let good = format!(r#"{{{more}, "{field}": "https://e.test/"}}"#);
        let with = |value: &str| format!(r#"{{{more}, "{field}": {value}}}"#).into_bytes();
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let rows: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("blank", b" \r\n\t ".to_vec()),
            ("deep lists", "[".repeat(60_000).into_bytes()),
            ("deep objects", r#"{"a":"#.repeat(12_000).into_bytes()),
            ("a deep value beside", with(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)))),
            ("a number", with("1")),
            ("a number beyond f64", with("1e400")),
            ("a list", with(r#"["https://e.test/"]"#)),
            ("an object", with("{}")),
            ("null", with("null")),
            ("half a surrogate pair", with(r#""https://e.test/\ud800""#)),
            ("NUL", with(r#""https://e.test/\u0000""#)),
            ("a raw control", with("\"https://e.test/\u{1}\"")),
            (
                "twice",
                format!(r#"{{{more}, "{field}": "https://e.test/", "{field}": "https://f.test/"}}"#).into(),
            ),
            ("two byte order marks", format!("\u{feff}\u{feff}{good}").into_bytes()),
            ("UTF-16", utf16),
            ("not UTF-8", [&b"{\""[..], field.as_bytes(), b"\": \"https://e.test/\xff\"}"].concat()),
            ("more behind", format!("{good}}}").into_bytes()),
            ("two values", format!("{good}{good}").into_bytes()),
            ("only null", b"null".to_vec()),
            ("only a list", b"[]".to_vec()),
            ("only a text", b"\"x\"".to_vec()),
            ("cut", good.as_bytes()[..good.len() - 1].to_vec()),
            ("single quotes", good.replace('"', "'").into_bytes()),
            ("a comment", format!("/* */ {good}").into_bytes()),
            ("a comma too many", good.replace('}', ",}").into_bytes()),
            ("a form", format!("{field}=https://e.test/").into_bytes()),
        ];
        for (what, body) in rows {
            let row = format!("{path}: {what}");
            let answer = admin.send("POST", path, &[], Some(&body));
            assert!(wanted.contains(&answer.status), "{row}: {answer:?}");
            let shown = answer.json();
            let shape = match path {
                "/api/v1/links" => shown["error"].is_string(),
                "/api/links" => shown["error"]["code"] == "VALIDATION_ERROR" && shown["success"] == false,
                _ => shown["statusCode"] == answer.status,
            };
            assert!(shape, "{row}: {shown}");
        }
        assert_eq!(admin.get("/api/v1/links").json()["total"], 0, "{path}: nothing is made");
    }
}

/// A response before the request's body has arrived either ends the connection or leaves it usable.
#[test]
fn a_body_that_is_not_read_ends_the_connection_in_order() {
    let app = TestApp::start();
    app.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let one = "/api/v1/links/00000000000000000000";
    for (method, path) in
        [("GET", "/api/v1/links"), ("GET", one), ("DELETE", one), ("POST", "/s"), ("GET", "/s")]
    {
        let row = format!("{method} {path}");
        let mut connection = Connection::open(app.address()).expect("accepted");
        let head = format!("{row} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {KEY}\r\nContent-Length: 4\r\n\r\n");
        connection.send(head.as_bytes()).expect("sent");
        let answer = connection.receive(false).expect("in order").expect("an answer");
        // The client may get the end of the connection before it has sent the body.
        let _ = connection.send(b"null");
        if !answer.closes() {
            connection.send(format!("GET /s HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).expect("sent");
            let next = connection.receive(false).expect("in order").expect("an answer");
            assert_eq!(next.status, 302, "{row}: {answer:?}");
        }
    }
}

/// A client sends a thousand requests in one write and reads nothing for a while. The server answers all in
/// order, and takes little memory until then.
#[test]
fn t19_a_thousand_requests_without_reading() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    let made = server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let before = memory(&server, "VmRSS:");
    let one = format!("GET /s HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut waiting: Vec<Connection> =
        (0..10).map(|_| Connection::open(server.address()).expect("accepted")).collect();
    for connection in &mut waiting {
        connection.send(one.repeat(1_000).as_bytes()).expect("sent");
    }
    std::thread::sleep(Duration::from_secs(1));
    let grown = memory(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KB");
    for connection in &mut waiting {
        for number in 0..1_000 {
            let answer = connection.receive(false).expect("an answer").expect("an answer");
            assert_eq!(answer.header("location"), Some("https://e.test/"), "{number}: {answer:?}");
        }
    }
    assert_eq!(server.admin().clicks(text(&made, "id")), 10_000);
    server.stop();
}

/// Clients that reset a connection during a response leave no open descriptor and no busy thread.
#[test]
fn t22_resets_in_the_middle_of_an_answer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    let descriptors = || fs::read_dir(server.proc("fd")).expect("a running process").count();
    let before = descriptors();
    let bytes = format!("GET /api/docs HTTP/1.1\r\nHost: {HOST}\r\n\r\n").repeat(3);
    for _ in 0..1_000 {
        let mut connection = Connection::open(server.address()).expect("accepted");
        connection.send(bytes.as_bytes()).expect("sent");
        // Closing a socket with unread input resets the connection.
        connection.take(1).expect("the first byte");
    }
    poll("they are let go", PATIENCE, || (descriptors() <= before + 2).then_some(()));
    rests(&server, Duration::from_millis(500));
    assert_eq!(server.visitor().get("/s").status, 302);
    server.stop();
}

/// Returns the CPU time of the process, in hundredths of a second.
fn cpu_ticks(server: &Process) -> u64 {
    let stat = fs::read_to_string(server.proc("stat")).expect("a running process");
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Waits for a pause of this length in which the process uses less than 0.1 s of CPU time.
#[track_caller]
fn rests(server: &Process, pause: Duration) {
    poll("a server that is busy with nobody", PATIENCE, || {
        let before = cpu_ticks(server);
        std::thread::sleep(pause);
        (cpu_ticks(server) - before < 10).then_some(())
    });
}

/// Every deadline counts from the first byte: later bytes do not extend it.
#[test]
fn t23_t24_t25_t33_drips_end_at_the_deadline() {
    let server = Server::start(|config| {
        config.http.header_timeout = Duration::from_millis(400);
        config.http.body_timeout = Duration::from_millis(400);
    });
    let post = format!("POST /api/v1/tags HTTP/1.1\r\nHost: h\r\nX-API-Key: {SERVER_KEY}\r\n");
    // Longer than any drip.
    let length = &format!("{post}Content-Length: 60000\r\n\r\n");
    let chunked = &format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let rows = [
        ("no byte", "", ""),
        ("an empty line", "\r\n", ""),
        ("empty lines", "", "\r\n"),
        ("empty lines, lone LF", "", "\n"),
        ("a request line", "", "a"),
        ("a header", "GET / HTTP/1.1\r\nHost: h\r\nX: ", "y"),
        ("headers", "GET / HTTP/1.1\r\nHost: h\r\n", "X: y\r\n"),
        ("a body", length, " "),
        ("no body", length, ""),
        ("a chunk's size", chunked, "0"),
        ("chunks", chunked, "1\r\n \r\n"),
        ("half a chunk", &format!("{chunked}5\r\nab"), ""),
        ("trailers", &format!("{chunked}0\r\n"), "X: y\r\n"),
        ("a second head", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /", "x"),
    ];
    std::thread::scope(|scope| {
        for (what, first, drip) in rows {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                client.send(first);
                client.drip(what, drip);
            });
        }
    });
    // The server does not wait for the missing rest either.
    for (_, first, _) in rows {
        server.raw(first);
    }
    assert_eq!(server.metric("waypost_http_panics_total"), 0);
}

/// Unfinished heads take no more memory than their buffer.
#[test]
fn t28_unfinished_heads_take_little_memory() {
    const HEADS: usize = 100;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::on(folder.path()).start();
    // Warm up, so that the memory of the first requests is allocated before the measurement.
    for _ in 0..50 {
        server.visitor().get("/nothing");
    }
    let before = memory(&server, "VmRSS:");
    let header = format!("X: {}\r\n", "y".repeat(4_000));
    let mut held = Vec::new();
    for number in 0..HEADS {
        let mut connection = Connection::open(server.address()).expect("accepted");
        connection.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n").as_bytes()).expect("sent");
        // Half of them stay below the limit of a head. The other half exceed it and are rejected.
        for _ in 0..if number % 2 == 0 { 3 } else { 98 } {
            if connection.send(header.as_bytes()).is_err() {
                break;
            }
        }
        held.push(connection);
    }
    std::thread::sleep(Duration::from_millis(300));
    let grown = memory(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < 20 * HEADS as u64 + 2 * 1024, "{grown} KB for {HEADS} heads");
    assert_eq!(server.visitor().get("/healthz").status, 200);
    drop(held);
    server.stop();
}

/// At the limit of descriptors, accepting takes no CPU time and logs few lines. Connected clients still
/// create and follow links, and the server recovers by itself.
#[test]
fn t29_no_descriptors_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Open connections stay open however long they are idle.
    let mut server = Plan::on(folder.path()).patient().start();
    let (mut admin, mut visitor) = (server.admin(), server.visitor());
    admin.create(&json!({"url": "https://e.test/", "customSlug": "s"}));
    assert_eq!(visitor.get("/s").status, 302);
    // Lowered while the server runs, below what its connection limit keeps free.
    let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).expect("a process");
    let open = fs::read_dir(server.proc("fd")).expect("a running process").count() as u64;
    // The process has the hard limit of this one.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum });
    let old = match limit(open + 20) {
        Ok(old) => old,
        Err(error) => {
            not_tested(&format!("no descriptors left: {error}"));
            return;
        }
    };
    let held: Vec<_> = (0..100).filter_map(|_| Connection::open(server.address()).ok()).collect();
    assert!(held.len() > 50, "the kernel's queue takes them: {}", held.len());
    poll("the limit", PATIENCE, || server.stderr().contains("cannot accept connections").then_some(()));
    rests(&server, Duration::from_millis(1_500));
    let (start, before) = (Instant::now(), server.stderr().lines().count());
    std::thread::sleep(Duration::from_millis(1_500));
    let lines = server.stderr().lines().count() - before;
    assert!(lines as u64 <= 15 + 2 * start.elapsed().as_secs(), "{lines} lines: {}", server.stderr());
    // Connected clients: everything works, and the log needs no new descriptor.
    for number in 0..20 {
        assert_eq!(visitor.get("/s").status, 302, "{number}");
        admin.create(&json!({"url": "https://e.test/", "customSlug": format!("n{number}")}));
    }
    drop(held);
    limit(old.current.unwrap_or(20_000)).expect("as before");
    poll("others are let in again", PATIENCE, || {
        Connection::open(server.address()).ok().and_then(|mut connection| {
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").ok()?;
            connection.receive(false).ok().flatten().filter(|answer| answer.status == 200)
        })
    });
    assert!(server.is_running());
    server.stop();
    // With a low limit from the start, half of the descriptors are reserved from connections.
    let server = Plan::on(folder.path()).descriptors(64).start();
    let held: Vec<_> = (0..100).filter_map(|_| Connection::open(server.address()).ok()).collect();
    rests(&server, Duration::from_millis(700));
    assert!(!server.stderr().contains("cannot accept"), "{}", server.stderr());
    drop(held);
    poll("a place", PATIENCE, || {
        let mut admin = server.admin();
        let body = json!({"url": "https://e.test/"}).to_string();
        admin.try_send("POST", "/api/v1/links", &[], Some(body.as_bytes())).ok().filter(|a| a.status == 201)
    });
    server.signal(Signal::TERM);
    let mut server = server;
    assert_eq!(server.ends("the end").code(), Some(0), "{}", server.stderr());
}
