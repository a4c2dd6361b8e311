//! Followers of the log. They read the newest Changes from memory, older ones from the segments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::segments::{Changes, Records, Segments};
use crate::log::{Change, Entry, Fingerprint, Follow, Follower, LogError, Position};

/// Bytes of recent Changes in memory: some seconds of the heaviest load. A follower further behind reads
/// the segments.
const RING_BYTES: usize = 4 * 1024 * 1024;

/// Memory of a Change beside its entries: the type itself, the counts of its `Arc` and its place in the ring,
/// rounded up.
const CHANGE_OVERHEAD: usize = 128;
const _: () =
    assert!(size_of::<Change>() + 3 * size_of::<usize>() <= CHANGE_OVERHEAD, "the ring is too large");

/// Memory of an entry beside key and value: the type itself, and a word of the allocator for each of the two
/// buffers, rounded up.
const ENTRY_OVERHEAD: usize = 128;
const _: () = assert!(size_of::<Entry>() + 2 * size_of::<usize>() <= ENTRY_OVERHEAD, "the ring is too large");

/// The durable end of the log, and the Changes just before it.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Locked for pushes and look-ups only, never across I/O: every commit and every follower locks it.
    state: Mutex<TailState>,
    grew: Condvar,
}

#[derive(Debug)]
struct TailState {
    position: Position,
    fingerprint: Fingerprint,
    ring: VecDeque<Arc<Change>>,
    bytes: usize,
    closed: bool,
}

fn weight(change: &Change) -> usize {
    CHANGE_OVERHEAD + change.entries.iter().map(|entry| ENTRY_OVERHEAD + entry.put.bytes()).sum::<usize>()
}

impl Tail {
    /// Creates the tail of a log that ends at `position`.
    pub(crate) fn new(position: Position, fingerprint: Fingerprint) -> Tail {
        let state = TailState { position, fingerprint, ring: VecDeque::new(), bytes: 0, closed: false };
        Tail { state: Mutex::new(state), grew: Condvar::new() }
    }

    /// Adds Changes that became durable, and wakes followers.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut state = self.state.lock();
        for change in changes {
            state.position = change.position;
            state.fingerprint = change.fingerprint;
            state.bytes += weight(&change);
            state.ring.push_back(Arc::new(change));
        }
        // The newest Change stays, even if it is larger than the ring.
        while state.bytes > RING_BYTES && state.ring.len() > 1 {
            if let Some(old) = state.ring.pop_front() {
                state.bytes -= weight(&old);
            }
        }
        // Released first, so that the woken followers do not wait for the lock.
        drop(state);
        self.grew.notify_all();
    }

    /// Returns the last durable position and its fingerprint.
    pub(crate) fn end(&self) -> (Position, Fingerprint) {
        let state = self.state.lock();
        (state.position, state.fingerprint)
    }

    /// Replaces the fingerprint by a corrected one.
    pub(crate) fn correct(&self, fingerprint: Fingerprint) {
        self.state.lock().fingerprint = fingerprint;
    }

    /// Wakes followers at the end, which then return no Change.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.grew.notify_all();
    }

    /// Blocks until there is a Change after `last`, or `patience` has passed.
    fn after(&self, last: Position, patience: Duration) -> Next {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.position <= last {
            if state.closed || self.grew.wait_until(&mut state, deadline).timed_out() {
                // A Change that came at the deadline is still returned.
                return if state.position > last { state.next(last) } else { Next::None };
            }
        }
        state.next(last)
    }
}

impl TailState {
    fn next(&self, last: Position) -> Next {
        let Some(first) = self.ring.front() else { return Next::OnDisk };
        let index = last.next().0.checked_sub(first.position.0).and_then(|i| usize::try_from(i).ok());
        // The ring contains every Change from its first one to the end, so the index is exact.
        match index.and_then(|i| self.ring.get(i)) {
            Some(change) => Next::Change(Arc::clone(change)),
            None => Next::OnDisk,
        }
    }
}

enum Next {
    Change(Arc<Change>),
    OnDisk,
    None,
}

/// The durable part of the log: what followers read.
#[derive(Debug)]
pub(crate) struct DurableLog {
    /// The durable end.
    pub(crate) tail: Tail,
    /// The segments. Locked for look-ups and replacements only, never across I/O.
    pub(crate) segments: Mutex<Segments>,
}

/// Starts to follow the log after `from`.
pub(crate) fn follow(durable: &Arc<DurableLog>, from: Position) -> Result<Follow, LogError> {
    let (end, _) = durable.tail.end();
    // The caller has applied Changes that this log does not have.
    if from > end {
        let text = format!("cannot follow the log from position {from}: it ends at {end}");
        return Err(LogError::Damaged(text));
    }
    let segments = durable.segments.lock();
    if from < segments.base()
        && let Some(snapshot) = segments.snapshot()
    {
        // Opened under the lock, so that no compaction removes the file first.
        return Ok(Follow::Compacted { snapshot: Box::new(Records::new(snapshot)?) });
    }
    drop(segments);
    Ok(Follow::Changes(Box::new(LocalFollower { durable: Arc::clone(durable), last: from, reader: None })))
}

/// A follower.
#[derive(Debug)]
struct LocalFollower {
    durable: Arc<DurableLog>,
    last: Position,
    /// Reads the current segment. The open file stays readable after compaction removes its name.
    reader: Option<Changes>,
}

impl Follower for LocalFollower {
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Change>>, LogError> {
        let change = match self.durable.tail.after(self.last, patience) {
            Next::None => return Ok(None),
            Next::Change(change) => {
                // Back at the tail, the follower needs no open file.
                self.reader = None;
                change
            }
            Next::OnDisk => Arc::new(self.read()?),
        };
        self.last = change.position;
        Ok(Some(change))
    }
}

impl LocalFollower {
    fn read(&mut self) -> Result<Change, LogError> {
        loop {
            if let Some(reader) = &mut self.reader
                && let Some(change) = reader.next()?
            {
                // A segment begins before the wanted position.
                if change.position > self.last {
                    return Ok(change);
                }
                continue;
            }
            self.advance()?;
        }
    }

    /// Opens the segment with the next position, or extends the reader to the segment's current end.
    fn advance(&mut self) -> Result<(), LogError> {
        loop {
            let segments = self.durable.segments.lock();
            let Some(segment) = segments.find(self.last.next()).cloned() else {
                // The tail is beyond this position, so the position is missing because a snapshot replaced
                // it.
                return Err(LogError::Compacted { position: segments.base() });
            };
            drop(segments);
            if let Some(reader) = &mut self.reader
                && reader.sequence() == segment.header.sequence
            {
                // The segment has grown since it was opened.
                reader.extend(&segment);
                return Ok(());
            }
            match Changes::new(&segment) {
                Ok(reader) => {
                    self.reader = Some(reader);
                    return Ok(());
                }
                // Compaction removes a segment from the list before it removes the file, so the next
                // look-up finds its successor.
                Err(_) if !self.durable.segments.lock().contains(segment.name()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
