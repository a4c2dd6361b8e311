//! The marker files of a log folder, and the durable steps on names: renaming and removing.

use super::disk::Disk;
use super::segment::{UNFINISHED, io_error};
use crate::log::LogError;
use crate::log::frame::header_footer::Closed;

/// The file that marks a clean stop.
pub(crate) const MARK: &str = "closed";

/// The file that says that a repair is under way, or was interrupted.
pub(crate) const REPAIR: &str = "repair";

/// Writes the mark of a clean stop durably.
pub(crate) fn write_mark(disk: &dyn Disk, mark: &Closed) -> std::io::Result<()> {
    let unfinished = format!("{MARK}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_all_at(&mark.encode(), 0)?;
    file.sync_data()?;
    disk.rename(&unfinished, MARK)?;
    disk.sync_dir()
}

/// Notes durably that a repair is under way: what a new snapshot takes the place of is renamed from now
/// on, even by a later start, and not removed.
pub(crate) fn mark_repair(disk: &dyn Disk) -> Result<(), LogError> {
    let cannot_write = || io_error(disk, REPAIR, "cannot write");
    disk.create(REPAIR).map_err(cannot_write())?.sync_data().map_err(cannot_write())?;
    disk.sync_dir().map_err(cannot_write())
}

/// Renames a file that a repair took the place of. Overwrites none that was set aside before.
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

/// Removes a name and forgives that it is gone.
pub(crate) fn remove(disk: &dyn Disk, name: &str) -> Result<(), LogError> {
    match disk.remove(name) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error(disk, name, "cannot remove")(e)),
        _ => Ok(()),
    }
}
