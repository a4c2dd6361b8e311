//! The rules of a click, in their order. Each is a file: whether it ends the visit, and in words
//! why (not), so that `explain` tells what a click does from the rules themselves.

use std::net::IpAddr;

use hyper::header::{ACCEPT_LANGUAGE, COOKIE, HeaderValue, REFERER};

use super::agents::Agent;
use super::counting::How;
use super::destination::{self, Brought};
use super::{Visit, bots, gate, limit, password, preview};
use crate::cache::entry::Conditional;
use crate::clock::Timestamp;
use crate::model::id::ForeignId;

/// What a visitor sends that a rule may look at. Owned: the visit may have to wait.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) how: How,
    pub(super) agent: Agent,
    /// The link's own path as it was asked for: one of the spellings that lead to it.
    pub(super) path: String,
    /// What follows the code in the path, without the slash between.
    pub(super) rest: String,
    /// The query as sent.
    pub(super) query: Option<String>,
    pub(super) cookies: Vec<HeaderValue>,
    pub(super) referrer: Option<HeaderValue>,
    /// The `Accept-Language` as sent.
    pub(super) language: Option<HeaderValue>,
    /// The visitor's address.
    pub(super) address: IpAddr,
    /// The contact whose link it is, when it came by one.
    pub(super) contact: Option<ForeignId>,
    /// `Sec-GPC: 1` or `DNT: 1`: no third party is to hear of the visit.
    pub(super) is_private: bool,
}

impl Asking {
    /// Keeps what a visit sends. `rest` is what follows the code in its path.
    pub(super) fn new(how: How, agent: Agent, rest: &str, visit: &Visit<'_>) -> Asking {
        let Visit { path, query, headers, .. } = *visit;
        let says_yes = |name: &str| headers.get(name).is_some_and(|value| value == "1");
        Asking {
            how,
            agent,
            path: path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/').to_owned(),
            rest: rest.to_owned(),
            query: query.map(str::to_owned),
            cookies: headers.get_all(COOKIE).iter().cloned().collect(),
            referrer: headers.get(REFERER).cloned(),
            language: headers.get(ACCEPT_LANGUAGE).cloned(),
            address: visit.address(),
            contact: None,
            is_private: says_yes("sec-gpc") || says_yes("dnt"),
        }
    }

    /// The same address, for a visitor who shall ask once more.
    pub(super) fn same_again(&self) -> HeaderValue {
        let rest = if self.rest.is_empty() { "" } else { "/" };
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        // A request's target may hold bytes that no header of ours should.
        let whole = HeaderValue::try_from([&self.path, rest, &self.rest, &query].concat());
        whole.or_else(|_| HeaderValue::try_from(&self.path)).expect("what names a code holds no control")
    }

    pub(super) fn brought(&self) -> Brought<'_> {
        Brought { rest: &self.rest, query: self.query.as_deref() }
    }
}

/// A visitor before a link, at an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) conditional: &'a Conditional,
    pub(super) asking: &'a Asking,
    pub(super) now: Timestamp,
    /// Counted clicks so far.
    pub(super) clicks: u64,
    /// The right password was given: just now, or its cookie is still good.
    pub(super) is_unlocked: bool,
}

impl Case<'_> {
    /// Whether this visit is a click.
    pub(super) fn counts(&self) -> bool {
        self.asking.how.is_click(self.asking.agent, self.conditional.link.options.count_bots)
    }
}

/// What a visitor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As if there were no link.
    NotFound,
    /// The link is over.
    Gone,
    /// Not for bots.
    Blocked,
    /// A page for link previews.
    Preview,
    /// The password first.
    AskPassword,
    /// There is a link, and this request does not learn where it leads.
    Withheld,
    /// On to the destination.
    Leads {
        /// Where, this time.
        location: HeaderValue,
        /// How.
        manner: Manner,
    },
}

/// How a visitor is led on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// By a redirect.
    Redirect,
    /// Shown in a frame.
    Cloaked,
    /// By a page that fires pixels.
    Pixels,
}

/// One rule.
pub(super) struct Rule {
    /// What it is about: the option's name, where it is one's.
    pub(super) name: &'static str,
    /// What the visitor gets when it ends the visit.
    pub(super) verdict: fn(&Case<'_>) -> Option<Verdict>,
    /// Why it does, or does not.
    pub(super) why: fn(&Case<'_>) -> String,
}

/// In the order in which they are asked; the first that ends the visit is the last.
pub(super) const RULES: &[Rule] = &[
    gate::IS_ACTIVE,
    gate::VALID_SINCE,
    gate::EXPIRES_AT,
    gate::MAX_CLICKS,
    bots::BLOCK_BOTS,
    preview::PREVIEW,
    password::PASSWORD,
    limit::UNCOUNTED,
    destination::DESTINATION,
];

/// What the visitor gets. The last rule always knows.
pub(super) fn judge(case: &Case<'_>) -> Verdict {
    RULES.iter().find_map(|rule| (rule.verdict)(case)).unwrap_or(Verdict::NotFound)
}

/// How this visitor is led on.
pub(super) fn manner(case: &Case<'_>) -> Manner {
    if case.conditional.link.options.cloaked {
        Manner::Cloaked
    } else if fires_pixels(case) {
        Manner::Pixels
    } else {
        Manner::Redirect
    }
}

/// Pixels are for people who follow the link and did not ask for privacy.
pub(super) fn fires_pixels(case: &Case<'_>) -> bool {
    let options = &case.conditional.link.options;
    let has_pixels = options.meta_pixel_id.is_some() || options.google_tag_id.is_some();
    let is_person = case.asking.agent == Agent::Person && case.asking.how != How::Prefetch;
    has_pixels && is_person && !case.asking.is_private
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::model::destination::{Destination, LinkType};
    use crate::model::domain::DomainNumber;
    use crate::model::id::Id;
    use crate::model::link::{Edit, Link, Options, PasswordHash};
    use crate::model::network::Networks;
    use crate::model::short_code::ShortCode;
    use crate::model::workspace::WorkspaceNumber;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn url(text: &str) -> Destination {
        Destination::parse_web("url", text).expect("valid")
    }

    /// Returns a link with these options, and 3 as the number of its clicks so far.
    fn conditional(edits: &[Edit]) -> Conditional {
        let mut options = Options::new(url("https://e.test/"), LinkType::Url);
        for edit in edits {
            options.apply(edit.clone()).expect("valid");
        }
        let targets = Ok(options.target()).into();
        let link = Link {
            id: Id::from_bits(1),
            workspace: WorkspaceNumber(0),
            domain: DomainNumber::DEFAULT,
            code: ShortCode::parse("a").expect("valid"),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            created_by: None,
            options,
        };
        Conditional { link, targets, leads_here: false }
    }

    fn asking(how: How, agent: Agent) -> Asking {
        asking_of(how, agent, ("/a", "", None), &HeaderMap::new())
    }

    fn asking_of(
        how: How,
        agent: Agent,
        (path, rest, query): (&str, &str, Option<&str>),
        headers: &HeaderMap,
    ) -> Asking {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let (method, proxies) = (&Method::GET, &Networks::default());
        Asking::new(how, agent, rest, &Visit { method, host: "h", path, query, headers, peer, proxies })
    }

    fn case<'a>(conditional: &'a Conditional, asking: &'a Asking) -> Case<'a> {
        Case { conditional, asking, now: now(), clicks: 3, is_unlocked: false }
    }

    #[test]
    fn what_a_request_brings() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        headers.insert(REFERER, HeaderValue::from_static("https://from.test/"));
        let asking = asking_of(How::Look, Agent::Bot, ("/a//x/y", "x/y", Some("q=1")), &headers);
        assert_eq!((asking.how, asking.agent), (How::Look, Agent::Bot));
        assert_eq!((&*asking.path, &*asking.rest, asking.query.as_deref()), ("/a", "x/y", Some("q=1")));
        assert_eq!(asking.cookies, ["a=1", "b=2"]);
        assert_eq!(asking.referrer.as_ref().map(HeaderValue::as_bytes), Some(&b"https://from.test/"[..]));
        assert_eq!((asking.brought().rest, asking.brought().query), ("x/y", Some("q=1")));
        assert!(asking.contact.is_none() && !asking.is_private);
    }

    /// Either of the two signals is enough, and nothing but `1` is one.
    #[test]
    fn who_asks_for_privacy_has_it() {
        let rows = [
            (&[("sec-gpc", "1")][..], true),
            (&[("dnt", "1")], true),
            (&[("dnt", "1"), ("sec-gpc", "1")], true),
            (&[("dnt", "0"), ("sec-gpc", "0")], false),
            (&[("dnt", "yes")], false),
            (&[], false),
        ];
        for (sent, want) in rows {
            let mut headers = HeaderMap::new();
            for &(name, value) in sent {
                headers.insert(name, HeaderValue::from_static(value));
            }
            let asking = asking_of(How::Follow, Agent::Person, ("/a", "", None), &headers);
            assert_eq!(asking.is_private, want, "{sent:?}");
        }
    }

    #[test]
    fn the_same_address_is_that_of_the_request() {
        let rows = [
            ("/a", "", None, "/a"),
            ("/a/", "", None, "/a"),
            ("/a", "", Some("q=1&r"), "/a?q=1&r"),
            ("/a", "", Some(""), "/a?"),
            ("/a/x/y", "x/y", None, "/a/x/y"),
            ("/a/x", "x", Some("q"), "/a/x?q"),
            // No header of an answer can hold it.
            ("/a", "", Some("q=\u{7}"), "/a"),
        ];
        for (path, rest, query, want) in rows {
            let asking = asking_of(How::Unlock, Agent::Person, (path, rest, query), &HeaderMap::new());
            assert_eq!(asking.same_again(), want, "{path} {query:?}");
        }
    }

    /// T53: a person follows the link, or nothing is counted; bots where the link says so.
    #[test]
    fn what_is_counted() {
        for counts_bots in [false, true] {
            let conditional = conditional(&[Edit::CountBots(counts_bots)]);
            for agent in [Agent::Person, Agent::Preview, Agent::Bot] {
                for how in [How::Follow, How::Look, How::Prefetch, How::Unlock] {
                    let asking = asking(how, agent);
                    let is_click = matches!(how, How::Follow | How::Unlock);
                    let want = is_click && (agent == Agent::Person || counts_bots);
                    assert_eq!(case(&conditional, &asking).counts(), want, "{how:?} {agent:?} {counts_bots}");
                }
            }
        }
    }

    /// Pixels fire for people who follow the link and did not ask for privacy.
    #[test]
    fn whom_pixels_are_fired_at() {
        let meta = Edit::MetaPixelId(Some("12345".into()));
        let google = Edit::GoogleTagId(Some("G-ABC123".into()));
        let private = Asking { is_private: true, ..asking(How::Follow, Agent::Person) };
        let rows = [
            (vec![], asking(How::Follow, Agent::Person), Manner::Redirect),
            (vec![meta.clone()], asking(How::Follow, Agent::Person), Manner::Pixels),
            (vec![google.clone()], asking(How::Follow, Agent::Person), Manner::Pixels),
            (vec![meta.clone(), google.clone()], asking(How::Unlock, Agent::Person), Manner::Pixels),
            (vec![meta.clone()], asking(How::Look, Agent::Person), Manner::Pixels),
            (vec![meta.clone()], asking(How::Prefetch, Agent::Person), Manner::Redirect),
            (vec![meta.clone()], asking(How::Follow, Agent::Bot), Manner::Redirect),
            (vec![google.clone()], asking(How::Follow, Agent::Preview), Manner::Redirect),
            (vec![meta.clone(), google], private, Manner::Redirect),
        ];
        for (edits, asking, want) in rows {
            let mut row = conditional(&edits);
            assert_eq!(manner(&case(&row, &asking)), want, "{edits:?} {asking:?}");
            assert_eq!(fires_pixels(&case(&row, &asking)), want == Manner::Pixels, "{edits:?} {asking:?}");
            row.link.options.cloaked = true;
            assert_eq!(manner(&case(&row, &asking)), Manner::Cloaked, "{edits:?} {asking:?}");
        }
    }

    /// Each row adds what an earlier rule than that of the row before ends the visit for.
    #[test]
    fn the_first_rule_that_ends_a_visit_is_the_last() {
        let person = asking(How::Look, Agent::Person);
        let bot = asking(How::Follow, Agent::Bot);
        let preview = asking(How::Follow, Agent::Preview);
        let limited = Edit::MaxClicks(Some(4));
        let locked = Edit::Password(Some(PasswordHash::from_stored("$argon2id$".into())));
        let titled = Edit::Title(Some("a title".into()));
        let rows = [
            (Verdict::Withheld, &person, vec![limited.clone()]),
            (Verdict::AskPassword, &person, vec![limited.clone(), locked.clone()]),
            (Verdict::Preview, &preview, vec![limited.clone(), locked.clone(), titled.clone()]),
            (Verdict::Preview, &preview, vec![locked.clone(), titled.clone(), Edit::BlockBots(true)]),
            (Verdict::Blocked, &bot, vec![limited, locked.clone(), titled.clone(), Edit::BlockBots(true)]),
            (
                Verdict::Gone,
                &bot,
                vec![locked.clone(), titled.clone(), Edit::BlockBots(true), Edit::MaxClicks(Some(3))],
            ),
            (Verdict::Gone, &person, vec![locked.clone(), Edit::ExpiresAt(Some(now()))]),
            (
                Verdict::NotFound,
                &person,
                vec![Edit::ValidSince(Some(Timestamp::from_millis(1_000_001))), Edit::MaxClicks(Some(3))],
            ),
            (Verdict::NotFound, &preview, vec![Edit::IsActive(false), Edit::ExpiresAt(Some(now())), titled]),
        ];
        for (want, asking, edits) in rows {
            let conditional = conditional(&edits);
            assert_eq!(judge(&case(&conditional, asking)), want, "{edits:?}");
        }
        let conditional = conditional(&[locked, Edit::MaxClicks(Some(4))]);
        let person = asking(How::Follow, Agent::Person);
        let unlocked = Case { is_unlocked: true, ..case(&conditional, &person) };
        let Verdict::Leads { location, manner } = judge(&unlocked) else { panic!("it leads on") };
        assert_eq!((location.as_bytes(), manner), (&b"https://e.test/"[..], Manner::Redirect));
    }
}
