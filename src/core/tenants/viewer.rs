//! [`Viewer`]: which objects a caller sees.

use super::directory::Directory;
use crate::core::context::Context;
use crate::model::key::Reach;
use crate::model::workspace::WorkspaceNumber;

/// The objects that a caller sees.
pub(in crate::core) struct Viewer {
    /// The acting workspace, which is always within reach.
    pub(in crate::core) acting: WorkspaceNumber,
    pub(in crate::core) reach: Reach,
}

impl Viewer {
    pub(in crate::core) fn of(context: &Context) -> Viewer {
        Viewer { acting: context.workspace.number, reach: context.reach.clone() }
    }

    pub(in crate::core) fn reaches(&self, directory: &Directory, workspace: WorkspaceNumber) -> bool {
        // The usual case first: it needs no look-up.
        workspace == self.acting || directory.reaches(&self.reach, workspace)
    }
}
