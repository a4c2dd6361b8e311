//! The system's clock jumps, by libfaketime. The suite does the same with a clock in the process; here the
//! whole program sees the jumps, hyper, tokio and sled included.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::Report;
use crate::server::{Plan, Server};

const DAY: i64 = 24 * 60 * 60;

/// Offsets of the clock in seconds, one after another.
const JUMPS: [i64; 10] = [0, DAY, 400 * DAY, 0, -DAY, -400 * DAY, -20 * 365 * DAY, 2, 30 * 365 * DAY, 0];

/// Returns the path of libfaketime, where distributions install it.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    folders
        .iter()
        .map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.exists())
}

fn start(data: &Path, library: &Path, offset: &Path) -> Server {
    let plan = Plan::default()
        .env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    plan.start(data).expect("it starts")
}

/// Returns the difference between `Date` and the right time, in seconds.
fn error(server: &Server, offset: i64) -> i64 {
    let answer = server.client().get("/plain");
    let date = answer.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
    };
    (date.map_or(0, seconds) - seconds(SystemTime::now()) - offset).abs()
}

pub(crate) fn t103_the_systems_clock_jumps(report: &mut Report) {
    let Some(library) = library() else {
        report.skipped("T103", "the system's clock jumps", "no libfaketime");
        return;
    };
    for across in [false, true] {
        run(report, &library, across);
    }
}

fn run(report: &mut Report, library: &Path, across: bool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, offset) = (folder.path().join("data"), folder.path().join("offset"));
    let set = |seconds: i64| fs::write(&offset, format!("{seconds:+}\n")).expect("written");
    set(0);
    let mut server = start(&data, library, &offset);
    let mut client = server.client();
    let soon = SystemTime::now() + Duration::from_hours(5 * 24);
    let soon = jiff(soon);
    client.create("plain", &json!({}));
    client.create("expiring", &json!({"expiresAt": soon}));
    client.create("coming", &json!({"validSince": soon}));
    client.create("used", &json!({"maxClicks": 1}));
    let gone = client.create("gone", &json!({})).json()["link"]["id"].clone();
    let plain = client.get("/api/v1/links?search=plain").json()["links"][0]["id"].clone();
    let plain = plain.as_str().expect("an id").to_owned();
    client.get("/used");
    let path = format!("/api/v1/links/{}", gone.as_str().expect("an id"));
    client.send("DELETE", &path, "").expect("deleted");
    let (mut wrong, mut worst, mut total, mut made) = (Vec::new(), 0, 0, 0);
    for (step, jump) in JUMPS.into_iter().enumerate() {
        if across {
            let ended = server.stop();
            assert!(ended.success(), "{ended}");
            set(jump);
            server = start(&data, library, &offset);
        } else {
            set(jump);
        }
        // `Date` must follow within two seconds.
        let begun = Instant::now();
        while error(&server, jump) > 1 && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(50));
        }
        worst = worst.max(error(&server, jump));
        // Long enough for every periodic task that reads the clock.
        std::thread::sleep(Duration::from_millis(500));
        let mut client = server.client();
        let is_over = jump >= 5 * DAY;
        let rows = [
            ("/plain", 302),
            ("/expiring", if is_over { 410 } else { 302 }),
            ("/coming", if is_over { 302 } else { 404 }),
            ("/used", 410),
            ("/gone", 404),
        ];
        for (path, want) in rows {
            let got = client.get(path).status;
            if got != want {
                wrong.push(format!("{step} {path}: {got}"));
            }
        }
        let status = client.create(&format!("m{made}"), &json!({})).status;
        made += 1;
        if status != 201 {
            wrong.push(format!("{step} create: {status}"));
        }
        for number in 0..made {
            if client.get(&format!("/m{number}")).status != 302 {
                wrong.push(format!("{step} m{number} is lost"));
            }
        }
        let clicks = client.clicks(&plain);
        if clicks < total {
            wrong.push(format!("{step} clicks went from {total} to {clicks}"));
        }
        total = clicks;
    }
    let panicked = server.stderr().contains("panicked");
    let ended = server.stop();
    let way = if across { "across restarts" } else { "while it runs" };
    report.row(
        "T103",
        &format!("{} jumps of the clock {way}", JUMPS.len()),
        "dates follow, nothing lost or revived",
        &format!("{wrong:?}, panicked: {panicked}, {ended}"),
        wrong.is_empty() && !panicked && ended.success(),
    );
    report.row("T103", &format!("Date, {way}"), "right within 2 s", &format!("{worst} s off"), worst <= 2);
}

/// Returns an instant in the format of the API.
fn jiff(time: SystemTime) -> String {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    waypost::clock::Timestamp::from_millis(i64::try_from(millis).expect("a date")).to_string()
}
