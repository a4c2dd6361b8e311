//! Fallbacks and roots of domains that lead to this server. The API rejects them, but the server's own name
//! may change later, or a domain may be added.

use super::routes::{Hop, Origin, Routes, Via};
use crate::model::domain::Domain;

/// Returns the URLs of domains that lead to this server and that visits do not follow, as `domain: field
/// URL`. These are every `notFoundUrl` and `expiredUrl`, and a `rootUrl` that leads to the root itself.
pub(crate) fn misdirected(routes: Routes<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for domain in routes.directory.domains() {
        for edge in routes.edges(Origin::Domain(domain)) {
            let is_ignored = match edge.via {
                // A visit follows a `rootUrl` to every other place.
                Via::Root => is_own_root(routes, domain),
                Via::Fallback => routes.is_here(&edge.to),
                // Only links have these.
                Via::Click { .. } | Via::Expired => false,
            };
            if is_ignored {
                found.push(format!("{}: {} {}", routes.site.name_of(domain), edge.field, edge.to));
            }
        }
    }
    found
}

/// Returns whether a domain's `rootUrl` leads to its own root.
pub(super) fn is_own_root(routes: Routes<'_>, domain: &Domain) -> bool {
    let to = domain.root_url.as_ref().and_then(|url| routes.hop(url));
    to == Some(Hop::Root(domain.number))
}
