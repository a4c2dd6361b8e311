//! Follows a link: evaluates its rules, counts the click and renders the response.
//!
//! A plain redirect is answered inside the cache look-up: one hash, one probe, one atomic add, no
//! allocation. Every other link goes through the [`rules`](super::rules).

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::SET_COOKIE;
use hyper::{HeaderMap, Response, StatusCode};

use super::choice::Choice;
use super::click::{Click, ClickOutcome};
use super::home::home_of;
use super::intent::{Head, Intent};
use super::locate::{AddressedLink, LinkAddress, NotALink, shorter_codes};
use super::pages::{PasswordPrompt, Protected};
use super::redirect::PlainRedirect;
use super::request::{Visit, VisitResponse};
use super::rule::{Evaluation, Presentation, Verdict, VisitFacts};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use super::{denied, loops, pages, password, redirect, rule, share, split, uncounted, validity};
use crate::cache::Lookup;
use crate::cache::entry::{Action, Conditional, Entry};
use crate::clock::Timestamp;
use crate::core::tenants::directory::Directory;
use crate::model::domain::Domain;
use crate::model::link::PasswordHash;
use crate::model::short_code::is_punctuation;

/// The result of one evaluation of a link.
enum NextStep {
    Respond(Response<Full<Bytes>>),
    /// Clicks of this limit must be reserved before the link can be evaluated again.
    Reserve(u64),
}

impl Visitor {
    /// Answers a GET or HEAD. [`Visitor::submit`] answers the other methods.
    pub fn respond(&self, visit: &Visit<'_>) -> VisitResponse {
        let directory = self.links.directory();
        let (domain, code, rest) = match self.locate(&directory, visit) {
            Ok(location) => location,
            Err(NotALink::NoCode(domain)) => {
                let image = self.pixel(domain, visit).or_else(|| self.qr_picture(domain, visit));
                return image.unwrap_or_else(|| self.respond_to_no_link(&directory, domain, visit));
            }
            Err(not_a_link) => {
                let root = not_a_link.root();
                let share = root.and_then(|domain| share::requested_share(domain, visit.query));
                let otherwise = || not_a_link.respond(self, self.unknown_host(&directory, visit.host));
                return match root.zip(share) {
                    Some((domain, named)) => self.share(named, domain.number, visit, otherwise),
                    None => otherwise(),
                };
            }
        };
        let head = Head::read(visit.method, visit.headers, self.links.capture().is_some());
        let agent = self.agent(head.agent);
        let unknown_host = self.unknown_host(&directory, visit.host);
        let found = self.links.cache().get(domain.number, &code, |entry| match &entry.action {
            Action::Redirect { status, location, count_bots, .. }
                if rest.is_empty() && unknown_host.is_none() && !entry.needs_record(agent.kind) =>
            {
                self.click_plain(*count_bots, Click::of_head(entry, visit, &head, agent));
                Ok(PlainRedirect::new(*status, location))
            }
            // Boxed, since the result of the look-up is moved: a plain redirect is half as large.
            Action::Redirect { .. } | Action::Evaluate(_) => Err(Box::new(entry.clone())),
        });
        // A closure: a plain redirect must not copy any header.
        let facts = || VisitFacts::new(head.intent, agent, rest, visit).at_unknown(unknown_host);
        match found {
            Lookup::Hit(Ok(redirect)) => VisitResponse::Plain(redirect),
            Lookup::Hit(Err(entry)) => self.respond_to(&entry, domain, facts()),
            // The absence is cached, too: an unknown code reads the table once.
            Lookup::Absent => self.respond_to_no_link(&directory, domain, visit),
            Lookup::Miss => {
                let mut codes = vec![code.into_owned()];
                codes.extend(shorter_codes(domain, visit.path));
                self.respond_later(codes, domain, facts())
            }
        }
    }

    /// Answers a visit to a path without a link: with the destination of a link that `/CODE+` asks for, or with
    /// the link in front of the punctuation at the end of the path. Runs only after a miss.
    fn respond_to_no_link(
        &self,
        directory: &Directory,
        domain: &Arc<Domain>,
        visit: &Visit<'_>,
    ) -> VisitResponse {
        if let Some(response) = self.shown(directory, domain, visit) {
            return response;
        }
        let codes = shorter_codes(domain, visit.path);
        let is_absent =
            |code: &String| matches!(self.links.cache().get(domain.number, code, |_| ()), Lookup::Absent);
        // Also the shorter codes' absence is cached: a scanner costs no read of the table.
        if codes.iter().all(is_absent) {
            return VisitResponse::Now(validity::not_found(domain, &self.links));
        }
        let head = Head::read(visit.method, visit.headers, false);
        let facts = VisitFacts::new(head.intent, self.agent(head.agent), "", visit);
        self.respond_later(codes, domain, facts.at_unknown(self.unknown_host(directory, visit.host)))
    }

    fn respond_later(&self, codes: Vec<String>, domain: &Arc<Domain>, facts: VisitFacts) -> VisitResponse {
        let address = LinkAddress::Codes(Arc::clone(domain), codes);
        VisitResponse::Later(Box::pin(self.clone().resolve_and_follow(address, facts, None)))
    }

    /// Answers a visit to a link in memory: at once if nothing has to wait.
    fn respond_to(&self, entry: &Entry, domain: &Arc<Domain>, facts: VisitFacts) -> VisitResponse {
        // The loop check reads other links, so it may have to wait for the table.
        let may_loop = facts.unknown_host.is_some()
            || matches!(&entry.action, Action::Evaluate(conditional) if conditional.leads_here);
        let waits = may_loop || entry.needs_record(facts.agent.kind);
        if !waits && let NextStep::Respond(response) = self.evaluate(entry, domain, &facts, None) {
            return VisitResponse::Now(response);
        }
        let (visitor, entry, domain) = (self.clone(), entry.clone(), Arc::clone(domain));
        VisitResponse::Later(Box::pin(visitor.follow(entry, domain, facts, None)))
    }

    /// Loads the present version of the link at an address and follows it.
    pub(super) async fn resolve_and_follow(
        self,
        address: LinkAddress,
        mut facts: VisitFacts,
        correct_password: Option<PasswordHash>,
    ) -> Response<Full<Bytes>> {
        match self.look_up(&address).await {
            Ok(AddressedLink { domain, entry: Some(entry), contact }) => {
                facts.contact = contact;
                self.follow(entry, domain, facts, correct_password).await
            }
            Ok(AddressedLink { domain, entry: None, .. }) => validity::not_found(&domain, &self.links),
            Err(LookupFailed) => pages::unavailable(),
        }
    }

    /// Follows a link. `correct_password` is the hash of the link's password if the visit brought the
    /// right password.
    pub(super) async fn follow(
        self,
        mut entry: Entry,
        domain: Arc<Domain>,
        facts: VisitFacts,
        correct_password: Option<PasswordHash>,
    ) -> Response<Full<Bytes>> {
        // Other visits may take all clicks of a reservation before this visit runs again, so that
        // several reservations may be needed. Each of them moves the link closer to its limit.
        loop {
            entry = match self.with_record(entry, facts.agent.kind).await {
                Ok(Some(entry)) => entry,
                Ok(None) => return validity::not_found(&domain, &self.links),
                Err(LookupFailed) => return pages::unavailable(),
            };
            match self.is_in_a_loop(&entry, &domain, &facts, correct_password.as_ref()).await {
                Ok(false) => {}
                Ok(true) => return validity::error_page(StatusCode::LOOP_DETECTED, &domain, &self.links),
                Err(LookupFailed) => return pages::unavailable(),
            }
            let limit = match self.evaluate(&entry, &domain, &facts, correct_password.as_ref()) {
                NextStep::Respond(response) => return response,
                NextStep::Reserve(limit) => limit,
            };
            if let Err(error) = self.state.click_log.reserve(&entry.counter, limit).await {
                // 503 and neither 410 nor a redirect: a click without a reservation could exceed the limit
                // after a crash.
                tracing::debug!(%error, "clicks of a limited link could not be reserved");
                return pages::unavailable();
            }
            // The link may have changed during the reservation: its present options apply.
            entry = match self.resolve(&domain, entry.code.as_str()).await {
                Ok(Some(entry)) => entry,
                Ok(None) => return validity::not_found(&domain, &self.links),
                Err(LookupFailed) => return pages::unavailable(),
            };
        }
    }

    /// Returns whether this visit would be redirected within this server in a loop.
    async fn is_in_a_loop(
        &self,
        entry: &Entry,
        domain: &Domain,
        facts: &VisitFacts,
        correct_password: Option<&PasswordHash>,
    ) -> Result<bool, LookupFailed> {
        let unknown_host = facts.unknown_host.as_deref();
        let to = match &entry.action {
            // Nearly all links have another host as their destination, and skip the search.
            Action::Redirect { .. } if unknown_host.is_none() => None,
            Action::Evaluate(conditional) if unknown_host.is_none() && !conditional.leads_here => None,
            Action::Redirect { location, .. } => loops::destination_of(location),
            Action::Evaluate(conditional) => {
                self.redirects_to(&self.evaluation(entry, conditional, facts, correct_password), domain)
            }
        };
        match to {
            Some(to) => self.leads_in_a_loop(to, unknown_host).await,
            None => Ok(false),
        }
    }

    /// Returns the input of the rules for this visit.
    pub(super) fn evaluation<'a>(
        &'a self,
        entry: &Entry,
        conditional: &'a Conditional,
        facts: &'a VisitFacts,
        correct_password: Option<&PasswordHash>,
    ) -> Evaluation<'a> {
        // Read at each evaluation: a visit that waited is judged by the present time.
        let now = self.links.clock().now();
        let link = &conditional.link;
        let hashes = link.options.password.as_ref().zip(correct_password);
        // The password may have changed since it was checked: then the check was of another hash.
        let is_correct = hashes.is_some_and(|(hash, correct)| hash.is(correct));
        let is_unlocked = is_correct || password::is_open(link, &facts.cookies, now);
        self.evaluation_at((now, entry.counter.total()), conditional, facts, is_unlocked)
    }

    /// Returns the input of the rules for this visit as if the password were right.
    pub(super) fn unlocked_evaluation<'a>(
        &'a self,
        entry: &Entry,
        conditional: &'a Conditional,
        facts: &'a VisitFacts,
    ) -> Evaluation<'a> {
        let now = self.links.clock().now();
        self.evaluation_at((now, entry.counter.total()), conditional, facts, true)
    }

    /// Returns the input of the rules for a visit at this time, to a link with this number of clicks.
    pub(super) fn evaluation_at<'a>(
        &'a self,
        (now, clicks): (Timestamp, u64),
        conditional: &'a Conditional,
        facts: &'a VisitFacts,
        is_unlocked: bool,
    ) -> Evaluation<'a> {
        let (deny_list, choice) = (self.links.deny_list(), Choice::OWN);
        let countries = self.links.countries();
        Evaluation { conditional, facts, now, clicks, is_unlocked, deny_list, countries, choice }.chosen()
    }

    /// Evaluates a link once: applies its rules and counts the click if it is one.
    fn evaluate(
        &self,
        entry: &Entry,
        domain: &Domain,
        facts: &VisitFacts,
        correct_password: Option<&PasswordHash>,
    ) -> NextStep {
        let conditional = match &entry.action {
            // A plain redirect forwards no path, so a longer path is an unknown address.
            Action::Redirect { .. } if !facts.rest.is_empty() && !is_punctuation(&facts.rest) => {
                return NextStep::Respond(validity::not_found(domain, &self.links));
            }
            Action::Redirect { status, location, count_bots, .. } => {
                self.click_plain(*count_bots, Click::of_visit(entry, None, facts));
                return NextStep::Respond(match facts.intent {
                    // A browser would send the password on to the destination with 307 and 308.
                    Intent::Unlock => redirect::unlocked(location.clone()),
                    Intent::Follow | Intent::Probe | Intent::Prefetch | Intent::Submit => {
                        PlainRedirect::new(*status, location).respond(&mut HeaderMap::new())
                    }
                });
            }
            Action::Evaluate(conditional) => conditional,
        };
        let link = &conditional.link;
        let evaluation = self.evaluation(entry, conditional, facts, correct_password);
        let verdict = judge(&evaluation);
        let click = Click::of_visit(entry, Some(link), facts).choosing(evaluation.choice.number);
        // Counted before the response exists: a click beyond the limit must not get the destination.
        if evaluation.counts(&verdict) {
            match self.click(&click) {
                ClickOutcome::Counted => {}
                // Another visit took the last click after this evaluation read the total.
                ClickOutcome::LimitReached => {
                    return NextStep::Respond(validity::gone(&link.options, domain, &self.links));
                }
                ClickOutcome::Unreserved { limit } => return NextStep::Reserve(limit),
            }
        } else {
            self.note_uncounted(click);
        }
        NextStep::Respond(self.render(verdict, &evaluation, domain))
    }

    /// Returns the response for a verdict.
    pub(super) fn render(
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
            Verdict::Denied { host } => denied::warning(host.as_deref(), domain, &self.links),
            Verdict::Blocked => validity::error_page(StatusCode::FORBIDDEN, domain, &self.links),
            Verdict::Preview => {
                pages::preview(options, &self.links.site().short_url(domain, link.shown_code()))
            }
            Verdict::PasswordRequired => {
                let home = home_of(domain, &self.links);
                pages::password(Protected::Link, PasswordPrompt::First, self.links.schemes(), &home)
            }
            Verdict::ConfirmationRequired => {
                pages::confirm(options, StatusCode::OK, self.links.schemes(), &home_of(domain, &self.links))
            }
            Verdict::Withheld => uncounted::withheld(facts.intent),
            Verdict::Destination { location, presentation } => {
                let shown = location.to_str().unwrap_or_default();
                let is_unlock = facts.intent == Intent::Unlock;
                let response = match presentation {
                    // A browser would send the password on to the destination with 307 and 308.
                    Presentation::Redirect if is_unlock => {
                        redirect::hiding(options, redirect::unlocked(location))
                    }
                    Presentation::Redirect => redirect::of(options, location, now),
                    Presentation::Cloaked => pages::cloaked(options, shown, rule::fires_pixels(evaluation)),
                    Presentation::Pixels => pages::pixels(options, shown),
                };
                let response = if is_unlock { self.unlocked(response, evaluation, domain) } else { response };
                self.kept(response, evaluation, domain)
            }
        }
    }

    /// Returns the response with the cookie that keeps the variant of a split, if the visit needs one.
    fn kept(
        &self,
        mut response: Response<Full<Bytes>>,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
    ) -> Response<Full<Bytes>> {
        let Evaluation { choice, conditional, facts, now, .. } = *evaluation;
        let branch = choice.branch.and_then(|at| conditional.branches.list().get(at));
        if let (true, Some(variant), Some(branch)) = (choice.needs_cookie, choice.variant, branch) {
            let is_secure = self.links.site().base_of(domain).starts_with("https:");
            let until =
                conditional.link.options.branches().iter().find(|known| known.number == branch.number);
            let until = until.and_then(|known| known.until);
            let cookie = split::cookie((branch.number, variant), &facts.path, is_secure, (now, until));
            // Beside the cookie of a password.
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }

    /// Returns the response to the right password with the cookie that opens the link from now on. A page is
    /// the response itself: where cookies are blocked, a redirect to the page would end at the form again.
    fn unlocked(
        &self,
        mut response: Response<Full<Bytes>>,
        evaluation: &Evaluation<'_>,
        domain: &Domain,
    ) -> Response<Full<Bytes>> {
        let link = &evaluation.conditional.link;
        let site = self.links.site();
        if let Some(hash) = &link.options.password {
            // By the configured URL: behind a proxy, the request itself arrives over http.
            let is_secure = site.base_of(domain).starts_with("https:");
            let cookie = password::cookie(link.id, hash, &evaluation.facts.path, is_secure, evaluation.now);
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}
