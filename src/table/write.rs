//! What one Change writes into sled, and in which order: index entries that go, index entries that
//! come, records, counts, removals, and the position last.
//!
//! sled recovers a prefix of its writes, so after a crash the position never claims more than what
//! is there, and writing a Change a second time mends one that was written by half.
//!
//! Links that an import stages are not counted; the import is, whole, by the Change that completes
//! it. Its mark ([`super::staged`]) is removed last, so that who sees the links finds them counted.

use std::collections::BTreeMap;

use super::record::{Applied, Cell, Number, Staged, Stored};
use super::staged::{is_under_way, read};
use super::store::Store;
use super::{Error, decoded, index, keys};
use crate::log::{Change, Entry, Position};
use crate::model::id::Id;
use crate::model::snapshot::{Import, ImportStatus};
use crate::model::workspace::WorkspaceNumber;

/// Each step leaves a prefix that a second application completes. The counts come before the
/// removals, since only a link that is still there tells whose it was; removals come last, next to
/// the position: see `witness::sum_records`.
pub(super) fn apply(store: &Store, change: &Change, log: u128) -> Result<(), Error> {
    let (kept, removed): (Vec<_>, Vec<_>) =
        change.entries.iter().partition(|entry| entry.put.value.is_some());
    let mut counts = Counts::default();
    for entry in kept {
        write(store, entry, change.position, &mut counts)?;
    }
    for entry in &removed {
        if let Some(old) = replaced_link(store, entry)? {
            let workspace = old.link.workspace;
            let is_hidden = match old.import {
                None => false,
                Some(import) => is_under_way(store, workspace, import)?,
            };
            if !is_hidden {
                counts.add(workspace, -1);
            }
        }
    }
    counts.add_imports();
    counts.write(store, change.position)?;
    for entry in removed {
        write(store, entry, change.position, &mut counts)?;
    }
    write_mark(store, &Applied { log, position: change.position, manifest: change.manifest })
}

/// The link that an entry replaces or removes.
fn replaced_link(store: &Store, entry: &Entry) -> Result<Option<Staged>, Error> {
    if entry.replaces.is_none() {
        return Ok(None);
    }
    Ok(read(store, &entry.put.key)?.map(|(_, staged)| staged))
}

pub(super) fn write_mark(store: &Store, mark: &Applied) -> Result<(), Error> {
    let cell = Cell { revision: mark.position, replaces: Position::START, value: &mark.encode() };
    Ok(store.insert(keys::APPLIED, cell.encode(keys::APPLIED))?)
}

pub(super) fn write(
    store: &Store,
    entry: &Entry,
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
                    None => counts.add(link.workspace, 1),
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

/// By how much a Change alters the number of links of each workspace. Kept per workspace with
/// the position that it is true of, so that applying a Change again does not count it again.
#[derive(Default)]
pub(super) struct Counts {
    links: BTreeMap<WorkspaceNumber, i64>,
    /// Links that imports staged, among those of a frozen copy of all records: there the record of
    /// an import no longer tells how many of its links are left.
    staged: BTreeMap<(WorkspaceNumber, Id), i64>,
    /// Links of imports that this Change completes.
    completed: Vec<(WorkspaceNumber, u64)>,
}

impl Counts {
    fn add(&mut self, workspace: WorkspaceNumber, links: i64) {
        *self.links.entry(workspace).or_default() += links;
    }

    fn stage(&mut self, workspace: WorkspaceNumber, import: Id) {
        *self.staged.entry((workspace, import)).or_default() += 1;
    }

    /// Counts what the imports that a Change completes bring.
    fn add_imports(&mut self) {
        for (workspace, links) in std::mem::take(&mut self.completed) {
            self.add(workspace, i64::try_from(links).unwrap_or(i64::MAX));
        }
    }

    /// Counts the imported links of a frozen copy, all of whose records are in the store.
    pub(super) fn add_staged(&mut self, store: &Store) -> Result<(), Error> {
        for ((workspace, import), links) in std::mem::take(&mut self.staged) {
            if !is_under_way(store, workspace, import)? {
                self.add(workspace, links);
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, store: &Store, position: Position) -> Result<(), Error> {
        for (workspace, links) in &self.links {
            let key = keys::link_count(*workspace);
            let old = decoded(store, &key, Number::decode)?;
            let (revision, count) = old.map_or((Position::START, 0), |old| (old.revision, old.record.0));
            if revision < position {
                let value = Number(count.saturating_add_signed(*links)).encode();
                let cell = Cell { revision: position, replaces: Position::START, value: &value };
                store.insert(&key, cell.encode(&key))?;
            }
        }
        Ok(())
    }
}
