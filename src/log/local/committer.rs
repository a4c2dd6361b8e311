//! The one serial writer: decides proposals in order, writes them in groups with one fsync each,
//! publishes, outcomes.
//!
//! Promise: an answer `Ok` comes after the fsync that covers it and after the Change is in the
//! tail, where followers find it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::active_segment::{ActiveSegment, FrameGroup};
use super::pending_revisions::{LastWrite, PendingRevisions};
use super::segment::Writer;
use super::shared::{CloseMode, Request, Shared, Work};
use crate::log::frame;
use crate::log::frame::header_footer::SegmentStats;
use crate::log::{Change, CommitError, Entry, Fingerprint, Position, Precondition, Proposal, Put};

/// What one fsync covers at most: more would make the first of a group wait for the last.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long writers wait for a table that has not applied enough to judge them, before they are
/// last errors to come back.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How often the table is asked meanwhile. It has no way to call.
const CATCH_UP_POLL: Duration = Duration::from_millis(1);

/// Writes that may be logged and not applied: some 50 MB. More, and writers wait. An import of a
/// million links is in the log before its table has so many left. Cut by a crash then, it has the next
/// start replay as many, some 20 s.
const MAX_LAG: usize = 800_000;

/// The writer's state.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    active: ActiveSegment,
    position: Position,
    fingerprint: Fingerprint,
    pending: PendingRevisions,
    /// Where the log ended at the start: the table must have replayed up to here.
    opened_at: Position,
    /// What proposals relied on last.
    relied_on: ReliedOn,
    /// The table did not catch up in time; do not wait for it again until it has.
    lagging: bool,
}

/// Records kept in [`ReliedOn`]: the API key and the domain of a create, of two callers who take
/// turns. Past it the oldest is looked up again.
const RELIED_ON_MAX: usize = 4;

/// The last records that proposals relied on, with their revisions as the pending or the table has
/// them: nearly all proposals rely on the same few, and each look-up costs a search of the table.
/// An entry goes as soon as its record is written, and all go when writing fails.
#[derive(Default)]
struct ReliedOn {
    records: [Option<(Bytes, Position)>; RELIED_ON_MAX],
    oldest: usize,
}

impl ReliedOn {
    fn get(&self, key: &[u8]) -> Option<Position> {
        self.records.iter().flatten().find(|(known, _)| known == key).map(|(_, revision)| *revision)
    }

    fn insert(&mut self, key: Bytes, revision: Position) {
        self.records[self.oldest] = Some((key, revision));
        self.oldest = (self.oldest + 1) % RELIED_ON_MAX;
    }

    fn forget(&mut self, key: &[u8]) {
        for record in &mut self.records {
            record.take_if(|(known, _)| known == key);
        }
    }
}

/// A group on its way to the disk, and who waits for it.
#[derive(Default)]
struct Batch {
    group: FrameGroup,
    changes: Vec<Change>,
    outcomes: Vec<(Request, Result<Position, CommitError>)>,
}

impl Committer {
    /// Goes on at the end of `writer`.
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, sequence: u64) -> Committer {
        let (position, fingerprint) = shared.source.tail.end();
        Committer {
            active: ActiveSegment::new(Arc::clone(&shared), writer, sequence),
            shared,
            position,
            fingerprint,
            pending: PendingRevisions::new(position),
            opened_at: position,
            relied_on: ReliedOn::default(),
            lagging: false,
        }
    }

    /// Works until the log ends.
    pub(crate) fn run(mut self) {
        loop {
            let (works, mode) = self.shared.queue.take(MAX_BATCH_BYTES);
            if works.is_empty() && mode != CloseMode::Open {
                if mode == CloseMode::Closing {
                    self.active.close();
                }
                self.shared.source.tail.close();
                return;
            }
            let mut requests = Vec::new();
            for work in works {
                match work {
                    Work::Commit(request) => requests.push(request),
                    Work::Roll(done) => drop(done.send(self.active.roll())),
                    Work::Correct(difference) => self.correct(difference),
                }
            }
            if !requests.is_empty() {
                self.commit(requests);
            }
        }
    }

    fn commit(&mut self, requests: Vec<Request>) {
        let size = requests.iter().map(|r| r.bytes as u64).sum();
        let ready = if self.shared.space.admits(size) {
            self.shared.gauges.disk_full.store(false, Ordering::Relaxed);
            self.active.ready()
        } else {
            Err(self.active.disk_full())
        };
        if let Err(why) = ready {
            return requests.into_iter().for_each(|request| complete(request, Err(why.clone())));
        }
        let caught_up = if requests.iter().any(|request| asks_table(&request.proposal)) {
            self.catch_up()
        } else {
            Ok(())
        };
        let before = (self.position, self.fingerprint);
        let mut batch = Batch::default();
        for request in requests {
            let outcome = match &caught_up {
                Err(why) if asks_table(&request.proposal) => Err(why.clone()),
                _ => self.decide(&request.proposal, &mut batch),
            };
            batch.outcomes.push((request, outcome));
        }
        if !batch.changes.is_empty()
            && let Err(why) = self.active.write(&mut batch.group)
        {
            self.pending.roll_back();
            // A revision may be of a Change in the batch that failed.
            self.relied_on = ReliedOn::default();
            (self.position, self.fingerprint) = before;
            for (request, outcome) in batch.outcomes {
                // A conflict with a Change that never happened is no conflict.
                let refused_anyway = matches!(outcome, Err(CommitError::TooLarge { .. }));
                complete(request, if refused_anyway { outcome } else { Err(why.clone()) });
            }
            return;
        }
        self.pending.keep();
        self.publish(batch);
    }

    /// Judges one proposal and adds it to the batch.
    fn decide(&mut self, proposal: &Proposal, batch: &mut Batch) -> Result<Position, CommitError> {
        let mut expected: HashMap<&[u8], _, ahash::RandomState> = HashMap::default();
        for Precondition { key, revision } in &proposal.preconditions {
            let actual = self.relied_on(key)?;
            if actual != *revision {
                return Err(CommitError::Conflict { key: key.clone(), actual });
            }
            expected.insert(key, actual);
        }
        debug_assert!(each_key_once(&proposal.puts), "a proposal writes each key at most once");
        let position = self.position.next();
        let mut fingerprint = self.fingerprint;
        let mut stats = SegmentStats::default();
        let mut entries = Vec::with_capacity(proposal.puts.len());
        for put in &proposal.puts {
            let replaces = match expected.get(&*put.key) {
                _ if put.is_clicks() => None,
                Some(known) => *known,
                None => self.revision(&put.key)?,
            };
            let entry = Entry { put: put.clone(), replaces };
            entry.update(&mut fingerprint, position);
            stats.count(&put.key, put.value.as_deref());
            entries.push(entry);
        }
        let at = self.shared.clock.now();
        let change = Change { position, at, node: 0, request: proposal.request, entries, fingerprint };
        let (durable, _) = self.shared.source.tail.end();
        frame::write_change(&mut batch.group.bytes, &change, durable)
            .map_err(|bytes| CommitError::TooLarge { bytes })?;
        for Put { key, value } in proposal.puts.iter().filter(|put| !put.is_clicks()) {
            self.pending.write(key, position, value.is_none());
            self.relied_on.forget(key);
        }
        (self.position, self.fingerprint) = (position, fingerprint);
        batch.group.frames += 1;
        batch.group.stats.add(stats);
        batch.group.end = (position, fingerprint);
        batch.changes.push(change);
        Ok(position)
    }

    fn relied_on(&mut self, key: &Bytes) -> Result<Option<Position>, CommitError> {
        if let Some(revision) = self.relied_on.get(key) {
            return Ok(Some(revision));
        }
        let revision = self.revision(key)?;
        if let Some(revision) = revision {
            self.relied_on.insert(key.clone(), revision);
        }
        Ok(revision)
    }

    fn revision(&self, key: &[u8]) -> Result<Option<Position>, CommitError> {
        match self.pending.revision(key) {
            LastWrite::Pending(revision) => Ok(revision),
            LastWrite::InTable => {
                self.shared.applied_state.revision(key).map_err(|e| CommitError::Unavailable(e.to_string()))
            }
        }
    }

    /// Waits until the table can answer for every key that the pending does not know.
    fn catch_up(&mut self) -> Result<(), CommitError> {
        let patience = if self.lagging { Duration::ZERO } else { CATCH_UP };
        let deadline = Instant::now() + patience;
        loop {
            let applied = self.shared.applied();
            self.pending.trim(applied);
            // A fresh log has nothing that a fresh table could lack; a table of another log is
            // about to be rebuilt and must not be asked.
            let ours = match self.shared.applied_state.log_id() {
                Some(id) => id == self.shared.id,
                None => self.pending.trimmed() == Position::START,
            };
            let needed = self.opened_at.max(self.pending.trimmed());
            if ours && applied >= needed && self.pending.len() <= MAX_LAG {
                self.lagging = false;
                return Ok(());
            }
            if Instant::now() >= deadline || self.shared.stopping() {
                self.lagging = true;
                return Err(CommitError::Unavailable(format!(
                    "the table stands at position {applied} of {} and is catching up",
                    self.position
                )));
            }
            std::thread::sleep(CATCH_UP_POLL);
        }
    }

    /// Shows followers what became durable, then outcomes.
    fn publish(&mut self, batch: Batch) {
        if !batch.changes.is_empty() {
            self.shared.source.tail.publish(batch.changes);
        }
        for (request, outcome) in batch.outcomes {
            complete(request, outcome);
        }
        self.pending.trim(self.shared.applied());
    }

    fn correct(&mut self, difference: Fingerprint) {
        self.fingerprint.count = self.fingerprint.count.wrapping_add(difference.count);
        self.fingerprint.sum = self.fingerprint.sum.wrapping_add(difference.sum);
        self.shared.source.tail.correct(self.fingerprint);
    }
}

fn each_key_once(puts: &[Put]) -> bool {
    let keys: HashSet<&[u8]> = puts.iter().map(|put| &*put.key).collect();
    keys.len() == puts.len()
}

/// Click totals are written without asking: they replace nothing and expect nothing.
fn asks_table(proposal: &Proposal) -> bool {
    !proposal.preconditions.is_empty() || proposal.puts.iter().any(|put| !put.is_clicks())
}

fn complete(request: Request, outcome: Result<Position, CommitError>) {
    (request.callback)(outcome);
}
