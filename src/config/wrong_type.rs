//! Errors about values of a wrong type, in the words of this program: the parser names types of the source code, and
//! a key without its section.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::certificates::CertificateName;

/// Shorter parts of a line are no secret and may be in a message, such as a number of the wrong type.
pub(super) const SECRET_MIN: usize = 6;

/// Shorter texts are no secret: an admin key has 16 characters, and all other keys have more.
const SECRET_TEXT_MIN: usize = 16;

/// The rule of each type of a setting, by the words with which the parser names the type.
const RULES: [(&str, &str); 9] = [
    ("a listen address", "must be an address and a port such as 127.0.0.1:8080, in quotation marks"),
    (
        "a host name or a list of them",
        "must be a host name such as \"go.example.com\", or a list of host names",
    ),
    ("expected u32", "must be a whole number from 0 to 4294967295"),
    ("expected u64", "must be a whole number, 0 or more"),
    ("expected usize", "must be a whole number, 0 or more"),
    ("expected a boolean", "must be true or false"),
    (A_LIST, "must be a list"),
    ("expected a string", "must be a text in quotation marks"),
    ("expected path string", "must be a path in quotation marks"),
];

const A_LIST: &str = "expected a sequence";

/// An example of each setting that is a list.
const LISTS: [(&str, &str); 5] = [
    ("https.certificates", "[{ chain = \"fullchain.pem\", key = \"privkey.pem\" }]"),
    ("http.proxy_protocol", "[\"https\"]"),
    ("links.extra_schemes", "[\"sip\"]"),
    ("webhooks.allowed_networks", "[\"10.0.0.0/8\"]"),
    ("webhooks.retry_after", "[\"30s\", \"10m\"]"),
];

/// The rule of a section, for which the parser names the type of one of its settings if the value is a list.
pub(super) const SECTION: &str =
    "must be a section: write its name in brackets on a line, and its keys below";

/// The settings that are numbers of bytes. People write them with a unit first.
const BYTES: [&str; 7] = [
    "cache.max_memory",
    "http.max_body",
    "http.max_bulk_body",
    "log.compact_above",
    "log.scrub_rate",
    "log.segment_bytes",
    "table.cache_capacity",
];

/// The rule of [`BYTES`].
const BYTES_RULE: &str = "must be a whole number of bytes without a unit, such as 67108864 for 64 MiB";

/// Returns the rule that the value of a setting breaks, from the parser's message about its type. Returns `None` for a
/// message about anything else. Messages of this program are rules already.
pub(super) fn rule(name: &str, message: &str, is_list: bool) -> Option<String> {
    if message.starts_with("must be ") {
        return message.lines().next().map(str::to_owned);
    }
    let (expected, rule) = RULES.into_iter().find(|(expected, _)| message.contains(expected))?;
    // The parser means an item of the list.
    let is_item = is_list && expected == "expected a string";
    let example =
        LISTS.iter().find(|(list, _)| *list == name).map_or("[\"127.0.0.1\"]", |(_, example)| example);
    Some(match expected {
        _ if is_item => format!("must be a list of texts such as {example}"),
        A_LIST => format!("{rule} such as {example}"),
        _ if rule.starts_with("must be a whole number") && BYTES.contains(&name) => BYTES_RULE.to_owned(),
        _ => rule.to_owned(),
    })
}

/// A value of the file that has a wrong type.
pub(super) struct WrongType<'a> {
    /// The whole name of the setting, or the name of a section.
    pub(super) key: String,
    /// The value as the file has it, if it cannot be a secret.
    pub(super) shown: Option<&'a str>,
    pub(super) is_list: bool,
}

/// Returns the value of a file that contains the byte `at`. Values may be in a section.
pub(super) fn value_at(text: &str, at: usize, is_section: impl Fn(&str) -> bool) -> Option<WrongType<'_>> {
    // A file that is no TOML has another error.
    let document = DeTable::parse(text).ok()?.into_inner();
    document.iter().find_map(|(name, value)| {
        let name: &str = name.get_ref();
        match value.get_ref() {
            DeValue::Table(section) if is_section(name) => section.iter().find_map(|(inner, value)| {
                wrong_type(text, at, format!("{name}.{}", inner.get_ref()), value)
            }),
            _ => wrong_type(text, at, name.to_owned(), value),
        }
    })
}

/// Returns the section of the key at the byte `at`, which is empty for a key outside sections. `None` if no key is there.
pub(super) fn section_at(text: &str, at: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?.into_inner();
    document.iter().find_map(|(name, value)| match value.get_ref() {
        // Also the name of an unknown section.
        _ if name.span().contains(&at) => Some(String::new()),
        DeValue::Table(section) => {
            let is_within = section.iter().any(|(inner, _)| inner.span().contains(&at));
            is_within.then(|| name.get_ref().to_string())
        }
        _ => None,
    })
}

/// Returns whether a value of `domain` has names alone, such as one with a scheme. It was meant to be public.
fn has_names(value: &DeValue<'_>) -> bool {
    let is_name = |text: &str| {
        let bare = text.strip_prefix("*.").unwrap_or(text);
        CertificateName::parse(bare).is_ok() || CertificateName::within_url(text).is_some()
    };
    match value {
        DeValue::String(text) => text.split(',').all(|item| is_name(item.trim())),
        DeValue::Array(items) => items.iter().all(|item| has_names(item.get_ref())),
        _ => false,
    }
}

/// Returns whether a value cannot be a secret that was pasted under a wrong key.
fn is_public(key: &str, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => true,
        DeValue::String(text) => {
            // Of addresses with ports and networks. A key has other letters, and an identifier of its kind more of them.
            let is_address = text.contains(['.', ':'])
                && text.chars().all(|c| c.is_ascii_hexdigit() || "[]:./*, ".contains(c));
            let takes_hosts = ["listen", "https.listen"].contains(&key);
            let host = text.rsplit_once(':').map_or(&**text, |(host, _)| host);
            let is_host = takes_hosts && host.contains('.') && CertificateName::parse(host).is_ok();
            text.len() < SECRET_TEXT_MIN || is_address || is_host || is_amount(text)
        }
        DeValue::Array(items) => items.iter().all(|item| is_public(key, item.get_ref())),
        DeValue::Table(table) => table
            .iter()
            .all(|(name, value)| name.get_ref().len() < SECRET_TEXT_MIN && is_public(key, value.get_ref())),
    }
}

/// Returns whether a text is a number with a unit, such as `64 MiB`.
fn is_amount(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - unit.len();
    (1..=12).contains(&digits) && unit.trim_start().len() <= 3
}

fn wrong_type<'a>(
    text: &'a str,
    at: usize,
    key: String,
    value: &Spanned<DeValue<'_>>,
) -> Option<WrongType<'a>> {
    let span = value.span();
    span.contains(&at).then(|| {
        let is_shown = is_public(&key, value.get_ref()) || key == "domain" && has_names(value.get_ref());
        // A comment between the items of a list may contain anything.
        let shown = text.get(span).filter(|raw| is_shown && !raw.contains('\n'));
        WrongType { key, shown, is_list: matches!(value.get_ref(), DeValue::Array(_)) }
    })
}
