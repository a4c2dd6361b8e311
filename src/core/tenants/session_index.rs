//! The sessions of the [`super::directory`]: found by the hash of their secret, by id and by key.

use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::log::Position;
use crate::model::id::Id;
use crate::model::session::Session;
use crate::model::tenant::Tenant;

/// A session and its revision.
#[derive(Clone, Debug)]
pub(in crate::core) struct IndexedSession {
    pub(in crate::core) revision: Position,
    pub(in crate::core) record: Arc<Session>,
    /// The tenant whose memory the record counts for. Kept here, since one Change may remove a key and its sessions in
    /// any order, and without its key a session does not show whose it is.
    pub(super) tenant: Tenant,
}

/// All sessions, also those that are over and not removed yet. A copy shares all but one path of each map.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct SessionIndex {
    sessions: RedBlackTreeMapSync<Id, IndexedSession>,
    hashes: HashTrieMapSync<[u8; 32], Id, ahash::RandomState>,
    /// By key, `None` for the key in the environment, and id.
    by_key: RedBlackTreeMapSync<(Option<Id>, Id), ()>,
}

impl SessionIndex {
    pub(super) fn insert(&mut self, session: IndexedSession) {
        let record = &session.record;
        self.hashes.insert_mut(record.hash.0, record.id);
        self.by_key.insert_mut((record.key.id(), record.id), ());
        self.sessions.insert_mut(record.id, session);
    }

    /// Removes the session of this hash and returns it.
    pub(super) fn remove(&mut self, hash: &[u8; 32]) -> Option<IndexedSession> {
        let session = self.of_hash(hash)?.clone();
        self.hashes.remove_mut(hash);
        self.by_key.remove_mut(&(session.record.key.id(), session.record.id));
        self.sessions.remove_mut(&session.record.id);
        Some(session)
    }

    /// Returns the session whose secret has this SHA-256. Timing shows nothing useful: nobody can choose the hash that
    /// is compared.
    pub(in crate::core) fn of_hash(&self, hash: &[u8; 32]) -> Option<&IndexedSession> {
        self.hashes.get(hash).and_then(|id| self.sessions.get(id))
    }

    /// Returns the session of this id.
    pub(super) fn of_id(&self, id: Id) -> Option<&IndexedSession> {
        self.sessions.get(&id)
    }

    /// Returns the sessions of a key, or of the key in the environment for `None`, in the order of their ids.
    pub(in crate::core) fn of_key(&self, key: Option<Id>) -> impl Iterator<Item = &IndexedSession> {
        let ids = (key, Id::from_bits(0))..=(key, Id::from_bits(u128::MAX));
        self.by_key.range(ids).filter_map(|((_, id), ())| self.sessions.get(id))
    }

    /// Returns all sessions, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &IndexedSession> {
        self.sessions.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::key::SecretHash;
    use crate::model::session::SessionKey;

    fn session(id: u128, key: SessionKey, revision: u64) -> IndexedSession {
        let record = Session {
            id: Id::from_bits(id),
            hash: SecretHash([u8::try_from(id).expect("small"); 32]),
            token: [0; 16],
            key,
            device: "".into(),
            created_at: Timestamp::from_millis(1),
            seen_at: Timestamp::from_millis(1),
        };
        IndexedSession { revision: Position(revision), record: Arc::new(record), tenant: Tenant::Operator }
    }

    #[test]
    fn indexes_follow_renewals_and_removals() {
        let (one, two) = (SessionKey::Key(Id::from_bits(1)), SessionKey::Key(Id::from_bits(2)));
        let environment = SessionKey::Environment(SecretHash([9; 32]));
        let mut index = SessionIndex::default();
        for (id, key) in [(11, one), (12, one), (13, two), (14, environment), (15, environment)] {
            index.insert(session(id, key, 1));
        }
        let of = |index: &SessionIndex, key: SessionKey| -> Vec<u128> {
            index.of_key(key.id()).map(|session| session.record.id.bits()).collect()
        };
        assert_eq!(
            [of(&index, one), of(&index, two), of(&index, environment)],
            [vec![11, 12], vec![13], vec![14, 15]]
        );
        // A renewal writes the same session again, with another revision.
        index.insert(session(12, one, 2));
        assert_eq!((of(&index, one), index.iter().count()), (vec![11, 12], 5));
        assert_eq!(index.of_hash(&[12; 32]).map(|session| session.revision), Some(Position(2)));
        let removed = index.remove(&[11; 32]).map(|session| session.record.id);
        assert_eq!(removed, Some(Id::from_bits(11)));
        assert!(index.remove(&[11; 32]).is_none(), "it is removed once");
        assert!(index.of_hash(&[11; 32]).is_none() && index.of_id(Id::from_bits(11)).is_none());
        assert_eq!(of(&index, one), [12]);
    }
}
