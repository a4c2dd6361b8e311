//! Backups of the details of clicks: each click up to the position of a backup is in it once, also beside a server that
//! merges, and an interrupted command leaves no half of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::json;
use waypost::analytics::store::ClickArchive;
use waypost::log::Position;
use waypost::log::local::archive::Archive;
use waypost::log::local::disk::FsDisk;

use super::analytics::{ask, ask_until, check_sums, visit};
use super::click_store::{Clicks, HOUR, KEEP, Written, all_links, clicks};
use super::interrupted::{RENAMES, kill_at, run, run_below, shown};
use crate::support::http::text;
use crate::support::process::{Plan, copy_folder, not_tested};
use crate::support::sim_disk::{Chance, SimDisk};

/// Returns the names of the files of a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn fs_disk(folder: &Path) -> Arc<FsDisk> {
    Arc::new(FsDisk::open(folder).expect("a folder"))
}

/// Copies parts and log as `backup` does. Returns the position of the copy and its links of files, or `None` if a part
/// was written in between.
fn copy(data: &Path, to: &Path) -> Option<Position> {
    let mut parts = ClickArchive::open(&data.join("clicks")).expect("it can be read").expect("it is there");
    let log = Archive::open(&data.join("log")).expect("a log");
    if !parts.is_current().expect("it can be read") {
        return None;
    }
    parts.keep_those_of(log.id(), log.position());
    assert!(parts.foreign().is_empty(), "no part is ahead of the log");
    parts.check(&mut |_, _| {});
    assert!(parts.faults().is_empty(), "{:?}", parts.faults());
    parts.copy_to(&to.join("clicks")).expect("copied");
    log.copy_to(&to.join("log"), &mut |_, _| {}).expect("copied");
    Some(log.position())
}

/// A copy at any moment of seals, merges and compactions has each click up to its position once.
#[test]
fn copies_beside_seals_and_merges_have_each_click_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut written = Written::over(fs_disk(&data.join("log")), SimDisk::default());
    let store = written.store_over(fs_disk(&data.join("clicks")), KEEP).expect("it opens");
    // The clicks of each tick, by its position.
    let expected: Mutex<BTreeMap<Position, Clicks>> = Mutex::default();
    let over = AtomicBool::new(false);
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        let (expected, over) = (&expected, &over);
        scope.spawn(move || {
            let mut chance = Chance(23);
            for round in 0..240 {
                for _ in 0..=chance.below(3) {
                    let position = written.tick(&mut chance);
                    expected.lock().insert(position, std::mem::take(&mut written.clicks));
                }
                store.settle(&all_links()).expect("settled");
                written.pass(HOUR);
                if round % 40 == 39 {
                    written.compact();
                }
            }
            over.store(true, Ordering::Relaxed);
            written.log.close();
        });
        for number in 0.. {
            let is_last = over.load(Ordering::Relaxed);
            let to = folder.path().join(format!("copy{number}"));
            copies.extend(copy(&data, &to).map(|position| (to, position)));
            if is_last {
                break;
            }
        }
    });
    assert!(copies.len() > 10, "{} copies", copies.len());
    let mut linked = 0;
    for (copy, position) in copies {
        let mut want = Clicks::new();
        for (key, count) in expected.lock().range(..=position).flat_map(|(_, clicks)| clicks.clone()) {
            *want.entry(key).or_default() += count;
        }
        let restored = Written::over(fs_disk(&copy.join("log")), SimDisk::default());
        let store = restored.store_over(fs_disk(&copy.join("clicks")), KEEP).expect("it opens");
        linked += parts_of(&copy).len();
        assert!(names(&copy.join("clicks")).iter().all(|name| !name.ends_with(".replaced")));
        store.settle(&all_links()).expect("it catches up");
        assert_eq!(clicks(&store.view()), want, "{} at {position}", copy.display());
    }
    assert!(linked > 10, "{linked} parts");
}

fn plan(data: &Path) -> Plan {
    Plan::on(data).env("WAYPOST_CLICKS__FLUSH_INTERVAL", "50ms")
}

/// Starts a server this number of times, each of which writes a part with a click on each of two links. Returns the ids
/// of the links.
fn with_parts(data: &Path, parts: u64) -> Vec<String> {
    let mut ids = Vec::new();
    for round in 1..=parts {
        let server = plan(data).start();
        if ids.is_empty() {
            ids.extend(["a", "b"].map(|code| {
                let link = json!({"url": "https://e.test/", "customSlug": code});
                text(&server.admin().create(&link), "id").to_owned()
            }));
        }
        for path in ["/a", "/b"] {
            visit(&mut server.visitor(), path, &[("referer", &format!("https://r{round}.test/"))]);
        }
        ask_until(&mut server.admin(), "", 2 * round);
        server.stop();
    }
    ids
}

/// Returns the parts of a data folder or a backup.
fn parts_of(folder: &Path) -> Vec<PathBuf> {
    parts_in(&folder.join("clicks"))
}

fn parts_in(clicks: &Path) -> Vec<PathBuf> {
    let files = names(clicks).into_iter().map(|name| clicks.join(name));
    files.filter(|path| path.extension().is_some_and(|end| end == "part")).collect()
}

/// Asserts that a server on the folder has this number of clicks, all of which have details.
#[track_caller]
fn check_details(data: &Path, ids: &[String], clicks: u64) {
    let server = plan(data).start();
    assert_eq!(check_sums(&mut server.admin(), ids), (clicks, 0));
    server.stop();
}

#[test]
fn backups_during_clicks_have_their_details() {
    const CLIENTS: usize = 3;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let ids = with_parts(&data, 3);
    let server = plan(&data).start();
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (over, sent, server) = (&over, &sent, &server);
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut visitor = server.visitor();
                while !over.load(Ordering::Relaxed) {
                    let referrer = format!("https://c{number}.test/");
                    visit(&mut visitor, ["/a", "/b"][number % 2], &[("referer", &referrer)]);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..4 {
            let backup = at(&format!("backup{number}"));
            run(&data, &["backup", &shown(&backup)]).with(0, &["verified", "files with details of clicks"]);
        }
        over.store(true, Ordering::Relaxed);
    });
    server.stop();
    let last = at("last");
    run(&data, &["backup", &shown(&last)]).with(0, &["verified"]);
    let all = sent.load(Ordering::Relaxed) + 6;
    let mut before = 0;
    for number in 0..5 {
        let backup = if number < 4 { at(&format!("backup{number}")) } else { last.clone() };
        assert!(!names(&backup.join("clicks")).iter().any(|name| name.starts_with("day.")));
        assert!(parts_of(&backup).len() >= 3);
        let restored = at(&format!("restored{number}"));
        run(&restored, &["restore", &shown(&backup)]).with(0, &["restored position", "details of clicks"]);
        run(&restored, &["verify"]).with(0, &["sound"]);
        // A server starts on the backup itself as well.
        for folder in [&restored, &backup] {
            let server = plan(folder).start();
            let (clicks, without) = check_sums(&mut server.admin(), &ids);
            server.stop();
            assert!((before..=all).contains(&clicks), "{clicks} after {before} of {all}");
            // A click whose total was in one Change and its details in the next.
            let most = if number < 4 { CLIENTS as u64 } else { 0 };
            assert!(without <= most, "{without} of {clicks} in {}", folder.display());
            before = clicks;
        }
    }
    assert_eq!(before, all, "the last backup has all");
    // The copies of parts share their bytes with the data folder, and changed nothing in it.
    check_details(&data, &ids, all);
}

/// A restore replaces details by those of the backup, and keeps the old ones under another name.
#[test]
fn a_restore_brings_the_details_back_and_keeps_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let ids = with_parts(&data, 2);
    let backup = shown(&at("backup"));
    run(&data, &["backup", &backup]).with(0, &["2 files with details of clicks"]);
    let server = plan(&data).start();
    for _ in 0..5 {
        visit(&mut server.visitor(), "/a", &[]);
    }
    ask_until(&mut server.admin(), "", 9);
    server.stop();
    run(&data, &["restore", "--replace", &backup]).with(0, &["restored position", "clicks.replaced-"]);
    check_details(&data, &ids, 4);
    let replaced = names(&data).into_iter().find(|name| name.starts_with("clicks.replaced-")).expect("kept");
    assert_eq!(parts_in(&data.join(replaced)).len(), 3);
    // A backup from before details were kept: none of the old ones stays.
    fs::remove_dir_all(at("backup/clicks")).expect("removed");
    run(&data, &["restore", "--replace", &backup]).with(0, &["restored position"]);
    let server = plan(&data).start();
    let answer = ask(&mut server.admin(), &format!("linkId={}&interval=all", ids[0]));
    assert_eq!((&answer["total"]["clicks"], &answer["unattributed"]), (&json!(0), &json!(2)));
    server.stop();
}

/// At whatever point a backup or a restore is killed, the same command then completes it, with all details once.
#[test]
fn a_killed_backup_or_restore_leaves_no_half_of_the_details() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let ids = with_parts(&data, 3);
    let (mut killed, backup) = (0, at("whole"));
    run(&data, &["backup", &shown(&backup)]).with(0, &["verified"]);
    let server = plan(&data).start();
    visit(&mut server.visitor(), "/b", &[]);
    ask_until(&mut server.admin(), "", 7);
    server.stop();
    for (calls, when) in
        [("linkat", 1), ("linkat", 3), (RENAMES, 1), (RENAMES, 2), (RENAMES, 3), ("fsync", 2)]
    {
        let Some(strace) = kill_at(calls, when) else {
            return not_tested("a backup and a restore that are killed: no strace here");
        };
        let below: Vec<&str> = strace.iter().map(String::as_str).collect();
        for is_there in [false, true] {
            let row = format!("{}-{when}-{is_there}", calls.replace(',', ""));
            let to = at(&format!("to-{row}"));
            if is_there {
                fs::create_dir(&to).expect("made");
            }
            run_below(&data, &below, &["backup", &shown(&to)]);
            if !to.join("log").exists() {
                killed += 1;
                run(&data, &["verify", &shown(&to)]).with(1, &[]);
                run(&data, &["backup", &shown(&to)]).with(0, &["verified"]);
            }
            run(&data, &["verify", &shown(&to)]).with(0, &["sound"]);
            assert_eq!(parts_of(&to).len(), 4, "{row}");
            // With and without an older log in place.
            let restored = at(&format!("restored-{row}"));
            if is_there {
                copy_folder(&backup, &restored);
                check_details(&restored, &ids, 6);
            }
            run_below(&restored, &below, &["restore", "--replace", &shown(&to)]);
            if run(&restored, &["verify"]).code() != Some(0) {
                killed += 1;
                run(&restored, &["restore", "--replace", &shown(&to)]).with(0, &["restored position"]);
            }
            let server = plan(&restored).start();
            let sums = check_sums(&mut server.admin(), &ids);
            server.stop();
            // A restore that was killed before it began has changed nothing.
            assert!(sums == (7, 0) || (is_there && sums == (6, 0)), "{row}: {sums:?}");
        }
    }
    assert!(killed > 8, "{killed} killed");
    let left: Vec<_> = names(folder.path()).into_iter().filter(|name| name.contains("unfinished")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Damage in the details costs a backup and a restore these details, with a warning, and no link. `verify` fails.
#[test]
fn a_damaged_part_is_named_and_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let ids = with_parts(&data, 3);
    run(&data, &["backup", &shown(&at("whole"))]).with(0, &["3 files with details of clicks"]);
    let harm = |folder: &Path, at: usize| {
        let part = &parts_of(folder)[1];
        let mut bytes = fs::read(part).expect("a part");
        bytes[at] ^= 1;
        // Another file: the part may be linked to that of a backup.
        fs::remove_file(part).expect("removed");
        fs::write(part, bytes).expect("written");
    };
    let hour = jiff::Timestamp::now().strftime("%Y-%m-%dT").to_string();
    // In the header, and in a block.
    for (byte, when) in [(20, "an unknown time"), (60, hour.as_str())] {
        let harmed = at(&format!("harmed{byte}"));
        copy_folder(&data, &harmed);
        harm(&harmed, byte);
        let part = parts_of(&harmed)[1].file_name().expect("a name").to_string_lossy().into_owned();
        run(&harmed, &["verify"]).with(1, &["NOT SOUND", "DAMAGED", &part, when]);
        let backup = at(&format!("backup{byte}"));
        let made = run(&harmed, &["backup", &shown(&backup)]);
        made.with(0, &["warning", &part, when, "verified", "2 files with details of clicks"]);
        run(&data, &["verify", &shown(&backup)]).with(0, &["sound"]);
    }
    harm(&at("whole"), 60);
    run(&data, &["verify", &shown(&at("whole"))]).with(1, &["NOT SOUND", "DAMAGED"]);
    let restored = at("restored");
    run(&restored, &["restore", &shown(&at("whole"))])
        .with(0, &["warning", "2 files with details of clicks"]);
    let server = plan(&restored).start();
    let mut admin = server.admin();
    for id in &ids {
        let answer = ask(&mut admin, &format!("linkId={id}&interval=all"));
        assert_eq!((&answer["total"]["clicks"], &answer["unattributed"]), (&json!(2), &json!(1)));
    }
    server.stop();
}

/// A part that somebody has removed is named by each command that reads the folder, and by the start.
#[test]
fn a_missing_part_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = at("data");
    let ids = with_parts(&data, 3);
    run(&data, &["backup", &shown(&at("whole"))]).with(0, &["3 files with details of clicks"]);
    let hour = jiff::Timestamp::now().strftime("%Y-%m-%dT").to_string();
    let part = parts_of(&data)[1].clone();
    let name = part.file_name().expect("a name").to_string_lossy().into_owned();
    fs::remove_file(part).expect("removed");
    let says = ["are missing", &name, hour.as_str()];
    run(&data, &["verify"]).with(1, &[&["NOT SOUND"][..], &says].concat());
    run(&data, &["doctor"]).with(1, &says);
    run(&data, &["backup", &shown(&at("less"))])
        .with(0, &[&["warning", "2 files with details of clicks"][..], &says].concat());
    // What the backup reported is no damage of the backup.
    run(&data, &["verify", &shown(&at("less"))]).with(0, &["sound"]);
    fs::remove_file(&parts_of(&at("whole"))[1]).expect("removed");
    run(&data, &["verify", &shown(&at("whole"))]).with(1, &[&["NOT SOUND"][..], &says].concat());
    let restored = at("restored");
    run(&restored, &["restore", &shown(&at("whole"))]).with(0, &[&["warning"][..], &says].concat());
    for folder in [&data, &restored] {
        let server = plan(folder).start();
        let mut admin = server.admin();
        for id in &ids {
            let answer = ask(&mut admin, &format!("linkId={id}&interval=all"));
            assert_eq!((&answer["total"]["clicks"], &answer["unattributed"]), (&json!(2), &json!(1)));
        }
        let metrics = admin.get("/metrics").text();
        // A restore has reported it.
        let seen = u64::from(folder == &data);
        assert!(metrics.contains(&format!("waypost_click_details_damaged_total {seen}\n")), "{metrics}");
        server.stop();
        run(folder, &["verify"]).with(0, &["sound"]);
    }
}

/// One file or folder in `clicks` that cannot be read costs itself, and no other details.
#[test]
fn a_file_that_cannot_be_read_costs_itself_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let ids = with_parts(&data, 2);
    let clicks = data.join("clicks");
    for name in ["day.key", "day.seen", "position"] {
        let _ = fs::remove_file(clicks.join(name));
        fs::create_dir(clicks.join(name)).expect("created");
    }
    for name in ["x.part", "x.new", "other"] {
        fs::create_dir(clicks.join(name)).expect("created");
    }
    let server = plan(&data).start();
    let mut admin = server.admin();
    assert_eq!(check_sums(&mut admin, &ids), (4, 0));
    visit(&mut server.visitor(), "/a", &[]);
    ask_until(&mut admin, "", 5);
    server.stop();
}

/// No link may have more details than clicks. A deleted link has no total any more, which is no damage.
#[test]
fn more_details_than_clicks_are_not_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let ids = with_parts(&data, 2);
    let server = plan(&data).start();
    for code in ["c", "d", "e"] {
        server.admin().create(&json!({"url": "https://e.test/", "customSlug": code}));
    }
    server.admin().delete(&format!("/api/v1/links/{}", ids[1])).expect(200, "deleted");
    server.stop();
    run(&data, &["verify"])
        .with(0, &["2 files with details of clicks", "with the log, of 4 clicks", "sound"]);
    // The cells of a part a second time, under positions that no part has.
    let parts = parts_of(&data);
    let mut bytes = fs::read(&parts[1]).expect("a part");
    let to = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes"));
    bytes[32..40].copy_from_slice(&(to + 1).to_le_bytes());
    bytes[40..48].copy_from_slice(&(to + 2).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..48]).to_le_bytes();
    bytes[48..52].copy_from_slice(&crc);
    fs::write(data.join("clicks/again.part"), bytes).expect("written");
    let too_many = format!("DAMAGED: the link {} has the details of 3 clicks, and its total is 2", ids[0]);
    run(&data, &["verify"]).with(1, &["NOT SOUND", &too_many, "Links and totals are sound"]);
    // The other link is deleted.
    let backup = folder.path().join("backup");
    run(&data, &["backup", &shown(&backup)]).with(0, &["verified"]);
    run(&data, &["verify", &shown(&backup)]).with(1, &[&too_many]);
}

/// While the key of the day exists, nothing in a backup leads to an address: no address in any spelling, no key, and no
/// hash under it.
#[test]
fn a_backup_has_no_address_and_nothing_that_leads_to_one() {
    const VISITORS: u16 = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let server = plan(&data).env("WAYPOST_HTTP__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]").start();
    server.admin().create(&json!({"url": "https://e.test/", "customSlug": "a"}));
    let addresses = (0..VISITORS).map(|number| -> IpAddr {
        let [high, low] = number.to_be_bytes();
        if number % 2 == 0 {
            [198, 18 + high, 77, low].into()
        } else {
            [0x2001, 0xdb8, 0x7766, 0x4000 + number, 0, 0, 0x5c1f, number].into()
        }
    });
    let addresses: Vec<_> = addresses.collect();
    let mut visitor = server.visitor();
    for address in &addresses {
        visit(&mut visitor, "/a", &[("x-forwarded-for", &address.to_string())]);
    }
    let total = &ask_until(&mut server.admin(), "", VISITORS.into())["total"];
    assert_eq!(total["visitors"], json!(VISITORS), "addresses are told apart");
    run(&data, &["backup", &shown(&backup)]).with(0, &["verified"]);
    server.stop();
    // Behind the stop, all details are in a part.
    let last = folder.path().join("last");
    run(&data, &["backup", &shown(&last)]).with(0, &["verified", "with details of clicks"]);
    let (key, seen) = ("day.key", "day.seen");
    let read = |name: &str| fs::read(data.join("clicks").join(name)).expect("a file of the day");
    let (key_bytes, pairs) = (read(key), read(seen));
    let mut needles: HashSet<Vec<u8>> = addresses.iter().flat_map(|address| spellings(*address)).collect();
    needles.extend([key_bytes[4..20].to_vec(), key_bytes[20..36].to_vec()]);
    needles.extend(pairs[8..].chunks(5).map(<[u8]>::to_vec));
    assert!(needles.len() > 3 * usize::from(VISITORS), "{}", needles.len());
    // The search finds what is there.
    assert!(found(&needles, &key_bytes).is_some() && found(&needles, &pairs).is_some());
    assert!(found(&needles, format!("by {}", addresses[7]).as_bytes()).is_some());
    for copy in [&backup, &last] {
        let mut files = Vec::new();
        for part in ["", "log", "clicks"] {
            files.extend(names(&copy.join(part)).into_iter().map(|name| copy.join(part).join(name)));
        }
        files.retain(|path| path.is_file());
        assert!(files.len() >= 3, "{files:?}");
        for path in files {
            let needle = found(&needles, &fs::read(&path).expect("a file"));
            assert_eq!(needle, None, "in {}", path.display());
            assert!(![key, seen].iter().any(|name| path.ends_with(name)), "{}", path.display());
        }
    }
}

/// Returns the ways to write an address, and its network alone.
fn spellings(address: IpAddr) -> Vec<Vec<u8>> {
    let text = address.to_string().into_bytes();
    match address {
        // With the mark of a mapped address: four bytes are in many files by chance.
        IpAddr::V4(v4) => vec![text, v4.to_ipv6_mapped().octets()[10..].to_vec()],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let reversed: Vec<u8> = octets.iter().rev().copied().collect();
            vec![text, octets.to_vec(), octets[..8].to_vec(), reversed]
        }
    }
}

/// Returns the first needle in the bytes.
fn found(needles: &HashSet<Vec<u8>>, bytes: &[u8]) -> Option<Vec<u8>> {
    let lengths: BTreeSet<usize> = needles.iter().map(Vec::len).collect();
    let windows = lengths.into_iter().flat_map(|length| bytes.windows(length));
    windows.into_iter().find(|window| needles.contains(*window)).map(<[u8]>::to_vec)
}
