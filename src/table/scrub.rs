//! The scrub: reads every record in slices between Changes. It checks checksums and index entries, counts the
//! links of each workspace and domain, and compares the fingerprint of all records with the log's. sled was
//! seen to lose the later records of a damaged file silently: the scrub detects that.
//!
//! It runs on the apply thread, so no write is concurrent. A Change between two slices corrects the
//! fingerprint for the keys that the pass has read already.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::Error;
use super::found::decoded;
use super::index;
use super::keys::{self, Kind};
use super::record::{Cell, Corrupt, Number, Staged, Stored};
use super::staged::is_under_way;
use super::store::Store;
use crate::log::{Change, Fingerprint, Position};
use crate::model::audit::AuditEntry;
use crate::model::id::Id;
use crate::model::link::Link;

/// Longest time that a Change waits for a slice. Slices take half of the time, and a pass then reads about
/// 100,000 records per second on a small machine.
const SLICE: Duration = Duration::from_millis(2);

/// Records between two readings of the clock.
const STRIDE: usize = 64;

/// One pass over all records.
pub(super) struct Pass {
    /// The first unread key, `None` at the end.
    cursor: Option<Bytes>,
    fingerprint: Fingerprint,
    /// The applied position at the start. Counters that later Changes altered are not checked.
    began: Position,
    /// Visible links read so far, by the key of the counter of their workspace or domain. Every existing
    /// counter is included, with 0 if no link was read. Tags and campaigns are not counted: there may be
    /// millions.
    links: BTreeMap<Bytes, u64>,
    /// Whether the links of an import are hidden.
    hidden: HashMap<Id, bool>,
}

impl Pass {
    /// Creates a pass over a table that has applied the log up to `began`.
    pub(super) fn new(began: Position) -> Pass {
        Pass {
            // Sorts before every kind.
            cursor: Some(Bytes::from_static(&[0])),
            fingerprint: Fingerprint::default(),
            began,
            links: BTreeMap::new(),
            hidden: HashMap::new(),
        }
    }

    /// Corrects the fingerprint by a Change that was just applied.
    pub(super) fn follow(&mut self, change: &Change) {
        for entry in &change.entries {
            // Keys from the cursor on are read later, with their new revision.
            let read = self.cursor.as_ref().is_none_or(|cursor| entry.put.key < *cursor);
            if read {
                entry.update(&mut self.fingerprint, change.position);
            }
        }
    }

    /// Reads records for [`SLICE`]. Returns true at the end.
    pub(super) fn slice(&mut self, store: &Store) -> Result<bool, Error> {
        let Some(cursor) = self.cursor.clone() else { return Ok(true) };
        let end = Instant::now() + SLICE;
        for (row, pair) in store.from(&cursor).enumerate() {
            let (key, bytes) = pair?;
            // At least one stride per slice, so that every pass ends.
            if row > 0 && row % STRIDE == 0 && Instant::now() >= end {
                self.cursor = Some(Bytes::copy_from_slice(&key));
                return Ok(false);
            }
            self.check(store, &key, &bytes)?;
        }
        self.cursor = None;
        Ok(true)
    }

    /// Checks one pair.
    fn check(&mut self, store: &Store, key: &[u8], bytes: &[u8]) -> Result<(), Error> {
        match Kind::of(key) {
            Some(kind) if kind.is_record() => {
                let cell = Cell::decode(key, bytes)?;
                // The log's fingerprint leaves click totals out.
                if kind != Kind::Clicks {
                    self.fingerprint.add(key, cell.revision);
                }
                if let Some((domain, code)) = keys::parse_link(key) {
                    let Staged { link, import } = Staged::decode(domain, code, cell.value)?;
                    self.count(store, &link, import)?;
                    for alias in &link.aliases {
                        if store.get(&keys::alias(alias.domain, alias.code.as_str()))?.is_none() {
                            return Err(Corrupt::new(format!("link {} lacks an alias", link.id)).into());
                        }
                    }
                    for entry in index::entries(&link) {
                        if store.get(&entry)?.is_none() {
                            return Err(
                                Corrupt::new(format!("link {} is missing from an index", link.id)).into()
                            );
                        }
                    }
                } else if let Some((workspace, id)) = keys::parse_audit(key)
                    && let Some(link) = AuditEntry::decode(cell.value)?.subject.link_id()
                    && store.get(&keys::audit_of_link(workspace, link, id))?.is_none()
                {
                    return Err(
                        Corrupt::new(format!("entry {id} is missing from the history of its link")).into()
                    );
                }
            }
            Some(Kind::AuditOfLink) => {
                let listed =
                    keys::parse_audit_of_link(key).map(|(workspace, _, id)| keys::audit(workspace, id));
                if listed.map(|key| store.get(&key)).transpose()?.flatten().is_none() {
                    return Err(
                        Corrupt::new("the history of a link lists an entry that does not exist").into()
                    );
                }
            }
            Some(
                Kind::Listed
                | Kind::ListedByTag
                | Kind::ListedByCampaign
                | Kind::Fillable
                | Kind::Broken
                | Kind::ByDestination,
            ) => {
                // The reverse, a link without its entries, is found when the link is checked.
                if store.get(&keys::link_of_index(bytes))?.is_none() {
                    return Err(Corrupt::new("an index entry has no link").into());
                }
            }
            Some(Kind::LinkCount | Kind::DomainLinkCount) => {
                Cell::decode(key, bytes)?;
                // Included with 0, so that a counter without any link is corrected as well.
                self.links.entry(Bytes::copy_from_slice(key)).or_default();
            }
            Some(Kind::TagCount | Kind::CampaignCount | Kind::StagedCount | Kind::Checked) => {
                // Only the checksum: see `links`. A result of a check may be missing at any time.
                Cell::decode(key, bytes)?;
            }
            // A damaged chunk of the history counts as forgotten. The others have no checksum.
            Some(
                Kind::History
                | Kind::LinkOwner
                | Kind::CampaignOwner
                | Kind::SnapshotOfWorkspace
                | Kind::ShareOfWorkspace,
            ) => {}
            _ if key == keys::APPLIED || key == keys::INDEX_VERSION => {}
            _ => return Err(Corrupt::new("a key has an unknown kind").into()),
        }
        Ok(())
    }

    fn count(&mut self, store: &Store, link: &Link, import: Option<Id>) -> Result<(), Error> {
        let workspace = link.workspace;
        // Once for each import. If it ends during the pass, its counters are altered, and are not compared.
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

    /// Corrects the counters of workspaces and domains that no Change has altered since the pass began. Lists
    /// and bounds use them; links do not, so a wrong one is no reason for a rebuild.
    pub(super) fn mend_counts(&self, store: &Store) -> Result<(), Error> {
        for (key, links) in &self.links {
            let kept = decoded(store, key, Number::decode)?;
            let (revision, count) = kept.map_or((self.began, 0), |kept| (kept.revision, kept.record.0));
            if revision > self.began || count == *links {
                continue;
            }
            tracing::error!(?key, links, count, "a wrong number of links was corrected");
            let value = Number(*links).encode();
            // With its own revision: a Change that is applied again must still be skipped.
            let cell = Cell { revision, replaces: Position::START, value: &value };
            store.insert(key, cell.encode(key))?;
        }
        Ok(())
    }

    /// Fails if the fingerprint of the records is not the log's.
    pub(super) fn compare(&self, want: Fingerprint) -> Result<(), Error> {
        if self.fingerprint == want {
            return Ok(());
        }
        let (have, want) = (self.fingerprint.count, want.count);
        Err(Corrupt::new(format!("the table has {have} records and the log {want}, or the records differ"))
            .into())
    }
}
