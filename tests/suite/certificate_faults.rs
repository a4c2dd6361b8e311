//! Names and files that fail, and what they must not do to others.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use super::certificates::{DOMAINS, LATE, https_of, problems, valid};
use crate::support::acme_mock::{AcmeMock, Manner};
use crate::support::app::{HOST, TestApp};
use crate::support::https_app::HttpsApp;
use crate::support::pebble::{Pebble, visit};
use crate::support::process::{PATIENCE, poll};

/// Accepts and counts connections, and keeps them open without a byte.
fn silent(address: SocketAddr) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(address).expect("a free address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            kept.push(stream);
        }
    });
    count
}

/// Begins a handshake for a name, from an address of this machine.
fn begin(from: &str, to: SocketAddr, name: &str, clients: &Arc<ClientConfig>) -> TcpStream {
    let mut socket = connect_from(from, to);
    let name = name.to_owned().try_into().expect("a name");
    let mut session = ClientConnection::new(Arc::clone(clients), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory");
    socket.write_all(&hello).expect("an open socket");
    socket
}

/// Connects from an address of this machine.
fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let from = SocketAddr::new(from.parse::<IpAddr>().expect("an address"), 0);
    let made = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&made, &from).expect("an address of this machine");
    connect(&made, &to).expect("an open port");
    TcpStream::from(made)
}

/// The visitor of a good name does not wait for forty names whose address drops what it gets, nor for those that another
/// visitor keeps waiting for.
#[test]
fn names_that_fail_delay_no_other() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let lost = SocketAddr::new("127.98.0.2".parse().expect("an address"), pebble.https.port());
    silent(lost);
    let app = TestApp::start_in_time(|config| {
        pebble.configure(config, &[HOST]);
        // The handshakes that wait end with the test.
        config.http.drain_timeout = Duration::from_millis(100);
    });
    valid(&app, HOST);
    for number in 0..40 {
        let name = format!("lost{number}.test");
        pebble.lead(&name, &["127.98.0.2"]);
        app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, "a domain");
    }
    // One address waits for many of them, and takes the visitors of others no place.
    let waiting: Vec<_> = (0..80)
        .map(|number| begin("127.96.0.1", pebble.https, &format!("lost{}.test", number % 40), &clients))
        .collect();
    app.admin().post(DOMAINS, &json!({"domain": "good.test"})).expect(201, "a domain");
    // A handshake waits for ten seconds at most.
    let response = visit(pebble.https, "good.test", "/none", &clients).expect("it has a certificate");
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    drop(waiting);
}

#[test]
fn a_file_that_blocks_delays_nothing() {
    let app = HttpsApp::start();
    let key = app.folder.path().join("key.pem");
    fs::remove_file(&key).expect("it is there");
    rustix::fs::mkfifoat(rustix::fs::CWD, &key, rustix::fs::Mode::RWXU).expect("a pipe");
    let (certificates, now) = (app.app.app().certificates().clone(), app.app.clock().now());
    let reload = thread::spawn(move || certificates.reload(now));
    let mut visitor = app.app.visitor();
    assert_eq!(visitor.get("/healthz").status, 200);
    assert_eq!(app.app.admin().get(DOMAINS).status, 200);
    poll("the reload ends", PATIENCE, || reload.is_finished().then_some(()));
    assert!(app.connect(&["http/1.1"]).protocol().is_some(), "the certificate before is in use");
    // The next start would fail.
    assert!(visitor.get("/healthz").text().contains("cannot be used"), "{}", visitor.get("/healthz").text());
    app.authority.issue(app.folder.path(), &[HOST]);
    app.app.app().certificates().reload(app.app.clock().now());
    assert!(!visitor.get("/healthz").text().contains("cannot be used"));
}

#[test]
fn the_longest_name_is_kept_and_a_file_of_a_customer_does_not_degrade() {
    let mock = AcmeMock::start(Manner::default());
    let app = TestApp::start_in_time(|config| {
        mock.configure(config, &[HOST]);
        fs::create_dir_all(config.data_dir.join("tls/stuck.test.pem"))
            .expect("a folder in the place of a file");
    });
    let label = "x".repeat(63);
    let long = format!("{label}.{label}.{label}.{}.test", "y".repeat(42));
    assert_eq!(long.len(), 239);
    for name in [long.as_str(), "stuck.test"] {
        app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, "a domain");
    }
    for name in [HOST, &long, "stuck.test"] {
        valid(&app, name);
    }
    let written = |app: &TestApp| {
        let found = fs::read_dir(app.data_dir().join("tls")).expect("a folder").flatten();
        found
            .filter(|entry| {
                entry.path().is_file() && entry.path().extension().is_some_and(|end| end == "pem")
            })
            .count()
    };
    poll("both are written", LATE, || (written(&app) == 2).then_some(()));
    assert!(!problems(&app).contains("cannot be written"), "{}", problems(&app));
    let app = app.restart();
    valid(&app, &long);
    let orders = mock.orders().len();
    assert!(orders <= 4, "the long name is not ordered again: {orders}");
}

#[test]
fn an_address_that_is_not_the_first_name_gets_its_certificate() {
    let pebble = Pebble::start();
    let clients = pebble.clients();
    let address = pebble.https.ip().to_string();
    let app = TestApp::start_in_time(|config| pebble.configure(config, &[HOST, &address]));
    for name in [HOST, &address] {
        valid_name(pebble.https, name, &clients);
    }
    drop(app);
}

/// Returns once a visit with a trusted certificate is answered.
fn valid_name(to: SocketAddr, name: &str, clients: &Arc<ClientConfig>) {
    poll("a visit is answered", Duration::from_secs(20), || visit(to, name, "/none", clients).ok());
}

#[test]
fn names_of_tenants_do_not_tell_what_is_in_this_network() {
    let mock = AcmeMock::start(Manner::default());
    let inside = SocketAddr::new("127.98.0.3".parse().expect("an address"), mock.https.port());
    let count = silent(inside);
    let app = TestApp::start_in_time(|config| {
        mock.configure(config, &[HOST]);
        config.webhooks.allowed_networks.clear();
        let own = mock.https.ip();
        config.https.internet.lookup = Arc::new(move |name| {
            let address = if name == HOST { own } else { inside.ip() };
            // One private address among others.
            Ok(if name == "mixed.test" {
                vec!["192.0.32.8".parse().expect("global"), address]
            } else {
                vec![address]
            })
        });
    });
    // The operator's own name may be private.
    valid(&app, HOST);
    for name in ["inside.test", "mixed.test"] {
        app.admin().post(DOMAINS, &json!({"domain": name})).expect(201, "a domain");
        let why =
            poll("a try that fails", LATE, || https_of(&app, name)["failure"].as_str().map(str::to_owned));
        let want = format!(
            "no certificate for {name} yet: {name} does not lead here: give its A record the address of this machine; \
             next try "
        );
        assert!(why.starts_with(&want), "{why}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "nothing was connected to");
}
