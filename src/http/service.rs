//! The shell around redirects: which host, is the target sane, whose path is it. A redirect from
//! memory is answered here and now, unboxed; all else is a boxed future.
//!
//! A panic in a handler is answered 500 and counted; it ends neither connection nor server.
//!
//! # Where the instructions over bare hyper go
//!
//! A redirect costs 7,870 instructions in user space; hyper with its timer, answering every request
//! alike with the same head, 7,330, and 5,960 without the timer. With a browser's 14 headers it is
//! 19,990, 19,110 and 17,730. Of a plain redirect's, by callgrind, with what each stage calls:
//!
//! | stage | where | instructions |
//! |---|---|---|
//! | Host: found, one, well-formed | [`host::of`] | 150 |
//! | whose path it is | [`Route::of`] | 140 |
//! | domain, and the code's spelling | `Visitor::route` | 220 |
//! | who asks, and how | `How::and_agent`, `Agents::of` | 90 (browser: 550) |
//! | directory, look-up, count | `Visitor::response`, [`crate::cache`] | 360 |
//! | head with two headers, in the request's map | [`PlainRedirect::respond`] | 550; as bare hyper, less what a map of its own costs: 300 (browser: 2,000) |
//! | the request handed on and the answer out, panics caught | here | 250 |
//! | answers joined, heads timed, fragments looked for | `http::stream`, `http::deadline` | 350 (browser: 420) |
//! | deadline for heads by hyper's timer | - | none, for 1,400 |
//! | asking whether the server ends | `http::ending` | 15 |
//!
//! The rest of the difference is the compiler's, which lays hyper out otherwise in a larger
//! program. To count again: `benches/load/run B3`; by functions: build with
//! `CARGO_PROFILE_RELEASE_STRIP=false CARGO_PROFILE_RELEASE_DEBUG=1`, run
//! `TOKIO_WORKER_THREADS=1 valgrind --tool=callgrind --separate-threads=yes target/release/waypost`,
//! send N requests, dump by `callgrind_control -d`, send 2 N, dump again: the difference by N. Times
//! of the same stages: `cargo bench --bench redirect`; that a hit allocates nothing of ours:
//! `cargo bench --bench allocations`.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use super::api::openapi::Description;
use super::conn::server::Settings;
use super::miss_limit::MissLimit;
use super::route::Route;
use crate::http::api::dialect::{Dialect, ServerError};
use crate::http::api::ops::Ops;
use crate::http::api::{self, Api};
use crate::http::body::{self, BodyError, Content, HttpResponse};
use crate::http::counts::Counts;
use crate::http::host;
use crate::model::network::Networks;
use crate::visit::redirect::PlainRedirect;
use crate::visit::unlock::FORM_MAX;
use crate::visit::validity::LinkNotFound;
use crate::visit::{Visit, VisitResponse, Visitor, pages, peer};

/// Longest request target in bytes, as at nginx and most proxies before us. Past it: 414.
const TARGET_MAX: usize = 8 * 1024;

const GET_AND_HEAD: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Crawlers may follow short links, which is what these are for; the API is no page.
const ROBOTS: &str = "User-agent: *\nDisallow: /api/\n";

/// A signpost of 16 pixels.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<path d=\"M7 1h2v2h4l2 2-2 2H9v8H7V7H3V3h4z\" fill=\"#0f766e\"/></svg>";

/// Answers requests. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    service: Service,
    peer: IpAddr,
}

#[derive(Debug)]
struct Shared {
    visitor: Visitor,
    api: Api,
    ops: Ops,
    description: Description,
    counts: Arc<Counts>,
    body_timeout: Duration,
    proxies: Networks,
    misses: MissLimit,
    /// Requests for health and readiness: limited like misses, and apart from them, so that no scanner
    /// behind the same proxy makes a supervisor take the server for dead.
    probes: MissLimit,
}

impl Service {
    /// Puts the parts together. `misses` codes that lead nowhere are answered so each minute and
    /// address.
    pub fn new(
        visitor: Visitor,
        api: Api,
        ops: Ops,
        counts: Arc<Counts>,
        settings: &Settings,
        misses: u32,
    ) -> Service {
        let body_timeout = settings.body_timeout;
        let proxies = settings.proxies().expect("the configuration was checked");
        let (description, misses, probes) = (api.describe(), MissLimit::new(misses), MissLimit::new(misses));
        Service(Arc::new(Shared {
            visitor,
            api,
            ops,
            description,
            counts,
            body_timeout,
            proxies,
            misses,
            probes,
        }))
    }

    /// The service of a connection from this address.
    pub fn connect(&self, peer: IpAddr) -> Connection {
        Connection { service: self.clone(), peer }
    }
}

/// An answer, or what it waits for.
#[derive(Debug)]
pub enum ResponseFuture {
    /// There already; taken by the first poll.
    Now(Option<HttpResponse>),
    /// On its way.
    Later(Later),
}

/// An answer on its way.
pub struct Later {
    response: Pin<Box<dyn Future<Output = HttpResponse> + Send>>,
    counts: Arc<Counts>,
    /// Who words a panic; a page when nobody.
    dialect: Option<&'static dyn Dialect>,
}

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later(..)")
    }
}

impl Future for ResponseFuture {
    type Output = Result<HttpResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ResponseFuture::Now(response) => {
                // Polled again after the end, which nobody may do, it would wait for ever.
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            ResponseFuture::Later(later) => {
                let polled = catch_unwind(AssertUnwindSafe(|| later.response.as_mut().poll(cx)));
                polled.map_or_else(
                    |_| {
                        later.counts.panics.add();
                        Poll::Ready(Ok(later.dialect.map_or_else(panicked, api::internal)))
                    },
                    |response| response.map(Ok),
                )
            }
        }
    }
}

fn panicked() -> HttpResponse {
    page(StatusCode::INTERNAL_SERVER_ERROR)
}

fn page(status: StatusCode) -> HttpResponse {
    pages::error(status).map(Content::Whole)
}

impl<B> hyper::service::Service<Request<B>> for Connection
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, mut request: Request<B>) -> ResponseFuture {
        let service = &self.service;
        let answering = match service.caught(|| service.route(&request, self.peer)) {
            // Written here, in place: each further move of an answer costs.
            Some(Routed::Redirect(redirect)) => return now(redirect.respond(request.headers_mut())),
            Some(Routed::Answered(answering)) => Some(answering),
            Some(Routed::Api) => service.caught(|| service.api(request, self.peer)),
            Some(Routed::Unlock { host }) => service.caught(|| service.unlock(&host, request, self.peer)),
            None => None,
        };
        answering.unwrap_or_else(|| now(panicked()))
    }
}

/// Where a request goes. Only what reads its body gets it whole: to move it costs.
enum Routed {
    /// To a plain redirect.
    Redirect(PlainRedirect),
    /// Its head was enough.
    Answered(ResponseFuture),
    Api,
    /// A link's password, at this host.
    Unlock {
        host: String,
    },
}

impl From<HttpResponse> for Routed {
    fn from(response: HttpResponse) -> Routed {
        Routed::Answered(now(response))
    }
}

impl Service {
    /// Unwind safe: what a panic leaves half done is the request, which is dropped; shared state is
    /// atomics and locks without poisoning.
    fn caught<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| self.0.counts.panics.add()).ok()
    }

    fn route<B: Body>(&self, request: &Request<B>, peer: IpAddr) -> Routed {
        let uri = request.uri();
        let Ok(host) = host::of(request.version(), uri, request.headers()) else {
            return closing(refused(uri, ServerError::BadHost)).into();
        };
        if target_length(uri) > TARGET_MAX {
            return closing(refused(uri, ServerError::LongTarget)).into();
        }
        if !request.body().is_end_stream() && !is_framed_plainly(request.headers()) {
            return closing(page(StatusCode::BAD_REQUEST)).into();
        }
        let method = request.method();
        let route = Route::of(uri.path());
        // The three that are about the server or the connection, never about a resource of ours; the
        // APIs refuse them like any other method, in their vendors' words.
        let is_apart = matches!(*method, Method::TRACE | Method::CONNECT) || !uri.path().starts_with('/');
        if is_apart && route != Route::Api {
            return closing(not_allowed()).into();
        }
        if route == Route::Api {
            return Routed::Api;
        }
        if *method == Method::POST && route == Route::Visit {
            return Routed::Unlock { host: host.into_owned() };
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return not_allowed().into();
        }
        let response = match route {
            Route::Visit => {
                let (path, query, headers) = (uri.path(), uri.query(), request.headers());
                let visit =
                    Visit { method, host: &host, path, query, headers, peer, proxies: &self.0.proxies };
                return match self.0.visitor.respond(&visit) {
                    VisitResponse::Plain(redirect) => Routed::Redirect(redirect),
                    response => Routed::Answered(self.visited(response, &visit)),
                };
            }
            Route::Contact => {
                let (path, query, headers) = (uri.path(), uri.query(), request.headers());
                let visit =
                    Visit { method, host: &host, path, query, headers, peer, proxies: &self.0.proxies };
                let response = self.0.visitor.follow_contact_link(&visit);
                return Routed::Answered(self.visited(response, &visit));
            }
            Route::Health | Route::Ready => self.probed(route, request.headers(), peer),
            Route::Metrics | Route::Description | Route::Docs => {
                self.documented(route, request.headers(), peer)
            }
            Route::Robots => fixed("text/plain; charset=utf-8", ROBOTS),
            Route::Icon => fixed("image/svg+xml", ICON),
            // ScopedCommand for by scanners: counted like codes that lead nowhere.
            Route::Unknown | Route::Api => {
                let peer = peer::of(peer, request.headers(), &self.0.proxies);
                let wait = self.0.misses.miss(peer, Instant::now());
                wait.map_or_else(|| page(StatusCode::NOT_FOUND), too_many)
            }
        };
        response.into()
    }

    /// The answer to a request for health or readiness.
    fn probed(&self, route: Route, headers: &HeaderMap, peer: IpAddr) -> HttpResponse {
        let peer = peer::of(peer, headers, &self.0.proxies);
        match self.0.probes.miss(peer, Instant::now()) {
            Some(wait) => too_many(wait),
            None if route == Route::Ready => self.0.ops.ready(),
            None => self.0.ops.health(),
        }
    }

    /// The answer to a request for what is about the server itself, within the limits of its key or
    /// address.
    fn documented(&self, route: Route, headers: &HeaderMap, peer: IpAddr) -> HttpResponse {
        let Shared { ops, api, description, .. } = &*self.0;
        let peer = peer::of(peer, headers, &self.0.proxies);
        let is_for_operator = route == Route::Metrics && !ops.is_public;
        let refused =
            if is_for_operator { api.refuse_operator(headers, peer) } else { api.refuse_anyone(peer) };
        if let Some(refused) = refused {
            return refused;
        }
        match route {
            Route::Metrics => ops.metrics(),
            Route::Description => description.json(),
            _ => description.page(),
        }
    }

    /// The answer to a visit.
    fn visited(&self, response: VisitResponse, visit: &Visit<'_>) -> ResponseFuture {
        match response {
            VisitResponse::Plain(redirect) => now(redirect.respond(&mut HeaderMap::new())),
            VisitResponse::Now(response) if response.extensions().get::<LinkNotFound>().is_none() => {
                now(response.map(Content::Whole))
            }
            VisitResponse::Now(response) => now(self.limited(response, visit.address()).map(Content::Whole)),
            VisitResponse::Later(response) => {
                let (service, address) = (self.clone(), visit.address());
                let response = async move { service.limited(response.await, address).map(Content::Whole) };
                self.later(Box::pin(response), None)
            }
        }
    }

    /// The answer, unless it is the miss too many of this address.
    fn limited(&self, response: Response<Full<Bytes>>, peer: IpAddr) -> Response<Full<Bytes>> {
        let missed = response.extensions().get::<LinkNotFound>().is_some();
        let wait = missed.then(|| self.0.misses.miss(peer, Instant::now())).flatten();
        wait.map_or(response, pages::too_many)
    }

    fn unlock<B>(&self, host: &str, request: Request<B>, peer: IpAddr) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let (method, proxies) = (&parts.method, &self.0.proxies);
        let visit = Visit { method, host, path, query, headers: &parts.headers, peer, proxies };
        let (headers, within) = (parts.headers.clone(), self.0.body_timeout);
        let form = async move {
            body::read(&headers, body, FORM_MAX, within).await.map_err(|error| match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Slow => StatusCode::REQUEST_TIMEOUT,
                BodyError::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                BodyError::Broken => StatusCode::BAD_REQUEST,
            })
        };
        self.visited(self.0.visitor.unlock(&visit, form), &visit)
    }

    fn api<B>(&self, request: Request<B>, peer: IpAddr) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let dialect = api::dialect_of(request.uri().path());
        let peer = peer::of(peer, request.headers(), &self.0.proxies);
        self.later(Box::pin(self.0.api.clone().respond(request, peer)), Some(dialect))
    }

    fn later(
        &self,
        response: Pin<Box<dyn Future<Output = HttpResponse> + Send>>,
        dialect: Option<&'static dyn Dialect>,
    ) -> ResponseFuture {
        ResponseFuture::Later(Later { response, counts: Arc::clone(&self.0.counts), dialect })
    }
}

fn too_many(wait: Duration) -> HttpResponse {
    pages::too_many(wait).map(Content::Whole)
}

fn now(response: HttpResponse) -> ResponseFuture {
    ResponseFuture::Now(Some(response))
}

/// Whether nobody can read the length of this body otherwise than hyper does, which takes every list
/// of codings that ends in `chunked` for `chunked`, over several lines too.
fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// The refusal of a request that is not looked at: in the words of whose path it is.
fn refused(uri: &Uri, trouble: ServerError) -> HttpResponse {
    match Route::of(uri.path()) {
        Route::Api => api::troubled(api::dialect_of(uri.path()), trouble),
        _ => page(trouble.status()),
    }
}

fn target_length(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The same answer, and the connection's last: whoever spoke so cannot be trusted to frame the
/// next request.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn not_allowed() -> HttpResponse {
    let mut response = page(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, GET_AND_HEAD);
    response
}

/// A file that never changes.
fn fixed(kind: &'static str, text: &'static str) -> HttpResponse {
    let mut response = Response::new(Content::from(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod panics;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn t112_a_panic_on_the_way_is_500_and_counted() {
        let counts = Arc::new(Counts::default());
        for dialect in [None, Some(api::dialect_of("/api/v1/links"))] {
            let response = Box::pin(async { panic!("a handler's mistake") });
            let answering = ResponseFuture::Later(Later { response, counts: Arc::clone(&counts), dialect });
            let response = answering.await.expect("infallible");
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(counts.panics.get(), 2);
    }

    proptest! {
        #[test]
        fn no_target_panics(target in "/[!-~]{0,60}|http://[!-~]{0,60}|\\*|\\PC{0,40}") {
            if let Ok(uri) = target.parse::<Uri>() {
                let _ = (Route::of(uri.path()), target_length(&uri));
                let _ = host::of(hyper::Version::HTTP_10, &uri, &hyper::HeaderMap::new());
            }
        }
    }
}
