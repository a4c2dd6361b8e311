//! Contact links: `/links/r/2/TOKEN` is its link under another name, and its clicks name the
//! contact that got it. A link with a password asks for it under its own address, where the form
//! is; the contact is forgotten on the way.

use std::sync::Arc;

use hyper::header::{HeaderValue, USER_AGENT};

use super::intent::Intent;
use super::rule::VisitFacts;
use super::{Unreadable, Visit, VisitResponse, Visitor, pages, redirect, validity};
use crate::cache::entry::Action;
use crate::core::CONTACT_PATH;
use crate::model::domain::DomainNumber;

impl Visitor {
    /// Answers a visit to a path below [`CONTACT_PATH`].
    pub fn follow_contact_link(&self, visit: &Visit<'_>) -> VisitResponse {
        let token = visit.path.strip_prefix(CONTACT_PATH).unwrap_or("").to_owned();
        let agent = self.agent(visit.headers.get(USER_AGENT));
        let intent = Intent::of(visit.method, visit.headers);
        let mut facts = VisitFacts::new(intent, agent, "", visit);
        let visitor = self.clone();
        VisitResponse::Later(Box::pin(async move {
            let domain_of = |number| visitor.links.directory().domain(number).map(Arc::clone);
            let Some(home) = domain_of(DomainNumber::DEFAULT) else { return pages::unavailable() };
            let said = match visitor.links.contact_link(&token).await {
                Ok(said) => said,
                Err(error) => {
                    tracing::debug!(%error, "a contact link could not be looked up");
                    return pages::unavailable();
                }
            };
            let Some((number, code, id, contact)) = said else {
                return validity::not_found(&home, &visitor.links);
            };
            let Some(domain) = domain_of(number) else { return validity::not_found(&home, &visitor.links) };
            let entry = match visitor.resolve(&domain, code.as_str()).await {
                Ok(Some(entry)) if entry.counter.id() == id => entry,
                Ok(_) => return validity::not_found(&domain, &visitor.links),
                Err(Unreadable) => return pages::unavailable(),
            };
            let asks = matches!(&entry.action, Action::Evaluate(conditional) if conditional.link.options.password.is_some());
            if asks {
                let path = visitor.links.site().path(&code);
                let path = HeaderValue::try_from(path).expect("an encoded path is visible ASCII");
                return redirect::unlocked(path);
            }
            facts.contact = Some(contact);
            visitor.lead(entry, domain, facts, None).await
        }))
    }
}
