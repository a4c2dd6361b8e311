//! The rules of a link as responses and exports show them, in the form that [`rules`](super::rules) reads.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::json::AsText;
use crate::model::link::branch::{
    Branch, BranchMemo, BranchOutcome, Condition, ConditionValue, Operator, Variant, WEEKDAYS, WeekTimes,
};

/// A rule as responses and exports show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleJson<'a> {
    id: u16,
    name: Option<&'a str>,
    enabled: bool,
    r#match: &'static str,
    conditions: Vec<ConditionJson<'a>>,
    url: Option<&'a str>,
    variants: Option<Vec<VariantJson<'a>>>,
    status: Option<u16>,
    sticky: Option<&'static str>,
    winner: Option<WinnerJson<'a>>,
    from: Option<AsText<Timestamp>>,
    until: Option<AsText<Timestamp>>,
    /// Only of rules that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<MemoJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoJson<'a> {
    description: Option<&'a str>,
    priority: Option<u32>,
    form: Option<&'a str>,
    rest_follows: bool,
    created_at: Option<AsText<Timestamp>>,
}

/// A condition as responses and exports show it.
#[derive(Serialize)]
pub struct ConditionJson<'a> {
    field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    operator: &'static str,
    value: ValueJson<'a>,
}

#[derive(Serialize)]
struct VariantJson<'a> {
    id: u16,
    name: Option<&'a str>,
    url: &'a str,
    weight: u32,
}

/// The winner, by its name if it has one.
#[derive(Serialize)]
#[serde(untagged)]
enum WinnerJson<'a> {
    Name(&'a str),
    Id(u16),
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueJson<'a> {
    One(&'a str),
    Texts(&'a [Box<str>]),
    Exists(bool),
    Date(AsText<Timestamp>),
    Count(u64),
    Dates(SpanJson<AsText<Timestamp>>),
    Counts(SpanJson<u64>),
    Times { days: Vec<&'static str>, from: String, to: String, zone: &'a str },
}

#[derive(Serialize)]
struct SpanJson<T> {
    from: Option<T>,
    to: Option<T>,
}

impl<'a> RuleJson<'a> {
    /// Returns the JSON of a rule.
    pub fn of(branch: &'a Branch) -> RuleJson<'a> {
        let Branch { number, name, enabled, matches_any, conditions, outcome, from, until, memo } = branch;
        // Three members and no tag: a client reads the one that is there.
        let (mut url, mut split, mut status) = (None, None, None);
        match outcome {
            BranchOutcome::Url(to) => url = Some(to.as_str()),
            BranchOutcome::Split(variants) => split = Some(variants),
            BranchOutcome::NotFound => status = Some(404),
        }
        let winner = |number: u16| {
            let variant =
                split.and_then(|split| split.variants.iter().find(|variant| variant.number == number));
            let name = variant.and_then(|variant| variant.name.as_deref());
            name.map_or(WinnerJson::Id(number), WinnerJson::Name)
        };
        RuleJson {
            id: *number,
            name: name.as_deref(),
            enabled: *enabled,
            r#match: if *matches_any { "any" } else { "all" },
            conditions: conditions.iter().map(ConditionJson::of).collect(),
            url,
            variants: split.map(|split| split.variants.iter().map(VariantJson::of).collect()),
            status,
            sticky: split.map(|split| split.sticky.name()),
            winner: split.and_then(|split| split.winner).map(winner),
            from: from.map(AsText),
            until: until.map(AsText),
            memo: memo.as_deref().map(MemoJson::of),
        }
    }
}

impl<'a> MemoJson<'a> {
    fn of(memo: &'a BranchMemo) -> MemoJson<'a> {
        let BranchMemo { description, priority, form, rest_follows, created_at } = memo;
        MemoJson {
            description: description.as_deref(),
            priority: *priority,
            form: form.as_deref(),
            rest_follows: *rest_follows,
            created_at: created_at.map(AsText),
        }
    }
}

impl<'a> VariantJson<'a> {
    fn of(variant: &'a Variant) -> VariantJson<'a> {
        let Variant { number, name, url, weight } = variant;
        VariantJson { id: *number, name: name.as_deref(), url: url.as_str(), weight: *weight }
    }
}

impl<'a> ConditionJson<'a> {
    /// Returns the JSON of a condition.
    pub fn of(condition: &'a Condition) -> ConditionJson<'a> {
        let Condition { field, key, operator, value } = condition;
        let value = match value {
            ConditionValue::Texts(texts) => match (&texts[..], operator) {
                ([only], Operator::Equals | Operator::Contains | Operator::StartsWith) => {
                    ValueJson::One(only)
                }
                (texts, _) => ValueJson::Texts(texts),
            },
            ConditionValue::Exists(exists) => ValueJson::Exists(*exists),
            ConditionValue::Dates { from, to } => ends_json(*operator, from.map(AsText), to.map(AsText))
                .map_or_else(ValueJson::Dates, ValueJson::Date),
            ConditionValue::Counts { from, to } => {
                ends_json(*operator, *from, *to).map_or_else(ValueJson::Counts, ValueJson::Count)
            }
            ConditionValue::WeekTimes(WeekTimes { days, from, to, zone }) => ValueJson::Times {
                days: WEEKDAYS
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| days >> at & 1 == 1)
                    .map(|(_, day)| *day)
                    .collect(),
                from: show_minutes(*from),
                to: show_minutes(*to),
                zone,
            },
        };
        ConditionJson { field: field.name(), key: key.as_deref(), operator: operator.name(), value }
    }
}

/// Returns the only end that an operator shows, or both.
fn ends_json<T>(operator: Operator, from: Option<T>, to: Option<T>) -> Result<T, SpanJson<T>> {
    match (operator, from, to) {
        (Operator::Before, _, Some(end)) | (Operator::After | Operator::Equals, Some(end), _) => Ok(end),
        (_, from, to) => Err(SpanJson { from, to }),
    }
}

fn show_minutes(minutes: u16) -> String {
    let two = |number: u16| -> String { format!("{number:02}") };
    format!("{}:{}", two(minutes / 60), two(minutes % 60))
}
