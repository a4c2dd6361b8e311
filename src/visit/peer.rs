//! The address of a visitor: the address at the other end of the connection or, behind proxies that the
//! operator trusts, the address that they report. `X-Forwarded-For` from any other sender is ignored, since
//! every client can send it.
//!
//! Each proxy appends the address of its client. So the list is read from its end, past the trusted proxies;
//! the first other address is the visitor's. An invalid entry ends the list: the address before it is the
//! last known one.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::analytics::country::ProxyCountry;
use crate::model::network::Networks;

/// The proxies that the operator trusts, and what they report beside the address of a visitor.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// The proxies.
    pub networks: Networks,
    /// The header with the country of the visitor.
    pub country_header: Option<HeaderName>,
}

/// The header with the addresses that proxies report.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the visitor's address.
pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    // An IPv4 client on an IPv6 socket has a mapped address.
    let mut known = peer.to_canonical();
    // Most visitors come through no proxy, and their headers are not read.
    if !trusted.name(known) {
        return known;
    }
    // Several lines are one list, in their order (RFC 9110 5.3).
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    for text in lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b',')) {
        if !trusted.name(known) {
            return known;
        }
        let Some(address) = std::str::from_utf8(text).ok().and_then(parse) else { return known };
        known = address.to_canonical();
    }
    // Each entry is of a trusted proxy: the first is the last known address.
    known
}

/// Returns the visitor's country, if the connection comes from a trusted proxy that reports it.
pub fn country(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> ProxyCountry {
    let Some(name) = &trusted.country_header else { return ProxyCountry::NotReported };
    // Any other client can send the header.
    if !trusted.networks.name(peer.to_canonical()) {
        return ProxyCountry::NotReported;
    }
    // The last line, as for addresses: a proxy appends its own to those of the visitor.
    let last = headers.get_all(name).iter().next_back();
    last.map_or(ProxyCountry::NotReported, |value| ProxyCountry::of(value.as_bytes()))
}

/// Parses an address, with or without a port, since some proxies append the port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    // Brackets without a port: some proxies write IPv6 so.
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn check(peer: &str, lines: &[&str], want: &str) {
        let trusted = Networks::parse(["10.0.0.0/8", "::1", "203.0.113.7"]).expect("networks");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::try_from(*line).expect("a legal value"));
        }
        let got = of(peer.parse().expect("an address"), &headers, &trusted);
        assert_eq!(got.to_string(), want, "{peer} {lines:?}");
    }

    /// The last address that is not of a trusted proxy; an invalid entry ends the list.
    #[test]
    fn t79_only_trusted_proxies_are_used() {
        // Read from its end, so the length of the list costs nothing.
        let long = format!("{}198.51.100.1", "192.0.2.9, ".repeat(900));
        let rows: &[(&str, &[&str], &str)] = &[
            ("198.51.100.9", &["192.0.2.1"], "198.51.100.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.66, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1, 10.2.3.4, 203.0.113.7"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.66", "192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1", "10.9.9.9"], "192.0.2.1"),
            ("10.0.0.1", &["10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["unknown, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("::1", &["192.0.2.1"], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1;evil"], "10.0.0.1"),
            ("10.0.0.1", &[&long], "198.51.100.1"),
            ("10.0.0.1", &["evil, 9.9.9.9"], "9.9.9.9"),
            // The last entry is the proxy's own. If it is empty, nothing before it is trusted.
            ("10.0.0.1", &["9.9.9.9, "], "10.0.0.1"),
            ("10.0.0.1", &[", 9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["\t9.9.9.9\t"], "9.9.9.9"),
            ("10.0.0.1", &["[::1]:80"], "::1"),
            ("10.0.0.1", &["[::1]:80, 10.2.3.4"], "::1"),
            // A zone is valid on one machine only.
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            // Quotation marks and `for=` are the syntax of `Forwarded` (RFC 7239), another header.
            ("10.0.0.1", &["\"[2001:db8::1]\""], "10.0.0.1"),
            ("10.0.0.1", &["for=192.0.2.1"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1:99999"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1:"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1/24"], "10.0.0.1"),
            // Octal, hexadecimal and decimal spellings: parsers disagree about them.
            ("10.0.0.1", &["0300.0.2.1"], "10.0.0.1"),
            ("10.0.0.1", &["0xc0.0.2.1"], "10.0.0.1"),
            ("10.0.0.1", &["3221225985"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2"], "10.0.0.1"),
            ("10.0.0.1", &["localhost"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1 198.51.100.1"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1;198.51.100.1"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.66", "", "192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["::ffff:10.9.9.9"], "10.9.9.9"),
            // A stranger that names trusted addresses gains nothing.
            ("198.51.100.9", &["10.0.0.1", "127.0.0.1"], "198.51.100.9"),
        ];
        for (peer, lines, want) in rows {
            check(peer, lines, want);
        }
    }

    #[test]
    fn only_trusted_proxies_report_countries() {
        const NAME: HeaderName = HeaderName::from_static("cf-ipcountry");
        let networks = Networks::parse(["10.0.0.0/8"]).expect("a network");
        let trusted = TrustedProxies { networks: networks.clone(), country_header: Some(NAME) };
        let of = |peer: [u8; 4], lines: &[&'static str], trusted: &TrustedProxies| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(NAME, HeaderValue::from_static(line));
            }
            country(peer.into(), &headers, trusted)
        };
        let (proxy, known) = ([10, 0, 0, 1], ProxyCountry::Known(*b"DE"));
        assert_eq!(of(proxy, &["DE"], &trusted), known);
        assert_eq!(of(proxy, &["FR", "de"], &trusted), known);
        for unknown in ["XX", "T1", "", "Germany", "D", "DE,FR", "\u{ff}E"] {
            let line = HeaderValue::from_bytes(unknown.as_bytes()).expect("a legal value");
            let headers = HeaderMap::from_iter([(NAME, line)]);
            assert_eq!(country(proxy.into(), &headers, &trusted), ProxyCountry::Unknown, "{unknown}");
        }
        assert_eq!(of(proxy, &[], &trusted), ProxyCountry::NotReported);
        assert_eq!(of([192, 0, 2, 1], &["DE"], &trusted), ProxyCountry::NotReported, "a stranger");
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        let headers = HeaderMap::from_iter([(NAME, HeaderValue::from_static("DE"))]);
        assert_eq!(country(mapped, &headers, &trusted), known);
        let unset = TrustedProxies { networks, country_header: None };
        assert_eq!(of(proxy, &["DE"], &unset), ProxyCountry::NotReported);
    }

    proptest! {
        #[test]
        fn a_stranger_cannot_choose_its_address(line in "[ -~]{0,200}") {
            check("198.51.100.9", &[&line], "198.51.100.9");
        }

        #[test]
        fn entries_before_the_proxys_own_are_ignored(line in "[ -~]{0,200}") {
            check("10.0.0.1", &[&format!("{line}, 192.0.2.1")], "192.0.2.1");
        }
    }
}
