//! A thousand connections of one tenant, from four addresses, that request its longest responses and read
//! none of them. Memory stays within the tenant's share. Visitors and the operator are not affected.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Report;
use crate::server::{Plan, Server};

/// Number of connections.
const CONNECTIONS: usize = 1_000;
const ADDRESSES: usize = 4;

/// The part of a response that a client receives without reading it.
const RECEIVE_BUFFER: u32 = 4_096;

/// Allowed growth of memory, in KB.
const ADDED_MAX: u64 = 96 * 1_024;

/// Duration of the measurement: longer than a request waits for memory.
const WATCHED: Duration = Duration::from_secs(15);

/// Requested responses.
const ANSWERS: [(&str, &str); 6] = [
    ("pages", "/api/v1/links?limit=100"),
    ("pages of another dialect", "/api/links?limit=100"),
    ("sorted pages", "/api/v1/links?limit=100&sort=title"),
    ("searches", "/api/v1/links?limit=100&search=e.test"),
    ("streams", "/links/?locationId=here&limit=100000"),
    ("single links", "/api/v1/links/{id}"),
];

pub(crate) fn n01_a_thousand_unread_answers(report: &mut Report) {
    let answers = if report.is_short() { &ANSWERS[..1] } else { &ANSWERS[..] };
    for (name, path) in answers {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Plan::default().start(folder.path()).expect("it starts");
        run(report, &server, name, path);
    }
}

fn run(report: &mut Report, server: &Server, name: &str, path: &str) {
    let mut operator = server.client();
    operator.create("s", &json!({}));
    let workspace = json!({"name": "L", "id": "here"}).to_string();
    operator.send("POST", "/api/v1/workspaces", &workspace).expect("an answer");
    let key = json!({"name": "n", "workspaceId": "here", "scopes": ["links.write"]}).to_string();
    let key = operator.send("POST", "/api/v1/keys", &key).expect("an answer").json();
    let key = key["key"]["secret"].as_str().expect("a secret").to_owned();
    let mut id = String::new();
    for n in 0..100 {
        let url = |kind: &str| format!("https://e.test/{kind}/{n}/{}", "x".repeat(8_000));
        let hooks: Vec<_> =
            (0..5).map(|k| format!("https://hooks.example.com/{k}/{}", "y".repeat(1_900))).collect();
        let emoji = |count: usize| "\u{1f600}".repeat(count);
        let link = json!({
            "url": url("to"), "image": url("image"), "expiredUrl": url("expired"), "webhookUrls": hooks.join(","),
            "title": emoji(500), "description": emoji(2_000), "notes": emoji(4_000), "workspaceId": "here",
        });
        let made = operator.send("POST", "/api/v1/links", &link.to_string()).expect("an answer");
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        made.json()["link"]["id"].as_str().unwrap_or("").clone_into(&mut id);
    }
    let before = server.resident();
    let path = path.replace("{id}", &id);
    let request = format!("GET {path} HTTP/1.1\r\nHost: go.test\r\nX-API-Key: {key}\r\n\r\n");
    let held: Vec<TcpStream> =
        (0..CONNECTIONS).map(|n| unread(server.address, n % ADDRESSES, request.as_bytes())).collect();
    let (began, mut most, mut unwell) = (Instant::now(), 0, 0);
    while began.elapsed() < WATCHED {
        most = most.max(server.resident());
        unwell += usize::from(operator.get("/s").status != 302);
        unwell += usize::from(operator.get("/api/v1/links?limit=10").status != 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(held);
    let added = most.saturating_sub(before);
    let what = format!("{CONNECTIONS} unread {name}: memory added");
    report.row("N01", &what, "at most 96 MB", &format!("{} MB", added / 1_024), added <= ADDED_MAX);
    let what = format!("{CONNECTIONS} unread {name}: visitors and operator");
    report.row("N01", &what, "all answered", &format!("{unwell} not"), unwell == 0);
}

/// Opens a connection from the n-th address, which sends a request and reads nothing.
fn unread(address: SocketAddr, from: usize, request: &[u8]) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a buffer");
        let from = u8::try_from(from).expect("four addresses") + 2;
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).expect("an address of the loopback");
        socket.connect(address).await.expect("accepted").into_std().expect("a socket")
    });
    stream.set_nonblocking(false).expect("a socket");
    std::io::Write::write_all(&mut (&stream), request).expect("it reads");
    stream
}
