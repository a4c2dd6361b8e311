//! The fingerprint of all live records, and the hash behind it.

use sha2::{Digest, Sha256};

use super::position::Position;

/// A fingerprint of all live records: their number, and the sum modulo 2^128 of a hash of each record's
/// key and revision. The sum does not depend on the order of records. Click totals are left out.
///
/// One Change writes a key at most once, so a revision identifies the exact bytes of a record. Hashing
/// the revision therefore covers the content, and the log updates the fingerprint without reading old
/// records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Number of live records.
    pub count: u64,
    /// Sum of the hashes of all live records.
    pub sum: u128,
}

impl Fingerprint {
    /// Adds a record. Wraps on overflow, so additions and removals may come in any order.
    pub fn add(&mut self, key: &[u8], revision: Position) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(record_hash(key, revision));
    }

    /// Removes a record. Wraps on overflow, like [`Fingerprint::add`].
    pub fn remove(&mut self, key: &[u8], revision: Position) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(record_hash(key, revision));
    }

    /// Returns a checksum of the fingerprint. It is stored on disk: its input must never change.
    pub fn digest(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.count.to_le_bytes()), &self.sum.to_le_bytes())
    }
}

/// Returns what one live record adds to the sum of the fingerprint: the first 128 bits of SHA-256 over
/// revision and key. The function must never change: its results are compared with sums on disk.
///
/// The sum must differ for any two sets of records, so the hash is cryptographic. It costs 0.1 µs per
/// write with the CPU's instructions: 10 M records take about a second.
pub fn record_hash(key: &[u8], revision: Position) -> u128 {
    // The revision is first and has a fixed length, so no two pairs have the same bytes.
    let digest = Sha256::new().chain_update(revision.0.to_le_bytes()).chain_update(key).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Digests are stored on disk.
    #[test]
    fn golden_digest() {
        assert_eq!(Fingerprint { count: 3, sum: 9 }.digest(), 0x342e_ff54);
    }
}
