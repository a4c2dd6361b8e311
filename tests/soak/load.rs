//! High load: hits, misses, exact counts, little memory.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Report;
use crate::server::{Plan, Server};

/// Number of requests under way on a connection of [`hammer`].
const BATCH: usize = 20;

pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: go.test\r\n\r\n")
}

/// Reads until this many responses have arrived, and counts them by status.
fn take(stream: &mut TcpStream, mut missing: usize, found: &mut HashMap<u16, u64>) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 * 1_024];
    while missing > 0 {
        let read = stream.read(&mut buffer).expect("answers");
        assert!(read > 0, "closed with {missing} answers missing");
        bytes.extend_from_slice(&buffer[..read]);
        while let Some((status, length)) = first(&bytes) {
            bytes.drain(..length);
            *found.entry(status).or_default() += 1;
            missing -= 1;
        }
    }
}

/// Returns status and length of the first complete response.
pub(crate) fn first(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = end + 4 + length.unwrap_or(0);
    (bytes.len() >= whole).then_some((head.get(9..12)?.parse().ok()?, whole))
}

/// Sends `count` requests on this many connections as fast as they are answered. Returns the number of
/// responses by status.
pub(crate) fn hammer(
    address: SocketAddr,
    connections: usize,
    count: usize,
    path: impl Fn(usize) -> String + Sync,
) -> HashMap<u16, u64> {
    hammer_with(address, connections, count, |n| request(&path(n)))
}

/// Like [`hammer`], with whole requests.
pub(crate) fn hammer_with(
    address: SocketAddr,
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> String + Sync,
) -> HashMap<u16, u64> {
    let each = count / connections;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|connection| {
                let request = &request;
                scope.spawn(move || {
                    let mut found = HashMap::new();
                    let mut stream = TcpStream::connect(address).expect("accepted");
                    for at in (0..each).step_by(BATCH) {
                        let batch = BATCH.min(each - at);
                        let bytes: String =
                            (at..at + batch).map(|n| request(connection * each + n)).collect();
                        stream.write_all(bytes.as_bytes()).expect("sent");
                        take(&mut stream, batch, &mut found);
                    }
                    found
                })
            })
            .collect();
        let mut all = HashMap::new();
        for client in clients {
            for (status, times) in client.join().expect("a client") {
                *all.entry(status).or_default() += times;
            }
        }
        all
    })
}

pub(crate) fn t109_a_million_unknown_codes(report: &mut Report) {
    let million = if report.is_short() { 100_000 } else { 1_000_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    let path = |n: usize| format!("/{:x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Warm up: buffers, threads and the bounded cache of unknown codes.
    hammer(server.address, 8, 50_000, |n| path(n + 100_000_000));
    let before = server.resident();
    let begun = Instant::now();
    let found = hammer(server.address, 8, million, path);
    let grown = server.resident().saturating_sub(before);
    let what = format!("{million} codes that lead nowhere");
    let measured = format!("{grown} KB in {:.0?}, {found:?}", begun.elapsed());
    report.row("T109", &what, "memory +<= 8 MB, all 404", &measured, grown <= 8 * 1_024 && found.len() == 1);
    let lines = server.complaints();
    report.row("T109", &format!("{what}: warnings"), "<= 20", &lines.to_string(), lines <= 20);
    server.stop();
}

pub(crate) fn t102_a_hundred_thousand_clicks(report: &mut Report) {
    const LINKS: usize = 10;
    let hits = if report.is_short() { 20_480 } else { 102_400 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    let mut client = server.client();
    let ids: Vec<String> = (0..LINKS)
        .map(|n| {
            let made = client.create(&format!("c{n}"), &json!({})).json();
            made["link"]["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let found = hammer(server.address, 64, hits, |n| format!("/c{}", n % LINKS));
    let ended = server.stop();
    let server = Plan::default().start(folder.path()).expect("it starts");
    let mut client = server.client();
    let total: u64 = ids.iter().map(|id| client.clicks(id)).sum();
    let answered = found.get(&302).copied().unwrap_or(0);
    report.row(
        "T102",
        "64 connections click, then SIGTERM",
        &format!("exactly {hits}"),
        &format!("{total}, {ended}"),
        total == answered && total == hits as u64,
    );
    // After a kill under load, at most the clicks of one flush interval are missing.
    let sent = AtomicU64::new(0);
    let marks = std::thread::scope(|scope| {
        for connection in 0..8 {
            let (sent, address) = (&sent, server.address);
            scope.spawn(move || {
                let one = request(&format!("/c{connection}"));
                let mut buffer = [0; 4_096];
                // The server ends a connection in order after many requests. A killed server accepts none.
                while let Ok(mut stream) = TcpStream::connect(address) {
                    while stream.write_all(one.as_bytes()).is_ok()
                        && let Ok(read @ 1..) = stream.read(&mut buffer)
                    {
                        sent.fetch_add(1, Ordering::Relaxed);
                        if buffer[..read].windows(17).any(|line| line == b"connection: close") {
                            break;
                        }
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
        // Answered two intervals ago, so written since.
        let safe = sent.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2_100));
        assert!(sent.load(Ordering::Relaxed) > safe, "nobody clicks any more");
        server.kill();
        safe
    });
    let server = Plan::default().start(folder.path()).expect("it starts");
    let mut client = server.client();
    let after: u64 = ids.iter().map(|id| client.clicks(id)).sum::<u64>() - total;
    let sent = sent.into_inner();
    report.row(
        "T102",
        "8 connections click, then SIGKILL",
        "at most the last interval is lost",
        &format!("{after} of {sent}, {marks} were due"),
        (marks..=sent + 8).contains(&after),
    );
    server.stop();
}

pub(crate) fn t110_sixty_four_megabytes(report: &mut Report) {
    let group =
        std::path::PathBuf::from(format!("/sys/fs/cgroup/memory/waypost-soak-{}", std::process::id()));
    let bytes: u64 = 64 << 20;
    let made = fs::create_dir(&group)
        .and_then(|()| fs::write(group.join("memory.limit_in_bytes"), bytes.to_string()));
    if let Err(error) = made {
        report.skipped("T110", "64 MB of memory", &error.to_string());
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\"", group.display());
    let plan = || Plan::default().below(&["sh", "-c", &enter]);
    let links = if report.is_short() { 10_000 } else { 100_000 };
    let mut server = plan().start(folder.path()).expect("it starts");
    let mut client = server.client();
    let mut made = 0;
    for chunk in 0..links / 1_000 {
        let rows: Vec<Value> = (0..1_000)
            .map(|n| json!({"url": format!("https://e.test/{chunk}/{n}"), "customSlug": format!("c{}", chunk * 1_000 + n)}))
            .collect();
        let body = json!({"links": rows}).to_string();
        let answer = client.send("POST", "/api/v1/links/bulk", &body).unwrap_or_default();
        made += answer.json()["created"].as_u64().unwrap_or(0);
    }
    let mixed = |n: usize| {
        if n.is_multiple_of(5) { format!("/no{n}") } else { format!("/c{}", n.wrapping_mul(7_919) % links) }
    };
    let visits = |server: &Server, count| {
        std::panic::catch_unwind(|| hammer(server.address, 16, count, mixed)).unwrap_or_default()
    };
    let found = visits(&server, 200_000);
    let fine = !found.is_empty() && found.keys().all(|status| [302, 404].contains(status));
    let most = fs::read_to_string(group.join("memory.max_usage_in_bytes")).unwrap_or_default();
    let runs = server.is_running();
    let resident = if runs { server.resident() } else { 0 };
    report.row(
        "T110",
        &format!("{made} links and 200,000 visits in 64 MB"),
        "not killed, all answered",
        &format!("runs: {runs}, resident {resident} KB, {found:?}"),
        runs && fine && made == links as u64,
    );
    let ended = server.stop();
    let server = plan().start(folder.path());
    let again = server.as_ref().map(|server| visits(server, 50_000));
    report.row(
        "T110",
        "the same after a restart within 64 MB",
        "starts, all answered",
        &format!("{ended}, {:?}, most {}", again.as_ref().ok(), most.trim()),
        again.is_ok_and(|found| !found.is_empty() && found.keys().all(|status| [302, 404].contains(status))),
    );
    drop(server);
    let _ = fs::remove_dir(&group);
}
