//! Rewrites a damaged log: from an intact table, or from everything that can be read.
//!
//! 1. The new segment after the snapshot is durable before the snapshot has its name.
//! 2. The snapshot is durable before the old files are removed.
//!
//! A crash in between leaves enough to repeat the repair.

use std::sync::Arc;

use super::disk::Disk;
use super::folder::{self, FolderContents, Salvaged};
use super::live_records::{self, Write};
use super::segment::{Writer, io_error};
use crate::clock::Timestamp;
use crate::log::frame::header_footer::{Header, SegmentKind, SegmentStats};
use crate::log::frame::{self, RECORDS_BYTES};
use crate::log::{AppliedState, Fingerprint, LogError, Position, Record};

/// A snapshot is synced after this number of bytes. A single sync of gigabytes at the end would delay the
/// fsyncs of commits.
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
    /// Begins a snapshot under an unfinished name. Its fingerprint is set at the end.
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

    /// Makes the snapshot durable, computes its crc from what is on disk, and gives the file its name.
    pub(crate) fn finish(mut self, fingerprint: Fingerprint) -> Result<Writer, LogError> {
        self.flush()?;
        // The header again: its fingerprint is known only after the last record.
        let header = Header { fingerprint, ..self.writer.header };
        let bytes = header.encode();
        self.writer.file.write_all_at(&bytes, 0).map_err(self.cannot_write())?;
        self.writer.header = header;
        let length = self.writer.end;
        // Read back, since the header was rewritten, and since the crc must be that of the disk.
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
            // The write may have failed for lack of the space that the file takes. If it cannot be removed
            // now, the next start removes it.
            self.writer.discard(self.disk);
        }
    }
}

/// The inputs of a repair.
pub(crate) struct Repairer<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The contents of the folder.
    pub(crate) folder: &'a FolderContents,
    /// The table.
    pub(crate) applied_state: &'a Arc<dyn AppliedState>,
    /// The time of the repair.
    pub(crate) now: Timestamp,
    /// The id of the new log.
    pub(crate) log: u128,
}

impl Repairer<'_> {
    /// Writes a snapshot of the table, which has applied `applied`, and a segment of the intact Changes
    /// after it.
    pub(crate) fn rewrite_from_table(&self, applied: Position) -> Result<(), LogError> {
        let mut fingerprint = Fingerprint::default();
        self.applied_state.each_record(&mut |record| {
            count(&mut fingerprint, &record);
            Ok(())
        })?;
        self.write_successor(applied, fingerprint)?;
        let mut snapshot = self.snapshot(applied)?;
        self.applied_state.each_record(&mut |record| snapshot.add(record))?;
        snapshot.finish(fingerprint).map(drop)
    }

    /// Writes a snapshot of everything that can be read: intact frames, and the records of the table if it
    /// belongs to this log. The last write of each key wins. `end` must not be below any position that ever
    /// existed.
    pub(crate) fn rewrite_from_remains(&self, end: Position, applied_state: bool) -> Result<(), LogError> {
        // A first pass counts the writes and finds the highest position.
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
        self.write_successor(end, fingerprint)?;
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
        // Some records of a damaged table are better than none.
        read.or_else(|error| {
            tracing::error!(%error, "the table could not be read to its end");
            Ok(())
        })
    }

    fn snapshot(&self, position: Position) -> Result<SnapshotWriter<'_>, LogError> {
        SnapshotWriter::begin(self.disk, self.log, self.folder.sequence + 1, position, self.now)
    }

    /// Writes the segment after the snapshot: the intact Changes after `position`, in order.
    fn write_successor(&self, position: Position, fingerprint: Fingerprint) -> Result<(), LogError> {
        let header = Header {
            kind: SegmentKind::Changes,
            log: self.log,
            // The snapshot has the number before.
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
            // Changes up to the position of the snapshot are in the snapshot.
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
