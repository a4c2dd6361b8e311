//! The results of commands about snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::core::handle::Snapshots;
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{Import, Share, Snapshot};
use crate::model::workspace::WorkspaceNumber;

/// A snapshot and the id of its workspace.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the record and the id of its workspace.
pub struct SnapshotView {
    pub snapshot: Snapshot,
    pub workspace: ForeignId,
}

/// A share and its link.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the record and the id of its workspace.
pub struct ShareView {
    pub share: Share,
    /// The link that opens the share's page, and that an import names.
    pub url: String,
}

/// An import, the id of its workspace, and its progress.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the record and the id of its workspace.
pub struct ImportView {
    pub import: Import,
    pub workspace: ForeignId,
    /// Number of links that were processed so far.
    pub done: u64,
}

impl Snapshots {
    pub(super) fn snapshot_view(&self, snapshot: Snapshot) -> SnapshotView {
        SnapshotView { workspace: self.workspace_name(snapshot.workspace), snapshot }
    }

    pub(super) fn import_view(&self, import: Import) -> ImportView {
        let progress = self.shared.snapshots.importing.lock().get(&import.id).map(Arc::clone);
        let ended = import.made + import.skipped;
        // The record has the numbers only at the end. Until then the task counts.
        let done = progress.map_or(ended, |progress| progress.load(Ordering::Relaxed).max(ended));
        ImportView { workspace: self.workspace_name(import.workspace), done, import }
    }

    pub(super) fn share_view(&self, share: Share) -> ShareView {
        ShareView { url: self.shared.site.share_link(share.id), share }
    }

    fn workspace_name(&self, number: WorkspaceNumber) -> ForeignId {
        let directory = self.directory();
        let versioned = directory.workspace(number).map(|versioned| versioned.record.id.clone());
        // Workspaces are never removed, so only a damaged store has a number without a record.
        versioned.unwrap_or_else(|| Id::from_bits(0).into())
    }
}
