//! [`FilledLinks`]: notices that links with placeholders changed while they were checked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::workspace::WorkspaceNumber;

/// Counts, by workspace, changes of links with placeholders: what was read of them before the count
/// changed is out of date. Workspaces share counts, which at worst has one look twice.
#[derive(Debug)]
pub(in crate::core) struct FilledLinks([AtomicU64; 64]);

impl Default for FilledLinks {
    fn default() -> FilledLinks {
        FilledLinks(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl FilledLinks {
    fn of(&self, workspace: WorkspaceNumber) -> &AtomicU64 {
        &self.0[workspace.0 as usize % self.0.len()]
    }

    pub(in crate::core) fn changed(&self, workspace: WorkspaceNumber) {
        self.of(workspace).fetch_add(1, Ordering::Release);
    }

    pub(super) fn count(&self, workspace: WorkspaceNumber) -> u64 {
        self.of(workspace).load(Ordering::Acquire)
    }
}
