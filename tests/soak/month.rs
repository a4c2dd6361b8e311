//! A month of clicks on a million links: its size, the start on it, and its merge beside redirects. Check 4 of click
//! analytics. The clicks are those of `benches/load/click_data`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Report;
use crate::client::percentile;
use crate::load::request;
use crate::server::{Plan, Server, import_lines};

/// Clients that click one after another.
const CLIENTS: usize = 8;

/// Starts whose fastest counts.
const STARTS: usize = 3;

struct Size {
    links: usize,
    clicks: u64,
}

pub(crate) fn c4_a_month_of_clicks(report: &mut Report) {
    let size = if report.is_short() {
        Size { links: 100_000, clicks: 5_000_000 }
    } else {
        Size { links: 1_000_000, clicks: 100_000_000 }
    };
    let tool = Path::new(env!("CARGO_BIN_EXE_waypost")).with_file_name("examples").join("click_data");
    if !tool.exists() {
        return report.skipped("C4", "a month of clicks", "cargo build --release --example click_data");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let made = generate(&tool, &data, &size);
    let (empty, plain) = without_details(&data, &size);
    merges(report, &data, &size, empty, plain);
    let bytes = bytes_of(&data.join("clicks"));
    // Of clicks by their millions, which a float has exactly.
    #[allow(clippy::cast_precision_loss)]
    let each = bytes as f64 / size.clicks as f64;
    report.row(
        "C4",
        &format!("{} clicks of {} links in 30 days: bytes a click", size.clicks, size.links),
        "<= 4.5",
        &format!("{each:.2} ({} MB), {} files before", bytes >> 20, made["parts"]),
        each <= 4.5,
    );
}

/// Imports the links, and adds the details of their clicks. The merges of the month are left to the server.
fn generate(tool: &Path, data: &Path, size: &Size) -> Value {
    let (links, clicks) = (size.links.to_string(), size.clicks.to_string());
    let lines = data.with_extension("jsonl");
    let file = File::create(&lines).expect("a file");
    let ran = Command::new(tool).args(["links", &links, &clicks]).stdout(file).status();
    assert!(ran.is_ok_and(|status| status.success()), "the links of click_data");
    import_lines(data, &lines);
    fs::remove_file(&lines).expect("removed");
    let data = data.display().to_string();
    let made = Command::new(tool)
        .args(["parts", &data, &links, &clicks, "unmerged"])
        .stderr(Stdio::null())
        .output()
        .expect("click_data starts");
    assert!(made.status.success(), "the parts of click_data");
    serde_json::from_slice(&made.stdout).expect("a line of JSON")
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// Starts a server, and returns the time until a link redirects.
fn start(plan: Plan, data: &Path) -> (Server, Duration) {
    let begun = Instant::now();
    let server = plan.start(data).expect("it starts");
    let answer = server.client().get("/0000001");
    assert_eq!(answer.status, 302);
    (server, begun.elapsed())
}

/// Returns the time of a start without details, and the most memory of the same clicks in KB.
fn without_details(data: &Path, size: &Size) -> (Duration, u64) {
    let plan = || Plan::default().env("WAYPOST_CLICKS__DETAILS", "false");
    let fastest = (0..STARTS).map(|_| {
        let (server, took) = start(plan(), data);
        server.stop();
        took
    });
    let fastest = fastest.min().expect("some starts");
    let (server, _) = start(plan(), data);
    click(server.address, size.links, || false, Duration::from_secs(10));
    let most = server.peak();
    server.stop();
    (fastest, most)
}

/// Clicks while `goes_on`, and at least for this time. Returns how long each redirect took.
fn click(
    address: SocketAddr,
    links: usize,
    goes_on: impl Fn() -> bool + Sync,
    least: Duration,
) -> Vec<Duration> {
    let (begun, goes_on) = (Instant::now(), &goes_on);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let (mut times, mut buffer, mut n) = (Vec::new(), [0; 4_096], client * 7_919);
                    let mut stream = TcpStream::connect(address).expect("accepted");
                    stream.set_nodelay(true).expect("a socket");
                    while begun.elapsed() < least || (n % 64 != 0 || goes_on()) {
                        n += 1;
                        let one = request(&format!("/{:07}", n * 7_368_787 % links));
                        let sent = Instant::now();
                        stream.write_all(one.as_bytes()).expect("sent");
                        let read = stream.read(&mut buffer).expect("answered");
                        assert!(buffer[..read].starts_with(b"HTTP/1.1 302"), "a redirect");
                        times.push(sent.elapsed());
                    }
                    times
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

fn merges(report: &mut Report, data: &Path, size: &Size, plain_start: Duration, plain_memory: u64) {
    let clicks = data.join("clicks");
    let (server, mut took) = start(Plan::default(), data);
    // As long as a file is being written, and a moment more: between two merges there is none.
    let seen = parking_lot::Mutex::new(Instant::now());
    let is_merging = || {
        if unfinished(&clicks).is_some() {
            *seen.lock() = Instant::now();
        }
        seen.lock().elapsed() < Duration::from_secs(3)
    };
    let mut during = click(server.address, size.links, is_merging, Duration::from_secs(3));
    let (used, most) = (server.cpu_of("clicks-merge"), server.peak());
    let mut after = click(server.address, size.links, || false, Duration::from_secs(10));
    let [busy, calm] = [&mut during, &mut after].map(|times| percentile(times, 990));
    server.stop();
    report.row(
        "C4",
        &format!("redirects beside the merges, {} and {} of them: p99", during.len(), after.len()),
        "<= 2 of that after them",
        &format!("{busy:.1?} over {calm:.1?}"),
        busy <= 2 * calm,
    );
    report.row(
        "C4",
        "the merges of the last days, weeks and the month",
        "<= 60 s of one core",
        &format!("{used:.1?}"),
        used <= Duration::from_mins(1) && used > Duration::ZERO,
    );
    let grown = most.saturating_sub(plain_memory) / 1_024;
    report.row(
        "C4",
        "memory with the merges over that without details",
        "<= 45 MB",
        &format!("{grown} MB: {most} and {plain_memory} KB"),
        grown <= 45,
    );
    for _ in 1..STARTS {
        let (server, again) = start(Plan::default(), data);
        server.stop();
        took = took.min(again);
    }
    report.row(
        "C4",
        "start until the first redirect, over that without details",
        "<= 50 ms more",
        &format!("{took:.0?} and {plain_start:.0?}"),
        took <= plain_start + Duration::from_millis(50),
    );
}

/// Returns a file that a merge is writing.
fn unfinished(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "new"))
}
