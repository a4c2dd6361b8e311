//! `/CODE+qr.svg` and `/CODE+qr.png`: the picture of a link's QR code, on domains that show it to everyone.
//!
//! As with `/CODE+pixel.gif`, a plus sign is in no short code, and a forwarded path begins behind a slash, so no link has such an
//! address. The rules of a link that is switched off, expired or denied apply; the picture shows nothing
//! but the short URL, so a password is not asked for. It is no click.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::choice::Choice;
use super::intent::Intent;
use super::request::{Visit, VisitResponse};
use super::rule::{Evaluation, Verdict, VisitFacts};
use super::rules::judge;
use super::visitor::{LookupFailed, Visitor};
use super::{entity_tag, pages, validity};
use crate::cache::entry::{Action, Entry};
use crate::core::Error;
use crate::model::domain::Domain;
use crate::model::short_code::canonical;
use crate::qr::picture::{POLICY, QrFormat, QrPicture};

/// What follows the code, also with the plus sign percent-encoded.
const SUFFIXES: [(&str, QrFormat); 6] = [
    ("+qr.svg", QrFormat::Svg),
    ("+qr.png", QrFormat::Png),
    ("%2Bqr.svg", QrFormat::Svg),
    ("%2Bqr.png", QrFormat::Png),
    ("%2bqr.svg", QrFormat::Svg),
    ("%2bqr.png", QrFormat::Png),
];

/// The time for which caches keep a picture. A link that is switched off may be shown for as long.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Returns the code whose picture has this path, and its format.
fn code_of(domain: &Domain, path: &str) -> Option<(String, QrFormat)> {
    // The switch first: on most domains, nothing else is compared.
    let path = path.strip_prefix('/').filter(|_| domain.public_qr)?;
    let (code, format) =
        SUFFIXES.iter().find_map(|(suffix, format)| Some((path.strip_suffix(suffix)?, *format)))?;
    Some((domain.fold(Cow::Owned(canonical(code)?.into_owned())).into_owned(), format))
}

impl Visitor {
    /// Answers a GET or HEAD of the picture of a link's code. Returns `None` if the path is no such picture.
    pub(super) fn qr_picture(&self, domain: &Arc<Domain>, visit: &Visit<'_>) -> Option<VisitResponse> {
        let (code, format) = code_of(domain, visit.path)?;
        // A probe, which is never counted.
        let facts = VisitFacts::new(Intent::Probe, self.agent(visit.headers.get(USER_AGENT)), "", visit);
        let facts = VisitFacts { is_confirmed: true, ..facts };
        let (visitor, domain, headers) = (self.clone(), Arc::clone(domain), visit.headers.clone());
        Some(VisitResponse::Later(Box::pin(async move {
            match visitor.resolve(&domain, &code).await {
                Ok(Some(entry)) => visitor.draw(&entry, &domain, &facts, format, &headers).await,
                Ok(None) => validity::not_found(&domain, &visitor.links),
                Err(LookupFailed) => pages::unavailable(),
            }
        })))
    }

    async fn draw(
        &self,
        entry: &Entry,
        domain: &Arc<Domain>,
        facts: &VisitFacts,
        format: QrFormat,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        // A plain link is always live.
        if let Action::Evaluate(conditional) = &entry.action {
            let evaluation = self.evaluation(entry, conditional, facts, None);
            // Not what the rules choose for this visitor: caches keep the picture for everyone.
            let evaluation = Evaluation { choice: Choice::OWN, ..evaluation };
            match judge(&evaluation) {
                Verdict::NotFound => return validity::not_found(domain, &self.links),
                Verdict::Gone => return pages::error(StatusCode::GONE),
                verdict @ Verdict::Denied { .. } => return self.render(verdict, &evaluation, domain),
                _ => {}
            }
        }
        let drawn = async {
            let code = self.links.typed_code(domain, entry.code.as_str()).await?;
            self.links.public_qr(domain, entry.counter.workspace(), &code, format).await
        };
        match drawn.await {
            Ok(picture) => respond(picture, headers),
            // Its code is too long for the picture.
            Err(Error::Rule(_)) => validity::not_found(domain, &self.links),
            Err(error) => {
                // Debug: any visitor can cause this line.
                tracing::debug!(%error, "a QR code could not be drawn");
                pages::unavailable()
            }
        }
    }
}

fn respond(QrPicture { format, bytes }: QrPicture, request: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = kept(bytes, format.media_type(), request);
    // An SVG that is opened as a page runs and loads nothing.
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Returns the response with a file that everyone may read and keep for some minutes.
pub(super) fn kept(bytes: Vec<u8>, kind: &'static str, request: &HeaderMap) -> Response<Full<Bytes>> {
    let tag = entity_tag::of(&bytes);
    let mut response = Response::new(Full::default());
    if entity_tag::is_current(request, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Full::new(Bytes::from(bytes));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, KEPT);
    headers.insert(ETAG, tag);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn no_path_of_a_link_is_that_of_a_picture() {
        let mut domain = Domain::default_domain(Timestamp::from_millis(0));
        assert_eq!(code_of(&domain, "/a+qr.svg"), None, "not allowed");
        domain.public_qr = true;
        let rows = [
            ("/a+qr.svg", Some(("a", QrFormat::Svg))),
            ("/a+qr.png", Some(("a", QrFormat::Png))),
            ("/a%2Bqr.svg", Some(("a", QrFormat::Svg))),
            ("/a%2bqr.png", Some(("a", QrFormat::Png))),
            ("/%C3%BC+qr.svg", Some(("\u{fc}", QrFormat::Svg))),
            // These are codes, or forwarded paths.
            ("/qr.svg", None),
            ("/a/qr.svg", None),
            ("/a/+qr.svg", None),
            ("/a+qr.svg/x", None),
            ("/+qr.svg", None),
            ("/a+qr", None),
            ("/a+qr.gif", None),
            ("/a.qr", None),
        ];
        for (path, want) in rows {
            let got = code_of(&domain, path);
            assert_eq!(got.as_ref().map(|(code, format)| (code.as_str(), *format)), want, "{path}");
        }
        for path in ["a+qr.svg", "a%2Bqr.png"] {
            assert_eq!(canonical(path), None, "{path} is no code");
        }
    }
}
