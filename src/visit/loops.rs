//! The last protection against redirect loops. If the destination of a link may be on this server, the server
//! follows the chain of redirects before it redirects the visitor. A loop gets a page with status 508 at the
//! first request, and no click is counted.
//!
//! Writes that would close a loop are rejected (`core::links::loops`). The remaining loops come from data of
//! an older version, from another `public_url`, and from paths and values that no write can see. A link with
//! a destination elsewhere is compiled as such and skips this search.

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::locate::shorter_codes;
use super::request::VisitResponse;
use super::rule::{Evaluation, Forwarded, Verdict};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use super::{denied, destination, pages, validity};
use crate::cache::entry::Action;
use crate::core::links::loops::Hop;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::LinkStatus;
use crate::model::short_code::is_punctuation;

/// Redirects within this server that a chain may have. Chrome and Firefox follow 20 redirects, so a visitor
/// never sees the destination of a longer chain. Past it: the chain counts as a loop.
const FOLLOWED_MAX: usize = 20;

/// Look-ups in one search, over all targets of links with several targets. Past it: a loop as well.
const LOOKED_UP_MAX: usize = 100;

impl Visitor {
    /// Returns the URL that this visit is redirected to, if it is redirected.
    pub(super) fn redirects_to(&self, evaluation: &Evaluation<'_>, domain: &Domain) -> Option<Destination> {
        match judge(evaluation) {
            Verdict::Destination { location, .. } => destination_of(&location),
            // The fallback of an expired link may be on this server, and is a redirect as well.
            Verdict::Gone => {
                validity::expired_url(&evaluation.conditional.link.options, domain, &self.links).cloned()
            }
            // A page or an error: this visit is redirected nowhere.
            Verdict::NotFound
            | Verdict::Denied { .. }
            | Verdict::Blocked
            | Verdict::Preview
            | Verdict::PasswordRequired
            | Verdict::ConfirmationRequired
            | Verdict::Withheld => None,
        }
    }

    /// Returns whether a redirect to `to` ends in a loop within this server, with the links as they are now.
    /// A page on the way does not end a loop, since a visitor continues after the page. The search follows
    /// every target of each link. `unknown_host` is the host of this visit if it belongs to no domain: URLs
    /// with this host lead to the default domain.
    pub(super) async fn leads_in_a_loop(
        &self,
        to: Destination,
        unknown_host: Option<&str>,
    ) -> Result<bool, LookupFailed> {
        // Each open URL has the hops of its own chain: two branches may meet in one link without a loop.
        let (mut open, mut looked_up) = (vec![(to, Vec::new())], 0);
        while let Some((to, mut seen)) = open.pop() {
            // A URL on another server ends this branch without a loop.
            let Some(hop) = self.links.hop_from(unknown_host, &to) else { continue };
            looked_up += 1;
            if seen.contains(&hop) || seen.len() == FOLLOWED_MAX || looked_up > LOOKED_UP_MAX {
                return Ok(true);
            }
            let next = self.next(&hop, &to).await?;
            seen.push(hop);
            open.extend(next.into_iter().map(|to| (to, seen.clone())));
        }
        Ok(false)
    }

    /// Returns the URLs that a visit of this hop, at the URL `at`, may be redirected to.
    async fn next(&self, hop: &Hop, at: &Destination) -> Result<Vec<Destination>, LookupFailed> {
        let (number, code, rest) = match hop {
            Hop::Root(number) => {
                let directory = self.links.directory();
                let root = directory.domain(*number).and_then(|domain| domain.root_url.clone());
                return Ok(root
                    // As `root` answers: a root URL that names its own domain's root is no redirect.
                    .filter(|root| self.links.hop(root) != Some(Hop::Root(*number)))
                    .into_iter()
                    .collect());
            }
            Hop::Link { domain, code, rest } => (*domain, code.clone(), &**rest),
            Hop::Contact(token) => match self.state.tenants.contact_link(token).await {
                Ok(Some((domain, code, ..))) => (domain, code, ""),
                Ok(None) => return Ok(Vec::new()),
                Err(error) => {
                    tracing::debug!(%error, "a contact link could not be looked up");
                    return Err(LookupFailed);
                }
            },
        };
        self.next_of_link(number, code.as_str(), rest, at).await
    }

    async fn next_of_link(
        &self,
        number: DomainNumber,
        code: &str,
        rest: &str,
        at: &Destination,
    ) -> Result<Vec<Destination>, LookupFailed> {
        let domain = self.links.directory().domain(number).cloned();
        let Some(domain) = domain else { return Ok(Vec::new()) };
        let mut codes = vec![code.to_owned()];
        if rest.is_empty() {
            // As a visit, which looks for the code in front of dots.
            codes.extend(shorter_codes(&domain, code));
        }
        let Some(entry) = self.resolve_any(&domain, &codes).await? else { return Ok(Vec::new()) };
        let conditional = match &entry.action {
            Action::Evaluate(conditional) => conditional,
            // A path behind the code gets 404.
            Action::Redirect { .. } if !rest.is_empty() && !is_punctuation(rest) => return Ok(Vec::new()),
            // To another server, unless the host is unknown.
            Action::Redirect { location, .. } => {
                return Ok(destination_of(location).into_iter().collect());
            }
        };
        let options = &conditional.link.options;
        Ok(match options.status(self.links.clock().now(), entry.counter.total()) {
            LinkStatus::Live => {
                // The browser sends the query of this URL, and the link may forward it.
                let (address, _) = at.as_str().split_once('#').unwrap_or((at.as_str(), ""));
                let query = address.split_once('?').map(|(_, query)| query);
                let location = |target| destination::location(target, options, Forwarded { rest, query });
                let locations = conditional.targets.destinations().filter_map(location);
                locations.filter_map(|location| destination_of(&location)).collect()
            }
            LinkStatus::Expired | LinkStatus::UsedUp => {
                validity::expired_url(options, &domain, &self.links).cloned().into_iter().collect()
            }
            // 404, whose fallback is never followed on this server (`validity::not_found`).
            LinkStatus::Disabled | LinkStatus::NotYetValid => Vec::new(),
        })
    }

    /// Answers a visit to `/` of a domain.
    pub(super) fn root(&self, domain: &Domain, unknown_host: Option<&str>) -> VisitResponse {
        let root = domain.root_url.as_ref();
        let Some(to) = root.filter(|to| self.links.hop(to) != Some(Hop::Root(domain.number))) else {
            // A domain that later got the host of its own `rootUrl` does not greet: its operator set one.
            let is_fresh = domain.number == DomainNumber::DEFAULT && root.is_none() && unknown_host.is_none();
            let has_fallback = domain.not_found_url.as_ref().is_some_and(|url| !self.links.is_here(url));
            return VisitResponse::Now(if is_fresh && !has_fallback {
                pages::greeting()
            } else {
                validity::not_found(domain, &self.links)
            });
        };
        if self.links.hop_from(unknown_host, to).is_none() {
            return VisitResponse::Now(denied::elsewhere(to, domain, &self.links));
        }
        let (visitor, to, unknown_host) = (self.clone(), to.clone(), unknown_host.map(str::to_owned));
        let domain = domain.clone();
        VisitResponse::Later(Box::pin(async move {
            match visitor.leads_in_a_loop(to.clone(), unknown_host.as_deref()).await {
                Ok(false) => denied::elsewhere(&to, &domain, &visitor.links),
                Ok(true) => pages::error(StatusCode::LOOP_DETECTED),
                Err(LookupFailed) => pages::unavailable(),
            }
        }))
    }
}

/// Returns the destination that a `Location` header contains.
pub(super) fn destination_of(location: &HeaderValue) -> Option<Destination> {
    Some(Destination::from_stored(location.to_str().ok()?.into()))
}
