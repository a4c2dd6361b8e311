//! Other methods than GET and HEAD. A redirect with 307 or 308 keeps the method, so such a link answers POST,
//! PUT, PATCH and DELETE with its redirect, and the client repeats the request at the destination. A link with a
//! password takes a POST as its form. Everything else is 405.
//!
//! The body is read only as a form that may have a password: a redirect waits for no other body.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, ORIGIN, USER_AGENT};
use hyper::{Method, Response, StatusCode};

use super::confirm::is_button;
use super::contact::contact_address;
use super::intent::Intent;
use super::locate::{AddressedLink, LinkAddress, NotALink, shorter_codes};
use super::request::{Visit, VisitResponse};
use super::rule::{Verdict, VisitFacts};
use super::rules::judge;
use super::submission::{GET_AND_HEAD, Submission, not_allowed, rejection};
use super::visitor::{LookupFailed, Visitor};
use super::{pages, redirect, share, validity};
use crate::cache::entry::{Action, Entry};
use crate::core::CONTACT_PATH;
use crate::model::domain::Domain;
use crate::model::short_code::is_punctuation;

/// `Allow` of a link with a password or a button.
const WITH_FORM: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// `Allow` of a link whose redirect keeps the method.
const ALL: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// What the options of a link decide about methods.
#[derive(Clone, Copy, Debug)]
struct Methods {
    has_password: bool,
    /// Whether the form of a button is the click.
    confirms: bool,
    /// Whether the redirect keeps the method: 307 and 308. A page would lose the body.
    keeps_method: bool,
}

impl Visitor {
    /// Answers another method than GET and HEAD. `form` reads the body, of at most
    /// [`FORM_MAX`](super::unlock::FORM_MAX) bytes, or fails with the status of the response.
    pub fn submit<F>(&self, visit: &Visit<'_>, form: F) -> VisitResponse
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send + 'static,
    {
        let directory = self.links.directory();
        let (address, rest) = if visit.path.starts_with(CONTACT_PATH) {
            (contact_address(visit.path), "")
        } else {
            match self.locate(&directory, visit) {
                Ok((domain, code, rest)) => {
                    let mut codes = vec![code.into_owned()];
                    codes.extend(shorter_codes(domain, visit.path));
                    (LinkAddress::Codes(Arc::clone(domain), codes), rest)
                }
                Err(NotALink::NoCode(domain)) => {
                    (LinkAddress::Codes(Arc::clone(domain), shorter_codes(domain, visit.path)), "")
                }
                Err(NotALink::Unready) => return VisitResponse::Now(pages::unavailable()),
                Err(not_a_link @ (NotALink::NoDomain | NotALink::Root(_))) => {
                    let root = not_a_link.root().filter(|_| *visit.method == Method::POST);
                    let share = root.and_then(|domain| share::requested_share(domain, visit.query));
                    return match root.zip(share) {
                        Some((domain, named)) => self.unlock_share(named, domain.number, visit, form),
                        None => VisitResponse::Now(not_allowed(GET_AND_HEAD)),
                    };
                }
            }
        };
        let agent = self.agent(visit.headers.get(USER_AGENT));
        let facts = VisitFacts::new(Intent::Submit, agent, rest, visit);
        let rejection = rejection(visit.headers, visit.host);
        let submission = Submission {
            method: visit.method.clone(),
            address,
            facts: facts.at_unknown(self.unknown_host(&directory, visit.host)),
            // Browsers send `Origin` with every POST.
            is_of_this_host: rejection.is_none() && visit.headers.contains_key(ORIGIN),
            rejection,
        };
        let visitor = self.clone();
        VisitResponse::Later(Box::pin(async move { visitor.answer(submission, form).await }))
    }

    async fn answer<F>(self, mut submission: Submission, form: F) -> Response<Full<Bytes>>
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        let (domain, entry, contact) = match self.look_up(&submission.address).await {
            Ok(AddressedLink { domain, entry: Some(entry), contact }) => (domain, entry, contact),
            Ok(AddressedLink { domain, entry: None, .. }) => return self.absent(&submission, &domain),
            Err(LookupFailed) => return pages::unavailable(),
        };
        submission.facts.contact = contact;
        let methods = methods(&entry);
        if methods.confirms && submission.method == Method::POST {
            return self.press(submission, domain, entry, form).await;
        }
        if methods.has_password && submission.method == Method::POST {
            submission.facts.intent = Intent::Unlock;
            return self.attempt(submission, domain, entry, form).await;
        }
        let repeats = methods.keeps_method
            && !methods.has_password
            && matches!(submission.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        if let Some(response) = self.closed(&submission, &domain, &entry, repeats) {
            return response;
        }
        // The password or the button was taken off while a visitor had the form open: the browser asks again by GET,
        // and sends the form nowhere else.
        if submission.is_form() && is_own_form(&submission, repeats, form).await {
            return redirect::unlocked(submission.facts.same_url());
        }
        if repeats {
            return self.follow(entry, domain, submission.facts, None).await;
        }
        not_allowed(match methods {
            Methods { has_password: true, .. } | Methods { confirms: true, .. } => WITH_FORM,
            Methods { keeps_method: true, .. } => ALL,
            Methods { .. } => GET_AND_HEAD,
        })
    }

    /// Returns the response of a link that would not redirect a GET either. A link that is switched off is
    /// answered like an absent one.
    fn closed(
        &self,
        submission: &Submission,
        domain: &Domain,
        entry: &Entry,
        repeats: bool,
    ) -> Option<Response<Full<Bytes>>> {
        let facts = &submission.facts;
        let conditional = match &entry.action {
            // A plain redirect forwards no path.
            Action::Redirect { .. } if facts.rest.is_empty() || is_punctuation(&facts.rest) => return None,
            Action::Redirect { .. } => return Some(self.absent(submission, domain)),
            Action::Evaluate(conditional) => conditional,
        };
        // As if unlocked: a method that the link does not allow needs no password.
        let evaluation = self.unlocked_evaluation(entry, conditional, facts);
        match judge(&evaluation) {
            Verdict::Destination { .. } => None,
            Verdict::NotFound => Some(self.absent(submission, domain)),
            verdict if repeats || submission.is_form() => Some(self.render(verdict, &evaluation, domain)),
            // 405, as while it was live.
            _ => None,
        }
    }

    /// Returns the response without a link. A form gets 404, since its link may have been deleted while the form
    /// was open. Another method gets 405, as for most links.
    fn absent(&self, submission: &Submission, domain: &Domain) -> Response<Full<Bytes>> {
        if submission.is_form() {
            return validity::not_found(domain, &self.links);
        }
        not_allowed(GET_AND_HEAD)
    }
}

fn methods(entry: &Entry) -> Methods {
    let keeps = |status| {
        status == StatusCode::TEMPORARY_REDIRECT.as_u16() || status == StatusCode::PERMANENT_REDIRECT.as_u16()
    };
    match &entry.action {
        Action::Redirect { status, .. } => {
            Methods { has_password: false, confirms: false, keeps_method: keeps(status.as_u16()) }
        }
        Action::Evaluate(conditional) => {
            let options = &conditional.link.options;
            let keeps_method = keeps(options.status.code()) && !options.cloaked && !options.confirm;
            Methods { has_password: options.password.is_some(), confirms: options.confirm, keeps_method }
        }
    }
}

/// Returns whether a form is the one for a link's password or its button. `form` reads the body. If the redirect repeats
/// the request, another form may have a field of the same name: then that must be its only field.
async fn is_own_form<F>(submission: &Submission, repeats: bool, form: F) -> bool
where
    F: Future<Output = Result<Bytes, StatusCode>> + Send,
{
    if submission.is_of_this_host {
        return true;
    }
    // What is too long or never arrives is no such form.
    let Ok(form) = form.await else { return false };
    let is_own = |(name, value): (Cow<'_, str>, Cow<'_, str>)| name == "password" || is_button(&name, &value);
    let mut fields = url::form_urlencoded::parse(&form).map(is_own);
    if repeats { fields.next() == Some(true) && fields.next().is_none() } else { fields.any(|is_it| is_it) }
}
