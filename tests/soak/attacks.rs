//! E13: every attack on HTTPS and HTTP/2, by fifty clients at once beside visitors.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::Report;
use crate::client::percentile;
use crate::https::{HttpsServer, NAME, visit};
use crate::support::attacks::ATTACKS;
use crate::support::frames::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, get, head,
    read_frame,
};
use crate::support::tls::TlsClient;

/// Clients of each attack.
const ATTACKERS: usize = 50;

/// How long after its limit a connection may be open.
const LATE: Duration = Duration::from_secs(1);

/// The memory that an attack may add, in KB.
const MEMORY: u64 = 16 * 1_024;

/// The time in which a flood must have ended its connection: before a silent one would end.
const FLOOD: u64 = 8;

/// `http.header_timeout` and `http.body_timeout`, the time between GOAWAY and the end, and the time for a response
/// whose client keeps its window closed.
const HEAD: u64 = 10;
const BODY: u64 = 10;
const GOODBYE: u64 = 1;
const UNREAD: u64 = 30;

/// Pause between two bytes of a client that drips.
const DRIP: Duration = Duration::from_millis(50);

/// Where an attack is sent.
struct Target {
    address: SocketAddr,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_mins(2)))?;
        Ok(socket)
    }

    fn h2(&self) -> io::Result<TlsClient> {
        TlsClient::connect(self.address, NAME, Arc::clone(&self.http2))
    }

    /// Returns the first bytes of a client.
    fn hello(&self) -> Vec<u8> {
        let name = NAME.to_owned().try_into().expect("a name");
        let mut session = ClientConnection::new(Arc::clone(&self.http2), name).expect("a session");
        let mut bytes = Vec::new();
        session.write_tls(&mut bytes).expect("memory");
        bytes
    }
}

/// Sends an attack and returns when the server has closed the connection.
type Attack<'a> = Box<dyn Fn(&Target) -> io::Result<()> + Sync + 'a>;

/// Sends bytes without TLS, and waits for the end.
fn raw<'a>(bytes: impl Fn(&Target) -> Vec<u8> + Sync + 'a) -> Attack<'a> {
    Box::new(move |target| {
        let mut socket = target.connect()?;
        // The server may close before all of it is sent.
        let _ = socket.write_all(&bytes(target));
        let _ = socket.read_to_end(&mut Vec::new());
        Ok(())
    })
}

/// Sends frames, and waits for the end.
fn frames<'a>(bytes: impl Fn() -> Vec<u8> + Sync + 'a) -> Attack<'a> {
    Box::new(move |target| {
        let mut client = target.h2()?;
        let _ = client.send(bytes());
        while read_frame(&mut client.0).is_some() {}
        Ok(())
    })
}

/// Sends the same bytes again and again, until the server has closed the connection.
fn dripping(mut stream: impl Write, bytes: &[u8], pause: Duration) {
    for byte in bytes.chunks(1.max(bytes.len() / 2_000)).cycle() {
        if stream.write_all(byte).and_then(|()| stream.flush()).is_err() {
            break;
        }
        std::thread::sleep(pause);
    }
}

/// Returns case, name, limit in seconds and attack.
fn attacks<'a>() -> Vec<(&'static str, &'static str, u64, Attack<'a>)> {
    let mut all: Vec<(&str, &str, u64, Attack<'_>)> = Vec::new();
    for attack in ATTACKS {
        let (case, name) = attack.name.split_once(' ').expect("a case and a name");
        let flood: Attack<'_> = Box::new(|target| {
            let mut client = target.h2()?;
            client.send(PREFACE)?;
            let _ = (attack.send)(&mut client);
            let mut code = None;
            while let Some(frame) = read_frame(&mut client.0) {
                code = code.or_else(|| (frame.kind == GOAWAY).then(|| frame.code()));
            }
            // The cut may overtake the GOAWAY on its way.
            let is_right = |code: u32| attack.codes.is_empty() || attack.codes.contains(&code);
            if code.is_none_or(is_right) { Ok(()) } else { Err(io::Error::other(format!("GOAWAY {code:?}"))) }
        });
        all.push((case, name, FLOOD, flood));
    }
    all.push(("T41", "300 streams with stalled bodies", BODY + HEAD + GOODBYE, frames(stalled_bodies)));
    all.push(("H09", "100 responses to a closed window", UNREAD + HEAD + GOODBYE, frames(closed_window)));
    all.push(("T42", "a preface alone", HEAD + GOODBYE, frames(|| PREFACE.to_vec())));
    let half = || [PREFACE, &get(1, "/s")[..15]].concat();
    all.push(("T42", "half a head of HTTP/2", HEAD + GOODBYE, frames(half)));
    all.push(("T42", "a handshake, then silence", HEAD + GOODBYE, frames(Vec::new)));
    let pings: Attack<'_> = Box::new(|target| {
        let mut client = target.h2()?;
        client.send(PREFACE)?;
        let ping = frame(PING, 0, 0, &[7; 8]);
        while client.send(&ping).is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    });
    all.push(("T42", "PING each 200 ms", HEAD + GOODBYE, pings));
    all.push(("T32", "a connection, then silence", HEAD, raw(|_| Vec::new())));
    all.push(("T32", "a byte of a hello", HEAD, raw(|target| target.hello()[..1].to_vec())));
    all.push(("T32", "half a hello", HEAD, raw(|target| target.hello()[..100].to_vec())));
    let drips: Attack<'_> = Box::new(|target| {
        dripping(target.connect()?, &target.hello(), DRIP);
        Ok(())
    });
    all.push(("T32", "a hello, a byte each 50 ms", HEAD, drips));
    all.push(("T32", "a hello of 16 KB", 0, raw(|_| long_hello())));
    all.push(("T32", "garbage", 0, raw(|_| vec![0xff; 32 * 1_024])));
    all.push((
        "T32",
        "HTTP without TLS",
        0,
        raw(|_| format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n").into()),
    ));
    all
}

fn long_hello() -> Vec<u8> {
    let mut bytes = vec![22, 3, 1, 64, 0, 1, 0, 63, 252];
    bytes.resize(32 * 1_024, 7);
    bytes
}

fn stalled_bodies() -> Vec<u8> {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    // The windows have room for the responses.
    let mut bytes = [PREFACE, &frame(WINDOW_UPDATE, 0, 0, &[0, 16, 0, 0])].concat();
    for number in 0..300 {
        let request = frame(HEADERS, END_HEADERS, 2 * number + 1, &head("POST", "/locked", &form));
        bytes.extend(request);
    }
    bytes
}

fn closed_window() -> Vec<u8> {
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut bytes = [&PREFACE[..24], &settings].concat();
    for number in 0..100 {
        let request = head("GET", "/api/openapi.json", &[]);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &request));
    }
    bytes
}

/// The visitors beside an attack.
#[derive(Default)]
struct Visits {
    times: Vec<Duration>,
    failed: usize,
}

fn visits(target: &Target, over: &AtomicBool) -> Visits {
    let mut visits = Visits::default();
    while !over.load(Ordering::Relaxed) {
        for is_h2 in [false, true] {
            let begun = Instant::now();
            let seen =
                if is_h2 { visit_h2(target).is_ok() } else { visit(target.address, &target.http1).is_ok() };
            visits.times.push(begun.elapsed());
            visits.failed += usize::from(!seen);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    visits
}

fn visit_h2(target: &Target) -> io::Result<()> {
    let mut client = target.h2()?;
    client.send([PREFACE, &get(1, "/s")].concat())?;
    while let Some(frame) = read_frame(&mut client.0) {
        if frame.kind == HEADERS {
            return Ok(());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

pub(crate) fn e13_attacks_by_fifty_at_once(report: &mut Report) {
    let app = HttpsServer::start(|plan| plan);
    let created = app.server.client().create("locked", &json!({"password": "a password"}));
    assert_eq!(created.status, 201, "{created:?}");
    let target =
        Target { address: app.address, http1: app.trusting(&["http/1.1"]), http2: app.trusting(&["h2"]) };
    // The first ones pay for what is there once.
    for _ in 0..100 {
        visit(target.address, &target.http1).expect("served");
        visit_h2(&target).expect("served");
    }
    let alone = AtomicBool::new(false);
    let mut calm = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| visits(&target, &alone));
        std::thread::sleep(Duration::from_secs(2));
        alone.store(true, Ordering::Relaxed);
        visitor.join().expect("no panic")
    });
    let what = "visitors alone";
    let p99 = percentile(&mut calm.times, 990);
    report.row(
        "E13",
        what,
        "none fails",
        &format!("p99 {p99:.1?}, {} visits", calm.times.len()),
        calm.failed == 0,
    );
    for (case, name, limit, attack) in attacks() {
        // The last attack's descriptors and memory are gone.
        std::thread::sleep(Duration::from_millis(500));
        run(report, &app, &target, (case, name, Duration::from_secs(limit)), &attack);
    }
    app.server.stop();
}

fn run(
    report: &mut Report,
    app: &HttpsServer,
    target: &Target,
    (case, name, limit): (&str, &str, Duration),
    attack: &Attack<'_>,
) {
    let before = app.server.resident();
    let (over, mut most) = (AtomicBool::new(false), before);
    let (last, mut seen) = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| visits(target, &over));
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                scope.spawn(|| {
                    let begun = Instant::now();
                    attack(target).expect("a connection, and the code that it must end with");
                    begun.elapsed()
                })
            })
            .collect();
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            most = most.max(app.server.resident());
            std::thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
        let ends = attackers.into_iter().map(|attacker| attacker.join().expect("no panic"));
        (ends.max().expect("attackers"), visitor.join().expect("no panic"))
    });
    let (grown, p99, count) = (most - before, percentile(&mut seen.times, 990), seen.times.len());
    report.row(
        case,
        &format!("{ATTACKERS} x {name}"),
        &format!("ended in {} s, < 16 MB, no visit fails", (limit + LATE).as_secs()),
        &format!("{last:.1?}, +{grown} KB, p99 {p99:.1?} of {count}, {} failed", seen.failed),
        last <= limit + LATE && grown < MEMORY && seen.failed == 0 && count > 0,
    );
}
