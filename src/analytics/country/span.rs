//! [`AddressSpan`]: a range of addresses of one family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::LineRule;

/// A range of addresses, with its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressSpan {
    V4(u32, u32),
    V6(u128, u128),
}

/// The addresses of IPv6 that stand for IPv4: `::ffff:0:0/96`.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// Longest text of a bad field in an error.
const SHOWN_MAX: usize = 50;

impl AddressSpan {
    /// Parses the start and the end of a range: two addresses, or two numbers.
    ///
    /// Numbers up to 4,294,967,295 are IPv4 addresses, and a range with a larger end is one of IPv6. Ranges of IPv6
    /// addresses that stand for IPv4 are of IPv4.
    pub(super) fn parse(start: &[u8], end: &[u8]) -> Result<AddressSpan, LineRule> {
        let (start, end) = match (Endpoint::parse(start)?, Endpoint::parse(end)?) {
            (Endpoint::Number(start), Endpoint::Number(end)) => {
                // Files of IPv6 in numbers begin at 0, so the end decides on the family.
                return match (u32::try_from(start), u32::try_from(end)) {
                    (Ok(start), Ok(end)) => AddressSpan::V4(start, end).checked(),
                    _ => AddressSpan::V6(start, end).checked(),
                };
            }
            (Endpoint::Address(start), Endpoint::Address(end)) => (start, end),
            _ => return Err(LineRule::Kinds),
        };
        match (start, end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => AddressSpan::V4(start.to_bits(), end.to_bits()).checked(),
            (IpAddr::V6(start), IpAddr::V6(end)) => AddressSpan::V6(start.to_bits(), end.to_bits()).checked(),
            _ => Err(LineRule::Kinds),
        }
    }

    /// Parses a network, such as `203.0.113.0/24`, or one address.
    pub(super) fn parse_network(field: &[u8]) -> Result<AddressSpan, LineRule> {
        let wrong = || LineRule::Network(shown(field));
        let text = str::from_utf8(field).map_err(|_| wrong())?;
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        // Some files write single addresses without a prefix.
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        AddressSpan::of_network(address, prefix).ok_or_else(wrong)?.checked()
    }

    /// Returns the addresses of a network, `None` if the prefix is too long or the address has bits after it.
    pub(super) fn of_network(address: IpAddr, prefix: u32) -> Option<AddressSpan> {
        match address {
            IpAddr::V4(address) => {
                // A shift by all 32 bits would overflow: such a network has one address.
                let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
                let start = address.to_bits();
                (prefix <= Ipv4Addr::BITS && start & hosts == 0)
                    .then_some(AddressSpan::V4(start, start | hosts))
            }
            IpAddr::V6(address) => {
                let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
                let start = address.to_bits();
                (prefix <= Ipv6Addr::BITS && start & hosts == 0)
                    .then_some(AddressSpan::V6(start, start | hosts))
            }
        }
    }

    fn checked(self) -> Result<AddressSpan, LineRule> {
        match self {
            AddressSpan::V4(start, end) if start > end => Err(LineRule::Order),
            AddressSpan::V6(start, end) if start > end => Err(LineRule::Order),
            // Only whole ranges: one that reaches further has addresses of IPv6.
            AddressSpan::V6(start, end) if start >= MAPPED.0 && end <= MAPPED.1 => {
                let v4 = |address: u128| u32::try_from(address - MAPPED.0).expect("within 32 bits");
                Ok(AddressSpan::V4(v4(start), v4(end)))
            }
            span => Ok(span),
        }
    }
}

enum Endpoint {
    Number(u128),
    Address(IpAddr),
}

impl Endpoint {
    fn parse(field: &[u8]) -> Result<Endpoint, LineRule> {
        let wrong = || LineRule::Address(shown(field));
        let text = str::from_utf8(field).map_err(|_| wrong())?;
        // Digits only, since the parser of numbers accepts a sign as well.
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Endpoint::Number).map_err(|_| wrong());
        }
        text.parse().map(Endpoint::Address).map_err(|_| wrong())
    }
}

/// Returns a bad field for an error message.
pub(super) fn shown(field: &[u8]) -> String {
    // A field may have 4 KB of anything, and an error is shown in a terminal.
    String::from_utf8_lossy(field).chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(start: &str, end: &str) -> Result<AddressSpan, LineRule> {
        AddressSpan::parse(start.as_bytes(), end.as_bytes())
    }

    #[test]
    fn ranges() {
        let v6 = |text: &str| text.parse::<Ipv6Addr>().expect("an address").to_bits();
        for (start, end, want) in [
            ("1.0.0.0", "1.0.0.255", AddressSpan::V4(1 << 24, (1 << 24) + 255)),
            ("16777216", "16777471", AddressSpan::V4(1 << 24, (1 << 24) + 255)),
            // With zeros in front, as some lists have them.
            ("0033996344", "0033996351", AddressSpan::V4(33_996_344, 33_996_351)),
            ("0", "4294967295", AddressSpan::V4(0, u32::MAX)),
            // Up to the last address before the mapped ones, then from the first of these.
            ("0", "281470681743359", AddressSpan::V6(0, MAPPED.0 - 1)),
            ("281470681743360", "281470698520575", AddressSpan::V4(0, (1 << 24) - 1)),
            ("::ffff:1.0.0.0", "::ffff:1.0.0.255", AddressSpan::V4(1 << 24, (1 << 24) + 255)),
            ("2001:db8::", "2001:db8::ff", AddressSpan::V6(v6("2001:db8::"), v6("2001:db8::ff"))),
            (
                "42540528726795050063891204319802818560",
                "42540528806023212578155541913346768895",
                AddressSpan::V6(v6("2001:200::"), v6("2001:200:ffff:ffff:ffff:ffff:ffff:ffff")),
            ),
        ] {
            assert_eq!(parse(start, end), Ok(want), "{start}");
        }
        for (start, end, want) in [
            ("2", "1", LineRule::Order),
            ("1.0.0.1", "1.0.0.0", LineRule::Order),
            ("::2", "::1", LineRule::Order),
            // The start alone makes it a range of IPv6.
            ("4294967296", "5", LineRule::Order),
            ("1", "1.0.0.0", LineRule::Kinds),
            ("1.0.0.0", "::1", LineRule::Kinds),
            ("", "1", LineRule::Address(String::new())),
            ("1.2.3", "1", LineRule::Address("1.2.3".into())),
            ("1", "-1", LineRule::Address("-1".into())),
            (
                "0",
                "340282366920938463463374607431768211456",
                LineRule::Address("340282366920938463463374607431768211456".into()),
            ),
        ] {
            assert_eq!(parse(start, end), Err(want), "{start} {end}");
        }
        let long = AddressSpan::parse(&[b'x'; 4_000], b"1").expect_err("no address");
        assert_eq!(long, LineRule::Address("x".repeat(50)));
    }

    #[test]
    fn networks() {
        let parse = |text: &str| AddressSpan::parse_network(text.as_bytes());
        for (text, want) in [
            ("1.0.0.0/24", AddressSpan::V4(1 << 24, (1 << 24) + 255)),
            ("0.0.0.0/0", AddressSpan::V4(0, u32::MAX)),
            ("1.2.3.4/32", AddressSpan::V4(0x0102_0304, 0x0102_0304)),
            ("1.2.3.4", AddressSpan::V4(0x0102_0304, 0x0102_0304)),
            ("::/0", AddressSpan::V6(0, u128::MAX)),
            ("::1/128", AddressSpan::V6(1, 1)),
            ("::ffff:1.0.0.0/120", AddressSpan::V4(1 << 24, (1 << 24) + 255)),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for text in
            ["", "/", "1.0.0.0/33", "::/129", "1.0.0.1/24", "1.0.0.0/-1", "1.0.0.0/", "x/8", "1.0.0.0/8/8"]
        {
            assert_eq!(parse(text), Err(LineRule::Network(text.into())), "{text}");
        }
    }
}
