//! [`AppliedState`] for the log: the table's positions, revisions and records.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::error::Error;
use super::found::decoded;
use super::handle::Table;
use super::history;
use super::keys::Kind;
use super::record::{Applied, Cell};
use super::store::Store;
use crate::log::{AppliedState, Fingerprint, HistoryEntry, LogError, Position, Record};

fn state_error(error: &Error) -> LogError {
    LogError::Table(error.to_string())
}

impl AppliedState for Table {
    fn log_id(&self) -> Option<u128> {
        self.0.mark.lock().map(|mark| mark.log)
    }

    fn applied(&self) -> Position {
        Position(self.0.applied.load(Ordering::Acquire))
    }

    fn revision(&self, key: &[u8]) -> Result<Option<Position>, LogError> {
        // Not decoded: a record of any kind has a revision. `read` fails until the table has caught up, since
        // a table that is behind has outdated revisions.
        let look = |store: &Store| Ok(decoded(store, key, |_| Ok(()))?.map(|found| found.revision));
        self.read(look).map_err(|error| state_error(&error))
    }

    fn is_intact(&self) -> bool {
        // Without `read`: the log calls this at its start, before the table is ready.
        let (store, mark) = (self.0.store.read().clone(), *self.0.mark.lock());
        let (Some(store), Some(mark)) = (store.as_ref(), mark) else { return false };
        match sum_records(store, &mark) {
            Ok(fingerprint) => fingerprint == mark.fingerprint,
            Err(error) => {
                tracing::warn!(%error, "the table is damaged");
                false
            }
        }
    }

    fn history(&self, position: Position) -> Option<HistoryEntry> {
        // As in `is_intact`.
        let store = self.0.store.read().clone();
        // An entry that cannot be read counts as forgotten.
        store.and_then(|store| history::at(&store, position).ok().flatten())
    }

    fn each_record(&self, each: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
        let store = self.0.store.read().clone();
        let Some(store) = store.as_ref() else { return Ok(()) };
        for kind in Kind::records() {
            for pair in store.prefix(&kind.prefix()) {
                let (key, bytes) = pair.map_err(|error| state_error(&error))?;
                let cell = Cell::decode(&key, &bytes).map_err(|error| state_error(&error.into()))?;
                each(Record {
                    key: Bytes::copy_from_slice(&key),
                    revision: cell.revision,
                    value: Bytes::copy_from_slice(cell.value),
                })?;
            }
        }
        Ok(())
    }
}

/// Returns the fingerprint of all records at the last written position.
fn sum_records(store: &Store, mark: &Applied) -> Result<Fingerprint, Error> {
    let mut fingerprint = Fingerprint::default();
    // The log's fingerprint leaves click totals out.
    for kind in Kind::records().filter(|kind| *kind != Kind::Clicks) {
        for pair in store.prefix(&kind.prefix()) {
            let (key, bytes) = pair?;
            let cell = Cell::decode(&key, &bytes)?;
            if cell.revision <= mark.position {
                fingerprint.add(&key, cell.revision);
            } else if cell.replaces != Position::START {
                // From a run of Changes that a crash interrupted before its position was written. At that
                // position, the state had the record that this one replaced.
                fingerprint.add(&key, cell.replaces);
            }
        }
    }
    Ok(fingerprint)
}
