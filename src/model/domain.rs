//! [`Domain`]: a host with links, and [`HostName`], its validated name.

use std::borrow::Cow;
use std::fmt;

use crate::clock::Timestamp;
use crate::model::destination::Destination;
use crate::model::id::Id;
use crate::model::qr_style::{QrEdit, QrStyle};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, text};

/// The number of a domain in the store. Links are keyed by the number, so that a change of the domain's name
/// or of `public_url` breaks no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainNumber(pub u32);

impl DomainNumber {
    /// The default domain, which the first start creates. Its name is the host of `public_url`.
    pub const DEFAULT: DomainNumber = DomainNumber(0);
}

/// The fixed id of the default domain.
pub(crate) const DEFAULT_ID: Id = Id::from_bits(0);

/// A DNS name in ASCII lower case (punycode for other letters), without port or trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

impl HostName {
    /// Parses `go.example.com`, `GO.Example.com.`, `bücher.example`. Rejects IP addresses: they reach the
    /// default domain without being a domain.
    pub fn parse(field: &'static str, text: &str) -> Result<HostName, Invalid> {
        let reject = || {
            Invalid::new(field, "must be a host name such as go.example.com, without scheme, port or path")
        };
        // A name with a dot at its end is the same name in DNS.
        let text = text.strip_suffix('.').unwrap_or(text);
        // The parser maps to punycode as browsers do, and returns IP addresses in any spelling as such.
        let Ok(url::Host::Domain(name)) = url::Host::parse(text) else { return Err(reject()) };
        let labels_fit = name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                // Underscores are in names of DNS, though not in host names by RFC 952.
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
        // The bounds of DNS: 253 characters in a name, 63 in a label.
        if name.len() > 253 || !labels_fit {
            return Err(reject());
        }
        Ok(HostName(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host with links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The key of its links in the store.
    pub number: DomainNumber,
    /// The id in the APIs.
    pub id: Id,
    /// `None` only for the default domain, whose name is the host of `public_url`.
    pub name: Option<HostName>,
    /// The owner. `None` for the default domain, which every workspace may use.
    pub workspace: Option<WorkspaceNumber>,
    /// The start of its short URLs. `None` is `https://<name>`, with the port of `public_url` if that is https.
    pub base_url: Option<Destination>,
    /// Whether `/Sale` and `/sale` are two codes. Fixed once the domain has links.
    pub case_sensitive: bool,
    /// The redirect for unknown codes, in place of the 404 page.
    pub not_found_url: Option<Destination>,
    /// The redirect for expired links, in place of the 410 page.
    pub expired_url: Option<Destination>,
    /// The redirect for `/`.
    pub root_url: Option<Destination>,
    /// Whether `/CODE+` shows where a link leads.
    pub show_destination: bool,
    /// Whether `/CODE+qr.svg` and `/CODE+qr.png` are the picture of a link's QR code, for everyone.
    pub public_qr: bool,
    /// How the QR codes of its links look.
    pub qr: QrStyle,
    /// Whether it has an `apple-app-site-association`.
    pub apple_apps: bool,
    /// Whether it has an `assetlinks.json`.
    pub android_apps: bool,
    /// The time when the domain was verified, or declared verified.
    pub verified_at: Option<Timestamp>,
    /// The time when the domain was added.
    pub created_at: Timestamp,
}

impl Domain {
    /// Returns the record of the default domain, which every store has from its first start on.
    pub fn default_domain(now: Timestamp) -> Domain {
        Domain {
            number: DomainNumber::DEFAULT,
            id: DEFAULT_ID,
            name: None,
            workspace: None,
            base_url: None,
            case_sensitive: true,
            not_found_url: None,
            expired_url: None,
            root_url: None,
            show_destination: false,
            public_qr: false,
            qr: QrStyle::default(),
            apple_apps: false,
            android_apps: false,
            // Its host is that of `public_url`, which the operator has set.
            verified_at: Some(now),
            created_at: now,
        }
    }

    /// Returns the code as this domain keys it: in lower case if the domain ignores case.
    pub fn key_of(&self, code: ShortCode) -> ShortCode {
        if self.case_sensitive { code } else { code.folded() }
    }

    /// Returns a typed code as this domain keys it, and the typed code for print if it differs.
    pub fn key_and_typed(&self, typed: Option<ShortCode>) -> (Option<ShortCode>, Option<ShortCode>) {
        let key = typed.clone().map(|code| self.key_of(code));
        let typed = typed.filter(|typed| key.as_ref() != Some(typed));
        (key, typed)
    }

    /// Like [`Domain::key_of`], for a canonical spelling that was parsed from a request.
    pub fn fold<'a>(&self, canonical: Cow<'a, str>) -> Cow<'a, str> {
        // Borrowed without capitals, so that a redirect allocates nothing.
        if self.case_sensitive || !canonical.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            return canonical;
        }
        Cow::Owned(text::folded(&canonical).into_owned())
    }

    /// Applies one change. Fails if a value breaks a rule, or if the case rule would change under existing
    /// links.
    pub fn apply(&mut self, edit: DomainEdit, has_links: bool) -> Result<(), Invalid> {
        match edit {
            // Links are keyed by the folded code: their keys would not be found any more.
            DomainEdit::CaseSensitive(on) if on != self.case_sensitive && has_links => {
                return Err(Invalid::new("caseSensitive", "cannot change once the domain has links"));
            }
            DomainEdit::CaseSensitive(on) => self.case_sensitive = on,
            DomainEdit::BaseUrl(url) => {
                if let Some(parts) = url.as_ref().and_then(Destination::to_url)
                    // Requests are looked up by their whole first path segment: short URLs below another path
                    // would be dead.
                    && (parts.path() != "/" || parts.query().is_some() || parts.fragment().is_some())
                {
                    return Err(Invalid::new(
                        "baseUrl",
                        "must be scheme and host only, such as https://go.example.com",
                    ));
                }
                self.base_url = url;
            }
            DomainEdit::NotFoundUrl(url) => self.not_found_url = url,
            DomainEdit::ExpiredUrl(url) => self.expired_url = url,
            DomainEdit::RootUrl(url) => self.root_url = url,
            DomainEdit::ShowDestination(on) => self.show_destination = on,
            DomainEdit::PublicQr(on) => self.public_qr = on,
            DomainEdit::Qr(edit) => self.qr.apply(&edit),
        }
        Ok(())
    }
}

/// One change of a domain. `None` clears the field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each sets the field of `Domain` of its name.
pub enum DomainEdit {
    CaseSensitive(bool),
    BaseUrl(Option<Destination>),
    NotFoundUrl(Option<Destination>),
    ExpiredUrl(Option<Destination>),
    RootUrl(Option<Destination>),
    ShowDestination(bool),
    PublicQr(bool),
    Qr(QrEdit),
}

/// A domain that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields speak.
pub struct DomainDraft {
    pub name: HostName,
    pub edits: Vec<DomainEdit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        let rows = [
            ("go.example.com", Some("go.example.com")),
            ("GO.Example.com.", Some("go.example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("localhost", Some("localhost")),
            // Names of DNS may have underscores.
            ("a_b.test", Some("a_b.test")),
            ("", None),
            (".", None),
            ("127.0.0.1", None),
            // 127.0.0.1 in another spelling.
            ("0x7f.1", None),
            ("[::1]", None),
            ("a b", None),
            ("a..b", None),
            ("-a.b", None),
            ("a.b:80", None),
            ("https://a.b", None),
            ("a/b", None),
            ("x@y.test", None),
        ];
        for (text, want) in rows {
            assert_eq!(HostName::parse("domain", text).ok().as_ref().map(HostName::as_str), want, "{text}");
        }
    }
}
