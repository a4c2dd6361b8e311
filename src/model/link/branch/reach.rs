//! Mistakes that a person makes in rules: conditions that can never hold, and rules that can never be reached. Only what
//! is certain is an error.

use crate::model::Invalid;

use super::branches::Branch;
use super::condition::{Condition, ConditionField, ConditionValue, Operator};

/// The beginning of the error of a rule behind another one.
pub(super) const UNREACHABLE: &str = "can never be reached";

/// Fails with the first rule that can never decide about a visitor. Rules that are switched off are drafts, and may be
/// anything.
pub(super) fn check(list: &[Branch]) -> Result<(), Invalid> {
    let enabled = || list.iter().enumerate().filter(|(_, branch)| branch.enabled);
    for (at, branch) in enabled() {
        let below = |invalid: Invalid| invalid.below(&format!("[{at}]"));
        if !branch.matches_any {
            check_together(&branch.conditions).map_err(below)?;
        }
        for (before, earlier) in enabled().take_while(|(before, _)| *before < at) {
            if covers(earlier, branch) {
                let why = if earlier.conditions.is_empty() {
                    format!("{UNREACHABLE}: rules[{before}] has no conditions and takes every visitor")
                } else {
                    format!("{UNREACHABLE}: rules[{before}] takes every visitor for whom it holds")
                };
                return Err(below(Invalid::new("rules", why)));
            }
        }
    }
    Ok(())
}

/// Fails if two of the conditions exclude each other.
fn check_together(conditions: &[Condition]) -> Result<(), Invalid> {
    for (at, condition) in conditions.iter().enumerate() {
        let excluding = conditions[..at].iter().position(|earlier| exclude(earlier, condition));
        if let Some(earlier) = excluding {
            let why = format!("can never hold together with conditions[{earlier}]");
            return Err(Invalid::new("rules", why).below(&format!(".conditions[{at}]")));
        }
    }
    Ok(())
}

fn exclude(one: &Condition, other: &Condition) -> bool {
    if (one.field, &one.key) != (other.field, &other.key) {
        return false;
    }
    match (&one.value, &other.value) {
        (ConditionValue::Texts(_), ConditionValue::Texts(_)) => texts_exclude(one, other),
        (ConditionValue::Exists(one), ConditionValue::Exists(other)) => one != other,
        // Every operator but `notIn` needs a value.
        (ConditionValue::Exists(false), ConditionValue::Texts(_)) => other.operator != Operator::NotIn,
        (ConditionValue::Texts(_), ConditionValue::Exists(false)) => one.operator != Operator::NotIn,
        (ConditionValue::Dates { from, to }, ConditionValue::Dates { from: since, to: end }) => {
            spans_exclude((*from, *to), (*since, *end))
        }
        (ConditionValue::Counts { from, to }, ConditionValue::Counts { from: since, to: end }) => {
            spans_exclude((*from, *to), (*since, *end))
        }
        _ => false,
    }
}

fn spans_exclude<T: Ord>((from, to): (Option<T>, Option<T>), (since, end): (Option<T>, Option<T>)) -> bool {
    let ends = |from: Option<T>, to: Option<T>| from.zip(to).is_some_and(|(from, to)| from >= to);
    ends(from, end) || ends(since, to)
}

fn texts_exclude(one: &Condition, other: &Condition) -> bool {
    let is_list = |condition: &Condition| matches!(condition.operator, Operator::In | Operator::Equals);
    // A visit compares paths as they are, and all other fields without case.
    let is_exact = one.field == ConditionField::Path;
    let has = |condition: &Condition, text: &str| {
        let is_same = |other: &str| other == text || !is_exact && other.to_lowercase() == text.to_lowercase();
        condition.texts().iter().any(|other| is_same(other))
    };
    // A value that both lists name excludes nothing, and a query may have several values.
    let are_apart = |list: &Condition, other: &Condition| !list.texts().iter().any(|text| has(other, text));
    let are_within = |list: &Condition, other: &Condition| list.texts().iter().all(|text| has(other, text));
    if !one.field.has_one_value() {
        return false;
    }
    match (is_list(one), is_list(other)) {
        (true, true) => are_apart(one, other),
        (true, false) => other.operator == Operator::NotIn && are_within(one, other),
        (false, true) => one.operator == Operator::NotIn && are_within(other, one),
        (false, false) => false,
    }
}

/// Returns whether `earlier` takes each visitor for whom `later` holds.
fn covers(earlier: &Branch, later: &Branch) -> bool {
    // A winner stays after the end of its test.
    let end = |branch: &Branch| branch.until.filter(|_| branch.winner().is_none());
    let begins_before = earlier.from.is_none() || later.from.is_some_and(|from| Some(from) >= earlier.from);
    let ends_behind = end(earlier).is_none() || end(later).is_some_and(|until| Some(until) <= end(earlier));
    if !begins_before || !ends_behind {
        return false;
    }
    if earlier.conditions.is_empty() {
        return true;
    }
    // What holds for a visitor of `later`: one condition of them, or all.
    let cases: Vec<&[Condition]> = if later.matches_any {
        later.conditions.iter().map(std::slice::from_ref).collect()
    } else {
        vec![&later.conditions]
    };
    let holds = |wanted: &Condition, case: &[Condition]| case.iter().any(|given| implies(given, wanted));
    !later.conditions.is_empty()
        && cases.iter().all(|case| {
            let mut wanted = earlier.conditions.iter();
            if earlier.matches_any {
                wanted.any(|one| holds(one, case))
            } else {
                wanted.all(|one| holds(one, case))
            }
        })
}

/// Returns whether `wanted` holds for each visitor for whom `given` holds.
fn implies(given: &Condition, wanted: &Condition) -> bool {
    if (given.field, &given.key) != (wanted.field, &wanted.key) {
        return false;
    }
    let is_list = |condition: &Condition| matches!(condition.operator, Operator::In | Operator::Equals);
    let is_within =
        |one: &Condition, other: &Condition| one.texts().iter().all(|text| other.texts().contains(text));
    match (&given.value, &wanted.value) {
        (ConditionValue::Texts(_), ConditionValue::Texts(_)) if is_list(given) && is_list(wanted) => {
            is_within(given, wanted)
        }
        (ConditionValue::Texts(_), ConditionValue::Texts(_)) if given.operator == wanted.operator => {
            match given.operator {
                Operator::NotIn => is_within(wanted, given),
                _ => is_within(given, wanted),
            }
        }
        (ConditionValue::Dates { from, to }, ConditionValue::Dates { from: since, to: end }) => {
            is_span_within((*from, *to), (*since, *end))
        }
        (ConditionValue::Counts { from, to }, ConditionValue::Counts { from: since, to: end }) => {
            is_span_within((*from, *to), (*since, *end))
        }
        (one, other) => given.operator == wanted.operator && one == other,
    }
}

fn is_span_within<T: Ord>((from, to): (Option<T>, Option<T>), (since, end): (Option<T>, Option<T>)) -> bool {
    let begins = since.is_none_or(|since| from.is_some_and(|from| from >= since));
    begins && end.is_none_or(|end| to.is_some_and(|to| to <= end))
}
