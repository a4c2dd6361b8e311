//! The contents of a log folder: its files, their headers and footers, and the files that form the log.
//! Also reads what is left of damaged files.

use std::sync::Arc;

use super::disk::{self, Disk, DiskFile};
use super::markers::{MARK, REPAIR};
use super::segment::{self, FrameStep, Frames, Name, UNFINISHED, io_error};
use super::segment_file::SegmentFile;
use crate::log::frame::Frame;
use crate::log::frame::header_footer::{BadHeader, CLOSED_BYTES, Closed, Footer, Header, SegmentKind};
use crate::log::{Change, LogError, Position, Record};

/// A segment file in the folder.
#[derive(Debug)]
pub(crate) struct FoundSegment {
    pub(crate) name: Name,
    pub(crate) file: SegmentFile,
    /// The path, for messages.
    pub(crate) path: String,
    /// The header, if it is intact.
    pub(crate) header: Option<Header>,
    /// The footer, if the segment has an intact one.
    pub(crate) footer: Option<Footer>,
    /// The size of the file.
    pub(crate) size: u64,
    /// The last position that counts. Higher positions in this file never happened, according to a newer
    /// header.
    pub(crate) limit: Option<Position>,
}

/// The contents of the folder.
#[derive(Debug)]
pub(crate) struct FolderContents {
    /// The segments that form the log, oldest first.
    pub(crate) found: Vec<FoundSegment>,
    /// Unfinished files, and files that a snapshot replaced.
    pub(crate) stale: Vec<String>,
    /// The mark of a clean stop.
    pub(crate) mark: Option<Closed>,
    /// The highest number of all segments.
    pub(crate) sequence: u64,
    /// Whether a repair is in progress: stale files are renamed instead of removed.
    pub(crate) is_repaired: bool,
}

impl FoundSegment {
    /// Wraps an error of reading the file.
    fn cannot_read(&self, source: std::io::Error) -> LogError {
        LogError::Io { what: "cannot read", path: self.path.clone(), source }
    }

    /// Returns the open file.
    pub(crate) fn open(&self) -> Result<Arc<dyn DiskFile>, LogError> {
        self.file.open().map_err(|e| self.cannot_read(e))
    }
}

/// Reads headers and footers of all files in the folder. Keeps at most `pins` of the files open, for a
/// reader beside a server whose compaction may remove them.
pub(crate) fn open_folder(disk: &Arc<dyn Disk>, pins: usize) -> Result<FolderContents, LogError> {
    let shared = disk;
    let disk = &**disk;
    let mut folder =
        FolderContents { found: Vec::new(), stale: Vec::new(), mark: None, sequence: 0, is_repaired: false };
    for text in disk.list().map_err(io_error(disk, "", "cannot list"))? {
        if text.ends_with(UNFINISHED) {
            folder.stale.push(text);
        } else if text == REPAIR {
            folder.is_repaired = true;
        } else if text == MARK {
            let file = disk.open(&text).map_err(io_error(disk, &text, "cannot open"))?;
            let mut bytes = [0; CLOSED_BYTES];
            let read =
                disk::read_full(&*file, &mut bytes, 0).map_err(io_error(disk, &text, "cannot read"))?;
            folder.mark = Closed::decode(&bytes[..read]);
        } else if let Some(name) = Name::parse(&text) {
            // Over all names, also of damaged files: no number is used twice.
            folder.sequence = folder.sequence.max(name.sequence);
            let is_pinned = folder.found.len() < pins;
            folder.found.push(open_segment(shared, name, is_pinned)?);
        }
    }
    folder.found.sort_by_key(|found| found.name);
    drop_superseded(&mut folder);
    let mut limit = None;
    // From the newest file to the oldest: each header limits all older files.
    for found in folder.found.iter_mut().rev() {
        found.limit = limit;
        let before = match found.header {
            Some(header) => Some(header.before),
            // Without a header, the first Change shows where the segment began.
            None => first_position(found)?.map(|first| Position(first.0.saturating_sub(1))),
        };
        if let Some(before) = before {
            // The lowest limit of all newer files counts.
            limit = Some(limit.map_or(before, |limit: Position| limit.min(before)));
        }
    }
    Ok(folder)
}

fn open_segment(shared: &Arc<dyn Disk>, name: Name, is_pinned: bool) -> Result<FoundSegment, LogError> {
    let disk = &**shared;
    let text = name.to_string();
    let path = disk.path(&text);
    let mut named = SegmentFile::new(shared, name);
    let file = named.open().map_err(io_error(disk, &text, "cannot open"))?;
    let header = match segment::read_header(&*file).map_err(io_error(disk, &text, "cannot read"))? {
        // The header must belong to the name, so that a misplaced file is damage.
        Ok(header) => Some(header).filter(|h| h.sequence == name.sequence && h.kind == name.kind),
        Err(BadHeader::Damaged) => None,
        Err(BadHeader::Newer(version)) => {
            let text = format!("{path} has version {version}: a newer Waypost wrote it, use that one");
            return Err(LogError::Damaged(text));
        }
    };
    let footer = segment::read_footer(&*file, name.sequence).map_err(io_error(disk, &text, "cannot read"))?;
    let size = file.size().map_err(io_error(disk, &text, "cannot read"))?;
    if is_pinned {
        named.pin(file);
    }
    Ok(FoundSegment { name, file: named, path, header, footer, size, limit: None })
}

/// Returns the position of the first intact frame of a segment of Changes.
fn first_position(found: &FoundSegment) -> Result<Option<Position>, LogError> {
    let cannot_read = |source| found.cannot_read(source);
    let mut frames = Frames::new(found.open()?, found.size).map_err(cannot_read)?;
    if found.name.kind == SegmentKind::Snapshot {
        return Ok(None);
    }
    loop {
        match frames.step().map_err(cannot_read)? {
            FrameStep::Frame(raw) => return Ok(Some(raw.position)),
            FrameStep::End => return Ok(None),
            FrameStep::Bad => {
                if !frames.resync().map_err(cannot_read)? {
                    return Ok(None);
                }
            }
        }
    }
}

/// Moves the files that a snapshot replaced to the stale ones. The newest intact snapshot replaces all
/// segments up to its own number; a crash during a compaction leaves both.
fn drop_superseded(folder: &mut FolderContents) {
    let snapshots = || folder.found.iter().filter(|f| f.name.kind == SegmentKind::Snapshot);
    let whole = |f: &&FoundSegment| {
        let footer = f.header.and(f.footer);
        // Older files are removed because of this snapshot, so its content is checked. Otherwise the start
        // does not read a snapshot.
        let alone = !folder.found.iter().any(|other| other.name < f.name);
        footer.is_some_and(|footer| alone || content_holds(f, &footer))
    };
    // Without an intact snapshot the newest one stays, so that the scan reports its damage.
    let Some(newest) = snapshots().rev().find(whole).or_else(|| snapshots().next_back()) else { return };
    let newest = newest.name;
    let (stale, kept) = std::mem::take(&mut folder.found)
        .into_iter()
        // A later snapshot is not intact, and the files that it should replace are kept.
        .partition(|f| f.name < newest || (f.name.kind == SegmentKind::Snapshot && f.name > newest));
    folder.found = kept;
    folder.stale.extend::<Vec<String>>(stale.iter().map(|f: &FoundSegment| f.name.to_string()).collect());
}

fn content_holds(found: &FoundSegment, footer: &Footer) -> bool {
    found.open().is_ok_and(|file| content_crc(&*file, footer.length).is_ok_and(|crc| crc == footer.content))
}

/// Returns the crc32c of the first `length` bytes of a file.
pub(crate) fn content_crc(file: &dyn DiskFile, length: u64) -> std::io::Result<u32> {
    crc_of_range(file, 0, 0, length)
}

/// Extends `crc`, the crc32c of the bytes before `from`, to the bytes before `to`.
pub(crate) fn crc_of_range(file: &dyn DiskFile, mut crc: u32, from: u64, to: u64) -> std::io::Result<u32> {
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = from;
    while offset < to {
        let part = buffer.len().min(usize::try_from(to - offset).unwrap_or(usize::MAX));
        let read = disk::read_full(file, &mut buffer[..part], offset)?;
        // The file is shorter than its footer names: the crc differs, and the caller notices it.
        if read == 0 {
            break;
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
        offset += read as u64;
    }
    Ok(crc)
}

/// A readable part of a damaged log.
pub(crate) enum Salvaged {
    /// A Change.
    Change(Change),
    /// Records of a snapshot.
    Records(Vec<Record>),
}

/// Calls `each` with all that can be read of the files, in order. Skips damage.
pub(crate) fn salvage(
    folder: &FolderContents,
    each: &mut dyn FnMut(Salvaged) -> Result<(), LogError>,
) -> Result<(), LogError> {
    for found in &folder.found {
        let cannot_read = |source| found.cannot_read(source);
        let mut frames = Frames::new(found.open()?, found.size).map_err(cannot_read)?;
        loop {
            match frames.step().map_err(cannot_read)? {
                FrameStep::End => break,
                FrameStep::Bad => {
                    if !frames.resync().map_err(cannot_read)? {
                        break;
                    }
                }
                FrameStep::Frame(raw) => {
                    if found.name.kind == SegmentKind::Changes
                        && found.limit.is_some_and(|limit| raw.position > limit)
                    {
                        // A newer segment shows that these Changes never happened.
                        break;
                    }
                    match segment::decode(&raw, &found.path)? {
                        Frame::Change(change, _) => each(Salvaged::Change(change))?,
                        Frame::Records(records) => each(Salvaged::Records(records))?,
                        Frame::Checkpoint(_) | Frame::CleanClose(_) => {}
                    }
                }
            }
        }
    }
    Ok(())
}
