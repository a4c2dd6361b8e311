//! Visitors of a day: how well they are counted over a restart and a kill, and that nothing of them is left two days
//! later. Check 7 of click analytics.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use aho_corasick::AhoCorasick;
use serde_json::json;
use siphasher::sip::SipHasher13;

use crate::Report;
use crate::client::Client;
use crate::load::hammer_with;
use crate::server::{KEY, Plan, Server};
use crate::time::library;

const LINKS: usize = 3;
const CONNECTIONS: usize = 64;

/// Visits of each visitor.
const VISITS: usize = 5;

/// Visitors whose addresses are searched for.
const PLANTED: usize = 10_000;

const DAY: u64 = 24 * 60 * 60;

/// Longest time of the visits, which must be of one day.
const BOUND: u64 = 30 * 60;

/// Returns the address of a visitor: another network of 64 bits for each, of bytes that occur nowhere else by chance.
fn address(visitor: usize) -> Ipv6Addr {
    let mut bits = (visitor as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Ipv6Addr::from_bits(
        u128::from(bits | 0x2000_0000_0000_0000) << 64 | 0x5eed_0000_0000_0000 | visitor as u128,
    )
}

/// The `n`-th visit. All visitors come once before any comes again, each time to the next link.
fn visit(n: usize, visitors: usize) -> String {
    let (visitor, pass) = (n % visitors, n / visitors);
    let (link, address) = ((visitor + pass) % LINKS, address(visitor));
    format!("GET /v{link} HTTP/1.1\r\nHost: go.test\r\nX-Forwarded-For: {address}\r\n\r\n")
}

/// Returns the visitors of each link after this number of visits.
fn expected(visits: usize, visitors: usize) -> [u64; LINKS] {
    let mut links = [0; LINKS];
    for visitor in 0..visitors.min(visits) {
        let passes = (visits - visitor).div_ceil(visitors);
        for pass in 0..passes.min(LINKS) {
            links[(visitor + pass) % LINKS] += 1;
        }
    }
    links
}

fn counted(client: &mut Client, id: &str) -> (u64, u64) {
    let answer = client.get(&format!("/api/v1/analytics?linkId={id}&interval=all")).json();
    let of = |name: &str| answer["total"][name].as_u64().expect("a number");
    (of("clicks"), of("visitors"))
}

/// Returns by how many thousandths the counts are wrong, at most and with their sign.
fn error(server: &Server, ids: &[String], visits: usize, visitors: usize) -> f64 {
    let mut client = server.client();
    // Clicks are stored once a second.
    std::thread::sleep(Duration::from_secs(3));
    let pairs = ids.iter().zip(expected(visits, visitors));
    let errors = pairs.map(|(id, want)| {
        let (_, found) = counted(&mut client, id);
        // Millions, which a float has exactly.
        #[allow(clippy::cast_precision_loss)]
        let (found, want) = (found as f64, want as f64);
        (found - want) / want * 1_000.0
    });
    errors.fold(0.0, |worst: f64, error| if error.abs() > worst.abs() { error } else { worst })
}

fn seconds_of_day() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() % DAY
}

pub(crate) fn c7_visitors_of_a_day(report: &mut Report) {
    let visitors = if report.is_short() { 64 * 1_250 } else { 64 * 31_250 };
    // A new day would count everybody again.
    if seconds_of_day() > DAY - BOUND {
        std::thread::sleep(Duration::from_secs(DAY + 5 - seconds_of_day()));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut server = Plan::default().start(&data).expect("it starts");
    let mut client = server.client();
    let ids: Vec<_> = (0..LINKS)
        .map(|n| {
            client.create(&format!("v{n}"), &json!({})).json()["link"]["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    let mut done = 0;
    for (passes, what, most) in [
        (2, "visits by", 10.0),
        (2, "the same after a restart, visits by", 10.0),
        // One interval of the flush is lost with its file of visitors: their next visits count again.
        (VISITS - 4, "the same after a kill, visits by", 15.0),
    ] {
        match passes {
            _ if done == 0 => {}
            2 => {
                server.stop();
                server = Plan::default().start(&data).expect("it starts");
            }
            _ => {
                server.kill();
                server = Plan::default().start(&data).expect("it starts");
            }
        }
        let from = done;
        let found =
            hammer_with(server.address, CONNECTIONS, passes * visitors, |n| visit(from + n, visitors));
        done += passes * visitors;
        let wrong = error(&server, &ids, done, visitors);
        report.row(
            "C7",
            &format!("{done} {what} {visitors} visitors"),
            &format!("visitors of a link: {:.1} % wrong", most / 10.0),
            &format!("{:+.3} %, {found:?}", wrong / 10.0),
            wrong.abs() <= most,
        );
    }
    let key = fs::read(data.join("clicks/day.key")).expect("the key of the day");
    let planted: Vec<_> = (0..PLANTED).map(address).collect();
    written(report, &folder.path().join("traced"), &planted);
    server.stop();
    let Some(library) = library() else {
        return report.skipped("C7", "nothing is left two days later", "no libfaketime");
    };
    left(report, folder.path(), &library, &planted, &key);
}

/// What must be in no file: each address as a text and as bytes, and the hash of each under the key.
fn patterns(planted: &[Ipv6Addr], key: Option<&[u8]>) -> Vec<Vec<u8>> {
    let secret: Option<[u8; 16]> = key.and_then(|key| key.get(4..20)?.try_into().ok());
    let mut all = Vec::new();
    for address in planted {
        let network = u64::try_from(address.to_bits() >> 64).expect("64 bits");
        // The text of the network without the rest, as a file could have cut it.
        let groups: Vec<_> = address.segments()[..4].iter().map(|group| format!("{group:x}")).collect();
        all.push(groups.join(":").into_bytes());
        all.extend([network.to_be_bytes().to_vec(), network.to_le_bytes().to_vec()]);
        if let Some(secret) = secret {
            // A visitor without a User-Agent, as `DayKey::visitor` hashes it.
            let subject =
                [[1].as_slice(), &u128::from(network).wrapping_shl(64).to_be_bytes(), &[0; 8]].concat();
            let hash = SipHasher13::new_with_key(&secret).hash(&subject);
            all.extend([hash.to_be_bytes().to_vec(), hash.to_le_bytes().to_vec()]);
        }
    }
    all.extend(secret.map(|secret| secret.to_vec()));
    all
}

/// Returns the files of a folder that contain one of the patterns, and the number of bytes that were searched.
fn search(folder: &Path, patterns: &AhoCorasick) -> (u64, Vec<String>) {
    let (mut bytes, mut found) = (0, Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = fs::read(&path).expect("a file");
            bytes += content.len() as u64;
            if patterns.is_match(&content) {
                found.push(path.display().to_string());
            }
        }
    }
    (bytes, found)
}

/// Starts the server two days later, takes a backup, and searches all files.
fn left(report: &mut Report, root: &Path, library: &Path, planted: &[Ipv6Addr], key: &[u8]) {
    let (data, backup) = (root.join("data"), root.join("backup"));
    let searched = AhoCorasick::new(patterns(planted, Some(key))).expect("short patterns");
    let (_, before) = search(&data, &searched);
    let server = Plan::default()
        .env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME", "+2d")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .start(&data)
        .expect("it starts");
    let mut client = server.client();
    assert_eq!(client.get("/v0").status, 302);
    std::thread::sleep(Duration::from_secs(3));
    let said = server.stderr();
    let copied = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .env_clear()
        .env("WAYPOST_DATA_DIR", &data)
        .env("WAYPOST_ADMIN_KEY", KEY)
        .args(["backup", &backup.display().to_string()])
        .output()
        .expect("it runs");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let ended = server.stop();
    let ((bytes, in_data), (of_backup, in_backup)) = (search(&data, &searched), search(&backup, &searched));
    let is_logged = searched.is_match(said.as_bytes());
    report.row(
        "C7",
        &format!("{PLANTED} addresses, their hashes and the key, two days later"),
        "in no file and no backup",
        &format!(
            "{} MB: {in_data:?} {in_backup:?}, log {is_logged}, {ended}; key of the day before: {}",
            (bytes + of_backup) >> 20,
            before.len()
        ),
        // The key was in its file on its day: a search that finds nothing could be wrong.
        in_data.is_empty() && in_backup.is_empty() && !is_logged && before.len() == 1,
    );
}

/// Visits a server below strace, and searches what it writes.
fn written(report: &mut Report, data: &Path, planted: &[Ipv6Addr]) {
    let what = "system calls that write, of 1,280 visits";
    let traced = data.with_extension("trace");
    let trace = traced.display().to_string();
    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2";
    let words =
        ["strace", "-f", "-qq", "-xx", "-s", "1000000", "-e", calls, "-e", "signal=none", "-o", &trace];
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|output| output.status.success()) {
        return report.skipped("C7", what, "no strace");
    }
    let server = Plan::default().below(&words).start(data).expect("it starts");
    server.client().create("v0", &json!({}));
    let request = |n: usize| {
        format!(
            "GET /v0 HTTP/1.1\r\nHost: go.test\r\nX-Forwarded-For: {}\r\n\r\n",
            planted[n % planted.len()]
        )
    };
    hammer_with(server.address, CONNECTIONS, CONNECTIONS * 20, request);
    // Until the flush of the clicks, and the end writes all else.
    std::thread::sleep(Duration::from_secs(2));
    let clicks = server.client().get("/api/v1/links?search=v0").json()["links"][0]["clickCount"].as_u64();
    server.stop();
    // strace prints each byte as `\x20`.
    let printed = |bytes: Vec<u8>| {
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        bytes.concat()
    };
    let searched =
        AhoCorasick::new(patterns(planted, None).into_iter().map(printed)).expect("short patterns");
    let text = fs::read(&traced).expect("a trace");
    report.row(
        "C7",
        what,
        "no address in them",
        &format!("{} KB, {clicks:?} clicks", text.len() / 1_024),
        !searched.is_match(&text) && clicks == Some(CONNECTIONS as u64 * 20) && text.len() > 10_000,
    );
}
