//! The deny list of destination hosts at a visit: no visitor is led to a denied host, whatever the link was when it
//! was written. Before the rules about bots, previews, passwords and the button: a link that leads nowhere shows no
//! preview and asks for no password.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

use super::home::home_of;
use super::rule::{Evaluation, Rule, Verdict};
use super::{destination, pages, redirect};
use crate::core::Links;
use crate::core::deny_list::denied_rule;
use crate::model::destination::Destination;
use crate::model::domain::Domain;
use crate::model::link::Options;

/// The name of the rule in explanations, which name it only if the server has a list.
pub(super) const NAME: &str = "deniedHosts";

pub(super) const DENIED: Rule = Rule {
    name: NAME,
    verdict: |evaluation| {
        let host = host(evaluation)?;
        // A path that the link does not forward is not found, as before the host was denied.
        destination::of(evaluation)?;
        // A visitor without the password, and one who is not counted, must not learn the destination.
        let Options { password, max_clicks, .. } = &evaluation.conditional.link.options;
        let is_shown = password.is_none() && max_clicks.is_none();
        Some(Verdict::Denied { host: is_shown.then_some(host) })
    },
    why: |evaluation| match host(evaluation) {
        Some(host) => format!("url {}", denied_rule(&host)),
        None => "url leads to no host on the deny list of this server".to_owned(),
    },
};

/// Returns the host that this visit leads to, if it is denied.
fn host(evaluation: &Evaluation<'_>) -> Option<Box<str>> {
    let target = evaluation.target()?.as_ref().ok()?;
    evaluation.deny_list.host_of(target)
}

/// Returns the redirect to the fallback URL of a link or domain, or the warning page if its host is denied.
pub(super) fn elsewhere(to: &Destination, domain: &Domain, links: &Links) -> Response<Full<Bytes>> {
    match links.deny_list().host_of(to) {
        Some(host) => warning(Some(&host), domain, links),
        None => redirect::elsewhere(to),
    }
}

/// Returns the warning page in place of a redirect, and counts it.
pub(super) fn warning(host: Option<&str>, domain: &Domain, links: &Links) -> Response<Full<Bytes>> {
    links.deny_list().count_refused_visit();
    pages::denied(host, &home_of(domain, links))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Agent;
    use crate::core::deny_list::DenyList;
    use crate::model::link::{Edit, PasswordHash};
    use crate::visit::intent::Intent;
    use crate::visit::rule::tests::{conditional, evaluation, facts, now};
    use crate::visit::rules::judge;

    /// A link that would not lead to its destination now is answered as before its host was denied. Every other
    /// response gives way to the warning.
    #[test]
    fn m_a_denied_host_precedes_all_but_validity() {
        let denied = |host: Option<&str>| Verdict::Denied { host: host.map(Box::from) };
        let shown = || denied(Some("e.test"));
        let locked = Edit::Password(Some(PasswordHash::from_stored("$argon2id$".into())));
        let title = Edit::Title(Some("a title".into()));
        let rows = [
            (vec![], Agent::Person, shown()),
            (vec![Edit::Cloaked(true)], Agent::Person, shown()),
            (vec![Edit::BlockBots(true)], Agent::Bot, shown()),
            (vec![title], Agent::Preview, shown()),
            (vec![Edit::Confirm(true)], Agent::Person, shown()),
            // These hide their destination from some visitors.
            (vec![locked], Agent::Person, denied(None)),
            (vec![Edit::MaxClicks(Some(4))], Agent::Bot, denied(None)),
            (vec![Edit::IsActive(false)], Agent::Person, Verdict::NotFound),
            (vec![Edit::ExpiresAt(Some(now().into()))], Agent::Person, Verdict::Gone),
            (vec![Edit::MaxClicks(Some(3))], Agent::Person, Verdict::Gone),
        ];
        let list = DenyList::of(&["e.test"]);
        for (edits, agent, want) in rows {
            let (link, facts) = (conditional(&edits), facts(Intent::Follow, agent));
            let visit = Evaluation { deny_list: &list, ..evaluation(&link, &facts) };
            assert_eq!(judge(&visit), want, "{edits:?}");
            assert!(!visit.counts(&want), "{edits:?}");
        }
        let (link, facts) = (conditional(&[]), facts(Intent::Follow, Agent::Person));
        let other = DenyList::of(&["other.test"]);
        for list in [&other, &DenyList::default()] {
            let visit = Evaluation { deny_list: list, ..evaluation(&link, &facts) };
            assert!(matches!(judge(&visit), Verdict::Destination { .. }), "{list:?}");
        }
    }
}
