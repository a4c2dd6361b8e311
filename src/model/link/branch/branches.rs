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
    /// `None` for most rules.
    // Behind a pointer: only rules of some APIs have one.
    pub memo: Option<Box<BranchMemo>>,
}

/// What an API keeps of a rule for its own clients. No visit reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchMemo {
    /// A description for people.
    pub description: Option<Box<str>>,
    /// The rank that a client gave the rule, lower first. The order of the list decides: see [`ranks`].
    pub priority: Option<u32>,
    /// The name of the form in which a client sent the conditions.
    pub form: Option<Box<str>>,
    /// Whether the last variant of the split is the destination of the link, and follows its changes.
    pub rest_follows: bool,
    /// The time of creation.
    pub created_at: Option<Timestamp>,
}

/// Returns the ranks to show for rules in their order: the own rank of each, or that of the rule before if it is
/// higher.
// So a client that sorts by rank gets the order of evaluation, also after another API has moved rules.
pub fn ranks(own: impl Iterator<Item = Option<u32>>) -> Vec<u32> {
    let mut last = 0;
    let rank = |own: Option<u32>| {
        last = last.max(own.unwrap_or(1));
        last
    };
    own.map(rank).collect()
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

    /// Returns the ranks to show for the rules, in their order.
    pub fn ranks(&self) -> Vec<u32> {
        ranks(self.list.iter().map(|branch| branch.memo.as_ref().and_then(|memo| memo.priority)))
    }

    /// Returns whether a variant follows the destination of the link, which is `own`.
    pub fn follows(&self, own: &Destination) -> bool {
        self.list.iter().any(|branch| branch.follower(own).is_some())
    }

    /// Sets the new destination of the link in the variants that follow it.
    pub fn follow(&mut self, before: &Destination, after: &Destination) {
        for branch in &mut self.list {
            let at = branch.follower(before);
            if let (Some(at), BranchOutcome::Split(split)) = (at, &mut branch.outcome) {
                split.variants[at].url = after.clone();
            }
        }
    }

    /// Returns the bytes of the rules: those of their texts, and an allowance for the rest.
    pub fn bytes(&self) -> usize {
        self.list.iter().map(Branch::bytes).sum()
    }

    /// Returns the bytes that a response with the rules has at most: their texts with escapes, and the names of the fields.
    pub fn shown_bytes(&self) -> usize {
        let of = |branch: &Branch| {
            let variants = match &branch.outcome {
                BranchOutcome::Split(split) => split.variants.len(),
                BranchOutcome::Url(_) | BranchOutcome::NotFound => 0,
            };
            // With its empty fields and those of a memo; a condition with days and a zone; a variant with its numbers.
            320 + 160 * branch.conditions.len() + 64 * variants
        };
        2 * self.bytes() + self.list.iter().map(of).sum::<usize>()
    }
}

/// Bytes charged for what is no text of a rule, a condition, a value or a variant.
const PART_BYTES: usize = 24;

impl Branch {
    /// Returns the index of the variant that follows the destination of the link, which is `own`.
    fn follower(&self, own: &Destination) -> Option<usize> {
        let BranchOutcome::Split(split) = &self.outcome else { return None };
        let last = split.variants.len().checked_sub(1)?;
        let follows = self.memo.as_ref().is_some_and(|memo| memo.rest_follows);
        // Another API may have given the variant a destination of its own since.
        (follows && split.variants[last].url == *own).then_some(last)
    }

    /// Returns the share of the visitors that the rule takes, in whole percent, if the others get the destination of
    /// the link, which is `own`, and nothing else is chosen.
    pub fn share(&self, own: &Destination) -> Option<u32> {
        let BranchOutcome::Split(Split { variants, winner: None, .. }) = &self.outcome else { return None };
        let [first, rest] = &variants[..] else { return None };
        let is_share = self.conditions.is_empty() && self.follower(own).is_some();
        // At most a million each, so the product fits.
        let (percent, sum) = (first.weight * 100, first.weight + rest.weight);
        (is_share && percent.is_multiple_of(sum)).then_some(percent / sum)
    }

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
        let memo =
            self.memo.as_ref().map_or(0, |memo| PART_BYTES + name(&memo.description) + name(&memo.form));
        PART_BYTES
            + memo
            + name(&self.name)
            + variant_names
            + self.outcome.urls().map(|url| url.as_str().len() + PART_BYTES).sum::<usize>()
            + self.conditions.iter().map(condition).sum::<usize>()
    }
}
