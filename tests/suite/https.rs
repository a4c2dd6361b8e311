//! HTTPS: handshakes, certificates of the owner, the end of a connection, and the redirect from HTTP.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use waypost::certificates::settings::PlainHttp;
use waypost::http::conn::server::ProxiedListener;
use waypost::settings::listen::Listen;

use crate::support::app::{HOST, KEY};
use crate::support::http::{Client, raw};
use crate::support::https_app::HttpsApp;
use crate::support::process::PATIENCE;
use crate::support::tls::TlsClient;

/// Time for a handshake in these tests.
const WITHIN: Duration = Duration::from_millis(500);

/// How late a deadline may be on a busy machine.
const LATE: Duration = Duration::from_secs(20);

/// Returns the time after which the server closed the connection, and what it sent.
fn until_closed(mut socket: TcpStream) -> (Duration, Vec<u8>) {
    let from = Instant::now();
    socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut bytes);
    (from.elapsed(), bytes)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("an open port")
}

/// Returns the first bytes that a client of this name sends.
fn hello(app: &HttpsApp, name: &str) -> Vec<u8> {
    use tokio_rustls::rustls::ClientConnection;
    let name = name.to_owned().try_into().expect("a name");
    let mut session = ClientConnection::new(app.authority.trusting(&["http/1.1"]), name).expect("a session");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("memory");
    bytes
}

#[test]
fn t32_a_handshake_that_does_not_go_on_is_closed_in_time() {
    let app = HttpsApp::start_with(|config| config.http.header_timeout = WITHIN);
    let whole = hello(&app, HOST);
    for (row, bytes) in
        [("nothing", &[][..]), ("a byte", &whole[..1]), ("half a hello", &whole[..whole.len() / 2])]
    {
        let mut socket = connect(app.address);
        socket.write_all(bytes).expect("an open socket");
        let (took, _) = until_closed(socket);
        assert!(took >= WITHIN / 2 && took < WITHIN + LATE, "{row}: {took:?}");
    }
    // Single bytes do not extend it.
    let mut socket = connect(app.address);
    let from = Instant::now();
    for byte in whole.iter().take(100) {
        if socket.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    until_closed(socket);
    assert!(from.elapsed() < WITHIN + LATE + Duration::from_secs(5), "{:?}", from.elapsed());
}

#[test]
fn t32_what_is_no_handshake_is_closed_at_once() {
    // A deadline that would be noticed.
    let app = HttpsApp::start_with(|config| config.http.header_timeout = PATIENCE);
    let mut large = vec![22, 3, 1, 64, 0, 1, 0, 63, 252];
    large.resize(32 * 1024, 7);
    for (row, bytes) in [("garbage", vec![0xff; 300]), ("a hello of 16 KB", large), ("zeros", vec![0; 4_000])]
    {
        let mut socket = connect(app.address);
        // The server may close before all of it is sent.
        let _ = socket.write_all(&bytes);
        let (took, sent) = until_closed(socket);
        assert!(took < LATE && sent.len() < 64, "{row}: {took:?} {sent:?}");
    }
}

#[test]
fn t32_a_hello_in_fragments_is_answered() {
    let app = HttpsApp::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let between = listener.local_addr().expect("bound");
    let target = app.address;
    // Passes the client's bytes on in pieces of 20.
    let passing = thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        let server = connect(target);
        server.set_nodelay(true).expect("an open socket");
        let (mut from, mut to) =
            (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        let forth = thread::spawn(move || {
            let mut bytes = [0; 20];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                to.write_all(&bytes[..count]).expect("an open socket");
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let (mut server, mut client) = (server, client);
        let _ = std::io::copy(&mut server, &mut client);
        drop(client);
        let _ = forth.join();
    });
    let mut client =
        TlsClient::connect(between, HOST, app.authority.trusting(&["http/1.1"])).expect("a handshake");
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).expect("sent");
    let answer = client.rest().expect("a whole answer");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    drop(client);
    passing.join().expect("no panic");
}

#[test]
fn t32_versions_before_1_2_and_unknown_names_get_their_alert() {
    let app = HttpsApp::start();
    // A hello of TLS 1.1: no extension names a later version. Alert 70 is `protocol_version`.
    let mut old = vec![1, 0, 0, 55, 3, 2];
    old.extend([7; 32]);
    old.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    // The algorithms of signatures, without which a hello is refused for another reason.
    old.extend([0, 10, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let mut record = vec![22, 3, 1, 0, u8::try_from(old.len()).expect("short")];
    record.extend(old);
    // Alert 112 is `unrecognized_name` (RFC 6066 3).
    for (row, bytes, alert) in [("TLS 1.1", record, 70), ("another name", hello(&app, "other.test"), 112)] {
        let mut socket = connect(app.address);
        socket.write_all(&bytes).expect("an open socket");
        let (_, sent) = until_closed(socket);
        assert_eq!(sent.get(5..), Some(&[2, alert][..]), "{row}: {sent:?}");
    }
    // No name: the client connects to an address, and gets the certificate of the first domain.
    let config = app.authority.trusting(&["http/1.1"]);
    let error = TlsClient::connect(app.address, "127.0.0.1", config).err().expect("another name").to_string();
    assert!(error.contains(HOST) || error.contains("NotValidForName"), "{error}");
}

#[test]
fn http_on_the_port_of_https_is_explained() {
    let app = HttpsApp::start();
    let answer =
        raw(app.address, format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).expect("an answer");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("use a URL that begins with https://"), "{}", answer.text());
    assert!(answer.closes());
}

#[test]
fn a_connection_ends_with_close_notify_after_its_last_response() {
    let app = HttpsApp::start();
    app.app.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    for (row, request) in [
        ("close", format!("GET /abc HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")),
        ("HTTP/1.0", format!("GET /abc HTTP/1.0\r\nHost: {HOST}\r\n\r\n")),
        // Rejected by hyper, so that the socket lingers.
        ("a bad head", "GET /abc HTTP/1.1\r\nHost: a b\r\nContent-Length: x\r\n\r\n".to_owned()),
    ] {
        let mut client = app.connect(&["http/1.1"]);
        client.send(request).expect("sent");
        let answer = client.rest().unwrap_or_else(|error| panic!("{row}: truncated: {error}"));
        assert!(answer.starts_with(b"HTTP/1."), "{row}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let app = HttpsApp::start();
    let mut admin = app.app.admin();
    for number in 0..3 {
        let url = format!("https://example.com/{number}");
        admin.create(&json!({"url": url, "customSlug": format!("c{number}")}));
    }
    let mut client = app.connect(&["http/1.1"]);
    let mut requests = String::new();
    for number in 0..300 {
        let end = if number == 299 { "Connection: close\r\n" } else { "" };
        let code = number % 3;
        let _ = write!(requests, "GET /c{code} HTTP/1.1\r\nHost: {HOST}\r\n{end}\r\n");
    }
    client.send(requests).expect("sent");
    let text = String::from_utf8(client.rest().expect("whole")).expect("ASCII");
    let seen: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("location: https://example.com/")).collect();
    assert_eq!(seen, (0..300).map(|number| (number % 3).to_string()).collect::<Vec<_>>());
}

#[test]
fn e7_certificates_are_replaced_while_clients_connect() {
    let app = HttpsApp::start();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = app.connect(&["http/1.1"]);
                    client
                        .send(format!("GET /healthz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))
                        .expect("sent");
                    let answer = client.rest().expect("no failed handshake and no truncation");
                    assert!(answer.starts_with(b"HTTP/1.1 200"));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..20 {
            // Another pair each time, with the same names.
            app.authority.issue(app.folder.path(), &[HOST, &format!("r{round}.test")]);
            app.app.app().certificates().reload(app.app.clock().now());
            let before = served.load(Ordering::Relaxed);
            while served.load(Ordering::Relaxed) < before + 4 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    // The last certificate is in use.
    let config = app.authority.trusting(&["http/1.1"]);
    assert!(TlsClient::connect(app.address, "r19.test", config).is_ok());
}

#[test]
fn visits_over_http_lead_to_https_and_the_api_does_not() {
    let app = HttpsApp::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.3".to_owned()]);
    let port = app.address.port();
    let mut admin = app.app.admin();
    admin.create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    let mut visitor = app.app.visitor();
    for (target, want) in
        [("/abc?a=1&b=%20", "/abc?a=1&b=%20"), ("/nope", "/nope"), ("/", "/"), ("/api/docs", "/api/docs")]
    {
        let answer = visitor.get(target);
        assert_eq!(answer.status, 308, "{target}");
        assert_eq!(answer.header("location"), Some(format!("https://{HOST}:{port}{want}").as_str()));
        assert_eq!(answer.header("cache-control"), Some("private, max-age=90"));
        assert_eq!(answer.header("strict-transport-security"), None, "it has no meaning over HTTP");
    }
    // Not a click, and no redirect for hosts without a certificate and for the paths of supervisors.
    assert_eq!(visitor.get("/healthz").status, 200);
    assert_eq!(app.app.visitor().at("other.test").get("/abc").status, 404);
    let link = admin.get("/api/v1/links").expect(200, "the programs of this machine may use the API");
    assert_eq!(link["links"][0]["clickCount"], 0);
    // Over HTTPS the same visit is a click, and the browser remembers to use HTTPS.
    let mut client = app.connect(&["http/1.1"]);
    client.send(format!("GET /abc HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).expect("sent");
    let answer = String::from_utf8(client.rest().expect("whole")).expect("ASCII");
    assert!(answer.contains("location: https://example.com/"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=2592000"), "{answer}");
}

#[test]
fn a_key_over_http_is_refused_with_a_sentence() {
    let app = HttpsApp::start_with(|config| config.listen = Listen::parse("0.0.0.0:0").expect("an address"));
    // An address of this machine that is not loopback.
    let Some(own) = own_address() else {
        return crate::support::process::not_tested("this machine has no address but loopback");
    };
    let address = SocketAddr::new(own, app.app.address().port());
    let rows = [("/api/v1/links", "error"), ("/api/links", "code"), ("/links/", "message")];
    for (path, member) in rows {
        let answer = Client::new(address, HOST).with_key(KEY).get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().to_lowercase().contains("https only"), "{path}: {}", answer.text());
        assert!(answer.text().contains(member), "{path}: {}", answer.text());
        assert_eq!(answer.header("location"), None, "a key that went in clear must be noticed");
    }
    assert_eq!(Client::new(address, HOST).with_key(KEY).get("/metrics").status, 403);
    assert_eq!(Client::new(address, HOST).get("/abc").status, 308);
}

/// Sends a request in clear, and returns the whole answer.
fn in_clear(app: &HttpsApp, request: &[u8]) -> String {
    let mut socket = connect(app.app.address());
    socket.write_all(request).expect("open");
    String::from_utf8(until_closed(socket).1).expect("text")
}

/// A redirect has a URL that exists, or there is none.
#[test]
fn requests_without_a_resource_or_a_host_lead_to_no_invalid_url() {
    let app = HttpsApp::start();
    for request in [
        format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
    ] {
        let answer = in_clear(&app, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 "), "{request}: {answer}");
        assert!(!answer.contains("location:"), "{request}: {answer}");
    }
    // The first domain, as over HTTPS without a name in the handshake.
    let answer = in_clear(&app, b"GET /abc?a=1 HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 308 "), "{answer}");
    let location = format!("location: https://{HOST}:{}/abc?a=1\r\n", app.address.port());
    assert!(answer.contains(&location), "{answer}");
    let answer = in_clear(&app, b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// A key in clear from behind a proxy is as bad as from elsewhere. Only the proxy itself is trusted.
#[test]
fn a_visitor_whom_the_proxy_does_not_know_is_not_the_proxy() {
    let app = HttpsApp::start_with(|config| {
        config.http.proxy_protocol = vec![ProxiedListener::Http];
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    });
    let v2 = |command: u8, family: u8, length: u8| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, family, 0, length]);
        header.resize(header.len() + usize::from(length), 0);
        header
    };
    let rows = [
        ("UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec(), "403"),
        ("UNSPEC", v2(0x21, 0x00, 0), "403"),
        ("UNIX", v2(0x21, 0x31, 216), "403"),
        ("DGRAM", v2(0x21, 0x12, 12), "403"),
        ("LOCAL", v2(0x20, 0x00, 0), "200"),
    ];
    for (row, mut bytes, want) in rows {
        let request = format!(
            "GET /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 127.0.0.1\r\n\
             Authorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        );
        bytes.extend(request.as_bytes());
        let answer = in_clear(&app, &bytes);
        assert_eq!(answer.split(' ').nth(1), Some(want), "{row}: {answer}");
    }
}

#[test]
fn plain_http_may_be_served_beside_https() {
    let app = HttpsApp::start_with(|config| config.https.plain_http = PlainHttp::Serve);
    app.app.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    assert_eq!(app.app.visitor().get("/abc").status, 302);
}

#[test]
fn a_first_request_may_be_longer_than_a_handshake() {
    let app = HttpsApp::start();
    for length in [7_000, 9_000, 30_000] {
        let body = " ".repeat(length);
        let request = format!(
            "POST /api/v1/links HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let config = app.authority.trusting(&["http/1.1"]);
        let client = TlsClient::with_first(app.address, HOST, config, request.as_bytes());
        let answer = client.and_then(|mut client| client.rest());
        let answer =
            String::from_utf8(answer.unwrap_or_else(|error| panic!("{length}: {error}"))).expect("text");
        assert!(answer.starts_with("HTTP/1.1 401"), "{length}: {answer}");
    }
}

#[test]
fn a_proxy_that_ended_tls_is_not_redirected() {
    let app = HttpsApp::start_with(|config| config.http.trusted_proxies = vec!["127.0.0.0/8".to_owned()]);
    app.app.admin().create(&json!({"url": "https://example.com/", "customSlug": "abc"}));
    assert_eq!(app.app.visitor().with("X-Forwarded-For", "192.0.2.7").get("/abc").status, 302);
}

/// Returns an address of this machine that other machines can reach.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Connecting a UDP socket sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}

/// Sends a header of the PROXY protocol, then a request over TLS. Returns the status.
fn through_proxy(app: &HttpsApp, header: &str, path: &str) -> std::io::Result<String> {
    let mut socket = connect(app.address);
    socket.write_all(header.as_bytes())?;
    let mut client = TlsClient::over(socket, HOST, app.authority.trusting(&["http/1.1"]))?;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))?;
    let answer = String::from_utf8(client.rest()?).expect("text");
    Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn the_proxy_protocol_names_the_visitor_and_is_required() {
    let app = HttpsApp::start_with(|config| {
        config.http.proxy_protocol = vec![ProxiedListener::Https];
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
        config.limits.misses_per_minute = 1;
    });
    let header = |address: &str| format!("PROXY TCP4 {address} 10.0.0.1 12345 443\r\n");
    // Unknown codes are limited by address, so each visitor has one.
    for (address, want) in [("192.0.2.1", "404"), ("192.0.2.1", "429"), ("192.0.2.2", "404")] {
        let got = through_proxy(&app, &header(address), "/nope").expect("served");
        assert_eq!(got, want, "{address}");
    }
    // A check of the balancer itself.
    assert_eq!(through_proxy(&app, "PROXY UNKNOWN\r\n", "/healthz").expect("served"), "200");
    assert!(through_proxy(&app, "", "/healthz").is_err(), "without a header");
    assert!(through_proxy(&app, "PROXY TCP4 x y 1 2\r\n", "/healthz").is_err(), "a malformed header");
    // The other listener does not know it.
    let mut socket = connect(app.app.address());
    socket.write_all(header("192.0.2.3").as_bytes()).expect("open");
    socket.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).expect("open");
    let (_, answer) = until_closed(socket);
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn only_trusted_proxies_may_send_the_header() {
    let app = HttpsApp::start_with(|config| {
        config.http.proxy_protocol = vec![ProxiedListener::Https];
        config.http.trusted_proxies = vec!["192.0.2.9".to_owned()];
    });
    assert!(through_proxy(&app, "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n", "/healthz").is_err());
}
