//! The files of the click store: parts by their positions, and the mark of the last durable position.

use std::io;
use std::sync::Arc;

use super::busy::BusyLinks;
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::PartHeader;
use crate::analytics::part::reader::ClickPart;
use crate::log::Position;
use crate::log::local::disk::{Disk, DiskFile};

/// Name of the folder in the data folder.
pub const FOLDER: &str = "clicks";

/// End of the name of a part.
pub(super) const PART: &str = ".part";

/// End of the name of a file that is being written. A start removes it.
const UNFINISHED: &str = ".new";

/// End of the name of a part that was set aside.
pub(super) const DAMAGED: &str = ".damaged";

/// End of the name of a part with clicks that are not in the log, since the log was replaced by another one or by an
/// older copy.
pub(super) const REPLACED: &str = ".replaced";

/// The file with the last position of the log whose cells are durable: parts have no position behind their last cell.
const MARK: &str = "position";

/// Bytes of the mark: the id of the log, the position, the number.
const MARK_BYTES: usize = 16 + 8 + 1;

/// Returns whether a copy of the folder has a file of this name, finished or not.
pub fn is_of_a_copy(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    name == MARK || name.ends_with(PART)
}

/// What the mark contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The id of the log.
    pub(super) log: u128,
    /// The last position of the log whose cells are durable.
    pub(super) position: Position,
    /// The number of the last tick up to there.
    pub(super) last_number: u8,
}

/// A part and its file.
#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) part: Arc<ClickPart>,
    pub(super) busy: BusyLinks,
}

impl StoredPart {
    pub(super) fn header(&self) -> &PartHeader {
        self.part.header()
    }
}

/// What a folder has.
pub(super) struct OpenedParts {
    /// In the order of their positions.
    pub(super) parts: Vec<Arc<StoredPart>>,
    /// The last position of the log whose cells are in the parts.
    pub(super) durable: Position,
    /// The number of the last tick up to there.
    pub(super) last_number: u8,
    /// The number of parts that were set aside.
    pub(super) damaged: u64,
}

/// Opens all parts of a folder. Removes what an interrupted merge or seal has left. `end` is the last position of the
/// log: a new folder begins there, since no Change before it has details.
pub(super) fn open(disk: &dyn Disk, log: u128, end: Position) -> io::Result<OpenedParts> {
    let (mut parts, mut damaged) = (Vec::new(), 0);
    for name in disk.list()? {
        // Its cells are in the log, or in the parts that it was to replace.
        if name.ends_with(UNFINISHED) {
            disk.remove(&name)?;
        } else if name.ends_with(PART) {
            // A file that was set aside has another end of its name, so it is not opened again.
            match open_part(disk, &name) {
                Ok(stored) => parts.push(Arc::new(stored)),
                // Not set aside: another start may read it.
                Err(PartError::Io(error)) => return Err(error),
                // Nor is it: the later version that wrote it finds it after the next upgrade.
                Err(error @ PartError::Newer(_)) => {
                    tracing::error!(%error, "{} is left out", disk.path(&name));
                }
                Err(error) => {
                    set_aside(disk, &name, &error);
                    damaged += 1;
                }
            }
        }
    }
    // Before merged parts are looked for: one that is ahead of the log does not replace its sources.
    parts.retain(|stored: &Arc<StoredPart>| {
        // The totals come from the log, so clicks that it does not have would exceed them.
        let is_ours = stored.header().log == log && stored.header().to <= end.0;
        if !is_ours {
            leave(disk, &stored.name);
        }
        is_ours
    });
    let (kept, merged) = ordered(parts, |stored| stored.header());
    merged.iter().try_for_each(|stored| disk.remove(&stored.name))?;
    let last = kept.last().map(|stored| Position(stored.header().to)).unwrap_or_default();
    // A mark of another log, or ahead of this one, was written before the log was replaced.
    let found = read_mark(disk);
    let marked = found.filter(|mark| mark.log == log && mark.position <= end);
    if found.is_some() && marked.is_none() {
        // At once: the log may grow past the position, and the mark would be believed.
        mark(disk, &Mark { log, position: last, last_number: 0 })?;
    }
    // A damaged part may have had all cells so far; then the log is read from its start.
    if found.is_none() && last == Position::START && damaged == 0 {
        mark(disk, &Mark { log, position: end, last_number: 0 })?;
        return Ok(OpenedParts { parts: kept, durable: end, last_number: 0, damaged });
    }
    // A crash between part and mark leaves the mark behind. An hour without clicks moves the mark only.
    let durable = marked.map_or(last, |mark| last.max(mark.position));
    let last_number = marked.map_or(0, |mark| mark.last_number);
    Ok(OpenedParts { parts: kept, durable, last_number, damaged })
}

/// Returns the parts in the order of their positions, and those whose cells are in another part as well.
pub(super) fn ordered<T>(mut parts: Vec<T>, header: impl Fn(&T) -> &PartHeader) -> (Vec<T>, Vec<T>) {
    // Of two parts that begin at one position, the longer one is the result of a merge.
    parts.sort_by_key(|part| (header(part).from, u64::MAX - header(part).to));
    let (mut kept, mut merged): (Vec<T>, Vec<T>) = (Vec::with_capacity(parts.len()), Vec::new());
    for part in parts {
        // Ranges nest and never cross, so a comparison with the last kept part is enough.
        let is_merged = kept.last().is_some_and(|last| header(&part).to <= header(last).to);
        if is_merged { merged.push(part) } else { kept.push(part) }
    }
    (kept, merged)
}

fn open_part(disk: &dyn Disk, name: &str) -> Result<StoredPart, PartError> {
    let file = disk.open(name)?;
    let bytes = file.size()?;
    Ok(StoredPart {
        name: name.to_owned(),
        bytes,
        part: Arc::new(ClickPart::open(file)?),
        busy: BusyLinks::default(),
    })
}

/// Writes a part: under another name until it is durable.
pub(super) fn write<E: From<io::Error>>(
    disk: &dyn Disk,
    header: &PartHeader,
    fill: impl FnOnce(Arc<dyn DiskFile>) -> Result<u64, E>,
) -> Result<StoredPart, E> {
    let name = format!("{:016x}-{:016x}{PART}", header.from, header.to);
    // A file under its final name is whole: `fill` syncs it before the rename.
    let unfinished = format!("{name}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    let written = fill(Arc::clone(&file)).and_then(|bytes| {
        disk.rename(&unfinished, &name)?;
        // Before the caller removes sources or moves the mark: a power cut could undo the rename alone.
        disk.sync_dir()?;
        Ok(bytes)
    });
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            // The error of the write is the one to report.
            drop(disk.remove(&unfinished));
            return Err(error);
        }
    };
    // Read back at once: an index that cannot be read is an error now, and not at the next start.
    let part = ClickPart::open(file).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(StoredPart { name, bytes, part: Arc::new(part), busy: BusyLinks::default() })
}

/// Renames a damaged part, and reports it.
pub(super) fn set_aside(disk: &dyn Disk, name: &str, error: &PartError) {
    let path = disk.path(name);
    // Renamed and not removed: most of its blocks may be intact.
    let renamed = disk.rename(name, &format!("{name}{DAMAGED}")).and_then(|()| disk.sync_dir());
    tracing::error!(
        %error,
        "{path} cannot be read and was renamed to {path}{DAMAGED}: its clicks are counted, and their details are missing"
    );
    if let Err(error) = renamed {
        tracing::error!(%error, "{path} cannot be renamed");
    }
}

/// Renames a part with clicks that are not in the log.
fn leave(disk: &dyn Disk, name: &str) {
    let path = disk.path(name);
    tracing::warn!(
        "{path} has details of clicks that are not in the log, which was replaced: the file was renamed to \
         {path}{REPLACED}"
    );
    // No reason to fail the start: the caller leaves the part out in any case.
    if let Err(error) = disk.rename(name, &format!("{name}{REPLACED}")) {
        tracing::error!(%error, "{path} cannot be renamed");
    }
}

/// Stores a mark.
pub(super) fn mark(disk: &dyn Disk, mark: &Mark) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(MARK_BYTES);
    bytes.extend_from_slice(&mark.log.to_le_bytes());
    bytes.extend_from_slice(&mark.position.0.to_le_bytes());
    bytes.push(mark.last_number);
    replace(disk, MARK, &bytes)
}

/// Returns the mark, `None` if it is missing or damaged.
pub(super) fn read_mark(disk: &dyn Disk) -> Option<Mark> {
    // A damaged mark counts as missing: the parts are a lower bound of the position.
    let fields: [u8; MARK_BYTES] = read_checked(disk, MARK)?;
    let (log, rest) = fields.split_first_chunk()?;
    let (position, rest) = rest.split_first_chunk()?;
    let position = Position(u64::from_le_bytes(*position));
    Some(Mark { log: u128::from_le_bytes(*log), position, last_number: *rest.first()? })
}

/// Replaces a small file, durably: by its fields and their checksum.
pub(super) fn replace(disk: &dyn Disk, name: &str, fields: &[u8]) -> io::Result<()> {
    let bytes = [fields, &crc32c::crc32c(fields).to_le_bytes()].concat();
    let unfinished = format!("{name}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_all_at(&bytes, 0)?;
    // Otherwise the rename may be durable before the bytes, and a power cut leaves an empty file.
    file.sync_data()?;
    disk.rename(&unfinished, name)?;
    disk.sync_dir()
}

/// Returns the fields of a small file, `None` if it is missing or damaged.
pub(super) fn read_checked<const FIELDS: usize>(disk: &dyn Disk, name: &str) -> Option<[u8; FIELDS]> {
    let file = disk.open(name).ok()?;
    let (mut fields, mut crc) = ([0; FIELDS], [0; 4]);
    // A file of another length fails one of the two.
    let is_read = file.read_at(&mut fields, 0).ok()? == FIELDS
        && file.read_at(&mut crc, FIELDS as u64).ok()? == crc.len();
    (is_read && crc32c::crc32c(&fields).to_le_bytes() == crc).then_some(fields)
}
