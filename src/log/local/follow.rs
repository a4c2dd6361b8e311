//! Following the log: from memory at its tail, from the segments when behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::segments::{Changes, Records, Segments};
use crate::log::{Change, Fingerprint, Follow, Follower, LogError, Position};

/// Bytes of recent Changes kept in memory for followers at the tail: some seconds of the heaviest
/// writing. A follower further behind reads the segments.
const RING_BYTES: usize = 4 * 1024 * 1024;

/// What a Change takes in memory beside its keys and values.
const CHANGE_OVERHEAD: usize = 128;

/// The durable end of the log, and the Changes just before it.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Held for pushes and look-ups only, never across I/O.
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
    CHANGE_OVERHEAD + change.entries.iter().map(|entry| CHANGE_OVERHEAD + entry.put.bytes()).sum::<usize>()
}

impl Tail {
    /// A log that ends at `position`.
    pub(crate) fn new(position: Position, fingerprint: Fingerprint) -> Tail {
        let state = TailState { position, fingerprint, ring: VecDeque::new(), bytes: 0, closed: false };
        Tail { state: Mutex::new(state), grew: Condvar::new() }
    }

    /// These Changes are durable.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut state = self.state.lock();
        for change in changes {
            state.position = change.position;
            state.fingerprint = change.fingerprint;
            state.bytes += weight(&change);
            state.ring.push_back(Arc::new(change));
        }
        while state.bytes > RING_BYTES && state.ring.len() > 1 {
            if let Some(old) = state.ring.pop_front() {
                state.bytes -= weight(&old);
            }
        }
        drop(state);
        self.grew.notify_all();
    }

    /// The last durable position, and the fingerprint there.
    pub(crate) fn end(&self) -> (Position, Fingerprint) {
        let state = self.state.lock();
        (state.position, state.fingerprint)
    }

    /// The fingerprint was computed anew.
    pub(crate) fn correct(&self, fingerprint: Fingerprint) {
        self.state.lock().fingerprint = fingerprint;
    }

    /// Followers at the end wait no longer.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.grew.notify_all();
    }

    /// Waits for the Change after `last`.
    fn after(&self, last: Position, patience: Duration) -> Next {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.position <= last {
            if state.closed || self.grew.wait_until(&mut state, deadline).timed_out() {
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
        // The ring holds every Change from its first to the end, without gaps.
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

/// What following needs of the log.
#[derive(Debug)]
pub(crate) struct DurableLog {
    /// The end.
    pub(crate) tail: Tail,
    /// The segments. Locked for look-ups and replacements only.
    pub(crate) segments: Mutex<Segments>,
}

/// Starts following after `from`.
pub(crate) fn follow(source: &Arc<DurableLog>, from: Position) -> Result<Follow, LogError> {
    let (end, _) = source.tail.end();
    if from > end {
        let text = format!("asked to follow the log from position {from}, but it ends at {end}");
        return Err(LogError::Damaged(text));
    }
    let segments = source.segments.lock();
    if from < segments.base()
        && let Some(snapshot) = segments.snapshot()
    {
        return Ok(Follow::Compacted { snapshot: Box::new(Records::new(snapshot)?) });
    }
    drop(segments);
    Ok(Follow::Changes(Box::new(LocalFollower { source: Arc::clone(source), last: from, reader: None })))
}

/// A follower's place.
#[derive(Debug)]
struct LocalFollower {
    source: Arc<DurableLog>,
    last: Position,
    /// Open on the segment being read; readable even when compaction removes it.
    reader: Option<Changes>,
}

impl Follower for LocalFollower {
    fn next(&mut self, patience: Duration) -> Result<Option<Arc<Change>>, LogError> {
        let change = match self.source.tail.after(self.last, patience) {
            Next::None => return Ok(None),
            Next::Change(change) => {
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
                if change.position > self.last {
                    return Ok(change);
                }
                continue;
            }
            self.advance()?;
        }
    }

    /// Opens the segment with the next position, or lets the reader see how far it has grown.
    fn advance(&mut self) -> Result<(), LogError> {
        loop {
            let segments = self.source.segments.lock();
            let Some(segment) = segments.find(self.last.next()).cloned() else {
                // The log ends after it (the tail said so), hence it is behind the snapshot.
                return Err(LogError::Compacted { position: segments.base() });
            };
            drop(segments);
            if let Some(reader) = &mut self.reader
                && reader.sequence() == segment.header.sequence
            {
                reader.extend(&segment);
                return Ok(());
            }
            match Changes::new(&segment) {
                Ok(reader) => {
                    self.reader = Some(reader);
                    return Ok(());
                }
                // Compaction takes a segment out of the segments before it removes the file, so the next
                // look-up finds what is there instead.
                Err(_) if !self.source.segments.lock().contains(segment.name()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
