//! The apply thread: applies the log's Changes in order. At the start it replays the missing Changes, or
//! rebuilds a table that it cannot trust (`rebuild.rs`). Between Changes it scrubs. It is the only thread that
//! writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::{Error, StoreError};
use super::handle::{NAP, Shared, Table};
use super::keys;
use super::progress::Progress;
use super::record::{Applied, Corrupt, decode_clicks};
use super::scrub::Pass;
use super::write;
use crate::clock::Clock;
use crate::log::{Change, Fingerprint, Follow, Follower, Log, LogError, Position, Put};
use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;
use crate::readiness::{Latch, Readiness};

/// Called with each applied Change, before the callbacks of tasks that wait for it.
pub trait Observer: Send + Sync {
    /// Called after a replay or rebuild: all state must be read from the table again.
    fn reset(&self, table: &Table) -> Result<(), Error>;
    /// Called when the table fails. Its content is unknown until the next `reset`.
    fn failed(&self);
    /// Called with one applied Change.
    fn applied(&self, change: &Change);
    /// Called before `applied` with the links whose records the Change has removed, or replaced by another link. A renamed
    /// link is among them, and in the Change under its new key.
    fn links_gone(&self, _links: &[(WorkspaceNumber, Id)]) {}
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

/// Pause before a failed store is opened again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
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
        self.0.notes.close();
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

pub(super) struct Applier {
    pub(super) table: Table,
    pub(super) log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    may_write: MayWrite,
    pub(super) clock: Clock,
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
            // Between batches: a result relies on the record that was checked.
            self.write_notes()?;
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
        let (mut next, mut count, mut bytes) = (Some(first), 0, 0);
        // The Changes of which the observer does not know. Only a Change that is held back waits here, so that they
        // have few bytes more than the batch.
        let (mut unseen, mut last) = (Vec::new(), None);
        let (mut totals, own) = (Vec::new(), self.observer.node());
        while let Some(change) = next.take() {
            run.apply(&change)?;
            if let Some(pass) = pass.as_mut() {
                pass.follow(&change);
            }
            totals.extend(change.entries.iter().filter_map(|entry| total_of_other(&entry.put, own)));
            count += 1;
            // Without click totals: they are merged in memory, and bounded by `Run::is_full`.
            let records = change.entries.iter().filter(|entry| !entry.put.is_clicks());
            bytes += records.map(|entry| entry.put.bytes()).sum::<usize>();
            if count < BATCH && bytes < BATCH_BYTES && !run.is_full() {
                // Only Changes that are there already: a wait would delay the callbacks of this batch.
                next = follower.next(Duration::ZERO)?;
            }
            last = Some((change.position, change.fingerprint));
            unseen.push((change, run.take_gone()));
            // After their records are written: a load that begins then must not find the old ones.
            if !run.holds_back() {
                self.show(unseen.drain(..));
            }
        }
        run.finish()?;
        // Before the callbacks: a task that they wake finds the caches up to date.
        self.show(unseen.drain(..));
        // After `finish`, which writes the totals of the run.
        if !totals.is_empty() {
            self.observer.totals_applied(&totals);
        }
        // Last: a task that the callback wakes reads its own write.
        if let Some((position, fingerprint)) = last {
            self.mark(position, fingerprint);
            shared.waiters.applied(position);
        }
        Ok(count)
    }

    /// Passes applied Changes and the links that they have removed to the observer.
    fn show(&self, changes: impl Iterator<Item = (Arc<Change>, Vec<(WorkspaceNumber, Id)>)>) {
        for (change, gone) in changes {
            if !gone.is_empty() {
                self.observer.links_gone(&gone);
            }
            self.observer.applied(&change);
        }
    }

    /// Writes the results of checks that wait.
    fn write_notes(&self) -> Result<(), Failure> {
        let shared = &self.table.0;
        let store = shared.store.read().clone();
        if shared.notes.write(store.as_ref().ok_or_else(closed)?)? {
            shared.dirty.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Publishes the position of an applied Change.
    fn mark(&self, position: Position, fingerprint: Fingerprint) {
        let shared = &self.table.0;
        let mark = Applied { log: self.log.id(), position, fingerprint };
        // Before the position: a reader of the position then finds its fingerprint.
        *shared.mark.lock() = Some(mark);
        shared.applied.store(position.0, Ordering::Release);
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
}

/// Returns the click total that a put writes, unless its node is `own`.
fn total_of_other(put: &Put, own: NodeNumber) -> Option<(Id, NodeNumber, u64)> {
    if !put.is_clicks() {
        return None;
    }
    let (id, node) = keys::parse_clicks(&put.key).filter(|(_, node)| *node != own)?;
    Some((id, node, decode_clicks(put.value.as_ref()?).ok()?))
}

pub(super) fn closed() -> Error {
    Error::NotReady("the table is closed".to_owned())
}
