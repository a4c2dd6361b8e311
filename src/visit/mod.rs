//! What a click does, in order: find the domain, find the code, find the link, decide, answer.
//!
//! A plain redirect is answered inside the cache look-up: one hash, one probe, one atomic add,
//! no allocation. Everything else is conditional by [`rules`], each a file of its own, and answered
//! here. What has to wait (a link that is not in memory, a reservation of a limited link's clicks,
//! a password) is a future.

pub mod agents;
mod attempts;
mod bots;
mod choice;
pub mod click;
mod contact;
pub(crate) mod destination;
pub mod explain;
pub mod intent;
mod locate;
mod loops;
pub mod pages;
pub(crate) mod password;
pub mod peer;
mod preview;
pub mod redirect;
pub(crate) mod rule;
mod rules;
mod settings;
mod share;
mod uncounted;
pub mod unlock;
pub mod validity;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Method, Response, StatusCode};

use self::agents::{Agent, Agents};
use self::attempts::Attempts;
use self::click::{Click, Counted};
use self::intent::Intent;
use self::redirect::Plain;
use self::rule::{Evaluation, Presentation, Verdict, VisitFacts};
use self::rules::judge;
pub use self::settings::{Settings, UnknownHosts};
use crate::cache::Lookup;
use crate::cache::entry::{Action, Conditional, Entry};
use crate::core::{Error, Links, Resolved};
use crate::model::domain::Domain;
use crate::model::link::PasswordHash;
use crate::model::network::Networks;
use crate::webhooks::Webhooks;

/// A visitor's request, its target and Host already checked.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// GET, HEAD or POST.
    pub method: &'a Method,
    /// The host asked for: lower case, without port or trailing dot. IP literals as written.
    pub host: &'a str,
    /// The path as sent, beginning with a slash.
    pub path: &'a str,
    /// The query as sent.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: &'a Networks,
}

impl Visit<'_> {
    /// Returns the visitor's address: behind trusted proxies, the one that they report. Reads headers, so
    /// a plain redirect does not call it.
    pub fn address(&self) -> IpAddr {
        peer::of(self.peer, self.headers, self.proxies)
    }
}

/// How a visit is answered.
pub enum VisitResponse {
    /// From memory, and nothing but a redirect.
    Plain(Plain),
    /// From memory.
    Now(Response<Full<Bytes>>),
    /// Something has to be waited for.
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

/// Answers visits. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Visitor {
    links: Links,
    webhooks: Webhooks,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    agents: Agents,
    attempts: Attempts,
}

/// What one look at a link comes to.
enum Step {
    Answer(Response<Full<Bytes>>),
    /// First the link's next clicks have to be reserved, out of so many.
    Reserve(u64),
}

impl Visitor {
    /// Answers visits to these links, and hands their clicks on.
    pub fn new(links: Links, webhooks: Webhooks, settings: Settings) -> Visitor {
        let shared = Shared { settings, agents: Agents::default(), attempts: Attempts::default() };
        Visitor { links, webhooks, shared: Arc::new(shared) }
    }

    /// Answers one visit other than a POST, for which [`Visitor::unlock`] is.
    pub fn respond(&self, visit: &Visit<'_>) -> VisitResponse {
        let directory = self.links.directory();
        let (domain, code, rest) = match self.locate(&directory, visit) {
            Ok(place) => place,
            Err(nowhere) => {
                let share = nowhere.root().and_then(|domain| share::asked(domain, visit.query));
                return share.map_or_else(|| nowhere.respond(self), |id| self.share(id));
            }
        };
        let (intent, name) = Intent::and_agent(visit.method, visit.headers);
        let agent = self.agent(name);
        let found = self.links.cache().get(domain.number, &code, |entry| match &entry.action {
            Action::Redirect { status, location, count_bots } if rest.is_empty() => {
                if intent.is_click(agent, *count_bots) {
                    self.click(&Click::of_head(&entry.counter, visit, agent));
                }
                Ok(Plain::new(*status, location))
            }
            // Boxed: what the look-up answers is moved, and a plain redirect is half as large.
            Action::Redirect { .. } | Action::Evaluate(_) => Err(Box::new(entry.clone())),
        });
        let facts = || VisitFacts::new(intent, agent, rest, visit);
        match found {
            Lookup::Hit(Ok(redirect)) => VisitResponse::Plain(redirect),
            Lookup::Hit(Err(entry)) => self.decide(&entry, domain, facts()),
            Lookup::Absent => VisitResponse::Now(validity::not_found(domain, &self.links)),
            Lookup::Miss => {
                let (visitor, domain, code) = (self.clone(), Arc::clone(domain), code.into_owned());
                let facts = facts();
                VisitResponse::Later(Box::pin(async move { visitor.seek(&code, domain, facts, None).await }))
            }
        }
    }

    fn agent(&self, name: Option<&HeaderValue>) -> Agent {
        self.shared.agents.of(name.map(HeaderValue::as_bytes))
    }

    /// The link, from memory or from the table, if there is one.
    async fn resolve(&self, domain: &Domain, code: &str) -> Result<Option<Entry>, Unreadable> {
        let found = match self.links.cache().get(domain.number, code, Entry::clone) {
            Lookup::Hit(entry) => return Ok(Some(entry)),
            Lookup::Absent => return Ok(None),
            Lookup::Miss => self.links.load(domain.number, code).await,
        };
        match found {
            Ok(Resolved::Found(entry)) => Ok(Some(entry)),
            Ok(Resolved::Absent) => Ok(None),
            Err(Error::Table(error)) => {
                tracing::debug!(%error, "a visit could not be answered");
                Err(Unreadable)
            }
            Err(error) => {
                tracing::warn!(%error, "a visit could not be answered");
                Err(Unreadable)
            }
        }
    }

    /// Answers at once where that is possible.
    fn decide(&self, entry: &Entry, domain: &Arc<Domain>, facts: VisitFacts) -> VisitResponse {
        let may_loop = matches!(&entry.action, Action::Evaluate(conditional) if conditional.leads_here);
        if !may_loop && let Step::Answer(response) = self.step(entry, domain, &facts, None) {
            return VisitResponse::Now(response);
        }
        let (visitor, entry, domain) = (self.clone(), entry.clone(), Arc::clone(domain));
        VisitResponse::Later(Box::pin(visitor.lead(entry, domain, facts, None)))
    }

    /// Answers as the link is now.
    async fn seek(
        self,
        code: &str,
        domain: Arc<Domain>,
        facts: VisitFacts,
        given: Option<PasswordHash>,
    ) -> Response<Full<Bytes>> {
        match self.resolve(&domain, code).await {
            Ok(Some(entry)) => self.lead(entry, domain, facts, given).await,
            Ok(None) => validity::not_found(&domain, &self.links),
            Err(Unreadable) => pages::unavailable(),
        }
    }

    /// Answers, after as many reservations as it takes: others may be quicker to take what one of
    /// them holds.
    async fn lead(
        self,
        mut entry: Entry,
        domain: Arc<Domain>,
        facts: VisitFacts,
        given: Option<PasswordHash>,
    ) -> Response<Full<Bytes>> {
        loop {
            match self.is_in_a_loop(&entry, &domain, &facts, given.as_ref()).await {
                Ok(false) => {}
                Ok(true) => return pages::error(StatusCode::LOOP_DETECTED),
                Err(Unreadable) => return pages::unavailable(),
            }
            let limit = match self.step(&entry, &domain, &facts, given.as_ref()) {
                Step::Answer(response) => return response,
                Step::Reserve(limit) => limit,
            };
            if let Err(error) = self.links.reserve(&entry.counter, limit).await {
                tracing::debug!(%error, "clicks of a limited link could not be reserved");
                return pages::unavailable();
            }
            // It may have been changed meanwhile: the new limit counts, and everything else.
            entry = match self.resolve(&domain, entry.code.as_str()).await {
                Ok(Some(entry)) => entry,
                Ok(None) => return validity::not_found(&domain, &self.links),
                Err(Unreadable) => return pages::unavailable(),
            };
        }
    }

    /// Whether the link may lead to this server, and leads this visit round.
    async fn is_in_a_loop(
        &self,
        entry: &Entry,
        domain: &Domain,
        facts: &VisitFacts,
        given: Option<&PasswordHash>,
    ) -> Result<bool, Unreadable> {
        let Action::Evaluate(conditional) = &entry.action else { return Ok(false) };
        if !conditional.leads_here {
            return Ok(false);
        }
        let to = self.redirects_to(&self.evaluation(entry, conditional, facts, given), domain);
        match to {
            Some(to) => self.leads_in_a_loop(to).await,
            None => Ok(false),
        }
    }

    /// The visit as the rules see it.
    fn evaluation<'a>(
        &self,
        entry: &Entry,
        conditional: &'a Conditional,
        facts: &'a VisitFacts,
        given: Option<&PasswordHash>,
    ) -> Evaluation<'a> {
        let now = self.links.clock().now();
        let link = &conditional.link;
        let is_given = link.options.password.as_ref().zip(given).is_some_and(|(hash, given)| hash.is(given));
        let is_unlocked = is_given || password::is_open(link, &facts.cookies, now);
        Evaluation { conditional, facts, now, clicks: entry.counter.total(), is_unlocked }
    }

    /// One look: the rules, and if they lead on, the count. `given` is the hash of the password
    /// that came with the visit and was right.
    fn step(&self, entry: &Entry, domain: &Domain, facts: &VisitFacts, given: Option<&PasswordHash>) -> Step {
        let conditional = match &entry.action {
            Action::Redirect { .. } if !facts.rest.is_empty() => {
                return Step::Answer(validity::not_found(domain, &self.links));
            }
            Action::Redirect { status, location, count_bots } => {
                if facts.intent.is_click(facts.agent, *count_bots) {
                    self.click(&Click::of_visit(&entry.counter, None, facts));
                }
                return Step::Answer(match facts.intent {
                    // 307 and 308 would have the browser send the password on.
                    Intent::Unlock => redirect::unlocked(location.clone()),
                    Intent::Follow | Intent::Probe | Intent::Prefetch => {
                        Plain::new(*status, location).respond(&mut HeaderMap::new())
                    }
                });
            }
            Action::Evaluate(conditional) => conditional,
        };
        let link = &conditional.link;
        let evaluation = self.evaluation(entry, conditional, facts, given);
        let verdict = judge(&evaluation);
        // Behind a form, pages are reached by a GET of their own, which is the click then.
        let is_click = match &verdict {
            Verdict::Leads { presentation, .. } => {
                evaluation.counts()
                    && (facts.intent != Intent::Unlock || *presentation == Presentation::Redirect)
            }
            _ => false,
        };
        if is_click {
            match self.click(&Click::of_visit(&entry.counter, Some(link), facts)) {
                Counted::Yes => {}
                Counted::LimitReached => {
                    return Step::Answer(validity::gone(&link.options, domain, &self.links));
                }
                Counted::Unreserved { limit } => return Step::Reserve(limit),
            }
        }
        Step::Answer(self.render(verdict, &evaluation, domain))
    }

    /// The answer to a verdict.
    fn render(
        &self,
        verdict: Verdict,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
    ) -> Response<Full<Bytes>> {
        let Evaluation { conditional, facts, now, .. } = *evaluation;
        let Conditional { link, .. } = conditional;
        let options = &link.options;
        match verdict {
            Verdict::NotFound => validity::not_found(domain, &self.links),
            Verdict::Gone => validity::gone(options, domain, &self.links),
            Verdict::Blocked => pages::error(StatusCode::FORBIDDEN),
            Verdict::Preview => pages::preview(options, &self.links.site().short_url(domain, &link.code)),
            Verdict::AskPassword => pages::password(pages::Ask::First),
            Verdict::Withheld => uncounted::withheld(facts.intent),
            Verdict::Leads { location, presentation } if facts.intent == Intent::Unlock => {
                self.unlocked(location, presentation, evaluation, domain)
            }
            Verdict::Leads { location, presentation } => {
                let shown = location.to_str().unwrap_or_default();
                match presentation {
                    Presentation::Redirect => redirect::of(options, location, now),
                    Presentation::Cloaked => pages::cloaked(options, shown, rule::fires_pixels(evaluation)),
                    Presentation::Pixels => pages::pixels(options, shown),
                }
            }
        }
    }

    /// The answer to the right password: on by a GET, with the cookie that remembers it.
    fn unlocked(
        &self,
        location: HeaderValue,
        presentation: Presentation,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
    ) -> Response<Full<Bytes>> {
        let link = &evaluation.conditional.link;
        let site = self.links.site();
        let to = match presentation {
            Presentation::Redirect => location,
            Presentation::Cloaked | Presentation::Pixels => evaluation.facts.same_again(),
        };
        let mut response = redirect::unlocked(to);
        if let Some(hash) = &link.options.password {
            let is_secure = site.base_of(domain).starts_with("https:");
            let cookie = password::cookie(link.id, hash, &evaluation.facts.path, is_secure, evaluation.now);
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

/// Whether there is such a link cannot be told now.
#[derive(Clone, Copy, Debug)]
struct Unreadable;
