//! [`Rule`], and its input: the facts of a visit ([`VisitFacts`]) and the link ([`Evaluation`]).
//! [`rules`](super::rules) lists the rules in their order.

use std::net::IpAddr;

use hyper::header::{ACCEPT_LANGUAGE, COOKIE, HeaderValue, REFERER};

use super::intent::{Intent, is_private};
use super::request::Visit;
use crate::agents::{Agent, UserAgent};
use crate::analytics::country::ProxyCountry;
use crate::cache::entry::Conditional;
use crate::clock::Timestamp;
use crate::core::deny_list::DenyList;
use crate::model::escape;
use crate::model::id::ForeignId;
use crate::model::link::Options;

/// The facts of a request that a rule may use. Owned, since the visit may have to wait.
#[derive(Clone, Debug)]
pub(super) struct VisitFacts {
    pub(super) intent: Intent,
    pub(super) agent: UserAgent,
    /// The path of the link as sent: one of the spellings of its code.
    pub(super) path: String,
    /// The part of the path after the code, without the slash between them.
    pub(super) rest: String,
    /// The query as sent.
    pub(super) query: Option<String>,
    pub(super) cookies: Vec<HeaderValue>,
    pub(super) referrer: Option<HeaderValue>,
    /// The `Accept-Language` as sent.
    pub(super) language: Option<HeaderValue>,
    /// The visitor's address, as [`Visit::address`] returns it.
    pub(super) address: IpAddr,
    /// The visitor's country, as [`Visit::country`] returns it.
    pub(super) country: ProxyCountry,
    /// The contact, if the visit came by a contact link.
    pub(super) contact: Option<ForeignId>,
    /// The host, as [`Visitor::unknown_host`](super::Visitor::unknown_host) returns it.
    pub(super) unknown_host: Option<Box<str>>,
    /// `Sec-GPC: 1` or `DNT: 1`: no third party may be informed about the visit.
    pub(super) is_private: bool,
    /// Whether the visitor pressed the button of the page that asks for confirmation.
    pub(super) is_confirmed: bool,
}

impl VisitFacts {
    /// Copies the facts of a visit. `rest` is the part of its path after the code.
    pub(super) fn new(
        intent: Intent,
        agent: impl Into<UserAgent>,
        rest: &str,
        visit: &Visit<'_>,
    ) -> VisitFacts {
        let Visit { path, query, headers, .. } = *visit;
        VisitFacts {
            intent,
            agent: agent.into(),
            // `rest` has no leading slash, so a slash is left at the end of the path.
            path: path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/').to_owned(),
            rest: rest.to_owned(),
            query: query.map(str::to_owned),
            cookies: headers.get_all(COOKIE).iter().cloned().collect(),
            referrer: headers.get(REFERER).cloned(),
            language: headers.get(ACCEPT_LANGUAGE).cloned(),
            address: visit.address(),
            country: visit.country(),
            contact: None,
            unknown_host: None,
            is_private: is_private(headers),
            is_confirmed: false,
        }
    }

    /// Sets the unknown host of the visit.
    pub(super) fn at_unknown(self, host: Option<&str>) -> VisitFacts {
        VisitFacts { unknown_host: host.map(Box::from), ..self }
    }

    /// Returns the URL of this request, for a redirect to itself.
    pub(super) fn same_url(&self) -> HeaderValue {
        let rest = if self.rest.is_empty() { "" } else { "/" };
        let query = self.query.as_ref().map(|query| format!("?{}", escape::query(query))).unwrap_or_default();
        // The target of a request may contain bytes that a URI has only escaped.
        let whole = escape::path(&[&self.path, rest, &self.rest].concat()) + &query;
        HeaderValue::try_from(whole).expect("what is escaped is visible ASCII")
    }

    /// Returns the parts of the request that a link may forward.
    pub(super) fn forwarded(&self) -> Forwarded<'_> {
        Forwarded { rest: &self.rest, query: self.query.as_deref() }
    }
}

/// The parts of a request that a link may forward to its destination.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forwarded<'a> {
    /// The part of the path after the code, without the slash between them; may be empty.
    pub(crate) rest: &'a str,
    /// The query as sent.
    pub(crate) query: Option<&'a str>,
}

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
}

impl Evaluation<'_> {
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
    use std::sync::LazyLock;

    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::model::link::{Edit, sample};
    use crate::visit::peer::TrustedProxies;

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
        Conditional { link, targets, leads_here: false, is_denied: false }
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
        Evaluation { conditional, facts, now: now(), clicks: 3, is_unlocked: false, deny_list: no_list() }
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
