//! The fields that an object may have, and the field that an unknown name likely means. Bodies of requests and lines of an
//! import use the same words.

use super::spelling::likely;
use super::{draft, fields, link_json};

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
    ("stats", &["statistics"]),
    ("analytics", &["statistics"]),
    ("tracking", &["statistics"]),
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
    ("to", &["revision"]),
    ("version", &["revision"]),
    ("historyid", &["revision"]),
];

/// Fields of other objects that are looked for at a link, and these objects.
const OF_OTHERS: &[(&str, &[&str])] = &[
    ("domains", &["showDestination", "caseSensitive", "baseUrl", "notFoundUrl", "rootUrl"]),
    ("workspaces", &["timezone", "customValues"]),
];

/// The fields of an object, in lists.
pub type KnownFields = &'static [&'static [&'static str]];

/// The fields of a new link.
pub const NEW_LINK: KnownFields = &[draft::NAMES, draft::NEW_NAMES, &fields::OPTION_NAMES, &["workspaceId"]];

/// The fields that a change of a link sets.
pub const CHANGED_LINK: KnownFields =
    &[draft::NAMES, &["aliases", "keepOldCode", "workspaceId"], &fields::TAG_CHANGES, &fields::OPTION_NAMES];

/// Returns whether an object has a field of this name.
pub fn is_known(name: &str, known: &[&'static [&'static str]]) -> bool {
    known.iter().any(|names| names.contains(&name))
}

/// Returns the field that an unknown name likely means.
pub fn meant(name: &str, known: &[&'static [&'static str]]) -> Option<&'static str> {
    // Not what only responses have: it cannot be set.
    let settable: Vec<_> = known.iter().copied().filter(|names| *names != link_json::READ_ONLY).collect();
    likely(name, &settable, SYNONYMS)
}

/// Returns the kind of objects that have a field which a link does not have.
pub fn owner(name: &str) -> Option<&'static str> {
    OF_OTHERS.iter().find(|(_, names)| names.contains(&name)).map(|(owner, _)| *owner)
}

/// Returns whether a field of a link takes a text, and no value of another type.
pub fn is_text(name: &str) -> bool {
    let is_other = || {
        let mut names = draft::NAMES.iter().chain(draft::NEW_NAMES);
        !matches!(name, "aliases" | "reuse") && names.any(|known| *known == name)
    };
    fields::is_text(name).unwrap_or_else(is_other)
}
