//! `/CODE+`: where a link leads, on domains that allow it. No code has a plus sign, so the path is never that of
//! another link, and the look-up runs only after a miss. The page counts no click. It shows nothing that the rules
//! hide from an uncounted visit: neither the destination of a link with a password or a limit, nor that a link is
//! switched off.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

use super::intent::Intent;
use super::pages::{self, Shown};
use super::request::{Visit, VisitResponse};
use super::rule::{Verdict, VisitFacts};
use super::rules::judge;
use super::validity;
use super::visitor::{LookupFailed, Visitor};
use crate::cache::entry::{Action, Entry};
use crate::core::tenants::directory::Directory;
use crate::model::domain::Domain;
use crate::model::short_code::{ShortCode, canonical, earlier_spellings, first_segment};

/// The plus sign, also percent-encoded.
const SUFFIXES: [&str; 3] = ["+", "%2B", "%2b"];

/// Returns the code of the link whose destination the path asks for, if the domain allows it.
fn code_of<'a>(domain: &Domain, path: &'a str) -> Option<Cow<'a, str>> {
    let (segment, rest) = first_segment(path.strip_prefix('/')?);
    let code = SUFFIXES.iter().find_map(|suffix| segment.strip_suffix(suffix))?;
    let code = domain.fold(canonical(code)?);
    (domain.show_destination && rest.is_empty()).then_some(code)
}

impl Visitor {
    /// Answers a GET or HEAD of `/CODE+`. Returns `None` for another path.
    pub(super) fn shown(
        &self,
        directory: &Directory,
        domain: &Arc<Domain>,
        visit: &Visit<'_>,
    ) -> Option<VisitResponse> {
        let code = code_of(domain, visit.path)?.into_owned();
        // Older versions stored another spelling of some codes.
        let mut codes = earlier_spellings(&code, &code, !domain.case_sensitive);
        codes.insert(0, code);
        let (_, user_agent) = Intent::and_agent(visit.method, visit.headers);
        // A probe, which is never counted.
        let facts = VisitFacts::new(Intent::Probe, self.agent(user_agent), "", visit);
        let facts = facts.at_unknown(self.unknown_host(directory, visit.host));
        // A visitor who asks for the destination needs no button.
        let facts = VisitFacts { is_confirmed: true, ..facts };
        let (visitor, domain) = (self.clone(), Arc::clone(domain));
        Some(VisitResponse::Later(Box::pin(async move {
            match visitor.resolve_any(&domain, &codes).await {
                Ok(Some(entry)) => visitor.show(&entry, &domain, &facts),
                Ok(None) => validity::not_found(&domain, &visitor.links),
                Err(LookupFailed) => pages::unavailable(),
            }
        })))
    }

    fn show(&self, entry: &Entry, domain: &Domain, facts: &VisitFacts) -> Response<Full<Bytes>> {
        let code = ShortCode::from_stored(entry.code.as_str());
        let (short_url, path) = (self.links.site().short_url(domain, &code), self.links.site().path(&code));
        let conditional = match &entry.action {
            Action::Redirect { location, .. } => {
                let location = location.to_str().unwrap_or_default();
                return pages::shown(&short_url, &path, Shown::Destination(location));
            }
            Action::Evaluate(conditional) => conditional,
        };
        let evaluation = self.evaluation(entry, conditional, facts, None);
        match judge(&evaluation) {
            Verdict::Destination { location, .. } => {
                let location = location.to_str().unwrap_or_default();
                pages::shown(&short_url, &path, Shown::Destination(location))
            }
            Verdict::Withheld => pages::shown(&short_url, &path, Shown::Limited),
            Verdict::PasswordRequired => pages::shown(&short_url, &path, Shown::Protected),
            verdict => self.render(verdict, &evaluation, domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn m4_the_paths_that_ask_for_a_destination() {
        let mut domain = Domain::default_domain(Timestamp::from_millis(0));
        assert_eq!(code_of(&domain, "/a+"), None, "not allowed");
        domain.show_destination = true;
        let rows = [
            ("/a+", Some("a")),
            ("/a+/", Some("a")),
            ("/a%2B", Some("a")),
            ("/a%2b", Some("a")),
            ("/%C3%BC+", Some("\u{fc}")),
            ("/a", None),
            ("/a++", None),
            ("/+", None),
            ("/a+/x", None),
            ("/a/+", None),
            ("/a+b", None),
            // A code cannot have the comma either.
            ("/a,+", None),
        ];
        for (path, want) in rows {
            assert_eq!(code_of(&domain, path).as_deref(), want, "{path}");
        }
    }
}
