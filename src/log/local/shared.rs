//! What the threads of the log share: segments, work queue and gauges.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::disk_guard::DiskGuard;
use super::follow::DurableLog;
use crate::clock::{Clock, Timestamp};
use crate::log::{AppliedState, CommitCallback, CommitError, Fingerprint, Position, Proposal};
use crate::settings::BadSetting;

/// Limit for the bytes of queued proposals. A client waits for each of them. Beyond the limit proposals are
/// rejected at once, so a slow disk costs bounded memory.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The settings of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A segment is sealed at this size. The start reads the last segment whole, so the size also bounds
    /// the start.
    pub segment_bytes: u64,
    /// The log is compacted above this size, once more than half of it is dead.
    pub compact_above: u64,
    /// How fast scrubbing reads sealed segments, in bytes per second; 0 turns scrubbing off.
    pub scrub_rate: u64,
    /// Whether to start without the data that damage made unreadable (`serve --accept-loss`). Never read
    /// from a file.
    #[serde(skip)]
    pub accept_loss: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_bytes: 64 * 1024 * 1024,
            compact_above: 64 * 1024 * 1024,
            // 3 GB per hour, a thousandth of what a disk reads.
            scrub_rate: 1024 * 1024,
            accept_loss: false,
        }
    }
}

impl Settings {
    /// Checks all rules for values of the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let rule = "must be from 1048576 to 1073741824";
        // Smaller segments would be many files, larger ones a long start.
        if !(1 << 20..=1 << 30).contains(&self.segment_bytes) {
            return Err(BadSetting::new("segment_bytes", self.segment_bytes, rule));
        }
        if self.compact_above < 1 << 20 {
            return Err(BadSetting::new("compact_above", self.compact_above, "must be at least 1048576"));
        }
        Ok(())
    }
}

/// The state that all threads of the log share.
pub(crate) struct Shared {
    /// The folder of the log.
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Settings,
    /// The source of the times of Changes and segments.
    pub(crate) clock: Clock,
    /// The table.
    pub(crate) applied_state: Arc<dyn AppliedState>,
    /// The guard against a full disk.
    pub(crate) guard: Arc<DiskGuard>,
    /// The id of the log.
    pub(crate) id: u128,
    /// The segments and the durable end.
    pub(crate) durable: Arc<DurableLog>,
    /// Work for the committer.
    pub(crate) queue: WorkQueue,
    /// The numbers behind `/metrics`.
    pub(crate) gauges: Gauges,
    /// Since when the committer works on a group. `None` while it waits for work.
    pub(crate) busy_since: Mutex<Option<Instant>>,
    /// Whether a compaction is wanted that is not due.
    pub(crate) is_compaction_wanted: AtomicBool,
    /// Held during a compaction or a repair: each replaces segments, so only one may run at a time.
    pub(crate) maintenance: Mutex<()>,
}

impl Shared {
    /// Returns the position that the table has applied, or 0 if the table belongs to another log.
    pub(crate) fn applied(&self) -> Position {
        if self.applied_state.log_id() == Some(self.id) {
            self.applied_state.applied()
        } else {
            Position::START
        }
    }

    /// Returns whether the threads must stop.
    pub(crate) fn stopping(&self) -> bool {
        // Relaxed: the threads only need to see the stop soon.
        self.queue.is_ending.load(Ordering::Relaxed)
    }
}

/// Counters, and the texts of the last failures.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Number of fsyncs that succeeded.
    pub(crate) syncs: AtomicU64,
    /// Number of fsyncs that failed.
    pub(crate) failed_syncs: AtomicU64,
    /// Whether the last write was rejected because the disk was full.
    pub(crate) disk_full: AtomicBool,
    /// Number of segments that scrubbing found damaged.
    pub(crate) damaged_segments: AtomicU64,
    /// Texts and times of the last events.
    pub(crate) last_errors: Mutex<LastErrors>,
}

/// See [`Gauges::last_errors`].
#[derive(Debug, Default)]
pub(crate) struct LastErrors {
    /// The error of the last failed fsync.
    pub(crate) sync_error: Option<String>,
    /// Description of the last repair.
    pub(crate) repaired: Option<String>,
    /// When scrubbing last finished all segments.
    pub(crate) last_scrub: Option<Timestamp>,
}

/// A proposal and its callback.
pub(crate) struct Request {
    pub(crate) proposal: Proposal,
    /// Called with the result.
    pub(crate) callback: CommitCallback,
    /// Estimated bytes on disk.
    pub(crate) bytes: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("proposal", &self.proposal).finish_non_exhaustive()
    }
}

/// Work for the committer.
#[derive(Debug)]
pub(crate) enum Work {
    /// Commit a proposal.
    Commit(Request),
    /// Begin a new segment, so that everything before it can be compacted.
    Roll(oneshot::Sender<Result<(), CommitError>>),
    /// Correct the fingerprint by this difference: a compaction computed another one.
    Correct(Fingerprint),
}

/// How the log stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// The log does not stop.
    Open,
    /// A clean stop: queued proposals are finished, and the clean close is written.
    Closing,
    /// A stop like a crash: nothing more is written.
    Dropped,
}

/// The queue of the committer.
#[derive(Debug)]
pub(crate) struct WorkQueue {
    /// Locked to push and to take, never across I/O: callers on runtime threads push.
    state: Mutex<QueueState>,
    ready: Condvar,
    ended: Condvar,
    /// Whether a stop was requested. A copy of `QueueState::mode` that long loops read without the lock.
    is_ending: AtomicBool,
}

#[derive(Debug)]
struct QueueState {
    works: VecDeque<Work>,
    bytes: usize,
    mode: CloseMode,
}

impl WorkQueue {
    /// Creates an empty queue.
    pub(crate) fn new() -> WorkQueue {
        let state = QueueState { works: VecDeque::new(), bytes: 0, mode: CloseMode::Open };
        WorkQueue {
            state: Mutex::new(state),
            ready: Condvar::new(),
            ended: Condvar::new(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// Queues work. Returns the work and the reason if the queue rejects it.
    pub(crate) fn push(&self, work: Work) -> Result<(), Box<(Work, CommitError)>> {
        let bytes = work.bytes();
        let mut state = self.state.lock();
        // Under the lock: no work can be queued after the committer has found the queue empty.
        if state.mode != CloseMode::Open {
            return Err(Box::new((work, crate::log::stopped())));
        }
        if state.bytes + bytes > MAX_WAITING_BYTES {
            let why = CommitError::Unavailable("too many writes are queued".to_owned());
            return Err(Box::new((work, why)));
        }
        state.bytes += bytes;
        state.works.push_back(work);
        // Released first, so that the committer finds the lock free.
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Takes queued work in order: a run of commits of about `bytes`, or one other work. Blocks while the
    /// queue is empty. Returns no work once the log stops and the queue is drained.
    pub(crate) fn take(&self, bytes: usize) -> (Vec<Work>, CloseMode) {
        let mut state = self.state.lock();
        while state.works.is_empty() && state.mode == CloseMode::Open {
            self.ready.wait(&mut state);
        }
        if state.mode == CloseMode::Dropped {
            // As after a crash, queued proposals are lost; their callbacks are dropped.
            state.works.clear();
        }
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(work) = state.works.front() {
            let commit = matches!(work, Work::Commit(_));
            size += work.bytes();
            // At least one work is taken, even if it exceeds `bytes`.
            if !taken.is_empty() && (!commit || size > bytes) {
                break;
            }
            taken.extend(state.works.pop_front());
            if !commit {
                break;
            }
        }
        // A drop clears the queue, but not its size.
        state.bytes -= taken.iter().map(Work::bytes).sum::<usize>().min(state.bytes);
        (taken, state.mode)
    }

    /// Blocks until a stop is requested. Returns `false` if `patience` passed first.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        // Otherwise a stop before this call would only be seen after the whole time.
        if state.mode == CloseMode::Open {
            self.ended.wait_for(&mut state, patience);
        }
        state.mode != CloseMode::Open
    }

    /// Requests a stop. The first request counts: a drop after a clean close does not turn it into a crash.
    pub(crate) fn end(&self, mode: CloseMode) {
        let mut state = self.state.lock();
        if state.mode == CloseMode::Open {
            state.mode = mode;
        }
        drop(state);
        self.is_ending.store(true, Ordering::Relaxed);
        // The committer waits for the one, the maintenance thread for the other.
        self.ready.notify_all();
        self.ended.notify_all();
    }
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Commit(request) => request.bytes,
            Work::Roll(_) | Work::Correct(_) => 0,
        }
    }
}
