//! What can be asked about snapshots.

use crate::clock::Timestamp;
use crate::model::id::{ForeignId, Id};
use crate::model::key::Scope;
use crate::model::snapshot::{ImportDraft, ShareKind, SnapshotDraft};

/// What can be asked about snapshots.
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

/// A company, if one is named.
pub type NamedCompany = Option<Box<str>>;

/// Which imports of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportQuery {
    /// Those begun within these instants, behind the one named, the newest first.
    Page {
        /// At the earliest then.
        from: Timestamp,
        /// At the latest then.
        to: Timestamp,
        /// The last one of the page before.
        after: Option<Id>,
        /// At most so many.
        limit: usize,
    },
    /// The newest into the workspace of this id.
    Latest(ForeignId),
}

impl SnapshotCommand {
    /// The scope it takes.
    pub fn scope(&self) -> Scope {
        match self {
            SnapshotCommand::List(_)
            | SnapshotCommand::One(_)
            | SnapshotCommand::ImportStatus(_)
            | SnapshotCommand::Imports(..) => Scope::SnapshotsRead,
            SnapshotCommand::Create(_)
            | SnapshotCommand::Delete(_)
            | SnapshotCommand::Share(..)
            | SnapshotCommand::Import(_) => Scope::SnapshotsWrite,
        }
    }
}
