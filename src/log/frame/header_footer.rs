//! The encoding of the header and the footer of a segment, and of the mark of a clean stop. All consist of
//! fixed fields and their own crc32c.

use crate::clock::Timestamp;
use crate::log::frame::FieldReader;
use crate::log::{Fingerprint, Position};

/// The only version of headers, footers and marks so far.
const SEGMENT_VERSION: u8 = 1;

const HEADER_MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'H'];
const FOOTER_MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'F'];
const CLOSED_MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'C'];

/// Bytes of an encoded [`Header`].
pub(crate) const HEADER_BYTES: usize = 4 + 2 + 16 + 8 + 8 + 24 + 8 + 4;
/// Bytes of an encoded [`Footer`].
pub(crate) const FOOTER_BYTES: usize = 4 + 1 + 8 + 8 + 8 + 8 + 24 + 32 + 4 + 4;
/// Bytes of an encoded [`Closed`].
pub(crate) const CLOSED_BYTES: usize = 4 + 1 + 16 + 8 + 8 + 8 + 24 + 4;

/// The content of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentKind {
    /// Changes, in order.
    Changes,
    /// Every live record at one position.
    Snapshot,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The content of the segment.
    pub(crate) kind: SegmentKind,
    /// The id of the log.
    pub(crate) log: u128,
    /// The number of the segment, which is also its name. Segments are ordered by it.
    pub(crate) sequence: u64,
    /// The last durable position before the segment. Changes with a higher position in *older* segments
    /// never happened. In a snapshot, the position of the snapshot.
    pub(crate) before: Position,
    /// The fingerprint at `before`.
    pub(crate) fingerprint: Fingerprint,
    /// When the segment was created.
    pub(crate) created: Timestamp,
}

/// What the frames of a segment contain, to estimate how much of the segment is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentStats {
    /// Number of records written or removed.
    pub(crate) records: u64,
    /// Bytes of these records.
    pub(crate) record_bytes: u64,
    /// Number of click totals.
    pub(crate) clicks: u64,
    /// Bytes of these click totals.
    pub(crate) click_bytes: u64,
}

impl SegmentStats {
    /// Counts one entry.
    pub(crate) fn count(&mut self, key: &[u8], value: Option<&[u8]>) {
        let bytes = (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        // Apart, since totals are rewritten often: compaction estimates the dead part of each kind.
        if key.first() == Some(&crate::log::CLICKS_PREFIX) {
            self.clicks += 1;
            self.click_bytes += bytes;
        } else {
            self.records += 1;
            self.record_bytes += bytes;
        }
    }

    /// Adds the counts of another segment.
    pub(crate) fn add(&mut self, other: SegmentStats) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.clicks += other.clicks;
        self.click_bytes += other.click_bytes;
    }
}

/// The last bytes of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The sequence of the header. A footer of another file does not match it.
    pub(crate) sequence: u64,
    /// The last position of the segment.
    pub(crate) last: Position,
    /// Number of frames.
    pub(crate) frames: u64,
    /// Bytes before the footer.
    pub(crate) length: u64,
    /// The fingerprint after the last position.
    pub(crate) fingerprint: Fingerprint,
    /// What the frames contain.
    pub(crate) stats: SegmentStats,
    /// The crc32c of all bytes before the footer.
    pub(crate) content: u32,
}

/// The mark of a clean stop, a file of its own. A log that was cut at the end of a frame looks whole; only
/// the mark shows that the log reached further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The id of the log.
    pub(crate) log: u128,
    /// The sequence of the last segment.
    pub(crate) sequence: u64,
    /// The size of the last segment.
    pub(crate) length: u64,
    /// The last position.
    pub(crate) position: Position,
    /// The fingerprint at the last position.
    pub(crate) fingerprint: Fingerprint,
}

/// Why bytes are no valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// The bytes are no header, or a damaged one.
    Damaged,
    /// A later Waypost wrote the header.
    Newer(u8),
}

impl Header {
    /// Returns the encoded header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&HEADER_MAGIC);
        out.push(SEGMENT_VERSION);
        // Written out, since the numbers are on disk and the order of the enum is not.
        out.push(match self.kind {
            SegmentKind::Changes => 0,
            SegmentKind::Snapshot => 1,
        });
        out.extend_from_slice(&self.log.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.before.0.to_le_bytes());
        put_fingerprint(&mut out, self.fingerprint);
        out.extend_from_slice(&self.created.as_millis().to_le_bytes());
        put_crc(&mut out);
        out
    }

    /// Decodes a header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        // A shorter file was cut: a header is durable before its file has a name.
        let bytes = bytes.get(..HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        // The version follows the magic.
        let version = bytes[4];
        // Only the magic is known of a later version. A flipped version byte fails the crc check, which
        // works for any version of this length.
        if bytes.starts_with(&HEADER_MAGIC) && version > SEGMENT_VERSION && checked(bytes).is_some() {
            return Err(BadHeader::Newer(version));
        }
        Header::fields(bytes).ok_or(BadHeader::Damaged)
    }

    fn fields(bytes: &[u8]) -> Option<Header> {
        let mut fields = FieldReader(checked(bytes)?);
        if fields.take::<4>()? != HEADER_MAGIC || fields.take::<1>()? != [SEGMENT_VERSION] {
            return None;
        }
        let kind = match fields.take::<1>()? {
            [0] => SegmentKind::Changes,
            [1] => SegmentKind::Snapshot,
            _ => return None,
        };
        Some(Header {
            kind,
            log: fields.u128()?,
            sequence: fields.u64()?,
            before: Position(fields.u64()?),
            fingerprint: fields.fingerprint()?,
            created: Timestamp::from_millis(i64::from_le_bytes(fields.take()?)),
        })
    }
}

impl Footer {
    /// Returns the encoded footer.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&FOOTER_MAGIC);
        out.push(SEGMENT_VERSION);
        // The order of the fields is the format of version 1.
        for number in [self.sequence, self.last.0, self.frames, self.length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_fingerprint(&mut out, self.fingerprint);
        let stats = self.stats;
        for number in [stats.records, stats.record_bytes, stats.clicks, stats.click_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.content.to_le_bytes());
        put_crc(&mut out);
        out
    }

    /// Decodes a footer. Returns `None` if the bytes are no footer, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Footer> {
        let mut fields = FieldReader(checked(bytes.get(..FOOTER_BYTES)?)?);
        if fields.take::<4>()? != FOOTER_MAGIC || fields.take::<1>()? != [SEGMENT_VERSION] {
            return None;
        }
        Some(Footer {
            sequence: fields.u64()?,
            last: Position(fields.u64()?),
            frames: fields.u64()?,
            length: fields.u64()?,
            fingerprint: fields.fingerprint()?,
            stats: SegmentStats {
                records: fields.u64()?,
                record_bytes: fields.u64()?,
                clicks: fields.u64()?,
                click_bytes: fields.u64()?,
            },
            content: fields.u32()?,
        })
    }
}

impl Closed {
    /// Returns the encoded mark.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CLOSED_BYTES);
        out.extend_from_slice(&CLOSED_MAGIC);
        out.push(SEGMENT_VERSION);
        out.extend_from_slice(&self.log.to_le_bytes());
        for number in [self.sequence, self.length, self.position.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_fingerprint(&mut out, self.fingerprint);
        put_crc(&mut out);
        out
    }

    /// Decodes a mark. Returns `None` if the bytes are no mark, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Closed> {
        let mut fields = FieldReader(checked(bytes.get(..CLOSED_BYTES)?)?);
        if fields.take::<4>()? != CLOSED_MAGIC || fields.take::<1>()? != [SEGMENT_VERSION] {
            return None;
        }
        Some(Closed {
            log: fields.u128()?,
            sequence: fields.u64()?,
            length: fields.u64()?,
            position: Position(fields.u64()?),
            fingerprint: fields.fingerprint()?,
        })
    }
}

fn put_fingerprint(out: &mut Vec<u8>, fingerprint: Fingerprint) {
    out.extend_from_slice(&fingerprint.count.to_le_bytes());
    out.extend_from_slice(&fingerprint.sum.to_le_bytes());
}

/// Appends the crc of all bytes of `out`.
fn put_crc(out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Returns the bytes before the crc, if the crc matches them.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    // At the end, so that the crc covers magic and version as well.
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc)).then_some(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: Fingerprint = Fingerprint { count: 3, sum: u128::MAX - 1 };
    fn header() -> Header {
        Header {
            kind: SegmentKind::Snapshot,
            log: 0x0102_0304,
            sequence: 7,
            before: Position(300),
            fingerprint: FINGERPRINT,
            created: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    const FOOTER: Footer = Footer {
        sequence: 7,
        last: Position(400),
        frames: 5,
        length: 6_000,
        fingerprint: FINGERPRINT,
        stats: SegmentStats { records: 1, record_bytes: 2, clicks: 3, click_bytes: 4 },
        content: 0xDEAD_BEEF,
    };
    const CLOSED: Closed = Closed {
        log: 0x0102_0304,
        sequence: 7,
        length: 6_000,
        position: Position(400),
        fingerprint: FINGERPRINT,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// The bytes of version 1 never change. A row that fails means that old logs cannot be read.
    #[test]
    fn golden_bytes() {
        let rows = [
            (header().encode(), HEADER_BYTES, GOLDEN_HEADER),
            (FOOTER.encode(), FOOTER_BYTES, GOLDEN_FOOTER),
            (CLOSED.encode(), CLOSED_BYTES, GOLDEN_CLOSED),
        ];
        for (bytes, length, golden) in rows {
            assert_eq!(hex(&bytes), golden);
            assert_eq!(bytes.len(), length, "{golden}");
        }
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        assert_eq!(Footer::decode(&FOOTER.encode()), Some(FOOTER));
        assert_eq!(Closed::decode(&CLOSED.encode()), Some(CLOSED));
    }

    const GOLDEN_HEADER: &str = "f557ff4801010403020100000000000000000000000007000000000000002c0100000000000003000000000000\
        00feffffffffffffffffffffffffffffff0068e5cf8b010000d23bafd8";
    const GOLDEN_FOOTER: &str = "f557ff460107000000000000009001000000000000050000000000000070170000000000000300000000000000\
        feffffffffffffffffffffffffffffff0100000000000000020000000000000003000000000000000400000000\
        000000efbeadde83b68938";
    const GOLDEN_CLOSED: &str = "f557ff430104030201000000000000000000000000070000000000000070170000000000009001000000000000\
        0300000000000000feffffffffffffffffffffffffffffff6715d610";

    #[test]
    fn any_flipped_bit_and_any_cut_is_detected() {
        let (header, footer, closed) = (header().encode(), FOOTER.encode(), CLOSED.encode());
        for bit in 0..header.len().max(footer.len()) * 8 {
            // The three have different lengths, so a bit may be outside of the shorter ones.
            let flip = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                bytes
            };
            assert!(bit / 8 >= header.len() || Header::decode(&flip(&header)).is_err(), "bit {bit}");
            assert!(bit / 8 >= footer.len() || Footer::decode(&flip(&footer)).is_none(), "bit {bit}");
            assert!(bit / 8 >= closed.len() || Closed::decode(&flip(&closed)).is_none(), "bit {bit}");
        }
        assert_eq!(Header::decode(&header[1..]), Err(BadHeader::Damaged));
        assert_eq!(Footer::decode(&footer[..FOOTER_BYTES - 1]), None);
    }

    /// Returns `bytes` with one byte replaced, and with the crc that matches.
    fn with_byte(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes[at] = byte;
        bytes.truncate(bytes.len() - 4);
        put_crc(&mut bytes);
        bytes
    }

    #[test]
    fn both_kinds_of_segments_are_read_back() {
        for kind in [SegmentKind::Changes, SegmentKind::Snapshot] {
            let header = Header { kind, ..header() };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
        assert_eq!(Header::decode(&with_byte(header().encode(), 5, 2)), Err(BadHeader::Damaged));
    }

    /// A matching crc alone makes no header, footer or mark.
    #[test]
    fn another_magic_or_version_is_rejected_even_with_a_matching_crc() {
        for at in 0..4 {
            assert_eq!(Header::decode(&with_byte(header().encode(), at, 0)), Err(BadHeader::Damaged));
            assert_eq!(Footer::decode(&with_byte(FOOTER.encode(), at, 0)), None);
            assert_eq!(Closed::decode(&with_byte(CLOSED.encode(), at, 0)), None);
        }
        // A footer of an unknown version is no footer: the frames are read instead.
        for version in [0, 2] {
            assert_eq!(Footer::decode(&with_byte(FOOTER.encode(), 4, version)), None);
            assert_eq!(Closed::decode(&with_byte(CLOSED.encode(), 4, version)), None);
        }
        assert_eq!(Header::decode(&with_byte(header().encode(), 4, 0)), Err(BadHeader::Damaged));
        let mut foreign = with_byte(header().encode(), 4, 2);
        // Another magic: the version of a foreign file means nothing.
        foreign = with_byte(foreign, 0, 0);
        assert_eq!(Header::decode(&foreign), Err(BadHeader::Damaged), "not ours, of whatever version");
    }

    #[test]
    fn stats_separate_records_from_clicks() {
        let mut stats = SegmentStats::default();
        stats.count(b"l1", Some(b"value"));
        stats.count(b"l23", None);
        assert_eq!(stats, SegmentStats { records: 2, record_bytes: 10, ..SegmentStats::default() });
        stats.count(b"c1", Some(b"12345678"));
        assert_eq!(stats, SegmentStats { records: 2, record_bytes: 10, clicks: 1, click_bytes: 10 });
        stats.add(FOOTER.stats);
        stats.add(FOOTER.stats);
        assert_eq!(stats, SegmentStats { records: 4, record_bytes: 14, clicks: 7, click_bytes: 18 });
    }

    #[test]
    fn t98_a_newer_header_is_distinguished_from_a_damaged_one() {
        let mut bytes = header().encode();
        bytes[4] = 2;
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Damaged), "the crc says so");
        bytes.truncate(HEADER_BYTES - 4);
        put_crc(&mut bytes);
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Newer(2)));
    }
}
