//! Random rules and visitors against a reference that was written for this test alone: it compares texts, in the order
//! of the documents, and shares no code with the compiled form.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::agents::Agents;
use crate::cache::entry::{Conditional, Guards, Targets};
use crate::clock::Timestamp;
use crate::model::destination::Destination;
use crate::model::link::branch::{Branches, Variant};
use crate::model::link::sample;
use crate::visit::described::ExplainRequest;
use crate::visit::rule::tests::no_list;
use crate::visit::rules::judge;

/// Pairs of rules and visitors.
const PAIRS: usize = 100_000;

/// Visitors for each list of rules.
const VISITORS: usize = 50;

/// Random numbers that are the same in each run (splitmix64).
struct RuleDice(u64);

impl RuleDice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn some<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        (self.below(4) > 0).then(|| self.of(all))
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

const COUNTRIES: [(&str, &str); 5] = [("DE", "EU"), ("FR", "EU"), ("US", "NA"), ("JP", "AS"), ("BR", "SA")];
const CONTINENTS: [&str; 4] = ["EU", "NA", "AS", "AF"];
const PLACES: [&str; 3] = ["Berlin", "K\u{f6}ln", "Ulm"];
const LANGUAGES: [&str; 6] = ["de", "de-AT", "en-US", "en", "pt-BR", "fr"];
const RANGES: [&str; 5] = ["de", "en", "en-us", "pt", "fr-ca"];
const DEVICES: [&str; 3] = ["desktop", "mobile", "tablet"];
const SYSTEMS: [&str; 4] = ["iOS", "Android", "Windows", "macOS"];
const BROWSERS: [&str; 3] = ["Chrome", "Firefox", "Safari"];
const REFERRERS: [&str; 5] = [
    "https://news.example/a?b",
    "http://www.News.example:8080/",
    "https://t.test",
    "android-app://x.app/",
    "t.test/x",
];
const HOSTS: [&str; 3] = ["news.example", "t.test", "app"];
const KEYS: [&str; 3] = ["ref", "utm_source", "utm_medium"];
const VALUES: [&str; 4] = ["a", "ab", "b c", ""];
const PATHS: [&str; 3] = ["", "x/y", "old page"];
const ADDRESSES: [&str; 4] = ["10.1.2.3", "10.9.9.9", "192.0.2.7", "198.51.100.1"];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.1.2.0/23", "192.0.2.7", "0.0.0.0/1"];
const ZONES: [&str; 3] = ["Europe/Berlin", "America/New_York", "UTC"];
/// 2026-03-29T00:00:00Z: the clocks of Berlin change in its first hours.
const START: i64 = 1_774_742_400_000;

/// A visitor as texts.
#[derive(Debug)]
struct Guest {
    country: Option<&'static str>,
    region: &'static str,
    city: &'static str,
    languages: Vec<(&'static str, u16)>,
    device: Option<&'static str>,
    os: Option<&'static str>,
    browser: Option<&'static str>,
    referrer: Option<&'static str>,
    pairs: Vec<(&'static str, &'static str)>,
    is_qr: bool,
    path: &'static str,
    address: &'static str,
    host: &'static str,
    now: i64,
    clicks: u64,
}

impl Guest {
    fn random(random: &mut RuleDice) -> Guest {
        let languages =
            (0..random.below(4)).map(|_| (random.of(&LANGUAGES), random.of(&[1_000, 900, 500, 0])));
        let languages = languages.collect();
        let pairs = (0..random.below(4)).map(|_| (random.of(&KEYS), random.of(&VALUES))).collect();
        Guest {
            country: random.some(&COUNTRIES).map(|(country, _)| country),
            region: random.some(&PLACES).unwrap_or(""),
            city: random.some(&PLACES).unwrap_or(""),
            languages,
            device: random.some(&DEVICES),
            os: random.some(&SYSTEMS),
            browser: random.some(&BROWSERS),
            referrer: random.some(&REFERRERS),
            pairs,
            is_qr: random.chance(4),
            path: random.of(&PATHS),
            address: random.of(&ADDRESSES),
            host: random.of(&["go.test", "other.test"]),
            now: START + i64::try_from(random.below(14 * 24 * 3_600)).expect("two weeks") * 1_000,
            clicks: random.below(5) as u64,
        }
    }

    fn request(&self) -> ExplainRequest {
        let mut request = ExplainRequest::default();
        let mut set = |name: &'static str, text: &str| request.set(name, text).expect(name);
        let given =
            [("country", self.country), ("device", self.device), ("os", self.os), ("browser", self.browser)];
        for (name, text) in given.into_iter().chain([("referrer", self.referrer)]) {
            if let Some(text) = text {
                set(name, text);
            }
        }
        for (name, text) in
            [("region", self.region), ("city", self.city), ("address", self.address), ("host", self.host)]
        {
            if !text.is_empty() {
                set(name, text);
            }
        }
        if !self.languages.is_empty() {
            let language = |(tag, quality): &(&str, u16)| match quality {
                1_000 => (*tag).to_owned(),
                thousandths => format!("{tag};q={}.{:03}", thousandths / 1_000, thousandths % 1_000),
            };
            set("language", &self.languages.iter().map(language).collect::<Vec<_>>().join(", "));
        }
        let qr = self.is_qr.then_some(("qr", "1"));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().copied().chain(qr));
        set("query", &query.finish());
        set("path", &self.path.replace(' ', "%20"));
        set("clicks", &self.clicks.to_string());
        set("at", &Timestamp::from_millis(self.now).to_string());
        request
    }

    /// Returns the values that the visitor has for a field, as the documents define them.
    fn values(&self, field: ConditionField, key: Option<&str>) -> Vec<String> {
        let of = |value: Option<&str>| value.map(str::to_owned).into_iter().collect::<Vec<_>>();
        let of_key = |key: &str| {
            let values = self.pairs.iter().filter(|(name, _)| *name == key);
            values.map(|(_, value)| (*value).to_owned()).collect()
        };
        match field {
            ConditionField::Country => of(self.country),
            ConditionField::Continent => {
                let all: BTreeMap<_, _> = COUNTRIES.into_iter().collect();
                of(self.country.map(|country| all[country]))
            }
            ConditionField::Region => of(Some(self.region).filter(|text| !text.is_empty())),
            ConditionField::City => of(Some(self.city).filter(|text| !text.is_empty())),
            ConditionField::Language => {
                let best = self.languages.iter().map(|(_, quality)| *quality).max().unwrap_or(0);
                let best = self.languages.iter().filter(|(_, quality)| *quality == best && best > 0);
                best.map(|(tag, _)| tag.to_lowercase()).collect()
            }
            ConditionField::Device => of(self.device),
            ConditionField::Os => of(self.os),
            ConditionField::Browser => of(self.browser),
            ConditionField::Referrer => {
                let lower = self.referrer.map(str::to_lowercase);
                of(lower.as_deref().map(|url| url.split("://").last().unwrap_or_default()))
            }
            ConditionField::Query => of_key(key.expect("a key")),
            ConditionField::UtmSource => of_key("utm_source"),
            ConditionField::UtmMedium => of_key("utm_medium"),
            ConditionField::Path => of(Some(self.path).filter(|path| !path.is_empty())),
            ConditionField::Trigger => of(Some(if self.is_qr { "qr" } else { "link" })),
            ConditionField::Host => of(Some(self.host)),
            ConditionField::Ip => of(Some(self.address)),
            other => panic!("{other:?} has no texts here"),
        }
    }

    /// Returns whether a rule is switched on and in force.
    fn is_in_force(&self, branch: &Branch) -> bool {
        let is_won = matches!(&branch.outcome, BranchOutcome::Split(split) if split.winner.is_some());
        let begins = branch.from.is_none_or(|from| self.now >= from.as_millis());
        let ends = !is_won && branch.until.is_some_and(|until| self.now >= until.as_millis());
        branch.enabled && begins && !ends
    }

    fn holds(&self, condition: &Condition) -> bool {
        match &condition.value {
            ConditionValue::Exists(exists) => {
                *exists != self.values(condition.field, condition.key.as_deref()).is_empty()
            }
            ConditionValue::Dates { from, to } => {
                let millis = |at: &Option<Timestamp>| at.map(Timestamp::as_millis);
                millis(from).is_none_or(|from| self.now >= from) && millis(to).is_none_or(|to| self.now < to)
            }
            ConditionValue::Counts { from, to } => {
                from.is_none_or(|from| self.clicks >= from) && to.is_none_or(|to| self.clicks < to)
            }
            ConditionValue::WeekTimes(times) => self.is_within(times),
            ConditionValue::Texts(texts) => {
                let values = self.values(condition.field, condition.key.as_deref());
                let is_one = |value: &String| texts.iter().any(|text| is_match(condition, value, text));
                values.iter().any(is_one) != (condition.operator == Operator::NotIn)
            }
        }
    }

    /// Asks jiff for the day and the time on the clock of the zone.
    fn is_within(&self, times: &WeekTimes) -> bool {
        let zone = TimeZone::get(&times.zone).expect("a zone");
        let local = jiff::Timestamp::from_millisecond(self.now).expect("a time").to_zoned(zone);
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).expect("a day");
        let minute = u16::try_from(local.hour()).expect("an hour") * 60
            + u16::try_from(local.minute()).expect("a minute");
        let is_on = |day: usize| times.days & (1 << day) != 0;
        (0..2).any(|ago| {
            let since = minute + 24 * 60 * ago;
            let end = if times.to > times.from { times.to } else { times.to + 24 * 60 };
            is_on((day + 7 - usize::from(ago)) % 7) && times.from <= since && since < end
        })
    }
}

fn is_match(condition: &Condition, value: &str, text: &str) -> bool {
    let (folded, text_folded) = (value.to_lowercase(), text.to_lowercase());
    let is_whole = !matches!(condition.operator, Operator::Contains | Operator::StartsWith);
    match (condition.field, condition.operator) {
        (ConditionField::Language, _) => {
            folded == text_folded || folded.starts_with(&format!("{text_folded}-"))
        }
        (ConditionField::Referrer, _) if is_whole => {
            let host = value.split(['/', '?']).next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            host == text || host.ends_with(&format!(".{text}"))
        }
        (ConditionField::Ip, _) => {
            let number = |text: &str| u32::from(text.parse::<std::net::Ipv4Addr>().expect("an address"));
            let (network, bits) = text.split_once('/').unwrap_or((text, "32"));
            let shift = 32 - bits.parse::<u32>().expect("bits");
            number(value) >> shift == number(network) >> shift
        }
        (ConditionField::Region | ConditionField::City | ConditionField::Host, Operator::Contains) => {
            folded.contains(&text_folded)
        }
        (ConditionField::Region | ConditionField::City | ConditionField::Host, Operator::StartsWith) => {
            folded.starts_with(&text_folded)
        }
        (ConditionField::Region | ConditionField::City | ConditionField::Host, _) => folded == text_folded,
        (_, Operator::Contains) => value.contains(text),
        (_, Operator::StartsWith) => value.starts_with(text),
        _ => value == text,
    }
}

/// Returns the milliseconds of some days.
fn days(count: usize) -> i64 {
    i64::try_from(count).expect("a few") * 86_400_000
}

#[allow(clippy::too_many_lines)] // One line for each field.
fn condition(random: &mut RuleDice) -> Condition {
    let fields: Vec<_> = ConditionField::all()
        .filter(|field| {
            use ConditionField::{UtmCampaign, UtmContent, UtmTerm, Visitor};
            !matches!(field, Visitor | UtmCampaign | UtmTerm | UtmContent)
        })
        .collect();
    let field = random.of(&fields);
    let operator = random.of(field.operators());
    let mut texts = |all: &[&str]| {
        let count = if operator == Operator::Equals { 1 } else { 1 + random.below(3) };
        ConditionValue::Texts((0..count).map(|_| random.of(all).into()).collect())
    };
    let value = match (field, operator) {
        (_, Operator::Exists) => ConditionValue::Exists(random.chance(2)),
        (ConditionField::Country, _) => texts(&COUNTRIES.map(|(country, _)| country)),
        (ConditionField::Continent, _) => texts(&CONTINENTS),
        (ConditionField::Region | ConditionField::City, Operator::Contains | Operator::StartsWith) => {
            texts(&["K", "\u{f6}L", "er"])
        }
        (ConditionField::Region | ConditionField::City, _) => texts(&["berlin", "K\u{d6}LN", "Bonn"]),
        (ConditionField::Language, _) => texts(&RANGES),
        (ConditionField::Device, _) => texts(&DEVICES),
        (ConditionField::Os, _) => texts(&SYSTEMS),
        (ConditionField::Browser, _) => texts(&BROWSERS),
        (ConditionField::Referrer, Operator::Contains | Operator::StartsWith) => {
            texts(&["news", "t.test/", "x.app", ":8080"])
        }
        (ConditionField::Referrer, _) => texts(&HOSTS),
        (ConditionField::Path, _) => texts(&["x/y", "old page", "x", "page"]),
        (ConditionField::Trigger, _) => texts(&["link", "qr"]),
        (ConditionField::Host, _) => texts(&["go.test", "other", "OTHER.test"]),
        (ConditionField::Ip, _) => texts(&NETWORKS),
        (ConditionField::Date, _) => {
            let mut at = |_| Some(Timestamp::from_millis(START + days(random.below(14))));
            let (from, to) = (at(0), at(1));
            match operator {
                Operator::Before => ConditionValue::Dates { from: None, to },
                Operator::After => ConditionValue::Dates { from, to: None },
                _ => ConditionValue::Dates { from: from.min(to), to: from.max(to) },
            }
        }
        (ConditionField::Visits, _) => {
            let (from, to) = (random.below(4) as u64, random.below(4) as u64);
            match operator {
                Operator::Before => ConditionValue::Counts { from: None, to: Some(to) },
                Operator::After => ConditionValue::Counts { from: Some(from), to: None },
                _ => ConditionValue::Counts { from: Some(from), to: Some(from + to) },
            }
        }
        (ConditionField::Time, _) => ConditionValue::WeekTimes(WeekTimes {
            days: u8::try_from(1 + random.below(127)).expect("seven bits"),
            from: u16::try_from(random.below(24 * 60)).expect("a minute"),
            to: u16::try_from(1 + random.below(24 * 60)).expect("a minute"),
            zone: random.of(&ZONES).into(),
        }),
        _ => texts(&["a", "ab", "b"]),
    };
    let key = (field == ConditionField::Query).then(|| "ref".into());
    Condition { field, key, operator, value }
}

fn branch(random: &mut RuleDice, number: u16) -> Branch {
    let url = |what: String| Destination::from_stored(format!("https://e.test/{what}").into());
    let variant = |at: u16| Variant {
        number: number * 10 + at,
        name: None,
        url: url(format!("{number}/{at}")),
        weight: u32::from(at) + 1,
    };
    let outcome = match random.below(4) {
        0 => BranchOutcome::NotFound,
        1 => BranchOutcome::Split(Split {
            variants: (0..3).map(variant).collect(),
            sticky: random.of(&[Sticky::Visitor, Sticky::Cookie, Sticky::Click]),
            winner: random.chance(3).then_some(number * 10 + 1),
        }),
        _ => BranchOutcome::Url(url(number.to_string())),
    };
    let at = |day: usize| Timestamp::from_millis(START + days(day));
    Branch {
        number,
        name: random.chance(2).then(|| "a name".into()),
        enabled: !random.chance(6),
        matches_any: random.chance(3),
        conditions: (0..random.below(4)).map(|_| condition(random)).collect(),
        outcome,
        from: random.chance(5).then(|| at(3)),
        until: random.chance(5).then(|| at(10)),
        memo: None,
    }
}

/// Returns the index of the rule that decides, by the texts alone.
fn reference(branches: &[Branch], person: &Guest) -> Option<usize> {
    branches.iter().position(|branch| {
        let mut conditions = branch.conditions.iter();
        let holds = if branch.matches_any && !branch.conditions.is_empty() {
            conditions.any(|condition| person.holds(condition))
        } else {
            conditions.all(|condition| person.holds(condition))
        };
        person.is_in_force(branch) && holds
    })
}

#[test]
fn random_rules_and_visitors_agree_with_the_reference_and_the_explanation() {
    let mut random = RuleDice(17);
    let agents = Agents::new();
    let mut decided = BTreeMap::new();
    for _ in 0..PAIRS / VISITORS {
        let count = 1 + u16::try_from(random.below(6)).expect("a few");
        let list: Vec<Branch> = (1..=count).map(|number| branch(&mut random, number)).collect();
        let mut options = sample::plain();
        options.forward_path = true;
        options.rules = Some(Arc::new(Branches { list: list.clone(), last_branch: 99, last_variant: 99 }));
        let targets: Vec<_> = options.destinations().cloned().map(Ok).collect();
        let own = targets[0].clone();
        let targets = Targets::new(own, targets.into_iter().skip(1));
        let conditional = Conditional::compile(sample::link(7, "a", options), targets, Guards::default());
        for _ in 0..VISITORS {
            let person = Guest::random(&mut random);
            let request = person.request();
            let facts = request.facts(&agents, "go.test");
            let evaluation = Evaluation {
                conditional: &conditional,
                facts: &facts,
                now: Timestamp::from_millis(person.now),
                clicks: person.clicks,
                is_unlocked: false,
                deny_list: no_list(),
                countries: None,
                choice: Choice::OWN,
            }
            .chosen();
            let want = reference(&list, &person);
            assert_eq!(evaluation.choice.branch, want, "{person:#?} {list:#?}");
            *decided.entry(want).or_insert(0) += 1;
            // The click leads where the rule says.
            let urls: Vec<_> = want
                .map(|at| list[at].outcome.urls().map(Destination::as_str).collect())
                .unwrap_or(vec!["https://e.test/"]);
            match judge(&evaluation) {
                Verdict::NotFound => assert_eq!(urls, [""; 0], "{person:?}"),
                Verdict::Destination { location, .. } => {
                    let location = location.to_str().expect("ASCII");
                    let path = if person.path.is_empty() {
                        String::new()
                    } else {
                        format!("/{}", person.path.replace(' ', "%20"))
                    };
                    let led = |url: &&&str| {
                        format!("{}{path}", url.trim_end_matches('/')).trim_end_matches('/')
                            == location.trim_end_matches('/')
                    };
                    let led = urls.iter().find(led).unwrap_or_else(|| panic!("{location} of {urls:?}"));
                    if let Some(BranchOutcome::Split(Split { variants, winner: Some(winner), .. })) =
                        want.map(|at| &list[at].outcome)
                    {
                        let won =
                            variants.iter().find(|variant| variant.number == *winner).expect("the winner");
                        assert_eq!(**led, *won.url.as_str());
                    }
                }
                other => panic!("{other:?}"),
            }
            // The explanation has a sentence for each rule up to the one that decides, and none for those behind it.
            let explained = explained(&evaluation);
            let wanted: Vec<_> = (0..list.len())
                .map(|at| want.map_or(Some(false), |want| (at <= want).then_some(at == want)))
                .collect();
            assert_eq!(explained.iter().map(|one| one.holds).collect::<Vec<_>>(), wanted, "{explained:?}");
            for (explained, branch) in explained.iter().zip(&list) {
                assert_eq!(explained.why.is_empty(), explained.holds.is_none(), "{explained:?}");
                let is_compared = explained.holds.is_some() && person.is_in_force(branch);
                for (condition, of) in explained.conditions.iter().zip(&branch.conditions) {
                    let holds = is_compared.then(|| person.holds(of));
                    assert_eq!(condition.holds, holds, "{person:?} {of:?} {explained:?}");
                }
            }
        }
    }
    // Each place in the list decides often enough, so that the comparison is of substance.
    assert!(decided.len() == 7 && decided.values().all(|count| *count > 50), "{decided:?}");
}
