//! The last resort against redirect loops: a link that may lead to another place of this server is
//! followed here, on the server, before its visitor is redirected. A loop answers 508 with a page at
//! the first request, counts no click and redirects nobody.
//!
//! Writes that close a loop are rejected (`links::loops`). What is left are loops of an older
//! version's data, of another `public_url`, and of paths and values that no write could see. A
//! link that leads elsewhere is compiled as such and pays nothing for this.

use hyper::StatusCode;

use super::request::VisitResponse;
use super::rule::{Evaluation, Forwarded, Verdict};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use super::{destination, pages, redirect, validity};
use crate::cache::entry::Action;
use crate::core::links::loops::Hop;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::LinkStatus;

/// Places of this server that a visit is followed through. Chrome and Firefox follow 20 redirects,
/// so that a longer chain never shows its destination. Past it: the chain counts as a loop.
const FOLLOWED_MAX: usize = 20;

/// Places that are looked up in all, where links have several targets. Past it: a loop as well.
const LOOKED_UP_MAX: usize = 100;

impl Visitor {
    /// Returns where a visit of this link redirects to, if it redirects.
    pub(super) fn redirects_to(&self, evaluation: &Evaluation<'_>, domain: &Domain) -> Option<Destination> {
        match judge(evaluation) {
            Verdict::Destination { location, .. } => {
                Some(Destination::from_stored(location.to_str().ok()?.into()))
            }
            Verdict::Gone => {
                validity::expired_url(&evaluation.conditional.link.options, domain, &self.links).cloned()
            }
            Verdict::NotFound
            | Verdict::Blocked
            | Verdict::Preview
            | Verdict::PasswordRequired
            | Verdict::Withheld => None,
        }
    }

    /// Whether a visitor who is redirected to `to` is redirected within this server until the
    /// browser gives up, as the links are now. Pages on the way do not end a loop: whoever passes
    /// them goes round. Every target of each link on the way is followed.
    pub(super) async fn leads_in_a_loop(&self, to: Destination) -> Result<bool, LookupFailed> {
        let (mut open, mut looked_up) = (vec![(to, Vec::new())], 0);
        while let Some((to, mut seen)) = open.pop() {
            let Some(hop) = self.links.hop(&to) else { continue };
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

    /// Returns where visits of this place, by the address `at`, may be redirected to now.
    async fn next(&self, hop: &Hop, at: &Destination) -> Result<Vec<Destination>, LookupFailed> {
        let (number, code, rest) = match hop {
            Hop::Root(number) => {
                let directory = self.links.directory();
                let root = directory.domain(*number).and_then(|domain| domain.root_url.clone());
                return Ok(root
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
        let Some(entry) = self.resolve(&domain, code).await? else { return Ok(Vec::new()) };
        // A plain redirect was compiled as one that leads elsewhere.
        let Action::Evaluate(conditional) = &entry.action else { return Ok(Vec::new()) };
        let options = &conditional.link.options;
        Ok(match options.status(self.links.clock().now(), entry.counter.total()) {
            LinkStatus::Live => {
                let (address, _) = at.as_str().split_once('#').unwrap_or((at.as_str(), ""));
                let query = address.split_once('?').map(|(_, query)| query);
                let location = |target| destination::location(target, options, Forwarded { rest, query });
                let locations = conditional.targets.destinations().filter_map(location);
                locations
                    .filter_map(|value| Some(Destination::from_stored(value.to_str().ok()?.into())))
                    .collect()
            }
            LinkStatus::Expired | LinkStatus::UsedUp => {
                validity::expired_url(options, &domain, &self.links).cloned().into_iter().collect()
            }
            LinkStatus::Disabled | LinkStatus::NotYetValid => Vec::new(),
        })
    }

    /// Answers a visit of a domain's `/`.
    pub(super) fn root(&self, domain: &Domain) -> VisitResponse {
        let root = domain.root_url.as_ref();
        let Some(to) = root.filter(|to| self.links.hop(to) != Some(Hop::Root(domain.number))) else {
            // None, or the domain took the name that its `rootUrl` has: as if there were none.
            return VisitResponse::Now(validity::not_found(domain, &self.links));
        };
        if self.links.hop(to).is_none() {
            return VisitResponse::Now(redirect::elsewhere(to));
        }
        let (visitor, to) = (self.clone(), to.clone());
        VisitResponse::Later(Box::pin(async move {
            match visitor.leads_in_a_loop(to.clone()).await {
                Ok(false) => redirect::elsewhere(&to),
                Ok(true) => pages::error(StatusCode::LOOP_DETECTED),
                Err(LookupFailed) => pages::unavailable(),
            }
        }))
    }
}
