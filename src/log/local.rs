//! A log in files: [`LocalLog`] puts the parts together and is the handle to them.
//!
//! Two threads belong to it, the committer and the keeper. [`Log::close`] ends it in order;
//! dropping it without is the same as a crash: nothing more is written.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::clock::{Clock, Timestamp};
use crate::log::committer::Committer;
use crate::log::disk::Disk;
use crate::log::follow::{self, Source, Tail};
use crate::log::scrub::Scrub;
pub use crate::log::shared::Settings;
use crate::log::shared::{Ending, Gauges, Queue, Request, Shared, Told, Work};
use crate::log::space::Space;
use crate::log::{Answer, Follow, Log, LogError, Position, Proposal, Status, Witness};
use crate::log::{compact, keeper, recovery};

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

impl LocalLog {
    /// Opens the log of a folder, or begins one in an empty folder. The caller holds the lock that
    /// keeps other processes out. `witness` is asked during the call already.
    pub fn open(
        disk: Arc<dyn Disk>,
        settings: Settings,
        clock: Clock,
        witness: Arc<dyn Witness>,
        space: Arc<Space>,
    ) -> Result<LocalLog, LogError> {
        let opened = recovery::recover(&disk, &settings, &witness, clock.now())?;
        let tail = Tail::new(opened.position, opened.manifest);
        let told = Told { repaired: opened.repaired, ..Told::default() };
        let shared = Arc::new(Shared {
            disk,
            settings,
            clock,
            witness,
            space,
            id: opened.id,
            source: Arc::new(Source { tail, chain: Mutex::new(opened.chain) }),
            queue: Queue::new(),
            gauges: Gauges { told: Mutex::new(told), ..Gauges::default() },
            keeping: Mutex::new(()),
        });
        let committer = Committer::new(Arc::clone(&shared), opened.writer, opened.sequence);
        let log = LocalLog { shared, threads: Mutex::new(Vec::new()) };
        log.start("log-commit", move || committer.run())?;
        let shared = Arc::clone(&log.shared);
        log.start("log-keeper", move || keeper::run(&shared))?;
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

    fn stop(&self, ending: Ending) {
        self.shared.queue.end(ending);
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has said so; the log is stopping anyway.
            drop(thread.join());
        }
        self.shared.source.tail.close();
    }
}

impl Log for LocalLog {
    fn propose(&self, proposal: Proposal, answer: Answer) {
        let bytes = OVERHEAD + proposal.puts.iter().map(|put| OVERHEAD + put.bytes()).sum::<usize>();
        let request = Request { proposal, answer, bytes };
        if let Err(refused) = self.shared.queue.push(Work::Commit(request))
            && let (Work::Commit(request), why) = *refused
        {
            (request.answer)(Err(why));
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
        let (position, manifest) = self.shared.source.tail.end();
        let (bytes, segments) = {
            let chain = self.shared.source.chain.lock();
            (chain.bytes(), chain.segments.len())
        };
        let gauges = &self.shared.gauges;
        let told = gauges.told.lock();
        Status {
            position,
            manifest,
            bytes,
            segments,
            failed_syncs: gauges.failed_syncs.load(Ordering::Relaxed),
            last_sync_error: told.sync_error.clone(),
            syncs: gauges.syncs.load(Ordering::Relaxed),
            disk_full: gauges.disk_full.load(Ordering::Relaxed) || self.shared.space.is_low(),
            repaired: told.repaired.clone(),
            damaged_segments: gauges.damaged_segments.load(Ordering::Relaxed),
            last_scrub: told.last_scrub,
        }
    }

    fn close(&self) {
        self.stop(Ending::Closing);
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.stop(Ending::Dropped);
    }
}
