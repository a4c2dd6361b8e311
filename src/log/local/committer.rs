//! The only writer of the log. It decides proposals in order, writes them in groups with one fsync each,
//! publishes the Changes and calls the callbacks.
//!
//! A callback gets `Ok` only after the fsync of its Change, and after the Change is in the tail, where
//! followers find it.

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

/// Limit for the bytes of one group. A larger group would delay its first proposal until its last one is
/// written.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How long proposals wait for a table that has not applied enough to decide them. After that they are
/// rejected and clients retry.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How often the committer polls the table in that time. The table has no way to notify it.
const CATCH_UP_POLL: Duration = Duration::from_millis(1);

/// Limit for writes that are logged and not applied, some 50 MB. Beyond it proposals wait. An import of a
/// million links is in the log before its table is this far behind. After a crash at that point, the next
/// start replays as many writes, which takes some 20 s.
const MAX_LAG: usize = 800_000;

/// The state of the writer thread.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    active: ActiveSegment,
    position: Position,
    fingerprint: Fingerprint,
    pending: PendingRevisions,
    /// Where the log ended at the start. The table must replay the log up to this position before it can
    /// decide proposals.
    opened_at: Position,
    /// The last records of preconditions.
    cache: RevisionCache,
    /// Whether the table did not catch up in time. Proposals do not wait again until it has caught up.
    lagging: bool,
}

/// Number of records in [`RevisionCache`]: the API key and the domain of a create, for two callers that take
/// turns. The oldest record is replaced.
const CACHED_REVISIONS: usize = 4;

/// The last records that preconditions named, and their revisions. Nearly all proposals name the same few
/// records, and each look-up costs a search in the table. Two rules keep the revisions right:
///
/// 1. A record is invalidated as soon as it is written.
/// 2. All records are invalidated when a write fails, because a revision may come from the batch that
///    failed.
#[derive(Default)]
struct RevisionCache {
    records: [Option<(Bytes, Position)>; CACHED_REVISIONS],
    oldest: usize,
}

impl RevisionCache {
    fn get(&self, key: &[u8]) -> Option<Position> {
        self.records.iter().flatten().find(|(known, _)| known == key).map(|(_, revision)| *revision)
    }

    fn insert(&mut self, key: Bytes, revision: Position) {
        self.records[self.oldest] = Some((key, revision));
        self.oldest = (self.oldest + 1) % CACHED_REVISIONS;
    }

    fn invalidate(&mut self, key: &[u8]) {
        for record in &mut self.records {
            record.take_if(|(known, _)| known == key);
        }
    }
}

/// A group of frames, with the Changes in it and the callbacks of its proposals.
#[derive(Default)]
struct Batch {
    group: FrameGroup,
    changes: Vec<Change>,
    outcomes: Vec<(Request, Result<Position, CommitError>)>,
}

impl Committer {
    /// Continues at the end of `writer`; `sequence` is the highest number of all segments.
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, sequence: u64) -> Committer {
        let (position, fingerprint) = shared.durable.tail.end();
        Committer {
            active: ActiveSegment::new(Arc::clone(&shared), writer, sequence),
            shared,
            position,
            fingerprint,
            pending: PendingRevisions::new(position),
            opened_at: position,
            cache: RevisionCache::default(),
            lagging: false,
        }
    }

    /// Runs until the log stops.
    pub(crate) fn run(mut self) {
        loop {
            let (works, mode) = self.shared.queue.take(MAX_BATCH_BYTES);
            // Only once the queue is drained: a clean close finishes queued proposals.
            if works.is_empty() && mode != CloseMode::Open {
                if mode == CloseMode::Closing {
                    self.active.close();
                }
                self.shared.durable.tail.close();
                return;
            }
            *self.shared.busy_since.lock() = Some(Instant::now());
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
            *self.shared.busy_since.lock() = None;
        }
    }

    fn commit(&mut self, requests: Vec<Request>) {
        let size = requests.iter().map(|r| r.bytes as u64).sum();
        // Checked before any decision, so that a rejected group has no effects.
        let ready = if self.shared.guard.admits(size) {
            // The gauge describes the last write, and this one is admitted.
            self.shared.gauges.disk_full.store(false, Ordering::Relaxed);
            self.active.ready()
        } else {
            Err(self.active.disk_full())
        };
        if let Err(why) = ready {
            return requests.into_iter().for_each(|request| complete(request, Err(why.clone())));
        }
        // A table that lags delays only the proposals that need it: click totals are still written.
        let caught_up = if requests.iter().any(|request| needs_table(&request.proposal)) {
            self.catch_up()
        } else {
            Ok(())
        };
        let before = (self.position, self.fingerprint);
        let mut batch = Batch::default();
        for request in requests {
            let outcome = match &caught_up {
                Err(why) if needs_table(&request.proposal) => Err(why.clone()),
                _ => self.decide(&request.proposal, &mut batch),
            };
            batch.outcomes.push((request, outcome));
        }
        if !batch.changes.is_empty()
            && let Err(why) = self.active.write(&mut batch.group)
        {
            self.pending.roll_back();
            // The cached revision may come from the batch that just failed.
            self.cache = RevisionCache::default();
            (self.position, self.fingerprint) = before;
            for (request, outcome) in batch.outcomes {
                // A conflict with a Change of the failed batch is no conflict. Only the size of a Change
                // does not depend on other Changes.
                let is_too_large = matches!(outcome, Err(CommitError::TooLarge { .. }));
                complete(request, if is_too_large { outcome } else { Err(why.clone()) });
            }
            return;
        }
        self.pending.keep();
        self.publish(batch);
    }

    /// Decides one proposal and adds its Change to the batch.
    fn decide(&mut self, proposal: &Proposal, batch: &mut Batch) -> Result<Position, CommitError> {
        let mut expected: HashMap<&[u8], _, ahash::RandomState> = HashMap::default();
        for Precondition { key, revision } in &proposal.preconditions {
            let actual = self.cached_revision(key)?;
            if actual != *revision {
                return Err(CommitError::Conflict { key: key.clone(), actual });
            }
            // A put of the same key replaces this revision, so the table is searched once.
            expected.insert(key, actual);
        }
        // Otherwise one revision would name two contents (`Fingerprint`).
        debug_assert!(each_key_once(&proposal.puts), "a proposal writes each key at most once");
        let position = self.position.next();
        let mut fingerprint = self.fingerprint;
        let mut stats = SegmentStats::default();
        let mut entries = Vec::with_capacity(proposal.puts.len());
        for put in &proposal.puts {
            let replaces = match expected.get(&*put.key) {
                // Click totals have no revisions, so the table is not searched for them.
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
        // With this position the frame proves what was synced before its group.
        let (durable, _) = self.shared.durable.tail.end();
        // Encoded before its effects are recorded: a Change that is too large must have none.
        frame::write_change(&mut batch.group.bytes, &change, durable)
            .map_err(|bytes| CommitError::TooLarge { bytes })?;
        for Put { key, value } in proposal.puts.iter().filter(|put| !put.is_clicks()) {
            self.pending.write(key, position, value.is_none());
            self.cache.invalidate(key);
        }
        (self.position, self.fingerprint) = (position, fingerprint);
        batch.group.frames += 1;
        batch.group.stats.add(stats);
        batch.group.end = (position, fingerprint);
        batch.changes.push(change);
        Ok(position)
    }

    fn cached_revision(&mut self, key: &Bytes) -> Result<Option<Position>, CommitError> {
        if let Some(revision) = self.cache.get(key) {
            return Ok(Some(revision));
        }
        let revision = self.revision(key)?;
        if let Some(revision) = revision {
            self.cache.insert(key.clone(), revision);
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

    /// Blocks until the table can decide every key that has no pending revision.
    fn catch_up(&mut self) -> Result<(), CommitError> {
        // Only the first group waits: otherwise each group would delay the click totals by the whole time.
        let patience = if self.lagging { Duration::ZERO } else { CATCH_UP };
        let deadline = Instant::now() + patience;
        loop {
            let applied = self.shared.applied();
            self.pending.trim(applied);
            // A new log has no record that a new table could lack. A table of another log is about to be
            // rebuilt, so its revisions are wrong.
            let ours = match self.shared.applied_state.log_id() {
                Some(id) => id == self.shared.id,
                None => self.pending.trimmed() == Position::START,
            };
            // Keys written up to here have no pending revision, so the table must have them.
            let needed = self.opened_at.max(self.pending.trimmed());
            if ours && applied >= needed && self.pending.len() <= MAX_LAG {
                self.lagging = false;
                return Ok(());
            }
            if Instant::now() >= deadline || self.shared.stopping() {
                self.lagging = true;
                return Err(CommitError::Unavailable(format!(
                    "the table has applied position {applied} of {} and is catching up",
                    self.position
                )));
            }
            std::thread::sleep(CATCH_UP_POLL);
        }
    }

    /// Publishes the durable Changes to followers, then calls the callbacks. In this order, so that a
    /// caller finds its own Change.
    fn publish(&mut self, batch: Batch) {
        if !batch.changes.is_empty() {
            self.shared.durable.tail.publish(batch.changes);
        }
        for (request, outcome) in batch.outcomes {
            complete(request, outcome);
        }
        // After each group, so that the map is no larger than the lag of the table.
        self.pending.trim(self.shared.applied());
    }

    fn correct(&mut self, difference: Fingerprint) {
        // By the difference: Changes were committed while the compaction read the log.
        self.fingerprint.count = self.fingerprint.count.wrapping_add(difference.count);
        self.fingerprint.sum = self.fingerprint.sum.wrapping_add(difference.sum);
        self.shared.durable.tail.correct(self.fingerprint);
    }
}

fn each_key_once(puts: &[Put]) -> bool {
    let keys: HashSet<&[u8]> = puts.iter().map(|put| &*put.key).collect();
    keys.len() == puts.len()
}

/// Returns whether a proposal needs revisions from the table. Click totals need none: they have no
/// preconditions and replace nothing.
fn needs_table(proposal: &Proposal) -> bool {
    !proposal.preconditions.is_empty() || proposal.puts.iter().any(|put| !put.is_clicks())
}

fn complete(request: Request, outcome: Result<Position, CommitError>) {
    (request.callback)(outcome);
}
