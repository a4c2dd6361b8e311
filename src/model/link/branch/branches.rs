//! [`Branches`]: the rules of a link as they are stored, with their numbers.

use crate::clock::Timestamp;
use crate::model::destination::Destination;

use super::condition::Condition;

/// The rules of a link, and the numbers that it gave. Without a rule, only the numbers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branches {
    /// In the order of evaluation.
    pub list: Vec<Branch>,
    /// The last number that a rule of the link got.
    // Kept although the list knows the numbers in use: the number of a deleted rule is in old clicks.
    pub last_branch: u16,
    /// The last number that a variant of the link got, in any of its rules.
    pub last_variant: u16,
}

/// One rule of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Branch {
    /// From 1, once in a link. The APIs call it `id`.
    pub number: u16,
    pub name: Option<Box<str>>,
    pub enabled: bool,
    /// Whether one condition is enough. Otherwise all of them must hold.
    pub matches_any: bool,
    /// None for a rule that always holds.
    pub conditions: Vec<Condition>,
    pub outcome: BranchOutcome,
    /// The rule is skipped before this time.
    pub from: Option<Timestamp>,
    /// The rule is skipped from this time on, unless it is a split with a winner.
    pub until: Option<Timestamp>,
}

/// What a visitor gets for whom a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchOutcome {
    /// A destination.
    Url(Destination),
    /// One of several destinations.
    Split(Split),
    /// The response of an unknown code.
    NotFound,
}

/// Several destinations, each for a share of the visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// At least two.
    pub variants: Vec<Variant>,
    /// What a visitor keeps a variant by.
    pub sticky: Sticky,
    /// The number of the variant that all visitors get.
    pub winner: Option<u16>,
}

/// One destination of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Variant {
    /// From 1, once in a link. The APIs call it `id`.
    pub number: u16,
    pub name: Option<Box<str>>,
    pub url: Destination,
    /// Its share of the sum of all weights.
    pub weight: u32,
}

/// What a visitor keeps a variant by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sticky {
    /// Address and User-Agent. Nothing is stored.
    #[default]
    Visitor,
    /// A cookie.
    Cookie,
    /// Nothing: the variants take turns.
    Click,
}

/// All kinds with their names in the APIs.
const STICKIES: [(Sticky, &str); 3] =
    [(Sticky::Visitor, "visitor"), (Sticky::Cookie, "cookie"), (Sticky::Click, "click")];

impl Sticky {
    /// Returns the kind of a name in the APIs.
    pub fn of_name(name: &str) -> Option<Sticky> {
        STICKIES.iter().find(|(_, known)| *known == name).map(|(sticky, _)| *sticky)
    }

    /// Returns the name in the APIs.
    pub fn name(self) -> &'static str {
        match self {
            Sticky::Visitor => "visitor",
            Sticky::Cookie => "cookie",
            Sticky::Click => "click",
        }
    }
}

impl BranchOutcome {
    /// Returns its destinations, in the order of the variants.
    pub fn urls(&self) -> impl Iterator<Item = &Destination> {
        let (only, variants) = match self {
            BranchOutcome::Url(url) => (Some(url), &[][..]),
            BranchOutcome::Split(split) => (None, &split.variants[..]),
            BranchOutcome::NotFound => (None, &[][..]),
        };
        only.into_iter().chain(variants.iter().map(|variant| &variant.url))
    }
}

impl Branches {
    /// Returns every destination of the rules, enabled or not, in their order. [`Branches::path_of_url`] has the same
    /// order.
    // Also of rules that are off or over: they may be switched on without a check of their destinations.
    pub fn urls(&self) -> impl Iterator<Item = &Destination> {
        self.list.iter().flat_map(|branch| branch.outcome.urls())
    }

    /// Returns the path of the field behind `rules` that has the destination at index `at` of [`Branches::urls`].
    pub fn path_of_url(&self, at: usize) -> String {
        let paths = self.list.iter().enumerate().flat_map(|(rule, branch)| {
            let path = move |variant| match branch.outcome {
                BranchOutcome::Split(_) => format!("[{rule}].variants[{variant}].url"),
                BranchOutcome::Url(_) | BranchOutcome::NotFound => format!("[{rule}].url"),
            };
            (0..branch.outcome.urls().count()).map(path)
        });
        // Without such an index the name of the field alone is right.
        { paths }.nth(at).unwrap_or_default()
    }

    /// Returns the bytes of the rules: those of their texts, and an allowance for the rest.
    pub fn bytes(&self) -> usize {
        self.list.iter().map(Branch::bytes).sum()
    }
}

/// Bytes charged for what is no text of a rule, a condition, a value or a variant.
const PART_BYTES: usize = 24;

impl Branch {
    fn bytes(&self) -> usize {
        let name = |name: &Option<Box<str>>| name.as_ref().map_or(0, |name| name.len());
        let variant_names = match &self.outcome {
            BranchOutcome::Split(split) => split.variants.iter().map(|variant| name(&variant.name)).sum(),
            BranchOutcome::Url(_) | BranchOutcome::NotFound => 0,
        };
        let condition = |condition: &Condition| {
            let values = condition.texts().iter().map(|text| text.len() + PART_BYTES / 6).sum::<usize>();
            PART_BYTES + condition.key.as_ref().map_or(0, |key| key.len()) + values
        };
        PART_BYTES
            + name(&self.name)
            + variant_names
            + self.outcome.urls().map(|url| url.as_str().len() + PART_BYTES).sum::<usize>()
            + self.conditions.iter().map(condition).sum::<usize>()
    }
}
