//! Restarts under visitors who open a connection for each visit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Report;
use crate::server::{Plan, Server};

/// The time between two visits: 250 a second.
const EVERY: Duration = Duration::from_millis(4);

/// Threads of visitors: as many may wait at once.
const VISITORS: usize = 500;

/// The pause between two restarts.
const PAUSE: Duration = Duration::from_secs(3);

const RESTARTS: usize = 3;

/// Longest wait for a start.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest visit on a machine that does nothing else.
const SLOWEST: Duration = Duration::from_millis(400);

/// Writes links to the data folder by `import`.
fn import(data: &Path, links: usize) {
    let mut import = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .args(["import", "-", "--data-dir"])
        .arg(data)
        // The variables of this test are no settings.
        .env_clear()
        .env("WAYPOST_PUBLIC_URL", "http://go.test")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = String::new();
    for n in 0..links {
        let _ = writeln!(lines, "{{\"url\":\"https://e.test/{n}\",\"customSlug\":\"c{n}\"}}");
    }
    import.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("all lines");
    assert!(import.wait().expect("a child of ours").success());
}

/// What visitors saw.
#[derive(Default)]
struct Seen {
    /// Visits by their result: a status, or the failing step.
    results: BTreeMap<String, u64>,
    slowest: Duration,
}

/// Visitors who arrive at fixed times, whatever the server does.
struct Arrivals {
    threads: Vec<JoinHandle<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Arrivals {
    fn start(address: SocketAddr, links: usize) -> Arrivals {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let begun = Instant::now();
        let visitor = |_| {
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            std::thread::spawn(move || {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = begun + EVERY * u32::try_from(number).expect("a test of minutes");
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let code = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % links as u64;
                    let result = visit(address, code).unwrap_or_else(|why| why);
                    *seen.results.entry(result).or_default() += 1;
                    // From the time at which it was due: a visitor who waits for a thread waits as well.
                    seen.slowest = seen.slowest.max(due.elapsed());
                }
                seen
            })
        };
        Arrivals { threads: (0..VISITORS).map(visitor).collect(), stop }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("no panic");
            for (result, count) in seen.results {
                *all.results.entry(result).or_default() += count;
            }
            all.slowest = all.slowest.max(seen.slowest);
        }
        all
    }
}

fn visit(address: SocketAddr, code: u64) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| format!("connect: {}", error.kind()))?;
    let request = format!("GET /c{code} HTTP/1.1\r\nHost: go.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| format!("send: {}", error.kind()))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("receive: {}", error.kind()))?;
    Ok(answer.get(9..12).unwrap_or("no answer").to_owned())
}

/// E16: restarts in place at SIGUSR2, and stops and starts with a socket that a supervisor holds.
pub(crate) fn e16_restarts_that_nobody_notices(report: &mut Report) {
    let links = if report.is_short() { 50_000 } else { 1_000_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), links);
    let server = Plan::default().start(folder.path()).expect("it starts");
    let arrivals = Arrivals::start(server.address, links);
    let mut gaps = Vec::new();
    for restart in 0..RESTARTS {
        std::thread::sleep(PAUSE);
        let begun = Instant::now();
        server.restart();
        server.await_starts(restart + 2, PATIENCE);
        gaps.push(begun.elapsed());
    }
    std::thread::sleep(PAUSE);
    let seen = arrivals.end();
    server.stop();
    let gaps = gaps.iter().map(|gap| format!("{} ms", gap.as_millis())).collect::<Vec<_>>().join(", ");
    judge(report, &format!("{RESTARTS} x SIGUSR2 ({gaps}), {links} links"), &seen);
    with_a_supervisor(report, folder.path(), links);
}

/// As `systemctl restart` with a socket unit: the socket outlives the process.
fn with_a_supervisor(report: &mut Report, data: &Path, links: usize) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    let start = || -> Server {
        Plan::default()
            .env("WAYPOST_LISTEN", &address.to_string())
            .below(&["sh", "-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"])
            .stdin(socket.try_clone().expect("a descriptor"))
            .start(data)
            .expect("it starts")
    };
    let mut server = start();
    let arrivals = Arrivals::start(address, links);
    for _ in 0..RESTARTS {
        std::thread::sleep(PAUSE);
        server.stop();
        server = start();
    }
    std::thread::sleep(PAUSE);
    let seen = arrivals.end();
    server.stop();
    judge(report, &format!("{RESTARTS} stops and starts with a held socket, {links} links"), &seen);
}

fn judge(report: &mut Report, what: &str, seen: &Seen) {
    let all: u64 = seen.results.values().sum();
    let found = seen.results.get("302").copied().unwrap_or(0);
    report.row(
        "E16",
        what,
        "every visit redirected",
        &format!("{:?}", seen.results),
        found == all && all > 0,
    );
    let slowest = format!("{} ms of {all} visits", seen.slowest.as_millis());
    let bar = format!("slowest < {} ms", SLOWEST.as_millis());
    report.row("E16", what, &bar, &slowest, seen.slowest < SLOWEST);
}
