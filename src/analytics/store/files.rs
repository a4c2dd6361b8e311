//! The files of the click store: parts by their positions, and what a start finds of them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::busy::BusyLinks;
use super::mark::{DAMAGED, ListedPart, MARK, Mark, PART, REPLACED, name_of, positions_of};
use super::small_file::UNFINISHED;
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::error::PartError;
use crate::analytics::part::header::PartHeader;
use crate::analytics::part::reader::ClickPart;
use crate::log::Position;
use crate::log::local::disk::{Disk, DiskFile};

/// Name of the folder in the data folder.
pub const FOLDER: &str = "clicks";

/// Returns whether a copy of the folder has a file of this name, finished or not.
pub fn is_of_a_copy(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    name == MARK || name.ends_with(PART)
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
    /// The mark that the folder has now. Its position is the last one of the log whose cells are in the parts.
    pub(super) mark: Mark,
    /// The positions of parts that are not in `parts`: of damaged ones, and of those that cannot be read now.
    pub(super) holes: Vec<(u64, u64)>,
    /// The number of parts that were set aside, that cannot be read, and that are missing.
    pub(super) damaged: u64,
}

/// The files of a folder.
#[derive(Default)]
struct FoundParts {
    parts: Vec<Arc<StoredPart>>,
    /// The names of parts that stay where they are and are left out.
    left_out: BTreeSet<String>,
    holes: Vec<(u64, u64)>,
    damaged: u64,
}

/// Opens all parts of a folder. Removes what an interrupted merge or seal has left. `end` is the last position of the
/// log: a new folder begins there, since no Change before it has details.
///
/// A file that cannot be read is left out and reported, and a missing one is reported: one file must not cost the details
/// of all others.
pub(super) fn open(disk: &dyn Disk, log: u128, end: Position) -> io::Result<OpenedParts> {
    let mut found = find(disk)?;
    // Before merged parts are looked for: one that is ahead of the log does not replace its sources.
    found.parts.retain(|stored: &Arc<StoredPart>| {
        // The totals come from the log, so clicks that it does not have would exceed them.
        let is_ours = stored.header().log == log && stored.header().to <= end.0;
        if !is_ours {
            leave(disk, &stored.name);
        }
        is_ours
    });
    let FoundParts { parts, left_out, holes, mut damaged } = found;
    let (parts, merged) = ordered(parts, |stored| stored.header());
    merged.iter().try_for_each(|stored| disk.remove(&stored.name))?;
    let last = parts.last().map(|stored| Position(stored.header().to)).unwrap_or_default();
    // A mark of another log, or ahead of this one, was written before the log was replaced.
    let stored = Mark::read(disk);
    let marked = stored.as_ref().filter(|mark| mark.log == log && mark.position <= end);
    // A damaged part may have had all cells so far; then the log is read from its start.
    let is_new = stored.is_none() && last == Position::START && damaged == 0;
    let mut mark = Mark { log, position: if is_new { end } else { last }, ..Mark::default() };
    let mut has_missing = false;
    if let Some(marked) = marked {
        let names = disk.list()?;
        let has_name = |name: &str| names.iter().any(|known| known == name);
        let headers: Vec<_> = parts.iter().map(|stored| stored.header()).collect();
        for part in marked.missing(&headers, has_name) {
            report_missing(disk, &part);
            (has_missing, damaged) = (true, damaged + 1);
        }
        // A crash between part and mark leaves the mark behind. An hour without clicks moves the mark only.
        (mark.position, mark.last_number) = (last.max(marked.position), marked.last_number);
        mark.parts = marked.parts.iter().filter(|part| left_out.contains(&part.name())).copied().collect();
    }
    for stored in &parts {
        mark.list(stored.header());
    }
    // The mark of another log at once: the log may grow past its position, and the mark would be believed.
    if is_new || has_missing || (stored.is_some() && marked.is_none()) {
        mark.write(disk)?;
    }
    Ok(OpenedParts { parts, mark, holes, damaged })
}

fn find(disk: &dyn Disk) -> io::Result<FoundParts> {
    let mut found = FoundParts::default();
    for name in disk.list()? {
        if name.ends_with(UNFINISHED) {
            // Its cells are in the log, or in the parts that it was to replace.
            if let Err(error) = disk.remove(&name) {
                tracing::warn!(%error, "{} cannot be removed", disk.path(&name));
            }
        } else if name.ends_with(PART) {
            // A file that was set aside has another end of its name, so it is not opened again.
            match open_part(disk, &name) {
                Ok(stored) => found.parts.push(Arc::new(stored)),
                // Not set aside: another start may read it, and the later version that wrote it finds it after the next
                // upgrade.
                Err(error @ (PartError::Io(_) | PartError::Newer(_))) => {
                    tracing::error!(
                        %error,
                        "{} is left out: its clicks are counted, and their details are missing until a start that can \
                         read it",
                        disk.path(&name)
                    );
                    found.damaged += u64::from(matches!(error, PartError::Io(_)));
                    found.holes.extend(positions_of(&name));
                    found.left_out.insert(name);
                }
                Err(error) => {
                    set_aside(disk, &name, &error);
                    found.holes.extend(positions_of(&name));
                    found.damaged += 1;
                }
            }
        } else if name.ends_with(DAMAGED) {
            found.holes.extend(positions_of(&name));
        }
    }
    Ok(found)
}

fn report_missing(disk: &dyn Disk, part: &ListedPart) {
    let hours = hours(part.first, part.last);
    tracing::error!(
        "{} is missing: somebody has removed it. The clicks from {hours} are counted, and their details are missing; a \
         backup may have the file",
        disk.path(&part.name())
    );
}

/// Returns a span of slots in UTC, such as `2026-11-28T00:00Z to 2026-11-29T00:00Z`.
pub(super) fn hours(first: TimeSlot, last: TimeSlot) -> String {
    let shown = |slot: TimeSlot| {
        let time = jiff::Timestamp::from_millisecond(slot.start_millis());
        // A slot of a wrong clock may be behind the last year of the calendar.
        time.map_or_else(|_| format!("slot {}", slot.0), |time| time.strftime("%Y-%m-%dT%H:%MZ").to_string())
    };
    format!("{} to {}", shown(first), shown(TimeSlot(last.0.saturating_add(1))))
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
    let name = name_of(header.from, header.to);
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
