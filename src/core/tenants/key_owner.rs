//! [`KeyOwner`]: by whom the [`super::directory`] finds API keys.

use crate::model::id::ForeignId;
use crate::model::key::Reach;
use crate::model::workspace::WorkspaceNumber;

/// An index of keys by their owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum KeyOwner {
    /// The keys of a company and of its workspaces.
    Company(ForeignId),
    /// The keys of the company alone.
    CompanyItself(ForeignId),
    Workspace(WorkspaceNumber),
    Instance,
}

impl KeyOwner {
    /// Returns the owner of the keys of exactly this reach.
    pub(super) fn exact(reach: &Reach) -> KeyOwner {
        match reach {
            Reach::Instance => KeyOwner::Instance,
            Reach::Company(company) => KeyOwner::CompanyItself(company.clone()),
            Reach::Workspace(number) => KeyOwner::Workspace(*number),
        }
    }
}
