//! A log in files: [`LocalLog`] puts the parts together and is the handle to them.
//!
//! Two threads belong to it, the committer and the keeper. [`Log::close`] ends it in order;
//! dropping it without is the same as a crash: nothing more is written.

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
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use self::committer::Committer;
pub use self::decision::{Forecast, TableFate, forecast, table_fate};
use self::disk::Disk;
use self::disk_guard::DiskGuard;
use self::follow::{Source, Tail};
pub use self::history::HistoryEntry;
use self::scrub::Scrub;
pub use self::shared::Settings;
use self::shared::{CloseMode, Gauges, LastErrors, Queue, Request, Shared, Work};
use crate::clock::{Clock, Timestamp};
use crate::log::{AppliedState, CommitCallback, Follow, Log, LogError, Position, Proposal, Status};

/// What a proposal takes on disk beside its keys and values, and a put: a guess on the high side,
/// for filling batches and judging space.
const OVERHEAD: usize = 64;

/// Begins a log on a disk that holds no file of one; otherwise does nothing.
pub fn begin(disk: &dyn Disk, now: Timestamp) -> Result<(), LogError> {
    recovery::begin_if_empty(disk, now)
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
    /// fsyncs that failed since the start, and the last one's error.
    pub failed_syncs: u64,
    /// The last failed fsync.
    pub last_sync_error: Option<String>,
    /// fsyncs that succeeded since the start: with `position`, how well groups commit.
    pub syncs: u64,
    /// Whether writes are refused because the volume's reserve is reached.
    pub disk_full: bool,
    /// Damage that was repaired at the start, as last errors in the log lines.
    pub repaired: Option<String>,
    /// Damage that scrubbing found in sealed segments since the start.
    pub damaged_segments: u64,
    /// When all sealed segments were last read through.
    pub last_scrub: Option<Timestamp>,
}

impl LocalLog {
    /// Opens the log of a folder, or begins one in an empty folder. The caller holds the lock that
    /// keeps other processes out. `applied_state` is asked during the call already.
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        clock: Clock,
        applied_state: Arc<dyn AppliedState>,
        space: Arc<DiskGuard>,
    ) -> Result<LocalLog, LogError> {
        let opened = recovery::recover(&disk, &settings, &applied_state, clock.now())?;
        let tail = Tail::new(opened.position, opened.fingerprint);
        let last_errors = LastErrors { repaired: opened.repaired, ..LastErrors::default() };
        let shared = Arc::new(Shared {
            disk,
            settings,
            clock,
            applied_state,
            space,
            id: opened.id,
            source: Arc::new(Source { tail, chain: Mutex::new(opened.chain) }),
            queue: Queue::new(),
            gauges: Gauges { last_errors: Mutex::new(last_errors), ..Gauges::default() },
            keeping: Mutex::new(()),
        });
        let committer = Committer::new(Arc::clone(&shared), opened.writer, opened.sequence);
        let log = LocalLog { shared, threads: Mutex::new(Vec::new()) };
        log.start("log-commit", move || committer.run())?;
        let shared = Arc::clone(&log.shared);
        log.start("log-keeper", move || maintenance::run(&shared))?;
        Ok(log)
    }

    fn start(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|source| {
            LogError::Io { what: "cannot start a thread for", path: self.shared.disk.path(""), source }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Writes a snapshot of what is live and removes everything older. Blocks; runs by itself when
    /// it is worth it.
    pub fn compact(&self) -> Result<(), LogError> {
        compact::compact(&self.shared)
    }

    /// Reads all sealed segments through at once; what is damaged is replaced from the table if
    /// that holds. Blocks; runs by itself, slowly.
    pub fn scrub(&self) {
        let mut scrub = Scrub::default();
        while !scrub.step(&self.shared, u64::MAX) {}
    }

    fn stop(&self, ending: CloseMode) {
        self.shared.queue.end(ending);
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has said so; the log is stopping anyway.
            drop(thread.join());
        }
        self.shared.source.tail.close();
    }
}

impl LocalLog {
    /// Returns the state of its files and of the disk.
    pub fn local_status(&self) -> LocalStatus {
        let (bytes, segments) = {
            let chain = self.shared.source.chain.lock();
            (chain.bytes(), chain.segments.len())
        };
        let gauges = &self.shared.gauges;
        let last_errors = gauges.last_errors.lock();
        LocalStatus {
            bytes,
            segments,
            failed_syncs: gauges.failed_syncs.load(Ordering::Relaxed),
            last_sync_error: last_errors.sync_error.clone(),
            syncs: gauges.syncs.load(Ordering::Relaxed),
            disk_full: gauges.disk_full.load(Ordering::Relaxed) || self.shared.space.is_low(),
            repaired: last_errors.repaired.clone(),
            damaged_segments: gauges.damaged_segments.load(Ordering::Relaxed),
            last_scrub: last_errors.last_scrub,
        }
    }
}

impl Log for LocalLog {
    fn propose(&self, proposal: Proposal, callback: CommitCallback) {
        let bytes = OVERHEAD + proposal.puts.iter().map(|put| OVERHEAD + put.bytes()).sum::<usize>();
        let request = Request { proposal, callback, bytes };
        if let Err(refused) = self.shared.queue.push(Work::Commit(request))
            && let (Work::Commit(request), why) = *refused
        {
            (request.callback)(Err(why));
        }
    }

    fn follow(&self, from: Position) -> Result<Follow, LogError> {
        follow::follow(&self.shared.source, from)
    }

    fn position(&self) -> Position {
        self.shared.source.tail.end().0
    }

    fn id(&self) -> u128 {
        self.shared.id
    }

    fn status(&self) -> Status {
        let (position, fingerprint) = self.shared.source.tail.end();
        let local = self.local_status();
        let ails = [
            (local.disk_full, "the disk is full: links cannot be changed until there is space"),
            (local.failed_syncs > 0, "the disk failed to confirm a write since the start"),
            (local.damaged_segments > 0, "damage was found in the log: run `waypost verify`"),
            (local.repaired.is_some(), "the log was repaired at the start: see the log lines"),
        ];
        let ails = ails.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect();
        Status { position, fingerprint, ails }
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
