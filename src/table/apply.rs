//! The apply thread: follows the log, in order, alone. Replays what the table lacks at the
//! start, rebuilds it when it cannot be trusted, and scrubs it between Changes, so that nothing
//! ever writes beside it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::keys::{self, Kind};
use super::progress::Progress;
use super::record::{Applied, Cell, Corrupt, decode_clicks};
use super::scrub::Pass;
use super::sort::Sorter;
use super::store::StoreError;
use super::write::{self, Added, Counts};
use super::{Error, NAP, Shared, Table, history};
use crate::clock::Clock;
use crate::log::{
    Change, Entry, Fingerprint, Follow, Follower, HistoryEntry, Log, LogError, Position, Put, SnapshotReader,
    TableFate, table_fate,
};
use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::readiness::{Latch, Readiness};

/// Who is told what was applied, before whoever waits for it.
pub trait Observer: Send + Sync {
    /// The table was replayed or rebuilt: read everything anew.
    fn reset(&self, table: &Table) -> Result<(), Error>;
    /// The table failed: until the next reset nobody can tell what is in it.
    fn failed(&self);
    /// One Change was applied.
    fn applied(&self, change: &Change);
    /// The node whose own click totals need not be reported.
    fn node(&self) -> NodeNumber;
    /// These totals of other nodes are in the table: each link, the node that counted, and its total.
    fn totals_applied(&self, totals: &[(Id, NodeNumber, u64)]);
}

/// Whether there is room on the disk: while there is not, sled must not write at all, since it
/// never recovers from an ENOSPC.
pub type FlushGuard = Arc<dyn Fn() -> bool + Send + Sync>;

/// Changes applied before those who wait are told. Bounds their wait while the table catches up
/// with a burst; one by one would have a position and a count written for each.
const BATCH: usize = 256;

/// Bytes of Changes after which a batch ends as well: between batches is looked whether there is room.
/// As much as the least reserve on the disk; 256 Changes of an import would be a hundred times more.
const BATCH_BYTES: usize = 1024 * 1024;

/// What `/readyz` says while the table is behind.
const CATCHING_UP: &str = "the table is catching up with the log";

/// Positions before the last applied one whose records are compared with a snapshot that the table is
/// behind: some 0.3 s of look-ups. Two histories that parted differ in their last records.
const COMPARED: u64 = 65_536;

/// Pairs of a frozen copy that are written together: some 2 MB.
const LOADED: usize = 4_096;

/// How long to wait before a failed store is opened anew.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Table(#[from] Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Table(error.into())
    }
}

impl Table {
    /// Starts following `log`. Returns at once; reads are answered when the table has caught up. Fails
    /// where the system starts no more threads.
    pub fn start(
        &self,
        log: Arc<dyn Log>,
        observer: Arc<dyn Observer>,
        room: FlushGuard,
        clock: Clock,
        readiness: &Readiness,
    ) -> io::Result<()> {
        let latch = readiness.hold(CATCHING_UP);
        let applier =
            Applier { table: self.clone(), log, observer, room, clock, readiness: readiness.clone() };
        let shared = Arc::clone(&self.0);
        let room = Arc::clone(&applier.room);
        let mut threads = self.0.threads.lock();
        // In this order: the first notices within `NAP` that there will be no second.
        threads.push(spawn("table-flush", move || flush_regularly(&shared, &room))?);
        let started = spawn("table-apply", move || applier.run(latch));
        let applier = started.inspect_err(|_| self.0.stopping.store(true, Ordering::Release))?;
        threads.push(applier);
        Ok(())
    }

    /// Applies what is left in the log, makes it durable, and closes. One that is still catching up, or
    /// has no room on the disk, leaves the rest to the next start. Blocks. The log must be closed before,
    /// so that there is an end.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *self.0.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the table panicked");
            }
        }
        self.0.waiters.close();
        self.0.ready.store(false, Ordering::Release);
        "stopped".clone_into(&mut self.0.status.lock().waiting_for);
        self.0.close_store();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Makes sled's buffers durable now and then, and sends away who waited too long. A thread of its own, since a flush takes tens of
/// milliseconds, which no commit should wait for.
fn flush_regularly(shared: &Shared, room: &FlushGuard) {
    let interval = shared.settings.flush_interval;
    let mut last = Instant::now();
    loop {
        let stopping = shared.stopping.load(Ordering::Acquire);
        if stopping {
            return;
        }
        shared.waiters.expire(Instant::now());
        if last.elapsed() >= interval && room() && shared.dirty.swap(false, Ordering::AcqRel) {
            flush(shared);
            last = Instant::now();
        }
        std::thread::sleep(NAP.min(interval));
    }
}

fn flush(shared: &Shared) {
    let store = shared.store.read().clone();
    let flushed = store.map_or(Ok(()), |store| store.flush());
    if let Err(error) = flushed {
        tracing::error!(%error, "the table could not be made durable; it will be replayed from the log if need be");
        shared.status.lock().last_error = Some(error.to_string());
        shared.dirty.store(true, Ordering::Release);
    }
}

struct Applier {
    table: Table,
    log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    room: FlushGuard,
    clock: Clock,
    readiness: Readiness,
}

impl Applier {
    fn run(self, latch: Latch) {
        let shared = &self.table.0;
        let mut rebuild = false;
        let mut latch = Some(latch);
        loop {
            let Err(failure) = self.follow(rebuild, &mut latch) else { break };
            let has_no_room = matches!(failure, Failure::Table(Error::NotReady(_)));
            if has_no_room && shared.stopping.load(Ordering::Acquire) {
                // Without its position, the next start applies the run again.
                break;
            }
            latch.get_or_insert_with(|| self.readiness.hold(CATCHING_UP));
            shared.ready.store(false, Ordering::Release);
            self.observer.failed();
            tracing::error!(error = %failure, "the table failed and is opened anew");
            {
                let mut status = shared.status.lock();
                status.last_error = Some(failure.to_string());
                status.waiting_for = format!("the table failed: {failure}");
            }
            if shared.stopping.load(Ordering::Acquire) {
                break;
            }
            // A corrupt record will be as corrupt after reopening; an I/O error may pass.
            rebuild =
                matches!(failure, Failure::Table(Error::Corrupt(_) | Error::Store(StoreError::Panicked(_))));
            shared.close_store();
            // Opening sled may write, and rebuilding does: not on a full disk.
            while !(self.room)() && !shared.stopping.load(Ordering::Acquire) {
                std::thread::sleep(NAP);
            }
            std::thread::sleep(RETRY);
        }
        if (self.room)() {
            flush(shared);
        }
    }

    /// Opens, catches up, and applies until told to stop.
    fn follow(&self, rebuild: bool, latch: &mut Option<Latch>) -> Result<(), Failure> {
        let shared = &self.table.0;
        let Some(mut follower) = self.catch_up(rebuild)? else { return Ok(()) };
        self.observer.reset(&self.table)?;
        drop(latch.take());
        shared.waiters.applied(Position(shared.applied.load(Ordering::Acquire)));

        let interval = shared.settings.scrub_interval;
        let begin = || Pass::new(Position(shared.applied.load(Ordering::Acquire)));
        let mut pass = Some(begin());
        let mut last_pass = Instant::now();
        loop {
            let patience = if pass.is_some() { Duration::from_millis(2) } else { NAP };
            let stopping = shared.stopping.load(Ordering::Acquire);
            if !(self.room)() {
                if stopping {
                    return Ok(());
                }
                std::thread::sleep(NAP);
                continue;
            }
            let applied = self.apply_batch(follower.as_mut(), patience, &mut pass)?;
            if stopping && applied == 0 {
                return Ok(());
            }
            if shared.suspect.swap(false, Ordering::AcqRel) {
                return Err(Failure::Table(Error::Corrupt(Corrupt::new("found by a reader"))));
            }
            if let Some(running) = pass.as_mut() {
                if self.scrub(running)? {
                    pass = None;
                    last_pass = Instant::now();
                }
            } else if last_pass.elapsed() >= interval {
                pass = Some(begin());
            }
        }
    }

    /// Applies up to [`BATCH`] Changes or some [`BATCH_BYTES`], waiting `patience` for the first, and
    /// tells everybody.
    fn apply_batch(
        &self,
        follower: &mut dyn Follower,
        patience: Duration,
        pass: &mut Option<Pass>,
    ) -> Result<usize, Failure> {
        let shared = &self.table.0;
        let Some(first) = follower.next(patience)? else { return Ok(0) };
        let store = shared.store.read().clone();
        let store = store.as_ref().ok_or_else(closed)?;
        let marked = Position(shared.applied.load(Ordering::Acquire));
        let has_room = || {
            while !(self.room)() {
                if shared.stopping.load(Ordering::Acquire) {
                    return false;
                }
                std::thread::sleep(NAP);
            }
            true
        };
        let mut run = write::Run::new(store, self.log.id(), marked, &has_room);
        let (mut next, mut last, mut count, mut bytes) = (Some(first), None, 0, 0);
        let (mut totals, own) = (Vec::new(), self.observer.node());
        while let Some(change) = next.take() {
            run.apply(&change)?;
            if let Some(pass) = pass.as_mut() {
                pass.follow(&change);
            }
            self.observer.applied(&change);
            totals.extend(change.entries.iter().filter_map(|entry| total_of_other(&entry.put, own)));
            count += 1;
            let records = change.entries.iter().filter(|entry| !entry.put.is_clicks());
            bytes += records.map(|entry| entry.put.bytes()).sum::<usize>();
            if count < BATCH && bytes < BATCH_BYTES && !run.is_full() {
                next = follower.next(Duration::ZERO)?;
            }
            last = Some(change);
        }
        run.finish()?;
        // Not before: totals of the run are in the store only now.
        if !totals.is_empty() {
            self.observer.totals_applied(&totals);
        }
        if let Some(change) = last {
            self.mark(&change);
            shared.waiters.applied(change.position);
        }
        Ok(count)
    }

    fn mark(&self, change: &Change) {
        let shared = &self.table.0;
        let mark = Applied { log: self.log.id(), position: change.position, fingerprint: change.fingerprint };
        *shared.mark.lock() = Some(mark);
        shared.applied.store(change.position.0, Ordering::Release);
        shared.dirty.store(true, Ordering::Release);
    }

    /// Reads a slice of the records. True when the pass is over and found the table whole.
    fn scrub(&self, pass: &mut Pass) -> Result<bool, Failure> {
        let shared = &self.table.0;
        let store = shared.store.read().clone();
        let store = store.as_ref().ok_or_else(closed)?;
        if !pass.slice(store)? {
            return Ok(false);
        }
        let mark = *shared.mark.lock();
        pass.compare(mark.map_or_else(Fingerprint::default, |mark| mark.fingerprint))?;
        pass.mend_counts(store)?;
        shared.status.lock().last_scrub = Some(self.clock.now());
        Ok(true)
    }

    /// Brings the table to the log's position, and opens it for readers. `None` when it is told to stop
    /// before: the next start goes on, or begins anew with a table that has no position yet.
    fn catch_up(&self, rebuild: bool) -> Result<Option<Box<dyn Follower>>, Failure> {
        let shared = &self.table.0;
        "replaying the log".clone_into(&mut shared.status.lock().waiting_for);
        let mark = if rebuild { self.distrust("it is damaged") } else { self.trusted_mark()? };
        let mut position = Position::START;
        if let Some(mark) = mark {
            position = mark.position;
        } else {
            self.wipe()?;
        }
        let mut follower = match self.log.follow(position)? {
            Follow::Changes(follower) => follower,
            Follow::Compacted { snapshot } => {
                if position != Position::START {
                    self.compare_with(snapshot, position)?;
                    self.wipe()?;
                }
                // The log may have been compacted once more.
                let Follow::Compacted { snapshot } = self.log.follow(Position::START)? else {
                    return Err(Error::NotReady("the log has no snapshot any more".to_owned()).into());
                };
                let Some(follower) = self.load(snapshot)? else { return Ok(None) };
                follower
            }
        };
        let goal = self.log.position();
        let mut progress = Progress::new("replaying the log", goal.0.saturating_sub(position.0));
        while Position(shared.applied.load(Ordering::Acquire)) < goal {
            if shared.stopping.load(Ordering::Acquire) {
                return Ok(None);
            }
            self.apply_batch(follower.as_mut(), NAP, &mut None)?;
            progress.at(shared.applied.load(Ordering::Acquire) - position.0);
        }
        shared.status.lock().waiting_for = String::new();
        shared.ready.store(true, Ordering::Release);
        Ok(Some(follower))
    }

    /// Where the store on disk stands, when it belongs to this log and is not ahead of it.
    fn trusted_mark(&self) -> Result<Option<Applied>, Failure> {
        let shared = &self.table.0;
        let mark = match shared.open_store() {
            Ok(mark) => mark,
            // Another process works with it. Opened again later, never removed.
            Err(error @ Error::Store(StoreError::Held)) => return Err(error.into()),
            // A full disk is no damage either: the table is opened again once there is room.
            Err(error) if is_full(&error) => return Err(error.into()),
            Err(error) => return Ok(self.distrust(&error.to_string())),
        };
        let end = self.log.position();
        match table_fate(self.log.id(), Position::START, end, mark.map(|mark| (mark.log, mark.position))) {
            TableFate::Keep | TableFate::Replay(_) | TableFate::Reload if !self.table.has_this_index() => {
                Ok(self.distrust("it lacks entries that this version needs"))
            }
            TableFate::Keep | TableFate::Replay(_) | TableFate::Reload => Ok(mark),
            TableFate::Build if end == Position::START => Ok(None),
            TableFate::Build => Ok(self.distrust("it is empty")),
            TableFate::SetAside(why) => {
                self.set_aside(why)?;
                Ok(None)
            }
        }
    }

    /// Renames a table whose records may be nowhere else.
    fn set_aside(&self, why: &str) -> Result<(), Failure> {
        let shared = &self.table.0;
        shared.close_store();
        let mut name = shared.dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".replaced-{}", self.clock.now().as_millis()));
        let aside = shared.dir.with_file_name(name);
        std::fs::rename(&shared.dir, &aside)
            .and_then(|()| {
                let folder = aside.parent().filter(|folder| !folder.as_os_str().is_empty());
                std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
            })
            .map_err(|source| StoreError::Strange { path: shared.dir.clone(), source })?;
        tracing::error!(
            why,
            aside = %aside.display(),
            "the table is not this log's: it is kept under another name, and a new one is built from the log"
        );
        shared.status.lock().rebuilds += 1;
        Ok(())
    }

    /// Sets a table aside that is behind the log's snapshot and disagrees with it: a record of the
    /// snapshot that the table should have, for it is no newer, is missing or another one.
    fn compare_with(&self, mut snapshot: Box<dyn SnapshotReader>, applied: Position) -> Result<(), Failure> {
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
            // A damaged table is removed as ever: nothing can be told from it.
            let Ok(cell) = cell else { return Ok(()) };
            if cell.is_none_or(|cell| (cell.revision, cell.value) != (record.revision, &*record.value)) {
                drop(store);
                return self.set_aside("it has another history than the log's snapshot");
            }
        }
        Ok(())
    }

    fn distrust(&self, reason: &str) -> Option<Applied> {
        let shared = &self.table.0;
        tracing::warn!(reason, path = %shared.dir.display(), "the table is rebuilt from the log");
        shared.status.lock().rebuilds += 1;
        None
    }

    /// Starts from nothing.
    fn wipe(&self) -> Result<(), Failure> {
        let shared = &self.table.0;
        shared.close_store();
        // What readers found, they found in what goes now.
        shared.suspect.store(false, Ordering::Release);
        *shared.mark.lock() = None;
        shared.applied.store(0, Ordering::Release);
        let is_there = std::fs::symlink_metadata(&shared.dir).is_ok();
        if is_there && !shared.dir.is_dir() {
            self.set_aside("it is no folder")?;
        } else if is_there {
            std::fs::remove_dir_all(&shared.dir).map_err(sled::Error::Io).map_err(StoreError::from)?;
        }
        shared.open_store()?;
        let store = shared.store.read().clone();
        write::write_index_version(store.as_ref().ok_or_else(closed)?)?;
        Ok(())
    }

    /// Loads a frozen copy into the empty table, unless it is told to stop.
    fn load(&self, mut snapshot: Box<dyn SnapshotReader>) -> Result<Option<Box<dyn Follower>>, Failure> {
        let shared = &self.table.0;
        let (position, fingerprint) = (snapshot.position(), snapshot.fingerprint());
        let mut progress = Progress::new("rebuilding from the snapshot", fingerprint.count);
        {
            let store = shared.store.read().clone();
            let store = store.as_ref().ok_or_else(closed)?;
            let mut loaded = 0;
            let mut counts = Counts::of_frozen_copy();
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
                let entry = Entry { put: Put { key: record.key, value: Some(record.value) }, replaces: None };
                counts.created(store, &entry, record.revision)?;
                added.take(&entry, record.revision)?;
                loaded += 1;
                progress.at(loaded);
            }
            derived.finish(LOADED, &mut |pairs| store.write(pairs))?;
            counts.add_imported(store, position)?;
            counts.write(store, position)?;
            let entry = HistoryEntry { change: 0, state: fingerprint.digest() };
            history::append(store, &[(position, entry)])?;
            let mark = Applied { log: self.log.id(), position, fingerprint };
            write::write_mark(store, &mark)?;
            *shared.mark.lock() = Some(mark);
        }
        shared.applied.store(position.0, Ordering::Release);
        shared.dirty.store(true, Ordering::Release);
        match self.log.follow(position)? {
            Follow::Changes(follower) => Ok(Some(follower)),
            Follow::Compacted { .. } => {
                Err(Failure::Table(Error::NotReady("the log was compacted meanwhile".to_owned())))
            }
        }
    }
}

/// The click total that a put writes, unless it is the `own` node's.
fn total_of_other(put: &Put, own: NodeNumber) -> Option<(Id, NodeNumber, u64)> {
    if !put.is_clicks() {
        return None;
    }
    let (id, node) = keys::parse_clicks(&put.key).filter(|(_, node)| *node != own)?;
    Some((id, node, decode_clicks(put.value.as_ref()?).ok()?))
}

/// Returns whether sled found the disk full.
fn is_full(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Sled(sled::Error::Io(error))) if error.kind() == io::ErrorKind::StorageFull)
}

fn closed() -> Error {
    Error::NotReady("the table is closed".to_owned())
}
