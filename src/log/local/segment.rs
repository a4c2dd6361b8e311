//! One segment file: its name, writing frames to its end, reading frames in order, and finding the
//! next intact frame after damage.
//!
//! Reading promises that a frame it yields is byte for byte what was written; it never decides
//! what a missing one means.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, DiskFile, read_full};
use crate::log::frame::header_footer::{
    BadHeader, FOOTER_BYTES, Footer, HEADER_BYTES, Header, SegmentKind, SegmentStats,
};
use crate::log::frame::{self, FRAME_HEADER, Frame, FrameHead, MAGIC, MAX_PAYLOAD};
use crate::log::{Fingerprint, LogError, Position};

/// How much is read at once: large enough for the disk, and a frame seldom straddles two reads.
const READ_BYTES: usize = 256 * 1024;

/// By how much a file is made longer than what it holds, before it has to be: a sync whose write
/// leaves the length as it is needs not write the file system's journal, and takes two thirds of the
/// time. Zeros that are there after a crash are not last errors of: [`disk::written_behind`](crate::log::local::disk::written_behind).
const ROOM_BYTES: u64 = 64 * 1024;

/// Ends the name of a file that is not finished; such files are removed at the start.
pub(crate) const UNFINISHED: &str = ".tmp";

/// A segment's file name: its place among the segments, and what it holds. A snapshot takes the
/// place of all segments up to its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Its place.
    pub(crate) sequence: u64,
    /// What it holds.
    pub(crate) kind: SegmentKind,
}

impl Name {
    /// `None` for a file that is no segment.
    pub(crate) fn parse(text: &str) -> Option<Name> {
        let (number, extension) = text.split_once('.')?;
        let kind = match extension {
            "log" => SegmentKind::Changes,
            "snapshot" => SegmentKind::Snapshot,
            _ => return None,
        };
        let name = Name { sequence: number.parse().ok()?, kind };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = match self.kind {
            SegmentKind::Changes => "log",
            SegmentKind::Snapshot => "snapshot",
        };
        write!(f, "{:012}.{extension}", self.sequence)
    }
}

/// Wraps a failure of the system.
pub(crate) fn io_error(
    disk: &dyn Disk,
    name: &str,
    what: &'static str,
) -> impl FnOnce(io::Error) -> LogError + use<> {
    let path = disk.path(name);
    move |source| LogError::Io { what, path, source }
}

/// A file that frames are appended to.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// The file.
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its header.
    pub(crate) header: Header,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// crc32c of all before that.
    pub(crate) content: u32,
    /// Frames so far.
    pub(crate) frames: u64,
    /// What they hold.
    pub(crate) stats: SegmentStats,
    /// The file's length: see [`ROOM_BYTES`].
    pub(crate) room: u64,
}

impl Writer {
    /// A new segment under its own name, durable with its header. It appears whole or not at all.
    pub(crate) fn create(disk: &dyn Disk, header: Header) -> Result<Writer, NotCreated> {
        let unnamed = |error| {
            // Removed at the next start if not now.
            drop(disk.remove(&unfinished(&header)));
            NotCreated { error, named: false }
        };
        let writer = Writer::begin(disk, header).map_err(unnamed)?;
        writer.file.sync_data().map_err(unnamed)?;
        writer.publish(disk).map_err(|error| NotCreated { error, named: true })?;
        Ok(writer)
    }

    /// A new segment under an unfinished name, nothing of it durable.
    pub(crate) fn begin(disk: &dyn Disk, header: Header) -> io::Result<Writer> {
        let file = disk.create(&unfinished(&header))?;
        let bytes = header.encode();
        file.write_all_at(&bytes, 0)?;
        Ok(Writer {
            file,
            header,
            end: bytes.len() as u64,
            content: crc32c::crc32c(&bytes),
            frames: 0,
            stats: SegmentStats::default(),
            room: bytes.len() as u64,
        })
    }

    /// Gives it its own name. What it holds must be durable.
    pub(crate) fn publish(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.rename(&unfinished(&self.header), &self.name().to_string())?;
        disk.sync_dir()
    }

    /// Removes it, if it has no name of its own yet.
    pub(crate) fn discard(&self, disk: &dyn Disk) {
        drop(disk.remove(&unfinished(&self.header)));
    }

    /// Its name.
    pub(crate) fn name(&self) -> Name {
        Name { sequence: self.header.sequence, kind: self.header.kind }
    }

    /// Writes whole frames. After an error the file's end is not known; [`Writer::cut`] restores
    /// it.
    pub(crate) fn append(&mut self, bytes: &[u8], frames: u64, stats: SegmentStats) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if end > self.room {
            self.file.set_size(end + ROOM_BYTES)?;
            self.room = end + ROOM_BYTES;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.end = end;
        self.content = crc32c::crc32c_append(self.content, bytes);
        self.frames += frames;
        self.stats.add(stats);
        Ok(())
    }

    /// Cuts off what is behind the last frame: unused room, and what a failed append left.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        self.file.set_size(self.end)?;
        self.room = self.end;
        Ok(())
    }

    /// Removes what a failed append left behind, durably.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        self.trim()?;
        self.file.sync_data()
    }

    /// Writes the footer durably; no frame may follow.
    pub(crate) fn seal(&mut self, last: Position, fingerprint: Fingerprint) -> io::Result<Footer> {
        self.trim()?;
        let footer = Footer {
            sequence: self.header.sequence,
            last,
            frames: self.frames,
            length: self.end,
            fingerprint,
            stats: self.stats,
            content: self.content,
        };
        self.file.write_all_at(&footer.encode(), self.end)?;
        self.file.sync_data()?;
        Ok(footer)
    }
}

/// A segment could not be begun.
#[derive(Debug)]
pub(crate) struct NotCreated {
    /// Why.
    pub(crate) error: io::Error,
    /// It may have its name all the same: its header then tells a restart to ignore what older
    /// segments hold past its beginning, so nothing may be written there any more.
    pub(crate) named: bool,
}

fn unfinished(header: &Header) -> String {
    format!("{}{UNFINISHED}", Name { sequence: header.sequence, kind: header.kind })
}

/// Reads a segment's header.
pub(crate) fn read_header(file: &dyn DiskFile) -> io::Result<Result<Header, BadHeader>> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    Ok(Header::decode(&bytes[..read]))
}

/// Reads a segment's footer; `None` when it is not sealed, or the footer is damaged.
pub(crate) fn read_footer(file: &dyn DiskFile, sequence: u64) -> io::Result<Option<Footer>> {
    let Some(start) = file.size()?.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_BYTES];
    let read = read_full(file, &mut bytes, start)?;
    let footer = Footer::decode(&bytes[..read]);
    Ok(footer.filter(|f| f.sequence == sequence && f.length == start))
}

/// An intact frame, not yet decoded.
#[derive(Clone, Debug)]
pub(crate) struct RawFrame {
    /// Where it starts.
    pub(crate) offset: u64,
    /// Its bytes on disk.
    pub(crate) size: u64,
    /// Its position.
    pub(crate) position: Position,
    /// What it holds.
    pub(crate) payload: Bytes,
}

/// What stands at the reader's place.
#[derive(Debug)]
pub(crate) enum FrameStep {
    /// A frame; the reader is past it.
    Frame(RawFrame),
    /// No frame, though the end is not reached; the reader stays.
    Bad,
    /// The end.
    End,
}

/// Reads frames in order.
#[derive(Debug)]
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    /// Where the next frame is expected.
    pub(crate) offset: u64,
    /// Where reading ends.
    pub(crate) end: u64,
    buffer: Vec<u8>,
    /// The place of the buffer's first byte in the file.
    start: u64,
    /// crc32c of everything from the start of the file to `offset`, if reading began there.
    pub(crate) content: u32,
}

impl Frames {
    /// Reads the frames between the header and `end`.
    pub(crate) fn new(file: Arc<dyn DiskFile>, end: u64) -> io::Result<Frames> {
        let mut frames = Frames { file, offset: 0, end, buffer: Vec::new(), start: 0, content: 0 };
        let header = frames.peek(HEADER_BYTES)?;
        frames.content = crc32c::crc32c(header);
        frames.offset = (HEADER_BYTES as u64).min(end);
        Ok(frames)
    }

    /// The next frame.
    pub(crate) fn step(&mut self) -> io::Result<FrameStep> {
        let (offset, end, content) = (self.offset, self.end, self.content);
        let head = self.peek(FRAME_HEADER)?;
        if head.is_empty() {
            // A file that ends before it should was cut.
            return Ok(if offset >= end { FrameStep::End } else { FrameStep::Bad });
        }
        let Some(head) = FrameHead::parse(head) else { return Ok(FrameStep::Bad) };
        let size = FRAME_HEADER + head.length;
        let bytes = self.peek(size)?;
        let payload = &bytes[FRAME_HEADER.min(bytes.len())..];
        if bytes.len() < size || !head.guards(payload) {
            return Ok(FrameStep::Bad);
        }
        let raw = RawFrame {
            offset,
            size: size as u64,
            position: head.position,
            payload: Bytes::copy_from_slice(payload),
        };
        self.content = crc32c::crc32c_append(content, bytes);
        self.offset += size as u64;
        Ok(FrameStep::Frame(raw))
    }

    /// After [`FrameStep::Bad`]: moves to the next intact frame. False when there is none.
    pub(crate) fn resync(&mut self) -> io::Result<bool> {
        let bad = self.offset;
        self.offset += 1;
        loop {
            // The whole of a largest frame, so that a candidate is judged without a second read.
            let left = self.end.saturating_sub(self.offset);
            let window = self.peek(READ_BYTES.max(FRAME_HEADER + MAX_PAYLOAD))?;
            let Some(at) = window.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) else {
                // A magic may straddle the windows' border.
                let skip = window.len().saturating_sub(MAGIC.len() - 1);
                if skip == 0 || window.len() as u64 >= left {
                    self.offset = bad;
                    return Ok(false);
                }
                self.offset += skip as u64;
                continue;
            };
            let candidate = &window[at..];
            let intact = FrameHead::parse(candidate).is_some_and(|head| {
                let payload = candidate.get(FRAME_HEADER..FRAME_HEADER + head.length);
                payload.is_some_and(|payload| head.guards(payload))
            });
            self.offset += at as u64;
            if intact {
                return Ok(true);
            }
            self.offset += 1;
        }
    }

    /// Up to `length` bytes from the reader's place; fewer only at the end.
    fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        let left = self.end.saturating_sub(self.offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held = self.start + self.buffer.len() as u64;
        if self.offset < self.start || self.offset + length as u64 > held {
            let keep_from = self.offset.saturating_sub(self.start);
            match usize::try_from(keep_from) {
                Ok(from) if self.offset >= self.start && from <= self.buffer.len() => {
                    self.buffer.drain(..from);
                }
                _ => self.buffer.clear(),
            }
            self.start = self.offset;
            let kept = self.buffer.len();
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(length.max(READ_BYTES));
            self.buffer.resize(want.max(kept), 0);
            let read = read_full(&*self.file, &mut self.buffer[kept..], self.start + kept as u64)?;
            self.buffer.truncate(kept + read);
        }
        let from = usize::try_from(self.offset - self.start).unwrap_or(0).min(self.buffer.len());
        Ok(&self.buffer[from..self.buffer.len().min(from + length)])
    }
}

/// Decodes a frame whose checksum was right. What cannot be decoded then is no damage of the
/// disk's making, and no second copy heals it.
pub(crate) fn decode(raw: &RawFrame, path: &str) -> Result<Frame, LogError> {
    frame::decode(raw.position, &raw.payload).map_err(|why| {
        LogError::Damaged(format!(
            "{path}, byte {}, position {}: the frame is intact but cannot be read: {why}",
            raw.offset, raw.position
        ))
    })
}
