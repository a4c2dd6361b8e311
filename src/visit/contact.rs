//! Contact links: `/links/r/2/TOKEN` is another address of a link, and its clicks name the contact that
//! received the link. A link with a password redirects to its own address, where the password form is;
//! the contact is lost then.

use std::sync::Arc;

use hyper::header::{HeaderValue, USER_AGENT};

use super::intent::Intent;
use super::request::{Visit, VisitResponse};
use super::rule::VisitFacts;
use super::visitor::{LookupFailed, Visitor};
use super::{pages, redirect, validity};
use crate::cache::entry::Action;
use crate::core::CONTACT_PATH;
use crate::model::domain::DomainNumber;

impl Visitor {
    /// Answers a visit to a path below [`CONTACT_PATH`].
    pub fn follow_contact_link(&self, visit: &Visit<'_>) -> VisitResponse {
        let token = visit.path.strip_prefix(CONTACT_PATH).unwrap_or("").to_owned();
        let agent = self.agent(visit.headers.get(USER_AGENT));
        let intent = Intent::of(visit.method, visit.headers);
        // No rest: everything after the prefix is the token, so no path is left to forward.
        let unknown_host = self.unknown_host(&self.links.directory(), visit.host);
        let mut facts = VisitFacts::new(intent, agent, "", visit).at_unknown(unknown_host);
        let visitor = self.clone();
        VisitResponse::Later(Box::pin(async move {
            // Cloned, since the directory is not held across an await.
            let domain_of = |number| visitor.links.directory().domain(number).map(Arc::clone);
            // The first start creates the default domain: without it the store is not loaded.
            let Some(home) = domain_of(DomainNumber::DEFAULT) else { return pages::unavailable() };
            let found = match visitor.state.tenants.contact_link(&token).await {
                Ok(found) => found,
                Err(error) => {
                    // Debug: any visitor can cause this line.
                    tracing::debug!(%error, "a contact link could not be looked up");
                    return pages::unavailable();
                }
            };
            let Some((number, code, id, contact)) = found else {
                return validity::not_found(&home, &visitor.links);
            };
            let Some(domain) = domain_of(number) else { return validity::not_found(&home, &visitor.links) };
            let entry = match visitor.resolve(&domain, code.as_str()).await {
                // The code may belong to another link by now. A token is for one link, not for a code.
                Ok(Some(entry)) if entry.counter.id() == id => entry,
                Ok(_) => return validity::not_found(&domain, &visitor.links),
                Err(LookupFailed) => return pages::unavailable(),
            };
            let has_password = matches!(&entry.action, Action::Evaluate(conditional) if conditional.link.options.password.is_some());
            if has_password {
                let path = visitor.links.site().path(&code);
                let path = HeaderValue::try_from(path).expect("an encoded path is visible ASCII");
                return redirect::unlocked(path);
            }
            // After the comparison of ids, so that no click of another link names this contact.
            facts.contact = Some(contact);
            visitor.follow(entry, domain, facts, None).await
        }))
    }
}
