//! Twice the load that fits, and the API under its heaviest load beside visitors.
//!
//! By `taskset`, server and visitors have a core each, so the capacity of the server is that of one core. The
//! load is an open loop: visitors arrive when they are due, whether or not earlier ones were answered, each
//! on a free connection. A visitor without a free connection is turned away, as by a proxy that bounds
//! connections to its server. The others are measured.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::Report;
use crate::client::percentile;
use crate::load::{first, request};
use crate::server::{Plan, Server};

/// Connections of the visitors: as many requests queue for the server's core when it is busy.
const CONNECTIONS: usize = 8;

/// How late a visitor may be sent after waiting for a free connection. Later ones are turned away.
const LATE: Duration = Duration::from_micros(200);

/// The results of visitors.
#[derive(Default)]
struct Seen {
    /// For each successful response: the time since it was sent, or, where no visitor is turned away, since
    /// it was due.
    times: Vec<Duration>,
    good: u64,
    busy: u64,
    bad: HashMap<u16, u64>,
    cut: u64,
    /// Found no free connection.
    turned_away: u64,
}

impl Seen {
    fn note(&mut self, status: u16, head: &str, sent: Instant) {
        match status {
            200..=399 | 404 => {
                self.good += 1;
                self.times.push(sent.elapsed());
            }
            503 if head.contains("retry-after:") => self.busy += 1,
            other => *self.bad.entry(other).or_default() += 1,
        }
    }
}

/// The schedule of visitors.
struct Pace {
    begun: Instant,
    within: Duration,
    /// `None`: always one more.
    between: Option<Duration>,
    /// Whether these visitors have a core of their own, and are turned away if they are late.
    is_alone: bool,
    next: Cell<u32>,
    /// Held by the connection that waits for the next visitor.
    turn: Mutex<()>,
    seen: RefCell<Seen>,
}

impl Pace {
    /// Waits for the next visitor. Returns its number, or `None` at the end.
    async fn next(&self) -> Option<u32> {
        let _turn = self.turn.lock().await;
        let mut number = self.next.get();
        if let Some(between) = self.between {
            let late = self.begun.elapsed().saturating_sub(between * number);
            if late > LATE && self.is_alone {
                let missed = u32::try_from(late.as_nanos() / between.as_nanos()).unwrap_or(u32::MAX);
                self.seen.borrow_mut().turned_away += u64::from(missed);
                number += missed;
            }
            // Visitors are measured from their start, and no timer is precise enough for that: spin.
            while self.begun.elapsed() < between * number {
                if self.is_alone {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep_until((self.begun + between * number).into()).await;
                }
            }
        }
        self.next.set(number + 1);
        (self.begun.elapsed() < self.within).then_some(number)
    }

    async fn connection(&self, address: SocketAddr) {
        let Ok(mut stream) = connect(address).await else {
            self.seen.borrow_mut().cut += 1;
            return;
        };
        let paths = ["/s", "/nothing", "/s"].map(request);
        let mut buffer = [0; 4_096];
        while let Some(number) = self.next().await {
            let due = self.between.filter(|_| !self.is_alone).map(|between| self.begun + between * number);
            let sent = due.unwrap_or_else(Instant::now);
            let wrote = stream.write_all(paths[number as usize % 3].as_bytes()).await;
            let mut read = 0;
            let answer = loop {
                if let Some((status, length)) = first(&buffer[..read]) {
                    break (length == read).then_some(status);
                }
                match stream.read(&mut buffer[read..]).await {
                    Ok(more) if more > 0 => read += more,
                    _ => break None,
                }
            };
            let Some(status) = answer.filter(|_| wrote.is_ok()) else {
                self.seen.borrow_mut().cut += 1;
                return;
            };
            let head = String::from_utf8_lossy(&buffer[..read]);
            self.seen.borrow_mut().note(status, &head, sent);
            // The server ends a connection in order after many requests.
            if head.contains("connection: close") {
                stream = match connect(address).await {
                    Ok(stream) => stream,
                    Err(_) => return self.seen.borrow_mut().cut += 1,
                };
            }
        }
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends visitors for a period: this many a second, or one after another.
fn visit(address: SocketAddr, per_second: Option<u64>, within: Duration, is_alone: bool) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let between = per_second.map(|rate| Duration::from_secs(1) / u32::try_from(rate.max(1)).expect("few"));
    let pace = Rc::new(Pace {
        begun: Instant::now(),
        within,
        between,
        is_alone,
        next: Cell::new(0),
        turn: Mutex::new(()),
        seen: RefCell::default(),
    });
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let pace = Rc::clone(&pace);
                tokio::task::spawn_local(async move { pace.connection(address).await })
            })
            .collect();
        for connection in connections {
            connection.await.expect("no panic");
        }
    });
    pace.seen.take()
}

/// Pins this thread, and those that it starts, to these cores. Returns false where that is impossible.
fn pin(cores: &str) -> bool {
    let own = std::process::id().to_string();
    let ran = Command::new("taskset").args(["-cp", cores, &own]).output();
    ran.is_ok_and(|ran| ran.status.success())
}

pub(crate) fn t111_twice_the_capacity(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 || !pin("1") {
        report.skipped("T111", "twice what fits", "takes two cores, and taskset");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan::default().below(&["taskset", "-c", "0"]);
    let mut server = plan.start(folder.path()).expect("it starts");
    server.client().create("s", &json!({}));
    twice(report, &mut server);
    let ended = server.stop();
    let free = pin(&format!("0-{}", cores - 1));
    assert!(ended.success() && free, "{ended}, {free}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    server.client().create("s", &json!({}));
    heavy(report, &server);
    server.stop();
}

fn twice(report: &mut Report, server: &mut Server) {
    let within = Duration::from_secs(if report.is_short() { 10 } else { 60 });
    let capacity =
        per_second(visit(server.address, None, Duration::from_secs(5), true).good, Duration::from_secs(5));
    let mut calm = visit(server.address, Some(capacity / 10), Duration::from_secs(3), true);
    let before = server.cpu();
    let mut busy = visit(server.address, Some(capacity * 2), within, true);
    let used = server.cpu().saturating_sub(before).as_millis() * 100 / within.as_millis();
    let goodput = per_second(busy.good, within);
    let percent = goodput * 100 / capacity.max(1);
    let others = format!(
        "{} x 503, {:?}, {} cut, {}/s turned away before",
        busy.busy,
        busy.bad,
        busy.cut,
        per_second(busy.turned_away, within)
    );
    report.row(
        "T111",
        &format!("{}/s for {within:?}, {capacity}/s fit, a core each: goodput", capacity * 2),
        ">= 80 %",
        &format!("{goodput}/s, {percent} %; its core {used} % busy"),
        percent >= 80,
    );
    report.row(
        "T111",
        "what is answered",
        "2xx, 3xx, 404, 503 + Retry-After",
        &others,
        busy.bad.is_empty() && busy.cut == 0,
    );
    let (alone, p99) = (percentile(&mut calm.times, 990), percentile(&mut busy.times, 990));
    report.row(
        "T111",
        &format!("p99 of those let in, over {CONNECTIONS} connections"),
        "<= 3 x unloaded",
        &format!("{p99:.0?}, unloaded {alone:.0?}"),
        p99 <= alone * 3,
    );
    let mut after = visit(server.address, Some(capacity / 10), Duration::from_secs(5), true);
    let back = percentile(&mut after.times, 990);
    report.row(
        "T111",
        "back to normal within 5 s",
        "p99 <= 3 x unloaded",
        &format!("{back:.0?}"),
        back <= alone * 3 && server.is_running(),
    );
}

fn per_second(count: u64, within: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000 / within.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// The API under its heaviest load beside visitors: searches, bulks and passwords. Nothing is pinned.
fn heavy(report: &mut Report, server: &Server) {
    const VISITORS: u64 = 2_000;
    let rows: Vec<Value> = (0..1_000).map(|n| json!({"url": format!("https://e.test/{n}")})).collect();
    let bulk = json!({"links": rows}).to_string();
    let body = json!({"url": "https://e.test/", "password": "open sesame"}).to_string();
    let over = AtomicBool::new(false);
    let statuses = parking_lot::Mutex::new(HashMap::<u16, u64>::new());
    let mut seen = std::thread::scope(|scope| {
        for thread in 0..24 {
            let (over, bulk, body, statuses) = (&over, &bulk, &body, &statuses);
            scope.spawn(move || {
                let mut client = server.client();
                while !over.load(Ordering::Relaxed) {
                    let answer = match thread % 3 {
                        0 => client.send("GET", "/api/v1/links?search=nothing-like-it&sort=clicks", ""),
                        1 => client.send("POST", "/api/v1/links/bulk", bulk),
                        _ => client.send("POST", "/api/v1/links", body),
                    };
                    let status = answer.map_or(0, |answer| answer.status);
                    *statuses.lock().entry(status).or_default() += 1;
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        let seen = visit(server.address, Some(VISITORS), Duration::from_secs(5), false);
        over.store(true, Ordering::Relaxed);
        seen
    });
    let p99 = percentile(&mut seen.times, 990);
    let statuses = statuses.into_inner();
    let fine = statuses.keys().all(|status| [200, 201, 400, 503].contains(status));
    report.row(
        "T111",
        &format!("{VISITORS}/s beside 24 clients that search, import and hash"),
        "p99 <= 100 ms, none refused",
        &format!("{p99:.1?}, API {statuses:?}"),
        p99 <= Duration::from_millis(100) && seen.busy == 0 && seen.bad.is_empty() && fine,
    );
}
