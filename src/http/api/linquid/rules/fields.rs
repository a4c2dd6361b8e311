//! The vendor's fields and operators of flat conditions: what each is here, or why it is not available.

/// Fields of the vendor that have another name here.
pub(super) const RENAMED: [(&str, &str); 2] = [("deviceType", "device"), ("referrerDomain", "referrer")];

/// Operators of the vendor that have another name here.
pub(super) const OPERATORS: [(&str, &str); 2] = [("not_equals", "notIn"), ("not_in", "notIn")];

const NO_PLACES: &str = "is not available: use country, region or city";
const NO_NETWORKS: &str = "is not available: Waypost knows no networks by name; use ip with address ranges";
const NO_VERSIONS: &str = "is not available: browsers no longer send exact versions";
const NO_QUALITY: &str = "is not available: Waypost does not rate the traffic of visitors";
const NO_HISTORY: &str = "is not available: whether a visitor came before is known only after the click; use visits for the clicks of the link";
const NO_BOTS: &str =
    "is not available: bots are recognized for the whole link (`blockBots` of the native API)";

/// The vendor's fields that are not available, each with the reason.
const UNAVAILABLE: [(&str, &str); 16] = [
    ("timezone", NO_PLACES),
    ("latitude", NO_PLACES),
    ("longitude", NO_PLACES),
    ("isp", NO_NETWORKS),
    ("asn", NO_NETWORKS),
    ("osVersion", NO_VERSIONS),
    ("browserVersion", NO_VERSIONS),
    ("deviceBrand", "is not available: use deviceType, os or browser"),
    ("vpn", NO_QUALITY),
    ("proxy", NO_QUALITY),
    ("tor", NO_QUALITY),
    ("datacenter", NO_QUALITY),
    ("fraudScore", NO_QUALITY),
    ("bot", NO_BOTS),
    ("isCrawler", NO_BOTS),
    ("isNewVisitor", NO_HISTORY),
];

/// Returns why a field of the vendor is not available.
pub(super) fn unavailable(field: &str) -> Option<&'static str> {
    // The vendor's opposite of `isNewVisitor`, and words of its manual for fraud.
    let field = match field {
        "isReturning" => "isNewVisitor",
        "fraud" => "fraudScore",
        other => other,
    };
    UNAVAILABLE.iter().find(|(known, _)| *known == field).map(|(_, why)| *why)
}

/// The days of a week in the vendor's words, from Monday.
pub(super) const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Returns the name that a day has here: its first three letters.
pub(super) fn day(name: &str) -> Option<&'static str> {
    DAYS.iter().find(|day| **day == name || day[..3] == *name).map(|day| &day[..3])
}
