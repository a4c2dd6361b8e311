//! The service of all requests: it checks host and target, and routes by the path. A redirect from memory is
//! a response at once, without a box; everything else is a boxed future.
//!
//! A panic in a handler becomes 500 and is counted. It ends neither the connection nor the server.
//!
//! # Instructions of a redirect, compared with bare hyper
//!
//! A redirect costs 7,830 instructions in user space, without details of clicks. hyper with its timer, which sends
//! one fixed head to every request, costs 7,350, and 5,990 without the timer. With the 14 headers of a browser the
//! three cost 20,000, 19,300 and 17,900; the allocator adds or saves up to 150 of these from run to run. The parts
//! of a plain redirect by callgrind, each with all that it calls:
//!
//! | stage | where | instructions |
//! |---|---|---|
//! | exactly one well-formed Host | [`host::of`] | 210 |
//! | route of the path | [`Route::of`] | 20 |
//! | domain, and the spelling of the code | `Visitor::locate` | 190 |
//! | intent and user agent | `Head::read`, `Agents::look_up` | 90 (browser: 620) |
//! | directory, look-up, count | `Visitor::respond`, [`crate::cache`] | 400 |
//! | head with two headers, in the map of the request | [`ResponseFuture::of_redirect`] | 580; bare hyper needs as much, except for a map of its own: 300 (browser: 1,640) |
//! | passing request and response on, catching panics | here | 260 |
//! | joining responses, timing heads, searching for fragments | `conn::socket` and the files that it calls | 350 (browser: 420) |
//! | deadline for heads by hyper's timer | - | none, instead of 1,400 |
//! | checking for a shutdown | `conn::shutdown` | 15 |
//!
//! The compiler causes the rest of the difference: it lays hyper out differently in a larger program.
//!
//! To measure again: `benches/load/run B3`. For each function: build with
//! `CARGO_PROFILE_RELEASE_STRIP=false CARGO_PROFILE_RELEASE_DEBUG=1`, run
//! `TOKIO_WORKER_THREADS=1 valgrind --tool=callgrind --separate-threads=yes target/release/waypost`,
//! send N requests, dump with `callgrind_control -d`, send 2 N, dump again, and divide the difference by N.
//! `cargo bench --bench redirect` measures times of the same parts. `cargo bench --bench allocations` shows
//! that Waypost allocates nothing on a hit.

mod future;
mod https;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use self::future::{AddedHeaders, panicked};
pub use self::future::{Later, ResponseFuture};
pub use self::https::HttpsPolicy;
use super::admin::Admin;
use super::api::openapi::Description;
use super::conn::listener::Scheme;
use super::conn::server::Settings;
use super::miss_limit::MissLimit;
use super::route::Route;
use crate::http::api::Api;
use crate::http::api::dialect::{Dialect, ServerError};
use crate::http::api::ops::Ops;
use crate::http::api::registry::dialect_of;
use crate::http::api::response::server_error;
use crate::http::body::{self, BodyError, Content, HttpResponse};
use crate::http::counts::{HttpCounts, RedirectCount};
use crate::http::dates::Dates;
use crate::http::host;
use crate::model::attachment::AttachmentUse;
use crate::visit::host_misses::HostMisses;
use crate::visit::miss::Miss;
use crate::visit::peer::{self, TrustedProxies};
use crate::visit::redirect::PlainRedirect;
use crate::visit::unlock::FORM_MAX;
use crate::visit::validity::LinkNotFound;
use crate::visit::{Visit, VisitResponse, Visitor, pages};

/// Longest request target in bytes, as in nginx and most reverse proxies. Past it: 414.
const TARGET_MAX: usize = 8 * 1024;

const GET_AND_HEAD: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// Crawlers may follow short links, as visitors do. The APIs have no pages for them.
const ROBOTS: &str = "User-agent: *\nDisallow: /api/\n";

/// A signpost of 16 by 16 pixels.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<path d=\"M7 1h2v2h4l2 2-2 2H9v8H7V7H3V3h4z\" fill=\"#0f766e\"/></svg>";

/// The service of all connections. Cheap to clone: all clones share one state.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

/// The service of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    service: Service,
    /// As IPv4 also if the socket is one of IPv6: written so once for all requests.
    peer: IpAddr,
    scheme: Scheme,
    /// Counts the redirects of this connection and some others.
    redirects: Arc<RedirectCount>,
}

#[derive(Debug)]
struct Shared {
    visitor: Visitor,
    api: Api,
    admin: Admin,
    ops: Arc<Ops>,
    description: Description,
    counts: Arc<HttpCounts>,
    dates: Dates,
    body_timeout: Duration,
    proxies: TrustedProxies,
    /// `None` on a server without HTTPS.
    https: Option<HttpsPolicy>,
    misses: MissLimit,
    /// Limits requests for health and readiness like misses. It is a count of its own, so that a scanner
    /// behind the same proxy does not make a supervisor restart the server.
    probes: MissLimit,
}

impl Service {
    /// Creates the service. Each address may have this number of `misses` a minute.
    pub fn new(
        visitor: Visitor,
        api: Api,
        ops: Ops,
        counts: Arc<HttpCounts>,
        settings: &Settings,
        https: Option<HttpsPolicy>,
        misses: u32,
    ) -> Service {
        let body_timeout = settings.body_timeout;
        let proxies = visitor.trusted_proxies(settings.proxies().expect("the configuration was checked"));
        let ops = Arc::new(ops);
        let (description, misses, probes) = (api.describe(), MissLimit::new(misses), MissLimit::new(misses));
        Service(Arc::new(Shared {
            visitor,
            admin: Admin::new(api.clone(), Arc::clone(&ops), settings),
            api,
            ops,
            description,
            counts,
            dates: Dates::default(),
            body_timeout,
            proxies,
            https,
            misses,
            probes,
        }))
    }

    /// Returns the counts of requests for hosts that are no domain.
    pub fn host_misses(&self) -> &Arc<HostMisses> {
        self.0.visitor.host_misses()
    }

    /// Returns the `Date` of its responses, which the caller is to keep right with [`Dates::watch`].
    pub fn dates(&self) -> &Dates {
        &self.0.dates
    }

    /// Creates the service of a connection from this address.
    pub fn connect(&self, peer: IpAddr, scheme: Scheme) -> Connection {
        let peer = peer.to_canonical();
        Connection { service: self.clone(), peer, scheme, redirects: self.0.counts.redirects() }
    }
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

    // No response has a name here: the compiler would move it once more.
    fn call(&self, mut request: Request<B>) -> ResponseFuture {
        let service = &self.service;
        // Before the response, which takes the headers of the request.
        let added = AddedHeaders { hsts: self.hsts(&request), date: service.0.dates.own() };
        let began = self.redirects.begin();
        match service.caught(|| self.route(&request)) {
            // Created here and not in `route`: each further move of a response costs instructions.
            Some(Routed::Redirect(redirect)) => {
                service.0.counts.redirected(&self.redirects, began);
                ResponseFuture::of_redirect(redirect, request.headers_mut(), added)
            }
            Some(Routed::Answered(response)) => self.finish(Some(response), began, added),
            // By value for these alone: a move of the request costs instructions as well.
            Some(Routed::Api) => {
                self.finish(service.caught(|| service.api(request, self.peer)), began, added)
            }
            Some(Routed::Admin { host }) => {
                self.finish(service.caught(|| service.admin(request, host, self.peer)), began, added)
            }
            Some(Routed::Submit { host }) => {
                self.finish(service.caught(|| service.submit(&host, request, self.peer)), began, added)
            }
            None => self.finish(None, began, added),
        }
    }
}

impl Connection {
    fn route<B: Body>(&self, request: &Request<B>) -> Routed {
        match self.answer_plain(request) {
            Some(response) => response.into(),
            None => self.service.route(request, self.peer),
        }
    }

    /// Returns the response to a request over HTTP that is not served there, on a server with HTTPS.
    fn answer_plain<B: Body>(&self, request: &Request<B>) -> Option<HttpResponse> {
        let Service(shared) = &self.service;
        let https = shared.https.as_ref().filter(|_| self.scheme == Scheme::Http)?;
        https.answer_plain(request, self.peer, &shared.proxies.networks)
    }

    /// Returns the value of `Strict-Transport-Security` for a request over HTTPS.
    fn hsts<B: Body>(&self, request: &Request<B>) -> Option<&HeaderValue> {
        let https = self.service.0.https.as_ref().filter(|_| self.scheme == Scheme::Https)?;
        https.hsts(request)
    }

    /// Counts a response that is complete, or has it counted once it is, and adds headers. `None` is that of a handler
    /// that panicked.
    fn finish(
        &self,
        response: Option<ResponseFuture>,
        began: Option<Instant>,
        added: AddedHeaders<'_>,
    ) -> ResponseFuture {
        let mut response = response.unwrap_or_else(|| now(panicked()));
        match &mut response {
            ResponseFuture::Now(Some(response)) => {
                self.service.0.counts.answered(response.status(), &self.redirects, began);
            }
            ResponseFuture::Now(None) => {}
            ResponseFuture::Later(later) => later.redirects = Some((Arc::clone(&self.redirects), began)),
        }
        response.add(added);
        response
    }
}

/// The result of routing. Handlers of a body get the request afterwards, since moving it costs instructions.
enum Routed {
    /// A plain redirect.
    Redirect(PlainRedirect),
    /// A response that needs no body.
    Answered(ResponseFuture),
    Api,
    /// A request for the dashboard, at this host.
    Admin {
        host: String,
    },
    /// Another method than GET and HEAD for a link, at this host.
    Submit {
        host: String,
    },
}

impl From<HttpResponse> for Routed {
    fn from(response: HttpResponse) -> Routed {
        Routed::Answered(now(response))
    }
}

impl Service {
    /// Runs `work`. Returns `None` if it panicked, which is counted.
    //
    // Unwind safe: only the request may be left incomplete, and it is dropped. Shared state is atomics and
    // locks without poisoning.
    fn caught<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| self.0.counts.panics.add()).ok()
    }

    fn route<B: Body>(&self, request: &Request<B>, peer: IpAddr) -> Routed {
        let uri = request.uri();
        // The connection ends with each of the first three errors: a proxy before this server may have read
        // such a request in another way, and could take the next response for one to another request.
        let Ok(host) = host::of(request.version(), uri, request.headers()) else {
            return closing(rejected(uri, ServerError::BadHost)).into();
        };
        if target_length(uri) > TARGET_MAX {
            return closing(rejected(uri, ServerError::LongTarget)).into();
        }
        if !request.body().is_end_stream() && !is_framed_plainly(request.headers()) {
            return closing(page(StatusCode::BAD_REQUEST)).into();
        }
        let method = request.method();
        let route = Route::of(uri.path());
        // TRACE, CONNECT and `OPTIONS *` concern the server or the connection, never a resource. The APIs
        // reject them like any other method, in the format of their vendors.
        let is_of_server = matches!(*method, Method::TRACE | Method::CONNECT) || !uri.path().starts_with('/');
        if is_of_server && route != Route::Api {
            return closing(not_allowed()).into();
        }
        if route == Route::Api {
            return Routed::Api;
        }
        if route == Route::Admin {
            return Routed::Admin { host: host.into_owned() };
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return match route {
                // The only requests of visitors that may have a body.
                Route::Visit | Route::Contact => Routed::Submit { host: host.into_owned() },
                _ => not_allowed().into(),
            };
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
            Route::AppleApps | Route::AndroidApps => {
                let (path, query, headers) = (uri.path(), uri.query(), request.headers());
                let visit =
                    Visit { method, host: &host, path, query, headers, peer, proxies: &self.0.proxies };
                let used = if route == Route::AppleApps {
                    AttachmentUse::AppleApps
                } else {
                    AttachmentUse::AndroidApps
                };
                match self.0.visitor.app_links(used, &visit) {
                    Some(response) => return Routed::Answered(self.visited(response, &visit)),
                    None => self.unknown(headers, peer),
                }
            }
            Route::Health | Route::Ready => self.probed(route, request.headers(), peer),
            Route::Metrics | Route::Description | Route::Docs => {
                self.documented(route, request.headers(), peer)
            }
            Route::Robots => fixed("text/plain; charset=utf-8", ROBOTS),
            Route::Icon => fixed("image/svg+xml", ICON),
            // Scanners request these paths, so they count like unknown codes. The other two were returned
            // above.
            Route::Unknown | Route::Api | Route::Admin => self.unknown(request.headers(), peer),
        };
        response.into()
    }

    /// Responds to a request for a reserved path that has nothing.
    fn unknown(&self, headers: &HeaderMap, peer: IpAddr) -> HttpResponse {
        let peer = peer::of(peer, headers, &self.0.proxies.networks);
        let wait = self.0.misses.miss(peer, Instant::now());
        wait.map_or_else(|| page(StatusCode::NOT_FOUND), too_many)
    }

    /// Responds to a request for health or readiness.
    fn probed(&self, route: Route, headers: &HeaderMap, peer: IpAddr) -> HttpResponse {
        let peer = peer::of(peer, headers, &self.0.proxies.networks);
        match self.0.probes.miss(peer, Instant::now()) {
            Some(wait) => too_many(wait),
            None if route == Route::Ready => self.0.ops.ready(),
            None => self.0.ops.health(),
        }
    }

    /// Responds to a request for metrics or the description, within the limits of its key or address.
    fn documented(&self, route: Route, headers: &HeaderMap, peer: IpAddr) -> HttpResponse {
        let Shared { ops, api, description, .. } = &*self.0;
        let peer = peer::of(peer, headers, &self.0.proxies.networks);
        // Also a public page is limited: each rendering of the metrics reads all parts.
        let is_for_operator = route == Route::Metrics && !ops.is_public;
        let rejected = if is_for_operator {
            api.reject_unless_operator(headers, peer)
        } else {
            api.reject_if_too_many(peer)
        };
        if let Some(rejected) = rejected {
            return rejected;
        }
        match route {
            Route::Metrics => ops.metrics(headers),
            Route::Description => description.json(),
            _ => description.page(),
        }
    }

    /// Responds to a visit.
    fn visited(&self, response: VisitResponse, visit: &Visit<'_>) -> ResponseFuture {
        match response {
            VisitResponse::Plain(redirect) => now(redirect.respond(&mut HeaderMap::new())),
            VisitResponse::Now(response) if response.extensions().get::<LinkNotFound>().is_none() => {
                now(response.map(Content::Whole))
            }
            VisitResponse::Now(response) => {
                let response = self.limited(response, visit.address(), || self.0.visitor.miss(visit));
                now(response.map(Content::Whole))
            }
            // Whether it is a miss is known only with the response.
            VisitResponse::Later(response) => {
                let (service, address) = (self.clone(), visit.address());
                let miss = self.0.visitor.miss(visit).map(Miss::into_owned);
                let response =
                    async move { service.limited(response.await, address, move || miss).map(Content::Whole) };
                self.later(Box::pin(response), None)
            }
        }
    }

    /// Returns the response, or 429 if it is a miss and its address had too many. Any other miss is kept for the
    /// analytics.
    fn limited<'a>(
        &self,
        response: Response<Full<Bytes>>,
        peer: IpAddr,
        miss: impl FnOnce() -> Option<Miss<'a>>,
    ) -> Response<Full<Bytes>> {
        if response.extensions().get::<LinkNotFound>().is_none() {
            return response;
        }
        if let Some(wait) = self.0.misses.miss(peer, Instant::now()) {
            return pages::too_many(wait);
        }
        if let Some(miss) = miss() {
            self.0.visitor.note_miss(&miss);
        }
        response
    }

    /// Responds to a visit with another method than GET and HEAD.
    fn submit<B>(&self, host: &str, request: Request<B>, peer: IpAddr) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let (method, proxies) = (&parts.method, &self.0.proxies);
        let visit = Visit { method, host, path, query, headers: &parts.headers, peer, proxies };
        // A copy, since the form is read while `visit` still borrows the head.
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
        let response = match self.0.visitor.submit(&visit, form) {
            // The form may be dropped unread. The pause is that of `Api::respond`.
            VisitResponse::Later(response) => VisitResponse::Later(Box::pin(async move {
                let response = response.await;
                tokio::task::yield_now().await;
                response
            })),
            response => response,
        };
        self.visited(response, &visit)
    }

    fn api<B>(&self, request: Request<B>, peer: IpAddr) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let dialect = dialect_of(request.uri().path());
        let peer = peer::of(peer, request.headers(), &self.0.proxies.networks);
        self.later(Box::pin(self.0.api.clone().respond(request, peer)), Some(dialect))
    }

    fn admin<B>(&self, request: Request<B>, host: String, peer: IpAddr) -> ResponseFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let peer = peer::of(peer, request.headers(), &self.0.proxies.networks);
        self.later(Box::pin(self.0.admin.clone().respond(request, host, peer)), None)
    }

    fn later(
        &self,
        response: Pin<Box<dyn Future<Output = HttpResponse> + Send>>,
        dialect: Option<&'static dyn Dialect>,
    ) -> ResponseFuture {
        let counts = Arc::clone(&self.0.counts);
        ResponseFuture::Later(Later { response, counts, dialect, redirects: None, added: Vec::new() })
    }
}

fn too_many(wait: Duration) -> HttpResponse {
    pages::too_many(wait).map(Content::Whole)
}

fn now(response: HttpResponse) -> ResponseFuture {
    ResponseFuture::Now(Some(response))
}

/// Returns whether every server reads the length of this body as hyper does. hyper treats each list of
/// codings that ends in `chunked` as `chunked`, also over several lines; other servers may not.
fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Renders an error of a request that is not routed: in the dialect of its path, or as a page.
fn rejected(uri: &Uri, error: ServerError) -> HttpResponse {
    match Route::of(uri.path()) {
        Route::Api => server_error(dialect_of(uri.path()), error),
        _ => page(error.status()),
    }
}

fn target_length(uri: &Uri) -> usize {
    // The scheme is left out: it is a few bytes, and hyper has bounded the whole head.
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// Makes a response the last one of its connection: where the next request begins is uncertain after such a
/// request.
fn closing(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn not_allowed() -> HttpResponse {
    let mut response = page(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, GET_AND_HEAD);
    response
}

/// Responds with a file that never changes.
fn fixed(kind: &'static str, text: &'static str) -> HttpResponse {
    let mut response = Response::new(Content::from(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A day: these files change with the program only, and browsers would request the icon again and again.
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
    async fn t112_a_panic_of_a_response_is_500_and_counted() {
        let counts = Arc::new(HttpCounts::default());
        for dialect in [None, Some(dialect_of("/api/v1/links"))] {
            let response = Box::pin(async { panic!("a fault of a handler") });
            let redirects = Some((counts.redirects(), None));
            let answering = ResponseFuture::Later(Later {
                response,
                counts: Arc::clone(&counts),
                dialect,
                redirects,
                added: Vec::new(),
            });
            let response = answering.await.expect("infallible");
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!((counts.panics.get(), counts.of_class(5)), (2, 2));
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
