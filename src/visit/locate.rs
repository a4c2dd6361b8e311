//! Finds the link of a visit: from host and path to domain and code.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::StatusCode;

use super::request::{Visit, VisitResponse};
use super::settings::UnknownHosts;
use super::visitor::Visitor;
use super::{pages, validity};
use crate::cache::Lookup;
use crate::core::tenants::directory::Directory;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::short_code::{canonical, earlier_spellings, first_segment};

/// A host and path without a link.
pub(super) enum NotALink<'a> {
    /// The store is not loaded yet.
    Unready,
    NoDomain,
    Root(&'a Domain),
    NoCode(&'a Domain),
}

impl<'a> NotALink<'a> {
    /// Returns the domain if the path is its root.
    pub(super) fn root(&self) -> Option<&'a Domain> {
        match self {
            NotALink::Root(domain) => Some(domain),
            NotALink::Unready | NotALink::NoDomain | NotALink::NoCode(_) => None,
        }
    }

    /// Returns the response.
    pub(super) fn respond(self, visitor: &Visitor, unknown_host: Option<&str>) -> VisitResponse {
        match self {
            NotALink::Unready => VisitResponse::Now(pages::unavailable()),
            NotALink::NoDomain => VisitResponse::Now(pages::error(StatusCode::NOT_FOUND)),
            NotALink::Root(domain) => visitor.root(domain, unknown_host),
            // The same response as for an unknown code, also with the domain's fallback.
            NotALink::NoCode(domain) => VisitResponse::Now(validity::not_found(domain, &visitor.links)),
        }
    }
}

impl Visitor {
    /// Returns the domain and the code of a visit, and the part of the path after the code.
    pub(super) fn locate<'a>(
        &self,
        directory: &'a Directory,
        visit: &Visit<'a>,
    ) -> Result<(&'a Arc<Domain>, Cow<'a, str>, &'a str), NotALink<'a>> {
        let Some(domain) = self.domain(directory, visit.host) else {
            // The first start creates the default domain, so without it the store is not loaded.
            let ready = directory.domain(DomainNumber::DEFAULT).is_some();
            return Err(if ready { NotALink::NoDomain } else { NotALink::Unready });
        };
        let path = visit.path.strip_prefix('/').unwrap_or(visit.path);
        if path.is_empty() {
            return Err(NotALink::Root(domain));
        }
        // A slash after the code is part of the same link: people and mail programs append one.
        let (segment, rest) = first_segment(path);
        // The table has one spelling of each code, so that all spellings reach one counter and one limit.
        let code = domain.fold(canonical(segment).ok_or(NotALink::NoCode(domain))?);
        let code = match code {
            Cow::Owned(code) => self.as_stored(domain, segment, code).into(),
            // The plain code of nearly every request.
            Cow::Borrowed(_) => code,
        };
        Ok((domain, code, rest))
    }

    /// Returns the spelling of a code that has a link. Earlier versions stored emoji with the selectors of
    /// the request, and capitals beyond ASCII on domains that ignore case.
    fn as_stored(&self, domain: &Domain, segment: &str, code: String) -> String {
        let cache = self.links.cache();
        let is_absent = |code: &str| matches!(cache.get(domain.number, code, |_| ()), Lookup::Absent);
        if code.is_ascii() || !is_absent(&code) {
            return code;
        }
        let earlier = earlier_spellings(segment, &code, !domain.case_sensitive);
        earlier.into_iter().find(|earlier| !is_absent(earlier)).unwrap_or(code)
    }

    /// Returns the domain of a host name. An IP address and `localhost` are the default domain, so that a new
    /// installation is reachable under any of its addresses.
    fn domain<'a>(&self, directory: &'a Directory, host: &str) -> Option<&'a Arc<Domain>> {
        if self.is_default_host(host) {
            return directory.domain(DomainNumber::DEFAULT);
        }
        directory.domain_named(host).or_else(|| match self.state.settings.unknown_hosts {
            UnknownHosts::NotFound => None,
            UnknownHosts::DefaultDomain => {
                directory.domain(DomainNumber::DEFAULT).filter(|domain| !has_fallback_at(domain, host))
            }
        })
    }

    fn is_default_host(&self, host: &str) -> bool {
        // The checks are ordered by their cost and by how often they decide.
        host == self.links.site().host()
            || host == "localhost"
            // IPv6 literals keep their brackets, and no domain name has one.
            || host.starts_with('[')
            // Parsed only if the last character is a digit, which few hosts have.
            || (host.ends_with(|last: char| last.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_ok())
    }

    /// Returns `host` if it belongs to no domain and its visits are treated as visits of the default domain.
    /// No write knows such a host, so only its visits can detect a loop through it.
    pub(super) fn unknown_host<'h>(&self, directory: &Directory, host: &'h str) -> Option<&'h str> {
        let is_unknown = self.state.settings.unknown_hosts == UnknownHosts::DefaultDomain
            && !self.is_default_host(host)
            && directory.domain_named(host).is_none();
        is_unknown.then_some(host)
    }
}

/// Returns whether a fallback or the root URL of the domain has this host. Such a host must not be treated as the default
/// domain, for any setting of unknown hosts: its visitors would be redirected to it in a loop.
fn has_fallback_at(domain: &Domain, host: &str) -> bool {
    let urls = [&domain.not_found_url, &domain.expired_url, &domain.root_url];
    // Compared as text first: parsing is slow, and nearly every host is in none of the URLs.
    urls.into_iter().flatten().filter(|url| url.as_str().contains(host)).any(|url| {
        let parts = url.to_url();
        parts.and_then(|parts| Some(parts.host_str()?.trim_end_matches('.') == host)).unwrap_or(false)
    })
}
