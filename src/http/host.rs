//! The host of a request. hyper does not check RFC 9112 3.2: exactly one well-formed `Host`, which the
//! authority of an absolute-form target replaces.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Uri, Version};

/// Longest host in bytes: a DNS name has at most 253 characters, and two more are for a trailing dot and a
/// reserve. Past it: 400.
const HOST_MAX: usize = 255;

/// The host of an HTTP/1.0 request without `Host`: `localhost` is the default domain.
const NAMELESS: &str = "localhost";

/// The request has no host, several, or one that cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHost;

/// Returns the host of a request in lower case, without port and trailing dot. IP literals are unchanged.
/// Borrowed unless the case changes.
pub fn of<'a>(version: Version, uri: &'a Uri, headers: &'a HeaderMap) -> Result<Cow<'a, str>, BadHost> {
    if version == Version::HTTP_2 {
        return of_http2(uri, headers);
    }
    let line = match line(headers) {
        // If there are as many lines as names, which is nearly always so, no name has two lines.
        Some(line) if headers.len() == headers.keys_len() || headers.get_all(HOST).iter().count() == 1 => {
            Some(parse(line.to_str().map_err(|_| BadHost)?)?)
        }
        // HTTP/1.0 does not require `Host`.
        None if version == Version::HTTP_10 => None,
        None | Some(_) => return Err(BadHost),
    };
    // The authority wins (RFC 9112 3.2.2), but only after the check of `Host` above.
    match uri.authority() {
        Some(authority) => parse(authority.as_str()),
        None => Ok(line.unwrap_or(Cow::Borrowed(NAMELESS))),
    }
}

/// Returns the host of a request of HTTP/2, which `:authority` names. A `Host` beside it must name the same: a server
/// behind this one may read either (RFC 9113 8.3.1).
fn of_http2<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Cow<'a, str>, BadHost> {
    let mut lines = headers.get_all(HOST).iter();
    let line = lines.next().map(|line| line.to_str().map_err(|_| BadHost).and_then(parse)).transpose()?;
    if lines.next().is_some() {
        return Err(BadHost);
    }
    match (uri.authority().map(|authority| parse(authority.as_str())).transpose()?, line) {
        (Some(authority), Some(line)) if authority != line => Err(BadHost),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(BadHost),
    }
}

/// Returns the first `Host`. Clients send it first (RFC 9110 7.2), where it is found without hashing.
fn line(headers: &HeaderMap) -> Option<&HeaderValue> {
    match headers.iter().next() {
        Some((name, line)) if name == HOST => Some(line),
        _ => headers.get(HOST),
    }
}

/// Parses `host[:port]`. An empty port is legal (RFC 3986 3.2.3).
pub fn parse(text: &str) -> Result<Cow<'_, str>, BadHost> {
    let (end, has_capitals) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']').ok_or(BadHost)?;
            rest[..end].parse::<Ipv6Addr>().map_err(|_| BadHost)?;
            // Both brackets count. Hexadecimal digits may be capitals.
            (end + 2, true)
        }
        None => name(text.as_bytes())?,
    };
    let (host, port) = text.split_at(end);
    check_port(port)?;
    // A name with a dot at its end is the same name (RFC 1034 3.1).
    let host = host.strip_suffix('.').unwrap_or(host);
    // Here and not at the start: the port does not count.
    if host.len() > HOST_MAX {
        return Err(BadHost);
    }
    // Searched again, since `has_capitals` is only a guess for an IP literal.
    if has_capitals && host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(Cow::Owned(host.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(host))
}

/// Fails unless `port` is empty, `:`, or `:` and a number up to 65535.
fn check_port(port: &str) -> Result<(), BadHost> {
    let digits = match port.strip_prefix(':') {
        Some(digits) => digits,
        None if port.is_empty() => return Ok(()),
        None => return Err(BadHost),
    };
    // Digits are checked first: `parse` alone accepts `+80`.
    let fits =
        digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    if fits { Ok(()) } else { Err(BadHost) }
}

/// The kind of each byte in a name: not allowed, part of a label, a capital, or a dot.
const KINDS: [u8; 256] = {
    let mut kinds = [NONE; 256];
    let mut byte = 0_u8;
    // No byte above ASCII is allowed: clients send other names in punycode.
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => LABEL,
            b'A'..=b'Z' => CAPITAL,
            b'.' => DOT,
            _ => NONE,
        };
        byte += 1;
    }
    kinds
};
const NONE: u8 = 0;
const LABEL: u8 = 1;
const CAPITAL: u8 = 2;
const DOT: u8 = 3;

/// Returns where the name at the start ends, and whether it has capitals. A name has labels of letters,
/// digits, `-` and `_`, none of them empty, and may have a dot after the last one. RFC 3986 allows more, but
/// no domain of Waypost has more, and bytes that are rejected here need no escaping anywhere. One pass with a
/// table, since every request needs it.
fn name(text: &[u8]) -> Result<(usize, bool), BadHost> {
    // As if a dot came before, so that a name cannot begin with one.
    let (mut has_capitals, mut before) = (false, DOT);
    for (at, byte) in text.iter().enumerate() {
        let kind = KINDS[usize::from(*byte)];
        match kind {
            LABEL => {}
            CAPITAL => has_capitals = true,
            DOT if before != DOT => {}
            _ if *byte == b':' && at > 0 => return Ok((at, has_capitals)),
            _ => return Err(BadHost),
        }
        before = kind;
    }
    if text.is_empty() { Err(BadHost) } else { Ok((text.len(), has_capitals)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses() {
        let long = "a".repeat(300);
        let rows = [
            ("h", Some("h")),
            ("h:", Some("h")),
            ("h:80", Some("h")),
            ("h:65535", Some("h")),
            ("GO.Example.COM.:443", Some("go.example.com")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[::1]:8080", Some("[::1]")),
            ("a_b.test", Some("a_b.test")),
            ("h:99999", None),
            ("h:65536", None),
            ("h:+80", None),
            ("h:80:80", None),
            ("", None),
            (":80", None),
            (".", None),
            (".a", None),
            ("a..b", None),
            ("a..", None),
            ("a..:80", None),
            ("a b/@evil", None),
            ("evil.test/x", None),
            ("user@h", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[]", None),
            ("[nothex]", None),
            // An IPv6 address needs brackets, since its end would be ambiguous (RFC 3986 3.2.2).
            ("::1", None),
            // Two `Host` lines as a proxy may join them (RFC 9110 5.3).
            ("h,h", None),
            ("h\0", None),
            ("bücher.example", None),
            (&long, None),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text).ok().as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn exactly_one_host_line() {
        let check = |version, uri: &'static str, lines: &[&'static str], want: Option<&str>| {
            let uri = Uri::from_static(uri);
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(HOST, HeaderValue::from_static(line));
            }
            let got = of(version, &uri, &headers);
            assert_eq!(got.ok().as_deref(), want, "{version:?} {uri} {lines:?}");
        };
        check(Version::HTTP_11, "/s", &["h"], Some("h"));
        check(Version::HTTP_11, "/s", &[], None);
        check(Version::HTTP_10, "/s", &[], Some("localhost"));
        check(Version::HTTP_11, "/s", &["h", "h"], None);
        check(Version::HTTP_10, "/s", &["h", "g"], None);
        check(Version::HTTP_11, "http://other.test/s", &["h"], Some("other.test"));
        check(Version::HTTP_11, "http://Other.test:81/s", &["h"], Some("other.test"));
        check(Version::HTTP_11, "http://other.test/s", &[], None);
        // A bad `Host` is rejected, although the authority would replace it.
        check(Version::HTTP_11, "http://other.test/s", &["a b"], None);
        // User information is not part of a host.
        check(Version::HTTP_11, "http://me@other.test/s", &["h"], None);
        check(Version::HTTP_2, "https://a.test/s", &[], Some("a.test"));
        check(Version::HTTP_2, "https://a.test:444/s", &["A.test"], Some("a.test"));
        check(Version::HTTP_2, "https://a.test/s", &["b.test"], None);
        check(Version::HTTP_2, "https://a.test/s", &["a.test", "a.test"], None);
        check(Version::HTTP_2, "/s", &["a.test"], Some("a.test"));
        check(Version::HTTP_2, "/s", &[], None);
        check(Version::HTTP_2, "https://me@a.test/s", &[], None);
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_normal(text in "\\PC{0,300}|[a-zA-Z0-9.:\\[\\]_-]{0,40}") {
            if let Ok(host) = parse(&text) {
                prop_assert!(!host.is_empty() && host.len() <= HOST_MAX);
                prop_assert!(!host.bytes().any(|b| b.is_ascii_uppercase()));
                prop_assert!(host.starts_with('[') || !host.contains([':', '/', '@', ' ']));
                prop_assert_eq!(parse(&host).ok(), Some(host.clone()));
            }
        }
    }
}
