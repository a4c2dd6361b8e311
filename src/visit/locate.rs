//! Where a visit leads: from host and path to domain and code.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::StatusCode;

use super::request::{Visit, VisitResponse};
use super::settings::UnknownHosts;
use super::visitor::Visitor;
use super::{pages, validity};
use crate::core::tenants::directory::Directory;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::short_code::{canonical, first_segment};

/// What a visit's host and path can name other than a link.
pub(super) enum NotALink<'a> {
    /// The store has not been read yet.
    Unready,
    NoDomain,
    Root(&'a Domain),
    NoCode(&'a Domain),
}

impl<'a> NotALink<'a> {
    /// The domain whose root it is.
    pub(super) fn root(&self) -> Option<&'a Domain> {
        match self {
            NotALink::Root(domain) => Some(domain),
            NotALink::Unready | NotALink::NoDomain | NotALink::NoCode(_) => None,
        }
    }

    /// What is answered there.
    pub(super) fn respond(self, visitor: &Visitor) -> VisitResponse {
        match self {
            NotALink::Unready => VisitResponse::Now(pages::unavailable()),
            NotALink::NoDomain => VisitResponse::Now(pages::error(StatusCode::NOT_FOUND)),
            NotALink::Root(domain) => visitor.root(domain),
            NotALink::NoCode(domain) => VisitResponse::Now(validity::not_found(domain, &visitor.links)),
        }
    }
}

impl Visitor {
    /// Where a visit leads: domain, code, and what follows it in the path.
    pub(super) fn locate<'a>(
        &self,
        directory: &'a Directory,
        visit: &Visit<'a>,
    ) -> Result<(&'a Arc<Domain>, Cow<'a, str>, &'a str), NotALink<'a>> {
        let Some(domain) = self.domain(directory, visit.host) else {
            // Without even the default domain the store has not been read yet.
            let ready = directory.domain(DomainNumber::DEFAULT).is_some();
            return Err(if ready { NotALink::NoDomain } else { NotALink::Unready });
        };
        let path = visit.path.strip_prefix('/').unwrap_or(visit.path);
        if path.is_empty() {
            return Err(NotALink::Root(domain));
        }
        // One slash behind the code is the same link, as people and mail programs append it.
        let (segment, rest) = first_segment(path);
        let code = canonical(segment).ok_or(NotALink::NoCode(domain))?;
        Ok((domain, domain.fold(code), rest))
    }

    /// The domain that a host name leads to: an address or `localhost` is the default domain, so
    /// that a fresh install answers however it is reached.
    fn domain<'a>(&self, directory: &'a Directory, host: &str) -> Option<&'a Arc<Domain>> {
        let is_default = host == self.links.site().host()
            || host == "localhost"
            || host.starts_with('[')
            // Looked at closely only when it may be an address, which few hosts may.
            || (host.ends_with(|last: char| last.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_ok());
        if is_default {
            return directory.domain(DomainNumber::DEFAULT);
        }
        directory.domain_named(host).or_else(|| match self.state.settings.unknown_hosts {
            UnknownHosts::NotFound => None,
            UnknownHosts::DefaultDomain => {
                directory.domain(DomainNumber::DEFAULT).filter(|domain| !sends_lost_visitors_to(domain, host))
            }
        })
    }
}

/// Whether the domain sends visitors who found nothing to this host. It is no other name of the
/// domain then, whatever the operator said of unknown hosts: they would be sent there again for ever.
fn sends_lost_visitors_to(domain: &Domain, host: &str) -> bool {
    let urls = [&domain.not_found_url, &domain.expired_url];
    // Parsed only where it may be so: a visit to such a host is a redirect like any other.
    urls.into_iter().flatten().filter(|url| url.as_str().contains(host)).any(|url| {
        let parts = url.to_url();
        parts.and_then(|parts| Some(parts.host_str()?.trim_end_matches('.') == host)).unwrap_or(false)
    })
}
