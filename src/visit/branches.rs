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

/// A rule of a link in an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExplainedBranch {
    /// Its place in the list.
    pub(super) at: usize,
    /// Whether it decides about the visit.
    pub(super) decides: bool,
    pub(super) why: String,
}

/// Returns a sentence for each rule up to the one that decides.
pub(super) fn explained(evaluation: &Evaluation<'_>) -> Vec<ExplainedBranch> {
    let facts = evaluation.branch_facts();
    let conditional = evaluation.conditional;
    let branches = conditional.link.options.branches().iter().zip(conditional.branches.list()).enumerate();
    let mut all = Vec::new();
    for (at, (branch, compiled)) in branches {
        // Evaluated again, and not taken from the choice: a sentence must not hide a difference.
        let decides = facts.holds(compiled);
        let why = sentence(branch, compiled, (&facts, evaluation.choice), decides);
        all.push(ExplainedBranch { at, decides, why });
        if decides {
            break;
        }
    }
    all
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
    let fact = fact(condition, facts);
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

/// Returns the fact of the visit that a condition compares.
fn fact(condition: &Condition, facts: &BranchFacts<'_>) -> String {
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let class = |field: ClassField| field.name_of(facts.class(field)).unwrap_or("unknown").to_owned();
    let parameter = |name: &str| or_none(&facts.values(name).collect::<Vec<_>>().join(", "));
    match condition.field {
        ConditionField::Country | ConditionField::Continent => match facts.country() {
            Some(country) => String::from_utf8_lossy(&country).into_owned(),
            None => "unknown".to_owned(),
        },
        ConditionField::Region => {
            facts.place().map_or_else(|| "unknown".to_owned(), |place| or_none(&place.region))
        }
        ConditionField::City => {
            facts.place().map_or_else(|| "unknown".to_owned(), |place| or_none(&place.city))
        }
        ConditionField::Language => or_none(&facts.languages().join(", ")),
        ConditionField::Device => class(ClassField::Device),
        ConditionField::Os => class(ClassField::Os),
        ConditionField::Browser => class(ClassField::Browser),
        ConditionField::Referrer => match (facts.referrer(), condition.operator) {
            (Some(url), Operator::Contains | Operator::StartsWith) => url.to_owned(),
            (Some(url), _) => host_of(url).to_owned(),
            (None, _) => "none".to_owned(),
        },
        ConditionField::Query => parameter(condition.key.as_deref().unwrap_or_default()),
        ConditionField::UtmSource => parameter("utm_source"),
        ConditionField::UtmMedium => parameter("utm_medium"),
        ConditionField::UtmCampaign => parameter("utm_campaign"),
        ConditionField::UtmTerm => parameter("utm_term"),
        ConditionField::UtmContent => parameter("utm_content"),
        ConditionField::Path => or_none(&facts.path()),
        ConditionField::Trigger => if facts.is_of_qr_code() { "qr" } else { "link" }.to_owned(),
        ConditionField::Ip => facts.visit.address.to_string(),
        ConditionField::Date | ConditionField::Time => facts.now.to_string(),
        ConditionField::Visits => facts.clicks.to_string(),
        ConditionField::Host => facts.visit.host.to_string(),
        // No rule has this field: it is rejected when it is written.
        ConditionField::Visitor => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests;
