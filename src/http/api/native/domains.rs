//! Domains in the native dialect.

use serde::Serialize;

use crate::http::api::dialect::{
    BadRequest, Command, DomainView, RequestParts, ScopedCommand, object, write,
};
use crate::json::{AsText, Object};
use crate::model::attachment::AttachmentFormat;
use crate::model::certificate::NameStatus;
use crate::model::color::Rgb;
use crate::model::destination::Destination;
use crate::model::domain::{DomainDraft, DomainEdit, HostName};
use crate::model::id::Id;
use crate::model::qr_style::QrEdit;

/// The fields that a creation and a change of a domain set.
const SET: &[&str] = &[
    "caseSensitive",
    "showDestination",
    "publicQr",
    "qrForeground",
    "qrBackground",
    "baseUrl",
    "notFoundUrl",
    "expiredUrl",
    "rootUrl",
    "workspaceId",
];

/// The fields of a new domain.
pub(super) const NEW: &[&[&str]] = &[&["domain"], SET];

/// The fields that a change of a domain sets, and those that a client may send back.
pub(super) const CHANGE: &[&[&str]] = &[SET, READ_ONLY];

/// The fields of a whole domain that no change sets.
pub(super) const READ_ONLY: &[&str] = &[
    "id",
    "domain",
    "verified",
    "verifiedAt",
    "createdAt",
    "status",
    "lastCheckedAt",
    "failedChecks",
    "activeLinks",
    "ownershipVerified",
    "verificationToken",
    "dnsProvider",
    "https",
    "qrLogo",
    "appleAppSiteAssociation",
    "assetLinks",
];

/// Parses `POST /domains {domain, caseSensitive?, showDestination?, publicQr?, qrForeground?, qrBackground?, baseUrl?,
/// notFoundUrl?, expiredUrl?, rootUrl?}`.
pub(super) fn create(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let body = object(request)?;
    let name = HostName::parse("domain", body.required("domain")?)?;
    write(request, &body, Command::CreateDomain(DomainDraft { name, edits: edits(&body)? }))
}

/// Parses `PATCH /domains/{id}`. Null clears a URL. The name cannot change and is ignored.
pub(super) fn update(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let id = request.id("domain")?;
    let body = object(request)?;
    write(request, &body, Command::UpdateDomain(id, edits(&body)?))
}

/// The URLs of a domain, each with the edit that it sets.
const DOMAIN_URLS: [(&str, SetUrl); 4] = [
    ("baseUrl", DomainEdit::BaseUrl),
    ("notFoundUrl", DomainEdit::NotFoundUrl),
    ("expiredUrl", DomainEdit::ExpiredUrl),
    ("rootUrl", DomainEdit::RootUrl),
];

type SetUrl = fn(Option<Destination>) -> DomainEdit;

fn edits(body: &Object) -> Result<Vec<DomainEdit>, BadRequest> {
    // Null changes nothing: a flag has no empty state.
    let case = body.flag("caseSensitive")?.value().map(DomainEdit::CaseSensitive);
    let shown = body.flag("showDestination")?.value().map(DomainEdit::ShowDestination);
    let public = body.flag("publicQr")?.value().map(DomainEdit::PublicQr);
    let mut edits: Vec<_> = case.into_iter().chain(shown).chain(public).collect();
    edits.extend(qr_edits(body)?.into_iter().map(DomainEdit::Qr));
    for (name, set) in DOMAIN_URLS {
        let url = body.text(name)?.map(|url| Destination::parse_web(name, url)).transpose()?;
        edits.extend(url.nullable().map(set));
    }
    Ok(edits)
}

/// Reads the colors of QR codes, of a domain or workspace. Null is the default.
pub(super) fn qr_edits(body: &Object) -> Result<Vec<QrEdit>, BadRequest> {
    let names: [(&'static str, fn(Option<Rgb>) -> QrEdit); 2] =
        [("qrForeground", QrEdit::Foreground), ("qrBackground", QrEdit::Background)];
    let mut edits = Vec::new();
    for (name, set) in names {
        let color = body.text(name)?.map(|text| Rgb::parse(name, text)).transpose()?;
        edits.extend(color.nullable().map(set));
    }
    Ok(edits)
}

/// The keys of the vendor's `Domain`, then the keys of this program. A domain exists only if it works, so most
/// of the vendor's states never occur.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DomainJson<'a> {
    id: AsText<Id>,
    domain: &'a str,
    verified: bool,
    verified_at: Option<String>,
    created_at: String,
    status: &'static str,
    // Always null, like the token and the provider: nothing is checked in the DNS.
    last_checked_at: Option<()>,
    failed_checks: u64,
    active_links: u64,
    ownership_verified: bool,
    verification_token: Option<()>,
    dns_provider: Option<()>,
    base_url: &'a str,
    case_sensitive: bool,
    not_found_url: Option<&'a str>,
    expired_url: Option<&'a str>,
    root_url: Option<&'a str>,
    show_destination: bool,
    public_qr: bool,
    qr_foreground: Option<String>,
    qr_background: Option<String>,
    qr_logo: Option<&'static str>,
    apple_app_site_association: bool,
    asset_links: bool,
    https: Option<HttpsJson<'a>>,
}

/// The certificate of a domain.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpsJson<'a> {
    state: &'static str,
    expires_at: Option<String>,
    failure: Option<&'a str>,
    next_try: Option<String>,
}

impl<'a> HttpsJson<'a> {
    fn of(status: &'a NameStatus) -> HttpsJson<'a> {
        HttpsJson {
            state: status.state.as_str(),
            expires_at: status.expires_at.map(|at| at.to_string()),
            failure: status.failure.as_deref(),
            next_try: status.next_try.map(|at| at.to_string()),
        }
    }
}

impl<'a> DomainJson<'a> {
    pub(super) fn of(view: &'a DomainView) -> DomainJson<'a> {
        let domain = &view.domain;
        let verified = domain.verified_at.is_some();
        DomainJson {
            id: AsText(domain.id),
            domain: &view.name,
            verified,
            verified_at: domain.verified_at.map(|at| at.to_string()),
            created_at: domain.created_at.to_string(),
            // The vendor's other states belong to its DNS checks.
            status: if verified { "ACTIVE" } else { "PENDING_OWNERSHIP" },
            last_checked_at: None,
            failed_checks: 0,
            active_links: view.links,
            ownership_verified: verified,
            verification_token: None,
            dns_provider: None,
            base_url: &view.base_url,
            case_sensitive: domain.case_sensitive,
            not_found_url: domain.not_found_url.as_ref().map(Destination::as_str),
            expired_url: domain.expired_url.as_ref().map(Destination::as_str),
            root_url: domain.root_url.as_ref().map(Destination::as_str),
            show_destination: domain.show_destination,
            public_qr: domain.public_qr,
            qr_foreground: domain.qr.foreground.map(|color| color.to_string()),
            qr_background: domain.qr.background.map(|color| color.to_string()),
            qr_logo: domain.qr.logo.map(AttachmentFormat::media_type),
            apple_app_site_association: domain.apple_apps,
            asset_links: domain.android_apps,
            https: view.https.as_ref().map(HttpsJson::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::{TEST_ID, check_parse};
    use crate::json::Mistyped;
    use crate::model::Invalid;

    #[test]
    fn null_clears_urls() {
        let missing = Mistyped(Invalid::new("domain", "is required"));
        check_parse(create, "{}", Err(missing.into()));
        let cleared =
            format!("UpdateDomain({TEST_ID}, [CaseSensitive(true), ShowDestination(false), RootUrl(None)])");
        let body = r#"{"rootUrl":null,"caseSensitive":true,"showDestination":false}"#;
        check_parse(update, body, Ok(&cleared));
    }
}
