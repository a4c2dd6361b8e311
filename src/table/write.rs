//! What one Change writes into sled, and in which order: index entries that go, index entries that
//! come, records, counts, removals, and the position last.
//!
//! sled recovers a prefix of its writes, so after a crash the position never claims more than what
//! is there, and writing a Change a second time mends one that was written by half.

use std::collections::BTreeMap;

use super::record::{Applied, Cell, LinkAt, Number, Stored};
use super::store::Store;
use super::{Error, decoded, index, keys};
use crate::log::{Change, Entry, Position};
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;

/// Each step leaves a prefix that a second application completes. The counts come before the
/// removals, since only a link that is still there tells whose it was; removals come last, next to
/// the position: see `Shared::sum_records`.
pub(super) fn apply(store: &Store, change: &Change, log: u128) -> Result<(), Error> {
    let (kept, removed): (Vec<_>, Vec<_>) =
        change.entries.iter().partition(|entry| entry.put.value.is_some());
    let mut counts = Counts::default();
    for entry in kept {
        write(store, entry, change.position, &mut counts)?;
    }
    for entry in &removed {
        if let Some(old) = replaced_link(store, entry)? {
            counts.add(old.workspace, -1);
        }
    }
    counts.write(store, change.position)?;
    for entry in removed {
        write(store, entry, change.position, &mut counts)?;
    }
    write_mark(store, &Applied { log, position: change.position, manifest: change.manifest })
}

/// The link that an entry replaces or removes.
fn replaced_link(store: &Store, entry: &Entry) -> Result<Option<Link>, Error> {
    let key = &entry.put.key;
    let Some((domain, code)) = keys::parse_link(key).filter(|_| entry.replaces.is_some()) else {
        return Ok(None);
    };
    let found = decoded(store, key, |value| LinkAt::decode(domain, code, value))?;
    Ok(found.map(|found| found.record))
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
        let mut stale: Vec<_> = old.iter().flat_map(index::entries).collect();
        if let Some(value) = &entry.put.value {
            let link = LinkAt::decode(domain, code, value)?;
            let place = keys::place(domain, &link.code);
            for index in index::entries(&link) {
                // Never removed and put back: a reader in between would find no such link.
                stale.retain(|old| *old != index);
                store.insert(&index, place.clone())?;
            }
            if entry.replaces.is_none() {
                counts.add(link.workspace, 1);
            }
        }
        for index in stale {
            store.remove(&index)?;
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
pub(super) struct Counts(BTreeMap<WorkspaceNumber, i64>);

impl Counts {
    fn add(&mut self, workspace: WorkspaceNumber, links: i64) {
        *self.0.entry(workspace).or_default() += links;
    }

    pub(super) fn write(&self, store: &Store, position: Position) -> Result<(), Error> {
        for (workspace, links) in &self.0 {
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
