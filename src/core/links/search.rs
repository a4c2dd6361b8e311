//! The text that a search compares with links: code, title, short URL, destination with its UTM parameters,
//! and the destinations of rules, as stored and as people read them. Both sides are compared in NFC and in lower case.
//!
//! A search reads every link of a list, and nearly all of them do not match. So a text is copied only if it
//! has characters that a comparison of bytes cannot fold, and the decoded forms are built only if they
//! differ.

use std::collections::{BTreeSet, HashMap};

use memchr::memchr;
use memchr::memmem::Finder;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization;

use super::search_text::{FieldMark, PUNYCODE, decoded, decoded_host, field_at, has_punycode, is_in_ascii};
use crate::core::shared::Shared;
use crate::model::domain::DomainNumber;
use crate::model::link::{Link, Options};
use crate::model::short_code::ShortCode;
use crate::model::text::{searchable, trim_blank};
use crate::model::workspace::WorkspaceNumber;

/// A text that is searched for.
#[derive(Clone, Debug)]
pub(in crate::core) struct LinkSearch {
    needle: String,
    /// Finds the needle in texts that are folded already.
    finder: Finder<'static>,
    /// Whether a URL may have the text across the borders of a parameter, or escaped in one.
    may_span_parameters: bool,
    /// Escapes of which a URL has at least one if it has the text only without escapes.
    escapes: Vec<String>,
    /// For each domain, the beginnings of codes whose short URLs have the text across the slash before the
    /// code.
    code_starts: HashMap<DomainNumber, Vec<CodeStart>>,
}

/// The beginning of a code, or a whole code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CodeStart {
    text: String,
    /// Whether something follows the code, so that no longer code is meant.
    is_whole: bool,
}

impl CodeStart {
    /// Returns whether a code in the form of searches begins so, or is the whole code.
    fn fits(&self, code: &[u8]) -> bool {
        if self.is_whole { code == self.text.as_bytes() } else { code.starts_with(self.text.as_bytes()) }
    }
}

impl Shared {
    /// Returns the search for a text, or `None` for one that every link has.
    pub(in crate::core) fn search(&self, workspace: WorkspaceNumber, text: &str) -> Option<LinkSearch> {
        // As people paste it.
        let needle = searchable(trim_blank(text)).into_owned();
        let mut code_starts = HashMap::new();
        // Few texts have a slash. Without one, a text across the slash cannot occur.
        if needle.contains('/') {
            let directory = self.directory.load();
            let own = directory.domains_of(Some(workspace));
            for domain in own.chain(directory.domain(DomainNumber::DEFAULT)) {
                let base = self.site.base_of(domain);
                let starts = code_starts_behind(&[&base, &decoded_host(&base)], &needle);
                if !starts.is_empty() {
                    code_starts.insert(domain.number, starts);
                }
            }
        }
        (!needle.is_empty()).then(|| LinkSearch::new(needle, code_starts))
    }
}

impl LinkSearch {
    fn new(needle: String, code_starts: HashMap<DomainNumber, Vec<CodeStart>>) -> LinkSearch {
        let may_span_parameters = needle.contains(['=', '&', '?', '#', '+', '%']);
        let finder = Finder::new(&needle).into_owned();
        LinkSearch { may_span_parameters, escapes: escapes(&needle), finder, needle, code_starts }
    }

    /// Returns the finder of the text, `None` if a link may have it across the border of two fields, so that each link must
    /// be compared.
    pub(in crate::core) fn finder(&self) -> Option<&Finder<'static>> {
        self.code_starts.is_empty().then_some(&self.finder)
    }

    /// Returns whether a link has the text, as [`LinkSearch::matches`] does. `text` is its text of
    /// [`super::search_text::write`], and `domains` are those of its code and of its aliases, in their order.
    pub(in crate::core) fn is_in_text(
        &self,
        text: &[u8],
        is_plain: bool,
        domains: impl Iterator<Item = DomainNumber>,
    ) -> bool {
        let mut from = 0;
        while let Some(at) = self.finder.find(&text[from..]) {
            if is_plain || self.counts_at(text, from + at) {
                return true;
            }
            from += at + 1;
        }
        !self.code_starts.is_empty() && {
            // The codes are the first fields of the text.
            // Walked together with the domains: both are in the order of the aliases.
            let mut rest = text;
            domains.into_iter().any(|domain| {
                let behind = rest.get(1..).unwrap_or_default();
                let end =
                    behind.iter().position(|byte| FieldMark::of(*byte).is_some()).unwrap_or(behind.len());
                let code = &behind[..end];
                rest = &behind[end..];
                self.code_starts
                    .get(&domain)
                    .is_some_and(|starts| starts.iter().any(|start| start.fits(code)))
            })
        }
    }

    /// Returns whether an occurrence in the text of a link counts. Those in other forms of a field count as in
    /// [`LinkSearch::is_in_url`] and [`LinkSearch::is_in_utm`].
    fn counts_at(&self, text: &[u8], at: usize) -> bool {
        let Some((mark, start)) = field_at(text, at) else { return false };
        match mark {
            FieldMark::Field => true,
            FieldMark::Parameter => !self.may_span_parameters,
            FieldMark::Target => self.may_span_parameters,
            FieldMark::Decoded => field_at(text, start).is_some_and(|(of, begin)| {
                let url = &text[begin..start];
                (of == FieldMark::Field || self.may_span_parameters)
                    && (self.escapes.iter().any(|escape| is_in_ascii(url, escape.as_bytes()))
                        || is_in_ascii(url, PUNYCODE.as_bytes()))
            }),
        }
    }

    /// Returns whether a link has the text.
    pub(in crate::core) fn matches(&self, link: &Link) -> bool {
        let options = &link.options;
        let aliases = || link.aliases.iter().map(|alias| (alias.domain, &alias.code));
        self.is_in(link.code.as_str())
            || aliases().any(|(_, code)| self.is_in(code.as_str()))
            || options.title.as_deref().is_some_and(|title| self.is_in(title))
            // The destination of the link, and those of its rules, which lists show as well.
            || options.destinations().any(|to| self.is_in_url(to.as_str()))
            || !options.utm.is_empty() && self.is_in_utm(options)
            || !self.code_starts.is_empty()
                && (std::iter::once((link.domain, &link.code)).chain(aliases()))
                    .any(|(domain, code)| self.is_at(domain, code))
    }

    /// Returns whether the short URL of a code has the text across the slash before the code.
    fn is_at(&self, domain: DomainNumber, code: &ShortCode) -> bool {
        self.code_starts.get(&domain).is_some_and(|starts| {
            let code = searchable(code.as_str());
            starts.iter().any(|start| start.fits(code.as_bytes()))
        })
    }

    /// Returns whether the destination has the text in its UTM parameters, or across one.
    fn is_in_utm(&self, options: &Options) -> bool {
        if self.may_span_parameters {
            return self.is_in_url(options.target().as_str());
        }
        options.utm.pairs().any(|(name, value)| self.is_in(name) || self.is_in(value))
    }

    /// Returns whether a URL has the text, as it is or as people read it.
    fn is_in_url(&self, url: &str) -> bool {
        if self.is_in(url) {
            return true;
        }
        // Most URLs have no escapes, or none of this text.
        let is_there = |text: &String| is_in_ascii(url.as_bytes(), text.as_bytes());
        let is_escaped = memchr(b'%', url.as_bytes()).is_some() && self.escapes.iter().any(is_there);
        (is_escaped || has_punycode(url)) && self.is_in(&decoded(url))
    }

    fn is_in(&self, text: &str) -> bool {
        // A destination is ASCII, and so are most codes.
        if text.is_ascii() {
            return self.needle.is_ascii() && is_in_ascii(text.as_bytes(), self.needle.as_bytes());
        }
        searchable(text).contains(&*self.needle)
    }
}

/// Returns escapes of which a URL has at least one if it has `needle` only without escapes: of the first
/// character beyond ASCII in all its spellings, or of any ASCII character that URLs escape.
fn escapes(needle: &str) -> Vec<String> {
    let chars: BTreeSet<char> = match needle.chars().find(|c| !c.is_ascii()) {
        Some(first) => {
            // The needle has one sigma for both.
            let last = (first == 'σ').then_some('ς');
            let both = std::iter::once(first).chain(first.to_uppercase()).chain(last);
            both.flat_map(|c| std::iter::once(c).chain(c.nfd())).filter(|c| !c.is_ascii()).collect()
        }
        None => needle.chars().filter(|c| !c.is_ascii_alphanumeric() && !"-._~".contains(*c)).collect(),
    };
    let escape = |c: char| {
        utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC).to_string().to_lowercase()
    };
    chars.into_iter().map(escape).collect()
}

/// Returns what `needle` has behind each slash that follows the end of one of `bases`, as codes begin.
fn code_starts_behind(bases: &[&str], needle: &str) -> Vec<CodeStart> {
    let mut starts = Vec::new();
    let without_scheme = |url: &str| url.split_once("://").map(|(_, rest)| rest.to_owned());
    for (at, _) in needle.match_indices('/') {
        let (before, behind) = (&needle[..at], &needle[at + 1..]);
        let is_end = bases.iter().any(|base| {
            let base = searchable(base);
            // A copied short URL may have the other scheme.
            let is_same = || without_scheme(before).is_some_and(|host| without_scheme(&base) == Some(host));
            base.ends_with(before) || is_same()
        });
        // A query or fragment behind a short URL: alone, `/page?a=1` is a part of a destination.
        let query = behind.find(['?', '#']).filter(|_| !before.is_empty());
        let code = &behind[..query.unwrap_or(behind.len())];
        // A code has no slash. One behind it is a part of the same address.
        let (code, slash) = code.strip_suffix('/').map_or((code, false), |code| (code, true));
        if !is_end || code.is_empty() || code.contains('/') {
            continue;
        }
        // As it is, and as browsers copy it.
        for code in [Some(code.into()), percent_decode_str(code).decode_utf8().ok()].into_iter().flatten() {
            let text = searchable(&code).into_owned();
            let start = CodeStart { text, is_whole: query.is_some() || slash };
            if !starts.contains(&start) {
                starts.push(start);
            }
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::links::search_text;
    use crate::model::destination::LinkType;
    use crate::model::link::{Alias, sample};

    fn search(text: &str) -> LinkSearch {
        let needle = searchable(text).into_owned();
        let starts = code_starts_behind(&["http://127.0.0.1:8080"], &needle);
        LinkSearch::new(needle, HashMap::from([(DomainNumber::DEFAULT, starts)]))
    }

    /// Compares the link and its text for the index, which must be found alike.
    fn is_found(search: &LinkSearch, link: &Link) -> bool {
        let mut text = Vec::new();
        let written = search_text::write(link, &mut text);
        let domains = std::iter::once(link.domain).chain(link.aliases.iter().map(|alias| alias.domain));
        let found = search.matches(link);
        assert_eq!(search.is_in_text(&text, written.is_plain, domains), found, "{search:?} in {link:?}");
        found
    }

    proptest! {
        /// In every combination of fields, the text for the index has what the fields have.
        #[test]
        fn the_text_of_a_link_has_what_its_fields_have(
            url in prop::sample::select(vec![
                "https://e.test/a?x=1", "https://xn--bcher-kva.example/%61bc", "https://e.test/gr%C3%B6%C3%9Fe?q=a%20b#c",
                "https://e.test/100%25", "https://E.test/?utm_source=own&b=2",
            ]),
            title in prop::option::of("[ a-cäÄßσςΣ%/=&]{0,6}|Gro\u{308}ße|♥\u{fe0f}x"),
            utm in prop::option::of("[ a-c%=&ä]{1,5}"),
            (code, alias) in ("[a-c]{1,3}|♥[a-c]", prop::option::of("[a-c]{1,3}")),
            needle in "[a-c]{1,3}|[ a-c%=&?#äßσ/+.]{1,4}|utm_source|e.test/|xn--|%[26][50]|bücher|größe|8080/[a-c]|127.0.0.1:8080/[a-c]{1,2}[?/]?",
        ) {
            let mut link = sample::link(1, &code, Options::new(sample::url(url), LinkType::Url));
            link.options.title = title.map(Into::into);
            link.options.utm.source = utm.map(Into::into);
            link.aliases.extend(alias.map(|code| Alias {
                domain: DomainNumber::DEFAULT,
                code: ShortCode::parse(&code).expect("a code"),
                typed_code: None,
            }));
            let needle = searchable(trim_blank(&needle)).into_owned();
            prop_assume!(!needle.is_empty());
            is_found(&search(&needle), &link);
        }
    }

    #[test]
    fn f15_a_search_finds_what_the_api_shows() {
        let url = sample::url("https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe?q=t%C3%BCr&A=a%20b");
        let mut link = sample::link(1, "café", Options::new(url, LinkType::Url));
        link.options.title = Some("Gro\u{308}ße İstanbul".into());
        link.options.utm.source = Some("newsletterx".into());
        let code = ShortCode::parse("♥\u{fe0f}old").expect("a code");
        link.aliases.push(Alias { domain: DomainNumber::DEFAULT, code, typed_code: None });
        for found in [
            "CAFÉ",
            "cafe\u{301}",
            "http://127.0.0.1:8080/caf%C3%A9",
            "127.0.0.1:8080/café",
            "127.0.0.1:8080/caf",
            "/CAFÉ/",
            "http://127.0.0.1:8080/café?utm_medium=x",
            "127.0.0.1:8080/caf%C3%A9/?a#b",
            "https://127.0.0.1:8080/café",
            "http://127.0.0.1:8080/♥\u{fe0f}old",
            "127.0.0.1:8080/%E2%99%A5%EF%B8%8Fold?a",
            "♥\u{fe0f}ol",
            "/♥old",
            "größe",
            "gro\u{308}ße",
            "GRÖSSE".replace("SS", "ß").as_str(),
            "İstanbul",
            "tür",
            "t%c3%bcr",
            "bücher.example/größe",
            "XN--BCHER",
            "utm_source=newsletterX",
            "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe?q=t%C3%BCr&A=a%20b&utm_source=newsletterx",
            "a b",
        ] {
            assert!(is_found(&search(found), &link), "{found}");
        }
        for missing in [
            "cafés",
            "/afé",
            "http://127.0.0.1:8080/caf?a",
            "https://x127.0.0.1:8080/café",
            "127.0.0.1:8080",
            "0.1:8080/x",
            "turkey",
            "utm_medium",
            "/",
        ] {
            assert_eq!(is_found(&search(missing), &link), missing == "/", "{missing}");
        }
    }

    #[test]
    fn a_text_is_found_at_every_position() {
        for (text, needle, want) in [
            ("abcabd", "abd", true),
            ("aaab", "aab", true),
            ("ABC", "c", true),
            ("abc", "abcd", false),
            ("abc", "", true),
            ("", "a", false),
            ("xABy", "ab", true),
        ] {
            assert_eq!(is_in_ascii(text.as_bytes(), needle.as_bytes()), want, "{text} {needle}");
        }
    }
}
