//! Ten thousand slow clients, and visitors that must not notice them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Report;
use crate::client::percentile;
use crate::server::{KEY, Plan};

/// Threads that drip. Each serves some thousands of non-blocking sockets.
const DRIPPING: usize = 4;

/// Pause between two connections of a thread. Together the threads open a thousand connections a second, as
/// slowhttptest does.
const PACE: Duration = Duration::from_millis(4);

/// The beginning of a slow client, and what it adds every few seconds.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("T26", "heads", "GET /s HTTP/1.1\r\nHost: go.test\r\n", "X-A: b\r\n"),
    (
        "T27",
        "bodies",
        "POST /api/v1/links HTTP/1.1\r\nHost: go.test\r\nX-API-Key: {}\r\nContent-Length: 60000\r\n\r\n",
        " ",
    ),
    (
        "T27",
        "chunks",
        "POST /api/v1/links HTTP/1.1\r\nHost: go.test\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1\r\n \r\n",
    ),
    ("T26", "idle", "", ""),
];

pub(crate) fn t26_t27_slow_connections(report: &mut Report) {
    let most = if report.is_short() { 3_000 } else { 10_000 };
    for (case, name, begin, drip) in KINDS {
        // Without a key it would be rejected at its head.
        run(report, (case, name), &begin.replace("{}", KEY), drip, most);
    }
    readers(report);
}

fn run(report: &mut Report, (case, name): (&str, &str), begin: &str, drip: &str, most: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    server.client().create("s", &json!({}));
    let mut unloaded = visits(&server, Duration::from_secs(2), 200);
    let before = server.resident();
    let (over, held, gone) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    let (mut times, grown, last) = std::thread::scope(|scope| {
        for _ in 0..DRIPPING {
            let (over, held, gone, server) = (&over, &held, &gone, &server);
            scope.spawn(move || {
                let mut open: Vec<TcpStream> = Vec::new();
                for _ in 0..most / DRIPPING {
                    let Ok(mut stream) = TcpStream::connect(server.address) else { continue };
                    let _ = stream.write_all(begin.as_bytes());
                    let _ = stream.set_nonblocking(true);
                    held.fetch_add(1, Ordering::Relaxed);
                    open.push(stream);
                    std::thread::sleep(PACE);
                }
                let mut dripped = Instant::now();
                while !over.load(Ordering::Relaxed) && !open.is_empty() {
                    let is_time = dripped.elapsed() > Duration::from_secs(3);
                    if is_time {
                        dripped = Instant::now();
                    }
                    open.retain_mut(|stream| {
                        if is_time {
                            let _ = stream.write_all(drip.as_bytes());
                        }
                        let mut buffer = [0; 1_024];
                        let ended = match stream.read(&mut buffer) {
                            Ok(read) => read == 0,
                            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                        };
                        gone.fetch_add(usize::from(ended), Ordering::Relaxed);
                        !ended
                    });
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        // While the connections last: the deadline is 10 s.
        while held.load(Ordering::Relaxed) < most / 2 && began.elapsed() < Duration::from_secs(8) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let times = visits(&server, Duration::from_secs(5), 200);
        let grown = server.resident().saturating_sub(before);
        while gone.load(Ordering::Relaxed) < held.load(Ordering::Relaxed)
            && began.elapsed() < Duration::from_secs(40)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        (times, grown, began.elapsed())
    });
    let (held, gone) = (held.into_inner(), gone.into_inner());
    let (p99, calm) = (percentile(&mut times, 990), percentile(&mut unloaded, 990));
    let what = |text: &str| format!("{held} slow {name}: {text}");
    report.row(
        case,
        &what("visitors' p99"),
        "<= 10 ms",
        &format!("{p99:.1?} (alone {calm:.1?}), {} visits", times.len()),
        p99 <= Duration::from_millis(10) && held >= most * 9 / 10,
    );
    let each = grown * 1_024 / held.max(1) as u64;
    report.row(
        case,
        &what("memory"),
        "<= 16 KB each",
        &format!("{grown} KB, {each} B each"),
        each <= 16 * 1_024,
    );
    let bound = Duration::from_secs(25);
    report.row(
        case,
        &what("all closed"),
        "<= 25 s after the first",
        &format!("{gone} in {last:.1?}"),
        gone == held && last <= bound,
    );
    let said = server.complaints();
    report.row(case, &what("warnings"), "<= 20", &said.to_string(), said <= 20);
    let ended = server.stop();
    assert!(ended.success(), "{ended}");
}

/// Visits at an even pace. Returns the time of each since it was due.
fn visits(server: &crate::server::Server, within: Duration, per_second: u32) -> Vec<Duration> {
    let mut client = server.client();
    let begun = Instant::now();
    let mut times = Vec::new();
    for number in 0.. {
        let due = begun + Duration::from_secs(1) / per_second * number;
        if due > begun + within {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = client.get("/s");
        assert_eq!(answer.status, 302, "{answer:?}");
        times.push(due.elapsed());
    }
    times
}

/// Clients that request much and read nothing.
fn readers(report: &mut Report) {
    const READERS: usize = 200;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    // The first response warms up the buffers of all.
    assert_eq!(server.client().get("/api/openapi.json").status, 200);
    let before = (server.resident(), server.descriptors());
    let one = "GET /api/openapi.json HTTP/1.1\r\nHost: go.test\r\n\r\n";
    let held: Vec<TcpStream> = (0..READERS)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(server.address).ok()?;
            stream.write_all(one.repeat(50).as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(2));
    let grown = server.resident().saturating_sub(before.0);
    while server.descriptors() > before.1 + 2 && began.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (took, left) = (began.elapsed(), server.descriptors().saturating_sub(before.1));
    let what = |text: &str| format!("{} that read nothing: {text}", held.len());
    report.row("T27", &what("memory"), "<= 64 KB each", &format!("{grown} KB"), grown <= 64 * READERS as u64);
    report.row(
        "T27",
        &what("all closed"),
        "<= 45 s",
        &format!("{left} left after {took:.1?}"),
        left <= 2 && took <= Duration::from_secs(45),
    );
    drop(held);
    server.stop();
}
