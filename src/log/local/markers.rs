//! The marker files of a log folder, and how its other files are renamed and removed.

use super::disk::Disk;
use super::segment::{UNFINISHED, io_error};
use crate::log::LogError;
use crate::log::frame::header_footer::Closed;

/// Name of the file that marks a clean stop.
pub(crate) const MARK: &str = "closed";

/// Name of the file that marks a repair in progress.
pub(crate) const REPAIR: &str = "repair";

/// Name of the file that marks the copy of a `restore` that is not in place yet.
pub(crate) const COPY: &str = "restoring";

/// Writes the mark of a clean stop durably.
pub(crate) fn write_mark(disk: &dyn Disk, mark: &Closed) -> std::io::Result<()> {
    let unfinished = format!("{MARK}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_all_at(&mark.encode(), 0)?;
    file.sync_data()?;
    // Written under another name first, so that a crash leaves no part of a mark under its name.
    disk.rename(&unfinished, MARK)?;
    disk.sync_dir()
}

/// Marks a repair in progress, durably. From now on, files that a new snapshot replaces are renamed and not
/// removed, even by a later start.
pub(crate) fn mark_repair(disk: &dyn Disk) -> Result<(), LogError> {
    let cannot_write = || io_error(disk, REPAIR, "cannot write");
    disk.create(REPAIR).map_err(cannot_write())?.sync_data().map_err(cannot_write())?;
    disk.sync_dir().map_err(cannot_write())
}

/// Renames a file that a repair replaced. Never overwrites an older one.
pub(crate) fn set_aside(disk: &dyn Disk, name: &str, ending: &str) -> Result<(), LogError> {
    let names = disk.list().map_err(io_error(disk, "", "cannot list"))?;
    let mut aside = format!("{name}.{ending}");
    for number in 2.. {
        if !names.contains(&aside) {
            break;
        }
        aside = format!("{name}.{ending}-{number}");
    }
    match disk.rename(name, &aside) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error(disk, name, "cannot rename")(e)),
        _ => Ok(()),
    }
}

/// Removes a file. Succeeds if it is already gone.
pub(crate) fn remove(disk: &dyn Disk, name: &str) -> Result<(), LogError> {
    match disk.remove(name) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error(disk, name, "cannot remove")(e)),
        _ => Ok(()),
    }
}
