//! [`Desired`]: the names that should have a certificate of the authority.

use std::collections::BTreeSet;

use super::name::{CertificateName, CertificateNames};
use crate::core::Core;

/// The names in `domain`, and those of the directory.
#[derive(Clone, Debug)]
pub(super) struct Desired {
    names: CertificateNames,
    /// Whether the domains that the APIs register are among them.
    has_registered: bool,
    core: Core,
}

impl Desired {
    pub(super) fn new(names: CertificateNames, has_registered: bool, core: Core) -> Desired {
        Desired { names, has_registered, core }
    }

    /// Returns whether a name in lower case is desired now. No list is built: handshakes ask this.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.is_of_setting(name)
            || self.has_registered && is_public(name) && self.core.directory().domain_named(name).is_some()
    }

    /// Returns whether a name is in `domain`.
    pub(super) fn is_of_setting(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns all names. `None` while the directory is not read yet: then nothing may be taken for undesired.
    pub(super) fn all(&self) -> Option<BTreeSet<String>> {
        if !self.core.is_loaded() {
            return None;
        }
        // A copy: the directory may change while certificates are ordered.
        let registered = if self.has_registered { self.core.domain_names() } else { Vec::new() };
        let registered = registered.into_iter().filter(|name| is_public(name));
        // The default domain has the host of `public_url`, which is in `domain`.
        Some(self.names.all().iter().map(CertificateName::to_string).chain(registered).collect())
    }

    /// Returns once the names may have changed.
    pub(super) async fn changed(&self) {
        self.core.directory_changed().await;
    }
}

/// Returns whether an authority can issue for a registered name: a name of the internet without underscores.
fn is_public(name: &str) -> bool {
    // No authority issues for names of one label, and none may issue for those of special use (RFC 6761, 6762).
    let Some((_, top)) = name.rsplit_once('.') else { return false };
    !["localhost", "local"].contains(&top) && !name.contains('_') && !name.starts_with('[')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_public_form_are_not_ordered() {
        for (name, want) in [
            ("go.example.com", true),
            ("xn--bcher-kva.example", true),
            ("localhost", false),
            ("a.localhost", false),
            ("printer.local", false),
            ("a_b.example.com", false),
            ("[2001:db8::1]", false),
        ] {
            assert_eq!(is_public(name), want, "{name}");
        }
    }
}
