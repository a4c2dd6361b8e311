//! [`Mark`]: the last position of the log whose cells are in parts, and the list of these parts.
//!
//! 1. A part is durable before the mark lists it, and the mark no longer lists a part before its file is removed. So a
//!    listed part that no file has was removed by somebody else, and is never that of an interrupted merge.
//! 2. Hours without clicks have no part, so the positions in the names of parts have gaps and show nothing.

use std::io;

use super::small_file;
use crate::analytics::cell::TimeSlot;
use crate::analytics::part::header::PartHeader;
use crate::log::Position;
use crate::log::local::disk::Disk;

/// End of the name of a part.
pub(super) const PART: &str = ".part";

/// End of the name of a part that was set aside.
pub(super) const DAMAGED: &str = ".damaged";

/// End of the name of a part with clicks that are not in the log, since the log was replaced by another one or by an
/// older copy.
pub(super) const REPLACED: &str = ".replaced";

/// The file of the mark.
pub(super) const MARK: &str = "position";

/// Bytes before the list: the id of the log, the position, the number.
const FIXED_BYTES: usize = 16 + 8 + 1;

/// Bytes of a part in the list: its first and last position, its first and last slot.
const LISTED_BYTES: usize = 8 + 8 + 4 + 4;

/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;

/// Largest mark that is read. Merges keep the parts of a day, of its weeks and of all months to some hundreds.
const BYTES_MAX: usize = 1 << 20;

/// What the file contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The id of the log.
    pub(super) log: u128,
    /// The last position of the log whose cells are durable.
    pub(super) position: Position,
    /// The number of the last tick up to there.
    pub(super) last_number: u8,
    /// The parts up to there, in the order of their positions. A mark of an earlier version has none.
    pub(super) parts: Vec<ListedPart>,
}

/// A part in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Its first position of the log.
    pub(super) from: u64,
    /// Its last position of the log.
    pub(super) to: u64,
    /// The slot of its first cell.
    pub first: TimeSlot,
    /// The slot of its last cell.
    pub last: TimeSlot,
}

impl ListedPart {
    /// Returns the entry of a part.
    pub(super) fn of(header: &PartHeader) -> ListedPart {
        ListedPart { from: header.from, to: header.to, first: header.first, last: header.last }
    }

    /// Returns the name of its file.
    pub fn name(&self) -> String {
        name_of(self.from, self.to)
    }

    /// Returns whether all its cells are in a part with these positions.
    fn is_within(&self, from: u64, to: u64) -> bool {
        from <= self.from && self.to <= to
    }
}

impl Mark {
    /// Lists a part, in place of those that it was merged from.
    pub(super) fn list(&mut self, header: &PartHeader) {
        self.parts.retain(|listed| !listed.is_within(header.from, header.to));
        // In order, since answers about missing parts name them by time.
        let at = self.parts.partition_point(|listed| listed.from < header.from);
        self.parts.insert(at, ListedPart::of(header));
    }

    /// Removes a part from the list.
    pub(super) fn unlist(&mut self, header: &PartHeader) {
        self.parts.retain(|listed| (listed.from, listed.to) != (header.from, header.to));
    }

    /// Returns the listed parts that no file has: neither one of `headers`, nor one under its name that cannot be read or
    /// was set aside.
    pub(super) fn missing(
        &self,
        headers: &[&PartHeader],
        has_name: impl Fn(&str) -> bool,
    ) -> Vec<ListedPart> {
        let is_missing = |listed: &&ListedPart| {
            let name = listed.name();
            let is_named = ["", DAMAGED, REPLACED].iter().any(|end| has_name(&format!("{name}{end}")));
            !is_named && !headers.iter().any(|header| listed.is_within(header.from, header.to))
        };
        self.parts.iter().filter(is_missing).copied().collect()
    }

    /// Stores the mark, durably.
    pub(super) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.parts.len() * LISTED_BYTES);
        bytes.extend_from_slice(&self.log.to_le_bytes());
        bytes.extend_from_slice(&self.position.0.to_le_bytes());
        bytes.push(self.last_number);
        for part in &self.parts {
            bytes.extend_from_slice(&part.from.to_le_bytes());
            bytes.extend_from_slice(&part.to.to_le_bytes());
            bytes.extend_from_slice(&part.first.0.to_le_bytes());
            bytes.extend_from_slice(&part.last.0.to_le_bytes());
        }
        small_file::replace(disk, MARK, &bytes)
    }

    /// Returns the mark of a folder, `None` if it is missing or damaged.
    // A damaged mark counts as missing: the parts are a lower bound of the position.
    pub(super) fn read(disk: &dyn Disk) -> Option<Mark> {
        let file = disk.open(MARK).ok()?;
        let size = usize::try_from(file.size().ok()?).ok().filter(|size| *size <= BYTES_MAX)?;
        let mut bytes = vec![0; size];
        let is_whole = file.read_at(&mut bytes, 0).ok()? == size;
        let (fields, checksum) = bytes.split_at_checked(size.checked_sub(CHECKSUM_BYTES)?)?;
        (is_whole && crc32c::crc32c(fields).to_le_bytes() == checksum).then(|| Mark::decode(fields))?
    }

    fn decode(fields: &[u8]) -> Option<Mark> {
        let (log, rest) = fields.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (last_number, rest) = rest.split_first()?;
        let (parts, odd) = rest.as_chunks::<LISTED_BYTES>();
        Some(Mark {
            log: u128::from_le_bytes(*log),
            position: Position(u64::from_le_bytes(*position)),
            last_number: *last_number,
            parts: parts.iter().map(|bytes| listed(bytes)).collect::<Option<_>>()?,
        })
        .filter(|_| odd.is_empty())
    }
}

fn listed(bytes: &[u8]) -> Option<ListedPart> {
    let (from, rest) = bytes.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, _) = rest.split_first_chunk()?;
    Some(ListedPart {
        from: u64::from_le_bytes(*from),
        to: u64::from_le_bytes(*to),
        first: TimeSlot(u32::from_le_bytes(*first)),
        last: TimeSlot(u32::from_le_bytes(*last)),
    })
}

/// Returns the name of a part by its positions.
pub(super) fn name_of(from: u64, to: u64) -> String {
    format!("{from:016x}-{to:016x}{PART}")
}

/// Returns the positions in the name of a part, also of one that was set aside.
pub(super) fn positions_of(name: &str) -> Option<(u64, u64)> {
    // Names of other files have no such form.
    let (from, rest) = name.split_once('-')?;
    let (to, _) = rest.split_once(PART)?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::local::disk::FsDisk;

    fn header(from: u64, to: u64) -> PartHeader {
        let slot = |position: u64| TimeSlot(u32::try_from(position).expect("small"));
        PartHeader { from, to, first: slot(from), last: slot(to), ..PartHeader::empty() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = FsDisk::open(folder.path()).expect("a disk");
        assert_eq!(Mark::read(&disk), None);
        let mut mark = Mark { log: 7, position: Position(40), last_number: 3, parts: Vec::new() };
        for (from, to) in [(5, 9), (1, 2), (30, 40)] {
            mark.list(&header(from, to));
            mark.write(&disk).expect("written");
            assert_eq!(Mark::read(&disk), Some(mark.clone()));
        }
        let bytes = std::fs::read(folder.path().join(MARK)).expect("it is there");
        assert_eq!(bytes.len(), 25 + 3 * 24 + 4);
        // Each changed byte and each other length is noticed.
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(folder.path().join(MARK), damaged).expect("written");
            assert_eq!(Mark::read(&disk), None, "byte {at}");
            std::fs::write(folder.path().join(MARK), &bytes[..at]).expect("written");
            assert_eq!(Mark::read(&disk), None, "{at} bytes");
        }
    }

    #[test]
    fn a_merged_part_replaces_its_sources_in_the_list() {
        let mut mark = Mark::default();
        for (from, to) in [(1, 2), (5, 9), (30, 40)] {
            mark.list(&header(from, to));
        }
        let listed = |mark: &Mark| mark.parts.iter().map(|part| (part.from, part.to)).collect::<Vec<_>>();
        mark.list(&header(1, 9));
        assert_eq!(listed(&mark), [(1, 9), (30, 40)]);
        mark.unlist(&header(1, 9));
        assert_eq!(listed(&mark), [(30, 40)]);
    }

    #[test]
    fn a_listed_part_without_a_file_is_missing() {
        let mut mark = Mark::default();
        for (from, to) in [(1, 2), (5, 9), (30, 40), (50, 60)] {
            mark.list(&header(from, to));
        }
        let there = [header(1, 10), header(70, 80)];
        let damaged = format!("{}.damaged", name_of(30, 40));
        let missing = mark.missing(&there.iter().collect::<Vec<_>>(), |name| name == damaged);
        assert_eq!(missing, [ListedPart::of(&header(50, 60))]);
        assert_eq!(missing[0].name(), "0000000000000032-000000000000003c.part");
        assert_eq!(positions_of(&damaged), Some((30, 40)));
        assert_eq!(positions_of("day.key"), None);
    }
}
