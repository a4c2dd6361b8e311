//! The encoding of frames. Only this file and [`header_footer`] know the bytes of the log.
//!
//! A frame is `[magic][position][length][crc32c][version byte + bincode]`, integers little-endian. The crc
//! covers position, length and payload. The encoder of a version never changes: a new format gets a new
//! version, and each version keeps its decoder. Golden bytes in the tests below check both.

pub(crate) mod header_footer;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::log::{Change, Entry, Fingerprint, MAX_CHANGE_BYTES, Position, Put, Record};

/// First bytes of every frame. 0xF5 and 0xFF occur in no UTF-8 text. A destination or a title, which any
/// client chooses, can therefore not pass for a frame in a search behind damage.
pub(crate) const MAGIC: [u8; 4] = [0xF5, b'W', 0xFF, b'P'];

/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER: usize = 20;

/// Largest payload: the largest Change, or a chunk of a snapshot ([`RECORDS_BYTES`] and one more record). A
/// longer length field is damage, and no memory is allocated for it.
pub(crate) const MAX_PAYLOAD: usize = 2 * MAX_CHANGE_BYTES;

/// A chunk of a snapshot is closed at this size: large enough to make the cost of frames negligible, small
/// enough for a reader's buffer.
pub(crate) const RECORDS_BYTES: usize = 128 * 1024;
const _: () = assert!(RECORDS_BYTES >= 64 * 1024 && RECORDS_BYTES + MAX_CHANGE_BYTES <= MAX_PAYLOAD);

/// Limit of memory for decoding. Bincode counts 8 bytes for an integer that takes 1 byte on disk, so no
/// valid payload reaches the limit.
const DECODE_LIMIT: usize = 16 * MAX_PAYLOAD;

/// The only version of frames so far.
const FRAME_VERSION: u8 = 1;

/// The content of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// One Change, and the last position that was durable when the Change was written. The `fingerprint` of
    /// the Change is zero: a reader computes it from the Changes before.
    Change(Change, Position),
    /// The fingerprint at the frame's position. Written at intervals, to find where a fingerprint became
    /// wrong.
    Checkpoint(Fingerprint),
    /// The log was closed cleanly at this position.
    CleanClose(Fingerprint),
    /// Records of a snapshot.
    Records(Vec<Record>),
}

/// The bytes are intact, because their crc matches, but this build cannot decode them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A later Waypost wrote the frame.
    #[error("version {0} is not known: a newer Waypost wrote it")]
    Newer(u8),
    /// The payload does not match the format of its version.
    #[error("not a payload of version {FRAME_VERSION}: {0}")]
    Malformed(String),
}

/// A key or value, encoded as one run of bytes instead of byte by byte.
#[derive(Clone, Copy)]
struct ByteString<'a>(&'a [u8]);

impl Serialize for ByteString<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ByteString<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ByteString<'a>, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(ByteString)
    }
}

/// Version 1. Order and types of variants and fields are stored on disk: never edit them, add a version.
#[derive(Serialize, Deserialize)]
enum V1<'a> {
    Change {
        at: i64,
        node: u16,
        request: u64,
        /// How far the last durable position was behind this one. It proves that everything before the
        /// frame's own group was synced: a hole there is damage, not a torn write.
        durable: u64,
        #[serde(borrow)]
        entries: Vec<EntryV1<'a>>,
    },
    Checkpoint(FingerprintV1),
    CleanClose(FingerprintV1),
    Records(#[serde(borrow)] Vec<RecordV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct EntryV1<'a> {
    #[serde(borrow)]
    key: ByteString<'a>,
    #[serde(borrow)]
    value: Option<ByteString<'a>>,
    replaces: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RecordV1<'a> {
    #[serde(borrow)]
    key: ByteString<'a>,
    revision: u64,
    #[serde(borrow)]
    value: ByteString<'a>,
}

#[derive(Serialize, Deserialize)]
struct FingerprintV1 {
    count: u64,
    sum: u128,
}

impl From<Fingerprint> for FingerprintV1 {
    fn from(fingerprint: Fingerprint) -> FingerprintV1 {
        FingerprintV1 { count: fingerprint.count, sum: fingerprint.sum }
    }
}

impl From<FingerprintV1> for Fingerprint {
    fn from(fingerprint: FingerprintV1) -> Fingerprint {
        Fingerprint { count: fingerprint.count, sum: fingerprint.sum }
    }
}

fn config() -> Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Appends the frame of a Change to `out`. `durable` is the last synced position. Fails with the payload's
/// size if the payload exceeds [`MAX_CHANGE_BYTES`]; `out` is unchanged then.
pub(crate) fn write_change(out: &mut Vec<u8>, change: &Change, durable: Position) -> Result<(), usize> {
    let entries = change.entries.iter().map(|entry| EntryV1 {
        key: ByteString(&entry.put.key),
        value: entry.put.value.as_deref().map(ByteString),
        replaces: entry.replaces.map(|p| p.0),
    });
    let body = V1::Change {
        at: change.at.as_millis(),
        node: change.node,
        request: change.request,
        // A distance, since small numbers take one byte.
        durable: change.position.0.saturating_sub(durable.0),
        entries: entries.collect(),
    };
    let start = out.len();
    let payload = write_frame(out, change.position, &body);
    if payload > MAX_CHANGE_BYTES {
        // The buffer also contains the other Changes of the group.
        out.truncate(start);
        return Err(payload);
    }
    Ok(())
}

/// Appends the frame of a checkpoint.
pub(crate) fn write_checkpoint(out: &mut Vec<u8>, position: Position, fingerprint: Fingerprint) {
    write_frame(out, position, &V1::Checkpoint(fingerprint.into()));
}

/// Appends the frame of a clean close.
pub(crate) fn write_clean_close(out: &mut Vec<u8>, position: Position, fingerprint: Fingerprint) {
    write_frame(out, position, &V1::CleanClose(fingerprint.into()));
}

/// Appends a chunk of the snapshot of `position`.
pub(crate) fn write_records(out: &mut Vec<u8>, position: Position, records: &[Record]) {
    let records = records.iter().map(|record| RecordV1 {
        key: ByteString(&record.key),
        revision: record.revision.0,
        value: ByteString(&record.value),
    });
    write_frame(out, position, &V1::Records(records.collect()));
}

/// Appends a frame and returns the size of its payload.
fn write_frame(out: &mut Vec<u8>, position: Position, body: &V1<'_>) -> usize {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&position.0.to_le_bytes());
    // Length and crc, which are known only after the payload.
    out.extend_from_slice(&[0; 8]);
    out.push(FRAME_VERSION);
    bincode::serde::encode_into_std_write(body, out, config()).expect("writing to memory cannot fail");
    let payload = out.len() - start - FRAME_HEADER;
    // Beyond 4 GiB the field would wrap. Such a frame never leaves memory: `write_change` rejects it.
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
    /// The position of the Change. For other kinds of frames, the position of the last Change before the
    /// frame.
    pub(crate) position: Position,
    /// Bytes of the payload.
    pub(crate) length: usize,
    covered: [u8; 12],
    crc: u32,
}

impl FrameHead {
    /// Returns the head of the frame that `bytes` begins with, or `None` if no frame begins here.
    pub(crate) fn parse(bytes: &[u8]) -> Option<FrameHead> {
        let mut fields = FieldReader(bytes);
        if fields.take::<4>()? != MAGIC {
            return None;
        }
        let covered: [u8; 12] = fields.take()?;
        let crc = fields.u32()?;
        let mut inner = FieldReader(&covered);
        let position = Position(inner.u64()?);
        let length = usize::try_from(inner.u32()?).ok()?;
        // An empty payload has not even a version byte: no encoder writes one.
        if length == 0 || length > MAX_PAYLOAD {
            return None;
        }
        Some(FrameHead { position, length, covered, crc })
    }

    /// Returns whether the payload matches the crc.
    pub(crate) fn guards(&self, payload: &[u8]) -> bool {
        frame_crc(&self.covered, payload) == self.crc
    }
}

/// Decodes a payload whose crc matched. Keys and values share the memory of the payload.
pub(crate) fn decode(position: Position, payload: &Bytes) -> Result<Frame, DecodeError> {
    let malformed = |why: &dyn std::fmt::Display| DecodeError::Malformed(why.to_string());
    let (version, body) = payload.split_first().ok_or_else(|| malformed(&"it is empty"))?;
    // The crc matched, so a later version wrote the frame: it must not count as damage.
    if *version != FRAME_VERSION {
        return Err(DecodeError::Newer(*version));
    }
    // Borrowed: keys and values become slices of the payload, without a copy.
    let (body, read): (V1<'_>, usize) =
        bincode::serde::borrow_decode_from_slice(body, config()).map_err(|e| malformed(&e))?;
    // `read` does not include the version byte.
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

/// Reads fixed fields from the front of a slice.
struct FieldReader<'a>(&'a [u8]);

impl FieldReader<'_> {
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
                // An empty value is no removal.
                Entry { put: put(b"", Some(b"")), replaces: None },
            ],
            fingerprint: Fingerprint::default(),
        }
    }

    // A sum that fills all 16 bytes.
    const FINGERPRINT: Fingerprint = Fingerprint { count: 3, sum: u128::MAX - 1 };

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

    /// The bytes of version 1 never change. A row that fails means that old logs cannot be read.
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
        add(GOLDEN_CHECKPOINT, Frame::Checkpoint(FINGERPRINT), &|out| {
            write_checkpoint(out, Position(300), FINGERPRINT);
        });
        add(GOLDEN_CLEAN_CLOSE, Frame::CleanClose(FINGERPRINT), &|out| {
            write_clean_close(out, Position(300), FINGERPRINT);
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
    fn foreign_payloads_are_rejected() {
        let mut bytes = Vec::new();
        write_checkpoint(&mut bytes, Position(1), FINGERPRINT);
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
        // Both lengths are encoded in as many bytes, so the size is exact.
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

    /// The decoder's limit counts 8 bytes for an integer that takes 1 byte on disk.
    #[test]
    fn a_change_of_as_many_entries_as_fit_is_read_back() {
        let mut change = change();
        let entry = Entry { put: Put { key: Bytes::new(), value: None }, replaces: None };
        // Each entry takes three bytes on disk; 64 bytes remain for the other fields.
        change.entries = vec![entry; (MAX_CHANGE_BYTES - 64) / 3];
        let mut out = Vec::new();
        write_change(&mut out, &change, Position(0)).expect("within the limit");
        assert_eq!(read(&out), Frame::Change(change, Position(0)));
    }

    /// A group of Changes is encoded into one buffer.
    #[test]
    fn a_frame_does_not_depend_on_the_bytes_before_it() {
        let mut out = vec![7; 1_000];
        write_change(&mut out, &change(), Position(298)).expect("small");
        assert_eq!(hex(&out[1_000..]), GOLDEN_CHANGE);
        // The limit applies to the frame, not to the buffer.
        let mut out = vec![7; MAX_CHANGE_BYTES];
        write_change(&mut out, &change(), Position(298)).expect("small");
    }

    #[test]
    fn an_impossible_length_is_no_frame() {
        let rows = [(0, false), (1, true), (MAX_PAYLOAD, true), (MAX_PAYLOAD + 1, false)];
        let mut bytes = Vec::new();
        write_checkpoint(&mut bytes, Position(1), FINGERPRINT);
        // Only the head is parsed, so the crc need not match.
        for (length, is_frame) in rows {
            bytes[12..16].copy_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
            assert_eq!(FrameHead::parse(&bytes).map(|head| head.length), is_frame.then_some(length));
        }
    }

    /// The record that closes a chunk of a snapshot may be the largest possible one.
    #[test]
    fn the_largest_chunk_of_a_snapshot_is_a_frame() {
        let record = |bytes| Record {
            key: Bytes::from_static(b"l1"),
            revision: Position(9),
            value: Bytes::from(vec![0; bytes]),
        };
        // One byte below the size that closes a chunk.
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
            // Otherwise nearly all inputs would fail at the version.
            payload.insert(0, FRAME_VERSION);
            let _ = decode(Position(1), &Bytes::from(payload));
        }

        #[test]
        fn any_flipped_bit_is_detected(change in changes(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut out = Vec::new();
            write_change(&mut out, &change, Position(0)).expect("small");
            let index = at.index(out.len());
            out[index] ^= 1_u8 << bit;
            // A flipped bit in the length may ask for more bytes than there are.
            let detected = FrameHead::parse(&out).is_none_or(|head| {
                let payload = out.get(FRAME_HEADER..FRAME_HEADER + head.length);
                payload.is_none_or(|payload| !head.guards(payload))
            });
            prop_assert!(detected);
        }
    }
}
