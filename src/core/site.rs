//! [`Site`]: how this instance is reached from outside. `public_url` is the source of every URL that Waypost
//! builds; a request's Host never is.

use url::Url;

use crate::model::Invalid;
use crate::model::domain::{Domain, HostName};
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::short_code::ShortCode;

/// The port of HTTPS in a URL that names none.
const HTTPS_PORT: u16 = 443;

/// What follows the short URL in the public address of the picture of its QR code. No code has a plus sign.
const PUBLIC_QR: &str = "+qr.svg";

/// The parts of `public_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    base: String,
    host: String,
    port: Option<u16>,
}

impl Site {
    /// Parses scheme and host, with an optional port: `https://go.example.com`. Fails if there is more, or if
    /// the host is no valid name.
    pub fn parse(text: &str) -> Result<Site, Invalid> {
        let refuse = || {
            Invalid::new(
                "public_url",
                "must be scheme and host such as https://go.example.com, without path or query",
            )
        };
        let url = Url::parse(text).map_err(|_| refuse())?;
        // The parser gives the path `/` to a URL without a path.
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refuse)?;
        if let Some(url::Host::Domain(name)) = url.host() {
            // The URL parser accepts names that no resolver finds, such as wildcards.
            HostName::parse("public_url", name)?;
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        // No client can connect to port 0.
        if !matches!(url.scheme(), "http" | "https") || !is_bare || has_user || url.port() == Some(0) {
            return Err(refuse());
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Site { base, host: host.to_owned(), port: url.port_or_known_default() })
    }

    /// Returns the host, which is the name of the default domain.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port if the host means the machine of the client: `localhost` or a loopback address. `None` for
    /// https, for which a proxy listens.
    pub(crate) fn loopback_port(&self) -> Option<u16> {
        let address = self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let is_loopback = self.host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        self.port.filter(|_| is_loopback && self.base.starts_with("http:"))
    }

    /// Returns the beginning of URLs on the default domain, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Returns the host name of a domain.
    pub fn name_of(&self, domain: &Domain) -> String {
        domain.name.as_ref().map_or_else(|| self.host.clone(), ToString::to_string)
    }

    /// Returns the beginning of short URLs on a domain, without a slash at the end. A name without a `baseUrl` has
    /// HTTPS at the port of `public_url`, since one listener serves all names.
    pub fn base_of(&self, domain: &Domain) -> String {
        match (&domain.base_url, &domain.name) {
            (Some(base), _) => base.as_str().trim_end_matches('/').to_owned(),
            // The port of a `public_url` without HTTPS is that of a trial, or of the proxy's other side.
            (None, Some(name)) => match self.port {
                Some(port) if port != HTTPS_PORT && self.base.starts_with("https:") => {
                    format!("https://{name}:{port}")
                }
                _ => format!("https://{name}"),
            },
            (None, None) => self.base.clone(),
        }
    }

    /// Returns the link that opens the page of a share.
    pub fn share_link(&self, id: Id) -> String {
        format!("{}/?share={id}", self.base)
    }

    /// Returns the short URL of a code.
    pub fn short_url(&self, domain: &Domain, code: &ShortCode) -> String {
        self.base_of(domain) + &self.path(code)
    }

    /// Returns the address of the picture of a link's QR code: the public one where the domain has it, or else that of
    /// the API, which needs a key.
    pub fn qr_url(&self, domain: &Domain, link: &Link) -> String {
        if domain.public_qr {
            return self.short_url(domain, link.shown_code()) + PUBLIC_QR;
        }
        format!("{}/api/v1/links/{}/qr", self.base, link.id)
    }

    /// Returns the path of a code's short URL.
    pub fn path(&self, code: &ShortCode) -> String {
        // Codes contain ASCII that is legal in a path, and Unicode, which must be encoded.
        let code = percent_encoding::utf8_percent_encode(code.as_str(), percent_encoding::CONTROLS);
        format!("/{code}")
    }

    /// Returns whether a text is the name of the default domain: its host, with or without the port.
    pub(crate) fn is_named(&self, text: &str) -> bool {
        let with_port =
            self.base.split_once("://").is_some_and(|(_, authority)| text.eq_ignore_ascii_case(authority));
        with_port || text.eq_ignore_ascii_case(&self.host)
    }

    /// Returns whether a URL leads to this machine under its public name. Any port counts for a name: the
    /// machine may run services that a firewall hides from all others. `localhost` and addresses, which are
    /// other names for any server on the machine, count only at our own port.
    pub(crate) fn is_host_of(&self, url: &Url) -> bool {
        // A dot at the end marks a complete name and is no part of the host.
        let named = match url.host() {
            Some(url::Host::Domain(name)) => name.trim_end_matches('.') == self.host,
            Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => url.host_str() == Some(&self.host),
            None => false,
        };
        let is_public = matches!(url.host(), Some(url::Host::Domain(_))) && self.host != "localhost";
        named && (is_public || url.port_or_known_default() == self.port)
    }

    /// Returns whether a URL with this host name may lead to the default domain.
    pub(super) fn may_be_reached_by(&self, host: &str) -> bool {
        host == self.host || host == "localhost"
    }

    /// Returns whether a URL leads to the default domain. Its name does, and so does an address or
    /// `localhost` at the same port, since the default domain serves these as well.
    pub(crate) fn is_reached_by(&self, url: &Url) -> bool {
        let same_port = url.port_or_known_default() == self.port;
        match url.host() {
            Some(url::Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                // Without a port too: a proxy may serve the name at the default port of its scheme.
                let ours = name == self.host && (same_port || url.port().is_none());
                ours || (name == "localhost" && same_port)
            }
            Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => same_port,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn public_urls() {
        let rows = [
            ("http://localhost:8080", Some("http://localhost:8080")),
            ("https://Go.Example.com/", Some("https://go.example.com")),
            ("https://go.example.com/x", None),
            ("https://go.example.com/?a", None),
            ("ftp://go.example.com", None),
            ("go.example.com", None),
            // A user would appear in every short URL.
            ("https://u@go.example.com", None),
            ("https://:p@go.example.com", None),
            ("https://*.go.example.com", None),
            ("https://*", None),
            ("https://go.*.com", None),
            ("https://-go.example.com", None),
            ("https://go..example.com", None),
            // No client can connect to port 0.
            ("https://go.example.com:0", None),
            ("https://[2001:db8::1]:8443", Some("https://[2001:db8::1]:8443")),
            ("http://192.0.2.1", Some("http://192.0.2.1")),
            ("https://b\u{fc}cher.example", Some("https://xn--bcher-kva.example")),
        ];
        for (text, want) in rows {
            assert_eq!(Site::parse(text).ok().as_ref().map(Site::base_url), want, "{text}");
        }
    }

    #[test]
    fn other_names_have_the_port_of_https() {
        let name = HostName::parse("name", "s.example.net").expect("valid");
        let named = Domain { name: Some(name), ..Domain::default_domain(Timestamp::from_millis(0)) };
        let rows = [
            ("https://go.example.com", "https://s.example.net"),
            ("https://go.example.com:8443", "https://s.example.net:8443"),
            ("https://go.example.com:443", "https://s.example.net"),
            // A trial, or a proxy that adds HTTPS.
            ("http://localhost:8080", "https://s.example.net"),
        ];
        for (site, want) in rows {
            let site = Site::parse(site).expect("valid");
            assert_eq!(site.base_of(&named), want);
            assert_eq!(site.base_of(&Domain { name: None, ..named.clone() }), site.base_url());
        }
    }

    #[test]
    fn which_urls_name_this_machine() {
        let rows = [
            ("http://go.example.com:8080", "https://go.example.com/a", true),
            // A firewall may hide a service at any port of the same machine.
            ("http://go.example.com:8080", "https://go.example.com.:9090/a", true),
            ("http://go.example.com:8080", "https://www.go.example.com/a", false),
            ("http://localhost:8080", "http://localhost:8080/a", true),
            // `localhost` names any server of the machine, so the port decides.
            ("http://localhost:8080", "http://localhost:9090/a", false),
            ("http://192.0.2.1:8080", "http://192.0.2.1:8080/a", true),
            ("http://192.0.2.1:8080", "http://192.0.2.1:9090/a", false),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80/a", true),
        ];
        for (site, text, want) in rows {
            let site = Site::parse(site).expect("valid");
            assert_eq!(site.is_host_of(&Url::parse(text).expect("valid")), want, "{text}");
        }
    }

    #[test]
    fn which_urls_lead_here() {
        let site = Site::parse("http://go.example.com:8080").expect("valid");
        let rows = [
            ("http://go.example.com:8080/a", true),
            // No port: a proxy in front of the server has the default one.
            ("https://go.example.com/a", true),
            ("http://go.example.com./a", true),
            // Another port of the same name may be another server.
            ("http://go.example.com:9090/a", false),
            ("http://127.0.0.1:8080/a", true),
            ("http://127.0.0.1:3000/a", false),
            ("http://localhost:8080/a", true),
            ("http://other.test:8080/a", false),
        ];
        for (text, want) in rows {
            assert_eq!(site.is_reached_by(&Url::parse(text).expect("valid")), want, "{text}");
        }
    }
}
