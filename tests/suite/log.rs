//! The log's contract and what it survives: random operations against a model, power cuts at every
//! sync, damage at many offsets, failing writes and syncs.

use std::sync::Arc;

use bytes::Bytes;
use waypost::clock::{Clock, Timestamp};
use waypost::log::local::{LocalLog, Settings};
use waypost::log::space::Space;
use waypost::log::{CommitError, Expect, Follow, Log, LogError, Position, Proposal, Put, Witness};

use crate::support::sim_disk::{Chance, Plan, SimDisk};
use crate::support::table::{MemoryTable, Records, manifest_of};

/// Small segments, so that a short test rolls often; no background work that would race with it.
fn settings() -> Settings {
    Settings { segment_bytes: 4_000, compact_above: u64::MAX, scrub_rate: 0, accept_loss: false }
}

fn open_with(disk: &SimDisk, table: &Arc<MemoryTable>, settings: Settings) -> Result<LocalLog, LogError> {
    let clock = Clock::fixed(Timestamp::from_millis(1_700_000_000_000));
    let witness: Arc<dyn Witness> = Arc::clone(table) as Arc<dyn Witness>;
    LocalLog::open(Arc::new(disk.clone()), settings, clock, witness, Arc::new(Space::unlimited()))
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
        manifest_of(&table.records()),
        log.status().manifest,
        "the log's manifest is that of its records"
    );
    assert!(table.holds());
    table.records()
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
    assert!(log.status().segments > 3, "{:?}", log.status());
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
    assert_eq!(log.status().segments, 2);
}

/// What a workload did: each acknowledged write, and those whose outcome is not known.
#[derive(Clone, Debug, Default)]
struct Told {
    /// By position.
    acknowledged: Vec<(Position, Put)>,
    /// May or may not be there.
    unknown: Vec<Put>,
}

impl Told {
    fn commit(&mut self, log: &LocalLog, put: Put) -> Result<Position, CommitError> {
        let answer = log.commit(proposal(vec![put.clone()])).wait();
        match &answer {
            Ok(position) => self.acknowledged.push((*position, put)),
            Err(CommitError::Unknown) => self.unknown.push(put),
            Err(_) => {}
        }
        answer
    }

    /// Every acknowledged write is there, and nothing that nobody proposed.
    fn check(&self, records: &Records, row: &str) {
        let mut keys: Vec<&Bytes> = self.acknowledged.iter().map(|(_, put)| &put.key).collect();
        keys.extend(self.unknown.iter().map(|put| &put.key));
        keys.sort();
        keys.dedup();
        for key in records.keys() {
            assert!(keys.contains(&key), "{row}: {key:?} was never written");
        }
        for key in keys {
            let last = self.acknowledged.iter().rev().find(|(_, put)| &put.key == key);
            let there = records.get(key).map(|(_, value)| value);
            let wanted = last.and_then(|(_, put)| put.value.as_ref());
            let in_doubt = self.unknown.iter().any(|put| &put.key == key && put.value.as_ref() == there);
            assert!(there == wanted || in_doubt, "{row}: {key:?} is {there:?}, acknowledged was {wanted:?}");
        }
    }
}

/// Writes, overwrites and removes; rolls several segments, compacts, closes. Stops at the first
/// failure of the disk.
fn workload(disk: &SimDisk, table: &Arc<MemoryTable>, told: &mut Told) -> Result<(), LogError> {
    for round in 0..2 {
        let log = open_with(disk, table, settings())?;
        for step in 0..40 {
            let key = format!("l{}", (step * 7 + round) % 23);
            let value = format!("{round}.{step}.{}", "v".repeat(step * 11));
            let write = if step % 9 == 8 { removal(&key) } else { put(&key, &value) };
            // What fails while the power goes is in doubt whatever the answer says.
            if told.commit(&log, write.clone()).is_err() {
                told.unknown.push(write);
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
fn a_power_cut_at_any_sync_loses_nothing_acknowledged() {
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Told::default()).expect("nothing fails");
    let syncs = whole.syncs();
    assert!(syncs > 100, "{syncs}");
    for cut in 1..=syncs {
        let disk = SimDisk::default();
        disk.plan(Plan { cut_at_sync: Some(cut), ..Plan::default() });
        let table = Arc::new(MemoryTable::default());
        let mut told = Told::default();
        // Fails where the power went.
        drop(workload(&disk, &table, &mut told));
        for seed in 0..6 {
            let row = format!("cut at sync {cut}, seed {seed}");
            let disk = disk.after_power_cut(&mut Chance(cut * 1_000 + seed));
            // The table may have come through, or be gone: the log needs neither.
            let table = if seed % 2 == 0 { Arc::new(table.copy()) } else { Arc::new(MemoryTable::default()) };
            let log = open_with(&disk, &table, settings()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(log.status().repaired, None, "{row}");
            told.check(&state(&log), &row);
            table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(table.records(), state(&log), "{row}");
            log.commit(proposal(vec![put("after", "all")])).wait().unwrap_or_else(|e| panic!("{row}: {e}"));
        }
    }
}

#[test]
fn any_failing_sync_is_answered_and_healed() {
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Told::default()).expect("nothing fails");
    for nth in 1..=whole.syncs() {
        for burst in [1, 3] {
            let row = format!("{burst} failing from sync {nth}");
            let disk = SimDisk::default();
            let table = Arc::new(MemoryTable::default());
            let Ok(log) = open_with(&disk, &table, settings()) else { panic!("opens") };
            disk.plan(Plan {
                fail_syncs: (nth..nth + burst).map(|n| n + disk.syncs()).collect(),
                ..Plan::default()
            });
            check_failures(&disk, &table, log, &row);
        }
    }
}

#[test]
fn any_failing_write_is_answered_and_healed() {
    let full = rustix::io::Errno::NOSPC.raw_os_error();
    let broken = rustix::io::Errno::IO.raw_os_error();
    let whole = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    workload(&whole, &table, &mut Told::default()).expect("nothing fails");
    for nth in 1..=whole.writes() {
        for error in [full, broken] {
            let row = format!("write {nth} fails with {error}");
            let disk = SimDisk::default();
            let table = Arc::new(MemoryTable::default());
            let Ok(log) = open_with(&disk, &table, settings()) else { panic!("opens") };
            disk.plan(Plan { fail_write: Some((nth + disk.writes(), error)), ..Plan::default() });
            check_failures(&disk, &table, log, &row);
        }
    }
}

/// Works on over failures: no answer is `Ok` without its Change being there, writes go on in the
/// end, and a restart (with the old state of the disk, and after a power cut) agrees.
fn check_failures(disk: &SimDisk, table: &Arc<MemoryTable>, log: LocalLog, row: &str) {
    let mut told = Told::default();
    for step in 0..60 {
        let key = format!("l{}", step % 17);
        let value = format!("{step}.{}", "v".repeat(step * 9));
        let write = if step % 9 == 8 { removal(&key) } else { put(&key, &value) };
        drop(told.commit(&log, write));
        if step % 4 == 0 {
            table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
        }
        if step == 30 {
            drop(log.compact());
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while told.commit(&log, put("last", "word")).is_err() {
        assert!(std::time::Instant::now() < deadline, "{row}: writes never came back");
        std::thread::yield_now();
    }
    table.catch_up(&log).unwrap_or_else(|e| panic!("{row}: {e}"));
    let records = state(&log);
    told.check(&records, row);
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

/// A closed log of several segments, with a snapshot if `compacted`, and its whole table.
fn closed_log(compacted: bool) -> (SimDisk, Arc<MemoryTable>) {
    let disk = SimDisk::default();
    let table = Arc::new(MemoryTable::default());
    let log = open_with(&disk, &table, Settings { segment_bytes: 6_000, ..settings() }).expect("opens");
    for step in 0..90_usize {
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
    (disk, table)
}

/// Every way in which a file is harmed, at many offsets.
fn harms(length: usize) -> Vec<(String, Box<dyn Fn(&mut Vec<u8>)>)> {
    let mut harms: Vec<(String, Box<dyn Fn(&mut Vec<u8>)>)> = Vec::new();
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

#[test]
fn damage_is_repaired_from_a_whole_table_and_never_silent_without() {
    for compacted in [false, true] {
        let (whole, table) = closed_log(compacted);
        let records = table.records();
        for (name, length) in whole.files() {
            for (harm, apply) in harms(length) {
                let row = format!("{name}, {harm}, compacted: {compacted}");
                let disk = whole.copy();
                disk.damage(&name, |bytes| apply(bytes));
                check_with_table(&disk.copy(), &table.copy(), &records, &row);
                check_without_table(&disk, &records, &row);
            }
            let row = format!("{name} lost, compacted: {compacted}");
            let disk = whole.copy();
            disk.lose(&name);
            check_with_table(&disk.copy(), &table.copy(), &records, &row);
            check_without_table(&disk, &records, &row);
        }
    }
}

/// Nothing is lost: at once, after scrubbing, and for a table that is rebuilt from the log.
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

/// Either nothing was lost, or the start is refused; with `accept_loss` it goes on with what is
/// readable.
fn check_without_table(disk: &SimDisk, records: &Records, row: &str) {
    let nothing = Arc::new(MemoryTable::default());
    let copy = disk.copy();
    match open_with(disk, &nothing, settings()) {
        Ok(log) => assert_eq!(&state(&log), records, "{row}"),
        Err(LogError::Damaged(text)) => {
            assert!(text.contains("--accept-loss") && text.contains("Lost: "), "{row}: {text}");
            let accepting = Settings { accept_loss: true, ..settings() };
            let log = open_with(&copy, &nothing, accepting).unwrap_or_else(|e| panic!("{row}: {e}"));
            let left = state(&log);
            for (key, (revision, value)) in &left {
                // An older state of a record may come up, never one that was not there.
                let known = records.get(key).is_none_or(|(r, v)| revision < r || (r, v) == (revision, value));
                assert!(known, "{row}: {key:?}");
            }
            drop(log);
            assert_eq!(state(&open(&copy, &nothing)), left, "{row}: the damage is gone");
        }
        Err(error) => panic!("{row}: {error}"),
    }
}

#[test]
fn a_refused_start_says_what_where_and_what_to_do() {
    let (disk, _) = closed_log(false);
    let (name, length) = disk.files()[1].clone();
    assert_eq!(name, "000000000002.log");
    disk.damage(&name, |bytes| bytes[length / 2] ^= 1);
    let error = open_with(&disk, &Arc::new(MemoryTable::default()), settings()).expect_err("it is damaged");
    let text = error.to_string();
    assert_eq!(
        text,
        "the log is damaged: log/000000000002.log at byte 2967: position 59 cannot be read. Lost: position \
         59. Readable: positions 1 to 58, positions 60 to 90; there is no table of this log \
         to stand in for it. Restore a backup, or go on without what is lost: waypost serve --accept-loss"
    );
}
