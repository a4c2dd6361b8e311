//! `countPixel`: the image `/CODE+pixel.gif` counts a click without a redirect, for example when a mail is opened.
//!
//! A plus sign is in no short code, so the path is never the code of another link. `forwardPath` begins behind a
//! slash, so the path is never a forwarded one either, as `/CODE/track` would be. The image exists only for links
//! that allow it. All rules of a click apply; a password or a confirmation cannot be given and is not asked for.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

use super::click::{Click, ClickOutcome};
use super::intent::Head;
use super::request::{Visit, VisitResponse};
use super::rule::{Verdict, VisitFacts};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use super::{pages, validity};
use crate::cache::entry::Action;
use crate::model::domain::Domain;
use crate::model::short_code::canonical;

/// What follows the code, also with the plus sign percent-encoded.
const SUFFIXES: [&str; 3] = ["+pixel.gif", "%2Bpixel.gif", "%2bpixel.gif"];

/// A transparent image of one pixel.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// Returns the code of the link whose image has this path.
fn code_of<'a>(domain: &Domain, path: &'a str) -> Option<Cow<'a, str>> {
    let path = path.strip_prefix('/')?;
    let code = SUFFIXES.iter().find_map(|suffix| path.strip_suffix(suffix))?;
    Some(domain.fold(canonical(code)?))
}

impl Visitor {
    /// Answers a GET or HEAD of the counting image of a link. Returns `None` if the path is no such image.
    pub(super) fn pixel(&self, domain: &Domain, visit: &Visit<'_>) -> Option<VisitResponse> {
        let code = code_of(domain, visit.path)?.into_owned();
        let head = Head::read(visit.method, visit.headers, false);
        let facts = VisitFacts::new(head.intent, self.agent(head.agent), "", visit);
        // The rule of `confirm` asks for a button, which an image cannot have.
        let facts = VisitFacts { is_confirmed: true, ..facts };
        let (visitor, domain) = (self.clone(), Domain::clone(domain));
        Some(VisitResponse::Later(Box::pin(
            async move { visitor.count_by_pixel(&domain, &code, &facts).await },
        )))
    }

    async fn count_by_pixel(self, domain: &Domain, code: &str, facts: &VisitFacts) -> Response<Full<Bytes>> {
        // As in `follow`: several reservations may be needed until this visit gets a click.
        loop {
            let entry = match self.resolve(domain, code).await {
                Ok(Some(entry)) => entry,
                Ok(None) => return validity::not_found(domain, &self.links),
                Err(LookupFailed) => return pages::unavailable(),
            };
            let conditional = match &entry.action {
                Action::Evaluate(conditional) if conditional.link.options.count_pixel => conditional,
                Action::Evaluate(_) | Action::Redirect { .. } => {
                    return validity::not_found(domain, &self.links);
                }
            };
            let evaluation = self.unlocked_evaluation(&entry, conditional, facts);
            let verdict = judge(&evaluation);
            match verdict {
                Verdict::NotFound => return validity::not_found(domain, &self.links),
                Verdict::Gone => return pages::error(StatusCode::GONE),
                Verdict::Denied { .. } => return self.render(verdict, &evaluation, domain),
                Verdict::Blocked => return pages::error(StatusCode::FORBIDDEN),
                _ => {}
            }
            if !evaluation.counts(&verdict) {
                return gif();
            }
            match self.click(
                &Click::of_visit(&entry, Some(&conditional.link), facts).choosing(evaluation.choice.number),
            ) {
                ClickOutcome::Counted => return gif(),
                ClickOutcome::LimitReached => return pages::error(StatusCode::GONE),
                ClickOutcome::Unreserved { limit } => {
                    if let Err(error) = self.state.click_log.reserve(&entry.counter, limit).await {
                        tracing::debug!(%error, "clicks of a limited link could not be reserved");
                        return pages::unavailable();
                    }
                }
            }
        }
    }
}

fn gif() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(GIF)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    // Each opening is a click, so that no cache may answer.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn m11_no_path_of_a_link_is_that_of_an_image() {
        let domain = Domain::default_domain(Timestamp::from_millis(0));
        let rows = [
            ("/a+pixel.gif", Some("a")),
            ("/a%2Bpixel.gif", Some("a")),
            ("/a%2bpixel.gif", Some("a")),
            ("/%C3%BC+pixel.gif", Some("ü")),
            // These are codes, or forwarded paths.
            ("/pixel.gif", None),
            ("/a/pixel.gif", None),
            ("/a/+pixel.gif", None),
            ("/b/a+pixel.gif", None),
            ("/a+pixel.gif/x", None),
            ("/+pixel.gif", None),
        ];
        for (path, want) in rows {
            assert_eq!(code_of(&domain, path).as_deref(), want, "{path}");
        }
        for path in ["a+pixel.gif", "a%2Bpixel.gif"] {
            assert_eq!(canonical(path), None, "{path} is no code");
        }
    }
}
