//! A segment file: its name, a writer that appends frames, a reader of frames in order, and the search for
//! the next intact frame behind damage.
//!
//! A frame that the reader returns is byte for byte what was written. Callers decide what a missing frame
//! means.

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

/// Number of bytes that are read at once: large enough for the disk, and few frames straddle two reads.
const READ_BYTES: usize = 256 * 1024;

/// By how much a file is extended before its frames need it. A sync of a write that leaves the length
/// unchanged does not write the file system's journal, and takes two thirds of the time. Zeros behind the
/// last frame are therefore no damage: see [`disk::written_behind`](super::disk::written_behind).
const ROOM_BYTES: u64 = 64 * 1024;

/// Suffix of unfinished files. The start removes them.
pub(crate) const UNFINISHED: &str = ".tmp";

/// The name of a segment file. A snapshot replaces all segments up to its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// The number of the segment, which orders segments.
    pub(crate) sequence: u64,
    /// The content of the segment.
    pub(crate) kind: SegmentKind,
}

impl Name {
    /// Parses a file name. Returns `None` if the file is no segment.
    pub(crate) fn parse(text: &str) -> Option<Name> {
        let (number, extension) = text.split_once('.')?;
        let kind = match extension {
            "log" => SegmentKind::Changes,
            "snapshot" => SegmentKind::Snapshot,
            _ => return None,
        };
        let name = Name { sequence: number.parse().ok()?, kind };
        // One spelling: `1.log` and `000000000001.log` must not be two files of one segment.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = match self.kind {
            SegmentKind::Changes => "log",
            SegmentKind::Snapshot => "snapshot",
        };
        // With leading zeros, so that a list of files is in the order of the log.
        write!(f, "{:012}.{extension}", self.sequence)
    }
}

/// Wraps an error of the system.
pub(crate) fn io_error(
    disk: &dyn Disk,
    name: &str,
    what: &'static str,
) -> impl FnOnce(io::Error) -> LogError + use<> {
    let path = disk.path(name);
    move |source| LogError::Io { what, path, source }
}

/// Appends frames to a segment file.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: Header,
    /// The offset of the next frame.
    pub(crate) end: u64,
    /// The crc32c of all bytes before `end`.
    pub(crate) content: u32,
    /// Number of frames.
    pub(crate) frames: u64,
    /// What the frames contain.
    pub(crate) stats: SegmentStats,
    /// The length of the file, which may exceed `end`: see [`ROOM_BYTES`].
    pub(crate) room: u64,
}

impl Writer {
    /// Creates a segment under its own name, durable with its header. The file appears whole or not at all.
    pub(crate) fn create(disk: &dyn Disk, header: Header) -> Result<Writer, NotCreated> {
        let unnamed = |error| {
            // If it cannot be removed now, the next start removes it.
            drop(disk.remove(&unfinished(&header)));
            NotCreated { error, named: false }
        };
        let writer = Writer::begin(disk, header).map_err(unnamed)?;
        // Durable before it has its name: a file with a segment name has a header.
        writer.file.sync_data().map_err(unnamed)?;
        writer.publish(disk).map_err(|error| NotCreated { error, named: true })?;
        Ok(writer)
    }

    /// Creates a segment under an unfinished name. Nothing of it is durable yet.
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

    /// Gives the file its own name, durably. Its content must be durable already.
    pub(crate) fn publish(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.rename(&unfinished(&self.header), &self.name().to_string())?;
        disk.sync_dir()
    }

    /// Removes the file if it still has its unfinished name.
    pub(crate) fn discard(&self, disk: &dyn Disk) {
        drop(disk.remove(&unfinished(&self.header)));
    }

    /// Returns the name of the segment.
    pub(crate) fn name(&self) -> Name {
        Name { sequence: self.header.sequence, kind: self.header.kind }
    }

    /// Appends whole frames. After an error the end of the file is unknown until [`Writer::cut`] restores
    /// it.
    pub(crate) fn append(&mut self, bytes: &[u8], frames: u64, stats: SegmentStats) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if end > self.room {
            // In large steps, so that most appends leave the length as it is.
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

    /// Cuts the file after the last frame: removes spare room and the remains of a failed append.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        self.file.set_size(self.end)?;
        self.room = self.end;
        Ok(())
    }

    /// Removes the remains of a failed append, durably.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        self.trim()?;
        self.file.sync_data()
    }

    /// Writes the footer durably. No frame may follow.
    pub(crate) fn seal(&mut self, last: Position, fingerprint: Fingerprint) -> io::Result<Footer> {
        // The footer must be the last bytes of the file: readers look for it there.
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
        // Frames and footer are synced together: a footer without its frames fails its crc.
        self.file.write_all_at(&footer.encode(), self.end)?;
        self.file.sync_data()?;
        Ok(footer)
    }
}

/// The error of [`Writer::create`].
#[derive(Debug)]
pub(crate) struct NotCreated {
    pub(crate) error: io::Error,
    /// Whether the file may have its name nevertheless. Its header would make a restart ignore higher
    /// positions in older segments, so nothing may be written to those any more.
    pub(crate) named: bool,
}

fn unfinished(header: &Header) -> String {
    format!("{}{UNFINISHED}", Name { sequence: header.sequence, kind: header.kind })
}

/// Reads the header of a segment.
pub(crate) fn read_header(file: &dyn DiskFile) -> io::Result<Result<Header, BadHeader>> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    Ok(Header::decode(&bytes[..read]))
}

/// Reads the footer of a segment. Returns `None` if the segment is not sealed, or if the footer is damaged.
pub(crate) fn read_footer(file: &dyn DiskFile, sequence: u64) -> io::Result<Option<Footer>> {
    let Some(start) = file.size()?.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_BYTES];
    let read = read_full(file, &mut bytes, start)?;
    let footer = Footer::decode(&bytes[..read]);
    // Bytes of a frame may look like a footer: its place and its number must fit as well.
    Ok(footer.filter(|f| f.sequence == sequence && f.length == start))
}

/// An intact frame that is not decoded yet.
#[derive(Clone, Debug)]
pub(crate) struct RawFrame {
    /// The offset of the frame.
    pub(crate) offset: u64,
    /// The size of the frame on disk.
    pub(crate) size: u64,
    /// The position in its head.
    pub(crate) position: Position,
    /// The encoded content.
    pub(crate) payload: Bytes,
}

/// The result of [`Frames::step`].
#[derive(Debug)]
pub(crate) enum FrameStep {
    /// A frame. The reader is behind it now.
    Frame(RawFrame),
    /// Damaged bytes before the end. The reader does not move.
    Bad,
    /// The end.
    End,
}

/// Reads frames in order.
#[derive(Debug)]
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    /// The offset of the next frame.
    pub(crate) offset: u64,
    /// The offset where reading ends.
    pub(crate) end: u64,
    buffer: Vec<u8>,
    /// The offset of the buffer's first byte in the file.
    start: u64,
    /// The crc32c of the file up to `offset`, if no frame was skipped.
    pub(crate) content: u32,
}

impl Frames {
    /// Creates a reader of the frames between the header and `end`.
    pub(crate) fn new(file: Arc<dyn DiskFile>, end: u64) -> io::Result<Frames> {
        let mut frames = Frames { file, offset: 0, end, buffer: Vec::new(), start: 0, content: 0 };
        let header = frames.peek(HEADER_BYTES)?;
        frames.content = crc32c::crc32c(header);
        frames.offset = (HEADER_BYTES as u64).min(end);
        Ok(frames)
    }

    /// Reads the next frame.
    pub(crate) fn step(&mut self) -> io::Result<FrameStep> {
        let (offset, end, content) = (self.offset, self.end, self.content);
        let head = self.peek(FRAME_HEADER)?;
        if head.is_empty() {
            // A file that ends before `end` was cut.
            return Ok(if offset >= end { FrameStep::End } else { FrameStep::Bad });
        }
        let Some(head) = FrameHead::parse(head) else { return Ok(FrameStep::Bad) };
        let size = FRAME_HEADER + head.length;
        let bytes = self.peek(size)?;
        let payload = &bytes[FRAME_HEADER.min(bytes.len())..];
        // A frame that exceeds the end was torn or cut.
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

    /// Moves from damaged bytes to the next intact frame. Returns `false` if there is none.
    pub(crate) fn resync(&mut self) -> io::Result<bool> {
        let bad = self.offset;
        // The damaged frame may begin with an intact magic.
        self.offset += 1;
        loop {
            // The window fits the largest frame, so a candidate needs no second read.
            let left = self.end.saturating_sub(self.offset);
            let window = self.peek(READ_BYTES.max(FRAME_HEADER + MAX_PAYLOAD))?;
            let Some(at) = window.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) else {
                // A magic may straddle the border of two windows.
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

    /// Returns up to `length` bytes from the reader's offset; fewer only at the end.
    fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        let left = self.end.saturating_sub(self.offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held = self.start + self.buffer.len() as u64;
        if self.offset < self.start || self.offset + length as u64 > held {
            // The unread rest of the buffer is kept, and more is read behind it.
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

/// Decodes a frame whose checksum matched. A decoding error is then no damage of the disk, and a second
/// copy would not help.
pub(crate) fn decode(raw: &RawFrame, path: &str) -> Result<Frame, LogError> {
    frame::decode(raw.position, &raw.payload).map_err(|why| {
        LogError::Damaged(format!(
            "{path}, byte {}, position {}: the frame is intact but cannot be read: {why}",
            raw.offset, raw.position
        ))
    })
}
