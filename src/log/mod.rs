//! The truth: an ordered log of [`Change`]s. Everything else (table, cache) follows from it and
//! may be lost at any moment.
//!
//! This file is what the rest of Waypost knows: [`Log`], what goes in ([`Proposal`]) and what
//! comes out ([`Follower`]). [`local`] keeps the log in files; another engine is one more file
//! under the same contract (`tests/suite/log.rs`). Nothing here says whether a log is local.
//!
//! Keys and values are opaque bytes: which record lies behind a key is the table's business. Only
//! the key's first byte matters here, and only to tell click totals from records: click totals
//! are left out of the [`Fingerprint`].

pub mod frame;
pub(crate) mod key_hash;
pub mod local;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::clock::Timestamp;

pub use self::local::{Forecast, HistoryEntry, TableFate, forecast, table_fate};

/// A place in the log: the first Change is at 1, each next one higher by one. 0 is "before all".
/// A record's revision *is* the position of the Change that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before the first Change.
    pub const START: Position = Position(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Largest Change, encoded: big imports stage chunks instead, so that one command never holds up
/// the others for long. A larger one is refused with [`CommitError::TooLarge`].
pub const MAX_CHANGE_BYTES: usize = 1024 * 1024;

/// First byte of the keys of click totals: absolute counts that only grow, left out of the
/// fingerprint (see the table's `keys.rs` for all other first bytes).
pub const CLICKS_PREFIX: u8 = b'c';

/// One entity written or removed. Always a whole record, never a delta, so that applying it twice
/// is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which entity.
    pub key: Bytes,
    /// Its new record; `None` removes it.
    pub value: Option<Bytes>,
}

impl Put {
    /// Whether it carries a click total.
    pub fn is_clicks(&self) -> bool {
        self.key.first() == Some(&CLICKS_PREFIX)
    }

    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A [`Put`] as the log holds it: with the revision it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is written.
    pub put: Put,
    /// The revision of the record it replaces or removes; `None` for one that did not exist, and
    /// for click totals. Makes the log self-describing: which records are live, and what the
    /// fingerprint is, follow from it alone.
    pub replaces: Option<Position>,
}

/// What happened: one command, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it stands.
    pub position: Position,
    /// When it was committed.
    pub at: Timestamp,
    /// The node that proposed it; 0 until there are several.
    pub node: u16,
    /// Ties it to the request that caused it; 0 for none.
    pub request: u64,
    /// What was written, in order.
    pub entries: Vec<Entry>,
    /// The fingerprint after it.
    pub fingerprint: Fingerprint,
}

/// A fingerprint of all live records: their number, and the sum modulo 2^128 of a hash of each
/// one's key and revision. Independent of order; click totals are left out.
///
/// A revision names its record's exact bytes (one Change writes a key once), so hashing it stands
/// for hashing the content, and the log can keep the fingerprint without reading old records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Live records.
    pub count: u64,
    /// Sum of their hashes.
    pub sum: u128,
}

impl Fingerprint {
    /// A record of this revision came to be. Wraps: the order of additions and removals does not
    /// matter.
    pub fn add(&mut self, key: &[u8], revision: Position) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(frame::record_hash(key, revision));
    }

    /// A record of this revision is no more.
    pub fn remove(&mut self, key: &[u8], revision: Position) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(frame::record_hash(key, revision));
    }

    /// Takes in one entry written at `position`.
    pub fn apply(&mut self, entry: &Entry, position: Position) {
        if entry.put.is_clicks() {
            return;
        }
        if let Some(old) = entry.replaces {
            self.remove(&entry.put.key, old);
        }
        if entry.put.value.is_some() {
            self.add(&entry.put.key, position);
        }
    }
}

/// What a proposal relies on: it is committed only if every expectation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// Which entity.
    pub key: Bytes,
    /// Its revision; `None` when it must not exist.
    pub revision: Option<Position>,
}

/// What is to be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What it relies on.
    pub preconditions: Vec<Precondition>,
    /// What it writes; each key at most once.
    pub puts: Vec<Put>,
    /// See [`Change::request`].
    pub request: u64,
}

/// Why a proposal was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold; nothing was written.
    #[error("the record changed meanwhile")]
    Conflict {
        /// The entity whose revision was another.
        key: Bytes,
        /// The revision it has, counting Changes that are logged but not applied yet.
        actual: Option<Position>,
    },
    /// The encoded Change would exceed [`MAX_CHANGE_BYTES`]; nothing was written.
    #[error("the change of {bytes} bytes exceeds {MAX_CHANGE_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The volume's reserve is reached; nothing was written. Heals when space returns.
    #[error("the disk is full")]
    DiskFull,
    /// The log must begin a segment and no file descriptor is left; nothing was written. Heals when
    /// connections close or the limit is raised.
    #[error("no file descriptor is left for the log")]
    NoDescriptors,
    /// The write may or may not survive a crash: its fsync failed. Repeat it with the same
    /// Idempotency-Key.
    #[error("outcome unknown: the disk did not confirm the write")]
    Unknown,
    /// The log takes no writes now: it is stopping, or its disk fails.
    #[error("the log takes no writes: {0}")]
    Unavailable(String),
}

/// Takes the answer to a proposal, once it is durable (or refused); dropped when the log stops
/// first. Runs on the log's own thread, which writes nothing meanwhile: it must not block.
pub type CommitCallback = Box<dyn FnOnce(Result<Position, CommitError>) + Send>;

/// The answer to a proposal as a future. Await it, or [`Pending::wait`].
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Position, CommitError>>);

impl Pending {
    /// A pending answer, and the end that gives it.
    pub fn new() -> (oneshot::Sender<Result<Position, CommitError>>, Pending) {
        let (sender, receiver) = oneshot::channel();
        (sender, Pending(receiver))
    }

    /// Blocks until the answer; never on a runtime worker.
    pub fn wait(self) -> Result<Position, CommitError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl Future for Pending {
    type Output = Result<Position, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped() -> CommitError {
    CommitError::Unavailable("it was stopped".to_owned())
}

/// An ordered, durable log of Changes.
pub trait Log: Send + Sync + fmt::Debug {
    /// Hands in a proposal. Proposals are decided in the order in which they are handed in, by
    /// one serial writer, against the table plus what is logged but not yet applied. The answer
    /// comes when the Change is durable.
    fn propose(&self, proposal: Proposal, callback: CommitCallback);

    /// As [`Log::propose`], for who waits for the answer alone.
    fn commit(&self, proposal: Proposal) -> Pending {
        let (sender, pending) = Pending::new();
        // Whoever gave up waiting loses nothing by it.
        self.propose(proposal, Box::new(move |answer| drop(sender.send(answer))));
        pending
    }

    /// Changes after `from`, in order, without gaps, durable ones only.
    fn follow(&self, from: Position) -> Result<Follow, LogError>;

    /// The last durable position.
    fn position(&self) -> Position;

    /// What identifies this log among all logs: a table built from another one is not trusted.
    fn id(&self) -> u128;

    /// Its position, fingerprint and health.
    fn status(&self) -> Status;

    /// Takes no more proposals, finishes those handed in, writes the clean-close mark. Blocks.
    fn close(&self);
}

/// Where following starts.
pub enum Follow {
    /// The Changes after the position asked for.
    Changes(Box<dyn Follower>),
    /// They are gone; the state at a later position is left. Take all records of the snapshot,
    /// then follow from its position.
    Compacted {
        /// Every live record, in no particular order.
        snapshot: Box<dyn SnapshotReader>,
    },
}

/// Changes in order, as they become durable.
pub trait Follower: Send {
    /// The next Change; `None` when none became durable within `patience` or the log is closed.
    /// [`LogError::Compacted`] when compaction overtook it.
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Change>>, LogError>;
}

/// A frozen copy of all live records (clicks among them).
pub trait SnapshotReader: Send {
    /// The position that it is the state of. Records of later revisions may be among it; following
    /// from here brings them again.
    fn position(&self) -> Position;

    /// The fingerprint at its position.
    fn fingerprint(&self) -> Fingerprint;

    /// The next record.
    fn next(&mut self) -> Result<Option<Record>, LogError>;
}

/// A live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which entity.
    pub key: Bytes,
    /// The position of the Change that wrote it.
    pub revision: Position,
    /// Its bytes.
    pub value: Bytes,
}

/// The table as the log sees it: who tells current revisions, and the second copy when the log
/// is damaged. A table not yet opened, or damaged itself, answers with nothing and `false`.
pub trait AppliedState: Send + Sync {
    /// The log it was built from.
    fn log_id(&self) -> Option<u128>;

    /// The last position applied.
    fn applied(&self) -> Position;

    /// The revision of a record, from the table alone.
    fn revision(&self, key: &[u8]) -> Result<Option<Position>, LogError>;

    /// Reads every record and compares with the fingerprint of the position applied: true when it
    /// is whole.
    fn holds(&self) -> bool;

    /// What is remembered of the log at a position; nothing by default, as for a table that has no
    /// memory of it.
    fn history(&self, position: Position) -> Option<HistoryEntry> {
        let _ = position;
        None
    }

    /// Calls `each` with every record (clicks among them) until it fails.
    fn each_record(&self, each: &mut dyn FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError>;
}

/// The log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried, as a verb ("cannot read").
        what: &'static str,
        /// On which file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The files contradict themselves. The text names file, offset, positions, what can still be
    /// read, and what to do.
    #[error("{0}")]
    Damaged(String),
    /// What comes next was compacted away while it was being followed: follow anew, which answers
    /// with the snapshot.
    #[error("the log was compacted up to position {position}: follow anew")]
    Compacted {
        /// The snapshot's.
        position: Position,
    },
    /// A segment was removed while an archive was being read, which the archive did not hold open.
    #[error(
        "{path} was removed by a compaction of the running server: run the command again, or raise the limit of \
         open files (`ulimit -n`), so that the command can hold all segments open"
    )]
    Overtaken {
        /// The segment's file.
        path: String,
    },
    /// The table failed while being asked.
    #[error("the table cannot be read: {0}")]
    AppliedState(String),
}

/// The state of a log, of whatever engine. What only one engine has, such as segments and fsyncs, that engine
/// reports itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Last durable position.
    pub position: Position,
    /// The fingerprint there.
    pub fingerprint: Fingerprint,
    /// What is wrong, one sentence each, for anyone to read: no paths, no names. Empty for a sound log.
    pub ails: Vec<&'static str>,
}
