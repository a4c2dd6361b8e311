//! Small files of the folder: some fields and their checksum, replaced as a whole.

use std::io;

use crate::log::local::disk::Disk;

/// End of the name of a file that is being written. A start removes it.
pub(super) const UNFINISHED: &str = ".new";

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
