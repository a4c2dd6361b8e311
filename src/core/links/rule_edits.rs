//! The rules of a link, one at a time, for APIs where a rule is an object of its own. The record of the link has them:
//! each change of a rule is a change of its link, with all checks and with the revision that was read.

use crate::clock::Timestamp;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::shared::Shared;
use crate::core::tenants::campaigns::Paging;
use crate::model::id::Id;
use crate::model::link::branch::{Branch, BranchEdit, BranchId, BranchPatch};
use crate::model::link::{Edit, Link, Patch};
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::StoredOutcome;

/// A rule with the facts that responses show beside it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct RuleView {
    pub id: BranchId,
    pub branch: Branch,
    /// The rank among the rules of the link: see [`Branches::ranks`](crate::model::link::branch::Branches::ranks).
    pub rank: u32,
    /// The share of the visitors that the rule takes, in percent: see [`Branch::share`].
    pub share: Option<u32>,
    /// The time of the last change of the link.
    pub updated_at: Timestamp,
}

/// A page of the rules of one link, in the order of evaluation.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The fields speak.
pub struct RulePage {
    pub rules: Vec<RuleView>,
    pub total: u64,
    pub page: u64,
    pub limit: usize,
}

impl Links {
    /// Returns a page of the rules of a link.
    pub async fn rules(&self, context: &Context, link: Id, paging: Paging) -> Result<RulePage, Error> {
        // The record of the link has all of its rules, at most 20, so a page needs no read of its own.
        let link = self.get(context, link).await?.link;
        let Paging { page, limit } = paging;
        let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(limit);
        let all = views(&link);
        let total = all.len() as u64;
        Ok(RulePage { rules: all.into_iter().skip(skipped).take(limit).collect(), total, page, limit })
    }

    /// Returns one rule.
    pub async fn rule(&self, context: &Context, id: BranchId) -> Result<RuleView, Error> {
        let link = self.get(context, id.link).await.map_err(of_rule)?.link;
        view(&link, id.number)
    }

    /// Adds a rule to a link.
    pub async fn create_rule(
        &self,
        context: &Context,
        link: Id,
        patch: BranchPatch,
    ) -> Result<RuleView, Error> {
        // The edit is applied at each attempt to the rules as they are then: a rule that another client adds in between
        // stays.
        let edit = BranchEdit::Add(Box::new(patch), context.now);
        let link = self.update_for(context, link, of_edit(edit), created).await?.link;
        // Of the link as this write has left it, and not as it is now.
        view(&link, last_number(&link))
    }

    /// Changes a rule.
    pub async fn update_rule(
        &self,
        context: &Context,
        id: BranchId,
        patch: BranchPatch,
    ) -> Result<RuleView, Error> {
        let edit = BranchEdit::Change(id.number, Box::new(patch));
        let link = self.update(context, id.link, of_edit(edit)).await.map_err(of_rule)?.link;
        view(&link, id.number)
    }

    /// Removes a rule. Its number is never given again.
    pub async fn delete_rule(&self, context: &Context, id: BranchId) -> Result<(), Error> {
        let edit = BranchEdit::Remove(id.number);
        self.update(context, id.link, of_edit(edit)).await.map_err(of_rule)?;
        Ok(())
    }
}

impl Shared {
    /// Returns the rule that a POST has created. `None` if the rule or its link no longer exists.
    pub(in crate::core) fn created_rule(
        &self,
        workspace: WorkspaceNumber,
        id: BranchId,
    ) -> Result<Option<RuleView>, Error> {
        let found = self.table.link_by_id(workspace, id.link)?;
        Ok(found.and_then(|found| view(&found.record, id.number).ok()))
    }
}

fn of_edit(edit: BranchEdit) -> Patch {
    Patch { edits: vec![Edit::Rule(edit)], ..Patch::default() }
}

/// Returns the outcome of a POST that has added a rule to this link.
fn created(link: &Link) -> StoredOutcome {
    StoredOutcome::Rule { workspace: link.workspace, link: link.id, number: last_number(link) }
}

/// Returns the number of the rule that was added last.
fn last_number(link: &Link) -> u16 {
    link.options.rules.as_ref().map_or(0, |rules| rules.last_branch)
}

fn views(link: &Link) -> Vec<RuleView> {
    let Some(rules) = &link.options.rules else { return Vec::new() };
    let view = |(branch, rank): (&Branch, u32)| RuleView {
        id: BranchId { link: link.id, number: branch.number },
        branch: branch.clone(),
        rank,
        share: branch.share(&link.options.destination),
        updated_at: link.updated_at,
    };
    rules.list.iter().zip(rules.ranks()).map(view).collect()
}

fn view(link: &Link, number: u16) -> Result<RuleView, Error> {
    views(link).into_iter().find(|view| view.id.number == number).ok_or(Error::NotFound("rule"))
}

/// Returns the error of a rule. One text for an unknown link, a foreign one and an unknown rule, so that ids cannot be
/// probed.
fn of_rule(error: Error) -> Error {
    match error {
        Error::NotFound("link") => Error::NotFound("rule"),
        Error::Rule(invalid) if invalid.field == "ruleId" => Error::NotFound("rule"),
        other => other,
    }
}
