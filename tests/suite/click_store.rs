//! The store of click details: each click of the log is found once, whatever happens to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use waypost::analytics::block::{CellBlock, CellFields};
use waypost::analytics::cell::{COUNTED, CellCounts, CellValues, Dimension, TimeSlot};
use waypost::analytics::open::OpenCells;
use waypost::analytics::part::reader::PartList;
use waypost::analytics::ring::SIZE;
use waypost::analytics::store::{ClickStore, HasRoom, IsKept, Keep, RecentClicks, RecentError, View};
use waypost::analytics::tick::{LinkRow, Tick, link_row, parse_link_row};
use waypost::clock::{Clock, Timestamp};
use waypost::log::local::disk::{Disk, FsDisk};
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{LocalLog, Settings};
use waypost::log::{AppliedState, Log, Position, Proposal, Put};
use waypost::model::id::Id;
use waypost::model::node::NodeNumber;
use waypost::model::workspace::WorkspaceNumber;
use waypost::table::keys;

use crate::support::process::{PATIENCE, poll};
use crate::support::sim_disk::{Chance, Plan, SimDisk};
use crate::support::table::MemoryTable;

/// 2026-11-28 00:00 UTC.
const START: i64 = 1_795_824_000_000;

pub(super) const HOUR: i64 = 3_600_000;

/// The referrer of clicks that do not count.
const UNCOUNTED: usize = 4;

fn host_name(number: usize) -> String {
    format!("h{number}.test")
}

pub(super) const KEEP: Keep =
    Keep { slots: Duration::from_hours(24 * 90), hours: Duration::from_hours(24 * 400), all: None };

/// A log whose clock the test sets, and what was written to it: clicks by link, slot and referrer.
pub(super) struct Written {
    pub(super) log: Arc<dyn Log>,
    local: Arc<LocalLog>,
    disk: SimDisk,
    clock: Clock,
    number: u8,
    pub(super) clicks: Clicks,
}

pub(super) type Clicks = BTreeMap<(u128, u32, String), u64>;

impl Written {
    fn new() -> Written {
        Written::on(SimDisk::default())
    }

    fn on(disk: SimDisk) -> Written {
        Written::over(Arc::new(disk.clone()), disk)
    }

    /// Opens a log on any disk.
    pub(super) fn over(log_disk: Arc<dyn Disk>, disk: SimDisk) -> Written {
        let settings =
            Settings { segment_bytes: 40_000, compact_above: u64::MAX, scrub_rate: 0, accept_loss: false };
        let clock = Clock::fixed(Timestamp::from_millis(START));
        let table: Arc<dyn AppliedState> = Arc::new(MemoryTable::default());
        let guard = Arc::new(DiskGuard::unlimited());
        let local = LocalLog::open(log_disk, settings, clock.clone(), table, guard).expect("it opens");
        let local = Arc::new(local);
        Written { log: Arc::clone(&local) as _, local, disk, clock, number: 0, clicks: Clicks::new() }
    }

    fn store(&self, disk: &SimDisk, keep: Keep) -> std::io::Result<ClickStore> {
        self.store_over(Arc::new(disk.clone()), keep)
    }

    pub(super) fn store_over(&self, disk: Arc<dyn Disk>, keep: Keep) -> std::io::Result<ClickStore> {
        let log = Arc::clone(&self.log);
        ClickStore::open(disk, log, self.clock.clone(), keep, Arc::new(|_| true))
    }

    /// Writes one tick: clicks on some links, with some referrers. Returns its position.
    pub(super) fn tick(&mut self, chance: &mut Chance) -> Position {
        let slot = TimeSlot::of_millis(self.clock.now().as_millis());
        let count = chance.below(9) + 1;
        let clicks = (0..count).map(|_| (chance.below(12) as u128, slot, chance.below(5)));
        self.write_clicks(clicks.collect::<Vec<_>>())
    }

    /// Writes one tick with these clicks: link, slot and referrer. Those with the referrer 4 do not count.
    fn write_clicks(&mut self, clicks: impl IntoIterator<Item = (u128, TimeSlot, usize)>) -> Position {
        let mut open = OpenCells::default();
        for (link, slot, host) in clicks {
            let counted = if host == UNCOUNTED { 0 } else { COUNTED };
            let host = host_name(host);
            let row = link_row(WorkspaceNumber((link % 3).try_into().expect("small")), Id::from_bits(link));
            let (of_link, text) = (open.link(&row), open.text(host.as_bytes()));
            let mut values = CellValues::default();
            values[Dimension::Referrer as usize] = Dimension::Referrer.with_text(0, text);
            values[Dimension::Trigger as usize] = counted;
            open.count(of_link, slot, values, CellCounts { clicks: 1, ..CellCounts::default() });
            *self.clicks.entry((link, slot.0, host)).or_default() += 1;
        }
        self.write(&open)
    }

    fn write(&mut self, open: &OpenCells) -> Position {
        let key = keys::tick(NodeNumber::ALONE, self.number);
        self.number = self.number.wrapping_add(1);
        let put = Put { key, value: Some(open.sorted().encode().into()) };
        self.log.commit(Proposal { puts: vec![put], ..Proposal::default() }).wait().expect("written")
    }

    /// Writes one tick with as many cells, each with a long text of its own.
    pub(super) fn long_tick(&mut self, cells: u32) {
        let mut open = OpenCells::default();
        let slot = TimeSlot::of_millis(self.clock.now().as_millis());
        let link = open.link(&link_row(WorkspaceNumber(1), Id::from_bits(self.number.into())));
        for number in 0..cells {
            let text = open.text(format!("{:0>200}", format!("{}.{number}.test", self.number)).as_bytes());
            let mut values = CellValues::default();
            values[Dimension::Referrer as usize] = Dimension::Referrer.with_text(0, text);
            values[Dimension::Trigger as usize] = COUNTED;
            open.count(link, slot, values, CellCounts { clicks: 1, ..CellCounts::default() });
        }
        self.write(&open);
    }

    /// Writes one tick with as many cells, each of another link.
    fn wide_tick(&mut self, cells: u32) {
        let mut open = OpenCells::default();
        let slot = TimeSlot::of_millis(self.clock.now().as_millis());
        for number in 0..cells {
            let link = u128::from(self.number) << 32 | u128::from(number);
            let of_link = open.link(&link_row(WorkspaceNumber(1), Id::from_bits(link)));
            let counts = CellCounts { clicks: 1, ..CellCounts::default() };
            open.count(of_link, slot, CellValues::default(), counts);
        }
        self.write(&open);
    }

    pub(super) fn compact(&self) {
        self.local.compact().expect("compacted");
    }

    pub(super) fn pass(&self, millis: i64) {
        self.clock.set(self.clock.now().plus_millis(millis));
    }
}

pub(super) fn all_links() -> IsKept {
    Arc::new(|_| true)
}

/// Returns the clicks of a view, by link, slot and referrer.
pub(super) fn clicks(view: &View) -> Clicks {
    let mut clicks = Clicks::new();
    let mut add = |row: &[u8], slot: TimeSlot, text: &[u8], count: u32| {
        let (workspace, link) = parse_link_row(row).expect("a row");
        assert_eq!(u128::from(workspace.0), link.bits() % 3);
        let text = String::from_utf8(text.to_vec()).expect("UTF-8");
        *clicks.entry((link.bits(), slot.0, text)).or_default() += u64::from(count);
    };
    let referrer = |values: &CellValues| {
        let value = values[Dimension::Referrer as usize];
        Dimension::Referrer.text_of(value).expect("each click has one")
    };
    for part in &view.parts {
        let mut block = CellBlock::default();
        for at in 0..part.blocks() {
            part.block(at, CellFields::ALL, &mut block).expect("a block");
            for cell in (0..block.len()).map(|at| block.cell(at)) {
                let row = part.entry(PartList::Links, cell.link).expect("a link");
                let text = part.entry(PartList::Texts, referrer(&cell.values)).expect("a text");
                add(&row, cell.slot, &text, cell.counts.clicks);
            }
        }
    }
    let Tick { links, texts, cells } = &*view.open;
    for cell in cells {
        let text = &texts[referrer(&cell.values) as usize];
        add(&links[cell.link as usize], cell.slot, text, cell.counts.clicks);
    }
    clicks
}

/// Returns the counted clicks of each of 13 links since a slot, and its latest slot.
fn recent(clicks: &Clicks, since: TimeSlot) -> Vec<RecentClicks> {
    let mut all = vec![RecentClicks::default(); 13];
    for ((link, slot, host), count) in clicks {
        if *host != host_name(UNCOUNTED) {
            let recent = &mut all[usize::try_from(*link).expect("small")];
            recent.clicks += if *slot >= since.0 { *count } else { 0 };
            recent.latest = recent.latest.max(Some(TimeSlot(*slot)));
        }
    }
    all
}

/// Returns the links of a workspace with a counted click, by one more than the slot of the latest.
fn latest(clicks: &Clicks, workspace: u32) -> Vec<(u64, Id)> {
    let mut latest = BTreeMap::new();
    for (link, slot, host) in clicks.keys() {
        if *host != host_name(UNCOUNTED) && link % 3 == u128::from(workspace) {
            let last = latest.entry(*link).or_insert(*slot);
            *last = (*last).max(*slot);
        }
    }
    latest.into_iter().map(|(link, slot)| (u64::from(slot) + 1, Id::from_bits(link))).collect()
}

/// Five days of clicks with merges of days in between.
fn write_days(written: &mut Written, store: &ClickStore, chance: &mut Chance) -> bool {
    for _ in 0..5 {
        for _ in 0..6 {
            for _ in 0..4 {
                written.tick(chance);
                written.pass(HOUR / 3);
            }
            if store.settle(&all_links()).is_err() {
                return false;
            }
            written.pass(3 * HOUR - 4 * HOUR / 3 + HOUR);
        }
    }
    true
}

#[test]
fn days_are_merged_and_lose_nothing() {
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let store = written.store(&disk, KEEP).expect("it opens");
    assert!(write_days(&mut written, &store, &mut Chance(1)));
    assert_eq!(clicks(&store.view()), written.clicks);
    // Days that have passed are one part each, or were merged further.
    let parts = store.status().parts;
    assert!((1..=12).contains(&parts), "{parts}");
    let again = written.store(&disk, KEEP).expect("it opens");
    assert_eq!(clicks(&again.view()), written.clicks, "without the log");
    // The month has passed.
    pass_days(&written, &again, 30, &all_links());
    assert_eq!((again.status().parts, clicks(&again.view())), (2, written.clicks.clone()));
}

/// Lets days pass with all their merges: a clock that jumps by a month would not be followed.
fn pass_days(written: &Written, store: &ClickStore, days: u32, is_kept: &IsKept) {
    for _ in 0..days {
        written.pass(24 * HOUR);
        store.settle(is_kept).expect("merged");
    }
}

/// A clock that is years ahead at some starts makes nothing coarser and deletes nothing.
#[test]
fn a_clock_far_ahead_costs_neither_precision_nor_parts() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(29));
    let keep = Keep { all: Some(Duration::from_hours(24 * 500)), ..KEEP };
    let store = written.store(&disk, keep).expect("it opens");
    assert!(write_days(&mut written, &store, &mut chance));
    pass_days(&written, &store, 40, &all_links());
    let right = written.clock.now();
    written.pass(10 * 365 * 24 * HOUR);
    for _ in 0..3 {
        let store = written.store(&disk, keep).expect("it opens");
        // Clicks of the wrong time: they are kept as they are, too.
        written.tick(&mut chance);
        store.settle(&all_links()).expect("merged");
        assert_eq!(clicks(&store.view()), written.clicks);
        written.pass(5 * HOUR);
    }
    written.clock.set(right);
    let store = written.store(&disk, keep).expect("it opens");
    store.settle(&all_links()).expect("merged");
    assert_eq!(clicks(&store.view()), written.clicks);
    // By the right time, they become coarser in their turn.
    pass_days(&written, &store, 90, &all_links());
    assert_ne!(clicks(&store.view()), written.clicks);
    let all = |clicks: &Clicks| clicks.values().sum::<u64>();
    assert_eq!(all(&clicks(&store.view())), all(&written.clicks));
}

/// Sums of single links agree with all cells, in memory and in parts of every level, for any first slot.
#[test]
fn recent_clicks_are_those_of_the_cells() {
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let store = written.store(&disk, KEEP).expect("it opens");
    let now = TimeSlot::of_millis(START).0;
    // More blocks of one link than are read each time, and a link with visits that do not count only.
    written.write_clicks((0..20_000).map(|n| (11, TimeSlot(now - n), n as usize % 5)));
    written.write_clicks((0..5_000).map(|n| (12, TimeSlot(now - n), UNCOUNTED)));
    assert!(write_days(&mut written, &store, &mut Chance(2)));
    let mut links: Vec<_> =
        (0..13).map(|n| link_row(WorkspaceNumber(n % 3), Id::from_bits(n.into()))).collect();
    let bits = |row: &[u8]| usize::try_from(parse_link_row(row).expect("a row").1.bits()).expect("small");
    // The rows of three workspaces come in another order than their ids.
    links.sort_unstable();
    for days in [0, 3, 30, 200] {
        // Twice: the second time, the busy link is not read again.
        for _ in 0..2 {
            let since = TimeSlot::of_millis(written.clock.now().as_millis() - days * 24 * HOUR);
            let want = recent(&written.clicks, since);
            let found = store.recent(&links, since, &|| false).expect("it is read");
            for (link, found) in links.iter().zip(found) {
                assert_eq!(found, want[bits(link)], "{days} days of {}", bits(link));
            }
        }
    }
    assert!(matches!(store.recent(&links, TimeSlot(0), &|| true), Err(RecentError::TooSlow)));
    // Links that no part has.
    let missing =
        [link_row(WorkspaceNumber(0), Id::from_bits(99)), link_row(WorkspaceNumber(9), Id::from_bits(1))];
    assert_eq!(store.recent(&missing, TimeSlot(0), &|| false).expect("none"), [RecentClicks::default(); 2]);
    written.write_clicks([(5, TimeSlot(now + 3_000), 0)]);
    store.settle(&all_links()).expect("merged");
    let want = recent(&written.clicks, TimeSlot(now));
    let row = link_row(WorkspaceNumber(2), Id::from_bits(5));
    assert_eq!(store.recent(&[row], TimeSlot(now), &|| false).expect("it is read"), [want[5]]);
}

/// The latest links of a workspace agree with all cells, however few are asked for and wherever their cells are.
#[test]
fn the_latest_links_are_those_of_the_cells() {
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let store = written.store(&disk, KEEP).expect("it opens");
    let now = TimeSlot::of_millis(START).0;
    // Links of one workspace without a counted click, with one of long ago, and with more blocks than one.
    written.write_clicks((0..10).map(|n| (102, TimeSlot(now - n), UNCOUNTED)));
    written.write_clicks((0..3_000).map(|n| (300 + 3 * u128::from(n), TimeSlot(now - 500 - n), 0)));
    written.write_clicks((0..6_000).map(|n| (105, TimeSlot(now - 9_000 - n), 1)));
    assert!(write_days(&mut written, &store, &mut Chance(5)));
    for open in [false, true] {
        if open {
            store.start(all_links()).expect("threads");
            poll("the store has caught up", Duration::from_secs(10), || store.has_caught_up().then_some(()));
            // Later than all parts, and in no part yet.
            written.write_clicks([(105, TimeSlot(now + 2_000), 0), (3, TimeSlot(now + 2_001), UNCOUNTED)]);
            let open_cells = || Some(()).filter(|()| store.status().open_cells > 0);
            poll("the tick", Duration::from_secs(10), open_cells);
        }
        for workspace in 0..4 {
            let mut want: Vec<(u64, Id)> = latest(&written.clicks, workspace);
            want.sort_unstable_by(|a, b| b.cmp(a));
            for keep in [1, 2, 5, 100, 2_900, 20_000] {
                let top = store.latest(WorkspaceNumber(workspace), keep, &|| false).expect("it is read");
                let mut found: Vec<_> = top.all().collect();
                found.sort_unstable_by(|a, b| b.cmp(a));
                let first = keep.min(want.len());
                assert_eq!(found[..first.min(found.len())], want[..first], "{workspace} {keep} {open}");
            }
        }
    }
    assert!(matches!(store.latest(WorkspaceNumber(0), 9_999, &|| true), Err(RecentError::TooSlow)));
    written.log.close();
    store.stop();
}

/// Each sync of the folder of clicks is the last one once. Whatever the cut leaves, each click is found once.
#[test]
fn a_power_cut_at_any_sync_loses_and_doubles_nothing() {
    let whole = SimDisk::default();
    let mut written = Written::new();
    let store = written.store(&whole, KEEP).expect("it opens");
    assert!(write_days(&mut written, &store, &mut Chance(7)));
    let syncs = whole.syncs();
    assert!(syncs > 60, "{syncs}");
    for cut in 1..=syncs {
        let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(7));
        disk.plan(Plan { cut_at_sync: Some(cut), ..Plan::default() });
        if let Ok(store) = written.store(&disk, KEEP) {
            assert!(!write_days(&mut written, &store, &mut chance), "cut {cut}");
        }
        let left = disk.after_power_cut(&mut Chance(cut));
        let store = written.store(&left, KEEP).expect("it opens");
        store.settle(&all_links()).expect("it catches up");
        assert_eq!(clicks(&store.view()), written.clicks, "cut {cut}");
        assert_eq!(store.status().damaged, 0, "no part looks like one that somebody has removed: cut {cut}");
    }
}

/// Returns three parts of an hour each, with the clicks of each, and their names.
fn three_parts(disk: &Arc<dyn Disk>) -> (Written, Vec<Clicks>, Vec<String>) {
    let (mut written, mut chance) = (Written::new(), Chance(5));
    let store = written.store_over(Arc::clone(disk), KEEP).expect("it opens");
    let mut of_parts = Vec::new();
    for _ in 0..3 {
        let before = std::mem::take(&mut written.clicks);
        written.tick(&mut chance);
        of_parts.push(written.clicks.clone());
        for (key, count) in before {
            *written.clicks.entry(key).or_default() += count;
        }
        store.settle(&all_links()).expect("written");
        written.pass(HOUR);
    }
    let is_part = |name: &String| Path::new(name).extension().is_some_and(|kind| kind == "part");
    let mut names: Vec<_> = disk.list().expect("names").into_iter().filter(is_part).collect();
    names.sort();
    assert_eq!(names.len(), 3);
    (written, of_parts, names)
}

fn sum<'a>(clicks: impl IntoIterator<Item = &'a Clicks>) -> u64 {
    clicks.into_iter().flat_map(Clicks::values).sum()
}

/// Whichever file is removed, the start notices it, and the next one starts from what is there.
#[test]
fn a_removed_part_is_noticed_once() {
    for at in 0..3 {
        let disk = SimDisk::default();
        let (written, of_parts, names) = three_parts(&(Arc::new(disk.clone()) as _));
        disk.remove(&names[at]).expect("removed");
        let others = of_parts.iter().enumerate().filter(|(part, _)| *part != at).map(|(_, clicks)| clicks);
        let others = sum(others);
        for damaged in [1, 0] {
            let store = written.store(&disk, KEEP).expect("it opens");
            store.settle(&all_links()).expect("it catches up");
            assert_eq!(
                (sum([&clicks(&store.view())]), store.status().damaged),
                (others, damaged),
                "part {at}"
            );
        }
    }
}

/// A file that cannot be read stays where it is, and no merge takes its place: it may be readable at a later start.
#[test]
fn a_part_that_cannot_be_read_now_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Arc::new(FsDisk::open(folder.path()).expect("a disk"));
    let (written, of_parts, names) = three_parts(&(Arc::clone(&disk) as _));
    let (there, away) = (folder.path().join(&names[1]), folder.path().join("away"));
    std::fs::rename(&there, &away).expect("renamed");
    // Nothing that is there can be read as a file.
    std::fs::create_dir(&there).expect("created");
    std::fs::create_dir(folder.path().join("x.new")).expect("created");
    let store = written.store_over(Arc::clone(&disk) as _, KEEP).expect("it opens");
    assert_eq!(store.status().damaged, 1);
    let others = sum([&of_parts[0], &of_parts[2]]);
    // Days, the week and the month are merged in between.
    pass_days(&written, &store, 40, &all_links());
    assert_eq!(sum([&clicks(&store.view())]), others);
    drop(store);
    for entry in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        if entry.path().is_dir() {
            std::fs::remove_dir(entry.path()).expect("removed");
        }
    }
    std::fs::rename(&away, &there).expect("renamed");
    let store = written.store_over(Arc::clone(&disk) as _, KEEP).expect("it opens");
    store.settle(&all_links()).expect("it catches up");
    assert_eq!((clicks(&store.view()), store.status().damaged), (written.clicks, 0));
}

/// The log keeps the last tick of each key. So a compacted log has the ticks that are in no durable part.
#[test]
fn a_compacted_log_has_all_ticks_that_are_in_no_part() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(3));
    let store = written.store(&disk, KEEP).expect("it opens");
    for round in 0..4 {
        for _ in 0..SIZE {
            written.tick(&mut chance);
        }
        written.local.compact().expect("compacted");
        if round == 2 {
            // A crash before the part of these ticks.
            let again = written.store(&disk, KEEP).expect("it opens");
            again.settle(&all_links()).expect("it catches up");
            assert_eq!(clicks(&again.view()), written.clicks);
        }
        let store = written.store(&disk, KEEP).expect("it opens");
        store.settle(&all_links()).expect("it catches up");
        assert_eq!(clicks(&store.view()), written.clicks, "round {round}");
    }
    drop(store);
}

/// A damaged part is set aside, and the others are read.
#[test]
fn damage_costs_the_clicks_of_one_part_and_nothing_else() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(5));
    let store = written.store(&disk, KEEP).expect("it opens");
    let mut of_parts = Vec::new();
    for _ in 0..3 {
        let before = written.clicks.values().sum::<u64>();
        written.tick(&mut chance);
        store.settle(&all_links()).expect("written");
        of_parts.push(written.clicks.values().sum::<u64>() - before);
        written.pass(HOUR);
    }
    let total = written.clicks.values().sum::<u64>();
    let mut names: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.ends_with("part")).collect();
    names.sort();
    assert_eq!(names.len(), 3);
    let (name, bytes) = &names[1];
    for at in 0..*bytes {
        let harmed = disk.copy();
        harmed.damage(name, |bytes| bytes[at] ^= 0x20);
        let store = written.store(&harmed, KEEP).expect("it opens");
        let view = store.view();
        // Damage in a block is found when the block is read, all other damage at the start.
        let found = view.parts.iter().filter(|part| part.check().is_err()).cloned().collect::<Vec<_>>();
        for part in &found {
            store.set_aside(part, &part.check().expect_err("it is damaged"));
        }
        let left: u64 = clicks(&store.view()).values().sum();
        assert_eq!(left, total - of_parts[1], "byte {at}");
        assert_eq!(store.status().damaged, 1, "byte {at}");
        let set_aside = harmed.files().into_iter().filter(|(name, _)| name.ends_with(".damaged")).count();
        assert_eq!(set_aside, 1, "byte {at}");
    }
}

/// Cells of links that are deleted for good are dropped by the next merge.
#[test]
fn merges_drop_deleted_links_and_old_cells() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(9));
    let keep = Keep { all: Some(Duration::from_hours(24 * 30)), ..KEEP };
    let store = written.store(&disk, keep).expect("it opens");
    for _ in 0..20 {
        written.tick(&mut chance);
    }
    let is_kept: IsKept = Arc::new(|row| parse_link_row(row).expect("a row").1.bits().is_multiple_of(2));
    store.settle(&is_kept).expect("written");
    assert_eq!(clicks(&store.view()), written.clicks, "today is not merged yet");
    written.pass(24 * HOUR);
    store.settle(&is_kept).expect("merged");
    let left: Clicks = written.clicks.clone().into_iter().filter(|((link, ..), _)| link % 2 == 0).collect();
    assert_eq!(clicks(&store.view()), left);
    pass_days(&written, &store, 31, &is_kept);
    assert_eq!((store.status().parts, store.status().bytes), (0, 0));
    // The position is not forgotten with the parts.
    let again = written.store(&disk, keep).expect("it opens");
    again.settle(&is_kept).expect("nothing to do");
    assert!(clicks(&again.view()).is_empty());
}

/// Returns the rows of these links.
fn rows_of(links: impl IntoIterator<Item = u128>) -> BTreeSet<LinkRow> {
    let row =
        |link: u128| link_row(WorkspaceNumber((link % 3).try_into().expect("small")), Id::from_bits(link));
    links.into_iter().map(row).collect()
}

fn without(all: &Clicks, links: &[u128]) -> Clicks {
    all.clone().into_iter().filter(|((link, ..), _)| !links.contains(link)).collect()
}

/// Parts of every level, and runs of today.
#[test]
fn the_cells_of_deleted_links_leave_all_parts() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(11));
    let store = written.store(&disk, KEEP).expect("it opens");
    assert!(write_days(&mut written, &store, &mut chance));
    written.pass(40 * 24 * HOUR);
    store.settle(&all_links()).expect("merged into months");
    assert!(write_days(&mut written, &store, &mut chance));
    written.tick(&mut chance);
    store.settle(&all_links()).expect("a run");
    let (parts, bytes) = (store.status().parts, store.status().bytes);
    assert!(parts > 3, "{parts}");
    store.forget(&rows_of([99])).expect("nothing to do");
    assert_eq!((store.status().bytes, clicks(&store.view())), (bytes, written.clicks.clone()));
    store.forget(&rows_of([1, 4])).expect("forgotten");
    let left = without(&written.clicks, &[1, 4]);
    assert!(left.len() < written.clicks.len() && !left.is_empty());
    assert_eq!(clicks(&store.view()), left);
    assert!(store.status().bytes < bytes);
    for part in &store.view().parts {
        part.check().expect("a whole part");
        part.for_each(PartList::Links, |row| {
            assert!(![1, 4].contains(&parse_link_row(row).expect("a row").1.bits()), "in a list");
        })
        .expect("a list");
    }
    // The log still has some of the ticks, and no start reads them again.
    let again = written.store(&disk, KEEP).expect("it opens");
    again.settle(&all_links()).expect("nothing to do");
    assert_eq!((clicks(&again.view()), names(&disk, ".unfinished")), (left, 0));
    // Parts without any cell are parts.
    again.forget(&rows_of(0..12)).expect("forgotten");
    assert!(clicks(&again.view()).is_empty());
    let before = written.clicks.clone();
    written.tick(&mut chance);
    let again = written.store(&disk, KEEP).expect("it opens");
    again.settle(&all_links()).expect("merged");
    let new: u64 = written.clicks.values().sum::<u64>() - before.values().sum::<u64>();
    assert_eq!(clicks(&again.view()).values().sum::<u64>(), new);
    written.pass(500 * 24 * HOUR);
    again.settle(&all_links()).expect("coarser");
    assert_eq!(clicks(&again.view()).values().sum::<u64>(), new);
}

/// Each sync is the last one once: a part has all cells of a link or none, and the next attempt removes the others.
#[test]
fn a_power_cut_while_links_are_forgotten_loses_no_other_click() {
    let (mut written, whole, mut chance) = (Written::new(), SimDisk::default(), Chance(13));
    let store = written.store(&whole, KEEP).expect("it opens");
    assert!(write_days(&mut written, &store, &mut chance));
    let (before, gone) = (whole.copy(), rows_of([2, 3]));
    let syncs = {
        let disk = before.copy();
        let store = written.store(&disk, KEEP).expect("it opens");
        let first = disk.syncs();
        store.forget(&gone).expect("forgotten");
        disk.syncs() - first
    };
    assert!(syncs >= 4, "{syncs}");
    let left = without(&written.clicks, &[2, 3]);
    for cut in 1..=syncs {
        let disk = before.copy();
        let store = written.store(&disk, KEEP).expect("it opens");
        disk.plan(Plan { cut_at_sync: Some(disk.syncs() + cut), ..Plan::default() });
        store.forget(&gone).expect_err("the power is off");
        let disk = disk.after_power_cut(&mut Chance(cut));
        let store = written.store(&disk, KEEP).expect("it opens");
        store.settle(&all_links()).expect("it catches up");
        assert_eq!(without(&clicks(&store.view()), &[2, 3]), left, "cut {cut}");
        store.forget(&gone).expect("forgotten");
        assert_eq!(clicks(&store.view()), left, "cut {cut}");
    }
}

fn names(disk: &SimDisk, end: &str) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(end)).count()
}

/// A log that is replaced by an older copy of itself does not have the clicks of later parts, whose details would
/// exceed the totals.
#[test]
fn parts_ahead_of_a_restored_log_are_left_out() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(11));
    let store = written.store(&disk, KEEP).expect("it opens");
    written.tick(&mut chance);
    store.settle(&all_links()).expect("written");
    let (copy, before) = (written.disk.copy(), written.clicks.clone());
    written.pass(HOUR);
    written.tick(&mut chance);
    store.settle(&all_links()).expect("written");
    assert_ne!(written.clicks, before);
    // The copy goes on with other clicks under the same positions.
    let mut restored = Written::on(copy);
    restored.clicks = before.clone();
    let store = restored.store(&disk, KEEP).expect("it opens");
    assert_eq!((clicks(&store.view()), names(&disk, ".replaced")), (before, 1));
    restored.tick(&mut chance);
    drop(store);
    let store = restored.store(&disk, KEEP).expect("it opens");
    store.settle(&all_links()).expect("it catches up");
    assert_eq!(clicks(&store.view()), restored.clicks);
}

/// The parts of another log count clicks of other links.
#[test]
fn parts_of_another_log_are_left_out() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(13));
    let store = written.store(&disk, KEEP).expect("it opens");
    written.tick(&mut chance);
    store.settle(&all_links()).expect("written");
    let mut other = Written::new();
    other.tick(&mut chance);
    let store = other.store(&disk, KEEP).expect("it opens");
    store.settle(&all_links()).expect("it catches up");
    assert_eq!((clicks(&store.view()), names(&disk, ".replaced")), (other.clicks, 1));
}

/// A later version has written a part, and an earlier one opens the folder: the part stays for the later one.
#[test]
fn a_part_of_a_later_version_stays() {
    let (mut written, disk, mut chance) = (Written::new(), SimDisk::default(), Chance(17));
    let store = written.store(&disk, KEEP).expect("it opens");
    written.tick(&mut chance);
    store.settle(&all_links()).expect("written");
    let (name, _) = disk.files().into_iter().find(|(name, _)| name.ends_with("part")).expect("a part");
    disk.damage(&name, |bytes| {
        bytes[4] = 3;
        let crc = crc32c::crc32c(&bytes[..48]).to_le_bytes();
        bytes[48..52].copy_from_slice(&crc);
    });
    let store = written.store(&disk, KEEP).expect("it opens");
    assert!(clicks(&store.view()).is_empty());
    assert_eq!((store.status().damaged, names(&disk, ".part")), (0, 1));
}

/// Returns the number of cells of a view, and of the clicks in them. A cell that is there twice changes both.
fn cells(view: &View) -> (u64, u64) {
    let mut sums = (0, 0);
    let mut add = |counts: CellCounts| sums = (sums.0 + 1, sums.1 + u64::from(counts.clicks));
    for part in &view.parts {
        let mut block = CellBlock::default();
        for at in 0..part.blocks() {
            part.block(at, CellFields::ALL, &mut block).expect("a block");
            (0..block.len()).for_each(|at| add(block.cell(at).counts));
        }
    }
    view.open.cells.iter().for_each(|cell| add(cell.counts));
    sums
}

/// While the disk rejects parts, memory is bounded and the log keeps the rest. Afterwards nothing is missing.
#[test]
fn a_full_disk_costs_neither_memory_nor_clicks() {
    // Not the size of the test's own cells: those of the store, past which it reads no further.
    const HELD: usize = 131_072;
    // More cells than that, by half.
    const TICKS: u32 = 16;
    const CELLS: u32 = 12_000;
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let has_room = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_room);
    let guard: HasRoom = Arc::new(move |_| asks.load(Ordering::Relaxed));
    let log = Arc::clone(&written.log);
    let store = ClickStore::open(Arc::new(disk.clone()), log, written.clock.clone(), KEEP, guard);
    let store = store.expect("it opens");
    store.start(all_links()).expect("threads");
    for round in 0..TICKS {
        // A compaction behind the store, which then has to read a snapshot within the same bound.
        if round == TICKS - 4 {
            written.local.compact().expect("compacted");
        }
        written.wide_tick(CELLS);
    }
    poll("memory is full", PATIENCE, || (store.status().open_cells >= HELD).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    let status = store.status();
    assert!(status.open_cells < HELD + CELLS as usize, "{status:?}");
    assert!(status.is_unwritten && status.failed_writes > 0 && status.behind > 0, "{status:?}");
    // Sorts all cells, so not at each Change.
    assert!(status.failed_writes < 10, "{status:?}");
    assert_eq!((status.parts, names(&disk, ".part")), (0, 0));
    // The keys of its ticks are in use.
    assert_eq!(store.durable(), Position::START);
    has_room.store(true, Ordering::Relaxed);
    poll("all is written", PATIENCE, || (store.status().behind == 0).then_some(()));
    assert!(!store.status().is_unwritten, "{:?}", store.status());
    let all = (u64::from(TICKS * CELLS), u64::from(TICKS * CELLS));
    assert_eq!(cells(&store.view()), all);
    written.log.close();
    store.stop();
    assert_eq!(cells(&written.store(&disk, KEEP).expect("it opens").view()), all);
}

/// A disk that rejects parts does not delay the end of the program.
#[test]
fn a_full_disk_does_not_delay_the_stop() {
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let log = Arc::clone(&written.log);
    let full: HasRoom = Arc::new(|_| false);
    let store = ClickStore::open(Arc::new(disk.clone()), log, written.clock.clone(), KEEP, full);
    let store = store.expect("it opens");
    for _ in 0..16 {
        written.wide_tick(12_000);
    }
    store.start(all_links()).expect("threads");
    written.log.close();
    let start = std::time::Instant::now();
    store.stop();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(names(&disk, ".part"), 0);
    let store = written.store(&disk, KEEP).expect("it opens");
    store.settle(&all_links()).expect("there is room");
    assert_eq!(cells(&store.view()), (16 * 12_000, 16 * 12_000));
}

/// The threads of a store that merges nothing end at once.
#[test]
fn a_stop_wakes_the_threads() {
    let (mut written, disk) = (Written::new(), SimDisk::default());
    let store = written.store(&disk, KEEP).expect("it opens");
    store.start(all_links()).expect("threads");
    written.tick(&mut Chance(19));
    written.log.close();
    let start = std::time::Instant::now();
    store.stop();
    // Far less than the minute for which the thread of merges waits.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(clicks(&store.view()), written.clicks);
}
