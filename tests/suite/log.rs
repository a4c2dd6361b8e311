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
