//! The rules of a click, in their order. Each is a file: whether it ends the visit, and in words
//! why (not), so that `explain` tells what a click does from the rules themselves.

use hyper::header::{COOKIE, HeaderMap, HeaderValue, REFERER};

use super::agents::Agent;
use super::counting::How;
use super::destination::{self, Brought};
use super::{bots, gate, limit, password, preview};
use crate::cache::entry::Decided;
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
    /// The contact whose link it is, when it came by one.
    pub(super) contact: Option<ForeignId>,
    /// `Sec-GPC: 1` or `DNT: 1`: no third party is to hear of the visit.
    pub(super) is_private: bool,
}

impl Asking {
    pub(super) fn new(
        how: How,
        agent: Agent,
        path: &str,
        rest: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Asking {
        let says_yes = |name: &str| headers.get(name).is_some_and(|value| value == "1");
        Asking {
            how,
            agent,
            path: path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/').to_owned(),
            rest: rest.to_owned(),
            query: query.map(str::to_owned),
            cookies: headers.get_all(COOKIE).iter().cloned().collect(),
            referrer: headers.get(REFERER).cloned(),
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
    pub(super) decided: &'a Decided,
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
        let options = &self.decided.link.options;
        self.asking.how.is_click() && (self.asking.agent == Agent::Person || options.count_bots)
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
    if case.decided.link.options.cloaked {
        Manner::Cloaked
    } else if fires_pixels(case) {
        Manner::Pixels
    } else {
        Manner::Redirect
    }
}

/// Pixels are for people who follow the link and did not ask for privacy.
pub(super) fn fires_pixels(case: &Case<'_>) -> bool {
    let options = &case.decided.link.options;
    let has_pixels = options.meta_pixel_id.is_some() || options.google_tag_id.is_some();
    let is_person = case.asking.agent == Agent::Person && case.asking.how != How::Prefetch;
    has_pixels && is_person && !case.asking.is_private
}
