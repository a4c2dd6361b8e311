//! Scrubbing: reads every record in slices between Changes, checks its checksum and its index
//! entries, and compares the sum of all with the log's manifest. sled has been seen to lose the
//! later records of a damaged file in silence; this is what notices.
//!
//! It runs on the apply thread, so nothing changes under it: a Change applied during a pass
//! corrects the sum for the keys that the pass has already read.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::record::{Cell, Corrupt, LinkAt};
use super::store::{Store, StoreError};
use super::{Error, index, keys};
use crate::log::{CLICKS_PREFIX, Change, Manifest};

/// Longest that a Change waits for a slice. At half of the time spent so, a pass reads about
/// 100,000 records a second on a small machine.
const SLICE: Duration = Duration::from_millis(2);

/// Records between two looks at the clock.
const STRIDE: usize = 64;

/// One pass over all records.
pub(super) struct Pass {
    /// The first key not yet read; `None` when all are.
    cursor: Option<Bytes>,
    manifest: Manifest,
}

impl Pass {
    pub(super) fn new() -> Pass {
        Pass { cursor: Some(Bytes::from_static(&[0])), manifest: Manifest::default() }
    }

    /// Takes in a Change just applied.
    pub(super) fn follow(&mut self, change: &Change) {
        for entry in &change.entries {
            let read = self.cursor.as_ref().is_none_or(|cursor| entry.put.key < *cursor);
            if read {
                self.manifest.apply(entry, change.position);
            }
        }
    }

    /// Reads on for [`SLICE`]. True when all is read.
    pub(super) fn slice(&mut self, store: &Store) -> Result<bool, Error> {
        let Some(cursor) = self.cursor.clone() else { return Ok(true) };
        let end = Instant::now() + SLICE;
        for (row, pair) in store.from(&cursor).enumerate() {
            let (key, bytes) = pair.map_err(StoreError::from)?;
            if row > 0 && row % STRIDE == 0 && Instant::now() >= end {
                self.cursor = Some(Bytes::copy_from_slice(&key));
                return Ok(false);
            }
            self.check(store, &key, &bytes)?;
        }
        self.cursor = None;
        Ok(true)
    }

    fn check(&mut self, store: &Store, key: &[u8], bytes: &[u8]) -> Result<(), Error> {
        match key.first() {
            Some(kind) if keys::RECORD_KINDS.contains(kind) => {
                let cell = Cell::decode(key, bytes)?;
                if *kind != CLICKS_PREFIX {
                    self.manifest.add(key, cell.revision);
                }
                if let Some((domain, code)) = keys::parse_link(key) {
                    let link = LinkAt::decode(domain, code, cell.value)?;
                    for entry in index::entries(&link) {
                        if store.get(&entry)?.is_none() {
                            return Err(
                                Corrupt::new(format!("link {} is missing from an index", link.id)).into()
                            );
                        }
                    }
                }
            }
            Some(b'L' | b'G' | b'C') => {
                if store.get(&keys::of_place(bytes))?.is_none() {
                    return Err(Corrupt::new("an index entry leads to no link").into());
                }
            }
            Some(b'N') => {
                Cell::decode(key, bytes)?;
            }
            _ if key == keys::APPLIED => {}
            _ => return Err(Corrupt::new("there is a key of no known kind").into()),
        }
        Ok(())
    }

    /// Compares what was read with the log's manifest.
    pub(super) fn compare(&self, want: Manifest) -> Result<(), Error> {
        if self.manifest == want {
            return Ok(());
        }
        let (have, want) = (self.manifest.count, want.count);
        Err(Corrupt::new(format!("the table holds {have} records where the log has {want}, or others"))
            .into())
    }
}
