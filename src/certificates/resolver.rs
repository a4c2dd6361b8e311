//! [`CertificateResolver`]: the certificate of each handshake, by the name that the client asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// Certificates by the name that they are for, in lower case. A name may begin with `*.`.
pub(super) type ByName = HashMap<Box<str>, Arc<CertifiedKey>, ahash::RandomState>;

/// The certificates that handshakes are answered with. A handshake reads without a lock.
pub struct CertificateResolver {
    /// Those of the owner's files, which win for their names.
    own: ArcSwap<ByName>,
    /// Those that the authority issued.
    issued: ArcSwap<ByName>,
    /// The name of a client that names none, such as one that connects to an address.
    nameless: Option<Box<str>>,
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without keys.
        f.debug_struct("CertificateResolver").field("own", &self.own.load().len()).finish_non_exhaustive()
    }
}

impl CertificateResolver {
    /// Creates a resolver without certificates. `nameless` is the name whose certificate clients get that name none.
    pub(super) fn new(nameless: Option<&str>) -> CertificateResolver {
        CertificateResolver {
            own: ArcSwap::default(),
            issued: ArcSwap::default(),
            nameless: nameless.map(Into::into),
        }
    }

    /// Replaces the certificates of the owner's files.
    pub(super) fn set_own(&self, certificates: ByName) {
        self.own.store(Arc::new(certificates));
    }

    /// Replaces the certificates that the authority issued.
    pub(super) fn set_issued(&self, certificates: ByName) {
        self.issued.store(Arc::new(certificates));
    }

    /// Returns the name of a client that names none.
    pub(super) fn nameless(&self) -> Option<&str> {
        self.nameless.as_deref()
    }

    /// Returns whether a file of the owner is for a name.
    pub(super) fn has_own(&self, name: &str) -> bool {
        find_in(&self.own.load(), name).is_some()
    }

    /// Returns the certificate for a name in lower case, or for a client that names none.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let own = self.own.load();
        let Some(name) = name.or(self.nameless.as_deref()) else {
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
        let resolver = CertificateResolver::new(None);
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
    fn a_client_that_names_nothing_gets_the_certificate_of_the_first_domain() {
        let keys = [self_signed(&["a.test"]), self_signed(&["b.test"])];
        let own = || -> ByName {
            ["a.test", "b.test"]
                .into_iter()
                .zip(&keys)
                .map(|(name, key)| (name.into(), Arc::clone(key)))
                .collect()
        };
        let resolver = CertificateResolver::new(Some("b.test"));
        resolver.set_own(own());
        assert_eq!(found(&resolver, &keys, None), Some(1));
        let resolver = CertificateResolver::new(None);
        resolver.set_own(own().into_iter().filter(|(name, _)| &**name == "a.test").collect());
        assert_eq!(found(&resolver, &keys, None), Some(0), "the only one");
    }
}
