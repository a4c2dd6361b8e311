//! The caller of a command, and the key on whose authority the command runs.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::log::Position;
use crate::model::id::Id;
use crate::model::key::{ApiKey, Reach, Scopes};

/// Who holds a valid key.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The key in the environment (`WAYPOST_ADMIN_KEY`): instance reach, every scope, not stored.
    Environment,
    /// A stored key.
    Key {
        /// Its record.
        record: Arc<ApiKey>,
        /// The revision of that record.
        revision: Position,
    },
}

/// The stored key that a command runs on the authority of. Every Change of the command relies on
/// this revision of the key's record, so a key that was revoked cannot commit, however long its
/// request waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The key's id.
    pub id: Id,
    /// The revision of its record.
    pub revision: Position,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// The key's id; `None` for the key in the environment.
    pub fn key(&self) -> Option<Id> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, .. } => Some(record.id),
        }
    }

    /// Returns what its commands rely on; `None` for the key in the environment.
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, revision } => {
                Some(Credential { id: record.id, revision: *revision, expires_at: record.expires_at })
            }
        }
    }

    /// Returns whether it may create links and do nothing else.
    pub fn is_create_only(&self) -> bool {
        matches!(self, Caller::Key { record, .. } if record.create_only)
    }

    /// Whose objects it sees.
    pub fn reach(&self) -> Reach {
        match self {
            Caller::Environment => Reach::Instance,
            Caller::Key { record, .. } => record.reach.clone(),
        }
    }

    /// What it may do.
    pub fn scopes(&self) -> Scopes {
        match self {
            Caller::Environment => Scopes::all(),
            Caller::Key { record, .. } => record.scopes,
        }
    }
}
