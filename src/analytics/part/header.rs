//! [`PartHeader`]: the first bytes of a part.

use super::error::PartError;
use crate::analytics::cell::TimeSlot;

/// `F5` and `FF` occur in no UTF-8 text, as in the files of the log.
const MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'A'];

/// The version of parts that are written.
const VERSION: u8 = 2;

/// The version of parts whose index has neither the slots of blocks nor tables. It is still read.
const WITHOUT_SUMMARIES: u8 = 1;

/// The span of a part, from which its merges follow.
// The plan of merges compares levels, so they ascend. Their numbers are in files and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PartLevel {
    /// At most one hour, or as many cells as fit into memory.
    Run,
    /// One day of UTC.
    Day,
    /// Eight days of a month at most.
    Week,
    /// One month of UTC.
    Month,
    /// One month whose slots are hours.
    Hours,
    /// One month whose slots are days of UTC.
    Days,
}

impl PartLevel {
    /// All levels.
    const ALL: [PartLevel; 6] = [
        PartLevel::Run,
        PartLevel::Day,
        PartLevel::Week,
        PartLevel::Month,
        PartLevel::Hours,
        PartLevel::Days,
    ];
}

/// What a part contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHeader {
    /// The level of merges.
    pub level: PartLevel,
    /// The node that counted the clicks.
    pub node: u16,
    /// The id of the log.
    pub log: u128,
    /// The first slot of its span.
    pub first: TimeSlot,
    /// The last slot of its span.
    pub last: TimeSlot,
    /// The first position of the log whose clicks are in the part.
    pub from: u64,
    /// The last position of the log whose clicks are in the part.
    pub to: u64,
}

impl PartHeader {
    /// Bytes of an encoded header.
    pub const BYTES: usize = 4 + 1 + 1 + 2 + 16 + 4 + 4 + 8 + 8 + 4;

    /// Returns the header of an empty run.
    pub(crate) fn empty() -> PartHeader {
        PartHeader {
            level: PartLevel::Run,
            node: 0,
            log: 7,
            first: TimeSlot(0),
            last: TimeSlot(0),
            from: 0,
            to: 0,
        }
    }

    /// Returns the encoded header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PartHeader::BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.level as u8]);
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.log.to_le_bytes());
        for slot in [self.first, self.last] {
            out.extend_from_slice(&slot.0.to_le_bytes());
        }
        for position in [self.from, self.to] {
            out.extend_from_slice(&position.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Returns whether the index of a part with this header has slots of blocks and tables.
    pub fn has_summaries(bytes: &[u8; PartHeader::BYTES]) -> bool {
        bytes[4] != WITHOUT_SUMMARIES
    }

    /// Decodes a header.
    pub fn decode(bytes: &[u8; PartHeader::BYTES]) -> Result<PartHeader, PartError> {
        let (fields, crc) = bytes.split_at(PartHeader::BYTES - 4);
        // Before the checksum: a file of another kind is reported as that.
        if bytes[..4] != MAGIC {
            return Err(PartError::Damaged("it does not begin as a part"));
        }
        // Before the version: a flipped bit in the version is damage, and no later version.
        if crc32c::crc32c(fields).to_le_bytes() != crc {
            return Err(PartError::Damaged("its header has another checksum"));
        }
        // Every later version keeps length and checksum of the header, so that it is recognized here.
        if !(WITHOUT_SUMMARIES..=VERSION).contains(&bytes[4]) {
            return Err(PartError::Newer(bytes[4]));
        }
        // A new level needs another version of the format, so an unknown one is damage.
        let level = PartLevel::ALL
            .into_iter()
            .find(|level| *level as u8 == bytes[5])
            .ok_or(PartError::Damaged("its level is unknown"))?;
        Ok(PartHeader {
            level,
            node: u16::from_le_bytes(array(bytes, 6)),
            log: u128::from_le_bytes(array(bytes, 8)),
            first: TimeSlot(u32::from_le_bytes(array(bytes, 24))),
            last: TimeSlot(u32::from_le_bytes(array(bytes, 28))),
            from: u64::from_le_bytes(array(bytes, 32)),
            to: u64::from_le_bytes(array(bytes, 40)),
        })
    }
}

fn array<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    bytes[at..at + LENGTH].try_into().expect("the length of the slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: PartHeader = PartHeader {
        level: PartLevel::Day,
        node: 2,
        log: 7,
        first: TimeSlot(96),
        last: TimeSlot(191),
        from: 3,
        to: 900,
    };

    #[test]
    fn the_bytes_of_a_header() {
        let bytes = HEADER.encode();
        // The bytes of version 2: the parts on all disks begin like this.
        let golden =
            "f557ff41020102000700000000000000000000000000000060000000bf0000000300000000000000840300000000000";
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        assert!(hex.starts_with(golden), "{hex}");
        let bytes: [u8; PartHeader::BYTES] = bytes.try_into().expect("its length");
        assert_eq!(PartHeader::decode(&bytes).expect("a header"), HEADER);
    }

    #[test]
    fn a_flipped_bit_is_damage() {
        let bytes: [u8; PartHeader::BYTES] = HEADER.encode().try_into().expect("its length");
        // All bits, with those of the version and of the checksum itself.
        for bit in 0..8 * PartHeader::BYTES {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(PartHeader::decode(&damaged), Err(PartError::Damaged(_))), "{bit}");
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes: [u8; PartHeader::BYTES] = HEADER.encode().try_into().expect("its length");
        bytes[4] = 3;
        let crc = crc32c::crc32c(&bytes[..PartHeader::BYTES - 4]).to_le_bytes();
        bytes[PartHeader::BYTES - 4..].copy_from_slice(&crc);
        assert!(matches!(PartHeader::decode(&bytes), Err(PartError::Newer(3))));
    }
}
