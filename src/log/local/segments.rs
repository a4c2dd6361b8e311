//! The segments of a log in order, and readers of Changes and records across them.
//!
//! Readers return everything up to the known end of the log, in order and without gaps, or fail with file,
//! offset and positions. Damage that hides no Change (a checkpoint, bytes after the last frame) is skipped.

use std::io;
use std::sync::Arc;

use super::disk::DiskFile;
use super::segment::{self, FrameStep, Frames, Name};
use super::segment_file::SegmentFile;
use crate::log::frame::Frame;
use crate::log::frame::header_footer::{Footer, Header, SegmentKind, SegmentStats};
use crate::log::{Change, Fingerprint, LogError, Position, Record, SnapshotReader};

/// A segment of the log.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The file. Each reader opens it.
    pub(crate) file: SegmentFile,
    /// The path, for messages.
    pub(crate) path: String,
    pub(crate) header: Header,
    /// The last position that counts. Higher positions in the segment never happened.
    pub(crate) last: Position,
    /// The offset after the last frame.
    pub(crate) end: u64,
    /// The fingerprint after the last position.
    pub(crate) fingerprint: Fingerprint,
    /// What the frames contain.
    pub(crate) stats: SegmentStats,
    /// The footer of a sealed segment.
    pub(crate) footer: Option<Footer>,
}

impl Segment {
    /// Returns the name of the file.
    pub(crate) fn name(&self) -> Name {
        Name { sequence: self.header.sequence, kind: self.header.kind }
    }

    /// Wraps an error of reading the segment.
    pub(crate) fn cannot_read(&self, source: io::Error) -> LogError {
        LogError::Io { what: "cannot read", path: self.path.clone(), source }
    }

    /// Returns the open file.
    pub(crate) fn open(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.file.open().map_err(|e| self.cannot_read(e))
    }

    /// Returns a reader of the frames, which keeps the file open until it is dropped.
    pub(crate) fn frames(&self) -> Result<Frames, LogError> {
        Frames::new(self.open()?, self.end).map_err(|e| self.cannot_read(e))
    }

    /// Returns the error that positions after `last` cannot be read at `offset`.
    pub(crate) fn damaged(&self, offset: u64, last: Position) -> LogError {
        LogError::Damaged(format!(
            "{} is damaged at byte {offset}: after position {last} it cannot be read up to {}",
            self.path, self.last
        ))
    }
}

/// All segments, oldest first. Only the first one can be a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    pub(crate) list: Vec<Segment>,
}

impl Segments {
    /// Returns the position of the snapshot that the log begins with; 0 without a snapshot.
    pub(crate) fn base(&self) -> Position {
        self.list.first().map_or(Position::START, |segment| segment.header.before)
    }

    /// Returns the snapshot that the log begins with.
    pub(crate) fn snapshot(&self) -> Option<&Segment> {
        self.list.first().filter(|segment| segment.header.kind == SegmentKind::Snapshot)
    }

    /// Returns the segment that contains a position.
    pub(crate) fn find(&self, position: Position) -> Option<&Segment> {
        // `before` belongs to the segment before, `last` to this one.
        let holds = |s: &&Segment| s.header.before < position && position <= s.last;
        self.list.iter().find(holds)
    }

    /// Returns whether a segment of this name is part of the log. Compaction removes the files of others.
    pub(crate) fn contains(&self, name: Name) -> bool {
        self.list.iter().any(|segment| segment.name() == name)
    }

    /// Returns the bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let footer =
            |s: &Segment| s.footer.map_or(0, |_| crate::log::frame::header_footer::FOOTER_BYTES as u64);
        self.list.iter().map(|segment| segment.end + footer(segment)).sum()
    }

    /// Returns what all segments contain.
    pub(crate) fn stats(&self) -> SegmentStats {
        let mut stats = SegmentStats::default();
        for segment in &self.list {
            stats.add(segment.stats);
        }
        stats
    }
}

/// Reads the Changes of one segment in order, with their fingerprints.
#[derive(Debug)]
pub(crate) struct Changes {
    segment: Segment,
    frames: Frames,
    /// The last position that was read, and the fingerprint there.
    last: Position,
    fingerprint: Fingerprint,
}

impl Changes {
    /// Creates a reader that begins at the first Change.
    pub(crate) fn new(segment: &Segment) -> Result<Changes, LogError> {
        let frames = segment.frames()?;
        let header = segment.header;
        Ok(Changes { segment: segment.clone(), frames, last: header.before, fingerprint: header.fingerprint })
    }

    /// Returns the sequence of the segment.
    pub(crate) fn sequence(&self) -> u64 {
        self.segment.header.sequence
    }

    /// Extends the reader to the current end of the segment.
    pub(crate) fn extend(&mut self, segment: &Segment) {
        self.segment.last = segment.last;
        self.segment.end = segment.end;
        self.frames.end = segment.end;
    }

    /// Returns the next Change; `None` after the last one that counts.
    pub(crate) fn next(&mut self) -> Result<Option<Change>, LogError> {
        // Frames behind the last position never happened, or are not durable yet.
        while self.last < self.segment.last {
            let place = self.frames.offset;
            match self.frames.step().map_err(|e| self.segment.cannot_read(e))? {
                FrameStep::Frame(raw) => match segment::decode(&raw, &self.segment.path)? {
                    Frame::Change(mut change, _) => {
                        if change.position <= self.last {
                            continue;
                        }
                        if change.position != self.last.next() {
                            // A gap: Changes are missing, and every later state would be wrong.
                            return Err(self.segment.damaged(place, self.last));
                        }
                        for entry in &change.entries {
                            entry.update(&mut self.fingerprint, change.position);
                        }
                        change.fingerprint = self.fingerprint;
                        self.last = change.position;
                        return Ok(Some(change));
                    }
                    Frame::Checkpoint(fingerprint) | Frame::CleanClose(fingerprint) => {
                        self.checkpoint(fingerprint, raw.position, place);
                    }
                    // A segment of Changes never has records of a snapshot.
                    Frame::Records(_) => return Err(self.segment.damaged(place, self.last)),
                },
                FrameStep::Bad => {
                    // Damage that hides no Change is skipped: the position of the next Change shows it.
                    if !self.frames.resync().map_err(|e| self.segment.cannot_read(e))? {
                        return Err(self.segment.damaged(place, self.last));
                    }
                }
                FrameStep::End => return Err(self.segment.damaged(place, self.last)),
            }
        }
        Ok(None)
    }

    /// Compares a checkpoint. A wrong fingerprint loses no record, so it is only logged; the next
    /// compaction corrects it.
    fn checkpoint(&self, stored: Fingerprint, position: Position, offset: u64) {
        if position == self.last && stored != self.fingerprint {
            tracing::error!(
                file = %self.segment.path,
                offset,
                %position,
                ?stored,
                reckoned = ?self.fingerprint,
                "a checkpoint in the log disagrees with the Changes before it"
            );
        }
    }
}

/// Reads the records of a snapshot segment.
#[derive(Debug)]
pub(crate) struct Records {
    segment: Segment,
    frames: Frames,
    piece: std::vec::IntoIter<Record>,
}

impl Records {
    /// Creates a reader that begins at the first record.
    pub(crate) fn new(segment: &Segment) -> Result<Records, LogError> {
        let frames = segment.frames()?;
        Ok(Records { segment: segment.clone(), frames, piece: Vec::new().into_iter() })
    }
}

impl SnapshotReader for Records {
    fn position(&self) -> Position {
        self.segment.header.before
    }

    fn fingerprint(&self) -> Fingerprint {
        self.segment.header.fingerprint
    }

    fn next(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if let Some(record) = self.piece.next() {
                return Ok(Some(record));
            }
            let place = self.frames.offset;
            let damaged = || {
                LogError::Damaged(format!(
                    "{} is damaged at byte {place}: the rest of the snapshot of position {} cannot be read",
                    self.segment.path, self.segment.last
                ))
            };
            match self.frames.step().map_err(|e| self.segment.cannot_read(e))? {
                FrameStep::Frame(raw) => match segment::decode(&raw, &self.segment.path)? {
                    Frame::Records(records) => self.piece = records.into_iter(),
                    Frame::Change(..) | Frame::Checkpoint(_) | Frame::CleanClose(_) => return Err(damaged()),
                },
                // Every frame of a snapshot has records, so none can be skipped.
                FrameStep::Bad => return Err(damaged()),
                FrameStep::End => return Ok(None),
            }
        }
    }
}
