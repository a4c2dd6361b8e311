//! Commands on the rules of a link, one at a time.

use super::Paging;
use crate::model::id::Id;
use crate::model::key::Scope;
use crate::model::link::branch::{BranchId, BranchPatch};

/// All that dialects can request about single rules.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is named after the method of `Links` that runs it.
pub enum RuleCommand {
    List(Id, Paging),
    Create(Id, BranchPatch),
    One(BranchId),
    Update(BranchId, BranchPatch),
    Delete(BranchId),
}

impl RuleCommand {
    /// Returns the scope that a key needs: that of the link.
    pub fn scope(&self) -> Scope {
        match self {
            RuleCommand::List(..) | RuleCommand::One(_) => Scope::LinksRead,
            RuleCommand::Create(..) | RuleCommand::Update(..) | RuleCommand::Delete(_) => Scope::LinksWrite,
        }
    }
}
