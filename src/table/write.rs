//! The writes of Changes to sled, and their order.
//!
//! 1. The position is written last. sled recovers a prefix of its writes, so after a crash the position never
//!    covers a missing record. Applying a Change again completes one that was written in part.
//! 2. Changes that only add records are written in runs, with one write of each counter and one position at
//!    the end. Pairs are sorted by key, since neighbours share a leaf: those of a Change, or of all Changes in a
//!    row that only create links.
//! 3. Hidden links of an import are counted apart, in the counters of the import. The Change that completes
//!    the import adds them to the real counters, and removes the mark ([`super::staged`]) last: visible links
//!    are counted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::error::Error;
use super::found::{Found, decoded};
use super::history;
use super::index;
use super::keys::{self, Kind};
use super::leaf::Edit;
use super::notes;
use super::record::{Applied, Cell, Number, ShareRecord, Staged, Stored};
use super::staged::{is_under_way, read};
use super::store::Store;
use super::totals::Totals;
use crate::log::{self, Change, HistoryEntry, Position};
use crate::model::audit::AuditEntry;
use crate::model::id::Id;
use crate::model::short_code::ShortCode;
use crate::model::snapshot::{Import, ImportStatus, Snapshot};
use crate::model::workspace::WorkspaceNumber;

/// Changes that are being written, and whose position is not.
pub(super) struct Run<'a> {
    store: &'a Store,
    log: u128,
    /// The last written position.
    marked: Position,
    /// The position to write at the end.
    end: Option<Applied>,
    /// The history of the run.
    history: Vec<(Position, HistoryEntry)>,
    counts: Counts,
    totals: Totals,
    /// Pairs of applied Changes that are not written yet. Nothing of the run reads them before.
    added: Added,
    /// The links whose records were removed, or replaced by those of another link, since the last
    /// [`Run::take_gone`].
    gone: Vec<(WorkspaceNumber, Id)>,
    /// Waits until sled may write. Returns false if the table stops first.
    may_go_on: &'a dyn Fn() -> bool,
}

impl<'a> Run<'a> {
    /// Creates a run behind the written position `marked`.
    pub(super) fn new(
        store: &'a Store,
        log: u128,
        marked: Position,
        may_go_on: &'a dyn Fn() -> bool,
    ) -> Run<'a> {
        Run {
            store,
            log,
            marked,
            end: None,
            history: Vec::new(),
            counts: Counts::default(),
            totals: Totals::default(),
            added: Added::default(),
            gone: Vec::new(),
            may_go_on,
        }
    }

    /// Applies one Change.
    ///
    /// 1. Each step leaves a state that a second application completes.
    /// 2. If the Change removes or moves links, counters are written before records: the counters of an old
    ///    link are known only while its record exists.
    /// 3. Removals are last, next to the position: see `applied_state::sum_records`.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), Error> {
        if only_creates_links(change) {
            return self.hold_back(change);
        }
        // Readers find the records of earlier Changes before those of this one.
        self.write_added(false)?;
        let (kept, removed): (Vec<_>, Vec<_>) =
            change.entries.iter().partition(|entry| entry.put.value.is_some());
        let (store, position) = (self.store, change.position);
        // Before any write: the old links are read from the table.
        let moves = moves(store, &kept)?;
        let rewrites = kept.iter().any(|entry| entry.replaces.is_some_and(|old| old > self.marked));
        // A run may hold back writes only if it writes each record once, and no removal reads what it holds
        // back.
        if rewrites || !removed.is_empty() || !moves.is_empty() {
            self.finish()?;
        }
        if !moves.is_empty() {
            for (counter, by) in moves {
                self.counts.add(store, &counter, position, by)?;
            }
            // All that this Change counts must be written together: a counter has one position.
            for entry in &kept {
                self.counts.created(store, entry, position)?;
            }
            self.counts.write(store, position)?;
        }
        for entry in kept {
            // The newest total of each link is written at the end of the run. Details of clicks are not in the table.
            if keys::is_of_log_only(&entry.put.key) || self.totals.take(entry, position) {
                continue;
            }
            self.counts.created(store, entry, position)?;
            // A new record can be sorted and written with others. `write` compares with the replaced record.
            if entry.replaces.is_none() {
                self.added.take(entry, position)?;
            } else {
                self.gone.extend(write(store, entry, position)?);
            }
        }
        // Written before the counters of the run. A crash in between applies both again, and a counter skips
        // only positions that it has.
        // The entries of a renamed link must not lead readers to a record that does not exist yet.
        let records_first = !removed.is_empty();
        self.write_added(records_first)?;
        for entry in &removed {
            self.counts.removed(store, entry, position)?;
        }
        let ended = self.counts.end_imports(store, change)?;
        self.ends_with(change);
        // The run continues: the next Change may share its counters and its position.
        if removed.is_empty() {
            return Ok(());
        }
        self.counts.write(store, position)?;
        // After the counters that include them, which a crash in between leaves with this position.
        for key in ended {
            store.remove(&key)?;
        }
        for entry in removed {
            self.gone.extend(write(store, entry, position)?);
        }
        self.finish()
    }

    /// Removes and returns the links whose records are gone.
    pub(super) fn take_gone(&mut self) -> Vec<(WorkspaceNumber, Id)> {
        std::mem::take(&mut self.gone)
    }

    /// Applies a Change that only creates links. Its pairs are written later, with those of the next Changes: a
    /// burst of creates then writes the leaf at the end of a list once, and not once for each link.
    fn hold_back(&mut self, change: &Change) -> Result<(), Error> {
        for entry in &change.entries {
            self.counts.created(self.store, entry, change.position)?;
            self.added.take(entry, change.position)?;
        }
        self.ends_with(change);
        if self.added.len() < HELD_BACK { Ok(()) } else { self.write_added(false) }
    }

    /// Returns whether readers do not find all records of the applied Changes yet.
    pub(super) fn holds_back(&self) -> bool {
        self.added.len() > 0
    }

    /// Notes a Change as the last one of the run.
    fn ends_with(&mut self, change: &Change) {
        self.history.push((change.position, HistoryEntry::of(change)));
        self.end =
            Some(Applied { log: self.log, position: change.position, fingerprint: change.fingerprint });
    }

    /// Writes the pairs of [`Run::added`]: derived pairs first, or records first.
    fn write_added(&mut self, records_first: bool) -> Result<(), Error> {
        let mut parts = self.added.sorted();
        if records_first {
            parts.reverse();
        }
        parts.iter().try_for_each(|edits| self.write(edits))
    }

    /// Returns whether the waiting click totals must be written before more Changes are applied.
    pub(super) fn is_full(&mut self) -> bool {
        self.totals.are_many()
    }

    /// Writes pairs, with a check of the disk before each part, so that the disk's reserve suffices for a
    /// part.
    fn write(&self, edits: &[Edit]) -> Result<(), Error> {
        for part in edits.chunks(CHECK_EVERY) {
            if !(self.may_go_on)() {
                return Err(Error::NotReady("the table stops, and the disk is full".to_owned()));
            }
            self.store.write(part)?;
        }
        Ok(())
    }

    /// Ends the run: writes the waiting click totals, the counters, and the position.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let Some(end) = self.end.take() else { return Ok(()) };
        // Before the counters, which then have links that readers find.
        self.write_added(false)?;
        while let Some(edits) = self.totals.take_some() {
            self.write(&edits)?;
        }
        // With the position of the end: each counter then has all Changes of the run.
        self.counts.write(self.store, end.position)?;
        // Before the position: the history may be ahead of it, never behind.
        history::append(self.store, &self.history)?;
        self.history.clear();
        self.marked = end.position;
        write_mark(self.store, &end)
    }
}

/// Links whose pairs are held back at most: some 2 MB.
const HELD_BACK: usize = 4_096;

/// Returns whether a Change only creates links. Those of an import are hidden by a mark, which is no link and is
/// written before them.
fn only_creates_links(change: &Change) -> bool {
    change.entries.iter().all(|entry| {
        entry.replaces.is_none() && entry.put.value.is_some() && Kind::of(&entry.put.key) == Some(Kind::Link)
    })
}

/// Returns the link that an entry replaces or removes.
fn replaced_link(store: &Store, entry: &log::Entry) -> Result<Option<Staged>, Error> {
    // Saves a look-up for each link that is created.
    if entry.replaces.is_none() {
        return Ok(None);
    }
    Ok(read(store, &entry.put.key)?.map(|(_, staged)| staged))
}

/// Writes the applied position.
pub(super) fn write_mark(store: &Store, mark: &Applied) -> Result<(), Error> {
    let cell = Cell { revision: mark.position, replaces: Position::START, value: &mark.encode() };
    store.insert(keys::APPLIED, cell.encode(keys::APPLIED))
}

/// Writes the version of the derived entries.
pub(super) fn write_index_version(store: &Store) -> Result<(), Error> {
    let value = Number(index::VERSION).encode();
    let cell = Cell { revision: Position::START, replaces: Position::START, value: &value };
    store.insert(keys::INDEX_VERSION, cell.encode(keys::INDEX_VERSION))
}

/// Returns the changes of counters by links that `kept` replaces, if the new link is counted elsewhere.
fn moves(store: &Store, kept: &[&log::Entry]) -> Result<BTreeMap<Bytes, i64>, Error> {
    let mut moves = BTreeMap::new();
    for entry in kept {
        let (Some(old), Some(value)) = (replaced_link(store, entry)?, &entry.put.value) else { continue };
        let Some((domain, code)) = keys::parse_link(&entry.put.key) else { continue };
        let new = counters(store, &Staged::decode(domain, code, value)?)?;
        let old = counters(store, &old)?;
        // Only the differences: a counter of both links does not change.
        for counter in old.difference(&new) {
            *moves.entry(counter.clone()).or_default() -= 1;
        }
        for counter in new.difference(&old) {
            *moves.entry(counter.clone()).or_default() += 1;
        }
    }
    Ok(moves)
}

/// Returns the counters of a link: those of its import while the import hides it.
fn counters(store: &Store, staged: &Staged) -> Result<BTreeSet<Bytes>, Error> {
    let counters = index::counters(&staged.link);
    let workspace = staged.link.workspace;
    match staged.import {
        Some(import) if is_under_way(store, workspace, import)? => {
            let apart = |counter: Bytes| keys::staged_count(workspace, import, &counter);
            Ok(counters.into_iter().map(apart).collect())
        }
        _ => Ok(counters),
    }
}

/// Pairs written between two checks of the disk: half a megabyte in sled, if each has its own leaf.
const CHECK_EVERY: usize = 128;

/// New records and their derived pairs, before they are written.
#[derive(Default)]
pub(super) struct Added {
    derived: Vec<Edit>,
    records: Vec<Edit>,
}

impl Added {
    /// Adds the record of an entry and its derived pairs.
    pub(super) fn take(&mut self, entry: &log::Entry, revision: Position) -> Result<(), Error> {
        let (key, Some(value)) = (&entry.put.key, &entry.put.value) else { return Ok(()) };
        let derived = &mut self.derived;
        let mut derive = |key, value| derived.push(Edit { key, value: Some(value) });
        if let Some((domain, code)) = keys::parse_link(key) {
            let Staged { link, .. } = Staged::decode(domain, code, value)?;
            let listed = keys::index_value(domain, &link.code);
            for index in index::entries(&link) {
                derive(index, listed.clone());
            }
            derive(keys::owner_of(link.id), link.workspace.0.to_be_bytes().to_vec());
        } else if let Some((key, value)) = derived_of(key, value)? {
            derive(key, value);
        }
        // New records replace nothing: all other entries are written by [`write`].
        let cell = Cell { revision, replaces: Position::START, value };
        self.records.push(Edit { key: key.clone(), value: Some(cell.encode(key)) });
        Ok(())
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Removes and returns the derived pairs, unsorted.
    pub(super) fn derived(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.derived)
    }

    /// Removes and returns all pairs in the order of writing: derived pairs, then records. An index entry may
    /// precede its link, since readers check for that.
    pub(super) fn sorted(&mut self) -> [Vec<Edit>; 2] {
        [&mut self.derived, &mut self.records].map(|edits| {
            let mut edits = std::mem::take(edits);
            // Of pairs with one key, the last is kept.
            edits.reverse();
            edits.sort_by(|a, b| a.key.cmp(&b.key));
            edits.dedup_by(|a, b| a.key == b.key);
            edits
        })
    }
}

/// Writes an entry that replaces or removes a record. Returns the link whose record is gone.
fn write(
    store: &Store,
    entry: &log::Entry,
    revision: Position,
) -> Result<Option<(WorkspaceNumber, Id)>, Error> {
    let key = &entry.put.key;
    let mut gone = None;
    if let Some((domain, code)) = keys::parse_link(key) {
        let old = replaced_link(store, entry)?;
        let mut stale: Vec<_> = old.iter().flat_map(|old| index::entries(&old.link)).collect();
        let place = keys::index_value(domain, &ShortCode::from_stored(code));
        gone = old.as_ref().map(|old| (old.link.workspace, old.link.id));
        if let Some(value) = &entry.put.value {
            let Staged { link, .. } = Staged::decode(domain, code, value)?;
            gone = gone.filter(|gone| *gone != (link.workspace, link.id));
            for index in index::entries(&link) {
                // An entry that stays is not removed and written again: a reader in between would miss the
                // link.
                stale.retain(|old| *old != index);
                store.insert(&index, place.clone())?;
            }
            old.as_ref().map_or(Ok(()), |old| notes::keep_if_same(store, &old.link, Some(&link)))?;
            // The record may be of another link now: its id gets an owner, and the old id loses its own.
            if old.as_ref().is_none_or(|old| old.link.id != link.id) {
                store.insert(&keys::owner_of(link.id), link.workspace.0.to_be_bytes().to_vec())?;
                old.map_or(Ok(()), |old| index::disown(store, &old.link))?;
            }
        } else if let Some(Staged { link, .. }) = &old {
            notes::keep_if_same(store, link, None)?;
            index::disown(store, link)?;
        }
        // Before the record is replaced: after a crash, the old record still names these entries.
        for index in stale {
            // The entry of a renamed link has its new place already.
            if store.get(&index)?.is_some_and(|at| *at == *place) {
                store.remove(&index)?;
            }
        }
    } else {
        write_index(store, entry)?;
    }
    match &entry.put.value {
        Some(value) => {
            let cell = Cell { revision, replaces: entry.replaces.unwrap_or(Position::START), value };
            store.insert(key, cell.encode(key))?;
        }
        None => store.remove(key)?,
    }
    Ok(gone)
}

/// Returns the derived pair of a record other than a link.
fn derived_of(key: &[u8], value: &[u8]) -> Result<Option<(Bytes, Vec<u8>)>, Error> {
    if let Some((workspace, id)) = keys::parse_tombstone(key) {
        return Ok(Some((keys::owner_of(id), workspace.0.to_be_bytes().to_vec())));
    }
    if let Some((workspace, id)) = keys::parse_campaign(key) {
        return Ok(Some((keys::campaign_owner(&id, workspace), Vec::new())));
    }
    if Kind::of(key) == Some(Kind::Snapshot) {
        let Snapshot { workspace, id, .. } = Snapshot::decode(value)?;
        return Ok(Some((keys::snapshot_of_workspace(workspace, &id), Vec::new())));
    }
    if Kind::of(key) == Some(Kind::Share)
        && let ShareRecord::Clicks(share) = ShareRecord::decode(value)?
    {
        return Ok(Some((keys::share_of_workspace(share.workspace, share.id), Vec::new())));
    }
    if let Some((workspace, id)) = keys::parse_audit(key) {
        // Only entries about links have a list of their own.
        let link = AuditEntry::decode(value)?.subject.link_id();
        return Ok(link.map(|link| (keys::audit_of_link(workspace, link, id), Vec::new())));
    }
    Ok(None)
}

/// Writes or removes the derived pair of a record other than a link.
fn write_index(store: &Store, entry: &log::Entry) -> Result<(), Error> {
    let key = &entry.put.key;
    if let Some(value) = &entry.put.value {
        let derived = derived_of(key, value)?;
        return derived.map_or(Ok(()), |(key, value)| store.insert(&key, value));
    }
    if let Some((workspace, id)) = keys::parse_tombstone(key) {
        // An import may have restored the link of this id.
        if store.get(&keys::listed(workspace, id))?.is_none() {
            store.remove(&keys::owner_of(id))?;
        }
    } else if let Some((workspace, id)) = keys::parse_campaign(key) {
        store.remove(&keys::campaign_owner(&id, workspace))?;
    } else if Kind::of(key) == Some(Kind::Snapshot)
        && let Some(old) = decoded(store, key, Snapshot::decode)?
    {
        store.remove(&keys::snapshot_of_workspace(old.record.workspace, &old.record.id))?;
    } else if Kind::of(key) == Some(Kind::Share)
        && let Some(Found { record: ShareRecord::Clicks(old), .. }) =
            decoded(store, key, ShareRecord::decode)?
    {
        store.remove(&keys::share_of_workspace(old.workspace, old.id))?;
    } else if let Some((workspace, id)) = keys::parse_audit(key)
        && let Some(link) =
            decoded(store, key, AuditEntry::decode)?.and_then(|old| old.record.subject.link_id())
    {
        store.remove(&keys::audit_of_link(workspace, link, id))?;
    }
    Ok(())
}

/// Changes of counters. A counter is stored with the position that it is valid for, so that a Change that is
/// applied again, in any run, is not counted twice.
#[derive(Default)]
pub(super) struct Counts {
    counters: BTreeMap<Bytes, Count>,
    /// Whether records come from a snapshot of the log, in the order of their keys: links before the marks of
    /// their imports.
    is_log_snapshot: bool,
    /// Counts of imported links in a snapshot of the log, until the marks of their imports are read.
    imported: BTreeMap<(WorkspaceNumber, Id), BTreeMap<Bytes, i64>>,
}

/// The stored value of a counter with its position, and the change to add.
struct Count {
    revision: Position,
    stored: u64,
    more: i64,
    /// Whether a Change is counted that the stored value lacks.
    is_behind: bool,
}

impl Counts {
    /// Creates the counters for the records of a snapshot of the log.
    pub(super) fn of_log_snapshot() -> Counts {
        Counts { is_log_snapshot: true, ..Counts::default() }
    }

    /// Adds the change by the Change at `position`, unless the stored value includes it.
    fn add(&mut self, store: &Store, counter: &Bytes, position: Position, by: i64) -> Result<(), Error> {
        let count = match self.counters.entry(counter.clone()) {
            Entry::Occupied(count) => count.into_mut(),
            Entry::Vacant(vacant) => {
                let old = decoded(store, counter, Number::decode)?;
                let (revision, stored) = old.map_or((Position::START, 0), |old| (old.revision, old.record.0));
                vacant.insert(Count { revision, stored, more: 0, is_behind: false })
            }
        };
        // A counter of this position or a later one has this Change, which is applied again after a crash.
        if count.revision < position {
            count.more += by;
            count.is_behind = true;
        }
        Ok(())
    }

    /// Counts a record that an entry creates.
    pub(super) fn created(
        &mut self,
        store: &Store,
        entry: &log::Entry,
        position: Position,
    ) -> Result<(), Error> {
        let (None, Some(value)) = (entry.replaces, &entry.put.value) else { return Ok(()) };
        let key = &entry.put.key;
        if let Some((domain, code)) = keys::parse_link(key) {
            let staged = Staged::decode(domain, code, value)?;
            // The mark, which decides whether the link is hidden, comes later in the snapshot.
            if let (true, Some(import)) = (self.is_log_snapshot, staged.import) {
                let counts = self.imported.entry((staged.link.workspace, import)).or_default();
                for counter in index::counters(&staged.link) {
                    *counts.entry(counter).or_default() += 1;
                }
                return Ok(());
            }
            for counter in counters(store, &staged)? {
                self.add(store, &counter, position, 1)?;
            }
        } else if let Some(counter) = counter_of_record(key) {
            self.add(store, &counter, position, 1)?;
        }
        Ok(())
    }

    /// Counts a record that an entry removes.
    fn removed(&mut self, store: &Store, entry: &log::Entry, position: Position) -> Result<(), Error> {
        if let Some(old) = replaced_link(store, entry)? {
            for counter in counters(store, &old)? {
                self.add(store, &counter, position, -1)?;
            }
        } else if let Some(counter) = counter_of_record(&entry.put.key).filter(|_| entry.replaces.is_some()) {
            // Only of a record that exists: other removals change no count.
            self.add(store, &counter, position, -1)?;
        }
        Ok(())
    }

    /// Adds the counts of the imports that a Change completes. Returns the keys of the separate counters of
    /// all imports that it ends: the caller removes them after the counters are written.
    fn end_imports(&mut self, store: &Store, change: &Change) -> Result<Vec<Bytes>, Error> {
        let mut ended = Vec::new();
        let marks = change.entries.iter().filter(|entry| entry.put.value.is_none());
        for (workspace, id) in marks.filter_map(|entry| keys::parse_staging(&entry.put.key)) {
            let is_completed = completes(change, id)?;
            for pair in store.prefix(&keys::staged_count(workspace, id, &[])) {
                let (key, bytes) = pair?;
                let count = Number::decode(Cell::decode(&key, &bytes)?.value)?;
                // The links of a failed import never become visible, so they are not counted.
                if let Some(counter) = keys::parse_staged_count(&key).filter(|_| is_completed) {
                    let counter = Bytes::copy_from_slice(counter);
                    self.add(store, &counter, change.position, i64::try_from(count.0).unwrap_or(i64::MAX))?;
                }
                ended.push(Bytes::copy_from_slice(&key));
            }
        }
        Ok(ended)
    }

    /// Counts the imported links of a snapshot of the log at `position`, after all its records were written.
    pub(super) fn add_imported(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for ((workspace, import), counts) in std::mem::take(&mut self.imported) {
            let is_hidden = is_under_way(store, workspace, import)?;
            for (counter, by) in counts {
                let apart = || keys::staged_count(workspace, import, &counter);
                let counter = if is_hidden { apart() } else { counter.clone() };
                self.add(store, &counter, position, by)?;
            }
        }
        Ok(())
    }

    /// Writes the counters as valid for `position`, and clears them.
    pub(super) fn write(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for (key, count) in std::mem::take(&mut self.counters) {
            // All its Changes were applied before: the counter keeps its position. A counter that a renamed link
            // leaves unchanged is written: after a crash, the old record may be gone, and only the new one counted.
            if !count.is_behind {
                continue;
            }
            // A wrong counter ends at 0 instead of wrapping.
            let value = Number(count.stored.saturating_add_signed(count.more)).encode();
            let cell = Cell { revision: position, replaces: Position::START, value: &value };
            store.insert(&key, cell.encode(&key))?;
        }
        Ok(())
    }
}

/// Returns the counter of a tag's or campaign's record.
fn counter_of_record(key: &[u8]) -> Option<Bytes> {
    let tags = keys::parse_tag(key).map(keys::tag_count);
    tags.or_else(|| keys::parse_campaign(key).map(|(workspace, _)| keys::campaign_count(workspace)))
}

/// Returns whether a Change completes the import of this id.
fn completes(change: &Change, id: Id) -> Result<bool, Error> {
    // The import's record is in the same Change as the removal of its mark.
    for entry in change.entries.iter().filter(|entry| Kind::of(&entry.put.key) == Some(Kind::Import)) {
        if let Some(value) = &entry.put.value {
            let import = Import::decode(value)?;
            if import.id == id && import.status == ImportStatus::Completed {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
