//! [`CertificateResolver`]: the certificate of each handshake, by the name that the client asks for.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::name::{CertificateName, CertificateNames};

/// Certificates by the name that they are for, in lower case. A name may begin with `*.`.
pub(super) type ByName = HashMap<Box<str>, Arc<CertifiedKey>, ahash::RandomState>;

/// The certificates that handshakes are answered with. A handshake reads without a lock.
pub struct CertificateResolver {
    /// Those of the owner's files, which win for their names.
    own: ArcSwap<ByName>,
    /// Those that the authority issued.
    issued: ArcSwap<ByName>,
    /// Those in `domain`.
    names: CertificateNames,
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without keys.
        f.debug_struct("CertificateResolver").field("own", &self.own.load().len()).finish_non_exhaustive()
    }
}

impl CertificateResolver {
    /// Creates a resolver without certificates, for the names in `domain`.
    pub(super) fn new(names: CertificateNames) -> CertificateResolver {
        CertificateResolver { own: ArcSwap::default(), issued: ArcSwap::default(), names }
    }

    /// Replaces the certificates of the owner's files.
    pub(super) fn set_own(&self, certificates: ByName) {
        self.own.store(Arc::new(certificates));
    }

    /// Replaces the certificates that the authority issued.
    pub(super) fn set_issued(&self, certificates: ByName) {
        self.issued.store(Arc::new(certificates));
    }

    /// Returns the name that a client means which names none: most of them connect to an address, which no hello may
    /// have. `local` is the address of this machine that the client has connected to.
    pub(super) fn meant(&self, local: Option<IpAddr>) -> Option<String> {
        let local = local.map(|local| local.to_canonical());
        let is_known = |address: &IpAddr| {
            let text = address.to_string();
            self.names.contains(&text) || self.find(Some(&text)).is_some()
        };
        if let Some(local) = local.filter(is_known) {
            return Some(local.to_string());
        }
        // Behind a router that replaces addresses, the local one is another one.
        let mut addresses = self.names.all().iter().filter_map(|name| match name {
            CertificateName::Address(address) => Some(*address),
            CertificateName::Host(_) => None,
        });
        let is_alike = |address: &IpAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
        let address = match (addresses.find(is_alike), addresses.find(is_alike)) {
            (Some(only), None) => Some(only.to_string()),
            _ => None,
        };
        address.or_else(|| self.names.first().map(ToString::to_string))
    }

    /// Returns whether a file of the owner is for a name.
    pub(super) fn has_own(&self, name: &str) -> bool {
        find_in(&self.own.load(), name).is_some()
    }

    /// Returns the certificate for a name in lower case. `None` is a client that names none on a server without `domain`.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let own = self.own.load();
        let Some(name) = name else {
            // Without `domain`, the only certificate is the one that is meant.
            return own
                .values()
                .next()
                .filter(|first| own.values().all(|key| Arc::ptr_eq(key, first)))
                .cloned();
        };
        find_in(&own, name).or_else(|| self.issued.load().get(name).cloned())
    }
}

fn find_in(certificates: &ByName, name: &str) -> Option<Arc<CertifiedKey>> {
    if let Some(found) = certificates.get(name) {
        return Some(Arc::clone(found));
    }
    // A wildcard stands for exactly one label (RFC 9525 6.3).
    let (_, rest) = name.split_once('.')?;
    certificates.get(format!("*.{rest}").as_str()).cloned()
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Without a name, the handshake has a configuration of its own: here, the local address is not known.
        self.find(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::pair::tests::self_signed;

    /// Returns the certificate of each query as the position of its owner's pair.
    fn found(
        resolver: &CertificateResolver,
        keys: &[Arc<CertifiedKey>],
        name: Option<&str>,
    ) -> Option<usize> {
        let found = resolver.find(name)?;
        keys.iter().position(|key| Arc::ptr_eq(key, &found))
    }

    #[test]
    fn the_name_decides_and_a_wildcard_is_one_label() {
        let keys = [self_signed(&["a.test", "b.test"]), self_signed(&["*.a.test"])];
        let by_name = [("a.test", 0), ("b.test", 0), ("*.a.test", 1)];
        let by_name = by_name.into_iter().map(|(name, at)| (name.into(), Arc::clone(&keys[at])));
        let resolver = CertificateResolver::new(CertificateNames::default());
        resolver.set_own(by_name.collect());
        let rows = [
            (Some("a.test"), Some(0)),
            (Some("x.a.test"), Some(1)),
            (Some("y.x.a.test"), None),
            (Some("c.test"), None),
            (Some("test"), None),
            // Two certificates: it is unknown which one is meant.
            (None, None),
        ];
        for (name, want) in rows {
            assert_eq!(found(&resolver, &keys, name), want, "{name:?}");
        }
    }

    #[test]
    fn a_client_that_names_nothing_gets_the_certificate_of_its_address() {
        let issued = self_signed(&["192.0.2.9"]);
        // `domain`, the local address, and the name that is meant.
        let rows: [(&[&str], Option<&str>, Option<&str>); 11] = [
            (&["b.test", "a.test"], Some("192.0.2.1"), Some("b.test")),
            (&["b.test", "a.test"], None, Some("b.test")),
            (&["b.test", "192.0.2.1", "192.0.2.2"], Some("192.0.2.2"), Some("192.0.2.2")),
            // A listener for both families.
            (&["b.test", "192.0.2.1", "192.0.2.2"], Some("::ffff:192.0.2.2"), Some("192.0.2.2")),
            (&["b.test", "2001:db8::1"], Some("2001:db8::1"), Some("2001:db8::1")),
            // Behind a router, the only one of the family is meant.
            (&["b.test", "192.0.2.1", "2001:db8::1"], Some("10.0.0.1"), Some("192.0.2.1")),
            (&["b.test", "192.0.2.1", "2001:db8::1"], Some("fd00::1"), Some("2001:db8::1")),
            (&["b.test", "192.0.2.1"], Some("fd00::1"), Some("b.test")),
            (&["b.test", "192.0.2.1", "192.0.2.2"], Some("10.0.0.1"), Some("b.test")),
            // Of a file of the owner.
            (&["b.test"], Some("192.0.2.9"), Some("192.0.2.9")),
            (&[], Some("192.0.2.1"), None),
        ];
        for (names, local, want) in rows {
            let listed: CertificateNames = serde_json::from_value(names.into()).expect("names");
            let resolver = CertificateResolver::new(listed);
            resolver.set_own([("192.0.2.9".into(), Arc::clone(&issued))].into_iter().collect());
            let local = local.map(|text| text.parse().expect("an address"));
            assert_eq!(resolver.meant(local).as_deref(), want, "{names:?} {local:?}");
        }
    }

    #[test]
    fn without_domain_the_only_certificate_is_meant() {
        let keys = [self_signed(&["a.test"])];
        let resolver = CertificateResolver::new(CertificateNames::default());
        resolver.set_own([("a.test".into(), Arc::clone(&keys[0]))].into_iter().collect());
        assert_eq!(found(&resolver, &keys, None), Some(0));
    }
}
