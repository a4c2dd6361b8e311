//! The log's bytes: frames, and the hash behind the manifest. Only this file and its part
//! [`ends`] (header and footer of a segment, mark of a clean stop) know them.
//!
//! A frame is `[magic][position][length][crc32c][version byte + bincode]`, integers little-endian;
//! the crc covers position, length and payload. What a version's writer writes never changes: a
//! new need is a new version, and every version ever written keeps its decoder (golden bytes in
//! the tests below).

pub(crate) mod ends;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::log::{Change, Entry, MAX_CHANGE_BYTES, Manifest, Position, Put, Record};

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

/// Bincode counts 8 bytes for an integer that takes 1 on disk; so no payload that we wrote can
/// reach this, and no damaged one can ask for more memory.
const DECODE_LIMIT: usize = 16 * MAX_PAYLOAD;

/// The one version of frames so far.
const FRAME_VERSION: u8 = 1;

/// What one live record adds to the manifest's sum: the first 128 bits of SHA-256 over the
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
    /// `manifest` is left at zero: whoever reads in order knows it.
    Change(Change, Position),
    /// The manifest at the frame's position, now and then: shows where bookkeeping went astray.
    Checkpoint(Manifest),
    /// The log was closed in order here.
    CleanClose(Manifest),
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

impl From<Manifest> for ManifestV1 {
    fn from(manifest: Manifest) -> ManifestV1 {
        ManifestV1 { count: manifest.count, sum: manifest.sum }
    }
}

impl From<ManifestV1> for Manifest {
    fn from(manifest: ManifestV1) -> Manifest {
        Manifest { count: manifest.count, sum: manifest.sum }
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
pub(crate) fn write_checkpoint(out: &mut Vec<u8>, position: Position, manifest: Manifest) {
    write_frame(out, position, &V1::Checkpoint(manifest.into()));
}

/// Appends the frame of a clean close.
pub(crate) fn write_clean_close(out: &mut Vec<u8>, position: Position, manifest: Manifest) {
    write_frame(out, position, &V1::CleanClose(manifest.into()));
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
                manifest: Manifest::default(),
            };
            Frame::Change(change, Position(position.0.saturating_sub(durable)))
        }
        V1::Checkpoint(manifest) => Frame::Checkpoint(manifest.into()),
        V1::CleanClose(manifest) => Frame::CleanClose(manifest.into()),
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

    fn manifest(&mut self) -> Option<Manifest> {
        Some(Manifest { count: self.u64()?, sum: self.u128()? })
    }
}
