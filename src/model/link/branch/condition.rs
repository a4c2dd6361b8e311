//! [`Condition`]: a fact of a visit, an operator and a value.

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::network::Network;

use super::{BRANCH_TEXT_MAX, VALUES_MAX};

/// The fact of a visit that a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `name` has their names.
pub enum ConditionField {
    Country,
    Continent,
    Region,
    City,
    Language,
    Device,
    Os,
    Browser,
    Referrer,
    Query,
    Path,
    UtmSource,
    UtmMedium,
    UtmCampaign,
    UtmTerm,
    UtmContent,
    Trigger,
    Ip,
    Date,
    Time,
    Visits,
    Visitor,
    Host,
}

/// What kind of values a field has, which decides its operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    /// One of a few names, or none.
    Name,
    /// Any text, or none.
    Text,
    /// Any text. Every visit has one.
    Given,
    Network,
    Date,
    Time,
    Count,
    /// No value is known.
    Unknown,
}

/// All fields, with the names in the APIs and the kinds of their values.
const FIELDS: [(ConditionField, &str, ValueKind); 23] = {
    use ConditionField::{
        Browser, City, Continent, Country, Date, Device, Host, Ip, Language, Os, Path, Query, Referrer,
        Region, Time, Trigger, UtmCampaign, UtmContent, UtmMedium, UtmSource, UtmTerm, Visitor, Visits,
    };
    [
        (Country, "country", ValueKind::Name),
        (Continent, "continent", ValueKind::Name),
        (Region, "region", ValueKind::Text),
        (City, "city", ValueKind::Text),
        (Language, "language", ValueKind::Name),
        (Device, "device", ValueKind::Name),
        (Os, "os", ValueKind::Name),
        (Browser, "browser", ValueKind::Name),
        (Referrer, "referrer", ValueKind::Text),
        (Query, "query", ValueKind::Text),
        (Path, "path", ValueKind::Text),
        (UtmSource, "utmSource", ValueKind::Text),
        (UtmMedium, "utmMedium", ValueKind::Text),
        (UtmCampaign, "utmCampaign", ValueKind::Text),
        (UtmTerm, "utmTerm", ValueKind::Text),
        (UtmContent, "utmContent", ValueKind::Text),
        (Trigger, "trigger", ValueKind::Given),
        (Ip, "ip", ValueKind::Network),
        (Date, "date", ValueKind::Date),
        (Time, "time", ValueKind::Time),
        (Visits, "visits", ValueKind::Count),
        (Visitor, "visitor", ValueKind::Unknown),
        (Host, "host", ValueKind::Given),
    ]
};

impl ConditionField {
    /// All fields.
    pub fn all() -> impl Iterator<Item = ConditionField> {
        FIELDS.into_iter().map(|(field, ..)| field)
    }

    /// Returns the field of a name in the APIs.
    pub fn of_name(name: &str) -> Option<ConditionField> {
        FIELDS.iter().find(|(_, known, _)| *known == name).map(|(field, ..)| *field)
    }

    /// Returns the name in the APIs.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Returns whether a visitor has one value of the field at most, so that two lists of values must have one in
    /// common. A query may name a parameter twice.
    pub fn has_one_value(self) -> bool {
        use ConditionField::{
            Language, Query, Referrer, UtmCampaign, UtmContent, UtmMedium, UtmSource, UtmTerm,
        };
        let is_parameter = matches!(self, Query | UtmSource | UtmMedium | UtmCampaign | UtmTerm | UtmContent);
        !is_parameter
            && !matches!(self, Language | Referrer)
            && matches!(self.row().1, ValueKind::Name | ValueKind::Text | ValueKind::Given)
    }

    /// Returns whether the field needs to know where the visitor is.
    pub fn is_geographic(self) -> bool {
        use ConditionField::{City, Continent, Country, Region};
        matches!(self, Country | Continent | Region | City)
    }

    /// Returns the operators of the field.
    pub fn operators(self) -> &'static [Operator] {
        use Operator::{After, Before, Contains, Equals, Exists, In, NotIn, StartsWith, Within};
        match self.row().1 {
            ValueKind::Name => &[In, NotIn, Equals, Exists],
            ValueKind::Text => &[In, NotIn, Equals, Contains, StartsWith, Exists],
            // Every visit has a trigger, and its names have no parts.
            ValueKind::Given if self == ConditionField::Trigger => &[In, NotIn, Equals],
            ValueKind::Given => &[In, NotIn, Equals, Contains, StartsWith],
            ValueKind::Network => &[In, NotIn, Equals],
            ValueKind::Date => &[Before, After, Within],
            ValueKind::Time => &[Within],
            ValueKind::Count => &[Before, After, Equals, Within],
            ValueKind::Unknown => &[],
        }
    }

    fn row(self) -> (&'static str, ValueKind) {
        let row = FIELDS.iter().find(|(field, ..)| *field == self);
        row.map(|(_, name, kind)| (*name, *kind)).expect("the test `every_field_has_a_row` compares the list")
    }
}

/// What a server can know of the places of visitors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct KnownPlaces {
    pub countries: bool,
    pub cities: bool,
}

impl KnownPlaces {
    /// Returns whether a visitor may have a value of this field.
    pub fn has(self, field: ConditionField) -> bool {
        match field {
            ConditionField::Country | ConditionField::Continent => self.countries,
            ConditionField::Region | ConditionField::City => self.cities,
            _ => true,
        }
    }
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The value of the visit is one of the list.
    In,
    /// It is none of the list, or the visit has none.
    NotIn,
    /// It is this one.
    Equals,
    /// It contains one of the texts.
    Contains,
    /// It begins with one of the texts.
    StartsWith,
    /// The visit has one, or has none.
    Exists,
    /// It is between two ends, of which the first belongs to the span.
    Within,
    /// It is earlier, or less.
    Before,
    /// It is this one, later, or more.
    After,
}

/// All operators with their names in the APIs.
const OPERATORS: [(Operator, &str); 9] = [
    (Operator::In, "in"),
    (Operator::NotIn, "notIn"),
    (Operator::Equals, "equals"),
    (Operator::Contains, "contains"),
    (Operator::StartsWith, "startsWith"),
    (Operator::Exists, "exists"),
    (Operator::Within, "within"),
    (Operator::Before, "before"),
    (Operator::After, "after"),
];

impl Operator {
    /// Returns the operator of a name in the APIs.
    pub fn of_name(name: &str) -> Option<Operator> {
        OPERATORS.iter().find(|(_, known)| *known == name).map(|(operator, _)| *operator)
    }

    /// Returns all operators.
    pub fn all() -> impl Iterator<Item = Operator> {
        OPERATORS.iter().map(|(operator, _)| *operator)
    }

    /// Returns the name in the APIs.
    pub fn name(self) -> &'static str {
        let row = OPERATORS.iter().find(|(operator, _)| *operator == self);
        row.map(|(_, name)| *name).expect("the test `every_operator_has_a_name` compares the list")
    }
}

/// The names of the days of a week in the APIs.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of day on some days of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekTimes {
    /// One bit for each of [`WEEKDAYS`], the first in the lowest.
    pub days: u8,
    /// The first minute of the day.
    pub from: u16,
    /// The minute after the last, at most 1,440. Not after `from`: the time ends on the next day.
    pub to: u16,
    /// The name of a zone in the IANA database.
    pub zone: Box<str>,
}

/// What a condition compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionValue {
    /// `in`, `notIn`, `equals`, `contains`, `startsWith`: at least one.
    Texts(Vec<Box<str>>),
    /// `exists`: whether there must be a value.
    Exists(bool),
    /// `date`: from the first instant on, and before the second.
    #[allow(missing_docs)]
    Dates { from: Option<Timestamp>, to: Option<Timestamp> },
    /// `time`.
    WeekTimes(WeekTimes),
    /// `visits`: from the first number on, and less than the second.
    #[allow(missing_docs)]
    Counts { from: Option<u64>, to: Option<u64> },
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct Condition {
    pub field: ConditionField,
    /// The name of the parameter of [`ConditionField::Query`].
    pub key: Option<Box<str>>,
    pub operator: Operator,
    pub value: ConditionValue,
}

impl Condition {
    /// Returns the texts of a condition that has some.
    pub fn texts(&self) -> &[Box<str>] {
        match &self.value {
            ConditionValue::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// Fails if the condition breaks a rule that its field and operator have for all programs. The reader of a format
    /// checks names of countries, devices and zones.
    pub fn check(&self) -> Result<(), Invalid> {
        let reject = |at: &str, why: String| Err(Invalid::new("rules", why).below(at));
        // Known to the reader all the same, so that the error is not that of a misspelt name.
        if self.field == ConditionField::Visitor {
            let why = "visitor is not available: whether a visitor came before is known only after the click; \
                       use visits for the clicks of the link, or a split with sticky \"cookie\"";
            return reject(".field", why.to_owned());
        }
        let operators = self.field.operators();
        // The list of what works says more than the one that does not.
        if !operators.contains(&self.operator) {
            let names: Vec<_> = operators.iter().map(|operator| operator.name()).collect();
            return reject(
                ".operator",
                format!("of {} must be one of: {}", self.field.name(), names.join(", ")),
            );
        }
        match (&self.key, self.field) {
            (None, ConditionField::Query) => {
                return reject(".key", "is required with query: the name of the parameter".to_owned());
            }
            (Some(_), field) if field != ConditionField::Query => {
                return reject(".key", "works only with query".to_owned());
            }
            (Some(key), _) => check_text(".key", key)?,
            (None, _) => {}
        }
        self.check_value()
    }

    fn check_value(&self) -> Result<(), Invalid> {
        let reject = |at: &str, why: String| Err(Invalid::new("rules", why).below(at));
        match &self.value {
            ConditionValue::Texts(texts) => {
                if texts.is_empty() || texts.len() > VALUES_MAX {
                    return reject(".value", format!("must be 1 to {VALUES_MAX} values"));
                }
                for (at, text) in texts.iter().enumerate() {
                    // A single text may have been sent without a list.
                    let place = if texts.len() == 1 { ".value".to_owned() } else { format!(".value[{at}]") };
                    check_text(&place, text)?;
                    if self.field == ConditionField::Ip
                        && let Err(error) = text.parse::<Network>()
                    {
                        return reject(&place, error.why);
                    }
                }
                Ok(())
            }
            ConditionValue::Dates { from: Some(from), to: Some(to) } if from >= to => {
                reject(".value", "can never hold: from must be before to".to_owned())
            }
            ConditionValue::Counts { to: Some(0), .. } => {
                reject(".value", "can never hold: no link has fewer than 0 clicks".to_owned())
            }
            ConditionValue::Counts { from: Some(from), to: Some(to) } if from >= to => {
                reject(".value", "can never hold: from must be less than to".to_owned())
            }
            ConditionValue::WeekTimes(times) if times.days == 0 => {
                reject(".value.days", "can never hold: must name at least one day".to_owned())
            }
            ConditionValue::WeekTimes(times) if times.from == times.to => {
                reject(".value", "from and to must differ; a whole day is 00:00 to 24:00".to_owned())
            }
            ConditionValue::Exists(_)
            | ConditionValue::Dates { .. }
            | ConditionValue::Counts { .. }
            | ConditionValue::WeekTimes(_) => Ok(()),
        }
    }
}

/// Rejects an empty or too long text, and one with control characters.
pub(super) fn check_text(at: &str, text: &str) -> Result<(), Invalid> {
    let reject = |why: String| Err(Invalid::new("rules", why).below(at));
    if text.is_empty() {
        return reject("must not be empty".to_owned());
    }
    if text.chars().count() > BRANCH_TEXT_MAX {
        return reject(format!("must be at most {BRANCH_TEXT_MAX} characters"));
    }
    if text.chars().any(char::is_control) {
        return reject("must not contain control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_row() {
        for (at, field) in ConditionField::all().enumerate() {
            // The order of the list is that of the type, so a field without a row would move the others.
            assert_eq!(field as usize, at, "{field:?}");
            assert_eq!(ConditionField::of_name(field.name()), Some(field));
        }
        assert_eq!(ConditionField::all().last(), Some(ConditionField::Host));
        assert_eq!(ConditionField::of_name("Country"), None);
    }

    #[test]
    fn every_operator_has_a_name() {
        for (at, (operator, name)) in OPERATORS.into_iter().enumerate() {
            assert_eq!((operator as usize, operator.name()), (at, name));
            assert_eq!(Operator::of_name(name), Some(operator));
        }
        assert_eq!(OPERATORS.map(|(operator, _)| operator).last(), Some(&Operator::After));
    }
}
