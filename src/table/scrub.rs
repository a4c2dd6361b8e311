//! Scrubbing: reads every record in slices between Changes, checks its checksum and its index
//! entries, counts the links of each workspace, and compares the sum of all with the log's fingerprint. sled has been seen to lose the
//! later records of a damaged file in silence; this is what notices.
//!
//! It runs on the apply thread, so nothing changes under it: a Change applied during a pass
//! corrects the sum for the keys that the pass has already read.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::keys::{self, Kind};
use super::record::{Cell, Corrupt, Number, Staged, Stored};
use super::staged::is_under_way;
use super::store::Store;
use super::{Error, decoded, index};
use crate::log::{Change, Fingerprint, Position};
use crate::model::id::Id;
use crate::model::link::Link;

/// Longest that a Change waits for a slice. At half of the time spent so, a pass reads about
/// 100,000 records a second on a small machine.
const SLICE: Duration = Duration::from_millis(2);

/// Records between two looks at the clock.
const STRIDE: usize = 64;

/// One pass over all records.
pub(super) struct Pass {
    /// The first key not yet read; `None` when all are.
    cursor: Option<Bytes>,
    fingerprint: Fingerprint,
    /// What was applied when it began: counts of later Changes are not judged.
    began: Position,
    /// Visible links read so far, by the counter of their workspace or domain; the counters that there are
    /// are among them. Those of tags and campaigns, of which there may be millions, are not counted again.
    links: BTreeMap<Bytes, u64>,
    /// Whether an import hides its links, by import.
    hidden: HashMap<Id, bool>,
}

impl Pass {
    /// A pass over a table that has applied everything up to here.
    pub(super) fn new(began: Position) -> Pass {
        Pass {
            cursor: Some(Bytes::from_static(&[0])),
            fingerprint: Fingerprint::default(),
            began,
            links: BTreeMap::new(),
            hidden: HashMap::new(),
        }
    }

    /// Takes in a Change just applied.
    pub(super) fn follow(&mut self, change: &Change) {
        for entry in &change.entries {
            let read = self.cursor.as_ref().is_none_or(|cursor| entry.put.key < *cursor);
            if read {
                entry.update(&mut self.fingerprint, change.position);
            }
        }
    }

    /// Reads on for [`SLICE`]. True when all is read.
    pub(super) fn slice(&mut self, store: &Store) -> Result<bool, Error> {
        let Some(cursor) = self.cursor.clone() else { return Ok(true) };
        let end = Instant::now() + SLICE;
        for (row, pair) in store.from(&cursor).enumerate() {
            let (key, bytes) = pair?;
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
        match Kind::of(key) {
            Some(kind) if kind.is_record() => {
                let cell = Cell::decode(key, bytes)?;
                if kind != Kind::Clicks {
                    self.fingerprint.add(key, cell.revision);
                }
                if let Some((domain, code)) = keys::parse_link(key) {
                    let Staged { link, import } = Staged::decode(domain, code, cell.value)?;
                    self.count(store, &link, import)?;
                    for entry in index::entries(&link) {
                        if store.get(&entry)?.is_none() {
                            return Err(
                                Corrupt::new(format!("link {} is missing from an index", link.id)).into()
                            );
                        }
                    }
                }
            }
            Some(Kind::Listed | Kind::ListedByTag | Kind::ListedByCampaign | Kind::Fillable) => {
                if store.get(&keys::link_of_index(bytes))?.is_none() {
                    return Err(Corrupt::new("an index entry leads to no link").into());
                }
            }
            Some(Kind::LinkCount | Kind::DomainLinkCount) => {
                Cell::decode(key, bytes)?;
                self.links.entry(Bytes::copy_from_slice(key)).or_default();
            }
            Some(Kind::TagCount | Kind::CampaignCount | Kind::StagedCount) => {
                Cell::decode(key, bytes)?;
            }
            Some(Kind::History | Kind::LinkOwner | Kind::CampaignOwner | Kind::SnapshotOfWorkspace) => {}
            _ if key == keys::APPLIED || key == keys::INDEX_VERSION => {}
            _ => return Err(Corrupt::new("there is a key of no known kind").into()),
        }
        Ok(())
    }

    fn count(&mut self, store: &Store, link: &Link, import: Option<Id>) -> Result<(), Error> {
        let workspace = link.workspace;
        let hidden = match import {
            None => false,
            Some(import) => match self.hidden.entry(import) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(is_under_way(store, workspace, import)?),
            },
        };
        for counter in [keys::link_count(workspace), keys::domain_link_count(link.domain)] {
            *self.links.entry(counter).or_default() += u64::from(!hidden);
        }
        Ok(())
    }

    /// Puts right what the table says of how many links workspaces and domains have, where it can be judged: no
    /// Change has altered it since the pass began. Lists and bounds rely on it; links do not, so a
    /// wrong one is no reason to build the table anew.
    pub(super) fn mend_counts(&self, store: &Store) -> Result<(), Error> {
        for (key, links) in &self.links {
            let kept = decoded(store, key, Number::decode)?;
            let (revision, count) = kept.map_or((self.began, 0), |kept| (kept.revision, kept.record.0));
            if revision > self.began || count == *links {
                continue;
            }
            tracing::error!(?key, links, count, "a wrong number of links was put right");
            let value = Number(*links).encode();
            let cell = Cell { revision, replaces: Position::START, value: &value };
            store.insert(key, cell.encode(key))?;
        }
        Ok(())
    }

    /// Compares what was read with the log's fingerprint.
    pub(super) fn compare(&self, want: Fingerprint) -> Result<(), Error> {
        if self.fingerprint == want {
            return Ok(());
        }
        let (have, want) = (self.fingerprint.count, want.count);
        Err(Corrupt::new(format!("the table holds {have} records where the log has {want}, or others"))
            .into())
    }
}
