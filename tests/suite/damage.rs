//! Damaged files: flipped bits, cut files, zeroed blocks, deleted folders, after a clean stop and after a
//! kill. With damage to one of the two copies (log, table), either every link is there, or the start fails
//! with the file and the place. Links are never lost silently.
//!
//! `WAYPOST_DAMAGE_SECONDS` sets the duration, `WAYPOST_SEED` repeats the choices of a run.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::http::{Client, text};
use crate::support::process::{Dice, PATIENCE, Plan, copy_folder, poll};

/// Duration of each of the four tests with random damage.
const SECONDS: u64 = 5;

/// At about 16 KB each, enough for several segments of the smallest size.
const LINKS: usize = 140;

/// A data folder and its links.
struct Original {
    folder: TempDir,
    end: End,
    links: Vec<(String, String)>,
    clicked: String,
}

/// How the server of the folder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
    /// Later than the table's sync, which follows within a second by default.
    KilledLater,
}

/// Clicks on the one link that is clicked.
const CLICKS: u64 = 9;

fn plan(data: &Path) -> Plan {
    // Several segments, and a scrub that reads them all at once.
    Plan::on(data)
        .env("WAYPOST_LOG__SEGMENT_BYTES", "1048576")
        .env("WAYPOST_LOG__SCRUB_RATE", "104857600")
        .env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms")
}

impl Original {
    fn make(end: End) -> Original {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = plan(folder.path()).start();
        let mut admin = server.admin();
        let mut links = Vec::new();
        let mut clicked = String::new();
        for number in 0..LINKS {
            let (code, url) = (format!("link{number}"), format!("https://e.test/{number}"));
            let notes = "\u{1f680}".repeat(3_900);
            let made = admin.create(&json!({"url": url, "customSlug": code, "notes": notes}));
            if number == LINKS / 2 {
                text(&made, "id").clone_into(&mut clicked);
            }
            links.push((code, url));
        }
        for _ in 0..CLICKS {
            server.visitor().get(&format!("/link{}", LINKS / 2));
        }
        match end {
            End::Stopped => drop(server.stop()),
            End::Killed => server.kill(),
            End::KilledLater => {
                let flushed = format!("waypost_clicks_total {CLICKS}");
                poll("all clicks in the log", PATIENCE, || {
                    admin.get("/metrics").text().lines().any(|line| line == flushed).then_some(())
                });
                std::thread::sleep(Duration::from_secs(3));
                server.kill();
            }
        }
        Original { folder, end, links, clicked }
    }

    /// Checks that all links redirect as before and are listed.
    fn check(&self, visitor: &mut Client, admin: &mut Client, case: &str) {
        for (code, url) in &self.links {
            // A reader that finds damage in the table triggers its rebuild, and gets 503 until then.
            let answer = poll(case, PATIENCE, || {
                Some(visitor.head(&format!("/{code}"))).filter(|answer| answer.status != 503)
            });
            assert_eq!((answer.status, answer.header("location")), (302, Some(&**url)), "{code}: {case}");
        }
        let list = poll(case, PATIENCE, || {
            Some(admin.get("/api/v1/links?limit=1")).filter(|answer| answer.status != 503)
        });
        let total = list.expect(200, case)["total"].clone();
        assert_eq!(total, LINKS, "{case}");
        // A frame cut by a kill looks like a frame cut by damage. In that case the last totals are lost, as
        // after a crash.
        let path = format!("/api/v1/links/{}", self.clicked);
        let link = poll(case, PATIENCE, || Some(admin.get(&path)).filter(|answer| answer.status != 503));
        let clicks = link.expect(200, case)["link"]["clickCount"].clone();
        let is_right = match self.end {
            End::Stopped => clicks == CLICKS,
            // Some clicks may have been written before the kill.
            End::Killed => clicks.as_u64().is_some_and(|clicks| clicks <= CLICKS),
            End::KilledLater => clicks == CLICKS || clicks == 0,
        };
        assert!(is_right, "{clicks} clicks: {case}");
    }
}

/// The kinds of damage in one test.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Flips,
    CutsAndZeros,
}

/// The damage of a file.
#[derive(Clone, Debug)]
enum Wound {
    Flip { at: usize, bit: u8 },
    Cut { to: usize },
    Zero { from: usize },
}

const BLOCK: usize = 4_096;

/// The end of a segment without a Change: its footer, or the mark of a clean close with a checkpoint before
/// it. Both only repeat the content of the frames.
const END_BYTES: usize = 256;

impl Wound {
    /// Chooses damage at a place with bytes other than zero.
    fn choose(bytes: &[u8], kind: Kind, dice: &mut Dice) -> Option<Wound> {
        let full: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let mut any = |count: usize| usize::try_from(dice.below(count as u64)).expect("an index");
        // The first and last bytes are headers, footers and counts. They are chosen as often as all other
        // bytes.
        let at = match any(4) {
            _ if full.is_empty() => return None,
            0 => full[any(full.len().min(64))],
            1 => full[full.len() - 1 - any(full.len().min(64))],
            _ => full[any(full.len())],
        };
        Some(match kind {
            Kind::Flips => Wound::Flip { at, bit: 1 << any(8) },
            Kind::CutsAndZeros if any(2) == 0 => Wound::Cut { to: at },
            Kind::CutsAndZeros => Wound::Zero { from: at / BLOCK * BLOCK },
        })
    }

    /// Whether the damage leaves the frames of a segment intact.
    fn spares_frames(&self, size: usize) -> bool {
        let (Wound::Flip { at, .. } | Wound::Cut { to: at } | Wound::Zero { from: at }) = *self;
        at + END_BYTES >= size
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match *self {
            Wound::Flip { at, bit } => bytes[at] ^= bit,
            Wound::Cut { to } => bytes.truncate(to),
            Wound::Zero { from } => {
                let to = bytes.len().min(from + BLOCK);
                bytes[from..to].fill(0);
            }
        }
    }
}

impl fmt::Display for Wound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wound::Flip { at, bit } => write!(f, "byte {at} xor {bit}"),
            Wound::Cut { to } => write!(f, "cut to {to} bytes"),
            Wound::Zero { from } => write!(f, "zeros from {from}"),
        }
    }
}

/// Returns the files below `folder`, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("below it").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn is_loud(stderr: &str) -> bool {
    stderr.contains(" WARN ") || stderr.contains(" ERROR ")
}

/// Starts a server on a damaged copy. Returns whether it serves.
fn check(original: &Original, data: &Path, case: &str, of_log: Option<&str>, loud: bool) -> bool {
    let mut server = plan(data).spawn();
    if let Err(status) = server.serves() {
        let said = server.stderr();
        assert_eq!(status.code(), Some(1), "{case}: {status} {said}");
        let last = said.lines().rfind(|line| line.starts_with("waypost: ")).unwrap_or("");
        assert!(of_log.is_some_and(|file| last.contains(file)), "{case}: the file is not named: {said}");
        assert!(last.contains("byte ") || last.contains("bytes"), "{case}: the place is not named: {said}");
        return false;
    }
    original.check(&mut server.visitor(), &mut server.admin(), case);
    if loud {
        poll(&format!("{case}: a word about the damage"), PATIENCE, || {
            is_loud(&server.stderr()).then_some(())
        });
    }
    // The server accepts a new link, and keeps it.
    let new = json!({"url": "https://e.test/new", "customSlug": "new"});
    let made = poll(case, PATIENCE, || {
        Some(server.admin().post("/api/v1/links", &new)).filter(|answer| answer.status != 503)
    });
    made.expect(201, case);
    server.stop();
    true
}

/// Copies that are damaged at least, however slow the machine is.
const ROUNDS_MIN: u32 = 10;
const SERVED_MIN: u32 = 6;

/// Copies after which some must have served.
const ROUNDS_MAX: u32 = 200;

/// Damages copies of a data folder until time is up.
fn rounds(how: End, kind: Kind) {
    let (seed, mut dice) = Dice::seeded();
    eprintln!("WAYPOST_SEED={seed}");
    // The variable is for each way in which a server ends, which has two tests.
    let given = std::env::var("WAYPOST_DAMAGE_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let original = Original::make(how);
    let end = Instant::now() + Duration::from_secs(given.map_or(SECONDS, |seconds| seconds / 2));
    let files: Vec<PathBuf> = files(original.folder.path())
        .into_iter()
        .filter(|file| file.starts_with("log") || file.starts_with("table"))
        .collect();
    assert!(files.iter().filter(|file| file.starts_with("log")).count() > 1, "several segments: {files:?}");
    let (mut served, mut refused) = (0, 0);
    'time: loop {
        for file in &files {
            let is_enough = served >= SERVED_MIN || served + refused >= ROUNDS_MAX;
            if Instant::now() > end && served + refused >= ROUNDS_MIN && is_enough {
                break 'time;
            }
            let mut bytes = fs::read(original.folder.path().join(file)).expect("readable");
            let Some(wound) = Wound::choose(&bytes, kind, &mut dice) else { continue };
            // The file `closed` repeats the end of the last segment.
            let loud =
                file.starts_with("log") && !file.ends_with("closed") && !wound.spares_frames(bytes.len());
            wound.apply(&mut bytes);
            let copy = tempfile::tempdir().expect("a temporary folder");
            copy_folder(original.folder.path(), copy.path());
            fs::write(copy.path().join(file), bytes).expect("room for it");
            let case = format!("{}: {wound}, seed {seed}", file.display());
            let of_log =
                file.starts_with("log").then(|| file.file_name().and_then(|name| name.to_str())).flatten();
            if check(&original, copy.path(), &case, of_log, loud) {
                served += 1;
                // The damage was repaired: the next start has all links and no complaint.
                if dice.below(4) == 0 {
                    let server = plan(copy.path()).start();
                    let answer = server.visitor().head("/new");
                    assert_eq!(answer.status, 302, "{case}, the start after");
                    let (code, url) = &original.links[LINKS - 1];
                    let answer = server.visitor().head(&format!("/{code}"));
                    assert_eq!(answer.header("location"), Some(&**url), "{case}, the start after");
                    server.stop();
                }
            } else {
                refused += 1;
            }
        }
    }
    eprintln!("{served} served whole, {refused} refused");
    assert!(served >= SERVED_MIN, "{served} {refused}");
}

#[test]
fn t98_flipped_bits_in_one_copy_after_a_clean_stop() {
    rounds(End::Stopped, Kind::Flips);
}

#[test]
fn t98_one_cut_or_zeroed_copy_after_a_clean_stop() {
    rounds(End::Stopped, Kind::CutsAndZeros);
}

#[test]
fn t98_flipped_bits_in_one_copy_after_a_kill() {
    rounds(End::KilledLater, Kind::Flips);
}

#[test]
fn t98_one_cut_or_zeroed_copy_after_a_kill() {
    rounds(End::KilledLater, Kind::CutsAndZeros);
}

#[test]
fn a_deleted_table_is_rebuilt() {
    for end in [End::Stopped, End::Killed] {
        let original = Original::make(end);
        fs::remove_dir_all(original.folder.path().join("table")).expect("there");
        assert!(check(&original, original.folder.path(), "no table", None, true));
    }
}

#[test]
fn a_deleted_log_is_rebuilt_or_the_start_fails() {
    for end in [End::Stopped, End::KilledLater] {
        let original = Original::make(end);
        let log = original.folder.path().join("log");
        fs::remove_dir_all(&log).expect("there");
        let mut server = plan(original.folder.path()).spawn();
        match server.serves() {
            Ok(_) => {
                original.check(&mut server.visitor(), &mut server.admin(), "no log");
                assert!(is_loud(&server.stderr()), "{}", server.stderr());
                server.stop();
            }
            Err(status) => {
                let said = server.stderr();
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(said.contains("log"), "{said}");
            }
        }
    }
}

#[test]
fn t98_both_copies_damaged_are_never_fewer_links_in_silence() {
    let original = Original::make(End::Stopped);
    let data = original.folder.path();
    for file in files(data) {
        if file.starts_with("log") || file.ends_with("db") {
            let path = data.join(file);
            let bytes = fs::read(&path).expect("readable");
            fs::write(&path, &bytes[..bytes.len() / 2]).expect("room for it");
        }
    }
    let (code, stdout, stderr) = plan(data).fails();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    let last = stderr.lines().rfind(|line| line.starts_with("waypost: ")).unwrap_or("");
    for part in ["log", "damaged", "--accept-loss"] {
        assert!(last.contains(part), "{part} is missing in: {stderr}");
    }
    // With `--accept-loss` the server starts with what is left, and logs what that is.
    let server = plan(data).arg("--accept-loss").start();
    assert!(is_loud(&server.stderr()), "{}", server.stderr());
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "after"}));
    server.stop();
    let server = plan(data).start();
    assert_eq!(server.visitor().head("/after").status, 302);
    server.stop();
}

#[test]
fn foreign_files_lose_nothing() {
    let original = Original::make(End::Stopped);
    let rows = [
        ("log/notes.txt", "hello"),
        ("log/000000000000.log", "no segment"),
        ("log/000000000099.log", "no segment"),
        ("log/000000000099.log", ""),
        ("log/000000000001.log.tmp", "half"),
        ("table/notes.txt", "hello"),
        ("table/snap.0000", "hello"),
        ("notes.txt", "hello"),
    ];
    for (file, content) in rows {
        let copy = tempfile::tempdir().expect("a temporary folder");
        copy_folder(original.folder.path(), copy.path());
        fs::write(copy.path().join(file), content).expect("room for it");
        let of_log = file.strip_prefix("log/");
        check(&original, copy.path(), &format!("{file} with {content:?}"), of_log, false);
    }
}
