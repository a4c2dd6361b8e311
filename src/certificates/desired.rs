//! [`Desired`]: the names that should have a certificate of the authority.

use std::collections::BTreeSet;

use super::name::{CertificateName, CertificateNames};
use super::settings::Settings;
use crate::core::Core;
use crate::model::key::Reach;
use crate::model::network::Networks;
use crate::model::tenant::Tenant;

/// The names in `domain`, and those of the directory.
#[derive(Clone, Debug)]
pub(super) struct Desired {
    names: CertificateNames,
    /// Whether the domains that the APIs register are among them.
    has_registered: bool,
    /// Whether the authority is one that everybody trusts.
    is_public: bool,
    core: Core,
    /// Where names of tenants may lead, besides the public internet.
    allowed: Networks,
}

impl Desired {
    pub(super) fn new(
        names: CertificateNames,
        settings: &Settings,
        core: Core,
        allowed: Networks,
    ) -> Desired {
        let (has_registered, is_public) = (settings.registered_domains, settings.is_public_authority());
        Desired { names, has_registered, is_public, core, allowed }
    }

    /// Returns whether a name in lower case is desired now. No list is built: handshakes ask this.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.is_of_setting(name)
            || self.has_registered
                && is_certifiable(name, self.is_public)
                && self.core.directory().domain_named(name).is_some()
    }

    /// Returns whether a name is in `domain`.
    pub(super) fn is_of_setting(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns the networks that a name may lead to besides the public internet. `None` for a name in `domain`, which may
    /// lead anywhere.
    pub(super) fn networks(&self, name: &str) -> Option<&Networks> {
        (!self.is_of_setting(name)).then_some(&self.allowed)
    }

    /// Returns the tenant that the work on a name is charged to.
    pub(super) fn tenant(&self, name: &str) -> Tenant {
        if self.is_of_setting(name) {
            return Tenant::Operator;
        }
        let owner = self.core.directory().domain_named(name).and_then(|domain| domain.workspace);
        owner.map_or(Tenant::Operator, |owner| self.core.tenants().tenant_of(&Reach::Workspace(owner)))
    }

    /// Returns all names. `None` while the directory is not read yet: then nothing may be taken for undesired.
    pub(super) fn all(&self) -> Option<BTreeSet<String>> {
        if !self.core.is_loaded() {
            return None;
        }
        // A copy: the directory may change while certificates are ordered.
        let registered = if self.has_registered { self.core.domain_names() } else { Vec::new() };
        let registered = registered.into_iter().filter(|name| is_certifiable(name, self.is_public));
        // The default domain has the host of `public_url`, which is in `domain`.
        Some(self.names.all().iter().map(CertificateName::to_string).chain(registered).collect())
    }

    /// Returns once the names may have changed.
    pub(super) async fn changed(&self) {
        self.core.directory_changed().await;
    }
}

/// Returns whether an authority can issue for a registered name: a host name of several labels without underscores, and
/// for a public authority one of the internet.
pub(super) fn is_certifiable(name: &str, is_public: bool) -> bool {
    let Ok(parsed @ CertificateName::Host(_)) = CertificateName::parse(name) else { return false };
    name.contains('.') && !name.contains('_') && !(is_public && parsed.private_reason().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_public_form_are_not_ordered() {
        for (name, of_public, of_private) in [
            ("go.example.com", true, true),
            ("xn--bcher-kva.example.com", true, true),
            ("localhost", false, false),
            ("a.localhost", false, true),
            ("printer.local", false, true),
            ("go.test", false, true),
            ("go.example", false, true),
            ("go.internal", false, true),
            ("a_b.example.com", false, false),
            ("[2001:db8::1]", false, false),
        ] {
            let got = [true, false].map(|is_public| is_certifiable(name, is_public));
            assert_eq!(got, [of_public, of_private], "{name}");
        }
    }
}
