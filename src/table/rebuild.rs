//! The table at the start: decides whether it is kept, replayed, loaded from the log's snapshot or renamed, and
//! loads it. Nothing that may exist only in a table is removed.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::apply::{Applier, Failure, closed};
use super::error::{Error, StoreError};
use super::history;
use super::keys::Kind;
use super::progress::Progress;
use super::record::{Applied, Cell};
use super::sort::Sorter;
use super::write::{self, Added, Counts};
use crate::log::{
    Entry, Follow, Follower, HistoryEntry, Position, Put, SnapshotReader, TableFate, table_fate,
};

/// Number of last positions whose records are compared with a newer snapshot: some 0.3 s of look-ups. Two
/// histories that have forked differ in their last records.
const COMPARED: u64 = 65_536;

/// Records of a snapshot that are written together: some 2 MB.
const LOADED: usize = 4_096;

impl Applier {
    /// Opens the store and returns its position, `None` if the table must be rebuilt. A table of another log,
    /// or ahead of this log, is renamed.
    pub(super) fn trusted_mark(&self) -> Result<Option<Applied>, Failure> {
        let shared = &self.table.0;
        let mark = match shared.open_store() {
            Ok(mark) => mark,
            // Another process uses the table: it is opened later, and never removed.
            Err(error @ Error::Store(StoreError::InUse)) => return Err(error.into()),
            // A full disk is not damage: the table is opened later.
            Err(error) if is_full(&error) => return Err(error.into()),
            Err(error) => return Ok(self.distrust(&error.to_string())),
        };
        let end = self.log.position();
        match table_fate(self.log.id(), Position::START, end, mark.map(|mark| (mark.log, mark.position))) {
            // First of these: a table of an earlier version has the right log, and is rebuilt, not kept.
            TableFate::Keep | TableFate::Replay(_) | TableFate::Reload if !self.table.has_this_index() => {
                Ok(self.distrust("it lacks entries that this version needs"))
            }
            TableFate::Keep | TableFate::Replay(_) | TableFate::Reload => Ok(mark),
            // A new installation: nothing is rebuilt.
            TableFate::Build if end == Position::START => Ok(None),
            TableFate::Build => Ok(self.distrust("it is empty")),
            TableFate::SetAside(why) => {
                self.set_aside(why)?;
                Ok(None)
            }
        }
    }

    /// Renames a table whose records may exist nowhere else.
    fn set_aside(&self, why: &str) -> Result<(), Failure> {
        let shared = &self.table.0;
        // sled must not write into the renamed folder.
        shared.close_store();
        let mut name = shared.dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".replaced-{}", self.clock.now().as_millis()));
        let aside = shared.dir.with_file_name(name);
        std::fs::rename(&shared.dir, &aside)
            .and_then(|()| {
                // A relative path of one part has an empty parent.
                let folder = aside.parent().filter(|folder| !folder.as_os_str().is_empty());
                // Durable before another folder gets the name.
                std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
            })
            .map_err(|source| StoreError::Strange { path: shared.dir.clone(), source })?;
        tracing::error!(
            why,
            aside = %aside.display(),
            "the table is of another log: it was renamed, and a new table is built from the log"
        );
        shared.status.lock().rebuilds += 1;
        Ok(())
    }

    /// Renames a table that is behind the log's snapshot and contradicts it: a record of the snapshot, old
    /// enough for the table to have it, is missing or different.
    pub(super) fn compare_with(
        &self,
        mut snapshot: Box<dyn SnapshotReader>,
        applied: Position,
    ) -> Result<(), Failure> {
        let shared = &self.table.0;
        let store = shared.store.read().clone().ok_or_else(closed)?;
        let oldest = Position(applied.0.saturating_sub(COMPARED));
        while let Some(record) = snapshot.next()? {
            if record.revision <= oldest
                || record.revision > applied
                || Kind::of(&record.key) == Some(Kind::Clicks)
            {
                continue;
            }
            let bytes = store.get(&record.key)?;
            let cell = bytes.as_ref().map(|bytes| Cell::decode(&record.key, bytes)).transpose();
            // A damaged table has no usable records: it is removed as usual.
            let Ok(cell) = cell else { return Ok(()) };
            if cell.is_none_or(|cell| (cell.revision, cell.value) != (record.revision, &*record.value)) {
                // `close_store` waits for this reference.
                drop(store);
                return self.set_aside("its history differs from the log's snapshot");
            }
        }
        Ok(())
    }

    /// Counts and logs a rebuild.
    pub(super) fn distrust(&self, reason: &str) -> Option<Applied> {
        let shared = &self.table.0;
        tracing::warn!(reason, path = %shared.dir.display(), "the table is rebuilt from the log");
        shared.status.lock().rebuilds += 1;
        None
    }

    /// Removes the table and opens an empty one.
    pub(super) fn wipe(&self) -> Result<(), Failure> {
        let shared = &self.table.0;
        shared.close_store();
        // Readers found the damage in the files that are removed now.
        shared.suspect.store(false, Ordering::Release);
        *shared.mark.lock() = None;
        shared.applied.store(0, Ordering::Release);
        // Not `exists`, for which a dangling link is a free name.
        let is_there = std::fs::symlink_metadata(&shared.dir).is_ok();
        if is_there && !shared.dir.is_dir() {
            // Not a folder of sled, so it may be of value to its owner.
            self.set_aside("it is not a folder")?;
        } else if is_there {
            std::fs::remove_dir_all(&shared.dir).map_err(sled::Error::Io).map_err(StoreError::from)?;
        }
        shared.open_store()?;
        let store = shared.store.read().clone();
        write::write_index_version(store.as_ref().ok_or_else(closed)?)?;
        Ok(())
    }

    /// Loads a snapshot of the log into the empty table. Returns `None` if the table stops first.
    pub(super) fn load(
        &self,
        mut snapshot: Box<dyn SnapshotReader>,
    ) -> Result<Option<Box<dyn Follower>>, Failure> {
        let shared = &self.table.0;
        let (position, fingerprint) = (snapshot.position(), snapshot.fingerprint());
        let mut progress = Progress::new("rebuilding from the snapshot", fingerprint.count);
        {
            let store = shared.store.read().clone();
            let store = store.as_ref().ok_or_else(closed)?;
            let mut loaded = 0;
            let mut counts = Counts::of_log_snapshot();
            let mut added = Added::default();
            let mut derived = Sorter::new(&shared.dir)?;
            loop {
                if shared.stopping.load(Ordering::Acquire) {
                    return Ok(None);
                }
                let record = snapshot.next()?;
                if record.is_none() || added.len() == LOADED {
                    for pair in added.derived() {
                        derived.push(pair)?;
                    }
                    for records in added.sorted() {
                        store.write(&records)?;
                    }
                }
                let Some(record) = record else { break };
                if super::keys::is_of_log_only(&record.key) {
                    continue;
                }
                let entry = Entry { put: Put { key: record.key, value: Some(record.value) }, replaces: None };
                counts.created(store, &entry, record.revision)?;
                added.take(&entry, record.revision)?;
                loaded += 1;
                progress.at(loaded);
            }
            // After all records: only then the derived pairs can be sorted.
            derived.finish(LOADED, &mut |pairs| store.write(pairs))?;
            counts.add_imported(store, position)?;
            counts.write(store, position)?;
            // A snapshot has no digest of its last Change, only of the state.
            let entry = HistoryEntry { change: 0, state: fingerprint.digest() };
            history::append(store, &[(position, entry)])?;
            let mark = Applied { log: self.log.id(), position, fingerprint };
            // Last: an interrupted load has no position, and starts again.
            write::write_mark(store, &mark)?;
            *shared.mark.lock() = Some(mark);
        }
        shared.applied.store(position.0, Ordering::Release);
        shared.dirty.store(true, Ordering::Release);
        match self.log.follow(position)? {
            Follow::Changes(follower) => Ok(Some(follower)),
            Follow::Compacted { .. } => {
                // The next attempt loads the newer snapshot.
                Err(Failure::Table(Error::NotReady("the log was compacted during the rebuild".to_owned())))
            }
        }
    }
}

/// Returns whether sled found the disk full.
fn is_full(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Sled(sled::Error::Io(error))) if error.kind() == io::ErrorKind::StorageFull)
}
