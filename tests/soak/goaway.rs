//! E14: requests over HTTP/2 while their connections end by number of requests, by a restart and by age. The client
//! repeats exactly what GOAWAY allows it to repeat, and the clicks of the link show whether one is lost or is
//! counted twice.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::ClientConfig;

use crate::Report;
use crate::https::{HttpsServer, NAME};
use crate::server::Plan;
use crate::support::frames::{
    Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, get, read_frame,
};
use crate::support::tls::TlsClient;
use crate::time::library;

/// The flag of an acknowledgement (RFC 9113 6.5, 6.7).
const ACK: u8 = 1;

/// The server has not looked at the stream (RFC 9113 8.7).
const REFUSED_STREAM: u32 = 7;

/// The first bit of a stream's id is reserved.
const STREAM_MASK: u32 = 0x7fff_ffff;

/// How many times faster the clock of the server is where connections end by age: an hour is 90 seconds.
const FASTER: u32 = 40;

/// Restarts by SIGUSR2 in one phase.
const RESTARTS: usize = 5;

/// Pause between two restarts.
const PAUSE: Duration = Duration::from_millis(700);

/// Longest wait for a start.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a phase sends its requests.
struct Phase {
    connections: usize,
    /// Requests open at once on a connection.
    depth: usize,
    /// Pause after each group of requests. Without one, each response is followed by a request.
    pause: Duration,
}

/// The results of all clients of a phase.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    /// Sent, and neither answered nor declared as not processed.
    lost: AtomicUsize,
    /// Declared as not processed, and sent once more.
    repeated: AtomicUsize,
    ends: AtomicUsize,
}

/// A connection of a client.
struct Connection {
    client: TlsClient,
    open: BTreeSet<u32>,
    next: u32,
    is_ending: bool,
}

impl Connection {
    fn open(app: &HttpsServer, config: &Arc<ClientConfig>) -> io::Result<Connection> {
        let mut client = TlsClient::connect(app.address, NAME, Arc::clone(config))?;
        client.send(PREFACE)?;
        Ok(Connection { client, open: BTreeSet::new(), next: 1, is_ending: false })
    }

    /// Sends the requests that there is room for, and reads one frame.
    fn turn(&mut self, phase: &Phase, seen: &Seen) {
        if !self.is_ending && (phase.pause.is_zero() || self.open.is_empty()) {
            self.send(phase.depth - self.open.len());
        }
        self.read(seen);
    }

    /// Sends so many requests together.
    fn send(&mut self, count: usize) {
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend(get(self.next, "/s"));
            self.open.insert(self.next);
            self.next += 2;
        }
        // What the server has sent before an error is still to be read.
        let _ = self.client.send(bytes);
    }

    /// Reads the next frame.
    fn read(&mut self, seen: &Seen) {
        if let Some(frame) = read_frame(&mut self.client.0) {
            self.note(&frame, seen);
        } else {
            // A client must not repeat what the server may have processed.
            seen.lost.fetch_add(self.open.len(), Ordering::Relaxed);
            self.open.clear();
            self.is_ending = true;
        }
    }

    /// Reads what arrives in this time.
    fn rest(&mut self, time: Duration, seen: &Seen) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let _ = self.client.0.sock.set_read_timeout(Some(left));
            let has_more = self.client.0.sock.peek(&mut [0]).is_ok();
            let _ = self.client.0.sock.set_read_timeout(Some(PATIENCE));
            if has_more {
                self.read(seen);
            }
            if self.is_ending {
                return;
            }
        }
    }

    fn note(&mut self, read: &Frame, seen: &Seen) {
        match read.kind {
            HEADERS if self.open.remove(&read.stream) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
            }
            RST_STREAM if self.open.remove(&read.stream) => {
                let count = if read.code() == REFUSED_STREAM { &seen.repeated } else { &seen.lost };
                count.fetch_add(1, Ordering::Relaxed);
            }
            GOAWAY => {
                // The first of two names no stream: the server waits for what is on its way.
                let last = read.payload.get(..4).and_then(|bytes| bytes.try_into().ok()).expect("a stream");
                let not_processed = self.open.split_off(&((u32::from_be_bytes(last) & STREAM_MASK) + 1));
                seen.repeated.fetch_add(not_processed.len(), Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_ending, true) {
                    seen.ends.fetch_add(1, Ordering::Relaxed);
                }
            }
            kind @ (PING | SETTINGS) if read.flags & ACK == 0 => {
                let _ = self.client.send(frame(kind, ACK, 0, if kind == PING { &read.payload } else { &[] }));
            }
            _ => {}
        }
    }
}

/// A client: connections one after another, until it is over. Each request that is not processed is sent again.
fn requests(
    app: &HttpsServer,
    config: &Arc<ClientConfig>,
    phase: &Phase,
    seen: &Seen,
    is_over: &dyn Fn() -> bool,
) {
    while !is_over() {
        // A refused connection has carried no request.
        let Ok(mut connection) = Connection::open(app, config) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        while !connection.is_ending && !is_over() {
            connection.turn(phase, seen);
            if connection.open.is_empty() {
                connection.rest(phase.pause, seen);
            }
        }
        // The rest of this connection. A client sends nothing on one that ends.
        connection.is_ending = true;
        while !connection.open.is_empty() {
            connection.read(seen);
        }
    }
}

impl Phase {
    /// Runs all clients beside `meanwhile`, until it is over and this many requests are answered.
    fn run(&self, app: &HttpsServer, least: usize, meanwhile: impl FnOnce()) -> Seen {
        let (seen, over, config) = (Seen::default(), AtomicBool::new(false), app.trusting(&["h2"]));
        let is_over = || over.load(Ordering::Relaxed) && seen.answered.load(Ordering::Relaxed) >= least;
        std::thread::scope(|scope| {
            for _ in 0..self.connections {
                scope.spawn(|| requests(app, &config, self, &seen, &is_over));
            }
            meanwhile();
            over.store(true, Ordering::Relaxed);
        });
        seen
    }
}

fn judge(report: &mut Report, what: &str, app: &HttpsServer, seen: &Seen) {
    let count = |value: &AtomicUsize| value.load(Ordering::Relaxed);
    let (answered, lost) = (count(&seen.answered), count(&seen.lost));
    let clicks = usize::try_from(app.server.client().clicks(&app.link)).expect("a count");
    // A lost request may have been counted.
    let twice = clicks.saturating_sub(answered + lost);
    report.row(
        "E14",
        &format!("{answered} requests, {} ends by {what}", count(&seen.ends)),
        "none lost, none twice",
        &format!("{lost} lost, {twice} twice, {} repeated", count(&seen.repeated)),
        lost == 0 && clicks == answered && count(&seen.ends) > 0,
    );
}

pub(crate) fn e14_requests_over_the_end_of_connections(report: &mut Report) {
    let (most, age) = if report.is_short() {
        (10_000, Duration::from_secs(100))
    } else {
        (100_000, Duration::from_secs(190))
    };
    let app = HttpsServer::start(|plan| plan);
    let fast = Phase { connections: 8, depth: 16, pause: Duration::ZERO };
    judge(report, "their number of requests", &app, &fast.run(&app, most, || ()));
    app.server.stop();

    let app = HttpsServer::start(|plan| plan);
    let seen = fast.run(&app, most / 4, || {
        for restart in 0..RESTARTS {
            std::thread::sleep(PAUSE);
            app.server.restart();
            app.server.await_starts(restart + 2, PATIENCE);
        }
        std::thread::sleep(PAUSE);
    });
    judge(report, &format!("{RESTARTS} restarts and their number"), &app, &seen);
    app.server.stop();

    let Some(library) = library() else {
        report.skipped("E14", "the same by age", "no libfaketime");
        return;
    };
    let app = HttpsServer::start(|plan| with_a_fast_clock(plan, &library));
    // Too few for an end by number.
    let slow = Phase { connections: 64, depth: 4, pause: Duration::from_millis(500) };
    let begun = Instant::now();
    let seen = slow.run(&app, 0, || std::thread::sleep(age));
    let hours = begun.elapsed().as_secs() * u64::from(FASTER) / 3_600;
    judge(report, &format!("age, {hours} hours of a fast clock"), &app, &seen);
    app.server.stop();
}

fn with_a_fast_clock(plan: Plan, library: &Path) -> Plan {
    plan.env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME", &format!("+0 x{FASTER}"))
        // A minute and a half for the clients.
        .env("WAYPOST_HTTP__HEADER_TIMEOUT", "1h")
}
