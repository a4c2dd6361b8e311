//! Reads a log folder without owning it, also beside the server that writes it: for `export`, `verify` and
//! `backup`.
//!
//! 1. An [`Archive`] is the log at the moment it was opened. It never writes to the folder.
//! 2. It keeps the files open, so compaction cannot remove them from it. If the log has more segments than
//!    the system allows open files, the other segments are opened when they are read. A compaction that
//!    removes one of these ends the read with [`LogError::Overtaken`].
//! 3. What a running server is writing at the end is not damage.

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

/// How often a folder is read again because the server began or removed a segment in between. Each attempt
/// takes milliseconds, and segments change once in 64 MiB.
const TRIES: usize = 20;

/// How often a damaged part is read again, because a server may have been writing to it. Within the known
/// size of a segment, a server writes at most 64 KB, which takes a few milliseconds. Real damage is scanned
/// this number of additional times.
const DOUBTS: usize = 3;

/// Number of bytes that are copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// A log at one moment.
#[derive(Debug)]
pub struct Archive {
    folder: FolderContents,
    report: ScanReport,
}

/// Returns whether a file of this name belongs to a log, finished or not.
pub fn is_of_a_log(name: &str) -> bool {
    name == markers::MARK || Name::parse(name).is_some() || name.ends_with(segment::UNFINISHED)
}

/// Returns whether a folder contains a log, intact or not: a segment, or the mark of a clean stop. Reads
/// names only. Returns `false` for a folder that does not exist.
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

/// Returns whether the log of a folder is known to be complete, as [`VerifyReport::is_complete`] does. Reads the
/// headers and the last segment only.
pub fn is_closed(folder: &Path) -> Result<bool, LogError> {
    let names = FsDisk::read_only(folder).and_then(|disk| disk.list()).map_err(|source| LogError::Io {
        what: "cannot list",
        path: folder.display().to_string(),
        source,
    })?;
    // A mark alone is what is left of a copy without its segments.
    if !names.iter().any(|name| Name::parse(name).is_some()) {
        return Ok(false);
    }
    Archive::open(folder).map(|archive| archive.is_closed())
}

/// The result of [`Archive::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The id of the log.
    pub log: u128,
    /// Number of segments.
    pub segments: usize,
    /// Bytes of all segments.
    pub bytes: u64,
    /// The position of the snapshot that the log begins with; 0 without a snapshot.
    pub base: Position,
    /// The last position.
    pub position: Position,
    /// Number of live records, click totals included.
    pub records: u64,
    /// The fingerprint that the log stores.
    pub stored: Fingerprint,
    /// The fingerprint of the records that were read.
    pub computed: Fingerprint,
    /// Bytes after the last frame: a write in progress, or one that a crash interrupted.
    pub torn: u64,
    /// The damage, with file and offset, one sentence each.
    pub damage: Vec<String>,
    /// Whether the mark of a clean stop exists and names exactly this end. A log that a server writes has
    /// no mark; a copy without the mark may have lost its end.
    pub closed: bool,
}

impl VerifyReport {
    /// Returns whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.stored == self.computed
    }

    /// Returns whether the log is known to end here.
    pub fn is_complete(&self) -> bool {
        self.closed
    }
}

impl Archive {
    /// Opens the log of a folder.
    pub fn open(folder: &Path) -> Result<Archive, LogError> {
        let disk = FsDisk::read_only(folder).map_err(|source| LogError::Io {
            what: "cannot open",
            path: folder.display().to_string(),
            source,
        })?;
        Archive::read(disk)
    }

    /// Opens the log on any disk.
    pub fn read(disk: impl Disk + 'static) -> Result<Archive, LogError> {
        // Some descriptors stay free, for the copy and for the command itself.
        let pins = descriptors::left().saturating_sub(descriptors::KEPT);
        Archive::read_pinning(disk, usize::try_from(pins).unwrap_or(usize::MAX))
    }

    /// Like [`Archive::read`], with at most `pins` open segments.
    pub fn read_pinning(disk: impl Disk + 'static, pins: usize) -> Result<Archive, LogError> {
        let shared: Arc<dyn Disk> = Arc::new(disk);
        let disk = &*shared;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let before = names(disk)?;
            let read = folder::open_folder(&shared, pins).and_then(|folder| {
                // The content of sealed segments is not read here; `verify` reads it.
                let report = scan_folder(&folder, Position(u64::MAX), &mut |_| {})?;
                Ok(Archive { folder, report })
            });
            // A segment that the server began or removed during the scan makes an intact log look damaged.
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

    /// Returns the id of the log.
    pub fn id(&self) -> u128 {
        self.segments().list.first().map_or(0, |segment| segment.header.log)
    }

    /// Returns the last position.
    pub fn position(&self) -> Position {
        self.report.end
    }

    /// Returns the fingerprint that the log stores for its last position.
    pub fn fingerprint(&self) -> Fingerprint {
        self.segments().list.last().map_or(Fingerprint::default(), |segment| segment.fingerprint)
    }

    /// Returns the bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments().bytes()
    }

    fn segments(&self) -> &Segments {
        &self.report.segments
    }

    /// Calls `each` with every live record once, in no particular order. Returns the fingerprint of all
    /// records. Fails at the first damage.
    pub fn each_record(
        &self,
        each: &mut dyn FnMut(Record) -> Result<(), LogError>,
    ) -> Result<Fingerprint, LogError> {
        // Some records of a damaged log are missing, and an export would look complete.
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

    /// Reads all segments and compares checksums and fingerprints. Calls `progress` with the bytes done and
    /// the bytes in all.
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
            // Only a sealed segment has a crc of its whole content. Frames have their own.
            let Some(footer) = segment.footer else { continue };
            let content = folder::content_crc(&*segment.open().map_err(overtaken)?, footer.length)
                .map_err(|e| segment.cannot_read(e))?;
            if content != footer.content {
                damage.push(format!("{}: its content is not what was sealed", segment.path));
            }
        }
        let mut records = 0;
        // A damaged log has no complete set of records to compare.
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

    /// Copies the log to an empty or new folder, as a log that was closed cleanly at [`Archive::position`].
    /// Checks sealed segments on the way.
    pub fn copy_to(&self, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        let disk = FsDisk::open(folder).map_err(|source| LogError::Io {
            what: "cannot create",
            path: folder.display().to_string(),
            source,
        })?;
        self.copy(&disk, progress)
    }

    /// Copies the log to any empty disk.
    pub fn copy(&self, disk: &dyn Disk, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        self.refuse_damage()?;
        // Segments of two logs in one folder would be damage.
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
        // The mark is written last. It distinguishes a complete copy from one that was cut.
        markers::write_mark(disk, &mark_of(last)).map_err(io_error(disk, "", "cannot write in"))
    }
}

/// Returns the mark of a clean stop at the end of the last segment.
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
        // Computed on the way, so that each byte is read once.
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
    // Before the mark, which states that everything up to its position is durable.
    file.sync_data().map_err(cannot_write())
}

/// Scans the folder, and again if it looks damaged. A server may write during the scan: bytes read before
/// the write, next to bytes read after it, look like a gap.
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
    // Names only: sizes change with every write of the server.
    let names = disk.list().map_err(io_error(disk, "", "cannot list"))?;
    Ok(names.iter().filter_map(|name| Name::parse(name)).collect())
}

/// Explains the error of a segment that was removed after the archive was opened.
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
