//! Reading a log folder without owning it, also beside the server that writes it: for `export`,
//! `verify` and `backup`.
//!
//! An [`Archive`] is the log as it stood when it was opened. It holds the files open, so that
//! compaction cannot take them away, and never writes to the folder. What a running server is just
//! writing at the end is no damage. Of a log with more segments than the system allows open files, the
//! rest is opened when it is read; a compaction that removes one of these ends the reading with an
//! error that says so.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::{self, Disk, FsDisk};
use super::folder::{self, FolderContents};
use super::live_records::{self, Write};
use super::markers;
use super::scan::{self, ScanReport};
use super::segment::{self, Name, io_error};
use super::segments::{Segment, Segments};
use crate::descriptors;
use crate::log::frame::header_footer::{Closed, Footer};
use crate::log::{Fingerprint, LogError, Position, Record};

/// How often a folder is read again because the server began or removed a segment meanwhile. Each
/// takes milliseconds, and segments change once in 64 MiB.
const TRIES: usize = 20;

/// How often what looks damaged is read again, to see whether a server was writing there. What it
/// writes within the length that a segment had when it was opened is at most 64 KB, a few
/// milliseconds' work. Real damage takes so many times longer to be found.
const DOUBTS: usize = 3;

/// How much is copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// A log at one moment.
#[derive(Debug)]
pub struct Archive {
    folder: FolderContents,
    report: ScanReport,
}

/// Returns whether a file of this name is one that a log consists of, finished or not.
pub fn is_of_a_log(name: &str) -> bool {
    name == markers::MARK || Name::parse(name).is_some() || name.ends_with(segment::UNFINISHED)
}

/// Returns whether a folder holds a log, whole or not: a segment, or the mark of a clean stop. Reads
/// names only. A folder that does not exist holds none.
pub fn holds_log(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name == markers::MARK || Name::parse(name).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What [`Archive::verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Which log.
    pub log: u128,
    /// Files that it consists of.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The position of the snapshot that it starts with; 0 without one.
    pub base: Position,
    /// Its last position.
    pub position: Position,
    /// Live records, click totals among them.
    pub records: u64,
    /// The fingerprint as the log keeps it.
    pub stored: Fingerprint,
    /// The fingerprint of the records that are there.
    pub computed: Fingerprint,
    /// Bytes after the last frame: a write under way, or one that a crash interrupted.
    pub torn: u64,
    /// What is damaged, with file and offset, one sentence each.
    pub damage: Vec<String>,
    /// Whether the mark of a clean stop is there and names exactly this end. A log that is being
    /// written has none; a copy without it may have lost its end.
    pub closed: bool,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.stored == self.computed
    }

    /// Whether the log is known to have reached no further than its end here.
    pub fn is_complete(&self) -> bool {
        self.closed
    }
}

impl Archive {
    /// The log of a folder.
    pub fn open(folder: &Path) -> Result<Archive, LogError> {
        let disk = FsDisk::read_only(folder).map_err(|source| LogError::Io {
            what: "cannot open",
            path: folder.display().to_string(),
            source,
        })?;
        Archive::read(disk)
    }

    /// The log on any disk.
    pub fn read(disk: impl Disk + 'static) -> Result<Archive, LogError> {
        let pins = descriptors::left().saturating_sub(descriptors::KEPT);
        Archive::read_pinning(disk, usize::try_from(pins).unwrap_or(usize::MAX))
    }

    /// As [`Archive::read`], with at most `pins` segments held open.
    pub fn read_pinning(disk: impl Disk + 'static, pins: usize) -> Result<Archive, LogError> {
        let shared: Arc<dyn Disk> = Arc::new(disk);
        let disk = &*shared;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let before = names(disk)?;
            let read = folder::open_folder(&shared, pins).and_then(|folder| {
                // Sealed segments are trusted here; `verify` is for reading them.
                let report = scan_folder(&folder, Position(u64::MAX), &mut |_| {})?;
                Ok(Archive { folder, report })
            });
            // A segment that began or went while we read makes an intact log look damaged.
            if tries > 0 && (is_missing(&read) || names(disk)? != before) {
                continue;
            }
            let archive = read?;
            if archive.folder.found.is_empty() {
                let text = format!("there is no log in {}", disk.path(""));
                return Err(LogError::Damaged(text));
            }
            return Ok(archive);
        }
    }

    /// Which log it is.
    pub fn id(&self) -> u128 {
        self.segments().list.first().map_or(0, |segment| segment.header.log)
    }

    /// The position that it is the state of.
    pub fn position(&self) -> Position {
        self.report.end
    }

    /// The fingerprint there, as the log keeps it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.segments().list.last().map_or(Fingerprint::default(), |segment| segment.fingerprint)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments().bytes()
    }

    fn segments(&self) -> &Segments {
        &self.report.segments
    }

    /// Every live record once, in no particular order, and the fingerprint of them all. Fails at the
    /// first damage.
    pub fn each_record(
        &self,
        each: &mut dyn FnMut(Record) -> Result<(), LogError>,
    ) -> Result<Fingerprint, LogError> {
        self.refuse_damage()?;
        let segments = &self.segments().list;
        let mut source = |each: &mut dyn FnMut(Write<'_>) -> Result<(), LogError>| {
            live_records::read(segments, &mut || Ok(()), each).map_err(overtaken)
        };
        live_records::each_live(live_records::keys(segments), live_records::MAX_KEYS, &mut source, each)
    }

    fn refuse_damage(&self) -> Result<(), LogError> {
        if self.report.broken.is_empty() {
            return Ok(());
        }
        Err(LogError::Damaged(format!("the log is damaged: {}", self.report.broken.join("; "))))
    }

    /// Reads everything and compares. `progress` hears bytes done and bytes in all.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, LogError> {
        let total = self.bytes();
        let mut done = 0;
        let report = scan_folder(&self.folder, Position::START, &mut |bytes| {
            done += bytes;
            progress(done.min(total), total);
        });
        let report = report.map_err(overtaken)?;
        let mut damage = report.broken;
        for segment in &self.segments().list {
            let Some(footer) = segment.footer else { continue };
            let content = folder::content_crc(&*segment.open().map_err(overtaken)?, footer.length)
                .map_err(|e| segment.cannot_read(e))?;
            if content != footer.content {
                damage.push(format!("{}: its content is not what was sealed", segment.path));
            }
        }
        let mut records = 0;
        let computed = if damage.is_empty() {
            self.each_record(&mut |_| {
                records += 1;
                Ok(())
            })?
        } else {
            Fingerprint::default()
        };
        progress(total, total);
        Ok(VerifyReport {
            log: self.id(),
            segments: self.segments().list.len(),
            bytes: total,
            base: self.segments().base(),
            position: self.position(),
            records,
            stored: self.fingerprint(),
            computed,
            torn: self.report.torn,
            damage,
            closed: self.is_closed(),
        })
    }

    fn is_closed(&self) -> bool {
        let Some(last) = self.segments().list.last() else { return false };
        self.folder.mark.is_some_and(|mark| mark == mark_of(last))
    }

    /// Copies the log to an empty or new folder, as a log that was closed in order at
    /// [`Archive::position`]. Sealed segments are checked on the way.
    pub fn copy_to(&self, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        let disk = FsDisk::open(folder).map_err(|source| LogError::Io {
            what: "cannot make",
            path: folder.display().to_string(),
            source,
        })?;
        self.copy(&disk, progress)
    }

    /// Copies to any empty disk.
    pub fn copy(&self, disk: &dyn Disk, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        self.refuse_damage()?;
        if !disk.list().map_err(io_error(disk, "", "cannot list"))?.is_empty() {
            let source = io::ErrorKind::DirectoryNotEmpty.into();
            return Err(LogError::Io { what: "cannot copy into", path: disk.path(""), source });
        }
        let total = self.bytes();
        let mut done = 0;
        for segment in &self.segments().list {
            copy_segment(segment, disk, &mut |bytes| {
                done += bytes;
                progress(done.min(total), total);
            })?;
        }
        let Some(last) = self.segments().list.last() else { return Ok(()) };
        // The mark also tells a copy that was cut later from a whole one.
        markers::write_mark(disk, &mark_of(last)).map_err(io_error(disk, "", "cannot write in"))
    }
}

/// The mark of a clean stop at the end of the last segment.
fn mark_of(last: &Segment) -> Closed {
    Closed {
        log: last.header.log,
        sequence: last.header.sequence,
        length: last.end,
        position: last.last,
        fingerprint: last.fingerprint,
    }
}

fn copy_segment(segment: &Segment, disk: &dyn Disk, tick: &mut dyn FnMut(u64)) -> Result<(), LogError> {
    let name = segment.name().to_string();
    let cannot_write = || io_error(disk, &name, "cannot write");
    let file = disk.create(&name).map_err(cannot_write())?;
    let source = segment.open().map_err(overtaken)?;
    let mut buffer = vec![0; COPY_BYTES];
    let (mut offset, mut content) = (0, 0);
    while offset < segment.end {
        let part = buffer.len().min(usize::try_from(segment.end - offset).unwrap_or(usize::MAX));
        let read =
            disk::read_full(&*source, &mut buffer[..part], offset).map_err(|e| segment.cannot_read(e))?;
        if read < part {
            return Err(segment.damaged(offset + read as u64, segment.header.before));
        }
        content = crc32c::crc32c_append(content, &buffer[..part]);
        file.write_all_at(&buffer[..part], offset).map_err(cannot_write())?;
        offset += part as u64;
        tick(part as u64);
    }
    if let Some(footer) = &segment.footer {
        if content != footer.content {
            let text = format!("{}: its content is not what was sealed", segment.path);
            return Err(LogError::Damaged(text));
        }
        file.write_all_at(&Footer::encode(footer), offset).map_err(cannot_write())?;
    }
    file.sync_data().map_err(cannot_write())
}

/// [`scan::scan_folder`], again if need be: bytes that were read before a server wrote there, next to bytes
/// that were read after, look like a gap.
fn scan_folder(
    folder: &FolderContents,
    known: Position,
    tick: &mut dyn FnMut(u64),
) -> Result<ScanReport, LogError> {
    let mut report = scan::scan_folder(folder, known, tick)?;
    for _ in 0..DOUBTS {
        if report.broken.is_empty() {
            break;
        }
        report = scan::scan_folder(folder, known, tick)?;
    }
    Ok(report)
}

fn names(disk: &dyn Disk) -> Result<BTreeSet<Name>, LogError> {
    let names = disk.list().map_err(io_error(disk, "", "cannot list"))?;
    Ok(names.iter().filter_map(|name| Name::parse(name)).collect())
}

/// Explains a segment that is missing though it was there when the archive was opened.
fn overtaken(error: LogError) -> LogError {
    match error {
        LogError::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
            LogError::Overtaken { path }
        }
        other => other,
    }
}

fn is_missing(read: &Result<Archive, LogError>) -> bool {
    matches!(read, Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
}
