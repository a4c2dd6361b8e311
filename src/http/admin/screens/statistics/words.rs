//! The words of properties and their values, and the values as filters.

use crate::analytics::query::facet::{Facet, FacetKey};
use crate::core::{AnalyticsView, link_of_row};
use crate::http::admin::screens::links::list::without_scheme;
use crate::visit::pages::name_of;

/// A property in the singular of a filter and in the plural of a list, by its name in the API.
const PROPERTIES: [(&str, &str, &str); 24] = [
    ("link", "Link", "Links"),
    ("tag", "Tag", "Tags"),
    ("campaign", "Campaign", "Campaigns"),
    ("domain", "Domain", "Domains"),
    ("country", "Country", "Countries"),
    ("continent", "Continent", "Continents"),
    ("region", "Region", "Regions"),
    ("city", "City", "Cities"),
    ("device", "Device", "Devices"),
    ("browser", "Browser", "Browsers"),
    ("os", "System", "Systems"),
    ("agent", "Bot", "Bots"),
    ("language", "Language", "Languages"),
    ("referrer", "Site", "Sites"),
    ("utmSource", "utm_source", "utm_source"),
    ("utmMedium", "utm_medium", "utm_medium"),
    ("utmCampaign", "utm_campaign", "utm_campaign"),
    ("utmTerm", "utm_term", "utm_term"),
    ("utmContent", "utm_content", "utm_content"),
    ("trigger", "Opened by", "Link or QR code"),
    ("rule", "Rule", "Rules"),
    ("variant", "Variant", "Variants"),
    ("path", "Path", "Paths"),
    ("hourOfWeek", "Hour of the week", "Hours of the week"),
];

/// Continents by their letters.
const CONTINENTS: [(&str, &str); 7] = [
    ("AF", "Africa"),
    ("AN", "Antarctica"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("NA", "North America"),
    ("OC", "Oceania"),
    ("SA", "South America"),
];

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A line for each country of ISO 3166-1: its letters, a space, its name.
const COUNTRIES: &str = include_str!("../../assets/countries.txt");

/// The same of languages with two letters (ISO 639-1).
const LANGUAGES: &str = include_str!("../../assets/languages.txt");

/// Returns the property in the singular.
pub(super) fn singular(property: &str) -> &'static str {
    words(property).1
}

/// Returns the property in the plural.
pub(super) fn plural(property: &str) -> &'static str {
    words(property).2
}

fn words(property: &str) -> (&'static str, &'static str, &'static str) {
    // The ids of the other parameters are shown as those of their object.
    let property = property.strip_suffix("Id").unwrap_or(property);
    PROPERTIES.into_iter().find(|(known, ..)| *known == property).unwrap_or(("", "Filter", "Rows"))
}

/// Returns the words of a value as an answer has it.
pub(super) fn label(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> String {
    match (facet, key) {
        (Facet::Tag, FacetKey::None) => "without a tag".to_owned(),
        (Facet::Campaign, FacetKey::None) => "without a campaign".to_owned(),
        (Facet::Rule, FacetKey::None) => "no rule".to_owned(),
        (Facet::Variant, FacetKey::None) => "no variant".to_owned(),
        // Every visit is by a person or by a program that has a name.
        (Facet::Agent, FacetKey::None) => "no known bot".to_owned(),
        (_, FacetKey::Other) => "rare values".to_owned(),
        (Facet::Rule | Facet::Variant, FacetKey::Number(number)) => {
            name(view, facet, key).unwrap_or_else(|| format!("{} {number}", singular(facet.name())))
        }
        (Facet::Tag | Facet::Campaign | Facet::Domain, _) => name(view, facet, key)
            .unwrap_or_else(|| format!("a deleted {}", singular(facet.name()).to_lowercase())),
        (_, FacetKey::Link(_)) => without_scheme(&name_of(view, facet, key)).to_owned(),
        (_, FacetKey::Text(text)) => spoken(facet.name(), text).unwrap_or_else(|| name_of(view, facet, key)),
        _ => name_of(view, facet, key),
    }
}

fn name(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> Option<String> {
    view.names.get(&(facet.name(), key.clone())).map(ToString::to_string)
}

/// Returns the value by which a filter of the API finds the visits of a row. `None` for rows that no filter finds.
pub(super) fn value(view: &AnalyticsView, facet: Facet, key: &FacetKey) -> Option<String> {
    match (facet, key) {
        (_, FacetKey::None) => Some("null".to_owned()),
        (_, FacetKey::Other) => facet.is_open().then(|| "other".to_owned()),
        (Facet::Rule | Facet::Variant, FacetKey::Number(number)) => Some(number.to_string()),
        // By name: an address that people read.
        (Facet::Tag | Facet::Campaign | Facet::Domain, _) => name(view, facet, key).map(|name| spelt(&name)),
        (_, FacetKey::Link(row)) => {
            let id = link_of_row(row)?;
            let url = view.links.get(&id).map(|url| spelt(without_scheme(url)));
            Some(url.unwrap_or_else(|| id.to_string()))
        }
        (_, FacetKey::Text(text)) => Some(spelt(text)),
        (_, FacetKey::Tags(_) | FacetKey::Number(_) | FacetKey::Time(_) | FacetKey::HourOfWeek(_)) => None,
    }
}

/// Returns a text as a value of a filter: in quotes if it would mean something else without them.
fn spelt(text: &str) -> String {
    let is_word = matches!(text, "null" | "other" | "");
    let is_plain = !text.starts_with(['-', '"']) && !text.contains(',') && text.trim() == text && !is_word;
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// Returns the words of a filter's value, as its address has it, without the sign of an exclusion.
pub(super) fn shown_value(property: &str, value: &str) -> String {
    if let Some(text) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        // Several quoted values are shown as they are. Two quotes are one of the text.
        return if text.replace("\"\"", "").contains("\",") {
            value.to_owned()
        } else {
            text.replace("\"\"", "\"")
        };
    }
    let each = value.split(',').map(|value| match value {
        "null" if property == "referrer" => "direct or unknown".to_owned(),
        "null" => "unknown".to_owned(),
        "other" => "rare values".to_owned(),
        value => spoken(property, value).unwrap_or_else(|| value.to_owned()),
    });
    each.collect::<Vec<_>>().join(" or ")
}

/// Returns the name of a value that is spelt with letters or a number.
fn spoken(property: &str, value: &str) -> Option<String> {
    let line = |lines: &'static str, code: String| {
        lines.lines().find_map(|line| line.strip_prefix(code.as_str())?.strip_prefix(' ')).map(str::to_owned)
    };
    match property {
        "country" => line(COUNTRIES, value.to_ascii_uppercase()),
        "language" => line(LANGUAGES, value.to_ascii_lowercase()),
        "continent" => {
            let found = CONTINENTS.iter().find(|(code, _)| code.eq_ignore_ascii_case(value));
            found.map(|(_, name)| (*name).to_owned())
        }
        "trigger" if value == "qr" => Some("QR code".to_owned()),
        "hourOfWeek" => {
            let hour: usize = value.parse().ok()?;
            DAYS.get(hour / 24).map(|day| format!("{day} {}:00", hour % 24))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_words() {
        for facet in Facet::all().filter(|facet| *facet != Facet::Time) {
            assert_ne!(singular(facet.name()), "Filter", "{}", facet.name());
        }
        assert_eq!((singular("linkId"), plural("country")), ("Link", "Countries"));
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let rows = [
            ("Firefox", "Firefox"),
            ("a, b", "\"a, b\""),
            ("-x", "\"-x\""),
            ("null", "\"null\""),
            ("say \"hi\"", "say \"hi\""),
            ("\"hi\", he", "\"\"\"hi\"\", he\""),
            (" x", "\" x\""),
        ];
        for (text, want) in rows {
            assert_eq!(spelt(text), want, "{text}");
            let shown = shown_value("referrer", &spelt(text));
            assert_eq!(shown, text, "{want}");
        }
    }

    #[test]
    fn values_have_names() {
        let rows = [
            ("country", "DE", "Germany"),
            ("country", "de,AT", "Germany or Austria"),
            ("country", "XX", "XX"),
            ("country", "null", "unknown"),
            ("referrer", "null", "direct or unknown"),
            ("language", "de", "German"),
            ("continent", "EU", "Europe"),
            ("trigger", "qr", "QR code"),
            ("hourOfWeek", "38", "Tuesday 14:00"),
            ("hourOfWeek", "168", "168"),
            ("city", "\"AU, Queensland, South Brisbane\"", "AU, Queensland, South Brisbane"),
            ("tag", "\"a\",\"b\"", "\"a\",\"b\""),
        ];
        for (property, value, want) in rows {
            assert_eq!(shown_value(property, value), want, "{property}={value}");
        }
    }
}
