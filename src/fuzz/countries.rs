//! Files with the countries of addresses, and countries in headers of proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::analytics::country::{self, Countries};
use crate::analytics::values::place_text;

/// Takes the content of a file. Asserts that it is rejected, or has the same country, or none, for both spellings of each
/// address.
pub(super) fn countries(data: &[u8]) {
    if let Some(code) = country::header(data) {
        check(code);
        // Spaces around a value are no part of it.
        assert_eq!(country::header(&[b" ", data, b" "].concat()), Some(code));
    }
    let Ok(countries) = Countries::parse(data) else { return };
    let source = countries.source();
    assert!(source.ranges > 0, "a file without a country is rejected");
    assert!(countries.memory() > 0);
    // Addresses that no file expects, and those that the bytes of this file may be.
    let of_file = data
        .chunks_exact(16)
        .rev()
        .take(8)
        .map(|bytes| u128::from_be_bytes(bytes.try_into().expect("16 bytes")));
    let edges = [0, 1, u128::MAX, 0xffff_0000_0000, 0xffff_ffff_ffff, 1 << 127];
    for number in edges.into_iter().chain(of_file) {
        let address = Ipv6Addr::from_bits(number);
        look_up(&countries, address.into());
        // Truncated on purpose: the same bytes as an address of IPv4.
        #[allow(clippy::cast_possible_truncation)]
        let v4 = Ipv4Addr::from_bits(number as u32);
        let found = look_up(&countries, v4.into());
        assert_eq!(look_up(&countries, v4.to_ipv6_mapped().into()), found, "{v4}");
    }
}

fn look_up(countries: &Countries, address: IpAddr) -> Option<country::CountryCode> {
    let code = countries.of(address);
    if let Some(code) = code {
        check(code);
    }
    if let Some(place) = countries.place(address) {
        assert!(!place.region.contains(char::is_control) && !place.city.contains(char::is_control));
        // A cell has room for it, however long its names are.
        assert!(place_text("DE", &place.region, &place.city).len() <= 253, "{place:?}");
    }
    code
}

/// Asserts that a country is one of ISO 3166-1.
fn check(code: country::CountryCode) {
    assert_eq!(country::header(&code), Some(code));
}
