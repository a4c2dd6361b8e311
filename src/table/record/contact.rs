//! The record of the key that signs contact links.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::model::contact::{CONTACT_KEY_BYTES, ContactKey};

#[derive(Serialize, Deserialize)]
struct ContactKeyV1([u8; CONTACT_KEY_BYTES]);

impl Stored for ContactKey {
    fn encode(&self) -> Vec<u8> {
        write(1, &ContactKeyV1(self.0))
    }

    fn decode(bytes: &[u8]) -> Result<ContactKey, Corrupt> {
        match version(bytes)? {
            (1, rest) => read::<ContactKeyV1>(rest).map(|stored| ContactKey(stored.0)),
            (other, _) => unknown("a contact key", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let golden: Vec<u8> = std::iter::once(1).chain(0..32).collect();
        let key = ContactKey::decode(&golden).expect("version 1");
        assert_eq!(key.0[..4], [0, 1, 2, 3]);
        assert_eq!(key.encode(), golden);
        // The last byte of the key is missing.
        assert!(ContactKey::decode(&golden[..32]).is_err());
        // No byte of the key may reach a log line.
        assert!(!format!("{key:?}").contains('3'));
    }
}
