//! Details of clicks: a million clicks with known values, kills and stops under load, and a disk that stands still or
//! is full. Checks 1 and 3 of click analytics.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::Report;
use crate::client::Client;
use crate::footprint::metric;
use crate::load::hammer_with;
use crate::server::{Plan, Server};

const LINKS: usize = 20;
const CONNECTIONS: usize = 64;

/// Clients that click while the server is killed or stopped.
const CLICKERS: usize = 16;

/// `User-Agent` of a visitor, and what the answers call its browser, system and device.
const AGENTS: [(&str, [&str; 3]); 4] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
        ["Firefox", "Windows", "desktop"],
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/18.1 Mobile/15E148 Safari/604.1",
        ["Safari", "iOS", "mobile"],
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile \
         Safari/537.36",
        ["Chrome", "Android", "mobile"],
    ),
    ("curl/8.5.0", ["curl", "null", "null"]),
];

const LANGUAGES: [&str; 5] = ["null", "de", "en", "fr", "pt"];

/// What the clicks of a link are compared by.
const FACETS: [&str; 9] =
    ["browser", "os", "device", "language", "referrer", "trigger", "utmSource", "country", "time"];

/// A click whose values follow from its number. There are 33,600 different ones, half of what a drain has room for.
struct Click(usize);

impl Click {
    fn link(&self) -> usize {
        self.0 % LINKS
    }

    /// Returns the value of a facet.
    fn value(&self, facet: &str) -> String {
        let Click(n) = *self;
        // Different divisors, so that all values occur with all others.
        let (agent, language) = (AGENTS[n / LINKS % 4].1, LANGUAGES[n / 7 % 5]);
        let some = |name: &str, number: usize| match number {
            0 => "null".to_owned(),
            number => format!("{name}{number}"),
        };
        match facet {
            "browser" => agent[0].to_owned(),
            "os" => agent[1].to_owned(),
            "device" => agent[2].to_owned(),
            "language" => language.to_owned(),
            "referrer" if n / 11 % 7 == 0 => "null".to_owned(),
            "referrer" => format!("r{}.example", n / 11 % 7),
            "trigger" => if n.is_multiple_of(3) { "qr" } else { "link" }.to_owned(),
            "utmSource" => some("u", n / 13 % 6),
            // One day, and no file of countries.
            _ => String::new(),
        }
    }

    fn request(&self) -> String {
        let mut query = Vec::new();
        if self.value("trigger") == "qr" {
            query.push("qr=1".to_owned());
        }
        let (utm, referrer, language) =
            (self.value("utmSource"), self.value("referrer"), self.value("language"));
        if utm != "null" {
            query.push(format!("utm_source={utm}"));
        }
        let mut head = format!(
            "GET /d{}?{} HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {}\r\n",
            self.link(),
            query.join("&"),
            AGENTS[self.0 / LINKS % 4].0
        );
        if referrer != "null" {
            head.push_str("Referer: https://");
            head.push_str(&referrer);
            head.push_str("/a/page\r\n");
        }
        if language != "null" {
            head.push_str(&["Accept-Language: ", &language, "-XX,", &language, ";q=0.9\r\n"].concat());
        }
        head + "\r\n"
    }
}

/// Creates the links, and returns their ids.
fn create(server: &Server) -> Vec<String> {
    let mut client = server.client();
    let made = (0..LINKS).map(|n| client.create(&format!("d{n}"), &json!({})).json());
    made.map(|link| link["link"]["id"].as_str().expect("an id").to_owned()).collect()
}

/// Returns the clicks by the value of a facet, and those without details.
fn ask(client: &mut Client, id: &str, facet: &str) -> (BTreeMap<String, u64>, u64) {
    let path = format!("/api/v1/analytics?linkId={id}&interval=all&limit=10000&groupBy={facet}");
    let mut answer = client.get(&path);
    let end = Instant::now() + Duration::from_secs(30);
    // Until the details of before the start are read.
    while answer.status == 503 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        answer = client.get(&path);
    }
    assert_eq!(answer.status, 200, "{path}");
    let answer = answer.json();
    let name = |row: &Value| row[facet].as_str().unwrap_or("null").to_owned();
    let rows = answer["analytics"].as_array().expect("rows").iter();
    let rows = rows.map(|row| (name(row), row["clicks"].as_u64().expect("a number"))).collect();
    (rows, answer["unattributed"].as_u64().expect("a number"))
}

/// Compares the clicks of all links in all ways of grouping them with their totals. Returns the sum of the totals, of
/// the clicks without details, and what differs.
fn compare(client: &mut Client, ids: &[String]) -> (u64, u64, Vec<String>) {
    let (mut all, mut without, mut wrong) = (0, 0, Vec::new());
    for id in ids {
        let total = client.clicks(id);
        all += total;
        for (at, facet) in FACETS.into_iter().enumerate() {
            let (rows, rest) = ask(client, id, facet);
            let sum: u64 = rows.values().sum();
            if sum + rest != total {
                wrong.push(format!("{facet} of {id}: {sum} + {rest}, not {total}"));
            }
            without += if at == 0 { rest } else { 0 };
        }
    }
    (all, without, wrong)
}

/// Waits until the details of all clicks are stored: until no link has more than this number without.
fn settle(client: &mut Client, ids: &[String], most: u64) {
    let end = Instant::now() + Duration::from_secs(10);
    while ids.iter().map(|id| ask(client, id, "browser").1).sum::<u64>() > most && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn c1_details_agree_with_totals(report: &mut Report) {
    let clicks = if report.is_short() { 64 * 1_600 } else { 64 * 16_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Plan::default().start(folder.path()).expect("it starts");
    let ids = create(&server);
    let found = hammer_with(server.address, CONNECTIONS, clicks, |n| Click(n).request());
    let mut client = server.client();
    let dropped = || metric(&server, "waypost_click_details_dropped_total");
    settle(&mut client, &ids, dropped());
    let (mut wrong, mut missing) = (Vec::new(), 0);
    for (link, id) in ids.iter().enumerate() {
        for (at, facet) in FACETS.into_iter().filter(|facet| !["country", "time"].contains(facet)).enumerate()
        {
            let mut want = BTreeMap::<String, u64>::new();
            for n in (link..clicks).step_by(LINKS) {
                *want.entry(Click(n).value(facet)).or_default() += 1;
            }
            let (rows, rest) = ask(&mut client, id, facet);
            // A text that a full buffer has dropped is another value, or none.
            let is_of_clicks =
                |(value, clicks): (&String, &u64)| want.get(value).is_none_or(|want| clicks <= want);
            let is_exact = rows.iter().filter(|(value, _)| *value != "null").all(is_of_clicks);
            if !is_exact || rows.values().sum::<u64>() + rest != want.values().sum::<u64>() {
                wrong.push(format!("{facet} of {id}, {rest} without"));
            }
            missing += if at == 0 { rest } else { 0 };
        }
    }
    // A machine that is too busy to drain the buffers drops details, and counts them.
    let dropped = dropped();
    report.row(
        "C1",
        &format!("{clicks} clicks, each value of 7 properties of {LINKS} links"),
        "those that were sent, or dropped",
        &format!("{found:?}, {missing} without, {dropped} dropped {wrong:?}"),
        wrong.is_empty() && missing == dropped && found == HashMap::from([(302, clicks as u64)]),
    );
    server.stop();
    kills(report, folder.path(), &ids, (clicks as u64, missing));
}

/// What a round of clicks ended with.
#[derive(Clone, Copy)]
struct Round {
    /// Clicks that were answered two flush intervals before the end.
    due: u64,
    answered: u64,
}

/// Clicks until the server ends by `end`.
fn click_until(server: Server, round: usize, end: impl FnOnce(Server)) -> Round {
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let due = std::thread::scope(|scope| {
        for clicker in 0..CLICKERS {
            let (answered, over, address) = (&answered, &over, server.address);
            scope.spawn(move || click_on(address, round * 1_000_003 + clicker * 40_009, answered, over));
        }
        let nanos =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").subsec_nanos();
        std::thread::sleep(Duration::from_millis(300));
        let due = answered.load(Ordering::Relaxed);
        // Two intervals, and a random moment of the third.
        std::thread::sleep(Duration::from_millis(2_100 + u64::from(nanos % 1_000)));
        end(server);
        over.store(true, Ordering::Relaxed);
        due
    });
    Round { due, answered: answered.into_inner() }
}

/// Clicks one after another until the connection cannot be opened again.
fn click_on(address: SocketAddr, mut n: usize, answered: &AtomicU64, over: &AtomicBool) {
    let mut buffer = [0; 4_096];
    while !over.load(Ordering::Relaxed)
        && let Ok(mut stream) = TcpStream::connect(address)
    {
        while stream.write_all(Click(n).request().as_bytes()).is_ok()
            && let Ok(read @ 1..) = stream.read(&mut buffer)
        {
            n += 1;
            answered.fetch_add(1, Ordering::Relaxed);
            // So many clicks that they are in each drain, and so few that a busy machine drops no details.
            std::thread::sleep(Duration::from_millis(1));
            if buffer[..read].windows(17).any(|line| line == b"connection: close") {
                break;
            }
        }
    }
}

/// Kills and stops a server that had these clicks before, and those without details.
fn kills(report: &mut Report, data: &Path, ids: &[String], (before, dropped): (u64, u64)) {
    let (kills, stops) = if report.is_short() { (3, 2) } else { (20, 5) };
    let (mut total, mut without, mut wrong, mut lost) = (before, dropped, Vec::new(), 0);
    for round in 0..kills + stops {
        // Stops between the kills, so that each follows the other.
        let is_stop = round % (kills / stops + 1) == kills / stops && round / (kills / stops + 1) < stops;
        let server = Plan::default().start(data).expect("it starts");
        let ended = click_until(server, round, |server| {
            if is_stop {
                assert!(server.stop().success(), "it stops in order");
            } else {
                server.kill();
            }
        });
        let server = Plan::default().start(data).expect("it starts");
        let mut client = server.client();
        // What no kill can have left without details must get them.
        settle(&mut client, ids, without + CLICKERS as u64);
        let (all, rest, differing) = compare(&mut client, ids);
        wrong.extend(differing);
        let (counted, missing) = (all.saturating_sub(total), rest.saturating_sub(without));
        let least = if is_stop { ended.answered } else { ended.due };
        let most = ended.answered + CLICKERS as u64;
        if !(least..=most).contains(&counted) {
            wrong.push(format!("round {round}: {counted} of {least} to {most} clicks"));
        }
        if missing > if is_stop { 0 } else { CLICKERS as u64 } {
            wrong.push(format!("round {round}: {missing} clicks without details"));
        }
        lost += ended.answered.saturating_sub(counted);
        (total, without) = (all, rest);
        server.stop();
    }
    report.row(
        "C1",
        &format!("{kills} kills and {stops} stops under load"),
        "sums equal totals; <= 1 s lost",
        &format!("{} clicks, {lost} lost, {} without {wrong:?}", total - before, without - dropped),
        wrong.is_empty() && total > before + 1_000,
    );
}

/// A file system in a file, which can stand still. Unmounted when dropped.
struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    fn mount(megabytes: u64) -> Result<Image, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (file, at) = (folder.path().join("image"), folder.path().join("at"));
        fs::create_dir(&at).map_err(|error| error.to_string())?;
        let made = fs::File::create(&file).and_then(|image| image.set_len(megabytes << 20));
        made.map_err(|error| error.to_string())?;
        let image = Image { folder };
        command("mkfs.ext4", &["-q", "-m", "0", &file.display().to_string()])?;
        command("mount", &["-o", "loop", &file.display().to_string(), &at.display().to_string()])?;
        Ok(image)
    }

    fn at(&self) -> std::path::PathBuf {
        self.folder.path().join("at")
    }

    /// Lets all writes wait, or continue.
    fn freeze(&self, is_frozen: bool) -> Result<(), String> {
        command("fsfreeze", &[if is_frozen { "-f" } else { "-u" }, &self.at().display().to_string()])
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.freeze(false);
        let _ = command("umount", &["-l", &self.at().display().to_string()]);
    }
}

fn command(name: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(name).args(args).output().map_err(|error| format!("no {name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Clicks for this time, and returns the redirects a second. Each referrer is another one if `is_new`.
fn rate(server: &Server, time: Duration, is_new: bool) -> f64 {
    const ROUND: usize = 64 * 200;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let first = usize::try_from(NEXT.fetch_add(ROUND as u64, Ordering::Relaxed)).expect("64 bits");
        let request = |n: usize| {
            let referrer = if is_new { first + n } else { n % 30 };
            format!(
                "GET /d{} HTTP/1.1\r\nHost: go.test\r\nReferer: https://n{referrer}.example/\r\n\r\n",
                n % LINKS
            )
        };
        let found = hammer_with(server.address, CONNECTIONS, ROUND, request);
        assert_eq!(found, HashMap::from([(302, ROUND as u64)]));
        count += ROUND;
    }
    // Of this load, whose number is far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / begun.elapsed().as_secs_f64()
}

pub(crate) fn c3_the_disk_stands_still(report: &mut Report) {
    let image = match Image::mount(256) {
        Ok(image) => image,
        Err(why) => return report.skipped("C3", "a disk that stands still, or is full", &why),
    };
    let (still, full, many) = if report.is_short() { (8, 8, 10) } else { (30, 60, 60) };
    let data = image.at().join("data");
    let mut server = Plan::default().start(&data).expect("it starts");
    let ids = create(&server);
    // Warm up: the list of bots, buffers and threads.
    let seconds = Duration::from_secs;
    rate(&server, seconds(3), false);
    let (calm, resident) = (rate(&server, seconds(8), false), server.resident());
    let mut state = Disturbed { calm, resident, ids };
    image.freeze(true).expect("it froze a moment ago or never");
    let stalled = rate(&server, seconds(still), false);
    image.freeze(false).expect("it is frozen");
    state.judge(report, &mut server, &format!("the disk stands still for {still} s"), stalled);
    let filler = image.at().join("filler");
    // To the last block: Waypost frees its ballast, and this takes that as well.
    let mut file = fs::File::create(&filler).expect("a file");
    let over = AtomicBool::new(false);
    let disturbed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let bytes = vec![7; 64 * 1_024];
            while !over.load(Ordering::Relaxed) {
                if file.write_all(&bytes).is_err() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let disturbed = rate(&server, seconds(full), false);
        over.store(true, Ordering::Relaxed);
        disturbed
    });
    // An open file would keep its blocks.
    drop(file);
    fs::remove_file(&filler).expect("removed");
    state.judge(report, &mut server, &format!("the disk is full for {full} s"), disturbed);
    let referrers = rate(&server, seconds(many), true);
    state.judge(report, &mut server, &format!("each click has a new referrer for {many} s"), referrers);
    server.stop();
}

/// What a disturbance is compared with.
struct Disturbed {
    calm: f64,
    resident: u64,
    ids: Vec<String>,
}

impl Disturbed {
    /// Adds the rows of a disturbance that has just ended.
    fn judge(&mut self, report: &mut Report, server: &mut Server, what: &str, disturbed: f64) {
        let grown = server.resident().saturating_sub(self.resident) / 1_024;
        // Healed once a click gets its details.
        let (ended, mut client) = (Instant::now(), server.client());
        let without = |client: &mut Client| ask(client, &self.ids[0], "referrer");
        let before: u64 = without(&mut client).0.values().sum();
        let mut healed = None;
        while healed.is_none() && ended.elapsed() < Duration::from_secs(20) {
            client.get("/d0");
            std::thread::sleep(Duration::from_millis(200));
            let after: u64 = without(&mut client).0.values().sum();
            healed = (after > before).then(|| ended.elapsed());
        }
        // Nothing is clicked any more, so all that is kept gets its cells.
        std::thread::sleep(Duration::from_secs(3));
        let (all, rest, wrong) = compare(&mut client, &self.ids);
        // The machine may be faster or slower than a minute ago, so the calm rate is measured again.
        let calm = rate(server, Duration::from_secs(5), false).min(self.calm);
        report.row(
            "C3",
            &format!("{what}: redirects"),
            ">= 0.97 of the rate before, +<= 45 MB",
            &format!("{:.2} of {calm:.0}/s, +{grown} MB", disturbed / calm),
            disturbed >= 0.97 * calm && grown <= 45 && server.is_running(),
        );
        report.row(
            "C3",
            &format!("{what}: details"),
            "sums equal totals, heals in 5 s",
            &format!("{healed:.1?}, {rest} of {all} without {wrong:?}"),
            wrong.is_empty() && healed.is_some_and(|time| time < Duration::from_secs(5)),
        );
    }
}
