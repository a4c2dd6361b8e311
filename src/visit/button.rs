//! The button of a link with `confirm`: its form is the click. A form with or without the button may have a password.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};

use super::confirm::is_confirmation;
use super::home::home_of;
use super::intent::Intent;
use super::rule::{Verdict, VisitFacts};
use super::rules::judge;
use super::submission::{FormRejection, GET_AND_HEAD, Submission, not_allowed};
use super::unlock::password_in;
use super::visitor::{LookupFailed, Visitor};
use super::{pages, validity};
use crate::cache::entry::{Action, Conditional, Entry};
use crate::model::domain::Domain;

/// The result of a form that was sent to a link with `confirm`.
enum Confirmation {
    /// The button was pressed, or nothing was: the response.
    Response(Response<Full<Bytes>>),
    /// The form has no button or a password.
    Other(Bytes),
}

impl Visitor {
    /// Answers a POST to a link with `confirm`.
    pub(super) async fn press<F>(
        self,
        mut submission: Submission,
        domain: Arc<Domain>,
        entry: Entry,
        form: F,
    ) -> Response<Full<Bytes>>
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        let Action::Evaluate(conditional) = &entry.action else { return not_allowed(GET_AND_HEAD) };
        let options = &conditional.link.options;
        match submission.rejection {
            None => {}
            Some(FormRejection::Foreign) => {
                let home = home_of(&domain, &self.links);
                return pages::confirm(options, StatusCode::FORBIDDEN, self.links.schemes(), &home);
            }
            Some(FormRejection::NoForm) => return pages::error(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
        match self.confirm((&entry, conditional), &domain, &submission.facts, form).await {
            Confirmation::Response(response) => response,
            Confirmation::Other(_) if options.password.is_none() => {
                pages::confirm(options, StatusCode::OK, self.links.schemes(), &home_of(&domain, &self.links))
            }
            // The right password confirms as well.
            Confirmation::Other(form) => {
                submission.facts.is_confirmed = true;
                submission.facts.intent = Intent::Unlock;
                let entry = entry.clone();
                self.attempt(submission, domain, entry, std::future::ready(Ok(form))).await
            }
        }
    }

    /// Reads a form that was sent to a link with `confirm`, and follows the link if it is the button's. A link that
    /// would not open does not read the form.
    async fn confirm<F>(
        &self,
        (entry, conditional): (&Entry, &Conditional),
        domain: &Arc<Domain>,
        facts: &VisitFacts,
        form: F,
    ) -> Confirmation
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        // The intent of a GET: the response is a page or a redirect as for a GET, and the visit is the click.
        let facts = VisitFacts { intent: Intent::Follow, is_confirmed: true, ..facts.clone() };
        let evaluation = self.unlocked_evaluation(entry, conditional, &facts);
        let has_password = conditional.link.options.password.is_some();
        let response = match judge(&evaluation) {
            Verdict::Destination { .. } => match form.await {
                // A form with both is the password's, whose right value confirms as well.
                Ok(form) if is_confirmation(&form) && !(has_password && password_in(&form).is_some()) => {
                    self.follow_confirmed(entry.code.as_str(), Arc::clone(domain), facts.clone()).await
                }
                Ok(form) => return Confirmation::Other(form),
                Err(status) => pages::error(status),
            },
            verdict => self.render(verdict, &evaluation, domain),
        };
        Confirmation::Response(seen_by_get(response))
    }

    async fn follow_confirmed(
        &self,
        code: &str,
        domain: Arc<Domain>,
        facts: VisitFacts,
    ) -> Response<Full<Bytes>> {
        // The form may have taken seconds, and the link may have changed.
        match self.resolve(&domain, code).await {
            Ok(Some(entry)) => self.clone().follow(entry, domain, facts, None).await,
            Ok(None) => validity::not_found(&domain, &self.links),
            Err(LookupFailed) => pages::unavailable(),
        }
    }
}

/// Makes a redirect one that browsers follow by GET. With 307 and 308 they would send the form on.
fn seen_by_get(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if response.status().is_redirection() {
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    response
}
