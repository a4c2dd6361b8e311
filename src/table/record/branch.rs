//! The rules of a link within its record.

use serde::{Deserialize, Serialize};

use super::Corrupt;
use crate::clock::Timestamp;
use crate::model::destination::Destination;
use crate::model::link::branch::{
    Branch, BranchMemo, BranchOutcome, Branches, Condition, ConditionField, ConditionValue, Operator, Split,
    Sticky, Variant, WeekTimes,
};

/// Version 1, in version 6 of a link's record.
#[derive(Serialize, Deserialize)]
pub(super) struct BranchesV1 {
    list: Vec<BranchV1>,
    last_branch: u16,
    last_variant: u16,
}

#[derive(Serialize, Deserialize)]
struct BranchV1 {
    number: u16,
    name: Option<Box<str>>,
    enabled: bool,
    matches_any: bool,
    conditions: Vec<ConditionV1>,
    outcome: BranchOutcomeV1,
    from: Option<i64>,
    until: Option<i64>,
}

#[derive(Serialize, Deserialize)]
enum BranchOutcomeV1 {
    // bincode writes the index of a variant: the order never changes, and later variants are last.
    Url(Box<str>),
    Split { variants: Vec<VariantV1>, sticky: u8, winner: Option<u16> },
    NotFound,
}

#[derive(Serialize, Deserialize)]
struct VariantV1 {
    number: u16,
    name: Option<Box<str>>,
    url: Box<str>,
    weight: u32,
}

#[derive(Serialize, Deserialize)]
struct ConditionV1 {
    field: u8,
    key: Option<Box<str>>,
    operator: u8,
    value: ValueV1,
}

#[derive(Serialize, Deserialize)]
enum ValueV1 {
    // As in `BranchOutcomeV1`: the order never changes.
    Texts(Vec<Box<str>>),
    Exists(bool),
    Dates(Option<i64>, Option<i64>),
    WeekTimes { days: u8, from: u16, to: u16, zone: Box<str> },
    Counts(Option<u64>, Option<u64>),
}

/// The memo of a rule, version 1, in version 8 of a link's record.
#[derive(Serialize, Deserialize)]
pub(super) struct MemoV1 {
    description: Option<Box<str>>,
    priority: Option<u32>,
    form: Option<Box<str>>,
    rest_follows: bool,
    created_at: Option<i64>,
}

impl From<&BranchMemo> for MemoV1 {
    fn from(memo: &BranchMemo) -> MemoV1 {
        let BranchMemo { description, priority, form, rest_follows, created_at } = memo;
        MemoV1 {
            description: description.clone(),
            priority: *priority,
            form: form.clone(),
            rest_follows: *rest_follows,
            created_at: millis(*created_at),
        }
    }
}

impl From<MemoV1> for BranchMemo {
    fn from(stored: MemoV1) -> BranchMemo {
        let MemoV1 { description, priority, form, rest_follows, created_at } = stored;
        let created_at = created_at.map(Timestamp::from_millis);
        BranchMemo { description, priority, form, rest_follows, created_at }
    }
}

/// Returns the stored number of a field. The numbers are written out, so that the order of the model's variants does
/// not matter.
fn field_number(field: ConditionField) -> u8 {
    match field {
        ConditionField::Country => 0,
        ConditionField::Continent => 1,
        ConditionField::Region => 2,
        ConditionField::City => 3,
        ConditionField::Language => 4,
        ConditionField::Device => 5,
        ConditionField::Os => 6,
        ConditionField::Browser => 7,
        ConditionField::Referrer => 8,
        ConditionField::Query => 9,
        ConditionField::Path => 10,
        ConditionField::UtmSource => 11,
        ConditionField::UtmMedium => 12,
        ConditionField::UtmCampaign => 13,
        ConditionField::UtmTerm => 14,
        ConditionField::UtmContent => 15,
        ConditionField::Trigger => 16,
        ConditionField::Ip => 17,
        ConditionField::Date => 18,
        ConditionField::Time => 19,
        ConditionField::Visits => 20,
        ConditionField::Visitor => 21,
        ConditionField::Host => 22,
    }
}

/// All operators, at the index of their stored number.
const OPERATORS: [Operator; 9] = [
    Operator::In,
    Operator::NotIn,
    Operator::Equals,
    Operator::Contains,
    Operator::StartsWith,
    Operator::Exists,
    Operator::Within,
    Operator::Before,
    Operator::After,
];

/// All kinds, at the index of their stored number.
const STICKIES: [Sticky; 3] = [Sticky::Visitor, Sticky::Cookie, Sticky::Click];

fn number_in<T: PartialEq>(list: &[T], value: &T) -> u8 {
    let at = list.iter().position(|known| known == value).expect("the list has every value");
    u8::try_from(at).expect("the list is short")
}

fn of_number<T: Copy>(list: &[T], number: u8, what: &str) -> Result<T, Corrupt> {
    list.get(usize::from(number)).copied().ok_or_else(|| Corrupt(format!("{what} {number} of a rule")))
}

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

impl From<&Branches> for BranchesV1 {
    fn from(branches: &Branches) -> BranchesV1 {
        let Branches { list, last_branch, last_variant } = branches;
        let list = list.iter().map(BranchV1::from).collect();
        BranchesV1 { list, last_branch: *last_branch, last_variant: *last_variant }
    }
}

impl From<&Branch> for BranchV1 {
    fn from(branch: &Branch) -> BranchV1 {
        let Branch { number, name, enabled, matches_any, conditions, outcome, from, until, memo: _ } = branch;
        let variant = |Variant { number, name, url, weight }: &Variant| VariantV1 {
            number: *number,
            name: name.clone(),
            url: url.as_str().into(),
            weight: *weight,
        };
        BranchV1 {
            number: *number,
            name: name.clone(),
            enabled: *enabled,
            matches_any: *matches_any,
            conditions: conditions.iter().map(ConditionV1::from).collect(),
            outcome: match outcome {
                BranchOutcome::Url(url) => BranchOutcomeV1::Url(url.as_str().into()),
                BranchOutcome::NotFound => BranchOutcomeV1::NotFound,
                BranchOutcome::Split(Split { variants, sticky, winner }) => BranchOutcomeV1::Split {
                    variants: variants.iter().map(variant).collect(),
                    sticky: number_in(&STICKIES, sticky),
                    winner: *winner,
                },
            },
            from: millis(*from),
            until: millis(*until),
        }
    }
}

impl From<&Condition> for ConditionV1 {
    fn from(condition: &Condition) -> ConditionV1 {
        let Condition { field, key, operator, value } = condition;
        ConditionV1 {
            field: field_number(*field),
            key: key.clone(),
            operator: number_in(&OPERATORS, operator),
            value: match value {
                ConditionValue::Texts(texts) => ValueV1::Texts(texts.clone()),
                ConditionValue::Exists(exists) => ValueV1::Exists(*exists),
                ConditionValue::Dates { from, to } => ValueV1::Dates(millis(*from), millis(*to)),
                ConditionValue::Counts { from, to } => ValueV1::Counts(*from, *to),
                ConditionValue::WeekTimes(WeekTimes { days, from, to, zone }) => {
                    ValueV1::WeekTimes { days: *days, from: *from, to: *to, zone: zone.clone() }
                }
            },
        }
    }
}

impl TryFrom<BranchesV1> for Branches {
    type Error = Corrupt;

    fn try_from(stored: BranchesV1) -> Result<Branches, Corrupt> {
        let BranchesV1 { list, last_branch, last_variant } = stored;
        let list = list.into_iter().map(Branch::try_from).collect::<Result<_, _>>()?;
        Ok(Branches { list, last_branch, last_variant })
    }
}

impl TryFrom<BranchV1> for Branch {
    type Error = Corrupt;

    fn try_from(stored: BranchV1) -> Result<Branch, Corrupt> {
        let BranchV1 { number, name, enabled, matches_any, conditions, outcome, from, until } = stored;
        let variant = |VariantV1 { number, name, url, weight }: VariantV1| Variant {
            number,
            name,
            url: Destination::from_stored(url),
            weight,
        };
        let outcome = match outcome {
            BranchOutcomeV1::Url(url) => BranchOutcome::Url(Destination::from_stored(url)),
            BranchOutcomeV1::NotFound => BranchOutcome::NotFound,
            // A visit chooses one of them.
            BranchOutcomeV1::Split { variants, .. } if variants.is_empty() => {
                return Err(Corrupt("a split without variants".to_owned()));
            }
            BranchOutcomeV1::Split { variants, sticky, winner } => BranchOutcome::Split(Split {
                variants: variants.into_iter().map(variant).collect(),
                sticky: of_number(&STICKIES, sticky, "stickiness")?,
                winner,
            }),
        };
        Ok(Branch {
            number,
            name,
            enabled,
            matches_any,
            conditions: conditions.into_iter().map(Condition::try_from).collect::<Result<_, _>>()?,
            outcome,
            from: from.map(Timestamp::from_millis),
            until: until.map(Timestamp::from_millis),
            memo: None,
        })
    }
}

impl TryFrom<ConditionV1> for Condition {
    type Error = Corrupt;

    fn try_from(stored: ConditionV1) -> Result<Condition, Corrupt> {
        let ConditionV1 { field, key, operator, value } = stored;
        let at = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let found = ConditionField::all().find(|known| field_number(*known) == field);
        Ok(Condition {
            field: found.ok_or_else(|| Corrupt(format!("field {field} of a condition")))?,
            key,
            operator: of_number(&OPERATORS, operator, "operator")?,
            value: match value {
                ValueV1::Texts(texts) => ConditionValue::Texts(texts),
                ValueV1::Exists(exists) => ConditionValue::Exists(exists),
                ValueV1::Dates(from, to) => ConditionValue::Dates { from: at(from), to: at(to) },
                ValueV1::Counts(from, to) => ConditionValue::Counts { from, to },
                ValueV1::WeekTimes { days, from, to, zone } => {
                    ConditionValue::WeekTimes(WeekTimes { days, from, to, zone })
                }
            },
        })
    }
}
