//! Fallbacks and roots of domains that lead to this server although the API refuses such: the
//! server's own name changed later, or a domain was added.

use super::routes::{Hop, Origin, Routes, Via};
use crate::model::domain::Domain;

/// Lists, as `domain: field URL`, what domains send visitors to this server by and visits do not
/// follow: any `notFoundUrl` or `expiredUrl`, and a `rootUrl` that leads to the root itself.
pub(crate) fn misdirected(routes: Routes<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for domain in routes.directory.domains() {
        for edge in routes.edges(Origin::Domain(domain)) {
            let is_ignored = match edge.via {
                Via::Root => is_own_root(routes, domain),
                Via::Fallback => routes.is_here(&edge.to),
                Via::Click { .. } | Via::Expired => false,
            };
            if is_ignored {
                found.push(format!("{}: {} {}", routes.site.name_of(domain), edge.field, edge.to));
            }
        }
    }
    found
}

/// Whether a domain's `rootUrl` leads to its root.
pub(super) fn is_own_root(routes: Routes<'_>, domain: &Domain) -> bool {
    let to = domain.root_url.as_ref().and_then(|url| routes.hop(url));
    to == Some(Hop::Root(domain.number))
}
