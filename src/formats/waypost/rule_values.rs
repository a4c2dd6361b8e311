//! The values of conditions, and the errors of rules with their place.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::spelling::likely;
use crate::agents::classes::ClassField;
use crate::analytics::country;
use crate::analytics::query::continents;
use crate::clock::GivenTime;
use crate::json::{COUNT_RULE, Field, FieldError, Json, Mistyped, Object, looks_like_a_field, whole};
use crate::model::Invalid;
use crate::model::domain::HostName;
use crate::model::link::branch::{ConditionField, ConditionValue, Local, Operator, WEEKDAYS, WeekTimes};
use crate::model::text::trim_invisible;

/// The name of the field.
const RULES: &str = "rules";

/// The fields of a time of day.
const TIME: &[&str] = &["days", "from", "to", "zone"];
/// The fields of a span.
const SPAN: &[&str] = &["from", "to"];

/// Words of other programs for fields of rules, as in [`known`](super::known).
const SYNONYMS: &[(&str, &[&str])] = &[
    ("destination", &["url"]),
    ("destinationurl", &["url"]),
    ("longurl", &["url"]),
    ("target", &["url"]),
    ("conditionlogic", &["match"]),
    ("active", &["enabled"]),
    ("isactive", &["enabled"]),
    ("type", &["field"]),
    ("op", &["operator"]),
    ("values", &["value"]),
    ("timezone", &["zone"]),
    ("tz", &["zone"]),
    ("starttime", &["from"]),
    ("endtime", &["to"]),
    ("percentage", &["weight"]),
    ("expiresat", &["until"]),
    ("validsince", &["from"]),
];

/// An error whose field is [`RULES`], with a place within it.
pub(super) struct Misplaced(pub(super) FieldError);

/// Returns an error with its place within another object.
pub(super) fn below(Misplaced(error): Misplaced, at: &str) -> Misplaced {
    Misplaced(match error {
        FieldError::Mistyped(invalid) => FieldError::Mistyped(invalid.below(at)),
        FieldError::Rule(invalid) => FieldError::Rule(invalid.below(at)),
    })
}

/// The error of a member of an object: its name becomes a part of the place.
impl From<Mistyped> for Misplaced {
    fn from(Mistyped(invalid): Mistyped) -> Misplaced {
        Misplaced(FieldError::Mistyped(moved(&invalid)))
    }
}

impl From<FieldError> for Misplaced {
    fn from(error: FieldError) -> Misplaced {
        Misplaced(match error {
            FieldError::Mistyped(invalid) => FieldError::Mistyped(moved(&invalid)),
            FieldError::Rule(invalid) => FieldError::Rule(moved(&invalid)),
        })
    }
}

fn moved(invalid: &Invalid) -> Invalid {
    Invalid::new(RULES, &*invalid.why).below(&format!(".{}{}", invalid.field, invalid.at))
}

/// Creates the error of a value that breaks a rule.
pub(super) fn broken(at: &str, why: impl Into<String>) -> Misplaced {
    Misplaced(FieldError::Rule(Invalid::new(RULES, why).below(at)))
}

/// Creates the error of a member that is missing or of the wrong type.
pub(super) fn mistyped(at: &str, why: &str) -> Misplaced {
    Misplaced(FieldError::Mistyped(Invalid::new(RULES, why).below(at)))
}

/// Returns an object of which all members are known.
pub(super) fn object<'j>(
    item: &'j Json,
    known: &[&'static str],
    what: &str,
) -> Result<&'j Object, Misplaced> {
    let Json::Object(object) = item else { return Err(mistyped("", &format!("must be {what}, an object"))) };
    let unknown = object.iter().map(|(name, _)| name).find(|name| !known.contains(name));
    let Some(name) = unknown else { return Ok(object) };
    let meant = likely(name, &[known], SYNONYMS).map(|field| format!("; did you mean {field}?"));
    // Only names that look like fields are repeated, as in all errors.
    let at = if looks_like_a_field(name) { format!(".{name}") } else { String::new() };
    Err(broken(&at, format!("is no field of {what}{}", meant.unwrap_or_default())))
}

/// Reads the value of a condition.
pub(super) fn value(
    field: ConditionField,
    operator: Operator,
    value: &Json,
) -> Result<(ConditionValue, Local), Misplaced> {
    let fixed = |value| (value, Local::Nothing);
    match (operator, field) {
        // Before the fields: it has the same value for all of them.
        (Operator::Exists, _) => match value {
            Json::Bool(exists) => Ok(fixed(ConditionValue::Exists(*exists))),
            _ => Err(broken("", "must be true or false")),
        },
        (_, ConditionField::Date) => dates(operator, value),
        (_, ConditionField::Visits) => counts(operator, value).map(fixed),
        (_, ConditionField::Time) => week_times(value),
        _ => texts(field, operator, value).map(fixed),
    }
}

fn texts(field: ConditionField, operator: Operator, value: &Json) -> Result<ConditionValue, Misplaced> {
    let one = std::slice::from_ref(value);
    let (items, is_list) = match value {
        // `equals` compares with one value, so a list is a mistake.
        Json::List(items) if operator != Operator::Equals => (&items[..], true),
        Json::Text(_) => (one, false),
        _ if operator == Operator::Equals => return Err(broken("", "must be a string")),
        _ => return Err(broken("", "must be an array of strings")),
    };
    let text = |(at, item): (usize, &Json)| {
        let at = if is_list { format!("[{at}]") } else { String::new() };
        // No number: 5 and "5" would be two spellings of one value.
        let Json::Text(text) = item else { return Err(broken(&at, "must be a string")) };
        // What cannot be seen comes with a pasted text, and no visitor sends it.
        normal(field, operator, trim_invisible(text)).map_err(|why| broken(&at, why))
    };
    items.iter().enumerate().map(text).collect::<Result<_, _>>().map(ConditionValue::Texts)
}

/// Returns a value in its stored spelling. The error is a rule.
fn normal(field: ConditionField, operator: Operator, text: &str) -> Result<Box<str>, Cow<'static, str>> {
    // A part of a host is no host, and `contains` compares parts.
    let is_whole = matches!(operator, Operator::In | Operator::NotIn | Operator::Equals);
    let found = match field {
        ConditionField::Country => {
            let code =
                country::header(text.as_bytes()).map(|code| String::from_utf8_lossy(&code).into_owned());
            return code.map(Into::into).ok_or("must be the two letters of ISO 3166-1, such as DE".into());
        }
        ConditionField::Continent => {
            return continents::continent(text)
                .map(Into::into)
                .ok_or("must be AF, AN, AS, EU, NA, OC or SA".into());
        }
        ConditionField::Language => {
            let range = Some(text.to_ascii_lowercase().into()).filter(|_| is_language(text));
            return range.ok_or_else(|| {
                "must be the tag of a language, such as de or pt-BR, and not its name".into()
            });
        }
        ConditionField::Device => ClassField::Device,
        ConditionField::Os => ClassField::Os,
        ConditionField::Browser => ClassField::Browser,
        ConditionField::Trigger => {
            return if ["link", "qr"].contains(&text) {
                Ok(text.into())
            } else {
                Err("must be link or qr".into())
            };
        }
        ConditionField::Referrer | ConditionField::Host if is_whole => {
            let host = HostName::parse("rules", text).map(|host| host.as_str().into());
            return host.map_err(|_| "must be a host such as news.example, without scheme and path".into());
        }
        ConditionField::Referrer | ConditionField::Host => return Ok(text.to_lowercase().into()),
        // As the visitor's path is compared: without the slash behind the code.
        ConditionField::Path => return Ok(text.strip_prefix('/').unwrap_or(text).into()),
        _ => return Ok(text.into()),
    };
    let name = found.number_of(text).and_then(|number| found.name_of(number));
    name.map(Into::into).ok_or_else(|| format!("must be one of: {}", found.names().join(", ")).into())
}

/// Returns a member of an object. `""` is null, as in every text that may be absent.
pub(super) fn given<'j>(object: &'j Object, name: &str) -> Option<&'j Json> {
    object.get(name).value().filter(|value| !matches!(value, Json::Text(text) if text.is_empty()))
}

/// Returns whether a text is a range of RFC 4647 2.1 that a browser may send.
fn is_language(text: &str) -> bool {
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let (first, rest) = text.split_once('-').map_or((text, None), |(first, rest)| (first, Some(rest)));
    // No language has four letters or more (RFC 5646 2.2.1), so `German` is a name. Without the range `*`, which all
    // visitors match.
    let is_known = match first.len() {
        1 => matches!(first, "i" | "I" | "x" | "X") && rest.is_some(),
        length => (2..=3).contains(&length),
    };
    is_known
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && rest.is_none_or(|rest| rest.split('-').all(is_part))
}

/// Parses a text of a value, without invisible characters at its ends.
fn parsed<T>(at: &str, value: &Json, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Misplaced> {
    match value {
        Json::Text(text) => parse(trim_invisible(text)).map_err(|why| broken(at, why)),
        _ => Err(broken(at, "must be a string")),
    }
}

fn start(text: &str) -> Result<GivenTime, String> {
    GivenTime::parse_start(text).map_err(|error| error.to_string())
}

fn end(text: &str) -> Result<GivenTime, String> {
    GivenTime::parse_end(text).map_err(|error| error.to_string())
}

/// Returns the two ends of a span, of which one at least is there.
fn ends(value: &Json) -> Result<(Option<&Json>, Option<&Json>), Misplaced> {
    let Json::Object(_) = value else { return Err(broken("", "must be an object with from and to")) };
    let span = object(value, SPAN, "a span")?;
    match (given(span, "from"), given(span, "to")) {
        (None, None) => Err(broken("", "must have from or to")),
        ends => Ok(ends),
    }
}

fn dates(operator: Operator, value: &Json) -> Result<(ConditionValue, Local), Misplaced> {
    let (from, to) = match operator {
        Operator::Before => (None, Some(parsed("", value, start)?)),
        Operator::After => (Some(parsed("", value, start)?), None),
        _ => {
            let (from, to) = ends(value)?;
            let from = from.map(|from| parsed(".from", from, start)).transpose()?;
            (from, to.map(|to| parsed(".to", to, end)).transpose()?)
        }
    };
    let in_utc = ConditionValue::Dates { from: from.map(GivenTime::in_utc), to: to.map(GivenTime::in_utc) };
    Ok((in_utc, Local::Dates { from, to }))
}

fn counts(operator: Operator, value: &Json) -> Result<ConditionValue, Misplaced> {
    let count = |at: &str, value: &Json| match value {
        Json::Number(number) => whole(number).ok_or_else(|| broken(at, COUNT_RULE)),
        _ => Err(broken(at, COUNT_RULE)),
    };
    Ok(match operator {
        Operator::Before => ConditionValue::Counts { from: None, to: Some(count("", value)?) },
        Operator::After => ConditionValue::Counts { from: Some(count("", value)?), to: None },
        Operator::Equals => {
            let at = count("", value)?;
            let next = at.checked_add(1).ok_or_else(|| broken("", COUNT_RULE))?;
            ConditionValue::Counts { from: Some(at), to: Some(next) }
        }
        _ => {
            let (from, to) = ends(value)?;
            ConditionValue::Counts {
                from: from.map(|from| count(".from", from)).transpose()?,
                to: to.map(|to| count(".to", to)).transpose()?,
            }
        }
    })
}

fn week_times(value: &Json) -> Result<(ConditionValue, Local), Misplaced> {
    let Json::Object(_) = value else {
        return Err(broken("", "must be an object with days, from, to and zone"));
    };
    let times = object(value, TIME, "a time of day")?;
    let days = match times.get("days") {
        Field::Absent | Field::Null => 0b111_1111,
        Field::Value(Json::List(days)) => {
            let mut bits = 0;
            for (at, day) in days.iter().enumerate() {
                let name = |text: &str| WEEKDAYS.iter().position(|known| *known == text);
                let rule = || format!("must be one of: {}", WEEKDAYS.join(", "));
                let at = format!(".days[{at}]");
                bits |= 1 << parsed(&at, day, |text| name(text).ok_or_else(rule))?;
            }
            bits
        }
        Field::Value(_) => return Err(broken(".days", "must be an array of days")),
    };
    let minute = |name: &str, default: u16, most: u16| match given(times, name) {
        None => Ok(default),
        Some(value) => parsed(&format!(".{name}"), value, |text| {
            minutes(text)
                .filter(|minute| *minute <= most)
                .ok_or_else(|| "must be a time of day such as 18:00".to_owned())
        }),
    };
    let (zone, local) = match given(times, "zone") {
        None => ("UTC".into(), Local::Zone),
        Some(zone) => {
            let name = parsed(".zone", zone, |name| match TimeZone::get(name) {
                // As the database spells it.
                Ok(zone) => Ok(zone.iana_name().unwrap_or(name).into()),
                Err(_) => Err("must be a time zone of the IANA database, such as Europe/Berlin".to_owned()),
            })?;
            (name, Local::Nothing)
        }
    };
    let times = WeekTimes { days, from: minute("from", 0, DAY - 1)?, to: minute("to", DAY, DAY)?, zone };
    Ok((ConditionValue::WeekTimes(times), local))
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Returns the minutes of `HH:MM`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        let is_two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_two)
    };
    let (hours, minutes) = (two(hours)?, two(minutes).filter(|minutes| *minutes < 60)?);
    Some(hours * 60 + minutes)
}
