//! The caller of a command, and the key that gives the command its rights.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::log::Position;
use crate::model::id::Id;
use crate::model::key::{ApiKey, Reach, Scopes};

/// The holder of a valid key.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The key in the environment (`WAYPOST_ADMIN_KEY`): instance reach, every scope, not stored.
    Environment,
    /// A stored key.
    #[allow(missing_docs)] // The fields are the record and its revision.
    Key { record: Arc<ApiKey>, revision: Position },
}

/// The stored key whose rights a command uses. Every Change of the command requires this revision of the
/// key's record. So a revoked key cannot commit, however long its request waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields are those of the record.
pub struct Credential {
    pub id: Id,
    /// The revision of its record.
    pub revision: Position,
    /// When the key expires.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// Returns the id of the key, or `None` for the key in the environment.
    pub fn key(&self) -> Option<Id> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, .. } => Some(record.id),
        }
    }

    /// Returns the credential that commands of this caller require, or `None` for the key in the environment.
    pub fn credential(&self) -> Option<Credential> {
        match self {
            Caller::Environment => None,
            Caller::Key { record, revision } => {
                Some(Credential { id: record.id, revision: *revision, expires_at: record.expires_at })
            }
        }
    }

    /// Returns whether the key may create links and do nothing else.
    pub fn is_create_only(&self) -> bool {
        matches!(self, Caller::Key { record, .. } if record.create_only)
    }

    /// Returns the objects that the caller sees.
    pub fn reach(&self) -> Reach {
        match self {
            Caller::Environment => Reach::Instance,
            Caller::Key { record, .. } => record.reach.clone(),
        }
    }

    /// Returns the commands that the caller may run.
    pub fn scopes(&self) -> Scopes {
        match self {
            Caller::Environment => Scopes::all(),
            Caller::Key { record, .. } => record.scopes,
        }
    }
}
