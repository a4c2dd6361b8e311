//! A table in memory that follows the contract between log and table, with a fingerprint computed
//! independently.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use waypost::log::{
    AppliedState, Change, Entry, Fingerprint, Follow, HistoryEntry, Log, LogError, Position, Record,
};

/// Key to revision and value.
pub(crate) type Records = BTreeMap<Bytes, (Position, Bytes)>;

#[derive(Debug, Default, Clone)]
struct State {
    log: Option<u128>,
    applied: Position,
    fingerprint: Fingerprint,
    history: BTreeMap<Position, HistoryEntry>,
    records: Records,
}

/// Applies Changes when a test calls for it.
#[derive(Debug, Default)]
pub(crate) struct MemoryTable {
    state: Mutex<State>,
}

impl MemoryTable {
    /// Returns a copy, as a restart would find it.
    pub(crate) fn copy(&self) -> MemoryTable {
        MemoryTable { state: Mutex::new(self.state.lock().clone()) }
    }

    pub(crate) fn records(&self) -> Records {
        self.state.lock().records.clone()
    }

    /// Loses a record without noticing it.
    pub(crate) fn forget(&self, key: &[u8]) {
        self.state.lock().records.remove(key);
    }

    /// Loses its history, like a table of a version that kept none.
    pub(crate) fn forget_history(&self) {
        self.state.lock().history.clear();
    }

    /// Applies everything that is durable.
    pub(crate) fn catch_up(&self, log: &dyn Log) -> Result<(), LogError> {
        if self.state.lock().log != Some(log.id()) {
            *self.state.lock() = State { log: Some(log.id()), ..State::default() };
        }
        loop {
            let from = self.state.lock().applied;
            match log.follow(from)? {
                Follow::Compacted { mut snapshot } => {
                    let position = snapshot.position();
                    let mut records = Records::new();
                    while let Some(Record { key, revision, value }) = snapshot.next()? {
                        records.insert(key, (revision, value));
                    }
                    let fingerprint = snapshot.fingerprint();
                    let log = Some(log.id());
                    let history = BTreeMap::new();
                    *self.state.lock() = State { log, applied: position, fingerprint, history, records };
                }
                Follow::Changes(mut follower) => loop {
                    match follower.next(Duration::ZERO) {
                        Ok(Some(change)) => self.apply(&change),
                        Ok(None) => return Ok(()),
                        Err(LogError::Compacted { .. }) => break,
                        Err(error) => return Err(error),
                    }
                },
            }
        }
    }

    fn apply(&self, change: &Change) {
        let mut state = self.state.lock();
        assert_eq!(change.position, state.applied.next(), "no gaps");
        for Entry { put, .. } in &change.entries {
            match &put.value {
                Some(value) => state.records.insert(put.key.clone(), (change.position, value.clone())),
                None => state.records.remove(&put.key),
            };
        }
        state.applied = change.position;
        state.history.insert(change.position, HistoryEntry::of(change));
        state.fingerprint = change.fingerprint;
    }
}

/// Computes the fingerprint of records from the start.
pub(crate) fn fingerprint_of(records: &Records) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    for (key, (revision, _)) in records.iter().filter(|(key, _)| key.first() != Some(&b'c')) {
        fingerprint.add(key, *revision);
    }
    fingerprint
}

impl AppliedState for MemoryTable {
    fn log_id(&self) -> Option<u128> {
        self.state.lock().log
    }

    fn applied(&self) -> Position {
        self.state.lock().applied
    }

    fn revision(&self, key: &[u8]) -> Result<Option<Position>, LogError> {
        Ok(self.state.lock().records.get(key).map(|(revision, _)| *revision))
    }

    fn is_intact(&self) -> bool {
        let state = self.state.lock();
        fingerprint_of(&state.records) == state.fingerprint
    }

    fn history(&self, position: Position) -> Option<HistoryEntry> {
        self.state.lock().history.get(&position).copied()
    }

    fn each_record(&self, each: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
        for (key, (revision, value)) in self.records() {
            each(Record { key, revision, value })?;
        }
        Ok(())
    }
}
