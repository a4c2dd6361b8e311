//! What commands about snapshots return.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::core::handle::Snapshots;
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{Import, Share, Snapshot};
use crate::model::workspace::WorkspaceNumber;

/// A snapshot as its readers see it.
#[derive(Clone, Debug)]
pub struct SnapshotView {
    /// The record.
    pub snapshot: Snapshot,
    /// What the APIs call its workspace by.
    pub workspace: ForeignId,
}

/// A share as its readers see it.
#[derive(Clone, Debug)]
pub struct ShareView {
    /// The record.
    pub share: Share,
    /// What to open, and to import.
    pub url: String,
}

/// An import as its readers see it.
#[derive(Clone, Debug)]
pub struct ImportView {
    /// The record.
    pub import: Import,
    /// What the APIs call its workspace by.
    pub workspace: ForeignId,
    /// Links dealt with so far.
    pub done: u64,
}

impl Snapshots {
    pub(super) fn snapshot_view(&self, snapshot: Snapshot) -> SnapshotView {
        SnapshotView { workspace: self.workspace_name(snapshot.workspace), snapshot }
    }

    pub(super) fn import_view(&self, import: Import) -> ImportView {
        let progress = self.shared.snapshots.importing.lock().get(&import.id).map(Arc::clone);
        let ended = import.made + import.skipped;
        let done = progress.map_or(ended, |progress| progress.load(Ordering::Relaxed).max(ended));
        ImportView { workspace: self.workspace_name(import.workspace), done, import }
    }

    pub(super) fn share_view(&self, share: Share) -> ShareView {
        ShareView { url: format!("{}/?share={}", self.shared.site.base_url(), share.id), share }
    }

    fn workspace_name(&self, number: WorkspaceNumber) -> ForeignId {
        let directory = self.directory();
        let versioned = directory.workspace(number).map(|versioned| versioned.record.id.clone());
        // Workspaces are never removed; a number without one would be a damaged store.
        versioned.unwrap_or_else(|| Id::from_bits(0).into())
    }
}
