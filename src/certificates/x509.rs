//! The fields of a certificate that decide what is done with it: names and dates.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectAltName};

use super::schedule::Validity;
use crate::clock::Timestamp;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// The DNS names, in lower case, and the addresses. A name may begin with `*.`.
    pub names: Vec<String>,
    /// The first moment at which it is valid.
    pub not_before: Timestamp,
    /// The last moment at which it is valid.
    pub not_after: Timestamp,
    /// What names it among the certificates of its authority. `None` for one that does not name the authority's key.
    pub id: Option<RenewalId>,
    /// Whether it may sign certificates (RFC 5280 4.2.1.9).
    pub is_authority: bool,
}

/// What names a certificate in questions about its renewal (RFC 9773 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenewalId {
    /// The identifier of the authority's key.
    pub key: Vec<u8>,
    /// The serial number, with the zero that DER puts before a first bit of 1.
    pub serial: Vec<u8>,
}

impl Fields {
    /// Reads a certificate in DER. Fails if it is none.
    pub(super) fn read(der: &[u8]) -> Result<Fields, String> {
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        let certificate = certificate.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>().map_err(|error| error.to_string())?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let key = certificate.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let key = key.and_then(|(_, authority)| authority.key_identifier);
        let basic = certificate.get_extension::<BasicConstraints>().ok().flatten();
        let serial = certificate.serial_number().as_bytes().to_vec();
        let validity = certificate.validity();
        Ok(Fields {
            names: names.iter().filter_map(name).collect(),
            not_before: validity.not_before.to_system_time().into(),
            not_after: validity.not_after.to_system_time().into(),
            id: key.map(|key| RenewalId { key: key.as_bytes().to_vec(), serial }),
            is_authority: basic.is_some_and(|(_, basic)| basic.ca),
        })
    }
}

impl Fields {
    /// Returns the time in which it is valid.
    pub(super) fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }
}

/// Returns the name of a host. `None` for names of other things, such as people.
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    #[test]
    fn names_and_dates_are_read() {
        let names = ["Go.Example.com", "*.example.com", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("valid names");
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2051, 3, 4);
        let signed = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        let fields = Fields::read(signed.der()).expect("a certificate");
        assert_eq!(fields.names, ["go.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"]);
        let day = |days: i64| Timestamp::from_millis(days * 24 * 60 * 60 * 1_000);
        // 2026-01-02, and 2051-03-04 in the other encoding of times (RFC 5280 4.1.2.5).
        assert_eq!((fields.not_before, fields.not_after), (day(20_455), day(29_647)));
    }

    #[test]
    fn a_certificate_is_named_as_in_the_standard() {
        let mut authority = CertificateParams::default();
        authority.key_identifier_method = KeyIdMethod::PreSpecified(vec![0x69, 0x88, 0x5b]);
        let authority = Issuer::new(authority, KeyPair::generate().expect("a key"));
        let mut params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
        params.use_authority_key_identifier_extension = true;
        // The example of RFC 9773 4.1: its first bit is 1.
        params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        let signed = params.signed_by(&KeyPair::generate().expect("a key"), &authority).expect("signed");
        let id = Fields::read(signed.der()).expect("a certificate").id.expect("it names the authority");
        assert_eq!(id.key, [0x69, 0x88, 0x5b]);
        assert_eq!(id.serial, [0x00, 0x87, 0x65, 0x43, 0x21]);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bytes in [&b""[..], b"x", b"\x30\x03\x02\x01\x00", &[0x30; 64]] {
            assert!(Fields::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
