//! The contract of the log: an ordered, durable sequence of [`Change`]s. The log is the source of all data:
//! table and cache are derived from it and may be lost at any moment.
//!
//! Callers use [`Log`], pass a [`Proposal`] to it, and read Changes with a [`Follower`]. [`local`] is the
//! engine that stores the log in files. Another engine implements the same contract
//! (`tests/suite/log_contract.rs`). Nothing in the contract depends on where a log is stored.
//!
//! Keys and values are opaque bytes; the table defines the records behind them. The log checks only the
//! first byte of a key, to leave click totals out of the [`Fingerprint`].

mod change;
pub mod fingerprint;
pub(crate) mod frame;
pub(crate) mod key_hash;
pub mod local;
mod position;
mod table_fate;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

pub use self::change::{CLICKS_PREFIX, Change, Entry, HistoryEntry, MAX_CHANGE_BYTES, Put, Record};
pub use self::fingerprint::Fingerprint;
pub use self::position::Position;
pub use self::table_fate::{TableFate, table_fate};

/// A revision that a proposal depends on. A proposal is committed only if all its preconditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The key of the record.
    pub key: Bytes,
    /// The revision that the record must have; `None` if the record must not exist.
    pub revision: Option<Position>,
}

/// A set of writes to commit, all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The conditions of the commit.
    pub preconditions: Vec<Precondition>,
    /// The writes; each key at most once.
    pub puts: Vec<Put>,
    /// See [`Change::request`].
    pub request: u64,
}

/// The reason why a proposal was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A precondition did not hold. Nothing was written.
    #[error("the record changed in between")]
    Conflict {
        /// The key of the precondition that failed.
        key: Bytes,
        /// The current revision. Changes that are logged but not applied yet are included.
        actual: Option<Position>,
    },
    /// The encoded Change would exceed [`MAX_CHANGE_BYTES`]. Nothing was written.
    #[error("the change of {bytes} bytes exceeds {MAX_CHANGE_BYTES}")]
    TooLarge {
        /// The size of the encoded Change.
        bytes: usize,
    },
    /// The volume has only its reserve left. Nothing was written. Writes resume when space is free again.
    #[error("the disk is full")]
    DiskFull,
    /// The log must begin a segment and no file descriptor is left. Nothing was written. Writes resume when
    /// connections close or the limit is raised.
    #[error("no file descriptor is left for the log")]
    // Apart from `DiskFull`, since another remedy helps.
    NoDescriptors,
    /// The fsync failed, so the write may or may not survive a crash. Clients repeat the request with the
    /// same Idempotency-Key.
    #[error("outcome unknown: the disk did not confirm the write")]
    Unknown,
    /// The log accepts no writes now: it is stopping, or its disk fails.
    #[error("the log accepts no writes: {0}")]
    Unavailable(String),
}

/// Called with the result of a proposal once the Change is durable, or once the proposal is rejected.
/// Dropped without a call if the log stops first. Runs on the log's writer thread, so it must not block.
pub type CommitCallback = Box<dyn FnOnce(Result<Position, CommitError>) + Send>;

/// The result of a proposal, as a future. Await it, or call [`Pending::wait`].
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Position, CommitError>>);

impl Pending {
    /// Returns a pending result, and the sender that completes it.
    pub fn new() -> (oneshot::Sender<Result<Position, CommitError>>, Pending) {
        let (sender, receiver) = oneshot::channel();
        (sender, Pending(receiver))
    }

    /// Blocks until the result is there. Must not be called on a worker thread of the runtime.
    pub fn wait(self) -> Result<Position, CommitError> {
        // A callback that was dropped: the log stopped first.
        self.0.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl Future for Pending {
    type Output = Result<Position, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> CommitError {
    CommitError::Unavailable("it was stopped".to_owned())
}

/// An ordered, durable log of Changes.
pub trait Log: Send + Sync + fmt::Debug {
    /// Queues a proposal. One serial writer decides proposals in the order of the calls. It compares
    /// preconditions with the table plus the Changes that are logged but not applied yet. Calls `callback`
    /// when the Change is durable.
    fn propose(&self, proposal: Proposal, callback: CommitCallback);

    /// Queues a proposal like [`Log::propose`]. Returns the result as a future.
    fn commit(&self, proposal: Proposal) -> Pending {
        let (sender, pending) = Pending::new();
        // The receiver may be gone: a caller may stop waiting, and the commit is valid all the same.
        self.propose(proposal, Box::new(move |result| drop(sender.send(result))));
        pending
    }

    /// Returns a follower of the Changes after `from`: durable ones only, in order and without gaps.
    fn follow(&self, from: Position) -> Result<Follow, LogError>;

    /// Returns the last durable position.
    fn position(&self) -> Position;

    /// Returns the id of this log, which no other log has. A table that was built from another log is not
    /// used.
    fn id(&self) -> u128;

    /// Returns position, fingerprint and health.
    fn status(&self) -> LogStatus;

    /// Asks for the removal of what later writes have replaced, although it takes little room: it should not be readable
    /// any more. Returns at once; an engine without old records does nothing.
    fn compact_soon(&self);

    /// Rejects further proposals, finishes the queued ones and writes the mark of a clean close. Blocks.
    fn close(&self);
}

/// The result of [`Log::follow`].
pub enum Follow {
    /// The Changes after the requested position.
    Changes(Box<dyn Follower>),
    /// The requested Changes were compacted; only the state at a later position is left. Read all records
    /// of the snapshot, then follow from the position of the snapshot.
    Compacted {
        /// Reads every live record, in no particular order.
        snapshot: Box<dyn SnapshotReader>,
    },
}

/// Reads Changes in order, as they become durable.
pub trait Follower: Send {
    /// Returns the next Change, or `None` if none became durable within `patience` or the log is closed.
    /// Fails with [`LogError::Compacted`] if compaction removed the next Change.
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Change>>, LogError>;
}

/// Reads a frozen copy of all live records, click totals included.
pub trait SnapshotReader: Send {
    /// Returns the position of the snapshot. The snapshot may contain records of later revisions; a
    /// follower from this position returns their Changes again.
    fn position(&self) -> Position;

    /// Returns the fingerprint at the position of the snapshot.
    fn fingerprint(&self) -> Fingerprint;

    /// Returns the next record, or `None` at the end.
    fn next(&mut self) -> Result<Option<Record>, LogError>;
}

/// The table as the log sees it: the source of current revisions, and the second copy of all records if the
/// log is damaged. A table that is not open yet, or is damaged itself, returns nothing and `false`.
pub trait AppliedState: Send + Sync {
    /// Returns the id of the log that the table was built from.
    fn log_id(&self) -> Option<u128>;

    /// Returns the last position that the table has applied.
    fn applied(&self) -> Position;

    /// Returns the revision of a record in the table.
    fn revision(&self, key: &[u8]) -> Result<Option<Position>, LogError>;

    /// Reads every record and compares the result with the fingerprint of the applied position. Returns
    /// `true` if the table is intact.
    fn is_intact(&self) -> bool;

    /// Returns what the table stores about the log at a position. The default is nothing, as for a table
    /// without history.
    // A default, since only the table stores a history.
    fn history(&self, position: Position) -> Option<HistoryEntry> {
        let _ = position;
        None
    }

    /// Calls `each` with every record, click totals included, until `each` fails.
    fn each_record(&self, each: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError>;
}

/// The log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system rejected an operation.
    #[error("{what} {path}: {source}")]
    Io {
        /// The operation, as a verb ("cannot read").
        what: &'static str,
        /// The file.
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The files contradict each other. The text names file, offset, positions, what is still readable, and
    /// what to do.
    #[error("{0}")]
    Damaged(String),
    /// Compaction removed the next Change while a follower was reading. [`Log::follow`] returns the
    /// snapshot instead.
    #[error("the log was compacted up to position {position}: follow it again")]
    Compacted {
        /// The position of the snapshot.
        position: Position,
    },
    /// Compaction removed a segment that an archive did not keep open.
    #[error(
        "{path} was removed by a compaction of the running server: run the command again, or raise the limit of \
         open files (`ulimit -n`), so that the command can hold all segments open"
    )]
    Overtaken {
        /// The file of the segment.
        path: String,
    },
    /// The table failed to return a record.
    #[error("the table cannot be read: {0}")]
    Table(String),
}

/// The state of a log with any engine. An engine reports what only it has, such as segments and fsyncs,
/// itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// The last durable position.
    pub position: Position,
    /// The fingerprint at that position.
    pub fingerprint: Fingerprint,
    /// What is wrong, one sentence each, for anyone to read: no paths, no names. Empty for a sound log.
    pub problems: Vec<&'static str>,
}
