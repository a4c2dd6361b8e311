//! The addresses of the public internet, and the networks that an operator allows besides: the rule for every
//! request that Waypost sends on behalf of a user.
//!
//! [`is_global`] rejects every range that IANA's special-purpose registries do not call globally reachable
//! and, of IPv6, everything outside `2000::/3`. It rejects each IPv6 form that contains an IPv4 address
//! (mapped, compatible, NAT64, 6to4, Teredo, ISATAP): other machines decide where such a packet ends, and no
//! receiver has only such an address.
//!
//! - <https://www.iana.org/assignments/iana-ipv4-special-registry>
//! - <https://www.iana.org/assignments/iana-ipv6-special-registry>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::model::Invalid;

/// Most networks of an allow-list: each look-up compares with all of them. A longer list can be written as
/// one network with a shorter prefix.
pub(crate) const NETWORKS_MAX: usize = 100;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Network {
    Network::V4 { base: Ipv4Addr::new(a, b, c, d).to_bits(), prefix }
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Network {
    Network::V6 { base: Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits(), prefix }
}

/// The IPv4 ranges that are not global. The few globally reachable addresses of 192.0.0.0/24 (anycast of PCP
/// and TURN) receive no webhooks and are rejected with the rest.
const SPECIAL_V4: [Network; 16] = [
    v4(0, 0, 0, 0, 8),          // this network
    v4(10, 0, 0, 0, 8),         // private
    v4(100, 64, 0, 0, 10),      // carriers' NAT
    v4(127, 0, 0, 0, 8),        // loopback
    v4(169, 254, 0, 0, 16),     // link-local; metadata of clouds
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // protocol assignments
    v4(192, 0, 2, 0, 24),       // documentation
    v4(192, 88, 99, 0, 24),     // 6to4 relays, retired
    v4(192, 168, 0, 0, 16),     // private
    v4(198, 18, 0, 0, 15),      // benchmarks
    v4(198, 51, 100, 0, 24),    // documentation
    v4(203, 0, 113, 0, 24),     // documentation
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved
    v4(255, 255, 255, 255, 32), // broadcast
];

/// The global unicast range of IPv6.
const GLOBAL_V6: Network = v6(0x2000, 0, 0, 3);

/// The ranges in [`GLOBAL_V6`] that are not global. Ranges outside need no line: `::/96`, `::ffff:0:0/96`,
/// `64:ff9b::/96`, `64:ff9b:1::/48`, `100::/64`, `5f00::/16`, `fc00::/7`, `fe80::/10`, `fec0::/10`,
/// `ff00::/8`.
const SPECIAL_V6: [Network; 4] = [
    v6(0x2001, 0, 0, 23),     // protocol assignments, Teredo among them
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4
    v6(0x3fff, 0, 0, 20),     // documentation
];

/// Returns whether an address belongs to the public internet.
pub fn is_global(address: IpAddr) -> bool {
    let special = |ranges: &[Network]| ranges.iter().any(|range| range.contains(address));
    match address {
        IpAddr::V4(_) => !special(&SPECIAL_V4),
        IpAddr::V6(v6) => GLOBAL_V6.contains(address) && !special(&SPECIAL_V6) && !is_isatap(v6),
    }
}

/// Returns whether the interface part is `0:5efe` or `200:5efe`, which an IPv4 address follows (RFC 5214).
fn is_isatap(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // The masked bit marks an IPv4 address that is globally unique (RFC 5214 6.1).
    segments[5] == 0x5efe && segments[4] & !0x0200 == 0
}

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `base` is the first address, `prefix` the number of its fixed bits.
pub enum Network {
    V4 { base: u32, prefix: u8 },
    V6 { base: u128, prefix: u8 },
}

impl Network {
    /// Returns whether the address is in the range. An IPv4 address is never in an IPv6 range;
    /// `::ffff:10.0.0.1` is IPv6 here.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (*self, address) {
            (Network::V4 { base, prefix }, IpAddr::V4(v4)) => {
                // Prefix 0 shifts by the full width, which is `None`: the range has every address.
                (v4.to_bits() ^ base).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
            }
            (Network::V6 { base, prefix }, IpAddr::V6(v6)) => {
                (v6.to_bits() ^ base).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
            }
            (Network::V4 { .. }, IpAddr::V6(_)) | (Network::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Network, Invalid> {
        let reject = |why: &str| Invalid::new("network", format!("{text:?} {why}"));
        let no_network = || reject("is not an address or a network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_network())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `parse` alone accepts `+8`.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => Some(bits),
        };
        let prefix: u8 = prefix.filter(|prefix| *prefix <= bits).ok_or_else(no_network)?;
        let network = match address {
            IpAddr::V4(v4) => Network::V4 { base: v4.to_bits(), prefix },
            // Look-ups convert these addresses to IPv4, so that such a line would never match.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                return Err(reject("must be written as IPv4"));
            }
            IpAddr::V6(v6) => Network::V6 { base: v6.to_bits(), prefix },
        };
        let beyond = match network {
            // A shift by the full width is `None`: a single address has no bits beyond its prefix.
            Network::V4 { base, prefix } => base.checked_shl(u32::from(prefix)).unwrap_or(0) != 0,
            Network::V6 { base, prefix } => base.checked_shl(u32::from(prefix)).unwrap_or(0) != 0,
        };
        // The author of 10.1.2.3/8 meant a smaller or a larger range.
        if beyond { Err(reject("has bits beyond its prefix")) } else { Ok(network) }
    }
}

/// Returns the address that stands for one customer in counts: an IPv4 address, or the /64 of an IPv6
/// address, since a provider assigns a whole /64 to each customer.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The networks that an operator allows besides the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Parses each network. Fails if one is malformed, or if there are more than [`NETWORKS_MAX`].
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Networks, Invalid> {
        let networks: Vec<Network> = texts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        if networks.len() > NETWORKS_MAX {
            return Err(Invalid::new(
                "network",
                format!("must be at most {NETWORKS_MAX} addresses or networks"),
            ));
        }
        Ok(Networks(networks))
    }

    /// Returns whether one of the networks contains the address. An IPv4-mapped IPv6 address is looked up as
    /// IPv4.
    pub fn name(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns whether Waypost may send requests to the address.
    pub fn allow(&self, address: IpAddr) -> bool {
        // The list only adds: no entry forbids a global address.
        is_global(address) || self.name(address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Each row is the first or the last address of a range, so that a wrong prefix fails.
    #[test]
    fn t84_no_special_address_is_global() {
        let rows = "0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 \
             127.0.0.0 127.0.0.1 127.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 \
             172.31.255.255 192.0.0.0 192.0.0.9 192.0.0.170 192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.0 \
             192.88.99.1 192.88.99.255 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.0 \
             198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 224.0.0.1 239.255.255.255 240.0.0.0 \
             255.255.255.254 255.255.255.255 \
             :: ::1 ::2 ::7f00:1 ::8.8.8.8 ::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 \
             ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b:: 64:ff9b::7f00:1 64:ff9b::8.8.8.8 \
             64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100:: 100::1 100:0:0:1:: 2001:: 2001::1 \
             2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:2:: \
             2001:10:: 2001:20:: 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002:: 2002:7f00:1:: \
             2002:a00:1::1 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff \
             4000:: 5f00:: 5f00:ffff:: fbff:: fc00:: fd00::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80:: \
             fe80::1 febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0:: feff::1 ff00:: ff02::1 ff0e::1 \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2a00:1450::5efe:10.0.0.1 2a00:1450::200:5efe:127.0.0.1";
        let rows: Vec<&str> = rows.split_whitespace().collect();
        assert!(rows.len() >= 60, "{} rows", rows.len());
        for row in rows {
            assert!(!is_global(ip(row)), "{row}");
            assert!(!Networks::default().allow(ip(row)), "{row}");
        }
    }

    /// The addresses beside the ranges.
    #[test]
    fn neighbours_of_special_ranges_are_global() {
        let rows = "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
             169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 \
             192.31.196.1 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
             198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 \
             2000:: 2001:200:: 2001:db7:ffff:: 2001:db9:: 2001:4860:4860::8888 2003:: 2606:4700:4700::1111 \
             2620:4f:8000::1 3ffe:ffff:: 3fff:1000:: 2a00:1450::5eff:0:1 2a00:1450::1:5efe:0:1";
        for row in rows.split_whitespace() {
            assert!(is_global(ip(row)), "{row}");
            assert!(Networks::default().allow(ip(row)), "{row}");
        }
        let own = Networks::parse(["10.0.0.0/8"]).expect("a network");
        assert!(own.allow(ip("10.1.2.3")) && own.allow(ip("8.8.8.8")) && !own.allow(ip("192.168.0.1")));
    }

    #[test]
    fn networks_parse_and_contain() {
        let rows = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            // A client on an IPv6 socket has a mapped address.
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.4", false),
            ("0.0.0.0/0", "127.0.0.1", true),
            // All of IPv4 is not all addresses.
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "127.0.0.1", false),
            ("::1", "::1", true),
            ("fd00:1::/32", "fd00:1:ffff::1", true),
            ("fd00:1::/32", "fd00:2::", false),
            ("64:ff9b::/96", "64:ff9b::8.8.8.8", true),
        ];
        for (network, address, want) in rows {
            let networks = Networks::parse([network]).expect(network);
            assert_eq!(networks.name(ip(address)), want, "{network} {address}");
        }
    }

    #[test]
    fn an_invalid_network_is_rejected_with_its_reason() {
        let shape = "is not an address or a network such as 10.0.0.0/8";
        let rows = [
            ("", shape),
            ("10.0.0.0/33", shape),
            ("::/129", shape),
            ("10.0.0.0/", shape),
            ("10.0.0.0/+8", shape),
            ("10.0.0.0/8/8", shape),
            ("10/8", shape),
            // Octal for some parsers: rejected, so that no two parsers can disagree.
            ("010.0.0.1", shape),
            ("localhost", shape),
            ("10.0.0.1/8", "has bits beyond its prefix"),
            ("fd00::1/8", "has bits beyond its prefix"),
            // It would never match: look-ups convert mapped addresses.
            ("::ffff:10.0.0.0/104", "must be written as IPv4"),
        ];
        for (text, why) in rows {
            let error = text.parse::<Network>().map_err(|error| error.why);
            assert_eq!(error, Err(format!("{text:?} {why}")), "{text}");
        }
        assert!(Networks::parse(vec!["10.0.0.1"; NETWORKS_MAX]).is_ok());
        let many = vec!["10.0.0.1"; NETWORKS_MAX + 1];
        assert!(Networks::parse(many).is_err());
    }

    #[test]
    fn a_customer_is_an_ipv4_address_or_a_64() {
        let rows = [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff", true),
            // The next /64.
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ];
        for (one, other, same) in rows {
            let customer = |text: &str| customer(text.parse().expect("an address"));
            assert_eq!(customer(one) == customer(other), same, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_its_own_network(bits in any::<u128>(), prefix in 0..=128_u32) {
            let base = bits & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            let text = format!("{}/{prefix}", Ipv6Addr::from_bits(base));
            // Networks of mapped addresses are rejected.
            if let Ok(network) = text.parse::<Network>() {
                prop_assert!(network.contains(IpAddr::V6(Ipv6Addr::from_bits(bits))));
                // The lowest bit of the prefix is flipped. Prefix 0 has no bit, so the address stays inside.
                let outside = bits ^ 1_u128.checked_shl(128 - prefix).unwrap_or(0);
                prop_assert_eq!(network.contains(IpAddr::V6(Ipv6Addr::from_bits(outside))), prefix == 0);
            }
        }
    }
}
