//! Scans a log folder: finds what can be read and what is lost. This file only reads and reports;
//! [`super::decision`] decides what follows.

use std::collections::VecDeque;

use super::disk;
use super::folder::{FolderContents, FoundSegment, content_crc};
use super::segment::{self, FrameStep, Frames};
use super::segments::{Segment, Segments};
use crate::log::frame::Frame;
use crate::log::frame::header_footer::{HEADER_BYTES, SegmentKind, SegmentStats};
use crate::log::{Change, Fingerprint, LogError, Position};

/// A range of positions, both ends included.
pub(crate) type Range = (Position, Position);

/// Returns a range in words.
pub(crate) fn span((from, to): &Range) -> String {
    if from == to { format!("position {from}") } else { format!("positions {from} to {to}") }
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(crate) struct ScanReport {
    /// The readable segments.
    pub(crate) segments: Segments,
    /// What is wrong, one sentence each. Empty for a sound log.
    pub(crate) broken: Vec<String>,
    /// Positions that cannot be read.
    pub(crate) lost: Vec<Range>,
    /// Whether the file of the last segment is missing, so positions after `end` may be lost.
    pub(crate) open_end: bool,
    /// The last position that can be read or is known to have existed.
    pub(crate) end: Position,
    /// Bytes after the last frame, which a crash left.
    pub(crate) torn: u64,
    /// The last Changes that the scan read, up to the table's applied position.
    pub(crate) recent: RecentChanges,
    /// Number of frames in the last segment, to continue its writer.
    pub(crate) frames: u64,
    /// The crc32c of the last segment, to continue its writer.
    pub(crate) content: u32,
}

/// Number of Changes of the log that are compared with the history of the table. The newest Change alone
/// would do: two histories that forked do not write the same bytes in the same millisecond. The others
/// cost nothing, and show the position of the fork.
const COMPARED: usize = 16;

/// The last Changes of a log up to the applied position of its table, to compare histories.
#[derive(Debug, Default)]
pub(crate) struct RecentChanges(VecDeque<Change>);

impl RecentChanges {
    /// Adds the next Change in order. Drops the oldest one beyond the number to compare.
    pub(crate) fn push(&mut self, change: Change) {
        if self.0.len() == COMPARED {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the Changes, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }
}

/// Reads what must be read: the last segment, unsealed segments, and all segments with positions after
/// `known`, which the table will replay. Calls `tick` with the number of bytes it has read.
pub(crate) fn scan_folder(
    folder: &FolderContents,
    known: Position,
    tick: &mut dyn FnMut(u64),
) -> Result<ScanReport, LogError> {
    let mut report = ScanReport::default();
    let count = folder.found.len();
    let ids = folder.found.iter().filter_map(|f| f.header.map(|h| h.log));
    // Without any readable header, only the mark shows that there was a log.
    let id = ids.clone().next().or(folder.mark.map(|mark| mark.log)).unwrap_or_default();
    for (index, found) in folder.found.iter().enumerate() {
        if found.header.is_some_and(|h| h.log != id) {
            report.broken.push(format!("{} is of another log than the files before it", found.path));
            report.open_end = true;
        }
        match found.name.kind {
            SegmentKind::Snapshot => report.snapshot(found, known, tick)?,
            SegmentKind::Changes => report.changes(found, known, index + 1 == count, tick)?,
        }
    }
    if folder.found.last().is_some_and(|found| found.name.kind == SegmentKind::Snapshot) {
        report.broken.push("the file after the snapshot is missing".to_owned());
        report.open_end = true;
    }
    if let Some(mark) = folder.mark.filter(|mark| mark.log == id) {
        let text = format!("the log was closed at position {}, which is missing", mark.position);
        report.must_reach(mark.position, text);
    }
    Ok(report)
}

impl ScanReport {
    /// Reports damage if something outside the segments shows that the log reached `position`.
    pub(crate) fn must_reach(&mut self, position: Position, text: String) {
        if position > self.end {
            self.broken.push(text);
            self.lost.push((self.end.next(), position));
            self.end = position;
            // What looked torn is a part of the log that existed.
            self.torn = 0;
        }
    }

    fn snapshot(
        &mut self,
        found: &FoundSegment,
        known: Position,
        tick: &mut dyn FnMut(u64),
    ) -> Result<(), LogError> {
        // Header, footer and the header of the next file all name the position.
        let position = found.header.map(|h| h.before).or(found.footer.map(|f| f.last)).or(found.limit);
        let position = position.unwrap_or_default();
        let intact = found.header.is_some()
            && match &found.footer {
                // The table has all records of the snapshot, so its content is not read.
                Some(footer) if position <= known => footer.length == found.size - FOOTER,
                Some(footer) => {
                    tick(found.size);
                    content_crc(&*found.open()?, footer.length).map_err(|source| LogError::Io {
                        what: "cannot read",
                        path: found.path.clone(),
                        source,
                    })? == footer.content
                }
                None => false,
            };
        if !intact {
            self.broken.push(format!("{}: the snapshot of position {position} is damaged", found.path));
            // The snapshot replaced everything before it, so all of it is lost.
            self.lost.push((Position(1), position));
        }
        self.end = position;
        let fingerprint = found.header.map(|h| h.fingerprint).unwrap_or_default();
        self.push(found, position, fingerprint, found.footer.map(|f| f.stats).unwrap_or_default());
        Ok(())
    }

    fn changes(
        &mut self,
        found: &FoundSegment,
        known: Position,
        newest: bool,
        tick: &mut dyn FnMut(u64),
    ) -> Result<(), LogError> {
        if let Some(header) = found.header {
            if header.before > self.end {
                let (from, to) = (self.end.next(), header.before);
                self.broken.push(format!("{}, before {}, cannot be found", span(&(from, to)), found.path));
                self.lost.push((from, to));
                self.end = header.before;
            }
        } else {
            self.broken.push(format!("{}: the header, in the first bytes, is damaged", found.path));
        }
        // A footer counts only if the next segment begins where this one ends.
        let sealed = found.header.and(found.footer).filter(|f| Some(f.last) == found.limit);
        if let Some(footer) = sealed
            && footer.last <= known
        {
            // The table has applied the whole segment, so its frames are not read.
            self.end = footer.last;
            self.push(found, footer.last, footer.fingerprint, footer.stats);
            return Ok(());
        }
        let fingerprint = found.header.map(|h| h.fingerprint).unwrap_or_default();
        let Scan { state: scan, gaps, .. } = Scan::run(
            found,
            self.end,
            fingerprint,
            &mut |change| {
                if change.position <= known {
                    self.recent.push(change);
                }
            },
            tick,
        )?;
        self.end = scan.last;
        for (offset, gap) in &gaps {
            self.broken.push(format!("{} at byte {offset}: {} cannot be read", found.path, span(gap)));
            self.lost.push(*gap);
        }
        if let Some(limit) = found.limit
            && limit > self.end
        {
            let (offset, from) = (scan.end, self.end.next());
            self.broken.push(format!(
                "{} at byte {offset}: {} cannot be read",
                found.path,
                span(&(from, limit))
            ));
            self.lost.push((from, limit));
            self.end = limit;
        }
        if newest {
            self.newest(found, &scan)?;
        }
        self.push(found, self.end, scan.fingerprint, scan.stats);
        if let Some(segment) = self.segments.list.last_mut() {
            segment.end = scan.end;
        }
        Ok(())
    }

    /// Reads the end of the newest segment, where the log continues.
    fn newest(&mut self, found: &FoundSegment, scan: &ScanState) -> Result<(), LogError> {
        if found.footer.is_some() {
            // A segment is sealed only after its successor exists.
            self.broken.push(format!("the file after {} is missing", found.path));
            self.open_end = true;
        } else {
            self.torn = disk::written_behind(&*found.open()?, scan.end, found.size)
                .map_err(|source| LogError::Io { what: "cannot read", path: found.path.clone(), source })?;
        }
        if found.header.is_none() && scan.frames == 0 {
            // A header is durable before its file gets its name. So this file had a header, and perhaps
            // frames.
            self.open_end = true;
        }
        (self.frames, self.content) = (scan.frames, scan.content);
        // Readers skip a hole that hides no Change, but nothing is written after one.
        if scan.holes {
            self.broken.push(format!("{} has damaged bytes between its Changes", found.path));
        }
        Ok(())
    }

    fn push(&mut self, found: &FoundSegment, last: Position, fingerprint: Fingerprint, stats: SegmentStats) {
        let Some(header) = found.header else { return };
        self.segments.list.push(Segment {
            file: found.file.clone(),
            path: found.path.clone(),
            header,
            last,
            end: found.footer.map_or(found.size, |f| f.length),
            fingerprint,
            stats,
            footer: found.footer,
        });
    }
}

const FOOTER: u64 = crate::log::frame::header_footer::FOOTER_BYTES as u64;

/// The scan of one segment of Changes.
struct Scan {
    state: ScanState,
    /// Offsets and positions of the missing Changes.
    gaps: Vec<(u64, Range)>,
    /// The state before the first gap.
    before_gap: Option<ScanState>,
    /// The highest position that frames after the first gap prove to have been synced.
    synced: Position,
}

/// The state of a scan.
#[derive(Clone, Copy)]
struct ScanState {
    last: Position,
    fingerprint: Fingerprint,
    stats: SegmentStats,
    frames: u64,
    content: u32,
    /// The offset after the last frame that counts.
    end: u64,
    /// Whether there are damaged bytes between frames.
    holes: bool,
}

impl Scan {
    /// Scans a segment whose Changes follow `before`.
    fn run(
        found: &FoundSegment,
        before: Position,
        fingerprint: Fingerprint,
        each: &mut dyn FnMut(Change),
        tick: &mut dyn FnMut(u64),
    ) -> Result<Scan, LogError> {
        let cannot_read = |source| LogError::Io { what: "cannot read", path: found.path.clone(), source };
        let end = found.footer.map_or(found.size, |f| f.length);
        let mut frames = Frames::new(found.open()?, end).map_err(cannot_read)?;
        let state = ScanState {
            last: before,
            fingerprint,
            stats: SegmentStats::default(),
            frames: 0,
            content: frames.content,
            end: (HEADER_BYTES as u64).min(end),
            holes: false,
        };
        let mut scan = Scan { state, gaps: Vec::new(), before_gap: None, synced: Position::START };
        let mut bad_at = None;
        loop {
            match frames.step().map_err(cannot_read)? {
                FrameStep::End => break,
                FrameStep::Bad => {
                    bad_at = Some(frames.offset);
                    if !frames.resync().map_err(cannot_read)? {
                        break;
                    }
                }
                FrameStep::Frame(raw) => {
                    // An intact frame that cannot be decoded comes from a newer Waypost. It must not be cut
                    // or skipped.
                    let frame = segment::decode(&raw, &found.path)?;
                    if raw.position > found.limit.unwrap_or(Position(u64::MAX)) {
                        // A newer segment shows that these Changes never happened.
                        break;
                    }
                    scan.take(&frame, raw.position, bad_at.take().unwrap_or(raw.offset), raw.offset);
                    (scan.state.end, scan.state.content) = (frames.offset, frames.content);
                    tick(raw.size);
                    if let Frame::Change(change, _) = frame {
                        each(change);
                    }
                }
            }
        }
        // Only the last segment can end in a torn group.
        if found.limit.is_none() && found.footer.is_none() {
            scan.cut_torn_group();
        }
        Ok(scan)
    }

    /// Counts an intact frame. `expected` is the offset where it should begin.
    fn take(&mut self, frame: &Frame, position: Position, expected: u64, offset: u64) {
        let (missing_to, synced) = match frame {
            Frame::Change(_, durable) => (Position(position.0.saturating_sub(1)), *durable),
            // A checkpoint is written with the last Changes of a group, so it does not prove their sync.
            Frame::Checkpoint(_) => (position, Position::START),
            // All Changes are synced before a clean close is written.
            Frame::CleanClose(_) => (position, position),
            Frame::Records(_) => (Position::START, Position::START),
        };
        let state = &mut self.state;
        if missing_to > state.last {
            self.before_gap.get_or_insert(*state);
            self.gaps.push((expected, (state.last.next(), missing_to)));
            state.last = missing_to;
        }
        if self.before_gap.is_some() {
            self.synced = self.synced.max(synced);
        }
        state.holes |= expected != offset;
        state.frames += 1;
        if let Frame::Change(change, _) = frame
            && change.position > state.last
        {
            for entry in &change.entries {
                entry.update(&mut state.fingerprint, change.position);
                state.stats.count(&entry.put.key, entry.put.value.as_deref());
            }
            state.last = change.position;
        }
    }

    /// Reverts to the state before the first gap if the gap is a torn write. A power cut may keep any part
    /// of the last group of frames. Later groups wait for the sync of that group, so a gap is torn if
    /// nothing after it was written later than the group.
    fn cut_torn_group(&mut self) {
        if let Some(before) = self.before_gap
            && self.synced <= before.last
        {
            self.state = before;
            self.gaps.clear();
        }
    }
}
