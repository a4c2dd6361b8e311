//! [`FilledLinks`]: notices that links with placeholders changed while they were checked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::workspace::WorkspaceNumber;

/// Counts changes of links with placeholders by workspace. What was read before a count changed is out of
/// date. Some workspaces share a count, which at worst causes a second read.
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
