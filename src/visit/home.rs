//! The home page of a domain, to which pages without a destination link.

use super::pages::DomainHome;
use crate::core::Links;
use crate::core::links::loops::Hop;
use crate::model::destination::Destination;
use crate::model::domain::Domain;

/// Returns the domain and the way to its home page.
pub(super) fn home_of(domain: &Domain, links: &Links) -> DomainHome {
    // A `rootUrl` that leads to the root itself is not followed, nor is one on a denied host.
    let leads_on = |to: &&Destination| {
        links.hop(to) != Some(Hop::Root(domain.number)) && links.deny_list().host_of(to).is_none()
    };
    let root = domain.root_url.as_ref().filter(leads_on);
    DomainHome { domain: links.site().name_of(domain), url: root.map(|url| url.as_str().to_owned()) }
}
