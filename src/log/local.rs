//! The engine that stores a log in files. [`LocalLog`] assembles its parts and is the handle to them.
//!
//! The engine owns two threads, `log-commit` and `log-maintenance`. [`Log::close`] stops both cleanly. Dropping
//! the handle without a close has the effect of a crash: nothing more is written.

mod active_segment;
pub mod archive;
mod committer;
mod compact;
mod decision;
pub mod disk;
pub mod disk_guard;
mod folder;
mod follow;
mod history;
mod live_records;
mod maintenance;
pub(crate) mod markers;
mod pending_revisions;
mod recovery;
mod repair;
mod scan;
mod scrub;
mod segment;
mod segment_file;
mod segments;
mod shared;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use self::committer::Committer;
pub use self::decision::Forecast;
use self::disk::{Disk, FsDisk};
use self::disk_guard::DiskGuard;
use self::follow::{DurableLog, Tail};
use self::scrub::Scrub;
pub use self::shared::Settings;
use self::shared::{CloseMode, Gauges, LastErrors, Request, Shared, Work, WorkQueue};
use crate::clock::{Clock, Timestamp};
use crate::log::{AppliedState, CommitCallback, Follow, Log, LogError, LogStatus, Position, Proposal};

/// Upper estimate of the bytes on disk of a proposal, and of each put, beside keys and values. Used to fill
/// batches and to estimate space.
const OVERHEAD: usize = 64;

/// The folder of a log that is not open yet. A start needs two steps:
///
/// 1. The log exists before a table is created: a table without a log stops the next start.
/// 2. The table is open before the log: the log reads revisions from it, and repairs itself with it.
#[derive(Clone, Debug)]
pub struct LogFolder(Arc<FsDisk>);

impl LogFolder {
    /// Opens the folder, and creates it if it is missing.
    pub fn create(path: &Path) -> io::Result<LogFolder> {
        Ok(LogFolder(Arc::new(FsDisk::open(path)?)))
    }

    /// Opens an existing folder for reading, also beside a server that writes to it.
    pub fn read_only(path: &Path) -> io::Result<LogFolder> {
        Ok(LogFolder(Arc::new(FsDisk::read_only(path)?)))
    }

    /// Begins a log if the folder contains no file of a log.
    pub fn begin_if_empty(&self, now: Timestamp) -> Result<(), LogError> {
        recovery::begin_if_empty(&*self.0, now)
    }

    /// Returns what [`LogFolder::open`] will do with this log and this table. Writes nothing.
    pub fn forecast(
        &self,
        settings: &Settings,
        applied_state: &Arc<dyn AppliedState>,
    ) -> Result<Forecast, LogError> {
        let disk: Arc<dyn Disk> = Arc::<FsDisk>::clone(&self.0);
        decision::forecast(&disk, settings, applied_state)
    }

    /// Opens the log. See [`LocalLog::open`].
    pub fn open(
        self,
        settings: Settings,
        clock: Clock,
        applied_state: Arc<dyn AppliedState>,
        guard: Arc<DiskGuard>,
    ) -> Result<LocalLog, LogError> {
        LocalLog::open(self.0, settings, clock, applied_state, guard)
    }
}

/// A log in one folder.
pub struct LocalLog {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog").field("disk", &self.shared.disk).finish_non_exhaustive()
    }
}

/// The state of the files of a [`LocalLog`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalStatus {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// Number of fsyncs that failed since the start.
    pub failed_syncs: u64,
    /// The error of the last failed fsync.
    pub last_sync_error: Option<String>,
    /// Number of fsyncs that succeeded since the start. Compared with `position`, it shows how many commits
    /// share an fsync.
    pub syncs: u64,
    /// Whether writes are rejected because the volume has only its reserve left.
    pub disk_full: bool,
    /// The damage that was repaired at the start, in the words of the log line.
    pub repaired: Option<String>,
    /// Number of damaged segments that scrubbing found since the start.
    pub damaged_segments: u64,
    /// When scrubbing last finished all sealed segments.
    pub last_scrub: Option<Timestamp>,
}

impl LocalLog {
    /// Opens the log of a folder, or begins one in an empty folder. The caller must hold the lock that
    /// excludes other processes. Calls `applied_state` before it returns.
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        clock: Clock,
        applied_state: Arc<dyn AppliedState>,
        guard: Arc<DiskGuard>,
    ) -> Result<LocalLog, LogError> {
        let opened = recovery::recover(&disk, &settings, &applied_state, clock.now())?;
        let tail = Tail::new(opened.position, opened.fingerprint);
        let last_errors = LastErrors { repaired: opened.repaired, ..LastErrors::default() };
        let shared = Arc::new(Shared {
            disk,
            settings,
            clock,
            applied_state,
            guard,
            id: opened.id,
            durable: Arc::new(DurableLog { tail, segments: Mutex::new(opened.segments) }),
            queue: WorkQueue::new(),
            gauges: Gauges { last_errors: Mutex::new(last_errors), ..Gauges::default() },
            busy_since: Mutex::new(None),
            is_compaction_wanted: AtomicBool::new(false),
            maintenance: Mutex::new(()),
        });
        let committer = Committer::new(Arc::clone(&shared), opened.writer, opened.sequence);
        let log = LocalLog { shared, threads: Mutex::new(Vec::new()) };
        // The committer first: the maintenance queues work for it.
        log.start("log-commit", move || committer.run())?;
        let shared = Arc::clone(&log.shared);
        log.start("log-maintenance", move || maintenance::run(&shared))?;
        Ok(log)
    }

    fn start(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|source| {
            LogError::Io { what: "cannot start a thread for", path: self.shared.disk.path(""), source }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Writes a snapshot of all live records and removes everything older. Blocks. The maintenance thread
    /// does the same when enough of the log is dead.
    pub fn compact(&self) -> Result<(), LogError> {
        compact::compact(&self.shared)
    }

    /// Reads all sealed segments at once, and rewrites damaged ones from an intact table. Blocks. The
    /// maintenance thread does the same slowly.
    pub fn scrub(&self) {
        let mut scrub = Scrub::default();
        while !scrub.step(&self.shared, u64::MAX) {}
    }

    fn stop(&self, mode: CloseMode) {
        // Before the joins: both threads block on the queue.
        self.shared.queue.end(mode);
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has logged its panic, and the log is stopping anyway.
            drop(thread.join());
        }
        // Again: a committer that panicked has not closed the tail.
        self.shared.durable.tail.close();
    }
}

impl LocalLog {
    /// Fails if the path no longer leads to the folder, like [`Disk::check_path`].
    pub fn check_path(&self) -> io::Result<()> {
        self.shared.disk.check_path()
    }

    /// Returns whether the writer has worked on one group for longer than this, as on a disk that does not answer.
    pub fn is_stuck(&self, longer_than: Duration) -> bool {
        self.shared.busy_since.lock().is_some_and(|since| since.elapsed() > longer_than)
    }

    /// Returns the state of the files and of the disk.
    pub fn local_status(&self) -> LocalStatus {
        // The locks are not nested: the committer acquires the one of the segments for each group.
        let (bytes, segments) = {
            let segments = self.shared.durable.segments.lock();
            (segments.bytes(), segments.list.len())
        };
        let gauges = &self.shared.gauges;
        let last_errors = gauges.last_errors.lock();
        LocalStatus {
            bytes,
            segments,
            failed_syncs: gauges.failed_syncs.load(Ordering::Relaxed),
            last_sync_error: last_errors.sync_error.clone(),
            syncs: gauges.syncs.load(Ordering::Relaxed),
            disk_full: gauges.disk_full.load(Ordering::Relaxed) || self.shared.guard.is_low(),
            repaired: last_errors.repaired.clone(),
            damaged_segments: gauges.damaged_segments.load(Ordering::Relaxed),
            last_scrub: last_errors.last_scrub,
        }
    }
}

impl Log for LocalLog {
    fn propose(&self, proposal: Proposal, callback: CommitCallback) {
        // Computed once, on the thread of the caller: the queue and the guard use the same estimate.
        let bytes = OVERHEAD + proposal.puts.iter().map(|put| OVERHEAD + put.bytes()).sum::<usize>();
        let request = Request { proposal, callback, bytes };
        if let Err(refused) = self.shared.queue.push(Work::Commit(request))
            && let (Work::Commit(request), why) = *refused
        {
            // A rejected proposal gets its result on the thread of the caller.
            (request.callback)(Err(why));
        }
    }

    fn follow(&self, from: Position) -> Result<Follow, LogError> {
        follow::follow(&self.shared.durable, from)
    }

    fn position(&self) -> Position {
        self.shared.durable.tail.end().0
    }

    fn id(&self) -> u128 {
        self.shared.id
    }

    fn status(&self) -> LogStatus {
        let (position, fingerprint) = self.shared.durable.tail.end();
        let local = self.local_status();
        let problems = [
            (local.disk_full, "the disk is full: links cannot be changed until there is space"),
            // Until the next start: a disk that failed once may fail again.
            (local.failed_syncs > 0, "the disk failed to confirm a write since the start"),
            (local.damaged_segments > 0, "damage was found in the log: run `waypost verify`"),
            (local.repaired.is_some(), "the log was repaired at the start: see the log lines"),
        ];
        let problems = problems.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect();
        LogStatus { position, fingerprint, problems }
    }

    fn compact_soon(&self) {
        self.shared.is_compaction_wanted.store(true, Ordering::Relaxed);
    }

    fn close(&self) {
        self.stop(CloseMode::Closing);
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.stop(CloseMode::Dropped);
    }
}
