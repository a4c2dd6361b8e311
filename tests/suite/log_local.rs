//! The engine that stores a log in files, on a simulated disk: random operations against a model, power
//! cuts at every sync, damage at many offsets, failing writes and syncs. `log_contract.rs` tests what any
//! engine promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use waypost::clock::{Clock, Timestamp};
use waypost::log::local::archive::Archive;
use waypost::log::local::disk::FsDisk;
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{LocalLog, Settings};
use waypost::log::{
    AppliedState, CommitError, Follow, Log, LogError, MAX_CHANGE_BYTES, Pending, Position, Precondition,
    Proposal, Put, Record,
};

use crate::support::sim_disk::{Chance, Plan, SimDisk};
use crate::support::table::{MemoryTable, Records, fingerprint_of};

/// Small segments, so that a short test rolls over often. No background work, which would race with the
/// test.
fn settings() -> Settings {
    Settings { segment_bytes: 4_000, compact_above: u64::MAX, scrub_rate: 0, accept_loss: false }
}

fn open_with(disk: &SimDisk, table: &Arc<MemoryTable>, settings: Settings) -> Result<LocalLog, LogError> {
    let clock = Clock::fixed(Timestamp::from_millis(1_700_000_000_000));
    let applied_state: Arc<dyn AppliedState> = Arc::clone(table) as Arc<dyn AppliedState>;
    LocalLog::open(Arc::new(disk.clone()), settings, clock, applied_state, Arc::new(DiskGuard::unlimited()))
}

fn open(disk: &SimDisk, table: &Arc<MemoryTable>) -> LocalLog {
    open_with(disk, table, settings()).expect("the log opens")
}

fn put(key: &str, value: &str) -> Put {
    Put { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

fn removal(key: &str) -> Put {
    Put { key: Bytes::copy_from_slice(key.as_bytes()), value: None }
}

fn proposal(puts: Vec<Put>) -> Proposal {
    Proposal { puts, ..Proposal::default() }
}

/// Reads the whole state through the log alone.
fn state(log: &dyn Log) -> Records {
    let table = MemoryTable::default();
    table.catch_up(log).expect("the log can be followed");
    assert_eq!(
        fingerprint_of(&table.records()),
        log.status().fingerprint,
        "the log's fingerprint is that of its records"
    );
    assert!(table.is_intact());
    table.records()
}

/// Returns the offset after the last frame of a log of one segment. Its file may be longer.
fn written(log: &LocalLog) -> usize {
    log.local_status().bytes.try_into().expect("small")
}

#[test]
fn commits_follows_and_reopens() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    for index in 0..200 {
        let text = format!("value {index} {}", "x".repeat(100));
        let position = log.commit(proposal(vec![put(&format!("l{index}"), &text)])).wait();
        assert_eq!(position, Ok(Position(index + 1)));
        if index % 10 == 0 {
            table.catch_up(&log).expect("follows");
        }
    }
    assert!(log.local_status().segments > 3, "{:?}", log.local_status());
    let before = state(&log);
    assert_eq!(before.len(), 200);
    table.catch_up(&log).expect("follows");
    log.close();
    assert!(matches!(log.commit(proposal(vec![put("l", "")])).wait(), Err(CommitError::Unavailable(_))));
    drop(log);
    let log = open(&disk, &table);
    assert_eq!(state(&log), before);
    log.compact().expect("compacts");
    assert_eq!(state(&log), before);
    assert_eq!(log.local_status().segments, 2);
}

/// The results of a workload.
#[derive(Clone, Debug, Default)]
struct Outcomes {
    /// Acknowledged writes, by position.
    acknowledged: Vec<(Position, Put)>,
    /// Writes that may or may not have survived.
    unknown: Vec<Put>,
}

impl Outcomes {
    fn commit(&mut self, log: &LocalLog, put: Put) -> Result<Position, CommitError> {
        let result = log.commit(proposal(vec![put.clone()])).wait();
        match &result {
            Ok(position) => self.acknowledged.push((*position, put)),
            Err(CommitError::Unknown) => self.unknown.push(put),
            Err(_) => {}
        }
        result
    }

    /// Commits several writes at once, most of them in one group. Returns `false` if a write was not
    /// acknowledged.
    fn burst(&mut self, disk: &SimDisk, log: &LocalLog, step: usize) -> bool {
        let puts: Vec<Put> =
            (0..7).map(|n| put(&format!("b{n}"), &format!("{step}{}", "w".repeat(400)))).collect();
        let commit = |put: &Put| log.commit(proposal(vec![put.clone()]));
        let pending: Vec<Pending> = disk.stall(|| puts.iter().map(commit).collect());
        let mut all = true;
        for (put, pending) in puts.into_iter().zip(pending) {
            match pending.wait() {
                Ok(position) => self.acknowledged.push((position, put)),
                // A write that is rejected for lack of space is rejected for certain.
                Err(CommitError::DiskFull) => all = false,
                Err(_) => {
                    self.unknown.push(put);
                    all = false;
                }
            }
        }
        all
    }

    /// Checks that every acknowledged write is there, and nothing that was never proposed.
    fn check(&self, records: &Records, row: &str) {
        let mut keys: Vec<&Bytes> = self.acknowledged.iter().map(|(_, put)| &put.key).collect();
        keys.extend(self.unknown.iter().map(|put| &put.key));
        keys.sort();
        keys.dedup();
        for key in records.keys() {
            assert!(keys.contains(&key), "{row}: {key:?} was never written");
        }
        for key in keys {
            let last = self.acknowledged.iter().rev().find(|(_, put)| put.key == *key);
            let there = records.get(key).map(|(_, value)| value);
            let wanted = last.and_then(|(_, put)| put.value.as_ref());
            let in_doubt = self.unknown.iter().any(|put| put.key == *key && put.value.as_ref() == there);
            assert!(there == wanted || in_doubt, "{row}: {key:?} is {there:?}, acknowledged was {wanted:?}");
        }
    }
}

/// Writes, overwrites and removes; rolls over, compacts, closes. Stops at the first failure of the disk.
fn workload(disk: &SimDisk, table: &Arc<MemoryTable>, outcomes: &mut Outcomes) -> Result<(), LogError> {
    for round in 0..2 {
        let log = open_with(disk, table, settings())?;
        for step in 0..40 {
            let key = format!("l{}", (step * 7 + round) % 23);
            let value = format!("{round}.{step}.{}", "v".repeat(step * 11));
            let write = if step % 9 == 8 { removal(&key) } else { put(&key, &value) };
            // A write that fails during a power cut may have survived, whatever its result is.
            if outcomes.commit(&log, write.clone()).is_err() {
                outcomes.unknown.push(write);
                return Ok(());
            }
            if step % 10 == 3 && !outcomes.burst(disk, &log, step) {
                return Ok(());
            }
            if step % 5 == 0 {
                table.catch_up(&log)?;
            }
            if step == 25 {
                log.compact()?;
            }
        }
        table.catch_up(&log)?;
        log.close();
    }
    Ok(())
}

#[test]
fn t94_a_power_cut_at_any_sync_loses_nothing_acknowledged() {
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Outcomes::default()).expect("nothing fails");
    let syncs = whole.syncs();
    assert!(syncs > 100, "{syncs}");
    for cut in 1..=syncs {
        let disk = SimDisk::default();
        disk.plan(Plan { cut_at_sync: Some(cut), ..Plan::default() });
        let table = Arc::new(MemoryTable::default());
        let mut outcomes = Outcomes::default();
        // The workload fails at the power cut.
        drop(workload(&disk, &table, &mut outcomes));
        // After a kill, the next process accepts what the page cache contains. From then on it must survive
        // a power cut.
        let killed = disk.copy();
        let seen = state(&open(&killed, &Arc::new(MemoryTable::default())));
        outcomes.check(&seen, &format!("killed at sync {cut}"));
        let later = killed.after_power_cut(&mut Chance(cut));
        assert_eq!(
            state(&open(&later, &Arc::new(MemoryTable::default()))),
            seen,
            "killed at sync {cut}, then cut"
        );
        for seed in 0..6 {
            let row = format!("cut at sync {cut}, seed {seed}");
            let disk = disk.after_power_cut(&mut Chance(cut * 1_000 + seed));
            // The table may have survived or be gone: the log needs neither.
            let table = if seed % 2 == 0 { Arc::new(table.copy()) } else { Arc::new(MemoryTable::default()) };
            let log = open_with(&disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(log.local_status().repaired, None, "{row}");
            outcomes.check(&state(&log), &row);
            table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(table.records(), state(&log), "{row}");
            log.commit(proposal(vec![put("after", "all")])).wait().unwrap_or_else(|e| panic!("{row}: {e}"));
        }
    }
}

#[test]
fn t95_any_failing_sync_is_answered_and_healed() {
    each_sync_fails(1);
}

#[test]
fn t95_any_failing_syncs_in_a_row_are_answered_and_healed() {
    each_sync_fails(3);
}

/// Runs the workload once for each of its syncs. `burst` syncs fail, beginning with that one.
fn each_sync_fails(burst: u64) {
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Outcomes::default()).expect("nothing fails");
    let run = |nth: u64| {
        let row = format!("{burst} failing from sync {nth}");
        let disk = SimDisk::default();
        let table = Arc::new(MemoryTable::default());
        let Ok(log) = open_with(&disk, &table, settings()) else { panic!("opens") };
        disk.plan(Plan {
            fail_syncs: (nth..nth + burst).map(|n| n + disk.syncs()).collect(),
            ..Plan::default()
        });
        check_failures(&disk, &table, log, &row);
    };
    // A log pauses after a failure, so that most of the time is spent waiting.
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth > whole.syncs() {
                        break;
                    }
                    run(nth);
                }
            });
        }
    });
}

#[test]
fn t95_any_write_to_a_full_disk_is_answered_and_healed() {
    each_write_fails(rustix::io::Errno::NOSPC);
}

#[test]
fn t95_any_failing_write_is_answered_and_healed() {
    each_write_fails(rustix::io::Errno::IO);
}

/// Runs the workload once for each of its writes, which fails with this error.
fn each_write_fails(error: rustix::io::Errno) {
    let error = error.raw_os_error();
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Outcomes::default()).expect("nothing fails");
    for nth in 1..=whole.writes() {
        let row = format!("write {nth} fails with {error}");
        let disk = SimDisk::default();
        let table = Arc::new(MemoryTable::default());
        let Ok(log) = open_with(&disk, &table, settings()) else { panic!("opens") };
        disk.plan(Plan { fail_write: Some((nth + disk.writes(), error)), ..Plan::default() });
        check_failures(&disk, &table, log, &row);
    }
}

/// Continues after failures. Checks that no result is `Ok` without its Change, that writes succeed again in
/// the end, and that a restart (after a kill, and after a power cut) finds the same records.
fn check_failures(disk: &SimDisk, table: &Arc<MemoryTable>, log: LocalLog, row: &str) {
    let mut outcomes = Outcomes::default();
    for step in 0..60 {
        let key = format!("l{}", step % 17);
        let value = format!("{step}.{}", "v".repeat(step * 9));
        let write = if step % 9 == 8 { removal(&key) } else { put(&key, &value) };
        drop(outcomes.commit(&log, write));
        if step % 10 == 3 {
            outcomes.burst(disk, &log, step);
        }
        if step % 4 == 0 {
            table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
        }
        if step == 30 {
            drop(log.compact());
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while outcomes.commit(&log, put("last", "word")).is_err() {
        assert!(std::time::Instant::now() < deadline, "{row}: writes never came back");
        std::thread::yield_now();
    }
    table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
    let records = state(&log);
    outcomes.check(&records, row);
    drop(log);
    for (case, disk) in [("killed", disk.copy()), ("power cut", disk.after_power_cut(&mut Chance(7)))] {
        let row = format!("{row}, {case}");
        let fresh = Arc::new(MemoryTable::default());
        let log = open_with(&disk, &fresh, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
        assert_eq!(state(&log), records, "{row}");
    }
    disk.plan(Plan::default());
    let log = open(disk, table);
    log.close();
    drop(log);
    assert_eq!(state(&open(disk, table)), records, "{row}, closed");
}

/// Returns a closed log of several segments, with a snapshot if `compacted`; its complete table; and an
/// earlier state of the table.
fn closed_log(compacted: bool) -> (SimDisk, Arc<MemoryTable>, MemoryTable) {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open_with(&disk, &table, Settings { segment_bytes: 6_000, ..settings() }).expect("opens");
    let mut stale = MemoryTable::default();
    for step in 0..90_usize {
        if step == 40 {
            stale = table.copy();
        }
        let write = match step % 9 {
            8 => removal(&format!("l{}", step % 23)),
            _ => put(&format!("l{}", step % 23), &format!("{step}.{}", "v".repeat(step * 4 % 300))),
        };
        log.commit(proposal(vec![write, put("cl1", &step.to_string())])).wait().expect("commits");
        table.catch_up(&log).expect("follows");
        if compacted && step == 50 {
            log.compact().expect("compacts");
        }
    }
    log.close();
    drop(log);
    (disk, table, stale)
}

/// A kind of damage, and its name.
type Harm = (String, Box<dyn Fn(&mut Vec<u8>)>);

/// Returns every kind of damage, at many offsets.
fn harms(length: usize) -> Vec<Harm> {
    let mut harms: Vec<Harm> = Vec::new();
    for offset in (0..length).step_by(37).chain([length - 1]) {
        let harm = move |bytes: &mut Vec<u8>| bytes[offset] ^= 0x10;
        harms.push((format!("a bit flipped at {offset}"), Box::new(harm)));
    }
    for size in (0..length).step_by(53).chain([length - 1]) {
        harms.push((format!("cut to {size}"), Box::new(move |bytes: &mut Vec<u8>| bytes.truncate(size))));
    }
    for offset in (0..length).step_by(512) {
        let harm = move |bytes: &mut Vec<u8>| {
            let end = bytes.len().min(offset + 4096);
            bytes[offset..end].fill(0);
        };
        harms.push((format!("zeros at {offset}"), Box::new(harm)));
    }
    harms
}

/// Damages every file of a closed log in every way, and loses it. Calls `check` with the damaged disk, the
/// intact table, the earlier state of the table, and a name of the damage.
fn each_damage(compacted: bool, check: impl Fn(&SimDisk, &MemoryTable, &MemoryTable, &str)) {
    let (whole, table, stale) = closed_log(compacted);
    for (name, length) in whole.files() {
        for (harm, apply) in harms(length) {
            let disk = whole.copy();
            disk.damage(&name, |bytes| apply(bytes));
            check(&disk, &table, &stale, &format!("{name}, {harm}"));
        }
        let disk = whole.copy();
        disk.lose(&name);
        check(&disk, &table, &stale, &format!("{name} lost"));
    }
}

fn repaired(disk: &SimDisk, table: &MemoryTable, _: &MemoryTable, row: &str) {
    check_with_table(disk, &table.copy(), &table.records(), row);
}

/// Without any file, nothing shows a loss: only a table that knows of a file can.
fn reported_without_a_table(disk: &SimDisk, table: &MemoryTable, _: &MemoryTable, row: &str) {
    if !row.ends_with("lost") {
        check_without_table(disk, &MemoryTable::default(), &table.records(), row);
    }
}

fn reported_with_a_stale_table(disk: &SimDisk, table: &MemoryTable, stale: &MemoryTable, row: &str) {
    check_without_table(disk, stale, &table.records(), row);
}

#[test]
fn damage_is_repaired_from_an_intact_table() {
    each_damage(false, repaired);
}

#[test]
fn damage_of_a_compacted_log_is_repaired_from_an_intact_table() {
    each_damage(true, repaired);
}

#[test]
fn damage_is_reported_without_a_table() {
    each_damage(false, reported_without_a_table);
}

#[test]
fn damage_is_reported_with_a_stale_table() {
    each_damage(false, reported_with_a_stale_table);
}

#[test]
fn damage_of_a_compacted_log_is_reported_without_a_table() {
    each_damage(true, reported_without_a_table);
}

#[test]
fn damage_of_a_compacted_log_is_reported_with_a_stale_table() {
    each_damage(true, reported_with_a_stale_table);
}

/// Checks that nothing is lost: at once, after scrubbing, and for a table that is rebuilt from the log.
fn check_with_table(disk: &SimDisk, table: &MemoryTable, records: &Records, row: &str) {
    let table = Arc::new(table.copy());
    let log = open_with(disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
    table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
    assert_eq!(&table.records(), records, "{row}");
    log.scrub();
    table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
    assert_eq!(&state(&log), records, "{row}");
    log.commit(proposal(vec![put("l1", "new")])).wait().unwrap_or_else(|e| panic!("{row}: {e}"));
    table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
    log.close();
    drop(log);
    assert_eq!(state(&open(disk, &table)), table.records(), "{row}");
}

#[test]
fn a_log_that_ends_before_its_table_is_damaged() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    let mut ends = Vec::new();
    for index in 0..9 {
        log.commit(proposal(vec![put(&format!("l{index}"), "v")])).wait().expect("commits");
        ends.push(written(&log));
    }
    table.catch_up(&log).expect("follows");
    drop(log);
    // Cut at the end of a frame, and within one. The log was never closed, so only the table shows the
    // loss.
    for size in [ends[5], ends[5] + 7] {
        let disk = disk.copy();
        disk.damage("000000000001.log", |bytes| bytes.truncate(size));
        let table = Arc::new(table.copy());
        let whole = open(&disk.copy(), &table);
        let repaired = whole.local_status().repaired.expect("a repair");
        assert_eq!(
            repaired,
            "the table has applied position 9, which the log does not reach. The table is intact at position \
             9: the log was rewritten from it, and its previous files are kept as *.replaced"
        );
        assert_eq!(state(&whole), table.records());
        table.forget(b"l3");
        let error = open_with(&disk, &table, settings()).expect_err("neither is whole");
        assert!(error.to_string().contains("Lost: positions 7 to 9"), "{error}");
    }
}

#[test]
fn damage_in_what_was_synced_is_no_torn_tail() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    let mut last_begins = 0;
    for index in 0..9 {
        last_begins = written(&log);
        log.commit(proposal(vec![put(&format!("l{index}"), "v")])).wait().expect("commits");
    }
    let end = written(&log);
    // Killed, not closed, and without a table: only the frames show the loss.
    drop(log);
    let (name, length) = disk.files()[0].clone();
    // Behind the frames is spare room, where a flipped bit loses nothing.
    for offset in (0..end).chain([end, end + 1, length - 1]) {
        let disk = disk.copy();
        disk.damage(&name, |bytes| bytes[offset] ^= 4);
        match open_with(&disk, &Arc::new(MemoryTable::default()), settings()) {
            Ok(log) if log.position() == Position(9) => {}
            Ok(_) => assert!(offset >= last_begins, "a flipped bit at {offset} lost records in silence"),
            Err(error) => assert!(matches!(error, LogError::Damaged(_)), "{error}"),
        }
    }
}

#[test]
fn t94_a_power_cut_during_a_repair_leaves_a_repair() {
    let (whole, table, _) = closed_log(true);
    let records = table.records();
    let names: Vec<String> = whole.files().into_iter().map(|(name, _)| name).collect();
    for name in names.iter().filter(|name| *name != "closed") {
        let damaged = whole.copy();
        damaged.damage(name, |bytes| {
            let half = bytes.len() / 2;
            bytes[..half].fill(0);
        });
        for cut in 1.. {
            let row = format!("{name}, cut at sync {cut}");
            let disk = damaged.copy();
            disk.plan(Plan { cut_at_sync: Some(cut), ..Plan::default() });
            let table = Arc::new(table.copy());
            let opened = open_with(&disk, &table, settings());
            let survived = opened.is_ok();
            drop(opened);
            for seed in 0..6 {
                let disk = disk.after_power_cut(&mut Chance(cut * 100 + seed));
                let log = open_with(&disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
                assert_eq!(state(&log), records, "{row}");
            }
            if survived {
                break;
            }
        }
    }
}

/// Returns the disk as after a kill, and after power cuts, at one change.
fn remains(disk: &SimDisk, cut: u64) -> Vec<SimDisk> {
    let cuts = (0..3).map(|seed| disk.after_power_cut(&mut Chance(cut * 100 + seed)));
    std::iter::once(disk.copy()).chain(cuts).collect()
}

/// A kill at any change of a compaction leaves the old log or the new one, complete.
#[test]
fn n09_a_compaction_that_was_killed_leaves_a_whole_log() {
    let (whole, table, _) = closed_log(false);
    let records = table.records();
    for cut in 1.. {
        let disk = whole.copy();
        let table = Arc::new(table.copy());
        let log = open(&disk, &table);
        let before = disk.changes();
        disk.plan(Plan { cut_at_change: Some(before + cut), ..Plan::default() });
        let survived = log.compact().is_ok();
        drop(log);
        for disk in remains(&disk, cut) {
            let row = format!("cut at change {cut}");
            let log = open_with(&disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(state(&log), records, "{row}");
            drop(log);
            let archive = Archive::read(disk.clone()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert!(archive.verify(&mut |_, _| {}).expect("reads").is_sound(), "{row}");
        }
        if survived {
            assert!(cut > 10, "{cut} changes");
            return;
        }
    }
}

/// After a kill at any change of a repair, the previous files are there, under one name or the other. The
/// next start finishes the repair.
#[test]
fn n33_a_repair_that_was_killed_removes_no_file() {
    let (whole, table, _) = closed_log(false);
    let records = table.records();
    let kept = |disk: &SimDisk| {
        let files = disk.files().into_iter();
        files.filter(|(name, _)| name.contains("00000000000") && !name.contains(".tmp")).count()
    };
    let damaged = whole.copy();
    damaged.damage("000000000002.log", |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
    });
    let before = kept(&damaged);
    for cut in 1.. {
        let disk = damaged.copy();
        disk.plan(Plan { cut_at_change: Some(cut), ..Plan::default() });
        let table = Arc::new(table.copy());
        let survived = open_with(&disk, &table, settings()).is_ok();
        for disk in remains(&disk, cut) {
            let row = format!("cut at change {cut}");
            let log = open_with(&disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(state(&log), records, "{row}");
            drop(log);
            let files = disk.files();
            let aside = files.iter().filter(|(name, _)| name.ends_with(".replaced")).count();
            // The snapshot and the segment after it are new.
            assert!(aside >= before - 1 && kept(&disk) > before, "{row}: {files:?}");
            assert!(!files.iter().any(|(name, _)| name == "repair"), "{row}: {files:?}");
        }
        if survived {
            assert!(cut > 10, "{cut} changes");
            return;
        }
    }
}

/// After a kill at any change of a backup, the copy is complete and has its mark, or is recognised as
/// incomplete.
#[test]
fn n30_a_copy_that_was_killed_has_no_closing_mark() {
    for compacted in [false, true] {
        let (whole, table, _) = closed_log(compacted);
        let archive = Archive::read(whole.clone()).expect("opens");
        let mut incomplete = 0;
        for cut in 1.. {
            let disk = SimDisk::default();
            disk.plan(Plan { cut_at_change: Some(cut), ..Plan::default() });
            let survived = archive.copy(&disk, &mut |_, _| {}).is_ok();
            for disk in remains(&disk, cut) {
                let row = format!("cut at change {cut}, compacted: {compacted}");
                let read = Archive::read(disk.clone()).and_then(|archive| archive.verify(&mut |_, _| {}));
                match read {
                    Ok(report) if report.is_sound() && report.is_complete() => {
                        let empty = Arc::new(MemoryTable::default());
                        assert_eq!(state(&open(&disk, &empty)), table.records(), "{row}");
                    }
                    _ => {
                        assert!(!survived, "{row}");
                        incomplete += 1;
                    }
                }
            }
            if survived {
                break;
            }
        }
        assert!(incomplete > 20, "{incomplete}");
    }
}

/// Two logs of one origin with different histories are recognised, however similar they are.
#[test]
fn n33_a_fork_is_refused_and_a_prefix_is_completed() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    let write = |log: &LocalLog, table: &MemoryTable, key: &str, value: &str| {
        log.commit(proposal(vec![put(key, value)])).wait().expect("commits");
        table.catch_up(log).expect("follows");
    };
    for step in 0..20 {
        write(&log, &table, &format!("l{}", step % 7), &step.to_string());
    }
    log.close();
    drop(log);
    let (old_disk, old_table) = (disk.copy(), table.copy());
    // The same keys at the same positions: only the values differ.
    let continued = |value: &str, steps: usize| {
        let (disk, table) = (old_disk.copy(), Arc::new(old_table.copy()));
        let log = open(&disk, &table);
        for step in 0..steps {
            write(&log, &table, &format!("l{}", step % 3), value);
        }
        log.close();
        drop(log);
        (disk, table)
    };
    let (ours, our_table) = continued("ours", 5);
    for steps in [1, 4, 5, 6, 40] {
        let (theirs, their_table) = continued("theirs", steps);
        for (disk, table) in [(&ours, &their_table), (&theirs, &our_table)] {
            let before = disk.files();
            let text = open_with(disk, table, settings()).expect_err("it is a fork").to_string();
            assert!(text.contains("different histories: they differ at position 21"), "{steps}: {text}");
            assert!(text.contains("mv ./table ./table.aside"), "{text}");
            assert_eq!(disk.files(), before, "nothing is changed");
            // Not even `accept_loss` decides between two histories.
            let accepting = Settings { accept_loss: true, ..settings() };
            open_with(disk, table, accepting).expect_err("it is a fork all the same");
        }
    }
    let (shorter, _) = continued("again", 3);
    // A table that is behind is replayed. A log that is behind is completed, and its files are kept.
    assert_eq!(state(&open(&ours, &Arc::new(old_table.copy()))), our_table.records());
    let log = open(&old_disk, &our_table);
    assert_eq!(state(&log), our_table.records());
    drop(log);
    let names: Vec<String> = old_disk.files().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"000000000001.log.replaced".to_owned()), "{names:?}");
    // A table without history of the log's positions cannot replace the log.
    our_table.forget_history();
    let text = open_with(&shorter, &our_table, settings()).expect_err("it may be a fork").to_string();
    assert!(text.contains("does not remember the history of the log"), "{text}");
}

#[test]
fn t98_files_that_hold_no_log_are_never_taken_for_an_empty_one() {
    type Content = fn(&mut Vec<u8>);
    let rows: [(&str, Content); 3] = [
        ("empty", |bytes| bytes.clear()),
        ("foreign", |bytes| *bytes = b"SQLite format 3\0".repeat(64)),
        ("zeros", |bytes| bytes.fill(0)),
    ];
    for (row, content) in rows {
        let disk = SimDisk::default();
        let table = Arc::new(MemoryTable::default());
        let log = open(&disk, &table);
        log.commit(proposal(vec![put("l1", "v")])).wait().expect("commits");
        drop(log);
        disk.damage("000000000001.log", content);
        let error = open_with(&disk, &table, settings()).expect_err(row).to_string();
        assert!(
            error.contains("log/000000000001.log") && error.contains("Restore a backup"),
            "{row}: {error}"
        );
    }
    // Only the mark is left of a closed log.
    let (disk, ..) = closed_log(true);
    for (name, _) in disk.files() {
        if name != "closed" {
            disk.lose(&name);
        }
    }
    let error = open_with(&disk, &Arc::new(MemoryTable::default()), settings()).expect_err("the log is gone");
    assert!(error.to_string().contains("the log was closed at position 90, which is missing"), "{error}");
}

#[test]
fn a_real_folder_holds_a_log_and_its_copy() {
    use std::os::unix::fs::PermissionsExt;

    let home = tempfile::tempdir().expect("a folder");
    let open = |name: &str, table: &Arc<MemoryTable>| {
        let disk = Arc::new(FsDisk::open(&home.path().join(name)).expect("opens"));
        let applied_state = Arc::clone(table) as Arc<dyn AppliedState>;
        let space = Arc::new(DiskGuard::open(home.path()).expect("the volume can be asked"));
        LocalLog::open(disk, settings(), Clock::system(), applied_state, space).expect("opens")
    };
    let table = Arc::new(MemoryTable::default());
    let log = open("log", &table);
    for step in 0..60 {
        let write = put(&format!("l{}", step % 23), &"v".repeat(step * 7));
        log.commit(proposal(vec![write])).wait().expect("commits");
        table.catch_up(&log).expect("follows");
    }
    log.compact().expect("compacts");
    log.commit(proposal(vec![put("l1", "after")])).wait().expect("commits");
    table.catch_up(&log).expect("follows");
    let archive = Archive::open(&home.path().join("log")).expect("opens");
    assert!(archive.verify(&mut |_, _| {}).expect("reads").is_sound());
    archive.copy_to(&home.path().join("copy"), &mut |_, _| {}).expect("copies");
    log.close();
    for name in ["log", "copy"] {
        for file in std::fs::read_dir(home.path().join(name)).expect("lists") {
            let mode = file.expect("a file").metadata().expect("has a mode").permissions().mode();
            assert_eq!(mode & 0o077, 0, "only its owner may read it");
        }
        let copy = Arc::new(MemoryTable::default());
        copy.catch_up(&open(name, &copy)).expect("follows");
        assert_eq!(copy.records(), table.records(), "{name}");
    }
}

/// Checks that nothing was lost or the start fails. With `accept_loss` the start continues with what is
/// readable.
fn check_without_table(disk: &SimDisk, table: &MemoryTable, records: &Records, row: &str) {
    let table = Arc::new(table.copy());
    let copy = disk.copy();
    match open_with(disk, &table, settings()) {
        Ok(log) => {
            table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(&table.records(), records, "{row}");
        }
        Err(LogError::Damaged(text)) => {
            assert!(text.contains("--accept-loss") && text.contains("Lost: "), "{row}: {text}");
            let accepting = Settings { accept_loss: true, ..settings() };
            let log = open_with(&copy, &table, accepting).unwrap_or_else(|e| panic!("{row}: {e}"));
            let left = state(&log);
            for (key, (revision, value)) in &left {
                // An older state of a record may return, but never a record that did not exist.
                let known = records.get(key).is_none_or(|(r, v)| revision < r || (r, v) == (revision, value));
                assert!(known, "{row}: {key:?}");
            }
            drop(log);
            assert_eq!(state(&open(&copy, &table)), left, "{row}: the damage is gone");
        }
        Err(error) => panic!("{row}: {error}"),
    }
}

#[test]
fn a_rejected_start_names_the_damage_and_the_commands() {
    let (disk, ..) = closed_log(false);
    let (name, length) = disk.files()[1].clone();
    assert_eq!(name, "000000000002.log");
    disk.damage(&name, |bytes| bytes[length / 2] ^= 1);
    let error = open_with(&disk, &Arc::new(MemoryTable::default()), settings()).expect_err("it is damaged");
    let text = error.to_string();
    assert_eq!(
        text,
        "the log is damaged: log/000000000002.log at byte 2979: position 59 cannot be read. Lost: position \
         59. Readable: positions 1 to 58, positions 60 to 90; there is no table of this log \
         to replace it. Restore a backup, or continue without what is lost: waypost serve --accept-loss"
    );
}

/// An operation on the log and the model.
#[derive(Clone, Debug)]
enum Op {
    Put(u8, u16),
    Remove(u8),
    /// A write with a precondition that fails, unless the revision is right by chance.
    Guess(u8, u64),
    Clicks(u8),
    Apply,
    Compact,
    Scrub,
    Reopen,
    Kill,
    PowerCut(u64),
    LoseTable,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..12_u8, 0..900_u16).prop_map(|(key, size)| Op::Put(key, size)),
        3 => (0..12_u8).prop_map(Op::Remove),
        2 => (0..12_u8, 0..40_u64).prop_map(|(key, revision)| Op::Guess(key, revision)),
        2 => (0..4_u8).prop_map(Op::Clicks),
        3 => Just(Op::Apply),
        1 => Just(Op::Compact),
        1 => Just(Op::Scrub),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
        1 => any::<u64>().prop_map(Op::PowerCut),
        1 => Just(Op::LoseTable),
    ];
    prop::collection::vec(op, 1..80)
}

/// The log, its table and their expected content.
struct Trial {
    disk: SimDisk,
    table: Arc<MemoryTable>,
    log: LocalLog,
    model: Records,
    last: u64,
}

impl Trial {
    fn write(&mut self, put: Put, preconditions: Vec<Precondition>) -> Result<Position, CommitError> {
        let result = self.log.commit(Proposal { preconditions, puts: vec![put.clone()], request: 7 }).wait();
        if let Ok(position) = result {
            self.last += 1;
            assert_eq!(position.0, self.last, "positions have no gaps");
            match put.value {
                Some(value) => self.model.insert(put.key, (position, value)),
                None => self.model.remove(&put.key),
            };
        }
        result
    }

    fn reopen(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.log = open(&self.disk, &self.table);
        self.table.catch_up(&self.log).expect("follows");
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Put(key, size) => {
                let value = "v".repeat(usize::from(size));
                self.write(put(&format!("l{key}"), &value), vec![]).expect("commits");
            }
            Op::Remove(key) => {
                self.write(removal(&format!("l{key}")), vec![]).expect("commits");
            }
            Op::Guess(key, revision) => {
                let key = Bytes::from(format!("l{key}"));
                let actual = self.model.get(&key).map(|(revision, _)| *revision);
                let guess = Some(Position(revision)).filter(|p| p.0 > 0);
                let preconditions = vec![Precondition { key: key.clone(), revision: guess }];
                let result =
                    self.write(Put { key: key.clone(), value: Some(Bytes::from("g")) }, preconditions);
                if guess == actual {
                    result.expect("commits");
                } else {
                    assert_eq!(result, Err(CommitError::Conflict { key, actual }));
                }
            }
            Op::Clicks(key) => {
                self.write(put(&format!("c{key}"), "1"), vec![]).expect("commits");
            }
            Op::Apply => self.table.catch_up(&self.log).expect("follows"),
            Op::Compact => self.log.compact().expect("compacts"),
            Op::Scrub => self.log.scrub(),
            Op::Reopen => {
                self.log.close();
                self.reopen(self.disk.copy());
            }
            Op::Kill => self.reopen(self.disk.copy()),
            Op::PowerCut(seed) => self.reopen(self.disk.after_power_cut(&mut Chance(seed))),
            Op::LoseTable => {
                self.table = Arc::new(MemoryTable::default());
                self.reopen(self.disk.copy());
            }
        }
        assert_eq!(state(&self.log), self.model);
        assert_eq!(self.log.position().0, self.last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn t107_agrees_with_a_map_whatever_happens(ops in ops()) {
        let disk = SimDisk::default();
        let table = Arc::new(MemoryTable::default());
        let log = open(&disk, &table);
        let mut trial = Trial { disk, table, log, model: Records::new(), last: 0 };
        for op in ops {
            trial.step(&op);
        }
    }
}

#[test]
fn a_follower_behind_a_compaction_fails_and_reads_the_snapshot() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    // More bytes than the tail keeps in memory, so the first Changes come from the disk.
    let value = "v".repeat(600_000);
    for index in 0..20 {
        log.commit(proposal(vec![put(&format!("l{index}"), &value)])).wait().expect("commits");
    }
    let Ok(Follow::Changes(mut slow)) = log.follow(Position::START) else { panic!("all is there") };
    let first = slow.next(Duration::ZERO).expect("reads").expect("is there");
    assert_eq!(first.position, Position(1));
    let Ok(Follow::Changes(mut quick)) = log.follow(Position(20)) else { panic!("at the end") };
    log.compact().expect("compacts");
    // The follower may finish the segment that it has open; then it fails.
    let mut last = first.position;
    let error = loop {
        match slow.next(Duration::ZERO) {
            Ok(change) => last = change.expect("the log goes on").position,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Compacted { position: Position(20) }), "{error} after {last}");
    let Ok(Follow::Compacted { mut snapshot }) = log.follow(last) else { panic!("compacted") };
    assert_eq!((snapshot.position(), snapshot.fingerprint().count), (Position(20), 20));
    let mut records = 0;
    while snapshot.next().expect("reads").is_some() {
        records += 1;
    }
    assert_eq!(records, 20);
    log.commit(proposal(vec![put("l1", "new")])).wait().expect("commits");
    let change = quick.next(Duration::from_mins(1)).expect("reads").expect("wakes");
    assert_eq!((change.position, change.entries[0].replaces), (Position(21), Some(Position(2))));
    assert!(quick.next(Duration::from_millis(1)).expect("reads").is_none());
    assert!(log.follow(Position(22)).is_err(), "beyond the end");
}

#[test]
fn a_full_disk_rejects_writes_until_it_has_space() {
    let disk = SimDisk::default();
    let table: Arc<dyn AppliedState> = Arc::new(MemoryTable::default());
    let space = Arc::new(DiskGuard::unlimited());
    let clock = Clock::system();
    let log = LocalLog::open(Arc::new(disk), settings(), clock, table, Arc::clone(&space)).expect("opens");
    log.commit(proposal(vec![put("l1", "")])).wait().expect("commits");
    space.set_low(true);
    assert_eq!(log.commit(proposal(vec![put("l2", "")])).wait(), Err(CommitError::DiskFull));
    assert!(log.local_status().disk_full);
    space.set_low(false);
    log.commit(proposal(vec![put("l2", "")])).wait().expect("heals");
    assert!(!log.local_status().disk_full);
}

#[test]
fn the_largest_record_fits_into_a_snapshot() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    for (key, size) in [("l2", 1), ("l1", MAX_CHANGE_BYTES - 64)] {
        log.commit(proposal(vec![put(key, &"v".repeat(size))])).wait().expect("commits");
    }
    log.compact().expect("compacts");
    assert_eq!(state(&log).len(), 2);
}

#[test]
fn a_table_that_lost_a_record_does_not_revive_its_old_value() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    log.commit(proposal(vec![put("l1", "old"), put("l2", "other")])).wait().expect("commits");
    table.catch_up(&log).expect("follows");
    table.forget(b"l1");
    assert!(!table.is_intact());
    // The table returns no revision for l1, so the log writes a wrong `replaces`.
    log.commit(proposal(vec![put("l1", "new")])).wait().expect("commits");
    log.compact().expect("compacts");
    log.commit(proposal(vec![put("l3", "after")])).wait().expect("commits");
    log.compact().expect("compacts");
    let records = state(&log);
    assert_eq!(records[&Bytes::from("l1")].1, Bytes::from("new"));
    assert_eq!(records.len(), 3);
}

#[test]
fn t106_an_archive_reads_verifies_and_copies_beside_a_running_log() {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open(&disk, &table);
    for step in 0..90_usize {
        let write = if step % 9 == 8 {
            removal(&format!("l{}", step % 23))
        } else {
            put(&format!("l{}", step % 23), &"v".repeat(step * 4))
        };
        log.commit(proposal(vec![write, put("c1", &step.to_string())])).wait().expect("commits");
        if step == 50 {
            log.compact().expect("compacts");
        }
        if step % 10 == 0 {
            check_archive(&disk, &log);
        }
    }
    // A reader may find half a frame at the end while a server writes.
    let (active, _) = disk.files().into_iter().rfind(|(name, _)| name.contains(".log")).expect("a segment");
    let sealed: usize = disk.files().iter().filter(|(name, _)| *name != active).map(|(_, size)| size).sum();
    let end = written(&log) - sealed;
    disk.damage(&active, |bytes| bytes[end..end + 6].copy_from_slice(&[0xF5, b'W', 0xFF, b'P', 1, 2]));
    let report = check_archive(&disk, &log);
    assert_eq!(report.torn, 6);
}

fn check_archive(disk: &SimDisk, log: &LocalLog) -> waypost::log::local::archive::VerifyReport {
    let archive = Archive::read(disk.clone()).expect("opens");
    let wanted = state(log);
    assert_eq!((archive.id(), archive.position()), (log.id(), log.position()));
    let mut records = Records::new();
    let each = &mut |record: Record| {
        let twice = records.insert(record.key, (record.revision, record.value));
        assert_eq!(twice, None);
        Ok(())
    };
    assert_eq!(archive.each_record(each).expect("reads"), log.status().fingerprint);
    assert_eq!(records, wanted);
    let mut progress = (0, 0);
    let report = archive.verify(&mut |done, total| progress = (done, total)).expect("reads");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.records, progress.0), (wanted.len() as u64, progress.1));
    let copy = SimDisk::default();
    archive.copy(&copy, &mut |_, _| {}).expect("copies");
    assert!(archive.copy(&copy, &mut |_, _| {}).is_err(), "never into a folder with something in it");
    let opened = open(&copy, &Arc::new(MemoryTable::default()));
    assert_eq!((state(&opened), opened.position(), opened.id()), (wanted, log.position(), log.id()));
    report
}

/// A write in the middle of a read looks like a gap: `export`, `verify` and `backup` beside a busy server
/// once reported damage that did not exist.
#[test]
fn an_archive_reads_again_what_was_just_being_written() {
    let (disk, table) = (SimDisk::default(), Arc::new(MemoryTable::default()));
    let log = open_with(&disk, &table, Settings { segment_bytes: 1 << 20, ..settings() }).expect("opens");
    for step in 0..30 {
        log.commit(proposal(vec![put("l1", &"v".repeat(step))])).wait().expect("commits");
    }
    let late = || disk.plan(Plan { late: Some(500..900), ..Plan::default() });
    late();
    let archive = Archive::read(disk.clone()).expect("opens");
    assert_eq!(archive.each_record(&mut |_| Ok(())).expect("whole"), log.status().fingerprint);
    late();
    let report = archive.verify(&mut |_, _| {}).expect("reads");
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn an_archive_reports_damage() {
    let (disk, ..) = closed_log(false);
    disk.damage("000000000002.log", |bytes| bytes[3_000] ^= 1);
    let archive =
        Archive::read(disk.clone()).expect("opens: sealed segments are trusted until they are read");
    let report = archive.verify(&mut |_, _| {}).expect("reads");
    assert!(!report.is_sound());
    assert_eq!(
        report.damage,
        [
            "log/000000000002.log at byte 2979: position 59 cannot be read",
            "log/000000000002.log: its content is not what was sealed"
        ]
    );
    assert!(archive.each_record(&mut |_| Ok(())).is_err());
    assert!(archive.copy(&SimDisk::default(), &mut |_, _| {}).is_err());
}
