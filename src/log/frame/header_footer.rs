//! What stands at the ends: the header and the footer of a segment, and the mark of a clean stop.
//! Fixed fields, each guarded by its own crc32c.

use crate::clock::Timestamp;
use crate::log::frame::Fields;
use crate::log::{Fingerprint, Position};

/// The one version of headers, footers and marks so far.
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

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Changes, in order.
    Changes,
    /// Every live record at one position.
    Snapshot,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What follows.
    pub(crate) kind: Kind,
    /// Which log it is part of.
    pub(crate) log: u128,
    /// Its place among the segments; also its name.
    pub(crate) sequence: u64,
    /// The last durable position before it: Changes past it in *older* segments never happened.
    /// For a snapshot, the position that it is the state of.
    pub(crate) before: Position,
    /// The fingerprint there.
    pub(crate) fingerprint: Fingerprint,
    /// When it was begun.
    pub(crate) created: Timestamp,
}

/// What a segment's frames hold, for estimating how much of it is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentStats {
    /// Records written or removed.
    pub(crate) records: u64,
    /// Their bytes.
    pub(crate) record_bytes: u64,
    /// Click totals.
    pub(crate) clicks: u64,
    /// Their bytes.
    pub(crate) click_bytes: u64,
}

impl SegmentStats {
    /// Counts one entry.
    pub(crate) fn count(&mut self, key: &[u8], value: Option<&[u8]>) {
        let bytes = (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        if key.first() == Some(&crate::log::CLICKS_PREFIX) {
            self.clicks += 1;
            self.click_bytes += bytes;
        } else {
            self.records += 1;
            self.record_bytes += bytes;
        }
    }

    /// Takes in another segment's.
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
    /// The same as in the header: a footer of another file does not pass.
    pub(crate) sequence: u64,
    /// Its last position.
    pub(crate) last: Position,
    /// Its frames.
    pub(crate) frames: u64,
    /// Bytes before the footer.
    pub(crate) length: u64,
    /// The fingerprint after its last position.
    pub(crate) fingerprint: Fingerprint,
    /// What the frames hold.
    pub(crate) tally: SegmentStats,
    /// crc32c of all bytes before the footer.
    pub(crate) content: u32,
}

/// The mark of a clean stop, a file of its own: a log that was cut at a frame's end looks whole,
/// and only this tells that it once reached further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Which log.
    pub(crate) log: u128,
    /// Its last segment.
    pub(crate) sequence: u64,
    /// The size of that.
    pub(crate) length: u64,
    /// The last position.
    pub(crate) position: Position,
    /// The fingerprint there.
    pub(crate) fingerprint: Fingerprint,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAHeader {
    /// It is no header, or a damaged one.
    Damaged,
    /// A later Waypost wrote it.
    Newer(u8),
}

impl Header {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&HEADER_MAGIC);
        out.push(SEGMENT_VERSION);
        out.push(match self.kind {
            Kind::Changes => 0,
            Kind::Snapshot => 1,
        });
        out.extend_from_slice(&self.log.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.before.0.to_le_bytes());
        put_manifest(&mut out, self.fingerprint);
        out.extend_from_slice(&self.created.as_millis().to_le_bytes());
        put_crc(&mut out);
        out
    }

    /// Reads them.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, NotAHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(NotAHeader::Damaged)?;
        let version = bytes[4];
        // Of a later version only the magic is known; a flipped version byte fails its crc here,
        // which covers it in any version that keeps this length.
        if bytes.starts_with(&HEADER_MAGIC) && version > SEGMENT_VERSION && checked(bytes).is_some() {
            return Err(NotAHeader::Newer(version));
        }
        Header::fields(bytes).ok_or(NotAHeader::Damaged)
    }

    fn fields(bytes: &[u8]) -> Option<Header> {
        let mut fields = Fields(checked(bytes)?);
        if fields.take::<4>()? != HEADER_MAGIC || fields.take::<1>()? != [SEGMENT_VERSION] {
            return None;
        }
        let kind = match fields.take::<1>()? {
            [0] => Kind::Changes,
            [1] => Kind::Snapshot,
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
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&FOOTER_MAGIC);
        out.push(SEGMENT_VERSION);
        for number in [self.sequence, self.last.0, self.frames, self.length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_manifest(&mut out, self.fingerprint);
        let tally = self.tally;
        for number in [tally.records, tally.record_bytes, tally.clicks, tally.click_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.content.to_le_bytes());
        put_crc(&mut out);
        out
    }

    /// Reads them; `None` when they are no footer, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Footer> {
        let mut fields = Fields(checked(bytes.get(..FOOTER_BYTES)?)?);
        if fields.take::<4>()? != FOOTER_MAGIC || fields.take::<1>()? != [SEGMENT_VERSION] {
            return None;
        }
        Some(Footer {
            sequence: fields.u64()?,
            last: Position(fields.u64()?),
            frames: fields.u64()?,
            length: fields.u64()?,
            fingerprint: fields.fingerprint()?,
            tally: SegmentStats {
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
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CLOSED_BYTES);
        out.extend_from_slice(&CLOSED_MAGIC);
        out.push(SEGMENT_VERSION);
        out.extend_from_slice(&self.log.to_le_bytes());
        for number in [self.sequence, self.length, self.position.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_manifest(&mut out, self.fingerprint);
        put_crc(&mut out);
        out
    }

    /// Reads them; `None` when they are no mark, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Closed> {
        let mut fields = Fields(checked(bytes.get(..CLOSED_BYTES)?)?);
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

fn put_manifest(out: &mut Vec<u8>, fingerprint: Fingerprint) {
    out.extend_from_slice(&fingerprint.count.to_le_bytes());
    out.extend_from_slice(&fingerprint.sum.to_le_bytes());
}

/// Appends the crc of all that stands before.
fn put_crc(out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// What stands before the crc, if that is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc)).then_some(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: Fingerprint = Fingerprint { count: 3, sum: u128::MAX - 1 };
    fn header() -> Header {
        Header {
            kind: Kind::Snapshot,
            log: 0x0102_0304,
            sequence: 7,
            before: Position(300),
            fingerprint: MANIFEST,
            created: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    const FOOTER: Footer = Footer {
        sequence: 7,
        last: Position(400),
        frames: 5,
        length: 6_000,
        fingerprint: MANIFEST,
        tally: SegmentStats { records: 1, record_bytes: 2, clicks: 3, click_bytes: 4 },
        content: 0xDEAD_BEEF,
    };
    const CLOSED: Closed = Closed {
        log: 0x0102_0304,
        sequence: 7,
        length: 6_000,
        position: Position(400),
        fingerprint: MANIFEST,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// The bytes of version 1, for ever. A row that fails means that old logs cannot be read.
    #[test]
    fn golden_ends() {
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
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let (header, footer, closed) = (header().encode(), FOOTER.encode(), CLOSED.encode());
        for bit in 0..header.len().max(footer.len()) * 8 {
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
        assert_eq!(Header::decode(&header[1..]), Err(NotAHeader::Damaged));
        assert_eq!(Footer::decode(&footer[..FOOTER_BYTES - 1]), None);
    }

    /// Returns the bytes with one of them replaced, and the crc that is right for that.
    fn with_byte(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes[at] = byte;
        bytes.truncate(bytes.len() - 4);
        put_crc(&mut bytes);
        bytes
    }

    #[test]
    fn both_kinds_of_segments_are_read_back() {
        for kind in [Kind::Changes, Kind::Snapshot] {
            let header = Header { kind, ..header() };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
        assert_eq!(Header::decode(&with_byte(header().encode(), 5, 2)), Err(NotAHeader::Damaged));
    }

    /// A right crc alone makes no header, footer or mark.
    #[test]
    fn another_magic_or_version_is_refused_though_the_crc_is_right() {
        for at in 0..4 {
            assert_eq!(Header::decode(&with_byte(header().encode(), at, 0)), Err(NotAHeader::Damaged));
            assert_eq!(Footer::decode(&with_byte(FOOTER.encode(), at, 0)), None);
            assert_eq!(Closed::decode(&with_byte(CLOSED.encode(), at, 0)), None);
        }
        for version in [0, 2] {
            assert_eq!(Footer::decode(&with_byte(FOOTER.encode(), 4, version)), None);
            assert_eq!(Closed::decode(&with_byte(CLOSED.encode(), 4, version)), None);
        }
        assert_eq!(Header::decode(&with_byte(header().encode(), 4, 0)), Err(NotAHeader::Damaged));
        let mut foreign = with_byte(header().encode(), 4, 2);
        foreign = with_byte(foreign, 0, 0);
        assert_eq!(Header::decode(&foreign), Err(NotAHeader::Damaged), "not ours, of whatever version");
    }

    #[test]
    fn a_tally_tells_records_from_clicks() {
        let mut tally = SegmentStats::default();
        tally.count(b"l1", Some(b"value"));
        tally.count(b"l23", None);
        assert_eq!(tally, SegmentStats { records: 2, record_bytes: 10, ..SegmentStats::default() });
        tally.count(b"c1", Some(b"12345678"));
        assert_eq!(tally, SegmentStats { records: 2, record_bytes: 10, clicks: 1, click_bytes: 10 });
        tally.add(FOOTER.tally);
        tally.add(FOOTER.tally);
        assert_eq!(tally, SegmentStats { records: 4, record_bytes: 14, clicks: 7, click_bytes: 18 });
    }

    #[test]
    fn t98_a_newer_header_is_told_from_a_damaged_one() {
        let mut bytes = header().encode();
        bytes[4] = 2;
        assert_eq!(Header::decode(&bytes), Err(NotAHeader::Damaged), "the crc says so");
        bytes.truncate(HEADER_BYTES - 4);
        put_crc(&mut bytes);
        assert_eq!(Header::decode(&bytes), Err(NotAHeader::Newer(2)));
    }
}
