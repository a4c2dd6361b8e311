//! The fields that an object may have, and the field that an unknown name likely means. Bodies of requests and lines of an
//! import use the same words.

use super::{draft, fields, link_json};

/// Names with at least this similarity, from 0 to 1, count as misspellings: one letter in four may differ.
const ALIKE: f64 = 0.75;

/// Words of other programs and of users for fields, in lower case and without `_`. The first field of a row that
/// an endpoint has is meant.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("key", &["customSlug", "name"]),
    ("slug", &["customSlug"]),
    ("code", &["customSlug"]),
    ("shortcode", &["customSlug"]),
    ("shorturl", &["customSlug"]),
    ("keyword", &["customSlug"]),
    ("path", &["customSlug"]),
    ("vanity", &["customSlug"]),
    ("customcode", &["customSlug"]),
    ("customurl", &["customSlug"]),
    ("backhalf", &["customSlug"]),
    ("customid", &["customSlug"]),
    ("longurl", &["url"]),
    ("destination", &["url"]),
    ("destinationurl", &["url"]),
    ("target", &["url"]),
    ("targeturl", &["url"]),
    ("originalurl", &["url"]),
    ("redirectto", &["url"]),
    ("href", &["url"]),
    ("link", &["url"]),
    ("host", &["domain"]),
    ("hostname", &["domain"]),
    ("expires", &["expiresAt"]),
    ("expiry", &["expiresAt"]),
    ("expiration", &["expiresAt"]),
    ("expirationdate", &["expiresAt"]),
    ("expiresin", &["expiresAt"]),
    ("validuntil", &["expiresAt"]),
    ("validfrom", &["validSince"]),
    ("startsat", &["validSince"]),
    ("maxvisits", &["maxClicks"]),
    ("clicklimit", &["maxClicks"]),
    ("clickslimit", &["maxClicks"]),
    ("tags", &["tagIds"]),
    ("tagnames", &["tagIds"]),
    ("statuscode", &["redirectType"]),
    ("status", &["redirectType"]),
    ("enabled", &["isActive"]),
    ("active", &["isActive"]),
    ("disabled", &["isActive"]),
    ("comments", &["notes"]),
    ("comment", &["notes"]),
    ("campaign", &["campaignId"]),
    ("webhook", &["webhookUrls"]),
    ("webhooks", &["webhookUrls"]),
    ("proxy", &["cloaked"]),
    ("fallbackurl", &["notFoundUrl", "expiredUrl"]),
    ("homeurl", &["rootUrl"]),
    ("scope", &["scopes"]),
    ("permissions", &["scopes"]),
    ("kind", &["instance", "type"]),
    ("workspace", &["workspaceId"]),
    ("company", &["companyId"]),
    ("title", &["name"]),
    ("colour", &["color"]),
];

/// The fields of an object, in lists.
pub type KnownFields = &'static [&'static [&'static str]];

/// Returns whether an object has a field of this name.
pub fn is_known(name: &str, known: KnownFields) -> bool {
    known.iter().any(|names| names.contains(&name))
}

/// Returns the field that an unknown name likely means.
pub fn meant(name: &str, known: KnownFields) -> Option<&'static str> {
    likely(name, known, SYNONYMS)
}

/// Returns the known name that an unknown one likely means, by spelling or by synonym.
pub(crate) fn likely(
    name: &str,
    known: &[&[&'static str]],
    synonyms: &[(&str, &[&'static str])],
) -> Option<&'static str> {
    let bare = |text: &str| text.to_ascii_lowercase().replace('_', "");
    let wanted = bare(name);
    // Not what only responses have: it cannot be set.
    let fields = || {
        known.iter().filter(|names| **names != link_json::READ_ONLY).flat_map(|names| names.iter().copied())
    };
    let spelt = fields().find(|field| bare(field) == wanted);
    let synonym = || {
        let (_, meant) = synonyms.iter().find(|(word, _)| *word == wanted)?;
        meant.iter().copied().find(|field| fields().any(|known| known == *field))
    };
    let nearest = || {
        let scored =
            fields().map(|field| (strsim::normalized_damerau_levenshtein(&wanted, &bare(field)), field));
        let (score, field) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= ALIKE).then_some(field)
    };
    spelt.or_else(synonym).or_else(nearest)
}

/// Returns whether a field of a link takes a text, and no value of another type.
pub fn is_text(name: &str) -> bool {
    let is_other = || {
        let mut names = draft::NAMES.iter().chain(draft::NEW_NAMES);
        !matches!(name, "aliases" | "reuse") && names.any(|known| *known == name)
    };
    fields::is_text(name).unwrap_or_else(is_other)
}
