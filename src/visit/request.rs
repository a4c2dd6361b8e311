//! [`Visit`]: a visitor's request, and [`VisitResponse`]: the response to it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Response};

use super::peer::{self, TrustedProxies};
use super::redirect::PlainRedirect;
use crate::analytics::country::ProxyCountry;

/// A visitor's request. Its target and its Host are already checked.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Any method but TRACE and CONNECT.
    pub method: &'a Method,
    /// The requested host: lower case, without port or trailing dot. IP literals as sent.
    pub host: &'a str,
    /// The path as sent, with its leading slash.
    pub path: &'a str,
    /// The query as sent.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The address at the other end of the connection. IPv4 also if the socket is one of IPv6.
    pub peer: IpAddr,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub proxies: &'a TrustedProxies,
}

impl Visit<'_> {
    /// Returns the visitor's address: behind trusted proxies, the address that they report. Reads
    /// headers, so a plain redirect does not call it.
    pub fn address(&self) -> IpAddr {
        peer::of(self.peer, self.headers, &self.proxies.networks)
    }

    /// Returns the visitor's country, as a trusted proxy reports it.
    pub fn country(&self) -> ProxyCountry {
        peer::country(self.peer, self.headers, self.proxies)
    }
}

/// The response to a visit.
pub enum VisitResponse {
    /// A redirect without options, from memory.
    Plain(PlainRedirect),
    /// Any other response that is ready, from memory.
    Now(Response<Full<Bytes>>),
    /// A response that waits: for the table, a reservation, or the hash of a password.
    // Boxed: only a visit that waits pays for an allocation.
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

impl VisitResponse {
    /// Returns the response once it is ready.
    pub(super) async fn wait(self) -> Response<Full<Bytes>> {
        match self {
            // No headers of a request are at hand whose memory it could take.
            VisitResponse::Plain(redirect) => redirect.respond(&mut HeaderMap::new()),
            VisitResponse::Now(response) => response,
            VisitResponse::Later(response) => response.await,
        }
    }
}
