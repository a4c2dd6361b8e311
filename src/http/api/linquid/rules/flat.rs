//! Flat conditions: an array of `{"field", "operator", "value"}`. Fields and operators of the vendor's page come first;
//! those of the native API are accepted and shown for everything that the vendor has no word for, so that a rule of the
//! native API can be sent back.

use serde::Serialize;

use super::errors::{mistyped, rule};
use super::fields::{DAYS, OPERATORS, RENAMED, day, unavailable};
use crate::http::api::dialect::{BadRequest, ConditionJson, read_conditions};
use crate::json::{Field, Json, Object, whole};
use crate::model::link::branch::{
    Condition, ConditionField, ConditionValue, FormedConditions, Operator, WeekTimes,
};

/// Minutes of an hour and of a day.
const HOUR: u16 = 60;
const DAY: u16 = 24 * HOUR;

/// The zone of `hour` and `dayOfWeek`, for which the vendor documents none.
const ZONE: &str = "UTC";

/// Reads conditions.
pub(super) fn read(items: &[Json]) -> Result<FormedConditions, BadRequest> {
    let native = items.iter().enumerate().map(|(at, item)| native(item, &format!(".conditions[{at}]")));
    let list = read_conditions(&native.collect::<Result<Vec<_>, _>>()?)?;
    // The reader checks fields and operators alone: the bounds are those of the model.
    for (at, condition) in list.iter().enumerate() {
        condition.condition().check().map_err(|invalid| invalid.below(&format!(".conditions[{at}]")))?;
    }
    Ok(FormedConditions { form: None, list, share: None })
}

/// Returns a condition in the native form. `at` is its place.
fn native(item: &Json, at: &str) -> Result<Json, BadRequest> {
    let Json::Object(members) = item else {
        return Err(mistyped(at, "must be an object with field, operator and value"));
    };
    let field = text(members, "field", at)?;
    // Before the operator: its error would send the client after the wrong mistake.
    if let Some(why) = unavailable(field) {
        return Err(rule(&format!("{at}.field"), format!("{field} {why}")));
    }
    let operator = text(members, "operator", at)?;
    check_operator(field, operator).map_err(|why| rule(&format!("{at}.operator"), why))?;
    match field {
        // The native API has one field for both.
        "hour" => return hour(operator, members.get("value"), at),
        "dayOfWeek" => return days(operator, members.get("value"), at),
        _ => {}
    }
    let renamed = |names: &[(&str, &str)], name: &str| {
        let found = names.iter().find(|(own, _)| *own == name);
        found.map_or(name, |(_, native)| native).to_owned()
    };
    if operator == "not_equals" && !matches!(members.get("value"), Field::Value(Json::Text(_))) {
        return Err(mistyped(&format!("{at}.value"), "must be a string; use not_in for several values"));
    }
    let changed = [("field", renamed(&RENAMED, field)), ("operator", renamed(&OPERATORS, operator))];
    // Unknown members stay, so that the reader of the native form names them.
    let others = members.iter().filter(|(name, _)| !["field", "operator"].contains(name));
    let others = others.map(|(name, value)| (name.to_owned(), value.clone()));
    let changed = changed.into_iter().map(|(name, text)| (name.to_owned(), Json::Text(text)));
    Ok(Json::Object(changed.chain(others).collect()))
}

fn text<'m>(members: &'m Object, name: &str, at: &str) -> Result<&'m str, BadRequest> {
    match members.get(name) {
        Field::Value(Json::Text(text)) => Ok(text),
        Field::Value(_) => Err(mistyped(&format!("{at}.{name}"), "must be a string")),
        Field::Absent | Field::Null => Err(mistyped(&format!("{at}.{name}"), "is required")),
    }
}

/// Fails with the reason if a field has not this operator of the vendor. The reader checks all others.
fn check_operator(field: &str, operator: &str) -> Result<(), String> {
    // No other field has an order.
    let is_numeric = field == "hour";
    let why = match (operator, field) {
        ("not_contains", _) => {
            "is not available: put a rule with `contains` before this one, with another destination"
        }
        ("greater_than" | "less_than", _) if !is_numeric => "works only with hour",
        ("is_true" | "is_false", _) => "works only with fields that are not available",
        ("equals" | "not_equals" | "in" | "not_in" | "notIn", "referrer") => {
            "compares hosts: use it with referrerDomain, and contains with referrer"
        }
        ("contains" | "startsWith", "referrerDomain") => {
            "finds a part of the address: use it with referrer, and equals or in with referrerDomain"
        }
        _ => return Ok(()),
    };
    Err(format!("{operator} {why}"))
}

/// Returns the native condition of an hour of the day.
fn hour(operator: &str, value: Field<&Json>, at: &str) -> Result<Json, BadRequest> {
    let given = match value {
        Field::Value(Json::Number(number)) => whole(number),
        Field::Value(Json::Text(text)) => text.parse().ok(),
        _ => None,
    };
    let place = format!("{at}.value");
    // 24 is no hour of a day: the vendor's page ends at 23.
    let hour = given.and_then(|hour| u16::try_from(hour).ok()).filter(|hour| *hour < 24);
    let hour = hour.ok_or_else(|| rule(&place, "must be an hour, a whole number from 0 to 23"))?;
    let (from, to) = match operator {
        "equals" => (hour, hour + 1),
        "greater_than" => (hour + 1, 24),
        "less_than" => (0, hour),
        _ => {
            let why = "of hour must be one of: equals, greater_than, less_than";
            return Err(rule(&format!("{at}.operator"), why));
        }
    };
    // The model would answer in its own words, about times that the client has not sent.
    if from == to {
        return Err(rule(&place, "can never hold: the hours of a day are 0 to 23"));
    }
    Ok(time(DAYS.iter().map(|name| &name[..3]), from, to))
}

/// Returns the native condition of some days of the week.
fn days(operator: &str, value: Field<&Json>, at: &str) -> Result<Json, BadRequest> {
    let place = format!("{at}.value");
    let one = match value {
        Field::Value(one @ Json::Text(_)) => Some(std::slice::from_ref(one)),
        Field::Value(Json::List(items)) if ["in", "not_in"].contains(&operator) => Some(&items[..]),
        _ => None,
    };
    let names = || rule(&place, format!("must be one or more of: {}", DAYS.join(", ")));
    let day_of = |item: &Json| match item {
        Json::Text(text) => day(text),
        _ => None,
    };
    let items = one.filter(|items| !items.is_empty()).ok_or_else(names)?;
    let named: Vec<_> = items.iter().map(day_of).collect::<Option<_>>().ok_or_else(names)?;
    let is_not = match operator {
        "equals" | "in" => false,
        "not_equals" | "not_in" => true,
        _ => {
            let why = "of dayOfWeek must be one of: equals, not_equals, in, not_in";
            return Err(rule(&format!("{at}.operator"), why));
        }
    };
    let all = DAYS.iter().map(|name| &name[..3]);
    let chosen: Vec<_> = all.filter(|day| named.contains(day) != is_not).collect();
    if chosen.is_empty() {
        return Err(rule(&place, "can never hold: names all days"));
    }
    Ok(time(chosen.into_iter(), 0, 24))
}

/// Returns a native condition about these days and hours.
fn time<'d>(days: impl Iterator<Item = &'d str>, from: u16, to: u16) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let days = Json::List(days.map(text).collect());
    let hour = |hour: u16| text(&format!("{hour:02}:00"));
    let value = [("days", days), ("from", hour(from)), ("to", hour(to)), ("zone", text(ZONE))];
    let object = |members: Vec<(&str, Json)>| {
        Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let value = object(value.into());
    object(vec![("field", text("time")), ("operator", text("within")), ("value", value)])
}

/// A condition as responses show it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum FlatCondition<'a> {
    /// In the vendor's words.
    Own { field: &'static str, operator: &'static str, value: FlatValue<'a> },
    /// In those of the native API.
    Native(ConditionJson<'a>),
}

/// The value of a condition in the vendor's words.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum FlatValue<'a> {
    One(&'a str),
    Some(&'a [Box<str>]),
    Hour(u16),
    Days(Vec<&'static str>),
}

/// Shows a condition.
pub(super) fn show(condition: &Condition) -> FlatCondition<'_> {
    let own = match &condition.value {
        ConditionValue::WeekTimes(times) => hours_of(times).or_else(|| days_of(times)),
        _ if condition.key.is_some() => None,
        _ => own(condition),
    };
    match own {
        Some((field, operator, value)) => FlatCondition::Own { field, operator, value },
        None => FlatCondition::Native(ConditionJson::of(condition)),
    }
}

/// A condition in the vendor's words: field, operator, value.
type Own<'a> = (&'static str, &'static str, FlatValue<'a>);

fn own(condition: &Condition) -> Option<Own<'_>> {
    let (operator, value) = match (condition.operator, condition.texts()) {
        (Operator::Equals, [only]) => ("equals", FlatValue::One(only)),
        (Operator::NotIn, [only]) => ("not_equals", FlatValue::One(only)),
        (Operator::NotIn, texts) => ("not_in", FlatValue::Some(texts)),
        (Operator::In, texts) => ("in", FlatValue::Some(texts)),
        (Operator::Contains, [only]) => ("contains", FlatValue::One(only)),
        (Operator::Contains, texts) => ("contains", FlatValue::Some(texts)),
        _ => return None,
    };
    let field = match condition.field {
        ConditionField::Device => "deviceType",
        ConditionField::Referrer if condition.operator != Operator::Contains => "referrerDomain",
        field => field.name(),
    };
    Some((field, operator, value))
}

fn hours_of(times: &WeekTimes) -> Option<Own<'static>> {
    let WeekTimes { days, from, to, zone } = times;
    let is_hours = *days == 0b111_1111 && &**zone == ZONE && from % HOUR == 0 && to % HOUR == 0;
    let (operator, hour) = match (from / HOUR, to / HOUR) {
        _ if !is_hours => return None,
        // First, since the first and the last hour are also less than 1 and greater than 22.
        (from, to) if to == from + 1 => ("equals", from),
        (from, 24) if from > 0 => ("greater_than", from - 1),
        (0, to) if to < 24 => ("less_than", to),
        _ => return None,
    };
    Some(("hour", operator, FlatValue::Hour(hour)))
}

fn days_of(times: &WeekTimes) -> Option<Own<'static>> {
    let WeekTimes { days, from, to, zone } = times;
    let names: Vec<_> = day_names(*days).collect();
    match &names[..] {
        _ if (*from, *to, &**zone) != (0, DAY, ZONE) => None,
        [only] => Some(("dayOfWeek", "equals", FlatValue::One(only))),
        _ => Some(("dayOfWeek", "in", FlatValue::Days(names))),
    }
}

/// Returns the names of days in the vendor's words.
pub(super) fn day_names(days: u8) -> impl Iterator<Item = &'static str> {
    DAYS.into_iter().enumerate().filter(move |(at, _)| days >> at & 1 == 1).map(|(_, name)| name)
}
