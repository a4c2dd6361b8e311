//! The one serial writer: decides proposals in order, writes them in groups with one fsync each,
//! publishes, answers.
//!
//! Promises: an answer `Ok` comes after the fsync that covers it and after the Change is in the
//! tail; after a failed fsync the file is never written again; a new segment that names the last
//! durable position is durable before anything else is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::log::chain::Segment;
use crate::log::frame::ends::{Closed, Header, Kind, Tally};
use crate::log::frame::{self, FRAME_HEADER};
use crate::log::overlay::Overlay;
use crate::log::segment::{NotCreated, Writer};
use crate::log::shared::{Ending, Request, Shared, Work};
use crate::log::{Change, CommitError, Entry, Expect, Manifest, Position, Proposal, Put, recovery};

/// What one fsync covers at most: more would make the first of a group wait for the last.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A checkpoint stands after so many bytes of frames: near enough to find by hand where the
/// manifest went astray, at a cost of 50 bytes each.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// How long writers wait for a table that has not applied enough to judge them, before they are
/// told to come back.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How often the table is asked meanwhile. It has no way to call.
const CATCH_UP_POLL: Duration = Duration::from_millis(1);

/// Writes that may be logged and not applied: some 20 MB of keys. More, and writers wait.
const MAX_LAG: usize = 200_000;

/// First and longest pause between attempts to begin a segment on a disk that fails. Short, for
/// writes are refused meanwhile and healing is promised within 5 s.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The writer's state.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    /// `None` after a failure, until a new segment is begun.
    writer: Option<Writer>,
    /// Bytes of the segment at the last checkpoint.
    checkpointed: u64,
    /// The last number given to a segment, or tried.
    sequence: u64,
    position: Position,
    manifest: Manifest,
    overlay: Overlay,
    /// Where the log ended at the start: the table must have replayed up to here.
    opened_at: Position,
    /// The table did not catch up in time; do not wait for it again until it has.
    lagging: bool,
    /// When to try next to begin a segment, the pause after that, and why it failed.
    retry: Option<(Instant, Duration, CommitError)>,
    /// The last attempt to begin a segment failed so late that it may exist.
    maybe_named: bool,
}

/// A group on its way to the disk.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    changes: Vec<Change>,
    tally: Tally,
    answers: Vec<(Request, Result<Position, CommitError>)>,
}

impl Committer {
    /// Goes on at the end of `writer`, or in a new segment when there is none.
    pub(crate) fn new(shared: Arc<Shared>, writer: Option<Writer>, sequence: u64) -> Committer {
        let (position, manifest) = shared.source.tail.end();
        Committer {
            checkpointed: writer.as_ref().map_or(0, |w| w.end),
            shared,
            writer,
            sequence,
            position,
            manifest,
            overlay: Overlay::new(position),
            opened_at: position,
            lagging: false,
            retry: None,
            maybe_named: false,
        }
    }

    /// Works until the log ends.
    pub(crate) fn run(mut self) {
        loop {
            let (works, ending) = self.shared.queue.take(MAX_BATCH_BYTES);
            if works.is_empty() && ending != Ending::Open {
                if ending == Ending::Closing {
                    self.close();
                }
                self.shared.source.tail.close();
                return;
            }
            let mut requests = Vec::new();
            for work in works {
                match work {
                    Work::Commit(request) => requests.push(request),
                    Work::Roll(answer) => drop(answer.send(self.roll())),
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
            self.ready()
        } else {
            Err(self.disk_full())
        };
        if let Err(why) = ready {
            return requests.into_iter().for_each(|request| answer(request, Err(why.clone())));
        }
        let caught_up = if requests.iter().any(|request| asks_table(&request.proposal)) {
            self.catch_up()
        } else {
            Ok(())
        };
        let before = (self.position, self.manifest);
        let mut batch = Batch::default();
        for request in requests {
            let verdict = match &caught_up {
                Err(why) if asks_table(&request.proposal) => Err(why.clone()),
                _ => self.decide(&request.proposal, &mut batch),
            };
            batch.answers.push((request, verdict));
        }
        if !batch.changes.is_empty()
            && let Err(why) = self.write(&mut batch)
        {
            self.overlay.roll_back();
            (self.position, self.manifest) = before;
            for (request, verdict) in batch.answers {
                // A conflict with a Change that never happened is no conflict.
                let refused_anyway = matches!(verdict, Err(CommitError::TooLarge { .. }));
                answer(request, if refused_anyway { verdict } else { Err(why.clone()) });
            }
            return;
        }
        self.overlay.keep();
        self.publish(batch);
    }

    /// Judges one proposal and adds it to the batch.
    fn decide(&mut self, proposal: &Proposal, batch: &mut Batch) -> Result<Position, CommitError> {
        for Expect { key, revision } in &proposal.expects {
            let actual = self.revision(key)?;
            if actual != *revision {
                return Err(CommitError::Conflict { key: key.clone(), actual });
            }
        }
        let position = self.position.next();
        let mut manifest = self.manifest;
        let mut tally = Tally::default();
        let mut entries = Vec::with_capacity(proposal.puts.len());
        for put in &proposal.puts {
            let replaces = if put.is_clicks() { None } else { self.revision(&put.key)? };
            let entry = Entry { put: put.clone(), replaces };
            manifest.apply(&entry, position);
            tally.count(&put.key, put.value.as_deref());
            entries.push(entry);
        }
        let at = self.shared.clock.now();
        let change = Change { position, at, node: 0, request: proposal.request, entries, manifest };
        let (durable, _) = self.shared.source.tail.end();
        frame::write_change(&mut batch.bytes, &change, durable)
            .map_err(|bytes| CommitError::TooLarge { bytes })?;
        for Put { key, value } in proposal.puts.iter().filter(|put| !put.is_clicks()) {
            self.overlay.write(key.clone(), position, value.is_none());
        }
        (self.position, self.manifest) = (position, manifest);
        batch.tally.add(tally);
        batch.changes.push(change);
        Ok(position)
    }

    fn revision(&self, key: &[u8]) -> Result<Option<Position>, CommitError> {
        match self.overlay.revision(key) {
            Some(known) => Ok(known),
            None => self.shared.witness.revision(key).map_err(|e| CommitError::Unavailable(e.to_string())),
        }
    }

    /// Waits until the table can answer for every key that the overlay does not know.
    fn catch_up(&mut self) -> Result<(), CommitError> {
        let patience = if self.lagging { Duration::ZERO } else { CATCH_UP };
        let deadline = Instant::now() + patience;
        loop {
            let applied = self.shared.applied();
            self.overlay.trim(applied);
            // A fresh log has nothing that a fresh table could lack; a table of another log is
            // about to be rebuilt and must not be asked.
            let ours = match self.shared.witness.log_id() {
                Some(id) => id == self.shared.id,
                None => self.overlay.trimmed() == Position::START,
            };
            let needed = self.opened_at.max(self.overlay.trimmed());
            if ours && applied >= needed && self.overlay.len() <= MAX_LAG {
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

    /// Makes the batch durable.
    fn write(&mut self, batch: &mut Batch) -> Result<(), CommitError> {
        let mut frames = batch.changes.len() as u64;
        let writer = self.writer.as_mut().ok_or(CommitError::Unknown)?;
        if writer.end + batch.bytes.len() as u64 - self.checkpointed > CHECKPOINT_BYTES {
            frame::write_checkpoint(&mut batch.bytes, self.position, self.manifest);
            frames += 1;
            self.checkpointed = writer.end + batch.bytes.len() as u64;
        }
        if let Err(error) = writer.append(&batch.bytes, frames, batch.tally) {
            // Cut and synced, the frames are gone for good, and the refusal is certain.
            let cut = is_full(&error) && self.cut();
            if !cut {
                self.abandon("write to", &error);
                return Err(CommitError::Unknown);
            }
            self.shared.space.ran_out();
            return Err(self.disk_full());
        }
        let synced = self.sync();
        if let Err(error) = &synced {
            self.abandon("sync", error);
            return Err(CommitError::Unknown);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let done = writer.file.sync_data();
        self.note_sync(&done);
        done
    }

    fn cut(&mut self) -> bool {
        let Some(writer) = &self.writer else { return false };
        let done = writer.cut();
        self.note_sync(&done);
        self.checkpointed = self.checkpointed.min(writer.end);
        done.is_ok()
    }

    fn note_sync(&self, done: &io::Result<()>) {
        let gauges = &self.shared.gauges;
        match done {
            Ok(()) => {
                gauges.syncs.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                gauges.failed_syncs.fetch_add(1, Ordering::Relaxed);
                gauges.told.lock().sync_error = Some(error.to_string());
            }
        }
    }

    /// The file's state is not known any more: no byte goes there again.
    fn abandon(&mut self, what: &str, error: &io::Error) {
        let Some(writer) = self.writer.take() else { return };
        let file = self.shared.disk.path(&writer.name().to_string());
        tracing::error!(%file, %error, "could not {what} the log; writes in doubt were answered so");
        // At once, not with the next write: until the new header is durable, a restart would
        // take the frames in doubt for good. Which end (position, manifest) it names is what the
        // tail has: only what was durable.
        (self.position, self.manifest) = self.shared.source.tail.end();
        if let Err(why) = self.begin_segment() {
            tracing::error!(error = %why, "no new log segment either: trying again with the next writes");
        }
    }

    /// Makes sure that there is a segment to write to, with room in it.
    fn ready(&mut self) -> Result<(), CommitError> {
        let full = self.writer.as_ref().map(|w| w.end >= self.shared.settings.segment_bytes);
        match full {
            Some(false) => Ok(()),
            Some(true) => {
                // The old segment serves on when a new one cannot be begun.
                if self.may_retry()
                    && let Err(why) = self.roll()
                {
                    tracing::warn!(error = %why, "the log goes on in a segment beyond its size");
                }
                self.writer.as_ref().map(drop).ok_or(CommitError::Unknown)
            }
            None if self.may_retry() => self.begin_segment(),
            None => Err(self.retry.as_ref().map_or(CommitError::Unknown, |(_, _, why)| why.clone())),
        }
    }

    fn may_retry(&self) -> bool {
        self.retry.as_ref().is_none_or(|(at, _, _)| Instant::now() >= *at)
    }

    /// Begins a new segment and seals the one before it, in this order: a sealed segment without
    /// a successor shows that a file was lost.
    fn roll(&mut self) -> Result<(), CommitError> {
        let old = self.writer.take();
        if let Err(why) = self.begin_segment() {
            // Unless the new one may be there after a restart, and hide what is written here.
            if !self.maybe_named {
                self.writer = old;
            }
            return Err(why);
        }
        let Some(old) = old else { return Ok(()) };
        match old.seal(self.position, self.manifest) {
            Ok(footer) => {
                let mut chain = self.shared.source.chain.lock();
                let sequence = old.header.sequence;
                if let Some(segment) = chain.segments.iter_mut().find(|s| s.header.sequence == sequence) {
                    segment.footer = Some(footer);
                }
            }
            // Its frames are durable all the same; the next start reads them instead of a footer.
            Err(error) => tracing::warn!(segment = %old.name(), %error, "could not seal a log segment"),
        }
        Ok(())
    }

    /// A new segment after the durable end.
    fn begin_segment(&mut self) -> Result<(), CommitError> {
        self.sequence += 1;
        let header = Header {
            kind: Kind::Changes,
            log: self.shared.id,
            sequence: self.sequence,
            before: self.position,
            manifest: self.manifest,
            created: self.shared.clock.now(),
        };
        let disk = &*self.shared.disk;
        match Writer::create(disk, header) {
            Ok(writer) => {
                self.shared.source.chain.lock().segments.push(segment_of(&writer, disk));
                self.checkpointed = writer.end;
                self.writer = Some(writer);
                self.retry = None;
                Ok(())
            }
            Err(NotCreated { error, named }) => {
                self.maybe_named = named;
                let why = if is_full(&error) {
                    self.disk_full()
                } else {
                    CommitError::Unavailable(format!("no new segment can be begun: {error}"))
                };
                let pause = self.retry.as_ref().map_or(RETRY.0, |(_, pause, _)| (*pause * 2).min(RETRY.1));
                self.retry = Some((Instant::now() + pause, pause, why.clone()));
                Err(why)
            }
        }
    }

    fn disk_full(&self) -> CommitError {
        self.shared.gauges.disk_full.store(true, Ordering::Relaxed);
        CommitError::DiskFull
    }

    /// Shows followers what became durable, then answers.
    fn publish(&mut self, batch: Batch) {
        if !batch.changes.is_empty() {
            self.show_growth();
            self.shared.source.tail.publish(batch.changes);
        }
        for (request, verdict) in batch.answers {
            answer(request, verdict);
        }
        self.overlay.trim(self.shared.applied());
    }

    fn show_growth(&self) {
        let Some(writer) = &self.writer else { return };
        let mut chain = self.shared.source.chain.lock();
        let sequence = writer.header.sequence;
        if let Some(segment) = chain.segments.iter_mut().find(|s| s.header.sequence == sequence) {
            segment.last = self.position;
            segment.end = writer.end;
            segment.manifest = self.manifest;
            segment.tally = writer.tally;
        }
    }

    fn correct(&mut self, difference: Manifest) {
        self.manifest.count = self.manifest.count.wrapping_add(difference.count);
        self.manifest.sum = self.manifest.sum.wrapping_add(difference.sum);
        self.shared.source.tail.correct(self.manifest);
    }

    /// Writes the clean close. A log that cannot is merely one that crashed.
    fn close(&mut self) {
        let result = self.write_close();
        if let Err(error) = result {
            tracing::error!(%error, "could not mark the log as cleanly closed; nothing acknowledged is lost");
        }
    }

    fn write_close(&mut self) -> io::Result<()> {
        let (position, manifest) = (self.position, self.manifest);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut bytes = Vec::with_capacity(2 * FRAME_HEADER);
        frame::write_clean_close(&mut bytes, position, manifest);
        writer.append(&bytes, 1, Tally::default())?;
        let mark = Closed {
            log: writer.header.log,
            sequence: writer.header.sequence,
            length: writer.end,
            position,
            manifest,
        };
        self.sync()?;
        recovery::write_mark(&*self.shared.disk, &mark)
    }
}

/// How the rest sees a segment just begun.
pub(crate) fn segment_of(writer: &Writer, disk: &dyn super::disk::Disk) -> Segment {
    Segment {
        file: Arc::clone(&writer.file),
        path: disk.path(&writer.name().to_string()),
        header: writer.header,
        last: writer.header.before,
        end: writer.end,
        manifest: writer.header.manifest,
        tally: writer.tally,
        footer: None,
    }
}

/// Click totals are written without asking: they replace nothing and expect nothing.
fn asks_table(proposal: &Proposal) -> bool {
    !proposal.expects.is_empty() || proposal.puts.iter().any(|put| !put.is_clicks())
}

fn answer(request: Request, verdict: Result<Position, CommitError>) {
    // Whoever gave up waiting loses nothing by it.
    drop(request.answer.send(verdict));
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
