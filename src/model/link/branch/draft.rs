//! [`BranchDraft`]: a rule as a client sends it, and the numbers that rules and variants get.
//!
//! 1. An object that comes back with its id keeps its number, whatever else has changed.
//! 2. Without an id it keeps the number of the same name, or of the same content.
//! 3. Any other object gets the number after the last one, so no number is used twice within a link.
//!
//! A link that never had rules accepts the ids of its first ones: an import keeps them.

use std::collections::HashSet;

use jiff::tz::TimeZone;

use crate::clock::GivenTime;
use crate::model::destination::Destination;
use crate::model::{Invalid, plain_text};

use super::branches::{Branch, BranchMemo, BranchOutcome, Branches, Split, Sticky, Variant};
use super::condition::check_text;
use super::given::{ConditionDraft, instant};
use super::{
    BRANCH_DESCRIPTION_MAX, BRANCHES_BYTES_MAX, BRANCHES_MAX, CONDITIONS_MAX, PRIORITY_MAX, VARIANTS_MAX,
    WEIGHT_MAX, reach,
};

/// A rule that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `Branch`.
pub struct BranchDraft {
    pub number: Option<u16>,
    pub name: Option<Box<str>>,
    pub enabled: bool,
    pub matches_any: bool,
    pub conditions: Vec<ConditionDraft>,
    pub outcome: OutcomeDraft,
    pub from: Option<GivenTime>,
    pub until: Option<GivenTime>,
    /// `None` keeps that of the rule with the same number.
    pub memo: Option<Box<BranchMemo>>,
}

/// The outcome of a [`BranchDraft`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeDraft {
    /// A destination as text, since its schemes depend on the configuration.
    Url(Box<str>),
    /// Several destinations.
    Split(SplitDraft),
    /// The response of an unknown code.
    NotFound,
}

/// A split that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `Split`.
pub struct SplitDraft {
    pub variants: Vec<VariantDraft>,
    pub sticky: Sticky,
    pub winner: Option<WinnerRef>,
}

/// A variant that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of `Variant`.
pub struct VariantDraft {
    pub number: Option<u16>,
    pub name: Option<Box<str>>,
    pub url: Box<str>,
    pub weight: u32,
}

/// The variant that a draft names as the winner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WinnerRef {
    Number(u16),
    Name(Box<str>),
}

impl BranchDraft {
    /// Returns the draft of a rule that exists.
    pub fn of(branch: &Branch) -> BranchDraft {
        let outcome = match &branch.outcome {
            BranchOutcome::Url(url) => OutcomeDraft::Url(url.as_str().into()),
            BranchOutcome::NotFound => OutcomeDraft::NotFound,
            BranchOutcome::Split(split) => OutcomeDraft::Split(SplitDraft {
                variants: split.variants.iter().map(VariantDraft::of).collect(),
                sticky: split.sticky,
                winner: split.winner.map(WinnerRef::Number),
            }),
        };
        BranchDraft {
            number: Some(branch.number),
            name: branch.name.clone(),
            enabled: branch.enabled,
            matches_any: branch.matches_any,
            conditions: branch.conditions.iter().cloned().map(ConditionDraft::from).collect(),
            outcome,
            from: branch.from.map(GivenTime::from),
            until: branch.until.map(GivenTime::from),
            memo: branch.memo.clone(),
        }
    }

    /// Returns the draft with dates alone as instants of the zone. Without this call, the days are those of UTC.
    #[must_use]
    pub fn within(mut self, zone: &TimeZone) -> BranchDraft {
        self.conditions = self.conditions.into_iter().map(|condition| condition.within(zone)).collect();
        self.from = self.from.map(|from| instant(from, zone).into());
        self.until = self.until.map(|until| instant(until, zone).into());
        self
    }

    /// Returns whether a rule that exists has the same name, conditions and destinations.
    fn is_same(&self, branch: &Branch) -> bool {
        let mut other = BranchDraft::of(branch);
        other.number = None;
        // No part of what the rule does.
        other.memo.clone_from(&self.memo);
        if let OutcomeDraft::Split(split) = &mut other.outcome {
            split.variants.iter_mut().for_each(|variant| variant.number = None);
            // A draft names a winner, and a rule has its number.
            if let (Some(number), OutcomeDraft::Split(own)) = (branch.winner(), &self.outcome)
                && own.winner.as_ref().is_some_and(|winner| branch.is_variant(number, winner))
            {
                split.winner.clone_from(&own.winner);
            }
        }
        *self == other
    }

    /// Fails if the rule breaks a bound.
    fn check(&self) -> Result<(), Invalid> {
        let reject = |at: &str, why: String| Err(Invalid::new("rules", why).below(at));
        if let Some(name) = &self.name {
            check_text(".name", name)?;
        }
        if let Some(memo) = &self.memo {
            memo.check()?;
        }
        if self.conditions.len() > CONDITIONS_MAX {
            return reject(".conditions", format!("must be at most {CONDITIONS_MAX} conditions"));
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            let check = condition.condition().check();
            check.map_err(|invalid| invalid.below(&format!(".conditions[{at}]")))?;
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from.in_utc() >= until.in_utc()
        {
            return reject(".from", "must be before until".to_owned());
        }
        match &self.outcome {
            OutcomeDraft::Split(split) => split.check(),
            OutcomeDraft::Url(_) | OutcomeDraft::NotFound => Ok(()),
        }
    }
}

impl BranchMemo {
    fn check(&self) -> Result<(), Invalid> {
        if let Some(description) = &self.description {
            plain_text("rules", description, BRANCH_DESCRIPTION_MAX)
                .map_err(|invalid| invalid.below(".description"))?;
        }
        if self.priority.is_some_and(|priority| priority > PRIORITY_MAX) {
            let why = format!("must be a whole number from 0 to {PRIORITY_MAX}");
            return Err(Invalid::new("rules", why).below(".priority"));
        }
        self.form.as_deref().map_or(Ok(()), |form| check_text(".form", form))
    }
}

impl SplitDraft {
    fn check(&self) -> Result<(), Invalid> {
        let reject = |at: &str, why: String| Err(Invalid::new("rules", why).below(at));
        if !(2..=VARIANTS_MAX).contains(&self.variants.len()) {
            // A split of one would count a test that compares nothing.
            let why = format!("must be 2 to {VARIANTS_MAX} variants; a rule with one destination has url");
            return reject(".variants", why);
        }
        let mut names = HashSet::new();
        for (at, variant) in self.variants.iter().enumerate() {
            if let Some(name) = &variant.name {
                check_text(&format!(".variants[{at}].name"), name)?;
                // A winner is given by its name.
                if !names.insert(name) {
                    return reject(
                        &format!(".variants[{at}].name"),
                        "is the name of two variants".to_owned(),
                    );
                }
            }
            // Zero is no weight: its visitors would move if it became 1 again.
            if !(1..=WEIGHT_MAX).contains(&variant.weight) {
                let why = format!(
                    "must be a whole number from 1 to {WEIGHT_MAX}; remove a variant that nobody gets"
                );
                return reject(&format!(".variants[{at}].weight"), why);
            }
        }
        Ok(())
    }
}

impl VariantDraft {
    fn of(variant: &Variant) -> VariantDraft {
        VariantDraft {
            number: Some(variant.number),
            name: variant.name.clone(),
            url: variant.url.as_str().into(),
            weight: variant.weight,
        }
    }
}

impl Branch {
    /// Returns the number of the variant that all visitors get.
    pub(super) fn winner(&self) -> Option<u16> {
        match &self.outcome {
            BranchOutcome::Split(split) => split.winner,
            BranchOutcome::Url(_) | BranchOutcome::NotFound => None,
        }
    }

    fn variants(&self) -> &[Variant] {
        match &self.outcome {
            BranchOutcome::Split(split) => &split.variants,
            BranchOutcome::Url(_) | BranchOutcome::NotFound => &[],
        }
    }

    fn is_variant(&self, number: u16, winner: &WinnerRef) -> bool {
        self.variants().iter().any(|variant| variant.number == number && winner.is(variant))
    }
}

impl WinnerRef {
    fn is(&self, variant: &Variant) -> bool {
        match self {
            WinnerRef::Number(number) => variant.number == *number,
            WinnerRef::Name(name) => variant.name.as_ref() == Some(name),
        }
    }
}

/// Gives numbers to rules, or to variants.
struct NumberGiver {
    /// The number that was given last.
    last: u16,
    /// The numbers of the objects before the change, and the ids of the drafts.
    in_use: HashSet<u16>,
    /// Whether ids may be those of another link: this one had none so far.
    accepts_any: bool,
    taken: HashSet<u16>,
    what: &'static str,
}

impl NumberGiver {
    /// Returns the number of a new object: the one behind the last, or behind the highest possible number one from 1 on.
    fn next(&self) -> u16 {
        // In a circle, and not the lowest free one: old clicks have the numbers of deleted objects, so that a number must
        // return as late as possible.
        let behind = (self.last..=u16::MAX).skip(1);
        let mut all = behind.chain(1..=u16::MAX);
        all.find(|number| !self.in_use.contains(number))
            .expect("a link has at most 20 rules and 200 variants")
    }

    /// Returns the number of an object with this id, which `known` has if the object exists.
    fn number(&mut self, id: Option<u16>, known: Option<u16>, at: &str) -> Result<u16, Invalid> {
        let number = match (id, known) {
            (_, Some(known)) => known,
            (Some(id), None) if self.accepts_any => id,
            (Some(_), None) => {
                let why = format!(
                    "is not the id of {} of this link: leave it out for a new one",
                    if self.what == "rule" { "a rule" } else { "a variant of this rule" }
                );
                return Err(Invalid::new("rules", why).below(&format!("{at}.id")));
            }
            (None, None) => {
                self.last = self.next();
                self.last
            }
        };
        if !self.taken.insert(number) {
            let why = format!("is the id of two {}s", self.what);
            return Err(Invalid::new("rules", why).below(&format!("{at}.id")));
        }
        Ok(number)
    }
}

impl Branches {
    /// Returns the rules that replace `before`. `parse` parses a destination. Fails if a rule breaks a bound, names an
    /// id that is not its own, can never hold or can never be reached.
    pub fn renewed(
        before: Option<&Branches>,
        drafts: Vec<BranchDraft>,
        parse: impl Fn(&str) -> Result<Destination, Invalid>,
    ) -> Result<Branches, Invalid> {
        if drafts.len() > BRANCHES_MAX {
            return Err(Invalid::new("rules", format!("must be at most {BRANCHES_MAX} rules")));
        }
        for (at, draft) in drafts.iter().enumerate() {
            draft.check().map_err(|invalid| invalid.below(&format!("[{at}]")))?;
        }
        let parse = |text: &str| {
            // A client that sends back what it was shown sends what today's schemes may refuse.
            let shown = before.and_then(|before| before.urls().find(|url| url.as_str() == text));
            shown.map_or_else(|| parse(text), |url| Ok(url.clone()))
        };
        let after = numbered(before, drafts, &parse)?;
        // After the bounds of each part, whose errors name a place.
        if after.bytes() > BRANCHES_BYTES_MAX {
            let why = format!("must be at most {BRANCHES_BYTES_MAX} bytes in all, and are {}", after.bytes());
            return Err(Invalid::new("rules", why));
        }
        reach::check(&after.list)?;
        Ok(after)
    }
}

fn numbered(
    before: Option<&Branches>,
    drafts: Vec<BranchDraft>,
    parse: &impl Fn(&str) -> Result<Destination, Invalid>,
) -> Result<Branches, Invalid> {
    let old = before.map_or(&[][..], |before| &before.list);
    let mut matches = Matches::new(old.len(), drafts.len());
    let id = |at: usize| drafts[at].number;
    matches.find(|draft, at| id(draft) == Some(old[at].number));
    matches.find(|draft, at| {
        id(draft).is_none() && drafts[draft].name.is_some() && drafts[draft].name == old[at].name
    });
    matches.find(|draft, at| id(draft).is_none() && drafts[draft].is_same(&old[at]));
    let last = |of: fn(&Branches) -> u16| before.map_or(0, of);
    let highest = drafts.iter().filter_map(|draft| draft.number).max().filter(|_| before.is_none());
    let mut rules = NumberGiver {
        // Past all ids of the drafts, so that an object without one gets none of them.
        last: last(|before| before.last_branch).max(highest.unwrap_or(0)),
        in_use: old.iter().map(|branch| branch.number).chain((0..drafts.len()).filter_map(id)).collect(),
        accepts_any: before.is_none(),
        taken: HashSet::new(),
        what: "rule",
    };
    let given = drafts.iter().flat_map(|draft| match &draft.outcome {
        OutcomeDraft::Split(split) => &split.variants[..],
        OutcomeDraft::Url(_) | OutcomeDraft::NotFound => &[],
    });
    let given: Vec<_> = given.filter_map(|variant| variant.number).collect();
    let highest = given.iter().copied().max().filter(|_| before.is_none());
    let variants_before = old.iter().flat_map(Branch::variants).map(|variant| variant.number);
    let mut variants = NumberGiver {
        last: last(|before| before.last_variant).max(highest.unwrap_or(0)),
        in_use: variants_before.chain(given).collect(),
        accepts_any: before.is_none(),
        taken: HashSet::new(),
        what: "variant",
    };
    let mut list = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.into_iter().enumerate() {
        let known: Option<&Branch> = matches.of(at).map(|at| &old[at]);
        let place = format!("[{at}]");
        let number = rules.number(draft.number, known.map(|branch| branch.number), &place)?;
        let below = |invalid: Invalid| invalid.below(&place);
        let outcome = match draft.outcome {
            OutcomeDraft::NotFound => BranchOutcome::NotFound,
            OutcomeDraft::Url(text) => {
                BranchOutcome::Url(parse(&text).map_err(|invalid| below(invalid.below(".url")))?)
            }
            OutcomeDraft::Split(split) => {
                let known = known.map_or(&[][..], Branch::variants);
                BranchOutcome::Split(numbered_split(known, split, &mut variants, parse).map_err(below)?)
            }
        };
        let BranchDraft { name, enabled, matches_any, conditions, from, until, memo, .. } = draft;
        let memo = memo.or_else(|| known.and_then(|branch| branch.memo.clone()));
        let memo = memo.filter(|memo| **memo != BranchMemo::default());
        let conditions = conditions.into_iter().map(ConditionDraft::into_condition).collect();
        let (from, until) = (from.map(GivenTime::in_utc), until.map(GivenTime::in_utc));
        list.push(Branch { number, name, enabled, matches_any, conditions, outcome, from, until, memo });
    }
    Ok(Branches { list, last_branch: rules.last, last_variant: variants.last })
}

fn numbered_split(
    old: &[Variant],
    split: SplitDraft,
    numbering: &mut NumberGiver,
    parse: &impl Fn(&str) -> Result<Destination, Invalid>,
) -> Result<Split, Invalid> {
    let drafts = &split.variants;
    let mut matches = Matches::new(old.len(), drafts.len());
    let id = |at: usize| drafts[at].number;
    matches.find(|draft, at| id(draft) == Some(old[at].number));
    matches.find(|draft, at| {
        id(draft).is_none() && drafts[draft].name.is_some() && drafts[draft].name == old[at].name
    });
    matches.find(|draft, at| id(draft).is_none() && *drafts[draft].url == *old[at].url.as_str());
    let mut variants = Vec::with_capacity(drafts.len());
    for (at, draft) in split.variants.into_iter().enumerate() {
        let place = format!(".variants[{at}]");
        let known = matches.of(at).map(|at| old[at].number);
        let number = numbering.number(draft.number, known, &place)?;
        let url = parse(&draft.url).map_err(|invalid| invalid.below(&format!("{place}.url")))?;
        variants.push(Variant { number, name: draft.name, url, weight: draft.weight });
    }
    let winner = split.winner.map(|winner| {
        let found = variants.iter().find(|variant| winner.is(variant)).map(|variant| variant.number);
        found.ok_or_else(|| Invalid::new("rules", "must be the name or the id of a variant").below(".winner"))
    });
    Ok(Split { winner: winner.transpose()?, variants, sticky: split.sticky })
}

/// Which existing object each draft is. Each object is one draft at most.
struct Matches {
    of_drafts: Vec<Option<usize>>,
    is_matched: Vec<bool>,
}

impl Matches {
    fn new(old: usize, drafts: usize) -> Matches {
        Matches { of_drafts: vec![None; drafts], is_matched: vec![false; old] }
    }

    /// Gives each draft without an object the first free one for which `is_it` returns true.
    fn find(&mut self, is_it: impl Fn(usize, usize) -> bool) {
        for (draft, found) in self.of_drafts.iter_mut().enumerate().filter(|(_, found)| found.is_none()) {
            *found = (0..self.is_matched.len()).find(|at| !self.is_matched[*at] && is_it(draft, *at));
            if let Some(at) = found {
                self.is_matched[*at] = true;
            }
        }
    }

    fn of(&self, draft: usize) -> Option<usize> {
        self.of_drafts[draft]
    }
}
