//! What Changes write into sled, and in which order: index entries that go, index entries that
//! come, records, counts, removals, and the position last.
//!
//! sled recovers a prefix of its writes, so after a crash the position never claims more than what
//! is there, and writing a Change a second time mends one that was written by half.
//!
//! Changes that only add records are written in runs, which have one count of each workspace and one
//! position at their end. What a Change adds is written in the order of the keys, in which neighbours
//! share a leaf.
//!
//! Links that an import stages are hidden, and not counted where others are: what the import will add to
//! each counter is counted apart, and added by the Change that completes it. Its mark
//! ([`super::staged`]) is removed last, so that who sees the links finds them counted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::keys::{self, Kind};
use super::leaf::Edit;
use super::record::{Applied, Cell, Number, Staged, Stored};
use super::staged::{is_under_way, read};
use super::store::Store;
use super::totals::Totals;
use super::{Error, decoded, history, index};
use crate::log::{self, Change, HistoryEntry, Position};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::snapshot::{Import, ImportStatus, Snapshot};
use crate::model::workspace::WorkspaceNumber;

/// Changes on their way into the store, of which the position is not written yet.
pub(super) struct Run<'a> {
    store: &'a Store,
    log: u128,
    /// What the store says of itself: as of the last position written.
    marked: Position,
    /// What it shall say.
    end: Option<Applied>,
    /// The history up to there.
    history: Vec<(Position, HistoryEntry)>,
    counts: Counts,
    totals: Totals,
    added: Added,
    /// Waits until the disk has room. False when the table is to stop before.
    has_room: &'a dyn Fn() -> bool,
}

impl<'a> Run<'a> {
    /// Goes on behind the position `marked`.
    pub(super) fn new(
        store: &'a Store,
        log: u128,
        marked: Position,
        has_room: &'a dyn Fn() -> bool,
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
            has_room,
        }
    }

    /// Each step leaves a prefix that a second application completes. Where a Change removes or moves
    /// links, counts come before records, since only a link that is still there tells what counted it;
    /// removals come last, next to the position: see `applied_state::sum_records`.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), Error> {
        let (kept, removed): (Vec<_>, Vec<_>) =
            change.entries.iter().partition(|entry| entry.put.value.is_some());
        let (store, position) = (self.store, change.position);
        let moves = moves(store, &kept)?;
        let rewrites = kept.iter().any(|entry| entry.replaces.is_some_and(|old| old > self.marked));
        if rewrites || !removed.is_empty() || !moves.is_empty() {
            self.finish()?;
        }
        if !moves.is_empty() {
            for (counter, by) in moves {
                self.counts.add(store, &counter, position, by)?;
            }
            // What else this Change counts must be written with it: a counter has one position.
            for entry in &kept {
                self.counts.created(store, entry, position)?;
            }
            self.counts.write(store, position)?;
        }
        for entry in kept {
            if self.totals.take(entry, position) {
                continue;
            }
            self.counts.created(store, entry, position)?;
            if entry.replaces.is_none() {
                self.added.take(entry, position)?;
            } else {
                write(store, entry, position)?;
            }
        }
        for edits in self.added.sorted() {
            self.write(&edits)?;
        }
        for entry in &removed {
            self.counts.removed(store, entry, position)?;
        }
        let ended = self.counts.end_imports(store, change)?;
        self.history.push((position, HistoryEntry::of(change)));
        self.end = Some(Applied { log: self.log, position, fingerprint: change.fingerprint });
        if removed.is_empty() {
            return Ok(());
        }
        self.counts.write(store, position)?;
        for key in ended {
            store.remove(&key)?;
        }
        for entry in removed {
            write(store, entry, position)?;
        }
        self.finish()
    }

    /// Returns whether so many click totals wait that they are to be written before more are applied.
    pub(super) fn is_full(&mut self) -> bool {
        self.totals.are_many()
    }

    /// Writes so much at a time that the disk's reserve holds it.
    fn write(&self, edits: &[Edit]) -> Result<(), Error> {
        for piece in edits.chunks(PIECE) {
            if !(self.has_room)() {
                return Err(Error::NotReady("the table stops, and the disk has no room".to_owned()));
            }
            self.store.write(piece)?;
        }
        Ok(())
    }

    /// Writes the click totals that wait, the counts, and the position.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let Some(end) = self.end.take() else { return Ok(()) };
        while let Some(edits) = self.totals.take_some() {
            self.write(&edits)?;
        }
        self.counts.write(self.store, end.position)?;
        history::append(self.store, &self.history)?;
        self.history.clear();
        self.marked = end.position;
        write_mark(self.store, &end)
    }
}

/// The link that an entry replaces or removes.
fn replaced_link(store: &Store, entry: &log::Entry) -> Result<Option<Staged>, Error> {
    if entry.replaces.is_none() {
        return Ok(None);
    }
    Ok(read(store, &entry.put.key)?.map(|(_, staged)| staged))
}

pub(super) fn write_mark(store: &Store, mark: &Applied) -> Result<(), Error> {
    let cell = Cell { revision: mark.position, replaces: Position::START, value: &mark.encode() };
    store.insert(keys::APPLIED, cell.encode(keys::APPLIED))
}

pub(super) fn write_index_version(store: &Store) -> Result<(), Error> {
    let value = Number(index::VERSION).encode();
    let cell = Cell { revision: Position::START, replaces: Position::START, value: &value };
    store.insert(keys::INDEX_VERSION, cell.encode(keys::INDEX_VERSION))
}

/// By how much the links that entries replace, and that are not counted as before, alter counters.
fn moves(store: &Store, kept: &[&log::Entry]) -> Result<BTreeMap<Bytes, i64>, Error> {
    let mut moves = BTreeMap::new();
    for entry in kept {
        let (Some(old), Some(value)) = (replaced_link(store, entry)?, &entry.put.value) else { continue };
        let Some((domain, code)) = keys::parse_link(&entry.put.key) else { continue };
        let new = counters(store, &Staged::decode(domain, code, value)?)?;
        let old = counters(store, &old)?;
        for counter in old.difference(&new) {
            *moves.entry(counter.clone()).or_default() -= 1;
        }
        for counter in new.difference(&old) {
            *moves.entry(counter.clone()).or_default() += 1;
        }
    }
    Ok(moves)
}

/// The counters that count a link; while an import hides it, those of the import.
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

/// Pairs written between two looks at the room on the disk: half a megabyte of sled's, if each has a leaf
/// of its own.
const PIECE: usize = 128;

/// What entries add where nothing was, on its way into the store.
#[derive(Default)]
pub(super) struct Added {
    derived: Vec<Edit>,
    records: Vec<Edit>,
}

impl Added {
    /// Takes the record that an entry makes, and what is derived from it.
    pub(super) fn take(&mut self, entry: &log::Entry, revision: Position) -> Result<(), Error> {
        let (key, Some(value)) = (&entry.put.key, &entry.put.value) else { return Ok(()) };
        let derived = &mut self.derived;
        let mut derive = |key, value| derived.push(Edit { key, value: Some(value) });
        if let Some((domain, code)) = keys::parse_link(key) {
            let Staged { link, .. } = Staged::decode(domain, code, value)?;
            let place = keys::index_value(domain, &link.code);
            for index in index::entries(&link) {
                derive(index, place.clone());
            }
            derive(keys::owner_of(link.id), link.workspace.0.to_be_bytes().to_vec());
        } else if let Some((key, value)) = derived_of(key, value)? {
            derive(key, value);
        }
        let cell = Cell { revision, replaces: Position::START, value };
        self.records.push(Edit { key: key.clone(), value: Some(cell.encode(key)) });
        Ok(())
    }

    /// Returns how many records it has taken.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes out what is derived, as it came.
    pub(super) fn derived(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.derived)
    }

    /// Takes all out, in the order in which it is to be written: nothing leads to a link before it is there
    /// but what readers check.
    pub(super) fn sorted(&mut self) -> [Vec<Edit>; 2] {
        [&mut self.derived, &mut self.records].map(|edits| {
            let mut edits = std::mem::take(edits);
            // Of what was written twice, the last.
            edits.reverse();
            edits.sort_by(|a, b| a.key.cmp(&b.key));
            edits.dedup_by(|a, b| a.key == b.key);
            edits
        })
    }
}

/// Writes an entry that replaces a record or removes one.
fn write(store: &Store, entry: &log::Entry, revision: Position) -> Result<(), Error> {
    let key = &entry.put.key;
    if let Some((domain, code)) = keys::parse_link(key) {
        let old = replaced_link(store, entry)?;
        let mut stale: Vec<_> = old.iter().flat_map(|old| index::entries(&old.link)).collect();
        if let Some(value) = &entry.put.value {
            let Staged { link, .. } = Staged::decode(domain, code, value)?;
            let place = keys::index_value(domain, &link.code);
            for index in index::entries(&link) {
                // Never removed and put back: a reader in between would find no such link.
                stale.retain(|old| *old != index);
                store.insert(&index, place.clone())?;
            }
            if old.as_ref().is_none_or(|old| old.link.id != link.id) {
                store.insert(&keys::owner_of(link.id), link.workspace.0.to_be_bytes().to_vec())?;
                old.map_or(Ok(()), |old| disown(store, &old.link))?;
            }
        } else if let Some(Staged { link, .. }) = &old {
            disown(store, link)?;
        }
        for index in stale {
            store.remove(&index)?;
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
    Ok(())
}

/// Removes the owner of a link that goes, unless a tombstone keeps it.
fn disown(store: &Store, link: &Link) -> Result<(), Error> {
    if store.get(&keys::tombstone(link.workspace, link.id))?.is_none() {
        store.remove(&keys::owner_of(link.id))?;
    }
    Ok(())
}

/// The pair that is derived of a record other than a link's.
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
    Ok(None)
}

/// Writes or removes what is derived of a record other than a link's.
fn write_index(store: &Store, entry: &log::Entry) -> Result<(), Error> {
    let key = &entry.put.key;
    if let Some(value) = &entry.put.value {
        let derived = derived_of(key, value)?;
        return derived.map_or(Ok(()), |(key, value)| store.insert(&key, value));
    }
    if let Some((workspace, id)) = keys::parse_tombstone(key) {
        // An import may have brought a link of this id back.
        if store.get(&keys::listed(workspace, id))?.is_none() {
            store.remove(&keys::owner_of(id))?;
        }
    } else if Kind::of(key) == Some(Kind::Snapshot)
        && let Some(old) = decoded(store, key, Snapshot::decode)?
    {
        store.remove(&keys::snapshot_of_workspace(old.record.workspace, &old.record.id))?;
    }
    Ok(())
}

/// By how much Changes alter counters. A counter is kept with the position that it is true of, so that
/// applying a Change again, in whatever run, does not count it again.
#[derive(Default)]
pub(super) struct Counts {
    counters: BTreeMap<Bytes, Count>,
    /// Whether records come from a frozen copy, in the order of their keys: links before the marks of
    /// their imports.
    is_frozen_copy: bool,
    /// What the links of imports count in, among those of a frozen copy.
    imported: BTreeMap<(WorkspaceNumber, Id), BTreeMap<Bytes, i64>>,
}

/// What the store has, as of when, and what comes to it.
struct Count {
    revision: Position,
    stored: u64,
    more: i64,
}

impl Counts {
    /// Begins to count the records of a frozen copy.
    pub(super) fn of_frozen_copy() -> Counts {
        Counts { is_frozen_copy: true, ..Counts::default() }
    }

    /// Counts what the Change at `position` does, unless the store has it.
    fn add(&mut self, store: &Store, counter: &Bytes, position: Position, by: i64) -> Result<(), Error> {
        let count = match self.counters.entry(counter.clone()) {
            Entry::Occupied(count) => count.into_mut(),
            Entry::Vacant(place) => {
                let old = decoded(store, counter, Number::decode)?;
                let (revision, stored) = old.map_or((Position::START, 0), |old| (old.revision, old.record.0));
                place.insert(Count { revision, stored, more: 0 })
            }
        };
        if count.revision < position {
            count.more += by;
        }
        Ok(())
    }

    /// Counts a record that an entry makes where there was none.
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
            if let (true, Some(import)) = (self.is_frozen_copy, staged.import) {
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

    /// Counts what an entry removes.
    fn removed(&mut self, store: &Store, entry: &log::Entry, position: Position) -> Result<(), Error> {
        if let Some(old) = replaced_link(store, entry)? {
            for counter in counters(store, &old)? {
                self.add(store, &counter, position, -1)?;
            }
        } else if let Some(counter) = counter_of_record(&entry.put.key).filter(|_| entry.replaces.is_some()) {
            self.add(store, &counter, position, -1)?;
        }
        Ok(())
    }

    /// Adds what the imports that a Change completes bring. Returns the keys of what was counted apart for
    /// the imports that it ends, to be removed when the counters are written.
    fn end_imports(&mut self, store: &Store, change: &Change) -> Result<Vec<Bytes>, Error> {
        let mut ended = Vec::new();
        let marks = change.entries.iter().filter(|entry| entry.put.value.is_none());
        for (workspace, id) in marks.filter_map(|entry| keys::parse_staging(&entry.put.key)) {
            let is_completed = completes(change, id)?;
            for pair in store.prefix(&keys::staged_count(workspace, id, &[])) {
                let (key, bytes) = pair?;
                let count = Number::decode(Cell::decode(&key, &bytes)?.value)?;
                if let Some(counter) = keys::parse_staged_count(&key).filter(|_| is_completed) {
                    let counter = Bytes::copy_from_slice(counter);
                    self.add(store, &counter, change.position, i64::try_from(count.0).unwrap_or(i64::MAX))?;
                }
                ended.push(Bytes::copy_from_slice(&key));
            }
        }
        Ok(ended)
    }

    /// Counts the imported links of a frozen copy as of `position`, all of whose records are in the
    /// store.
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

    /// Writes them as true of `position`, and begins anew.
    pub(super) fn write(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for (key, count) in std::mem::take(&mut self.counters) {
            if count.more == 0 {
                continue;
            }
            let value = Number(count.stored.saturating_add_signed(count.more)).encode();
            let cell = Cell { revision: position, replaces: Position::START, value: &value };
            store.insert(&key, cell.encode(&key))?;
        }
        Ok(())
    }
}

/// The counter of a tag's or campaign's record.
fn counter_of_record(key: &[u8]) -> Option<Bytes> {
    let tags = keys::parse_tag(key).map(keys::tag_count);
    tags.or_else(|| keys::parse_campaign(key).map(|(workspace, _)| keys::campaign_count(workspace)))
}

/// Whether a Change completes the import of this id.
fn completes(change: &Change, id: Id) -> Result<bool, Error> {
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
