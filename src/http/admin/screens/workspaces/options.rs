//! The fields of workspaces and companies.

use crate::http::admin::fields::{SimpleField, SimpleInput};

const fn line(name: &'static str, label: &'static str, hint: &'static str) -> SimpleField {
    SimpleField::new(name, label, SimpleInput::Line, hint)
}

const NAME: SimpleField = SimpleField::new("name", "Name", SimpleInput::Name, "");
const ID: SimpleField =
    line("id", "Id", "Empty: one is generated. Otherwise that of another program: letters, digits, _ and -.");

/// The name of the field of credits, whose present number every new link changes.
pub(super) const CREDITS: &str = "credits";

const CREDITS_FIELD: SimpleField = SimpleField::new(
    CREDITS,
    "Credits",
    SimpleInput::Number,
    "Links that it may still create. Each new link takes one. Empty: as many as it likes.",
);
const DOMAIN: SimpleField =
    line("defaultDomain", "Domain of new links", "A name. Empty: the default domain of the server.");
const ZONE: SimpleField =
    line("timezone", "Time zone", "Of its days in statistics and dates, such as Europe/Berlin. Empty: UTC.");

/// The fields of a new workspace.
pub(super) const NEW_WORKSPACE: &[SimpleField] =
    &[NAME, SimpleField::new("companyId", "Company", SimpleInput::Menu, ""), CREDITS_FIELD, DOMAIN, ZONE, ID];

/// The fields of a new company.
pub(super) const NEW_COMPANY: &[SimpleField] = &[
    NAME,
    line(
        "relationshipNumber",
        "Relationship number",
        "For restricted shares of snapshots, such as 0-128-926. Empty: one is generated.",
    ),
    ID,
];

/// The options of a workspace: each field of `PATCH /api/v1/workspaces/{id}`.
pub(super) const OPTIONS: &[SimpleField] = &[
    NAME,
    CREDITS_FIELD,
    DOMAIN,
    ZONE,
    SimpleField::new(
        "statistics",
        "Keep details of clicks",
        SimpleInput::Flag,
        "Otherwise clicks are only counted, for all links.",
    ),
    SimpleField::new(
        "checkLinks",
        "Check destinations",
        SimpleInput::Flag,
        "Once a week. Broken ones have a badge in the list of links.",
    ),
    line("qrForeground", "Color of QR codes", "Such as #1a237e. Empty: black."),
    line("qrBackground", "Background of QR codes", "Such as #ffffff. Empty: white."),
    SimpleField::new(
        "customValues",
        "Custom values",
        SimpleInput::Pairs,
        "NAME = value, one in a line. {{custom_values.NAME}} in a destination becomes the value.",
    ),
];
