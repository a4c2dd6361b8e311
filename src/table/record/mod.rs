//! The bytes of records in log and table: a version byte, then bincode.
//!
//! 1. One version is written, and every version ever written is read. The struct of a written version never
//!    changes: a change is a new version beside it.
//! 2. The structs repeat the model on purpose: types of the model are not serializable, so no edit there
//!    changes bytes on disk.
//! 3. serde's `skip`, `flatten` and `untagged` must not be used: bincode cannot read what they write.

mod alias;
mod attachment;
mod audit;
mod branch;
mod campaign;
mod contact;
mod entity;
mod health;
mod link;
mod outcome;
mod owner;
mod session;
mod share;
mod snapshot;
mod webhook;

use bincode::config::{Configuration, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::alias::AliasRecord;
pub use self::audit::RetiredKey;
pub use self::entity::{Applied, CompanyId, Number, TagName};
pub(crate) use self::link::workspace_of_link;
pub use self::link::{LinkAt, Staged, Tombstone};
pub use self::outcome::{OutcomeRecord, StoredBulk, StoredOutcome};
pub(in crate::table) use self::owner::unchecked;
pub use self::owner::{Owned, Owner};
pub use self::share::ShareRecord;
pub use self::snapshot::{Chunk, FrozenId, FrozenLink, WorkMark};
pub use self::webhook::{WaitingDeliveries, WaitingDelivery};

use crate::log::Position;

/// Largest decoded record: bounds the memory that damaged bytes can make the decoder allocate. A link with
/// every field at its bound stays below 150 KB, a workspace with all its custom values below 10 MB.
const MAX_RECORD: usize = 16 * 1024 * 1024;

type Config = Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<MAX_RECORD>>;

// Part of the format: with another configuration no record on disk can be read.
const CONFIG: Config = bincode::config::standard().with_limit::<MAX_RECORD>();

/// For leaves, without a limit: their pairs are read in place and allocate nothing.
const LEAF: Configuration = bincode::config::standard();

/// The bytes are not a record of the expected kind.
#[derive(Debug, thiserror::Error)]
#[error("not a record: {0}")]
pub struct Corrupt(String);

impl Corrupt {
    /// Creates the error from its reason.
    pub(super) fn new(why: impl Into<String>) -> Corrupt {
        Corrupt(why.into())
    }
}

/// A type that is stored as a record.
pub trait Stored: Sized {
    /// Returns the bytes of the newest version.
    fn encode(&self) -> Vec<u8>;
    /// Reads any version. Fails if the bytes are damaged or of a newer version.
    fn decode(bytes: &[u8]) -> Result<Self, Corrupt>;
}

fn write<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    let mut bytes = vec![version];
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIG)
        .expect("plain structs of bounded size always encode into memory");
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Corrupt> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|error| Corrupt(error.to_string()))?;
    // bincode ignores trailing bytes, which belong to another type or are damage.
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(Corrupt(format!("{} bytes too many", bytes.len() - used)))
    }
}

/// Appends a key and its value to the bytes of a leaf.
pub(in crate::table) fn write_pair(leaf: &mut Vec<u8>, pair: (&[u8], &[u8])) {
    bincode::encode_into_std_write(pair, leaf, LEAF).expect("bytes always encode into memory");
}

/// Returns the first key and value in the bytes of a leaf, and the rest.
pub(in crate::table) fn read_pair(leaf: &[u8]) -> Result<((&[u8], &[u8]), &[u8]), Corrupt> {
    let (pair, used) =
        bincode::borrow_decode_from_slice(leaf, LEAF).map_err(|error| Corrupt(error.to_string()))?;
    Ok((pair, &leaf[used..]))
}

/// Reads the next key and value from a file of such bytes.
pub(in crate::table) fn read_pair_from(file: &mut impl std::io::Read) -> Result<(Vec<u8>, Vec<u8>), Corrupt> {
    bincode::decode_from_std_read(file, LEAF).map_err(|error| Corrupt(error.to_string()))
}

fn version(bytes: &[u8]) -> Result<(u8, &[u8]), Corrupt> {
    bytes
        .split_first()
        .map(|(version, rest)| (*version, rest))
        .ok_or_else(|| Corrupt("it is empty".to_owned()))
}

fn unknown<T>(kind: &str, version: u8) -> Result<T, Corrupt> {
    Err(Corrupt(format!("{kind} of version {version}, written by a newer Waypost")))
}

/// The value of a record in the table: its revision, the replaced revision, a checksum of these, key and
/// record, and the record's bytes as in the log.
///
/// By `replaces`, [`crate::log::AppliedState::is_intact`] reconstructs the state before a Change that a crash
/// interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The position of the Change that wrote the record.
    pub revision: Position,
    /// The replaced revision, 0 for none.
    pub replaces: Position,
    /// The record's bytes.
    pub value: &'a [u8],
}

const CELL_HEADER: usize = 8 + 8 + 4;

impl<'a> Cell<'a> {
    /// Returns the bytes for the table under `key`.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CELL_HEADER + self.value.len());
        bytes.extend_from_slice(&self.revision.0.to_le_bytes());
        bytes.extend_from_slice(&self.replaces.0.to_le_bytes());
        // Over the revisions as well: preconditions are compared with them.
        bytes.extend_from_slice(&checksum(key, &bytes[..16], self.value).to_le_bytes());
        bytes.extend_from_slice(self.value);
        bytes
    }

    /// Reads a cell. Fails if the bytes are not those that were written under this key.
    pub fn decode(key: &[u8], bytes: &'a [u8]) -> Result<Cell<'a>, Corrupt> {
        let (revisions, rest) =
            bytes.split_first_chunk::<16>().ok_or_else(|| Corrupt("it is too short".to_owned()))?;
        let (sum, value) =
            rest.split_first_chunk::<4>().ok_or_else(|| Corrupt("it is too short".to_owned()))?;
        if checksum(key, revisions, value) != u32::from_le_bytes(*sum) {
            return Err(Corrupt("its checksum is wrong".to_owned()));
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&revisions[at..at + 8]);
            Position(u64::from_le_bytes(bytes))
        };
        Ok(Cell { revision: number(0), replaces: number(8), value })
    }
}

fn checksum(key: &[u8], revisions: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(key), revisions), value)
}

/// Returns the record of a click total: a bare number, since one is written per clicked link and second.
pub fn encode_clicks(total: u64) -> Vec<u8> {
    write(1, &total)
}

/// Reads the record of a click total.
pub fn decode_clicks(bytes: &[u8]) -> Result<u64, Corrupt> {
    match version(bytes)? {
        (1, rest) => read(rest),
        (other, _) => unknown("a click total", other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cell_notices_every_flipped_bit_and_a_foreign_key() {
        let cell = Cell { revision: Position(5), replaces: Position(3), value: b"record" };
        let bytes = cell.encode(b"key");
        assert_eq!(Cell::decode(b"key", &bytes).ok(), Some(cell));
        assert!(Cell::decode(b"kez", &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Cell::decode(b"key", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn trailing_bytes_are_an_error() {
        let mut bytes = encode_clicks(300);
        assert_eq!(decode_clicks(&bytes).ok(), Some(300));
        bytes.push(0);
        assert_eq!(
            decode_clicks(&bytes).map_err(|e| e.to_string()),
            Err("not a record: 1 bytes too many".to_owned())
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Cell::decode(b"key", &bytes);
            let _ = decode_clicks(&bytes);
        }
    }
}
