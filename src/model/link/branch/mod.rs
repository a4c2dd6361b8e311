//! The rules of a link: conditions on the visitor and the clock, each with another destination.
//!
//! The APIs and the documents call them rules. In the code, a [`Branch`] is one of them and [`Branches`] are those of a
//! link, since a `Rule` is a step of every click there (`visit/rule.rs`). Only [`Options::rules`] has the public name,
//! as every field.
//!
//! 1. The first enabled branch whose conditions hold decides. Without one, the link's own `url` is the destination.
//! 2. A branch and a variant have a number that a link gives once and never again. The details of clicks have these
//!    numbers, so that statistics survive another order, another name and another destination.
//!
//! [`Options::rules`]: super::Options::rules

mod branches;
mod condition;
mod draft;
mod edit;
mod given;
mod idle;
mod reach;

pub use self::branches::{Branch, BranchMemo, BranchOutcome, Branches, Split, Sticky, Variant, ranks};
pub use self::condition::{
    Condition, ConditionField, ConditionValue, KnownPlaces, Operator, WEEKDAYS, WeekTimes,
};
pub use self::draft::{BranchDraft, OutcomeDraft, SplitDraft, VariantDraft, WinnerRef};
pub use self::edit::{BranchEdit, BranchId, BranchPatch, FormedConditions};
pub use self::given::{ConditionDraft, Local};

/// Most rules of a link. Each visit may evaluate all of them.
pub const BRANCHES_MAX: usize = 20;
/// Most conditions of a rule, for the same reason.
pub const CONDITIONS_MAX: usize = 10;
/// Most values of a condition. A longer list belongs into a condition with `notIn`, or into several rules.
pub const VALUES_MAX: usize = 100;
/// Most variants of a split. With more, a test of usual size has no result.
pub const VARIANTS_MAX: usize = 10;
/// Most bytes of all rules of a link: they are in its record, which each change of the link writes.
pub const BRANCHES_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a rule or a variant, and longest value of a condition, in characters.
pub const BRANCH_TEXT_MAX: usize = 200;
/// Longest description of a rule, in characters, as of a link.
pub const BRANCH_DESCRIPTION_MAX: usize = 2_000;
/// Largest rank of a rule in APIs that have ranks: more than anyone counts, and exact in every JSON reader.
pub const PRIORITY_MAX: u32 = 1_000_000;
/// Largest weight of a variant. Weights are shares of their sum, and need not add up to 100.
pub const WEIGHT_MAX: u32 = 1_000_000;
