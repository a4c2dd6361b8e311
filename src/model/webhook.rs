//! The secret that signs a workspace's events, and the rule for webhook URLs.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::destination::Destination;
use crate::model::network::Networks;
use crate::model::workspace::WorkspaceNumber;

/// Bytes of a secret: as many as the hash has. Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES: usize = 32;

/// The start of a secret's text, by which scanners recognise a leaked secret.
const SECRET_PREFIX: &str = "whsec_";

/// The time for which the old secret signs beside the new one after a rotation: a day to deploy the new
/// secret at every receiver.
pub(crate) const OVERLAP_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Longest webhook URL in bytes, well above the URLs of known receivers: every waiting delivery contains one.
/// Past it: rejected.
pub(crate) const URL_MAX: usize = 2_048;

/// A signing key. `Debug` does not print it.
#[derive(Clone)]
pub struct Secret(pub [u8; SECRET_BYTES]);

/// Compares in constant time: the duration reveals nothing about the key.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl Secret {
    /// Returns the text that the libraries of receivers accept.
    pub fn text(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secrets that sign a workspace's events. Created at the first need.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct WebhookSecret {
    /// The number of its workspace.
    pub workspace: WorkspaceNumber,
    pub secret: Secret,
    pub created_at: Timestamp,
    /// The secret before the last rotation, and the time until which it signs as well.
    pub previous: Option<(Secret, Timestamp)>,
}

impl WebhookSecret {
    /// Returns the secrets that sign at `now`, the newest first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let previous = self.previous_at(now).map(|(secret, _)| secret);
        std::iter::once(&self.secret).chain(previous)
    }

    /// Returns the previous secret while it still signs.
    pub fn previous_at(&self, now: Timestamp) -> Option<&(Secret, Timestamp)> {
        self.previous.as_ref().filter(|(_, until)| now < *until)
    }

    /// Returns the secrets after a rotation at `now`. A second rotation within a day ends the first secret at
    /// once: there are never more than two.
    #[must_use]
    pub fn rotated(self, fresh: Secret, now: Timestamp) -> WebhookSecret {
        let previous = Some((self.secret, now.plus_millis(OVERLAP_MILLIS)));
        WebhookSecret { workspace: self.workspace, secret: fresh, created_at: now, previous }
    }
}

/// Rejects a URL that events must not be sent to, as far as its text shows. The addresses of a host name are
/// checked at each connection.
pub fn check_url(url: &Destination, allowed: &Networks) -> Result<(), Invalid> {
    let reject = |why: &str| Err(Invalid::new("webhookUrls", why));
    if url.as_str().len() > URL_MAX {
        return reject("must be at most 2048 bytes each");
    }
    let Some(url) = url.to_url().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return reject("must be http or https URLs");
    };
    // Port 0 is rejected below.
    let port = url.port_or_known_default().unwrap_or(0);
    // Other ports below 1024 belong to other protocols, such as SMTP.
    if !matches!(port, 80 | 443 | 1024..) {
        return reject("must have port 80, 443, or one from 1024");
    }
    let fits = match url.host() {
        Some(url::Host::Ipv4(address)) => allowed.allow(IpAddr::V4(address)),
        Some(url::Host::Ipv6(address)) => allowed.allow(IpAddr::V6(address)),
        // A name can have any address later, so it is checked again at each connection.
        Some(url::Host::Domain(name)) => !is_localhost(name) || allows_loopback(allowed),
        None => false,
    };
    if fits { Ok(()) } else { reject("must not lead into a private network") }
}

/// Returns whether a name is `localhost` or below it (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

fn allows_loopback(allowed: &Networks) -> bool {
    let loopback: [IpAddr; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
    // `name` and not `allow`: loopback is never global, so only the operator's list can allow it.
    loopback.into_iter().any(|address| allowed.name(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret([byte; SECRET_BYTES])
    }

    #[test]
    fn a_secret_has_the_form_of_standard_webhooks_and_is_not_printed() {
        let secret = secret(0xff);
        assert_eq!(secret.text(), "whsec_//////////////////////////////////////////8=");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_rotation_signs_with_both_for_a_day() {
        let at = Timestamp::from_millis;
        let first = WebhookSecret {
            workspace: WorkspaceNumber(0),
            secret: secret(1),
            created_at: at(0),
            previous: None,
        };
        let second = first.rotated(secret(2), at(1_000));
        let signing = |now| second.signing(at(now)).cloned().collect::<Vec<_>>();
        assert_eq!(signing(1_000), [secret(2), secret(1)]);
        assert_eq!(signing(1_000 + OVERLAP_MILLIS - 1), [secret(2), secret(1)]);
        // At the end itself the old secret is over.
        assert_eq!(signing(1_000 + OVERLAP_MILLIS), [secret(2)]);
        let third = second.clone().rotated(secret(3), at(2_000));
        assert_eq!(third.signing(at(2_000)).cloned().collect::<Vec<_>>(), [secret(3), secret(2)]);
    }

    #[test]
    fn urls() {
        let private = "must not lead into a private network";
        let port = "must have port 80, 443, or one from 1024";
        let rows = [
            ("https://hooks.example.com/a?b", Ok(())),
            ("http://hooks.example.com:80/", Ok(())),
            // The port and the scheme need not fit: the receiver decides what it serves.
            ("http://hooks.example.com:443/", Ok(())),
            ("http://hooks.example.com:1024/", Ok(())),
            ("http://hooks.example.com:65535/", Ok(())),
            ("http://hooks.example.com:25/", Err(port)),
            ("http://hooks.example.com:22/", Err(port)),
            ("http://hooks.example.com:0/", Err(port)),
            ("http://hooks.example.com:1023/", Err(port)),
            ("https://8.8.8.8/", Ok(())),
            ("https://[2606:4700:4700::1111]/", Ok(())),
            ("http://localhost/", Err(private)),
            ("http://LOCALHOST./", Err(private)),
            ("http://a.localhost/", Err(private)),
            // Only the last label counts.
            ("http://localhost.example.com/", Ok(())),
            ("http://notlocalhost/", Ok(())),
            // Normalised to 127.0.0.1 before the check.
            ("http://127.1/", Err(private)),
        ];
        for (text, want) in rows {
            let url = Destination::parse_web("webhookUrls", text).expect(text);
            let got = check_url(&url, &Networks::default()).map_err(|invalid| invalid.why);
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
        let long = format!("https://e.test/{}", "x".repeat(URL_MAX));
        let long = Destination::parse_web("webhookUrls", &long).expect("a URL");
        assert!(check_url(&long, &Networks::default()).is_err());
    }

    #[test]
    fn an_allowed_network_opens_its_addresses_and_loopback_its_names() {
        let allowed = Networks::parse(["127.0.0.0/8"]).expect("a network");
        for (text, fits) in [
            ("http://127.0.0.1:9000/", true),
            // A mapped address is looked up as IPv4.
            ("http://[::ffff:127.0.0.1]:9000/", true),
            ("http://localhost:9000/", true),
            ("http://10.0.0.1:9000/", false),
            ("http://[::1]:9000/", false),
            // An allowed network does not open other ports.
            ("http://127.0.0.1:22/", false),
        ] {
            let url = Destination::parse_web("webhookUrls", text).expect(text);
            assert_eq!(check_url(&url, &allowed).is_ok(), fits, "{text}");
        }
    }
}
