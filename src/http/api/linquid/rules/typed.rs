//! Typed conditions: an object whose members depend on the `type` of the rule. A change may leave out the type, since no
//! two types have a member in common but `operator`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::errors::{mistyped, rule};
use super::fields::{DAYS, day};
use super::flat::day_names;
use crate::http::api::dialect::{BadRequest, RuleView, read_conditions};
use crate::json::{Field, FieldError, Json, Object, whole};
use crate::model::Invalid;
use crate::model::link::branch::{
    Condition, ConditionDraft, ConditionField, ConditionValue, FormedConditions, Operator, WeekTimes,
};

/// The types, each with its members.
const TYPES: [(&str, &[&str]); 7] = [
    ("geo", &["countries", "operator"]),
    ("device", &["devices", "os"]),
    ("time", &["timezone", "days", "startTime", "endTime"]),
    ("referrer", &["referrers", "operator"]),
    ("utm", &["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"]),
    ("percentage", &["percentage"]),
    ("language", &["languages", "operator"]),
];

/// The members of the type `utm`, with the names of the native API.
const UTM: [(&str, ConditionField); 5] = [
    ("utm_source", ConditionField::UtmSource),
    ("utm_medium", ConditionField::UtmMedium),
    ("utm_campaign", ConditionField::UtmCampaign),
    ("utm_term", ConditionField::UtmTerm),
    ("utm_content", ConditionField::UtmContent),
];

const VISITOR_STATE: &str =
    "visitor_state is not available: whether a visitor came before is known only after the click";

/// Rejects a type that does not exist.
pub(super) fn check_name(name: &str) -> Result<(), Invalid> {
    let why = match name {
        "visitor_state" => VISITOR_STATE.to_owned(),
        // After the type that the vendor has and this server cannot decide.
        _ if TYPES.iter().any(|(known, _)| *known == name) => return Ok(()),
        _ => format!("must be one of: {}", TYPES.map(|(name, _)| name).join(", ")),
    };
    Err(Invalid::new("rules", why).below(".type"))
}

/// Reads the conditions of a type, which is that of the members if the body names none.
pub(super) fn read(form: Option<&str>, members: &Object) -> Result<FormedConditions, BadRequest> {
    let has = |name: &str| matches!(members.get(name), Field::Value(_));
    if has("state") {
        return Err(rule(".conditions.state", VISITOR_STATE));
    }
    let is_meant = |(name, own): &&(&str, &[&str])| match form {
        Some(form) => *name == form,
        None => own.iter().any(|member| *member != "operator" && has(member)),
    };
    // Members of two types: the first type is meant, and the members of the other are refused below.
    let Some((form, own)) = TYPES.iter().find(is_meant) else {
        return Err(rule(".conditions", "must have a member of its type, such as countries or devices"));
    };
    if let Some((name, _)) = members.iter().find(|(name, _)| !own.contains(name)) {
        // The name comes from the client, and an error is shown to people.
        let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
        let why = format!("is no condition of the type {form}: it has {}", own.join(", "));
        return Err(rule(&format!(".conditions.{name}"), why));
    }
    let formed = |list| FormedConditions { form: Some((*form).into()), list, share: None };
    Ok(match *form {
        "geo" => formed(vec![listed(members, "country", "countries", &["in", "not_in"])?]),
        "language" => formed(vec![listed(members, "language", "languages", &["in", "not_in"])?]),
        "referrer" => formed(vec![listed(members, "referrer", "referrers", &["contains", "in", "not_in"])?]),
        "device" => {
            let given = [("device", "devices"), ("os", "os")].into_iter().filter(|(_, member)| has(member));
            let list = given.map(|(field, member)| one(members, field, "in", member));
            formed(required(list.collect::<Result<_, _>>()?, "devices or os")?)
        }
        "utm" => {
            // In the order of the table and not of the body, so that an answer is always the same.
            let given = UTM.into_iter().filter(|(member, _)| has(member));
            let list = given.map(|(member, field)| one(members, field.name(), "equals", member));
            formed(required(list.collect::<Result<_, _>>()?, "utm_source or another parameter")?)
        }
        "time" => formed(vec![time(members)?]),
        _ => FormedConditions { share: Some(percentage(members)?), ..formed(Vec::new()) },
    })
}

fn required(list: Vec<ConditionDraft>, what: &str) -> Result<Vec<ConditionDraft>, BadRequest> {
    // A rule without conditions takes every visitor.
    if list.is_empty() { Err(rule(".conditions", format!("must have {what}"))) } else { Ok(list) }
}

/// Reads a list and the operator beside it. The first of `operators` is the default.
fn listed(
    members: &Object,
    field: &str,
    member: &'static str,
    operators: &[&str],
) -> Result<ConditionDraft, BadRequest> {
    // The vendor's page has the operator beside its list, and leaves it out in some examples.
    let operator = match members.get("operator") {
        Field::Absent | Field::Null => operators[0],
        Field::Value(Json::Text(name)) if operators.contains(&name.as_str()) => name,
        Field::Value(_) => {
            return Err(rule(".conditions.operator", format!("must be one of: {}", operators.join(", "))));
        }
    };
    one(members, field, if operator == "not_in" { "notIn" } else { operator }, member)
}

/// Reads a member as the value of one condition.
fn one(
    members: &Object,
    field: &str,
    operator: &str,
    member: &'static str,
) -> Result<ConditionDraft, BadRequest> {
    let Field::Value(value) = members.get(member) else {
        return Err(mistyped(&format!(".conditions.{member}"), "is required"));
    };
    condition(field, operator, value.clone(), |rest| format!(".conditions.{member}{rest}"))
}

/// Reads a condition in the native form. `place` returns the place of an error by its place within the value.
fn condition(
    field: &str,
    operator: &str,
    value: Json,
    place: impl Fn(&str) -> String,
) -> Result<ConditionDraft, BadRequest> {
    let text = |text: &str| Json::Text(text.to_owned());
    let object = [("field", text(field)), ("operator", text(operator)), ("value", value)];
    let object = Json::Object(object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let moved = |Invalid { field, at, why }: Invalid| {
        let within = at.split_once(".value").map_or("", |(_, rest)| rest);
        Invalid { field, at: place(within).into(), why }
    };
    let read = read_conditions(&[object]).map_err(|error| match error {
        FieldError::Mistyped(invalid) => BadRequest::Mistyped(moved(invalid)),
        FieldError::Rule(invalid) => BadRequest::Rule(moved(invalid)),
    })?;
    // The reader has parsed the value. Its bounds are those of the model.
    let condition = read.into_iter().next().expect("one condition was read");
    condition.condition().check().map_err(moved)?;
    Ok(condition)
}

fn time(members: &Object) -> Result<ConditionDraft, BadRequest> {
    let names = [("from", "startTime"), ("to", "endTime"), ("zone", "timezone")];
    let given = names.into_iter().filter_map(|(name, own)| match members.get(own) {
        Field::Value(value) => Some((name.to_owned(), value.clone())),
        Field::Absent | Field::Null => None,
    });
    let mut value: Vec<_> = given.collect();
    let wrong =
        |at: &str| rule(&format!(".conditions.days{at}"), format!("must be one of: {}", DAYS.join(", ")));
    if let Field::Value(days) = members.get("days") {
        let Json::List(days) = days else { return Err(mistyped(".conditions.days", "must be an array")) };
        let day = |(at, item): (usize, &Json)| {
            match item {
                Json::Text(name) => day(name).map(|day| Json::Text(day.to_owned())),
                _ => None,
            }
            .ok_or_else(|| wrong(&format!("[{at}]")))
        };
        let days = days.iter().enumerate().map(day).collect::<Result<_, _>>()?;
        value.push(("days".to_owned(), Json::List(days)));
    }
    if value.is_empty() {
        return Err(rule(".conditions", "must have days, startTime or endTime"));
    }
    let place = |rest: &str| {
        let own = names.iter().find(|(name, _)| rest.strip_prefix('.') == Some(name));
        own.map_or_else(|| format!(".conditions{rest}"), |(_, own)| format!(".conditions.{own}"))
    };
    condition("time", "within", Json::Object(value.into_iter().collect()), place)
}

fn percentage(members: &Object) -> Result<u32, BadRequest> {
    let number = match members.get("percentage") {
        Field::Value(Json::Number(number)) => whole(number),
        _ => None,
    };
    let share = number.and_then(|share| u32::try_from(share).ok()).filter(|share| (1..100).contains(share));
    share.ok_or_else(|| rule(".conditions.percentage", "must be a whole number from 1 to 99"))
}

/// Typed conditions as responses show them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum TypedConditions<'a> {
    Geo {
        countries: &'a [Box<str>],
        operator: &'static str,
    },
    Device {
        #[serde(skip_serializing_if = "Option::is_none")]
        devices: Option<&'a [Box<str>]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        os: Option<Vec<String>>,
    },
    #[serde(rename_all = "camelCase")]
    Time {
        timezone: &'a str,
        days: Vec<&'static str>,
        start_time: String,
        end_time: String,
    },
    Referrer {
        referrers: &'a [Box<str>],
        operator: &'static str,
    },
    Utm(BTreeMap<&'static str, &'a str>),
    Percentage {
        percentage: u32,
    },
    Language {
        languages: &'a [Box<str>],
        operator: &'static str,
    },
}

/// Shows the conditions of a rule in this form. Returns `None` if they have changed since, so that the form cannot say
/// them.
pub(super) fn show<'a>(form: &str, rule: &'a RuleView) -> Option<TypedConditions<'a>> {
    let conditions = &rule.branch.conditions[..];
    // With one condition, all and any are the same.
    if rule.branch.matches_any && conditions.len() > 1 {
        return None;
    }
    match (form, conditions) {
        ("percentage", []) => Some(TypedConditions::Percentage { percentage: rule.share? }),
        ("geo", [only]) => {
            let (countries, operator) = list_of(only, ConditionField::Country)?;
            (operator != "contains").then_some(TypedConditions::Geo { countries, operator })
        }
        ("language", [only]) => {
            let (languages, operator) = list_of(only, ConditionField::Language)?;
            (operator != "contains").then_some(TypedConditions::Language { languages, operator })
        }
        ("referrer", [only]) => {
            let (referrers, operator) = list_of(only, ConditionField::Referrer)?;
            Some(TypedConditions::Referrer { referrers, operator })
        }
        ("device", [only]) => Some(match list_in(only, ConditionField::Device) {
            Some(devices) => TypedConditions::Device { devices: Some(devices), os: None },
            None => TypedConditions::Device { devices: None, os: Some(systems(only)?) },
        }),
        ("device", [first, second]) => {
            let devices = Some(list_in(first, ConditionField::Device)?);
            Some(TypedConditions::Device { devices, os: Some(systems(second)?) })
        }
        ("time", [Condition { value: ConditionValue::WeekTimes(times), .. }]) => Some(time_of(times)),
        ("utm", [_, ..]) => utm_of(conditions),
        _ => None,
    }
}

/// Returns the values of a condition on this field, and the vendor's operator.
fn list_of(condition: &Condition, field: ConditionField) -> Option<(&[Box<str>], &'static str)> {
    let operator = match condition.operator {
        Operator::In => "in",
        Operator::NotIn => "not_in",
        Operator::Contains => "contains",
        _ => return None,
    };
    (condition.field == field).then_some((condition.texts(), operator))
}

fn list_in(condition: &Condition, field: ConditionField) -> Option<&[Box<str>]> {
    list_of(condition, field).filter(|(_, operator)| *operator == "in").map(|(texts, _)| texts)
}

/// Returns the names of systems as the vendor's page spells them.
fn systems(condition: &Condition) -> Option<Vec<String>> {
    let names = list_in(condition, ConditionField::Os)?;
    Some(names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

fn time_of(times: &WeekTimes) -> TypedConditions<'_> {
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    TypedConditions::Time {
        timezone: &times.zone,
        days: day_names(times.days).collect(),
        start_time: clock(times.from),
        end_time: clock(times.to),
    }
}

fn utm_of(conditions: &[Condition]) -> Option<TypedConditions<'_>> {
    let mut members = BTreeMap::new();
    for condition in conditions {
        let (name, _) = UTM.iter().find(|(_, field)| *field == condition.field)?;
        let [only] = condition.texts() else { return None };
        if condition.operator != Operator::Equals || members.insert(*name, &**only).is_some() {
            return None;
        }
    }
    Some(TypedConditions::Utm(members))
}
