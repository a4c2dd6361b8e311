//! The apply thread: applies the log's Changes in order. At the start it replays the missing Changes, or
//! rebuilds a table that it cannot trust. Between Changes it scrubs. It is the only thread that writes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::{Error, StoreError};
use super::handle::{NAP, Shared, Table};
use super::history;
use super::keys::{self, Kind};
use super::progress::Progress;
use super::record::{Applied, Cell, Corrupt, decode_clicks};
use super::scrub::Pass;
use super::sort::Sorter;
use super::write::{self, Added, Counts};
use crate::clock::Clock;
use crate::log::{
    Change, Entry, Fingerprint, Follow, Follower, HistoryEntry, Log, LogError, Position, Put, SnapshotReader,
    TableFate, table_fate,
};
use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::readiness::{Latch, Readiness};

/// Called with each applied Change, before the callbacks of tasks that wait for it.
pub trait Observer: Send + Sync {
    /// Called after a replay or rebuild: all state must be read from the table again.
    fn reset(&self, table: &Table) -> Result<(), Error>;
    /// Called when the table fails. Its content is unknown until the next `reset`.
    fn failed(&self);
    /// Called with one applied Change.
    fn applied(&self, change: &Change);
    /// Returns the own node, whose click totals are not passed to `totals_applied`.
    fn node(&self) -> NodeNumber;
    /// Called with totals of other nodes that are in the table now: link, node and total.
    fn totals_applied(&self, totals: &[(Id, NodeNumber, u64)]);
}

/// Returns whether sled may write. On a full disk it must not, since it never recovers from an ENOSPC.
pub type MayWrite = Arc<dyn Fn() -> bool + Send + Sync>;

/// Most Changes applied before callbacks run. Bounds the wait while the table catches up with a burst. Single
/// Changes would each cost a write of the position and of counters.
const BATCH: usize = 256;

/// Bytes of Changes that end a batch: the disk is checked between batches. Equal to the smallest reserve on
/// the disk; 256 Changes of an import would be a hundred times as large.
const BATCH_BYTES: usize = 1024 * 1024;

/// The text of `/readyz` while the table is behind.
const CATCHING_UP: &str = "the table is catching up with the log";

/// Number of last positions whose records are compared with a newer snapshot: some 0.3 s of look-ups. Two
/// histories that have forked differ in their last records.
const COMPARED: u64 = 65_536;

/// Records of a snapshot that are written together: some 2 MB.
const LOADED: usize = 4_096;

/// Pause before a failed store is opened again.
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
    /// Starts the threads that follow `log`, and returns at once. Reads succeed once the table has caught up.
    /// Fails if the system cannot start a thread.
    pub fn start(
        &self,
        log: Arc<dyn Log>,
        observer: Arc<dyn Observer>,
        may_write: MayWrite,
        clock: Clock,
        readiness: &Readiness,
    ) -> io::Result<()> {
        let latch = readiness.hold(CATCHING_UP);
        let applier =
            Applier { table: self.clone(), log, observer, may_write, clock, readiness: readiness.clone() };
        let shared = Arc::clone(&self.0);
        let may_write = Arc::clone(&applier.may_write);
        // Held until both threads are in the list, since `stop` joins those that it finds there.
        let mut threads = self.0.threads.lock();
        // In this order: if the second thread fails to start, the first stops within `NAP`.
        threads.push(spawn("table-flush", move || flush_regularly(&shared, &may_write))?);
        let started = spawn("table-apply", move || applier.run(latch));
        let applier = started.inspect_err(|_| self.0.stopping.store(true, Ordering::Release))?;
        threads.push(applier);
        Ok(())
    }

    /// Applies the rest of the log, makes it durable, and closes the table. A table that is still catching
    /// up, or whose disk is full, leaves the rest to the next start. Blocks. The log must be closed before,
    /// so that it has an end.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *self.0.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the table panicked");
            }
        }
        // After the threads have ended: the last batch still calls its callbacks with true.
        self.0.waiters.close();
        self.0.ready.store(false, Ordering::Release);
        "stopped".clone_into(&mut self.0.status.lock().waiting_for);
        self.0.close_store();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Flushes sled regularly, and expires waits. Runs on its own thread: a flush takes tens of milliseconds, for
/// which no commit should wait.
fn flush_regularly(shared: &Shared, may_write: &MayWrite) {
    let interval = shared.settings.flush_interval;
    let mut last = Instant::now();
    loop {
        let stopping = shared.stopping.load(Ordering::Acquire);
        if stopping {
            return;
        }
        // On this thread: the apply thread may wait for space on the disk.
        shared.waiters.expire(Instant::now());
        // Cleared before the flush: a Change that is applied during the flush sets it again.
        if last.elapsed() >= interval && may_write() && shared.dirty.swap(false, Ordering::AcqRel) {
            flush(shared);
            last = Instant::now();
        }
        // At most a nap: a stop must not wait for a long interval.
        std::thread::sleep(NAP.min(interval));
    }
}

fn flush(shared: &Shared) {
    let store = shared.store.read().clone();
    let flushed = store.map_or(Ok(()), |store| store.flush());
    if let Err(error) = flushed {
        tracing::error!(%error, "the table could not be made durable; after a crash it is replayed from the log");
        shared.status.lock().last_error = Some(error.to_string());
        // The next round retries.
        shared.dirty.store(true, Ordering::Release);
    }
}

struct Applier {
    table: Table,
    log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    may_write: MayWrite,
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
            let is_out_of_space = matches!(failure, Failure::Table(Error::NotReady(_)));
            if is_out_of_space && shared.stopping.load(Ordering::Acquire) {
                // The position of the run was not written: the next start applies the run again.
                break;
            }
            // `/readyz` answers 503 again until the table has caught up.
            latch.get_or_insert_with(|| self.readiness.hold(CATCHING_UP));
            shared.ready.store(false, Ordering::Release);
            self.observer.failed();
            tracing::error!(error = %failure, "the table failed and is opened again");
            {
                let mut status = shared.status.lock();
                status.last_error = Some(failure.to_string());
                status.waiting_for = format!("the table failed: {failure}");
            }
            if shared.stopping.load(Ordering::Acquire) {
                break;
            }
            // A corrupt record stays corrupt after a reopening. An I/O error may be temporary.
            rebuild =
                matches!(failure, Failure::Table(Error::Corrupt(_) | Error::Store(StoreError::Panicked(_))));
            // sled keeps an I/O error for good: only a new instance can work again.
            shared.close_store();
            // Opening sled may write, and a rebuild does: both wait for the disk.
            while !(self.may_write)() && !shared.stopping.load(Ordering::Acquire) {
                std::thread::sleep(NAP);
            }
            std::thread::sleep(RETRY);
        }
        // On a full disk the next start replays what was not flushed.
        if (self.may_write)() {
            flush(shared);
        }
    }

    /// Opens the table, catches up, and applies Changes until the table stops.
    fn follow(&self, rebuild: bool, latch: &mut Option<Latch>) -> Result<(), Failure> {
        let shared = &self.table.0;
        let Some(mut follower) = self.catch_up(rebuild)? else { return Ok(()) };
        self.observer.reset(&self.table)?;
        // Ready only now: the observer has read its state.
        drop(latch.take());
        // Without a replay, or with a loaded snapshot, no batch has reported these positions.
        shared.waiters.applied(Position(shared.applied.load(Ordering::Acquire)));

        let interval = shared.settings.scrub_interval;
        let begin = || Pass::new(Position(shared.applied.load(Ordering::Acquire)));
        let mut pass = Some(begin());
        let mut last_pass = Instant::now();
        loop {
            // During a pass the wait is as long as a slice: Changes and the scrub share the time.
            let patience = if pass.is_some() { Duration::from_millis(2) } else { NAP };
            let stopping = shared.stopping.load(Ordering::Acquire);
            // The Changes stay in the log until the disk has space.
            if !(self.may_write)() {
                if stopping {
                    return Ok(());
                }
                std::thread::sleep(NAP);
                continue;
            }
            let applied = self.apply_batch(follower.as_mut(), patience, &mut pass)?;
            // The log is closed by then: no Change within the patience means the end of the log.
            if stopping && applied == 0 {
                return Ok(());
            }
            // Between batches, when the position of the run is written.
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

    /// Applies up to [`BATCH`] Changes or about [`BATCH_BYTES`], and runs their callbacks. Waits up to
    /// `patience` for the first. Returns the number of Changes.
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
        let may_go_on = || {
            while !(self.may_write)() {
                if shared.stopping.load(Ordering::Acquire) {
                    return false;
                }
                std::thread::sleep(NAP);
            }
            true
        };
        let mut run = write::Run::new(store, self.log.id(), marked, &may_go_on);
        let (mut next, mut last, mut count, mut bytes) = (Some(first), None, 0, 0);
        let (mut totals, own) = (Vec::new(), self.observer.node());
        while let Some(change) = next.take() {
            run.apply(&change)?;
            if let Some(pass) = pass.as_mut() {
                pass.follow(&change);
            }
            // Before the callbacks: a task that they wake finds the caches up to date.
            self.observer.applied(&change);
            totals.extend(change.entries.iter().filter_map(|entry| total_of_other(&entry.put, own)));
            count += 1;
            // Without click totals: they are merged in memory, and bounded by `Run::is_full`.
            let records = change.entries.iter().filter(|entry| !entry.put.is_clicks());
            bytes += records.map(|entry| entry.put.bytes()).sum::<usize>();
            if count < BATCH && bytes < BATCH_BYTES && !run.is_full() {
                // Only Changes that are there already: a wait would delay the callbacks of this batch.
                next = follower.next(Duration::ZERO)?;
            }
            last = Some(change);
        }
        run.finish()?;
        // After `finish`, which writes the totals of the run.
        if !totals.is_empty() {
            self.observer.totals_applied(&totals);
        }
        // Last: a task that the callback wakes reads its own write.
        if let Some(change) = last {
            self.mark(&change);
            shared.waiters.applied(change.position);
        }
        Ok(count)
    }

    /// Publishes the position of an applied Change.
    fn mark(&self, change: &Change) {
        let shared = &self.table.0;
        let mark = Applied { log: self.log.id(), position: change.position, fingerprint: change.fingerprint };
        // Before the position: a reader of the position then finds its fingerprint.
        *shared.mark.lock() = Some(mark);
        shared.applied.store(change.position.0, Ordering::Release);
        shared.dirty.store(true, Ordering::Release);
    }

    /// Scrubs one slice. Returns true at the end of a pass that found the table whole.
    fn scrub(&self, pass: &mut Pass) -> Result<bool, Failure> {
        let shared = &self.table.0;
        let store = shared.store.read().clone();
        let store = store.as_ref().ok_or_else(closed)?;
        if !pass.slice(store)? {
            return Ok(false);
        }
        let mark = *shared.mark.lock();
        // Without a position, the table is empty.
        pass.compare(mark.map_or_else(Fingerprint::default, |mark| mark.fingerprint))?;
        // After the comparison: counters are corrected only by records that are whole.
        pass.mend_counts(store)?;
        shared.status.lock().last_scrub = Some(self.clock.now());
        Ok(true)
    }

    /// Brings the table to the log's position and opens it for readers. Returns `None` if the table stops
    /// first: the next start continues, or rebuilds a table that has no position yet.
    fn catch_up(&self, rebuild: bool) -> Result<Option<Box<dyn Follower>>, Failure> {
        let shared = &self.table.0;
        "replaying the log".clone_into(&mut shared.status.lock().waiting_for);
        // A table that was just found to be damaged is not opened again.
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
                // Compared before it is removed: its records may exist nowhere else.
                if position != Position::START {
                    self.compare_with(snapshot, position)?;
                    self.wipe()?;
                }
                // The log may have been compacted again during the comparison.
                let Follow::Compacted { snapshot } = self.log.follow(Position::START)? else {
                    return Err(Error::NotReady("the log has no snapshot any more".to_owned()).into());
                };
                let Some(follower) = self.load(snapshot)? else { return Ok(None) };
                follower
            }
        };
        // Of this moment: Changes that come during the replay are applied when the table is ready.
        let goal = self.log.position();
        let mut progress = Progress::new("replaying the log", goal.0.saturating_sub(position.0));
        while Position(shared.applied.load(Ordering::Acquire)) < goal {
            if shared.stopping.load(Ordering::Acquire) {
                return Ok(None);
            }
            // Without a scrub, which would take half of the time.
            self.apply_batch(follower.as_mut(), NAP, &mut None)?;
            progress.at(shared.applied.load(Ordering::Acquire) - position.0);
        }
        shared.status.lock().waiting_for = String::new();
        shared.ready.store(true, Ordering::Release);
        Ok(Some(follower))
    }

    /// Opens the store and returns its position, `None` if the table must be rebuilt. A table of another log,
    /// or ahead of this log, is renamed.
    fn trusted_mark(&self) -> Result<Option<Applied>, Failure> {
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
    fn distrust(&self, reason: &str) -> Option<Applied> {
        let shared = &self.table.0;
        tracing::warn!(reason, path = %shared.dir.display(), "the table is rebuilt from the log");
        shared.status.lock().rebuilds += 1;
        None
    }

    /// Removes the table and opens an empty one.
    fn wipe(&self) -> Result<(), Failure> {
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
    fn load(&self, mut snapshot: Box<dyn SnapshotReader>) -> Result<Option<Box<dyn Follower>>, Failure> {
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

/// Returns the click total that a put writes, unless its node is `own`.
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
