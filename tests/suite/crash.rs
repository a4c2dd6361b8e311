//! SIGKILL at random moments while clients create links and click. After the restart every acknowledged link
//! exists, and at most the clicks of one flush interval are lost.
//!
//! `WAYPOST_CRASH_ROUNDS` sets the number of kills in all six tests together, `WAYPOST_SEED` repeats the choices of a run.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::http::{Client, text};
use crate::support::process::{Dice, Plan, Process};

/// Kills of servers that were under load for some milliseconds.
struct Kills {
    rounds: u64,
    load: Range<u64>,
}

const EARLY: Kills = Kills { rounds: 4, load: 200..500 };
const LATER: Kills = Kills { rounds: 3, load: 500..800 };
const LATE: Kills = Kills { rounds: 3, load: 800..1100 };

const WRITERS: usize = 3;
const CLICKERS: usize = 2;

/// A click must be durable after this many observed flushes. A flush begins when the one before it is
/// durable, so two suffice; the others allow for a flush that is observed in several steps.
const FLUSHES: usize = 4;

/// A link whose creation was acknowledged with 201.
#[derive(Clone)]
struct Acked {
    id: String,
    code: String,
}

impl Acked {
    fn destination(&self) -> String {
        destination(&self.code)
    }
}

fn destination(code: &str) -> String {
    format!("https://e.test/{code}?round=trip#{code}")
}

/// The state of a server when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Serving,
    Stopping,
}

/// What the clients of one round observed.
#[derive(Default)]
struct Seen {
    made: Vec<Acked>,
    /// Codes whose creation was requested and not answered.
    open: Vec<String>,
    /// By link id: the requests sent, and the time of each response.
    clicks: HashMap<String, Clicks>,
    /// Clicks answered before this time must be durable. `None` if too few flushes were observed.
    safe: Option<Instant>,
}

#[derive(Default)]
struct Clicks {
    sent: u64,
    answered: Vec<Instant>,
}

/// What the clients of one round share: the links to click, and the end of the round.
struct Stage {
    links: Mutex<Vec<Acked>>,
    over: AtomicBool,
}

fn write(mut admin: Client, prefix: &str, stage: &Stage) -> Seen {
    let mut seen = Seen::default();
    for number in 0.. {
        if stage.over.load(Ordering::Relaxed) {
            break;
        }
        let code = format!("{prefix}-{number}");
        let body = json!({"url": destination(&code), "customSlug": code}).to_string();
        let sent = admin.try_send("POST", "/api/v1/links", &[], Some(body.as_bytes()));
        let Ok(answer) = sent else {
            seen.open.push(code);
            break;
        };
        if answer.status == 503 {
            // The server is stopping: the link is not acknowledged, and may exist.
            seen.open.push(code);
            continue;
        }
        let link = answer.expect(201, &code)["link"].clone();
        let acked = Acked { id: text(&link, "id").to_owned(), code };
        seen.made.push(acked.clone());
        stage.links.lock().expect("no client panicked").push(acked);
    }
    seen
}

fn click(mut visitor: Client, mut dice: Dice, stage: &Stage) -> Seen {
    let mut seen = Seen::default();
    while !stage.over.load(Ordering::Relaxed) {
        let link = {
            let links = stage.links.lock().expect("no client panicked");
            let at = usize::try_from(dice.below(links.len() as u64)).expect("an index");
            links.get(at).cloned()
        };
        let Some(link) = link else { continue };
        let clicks = seen.clicks.entry(link.id.clone()).or_default();
        clicks.sent += 1;
        let Ok(answer) = visitor.try_send("GET", &format!("/{}", link.code), &[], None) else { break };
        if answer.status == 503 {
            continue;
        }
        let way = (answer.status, answer.header("location"));
        assert_eq!(way, (302, Some(&*link.destination())), "{} while it runs", link.code);
        clicks.answered.push(Instant::now());
    }
    seen
}

/// Observes the number of flushed clicks until the server is gone.
fn watch(mut admin: Client, stage: &Stage) -> Seen {
    // For each flush, a time before it.
    let mut flushes = Vec::new();
    let (mut last, mut asked) = (None, Instant::now());
    while !stage.over.load(Ordering::Relaxed) {
        let before = std::mem::replace(&mut asked, Instant::now());
        let Ok(answer) = admin.try_send("GET", "/metrics", &[], None) else { break };
        let text = answer.text();
        let flushed = text.lines().find_map(|line| line.strip_prefix("waypost_clicks_total ")?.parse().ok());
        let flushed: u64 = flushed.unwrap_or_else(|| panic!("no flushed clicks in {text}"));
        if last.replace(flushed).is_some_and(|last| last != flushed) {
            flushes.push(before);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let safe = flushes.len().checked_sub(FLUSHES).map(|at| flushes[at]);
    Seen { safe, ..Seen::default() }
}

/// Runs clients against a server for `length`, kills the server, and returns what the clients observed.
fn round(
    server: &mut Process,
    moment: Moment,
    number: u64,
    length: Duration,
    dice: &mut Dice,
    known: &[Acked],
) -> Seen {
    let stage = Stage { links: Mutex::new(known.to_vec()), over: AtomicBool::new(false) };
    let mut all = Seen::default();
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for writer in 0..WRITERS {
            let (admin, prefix, stage) = (server.admin(), format!("r{number}w{writer}"), &stage);
            clients.push(scope.spawn(move || write(admin, &prefix, stage)));
        }
        for _ in 0..CLICKERS {
            let (visitor, dice, stage) = (server.visitor(), dice.split(), &stage);
            clients.push(scope.spawn(move || click(visitor, dice, stage)));
        }
        let (admin, watched) = (server.admin(), &stage);
        clients.push(scope.spawn(move || watch(admin, watched)));
        std::thread::sleep(length);
        if moment == Moment::Stopping {
            server.signal(Signal::TERM);
            std::thread::sleep(Duration::from_micros(dice.below(30_000)));
        }
        server.kill();
        stage.over.store(true, Ordering::Relaxed);
        for client in clients {
            let seen = client.join().expect("a client saw what it must not");
            all.made.extend(seen.made);
            all.open.extend(seen.open);
            all.safe = all.safe.or(seen.safe);
            for (id, clicks) in seen.clicks {
                let total = all.clicks.entry(id).or_default();
                total.sent += clicks.sent;
                total.answered.extend(clicks.answered);
            }
        }
    });
    all
}

/// Kills up to two starts before they are complete: recovery must survive crashes of its own.
fn kill_some_starts(plan: impl Fn() -> Plan, dice: &mut Dice) {
    for _ in 0..dice.below(3) {
        let mut starting = plan().spawn();
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        starting.kill();
    }
}

#[track_caller]
fn check_link(visitor: &mut Client, link: &Acked, when: &str) {
    let answer = visitor.head(&format!("/{}", link.code));
    let way = (answer.status, answer.header("location"));
    assert_eq!(way, (302, Some(&*link.destination())), "{} {when}", link.code);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_an_early_kill() {
    kill_repeatedly(Moment::Serving, &EARLY);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_a_later_kill() {
    kill_repeatedly(Moment::Serving, &LATER);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_a_late_kill() {
    kill_repeatedly(Moment::Serving, &LATE);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_an_early_kill_during_a_stop() {
    kill_repeatedly(Moment::Stopping, &EARLY);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_a_later_kill_during_a_stop() {
    kill_repeatedly(Moment::Stopping, &LATER);
}

#[test]
fn t92_nothing_acknowledged_is_lost_by_a_late_kill_during_a_stop() {
    kill_repeatedly(Moment::Stopping, &LATE);
}

/// Kills one server after another on the same data folder, each under load, and checks after each kill what
/// the clients observed.
fn kill_repeatedly(moment: Moment, kills: &Kills) {
    let (seed, mut dice) = Dice::seeded();
    let load = &kills.load;
    let given = std::env::var("WAYPOST_CRASH_ROUNDS").ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = given.map_or(kills.rounds, |all| all.div_ceil(6));
    eprintln!("WAYPOST_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = || Plan::on(folder.path()).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "100ms");
    let mut known: Vec<Acked> = Vec::new();
    // The total of each link when it was last read. Totals never decrease.
    let mut floor: HashMap<String, u64> = HashMap::new();
    let mut server = plan().start();
    let mut must_sum = 0;
    for number in 0.. {
        // A slow machine gets more rounds: a run without any due link or click would prove nothing.
        let is_enough = known.len() as u64 > rounds && must_sum > 0;
        if number >= rounds && is_enough {
            break;
        }
        assert!(number < 5 * rounds, "{} links and {must_sum} clicks were due", known.len());
        let length = Duration::from_millis(load.start + dice.below(load.end - load.start))
            + Duration::from_secs(number / rounds);
        let seen = round(&mut server, moment, number, length, &mut dice, &known);
        kill_some_starts(plan, &mut dice);
        server = plan().start();
        let when = format!("after kill {number}, seed {seed}");
        let mut visitor = server.visitor();
        let mut admin = server.admin();
        for link in &seen.made {
            check_link(&mut visitor, link, &when);
        }
        known.extend(seen.made);
        for _ in 0..100.min(known.len()) {
            let at = usize::try_from(dice.below(known.len() as u64)).expect("an index");
            check_link(&mut visitor, &known[at], &when);
        }
        for code in seen.open {
            // Either the whole link exists or nothing of it.
            let answer = visitor.head(&format!("/{code}"));
            let whole = answer.header("location") == Some(&*destination(&code));
            assert!(answer.status == 404 || whole, "{code} {when}: {answer:?}");
        }
        for (id, clicks) in seen.clicks {
            let before = floor.get(&id).copied().unwrap_or(0);
            let must =
                clicks.answered.iter().filter(|at| seen.safe.is_some_and(|safe| **at < safe)).count() as u64;
            let total = admin.clicks(&id);
            let bounds = before + must..=before + clicks.sent;
            assert!(bounds.contains(&total), "{id} {when}: {total} clicks, not within {bounds:?}");
            must_sum += must;
            floor.insert(id, total);
        }
    }
    server.stop();
    let server = plan().start();
    let mut visitor = server.visitor();
    for link in &known {
        check_link(&mut visitor, link, &format!("at the end, seed {seed}"));
    }
    let mut admin = server.admin();
    for (id, total) in floor {
        assert!(admin.clicks(&id) >= total, "{id} went back, seed {seed}");
    }
    let listed = admin.get("/api/v1/links?limit=1").expect(200, "the list")["total"].as_u64();
    assert!(listed >= Some(known.len() as u64), "{listed:?} of {} are listed, seed {seed}", known.len());
    eprintln!("{} links and {must_sum} clicks were due", known.len());
    server.stop();
}

#[test]
fn t92_a_first_start_that_is_killed_begins_again() {
    let (seed, mut dice) = Dice::seeded();
    for round in 0..12 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = || Plan::on(folder.path()).without("WAYPOST_ADMIN_KEY");
        let mut starting = plan().spawn();
        std::thread::sleep(Duration::from_micros(dice.below(80_000)));
        starting.kill();
        kill_some_starts(plan, &mut dice);
        let server = plan().start();
        let key = std::fs::read_to_string(folder.path().join("admin.key")).expect("the key file");
        let mut admin = server.visitor().with_key(key.trim_end());
        let row = format!("round {round}, seed {seed}");
        admin.get("/api/v1/links").expect(200, &row);
        let all = admin.get("/api/v1/workspaces").expect(200, &row)["workspaces"].clone();
        assert_eq!(all.as_array().map(Vec::len), Some(1), "{row}: {all}");
        let all = admin.get("/api/v1/keys").expect(200, &row)["keys"].clone();
        assert_eq!(all.as_array().map(Vec::len), Some(1), "{row}: {all}");
        server.stop();
    }
}

#[test]
fn t92_a_bulk_cut_by_a_kill_is_finished_by_its_repetition() {
    const ROWS: usize = 600;
    let (seed, mut dice) = Dice::seeded();
    // Long enough for a bulk of many Changes.
    let long = "x".repeat(6_000);
    let row = |row| json!({"url": format!("https://e.test/{row}?{long}"), "customSlug": format!("b{row}")});
    let body = json!({"links": (0..ROWS).map(row).collect::<Vec<_>>()}).to_string();
    let mut cut = 0;
    for round in 0..6 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Plan::on(folder.path()).start();
        let key = [("Idempotency-Key", "once")];
        std::thread::scope(|scope| {
            let mut admin = server.admin();
            let body = body.as_bytes();
            scope.spawn(move || drop(admin.try_send("POST", "/api/v1/links/bulk", &key, Some(body))));
            std::thread::sleep(Duration::from_millis(40 + dice.below(500)));
            server.kill();
        });
        let server = Plan::on(folder.path()).start();
        let mut admin = server.admin();
        let when = format!("round {round}, seed {seed}");
        let total = admin.get("/api/v1/links?limit=1").expect(200, &when)["total"].as_u64();
        cut += u32::from(total > Some(0) && total < Some(ROWS as u64));
        let answer = admin.send("POST", "/api/v1/links/bulk", &key, Some(body.as_bytes()));
        let done = answer.expect(201, &when);
        assert_eq!((&done["created"], &done["failed"]), (&json!(ROWS), &json!([])), "{when}");
        let total = admin.get("/api/v1/links?limit=1").expect(200, &when)["total"].clone();
        assert_eq!(total, ROWS, "{when}");
        server.stop();
    }
    eprintln!("{cut} were cut in the middle");
}
