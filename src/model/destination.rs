//! [`Destination`]: the URL that a link redirects to. Parsed by the WHATWG URL rules, as browsers do, stored
//! normalised, and always a legal header value: visible ASCII without control characters.
//!
//! Schemes are checked against an allow-list, after parsing. `javascript:` is rejected in any spelling since
//! it is not on the list; no code has to recognise it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use url::Url;

use crate::model::custom_values::{self, Unfilled};
use crate::model::escape::{self, visible};
use crate::model::text::{is_invisible, trim_blank, trim_invisible};
use crate::model::{Invalid, address};

/// Longest destination in bytes, before and after normalisation. Few browsers accept more than 8 KB, and the
/// head of the response stays within the buffers of common proxies. Past it: rejected.
pub const MAX_BYTES: usize = 8 * 1024;

/// The kind of a destination, which decides its schemes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkType {
    /// A web address: http, https, and the schemes that the configuration adds.
    #[default]
    Url,
    /// An e-mail address or `mailto:` URI.
    Mailto,
    /// A telephone number or `tel:` URI.
    Tel,
    /// A telephone number or `sms:` URI.
    Sms,
}

/// Schemes that web addresses may have besides `http` and `https` (`links.extra_schemes`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraSchemes(Vec<String>);

/// Schemes that run code in the visitor's page or read the visitor's files. The configuration cannot allow
/// them.
const DANGEROUS: &[&str] =
    &["javascript", "data", "vbscript", "file", "blob", "view-source", "filesystem", "about"];

impl ExtraSchemes {
    /// Returns the schemes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Fails unless each is a scheme by RFC 3986 3.1, in lower case, and not one that browsers execute.
    pub fn new(schemes: Vec<String>) -> Result<ExtraSchemes, Invalid> {
        for scheme in &schemes {
            // Lower case, as `Url` returns schemes: `web_address` compares them as text.
            let shape = scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
            if !shape {
                return Err(Invalid::new("extra_schemes", "must be schemes in lower case, such as \"ftp\""));
            }
            if DANGEROUS.contains(&scheme.as_str()) {
                return Err(Invalid::new(
                    "extra_schemes",
                    format!("must not contain {scheme:?}, which browsers execute"),
                ));
            }
        }
        Ok(ExtraSchemes(schemes))
    }
}

/// A normalised, absolute URL: visible ASCII, at most [`MAX_BYTES`], with an allowed scheme, and without a
/// user name or password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination(Box<str>);

impl Destination {
    /// Parses a client's text for `field`. Fails if the text breaks a rule.
    pub fn parse(
        field: &'static str,
        text: &str,
        kind: LinkType,
        extra: &ExtraSchemes,
    ) -> Result<Destination, Invalid> {
        let reject = |why: &str| Err(Invalid::new(field, why));
        // A person who pastes a URL cannot see what a chat program put around it.
        let text = trim_invisible(text);
        if text.is_empty() {
            return reject("must not be empty");
        }
        // Before parsing: the work of the parser grows with the text.
        if text.len() > MAX_BYTES {
            return reject("must be at most 8192 bytes");
        }
        // `url` removes these without an error, and the stored URL would differ from the sent one. A tab only
        // parts the digits of a number.
        let is_number = matches!(kind, LinkType::Tel | LinkType::Sms);
        if text.chars().any(|c| c.is_control() && !(is_number && c == '\t')) {
            return reject("must not contain control characters");
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return reject("must not begin or end with white space");
        }
        // Also in a value that was filled in. A placeholder that is known never gets here.
        custom_values::reject_unknown(field, text)?;
        let normal = match kind {
            LinkType::Url => web_address(field, text, extra)?,
            LinkType::Mailto => address::mail(field, text)?,
            LinkType::Tel => address::telephone(field, text)?,
            LinkType::Sms => address::text_message(field, text)?,
        };
        // Percent-encoding makes the text up to three times as long.
        if normal.len() > MAX_BYTES {
            return reject("must be at most 8192 bytes after normalisation");
        }
        // The invariant of the type: `HeaderValue::try_from` of a destination never fails.
        debug_assert!(normal.bytes().all(|b| (0x21..0x7f).contains(&b)), "{normal}");
        Ok(Destination(normal.into()))
    }

    /// Like [`Destination::parse`], for a text that may contain `{{custom_values.NAME}}`. Checks the text
    /// with harmless values; [`Destination::filled`] checks it again with the real ones.
    pub fn parse_fillable(
        field: &'static str,
        text: &str,
        kind: LinkType,
        extra: &ExtraSchemes,
    ) -> Result<Destination, Invalid> {
        if !custom_values::is_in(text) {
            return Destination::parse(field, text, kind, extra);
        }
        let text = trim_invisible(text);
        if text.len() > MAX_BYTES {
            return Err(Invalid::new(field, "must be at most 8192 bytes"));
        }
        let normal = fillable_spelling(field, text, kind)?;
        let first = normal.strip_prefix(custom_values::PLACEHOLDER);
        let first = first.and_then(|rest| rest.split_once("}}")).map(|(name, _)| name);
        // A digit is valid everywhere in a URL except at its beginning, and in every number and address.
        let begins_with: &[&str] = match kind {
            LinkType::Url => &["https://e.test"],
            LinkType::Mailto => &["1", "a@e.test"],
            LinkType::Tel | LinkType::Sms => &["1"],
        };
        let mut checked = Ok(());
        for beginning in begins_with {
            let stand_in =
                |name: &str| Some(if first == Some(name) { (*beginning).into() } else { "1".into() });
            // Never the default: `stand_in` has a value for every name.
            let example = custom_values::fill(text, stand_in).unwrap_or_default();
            // The result is dropped: it has the stand-ins, and only its rules are of interest.
            checked = Destination::parse(field, &example, kind, extra).map(|_| ());
            if checked.is_ok() {
                break;
            }
        }
        checked.map(|()| Destination(normal.into()))
    }

    /// Returns whether it contains placeholders. Such a destination is no URL before [`Destination::filled`].
    pub fn is_fillable(&self) -> bool {
        custom_values::is_in(&self.0)
    }

    /// Returns the destination with the workspace's values in place of the placeholders. Fails if a value is
    /// missing, or if the result breaks a rule of `kind`.
    pub fn filled(
        &self,
        values: &BTreeMap<Box<str>, Box<str>>,
        kind: LinkType,
        extra: &ExtraSchemes,
    ) -> Result<Destination, Unfilled> {
        if !self.is_fillable() {
            return Ok(self.clone());
        }
        // Trimmed: white space at the end of a value would make the whole URL invalid, and the rest shows nothing.
        let value = |name: &str| values.get(name).map(|value| Cow::Borrowed(trim_blank(value)));
        let text = custom_values::fill(&self.0, value).map_err(Unfilled::Unknown)?;
        // By all rules again: a value may change the scheme, the host or the length.
        Destination::parse("url", &text, kind, extra).map_err(Unfilled::Invalid)
    }

    /// Returns the destination with harmless text in place of its placeholders, if that makes a URL: its host shows
    /// where the destination leads whatever the values are.
    pub fn example(&self) -> Option<Destination> {
        let text = custom_values::fill(&self.0, |_| Some("1".into())).ok()?;
        Url::parse(&text).ok().map(|url| Destination(visible(url.as_str()).into()))
    }

    /// Like [`Destination::parse`], for http and https only: for images, fallbacks and webhooks.
    pub fn parse_web(field: &'static str, text: &str) -> Result<Destination, Invalid> {
        // Escaped, the braces would be a part of the URL, and every visitor would be sent to them.
        custom_values::reject(field, text)?;
        Destination::parse(field, text, LinkType::Url, &ExtraSchemes::default())
    }

    /// Returns the destination of a stored text without checks. The rules may have become stricter since the
    /// text was parsed; a stored link keeps working. Characters that no URI has are escaped: earlier versions
    /// stored them as they were sent.
    pub fn from_stored(text: Box<str>) -> Destination {
        // Placeholders have braces, and are escaped when they are filled in.
        if escape::is_visible(&text) || custom_values::is_in(&text) {
            Destination(text)
        } else {
            Destination(visible(&text).into())
        }
    }

    /// Returns the text, a legal header value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text for a list whose separator is a comma: a comma of the URL is `%2C`.
    pub fn shown_in_list(&self) -> String {
        self.0.replace(',', "%2C")
    }

    /// Returns whether its scheme is followed by `//`: only such a URI has a path and a query to which
    /// something can be appended. A placeholder at the beginning is taken for a web address.
    pub fn is_hierarchical(&self) -> bool {
        self.0.split_once(':').is_some_and(|(_, behind)| behind.starts_with("//"))
            || self.0.starts_with(custom_values::PLACEHOLDER)
    }

    /// Returns whether its scheme is http or https, which browsers show in a frame. A placeholder at the beginning is
    /// taken for a web address.
    pub fn is_web(&self) -> bool {
        ["https://", "http://", custom_values::PLACEHOLDER].iter().any(|begin| self.0.starts_with(begin))
    }

    /// Returns the parsed URL, or `None` for a stored text that is none.
    pub fn to_url(&self) -> Option<Url> {
        Url::parse(&self.0).ok()
    }

    /// Returns the host of a web address whose host is a name in its normal form, so that no URL parser is needed.
    /// Nearly every destination has such a host, and creating a link checks it several times.
    pub fn plain_host(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("https://").or_else(|| self.0.strip_prefix("http://"))?;
        // A host at the very end is left to the parser.
        let host = &rest[..rest.find(['/', '?', '#'])?];
        is_plain_name(host).then_some(host)
    }

    /// Returns this web address with more segments appended to its path, as `forwardPath` appends them.
    #[must_use]
    pub fn with_path_behind(&self, rest: &str) -> Option<Destination> {
        let mut url = self.to_url()?;
        let path = url.path();
        // One slash between both, as `forwardPath` writes it.
        let path = format!("{}/{rest}", path.strip_suffix('/').unwrap_or(path));
        // The parser escapes a question mark or hash in `rest`, so that neither begins another part.
        url.set_path(&path);
        Some(Destination(visible(url.as_str()).into()))
    }

    /// Returns this destination with the UTM parameters in its query. They replace parameters with equal
    /// names. The rest of the query, its spelling and the fragment do not change. A number or a mail address, which
    /// a custom value may be, has no parameters.
    #[must_use]
    pub fn with_utm(&self, utm: &Utm) -> Destination {
        if utm.is_empty() || !self.is_hierarchical() {
            return self.clone();
        }
        let (rest, fragment) = match self.0.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (&*self.0, None),
        };
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Split and joined as text: parsing and formatting would change the spelling of the rest.
        let kept = query.split('&').filter(|pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            // Compared as the receiver will decode it: `utm%5Fsource` is `utm_source`.
            let name = percent_encoding::percent_decode_str(name);
            !pair.is_empty() && !utm.pairs().any(|(ours, _)| name.clone().eq(ours.bytes()))
        });
        let mut text = String::with_capacity(self.0.len() + 64);
        text.push_str(base);
        let mut separator = '?';
        let ours = utm.pairs().map(|(name, value)| {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            format!("{name}={value}")
        });
        for pair in kept.map(str::to_owned).chain(ours) {
            text.push(separator);
            text.push_str(&pair);
            separator = '&';
        }
        if let Some(fragment) = fragment {
            text.push('#');
            text.push_str(fragment);
        }
        Destination(text.into())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The five campaign parameters. They are stored apart from the destination, so that a change of one keeps
/// the other (docs/decisions.md A11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the query parameter of its name, with the prefix `utm_`.
pub struct Utm {
    pub source: Option<Box<str>>,
    pub medium: Option<Box<str>>,
    pub campaign: Option<Box<str>>,
    pub term: Option<Box<str>>,
    pub content: Option<Box<str>>,
}

impl Utm {
    /// Returns the names and values of the parameters that are set.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("utm_source", &self.source),
            ("utm_medium", &self.medium),
            ("utm_campaign", &self.campaign),
            ("utm_term", &self.term),
            ("utm_content", &self.content),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }

    /// Returns whether no parameter is set.
    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }
}

/// Returns whether a host is a name in its normal form, which the URL parser returns unchanged.
pub(super) fn is_plain_name(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    // A last label that is a number makes the host an address, which has many spellings. A label such as `0x7f`
    // makes an address as well.
    host.as_bytes().last().is_some_and(u8::is_ascii_lowercase)
        && host.bytes().all(is_plain)
        && !host.contains("0x")
}

/// Normalises a web address.
fn web_address(field: &'static str, text: &str, extra: &ExtraSchemes) -> Result<String, Invalid> {
    let reject = |why: String| Err(Invalid::new(field, why));
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return reject("must be an absolute URL such as https://example.com/page".to_owned());
        }
        Err(error) => return reject(format!("is not a valid URL: {error}")),
    };
    let web = matches!(url.scheme(), "http" | "https");
    let is_extra = extra.0.iter().any(|scheme| scheme == url.scheme());
    if !web && !is_extra {
        let known: Vec<_> = ["http", "https"].into_iter().chain(extra.0.iter().map(String::as_str)).collect();
        // Each store has the same page at an address that browsers open in its app.
        let store = match url.scheme() {
            "itms" | "itms-apps" | "itms-appss" => "; use the https address of the app, at apps.apple.com",
            "market" => "; use the https address of the app, at play.google.com",
            _ => "",
        };
        return reject(format!("must use one of these schemes: {}{store}", known.join(", ")));
    }
    // By their own rules: the URL parser would read `#` as a fragment and `(0)` as a part of the number.
    match url.scheme() {
        "mailto" => return address::mail(field, text),
        "tel" => return address::telephone(field, text),
        "sms" => return address::text_message(field, text),
        _ => {}
    }
    // Other schemes may have no host, such as `app:x`.
    if web && url.host_str().is_none_or(str::is_empty) {
        return reject("must have a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || (web && has_user(text)) {
        return reject("must not contain a user name or password".to_owned());
    }
    // Escaping would change the host. The parser rejects such hosts of web addresses, but not of other
    // schemes.
    if url.host_str().is_some_and(|host| escape::visible_part(host) != host) {
        return reject("must have a host without quotation marks and braces".to_owned());
    }
    Ok(visible(url.as_str()))
}

/// Returns whether there is a user part, even an empty one, before the host. The parser drops an empty one,
/// so that `https://@evil.test/` would be stored as another text than was sent.
fn has_user(text: &str) -> bool {
    let behind = text.split_once(':').map_or("", |(_, behind)| behind).trim_start_matches(['/', '\\']);
    behind.split(['/', '\\', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// Returns the stored spelling of a text with placeholders. A scheme that may be left out is added.
fn fillable_spelling(field: &'static str, text: &str, kind: LinkType) -> Result<String, Invalid> {
    let (scheme, plain) = match kind {
        LinkType::Url => ("", text),
        LinkType::Mailto => ("mailto:", address::without_scheme(text, "mailto:")),
        LinkType::Tel => ("tel:", address::without_scheme(text, "tel:")),
        LinkType::Sms => ("sms:", address::without_scheme(text, "sms:")),
    };
    // The number of a message and the address of a mail end at the first `?`.
    let in_query = std::cell::Cell::new(false);
    let encode = |part: &str| match kind {
        LinkType::Url => escape::visible_part(part),
        LinkType::Tel => without_spaces(part),
        LinkType::Mailto | LinkType::Sms if in_query.get() => escape::message_part(part),
        LinkType::Mailto | LinkType::Sms => {
            let receiver = if kind == LinkType::Mailto { without_invisible } else { without_spaces };
            match part.split_once('?') {
                Some((before, query)) => {
                    in_query.set(true);
                    format!("{}?{}", receiver(before), escape::message_part(query))
                }
                None => receiver(part),
            }
        }
    };
    let normal = custom_values::normal(field, plain, encode)?;
    // A value at the beginning may have the scheme.
    let begins = normal.starts_with(custom_values::PLACEHOLDER);
    Ok(if begins { normal } else { [scheme, &normal].concat() })
}

/// Returns a part of a number without spaces, which may stand between all digits, and without what cannot be seen.
fn without_spaces(part: &str) -> String {
    let part: String = part.chars().filter_map(address::plain).filter(|c| !c.is_whitespace()).collect();
    escape::visible_part(&part)
}

/// Returns a part of mail addresses without what cannot be seen.
fn without_invisible(part: &str) -> String {
    escape::message_part(&part.chars().filter(|c| !is_invisible(*c)).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_hosts_need_no_parser() {
        let rows = [
            ("https://example.com/a", Some("example.com")),
            ("http://e-1.example.com/?a", Some("e-1.example.com")),
            // No `/` after the host.
            ("https://example.com", None),
            // Not in the normal form: port, dot at the end, capitals, users.
            ("https://example.com:8080/", None),
            ("https://example.com./", None),
            ("https://Example.com/", None),
            ("https://u@example.com/", None),
            ("https://u:p@example.com/", None),
            // Addresses have many spellings.
            ("https://127.0.0.1/", None),
            ("https://0x7f.0x0a/", None),
            ("https://[::1]/", None),
            // The parser repairs these, and finds another host than a plain search.
            ("https:///example.com/", None),
            ("https:example.com/", None),
            ("https://exa\\mple.com/", None),
            ("https://exa\tmple.com/", None),
            // No web address.
            ("mailto:a@example.com/", None),
        ];
        for (text, want) in rows {
            // Without a check, as a stored text.
            assert_eq!(Destination(text.into()).plain_host(), want, "{text}");
            if let Some(host) = want {
                let url = Url::parse(text).expect("valid");
                assert_eq!(url.host_str(), Some(host), "{text}");
            }
        }
    }

    /// Found by the fuzz target `destination`: what the APIs show was refused when sent back.
    #[test]
    fn t115_a_number_with_a_hash_reads_back() {
        for (kind, text, want) in [
            // A service code: these begin with `*` or `#`.
            (LinkType::Tel, "#0*9", "tel:%230*9"),
            (LinkType::Sms, "+1#2,#3?body=x", "sms:+1%232,%233?body=x"),
        ] {
            let extra = ExtraSchemes::default();
            let to = Destination::parse("url", text, kind, &extra).expect("a number");
            assert_eq!(to.as_str(), want);
            assert_eq!(Destination::parse("url", want, kind, &extra), Ok(to));
        }
    }

    /// Found by the fuzz target `destination`: what is escaped is another host.
    #[test]
    fn t115_a_host_is_stored_unchanged_or_rejected() {
        let extra = ExtraSchemes::new(vec!["app".to_owned()]).expect("a scheme");
        for (text, is_accepted) in [("app://a`b/", false), ("app://a\"b/", false), ("app://a.b/", true)] {
            let parsed = Destination::parse("url", text, LinkType::Url, &extra);
            assert_eq!(parsed.is_ok(), is_accepted, "{text}: {parsed:?}");
        }
    }

    #[test]
    fn custom_values_are_checked_before_and_after_they_are_filled_in() {
        let values = BTreeMap::from(
            [
                ("page", "spring sale"),
                ("site", "https://e.test/x"),
                ("bad", "javascript:alert(1)"),
                // A value may be the port, where only digits are valid: the reason for a digit as the
                // stand-in.
                ("port", "81"),
            ]
            .map(|(name, value)| (name.into(), value.into())),
        );
        let none = ExtraSchemes::default();
        let rows = [
            ("https://e.test/{{custom_values.page}}", Some("https://e.test/spring%20sale")),
            ("{{custom_values.site}}", Some("https://e.test/x")),
            (
                "{{custom_values.site}}/y?q={{ custom_values.page }}",
                Some("https://e.test/x/y?q=spring%20sale"),
            ),
            ("https://e.test:{{custom_values.port}}/ü", Some("https://e.test:81/%C3%BC")),
            ("{{custom_values.bad}}", None),
            // The value is no absolute URL.
            ("{{custom_values.page}}", None),
            ("https://e.test/{{custom_values.missing}}", None),
        ];
        for (text, want) in rows {
            let stored = Destination::parse_fillable("url", text, LinkType::Url, &none).expect(text);
            assert!(stored.is_fillable());
            assert!(stored.as_str().bytes().all(|b| (0x21..0x7f).contains(&b)), "{stored}");
            let filled = stored.filled(&values, LinkType::Url, &none);
            assert_eq!(filled.ok().as_ref().map(Destination::as_str), want, "{text}");
        }
        for text in [
            "javascript:{{custom_values.page}}",
            "/{{custom_values.page}}",
            // The part before the placeholder must keep the rules of every destination.
            "https://u@e.test/{{custom_values.a}}",
        ] {
            assert!(Destination::parse_fillable("url", text, LinkType::Url, &none).is_err(), "{text}");
        }
    }

    /// Every kind of link has placeholders, and only its destination.
    #[test]
    fn f03_custom_values_are_filled_in_or_refused() {
        let values = BTreeMap::from(
            [("page", "50% #1"), ("host", "example.com"), ("num", "+49 (0) 30"), ("who", "a@e.test")]
                .map(|(name, value)| (name.into(), value.into())),
        );
        let none = ExtraSchemes::default();
        let rows = [
            (
                LinkType::Mailto,
                "jane@example.com?subject={{custom_values.page}} now",
                "mailto:jane@example.com?subject={{custom_values.page}}%20now",
                "mailto:jane@example.com?subject=50%25%20%231%20now",
            ),
            (
                LinkType::Mailto,
                "jane@{{ custom_values.host }}",
                "mailto:jane@{{custom_values.host}}",
                "mailto:jane@example.com",
            ),
            (LinkType::Mailto, "{{custom_values.who}}", "{{custom_values.who}}", "mailto:a@e.test"),
            (
                LinkType::Mailto,
                "mailto:?body={{custom_values.page}}",
                "mailto:?body={{custom_values.page}}",
                "mailto:?body=50%25%20%231",
            ),
            (LinkType::Tel, "{{custom_values.num}} 1234", "{{custom_values.num}}1234", "tel:+49301234"),
            (
                LinkType::Sms,
                "+49 30 1234?body={{custom_values.page}} #2",
                "sms:+49301234?body={{custom_values.page}}%20%232",
                "sms:+49301234?body=50%25%20%231%20%232",
            ),
        ];
        for (kind, text, stored, filled) in rows {
            let to = Destination::parse_fillable("url", text, kind, &none).expect(text);
            assert_eq!(to.as_str(), stored);
            assert_eq!(Destination::parse_fillable("url", stored, kind, &none), Ok(to.clone()));
            let got = to.filled(&values, kind, &none).expect(text);
            assert_eq!(got.as_str(), filled, "{text}");
        }
        assert!(
            Destination::parse_fillable("url", "jane{{custom_values.x}}", LinkType::Mailto, &none).is_err()
        );
        assert!(Destination::parse_web("image", "https://e.test/{{custom_values.page}}").is_err());
    }

    /// Earlier versions stored them raw.
    #[test]
    fn f22_stored_characters_that_no_uri_has_are_escaped() {
        let stored = |text: &str| Destination::from_stored(text.into()).to_string();
        assert_eq!(stored("https://e.test/?a=A|B^{c}\\#x|y"), "https://e.test/?a=A%7CB%5E%7Bc%7D%5C#x%7Cy");
        assert_eq!(stored("https://e.test/{{custom_values.a}}|"), "https://e.test/{{custom_values.a}}|");
    }

    #[test]
    fn a5_invisible_ends_are_not_stored() {
        for text in
            ["\u{feff}https://e.test/x\u{200b}", "https://e.test/x\u{202c}\u{ad}", "\u{2060}https://e.test/x"]
        {
            assert_eq!(parse(LinkType::Url, text).as_deref(), Ok("https://e.test/x"), "{text:?}");
        }
        assert_eq!(parse(LinkType::Mailto, "a@e.test\u{200b}").as_deref(), Ok("mailto:a@e.test"));
        assert_eq!(parse(LinkType::Url, "\u{200b}").err().as_deref(), Some("url: must not be empty"));
    }

    fn parse(kind: LinkType, text: &str) -> Result<String, String> {
        Destination::parse("url", text, kind, &ExtraSchemes::default())
            .map(|d| d.to_string())
            .map_err(|e| e.to_string())
    }

    /// The stored URL is the URL that a browser would open, in a form that shows its host.
    #[test]
    fn t46_t47_t56_web_addresses_are_normalised() {
        let rows = [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://Example.COM:443/a b?c=d e#f g", "https://example.com/a%20b?c=d%20e#f%20g"),
            ("https://e.test/é😀?q=ü#ß", "https://e.test/%C3%A9%F0%9F%98%80?q=%C3%BC#%C3%9F"),
            // Cyrillic letters: punycode shows that the name is another one.
            ("http://аррӏе.com/", "http://xn--80ak6aa92e.com/"),
            // Browsers read a backslash as a slash, so the host is evil.test.
            ("http://evil.test\\@good.test/", "http://evil.test/@good.test/"),
            // Browsers add or drop slashes after `https:`, and so does the parser.
            ("https:evil.test", "https://evil.test/"),
            ("https:/\\evil.test", "https://evil.test/"),
            ("https:///evil.test", "https://evil.test/"),
            ("https:\\\\evil.test\\x", "https://evil.test/x"),
            ("https://good.test\\@evil.test/", "https://good.test/@evil.test/"),
            ("https://good.test/@evil.test", "https://good.test/@evil.test"),
            // After `?` or `#`, `@` ends no user name.
            ("https://good.test?@evil.test", "https://good.test/?@evil.test"),
            ("https://good.test#@evil.test", "https://good.test/#@evil.test"),
            // Dot segments are resolved when the link is saved, and cannot climb later.
            ("https://e.test/a/../b/./c/%2e%2e/d", "https://e.test/b/d"),
            // Escaped line breaks stay escaped in the header.
            ("https://e.test/%0d%0aSet-Cookie:%20a=b", "https://e.test/%0d%0aSet-Cookie:%20a=b"),
            ("https://e.test/\u{202e}\u{2028}\u{feff}x", "https://e.test/%E2%80%AE%E2%80%A8%EF%BB%BFx"),
            ("https://e.test/'\"<>`{}|^", "https://e.test/'%22%3C%3E%60%7B%7D%7C%5E"),
            ("https://e.test/50%?a=A|B^{c}\\#{d}|", "https://e.test/50%25?a=A%7CB%5E%7Bc%7D%5C#%7Bd%7D%7C"),
            // IDNA maps full-width letters and drops soft hyphens: the stored host is the real one.
            ("http://ｅｖｉｌ．test/", "http://evil.test/"),
            ("http://e\u{ad}vil.test/", "http://evil.test/"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"),
            ("http://xn--80ak6aa92e.com/", "http://xn--80ak6aa92e.com/"),
            // Spellings of one address: stored in one form, so that checks of addresses see it.
            ("http://127.1/", "http://127.0.0.1/"),
            ("http://0x7f000001/", "http://127.0.0.1/"),
            ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
        ];
        for (text, want) in rows {
            assert_eq!(parse(LinkType::Url, text).as_deref(), Ok(want), "{text}");
        }
    }

    /// Only listed schemes are accepted, and no text is repaired without an error.
    #[test]
    fn t44_t45_t47_invalid_web_addresses_are_rejected() {
        let schemes = "url: must use one of these schemes: http, https";
        let absolute = "url: must be an absolute URL such as https://example.com/page";
        let control = "url: must not contain control characters";
        let rows = [
            ("", "url: must not be empty"),
            ("javascript:alert(1)", schemes),
            (
                "itms-apps://apps.apple.com/app/id1",
                "url: must use one of these schemes: http, https; use the https address of the app, at apps.apple.com",
            ),
            (
                "market://details?id=com.example",
                "url: must use one of these schemes: http, https; use the https address of the app, at play.google.com",
            ),
            // The parser would strip the space, and a browser as well.
            (" javascript:alert(1)", "url: must not begin or end with white space"),
            ("java\tscript:alert(1)", control),
            ("JaVaScRiPt:alert(1)", schemes),
            ("\u{1}javascript:alert(1)", control),
            ("data:text/html,<script>", schemes),
            ("vbscript:x", schemes),
            ("file:///etc/passwd", schemes),
            ("blob:https://e.test/x", schemes),
            ("view-source:https://e.test", schemes),
            ("intent://x", schemes),
            ("mailto:a@b.c", schemes),
            ("//evil.test", absolute),
            ("\\\\evil.test", absolute),
            ("/x", absolute),
            ("example.com", absolute),
            ("https://", "url: is not a valid URL: empty host"),
            ("https://e.test/\r\nSet-Cookie: a=b", control),
            ("https://e.test/\0", control),
            ("https://good.test@evil.test/", "url: must not contain a user name or password"),
            ("https://u:p@evil.test/", "url: must not contain a user name or password"),
            ("https://@evil.test/", "url: must not contain a user name or password"),
            ("https://:@evil.test/", "url: must not contain a user name or password"),
            // An empty user name, which the parser drops without an error.
            ("https:\\\\@evil.test/", "url: must not contain a user name or password"),
            ("https://good.test:80@evil.test/", "url: must not contain a user name or password"),
            ("https://a@b@evil.test/", "url: must not contain a user name or password"),
            // The parser decodes `%40` in a host, and `@` is invalid there.
            ("https://good.test%40evil.test/", "url: is not a valid URL: invalid international domain name"),
            ("https://e.test%2f@evil.test/", "url: must not contain a user name or password"),
            // Invisible, but not white space: no scheme may begin with it.
            ("\u{feff}javascript:alert(1)", schemes),
            ("\u{200b}javascript:alert(1)", schemes),
            // White space that the URL parser does not strip.
            ("\u{a0}javascript:alert(1)", "url: must not begin or end with white space"),
            ("java\u{ad}script:alert(1)", absolute),
            ("javascript\u{ff1a}alert(1)", absolute),
            ("javascript&colon;alert(1)", absolute),
            // A scheme is never percent-decoded.
            ("javascript%3aalert(1)", absolute),
            ("ｊavascript:alert(1)", absolute),
            ("java\nscript:alert(1)", control),
            ("jav\0ascript:alert(1)", control),
            ("javascript://e.test/%0aalert(1)", schemes),
            ("DATA:text/html;base64,PHN2Zz4=", schemes),
            ("data:,x", schemes),
            ("filesystem:https://e.test/x", schemes),
            ("about:blank", schemes),
            ("jar:https://e.test/x!/", schemes),
            ("ftp://e.test/", schemes),
            ("ws://e.test/", schemes),
            ("chrome://settings", schemes),
            ("ms-msdt:/id", schemes),
            ("tel:+4930", schemes),
            ("feed:https://e.test/", schemes),
            ("https//e.test", absolute),
            ("://e.test", absolute),
            ("?x", absolute),
            ("#x", absolute),
            ("https://e.test/a\tb", control),
            ("https://e.test/a\nb", control),
            ("https://e.test/\u{7f}", control),
            // C1 controls: terminals execute U+009B like an escape.
            ("https://e.test/\u{85}x", control),
            ("https://e.test/\u{9b}x", control),
            ("https://e.test/\u{1b}[2J", control),
            ("https://e.test/ ", "url: must not begin or end with white space"),
            ("https://e.test/\u{3000}", "url: must not begin or end with white space"),
            ("https://e.test:99999/", "url: is not a valid URL: invalid port number"),
            ("https://e.test:x/", "url: is not a valid URL: invalid port number"),
            ("https://[::1/", "url: is not a valid URL: invalid IPv6 address"),
            ("https://1.2.3.4.5/", "url: is not a valid URL: invalid IPv4 address"),
            ("https://a b.test/", "url: is not a valid URL: invalid international domain name"),
            ("https://\u{202e}evil.test/", "url: is not a valid URL: invalid international domain name"),
        ];
        for (text, want) in rows {
            assert_eq!(parse(LinkType::Url, text).err().as_deref(), Some(want), "{text:?}");
        }
        // 15 bytes are `https://e.test/`.
        let of_length = |bytes: usize| format!("https://e.test/{}", "x".repeat(bytes - 15));
        assert_eq!(parse(LinkType::Url, &of_length(MAX_BYTES)), Ok(of_length(MAX_BYTES)));
        let long = of_length(MAX_BYTES + 1);
        assert_eq!(parse(LinkType::Url, &long).err().as_deref(), Some("url: must be at most 8192 bytes"));
        // Two bytes become six: within the bound as sent, past it as stored.
        let grows = format!("https://e.test/{}", "\u{e9}".repeat(4_000));
        let why = "url: must be at most 8192 bytes after normalisation";
        assert_eq!(parse(LinkType::Url, &grows).err().as_deref(), Some(why));
    }

    #[test]
    fn addresses_and_numbers() {
        let rows = [
            (LinkType::Mailto, "jane@example.com", Ok("mailto:jane@example.com")),
            (
                LinkType::Mailto,
                "MAILTO:jane@example.com?subject=Hi there",
                Ok("mailto:jane@example.com?subject=Hi%20there"),
            ),
            (
                LinkType::Mailto,
                "javascript:alert@1",
                Err("url: must be an e-mail address such as jane@example.com"),
            ),
            (LinkType::Mailto, "jane", Err("url: must be an e-mail address such as jane@example.com")),
            (LinkType::Tel, "+49 (30) 12-34", Ok("tel:+49301234")),
            (LinkType::Tel, "tel:+1-555;ext=12", Ok("tel:+1555;ext=12")),
            (LinkType::Tel, "tel:+1<script>", Err("url: must be a telephone number such as +49 30 1234")),
            (LinkType::Tel, "javascript:1", Err("url: must be a telephone number such as +49 30 1234")),
            (LinkType::Tel, "+1\r\nX: y", Err("url: must not contain control characters")),
            // The scheme is removed once.
            (LinkType::Tel, "tel:tel:+1", Err("url: must be a telephone number such as +49 30 1234")),
            (LinkType::Tel, "+1;x=\"><script>", Err("url: must be a telephone number such as +49 30 1234")),
            // Arabic digits: RFC 3966 has only ASCII digits.
            (LinkType::Tel, "٠١٢٣", Err("url: must be a telephone number such as +49 30 1234")),
            // A line break, raw or escaped, could add a header to the mail.
            (LinkType::Mailto, "a@b.c\r\nBcc: x@y.z", Err("url: must not contain control characters")),
            (
                LinkType::Mailto,
                "a@b.c%0d%0aBcc:x@y.z",
                Err("url: must be an e-mail address such as jane@example.com"),
            ),
            (
                LinkType::Mailto,
                "javascript:a@b.c",
                Err("url: must be an e-mail address such as jane@example.com"),
            ),
            (LinkType::Mailto, "//evil@test", Err("url: must be an e-mail address such as jane@example.com")),
            // A raw `#` would begin a fragment.
            (LinkType::Tel, "*31#5551234", Ok("tel:*31%235551234")),
            (LinkType::Sms, "+15551234?body=hi \"you\"", Ok("sms:+15551234?body=hi%20%22you%22")),
            (LinkType::Sms, "https://e.test", Err("url: must be a telephone number such as +49 30 1234")),
        ];
        for (kind, text, want) in rows {
            assert_eq!(parse(kind, text).as_deref().map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn extra_schemes_are_checked() {
        let ftp = ExtraSchemes::new(vec!["ftp".to_owned()]).expect("a harmless scheme");
        let parsed = Destination::parse("url", "ftp://e.test/x", LinkType::Url, &ftp);
        assert_eq!(parsed.map(|d| d.to_string()).as_deref(), Ok("ftp://e.test/x"));
        // `Ftp` is not lower case: it would never equal a parsed scheme.
        for bad in ["javascript", "Ftp", "", "a b", "data"] {
            assert!(ExtraSchemes::new(vec![bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn utm_parameters_replace_those_of_equal_names() {
        let utm = Utm { source: Some("e mail".into()), campaign: Some("x&y".into()), ..Utm::default() };
        let rows = [
            ("https://e.test/", "https://e.test/?utm_source=e+mail&utm_campaign=x%26y"),
            ("https://e.test/?a=1", "https://e.test/?a=1&utm_source=e+mail&utm_campaign=x%26y"),
            (
                "https://e.test/?utm_source=old&a=%20&b",
                "https://e.test/?a=%20&b&utm_source=e+mail&utm_campaign=x%26y",
            ),
            (
                // A question mark in the fragment begins no query.
                "https://e.test/p?utm_medium=m#f?x",
                "https://e.test/p?utm_medium=m&utm_source=e+mail&utm_campaign=x%26y#f?x",
            ),
        ];
        for (url, want) in rows {
            let destination = Destination::parse_web("url", url).expect("a valid row");
            assert_eq!(destination.with_utm(&utm).as_str(), want, "{url}");
            assert_eq!(destination.with_utm(&Utm::default()).as_str(), url, "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_destination_is_a_header_value_and_parses_to_itself(text in "(https?:|mailto:|tel:)?(//)?[\\PC\\x00-\\x20]{0,40}") {
            for kind in [LinkType::Url, LinkType::Mailto, LinkType::Tel, LinkType::Sms] {
                if let Ok(once) = parse(kind, &text) {
                    prop_assert!(once.bytes().all(|b| (0x21..0x7f).contains(&b)), "{}", once);
                    prop_assert_eq!(parse(kind, &once), Ok(once));
                }
            }
        }
    }
}
