//! The contract of a log, for any engine: what [`Log`] promises, without files. To test an engine,
//! implement [`Engine`] and add a line to [`with_each_engine`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use waypost::clock::Clock;
use waypost::log::local::disk::FsDisk;
use waypost::log::local::disk_guard::DiskGuard;
use waypost::log::local::{LocalLog, Settings};
use waypost::log::{
    AppliedState, CommitError, Follow, Log, MAX_CHANGE_BYTES, Pending, Position, Precondition, Proposal, Put,
};

use crate::support::sim_disk::SimDisk;
use crate::support::table::{MemoryTable, Records, fingerprint_of};

/// An engine under test.
trait Engine {
    /// Opens the log with the table that it reads revisions from. Also reopens it after [`Engine::crash`]
    /// or [`Log::close`].
    fn open(&mut self, table: &Arc<MemoryTable>) -> Arc<dyn Log>;

    /// Ends the log without a close.
    fn crash(&mut self, log: Arc<dyn Log>);
}

fn settings() -> Settings {
    // Small segments, so that a short test has several.
    Settings { segment_bytes: 4_000, compact_above: u64::MAX, scrub_rate: 0, accept_loss: false }
}

fn local(disk: Arc<dyn waypost::log::local::disk::Disk>, table: &Arc<MemoryTable>) -> Arc<dyn Log> {
    let applied_state = Arc::clone(table) as Arc<dyn AppliedState>;
    let space = Arc::new(DiskGuard::unlimited());
    Arc::new(LocalLog::open(disk, settings(), Clock::system(), applied_state, space).expect("it opens"))
}

/// The log in files, on a disk in memory.
#[derive(Default)]
struct Simulated(SimDisk);

impl Engine for Simulated {
    fn open(&mut self, table: &Arc<MemoryTable>) -> Arc<dyn Log> {
        local(Arc::new(self.0.clone()), table)
    }

    fn crash(&mut self, log: Arc<dyn Log>) {
        // The copy has the state of the disk now. What the log writes when it is dropped is lost.
        self.0 = self.0.copy();
        drop(log);
    }
}

/// The log in files, in a real folder.
struct Folder(TempDir);

impl Engine for Folder {
    fn open(&mut self, table: &Arc<MemoryTable>) -> Arc<dyn Log> {
        local(Arc::new(FsDisk::open(self.0.path()).expect("the folder opens")), table)
    }

    fn crash(&mut self, log: Arc<dyn Log>) {
        drop(log);
    }
}

/// Opens the log and applies it to the table: before that, the log accepts no proposals.
fn start(engine: &mut dyn Engine, table: &Arc<MemoryTable>) -> Arc<dyn Log> {
    let log = engine.open(table);
    table.catch_up(&*log).expect("follows");
    log
}

/// Calls `check` with each engine and its name.
fn with_each_engine(check: impl Fn(&mut dyn Engine, &str)) {
    check(&mut Simulated::default(), "simulated disk");
    check(&mut Folder(tempfile::tempdir().expect("a temporary folder")), "folder");
}

fn put(key: &str, value: &str) -> Put {
    Put { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

fn proposal(puts: Vec<Put>) -> Proposal {
    Proposal { puts, ..Proposal::default() }
}

/// Reads the whole state through the log alone. Checks that the fingerprint matches the records.
fn state(log: &dyn Log) -> Records {
    let table = MemoryTable::default();
    table.catch_up(log).expect("the log can be followed");
    assert_eq!(fingerprint_of(&table.records()), log.status().fingerprint);
    table.records()
}

#[test]
fn positions_are_dense_and_last_over_a_close_and_a_crash() {
    with_each_engine(|engine, row| {
        let table = Arc::new(MemoryTable::default());
        let mut last = 0;
        let mut id = None;
        for round in 0..4 {
            let log = start(engine, &table);
            assert_eq!(*id.get_or_insert(log.id()), log.id(), "{row}: it stays the same log");
            assert_eq!(log.position(), Position(last), "{row}: all that was acknowledged is there");
            for n in 0..40 {
                last += 1;
                let value = format!("{round} {}", "v".repeat(90));
                let committed = log.commit(proposal(vec![put(&format!("l{n}"), &value)])).wait();
                assert_eq!(committed, Ok(Position(last)), "{row}");
            }
            let before = state(&*log);
            assert_eq!(before.len(), 40, "{row}");
            assert!(log.status().problems.is_empty(), "{row}: {:?}", log.status());
            if round % 2 == 0 {
                log.close();
                let rejected = log.commit(proposal(vec![put("l", "")])).wait();
                assert!(matches!(rejected, Err(CommitError::Unavailable(_))), "{row}: {rejected:?}");
                drop(log);
            } else {
                engine.crash(log);
            }
            let log = start(engine, &table);
            assert_eq!(state(&*log), before, "{row}");
            engine.crash(log);
        }
    });
}

#[test]
fn a_follower_gets_each_change_once_and_in_order() {
    with_each_engine(|engine, row| {
        let log = start(engine, &Arc::new(MemoryTable::default()));
        for n in 1..=30_u64 {
            log.commit(proposal(vec![put("l1", &n.to_string())])).wait().expect("commits");
        }
        for from in [0, 1, 17, 30] {
            let Ok(Follow::Changes(mut follower)) = log.follow(Position(from)) else {
                panic!("{row}: nothing was compacted");
            };
            for n in from + 1..=30 {
                let change = follower.next(Duration::from_mins(1)).expect("reads").expect("is there");
                assert_eq!(change.position, Position(n), "{row} from {from}");
            }
            assert!(follower.next(Duration::ZERO).expect("reads").is_none(), "{row} from {from}");
        }
        let Ok(Follow::Changes(mut follower)) = log.follow(Position(30)) else { panic!("{row}: at the end") };
        log.commit(proposal(vec![put("l1", "new")])).wait().expect("commits");
        let change = follower.next(Duration::from_mins(1)).expect("reads").expect("wakes");
        assert_eq!(
            (change.position, change.entries[0].replaces),
            (Position(31), Some(Position(30))),
            "{row}"
        );
        assert!(log.follow(Position(32)).is_err(), "{row}: beyond the end");
    });
}

#[test]
fn a_failed_precondition_rejects_its_whole_proposal() {
    with_each_engine(|engine, row| {
        let table = Arc::new(MemoryTable::default());
        let log = start(engine, &table);
        let key = Bytes::from("l1");
        let create = |value: &str| Proposal {
            preconditions: vec![Precondition { key: key.clone(), revision: None }],
            ..proposal(vec![put("l1", value), put("l2", value)])
        };
        // Queued at once, so the log decides before the table has applied any of them.
        let results = [log.commit(create("a")), log.commit(create("b"))].map(Pending::wait);
        let conflict = Err(CommitError::Conflict { key: key.clone(), actual: Some(Position(1)) });
        assert_eq!(results, [Ok(Position(1)), conflict.clone()], "{row}");
        table.catch_up(&*log).expect("follows");
        assert_eq!(log.commit(create("c")).wait(), conflict, "{row}: the table has it");
        engine.crash(log);
        let log = start(engine, &table);
        assert_eq!(log.commit(create("d")).wait(), conflict, "{row}: after a crash");
        let values: Vec<Bytes> = state(&*log).into_values().map(|(_, value)| value).collect();
        assert_eq!(values, ["a", "a"], "{row}");
    });
}

#[test]
fn writers_of_one_key_conflict_before_the_table_has_applied() {
    with_each_engine(|engine, row| {
        let table = Arc::new(MemoryTable::default());
        let log = start(engine, &table);
        let key = Bytes::from("l1");
        let create = |value: &str| Proposal {
            preconditions: vec![Precondition { key: key.clone(), revision: None }],
            ..proposal(vec![put("l1", value)])
        };
        // Queued at once and decided in order, most likely in one group; nothing is applied.
        let results =
            [log.commit(create("a")), log.commit(create("b")), log.commit(create("c"))].map(Pending::wait);
        let conflict = Err(CommitError::Conflict { key: key.clone(), actual: Some(Position(1)) });
        assert_eq!(results, [Ok(Position(1)), conflict.clone(), conflict], "{row}");
        let mut edit = proposal(vec![Put { key: key.clone(), value: None }]);
        edit.preconditions = vec![Precondition { key: key.clone(), revision: Some(Position(1)) }];
        assert_eq!(log.commit(edit.clone()).wait(), Ok(Position(2)), "{row}");
        let removed = Err(CommitError::Conflict { key: key.clone(), actual: None });
        assert_eq!(log.commit(edit).wait(), removed, "{row}");
        assert_eq!(log.commit(create("d")).wait(), Ok(Position(3)), "{row}");
        table.catch_up(&*log).expect("follows");
        assert_eq!(log.commit(create("e")).wait().ok(), None, "{row}");
        assert_eq!(log.status().fingerprint.count, 1, "{row}");
    });
}

#[test]
fn a_change_beyond_the_limit_is_rejected_alone() {
    with_each_engine(|engine, row| {
        let log = start(engine, &Arc::new(MemoryTable::default()));
        let big = log.commit(proposal(vec![put("l1", &"v".repeat(MAX_CHANGE_BYTES))]));
        let small = log.commit(proposal(vec![put("l2", "v")]));
        let rejected = big.wait();
        let is_too_large =
            matches!(rejected, Err(CommitError::TooLarge { bytes }) if bytes > MAX_CHANGE_BYTES);
        assert!(is_too_large, "{row}: {rejected:?}");
        assert_eq!(small.wait(), Ok(Position(1)), "{row}");
        let fits = log.commit(proposal(vec![put("l1", &"v".repeat(MAX_CHANGE_BYTES - 64))]));
        assert_eq!(fits.wait(), Ok(Position(2)), "{row}");
        assert_eq!(state(&*log).len(), 2, "{row}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_a_map(ops in prop::collection::vec((0..8_u8, 0..6_u8), 1..40)) {
        with_each_engine(|engine, row| {
            let table = Arc::new(MemoryTable::default());
            let (mut model, mut last) = (Records::new(), 0);
            let mut log = start(engine, &table);
            for (key, kind) in &ops {
                let key = Bytes::from(format!("l{key}"));
                match kind {
                    0 => {
                        engine.crash(log);
                        log = start(engine, &table);
                    }
                    1 => table.catch_up(&*log).expect("follows"),
                    kind => {
                        let value = (*kind > 2).then(|| Bytes::from("v".repeat(usize::from(*kind) * 100)));
                        let put = Put { key: key.clone(), value: value.clone() };
                        last += 1;
                        let position = log.commit(proposal(vec![put])).wait();
                        assert_eq!(position, Ok(Position(last)), "{row}");
                        match value {
                            Some(value) => model.insert(key, (Position(last), value)),
                            None => model.remove(&key),
                        };
                    }
                }
                assert_eq!(state(&*log), model, "{row}");
            }
            log.close();
        });
    }
}
