//! The `[https]` section.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::internet::Internet;
use super::name::CertificateName;
use crate::settings::BadSetting;
use crate::settings::listen::Listen;

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The hosts of authorities that browsers trust. They certify names of the internet alone, and refuse others only after
/// an order was made.
const PUBLIC_AUTHORITIES: [&str; 6] = [
    "acme-v02.api.letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org",
    "dv.acme-v02.api.pki.goog",
    "acme.zerossl.com",
    "api.buypass.com",
    "acme.ssl.com",
];

/// Longest `hsts`: two years, which the lists of browsers ask for.
const HSTS_MAX: Duration = Duration::from_hours(2 * 365 * 24);

/// The `[https]` section.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where HTTPS is served. Default: port 443 of every address if `domain` or `https.certificates` is set, and
    /// nowhere otherwise.
    pub listen: Option<Listen>,
    /// The address of the account at the authority. May be empty.
    pub email: String,
    /// The URL of the directory of the certificate authority (RFC 8555).
    pub authority: String,
    /// A PEM file of the certificates that the TLS of the authority itself is checked with; for a private authority.
    pub authority_roots: Option<PathBuf>,
    /// The profile of certificates to ask the authority for. Empty is its default.
    pub profile: String,
    /// The key id of an external account (RFC 8555 7.3.4). Its key is in `WAYPOST_HTTPS__EAB_KEY`.
    pub eab_key_id: String,
    /// Whether domains that the APIs register get certificates too.
    pub registered_domains: bool,
    /// The time for which browsers use HTTPS only, for the names in `domain`. Zero sends no such header.
    #[serde(with = "crate::settings::duration")]
    pub hsts: Duration,
    /// What port 80 does with a visit to a name that has a certificate.
    pub plain_http: PlainHttp,
    /// Certificates of the owner, as files.
    pub certificates: Vec<CertificateFiles>,
    /// The key of the external account; from the environment only.
    #[serde(skip)]
    pub eab_key: Option<EabKey>,
    /// How this server is reached from outside.
    #[serde(skip)]
    pub internet: Internet,
}

/// What port 80 does with a visit to a name that has a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlainHttp {
    /// It answers 308 with the same URL and `https`.
    #[default]
    Redirect,
    /// It answers as over HTTPS.
    Serve,
}

/// The two files of a certificate of the owner, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a pair such as { chain = \"fullchain.pem\", key = \"privkey.pem\" }"
)]
pub struct CertificateFiles {
    /// The certificate, and those of the authorities between it and the root.
    pub chain: PathBuf,
    /// The private key. May be the same file.
    pub key: PathBuf,
}

/// A secret that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct EabKey(pub String);

impl fmt::Debug for EabKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EabKey(..)")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Everything but the address of a person.
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("authority", &self.authority)
            .field("profile", &self.profile)
            .field("registered_domains", &self.registered_domains)
            .field("hsts", &self.hsts)
            .field("plain_http", &self.plain_http)
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: None,
            email: String::new(),
            authority: LETS_ENCRYPT.to_owned(),
            authority_roots: None,
            profile: String::new(),
            eab_key_id: String::new(),
            registered_domains: true,
            hsts: Duration::from_hours(30 * 24),
            plain_http: PlainHttp::default(),
            certificates: Vec::new(),
            eab_key: None,
            internet: Internet::default(),
        }
    }
}

impl Settings {
    /// Returns whether the authority is the default one.
    pub fn is_lets_encrypt(&self) -> bool {
        self.authority == LETS_ENCRYPT
    }

    /// Returns whether the authority certifies names of the internet alone. Any other one may be private.
    pub fn is_public_authority(&self) -> bool {
        let url = Url::parse(&self.authority).ok();
        url.is_some_and(|url| url.host_str().is_some_and(|host| PUBLIC_AUTHORITIES.contains(&host)))
    }

    /// Returns why the authority cannot certify a name, with the remedies, as a clause. `None`: it may.
    pub fn uncertifiable(&self, name: &CertificateName) -> Option<String> {
        // Before an order is made: refused ones count for the limits of the authority.
        let why = name.private_reason().filter(|_| self.is_public_authority())?;
        Some(format!(
            "{why}, so no public authority issues a certificate for it: use another name, a private `https.authority`, or \
             `https.certificates`"
        ))
    }

    /// Checks every rule about a value of the right type.
    pub fn check(&self) -> Result<(), BadSetting> {
        let is_https = Url::parse(&self.authority).is_ok_and(|url| url.scheme() == "https" && url.has_host());
        if !is_https {
            let rule = "must be the https URL of an ACME directory";
            return Err(BadSetting::new("authority", format!("{:?}", self.authority), rule));
        }
        if !self.email.is_empty() && !is_address(&self.email) {
            return Err(BadSetting::new("email", "(not shown)", "must be an address such as me@example.com"));
        }
        if self.hsts > HSTS_MAX {
            let shown = crate::settings::duration::show(self.hsts);
            return Err(BadSetting::new("hsts", format!("{shown:?}"), "must be at most \"730d\""));
        }
        if self.eab_key_id.is_empty() && self.eab_key.is_some() {
            return Err(BadSetting::new(
                "eab_key",
                "(not shown)",
                "must be set together with `https.eab_key_id`",
            ));
        }
        if !self.eab_key_id.is_empty() && self.eab_key.is_none() {
            let rule = "must be set together with the environment variable WAYPOST_HTTPS__EAB_KEY";
            return Err(BadSetting::new("eab_key_id", format!("{:?}", self.eab_key_id), rule));
        }
        if let Some(key) = &self.eab_key
            && BASE64_URL_SAFE_NO_PAD.decode(key.0.trim_end_matches('=')).is_err()
        {
            let rule = "must be base64url, as the authority shows it";
            return Err(BadSetting::new("eab_key", "(not shown)", rule));
        }
        let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_token(&self.profile) {
            let rule = "must be a name of letters, digits and hyphens such as shortlived";
            return Err(BadSetting::new("profile", format!("{:?}", self.profile), rule));
        }
        Ok(())
    }
}

/// Returns whether a text can be a mail address. The authority checks the rest.
fn is_address(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_graphic());
    let parts = text.split_once('@');
    is_plain
        && parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_each_rule_names_its_key() {
        assert_eq!(Settings::default().check(), Ok(()));
        let check = |change: fn(&mut Settings), want: &str| {
            let mut settings = Settings::default();
            change(&mut settings);
            let error = settings.check().map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains(want)), "{error:?} {want}");
        };
        check(|s| s.authority = "http://a.test/dir".to_owned(), "`authority` = \"http://a.test/dir\"");
        check(|s| s.authority = "acme".to_owned(), "must be the https URL of an ACME directory");
        check(|s| s.email = "me".to_owned(), "`email` = (not shown): must be an address");
        check(|s| s.email = "me@a@b.c".to_owned(), "must be an address");
        check(|s| s.hsts = Duration::from_hours(731 * 24), "`hsts` = \"731d\": must be at most \"730d\"");
        check(|s| s.eab_key_id = "kid".to_owned(), "WAYPOST_HTTPS__EAB_KEY");
        check(
            |s| s.eab_key = Some(EabKey("k".to_owned())),
            "`eab_key` = (not shown): must be set together with",
        );
        check(|s| s.profile = "short lived".to_owned(), "`profile` = \"short lived\"");
    }

    #[test]
    fn a_public_authority_certifies_names_of_the_internet_alone() {
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        let rows = [
            (LETS_ENCRYPT, "go.example.com", false),
            (LETS_ENCRYPT, "go.test", true),
            (LETS_ENCRYPT, "10.0.0.1", true),
            (staging, "localhost", true),
            // A private authority certifies what it likes.
            ("https://ca.internal/acme/directory", "go.internal", false),
            ("https://ca.internal/acme/directory", "intranet", false),
        ];
        for (authority, name, is_refused) in rows {
            let settings = Settings { authority: authority.to_owned(), ..Settings::default() };
            let name = CertificateName::parse(name).expect(name);
            assert_eq!(settings.uncertifiable(&name).is_some(), is_refused, "{authority} {name}");
        }
    }

    #[test]
    fn no_secret_and_no_person_is_shown() {
        let mut settings = Settings { email: "me@example.com".to_owned(), ..Settings::default() };
        settings.eab_key = Some(EabKey("canary".to_owned()));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("canary") && !shown.contains("me@example.com"), "{shown}");
    }
}
