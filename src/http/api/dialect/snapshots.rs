//! Commands on snapshots.

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::key::Scope;
use crate::model::snapshot::{ImportDraft, ShareKind, SnapshotDraft};

/// All that dialects can request about snapshots.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is named after the method of `Snapshots` that runs it.
pub enum SnapshotCommand {
    Create(SnapshotDraft),
    List(NamedCompany),
    One(ForeignId),
    Delete(ForeignId),
    Share(NamedCompany, ForeignId, ShareKind),
    Import(ImportDraft),
    ImportStatus(Id),
    Imports(NamedCompany, ForeignId, ImportQuery),
}

/// The company that a request names, if any.
pub type NamedCompany = Option<Box<str>>;

/// Which imports of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportQuery {
    /// Imports that began from one instant to another, the newest first.
    Page {
        /// Inclusive.
        from: Timestamp,
        /// Inclusive.
        to: Timestamp,
        /// The last import of the page before.
        after: Option<Id>,
        /// Most imports of the page.
        limit: usize,
    },
    /// The newest import into the workspace of this id.
    Latest(ForeignId),
}

impl SnapshotCommand {
    /// Returns the scope that a key needs.
    pub fn scope(&self) -> Scope {
        match self {
            SnapshotCommand::List(_)
            | SnapshotCommand::One(_)
            | SnapshotCommand::ImportStatus(_)
            | SnapshotCommand::Imports(..) => Scope::SnapshotsRead,
            SnapshotCommand::Create(_)
            | SnapshotCommand::Delete(_)
            // A share gives a copy of the links to others, so it takes more than reading.
            | SnapshotCommand::Share(..)
            | SnapshotCommand::Import(_) => Scope::SnapshotsWrite,
        }
    }
}
