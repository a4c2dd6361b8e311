//! What Changes write into sled, and in which order: index entries that go, index entries that
//! come, records, counts, removals, and the position last.
//!
//! sled recovers a prefix of its writes, so after a crash the position never claims more than what
//! is there, and writing a Change a second time mends one that was written by half.
//!
//! Changes that only add records are written in runs, which have one count of each workspace and one
//! position at their end: of the four writes of a creation that comes alone, two are left.
//!
//! Links that an import stages are not counted; the import is, whole, by the Change that completes
//! it. Its mark ([`super::staged`]) is removed last, so that who sees the links finds them counted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::record::{Applied, Cell, Number, Staged, Stored};
use super::staged::{is_under_way, read};
use super::store::Store;
use super::totals::Totals;
use super::{Error, decoded, history, index, keys};
use crate::log::{self, Change, HistoryEntry, Position};
use crate::model::id::Id;
use crate::model::snapshot::{Import, ImportStatus};
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
}

impl<'a> Run<'a> {
    /// Goes on behind the position `marked`.
    pub(super) fn new(store: &'a Store, log: u128, marked: Position) -> Run<'a> {
        let (counts, totals) = (Counts::default(), Totals::default());
        Run { store, log, marked, end: None, history: Vec::new(), counts, totals }
    }

    /// Each step leaves a prefix that a second application completes. The counts come before the
    /// removals, since only a link that is still there tells whose it was; removals come last, next
    /// to the position: see `witness::sum_records`.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), Error> {
        let (kept, removed): (Vec<_>, Vec<_>) =
            change.entries.iter().partition(|entry| entry.put.value.is_some());
        let rewrites = kept.iter().any(|entry| entry.replaces.is_some_and(|old| old > self.marked));
        if rewrites || !removed.is_empty() {
            self.finish()?;
        }
        let (store, position) = (self.store, change.position);
        for entry in kept {
            if !self.totals.take(entry, position) {
                write(store, entry, position, &mut self.counts)?;
            }
        }
        for entry in &removed {
            if let Some(old) = replaced_link(store, entry)? {
                let workspace = old.link.workspace;
                let is_hidden = match old.import {
                    None => false,
                    Some(import) => is_under_way(store, workspace, import)?,
                };
                if !is_hidden {
                    self.counts.add(store, workspace, position, -1)?;
                }
            }
        }
        self.counts.add_imports(store, position)?;
        self.history.push((position, HistoryEntry::of(change)));
        self.end = Some(Applied { log: self.log, position, manifest: change.manifest });
        if removed.is_empty() {
            return Ok(());
        }
        self.counts.write(store, position)?;
        for entry in removed {
            write(store, entry, position, &mut self.counts)?;
        }
        self.finish()
    }

    /// Returns whether so many click totals wait that they are to be written before more are applied.
    pub(super) fn is_full(&mut self) -> bool {
        self.totals.are_many()
    }

    /// Writes some of the click totals that wait. False once none is left.
    pub(super) fn write_some_totals(&mut self) -> Result<bool, Error> {
        self.totals.write_some(self.store)
    }

    /// Writes the click totals that wait, the counts, and the position.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let Some(end) = self.end.take() else { return Ok(()) };
        while self.write_some_totals()? {}
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
    Ok(store.insert(keys::APPLIED, cell.encode(keys::APPLIED))?)
}

pub(super) fn write_index_version(store: &Store) -> Result<(), Error> {
    let value = Number(index::VERSION).encode();
    let cell = Cell { revision: Position::START, replaces: Position::START, value: &value };
    Ok(store.insert(keys::INDEX_VERSION, cell.encode(keys::INDEX_VERSION))?)
}

pub(super) fn write(
    store: &Store,
    entry: &log::Entry,
    revision: Position,
    counts: &mut Counts,
) -> Result<(), Error> {
    let key = &entry.put.key;
    if let Some((domain, code)) = keys::parse_link(key) {
        let old = replaced_link(store, entry)?;
        let mut stale: Vec<_> = old.iter().flat_map(|old| index::entries(&old.link)).collect();
        if let Some(value) = &entry.put.value {
            let Staged { link, import } = Staged::decode(domain, code, value)?;
            let place = keys::place(domain, &link.code);
            for index in index::entries(&link) {
                // Never removed and put back: a reader in between would find no such link.
                stale.retain(|old| *old != index);
                store.insert(&index, place.clone())?;
            }
            if entry.replaces.is_none() {
                match import {
                    None => counts.add(store, link.workspace, revision, 1)?,
                    Some(import) => counts.stage(link.workspace, import),
                }
            }
        }
        for index in stale {
            store.remove(&index)?;
        }
    }
    if let Some(value) = entry.put.value.as_ref().filter(|_| keys::is_import(key)) {
        let import = Import::decode(value)?;
        if import.status == ImportStatus::Completed {
            counts.completed.push((import.workspace, import.made));
        }
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

/// By how much Changes alter the number of links of each workspace. Kept per workspace with the
/// position that it is true of, so that applying a Change again, in whatever run, does not count it
/// again.
#[derive(Default)]
pub(super) struct Counts {
    links: BTreeMap<WorkspaceNumber, Count>,
    /// Links that imports staged, among those of a frozen copy of all records: there the record of
    /// an import no longer tells how many of its links are left.
    staged: BTreeMap<(WorkspaceNumber, Id), i64>,
    /// Links of imports that a Change completes.
    completed: Vec<(WorkspaceNumber, u64)>,
}

/// What the store has, as of when, and what comes to it.
struct Count {
    revision: Position,
    stored: u64,
    more: i64,
}

impl Counts {
    /// Counts what the Change at `position` does, unless the store has it.
    fn add(
        &mut self,
        store: &Store,
        workspace: WorkspaceNumber,
        position: Position,
        links: i64,
    ) -> Result<(), Error> {
        let count = match self.links.entry(workspace) {
            Entry::Occupied(count) => count.into_mut(),
            Entry::Vacant(place) => {
                let old = decoded(store, &keys::link_count(workspace), Number::decode)?;
                let (revision, stored) = old.map_or((Position::START, 0), |old| (old.revision, old.record.0));
                place.insert(Count { revision, stored, more: 0 })
            }
        };
        if count.revision < position {
            count.more += links;
        }
        Ok(())
    }

    fn stage(&mut self, workspace: WorkspaceNumber, import: Id) {
        *self.staged.entry((workspace, import)).or_default() += 1;
    }

    /// Counts what the imports that a Change completes bring.
    fn add_imports(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for (workspace, links) in std::mem::take(&mut self.completed) {
            self.add(store, workspace, position, i64::try_from(links).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }

    /// Counts the imported links of a frozen copy as of `position`, all of whose records are in the
    /// store.
    pub(super) fn add_staged(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for ((workspace, import), links) in std::mem::take(&mut self.staged) {
            if !is_under_way(store, workspace, import)? {
                self.add(store, workspace, position, links)?;
            }
        }
        Ok(())
    }

    /// Writes them as true of `position`, and begins anew.
    pub(super) fn write(&mut self, store: &Store, position: Position) -> Result<(), Error> {
        for (workspace, count) in std::mem::take(&mut self.links) {
            if count.more == 0 {
                continue;
            }
            let key = keys::link_count(workspace);
            let value = Number(count.stored.saturating_add_signed(count.more)).encode();
            let cell = Cell { revision: position, replaces: Position::START, value: &value };
            store.insert(&key, cell.encode(&key))?;
        }
        Ok(())
    }
}
