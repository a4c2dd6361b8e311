//! Contact links: `/links/r/2/TOKEN` is another address of a link, and its clicks name the contact that
//! received the link. All rules of the link apply, also its password form, which posts to the same address.

use hyper::header::USER_AGENT;

use super::intent::Intent;
use super::locate::LinkAddress;
use super::request::{Visit, VisitResponse};
use super::rule::VisitFacts;
use super::visitor::Visitor;
use crate::core::CONTACT_PATH;

impl Visitor {
    /// Answers a GET or HEAD of a path below [`CONTACT_PATH`].
    pub fn follow_contact_link(&self, visit: &Visit<'_>) -> VisitResponse {
        let agent = self.agent(visit.headers.get(USER_AGENT));
        let intent = Intent::of(visit.method, visit.headers);
        // No rest: everything after the prefix is the token, so no path is left to forward.
        let unknown_host = self.unknown_host(&self.links.directory(), visit.host);
        let facts = VisitFacts::new(intent, agent, "", visit).at_unknown(unknown_host);
        let address = contact_address(visit.path);
        VisitResponse::Later(Box::pin(self.clone().resolve_and_follow(address, facts, None)))
    }
}

/// Returns the address of a contact link.
pub(super) fn contact_address(path: &str) -> LinkAddress {
    LinkAddress::Contact(path.strip_prefix(CONTACT_PATH).unwrap_or("").to_owned())
}
