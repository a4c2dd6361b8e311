//! [`Tenant`]: the party that the use of a shared resource is charged to.

use crate::model::id::ForeignId;
use crate::model::workspace::WorkspaceNumber;

/// The party on whose behalf a request uses part of a shared resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// A key that reaches the whole instance.
    Operator,
    /// A key that reaches all workspaces of one company.
    Company(ForeignId),
    /// A key that reaches one workspace, or a visitor of one of its links.
    Workspace {
        /// The company that owns the workspace.
        company: ForeignId,
        /// The workspace.
        number: WorkspaceNumber,
    },
}

#[cfg(test)]
impl Tenant {
    /// Returns this workspace of a company.
    pub(crate) fn of_workspace(company: &str, number: u32) -> Tenant {
        let company = ForeignId::parse("id", company).expect("an id");
        Tenant::Workspace { company, number: WorkspaceNumber(number) }
    }
}

impl Tenant {
    /// Returns the company that is charged, or `None` for the operator.
    pub fn company(&self) -> Option<&ForeignId> {
        match self {
            Tenant::Operator => None,
            Tenant::Company(company) | Tenant::Workspace { company, .. } => Some(company),
        }
    }

    /// Returns the workspace that is charged besides its company.
    pub fn workspace(&self) -> Option<WorkspaceNumber> {
        match self {
            Tenant::Workspace { number, .. } => Some(*number),
            Tenant::Operator | Tenant::Company(_) => None,
        }
    }
}
