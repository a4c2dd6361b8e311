//! What hyper leaves to this server, and what the server relies on hyper for, over raw sockets. After each
//! case the server answers `/healthz` and has counted no panic.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::process::{PATIENCE, poll};
use crate::support::server::{FAR, KEY, Server, patient, status};

fn healthy(server: &Server) {
    let text = server.get("/healthz", "");
    assert!(text.ends_with("{\"status\":\"ok\"}\n"), "{text}");
    assert_eq!(server.metric("waypost_http_panics_total"), 0);
}

/// The deadline that a test waits for; all others are [`FAR`].
const SOON: Duration = Duration::from_millis(300);

/// Returns a request head of a length that the tests below rely on.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
}

#[test]
fn t01_t120_refused_and_closed() {
    let server = Server::start(patient);
    let post = |lines: &str, body: &str| {
        format!("POST /api/v1/links HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n{body}")
    };
    let long = "a".repeat(9_000);
    let longer = "a".repeat(70_000);
    let many = "X: y\r\n".repeat(101);
    let big = format!("X: {}\r\n", "y".repeat(64 * 1024));
    let name = "a".repeat(300);
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let rows: Vec<(&str, String, &[u16])> = vec![
        (
            "length and chunks",
            post(
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                &format!("2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            ),
            &[400],
        ),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), &[400]),
        ("signed length", post("Content-Length: +2\r\n", "{}"), &[400]),
        ("negative length", post("Content-Length: -1\r\n", ""), &[400]),
        ("length beyond u64", post("Content-Length: 18446744073709551616\r\n", ""), &[400]),
        ("unknown coding", post("Transfer-Encoding: xchunked\r\n", ""), &[400]),
        ("chunk size with underscore", post("Transfer-Encoding: chunked\r\n", "0_2\r\n{}\r\n"), &[400]),
        ("no Host", "GET /s HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("two Hosts", "GET /s HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".to_owned(), &[400]),
        ("Host with a path", "GET /s HTTP/1.1\r\nHost: evil.test/x\r\n\r\n".to_owned(), &[400]),
        ("Host with user", "GET /s HTTP/1.1\r\nHost: a b/@evil\r\n\r\n".to_owned(), &[400]),
        ("empty Host", "GET /s HTTP/1.1\r\nHost: \r\n\r\n".to_owned(), &[400]),
        ("port beyond 65535", "GET /s HTTP/1.1\r\nHost: h:99999\r\n\r\n".to_owned(), &[400]),
        ("half an address", "GET /s HTTP/1.1\r\nHost: [::1\r\n\r\n".to_owned(), &[400]),
        ("long Host", format!("GET /s HTTP/1.1\r\nHost: {name}\r\n\r\n"), &[400]),
        ("space before colon", "GET /s HTTP/1.1\r\nHost : h\r\n\r\n".to_owned(), &[400]),
        ("folded line", "GET /s HTTP/1.1\r\nHost: h\r\n b: c\r\n\r\n".to_owned(), &[400]),
        ("long path", get(&format!("/{long}")), &[414]),
        ("longer path", get(&format!("/{longer}")), &[414, 431]),
        ("many headers", format!("GET /s HTTP/1.1\r\nHost: h\r\n{many}\r\n"), &[431]),
        ("a big header", format!("GET /s HTTP/1.1\r\nHost: h\r\n{big}\r\n"), &[431]),
        ("TRACE", "TRACE /s HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), &[405]),
        ("CONNECT", "CONNECT evil:443 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), &[405]),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), &[405]),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400]),
        ("HTTP/1.2", "GET /s HTTP/1.2\r\nHost: h\r\n\r\n".to_owned(), &[400]),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}hello".to_owned(), &[400]),
        ("a declared 2 GB", post("Content-Length: 2147483648\r\n", ""), &[413]),
        (
            "10 MB after 100-continue",
            post("Expect: 100-continue\r\nContent-Length: 10485760\r\n", ""),
            &[413],
        ),
        ("gzip", post("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"), &[415]),
    ];
    for (what, bytes, wanted) in rows {
        let text = server.answers_once(what, &bytes, wanted);
        assert!(!text.to_ascii_lowercase().contains("\r\nserver:"), "{what}: {text}");
        if wanted == [405] {
            assert!(text.to_ascii_lowercase().contains("allow: get, head"), "{what}: {text}");
        }
    }
    healthy(&server);
    let server = Server::start(|config| {
        patient(config);
        config.http.body_timeout = SOON;
    });
    for (what, lines, body) in [
        ("stalled body", "Content-Length: 10\r\n", ""),
        ("stalled chunk", "Transfer-Encoding: chunked\r\n", "5\r\nab"),
    ] {
        server.answers_once(what, post(lines, body), &[408]);
    }
    healthy(&server);
}

#[test]
fn t49_t78_answered_and_open() {
    let server = Server::start(patient);
    let rows = [
        ("empty port", "GET /s HTTP/1.1\r\nHost: h:\r\n", 404),
        ("absolute form", "GET http://other.test/s HTTP/1.1\r\nHost: h\r\n", 404),
        ("HTTP/1.0 without Host", "GET /healthz HTTP/1.0\r\n", 200),
        ("escapes that are none", "GET /%zz HTTP/1.1\r\nHost: h\r\n", 404),
        ("bad UTF-8", "GET /%ff HTTP/1.1\r\nHost: h\r\n", 404),
        ("NUL", "GET /%00 HTTP/1.1\r\nHost: h\r\n", 404),
        ("an open redirect", "GET //evil.test/%2e%2e HTTP/1.1\r\nHost: localhost\r\n", 404),
        ("reserved", "GET /assets/../../etc/passwd HTTP/1.1\r\nHost: h\r\n", 404),
        ("POST to a code", "POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n", 405),
        ("a long method", &format!("{} /s HTTP/1.1\r\nHost: h\r\n", "A".repeat(1_024)), 405),
        ("robots", "GET /robots.txt HTTP/1.1\r\nHost: h\r\n", 200),
        ("icon", "HEAD /favicon.ico HTTP/1.1\r\nHost: h\r\n", 200),
        ("ready", "GET /readyz HTTP/1.1\r\nHost: evil.test\r\n", 200),
        ("metrics without key", "GET /metrics HTTP/1.1\r\nHost: h\r\n", 401),
        ("metrics", &format!("GET /metrics HTTP/1.1\r\nHost: h\r\nX-API-Key: {KEY}\r\n"), 200),
        ("preflight", "OPTIONS /api/v1/links HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.test\r\n", 405),
    ];
    for (what, head, want) in rows {
        let text = server.raw(format!("{head}Connection: close\r\n\r\n"));
        assert_eq!(status(&text), want, "{what}: {text}");
        assert!(
            !text.contains("evil.test") && !text.to_ascii_lowercase().contains("location:"),
            "{what}: {text}"
        );
        assert!(!text.to_ascii_lowercase().contains("access-control"), "{what}: {text}");
    }
    healthy(&server);
}

#[test]
fn slow_heads_and_idle_connections_are_closed() {
    let server = Server::start(|config| {
        patient(config);
        config.http.header_timeout = SOON;
    });
    for bytes in ["", "\r\n", "GET / HTTP/1.1\r\nHost: h\r\n", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let start = Instant::now();
        server.raw(bytes);
        let took = start.elapsed();
        assert!(took >= SOON, "{bytes:?}: {took:?}");
    }
    // Occasional bytes do not extend the deadline.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: ");
    client.drip("a head", "h");
    healthy(&server);
}

#[test]
fn t19_a_thousand_pipelined_requests_are_answered_in_order() {
    let server = Server::start(patient);
    let mut bytes = String::new();
    for number in 0..1_000 {
        bytes += if number % 2 == 0 {
            "GET /robots.txt HTTP/1.1\r\nHost: h\r\n\r\n"
        } else {
            "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
        };
    }
    bytes += "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let mut client = server.connect();
    client.send(bytes);
    let text = client.rest();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 1_001);
    let kinds: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("content-type: "))
        .map(|kind| kind.starts_with("text/plain"))
        .collect();
    assert!(kinds[..1_000].chunks(2).all(|pair| pair == [true, false]), "in order");
    healthy(&server);
}

/// A connection with many requests ends in order, and loses no request that was sent ahead.
#[test]
fn a_connection_ends_in_order_after_a_thousand_requests() {
    let server = Server::start(patient);
    let request = "GET /robots.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = server.connect();
    // In pairs, so that no request is alone, and past the last one.
    for _ in 0..600 {
        client.send(request.repeat(2));
        let answers = client.until("Disallow: /api/\n", 2);
        assert!(!answers.contains("connection: close"), "{answers}");
    }
    // Then alone, for as many requests as other connections have: a read that ends with a request does not show
    // that no other follows (docs/decisions.md). Counted from the first of the last pair.
    for number in 2..1_000 {
        client.send(request);
        let answer = client.until("Disallow: /api/\n", 1);
        assert!(!answer.contains("connection: close"), "{number}: {answer}");
    }
    client.send(request);
    let last = client.rest();
    assert!(last.contains("connection: close") && last.ends_with("Disallow: /api/\n"), "{last}");
    // One at a time.
    let mut client = server.connect();
    for number in 1..1_000 {
        client.send(request);
        let answer = client.until("Disallow: /api/\n", 1);
        assert!(!answer.contains("connection: close"), "{number}: {answer}");
    }
    client.send(request);
    assert!(client.rest().contains("connection: close"));
    // A client does not pipeline behind a request that may change something.
    let request = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let mut client = server.connect();
    for number in 1..1_000 {
        client.send(&request);
        let answer = client.until("HTTP/1.1 400 Bad Request", 1);
        assert!(!answer.contains("connection: close"), "{number}: {answer}");
    }
    client.send(&request);
    assert!(client.rest().contains("connection: close"));
    healthy(&server);
}

/// The rejection of a head arrives although the rest of the head is unread.
#[test]
fn the_rejection_of_an_unfinished_head_arrives() {
    let server = Server::start(patient);
    server.refuses_early(
        "a head without end",
        |client| {
            client.tell("GET /")?;
            (0..64).try_for_each(|_| client.tell("a".repeat(64 * 1024)))
        },
        |text| text.starts_with("HTTP/1.1 431 ") || text.starts_with("HTTP/1.1 414 "),
    );
    healthy(&server);
}

/// The rejection of an upload behind another request arrives completely.
/// Far more than the requests after which a connection ends: a read that ends with a request does not show that no
/// other follows.
#[test]
fn sixty_thousand_requests_sent_ahead_are_all_answered() {
    const REQUESTS: usize = 60_000;
    let server = Server::start(patient);
    let socket = TcpStream::connect(server.address).expect("open");
    let mut sending = socket.try_clone().expect("a socket");
    let sender = std::thread::spawn(move || {
        let one = "GET /robots.txt HTTP/1.1\r\nHost: h\r\n\r\n";
        for _ in 0..REQUESTS / 100 {
            sending.write_all(one.repeat(100).as_bytes()).expect("the connection stays open");
        }
    });
    socket.set_read_timeout(Some(PATIENCE)).expect("open");
    let mut lines = BufReader::new(socket).lines();
    for number in 0..REQUESTS {
        let found =
            lines.by_ref().find(|line| line.as_ref().map_or(true, |line| line.starts_with("HTTP/1.1 ")));
        let line = found.unwrap_or_else(|| panic!("closed after {number}")).expect("not reset");
        assert_eq!(line, "HTTP/1.1 200 OK", "{number}");
    }
    sender.join().expect("no panic");
    healthy(&server);
}

#[test]
fn the_rejection_of_a_pipelined_upload_arrives() {
    let server = Server::start(patient);
    let body = "x".repeat(4 * 1024 * 1024);
    let length = body.len();
    let head = format!(
        "GET /robots.txt HTTP/1.1\r\nHost: h\r\n\r\nPOST /api/v1/links HTTP/1.1\r\nHost: h\r\n\
         Authorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n"
    );
    server.refuses_early(
        "an upload behind another request",
        |client| {
            client.tell(&head)?;
            body.as_bytes().chunks(64 * 1024).try_for_each(|part| client.tell(part))
        },
        |text| text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("HTTP/1.1 413 "),
    );
    healthy(&server);
}

#[test]
fn a_response_does_not_wait_for_a_half_request_behind_it() {
    let server = Server::start(patient);
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz HTTP/1.1\r\nHo");
    client.until("ok\"}", 1);
    client.send("st: h\r\nConnection: close\r\n\r\nand more that nobody reads");
    assert!(client.rest().ends_with("{\"status\":\"ready\"}\n"));
    // A rejection arrives whatever part of the body came with the head.
    let refused = |what: &str, length: usize| {
        let head = format!("POST /api/v1/links HTTP/1.1\r\nHost: h\r\nX-API-Key: {KEY}\r\n");
        let upload = format!("{head}Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
        server.refuses_early(what, |client| client.tell(&upload), |text| status(text) == 413);
    };
    refused("a body that came with the head", 100_000);
    // For any length of the body, and whether or not the client reads before it has sent everything.
    for round in 0..10 {
        refused(&format!("round {round}"), 9_000_000);
    }
    healthy(&server);
}

#[test]
fn t22_a_half_closed_client_still_gets_its_answer() {
    let server = Server::start(patient);
    let mut client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    client.finish();
    assert_eq!(status(&client.rest()), 200);
    healthy(&server);
}

#[test]
fn t30_surplus_connections_are_closed_at_once() {
    let server = Server::start(|config| {
        patient(config);
        config.http.max_connections = Some(2);
    });
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        client.until("ok\"}", 1);
    }
    assert_eq!(server.raw(""), "");
    first.send("GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
    first.until("ready", 1);
    drop((first, second));
    poll("a place", PATIENCE, || (status(&server.raw(get("/healthz"))) == 200).then_some(()));
    assert!(server.metric("waypost_http_connections_surplus_total") >= 1);
}

/// The limit of connections is per address, and does not apply to trusted proxies.
#[test]
fn t31_one_address_does_not_occupy_all_connections() {
    let server = Server::start(|config| {
        patient(config);
        config.http.max_connections_per_address = 2;
        config.http.trusted_proxies = vec!["127.0.0.3".to_owned()];
    });
    let served = |address: [u8; 4]| {
        let mut client = server.connect_from(address);
        client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        client.until("ok\"}", 1);
        client
    };
    let mut held: Vec<_> = (0..2).map(|_| served([127, 0, 0, 1])).collect();
    assert_eq!(server.raw(""), "", "closed");
    held.extend((0..2).map(|_| served([127, 0, 0, 2])));
    held.extend((0..5).map(|_| served([127, 0, 0, 3])));
    // A closed connection frees its slot.
    held.remove(0);
    poll("a place", PATIENCE, || (status(&server.raw(get("/healthz"))) == 200).then_some(()));
}

/// A scanner is limited, others are not, and valid links still open for it.
#[test]
fn t81_unknown_codes_are_limited_by_address() {
    const PER_MINUTE: usize = 20;
    let server = Server::start(|config| {
        patient(config);
        config.limits.misses_per_minute = u32::try_from(PER_MINUTE).expect("small");
        config.http.trusted_proxies = vec!["127.0.0.3".to_owned()];
    });
    let link = server.api("POST", "/api/v1/links", r#"{"url": "https://e.test/", "customSlug": "s"}"#);
    assert_eq!(link.status, 201, "{link:?}");
    let visit = |address: [u8; 4], target: &str, more: &str| {
        let mut client = server.connect_from(address);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"));
        client.rest()
    };
    // Returns how many unknown codes get 404 before the first 429, and the 429. The limit starts again with
    // each minute of the server, so the number of minutes that may have begun is one more than have passed.
    let scan = |address: [u8; 4], more: &str| {
        let start = Instant::now();
        for misses in 0.. {
            let text = visit(address, &format!("/no{misses}"), more).to_ascii_lowercase();
            if status(&text) == 429 {
                return (misses, text);
            }
            assert_eq!(status(&text), 404, "{text}");
            let minutes = usize::try_from(start.elapsed().as_secs() / 60).expect("small") + 2;
            assert!(misses < PER_MINUTE * minutes && minutes < 12, "{misses} misses in {minutes} minutes");
        }
        unreachable!("it ends before there are no more numbers")
    };
    let (first, text) = scan([127, 0, 0, 2], "");
    assert!(first >= PER_MINUTE, "{first}");
    assert!(text.contains("\r\nretry-after: "), "{text}");
    assert_eq!(status(&visit([127, 0, 0, 2], "/s", "")), 302);
    assert_eq!(status(&visit([127, 0, 0, 1], "/no", "")), 404);
    // Behind a trusted proxy, the visitor is limited and not the proxy.
    scan([127, 0, 0, 3], "X-Forwarded-For: 127.0.0.2\r\n");
    assert_eq!(status(&visit([127, 0, 0, 3], "/no", "X-Forwarded-For: 198.51.100.1\r\n")), 404);
    healthy(&server);
}

/// Unfinished uploads occupy the slots of uploads, and do not affect finished requests or redirects.
#[test]
fn a_crowd_at_the_api_does_not_affect_visitors() {
    let server = Server::start(|config| {
        patient(config);
        config.http.max_connections_per_address = 2_000;
    });
    let link = server.api("POST", "/api/v1/links", r#"{"url": "https://e.test/", "customSlug": "s"}"#);
    assert_eq!(link.status, 201, "{link:?}");
    let head = |path: &str| {
        let key = format!("Authorization: Bearer {KEY}");
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\n{key}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let begin = |path: &str| {
        let mut client = server.connect();
        client.send(head(path));
        client
    };
    // The response 100 Continue means that the body is being read.
    let mut crowd: Vec<_> = (0..1_024).map(|_| begin("/api/v1/links")).collect();
    for client in &mut crowd {
        client.until("100 Continue", 1);
    }
    let refused = begin("/api/v1/links").rest().to_ascii_lowercase();
    assert!(refused.contains("http/1.1 503 ") && refused.contains("\r\nretry-after: "), "{refused}");
    let served = server.api("GET", "/api/v1/links", "");
    assert_eq!(served.status, 200, "{served:?}");
    let visit = "GET /s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&server.raw(visit)), 302);
    drop(crowd);
    let bulk = r#"{"links": [{"url": "https://e.test/"}]}"#;
    poll("room for a body", PATIENCE, || {
        (server.api("POST", "/api/v1/links/bulk", bulk).status == 201).then_some(())
    });
    // Four large bodies at once: the fifth waits before it is read, and others do not wait.
    let mut bulks: Vec<_> = (0..4).map(|_| begin("/api/v1/links/bulk")).collect();
    for client in &mut bulks {
        client.until("100 Continue", 1);
    }
    let mut fifth = begin("/api/v1/links/bulk");
    assert_eq!(server.api("GET", "/api/v1/links", "").status, 200);
    bulks.pop();
    fifth.until("100 Continue", 1);
    healthy(&server);
}

#[test]
fn a_drain_completes_requests_and_cuts_stalled_ones() {
    let begin = |server: &Server, length: usize| {
        let mut client = server.connect();
        client.send(format!(
            "POST /api/v1/tags HTTP/1.1\r\nHost: h\r\nX-API-Key: {KEY}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        ));
        client.until("100 Continue", 1);
        client
    };
    // An idle connection is closed. A half-sent body is completed, and its response closes the connection.
    let server = Server::start(|config| {
        patient(config);
        config.http.drain_timeout = FAR;
    });
    let mut idle = server.connect();
    idle.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    idle.until("ok\"}", 1);
    let mut busy = begin(&server, 12);
    busy.send("{\"name\":");
    let address = server.address;
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(idle.rest(), "", "an idle connection is closed");
    let refused = std::net::TcpStream::connect(address);
    assert!(refused.is_err(), "the listener is closed before the drain ends");
    busy.send("\"t\"}");
    let text = busy.rest();
    assert!(
        text.contains("201 Created") && text.to_ascii_lowercase().contains("connection: close"),
        "{text}"
    );
    poll("the end of a drain that has nothing left", PATIENCE, || stopping.is_finished().then_some(()));
    stopping.join().expect("it stops");
    // A stalled body is cut.
    let server = Server::start(|config| {
        patient(config);
        config.http.drain_timeout = SOON;
    });
    let stalled = begin(&server, 100);
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(stalled.rest(), "", "the stalled request is cut");
    stopping.join().expect("it stops");
}
