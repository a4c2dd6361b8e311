//! Writing a damaged log anew: from the table when it holds, or from whatever can be read.
//!
//! The new segment that goes on is durable before the snapshot appears, and the snapshot before
//! the old files go: a crash in between leaves enough to do it again.

use std::sync::Arc;

use super::disk::Disk;
use super::folder::{self, FolderContents, Salvaged};
use super::live_records::{self, Write};
use super::segment::{Writer, io_error};
use crate::clock::Timestamp;
use crate::log::frame::header_footer::{Header, SegmentKind, SegmentStats};
use crate::log::frame::{self, RECORDS_BYTES};
use crate::log::{AppliedState, Fingerprint, LogError, Position, Record};

/// A snapshot is synced each time so much was written: one sync of gigabytes at the end would hold
/// up the commits' own.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// Writes a snapshot segment record by record.
pub(crate) struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    writer: Writer,
    position: Position,
    pending: Vec<Record>,
    pending_bytes: usize,
    stats: SegmentStats,
    synced: u64,
    finished: bool,
}

impl<'a> SnapshotWriter<'a> {
    /// An unfinished one. Its fingerprint is known only at the end.
    pub(crate) fn begin(
        disk: &'a dyn Disk,
        log: u128,
        sequence: u64,
        position: Position,
        now: Timestamp,
    ) -> Result<SnapshotWriter<'a>, LogError> {
        let header = Header {
            kind: SegmentKind::Snapshot,
            log,
            sequence,
            before: position,
            fingerprint: Fingerprint::default(),
            created: now,
        };
        let writer = Writer::begin(disk, header).map_err(io_error(disk, "", "cannot write a snapshot in"))?;
        let (pending, stats) = (Vec::new(), SegmentStats::default());
        let (synced, finished) = (writer.end, false);
        Ok(SnapshotWriter { disk, writer, position, pending, pending_bytes: 0, stats, synced, finished })
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, record: Record) -> Result<(), LogError> {
        self.stats.count(&record.key, Some(&record.value));
        self.pending_bytes += record.key.len() + record.value.len();
        self.pending.push(record);
        if self.pending_bytes >= RECORDS_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.pending_bytes * 2);
        frame::write_records(&mut bytes, self.position, &self.pending);
        self.writer.append(&bytes, 1, std::mem::take(&mut self.stats)).map_err(self.cannot_write())?;
        self.pending.clear();
        self.pending_bytes = 0;
        if self.writer.end - self.synced >= SYNC_BYTES {
            self.synced = self.writer.end;
            self.writer.file.sync_data().map_err(self.cannot_write())?;
        }
        Ok(())
    }

    fn cannot_write(&self) -> impl FnOnce(std::io::Error) -> LogError + use<'a> {
        io_error(self.disk, &self.writer.name().to_string(), "cannot write")
    }

    /// Makes it durable, checks it by reading it back, and gives it its name.
    pub(crate) fn finish(mut self, fingerprint: Fingerprint) -> Result<Writer, LogError> {
        self.flush()?;
        let header = Header { fingerprint, ..self.writer.header };
        let bytes = header.encode();
        self.writer.file.write_all_at(&bytes, 0).map_err(self.cannot_write())?;
        self.writer.header = header;
        let length = self.writer.end;
        self.writer.content = folder::content_crc(&*self.writer.file, length).map_err(self.cannot_write())?;
        self.writer.seal(self.position, fingerprint).map_err(self.cannot_write())?;
        self.writer.publish(self.disk).map_err(self.cannot_write())?;
        self.finished = true;
        Ok(self.writer.clone())
    }
}

impl Drop for SnapshotWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // It may have failed for want of the very space that it takes. What stays is removed
            // at the next start.
            self.writer.discard(self.disk);
        }
    }
}

/// What a repair writes with.
pub(crate) struct Repairer<'a> {
    /// The folder.
    pub(crate) disk: &'a dyn Disk,
    /// What is in it.
    pub(crate) folder: &'a FolderContents,
    /// The table.
    pub(crate) applied_state: &'a Arc<dyn AppliedState>,
    /// Now.
    pub(crate) now: Timestamp,
    /// The id of the log to write.
    pub(crate) log: u128,
}

impl Repairer<'_> {
    /// A snapshot of the table, which stands at `applied`, and the intact Changes after it.
    pub(crate) fn use_table(&self, applied: Position) -> Result<(), LogError> {
        let mut fingerprint = Fingerprint::default();
        self.applied_state.each_record(&mut |record| {
            count(&mut fingerprint, &record);
            Ok(())
        })?;
        self.go_on(applied, fingerprint)?;
        let mut snapshot = self.snapshot(applied)?;
        self.applied_state.each_record(&mut |record| snapshot.add(record))?;
        snapshot.finish(fingerprint).map(drop)
    }

    /// A snapshot of everything that can be read: intact frames, and the table's records if it is
    /// of this log. The latest write of each key wins. `end` is at least as high as any position
    /// that ever was.
    pub(crate) fn use_remains(&self, end: Position, applied_state: bool) -> Result<(), LogError> {
        let mut writes = 0;
        let mut end = end;
        self.remains(applied_state, &mut |write| {
            writes += 1;
            end = end.max(write.revision);
            Ok(())
        })?;
        let mut source =
            |each: &mut dyn FnMut(Write<'_>) -> Result<(), LogError>| self.remains(applied_state, each);
        let mut snapshot = self.snapshot(end)?;
        let fingerprint =
            live_records::each_live(writes, live_records::MAX_KEYS, &mut source, &mut |record| {
                snapshot.add(record)
            })?;
        self.go_on(end, fingerprint)?;
        snapshot.finish(fingerprint).map(drop)
    }

    fn remains(
        &self,
        applied_state: bool,
        each: &mut dyn FnMut(Write<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        folder::salvage(self.folder, &mut |salvaged| {
            match salvaged {
                Salvaged::Change(change) => {
                    for entry in &change.entries {
                        let (key, value) = (&entry.put.key, entry.put.value.as_ref());
                        each(Write { key, revision: change.position, value })?;
                    }
                }
                Salvaged::Records(records) => {
                    for Record { key, revision, value } in &records {
                        each(Write { key, revision: *revision, value: Some(value) })?;
                    }
                }
            }
            Ok(())
        })?;
        if !applied_state {
            return Ok(());
        }
        let read = self.applied_state.each_record(&mut |Record { key, revision, value }| {
            each(Write { key: &key, revision, value: Some(&value) })
        });
        // Records of a table that breaks in the middle are still better than none.
        read.or_else(|error| {
            tracing::error!(%error, "the table could not be read to its end");
            Ok(())
        })
    }

    fn snapshot(&self, position: Position) -> Result<SnapshotWriter<'_>, LogError> {
        SnapshotWriter::begin(self.disk, self.log, self.folder.sequence + 1, position, self.now)
    }

    /// The segment after the snapshot: intact Changes after `position`, in order.
    fn go_on(&self, position: Position, fingerprint: Fingerprint) -> Result<(), LogError> {
        let header = Header {
            kind: SegmentKind::Changes,
            log: self.log,
            sequence: self.folder.sequence + 2,
            before: position,
            fingerprint,
            created: self.now,
        };
        let cannot_write = || io_error(self.disk, "", "cannot write a segment in");
        let mut writer = Writer::begin(self.disk, header).map_err(cannot_write())?;
        let mut last = position;
        folder::salvage(self.folder, &mut |salvaged| {
            let Salvaged::Change(change) = salvaged else { return Ok(()) };
            if change.position != last.next() {
                return Ok(());
            }
            let durable = last;
            last = change.position;
            let mut stats = SegmentStats::default();
            for entry in &change.entries {
                stats.count(&entry.put.key, entry.put.value.as_deref());
            }
            let mut bytes = Vec::new();
            frame::write_change(&mut bytes, &change, durable)
                .map_err(|size| LogError::Damaged(format!("position {last} has {size} bytes: too many")))?;
            writer.append(&bytes, 1, stats).map_err(cannot_write())
        })?;
        writer.file.sync_data().map_err(cannot_write())?;
        writer.publish(self.disk).map_err(cannot_write())
    }
}

fn count(fingerprint: &mut Fingerprint, record: &Record) {
    if record.key.first() != Some(&crate::log::CLICKS_PREFIX) {
        fingerprint.add(&record.key, record.revision);
    }
}
