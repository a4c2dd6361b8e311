//! Whether the conditions of a link's rules hold for a visit. Facts are lazy: a country is looked up, and a header is
//! parsed, only if a condition asks for it, and once for all rules.

use std::borrow::Cow;
use std::cell::OnceCell;

use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;

use super::intent::is_of_qr_code;
use super::visit_facts::VisitFacts;
use crate::agents::AgentDetail;
use crate::agents::classes::{AgentClass, ClassField};
use crate::analytics::country::{CountryCode, LoadedCountries, Place, ProxyCountry};
use crate::cache::branching::{Check, CompiledBranch, CompiledCondition, TextCheck, has_address, has_host};
use crate::clock::Timestamp;
use crate::model::text::{pieces, split_at};

/// Most languages that a visitor may prefer alike. Browsers send one.
const PREFERRED_MAX: usize = 4;

/// The facts of a visit that conditions compare.
pub(super) struct BranchFacts<'a> {
    pub(super) visit: &'a VisitFacts,
    /// The countries of the operator's file, if the server keeps details.
    pub(super) countries: Option<&'a LoadedCountries>,
    pub(super) now: Timestamp,
    /// The clicks of the link so far.
    pub(super) clicks: u64,
    country: OnceCell<Option<CountryCode>>,
    place: OnceCell<Option<Place>>,
    languages: OnceCell<Languages<'a>>,
    referrer: OnceCell<Option<Box<str>>>,
}

impl<'a> BranchFacts<'a> {
    pub(super) fn new(
        visit: &'a VisitFacts,
        countries: Option<&'a LoadedCountries>,
        now: Timestamp,
        clicks: u64,
    ) -> BranchFacts<'a> {
        BranchFacts {
            visit,
            countries,
            now,
            clicks,
            country: OnceCell::new(),
            place: OnceCell::new(),
            languages: OnceCell::new(),
            referrer: OnceCell::new(),
        }
    }

    /// Returns whether a rule is in force and its conditions hold.
    pub(super) fn holds(&self, branch: &CompiledBranch) -> bool {
        // Negation is outside of the check: a visit without the fact passes `notIn`.
        let holds = |condition: &CompiledCondition| self.passes(&condition.check) != condition.is_negated;
        branch.is_in_force(self.now)
            && if branch.matches_any && !branch.conditions.is_empty() {
                branch.conditions.iter().any(holds)
            } else {
                branch.conditions.iter().all(holds)
            }
    }

    /// Returns whether a check passes. A fact that the visit does not have passes none.
    pub(super) fn passes(&self, check: &Check) -> bool {
        match check {
            Check::Country(set) => self.country().is_some_and(|country| set.contains(country)),
            Check::HasCountry => self.country().is_some(),
            Check::Region(check) => self.place().is_some_and(|place| passes_folded(check, &place.region)),
            Check::City(check) => self.place().is_some_and(|place| passes_folded(check, &place.city)),
            Check::Language(ranges) => self.languages().iter().any(|tag| is_in_ranges(ranges, tag)),
            Check::HasLanguage => !self.languages().is_empty(),
            // One bit for each class, so that a long list costs as much as a short one.
            Check::Class(field, mask) => mask >> self.class(*field) & 1 == 1,
            Check::ReferrerHost(hosts) => self.referrer().is_some_and(|url| has_host(hosts, host_of(url))),
            Check::Referrer(check) => self.referrer().is_some_and(|url| check.passes(url)),
            Check::Host(check) => check.passes(&self.visit.host),
            Check::Query(name, check) => self.values(name).any(|value| check.passes(&value)),
            // A visit without a path behind the code has no value.
            Check::Path(check) => !self.visit.rest.is_empty() && check.passes(&self.path()),
            Check::Trigger { link, qr } => {
                if self.is_of_qr_code() {
                    *qr
                } else {
                    *link
                }
            }
            Check::Ip(networks) => has_address(networks, self.visit.address),
            // The first instant belongs to a span, and the last one does not.
            Check::Date { from, to } => *from <= self.now && self.now < *to,
            Check::Clicks { from, to } => (*from..*to).contains(&self.clicks),
            Check::Week(times) => times.has(self.now),
            Check::Never => false,
        }
    }

    /// Returns the country, as the details of clicks have it: of the proxy's header, or else of the file.
    pub(super) fn country(&self) -> Option<CountryCode> {
        *self.country.get_or_init(|| match self.visit.country {
            ProxyCountry::Known(country) => Some(country),
            ProxyCountry::Unknown => None,
            ProxyCountry::NotReported => self.countries?.load().as_ref()?.of(self.visit.address),
        })
    }

    /// Returns region and city, if they are of the visitor's country.
    pub(super) fn place(&self) -> Option<&Place> {
        let place = self.place.get_or_init(|| {
            if let Some(place) = &self.visit.place {
                return Some((**place).clone());
            }
            let loaded = self.countries?.load();
            let countries = loaded.as_ref()?;
            // A city of the file that is in another country than the proxy reports would be the wrong one.
            let same = countries.of(self.visit.address).filter(|country| Some(*country) == self.country());
            same.and_then(|_| countries.place(self.visit.address))
        });
        place.as_ref()
    }

    /// Returns the languages that the visitor prefers to all others.
    pub(super) fn languages(&self) -> &[&'a str] {
        let languages = self.languages.get_or_init(|| {
            // A header that is no text prefers nothing.
            let header = self.visit.language.as_ref().and_then(|value| value.to_str().ok());
            header.map(Languages::preferred).unwrap_or_default()
        });
        &languages.tags[..languages.count]
    }

    /// Returns the number of a class; 0 if it is unknown, and for bots.
    pub(super) fn class(&self, field: ClassField) -> u16 {
        match self.visit.agent.detail() {
            AgentDetail::Class(class) => class.get(field),
            // A bot has no device, whatever its User-Agent imitates.
            AgentDetail::Bot(_) => AgentClass::default().get(field),
        }
    }

    /// Returns the URL of the page before the click in lower case, without its scheme.
    pub(super) fn referrer(&self) -> Option<&str> {
        let read = |value: &HeaderValue| {
            let text = value.to_str().ok()?;
            // People write the site without its scheme.
            let scheme = text.as_bytes().windows(3).position(|bytes| bytes == b"://");
            let rest = scheme.map_or(text, |at| &text[at + 3..]);
            (!rest.is_empty()).then(|| rest.to_ascii_lowercase().into())
        };
        self.referrer.get_or_init(|| self.visit.referrer.as_ref().and_then(read)).as_deref()
    }

    /// Returns the decoded values of a parameter of the query.
    pub(super) fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'n> {
        let query = self.visit.query.as_deref().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.filter(move |(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the decoded path behind the code.
    pub(super) fn path(&self) -> Cow<'a, str> {
        percent_decode_str(&self.visit.rest).decode_utf8_lossy()
    }

    /// Returns whether the link was opened by its QR code.
    pub(super) fn is_of_qr_code(&self) -> bool {
        self.visit.query.as_deref().is_some_and(is_of_qr_code)
    }
}

/// Compares without case. A place without a name has none.
fn passes_folded(check: &TextCheck, text: &str) -> bool {
    !text.is_empty() && check.passes(&text.to_lowercase())
}

/// Returns the host at the beginning of a URL without scheme.
pub(super) fn host_of(url: &str) -> &str {
    let end = url.bytes().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(url.len());
    let authority = &url[..end];
    let host = authority.bytes().rposition(|byte| byte == b'@').map_or(authority, |at| &authority[at + 1..]);
    split_at(host, b':').map_or(host, |(host, _)| host).trim_end_matches('.')
}

/// Returns whether a tag is within one of the ranges: basic filtering of RFC 4647, 3.3.1.
fn is_in_ranges(ranges: &[Box<str>], tag: &str) -> bool {
    ranges.iter().any(|range| {
        let (range, tag) = (range.as_bytes(), tag.as_bytes());
        tag.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range))
            && tag.get(range.len()).is_none_or(|next| *next == b'-')
    })
}

/// The tags of an `Accept-Language` with the highest quality, the first ones of them.
#[derive(Clone, Copy, Debug, Default)]
struct Languages<'a> {
    tags: [&'a str; PREFERRED_MAX],
    count: usize,
}

impl<'a> Languages<'a> {
    fn preferred(header: &'a str) -> Languages<'a> {
        let (mut best, mut languages) = (1, Languages::default());
        for item in pieces(header, b',') {
            let mut parts = pieces(item, b';').map(str::trim_ascii);
            let tag = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let quality = quality.map_or(1_000, thousandths);
            // `*` is no language, and 0 is one that the visitor refuses.
            if tag.is_empty() || tag == "*" || quality < best {
                continue;
            }
            if quality > best {
                (best, languages.count) = (quality, 0);
            }
            if languages.count < PREFERRED_MAX {
                languages.tags[languages.count] = tag;
                languages.count += 1;
            }
        }
        languages
    }
}

/// Returns a quality as thousandths; 0 for a text that is none.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = split_at(text, b'.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let number = |digits: &str| digits.bytes().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    match (whole, fraction.len()) {
        ("1", 0..=3) => 1_000,
        ("0", 0..=3) => number(fraction) * [1_000, 100, 10, 1][fraction.len()],
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_languages() {
        for (header, want) in [
            ("de-DE,de;q=0.9,en;q=0.8", &["de-DE"][..]),
            ("en;q=0.8, de", &["de"]),
            ("de;q=0.8,fr;q=0.8,en;q=0.5", &["de", "fr"]),
            ("de;q=1.0,fr", &["de", "fr"]),
            ("*", &[]),
            ("de;q=0", &[]),
            ("de;q=0.001", &["de"]),
            ("de;q=2,fr;q=0.1", &["fr"]),
            ("", &[]),
            ("a,b,c,d,e", &["a", "b", "c", "d"]),
            ("de ; q=0.5 , fr ; q=0.25", &["de"]),
        ] {
            let languages = Languages::preferred(header);
            assert_eq!(languages.tags[..languages.count], *want, "{header}");
        }
    }

    #[test]
    fn ranges_of_languages() {
        let ranges = ["de".into(), "pt-br".into()];
        for (tag, want) in [
            ("de", true),
            ("DE-at", true),
            ("den", false),
            ("pt", false),
            ("pt-BR", true),
            ("pt-BR-abl", true),
            ("pt-BRX", false),
            ("d", false),
        ] {
            assert_eq!(is_in_ranges(&ranges, tag), want, "{tag}");
        }
    }

    #[test]
    fn hosts_of_referrers() {
        for (url, want) in [
            ("a.test", "a.test"),
            ("a.test/b", "a.test"),
            ("a.test:8080/b", "a.test"),
            ("u:p@a.test./", "a.test"),
            ("a.test?b", "a.test"),
            ("", ""),
        ] {
            assert_eq!(host_of(url), want, "{url}");
        }
    }
}
