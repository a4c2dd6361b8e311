//! [`FoldedWorkspaces`]: workspaces without names of tags in the spelling of an earlier version.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::model::workspace::WorkspaceNumber;

/// Workspaces where the records of all names of tags have folded keys. All new records do, so a workspace
/// that is in the set stays in it.
#[derive(Debug, Default)]
pub(in crate::core) struct FoldedWorkspaces(Mutex<HashSet<WorkspaceNumber>>);

impl FoldedWorkspaces {
    /// Returns whether a workspace is known to have only folded keys.
    pub(in crate::core) fn contains(&self, workspace: WorkspaceNumber) -> bool {
        self.0.lock().contains(&workspace)
    }

    /// Adds a workspace, all of whose names were read.
    pub(in crate::core) fn add(&self, workspace: WorkspaceNumber) {
        self.0.lock().insert(workspace);
    }
}
