//! The log's bytes: frames, and the hash behind the fingerprint. Only this file and its part
//! `ends` (header and footer of a segment, mark of a clean stop) know them.
//!
//! A frame is `[magic][position][length][crc32c][version byte + bincode]`, integers little-endian;
//! the crc covers position, length and payload. What a version's writer writes never changes: a
//! new need is a new version, and every version ever written keeps its decoder (golden bytes in
//! the tests below).

pub(crate) mod header_footer;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::log::{Change, Entry, Fingerprint, MAX_CHANGE_BYTES, Position, Put, Record};

/// Starts every frame. 0xF5 and 0xFF occur in no UTF-8 text, so that no destination or title, which
/// strangers choose, can pass for a frame when damage makes us search for the next one.
pub(crate) const MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'P'];

/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER: usize = 20;

/// Largest payload: a Change at its limit, or a piece of a snapshot ([`RECORDS_BYTES`] and one
/// more record). A longer length field is damage, and is not trusted with an allocation.
pub(crate) const MAX_PAYLOAD: usize = 2 * MAX_CHANGE_BYTES;

/// A piece of a snapshot is closed at this size: large enough that frames cost nothing, small
/// enough that a reader's buffer does not matter.
pub(crate) const RECORDS_BYTES: usize = 128 * 1024;
const _: () = assert!(RECORDS_BYTES >= 64 * 1024 && RECORDS_BYTES + MAX_CHANGE_BYTES <= MAX_PAYLOAD);

/// Bincode counts 8 bytes for an integer that takes 1 on disk; so no payload that we wrote can
/// reach this, and no damaged one can ask for more memory.
const DECODE_LIMIT: usize = 16 * MAX_PAYLOAD;

/// The one version of frames so far.
const FRAME_VERSION: u8 = 1;

/// What one live record adds to the fingerprint's sum: the first 128 bits of SHA-256 over the
/// revision and the key. Never to change: it is compared with sums on disk.
///
/// SHA-256 rather than something quicker, since the sum must tell any two sets apart and 0.1 µs
/// (with the CPU's instructions; 10 M records in about a second) is paid once per write.
pub fn record_hash(key: &[u8], revision: Position) -> u128 {
    let digest = Sha256::new().chain_update(revision.0.to_le_bytes()).chain_update(key).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// One Change, and the last position that was durable when it was handed to the disk. Its
    /// `fingerprint` is left at zero: whoever reads in order knows it.
    Change(Change, Position),
    /// The fingerprint at the frame's position, now and then: shows where bookkeeping went astray.
    Checkpoint(Fingerprint),
    /// The log was closed in order here.
    CleanClose(Fingerprint),
    /// Records of a snapshot.
    Records(Vec<Record>),
}

/// The bytes are intact (their crc is), but this build cannot read them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A later Waypost wrote them.
    #[error("version {0} is not known: a newer Waypost wrote it")]
    Newer(u8),
    /// They follow no version's format.
    #[error("not a payload of version {FRAME_VERSION}: {0}")]
    Malformed(String),
}

/// A key or value, written and read as one run of bytes, not byte by byte.
#[derive(Clone, Copy)]
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(Raw)
    }
}

/// Version 1. Order and types of variants and fields are on disk: never edit, add a version.
#[derive(Serialize, Deserialize)]
enum V1<'a> {
    Change {
        at: i64,
        node: u16,
        request: u64,
        /// How many positions back the last durable one stood. A frame proves thereby that what
        /// came before its own group was synced: a hole there is damage, not a torn write.
        durable: u64,
        #[serde(borrow)]
        entries: Vec<EntryV1<'a>>,
    },
    Checkpoint(ManifestV1),
    CleanClose(ManifestV1),
    Records(#[serde(borrow)] Vec<RecordV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct EntryV1<'a> {
    #[serde(borrow)]
    key: Raw<'a>,
    #[serde(borrow)]
    value: Option<Raw<'a>>,
    replaces: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RecordV1<'a> {
    #[serde(borrow)]
    key: Raw<'a>,
    revision: u64,
    #[serde(borrow)]
    value: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct ManifestV1 {
    count: u64,
    sum: u128,
}

impl From<Fingerprint> for ManifestV1 {
    fn from(fingerprint: Fingerprint) -> ManifestV1 {
        ManifestV1 { count: fingerprint.count, sum: fingerprint.sum }
    }
}

impl From<ManifestV1> for Fingerprint {
    fn from(fingerprint: ManifestV1) -> Fingerprint {
        Fingerprint { count: fingerprint.count, sum: fingerprint.sum }
    }
}

fn config() -> Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Appends a Change's frame to `out`. `Err` holds the payload's size when it exceeds
/// [`MAX_CHANGE_BYTES`]; `out` is then as before. `durable` is the last position synced.
pub(crate) fn write_change(out: &mut Vec<u8>, change: &Change, durable: Position) -> Result<(), usize> {
    let entries = change.entries.iter().map(|entry| EntryV1 {
        key: Raw(&entry.put.key),
        value: entry.put.value.as_deref().map(Raw),
        replaces: entry.replaces.map(|p| p.0),
    });
    let body = V1::Change {
        at: change.at.as_millis(),
        node: change.node,
        request: change.request,
        durable: change.position.0.saturating_sub(durable.0),
        entries: entries.collect(),
    };
    let start = out.len();
    let payload = write_frame(out, change.position, &body);
    if payload > MAX_CHANGE_BYTES {
        out.truncate(start);
        return Err(payload);
    }
    Ok(())
}

/// Appends a checkpoint's frame.
pub(crate) fn write_checkpoint(out: &mut Vec<u8>, position: Position, fingerprint: Fingerprint) {
    write_frame(out, position, &V1::Checkpoint(fingerprint.into()));
}

/// Appends the frame of a clean close.
pub(crate) fn write_clean_close(out: &mut Vec<u8>, position: Position, fingerprint: Fingerprint) {
    write_frame(out, position, &V1::CleanClose(fingerprint.into()));
}

/// Appends a piece of the snapshot of `position`.
pub(crate) fn write_records(out: &mut Vec<u8>, position: Position, records: &[Record]) {
    let records = records.iter().map(|record| RecordV1 {
        key: Raw(&record.key),
        revision: record.revision.0,
        value: Raw(&record.value),
    });
    write_frame(out, position, &V1::Records(records.collect()));
}

/// Appends a frame and returns its payload's size.
fn write_frame(out: &mut Vec<u8>, position: Position, body: &V1<'_>) -> usize {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&position.0.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(FRAME_VERSION);
    bincode::serde::encode_into_std_write(body, out, config()).expect("writing to memory cannot fail");
    let payload = out.len() - start - FRAME_HEADER;
    // Beyond 4 GiB the field would wrap; such a frame never leaves memory (see `write_change`).
    let length = u32::try_from(payload).unwrap_or(u32::MAX);
    out[start + 12..start + 16].copy_from_slice(&length.to_le_bytes());
    let crc = frame_crc(&out[start + 4..start + 16], &out[start + FRAME_HEADER..]);
    out[start + 16..start + 20].copy_from_slice(&crc.to_le_bytes());
    payload
}

fn frame_crc(position_and_length: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(position_and_length), payload)
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// The Change's position; that of the last Change before it for the other kinds.
    pub(crate) position: Position,
    /// Bytes of the payload.
    pub(crate) length: usize,
    covered: [u8; 12],
    crc: u32,
}

impl FrameHead {
    /// `None` when no frame starts here.
    pub(crate) fn parse(bytes: &[u8]) -> Option<FrameHead> {
        let mut fields = Fields(bytes);
        if fields.take::<4>()? != MAGIC {
            return None;
        }
        let covered: [u8; 12] = fields.take()?;
        let crc = fields.u32()?;
        let mut inner = Fields(&covered);
        let position = Position(inner.u64()?);
        let length = usize::try_from(inner.u32()?).ok()?;
        // Not even a version byte: no writer makes such a frame.
        if length == 0 || length > MAX_PAYLOAD {
            return None;
        }
        Some(FrameHead { position, length, covered, crc })
    }

    /// Whether the payload is what was written.
    pub(crate) fn guards(&self, payload: &[u8]) -> bool {
        frame_crc(&self.covered, payload) == self.crc
    }
}

/// Reads a payload whose crc was right. Keys and values share its memory.
pub(crate) fn decode(position: Position, payload: &Bytes) -> Result<Frame, Unreadable> {
    let malformed = |why: &dyn std::fmt::Display| Unreadable::Malformed(why.to_string());
    let (version, body) = payload.split_first().ok_or_else(|| malformed(&"it is empty"))?;
    if *version != FRAME_VERSION {
        return Err(Unreadable::Newer(*version));
    }
    let (body, read): (V1<'_>, usize) =
        bincode::serde::borrow_decode_from_slice(body, config()).map_err(|e| malformed(&e))?;
    if read + 1 != payload.len() {
        return Err(malformed(&"bytes are left over"));
    }
    Ok(match body {
        V1::Change { at, node, request, durable, entries } => {
            let change = Change {
                position,
                at: Timestamp::from_millis(at),
                node,
                request,
                entries: entries.iter().map(|entry| entry.owned(payload)).collect(),
                fingerprint: Fingerprint::default(),
            };
            Frame::Change(change, Position(position.0.saturating_sub(durable)))
        }
        V1::Checkpoint(fingerprint) => Frame::Checkpoint(fingerprint.into()),
        V1::CleanClose(fingerprint) => Frame::CleanClose(fingerprint.into()),
        V1::Records(records) => {
            let owned = records.iter().map(|record| Record {
                key: payload.slice_ref(record.key.0),
                revision: Position(record.revision),
                value: payload.slice_ref(record.value.0),
            });
            Frame::Records(owned.collect())
        }
    })
}

impl EntryV1<'_> {
    fn owned(&self, payload: &Bytes) -> Entry {
        Entry {
            put: Put {
                key: payload.slice_ref(self.key.0),
                value: self.value.map(|value| payload.slice_ref(value.0)),
            },
            replaces: self.replaces.map(Position),
        }
    }
}

/// Reads fixed fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    fn fingerprint(&mut self) -> Option<Fingerprint> {
        Some(Fingerprint { count: self.u64()?, sum: self.u128()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> Change {
        let put = |key: &'static [u8], value: Option<&'static [u8]>| Put {
            key: Bytes::from_static(key),
            value: value.map(Bytes::from_static),
        };
        Change {
            position: Position(300),
            at: Timestamp::from_millis(1_700_000_000_000),
            node: 0,
            request: 77,
            entries: vec![
                Entry { put: put(b"l1", Some(b"value")), replaces: Some(Position(299)) },
                Entry { put: put(b"l2", None), replaces: None },
                Entry { put: put(b"", Some(b"")), replaces: None },
            ],
            fingerprint: Fingerprint::default(),
        }
    }

    const MANIFEST: Fingerprint = Fingerprint { count: 3, sum: u128::MAX - 1 };

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string");
            text
        })
    }

    fn read(bytes: &[u8]) -> Frame {
        let head = FrameHead::parse(bytes).expect("a frame");
        let payload = Bytes::copy_from_slice(&bytes[FRAME_HEADER..]);
        assert_eq!(payload.len(), head.length);
        assert!(head.guards(&payload));
        decode(head.position, &payload).expect("decodes")
    }

    /// The bytes of version 1, for ever. A row that fails means that old logs cannot be read.
    #[test]
    fn golden_frames() {
        let record = Record {
            key: Bytes::from_static(b"l1"),
            revision: Position(9),
            value: Bytes::from_static(b"value"),
        };
        let mut frames: Vec<(&str, Vec<u8>, Frame)> = Vec::new();
        let mut add = |golden, frame, write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            frames.push((golden, bytes, frame));
        };
        add(GOLDEN_CHANGE, Frame::Change(change(), Position(298)), &|out| {
            write_change(out, &change(), Position(298)).expect("small");
        });
        add(GOLDEN_CHECKPOINT, Frame::Checkpoint(MANIFEST), &|out| {
            write_checkpoint(out, Position(300), MANIFEST);
        });
        add(GOLDEN_CLEAN_CLOSE, Frame::CleanClose(MANIFEST), &|out| {
            write_clean_close(out, Position(300), MANIFEST);
        });
        add(GOLDEN_RECORDS, Frame::Records(vec![record.clone()]), &|out| {
            write_records(out, Position(300), std::slice::from_ref(&record));
        });
        for (golden, bytes, frame) in frames {
            assert_eq!(hex(&bytes), golden, "{frame:?}");
            assert_eq!(read(&bytes), frame);
        }
    }

    const GOLDEN_CHANGE: &str = "f557ff502c0100000000000026000000ff57d8e70100fd00d0ca9f17030000004d0203026c31010576616c7565\
        01fb2b01026c32000000010000";
    const GOLDEN_CHECKPOINT: &str =
        "f557ff502c0100000000000014000000f8781321010103fefeffffffffffffffffffffffffffffff";
    const GOLDEN_CLEAN_CLOSE: &str =
        "f557ff502c010000000000001400000020dbb2ef010203fefeffffffffffffffffffffffffffffff";
    const GOLDEN_RECORDS: &str = "f557ff502c010000000000000d0000004f86ed4b010301026c31090576616c7565";

    #[test]
    fn golden_hashes() {
        let rows: [(&[u8], u64, u128); 3] = [
            (b"", 0, 0x0F66_0AC7_4BAF_8CF7_7A0B_81A1_F570_55AF),
            (b"l1", 1, 0x79D2_6D1A_A7AD_42B5_15D5_E4FC_93A4_BDA9),
            (b"l1", 2, 0xCE18_D065_EDAB_D172_DAAB_2FBC_7EC5_14D8),
        ];
        for (key, revision, hash) in rows {
            assert_eq!(record_hash(key, Position(revision)), hash, "{key:?} at {revision}");
        }
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        let mut bytes = Vec::new();
        write_checkpoint(&mut bytes, Position(1), MANIFEST);
        let payload = bytes.split_off(FRAME_HEADER);
        let rows: [(&str, Vec<u8>); 4] = [
            ("not a payload of version 1: it is empty", vec![]),
            ("version 2 is not known: a newer Waypost wrote it", vec![2, 0, 0]),
            ("not a payload of version 1: bytes are left over", [&payload[..], &[0]].concat()),
            (
                "not a payload of version 1: UnexpectedEnd { additional: 1 }",
                payload[..payload.len() - 1].to_vec(),
            ),
        ];
        for (want, payload) in rows {
            let error = decode(Position(1), &Bytes::from(payload)).expect_err(want);
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn a_change_over_the_limit_leaves_no_trace() {
        let mut out = vec![1, 2, 3];
        let mut change = change();
        change.entries[0].put.value = Some(Bytes::from(vec![0; MAX_CHANGE_BYTES]));
        let size = write_change(&mut out, &change, Position(0)).expect_err("too large");
        assert!(size > MAX_CHANGE_BYTES);
        assert_eq!(out, [1, 2, 3]);
    }

    /// Returns a Change whose payload has exactly `size` bytes.
    fn change_of(size: usize) -> Change {
        let mut change = change();
        change.entries[0].put.value = Some(Bytes::from(vec![0; size / 2]));
        let mut out = Vec::new();
        write_change(&mut out, &change, Position(0)).expect("half the size fits");
        let rest = size - (out.len() - FRAME_HEADER);
        change.entries[0].put.value = Some(Bytes::from(vec![0; size / 2 + rest]));
        change
    }

    #[test]
    fn the_limit_of_a_change_is_exact() {
        let mut out = Vec::new();
        write_change(&mut out, &change_of(MAX_CHANGE_BYTES), Position(0)).expect("exactly the limit");
        assert_eq!(out.len(), FRAME_HEADER + MAX_CHANGE_BYTES);
        let size = write_change(&mut out, &change_of(MAX_CHANGE_BYTES + 1), Position(0));
        assert_eq!((size, out.len()), (Err(MAX_CHANGE_BYTES + 1), FRAME_HEADER + MAX_CHANGE_BYTES));
    }

    /// The decoder's limit counts 8 bytes for an integer that takes 1 on disk.
    #[test]
    fn a_change_of_as_many_entries_as_fit_is_read_back() {
        let mut change = change();
        let entry = Entry { put: Put { key: Bytes::new(), value: None }, replaces: None };
        // Three bytes each on disk; 64 bytes remain for the other fields.
        change.entries = vec![entry; (MAX_CHANGE_BYTES - 64) / 3];
        let mut out = Vec::new();
        write_change(&mut out, &change, Position(0)).expect("within the limit");
        assert_eq!(read(&out), Frame::Change(change, Position(0)));
    }

    /// A group of Changes is encoded into one buffer.
    #[test]
    fn a_frame_does_not_depend_on_what_stands_before_it() {
        let mut out = vec![7; 1_000];
        write_change(&mut out, &change(), Position(298)).expect("small");
        assert_eq!(hex(&out[1_000..]), GOLDEN_CHANGE);
        // The limit is that of the frame, not of the buffer.
        let mut out = vec![7; MAX_CHANGE_BYTES];
        write_change(&mut out, &change(), Position(298)).expect("small");
    }

    #[test]
    fn a_length_that_no_writer_makes_is_no_frame() {
        let rows = [(0, false), (1, true), (MAX_PAYLOAD, true), (MAX_PAYLOAD + 1, false)];
        let mut bytes = Vec::new();
        write_checkpoint(&mut bytes, Position(1), MANIFEST);
        for (length, is_frame) in rows {
            bytes[12..16].copy_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
            assert_eq!(FrameHead::parse(&bytes).map(|head| head.length), is_frame.then_some(length));
        }
    }

    /// A snapshot's piece is closed by the record that fills it, which may be the largest there is.
    #[test]
    fn the_largest_piece_of_a_snapshot_is_a_frame() {
        let record = |bytes| Record {
            key: Bytes::from_static(b"l1"),
            revision: Position(9),
            value: Bytes::from(vec![0; bytes]),
        };
        let records = vec![record(RECORDS_BYTES - 3), record(MAX_CHANGE_BYTES - 64)];
        let mut out = Vec::new();
        write_records(&mut out, Position(300), &records);
        assert_eq!(read(&out), Frame::Records(records));
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    fn changes() -> impl Strategy<Value = Change> {
        let entry = (bytes(), prop::option::of(bytes()), prop::option::of(any::<u64>()));
        let entry = entry.prop_map(|(key, value, replaces)| Entry {
            put: Put { key, value },
            replaces: replaces.map(Position),
        });
        let entries = prop::collection::vec(entry, 0..20);
        (any::<u64>(), -1_000_000_000_000_i64..9_000_000_000_000, any::<u16>(), any::<u64>(), entries)
            .prop_map(|(position, at, node, request, entries)| Change {
                position: Position(position),
                at: Timestamp::from_millis(at),
                node,
                request,
                entries,
                fingerprint: Fingerprint::default(),
            })
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(change in changes(), back in 0..1000_u64) {
            let mut out = Vec::new();
            let durable = Position(change.position.0.saturating_sub(back));
            write_change(&mut out, &change, durable).expect("small");
            prop_assert_eq!(read(&out), Frame::Change(change, durable));
        }

        #[test]
        fn random_bytes_are_no_frame_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = FrameHead::parse(&bytes);
            let mut payload = bytes;
            payload.insert(0, FRAME_VERSION);
            let _ = decode(Position(1), &Bytes::from(payload));
        }

        #[test]
        fn any_flipped_bit_is_noticed(change in changes(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut out = Vec::new();
            write_change(&mut out, &change, Position(0)).expect("small");
            let index = at.index(out.len());
            out[index] ^= 1_u8 << bit;
            let noticed = FrameHead::parse(&out).is_none_or(|head| {
                let payload = out.get(FRAME_HEADER..FRAME_HEADER + head.length);
                payload.is_none_or(|payload| !head.guards(payload))
            });
            prop_assert!(noticed);
        }
    }
}
