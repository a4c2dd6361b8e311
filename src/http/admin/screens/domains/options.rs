//! The fields of a domain.

use crate::http::admin::fields::{SimpleField, SimpleInput};

const fn line(name: &'static str, label: &'static str, hint: &'static str) -> SimpleField {
    SimpleField::new(name, label, SimpleInput::Line, hint)
}

const fn flag(name: &'static str, label: &'static str, hint: &'static str) -> SimpleField {
    SimpleField::new(name, label, SimpleInput::Flag, hint)
}

pub(super) const ROOT: SimpleField =
    line("rootUrl", "Home page", "Where the domain leads without a code. Empty: 404.");
pub(super) const NOT_FOUND: SimpleField = line("notFoundUrl", "Instead of 404", "Where unknown codes lead.");
pub(super) const CASE: SimpleField = flag(
    "caseSensitive",
    "Case counts in codes",
    "Then /Sale and /sale are two codes. It is fixed once the domain has links.",
);

/// The options of a domain: each field of `PATCH /api/v1/domains/{id}`.
pub(super) const OPTIONS: &[SimpleField] = &[
    ROOT,
    NOT_FOUND,
    line("expiredUrl", "Instead of 410", "Where links lead that have expired or are used up."),
    line(
        "baseUrl",
        "Start of short URLs",
        "Empty: https:// and the name. Another one behind a proxy with a port.",
    ),
    flag(
        "showDestination",
        "Show destinations",
        "A plus behind a code opens a page that shows where the link leads.",
    ),
    flag("publicQr", "Public QR codes", "+qr.svg and +qr.png behind a code are its QR code, for everyone."),
    CASE,
    line(
        "qrForeground",
        "Color of QR codes",
        "Such as #1a237e. Empty: black, or the color of the workspace.",
    ),
    line(
        "qrBackground",
        "Background of QR codes",
        "Such as #ffffff. Empty: white, or the color of the workspace.",
    ),
];
