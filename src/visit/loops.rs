//! The last resort against redirect loops: a link that may lead to another place of this server is
//! followed here, on the server, before its visitor is redirected. A loop answers 508 with a page at
//! the first request, counts no click and redirects nobody.
//!
//! Writes that close a loop are rejected (`links::loops`). What is left are loops of an older
//! version's data, of another `public_url`, and of paths and values that no write could see. A
//! link that leads elsewhere is compiled as such and pays nothing for this.

use hyper::StatusCode;

use super::destination::{self, Brought};
use super::rules::{Case, Verdict, judge};
use super::{Answer, Unreadable, Visitor, gate, pages, redirect};
use crate::cache::entry::Action;
use crate::links::loops::Hop;
use crate::model::destination::Destination;
use crate::model::domain::{Domain, DomainNumber};
use crate::model::link::Standing;

/// Places of this server that a visit is followed through. Chrome and Firefox follow 20 redirects,
/// so that a longer chain never shows its destination. Past it: the chain counts as a loop.
const FOLLOWED_MAX: usize = 20;

impl Visitor {
    /// Returns where a visit of this link redirects to, if it redirects.
    pub(super) fn redirects_to(&self, case: &Case<'_>, domain: &Domain) -> Option<Destination> {
        match judge(case) {
            Verdict::Leads { location, .. } => Some(Destination::from_stored(location.to_str().ok()?.into())),
            Verdict::Gone => gate::expired_url(&case.decided.link.options, domain, &self.links).cloned(),
            Verdict::NotFound
            | Verdict::Blocked
            | Verdict::Preview
            | Verdict::AskPassword
            | Verdict::Withheld => None,
        }
    }

    /// Whether a visitor who is redirected to `to` is redirected within this server until the
    /// browser gives up, as the links are now. Pages on the way do not end a loop: whoever passes
    /// them goes round.
    pub(super) async fn leads_in_a_loop(&self, to: Destination) -> Result<bool, Unreadable> {
        let (mut seen, mut next) = (Vec::new(), Some(to));
        while let Some(to) = next.take() {
            let Some(hop) = self.links.hop(&to) else { return Ok(false) };
            if seen.contains(&hop) || seen.len() == FOLLOWED_MAX {
                return Ok(true);
            }
            next = self.next(&hop, &to).await?;
            seen.push(hop);
        }
        Ok(false)
    }

    /// Returns where a visit of this place, by the address `at`, is redirected to now.
    async fn next(&self, hop: &Hop, at: &Destination) -> Result<Option<Destination>, Unreadable> {
        let (number, code, rest) = match hop {
            Hop::Root(number) => {
                let directory = self.links.directory();
                let root = directory.domain(*number).and_then(|domain| domain.root_url.clone());
                return Ok(root.filter(|root| self.links.hop(root) != Some(Hop::Root(*number))));
            }
            Hop::Link { domain, code, rest } => (*domain, code.clone(), &**rest),
            Hop::Contact(token) => match self.links.contact_link(token).await {
                Ok(Some((domain, code, ..))) => (domain, code, ""),
                Ok(None) => return Ok(None),
                Err(error) => {
                    tracing::debug!(%error, "a contact link could not be looked up");
                    return Err(Unreadable);
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
    ) -> Result<Option<Destination>, Unreadable> {
        let domain = self.links.directory().domain(number).cloned();
        let Some(domain) = domain else { return Ok(None) };
        let Some(entry) = self.resolve(&domain, code).await? else { return Ok(None) };
        // A plain redirect was compiled as one that leads elsewhere.
        let Action::Decide(decided) = &entry.action else { return Ok(None) };
        let options = &decided.link.options;
        Ok(match options.standing(self.links.clock().now(), entry.counter.total()) {
            Standing::Live => {
                let Ok(target) = &decided.target else { return Ok(None) };
                let (address, _) = at.as_str().split_once('#').unwrap_or((at.as_str(), ""));
                let query = address.split_once('?').map(|(_, query)| query);
                let location = destination::location(target, options, Brought { rest, query });
                location.and_then(|value| Some(Destination::from_stored(value.to_str().ok()?.into())))
            }
            Standing::Expired | Standing::UsedUp => gate::expired_url(options, &domain, &self.links).cloned(),
            Standing::Disabled | Standing::NotYetValid => None,
        })
    }

    /// Answers a visit of a domain's `/`.
    pub(super) fn root(&self, domain: &Domain) -> Answer {
        let root = domain.root_url.as_ref();
        let Some(to) = root.filter(|to| self.links.hop(to) != Some(Hop::Root(domain.number))) else {
            // None, or the domain took the name that its `rootUrl` has: as if there were none.
            return Answer::Now(gate::not_found(domain, &self.links));
        };
        if self.links.hop(to).is_none() {
            return Answer::Now(redirect::elsewhere(to));
        }
        let (visitor, to) = (self.clone(), to.clone());
        Answer::Later(Box::pin(async move {
            match visitor.leads_in_a_loop(to.clone()).await {
                Ok(false) => redirect::elsewhere(&to),
                Ok(true) => pages::error(StatusCode::LOOP_DETECTED),
                Err(Unreadable) => pages::unavailable(),
            }
        }))
    }
}
