//! The memory of clicks on a million titled links, each equally likely: for an hour without a limit, and in a
//! memory control group beside searches, writes and short connections.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Report;
use crate::client::Client;
use crate::load::hammer;
use crate::server::{Plan, Server, import_lines};

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// The default of `cache.max_memory`.
const CACHE: u64 = 64 * MIB;

/// Requests between two measurements of memory.
const ROUND: usize = 100_000;

/// The size of the run.
struct Size {
    links: usize,
    /// Duration of the clicks without a limit, and in the group.
    free: Duration,
    grouped: Duration,
}

pub(crate) fn n48_memory_of_clicks(report: &mut Report) {
    let size = if report.is_short() {
        Size { links: 100_000, free: Duration::from_secs(20), grouped: Duration::from_secs(20) }
    } else {
        Size { links: 1_000_000, free: Duration::from_hours(1), grouped: Duration::from_mins(10) }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    import(&data, size.links);
    without_limit(report, &data, &size);
    in_a_group(report, &data, &size);
}

/// Creates a data folder.
fn import(data: &Path, links: usize) {
    let lines = data.with_extension("jsonl");
    let mut file = BufWriter::new(File::create(&lines).expect("a file"));
    for n in 0..links {
        let line = json!({
            "url": format!("https://example.com/articles/2026/{n}?ref={:012x}", spread(n)),
            "customSlug": format!("c{n:07}"),
            "title": format!("Article number {n} about things"),
        });
        writeln!(file, "{line}").expect("written");
    }
    file.flush().expect("written");
    import_lines(data, &lines);
    fs::remove_file(&lines).expect("removed");
}

/// Returns a number that looks random, and is the same for the same `n`.
fn spread(n: usize) -> usize {
    let mut bits = (n as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((bits ^ (bits >> 31)) >> 16).expect("48 bits")
}

/// Clicks on random links until `end`, or until `watch` returns false. Returns the numbers of redirects and
/// of other responses.
fn click(address: SocketAddr, links: usize, end: Instant, mut watch: impl FnMut() -> bool) -> (u64, u64) {
    let (mut redirected, mut other, mut round) = (0, 0, 0);
    while Instant::now() < end && watch() {
        let path = |n: usize| format!("/c{:07}", spread(round * ROUND + n) % links);
        let found = catch_unwind(AssertUnwindSafe(|| hammer(address, 64, ROUND, path)));
        let Ok(found) = found else { return (redirected, other + ROUND as u64) };
        for (status, times) in found {
            *(if status == 302 { &mut redirected } else { &mut other }) += times;
        }
        round += 1;
    }
    (redirected, other)
}

/// Returns the value of a metric without labels.
pub(crate) fn metric(server: &Server, name: &str) -> u64 {
    let text = server.client().get("/metrics").body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The table reads all of itself in the first seconds after a start.
fn first_seconds(report: &mut Report, server: &Server, links: usize) {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(15) {
        most = most.max(server.resident() * 1_024);
        std::thread::sleep(Duration::from_millis(20));
    }
    let bar = 60 * MB + 3 * links as u64;
    report.row(
        "N48",
        &format!("the first start with {links} links, without clicks"),
        &format!("60 MB + 3 B a link: {} MB", bar / MB),
        &format!("most {} MB", most / MB),
        most <= bar,
    );
}

fn without_limit(report: &mut Report, data: &Path, size: &Size) {
    let server = Plan::default().start(data).expect("it starts");
    first_seconds(report, &server, size.links);
    let bar = CACHE + 60 * MB + 3 * size.links as u64;
    let (begun, mut most, mut curve, mut next) = (Instant::now(), 0, String::new(), 0);
    let watch = || {
        let resident = server.resident() * 1_024;
        most = resident.max(most);
        let elapsed = begun.elapsed().as_secs();
        // One row for each doubling of the time.
        if elapsed >= next {
            let _ = write!(curve, "{}@{elapsed}s ", resident / MB);
            next = (elapsed * 2).max(2);
        }
        true
    };
    let (redirected, other) = click(server.address, size.links, begun + size.free, watch);
    let resident = server.resident() * 1_024;
    report.row(
        "N48",
        &format!("{redirected} uniform clicks on {} titled links", size.links),
        &format!("cache + 60 MB + 3 B a link: {} MB", bar / MB),
        &format!("MB {curve}{}, most {}, {other} failed", resident / MB, most / MB),
        most.max(resident) <= bar && other == 0,
    );
    // A stop writes the remaining clicks, and the start reads them.
    let (counted, dropped) =
        (metric(&server, "waypost_clicks_total"), metric(&server, "waypost_clicks_dropped_total"));
    server.stop();
    report.row(
        "N48",
        "the same: clicks counted",
        "all but those of the last second",
        &format!("{counted} of {redirected}, {dropped} dropped"),
        dropped == 0 && counted <= redirected && other == 0,
    );
}

/// Creates a control group with this memory limit.
fn group(bytes: u64) -> std::io::Result<PathBuf> {
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/waypost-soak-n48-{}", std::process::id()));
    fs::create_dir(&group)?;
    fs::write(group.join("memory.limit_in_bytes"), bytes.to_string())?;
    Ok(group)
}

fn in_a_group(report: &mut Report, data: &Path, size: &Size) {
    let group = match group(192 * MIB) {
        Ok(group) => group,
        Err(error) => return report.skipped("N48", "192 MiB of memory", &error.to_string()),
    };
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\"", group.display());
    let mut server = Plan::default().below(&["sh", "-c", &enter]).start(data).expect("it starts");
    let over = AtomicBool::new(false);
    let beside = Beside::default();
    let (address, end) = (server.address, Instant::now() + size.grouped);
    let (redirected, other) = std::thread::scope(|scope| {
        scope.spawn(|| beside.search(address, &over));
        scope.spawn(|| beside.write(address, &over));
        scope.spawn(|| beside.connect(address, size.links, &over));
        let clicks = click(address, size.links, end, || true);
        over.store(true, Ordering::Relaxed);
        clicks
    });
    let runs = server.is_running();
    let resident = if runs { server.resident() * 1_024 / MB } else { 0 };
    report.row(
        "N48",
        &format!("192 MiB: {redirected} clicks beside searches and writes"),
        "not killed, all answered",
        &format!("runs: {runs}, {resident} MB, {other} failed, {}", beside.told()),
        runs && other == 0,
    );
    server.stop();
    let _ = fs::remove_dir(&group);
}

/// Requests beside the clicks, and the number of responses.
#[derive(Default)]
struct Beside {
    searches: AtomicU64,
    created: AtomicU64,
    connections: AtomicU64,
}

impl Beside {
    fn search(&self, address: SocketAddr, over: &AtomicBool) {
        let mut client = Client::new(address);
        while !over.load(Ordering::Relaxed) {
            let answer = client.get("/api/v1/links?search=nothing-like-it");
            self.searches.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn write(&self, address: SocketAddr, over: &AtomicBool) {
        let mut client = Client::new(address);
        let row = json!({"url": "https://e.test/", "title": "one of many"});
        let body = json!({"links": vec![row; 1_000]}).to_string();
        while !over.load(Ordering::Relaxed) {
            let answer = client.send("POST", "/api/v1/links/bulk", &body).unwrap_or_default();
            let made = answer.json().get("created").and_then(Value::as_u64).unwrap_or(0);
            self.created.fetch_add(made, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn connect(&self, address: SocketAddr, links: usize, over: &AtomicBool) {
        for n in 0.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let answer = Client::new(address).get(&format!("/c{:07}", spread(n) % links));
            self.connections.fetch_add(u64::from(answer.status == 302), Ordering::Relaxed);
        }
    }

    fn told(&self) -> String {
        let Beside { searches, created, connections } = self;
        let [searches, created, connections] =
            [searches, created, connections].map(|count| count.load(Ordering::Relaxed));
        format!("{searches} searches, {created} created, {connections} connections")
    }
}
