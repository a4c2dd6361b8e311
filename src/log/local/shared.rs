//! What the log's threads share: the segments, the queue of work, the counters.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::disk_guard::DiskGuard;
use super::follow::DurableLog;
use crate::clock::{Clock, Timestamp};
use crate::log::{AppliedState, CommitCallback, CommitError, Fingerprint, Position, Proposal};
use crate::settings::BadSetting;

/// Bytes of proposals that may wait. Each is held by a client that waits too; past this they are
/// refused at once, so that a slow disk costs bounded memory.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// What can be set about the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A segment is sealed at this size. The start reads the last segment whole, so it bounds the
    /// start.
    pub segment_bytes: u64,
    /// The log is compacted above this size, when more than half of it is dead.
    pub compact_above: u64,
    /// How fast sealed segments are read through in search of damage, in bytes per second; 0
    /// turns it off.
    pub scrub_rate: u64,
    /// Go on without what damage made unreadable (`serve --accept-loss`); never from a file.
    #[serde(skip)]
    pub accept_loss: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_bytes: 64 * 1024 * 1024,
            compact_above: 64 * 1024 * 1024,
            // 3 GB in an hour: a disk's thousandth.
            scrub_rate: 1024 * 1024,
            accept_loss: false,
        }
    }
}

impl Settings {
    /// Every rule about a value that has the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let rule = "must be from 1048576 to 1073741824";
        if !(1 << 20..=1 << 30).contains(&self.segment_bytes) {
            return Err(BadSetting::new("segment_bytes", self.segment_bytes, rule));
        }
        if self.compact_above < 1 << 20 {
            return Err(BadSetting::new("compact_above", self.compact_above, "must be at least 1048576"));
        }
        Ok(())
    }
}

/// Everything that outlives one call.
pub(crate) struct Shared {
    /// The folder.
    pub(crate) disk: Arc<dyn Disk>,
    /// What was set.
    pub(crate) settings: Settings,
    /// Dates Changes and segments.
    pub(crate) clock: Clock,
    /// The table.
    pub(crate) applied_state: Arc<dyn AppliedState>,
    /// The full-disk guard.
    pub(crate) space: Arc<DiskGuard>,
    /// Which log this is.
    pub(crate) id: u128,
    /// The segments and the durable end.
    pub(crate) source: Arc<DurableLog>,
    /// What the committer is to do.
    pub(crate) queue: WorkQueue,
    /// For `/metrics`.
    pub(crate) gauges: Gauges,
    /// One compaction, healing or scrub at a time.
    pub(crate) maintenance: Mutex<()>,
}

impl Shared {
    /// How far the table has come in *this* log.
    pub(crate) fn applied(&self) -> Position {
        if self.applied_state.log_id() == Some(self.id) {
            self.applied_state.applied()
        } else {
            Position::START
        }
    }

    /// Whether the threads are to stop.
    pub(crate) fn stopping(&self) -> bool {
        self.queue.is_ending.load(Ordering::Relaxed)
    }
}

/// Numbers that only grow, and the last words of failures.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// fsyncs that succeeded.
    pub(crate) syncs: AtomicU64,
    /// fsyncs that failed.
    pub(crate) failed_syncs: AtomicU64,
    /// Whether the last write was refused for want of space.
    pub(crate) disk_full: AtomicBool,
    /// Segments that scrubbing found damaged.
    pub(crate) damaged_segments: AtomicU64,
    /// What is last errors in words.
    pub(crate) last_errors: Mutex<LastErrors>,
}

/// See [`Gauges::last_errors`].
#[derive(Debug, Default)]
pub(crate) struct LastErrors {
    /// The last failed fsync's error.
    pub(crate) sync_error: Option<String>,
    /// What was repaired.
    pub(crate) repaired: Option<String>,
    /// When scrubbing last came through.
    pub(crate) last_scrub: Option<Timestamp>,
}

/// A proposal and who waits for it.
pub(crate) struct Request {
    /// What is proposed.
    pub(crate) proposal: Proposal,
    /// Takes the answer.
    pub(crate) callback: CommitCallback,
    /// What it will take on disk, more or less.
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
    /// A proposal.
    Commit(Request),
    /// Begin a new segment, so that all there is now can be compacted.
    Roll(oneshot::Sender<Result<(), CommitError>>),
    /// The fingerprint was computed anew and differs: what to add to it.
    Correct(Fingerprint),
}

/// How the log stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseMode {
    /// It does not.
    Open,
    /// In order: what waits is finished, and the clean close written.
    Closing,
    /// As if the power went: nothing more is written.
    Dropped,
}

/// The committer's queue.
#[derive(Debug)]
pub(crate) struct WorkQueue {
    /// Held to push and to take, never across I/O.
    state: Mutex<QueueState>,
    ready: Condvar,
    ended: Condvar,
    /// Some ending was asked for; read without the lock in long loops.
    is_ending: AtomicBool,
}

#[derive(Debug)]
struct QueueState {
    works: VecDeque<Work>,
    bytes: usize,
    mode: CloseMode,
}

impl WorkQueue {
    /// An empty one.
    pub(crate) fn new() -> WorkQueue {
        let state = QueueState { works: VecDeque::new(), bytes: 0, mode: CloseMode::Open };
        WorkQueue {
            state: Mutex::new(state),
            ready: Condvar::new(),
            ended: Condvar::new(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// Hands in work, or gives it back with the reason.
    pub(crate) fn push(&self, work: Work) -> Result<(), Box<(Work, CommitError)>> {
        let bytes = work.bytes();
        let mut state = self.state.lock();
        if state.mode != CloseMode::Open {
            return Err(Box::new((work, crate::log::stopped())));
        }
        if state.bytes + bytes > MAX_WAITING_BYTES {
            let why = CommitError::Unavailable("too many writes are waiting".to_owned());
            return Err(Box::new((work, why)));
        }
        state.bytes += bytes;
        state.works.push_back(work);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Takes what waits, in order: a run of commits of about `bytes`, or one other work. Blocks
    /// while there is nothing; empty when the log ends.
    pub(crate) fn take(&self, bytes: usize) -> (Vec<Work>, CloseMode) {
        let mut state = self.state.lock();
        while state.works.is_empty() && state.mode == CloseMode::Open {
            self.ready.wait(&mut state);
        }
        if state.mode == CloseMode::Dropped {
            state.works.clear();
        }
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(work) = state.works.front() {
            let commit = matches!(work, Work::Commit(_));
            size += work.bytes();
            if !taken.is_empty() && (!commit || size > bytes) {
                break;
            }
            taken.extend(state.works.pop_front());
            if !commit {
                break;
            }
        }
        state.bytes -= taken.iter().map(Work::bytes).sum::<usize>().min(state.bytes);
        (taken, state.mode)
    }

    /// Waits until an ending is asked for; false when `patience` ran out first.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if state.mode == CloseMode::Open {
            self.ended.wait_for(&mut state, patience);
        }
        state.mode != CloseMode::Open
    }

    /// Ends it; an end in order is not turned into a crash by what comes later.
    pub(crate) fn end(&self, mode: CloseMode) {
        let mut state = self.state.lock();
        if state.mode == CloseMode::Open {
            state.mode = mode;
        }
        drop(state);
        self.is_ending.store(true, Ordering::Relaxed);
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
