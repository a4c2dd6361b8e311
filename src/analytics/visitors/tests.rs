use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NOON: i64 = 20_000 * DAY_MILLIS + DAY_MILLIS / 2;
const MIDNIGHT: i64 = 20_001 * DAY_MILLIS;
const BOTH: FirstVisit = FirstVisit { of_link: true, of_workspace: true };
const LINK_ONLY: FirstVisit = FirstVisit { of_link: true, of_workspace: false };
const NEITHER: FirstVisit = FirstVisit { of_link: false, of_workspace: false };

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn settings(folder: &Path) -> VisitorSettings {
    VisitorSettings { folder: folder.to_owned(), files: true, memory: MEMORY_DEFAULT }
}

fn open(folder: &Path, now: i64) -> Visitors {
    Visitors::open(settings(folder), now).expect("a folder")
}

fn link(workspace: u8, link: u8) -> LinkRow {
    let mut row = [0; 20];
    (row[3], row[19]) = (workspace, link);
    row
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

/// Records a click of a visitor by number.
fn visit(visitors: &mut Visitors, visitor: u32, link: &LinkRow) -> FirstVisit {
    visitors.visit(address(0xCB00_7100 + visitor), 7, link)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Returns whether a file of the folder contains these bytes.
fn contains(folder: &Path, bytes: &[u8]) -> bool {
    names(folder).iter().any(|name| {
        let content = fs::read(folder.join(name)).expect("a file");
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn a_visitor_is_the_first_of_a_link_and_of_a_workspace_once_a_day() {
    let folder = folder();
    let mut visitors = open(folder.path(), NOON);
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH);
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), NEITHER);
    assert_eq!(visit(&mut visitors, 1, &link(1, 2)), LINK_ONLY);
    // Another tenant must not notice that a visitor was at this one.
    assert_eq!(visit(&mut visitors, 1, &link(2, 3)), BOTH);
    assert_eq!(visit(&mut visitors, 2, &link(1, 2)), BOTH);
    assert!(!visitors.advance(MIDNIGHT - 1).expect("a folder"));
    assert_eq!(visit(&mut visitors, 2, &link(1, 2)), NEITHER);
    assert!(visitors.advance(MIDNIGHT).expect("a folder"));
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH);
    assert!(!visitors.advance(MIDNIGHT).expect("a folder"), "once");
    assert!(!visitors.is_estimate());
}

#[test]
fn a_restart_counts_nobody_again_who_reached_the_file() {
    let folder = folder();
    let mut visitors = open(folder.path(), NOON);
    let seed = visitors.agent_seed();
    for visitor in 0..20_000 {
        assert_eq!(visit(&mut visitors, visitor, &link(1, 1)), BOTH);
    }
    visitors.flush().expect("room");
    // Fewer than are gathered for one write, so they are in memory only.
    for visitor in 20_000..20_010 {
        assert_eq!(visit(&mut visitors, visitor, &link(1, 1)), BOTH);
    }
    drop(visitors);
    let mut visitors = open(folder.path(), MIDNIGHT - 1);
    assert_eq!(visitors.agent_seed(), seed);
    for visitor in 0..20_000 {
        assert_eq!(visit(&mut visitors, visitor, &link(1, 1)), NEITHER, "{visitor}");
    }
    for visitor in 20_000..20_010 {
        assert_eq!(visit(&mut visitors, visitor, &link(1, 1)), BOTH, "not written before the crash");
    }
}

#[test]
fn a_file_that_is_cut_loses_only_its_end() {
    let folder = folder();
    let seen = folder.path().join(SEEN_FILE);
    let mut visitors = open(folder.path(), NOON);
    for visitor in 0..10 {
        visit(&mut visitors, visitor, &link(1, 1));
    }
    visitors.flush().expect("room");
    let whole = fs::read(&seen).expect("it was written");
    assert_eq!(whole.len(), 8 + 5 * 20, "two pairs for each visitor");
    // Each length that a crash can leave.
    for length in 0..=whole.len() {
        fs::write(&seen, &whole[..length]).expect("room");
        let mut visitors = open(folder.path(), NOON);
        let known = length.saturating_sub(8) / 10;
        for visitor in 0..10 {
            let is_known = (visitor as usize) < known;
            assert_eq!(
                visit(&mut visitors, visitor, &link(1, 1)).of_link,
                !is_known && !half(length, visitor)
            );
        }
        visitors.flush().expect("room");
        drop(visitors);
        let mut visitors = open(folder.path(), NOON);
        // A wrong offset of the append would shift all pairs behind the cut.
        assert!((0..10).all(|visitor| visit(&mut visitors, visitor, &link(1, 1)) == NEITHER), "{length}");
    }
}

/// Returns whether the file was cut between the two pairs of a visitor.
fn half(length: usize, visitor: u32) -> bool {
    length >= 8 + 10 * visitor as usize + 5
}

type Damage = Box<dyn Fn()>;

#[test]
fn files_of_another_key_and_damaged_keys_are_replaced() {
    let (folder, other) = (folder(), folder());
    let path = folder.path();
    visit(&mut open(other.path(), NOON), 1, &link(1, 1));
    let copy = |name: &'static str| {
        let (from, to) = (other.path().join(name), path.join(name));
        Box::new(move || assert!(fs::copy(&from, &to).expect("room") > 0)) as Damage
    };
    let write = |name: &'static str, bytes: &'static [u8]| {
        let to = path.join(name);
        Box::new(move || fs::write(&to, bytes).expect("room")) as Damage
    };
    let damages = [
        // Whole files of another folder: the key, then the pairs.
        copy(KEY_FILE),
        copy(SEEN_FILE),
        write(KEY_FILE, b""),
        // The right length without the right checksum.
        write(KEY_FILE, b"0123456789012345678901234567890123456789"),
        // Too long: rejected before it is read.
        write(KEY_FILE, &[7; 10_000]),
        // A byte less than a header.
        write(SEEN_FILE, b"1234567"),
        // A whole pair under a wrong fingerprint.
        write(SEEN_FILE, b"12345678abcde"),
    ];
    for (at, damage) in damages.iter().enumerate() {
        let mut visitors = open(path, NOON);
        visit(&mut visitors, 1, &link(1, 1));
        visitors.flush().expect("room");
        drop(visitors);
        damage();
        let mut visitors = open(path, NOON);
        assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH, "{at}");
        visitors.flush().expect("room");
        drop(visitors);
        assert_eq!(visit(&mut open(path, NOON), 1, &link(1, 1)), NEITHER, "{at}: it goes on");
        for name in names(path) {
            fs::remove_file(path.join(name)).expect("a file");
        }
    }
}

#[test]
fn the_key_and_the_pairs_are_gone_after_rotation() {
    let folder = folder();
    let path = folder.path();
    let mut visitors = open(path, NOON);
    // 203.0.113.9, whose bytes and text no file may contain.
    let planted = address(0xCB00_7109);
    visitors.visit(planted, 7, &link(1, 1));
    visitors.flush().expect("room");
    let (key, seen) =
        (fs::read(path.join(KEY_FILE)).expect("a key"), fs::read(path.join(SEEN_FILE)).expect("pairs"));
    let (secret, pair) = (&key[4..20], &seen[8..13]);
    assert!(contains(path, secret) && contains(path, pair));
    let visitor = format!("{:?}", visitors.key.visitor(planted, 7));
    let hash: u64 =
        visitor.trim_start_matches("VisitorHash(").trim_end_matches(')').parse().expect("a number");
    let absent = |bytes: &[u8]| !contains(path, bytes);
    let never = || {
        absent(&[0xCB, 0, 0x71, 9])
            && absent(b"203.0.113.9")
            && absent(&hash.to_be_bytes())
            && absent(&hash.to_le_bytes())
    };
    assert!(never(), "neither the address nor its hash is written");
    visitors.advance(MIDNIGHT).expect("a folder");
    visitors.visit(planted, 7, &link(1, 1));
    visitors.flush().expect("room");
    assert!(never() && absent(secret) && absent(pair) && absent(&seen[..8]));
    assert_eq!(names(path), [KEY_FILE, SEEN_FILE], "and no other file");
    let tomorrow = fs::read(path.join(KEY_FILE)).expect("a key");
    // A process that was stopped over midnight.
    drop(visitors);
    let visitors = open(path, MIDNIGHT + DAY_MILLIS);
    assert!(never() && absent(secret) && absent(&tomorrow[4..20]));
    assert_eq!(visitors.agent_seed(), key[20..36], "User-Agents have the same hash");
}

#[test]
fn a_clock_that_goes_back_a_little_keeps_the_day() {
    let folder = folder();
    let mut visitors = open(folder.path(), MIDNIGHT);
    visit(&mut visitors, 1, &link(1, 1));
    assert!(!visitors.advance(MIDNIGHT - CLOCK_TOLERANCE).expect("a folder"));
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), NEITHER);
    assert!(visitors.advance(MIDNIGHT - CLOCK_TOLERANCE - 1).expect("a folder"), "it was wrong before");
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH);
    // A clock that is set wildly must neither panic nor keep the key.
    for now in [i64::MAX, i64::MIN, 0] {
        assert!(visitors.advance(now).expect("a folder"), "{now}");
    }
}

#[test]
fn without_files_nothing_is_written_and_old_files_are_removed() {
    let folder = folder();
    drop(open(folder.path(), NOON));
    assert_eq!(names(folder.path()), [KEY_FILE, SEEN_FILE]);
    let settings = VisitorSettings { files: false, ..settings(folder.path()) };
    let mut visitors = Visitors::open(settings, NOON).expect("a folder");
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH);
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), NEITHER);
    visitors.flush().expect("nothing to do");
    visitors.advance(MIDNIGHT).expect("nothing to do");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn files_are_for_their_owner_and_links_are_not_followed() {
    let (folder, outside) = (folder(), folder());
    let victim = outside.path().join("victim");
    fs::write(&victim, "old").expect("room");
    for name in [KEY_FILE, SEEN_FILE] {
        // Another user of the folder must not direct the writes of the server.
        symlink(&victim, folder.path().join(name)).expect("a link");
    }
    let mut visitors = open(folder.path(), NOON);
    visit(&mut visitors, 1, &link(1, 1));
    visitors.flush().expect("room");
    assert_eq!(fs::read(&victim).expect("it is there"), b"old");
    for name in [KEY_FILE, SEEN_FILE] {
        let found = fs::symlink_metadata(folder.path().join(name)).expect("it is there");
        assert!(found.is_file());
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// The rights of a folder do not bind root, so a folder in place of the key fails the removal.
#[test]
fn a_failed_removal_is_an_error_and_is_retried() {
    let folder = folder();
    let path = folder.path();
    let mut visitors = open(path, NOON);
    visit(&mut visitors, 1, &link(1, 1));
    let key = path.join(KEY_FILE);
    fs::remove_file(&key).expect("a file");
    fs::create_dir(&key).expect("a folder");
    visitors.advance(MIDNIGHT).expect_err("it is a folder");
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), BOTH, "the day has begun");
    visitors.advance(MIDNIGHT + 1).expect_err("it is still a folder");
    assert_eq!(visit(&mut visitors, 1, &link(1, 1)), NEITHER, "and goes on");
    fs::remove_dir(&key).expect("a folder");
    assert!(!visitors.advance(MIDNIGHT + 2).expect("it can be created"));
    assert_eq!(names(path), [KEY_FILE, SEEN_FILE]);
    // At a start as well: without the files, visitors are counted in memory.
    let mut visitors = Visitors::open(settings(&path.join("missing")), NOON).expect("no folder");
    assert_eq!([visit(&mut visitors, 1, &link(1, 1)), visit(&mut visitors, 1, &link(1, 1))], [BOTH, NEITHER]);
    visitors.advance(NOON + 1).expect_err("there is still none");
}

#[test]
fn a_day_with_too_many_visitors_is_marked_and_its_file_stays_small() {
    let folder = folder();
    let settings = VisitorSettings { memory: 4096, ..settings(folder.path()) };
    let mut visitors = Visitors::open(settings.clone(), NOON).expect("a folder");
    let firsts = (0..20_000).filter(|visitor| visit(&mut visitors, *visitor, &link(1, 1)).of_link).count();
    assert!(visitors.is_estimate());
    assert_eq!(visitors.memory(), 4096);
    assert!(firsts < 20_000, "an estimate");
    visitors.flush().expect("room");
    let length = fs::metadata(folder.path().join(SEEN_FILE)).expect("it is there").len();
    assert!(length < 20_000, "{length}");
    drop(visitors);
    let visitors = Visitors::open(settings, NOON).expect("a folder");
    assert!(visitors.filter.len() * 5 + 8 == usize::try_from(length).expect("small"), "all that was written");
}

#[test]
fn a_filter_that_is_full_is_replaced_by_a_larger_one() {
    let folder = folder();
    let mut visitors = open(folder.path(), NOON);
    let small = visitors.memory();
    let missed = (0..80_000).filter(|visitor| visit(&mut visitors, *visitor, &link(1, 1)) != BOTH).count();
    assert!(missed < 20, "{missed}");
    assert_eq!((small, visitors.memory()), (256 << 10, 1 << 20), "one layer");
    let known = (0..80_000).filter(|visitor| visit(&mut visitors, *visitor, &link(1, 1)) == NEITHER).count();
    assert!(known >= 80_000 - missed, "none is forgotten; one that was missed may be counted now");
    visitors.advance(MIDNIGHT).expect("a folder");
    assert_eq!(visitors.memory(), 1 << 20, "as many are expected tomorrow");
    visitors.advance(MIDNIGHT + DAY_MILLIS).expect("a folder");
    assert_eq!(visitors.memory(), small);
    let settings = VisitorSettings { files: false, ..settings(folder.path()) };
    let mut visitors = Visitors::open(settings, NOON).expect("a folder");
    let missed = (0..80_000).filter(|visitor| visit(&mut visitors, *visitor, &link(1, 1)) != BOTH).count();
    assert!(missed < 100, "{missed}");
    assert_eq!(visitors.memory(), (256 << 10) + (1 << 20), "without a file, two layers");
}

/// ANALYTICS, acceptance 7: 10 million visits by 2 million visitors. `cargo test --release -- --ignored`.
#[test]
#[ignore = "10 million visits"]
fn ten_million_visits_by_two_million_visitors() {
    let folder = folder();
    let mut visitors = open(folder.path(), NOON);
    let links: Vec<_> = (0..200).map(|number| link(number % 4, number)).collect();
    let (mut got, mut want) = (vec![0_u32; 200], vec![0_u32; 200]);
    let (mut seen, mut state) = (HashSet::new(), 1_u64);
    for visit_number in 0..10_000_000_u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (visitor, at) = ((state >> 33) as u32 % 2_000_000, (state >> 13) as usize % 200);
        want[at] += u32::from(seen.insert((visitor, at)));
        got[at] += u32::from(visit(&mut visitors, visitor, &links[at]).of_link);
        if visit_number == 5_000_000 {
            visitors.flush().expect("room");
            drop(visitors);
            visitors = open(folder.path(), NOON);
        }
    }
    for at in 0..200 {
        assert!(got[at] <= want[at] && want[at] - got[at] <= want[at] / 100, "{} of {}", got[at], want[at]);
    }
}

#[derive(Clone, Debug)]
enum VisitStep {
    Visit { visitor: u32, workspace: u8, link: u8 },
    Restart,
    Crash,
    NextDay,
}

fn step() -> impl Strategy<Value = VisitStep> {
    let visit = (0_u32..12, 0_u8..3, 0_u8..3).prop_map(|(visitor, workspace, link)| VisitStep::Visit {
        visitor,
        workspace,
        link,
    });
    prop_oneof![20 => visit, 2 => Just(VisitStep::Restart), 1 => Just(VisitStep::Crash), 1 => Just(VisitStep::NextDay)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With so few pairs, the filter is exact.
    #[test]
    fn visits_are_those_of_a_set(steps in proptest::collection::vec(step(), 0..200)) {
        let folder = folder();
        let mut now = NOON;
        let mut visitors = open(folder.path(), now);
        // What was seen, and whether it reached the file.
        let mut seen: HashMap<(u32, u8, Option<u8>), bool> = HashMap::new();
        for step in steps {
            match step {
                VisitStep::Visit { visitor, workspace, link: number } => {
                    let got = visit(&mut visitors, visitor, &link(workspace, number));
                    let of_link = seen.insert((visitor, workspace, Some(number)), false);
                    // A second visit does not change whether the first one is in the file.
                    if let Some(written) = of_link {
                        seen.insert((visitor, workspace, Some(number)), written);
                    }
                    let of_link = of_link.is_none();
                    let of_workspace = of_link && !seen.contains_key(&(visitor, workspace, None));
                    if of_workspace {
                        seen.insert((visitor, workspace, None), false);
                    }
                    prop_assert_eq!(got, FirstVisit { of_link, of_workspace });
                }
                VisitStep::Restart => {
                    visitors.flush().expect("room");
                    for written in seen.values_mut() {
                        *written = true;
                    }
                    visitors = open(folder.path(), now);
                }
                VisitStep::Crash => {
                    // Without a flush, a restart knows only what is in the file.
                    seen.retain(|_, written| *written);
                    visitors = open(folder.path(), now);
                }
                VisitStep::NextDay => {
                    now += DAY_MILLIS;
                    prop_assert!(visitors.advance(now).expect("a folder"));
                    seen.clear();
                }
            }
        }
    }
}
