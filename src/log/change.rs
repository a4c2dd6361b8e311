//! What the log contains: [`Change`]s, their entries, and the records that they write.

use bytes::Bytes;

use super::fingerprint::Fingerprint;
use super::position::Position;
use crate::clock::Timestamp;

/// Largest encoded Change. Large imports are staged in chunks instead, so that one command never delays
/// the others for long. A larger Change is rejected with [`CommitError::TooLarge`](super::CommitError).
pub const MAX_CHANGE_BYTES: usize = 1024 * 1024;

/// First byte of the keys of click totals. Click totals are absolute counts that only grow, and are left
/// out of the fingerprint. `table/keys.rs` defines all other first bytes.
pub const CLICKS_PREFIX: u8 = b'c';

/// A record to write or to remove. A put contains the whole record, never a delta, so applying a put
/// twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key of the record.
    pub key: Bytes,
    /// The new record; `None` removes the record.
    pub value: Option<Bytes>,
}

impl Put {
    /// Returns whether the put writes a click total.
    pub fn is_clicks(&self) -> bool {
        self.key.first() == Some(&CLICKS_PREFIX)
    }

    /// Returns the bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A [`Put`] as the log stores it: with the revision that it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The write.
    pub put: Put,
    /// The revision of the record that the put replaces or removes. `None` for a record that did not
    /// exist, and for click totals. With it the log is self-describing: live records and fingerprint
    /// follow from the log alone.
    pub replaces: Option<Position>,
}

impl Entry {
    /// Updates a fingerprint for this entry, which is written at `position`.
    pub fn update(&self, fingerprint: &mut Fingerprint, position: Position) {
        // Click totals have no revisions, so the sum of revisions leaves them out.
        if self.put.is_clicks() {
            return;
        }
        if let Some(old) = self.replaces {
            fingerprint.remove(&self.put.key, old);
        }
        if self.put.value.is_some() {
            fingerprint.add(&self.put.key, position);
        }
    }
}

/// What one command wrote, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position in the log.
    pub position: Position,
    /// The time of the commit.
    pub at: Timestamp,
    /// The node that proposed the Change; 0 on an instance without a cluster.
    pub node: u16,
    /// Identifies the request that caused the Change; 0 for none.
    pub request: u64,
    /// The writes, in order.
    pub entries: Vec<Entry>,
    /// The fingerprint after the Change.
    pub fingerprint: Fingerprint,
}

impl Change {
    /// Returns a checksum of the content, independent of its encoding. Never 0. It is stored on disk: its
    /// input must never change.
    pub fn digest(&self) -> u32 {
        let mut crc = crc32c::crc32c(&self.position.0.to_le_bytes());
        let mut add = |bytes: &[u8]| crc = crc32c::crc32c_append(crc, bytes);
        add(&self.at.as_millis().to_le_bytes());
        add(&self.node.to_le_bytes());
        add(&self.request.to_le_bytes());
        for entry in &self.entries {
            let value = entry.put.value.as_deref();
            // The lengths separate the fields. No value is as long as the mark of a removal.
            let length = value.map_or(u64::MAX, |value| value.len() as u64);
            add(&(entry.put.key.len() as u64).to_le_bytes());
            add(&length.to_le_bytes());
            // No record has revision 0: the first Change has position 1.
            add(&entry.replaces.unwrap_or_default().0.to_le_bytes());
            add(&entry.put.key);
            add(value.unwrap_or_default());
        }
        // 0 means an unknown Change in `HistoryEntry`.
        crc.max(1)
    }
}

/// What the table stores about the log at one position, to recognise a log with another history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryEntry {
    /// [`Change::digest`] of the Change at the position; 0 if it is unknown.
    pub change: u32,
    /// [`Fingerprint::digest`] of the fingerprint after the Change.
    pub state: u32,
}

impl HistoryEntry {
    /// Returns the entry of a Change, whose fingerprint must be known.
    pub fn of(change: &Change) -> HistoryEntry {
        HistoryEntry { change: change.digest(), state: change.fingerprint.digest() }
    }
}

/// A live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// The position of the Change that wrote the record.
    pub revision: Position,
    /// The bytes of the record.
    pub value: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: i64, key: &str, value: Option<&str>) -> Change {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let put = Put { key: Bytes::copy_from_slice(key.as_bytes()), value };
        Change {
            position: Position(7),
            at: Timestamp::from_millis(at),
            node: 0,
            request: 0,
            entries: vec![Entry { put, replaces: None }],
            fingerprint: Fingerprint::default(),
        }
    }

    /// Digests are stored on disk.
    #[test]
    fn golden_digest() {
        assert_eq!(change(1, "lkey", Some("value")).digest(), 0x2f77_67ff);
    }

    #[test]
    fn changes_that_differ_anywhere_have_different_digests() {
        let digest = change(1, "ab", Some("c")).digest();
        for other in [
            change(2, "ab", Some("c")),
            // The same bytes, divided elsewhere.
            change(1, "a", Some("bc")),
            change(1, "abc", Some("")),
            // A removal differs from an empty value.
            change(1, "abc", None),
            change(1, "ab", Some("d")),
        ] {
            assert_ne!(other.digest(), digest, "{other:?}");
        }
    }
}
