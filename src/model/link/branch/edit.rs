//! [`BranchEdit`]: a change of one rule of a link, for APIs where a rule is an object of its own.
//!
//! 1. An edit is applied to the rules as they are at the write. Two clients that change different rules of one link, or
//!    different fields of one rule, both keep their change.
//! 2. What an edit does not name stays: also what the API of the edit cannot show.

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::destination::Destination;

use super::branches::{BranchMemo, Branches, Sticky, ranks};
use super::draft::{BranchDraft, OutcomeDraft, SplitDraft, VariantDraft};
use super::given::ConditionDraft;
use super::reach::UNREACHABLE;
use super::{PRIORITY_MAX, WEIGHT_MAX};

/// A rule of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The types have the docs.
pub struct BranchId {
    pub link: crate::model::id::Id,
    pub number: u16,
}

/// A change of one rule.
#[derive(Clone, Debug)]
pub enum BranchEdit {
    /// Adds a rule that is created at this time.
    Add(Box<BranchPatch>, Timestamp),
    /// Changes the rule of this number.
    Change(u16, Box<BranchPatch>),
    /// Removes the rule of this number.
    Remove(u16),
}

/// The fields of a rule that an edit sets. `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields are those of `Branch` and `BranchMemo`.
pub struct BranchPatch {
    pub name: Option<Box<str>>,
    /// `Some(None)` removes the description.
    pub description: Option<Option<Box<str>>>,
    pub enabled: Option<bool>,
    /// Moves the rule behind those of the same rank and of lower ranks, unless it has this rank.
    pub priority: Option<u32>,
    /// The only destination of the rule, or the first variant of a split whose rest follows the link.
    pub url: Option<Box<str>>,
    pub conditions: Option<FormedConditions>,
    pub matches_any: Option<bool>,
    /// Without `conditions`, it must be the form that the rule has.
    pub form: Option<Box<str>>,
}

/// Conditions in one of the forms of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormedConditions {
    /// The name of the form.
    pub form: Option<Box<str>>,
    /// The conditions.
    pub list: Vec<ConditionDraft>,
    /// The share of the visitors that the rule takes, in percent from 1 to 99. The others get the destination of the
    /// link.
    pub share: Option<u32>,
}

impl BranchEdit {
    /// Returns the edit with dates alone as instants of the zone, like [`BranchDraft::within`].
    #[must_use]
    pub fn within(self, zone: &TimeZone) -> BranchEdit {
        match self {
            BranchEdit::Add(patch, now) => BranchEdit::Add(Box::new(patch.within(zone)), now),
            BranchEdit::Change(number, patch) => BranchEdit::Change(number, Box::new(patch.within(zone))),
            BranchEdit::Remove(number) => BranchEdit::Remove(number),
        }
    }

    /// Returns the rules after the edit. `own` is the destination of the link, and `parse` parses a destination. The
    /// place of an error is that of the edited rule. An unknown number is an error of the field `ruleId`.
    pub fn applied(
        &self,
        before: Option<&Branches>,
        own: &Destination,
        parse: impl Fn(&str) -> Result<Destination, Invalid>,
    ) -> Result<Branches, Invalid> {
        let list = before.map_or(&[][..], |before| &before.list);
        let mut drafts: Vec<_> = list.iter().map(BranchDraft::of).collect();
        let find = |number: u16| {
            let at = list.iter().position(|branch| branch.number == number);
            at.ok_or_else(|| Invalid::new("ruleId", "is no rule of this link"))
        };
        let at = match self {
            // Without a look at the errors' places: no rule is less reachable without another.
            BranchEdit::Remove(number) => {
                drafts.remove(find(*number)?);
                return Branches::renewed(before, drafts, parse);
            }
            BranchEdit::Add(patch, now) => {
                let last = ranks_of(&drafts).last().map_or(1, |last| (last + 1).min(PRIORITY_MAX));
                let priority = patch.priority.unwrap_or(last);
                let draft = new(patch, own, priority, *now)?;
                insert(&mut drafts, draft, priority)
            }
            BranchEdit::Change(number, patch) => {
                let at = find(*number)?;
                // Before the rule is taken out: the ranks behind it may be its own.
                let rank = ranks_of(&drafts)[at];
                let mut draft = drafts.remove(at);
                let is_share = list[at].share(own).is_some();
                let below = |invalid: Invalid| invalid.below(&format!("[{at}]"));
                patch.apply(&mut draft, own, is_share).map_err(below)?;
                if let Some(priority) = patch.priority.filter(|priority| *priority != rank) {
                    insert(&mut drafts, draft, priority)
                } else {
                    drafts.insert(at, draft);
                    at
                }
            }
        };
        Branches::renewed(before, drafts, parse).map_err(|invalid| at_rule(invalid, at))
    }
}

/// Returns the draft of a new rule.
fn new(
    patch: &BranchPatch,
    own: &Destination,
    priority: u32,
    now: Timestamp,
) -> Result<BranchDraft, Invalid> {
    let url = patch.url.clone().ok_or_else(|| Invalid::new("rules", "is required").below(".url"))?;
    let memo = BranchMemo { priority: Some(priority), created_at: Some(now), ..BranchMemo::default() };
    let mut draft = BranchDraft {
        number: None,
        name: None,
        enabled: true,
        matches_any: false,
        conditions: Vec::new(),
        outcome: OutcomeDraft::Url(url),
        from: None,
        until: None,
        memo: Some(Box::new(memo)),
    };
    patch.apply(&mut draft, own, false)?;
    Ok(draft)
}

fn ranks_of(drafts: &[BranchDraft]) -> Vec<u32> {
    ranks(drafts.iter().map(|draft| draft.memo.as_ref().and_then(|memo| memo.priority)))
}

/// Inserts a rule behind those of its rank and of lower ranks. Returns its index.
fn insert(drafts: &mut Vec<BranchDraft>, draft: BranchDraft, priority: u32) -> usize {
    // Ranks never fall along the list.
    let at = ranks_of(drafts).partition_point(|rank| *rank <= priority);
    drafts.insert(at, draft);
    at
}

/// Moves the error of another rule to the rule at index `at`: the client knows this one only.
fn at_rule(invalid: Invalid, at: usize) -> Invalid {
    let own = format!("[{at}]");
    if *invalid.at == *own && invalid.why.starts_with(UNREACHABLE) {
        // Such a client knows priorities, and no places in a list.
        let why = format!(
            "{UNREACHABLE}: a rule in front of it takes every visitor for whom it holds, and so does a percentage, whose \
             rest gets the destination of the link; give this rule a lower priority than that rule"
        );
        return Invalid::new("rules", why).below(&own);
    }
    if invalid.field != "rules" || invalid.at.is_empty() || invalid.at.starts_with(&own) {
        return invalid;
    }
    let why = format!(
        "would take every visitor of rules{}: give this rule a later place, or conditions that leave visitors to the other",
        invalid.at
    );
    Invalid::new("rules", why).below(&own)
}

impl BranchPatch {
    fn within(mut self, zone: &TimeZone) -> BranchPatch {
        if let Some(conditions) = &mut self.conditions {
            let list = std::mem::take(&mut conditions.list);
            conditions.list = list.into_iter().map(|condition| condition.within(zone)).collect();
        }
        self
    }

    /// Applies the patch to a rule. `is_share`: the rule takes a share of the visitors (`Branch::share`).
    fn apply(&self, draft: &mut BranchDraft, own: &Destination, is_share: bool) -> Result<(), Invalid> {
        let BranchPatch { name, description, enabled, priority, url, conditions, matches_any, form } = self;
        let mut memo = draft.memo.take().unwrap_or_default();
        if conditions.is_none() && form.is_some() && *form != memo.form {
            let why = "can change only together with `conditions`";
            return Err(Invalid::new("rules", why).below(".type"));
        }
        if let Some(name) = name {
            draft.name = Some(name.clone());
        }
        if let Some(description) = description {
            memo.description.clone_from(description);
        }
        // A flag has no empty value that would have to be told from an absent one.
        draft.enabled = enabled.unwrap_or(draft.enabled);
        draft.matches_any = matches_any.unwrap_or(draft.matches_any);
        memo.priority = priority.or(memo.priority);
        if let Some(url) = url {
            *only_url(&mut draft.outcome, is_share)? = url.clone();
        }
        if let Some(FormedConditions { form, list, share }) = conditions {
            draft.conditions.clone_from(list);
            // Of a share that another API has changed, the client has seen no form, and sends back none.
            if form.is_some() || is_share || !memo.rest_follows {
                memo.form.clone_from(form);
            }
            match share {
                Some(share) => {
                    split(draft, *share, own, is_share)?;
                    memo.rest_follows = true;
                }
                // Any other split stays: the client has seen the conditions, and not the variants.
                None if is_share => {
                    draft.outcome = OutcomeDraft::Url(only_url(&mut draft.outcome, is_share)?.clone());
                    memo.rest_follows = false;
                }
                None => {}
            }
        }
        // Also when nothing is left of it: without one, the rule would keep its earlier memo.
        draft.memo = Some(memo);
        Ok(())
    }
}

/// Returns the destination of a rule with one, or the first variant of a split whose rest follows the link.
fn only_url(outcome: &mut OutcomeDraft, is_share: bool) -> Result<&mut Box<str>, Invalid> {
    let why = match outcome {
        OutcomeDraft::Url(url) => return Ok(url),
        OutcomeDraft::Split(split) if is_share => return Ok(&mut split.variants[0].url),
        OutcomeDraft::Split(_) => "cannot be set: the rule has several destinations",
        OutcomeDraft::NotFound => "cannot be set: the rule answers 404",
    };
    let why = format!("{why}; change it with the field `rules` of the link in the native API");
    Err(Invalid::new("rules", why).below(".url"))
}

/// Gives the rule a share of the visitors, and the rest to the destination of the link.
fn split(draft: &mut BranchDraft, share: u32, own: &Destination, is_share: bool) -> Result<(), Invalid> {
    if !(1..100).contains(&share) {
        let why = "must be a whole number from 1 to 99";
        return Err(Invalid::new("rules", why).below(".conditions.percentage"));
    }
    let weights = [share, 100 - share];
    if let OutcomeDraft::Split(split) = &mut draft.outcome
        && is_share
    {
        // The variants keep their numbers, and so their statistics and their visitors.
        split.variants.iter_mut().zip(weights).for_each(|(variant, weight)| variant.weight = weight);
        return Ok(());
    }
    let url = only_url(&mut draft.outcome, is_share)?.clone();
    let urls = [url, own.as_str().into()];
    let variant = |(url, weight)| VariantDraft { number: None, name: None, url, weight };
    let variants = urls.into_iter().zip(weights).map(variant).collect();
    draft.outcome = OutcomeDraft::Split(SplitDraft { variants, sticky: Sticky::default(), winner: None });
    Ok(())
}

// The weights of a share are within the bounds of all weights.
const _: () = assert!(99 <= WEIGHT_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::branch::{
        BRANCHES_MAX, BranchOutcome, Condition, ConditionField, ConditionValue, Operator,
    };

    fn to(text: &str) -> Destination {
        Destination::parse_web("url", text).expect("a URL")
    }

    fn about(field: ConditionField, text: &str) -> FormedConditions {
        let value = ConditionValue::Texts(vec![text.into()]);
        let condition = Condition { field, key: None, operator: Operator::Equals, value };
        FormedConditions { form: None, list: vec![condition.into()], share: None }
    }

    fn patch(at: usize, priority: Option<u32>) -> BranchPatch {
        BranchPatch {
            name: Some(format!("rule {at}").into()),
            url: Some(format!("https://e.test/{at}").into()),
            conditions: Some(about(ConditionField::City, &at.to_string())),
            priority,
            ..BranchPatch::default()
        }
    }

    fn apply(before: Option<&Branches>, edit: &BranchEdit) -> Result<Branches, String> {
        let parse = |text: &str| Destination::parse_web("rules", text);
        edit.applied(before, &to("https://e.test/own"), parse).map_err(|error| error.to_string())
    }

    fn add(before: Option<&Branches>, patch: BranchPatch) -> Result<Branches, String> {
        apply(before, &BranchEdit::Add(Box::new(patch), Timestamp::from_millis(5)))
    }

    fn change(before: &Branches, number: u16, patch: BranchPatch) -> Result<Branches, String> {
        apply(Some(before), &BranchEdit::Change(number, Box::new(patch)))
    }

    fn order(branches: &Branches) -> Vec<(u16, u32)> {
        branches.list.iter().map(|branch| branch.number).zip(branches.ranks()).collect()
    }

    #[test]
    fn ranks_order_the_rules_and_numbers_are_never_given_again() {
        let mut rules = add(None, patch(0, None)).expect("valid");
        for (at, priority) in [(1, Some(10)), (2, Some(5)), (3, Some(10)), (4, Some(0)), (5, None)] {
            rules = add(Some(&rules), patch(at, priority)).expect("valid");
        }
        assert_eq!(order(&rules), [(5, 0), (1, 1), (3, 5), (2, 10), (4, 10), (6, 11)]);
        let rank = |priority| BranchPatch { priority: Some(priority), ..BranchPatch::default() };
        // The same rank: it stays before the other.
        let same = change(&rules, 2, rank(10)).expect("valid");
        assert_eq!(order(&same), order(&rules));
        let moved = change(&rules, 2, rank(11)).expect("valid");
        assert_eq!(order(&moved), [(5, 0), (1, 1), (3, 5), (4, 10), (6, 11), (2, 11)]);
        let left = apply(Some(&moved), &BranchEdit::Remove(6)).expect("valid");
        assert_eq!(order(&add(Some(&left), patch(6, Some(2))).expect("valid"))[2], (7, 2));
        for edit in [BranchEdit::Remove(6), BranchEdit::Change(6, Box::default())] {
            assert_eq!(apply(Some(&left), &edit), Err("ruleId: is no rule of this link".into()));
        }
        let last = add(Some(&left), patch(7, Some(PRIORITY_MAX))).expect("valid");
        assert_eq!(order(&add(Some(&last), patch(8, None)).expect("valid")).last(), Some(&(8, PRIORITY_MAX)));
        let over = add(None, patch(0, Some(PRIORITY_MAX + 1)));
        assert_eq!(over, Err("rules[0].priority: must be a whole number from 0 to 1000000".into()));
        let mut full = None;
        for at in 0..BRANCHES_MAX {
            full = Some(add(full.as_ref(), patch(at, None)).expect("valid"));
        }
        assert_eq!(add(full.as_ref(), patch(99, None)), Err("rules: must be at most 20 rules".into()));
    }

    #[test]
    fn a_patch_sets_only_what_it_names() {
        let first = BranchPatch {
            description: Some(Some("d".into())),
            enabled: Some(false),
            matches_any: Some(true),
            ..patch(0, Some(3))
        };
        let rules = add(None, first).expect("valid");
        assert_eq!(change(&rules, 1, BranchPatch::default()), Ok(rules.clone()));
        let bare = BranchPatch { description: Some(None), enabled: Some(true), ..BranchPatch::default() };
        let bare = change(&rules, 1, bare).expect("valid");
        let memo = bare.list[0].memo.as_ref().expect("a memo");
        assert_eq!((memo.description.as_deref(), memo.priority), (None, Some(3)));
        assert_eq!(memo.created_at, Some(Timestamp::from_millis(5)));
        assert!(bare.list[0].enabled && bare.list[0].matches_any && bare.list[0].conditions.len() == 1);
        let form = BranchPatch { form: Some("geo".into()), ..BranchPatch::default() };
        let error = change(&rules, 1, form);
        assert_eq!(error, Err("rules[0].type: can change only together with `conditions`".into()));
        let long =
            BranchPatch { description: Some(Some("d".repeat(2_001).into())), ..BranchPatch::default() };
        let error = change(&rules, 1, long);
        assert_eq!(error, Err("rules[0].description: must be at most 2000 characters".into()));
        let error = add(None, BranchPatch { url: None, ..patch(0, None) });
        assert_eq!(error, Err("rules.url: is required".into()));
    }

    #[test]
    fn a_share_gives_the_rest_to_the_link() {
        let share = |percent| FormedConditions { share: Some(percent), ..FormedConditions::default() };
        let patch = BranchPatch { conditions: Some(share(30)), ..patch(0, None) };
        let mut rules = add(None, patch).expect("valid");
        let variants = |rules: &Branches| -> Vec<String> {
            let BranchOutcome::Split(split) = &rules.list[0].outcome else { return Vec::new() };
            let shown = split.variants.iter();
            shown.map(|one| format!("{} {} {}", one.number, one.url.as_str(), one.weight)).collect()
        };
        assert_eq!(variants(&rules), ["1 https://e.test/0 30", "2 https://e.test/own 70"]);
        assert_eq!(rules.list[0].share(&to("https://e.test/own")), Some(30));
        assert!(rules.follows(&to("https://e.test/own")) && !rules.follows(&to("https://e.test/0")));
        rules.follow(&to("https://e.test/own"), &to("https://e.test/new"));
        assert_eq!(variants(&rules), ["1 https://e.test/0 30", "2 https://e.test/new 70"]);
        // No longer the link's: another API has changed one of them.
        assert_eq!(rules.list[0].share(&to("https://e.test/own")), None);
        rules.follow(&to("https://e.test/own"), &to("https://e.test/no"));
        assert_eq!(variants(&rules)[1], "2 https://e.test/new 70");
        let url = BranchPatch { url: Some("https://e.test/x".into()), ..BranchPatch::default() };
        let error = change(&rules, 1, url).err().unwrap_or_default();
        assert!(
            error.starts_with("rules[0].url: cannot be set: the rule has several destinations"),
            "{error}"
        );
        // Conditions that come back leave its variants.
        let back = BranchPatch { conditions: Some(FormedConditions::default()), ..BranchPatch::default() };
        assert_eq!(change(&rules, 1, back), Ok(rules.clone()));
        for percent in [0, 100] {
            let patch = BranchPatch { conditions: Some(share(percent)), ..BranchPatch::default() };
            let error = change(&rules, 1, patch).err().unwrap_or_default();
            assert_eq!(error, "rules[0].conditions.percentage: must be a whole number from 1 to 99");
        }
    }

    #[test]
    fn an_error_of_another_rule_has_the_place_of_the_edited_one() {
        let rules = add(None, patch(0, Some(5))).expect("valid");
        let all = BranchPatch { conditions: Some(FormedConditions::default()), ..patch(1, Some(1)) };
        let error = add(Some(&rules), all).err().unwrap_or_default();
        assert!(error.starts_with("rules[0]: would take every visitor of rules[1]"), "{error}");
    }
}
