//! `/CODE+`: where a link leads, on domains that allow it. No code has a plus sign, so the path is never that of
//! another link, and the look-up runs only after a miss. The page counts no click. It shows nothing that the rules
//! hide from an uncounted visit: neither the destination of a link with a password or a limit, nor that a link is
//! switched off. Of a link with rules it shows where this visitor would be led, and where others may be.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{HeaderValue, USER_AGENT};

use super::home::home_of;
use super::intent::Intent;
use super::pages::{self, Shown};
use super::request::{Visit, VisitResponse};
use super::rule::{Evaluation, Verdict, VisitFacts};
use super::rules::judge;
use super::validity;
use super::visitor::{LookupFailed, Visitor};
use crate::cache::branching::{Check, CompiledOutcome};
use crate::cache::entry::{Action, Entry};
use crate::clock::Timestamp;
use crate::core::tenants::directory::Directory;
use crate::model::domain::Domain;
use crate::model::session::{COOKIE, HTTPS_COOKIE};
use crate::model::short_code::{ShortCode, before_plus, earlier_spellings, first_segment, is_punctuation};

/// Returns the code of the link whose destination the path asks for, if the domain allows it.
fn code_of(domain: &Domain, path: &str) -> Option<String> {
    let (segment, rest) = first_segment(path.strip_prefix('/')?);
    if !domain.show_destination || !(rest.is_empty() || is_punctuation(rest)) {
        return None;
    }
    Some(domain.fold(Cow::Owned(before_plus(segment)?)).into_owned())
}

impl Visitor {
    /// Answers a GET or HEAD of `/CODE+`. Returns `None` for another path.
    pub(super) fn shown(
        &self,
        directory: &Directory,
        domain: &Arc<Domain>,
        visit: &Visit<'_>,
    ) -> Option<VisitResponse> {
        let code = code_of(domain, visit.path)?;
        // Older versions stored another spelling of some codes.
        let mut codes = earlier_spellings(&code, &code, !domain.case_sensitive);
        codes.insert(0, code);
        let user_agent = visit.headers.get(USER_AGENT);
        // A probe, which is never counted.
        let facts = VisitFacts::new(Intent::Probe, self.agent(user_agent), "", visit);
        let facts = facts.at_unknown(self.unknown_host(directory, visit.host));
        // A visitor who asks for the destination needs no button.
        let facts = VisitFacts { is_confirmed: true, ..facts };
        let (visitor, domain) = (self.clone(), Arc::clone(domain));
        Some(VisitResponse::Later(Box::pin(async move {
            let found = match visitor.resolve_any(&domain, &codes).await {
                Ok(Some(entry)) => visitor.with_record(entry, facts.agent.kind).await,
                absent => absent,
            };
            match found {
                Ok(Some(entry)) => match visitor.links.typed_code(&domain, entry.code.as_str()).await {
                    Ok(code) => visitor.show(&entry, &code, &domain, &facts),
                    Err(error) => {
                        tracing::debug!(%error, "the code of a link could not be read");
                        pages::unavailable()
                    }
                },
                Ok(None) => validity::not_found(&domain, &visitor.links),
                Err(LookupFailed) => pages::unavailable(),
            }
        })))
    }

    /// Returns the page of a link whose code has this spelling.
    fn show(
        &self,
        entry: &Entry,
        code: &ShortCode,
        domain: &Domain,
        facts: &VisitFacts,
    ) -> Response<Full<Bytes>> {
        let (short_url, path) = (self.links.site().short_url(domain, code), self.links.site().path(code));
        let home = home_of(domain, &self.links);
        // By the cookie alone: the dashboard checks the session.
        let dashboard = facts.cookies.iter().any(has_session).then(|| format!("/admin/code{path}"));
        let page = |what| pages::shown(&short_url, &path, what, dashboard.as_deref(), &home);
        let conditional = match &entry.action {
            Action::Redirect { location, .. } => {
                return page(Shown::Destination(location.to_str().unwrap_or_default()));
            }
            Action::Evaluate(conditional) => conditional,
        };
        let evaluation = self.evaluation(entry, conditional, facts, None);
        let verdict = judge(&evaluation);
        match verdict {
            Verdict::Destination { location, .. } if conditional.branches.list().is_empty() => {
                page(Shown::Destination(location.to_str().unwrap_or_default()))
            }
            Verdict::Destination { .. } => {
                // As a click: a probe is not part of a test, and would show its first variant to everybody.
                let facts = VisitFacts { intent: Intent::Follow, ..facts.clone() };
                let evaluation = self.evaluation(entry, conditional, &facts, None);
                let Verdict::Destination { location, .. } = judge(&evaluation) else {
                    return self.render(judge(&evaluation), &evaluation, domain);
                };
                let location = location.to_str().unwrap_or_default();
                page(Shown::Chosen(location, &others(&evaluation)))
            }
            Verdict::Withheld => page(Shown::Limited),
            Verdict::PasswordRequired => page(Shown::Protected),
            // A fallback on a denied host gets its warning, as for a visit.
            Verdict::Gone => match validity::expired_url(&conditional.link.options, domain, &self.links) {
                Some(url) if self.links.deny_list().host_of(url).is_none() => {
                    page(Shown::Expired(url.as_str()))
                }
                _ => self.render(verdict, &evaluation, domain),
            },
            verdict => self.render(verdict, &evaluation, domain),
        }
    }
}

/// Returns whether a line of cookies has a session of the dashboard, which is on the default domain.
fn has_session(cookies: &HeaderValue) -> bool {
    let names = [COOKIE, HTTPS_COOKIE];
    let name = |pair: &[u8]| pair.trim_ascii().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let mut given = cookies.as_bytes().split(|byte| *byte == b';').filter_map(name);
    given.any(|given| names.iter().any(|name| name.as_bytes() == given))
}

/// Returns the targets of a rule.
fn targets_of(outcome: &CompiledOutcome) -> Vec<usize> {
    match outcome {
        CompiledOutcome::NotFound => Vec::new(),
        CompiledOutcome::Target(target) => vec![*target],
        CompiledOutcome::Split(split) => match split.winner {
            Some(winner) => vec![split.variants[winner].target],
            None => split.variants.iter().map(|variant| variant.target).collect(),
        },
    }
}

/// Returns where the link may lead other visitors from now on, without what this one gets.
fn others(evaluation: &Evaluation<'_>) -> Vec<String> {
    let Evaluation { conditional, now, deny_list, .. } = *evaluation;
    let mut targets = Vec::new();
    let mut reaches_own = true;
    for branch in conditional.branches.list().iter().filter(|branch| branch.enabled && now < branch.span.1) {
        // A destination for single networks is none for strangers to know.
        let is_private = branch.conditions.iter().any(|condition| matches!(condition.check, Check::Ip(_)));
        if !is_private {
            targets.extend(targets_of(&branch.outcome));
        }
        // For ever, and for every visitor: what follows is never reached.
        let has_end = branch.span.1 < Timestamp::from_millis(i64::MAX);
        if branch.conditions.is_empty() && branch.span.0 <= now && !has_end {
            reaches_own = false;
            break;
        }
    }
    targets.extend(reaches_own.then_some(0));
    let own = evaluation.choice.target;
    let urls = targets.into_iter().filter(|target| Some(*target) != own).filter_map(|target| {
        let to = conditional.targets.at(target).as_ref().ok()?;
        deny_list.host_of(to).is_none().then(|| to.as_str().to_owned())
    });
    let mut shown = Vec::new();
    for url in urls {
        if !shown.contains(&url) {
            shown.push(url);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

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
            // The punctuation of a sentence.
            ("/a+.", Some("a")),
            ("/a+),", Some("a")),
            ("/a%2B%E2%80%9D", Some("a")),
            ("/a+/)", Some("a")),
            ("/a.+", Some("a.")),
        ];
        for (path, want) in rows {
            assert_eq!(code_of(&domain, path).as_deref(), want, "{path}");
        }
    }
}
