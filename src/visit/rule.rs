//! [`Rule`], and its input: the facts of a visit ([`VisitFacts`]) and the link ([`Evaluation`]).
//! [`rules`](super::rules) lists the rules in their order.
//!
//! A rule here is a step of every click. A rule of a link is a branch: see [`crate::model::link::branch`].

use hyper::header::HeaderValue;

use super::choice::{Choice, choose};
use super::holds::BranchFacts;
use super::intent::Intent;
pub(crate) use super::visit_facts::Forwarded;
pub(super) use super::visit_facts::VisitFacts;
use crate::agents::Agent;
use crate::analytics::country::LoadedCountries;
use crate::cache::entry::{Conditional, Target};
use crate::clock::Timestamp;
use crate::core::deny_list::DenyList;
use crate::model::link::Options;

/// The input of the rules: a visit to a link at an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) conditional: &'a Conditional,
    pub(super) facts: &'a VisitFacts,
    pub(super) now: Timestamp,
    /// The number of counted clicks before this visit.
    pub(super) clicks: u64,
    /// Whether the visitor sent the right password: in this request, or earlier with a valid cookie.
    pub(super) is_unlocked: bool,
    /// The hosts to which no visitor is led.
    pub(super) deny_list: &'a DenyList,
    /// The countries of addresses, if the server may know some.
    pub(super) countries: Option<&'a LoadedCountries>,
    /// The rule of the link that holds, and its target.
    pub(super) choice: Choice,
}

impl<'a> Evaluation<'a> {
    /// Returns the evaluation with the choice of the link's rules. To be called last: they read the other fields.
    pub(super) fn chosen(self) -> Evaluation<'a> {
        // Most links have no rules, and pay for this test alone.
        if self.conditional.branches.list().is_empty() {
            return self;
        }
        Evaluation { choice: choose(self.conditional, &self.branch_facts()), ..self }
    }

    /// Returns the facts that the link's rules compare.
    pub(super) fn branch_facts(&self) -> BranchFacts<'a> {
        BranchFacts::new(self.facts, self.countries, self.now, self.clicks)
    }

    /// Returns the target of this visit, `None` if a rule of the link leads nowhere.
    pub(super) fn target(&self) -> Option<&'a Target> {
        self.choice.target.map(|at| self.conditional.targets.at(at))
    }

    /// Returns whether this visit is a click, whatever the rules decide about it.
    pub(super) fn is_click(&self) -> bool {
        let Options { count_bots, skip_social_crawler_tracking, .. } = self.conditional.link.options;
        let skips = skip_social_crawler_tracking && self.facts.agent.kind == Agent::Preview;
        self.facts.intent.is_click(self.facts.agent.kind, count_bots && !skips)
    }

    /// Returns whether this visit is counted if it gets this verdict.
    pub(super) fn counts(&self, verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Destination { .. }) && self.is_click()
    }
}

/// The result of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same response as for an unknown code.
    NotFound,
    /// The link has expired or is used up.
    Gone,
    /// The destination is on a denied host.
    Denied {
        /// The host, unless the destination of the link is not for every visitor.
        host: Option<Box<str>>,
    },
    /// The visitor is a bot, and the link blocks bots.
    Blocked,
    /// A page for link previews.
    Preview,
    /// The page that asks for the password.
    PasswordRequired,
    /// The page with the button.
    ConfirmationRequired,
    /// The visit is not counted, so it must not reveal the destination of a limited link.
    Withheld,
    /// The visitor gets the destination.
    Destination {
        /// The destination of this visit.
        location: HeaderValue,
        presentation: Presentation,
    },
}

/// The way in which a visitor gets the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presentation {
    Redirect,
    /// In a frame.
    Cloaked,
    /// Behind a page that fires pixels.
    Pixels,
}

/// One rule.
pub(super) struct Rule {
    /// The name of its option, if it has one.
    pub(super) name: &'static str,
    /// Returns a verdict if the rule ends the visit.
    pub(super) verdict: fn(&Evaluation<'_>) -> Option<Verdict>,
    /// Returns why the rule ends the visit, or why not.
    pub(super) why: fn(&Evaluation<'_>) -> String,
}

/// Returns the presentation of this visit. A destination that is no web address is never framed.
pub(super) fn presentation(evaluation: &Evaluation<'_>, is_web: bool) -> Presentation {
    if evaluation.conditional.link.options.cloaked && is_web {
        Presentation::Cloaked
    } else if fires_pixels(evaluation) {
        Presentation::Pixels
    } else {
        Presentation::Redirect
    }
}

/// Returns whether pixels fire: for people who follow the link and did not ask for privacy.
pub(super) fn fires_pixels(evaluation: &Evaluation<'_>) -> bool {
    let options = &evaluation.conditional.link.options;
    // A prefetch may never be seen, so no vendor is informed, and a page would lose the body of a submit. HEAD
    // is included: its head must equal that of GET (RFC 9110 9.3.2).
    let is_seen = !matches!(evaluation.facts.intent, Intent::Prefetch | Intent::Submit);
    let is_person = evaluation.facts.agent.kind == Agent::Person && is_seen;
    options.has_pixels() && is_person && !evaluation.facts.is_private
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;
    use std::sync::LazyLock;

    use hyper::header::{COOKIE, REFERER};
    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::cache::entry::Guards;
    use crate::model::link::{Edit, sample};
    use crate::visit::peer::TrustedProxies;
    use crate::visit::request::Visit;

    pub(in crate::visit) fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    /// Returns a link with these options, and 3 as the number of its clicks so far.
    pub(in crate::visit) fn conditional(edits: &[Edit]) -> Conditional {
        let mut options = sample::plain();
        for edit in edits {
            options.apply(edit.clone()).expect("valid");
        }
        let targets = Ok(options.target()).into();
        let link = sample::link(1, "a", options);
        Conditional::compile(link, targets, Guards::default())
    }

    /// Returns the list of a server without one.
    pub(in crate::visit) fn no_list() -> &'static DenyList {
        static NONE: LazyLock<DenyList> = LazyLock::new(DenyList::default);
        &NONE
    }

    pub(in crate::visit) fn facts(intent: Intent, agent: Agent) -> VisitFacts {
        facts_of(intent, agent, ("/a", "", None), &HeaderMap::new())
    }

    fn facts_of(
        intent: Intent,
        agent: Agent,
        (path, rest, query): (&str, &str, Option<&str>),
        headers: &HeaderMap,
    ) -> VisitFacts {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let (method, proxies) = (&Method::GET, &TrustedProxies::default());
        VisitFacts::new(
            intent,
            agent,
            rest,
            &Visit { method, host: "h", path, query, headers, peer, proxies },
        )
    }

    pub(in crate::visit) fn evaluation<'a>(
        conditional: &'a Conditional,
        facts: &'a VisitFacts,
    ) -> Evaluation<'a> {
        Evaluation {
            conditional,
            facts,
            now: now(),
            clicks: 3,
            is_unlocked: false,
            deny_list: no_list(),
            countries: None,
            choice: Choice::OWN,
        }
        .chosen()
    }

    #[test]
    fn facts_are_copied_from_the_request() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        // Two header lines: neither may hide the other.
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        headers.insert(REFERER, HeaderValue::from_static("https://from.test/"));
        let facts = facts_of(Intent::Probe, Agent::Bot, ("/a//x/y", "x/y", Some("q=1")), &headers);
        assert_eq!((facts.intent, facts.agent.kind), (Intent::Probe, Agent::Bot));
        assert_eq!((&*facts.path, &*facts.rest, facts.query.as_deref()), ("/a", "x/y", Some("q=1")));
        assert_eq!(facts.cookies, ["a=1", "b=2"]);
        assert_eq!(facts.referrer.as_ref().map(HeaderValue::as_bytes), Some(&b"https://from.test/"[..]));
        assert_eq!((facts.forwarded().rest, facts.forwarded().query), ("x/y", Some("q=1")));
        assert!(facts.contact.is_none() && !facts.is_private);
    }

    /// One of the two signals is enough, and only the value `1` is a signal.
    #[test]
    fn a_privacy_signal_is_respected() {
        let rows = [
            (&[("sec-gpc", "1")][..], true),
            (&[("dnt", "1")], true),
            (&[("dnt", "1"), ("sec-gpc", "1")], true),
            (&[("dnt", "0"), ("sec-gpc", "0")], false),
            // No value of the header's definition.
            (&[("dnt", "yes")], false),
            (&[], false),
        ];
        for (sent, want) in rows {
            let mut headers = HeaderMap::new();
            for &(name, value) in sent {
                headers.insert(name, HeaderValue::from_static(value));
            }
            let facts = facts_of(Intent::Follow, Agent::Person, ("/a", "", None), &headers);
            assert_eq!(facts.is_private, want, "{sent:?}");
        }
    }

    #[test]
    fn the_same_url_is_that_of_the_request() {
        let rows = [
            ("/a", "", None, "/a"),
            // The slash after the code is no part of the path that a cookie is set for.
            ("/a/", "", None, "/a"),
            ("/a", "", Some("q=1&r"), "/a?q=1&r"),
            ("/a", "", Some(""), "/a?"),
            ("/a/x/y", "x/y", None, "/a/x/y"),
            ("/a/x", "x", Some("q"), "/a/x?q"),
            ("/a", "", Some("q=\u{7}"), "/a?q=%07"),
            ("/gr\u{fc}n", "", Some("q=|{}^%&r=%41"), "/gr%C3%BCn?q=%7C%7B%7D%5E%25&r=%41"),
            ("/gr%C3%BCn/\u{e9}", "\u{e9}", None, "/gr%C3%BCn/%C3%A9"),
        ];
        for (path, rest, query, want) in rows {
            let facts = facts_of(Intent::Unlock, Agent::Person, (path, rest, query), &HeaderMap::new());
            assert_eq!(facts.same_url(), want, "{path} {query:?}");
        }
    }

    /// Only a person who follows the link is counted, and a bot if the link counts bots.
    #[test]
    fn t53_people_count_and_bots_only_if_the_link_counts_bots() {
        for counts_bots in [false, true] {
            let conditional = conditional(&[Edit::CountBots(counts_bots)]);
            for agent in [Agent::Person, Agent::Preview, Agent::Bot] {
                for intent in
                    [Intent::Follow, Intent::Probe, Intent::Prefetch, Intent::Unlock, Intent::Submit]
                {
                    let facts = facts(intent, agent);
                    let is_click = matches!(intent, Intent::Follow | Intent::Unlock | Intent::Submit);
                    let want = is_click && (agent == Agent::Person || counts_bots);
                    assert_eq!(
                        evaluation(&conditional, &facts).is_click(),
                        want,
                        "{intent:?} {agent:?} {counts_bots}"
                    );
                }
            }
        }
    }

    /// Pixels fire for people who follow the link and did not ask for privacy.
    #[test]
    fn pixels_fire_for_people_without_a_privacy_signal() {
        let meta = Edit::MetaPixelId(Some("12345".into()));
        let google = Edit::GoogleTagId(Some("G-ABC123".into()));
        let private = VisitFacts { is_private: true, ..facts(Intent::Follow, Agent::Person) };
        let rows = [
            (vec![], facts(Intent::Follow, Agent::Person), Presentation::Redirect),
            (vec![meta.clone()], facts(Intent::Follow, Agent::Person), Presentation::Pixels),
            (vec![google.clone()], facts(Intent::Follow, Agent::Person), Presentation::Pixels),
            (vec![meta.clone(), google.clone()], facts(Intent::Unlock, Agent::Person), Presentation::Pixels),
            (vec![meta.clone()], facts(Intent::Probe, Agent::Person), Presentation::Pixels),
            (vec![meta.clone()], facts(Intent::Prefetch, Agent::Person), Presentation::Redirect),
            (vec![meta.clone()], facts(Intent::Submit, Agent::Person), Presentation::Redirect),
            (vec![meta.clone()], facts(Intent::Follow, Agent::Bot), Presentation::Redirect),
            (vec![google.clone()], facts(Intent::Follow, Agent::Preview), Presentation::Redirect),
            (vec![meta.clone(), google], private, Presentation::Redirect),
        ];
        for (edits, facts, want) in rows {
            let mut row = conditional(&edits);
            assert_eq!(presentation(&evaluation(&row, &facts), true), want, "{edits:?} {facts:?}");
            assert_eq!(
                fires_pixels(&evaluation(&row, &facts)),
                want == Presentation::Pixels,
                "{edits:?} {facts:?}"
            );
            // A cloaked page has priority: it can fire the pixels as well.
            row.link.options.cloaked = true;
            assert_eq!(
                presentation(&evaluation(&row, &facts), true),
                Presentation::Cloaked,
                "{edits:?} {facts:?}"
            );
            assert_eq!(presentation(&evaluation(&row, &facts), false), want, "{edits:?} {facts:?}");
        }
    }
}
