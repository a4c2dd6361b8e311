//! Finds the link of a visit: from host and path to domain and code.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::StatusCode;

use super::request::{Visit, VisitResponse};
use super::settings::UnknownHosts;
use super::visitor::{LookupFailed, Visitor};
use super::{pages, validity};
use crate::cache::Lookup;
use crate::cache::entry::Entry;
use crate::core::tenants::directory::Directory;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::id::ForeignId;
use crate::model::short_code::{
    earlier_spellings, first_code, first_segment, is_punctuation, without_punctuation,
};

/// A host and path without a link.
pub(super) enum NotALink<'a> {
    /// The store is not loaded yet.
    Unready,
    NoDomain,
    Root(&'a Domain),
    NoCode(&'a Arc<Domain>),
}

impl<'a> NotALink<'a> {
    /// Returns the domain if the path is its root.
    pub(super) fn root(&self) -> Option<&'a Domain> {
        match self {
            NotALink::Root(domain) => Some(domain),
            NotALink::Unready | NotALink::NoDomain | NotALink::NoCode(_) => None,
        }
    }

    /// Returns the response to a GET.
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

/// The address of a link, for a visit that waits.
#[derive(Clone, Debug)]
pub(super) enum LinkAddress {
    /// The codes that the path may mean, in the order of their look-ups: a code is read only if the codes
    /// before it have no link.
    Codes(Arc<Domain>, Vec<String>),
    /// The path of a contact link behind [`CONTACT_PATH`](crate::core::CONTACT_PATH).
    Contact(String),
}

/// The result of a look-up.
#[derive(Clone, Debug)]
pub(super) struct AddressedLink {
    pub(super) domain: Arc<Domain>,
    /// `None` if the address has no link.
    pub(super) entry: Option<Entry>,
    /// The contact that received the link, if the address names it.
    pub(super) contact: Option<ForeignId>,
}

/// Returns the codes that a path without a link may mean: the domain's codes in front of the punctuation at its
/// end. Nothing but punctuation may follow the code.
pub(super) fn shorter_codes(domain: &Domain, path: &str) -> Vec<String> {
    let (segment, rest) = first_segment(path.strip_prefix('/').unwrap_or(path));
    let mut codes = Vec::new();
    if !rest.is_empty() && !is_punctuation(rest) {
        return codes;
    }
    // `/code,/)` as well as `/code,`. The code itself was looked up before.
    for code in without_punctuation(segment) {
        let code = domain.fold(Cow::Owned(code)).into_owned();
        let earlier = earlier_spellings(&code, &code, !domain.case_sensitive);
        codes.push(code);
        codes.extend(earlier);
    }
    codes
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
            if ready {
                self.state.host_misses.count(visit.host);
            }
            return Err(if ready { NotALink::NoDomain } else { NotALink::Unready });
        };
        let path = visit.path.strip_prefix('/').unwrap_or(visit.path);
        if path.is_empty() {
            return Err(NotALink::Root(domain));
        }
        // A slash after the code is part of the same link: people and mail programs append one.
        let (code, segment, rest) = first_code(path);
        // The table has one spelling of each code, so that all spellings reach one counter and one limit.
        let code = domain.fold(code.ok_or(NotALink::NoCode(domain))?);
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

    /// Returns the link at an address.
    pub(super) async fn look_up(&self, address: &LinkAddress) -> Result<AddressedLink, LookupFailed> {
        let token = match address {
            LinkAddress::Codes(domain, codes) => {
                let entry = self.resolve_any(domain, codes).await?;
                return Ok(AddressedLink { domain: Arc::clone(domain), entry, contact: None });
            }
            LinkAddress::Contact(token) => token,
        };
        // Cloned, since the directory is not held across an await.
        let domain_of = |number| self.links.directory().domain(number).map(Arc::clone);
        // The first start creates the default domain: without it the store is not loaded.
        let home = domain_of(DomainNumber::DEFAULT).ok_or(LookupFailed)?;
        let found = self.state.tenants.contact_link(token).await.map_err(|error| {
            // Debug: any visitor can cause this line.
            tracing::debug!(%error, "a contact link could not be looked up");
            LookupFailed
        })?;
        let found =
            found.and_then(|(number, code, id, contact)| Some((domain_of(number)?, code, id, contact)));
        let Some((domain, code, id, contact)) = found else {
            return Ok(AddressedLink { domain: home, entry: None, contact: None });
        };
        // The code may belong to another link by now. A token is for one link, not for a code.
        let entry = self.resolve(&domain, code.as_str()).await?.filter(|entry| entry.counter.id() == id);
        // After the comparison of ids, so that no click of another link names this contact.
        let contact = entry.is_some().then_some(contact);
        Ok(AddressedLink { domain, entry, contact })
    }

    /// Returns the domain of a host name. An IP address and `localhost` are the default domain, so that a new
    /// installation is reachable under any of its addresses.
    // Inlined: each redirect calls it, and most of them need the first comparison alone.
    #[inline(always)]
    pub(super) fn domain<'a>(&self, directory: &'a Directory, host: &str) -> Option<&'a Arc<Domain>> {
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
