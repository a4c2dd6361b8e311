//! The rules of a link compiled for visits: names as bit masks, lists sorted, the zone of a time looked up. A visit
//! compares numbers where it can, and each fact is read only if a condition asks for it (`visit::holds`).

use std::net::IpAddr;

use jiff::tz::TimeZone;

use crate::agents::classes::ClassField;
use crate::analytics::country::CountrySet;
use crate::analytics::query::continents;
use crate::clock::Timestamp;
use crate::model::link::Options;
use crate::model::link::branch::{
    Branch, BranchOutcome, Condition, ConditionField, ConditionValue, Operator, Split, Sticky, WeekTimes,
};
use crate::model::network::Network;
use crate::model::text::split_at;

/// The enabled and disabled rules of a link, in their order.
#[derive(Debug, Default)]
pub struct CompiledBranches(Box<[CompiledBranch]>);

/// One rule.
#[derive(Debug)]
#[allow(missing_docs)] // The fields are those of `Branch`.
pub struct CompiledBranch {
    pub number: u16,
    pub enabled: bool,
    pub matches_any: bool,
    pub conditions: Box<[CompiledCondition]>,
    pub outcome: CompiledOutcome,
    /// From the first instant on, and before the second.
    pub span: (Timestamp, Timestamp),
}

/// The outcome of a rule. Targets are indexes into the list of the link.
#[derive(Debug)]
#[allow(missing_docs)] // The cases are those of `BranchOutcome`.
pub enum CompiledOutcome {
    Target(usize),
    Split(CompiledSplit),
    NotFound,
}

/// A split, never empty.
#[derive(Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct CompiledSplit {
    pub variants: Box<[CompiledVariant]>,
    /// The sum of all weights.
    pub weight: u64,
    pub sticky: Sticky,
    /// The index of the variant that all visitors get.
    pub winner: Option<usize>,
    /// The end of the test.
    pub until: Option<Timestamp>,
}

/// A variant of a split.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // The other fields speak.
pub struct CompiledVariant {
    pub number: u16,
    /// The index of its target.
    pub target: usize,
    pub weight: u32,
}

/// A condition.
#[derive(Debug)]
pub struct CompiledCondition {
    /// Whether it holds if the check fails.
    pub is_negated: bool,
    /// The check.
    pub check: Check,
}

/// What a condition compares.
#[derive(Debug)]
#[allow(missing_docs)] // Each compares the field of its name.
pub enum Check {
    /// A country, or one of a continent.
    Country(CountrySet),
    HasCountry,
    Region(TextCheck),
    City(TextCheck),
    /// Ranges of RFC 4647, in lower case.
    Language(Box<[Box<str>]>),
    HasLanguage,
    /// One bit for each number of the class.
    Class(ClassField, u64),
    /// Hosts, sorted: each stands for itself and its subdomains.
    ReferrerHost(Box<[Box<str>]>),
    /// The URL of the page, without its scheme.
    Referrer(TextCheck),
    Host(TextCheck),
    Query(Box<str>, TextCheck),
    Path(TextCheck),
    /// Whether visits by the link and by its QR code pass.
    Trigger {
        link: bool,
        qr: bool,
    },
    Ip(Box<[Network]>),
    Date {
        from: Timestamp,
        to: Timestamp,
    },
    Clicks {
        from: u64,
        to: u64,
    },
    Week(CompiledTimes),
    /// A value of a version that this one does not know.
    Never,
}

/// How texts are compared.
#[derive(Debug)]
pub enum TextCheck {
    /// Any text.
    Any,
    /// One of these, sorted.
    OneOf(Box<[Box<str>]>),
    /// A text that contains one of these.
    Contains(Box<[Box<str>]>),
    /// A text that begins with one of these.
    StartsWith(Box<[Box<str>]>),
}

/// A time of day on some days of each week.
// Not a map of the week's quarters of an hour: 18:10 is no quarter, and two comparisons are as fast.
#[derive(Debug)]
pub struct CompiledTimes {
    days: u8,
    from: u16,
    to: u16,
    zone: TimeZone,
}

impl CompiledBranches {
    /// Compiles the rules of a link.
    pub fn compile(options: &Options) -> CompiledBranches {
        // The first target is the link's own `url`; the rest has the order of `Branches::urls`.
        let mut target = 1;
        let compile = |branch: &Branch| {
            let first = target;
            target += branch.outcome.urls().count();
            CompiledBranch::compile(branch, first)
        };
        CompiledBranches(options.branches().iter().map(compile).collect())
    }

    /// Returns the rules in their order, those that are switched off as well.
    pub fn list(&self) -> &[CompiledBranch] {
        &self.0
    }
}

impl CompiledBranch {
    fn compile(branch: &Branch, first: usize) -> CompiledBranch {
        let Branch { number, name: _, enabled, matches_any, conditions, outcome, from, until, memo: _ } =
            branch;
        let is_won = matches!(outcome, BranchOutcome::Split(Split { winner: Some(_), .. }));
        // A winner stays after the end of its test.
        let end = until.filter(|_| !is_won).unwrap_or(Timestamp::from_millis(i64::MAX));
        CompiledBranch {
            number: *number,
            enabled: *enabled,
            matches_any: *matches_any,
            conditions: conditions.iter().map(CompiledCondition::compile).collect(),
            outcome: match outcome {
                BranchOutcome::Url(_) => CompiledOutcome::Target(first),
                BranchOutcome::Split(split) => {
                    CompiledOutcome::Split(CompiledSplit::compile(split, first, *until))
                }
                BranchOutcome::NotFound => CompiledOutcome::NotFound,
            },
            span: (from.unwrap_or(Timestamp::from_millis(i64::MIN)), end),
        }
    }

    /// Returns whether the rule is in force at this time.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.enabled && self.span.0 <= now && now < self.span.1
    }
}

impl CompiledSplit {
    fn compile(split: &Split, first: usize, until: Option<Timestamp>) -> CompiledSplit {
        let variant = |(at, variant): (usize, &crate::model::link::branch::Variant)| CompiledVariant {
            number: variant.number,
            target: first + at,
            weight: variant.weight,
        };
        let variants: Box<[_]> = split.variants.iter().enumerate().map(variant).collect();
        CompiledSplit {
            weight: variants.iter().map(|variant| u64::from(variant.weight)).sum(),
            sticky: split.sticky,
            winner: split
                .winner
                .and_then(|number| variants.iter().position(|variant| variant.number == number)),
            variants,
            until,
        }
    }
}

impl CompiledCondition {
    fn compile(condition: &Condition) -> CompiledCondition {
        let Condition { field, key, operator, value } = condition;
        let is_negated = match value {
            ConditionValue::Exists(exists) => !exists,
            _ => *operator == Operator::NotIn,
        };
        let check = match value {
            ConditionValue::Exists(_) => existing(*field, key.as_deref()),
            ConditionValue::Texts(texts) => Some(compared(*field, key.as_deref(), *operator, texts)),
            ConditionValue::Dates { from, to } => Some(Check::Date {
                from: from.unwrap_or(Timestamp::from_millis(i64::MIN)),
                to: to.unwrap_or(Timestamp::from_millis(i64::MAX)),
            }),
            ConditionValue::Counts { from, to } => {
                Some(Check::Clicks { from: from.unwrap_or(0), to: to.unwrap_or(u64::MAX) })
            }
            ConditionValue::WeekTimes(times) => CompiledTimes::compile(times).map(Check::Week),
        };
        // A condition that cannot be evaluated never holds, whatever its operator.
        check.map_or(CompiledCondition { is_negated: false, check: Check::Never }, |check| {
            CompiledCondition { is_negated, check }
        })
    }
}

/// Returns the name of the parameter that a field reads in the query.
fn parameter(field: ConditionField, key: Option<&str>) -> Option<&str> {
    match field {
        ConditionField::Query => key,
        ConditionField::UtmSource => Some("utm_source"),
        ConditionField::UtmMedium => Some("utm_medium"),
        ConditionField::UtmCampaign => Some("utm_campaign"),
        ConditionField::UtmTerm => Some("utm_term"),
        ConditionField::UtmContent => Some("utm_content"),
        _ => None,
    }
}

fn class_of(field: ConditionField) -> Option<ClassField> {
    match field {
        ConditionField::Device => Some(ClassField::Device),
        ConditionField::Os => Some(ClassField::Os),
        ConditionField::Browser => Some(ClassField::Browser),
        _ => None,
    }
}

fn existing(field: ConditionField, key: Option<&str>) -> Option<Check> {
    if let Some(class) = class_of(field) {
        // 0 is an unknown class.
        return Some(Check::Class(class, !1));
    }
    Some(match field {
        ConditionField::Country | ConditionField::Continent => Check::HasCountry,
        ConditionField::Region => Check::Region(TextCheck::Any),
        ConditionField::City => Check::City(TextCheck::Any),
        ConditionField::Language => Check::HasLanguage,
        ConditionField::Referrer => Check::Referrer(TextCheck::Any),
        ConditionField::Path => Check::Path(TextCheck::Any),
        other => Check::Query(parameter(other, key)?.into(), TextCheck::Any),
    })
}

fn compared(field: ConditionField, key: Option<&str>, operator: Operator, texts: &[Box<str>]) -> Check {
    if let Some(class) = class_of(field) {
        // A name that the list of classes no longer has: no visitor has it.
        let numbers = texts.iter().filter_map(|text| class.number_of(text));
        return Check::Class(class, numbers.fold(0, |mask, number| mask | 1 << number));
    }
    if let Some(name) = parameter(field, key) {
        return Check::Query(name.into(), TextCheck::compile(operator, texts, str::to_owned));
    }
    let is_whole = matches!(operator, Operator::In | Operator::NotIn | Operator::Equals);
    match field {
        ConditionField::Country => {
            Check::Country(texts.iter().filter_map(|code| code.as_bytes().try_into().ok()).collect())
        }
        ConditionField::Continent => {
            Check::Country(texts.iter().flat_map(|continent| continents::countries_of(continent)).collect())
        }
        // Visitors' values are folded as well: files and people write cities in different cases.
        ConditionField::Region => Check::Region(TextCheck::compile(operator, texts, str::to_lowercase)),
        ConditionField::City => Check::City(TextCheck::compile(operator, texts, str::to_lowercase)),
        ConditionField::Language => {
            Check::Language(texts.iter().map(|text| text.to_ascii_lowercase().into()).collect())
        }
        ConditionField::Referrer if is_whole => Check::ReferrerHost(sorted(texts, str::to_ascii_lowercase)),
        ConditionField::Referrer => Check::Referrer(TextCheck::compile(operator, texts, str::to_lowercase)),
        ConditionField::Host => Check::Host(TextCheck::compile(operator, texts, str::to_lowercase)),
        ConditionField::Path => Check::Path(TextCheck::compile(operator, texts, str::to_owned)),
        ConditionField::Trigger => {
            let has = |name: &str| texts.iter().any(|text| **text == *name);
            Check::Trigger { link: has("link"), qr: has("qr") }
        }
        ConditionField::Ip => Check::Ip(texts.iter().filter_map(|text| text.parse().ok()).collect()),
        _ => Check::Never,
    }
}

fn sorted(texts: &[Box<str>], fold: fn(&str) -> String) -> Box<[Box<str>]> {
    let mut texts: Vec<Box<str>> = texts.iter().map(|text| fold(text).into()).collect();
    texts.sort_unstable();
    texts.into()
}

impl TextCheck {
    fn compile(operator: Operator, texts: &[Box<str>], fold: fn(&str) -> String) -> TextCheck {
        let texts = sorted(texts, fold);
        match operator {
            Operator::Contains => TextCheck::Contains(texts),
            Operator::StartsWith => TextCheck::StartsWith(texts),
            _ => TextCheck::OneOf(texts),
        }
    }

    /// Returns whether a text passes.
    pub fn passes(&self, text: &str) -> bool {
        match self {
            TextCheck::Any => true,
            TextCheck::OneOf(texts) => is_one_of(texts, text),
            TextCheck::Contains(texts) => texts.iter().any(|part| text.contains(&**part)),
            TextCheck::StartsWith(texts) => texts.iter().any(|start| text.starts_with(&**start)),
        }
    }
}

/// Returns whether a sorted list has a text.
fn is_one_of(texts: &[Box<str>], text: &str) -> bool {
    texts.binary_search_by(|known| (**known).cmp(text)).is_ok()
}

/// Returns whether a sorted list of hosts has a host in lower case, or a domain above it.
pub fn has_host(hosts: &[Box<str>], host: &str) -> bool {
    let mut rest = Some(host);
    while let Some(part) = rest {
        if is_one_of(hosts, part) {
            return true;
        }
        rest = split_at(part, b'.').map(|(_, above)| above);
    }
    false
}

/// Returns whether one of the networks has an address.
pub fn has_address(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl CompiledTimes {
    /// Returns `None` if this version has no zone of the name.
    fn compile(times: &WeekTimes) -> Option<CompiledTimes> {
        let WeekTimes { days, from, to, zone } = times;
        Some(CompiledTimes { days: *days, from: *from, to: *to, zone: TimeZone::get(zone).ok()? })
    }

    /// Returns whether an instant is within the times.
    pub fn has(&self, now: Timestamp) -> bool {
        const MINUTE: i64 = 60_000;
        const DAY: i64 = 24 * 60;
        // Outside of jiff's years nobody clicks.
        let instant = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
        let offset = i64::from(self.zone.to_offset(instant).seconds()) * 1_000;
        let minutes = (now.as_millis() + offset).div_euclid(MINUTE);
        let (day, minute) = (minutes.div_euclid(DAY), minutes.rem_euclid(DAY));
        // The first day of 1970 was a Thursday, three days after a Monday.
        let is_on = |day: i64| self.days >> (day + 3).rem_euclid(7) & 1 == 1;
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if from < to {
            return is_on(day) && (from..to).contains(&minute);
        }
        // Over midnight: the second part belongs to the day on which it began.
        is_on(day) && minute >= from || is_on(day - 1) && minute < to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_in_their_zone() {
        let times = |days: u8, from: u16, to: u16| WeekTimes { days, from, to, zone: "Europe/Berlin".into() };
        // Monday is the lowest bit.
        let (weekdays, friday) = (0b1_1111, 0b1_0000);
        let rows = [
            // Berlin is two hours ahead in summer, one in winter. 2026-06-01 is a Monday.
            (times(weekdays, 8 * 60, 18 * 60), "2026-06-01T06:00:00Z", true),
            (times(weekdays, 8 * 60, 18 * 60), "2026-06-01T05:59:59Z", false),
            (times(weekdays, 8 * 60, 18 * 60), "2026-06-01T15:59:59Z", true),
            (times(weekdays, 8 * 60, 18 * 60), "2026-06-01T16:00:00Z", false),
            (times(weekdays, 8 * 60, 18 * 60), "2026-12-01T06:59:59Z", false),
            (times(weekdays, 8 * 60, 18 * 60), "2026-12-01T07:00:00Z", true),
            (times(weekdays, 8 * 60, 18 * 60), "2026-06-06T10:00:00Z", false),
            // Friday evening to Saturday morning, and not Friday morning.
            (times(friday, 18 * 60, 8 * 60), "2026-06-05T16:00:00Z", true),
            (times(friday, 18 * 60, 8 * 60), "2026-06-06T05:59:59Z", true),
            (times(friday, 18 * 60, 8 * 60), "2026-06-06T06:00:00Z", false),
            (times(friday, 18 * 60, 8 * 60), "2026-06-05T05:00:00Z", false),
            (times(0b111_1111, 0, 24 * 60), "1960-01-01T00:00:00Z", true),
            (times(0b111_1111, 18 * 60 + 10, 18 * 60 + 11), "2026-06-05T16:10:59Z", true),
        ];
        for (times, at, want) in rows {
            let compiled = CompiledTimes::compile(&times).expect("a zone");
            assert_eq!(compiled.has(at.parse().expect("a time")), want, "{times:?} {at}");
        }
        assert!(CompiledTimes::compile(&WeekTimes { zone: "Nowhere".into(), ..times(1, 0, 1) }).is_none());
    }

    #[test]
    fn a_host_stands_for_its_subdomains() {
        let hosts = ["b.test".into(), "news.example".into()];
        for (host, want) in [
            ("b.test", true),
            ("www.b.test", true),
            ("a.www.b.test", true),
            ("ab.test", false),
            ("test", false),
            ("example", false),
            ("news.example", true),
            ("", false),
        ] {
            assert_eq!(has_host(&hosts, host), want, "{host}");
        }
    }
}
