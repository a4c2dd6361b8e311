//! The click funnel: every counted click passes [`Visitor::click`], and nothing else counts. Webhooks are
//! called there, and statistics will be.
//!
//! A [`Click`] refers to the request. A plain redirect allocates nothing for it, and reads a header only when
//! a consumer needs it.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{ACCEPT_LANGUAGE, HeaderValue, REFERER};

use super::agents::Agent;
use super::rule::VisitFacts;
use super::{Visit, Visitor};
use crate::clicks::counter::Counter;
use crate::clicks::reservations::Take;
use crate::model::id::ForeignId;
use crate::model::link::Link;
use crate::webhooks;

/// A click that is to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Click<'a> {
    counter: &'a Arc<Counter>,
    link: Option<&'a Link>,
    sent: Sent<'a>,
}

/// Where the facts of a click are.
#[derive(Clone, Copy, Debug)]
enum Sent<'a> {
    /// In the head of the request.
    Head(&'a Visit<'a>, Agent),
    /// In what was kept of it while the visit waited.
    Kept(&'a VisitFacts),
}

/// What became of a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is counted.
    Yes,
    /// The link's limit is reached.
    LimitReached,
    /// Clicks of this limit must be reserved first.
    Unreserved { limit: u64 },
}

impl<'a> Click<'a> {
    /// A click that is answered from the head of its request.
    pub(super) fn of_head(counter: &'a Arc<Counter>, visit: &'a Visit<'a>, agent: Agent) -> Click<'a> {
        Click { counter, link: None, sent: Sent::Head(visit, agent) }
    }

    /// A click of a visit that may have waited. `link` is `None` for a plain redirect, whose record is not
    /// in memory.
    pub(super) fn of_visit(
        counter: &'a Arc<Counter>,
        link: Option<&'a Link>,
        facts: &'a VisitFacts,
    ) -> Click<'a> {
        Click { counter, link, sent: Sent::Kept(facts) }
    }

    /// The live counter of its link, which knows the link's id.
    pub fn counter(&self) -> &'a Counter {
        self.counter
    }

    /// What the `User-Agent` says the visitor is.
    pub fn agent(&self) -> Agent {
        match self.sent {
            Sent::Head(_, agent) => agent,
            Sent::Kept(facts) => facts.agent,
        }
    }

    /// The `Referer` as sent.
    pub fn referrer(&self) -> Option<&'a HeaderValue> {
        match self.sent {
            Sent::Head(visit, _) => visit.headers.get(REFERER),
            Sent::Kept(facts) => facts.referrer.as_ref(),
        }
    }

    /// The `Accept-Language` as sent.
    pub fn language(&self) -> Option<&'a HeaderValue> {
        match self.sent {
            Sent::Head(visit, _) => visit.headers.get(ACCEPT_LANGUAGE),
            Sent::Kept(facts) => facts.language.as_ref(),
        }
    }

    /// The visitor's address.
    pub fn address(&self) -> IpAddr {
        match self.sent {
            Sent::Head(visit, _) => visit.address(),
            Sent::Kept(facts) => facts.address,
        }
    }

    fn contact(&self) -> Option<&'a ForeignId> {
        match self.sent {
            Sent::Head(..) => None,
            Sent::Kept(facts) => facts.contact.as_ref(),
        }
    }
}

impl Visitor {
    /// Counts a click, unless the link's limit forbids it. Never waits.
    pub(super) fn click(&self, click: &Click<'_>) -> Counted {
        let counters = self.links.cache().counters();
        match click.link.and_then(|link| link.options.max_clicks) {
            None => counters.count(click.counter),
            Some(limit) => match counters.reservations().take(click.counter, limit) {
                Take::Counted => {}
                Take::LimitReached => return Counted::LimitReached,
                Take::Unreserved => return Counted::Unreserved { limit },
            },
        }
        if let Some(link) = click.link {
            self.tell(click, link);
        }
        Counted::Yes
    }

    /// Queues the events of a counted click.
    fn tell(&self, click: &Click<'_>, link: &Link) {
        if link.options.webhook_urls.is_empty() {
            return;
        }
        self.webhooks.offer(&webhooks::Click {
            link,
            at: self.links.clock().now(),
            referrer: click.referrer().and_then(|value| value.to_str().ok()),
            agent: click.agent().name(),
            // Countries are not known yet.
            country: None,
            contact: click.contact().map(ForeignId::as_str),
        });
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::USER_AGENT;
    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::model::id::Id;
    use crate::model::network::Networks;
    use crate::visit::intent::Intent;

    /// The facts of a click are the same, whether its visit waited or not.
    #[test]
    fn a_click_tells_what_its_request_said() {
        let mut headers = HeaderMap::new();
        headers.insert(REFERER, HeaderValue::from_static("https://from.test/"));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de, en"));
        headers.insert(USER_AGENT, HeaderValue::from_static("curl/8"));
        let peer = IpAddr::from([192, 0, 2, 7]);
        let (method, proxies) = (&Method::GET, &Networks::default());
        let visit = Visit { method, host: "h", path: "/a", query: None, headers: &headers, peer, proxies };
        let facts = VisitFacts::new(Intent::Follow, Agent::Bot, "", &visit);
        let counter = Arc::new(Counter::new(Id::from_bits(9), 4));
        for click in [Click::of_head(&counter, &visit, Agent::Bot), Click::of_visit(&counter, None, &facts)] {
            assert_eq!(click.counter().id(), Id::from_bits(9));
            assert_eq!((click.agent(), click.address()), (Agent::Bot, peer));
            assert_eq!(click.referrer(), headers.get(REFERER));
            assert_eq!(click.language(), headers.get(ACCEPT_LANGUAGE));
        }
    }
}
