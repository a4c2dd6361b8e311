//! The choosing stage: selects one of a link's targets for a visit, by the rules of the link. It runs before the rules
//! of the click, since the deny list and the check for loops ask where the visit leads, and has no effect on them
//! otherwise.
//!
//! A rule of a link is a branch here: see [`crate::model::link::branch`].

use super::holds::BranchFacts;
use super::intent::Intent;
use super::split::{self, Assigned};
use super::visit_facts::VisitFacts;
use crate::agents::Agent;
use crate::cache::branching::{CompiledBranch, CompiledOutcome, CompiledSplit};
use crate::cache::entry::Conditional;

/// The part of a link that decides about a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The index of the branch that holds. `None` for the link's own `url`.
    pub(super) branch: Option<usize>,
    /// The number of the variant that a person got as a part of the test.
    pub(super) variant: Option<u16>,
    /// The index of the target. `None` for a branch that leads nowhere.
    pub(super) target: Option<usize>,
    /// The value of [`Dimension::Choice`](crate::analytics::cell::Dimension::Choice).
    pub(super) number: u32,
    /// Whether a cookie must keep the variant.
    pub(super) needs_cookie: bool,
}

impl Choice {
    /// The link's own `url`.
    pub(super) const OWN: Choice =
        Choice { branch: None, variant: None, target: Some(0), number: 0, needs_cookie: false };

    fn of(at: usize, branch: &CompiledBranch, target: Option<usize>, variant: Option<u16>) -> Choice {
        let number = u32::from(branch.number) << 16 | u32::from(variant.unwrap_or(0));
        Choice { branch: Some(at), variant, target, number, needs_cookie: false }
    }
}

/// Returns the choice for a visit: the first branch that holds, or the link's own `url`.
pub(super) fn choose(conditional: &Conditional, facts: &BranchFacts<'_>) -> Choice {
    let branches = conditional.branches.list();
    let Some((at, branch)) = branches.iter().enumerate().find(|(_, branch)| facts.holds(branch)) else {
        return Choice::OWN;
    };
    match &branch.outcome {
        CompiledOutcome::NotFound => Choice::of(at, branch, None, None),
        CompiledOutcome::Target(target) => Choice::of(at, branch, Some(*target), None),
        CompiledOutcome::Split(split) => of_split(at, branch, split, (conditional, facts)),
    }
}

fn of_split(
    at: usize,
    branch: &CompiledBranch,
    split: &CompiledSplit,
    (conditional, facts): (&Conditional, &BranchFacts<'_>),
) -> Choice {
    // The test is over: a visit counts for the rule and for no variant, so that the shares stay those of the test.
    if let Some(winner) = split.winner {
        return Choice::of(at, branch, Some(split.variants[winner].target), None);
    }
    if !takes_part(facts.visit) {
        // Always the same destination, so that what a preview shows does not depend on its address.
        return Choice::of(at, branch, Some(split.variants[0].target), None);
    }
    let visitor = (conditional.link.id, facts.visit, facts.clicks);
    let Assigned { variant, needs_cookie } = split::assign(split, branch, visitor);
    Choice { needs_cookie, ..Choice::of(at, branch, Some(variant.target), Some(variant.number)) }
}

/// Returns whether a visit is one of a test: bots, previews and probes are not, whether they count or not.
pub(super) fn takes_part(visit: &VisitFacts) -> bool {
    visit.agent.kind == Agent::Person && visit.intent != Intent::Probe
}
