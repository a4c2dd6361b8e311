//! Records of sessions of the dashboard.

use serde::{Deserialize, Serialize};

use super::{Corrupt, Stored, read, unknown, version, write};
use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::model::key::SecretHash;
use crate::model::session::{Session, SessionKey};

#[derive(Serialize, Deserialize)]
struct SessionV1 {
    id: u128,
    hash: [u8; 32],
    token: [u8; 16],
    key: SessionKeyV1,
    device: Box<str>,
    created_at: i64,
    seen_at: i64,
}

#[derive(Serialize, Deserialize)]
enum SessionKeyV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Key(u128),
    Environment([u8; 32]),
}

impl Stored for Session {
    fn encode(&self) -> Vec<u8> {
        // Every field is named, so that a new one does not compile until it is stored.
        let Session { id, hash, token, key, device, created_at, seen_at } = self;
        let record = SessionV1 {
            id: id.bits(),
            hash: hash.0,
            token: *token,
            key: match key {
                SessionKey::Key(id) => SessionKeyV1::Key(id.bits()),
                SessionKey::Environment(hash) => SessionKeyV1::Environment(hash.0),
            },
            device: device.clone(),
            created_at: created_at.as_millis(),
            seen_at: seen_at.as_millis(),
        };
        write(1, &record)
    }

    fn decode(bytes: &[u8]) -> Result<Session, Corrupt> {
        let SessionV1 { id, hash, token, key, device, created_at, seen_at } = match version(bytes)? {
            (1, rest) => read(rest)?,
            (other, _) => return unknown("a session", other),
        };
        Ok(Session {
            id: Id::from_bits(id),
            hash: SecretHash(hash),
            token,
            key: match key {
                SessionKeyV1::Key(id) => SessionKey::Key(Id::from_bits(id)),
                SessionKeyV1::Environment(hash) => SessionKey::Environment(SecretHash(hash)),
            },
            device,
            created_at: Timestamp::from_millis(created_at),
            seen_at: Timestamp::from_millis(seen_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// These bytes are on users' disks: if this test fails, add a version instead of editing it.
    #[test]
    fn version_1_is_read_for_ever() {
        let stored = (SessionKey::Key(Id::from_bits(9)), vec![0, 9]);
        let environment = (SessionKey::Environment(SecretHash([5; 32])), [vec![1], vec![5; 32]].concat());
        for (key, of_key) in [stored, environment] {
            let session = Session {
                id: Id::from_bits(7),
                hash: SecretHash([3; 32]),
                token: [4; 16],
                key,
                device: "ab".into(),
                created_at: Timestamp::from_millis(1),
                seen_at: Timestamp::from_millis(200),
            };
            let (hash, token) = ([3; 32], [4; 16]);
            let bytes = [&[1, 7][..], &hash, &token, &of_key, &[2, b'a', b'b', 2, 251, 144, 1]].concat();
            assert_eq!(session.encode(), bytes, "{key:?}");
            let again = Session::decode(&bytes).expect("the golden bytes");
            // No `==`, because of the hashes.
            assert_eq!(again.encode(), bytes, "{key:?}");
            assert_eq!((again.token, again.seen_at), (session.token, session.seen_at));
        }
        // A later version, a kind of key that is unknown, and nothing.
        let unknown_key = [&[1, 7][..], &[3; 32], &[4; 16], &[2, 0, 0, 0]].concat();
        for bytes in [&[2, 7][..], &unknown_key, &[]] {
            assert!(Session::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            bytes[0] = 1;
            let _ = Session::decode(&bytes);
        }
    }
}
