//! [`Submission`]: a request with another method than GET and HEAD, on its way to its link; and what its head
//! alone decides.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Response, StatusCode};

use super::locate::LinkAddress;
use super::pages;
use super::rule::VisitFacts;

/// `Allow` of a link whose redirect changes the method.
pub(super) const GET_AND_HEAD: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// A request that may have a body.
pub(super) struct Submission {
    pub(super) method: Method,
    pub(super) address: LinkAddress,
    pub(super) facts: VisitFacts,
    /// What is wrong with the head, if the body is to be read as a form.
    pub(super) rejection: Option<FormRejection>,
    /// Whether a browser sends a form of this host, which has no other forms than those for passwords.
    pub(super) is_of_this_host: bool,
}

impl Submission {
    /// Returns whether the body may be the form for a password.
    pub(super) fn is_form(&self) -> bool {
        self.method == Method::POST && self.rejection.is_none()
    }
}

/// The reason why a form is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormRejection {
    /// The form is on another site.
    Foreign,
    /// The content type is not that of a form.
    NoForm,
}

/// Returns the response to a method that a link does not allow.
pub(super) fn not_allowed(allow: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = pages::error(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// Rejects forms of other sites: such a site could guess passwords with the browsers and addresses of its
/// visitors. Programs send no `Origin`; browsers always send one with a POST, and `null` for a page without a
/// site.
pub(super) fn rejection(headers: &HeaderMap, host: &str) -> Option<FormRejection> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
