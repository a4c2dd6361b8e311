//! A password that a visitor sends to a link. The steps save work: a request that cannot open the link is
//! rejected before its body is read, an attempt is counted before it is hashed, and the right password is the
//! click itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN, USER_AGENT};
use hyper::{HeaderMap, Response, StatusCode};

use super::attempts::Locked;
use super::intent::Intent;
use super::pages::{self, PasswordPrompt};
use super::request::{Visit, VisitResponse};
use super::rule::{Evaluation, Verdict, VisitFacts};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use crate::cache::entry::Action;
use crate::core::Error;
use crate::model::domain::Domain;
use crate::model::link::Password;

/// Largest form in bytes: a password at its bound with every byte percent-encoded, and space for fields that
/// password managers add. Past it: 413.
pub const FORM_MAX: usize = 4 * 1024;

/// A password on its way to its link.
struct PasswordAttempt {
    domain: Arc<Domain>,
    code: String,
    facts: VisitFacts,
    /// What is wrong with the head of the request.
    rejection: Option<FormRejection>,
}

/// The reason why a form is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FormRejection {
    /// The form is on another site.
    Foreign,
    /// The content type is not that of a form.
    NoForm,
}

impl Visitor {
    /// Answers a POST. `form` reads the body, of at most [`FORM_MAX`] bytes, or fails with the status of the
    /// response. It is polled only if the form may open the link.
    pub fn unlock<F>(&self, visit: &Visit<'_>, form: F) -> VisitResponse
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send + 'static,
    {
        let directory = self.links.directory();
        let Ok((domain, code, rest)) = self.locate(&directory, visit) else {
            return VisitResponse::Now(not_allowed());
        };
        let agent = self.agent(visit.headers.get(USER_AGENT));
        let attempt = PasswordAttempt {
            domain: Arc::clone(domain),
            code: code.into_owned(),
            facts: VisitFacts::new(Intent::Unlock, agent, rest, visit)
                .at_unknown(self.unknown_host(&directory, visit.host)),
            rejection: rejection(visit.headers, visit.host),
        };
        let visitor = self.clone();
        VisitResponse::Later(Box::pin(async move { visitor.attempt(attempt, form).await }))
    }

    async fn attempt<F>(self, attempt: PasswordAttempt, form: F) -> Response<Full<Bytes>>
    where
        F: Future<Output = Result<Bytes, StatusCode>> + Send,
    {
        let PasswordAttempt { domain, code, facts, rejection } = attempt;
        let address = facts.address;
        let entry = match self.resolve(&domain, &code).await {
            Ok(Some(entry)) => entry,
            // As for a link without a password: a POST does not reveal which codes exist.
            Ok(None) => return not_allowed(),
            Err(LookupFailed) => return pages::unavailable(),
        };
        let Action::Evaluate(conditional) = &entry.action else { return not_allowed() };
        let Some(hash) = &conditional.link.options.password else { return not_allowed() };
        let now = self.links.clock().now();
        // Evaluated as if the password were right: a link that would not open is not worth a hash.
        let evaluation =
            Evaluation { conditional, facts: &facts, now, clicks: entry.counter.total(), is_unlocked: true };
        match judge(&evaluation) {
            Verdict::Destination { .. } => {}
            other => return self.render(other, &evaluation, &domain),
        }
        match rejection {
            None => {}
            Some(FormRejection::Foreign) => return pages::foreign_form(),
            Some(FormRejection::NoForm) => return pages::error(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
        let form = match form.await {
            Ok(form) => form,
            Err(status) => return pages::error(status),
        };
        // Not counted: no link can have such a password, so nothing was guessed.
        let Some(password) = password_in(&form) else { return pages::password(PasswordPrompt::Wrong) };
        let (attempts, link) = (&self.state.attempts, &conditional.link);
        let target = attempts.target(link.id, hash);
        if let Err(Locked(left)) = attempts.begin(target, address, Instant::now()) {
            // Rounded up, so that a client that waits exactly this time is not rejected again.
            return pages::password(PasswordPrompt::Locked { seconds: left.as_secs() + 1 });
        }
        match self.links.is_password(link, password).await {
            Ok(false) => {
                if attempts.locked(target, Instant::now()).is_some() {
                    let link = link.id;
                    tracing::warn!(%link, "guesses locked a link's password for up to an hour");
                }
                pages::password(PasswordPrompt::Wrong)
            }
            Ok(true) => {
                // A right password must not use up the attempts of its address.
                attempts.take_back(target, address);
                let hash = hash.clone();
                // The body may have taken seconds, and the link may have changed: it is loaded again.
                self.resolve_and_follow(&code, domain, facts, Some(hash)).await
            }
            // The password was not checked, so the attempt is not used up.
            Err(Error::Busy) => {
                attempts.take_back(target, address);
                pages::password(PasswordPrompt::Busy)
            }
            // The attempt stays counted, so that a broken hash cannot flood the log.
            Err(error) => {
                tracing::warn!(%error, "a password could not be checked");
                pages::password(PasswordPrompt::Busy)
            }
        }
    }
}

/// Returns the response to a POST for anything without a password.
fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = pages::error(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Rejects forms of other sites: such a site could guess passwords with the browsers and addresses of its
/// visitors. Programs send no `Origin`; browsers always send one with a POST, and `null` for a page without a
/// site.
fn rejection(headers: &HeaderMap, host: &str) -> Option<FormRejection> {
    let is_ours = |origin: &HeaderValue| {
        // A value that is no text becomes the empty name, which no host has.
        let origin = origin.to_str().unwrap_or("");
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        // `host` has no port, so the port of the origin is not compared.
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => authority,
        };
        // `host` has no trailing dot either.
        name.trim_end_matches('.').eq_ignore_ascii_case(host)
    };
    if !headers.get_all(ORIGIN).iter().all(is_ours) {
        return Some(FormRejection::Foreign);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    // Parameters such as `charset` may follow the type.
    let kind = kind.split(';').next().unwrap_or("").trim();
    let is_form = kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    (!is_form).then_some(FormRejection::NoForm)
}

/// Returns the password in a form. A password that no link can have is treated like a missing one.
pub(crate) fn password_in(form: &[u8]) -> Option<Password> {
    let (_, value) = url::form_urlencoded::parse(form).find(|(name, _)| name == "password")?;
    Password::parse(&value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms of this host, and forms at all.
    #[test]
    fn t63_forms_of_other_sites_are_rejected() {
        let form = "application/x-www-form-urlencoded";
        let forbidden = Some(FormRejection::Foreign);
        let rows = [
            (None, form, None),
            (Some("https://go.test"), form, None),
            (Some("http://GO.test:8080"), form, None),
            (Some("https://evil.test"), form, forbidden),
            (Some("https://go.test.evil.test"), form, forbidden),
            // `go.test` is no port, so it is not removed.
            (Some("https://evil.test:go.test"), form, forbidden),
            // The origin of a sandboxed frame or of a local file.
            (Some("null"), form, forbidden),
            (Some(""), form, forbidden),
            (Some("go.test"), form, forbidden),
            (Some("https://go.test@evil.test"), form, forbidden),
            (Some("https://evil.test/go.test"), form, forbidden),
            (Some("https://evil.test#go.test"), form, forbidden),
            (Some("https://notgo.test"), form, forbidden),
            (Some("https://go.test:8080:go.test"), form, forbidden),
            (Some("https://go.test https://evil.test"), form, forbidden),
            (None, "multipart/form-data; boundary=x", Some(FormRejection::NoForm)),
            (None, "application/json", Some(FormRejection::NoForm)),
            (None, "application/x-www-form-urlencodedx", Some(FormRejection::NoForm)),
            (None, "Application/X-WWW-Form-URLEncoded", None),
            (None, "application/x-www-form-urlencoded; charset=UTF-8", None),
            (None, "text/plain", Some(FormRejection::NoForm)),
            (None, "", Some(FormRejection::NoForm)),
        ];
        for (origin, kind, want) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(rejection(&headers, "go.test"), want, "{origin:?} {kind}");
        }
    }

    #[test]
    fn passwords_in_forms() {
        // One byte more than `PASSWORD_MAX`.
        let long = format!("password={}", "x".repeat(1_025));
        let rows = [
            ("password=geheim", Some("geheim")),
            ("a=b&password=a%20b+c%C3%BC", Some("a b cü")),
            ("password=", None),
            ("pass=x", None),
            ("", None),
            (&long, None),
            ("password=a&password=b", Some("a")),
            ("Password=x", None),
            ("password%00=x", None),
            ("passwor%64=x", Some("x")),
            ("password=%ff", Some("\u{fffd}")),
            ("password=a;b", Some("a;b")),
        ];
        for (form, want) in rows {
            let got = password_in(form.as_bytes());
            assert_eq!(got.as_ref().map(Password::as_bytes), want.map(str::as_bytes), "{form}");
        }
    }
}
