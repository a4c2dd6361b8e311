//! The segment that is written: appends with one fsync per group, rolls over to new segments, and continues
//! in a new segment after a failure of the disk.
//!
//! 1. After a failed fsync the file is never written again: the kernel may have dropped the pages.
//! 2. A new segment is durable before anything else is written. Its header names the last durable position.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::disk::Disk;
use super::markers;
use super::segment::{NotCreated, Writer};
use super::segment_file::SegmentFile;
use super::segments::Segment;
use super::shared::Shared;
use crate::log::frame::header_footer::{Closed, Header, SegmentKind, SegmentStats};
use crate::log::frame::{self, FRAME_HEADER};
use crate::log::{CommitError, Fingerprint, Position};

/// A checkpoint is written after this number of bytes of frames. A wrong fingerprint can then be located by
/// hand, at a cost of 50 bytes per checkpoint.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// First and longest pause between attempts to begin a segment on a failing disk. Short: writes are
/// rejected in between, and recovery within 5 s is promised.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The end of the log on disk.
pub(crate) struct ActiveSegment {
    shared: Arc<Shared>,
    /// `None` after a failure, until a new segment is begun.
    writer: Option<Writer>,
    /// Size of the segment at the last checkpoint.
    checkpointed: u64,
    /// The highest number of a segment, failed attempts included.
    sequence: u64,
    /// When to retry to begin a segment, the pause after that, and the error of the last attempt.
    retry: Option<(Instant, Duration, CommitError)>,
    /// Whether the last attempt to begin a segment failed after its rename: the segment may exist.
    maybe_named: bool,
    /// Whether the folder was missing from its path at the last check. Logged once per displacement.
    is_displaced: bool,
}

/// Frames that become durable together.
#[derive(Default)]
pub(crate) struct FrameGroup {
    /// The encoded frames.
    pub(crate) bytes: Vec<u8>,
    /// Number of frames.
    pub(crate) frames: u64,
    /// What the frames contain.
    pub(crate) stats: SegmentStats,
    /// The last position of the group, and the fingerprint there.
    pub(crate) end: (Position, Fingerprint),
}

impl Drop for ActiveSegment {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            // Readers may keep the file open for longer, and the lock with it.
            writer.file.release();
        }
    }
}

impl ActiveSegment {
    /// Continues at the end of `writer`; `sequence` is the highest number of all segments.
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, sequence: u64) -> ActiveSegment {
        let checkpointed = writer.end;
        ActiveSegment {
            shared,
            writer: Some(writer),
            checkpointed,
            sequence,
            retry: None,
            maybe_named: false,
            is_displaced: false,
        }
    }

    /// Appends a group durably and updates the list of segments.
    pub(crate) fn write(&mut self, group: &mut FrameGroup) -> Result<(), CommitError> {
        // `ready` has begun a segment, or the committer has rejected the group.
        let writer = self.writer.as_mut().ok_or(CommitError::Unknown)?;
        if writer.end + group.bytes.len() as u64 - self.checkpointed > CHECKPOINT_BYTES {
            // In the same group, so that it costs no further sync.
            frame::write_checkpoint(&mut group.bytes, group.end.0, group.end.1);
            group.frames += 1;
            self.checkpointed = writer.end + group.bytes.len() as u64;
        }
        if let Err(error) = writer.append(&group.bytes, group.frames, group.stats) {
            // After a durable cut the frames are gone for certain, so the write is rejected instead of in
            // doubt.
            let cut = is_full(&error) && self.cut();
            if !cut {
                self.abandon("write to", &error);
                return Err(CommitError::Unknown);
            }
            self.shared.guard.ran_out();
            return Err(self.disk_full());
        }
        let synced = self.sync();
        if let Err(error) = &synced {
            self.abandon("sync", error);
            return Err(CommitError::Unknown);
        }
        // After the sync: followers read up to the end in the list.
        self.update_list(group.end);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let done = writer.file.sync_data();
        self.note_sync(&done);
        done
    }

    fn cut(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let done = writer.cut();
        // The last checkpoint may have been in the frames that were cut.
        self.checkpointed = self.checkpointed.min(writer.end);
        self.note_sync(&done);
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
                gauges.last_errors.lock().sync_error = Some(error.to_string());
            }
        }
    }

    /// Stops writing to the file, whose state is unknown, and begins a new segment.
    fn abandon(&mut self, what: &str, error: &io::Error) {
        // Taken out first: the file is not written again even if no new segment can be begun.
        let Some(writer) = self.writer.take() else { return };
        let file = self.shared.disk.path(&writer.name().to_string());
        tracing::error!(%file, %error, "could not {what} the log: the outcome of the last writes is unknown");
        // At once, not with the next write: until the new header is durable, a restart would accept the
        // frames in doubt.
        if let Err(why) = self.begin_segment() {
            tracing::error!(error = %why, "could not begin a log segment either: the next writes retry");
        }
    }

    /// Ensures that there is a segment to write to, below its size limit if possible.
    pub(crate) fn ready(&mut self) -> Result<(), CommitError> {
        self.check_path()?;
        let full = self.writer.as_ref().map(|w| w.end >= self.shared.settings.segment_bytes);
        match full {
            Some(false) => Ok(()),
            Some(true) => {
                // If no new segment can be begun, the old one continues beyond its size.
                if self.may_retry()
                    && let Err(why) = self.roll()
                {
                    tracing::warn!(error = %why, "could not begin a log segment: the log continues in one beyond its size");
                }
                self.writer.as_ref().map(drop).ok_or(CommitError::Unknown)
            }
            None if self.may_retry() => self.begin_segment(),
            None => Err(self.retry.as_ref().map_or(CommitError::Unknown, |(_, _, why)| why.clone())),
        }
    }

    /// Rejects writes while the folder is missing from its path. A restart would not find the acknowledged
    /// writes.
    fn check_path(&mut self) -> Result<(), CommitError> {
        let Err(why) = self.shared.disk.check_path() else {
            self.is_displaced = false;
            return Ok(());
        };
        if !std::mem::replace(&mut self.is_displaced, true) {
            tracing::error!(%why, "the log accepts no writes until its folder is back");
        }
        Err(CommitError::Unavailable(why.to_string()))
    }

    fn may_retry(&self) -> bool {
        self.retry.as_ref().is_none_or(|(at, _, _)| Instant::now() >= *at)
    }

    /// Begins a new segment, then seals the old one. In this order, because a sealed segment without a
    /// successor means that a file was lost.
    pub(crate) fn roll(&mut self) -> Result<(), CommitError> {
        self.check_path()?;
        // Taken out, since `begin_segment` sets the new writer.
        let old = self.writer.take();
        if let Err(why) = self.begin_segment() {
            // If the new segment may exist, a restart would ignore what is written to the old one.
            if !self.maybe_named {
                self.writer = old;
            }
            return Err(why);
        }
        let Some(mut old) = old else { return Ok(()) };
        let (position, fingerprint) = self.shared.durable.tail.end();
        match old.seal(position, fingerprint) {
            Ok(footer) => {
                let mut segments = self.shared.durable.segments.lock();
                let sequence = old.header.sequence;
                if let Some(segment) = segments.list.iter_mut().find(|s| s.header.sequence == sequence) {
                    segment.footer = Some(footer);
                }
            }
            // The frames are durable anyway; the next start reads them instead of the footer.
            Err(error) => tracing::warn!(segment = %old.name(), %error, "could not seal a log segment"),
        }
        Ok(())
    }

    /// Begins a new segment after the durable end.
    fn begin_segment(&mut self) -> Result<(), CommitError> {
        // A failed attempt may have left a file, so its number is never used again.
        self.sequence += 1;
        let (before, fingerprint) = self.shared.durable.tail.end();
        let header = Header {
            kind: SegmentKind::Changes,
            log: self.shared.id,
            sequence: self.sequence,
            before,
            fingerprint,
            created: self.shared.clock.now(),
        };
        let disk = &self.shared.disk;
        match Writer::create(&**disk, header) {
            Ok(writer) => {
                // In the list before the first frame, so that followers find its Changes.
                self.shared.durable.segments.lock().list.push(segment_of(&writer, disk));
                self.checkpointed = writer.end;
                self.writer = Some(writer);
                self.retry = None;
                Ok(())
            }
            Err(NotCreated { error, named }) => {
                self.maybe_named = named;
                let why = if is_full(&error) {
                    self.disk_full()
                } else if is_out_of_descriptors(&error) {
                    CommitError::NoDescriptors
                } else {
                    CommitError::Unavailable(format!("cannot begin a segment: {error}"))
                };
                // Doubled each time, so that a failing disk is not tried with every write.
                let pause = self.retry.as_ref().map_or(RETRY.0, |(_, pause, _)| (*pause * 2).min(RETRY.1));
                self.retry = Some((Instant::now() + pause, pause, why.clone()));
                Err(why)
            }
        }
    }

    pub(crate) fn disk_full(&self) -> CommitError {
        self.shared.gauges.disk_full.store(true, Ordering::Relaxed);
        CommitError::DiskFull
    }

    fn update_list(&self, (position, fingerprint): (Position, Fingerprint)) {
        let Some(writer) = &self.writer else { return };
        let mut segments = self.shared.durable.segments.lock();
        let sequence = writer.header.sequence;
        if let Some(segment) = segments.list.iter_mut().find(|s| s.header.sequence == sequence) {
            segment.last = position;
            segment.end = writer.end;
            segment.fingerprint = fingerprint;
            segment.stats = writer.stats;
        }
    }

    /// Writes the clean close. On failure the log is as after a crash, which loses nothing.
    pub(crate) fn close(&mut self) {
        let result = self.write_close();
        if let Err(error) = result {
            tracing::error!(%error, "could not mark the log as cleanly closed; no acknowledged write is lost");
        }
    }

    fn write_close(&mut self) -> io::Result<()> {
        let (position, fingerprint) = self.shared.durable.tail.end();
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut bytes = Vec::with_capacity(2 * FRAME_HEADER);
        frame::write_clean_close(&mut bytes, position, fingerprint);
        writer.append(&bytes, 1, SegmentStats::default())?;
        // The spare room is cut, so that the size of the file is the length in the mark.
        writer.trim()?;
        let mark = Closed {
            log: writer.header.log,
            sequence: writer.header.sequence,
            length: writer.end,
            position,
            fingerprint,
        };
        // The mark states that everything up to its position is durable.
        self.sync()?;
        markers::write_mark(&*self.shared.disk, &mark)
    }
}

/// Returns the entry of a new segment for the list of segments.
pub(crate) fn segment_of(writer: &Writer, disk: &Arc<dyn Disk>) -> Segment {
    Segment {
        file: SegmentFile::new(disk, writer.name()),
        path: disk.path(&writer.name().to_string()),
        header: writer.header,
        last: writer.header.before,
        end: writer.end,
        fingerprint: writer.header.fingerprint,
        stats: writer.stats,
        footer: None,
    }
}

/// Returns whether this process or the system has reached its limit of open files.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    // The limits of the process and of the system.
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_full(error: &io::Error) -> bool {
    // A quota that is used up is a full disk to this user.
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
