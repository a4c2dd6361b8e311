//! The click funnel: every counted click passes [`Visitor::click`], and nothing else counts clicks. The
//! funnel captures the details of a click for the analytics, and queues its webhooks.
//!
//! A [`Click`] borrows from the request. The click of a plain redirect allocates nothing, and reads a
//! header only when a consumer needs the header.
//!
//! Visits of bots and prefetches are captured as well, and marked as not counted.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::HeaderValue;

use super::intent::{Head, Intent, is_of_qr_code, is_private};
use super::request::Visit;
use super::rule::VisitFacts;
use super::visitor::Visitor;
use crate::agents::{Agent, UserAgent};
use crate::analytics::capture::{Capture, Facts, PRIVATE};
use crate::analytics::cell::{BY_LINK, BY_QR, COUNTED, PREFETCHED};
use crate::analytics::country::ProxyCountry;
use crate::cache::entry::Entry;
use crate::clicks::counter::Counter;
use crate::clicks::registry::Counters;
use crate::clicks::reservations::Take;
use crate::model::id::ForeignId;
use crate::model::link::Link;
use crate::webhooks::ClickEvent;

/// A click that is to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Click<'a> {
    counter: &'a Arc<Counter>,
    /// [`Entry::has_details`].
    has_details: bool,
    link: Option<&'a Link>,
    source: ClickSource<'a>,
}

/// Where the facts of a click are read from.
#[derive(Clone, Copy, Debug)]
enum ClickSource<'a> {
    Head(&'a Visit<'a>, &'a Head<'a>, UserAgent),
    /// The facts that were copied from the head, since the visit may have waited, and what the link's rules chose: see
    /// [`Dimension::Choice`](crate::analytics::cell::Dimension::Choice).
    Facts(&'a VisitFacts, u32),
}

/// The result of [`Visitor::click`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClickOutcome {
    Counted,
    LimitReached,
    /// Not counted: clicks of this limit must be reserved first.
    Unreserved {
        limit: u64,
    },
}

impl<'a> Click<'a> {
    /// Creates the click of a plain redirect that is answered from the head of its request.
    pub(super) fn of_head(
        entry: &'a Entry,
        visit: &'a Visit<'a>,
        head: &'a Head<'a>,
        agent: UserAgent,
    ) -> Click<'a> {
        let Entry { counter, has_details, .. } = entry;
        Click {
            counter,
            has_details: *has_details,
            link: None,
            source: ClickSource::Head(visit, head, agent),
        }
    }

    /// Creates the click of a visit that may have waited. `link` is `None` for a plain redirect, whose
    /// record is not in memory.
    pub(super) fn of_visit(entry: &'a Entry, link: Option<&'a Link>, facts: &'a VisitFacts) -> Click<'a> {
        let Entry { counter, has_details, .. } = entry;
        Click { counter, has_details: *has_details, link, source: ClickSource::Facts(facts, 0) }
    }

    /// Returns the click with what the link's rules chose.
    #[must_use]
    pub(super) fn choosing(self, choice: u32) -> Click<'a> {
        match self.source {
            ClickSource::Facts(facts, _) => Click { source: ClickSource::Facts(facts, choice), ..self },
            // A plain redirect has no rules.
            ClickSource::Head(..) => self,
        }
    }

    /// Returns the live counter of the link, which contains the link's id.
    pub fn counter(&self) -> &'a Counter {
        self.counter
    }

    /// Returns what the visitor's `User-Agent` tells.
    pub fn agent(&self) -> UserAgent {
        match self.source {
            ClickSource::Head(.., agent) => agent,
            ClickSource::Facts(facts, _) => facts.agent,
        }
    }

    /// Returns the `Referer` as sent. A plain redirect has read it only if details are captured.
    pub fn referrer(&self) -> Option<&'a HeaderValue> {
        match self.source {
            ClickSource::Head(_, head, _) => head.referrer,
            ClickSource::Facts(facts, _) => facts.referrer.as_ref(),
        }
    }

    /// Returns the `Accept-Language` as sent, like [`Click::referrer`].
    pub fn language(&self) -> Option<&'a HeaderValue> {
        match self.source {
            ClickSource::Head(_, head, _) => head.language,
            ClickSource::Facts(facts, _) => facts.language.as_ref(),
        }
    }

    /// Returns the visitor's address.
    #[inline(always)]
    pub fn address(&self) -> IpAddr {
        match self.source {
            // Without the header, the address is that of the connection, whoever is trusted.
            ClickSource::Head(visit, head, _) if !head.is_forwarded => visit.peer,
            ClickSource::Head(visit, ..) => visit.address(),
            ClickSource::Facts(facts, _) => facts.address,
        }
    }

    /// Returns the query of the request as sent.
    pub fn query(&self) -> Option<&'a str> {
        match self.source {
            ClickSource::Head(visit, ..) => visit.query,
            ClickSource::Facts(facts, _) => facts.query.as_deref(),
        }
    }

    fn intent(&self) -> Intent {
        match self.source {
            ClickSource::Head(_, head, _) => head.intent,
            ClickSource::Facts(facts, _) => facts.intent,
        }
    }

    /// Captures the details of the visit, with this trigger.
    // Inlined, like the functions below it: the compiler builds the event in its buffer, and not on the stack first.
    #[inline(always)]
    fn capture(&self, capture: &Capture, trigger: u32) {
        // Few servers have such settings, and the plain redirects of all others pay for this test alone.
        if capture.reads_more() {
            self.capture_more(capture, trigger);
        } else {
            self.push(capture, &self.facts(trigger));
        }
    }

    /// Like [`Click::capture`], with what the settings of the capture ask for.
    #[cold]
    #[inline(never)]
    fn capture_more(self, capture: &Capture, trigger: u32) {
        let (country, asks_for_privacy) = match self.source {
            ClickSource::Head(visit, ..) => (visit.country(), is_private(visit.headers)),
            ClickSource::Facts(facts, _) => (facts.country, facts.is_private),
        };
        let mut facts = Facts { country, ..self.facts(trigger) };
        if asks_for_privacy && capture.settings().respects_gpc {
            facts.trigger |= PRIVATE;
            // Left out here, so that they are not even in the buffer.
            (facts.language, facts.referrer, facts.query) = (None, None, None);
        }
        self.push(capture, &facts);
    }

    #[inline(always)]
    fn push(&self, capture: &Capture, facts: &Facts<'_>) {
        match self.source {
            // Not in the facts: a plain redirect, which has no rules, would write it for each click.
            ClickSource::Facts(_, choice) if choice != 0 => capture.push_chosen(facts, choice),
            ClickSource::Facts(..) | ClickSource::Head(..) => capture.push(facts),
        }
    }

    /// Returns the facts for the analytics, with this trigger.
    #[inline(always)]
    fn facts(&self, trigger: u32) -> Facts<'a> {
        // One match for all of them: one for each costs a redirect twice as much.
        let (agent, address, language, referrer, query) = match self.source {
            ClickSource::Head(visit, head, agent) => {
                (agent, self.address(), head.language, head.referrer, visit.query)
            }
            ClickSource::Facts(facts, _) => {
                let (language, referrer) = (facts.language.as_ref(), facts.referrer.as_ref());
                (facts.agent, facts.address, language, referrer, facts.query.as_deref())
            }
        };
        Facts {
            link: self.counter.id(),
            workspace: self.counter.workspace(),
            address,
            agent: agent.bits(),
            agent_hash: agent.hash,
            trigger: trigger | if query.is_some_and(is_of_qr_code) { BY_QR } else { BY_LINK },
            country: ProxyCountry::NotReported,
            language: language.map(HeaderValue::as_bytes),
            referrer: referrer.map(HeaderValue::as_bytes),
            query,
        }
    }

    fn choice(&self) -> u32 {
        match self.source {
            // A plain redirect has no rules.
            ClickSource::Head(..) => 0,
            ClickSource::Facts(_, choice) => choice,
        }
    }

    fn contact(&self) -> Option<&'a ForeignId> {
        match self.source {
            // A contact link always waits: its token is looked up in the table.
            ClickSource::Head(..) => None,
            ClickSource::Facts(facts, _) => facts.contact.as_ref(),
        }
    }
}

impl Visitor {
    /// Counts a visit to a plain redirect if the visit is a click. Never waits.
    // Inlined, with a click that is no reference: its facts are in registers, since no pointer to them exists.
    #[inline(always)]
    pub(super) fn click_plain(&self, count_bots: bool, click: Click<'_>) {
        if click.intent().is_click(click.agent().kind, count_bots) {
            self.click(&click);
        } else {
            self.note_uncounted(click);
        }
    }

    /// Captures a visit that is no click, if it is of a bot or a prefetch.
    #[inline(never)]
    pub(super) fn note_uncounted(&self, click: Click<'_>) {
        let Some(capture) = self.links.capture().filter(|_| click.has_details) else { return };
        let trigger = match click.intent() {
            Intent::Prefetch => PREFETCHED,
            Intent::Follow if click.agent().kind != Agent::Person => 0,
            // A person who did not follow the link, such as at a form, is no visit yet.
            _ => return,
        };
        click.capture(capture, trigger);
    }

    /// Counts a click and queues its webhooks, unless the link's limit forbids the click. Never waits.
    // Inlined: a plain redirect has no link and no limit, and its facts are in registers.
    #[inline(always)]
    pub(super) fn click(&self, click: &Click<'_>) -> ClickOutcome {
        let counters = self.links.cache().counters();
        match click.link.and_then(|link| link.options.max_clicks) {
            // Without a limit nothing is reserved: one atomic add.
            None => counters.count(click.counter),
            Some(limit) => match counters.reservations().take(click.counter, limit) {
                Take::Counted => {}
                Take::LimitReached => return ClickOutcome::LimitReached,
                Take::Unreserved => return ClickOutcome::Unreserved { limit },
            },
        }
        // Behind the count: the cells of a link have no more clicks than its total. The clicks of a detached counter
        // are in no total. A server without details pays for the first test alone.
        if let Some(capture) = self.links.capture()
            && click.has_details
            && !Counters::is_detached(click.counter)
        {
            click.capture(capture, COUNTED);
        }
        // A plain redirect has no webhooks: a link with webhook URLs is not compiled to one.
        if let Some(link) = click.link {
            self.queue_webhooks(click, link);
        }
        ClickOutcome::Counted
    }

    fn queue_webhooks(&self, click: &Click<'_>, link: &Link) {
        // Before the clock is read: most links have no webhooks.
        if link.options.webhook_urls.is_empty() {
            return;
        }
        self.webhooks.offer(&ClickEvent {
            link,
            at: self.links.clock().now(),
            // A header may have any bytes, and the JSON of an event needs text.
            referrer: click.referrer().and_then(|value| value.to_str().ok()),
            agent: click.agent().kind.name(),
            // Waypost has no database of addresses and countries yet.
            country: None,
            contact: click.contact().map(ForeignId::as_str),
            rule: number(click.choice() >> 16),
            variant: number(click.choice() & u32::from(u16::MAX)),
        });
    }
}

/// Returns one half of a choice as the number of a rule or variant, which begin with 1.
fn number(half: u32) -> Option<u16> {
    u16::try_from(half).ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT_LANGUAGE, REFERER, USER_AGENT};
    use hyper::{HeaderMap, Method};

    use super::*;
    use crate::model::id::Id;
    use crate::model::link::sample;
    use crate::visit::intent::Intent;
    use crate::visit::peer::TrustedProxies;

    #[test]
    fn a_click_has_the_same_facts_from_a_head_and_from_a_visit_that_waited() {
        let mut headers = HeaderMap::new();
        headers.insert(REFERER, HeaderValue::from_static("https://from.test/"));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de, en"));
        headers.insert(USER_AGENT, HeaderValue::from_static("curl/8"));
        let peer = IpAddr::from([192, 0, 2, 7]);
        let (method, proxies) = (&Method::GET, &TrustedProxies::default());
        let visit = Visit { method, host: "h", path: "/a", query: None, headers: &headers, peer, proxies };
        let facts = VisitFacts::new(Intent::Follow, Agent::Bot, "", &visit);
        let (counter, link) =
            (Arc::new(Counter::new(Id::from_bits(9), 4)), sample::link(9, "a", sample::plain()));
        let target = link.options.target();
        let entry = Entry::compile(link, counter, Ok(target));
        let head = Head::read(method, &headers, true);
        let of_head = Click::of_head(&entry, &visit, &head, Agent::Bot.into());
        for click in [of_head, Click::of_visit(&entry, None, &facts)] {
            assert_eq!(click.counter().id(), Id::from_bits(9));
            assert_eq!((click.agent().kind, click.address()), (Agent::Bot, peer));
            assert_eq!(click.referrer(), headers.get(REFERER));
            assert_eq!(click.language(), headers.get(ACCEPT_LANGUAGE));
        }
    }
}
