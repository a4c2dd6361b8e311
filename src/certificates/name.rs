//! [`CertificateName`]: a host name or an address that a certificate is for.

use std::fmt;
use std::net::IpAddr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::model::domain::HostName;
use crate::model::network::is_global;

/// The rule of a name, with examples.
const RULE: &str = "must be a host name such as go.example.com, or an address such as 192.0.2.1, without scheme, \
                    port or path";

/// The last labels of names that are not in the DNS of the internet (RFC 2606, 6761, 6762, 7686, and ICANN for
/// `internal`).
const SPECIAL_USE: [&str; 7] = ["test", "invalid", "onion", "localhost", "example", "internal", "local"];

/// A host name or an address that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateName {
    /// A DNS name.
    Host(HostName),
    /// An address of IPv4 or IPv6. Clients do not send it in the handshake.
    Address(IpAddr),
}

impl CertificateName {
    /// Parses `go.example.com`, `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`. Rejects wildcards: no challenge of
    /// this server proves one.
    pub fn parse(text: &str) -> Result<CertificateName, String> {
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(CertificateName::Address(address.to_canonical()));
        }
        if text.starts_with("*.") {
            return Err(format!(
                "{RULE}; for a wildcard, name the files of its certificate in `https.certificates`"
            ));
        }
        HostName::parse("domain", text).map(CertificateName::Host).map_err(|_| match Self::within_url(text) {
            Some(name) => format!("{RULE}: write {:?}", name.to_string()),
            None => RULE.to_owned(),
        })
    }

    /// Returns the name in a text that has more than a name: `https://go.example.com/`, `go.example.com:443`. `None` for
    /// texts of another form, which may be secrets.
    pub fn within_url(text: &str) -> Option<CertificateName> {
        let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        let is_port = |(_, port): (&str, &str)| port.trim_end_matches('/').parse::<u16>().is_ok();
        let is_bare = text.ends_with('/') || text.rsplit_once(':').is_some_and(is_port);
        let url = if is_web {
            Url::parse(text)
        } else if is_bare {
            Url::parse(&format!("https://{text}"))
        } else {
            return None;
        };
        let url = url.ok().filter(|url| url.username().is_empty() && url.password().is_none())?;
        // A path or a query may be anything.
        let is_short = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| is_short && host.contains(['.', ':']))?;
        CertificateName::parse(host).ok()
    }

    /// Returns the host name, if it is one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            CertificateName::Host(name) => Some(name),
            CertificateName::Address(_) => None,
        }
    }

    /// Returns why no public authority certifies the name, as the start of a sentence. `None` for a name of the internet.
    pub fn private_reason(&self) -> Option<String> {
        match self {
            CertificateName::Address(address) => {
                (!is_global(*address)).then(|| format!("{address} is not an address of the internet"))
            }
            CertificateName::Host(name) => match name.as_str().rsplit_once('.') {
                None => Some(format!("{name} is not a name of the internet (it has no dot)")),
                Some((_, top)) if SPECIAL_USE.contains(&top) => {
                    Some(format!("{name} is not a name of the internet (it ends in .{top})"))
                }
                // Resolvers find it, and the rules of certificates forbid it.
                Some(_) => name.as_str().contains('_').then(|| format!("{name} has an underscore")),
            },
        }
    }

    /// Returns the name as a URL has it: an address of IPv6 in brackets.
    pub fn in_url(&self) -> String {
        match self {
            CertificateName::Address(IpAddr::V6(address)) => format!("[{address}]"),
            name => name.to_string(),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateName::Host(name) => name.fmt(f),
            CertificateName::Address(address) => address.fmt(f),
        }
    }
}

/// The names of the setting `domain`: one text, a text with commas, or a list. Without repetitions, in the order of the
/// setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames(Vec<CertificateName>);

impl CertificateNames {
    /// Returns the names.
    pub fn all(&self) -> &[CertificateName] {
        &self.0
    }

    /// Returns the first name, which `public_url` follows.
    pub fn first(&self) -> Option<&CertificateName> {
        self.0.first()
    }

    /// Returns whether a host of a URL, in lower case, is one of the names.
    pub fn contains(&self, host: &str) -> bool {
        CertificateName::parse(host).is_ok_and(|name| self.0.contains(&name))
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        let name = CertificateName::parse(text)?;
        if !self.0.contains(&name) {
            self.0.push(name);
        }
        Ok(())
    }
}

impl Serialize for CertificateNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for CertificateNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CertificateNames, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

/// Reads a text or a list of texts.
struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = CertificateNames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host name or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CertificateNames, E> {
        let mut names = CertificateNames::default();
        // As in the variable and on the command line.
        let items = text.split(',').filter(|item| !item.trim().is_empty());
        items.into_iter().try_for_each(|item| names.push(item)).map_err(E::custom)?;
        // A text without a name is a mistake: a server without HTTPS has no such line.
        if names.0.is_empty() { Err(E::custom(RULE)) } else { Ok(names) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CertificateNames, A::Error> {
        let mut names = CertificateNames::default();
        while let Some(text) = items.next_element::<String>()? {
            names.push(&text).map_err(de::Error::custom)?;
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        domain: CertificateNames,
    }

    fn read(text: &str) -> Result<String, String> {
        let file = toml::from_str::<File>(text).map_err(|error| error.message().to_owned())?;
        Ok(file.domain.all().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_domain_is_a_name_or_a_list() {
        let rows = [
            ("domain = \"go.example.com\"", "go.example.com"),
            ("domain = \"GO.Example.com.\"", "go.example.com"),
            ("domain = \"b\u{fc}cher.example\"", "xn--bcher-kva.example"),
            ("domain = [\"a.test\", \"b.test\", \"A.test\"]", "a.test b.test"),
            ("domain = \"a.test, b.test,\"", "a.test b.test"),
            ("domain = []", ""),
            ("domain = \"192.0.2.1\"", "192.0.2.1"),
            ("domain = [\"[2001:DB8::1]\", \"::ffff:192.0.2.1\"]", "2001:db8::1 192.0.2.1"),
        ];
        for (text, want) in rows {
            assert_eq!(read(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_an_example() {
        for text in ["", "https://a.test", "a.test/x", "a.test:443", "-a.test", "a b", "*"] {
            let error = CertificateName::parse(text).expect_err(text);
            assert!(error.contains("such as go.example.com"), "{text}: {error}");
        }
        for (text, want) in [
            ("https://go.test", Some("go.test")),
            ("http://GO.test:8080/", Some("go.test")),
            ("go.test:443", Some("go.test")),
            ("go.test/", Some("go.test")),
            ("https://[2001:db8::1]/", Some("2001:db8::1")),
            // What may be a secret is not repeated.
            ("https://user:secret@go.test", None),
            ("https://go.test/secret", None),
            ("https://secret", None),
            ("secret/secret.x", None),
            ("secret:x", None),
        ] {
            let error = CertificateName::parse(text).expect_err(text);
            let end = want.map_or_else(|| "port or path".to_owned(), |name| format!(": write {name:?}"));
            assert!(error.ends_with(&end), "{text}: {error}");
        }
        assert!(CertificateName::parse("*.a.test").is_err_and(|why| why.contains("https.certificates")));
        assert!([",", ""].iter().all(|text| read(&format!("domain = {text:?}")).is_err()));
        assert!(read("domain = 5").is_err_and(|why| why.contains("a host name or a list of them")));
    }

    #[test]
    fn names_that_only_a_private_authority_certifies() {
        let rows = [
            ("go.example.com", None),
            ("203.0.114.9", None),
            ("2606:4700::1111", None),
            ("localhost", Some("localhost is not a name of the internet (it has no dot)")),
            ("intranet", Some("intranet is not a name of the internet (it has no dot)")),
            ("go.test", Some("go.test is not a name of the internet (it ends in .test)")),
            ("go.internal", Some("go.internal is not a name of the internet (it ends in .internal)")),
            ("go_x.example.com", Some("go_x.example.com has an underscore")),
            ("127.0.0.1", Some("127.0.0.1 is not an address of the internet")),
            ("192.168.1.5", Some("192.168.1.5 is not an address of the internet")),
            ("fd00::1", Some("fd00::1 is not an address of the internet")),
        ];
        for (text, want) in rows {
            let name = CertificateName::parse(text).expect(text);
            assert_eq!(name.private_reason().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn an_address_of_ipv6_has_brackets_in_a_url() {
        for (text, want) in
            [("2001:db8::1", "[2001:db8::1]"), ("192.0.2.1", "192.0.2.1"), ("a.test", "a.test")]
        {
            assert_eq!(CertificateName::parse(text).expect(text).in_url(), want);
        }
    }

    #[test]
    fn a_host_of_a_url_is_found() {
        let names = read("domain = [\"a.test\", \"2001:db8::1\"]").map(|_| ()).and_then(|()| {
            toml::from_str::<File>("domain = [\"a.test\", \"2001:db8::1\"]")
                .map_err(|error| error.to_string())
        });
        let names = names.expect("valid").domain;
        assert!(names.contains("a.test") && names.contains("[2001:db8::1]"));
        assert!(!names.contains("b.test") && !names.contains("192.0.2.1"));
    }
}
