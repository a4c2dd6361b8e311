//! The name of a destination for display to a visitor, and its origin if it can be framed.

use url::Url;

/// Returns a short name of `location`: its host, in punycode, so that look-alike letters are visible; or its
/// e-mail address or telephone number.
pub(super) fn name(location: &str) -> String {
    match Url::parse(location) {
        // `mailto:`, `tel:` and `sms:` have no host: the path is the address or the number.
        Ok(url) => url.host_str().unwrap_or(url.path()).to_owned(),
        Err(_) => location.to_owned(),
    }
}

/// Returns the origin of a web page in the form of a policy. Returns `None` for other schemes, and for hosts
/// that are valid in a URL but not in a policy: `;` and `,` would end the directive, `*` would include other
/// hosts, and the grammar has no IPv6 addresses.
pub(super) fn origin(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    let host = url.host_str()?;
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    (matches!(url.scheme(), "http" | "https") && plain).then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let rows = [
            ("https://example.com/a?b#c", "example.com"),
            ("https://example.com:8443/", "example.com"),
            ("https://b\u{fc}cher.example/", "xn--bcher-kva.example"),
            ("http://[::1]:80/", "[::1]"),
            ("mailto:jane@example.com?subject=hi", "jane@example.com"),
            ("tel:+49301234;ext=5", "+49301234;ext=5"),
            ("sms:+49301234?body=hi", "+49301234"),
            ("app://open/x", "open"),
            ("no url", "no url"),
        ];
        for (location, want) in rows {
            assert_eq!(name(location), want, "{location}");
        }
    }

    #[test]
    fn origins_that_a_policy_can_contain() {
        let rows = [
            ("https://example.com/a;b?c,d#e", Some("https://example.com")),
            ("https://example.com:443/", Some("https://example.com")),
            ("https://example.com:8443/", Some("https://example.com:8443")),
            ("http://127.0.0.1:80/", Some("http://127.0.0.1")),
            ("https://b\u{fc}cher.example/", Some("https://xn--bcher-kva.example")),
            ("https://a_b.example/", Some("https://a_b.example")),
            ("https://a;sandbox;.example/", None),
            ("https://a,b.example/", None),
            ("https://*.example/", None),
            // A keyword in a policy.
            ("https://'self'/", None),
            ("http://[::1]/", None),
            ("mailto:jane@example.com", None),
            ("app://open/x", None),
            ("no url", None),
        ];
        for (location, want) in rows {
            assert_eq!(origin(location).as_deref(), want, "{location}");
        }
    }
}
