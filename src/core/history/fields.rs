//! The fields of domains, workspaces, tags and campaigns that a change has changed, for the audit list. The values are not
//! kept: only links have a history.

use crate::model::attachment::AttachmentUse;
use crate::model::campaign::Campaign;
use crate::model::domain::Domain;
use crate::model::qr_style::QrStyle;
use crate::model::tag::Tag;
use crate::model::workspace::Workspace;

/// Names of fields in the API.
pub(in crate::core) type FieldNames = Vec<&'static str>;

/// Returns the fields in which two states of a domain differ.
pub(in crate::core) fn of_domain(before: &Domain, after: &Domain) -> FieldNames {
    // Every field is named, here and below, so that a new one does not compile until it is decided.
    let Domain {
        base_url,
        case_sensitive,
        not_found_url,
        expired_url,
        root_url,
        show_destination,
        public_qr,
        qr,
        // Files have changes of their own; the others never change.
        apple_apps: _,
        android_apps: _,
        number: _,
        id: _,
        name: _,
        workspace: _,
        verified_at: _,
        created_at: _,
    } = before;
    let mut fields = changed(&[
        ("baseUrl", *base_url != after.base_url),
        ("caseSensitive", *case_sensitive != after.case_sensitive),
        ("notFoundUrl", *not_found_url != after.not_found_url),
        ("expiredUrl", *expired_url != after.expired_url),
        ("rootUrl", *root_url != after.root_url),
        ("showDestination", *show_destination != after.show_destination),
        ("publicQr", *public_qr != after.public_qr),
    ]);
    fields.extend(of_style(qr, &after.qr));
    fields
}

/// Returns the fields in which two states of a workspace differ.
pub(in crate::core) fn of_workspace(before: &Workspace, after: &Workspace) -> FieldNames {
    let Workspace {
        name,
        credits,
        default_domain,
        custom_values,
        statistics,
        timezone,
        check_links,
        qr,
        number: _,
        id: _,
        company: _,
        created_at: _,
    } = before;
    let mut fields = changed(&[
        ("name", *name != after.name),
        ("credits", *credits != after.credits),
        ("defaultDomain", *default_domain != after.default_domain),
        ("customValues", *custom_values != after.custom_values),
        ("statistics", *statistics != after.statistics),
        ("timezone", *timezone != after.timezone),
        ("checkLinks", *check_links != after.check_links),
    ]);
    fields.extend(of_style(qr, &after.qr));
    fields
}

/// Returns the fields in which two states of a tag differ.
pub(in crate::core) fn of_tag(before: &Tag, after: &Tag) -> FieldNames {
    changed(&[("name", before.name != after.name), ("color", before.color != after.color)])
}

/// Returns the fields in which two states of a campaign differ.
pub(in crate::core) fn of_campaign(before: &Campaign, after: &Campaign) -> FieldNames {
    changed(&[("name", before.name != after.name)])
}

/// Returns the field that shows a file. The record of its owner need not differ: an SVG may replace another one.
pub(in crate::core) fn of_file(used: AttachmentUse) -> &'static str {
    match used {
        AttachmentUse::Logo => "qrLogo",
        AttachmentUse::AppleApps => "appleAppSiteAssociation",
        AttachmentUse::AndroidApps => "assetLinks",
    }
}

fn of_style(before: &QrStyle, after: &QrStyle) -> FieldNames {
    changed(&[
        ("qrForeground", before.foreground != after.foreground),
        ("qrBackground", before.background != after.background),
    ])
}

fn changed(fields: &[(&'static str, bool)]) -> FieldNames {
    fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
}
