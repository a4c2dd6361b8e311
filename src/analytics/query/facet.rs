//! [`Facet`]: what a question can group and filter by, and [`FacetKey`]: a value of it.

use std::borrow::Cow;
use std::fmt;

use super::continents;
use super::error::QueryError;
use crate::agents::classes::ClassField;
use crate::analytics::block::CellField;
use crate::analytics::cell::{BY_API, BY_LINK, BY_QR, Dimension};
use crate::analytics::referrer;
use crate::analytics::tick::LinkRow;
use crate::analytics::values::{UtmName, letters, pack_letters};
use crate::model::id::Id;

/// What a question can group and filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Facet {
    /// The bucket of the question's granularity.
    Time,
    /// Weekday and hour in the question's zone.
    HourOfWeek,
    Link,
    /// The tags that the link has now. A link with several has one key with all of them.
    Tag,
    /// The campaign that the link is in now.
    Campaign,
    /// The domain of the link's short URL.
    Domain,
    Country,
    Continent,
    Region,
    City,
    Device,
    Browser,
    Os,
    /// The name of a bot or a link preview.
    Agent,
    Language,
    Referrer,
    /// The visitor's parameter or, without one, that of the link.
    Utm(UtmName),
    /// How the link was opened.
    Trigger,
    /// The rule that chose the destination.
    Rule,
    /// The variant of the rule.
    Variant,
    /// The path of a visit that found no link.
    Path,
}

/// All facets with their names in the API.
const NAMES: [(&str, Facet); 25] = [
    ("time", Facet::Time),
    ("hourOfWeek", Facet::HourOfWeek),
    ("link", Facet::Link),
    ("tag", Facet::Tag),
    ("campaign", Facet::Campaign),
    ("domain", Facet::Domain),
    ("country", Facet::Country),
    ("continent", Facet::Continent),
    ("region", Facet::Region),
    ("city", Facet::City),
    ("device", Facet::Device),
    ("browser", Facet::Browser),
    ("os", Facet::Os),
    ("agent", Facet::Agent),
    ("language", Facet::Language),
    ("referrer", Facet::Referrer),
    ("utmSource", Facet::Utm(UtmName::Source)),
    ("utmMedium", Facet::Utm(UtmName::Medium)),
    ("utmCampaign", Facet::Utm(UtmName::Campaign)),
    ("utmTerm", Facet::Utm(UtmName::Term)),
    ("utmContent", Facet::Utm(UtmName::Content)),
    ("trigger", Facet::Trigger),
    ("rule", Facet::Rule),
    ("variant", Facet::Variant),
    ("path", Facet::Path),
];

/// The names of [`Facet::Trigger`].
pub(super) const TRIGGERS: [(u32, &str); 3] = [(BY_LINK, "link"), (BY_QR, "qr"), (BY_API, "api")];

impl Facet {
    /// All facets.
    pub fn all() -> impl Iterator<Item = Facet> {
        NAMES.into_iter().map(|(_, facet)| facet)
    }

    /// Returns its name in the API.
    pub fn name(self) -> &'static str {
        let name = NAMES.iter().find(|(_, facet)| *facet == self);
        name.map(|(name, _)| *name).expect("the test `every_facet_has_a_name` compares the list")
    }

    /// Returns the facet of a name.
    pub fn of_name(name: &str) -> Option<Facet> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, facet)| *facet)
    }

    /// Returns the column that has the numbers of the facet.
    pub(super) fn field(self) -> CellField {
        match self {
            Facet::Time | Facet::HourOfWeek => CellField::Slot,
            Facet::Link | Facet::Tag | Facet::Campaign | Facet::Domain => CellField::Link,
            // A continent follows from its country, so cells have no column of it.
            Facet::Country | Facet::Continent => CellField::Value(Dimension::Country),
            Facet::Region | Facet::City => CellField::Value(Dimension::Place),
            // Persons have a class and bots a name, and no visit has both.
            Facet::Device | Facet::Browser | Facet::Os | Facet::Agent => CellField::Value(Dimension::Agent),
            Facet::Language => CellField::Value(Dimension::Language),
            Facet::Referrer => CellField::Value(Dimension::Referrer),
            Facet::Utm(_) => CellField::Value(Dimension::Campaign),
            Facet::Trigger => CellField::Value(Dimension::Trigger),
            Facet::Rule | Facet::Variant => CellField::Value(Dimension::Choice),
            Facet::Path => CellField::Value(Dimension::Path),
        }
    }

    /// Returns whether its keys follow from the link alone.
    pub fn is_of_link(self) -> bool {
        self.field() == CellField::Link
    }

    /// Returns whether its keys depend on what the records of links have now.
    pub(super) fn reads_links(self) -> bool {
        matches!(self, Facet::Tag | Facet::Campaign | Facet::Domain | Facet::Utm(_))
    }

    /// Returns whether some of its values may be in [`FacetKey::Other`], since there were too many.
    pub fn is_open(self) -> bool {
        use Facet::{City, Path, Referrer, Region, Utm};
        matches!(self, City | Path | Referrer | Region | Utm(_))
    }

    /// Returns whether its keys have an order in time. Rows are sorted by such keys first.
    pub(super) fn is_time(self) -> bool {
        matches!(self, Facet::Time | Facet::HourOfWeek)
    }

    /// Returns whether two parts can have different numbers for one key.
    pub(super) fn has_texts(self) -> bool {
        use Facet::{Agent, City, Path, Referrer, Region, Utm};
        matches!(self, Agent | City | Path | Referrer | Region | Utm(_))
    }

    /// Returns the column of a person's class.
    pub(super) fn class(self) -> Option<ClassField> {
        match self {
            Facet::Device => Some(ClassField::Device),
            Facet::Browser => Some(ClassField::Browser),
            Facet::Os => Some(ClassField::Os),
            _ => None,
        }
    }

    /// Returns the key of a text, as filters have it. An empty text is [`FacetKey::None`]. Fails if the facet has
    /// no such key, and for times and links, which a question names in its span and by their rows.
    pub fn key(self, text: &str) -> Result<FacetKey, QueryError> {
        // Answers spell no value as an empty text, so that such a row can become a filter.
        if text.is_empty() {
            return Ok(FacetKey::None);
        }
        let (key, rule) = self.parse(text);
        key.ok_or_else(|| QueryError::Value { facet: self.name(), value: text.into(), rule })
    }

    /// Returns the key of a text, and what texts the facet has.
    fn parse(self, text: &str) -> (Option<FacetKey>, Cow<'static, str>) {
        let (key, rule) = match self {
            Facet::Time => (None, "the span of a question limits its time"),
            // Their names are in the table, which is not of this part.
            Facet::Link | Facet::Tag | Facet::Campaign | Facet::Domain => {
                (None, "links are filtered by their ids")
            }
            Facet::Country => (pair(&text.to_ascii_uppercase()), "the two letters of ISO 3166-1, such as DE"),
            Facet::Language => (pair(&text.to_ascii_lowercase()), "two letters, such as de"),
            Facet::Continent => {
                (continents::continent(text).map(FacetKey::text), "AF, AN, AS, EU, NA, OC or SA")
            }
            Facet::Device | Facet::Browser | Facet::Os => return self.class_key(text),
            // No visit is of a call of the API so far, so the rule does not name it.
            Facet::Trigger => (trigger(text), "link or qr"),
            Facet::Rule | Facet::Variant => (choice(text), "a number from 1 to 65535"),
            Facet::HourOfWeek => {
                let hour = text.parse().ok().filter(|hour| *hour < HOURS_OF_WEEK);
                (hour.map(FacetKey::HourOfWeek), "0 (Monday from 0:00) to 167")
            }
            Facet::Referrer if text.contains("://") => {
                // As the browser shows it. An own host is a site here: it is only never captured.
                let site = referrer::site(text.as_bytes(), |_| false);
                (site.map(|site| FacetKey::text(&site)), "a host such as news.example.com, or its URL")
            }
            // Captured hosts are in lower case and without `www.`.
            Facet::Referrer => {
                let host = text.to_lowercase();
                let site = host.strip_prefix("www.").filter(|site| site.contains('.')).unwrap_or(&host);
                (Some(FacetKey::text(site)), "")
            }
            Facet::Region | Facet::City | Facet::Agent | Facet::Utm(_) | Facet::Path => {
                (Some(FacetKey::text(text)), "")
            }
        };
        (key, rule.into())
    }

    /// Returns the key of a class of persons, and the names of all classes, or where they are if they are many.
    fn class_key(self, text: &str) -> (Option<FacetKey>, Cow<'static, str>) {
        let Some(field) = self.class() else { return (None, "".into()) };
        // Spelt as in answers, since a filter compares keys.
        let key = field.number_of(text).and_then(|number| field.name_of(number)).map(FacetKey::text);
        let names = field.names();
        let rule = match &names[..] {
            [first @ .., last] if names.len() <= NAMES_MAX => format!("{} or {last}", first.join(", ")),
            _ => format!("a name that `groupBy={}` shows", self.name()),
        };
        (key, rule.into())
    }
}

/// Most names of classes that an error lists.
const NAMES_MAX: usize = 20;

/// Hours of a week.
const HOURS_OF_WEEK: u8 = 7 * 24;

fn pair(text: &str) -> Option<FacetKey> {
    let number = pack_letters(text.as_bytes().try_into().ok()?);
    letters(number).map(|_| FacetKey::text(text))
}

fn choice(text: &str) -> Option<FacetKey> {
    text.parse::<u16>().ok().filter(|number| *number > 0).map(|number| FacetKey::Number(number.into()))
}

fn trigger(text: &str) -> Option<FacetKey> {
    TRIGGERS.iter().find(|(_, name)| *name == text).map(|(_, name)| FacetKey::text(name))
}

/// What the facets of links follow from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// Its tags.
    pub tags: Vec<Id>,
    /// The id of its campaign.
    pub campaign: Option<Box<str>>,
    /// The number of its domain.
    pub domain: u32,
}

impl LinkFacts {
    /// Returns the key of a facet of links.
    pub(super) fn key(self, facet: Facet) -> FacetKey {
        match facet {
            Facet::Tag if !self.tags.is_empty() => {
                let mut tags = self.tags;
                // One key for all orders of the same tags.
                tags.sort_unstable();
                FacetKey::Tags(tags.into())
            }
            Facet::Campaign => self.campaign.map_or(FacetKey::None, FacetKey::Text),
            Facet::Domain => FacetKey::Number(self.domain),
            _ => FacetKey::None,
        }
    }
}

/// A value of a facet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FacetKey {
    /// No value: an unknown country, a visit without a referrer, a person as an agent.
    None,
    /// The text of the facet. Country and continent: code in capitals. Language: code in lower case. Region
    /// and city: the country and what is above them, with commas between. Device, browser, system and trigger:
    /// the name. [`Facet::Campaign`]: its id.
    Text(Box<str>),
    /// [`Facet::Rule`] and [`Facet::Variant`], and a class or trigger of a later version.
    ///
    /// [`Facet::Domain`]: its number.
    Number(u32),
    /// [`Facet::Tag`]: the tags of a link, at least one.
    Tags(Box<[Id]>),
    /// [`Facet::Time`]: the first millisecond of the bucket, since 1970.
    Time(i64),
    /// [`Facet::HourOfWeek`]: 0 is Monday from 0:00, 167 is Sunday from 23:00.
    HourOfWeek(u8),
    /// [`Facet::Link`].
    Link(LinkRow),
    /// All values of an open set that were not kept, since there were too many.
    Other,
}

impl FacetKey {
    /// Returns the bytes of memory that it has outside of itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            FacetKey::Text(text) => text.len(),
            FacetKey::Tags(tags) => size_of_val(&**tags),
            FacetKey::None
            | FacetKey::Number(_)
            | FacetKey::Time(_)
            | FacetKey::HourOfWeek(_)
            | FacetKey::Link(_)
            | FacetKey::Other => 0,
        }
    }

    /// Creates the key of a text.
    pub fn text(text: &str) -> FacetKey {
        FacetKey::Text(text.into())
    }
}

/// The text of a key. [`FacetKey::None`] is empty, a link is its row in hexadecimal.
impl fmt::Display for FacetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FacetKey::None => Ok(()),
            FacetKey::Text(text) => f.write_str(text),
            FacetKey::Number(number) => number.fmt(f),
            FacetKey::Time(millis) => millis.fmt(f),
            FacetKey::HourOfWeek(hour) => hour.fmt(f),
            FacetKey::Tags(tags) => tags.iter().enumerate().try_for_each(|(at, tag)| {
                let comma = if at > 0 { "," } else { "" };
                write!(f, "{comma}{tag}")
            }),
            FacetKey::Link(row) => row.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            FacetKey::Other => f.write_str("other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_facet_has_a_name() {
        use Facet::{
            Agent, Browser, Campaign, City, Continent, Country, Device, Domain, HourOfWeek, Language,
        };
        use Facet::{Link, Os, Path, Referrer, Region, Rule, Tag, Time, Trigger, Variant};
        for facet in Facet::all() {
            assert_eq!(Facet::of_name(facet.name()), Some(facet));
        }
        // A new facet does not compile here until it is counted.
        let count = |facet| match facet {
            Time
            | HourOfWeek
            | Link
            | Tag
            | Campaign
            | Domain
            | Country
            | Continent
            | Region
            | City
            | Device
            | Browser
            | Os
            | Agent
            | Language
            | Referrer
            | Trigger
            | Rule
            | Variant
            | Path
            | Facet::Utm(
                UtmName::Source | UtmName::Medium | UtmName::Campaign | UtmName::Term | UtmName::Content,
            ) => 1,
        };
        assert_eq!(Facet::all().map(count).sum::<usize>(), 20 + 5);
        assert_eq!(Facet::of_name("Country"), None);
    }

    #[test]
    fn the_keys_of_texts() {
        let text = |text| Some(FacetKey::text(text));
        let rows = [
            (Facet::Country, "de", text("DE")),
            (Facet::Country, "", Some(FacetKey::None)),
            (Facet::Country, "Germany", None),
            (Facet::Country, "1E", None),
            (Facet::Language, "DE", text("de")),
            (Facet::Continent, "eu", text("EU")),
            (Facet::Continent, "XX", None),
            (Facet::Browser, "fireFOX", text("Firefox")),
            (Facet::Browser, "desktop", None),
            (Facet::Device, "desktop", text("desktop")),
            (Facet::Trigger, "qr", text("qr")),
            (Facet::Trigger, "fax", None),
            (Facet::Rule, "3", Some(FacetKey::Number(3))),
            // Rules begin with 1, and the link's own destination has no number.
            (Facet::Rule, "0", None),
            (Facet::Variant, "65536", None),
            (Facet::HourOfWeek, "167", Some(FacetKey::HourOfWeek(167))),
            (Facet::HourOfWeek, "168", None),
            (Facet::Referrer, "News.Example", text("news.example")),
            (Facet::Path, "/A", text("/A")),
            (Facet::Link, "abc", None),
            (Facet::Time, "2026", None),
        ];
        for (facet, text, key) in rows {
            assert_eq!(facet.key(text).ok(), key, "{facet:?} {text:?}");
        }
        let error = Facet::Country.key("Germany").expect_err("no code").to_string();
        assert_eq!(error, "`Germany` is not a value of country: the two letters of ISO 3166-1, such as DE");
    }
}
