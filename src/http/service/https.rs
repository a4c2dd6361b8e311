//! [`HttpsPolicy`]: what differs between HTTP and HTTPS on a server that has both.
//!
//! Over HTTP, visits to a name with a certificate are redirected to HTTPS, and the APIs are refused without a
//! redirect: a key that was sent in clear must be noticed. Over HTTPS, responses for the names in `domain` have
//! `Strict-Transport-Security` (RFC 6797); other names belong to customers, whose subdomains and plans are unknown.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode, Version};

use super::rejected;
use crate::certificates::settings::PlainHttp;
use crate::certificates::{CHALLENGE_PATH, CertificateName, CertificateNames, Certificates, Settings};
use crate::http::api::dialect::ServerError;
use crate::http::body::{Content, HttpResponse};
use crate::http::host;
use crate::http::route::Route;
use crate::model::network::Networks;

/// How long a client may remember a redirect to HTTPS: as a permanent link, so that nothing stays behind when a server
/// goes back to HTTP.
const SHORTLY: HeaderValue = HeaderValue::from_static("private, max-age=90");

/// What differs between HTTP and HTTPS on a server that has both.
#[derive(Debug)]
pub struct HttpsPolicy {
    certificates: Certificates,
    plain_http: PlainHttp,
    /// The port of HTTPS, if it is not the default.
    port: Option<u16>,
    /// The first domain, as a URL has it.
    first: Option<String>,
    /// The value of `Strict-Transport-Security`, and the hosts that have it.
    hsts: Option<(HeaderValue, HashSet<String, ahash::RandomState>)>,
}

impl HttpsPolicy {
    /// Creates the policy of a server with HTTPS on this port.
    pub fn new(
        certificates: Certificates,
        names: &CertificateNames,
        settings: &Settings,
        port: Option<u16>,
    ) -> HttpsPolicy {
        let seconds = settings.hsts.as_secs();
        let value = HeaderValue::try_from(format!("max-age={seconds}")).expect("digits");
        let hosts: HashSet<_, _> = names.all().iter().map(CertificateName::in_url).collect();
        HttpsPolicy {
            certificates,
            plain_http: settings.plain_http,
            port: port.filter(|port| *port != 443),
            first: names.first().map(CertificateName::in_url),
            hsts: (seconds > 0 && !hosts.is_empty()).then_some((value, hosts)),
        }
    }

    /// Returns the certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Returns the response to a request over HTTP that is not served there. `peer` is the other end of the
    /// connection, as IPv4 also if the socket is one of IPv6.
    pub(super) fn answer_plain<B: Body>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        proxies: &Networks,
    ) -> Option<HttpResponse> {
        // First: an authority asks on port 80, whatever is served there.
        if let Some(token) = request.uri().path().strip_prefix(CHALLENGE_PATH) {
            return self.answer_challenge(token);
        }
        // A proxy may have ended the TLS of the visitor, who would be redirected again and again.
        if self.plain_http == PlainHttp::Serve || proxies.name(peer) {
            return None;
        }
        let uri = request.uri();
        match Route::of(uri.path()) {
            // The programs of this machine are the owner's.
            Route::Api | Route::Metrics if !peer.is_loopback() => {
                Some(rejected(uri, ServerError::Unencrypted))
            }
            Route::Visit | Route::Contact | Route::Docs | Route::Description | Route::Unknown => {
                self.redirect(request)
            }
            _ => None,
        }
    }

    /// Returns the answer to the request of an authority that checks a name.
    fn answer_challenge(&self, token: &str) -> Option<HttpResponse> {
        // Without an answer the path is like any other: another program behind this server may answer.
        let content = self.certificates.challenge_file(token)?;
        let mut response = Response::new(Content::from(Bytes::from(content)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn redirect<B: Body>(&self, request: &Request<B>) -> Option<HttpResponse> {
        let host = self.host(request)?;
        self.certificates.find(Some(host.trim_matches(['[', ']'])))?;
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        // `OPTIONS *` and CONNECT name no resource.
        let target = request.uri().path_and_query()?.as_str();
        if !target.starts_with('/') {
            return None;
        }
        let location = HeaderValue::try_from(format!("https://{host}{port}{target}")).ok()?;
        let mut response = Response::new(Content::default());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(CACHE_CONTROL, SHORTLY);
        Some(response)
    }

    /// Returns the host of a request, and the first domain for one without (HTTP/1.0).
    fn host<'a, B>(&'a self, request: &'a Request<B>) -> Option<Cow<'a, str>> {
        let is_nameless = request.uri().authority().is_none() && !request.headers().contains_key(HOST);
        // Other requests without a host are refused.
        match &self.first {
            Some(first) if is_nameless && request.version() <= Version::HTTP_10 => Some(first.into()),
            _ => host::of(request.version(), request.uri(), request.headers()).ok(),
        }
    }

    /// Returns the value of `Strict-Transport-Security` for the host of a request over HTTPS.
    pub(super) fn hsts<B: Body>(&self, request: &Request<B>) -> Option<&HeaderValue> {
        let (value, hosts) = self.hsts.as_ref()?;
        let host = host::of(request.version(), request.uri(), request.headers()).ok()?;
        hosts.contains(&*host).then_some(value)
    }
}
