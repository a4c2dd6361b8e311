//! `rules`: the rules of a link. [`choice`](super::choice) has selected the one that holds; here a visit ends if it
//! leads nowhere, and explanations get a sentence for each.

use std::fmt::Write as _;

use super::choice::{Choice, takes_part};
use super::holds::{BranchFacts, host_of};
use super::rule::{Evaluation, Rule, Verdict};
use crate::agents::classes::ClassField;
use crate::cache::branching::{CompiledBranch, CompiledCondition};
use crate::model::link::branch::{
    Branch, BranchOutcome, Condition, ConditionField, ConditionValue, Operator, Split, Sticky, WEEKDAYS,
    WeekTimes,
};

/// The name of the rule in explanations, which name it only for a link with rules.
pub(super) const NAME: &str = "rules";

pub(super) const BRANCHES: Rule = Rule {
    name: NAME,
    verdict: |evaluation| evaluation.choice.target.is_none().then_some(Verdict::NotFound),
    why: |evaluation| match evaluation.choice.branch {
        Some(at) => format!("rules[{at}] decides"),
        None => "no rule holds, so url is the destination".to_owned(),
    },
};

/// Longest fact of a visit in an explanation, in characters. A link may compare the longest query 200 times.
const FACT_MAX: usize = 200;

/// A rule of a link in an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct ExplainedBranch {
    /// From 1, once in a link. The APIs call it `id`.
    pub number: u16,
    pub name: Option<Box<str>>,
    /// Whether the rule holds for the visit: `true` of the one that decides, `None` of those that are not reached.
    pub holds: Option<bool>,
    /// One for each condition.
    pub conditions: Vec<ExplainedCondition>,
    /// The sentence, empty for a rule that is not reached.
    pub(super) why: String,
}

/// A condition of a rule in an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other field speaks.
pub struct ExplainedCondition {
    pub field: ConditionField,
    /// `None` if the condition is not compared: its rule is not reached, switched off, or not in force at the time.
    pub holds: Option<bool>,
    /// What the visit has, as it was compared. `None` if the visit has no value or nothing was compared.
    pub actual: Option<String>,
}

/// Returns all rules of the link, with a sentence for each up to the one that decides.
pub(super) fn explained(evaluation: &Evaluation<'_>) -> Vec<ExplainedBranch> {
    let facts = evaluation.branch_facts();
    let conditional = evaluation.conditional;
    let branches = conditional.link.options.branches().iter().zip(conditional.branches.list());
    let mut all = Vec::new();
    let mut decided = false;
    for (branch, compiled) in branches {
        if decided {
            // It may hold as well, and has no effect.
            all.push(not_reached(branch));
            continue;
        }
        // Evaluated again, and not taken from the choice: a sentence must not hide a difference.
        decided = facts.holds(compiled);
        all.push(of_branch(branch, compiled, (&facts, evaluation.choice), decided));
    }
    all
}

/// Returns a rule that is not evaluated.
pub(super) fn not_reached(branch: &Branch) -> ExplainedBranch {
    let conditions = branch.conditions.iter();
    let of = |condition: &Condition| ExplainedCondition { field: condition.field, holds: None, actual: None };
    ExplainedBranch {
        number: branch.number,
        name: branch.name.clone(),
        holds: None,
        conditions: conditions.map(of).collect(),
        why: String::new(),
    }
}

fn of_branch(
    branch: &Branch,
    compiled: &CompiledBranch,
    (facts, choice): (&BranchFacts<'_>, Choice),
    decides: bool,
) -> ExplainedBranch {
    let why = sentence(branch, compiled, (facts, choice), decides);
    let mut explained = ExplainedBranch { holds: Some(decides), why, ..not_reached(branch) };
    // Of a rule that is off nothing is compared.
    if compiled.is_in_force(facts.now) {
        let conditions = branch.conditions.iter().zip(&compiled.conditions);
        for (explained, (condition, compiled)) in explained.conditions.iter_mut().zip(conditions) {
            explained.holds = Some(facts.passes(&compiled.check) != compiled.is_negated);
            explained.actual = fact(condition, facts).ok().map(shortened);
        }
    }
    explained
}

/// Returns a fact in at most [`FACT_MAX`] characters.
fn shortened(fact: String) -> String {
    // By characters: a cut within one would end the program.
    match fact.char_indices().nth(FACT_MAX) {
        Some((end, _)) => format!("{}...", &fact[..end]),
        None => fact,
    }
}

fn sentence(
    branch: &Branch,
    compiled: &CompiledBranch,
    (facts, choice): (&BranchFacts<'_>, Choice),
    decides: bool,
) -> String {
    let mut text = branch.name.as_ref().map(|name| format!("{name:?} ")).unwrap_or_default();
    // The first reason that applies: a rule that is off says nothing about its conditions.
    if !branch.enabled {
        return text + "is switched off";
    }
    if facts.now < compiled.span.0 {
        return text + &format!("begins at {}", compiled.span.0);
    }
    if facts.now >= compiled.span.1 {
        return text + &format!("ended at {}", compiled.span.1);
    }
    // Conditions follow, since they are the reason.
    text += if decides { "holds" } else { "does not hold" };
    let conditions = branch.conditions.iter().zip(&compiled.conditions);
    // All of them, also behind the first that fails: a person looks for the one that is wrong.
    let all: Vec<_> =
        conditions.map(|(condition, compiled)| explained_condition(condition, compiled, facts)).collect();
    match &all[..] {
        [] => text += " for every visitor",
        conditions => {
            let between = if branch.matches_any { " or " } else { " and " };
            let _ = write!(text, ": {}", conditions.join(between));
        }
    }
    if decides {
        text += &outcome(branch, choice, facts);
    }
    text
}

fn outcome(branch: &Branch, choice: Choice, facts: &BranchFacts<'_>) -> String {
    match &branch.outcome {
        BranchOutcome::NotFound => "; the visitor gets 404".to_owned(),
        BranchOutcome::Url(url) => format!("; the destination is {url}"),
        BranchOutcome::Split(split) => variant(split, choice, facts),
    }
}

fn variant(split: &Split, choice: Choice, facts: &BranchFacts<'_>) -> String {
    let shown = |number: u16| {
        let variant = split.variants.iter().find(|variant| variant.number == number);
        let name = variant.and_then(|variant| variant.name.as_ref()).map(|name| format!("{name:?}"));
        name.unwrap_or_else(|| number.to_string())
    };
    if let Some(winner) = split.winner {
        let winner = shown(winner);
        return format!(
            "; the test is over, and all visitors get its winner {winner}, which counts for the rule and for no variant"
        );
    }
    // A visit that is not counted must not decide which variant wins.
    let Some(number) = choice.variant.filter(|_| takes_part(facts.visit)) else {
        return "; bots, previews and HEAD get the first variant, and are not part of the test".to_owned();
    };
    let by = match (split.sticky, choice.needs_cookie) {
        (Sticky::Visitor, _) => "by address and User-Agent",
        (Sticky::Cookie, true) => "by address and User-Agent, and a cookie keeps it",
        (Sticky::Cookie, false) => "by the cookie",
        (Sticky::Click, _) => "as the next in turn",
    };
    let weight =
        |number: u16| split.variants.iter().find(|variant| variant.number == number).map_or(0, |v| v.weight);
    let sum: u64 = split.variants.iter().map(|variant| u64::from(variant.weight)).sum();
    format!("; the visitor gets variant {} ({} of {sum}) {by}", shown(number), weight(number))
}

/// Returns a condition, whether it holds, and the fact that it compared.
fn explained_condition(
    condition: &Condition,
    compiled: &CompiledCondition,
    facts: &BranchFacts<'_>,
) -> String {
    let holds = facts.passes(&compiled.check) != compiled.is_negated;
    let mut text = condition.field.name().to_owned();
    if let Some(key) = &condition.key {
        let _ = write!(text, " {key}");
    }
    let answer = if holds { "yes" } else { "no" };
    let fact = fact(condition, facts).map_or_else(str::to_owned, shortened);
    let operator = condition.operator.name();
    format!("{text} {operator} {}: {answer} ({fact})", value(condition))
}

fn value(condition: &Condition) -> String {
    let ends = |from: Option<String>, to: Option<String>| match (condition.operator, from, to) {
        (Operator::Before, _, Some(end)) | (Operator::After | Operator::Equals, Some(end), _) => end,
        (_, from, to) => format!("{} to {}", from.unwrap_or_default(), to.unwrap_or_default()),
    };
    match &condition.value {
        ConditionValue::Texts(texts) => texts.join(", "),
        ConditionValue::Exists(exists) => exists.to_string(),
        ConditionValue::Dates { from, to } => {
            ends(from.map(|at| at.to_string()), to.map(|at| at.to_string()))
        }
        ConditionValue::Counts { from, to } => ends(from.map(|n| n.to_string()), to.map(|n| n.to_string())),
        ConditionValue::WeekTimes(WeekTimes { days, from, to, zone }) => {
            let days = WEEKDAYS.iter().enumerate().filter(|(at, _)| days >> at & 1 == 1).map(|(_, day)| *day);
            let clock = |minutes: &u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            format!("{} {} to {} in {zone}", days.collect::<Vec<_>>().join(" "), clock(from), clock(to))
        }
    }
}

/// Returns the fact of the visit that a condition compares. The error is the word for a visit without it.
fn fact(condition: &Condition, facts: &BranchFacts<'_>) -> Result<String, &'static str> {
    const UNKNOWN: &str = "unknown";
    let or_none = |text: &str| if text.is_empty() { Err("none") } else { Ok(text.to_owned()) };
    let class = |field: ClassField| field.name_of(facts.class(field)).map(str::to_owned).ok_or(UNKNOWN);
    let parameter = |name: &str| or_none(&facts.values(name).collect::<Vec<_>>().join(", "));
    match condition.field {
        ConditionField::Country | ConditionField::Continent => {
            let country = facts.country().ok_or(UNKNOWN)?;
            Ok(String::from_utf8_lossy(&country).into_owned())
        }
        ConditionField::Region => or_none(&facts.place().ok_or(UNKNOWN)?.region),
        ConditionField::City => or_none(&facts.place().ok_or(UNKNOWN)?.city),
        ConditionField::Language => or_none(&facts.languages().join(", ")),
        ConditionField::Device => class(ClassField::Device),
        ConditionField::Os => class(ClassField::Os),
        ConditionField::Browser => class(ClassField::Browser),
        ConditionField::Referrer => match (facts.referrer(), condition.operator) {
            (Some(url), Operator::Contains | Operator::StartsWith) => Ok(url.to_owned()),
            (Some(url), _) => Ok(host_of(url).to_owned()),
            (None, _) => Err("none"),
        },
        ConditionField::Query => parameter(condition.key.as_deref().unwrap_or_default()),
        ConditionField::UtmSource => parameter("utm_source"),
        ConditionField::UtmMedium => parameter("utm_medium"),
        ConditionField::UtmCampaign => parameter("utm_campaign"),
        ConditionField::UtmTerm => parameter("utm_term"),
        ConditionField::UtmContent => parameter("utm_content"),
        ConditionField::Path => or_none(&facts.path()),
        ConditionField::Trigger => Ok(if facts.is_of_qr_code() { "qr" } else { "link" }.to_owned()),
        ConditionField::Ip => Ok(facts.visit.address.to_string()),
        ConditionField::Date | ConditionField::Time => Ok(facts.now.to_string()),
        ConditionField::Visits => Ok(facts.clicks.to_string()),
        ConditionField::Host => Ok(facts.visit.host.to_string()),
        // No rule has this field: it is rejected when it is written.
        ConditionField::Visitor => Err(UNKNOWN),
    }
}

#[cfg(test)]
mod tests;
