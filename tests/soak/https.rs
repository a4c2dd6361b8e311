//! HTTPS with certificates of the owner: thousands of names without a certificate, and certificates that are
//! replaced under load.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::Report;
use crate::server::{Plan, Server};
use crate::support::tls::{Authority, TlsClient};

/// The name of the certificate.
pub(crate) const NAME: &str = "go.test";

/// Clients at once. Each is a thread that opens one connection after another.
const CLIENTS: usize = 4;

/// The time in which a replaced certificate must be in use after SIGHUP.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two certificates.
const SWAP_PAUSE: Duration = Duration::from_millis(50);

/// The largest binary.
const LARGEST: u64 = 16 << 20;

/// A server with HTTPS for [`NAME`], and one link.
pub(crate) struct HttpsServer {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    /// The id of the link `/s`.
    pub(crate) link: String,
    authority: Authority,
    folder: TempDir,
}

impl HttpsServer {
    pub(crate) fn start(change: impl FnOnce(Plan) -> Plan) -> HttpsServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new();
        let files = authority.issue(folder.path(), &[NAME]);
        let path = |path: &Path| format!("\"{}\"", path.display());
        let pair = format!("[{{chain={},key={}}}]", path(&files.chain), path(&files.key));
        let address = free_address();
        let plan = Plan::default()
            .env("WAYPOST_HTTPS__LISTEN", &address.to_string())
            .env("WAYPOST_HTTPS__CERTIFICATES", &pair);
        let server = change(plan).start(&folder.path().join("data")).expect("it starts");
        let created = server.client().create("s", &json!({}));
        let link = created.json()["link"]["id"].as_str().expect("a link").to_owned();
        HttpsServer { server, address, link, authority, folder }
    }

    /// Returns the configuration of clients that trust its authority.
    pub(crate) fn trusting(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        self.authority.trusting(protocols)
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Visits the link on a new connection. Fails if the handshake does, or if the response is not whole.
pub(crate) fn visit(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<()> {
    let mut client = TlsClient::connect(address, NAME, Arc::clone(config))?;
    client.send(format!("GET /s HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"))?;
    let mut answer = String::new();
    client.0.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 302") { Ok(()) } else { Err(io::Error::other(answer)) }
}

/// E5: handshakes for names that nobody registered cost no order and no memory.
pub(crate) fn e5_handshakes_for_unknown_names(report: &mut Report) {
    let most = if report.is_short() { 1_000 } else { 10_000 };
    // An order begins with a request for the directory.
    let directory = TcpListener::bind("127.0.0.1:0").expect("a port");
    directory.set_nonblocking(true).expect("a socket");
    let url = format!("https://{}/dir", directory.local_addr().expect("bound"));
    let app = HttpsServer::start(|plan| {
        plan.env("WAYPOST_DOMAIN", NAME)
            .env("WAYPOST_PUBLIC_URL", &format!("https://{NAME}"))
            .env("WAYPOST_HTTPS__AUTHORITY", &url)
    });
    let config = app.trusting(&["http/1.1"]);
    let refused = |name: String| {
        let client = TlsClient::connect(app.address, &name, Arc::clone(&config));
        client.is_err_and(|error| error.to_string().contains("UnrecognisedName"))
    };
    // The first ones pay for what is there once.
    let warm = (0..200).filter(|number| refused(format!("w{number}.test"))).count();
    assert_eq!(warm, 200);
    let before = app.server.resident();
    let (next, right) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= most {
                        break;
                    }
                    right.fetch_add(usize::from(refused(format!("x{number}.test"))), Ordering::Relaxed);
                }
            });
        }
    });
    let grown = app.server.resident().saturating_sub(before);
    let took = begun.elapsed();
    let orders = std::iter::from_fn(|| directory.accept().ok()).count();
    let what = format!("{most} handshakes for names that nobody registered");
    let right = right.into_inner();
    report.row(
        "E5",
        &what,
        "all refused with unrecognized_name",
        &format!("{right} in {took:.1?}"),
        right == most,
    );
    report.row("E5", &what, "no request to the authority", &orders.to_string(), orders == 0);
    report.row("E5", &what, "memory < 1 MB", &format!("{grown} KB"), grown < 1_024);
    assert!(visit(app.address, &config).is_ok(), "the own name is served");
    app.server.stop();
}

/// E7: the owner's files are replaced again and again, and no visitor notices.
pub(crate) fn e7_certificates_are_replaced_under_load(report: &mut Report) {
    let most = if report.is_short() { 5_000 } else { 100_000 };
    let app = HttpsServer::start(|plan| plan);
    let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let swapped = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                // A new configuration has no tickets: each handshake is a whole one.
                while done.fetch_add(1, Ordering::Relaxed) < most {
                    let outcome = visit(app.address, &app.trusting(&["http/1.1"]));
                    failed.fetch_add(usize::from(outcome.is_err()), Ordering::Relaxed);
                }
                over.store(true, Ordering::Relaxed);
            });
        }
        // Also between the renames of the two files of a pair.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                app.server.reload();
                std::thread::sleep(Duration::from_millis(7));
            }
        });
        let mut swapped = 0;
        while !over.load(Ordering::Relaxed) {
            swapped += 1;
            std::thread::sleep(SWAP_PAUSE);
            assert!(replace(&app, app.folder.path(), swapped), "certificate {swapped} is not taken");
        }
        swapped
    });
    let failed = failed.into_inner();
    report.row(
        "E7",
        &format!("{most} connections, {swapped} certificates one after another"),
        "no failed handshake or request",
        &format!("{failed} in {:.1?}", begun.elapsed()),
        failed == 0 && swapped > 1,
    );
    app.server.stop();
}

/// Replaces the certificate, and returns whether it comes into use in time.
fn replace(app: &HttpsServer, folder: &Path, number: usize) -> bool {
    let name = format!("r{number}.test");
    app.authority.issue(folder, &[NAME, &name]);
    let end = Instant::now() + TAKEN_WITHIN;
    while TlsClient::connect(app.address, &name, app.trusting(&["http/1.1"])).is_err() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// E20.
pub(crate) fn e20_the_size_of_the_binary(report: &mut Report) {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_waypost")).expect("the binary").len();
    let bar = format!("<= {} MiB", LARGEST >> 20);
    let kib = u32::try_from(bytes >> 10).expect("a file of megabytes");
    let measured = format!("{:.2} MiB", f64::from(kib) / 1_024.0);
    report.row("E20", "the binary, stripped", &bar, &measured, bytes <= LARGEST);
}
