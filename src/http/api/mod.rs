//! The JSON APIs: one dispatcher for all dialects. Keys, limits, idempotency and execution are implemented
//! once, here; what differs between vendors is in the folder of their dialect ([`registry`]).
//!
//! Responses are never cached and never sniffed. They carry no CORS headers, because keys do not belong on
//! the pages of other sites. Every response is JSON with a body, also an error.

pub mod admission;
mod authorize;
mod bad_request;
mod conditions;
pub(crate) mod credentials;
pub mod dialect;
pub(crate) mod execute;
mod highlevel;
mod idempotency;
pub(in crate::http) mod in_process;
mod linquid;
mod live_stream;
pub mod native;
mod once;
pub mod openapi;
pub mod ops;
mod parameters;
pub mod query;
pub(crate) mod registry;
pub(super) mod response;
mod rules;
mod snapshots;
mod streamed_list;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Body;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode, Version};

use self::admission::concurrency::{Concurrency, Slot};
use self::admission::largest::largest;
use self::admission::rate::{self, Limits};
use self::admission::response_budget::{Done, ResponseBudget};
use self::credentials::NoCredential;
use self::dialect::{
    Allowance, ApiError, BodyKind, Command, Dialect, Endpoint, PathMatch, QueryWarnings, RequestParts,
    ServerError, WorkspaceRule,
};
use self::execute::Answered;
pub use self::execute::Backend;
use self::idempotency::Posted;
use self::once::Idempotent;
use self::openapi::Description;
use self::query::Query;
use self::registry::{NATIVE, dialect_of};
use self::response::render;
use super::conn::server::Settings;
use crate::clock::Timestamp;
use crate::core::{Caller, Client, Context, ObjectRevision};
use crate::fair::FairPermit;
use crate::http::body::HttpResponse;
use crate::http::counts::HttpCounts;
use crate::model::key::{Reach, Scope};
use crate::model::tenant::Tenant;

/// What is wrong with an `Authorization` of one word.
const NO_BEARER: &str = "`Bearer` is missing: send the key as `Authorization: Bearer KEY`";

/// What is wrong with an `Authorization` of another scheme, without `X-API-Key`.
const OTHER_SCHEME: &str = "this server takes the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`";

/// What is wrong with a key in the address of a request.
const KEY_IN_QUERY: &str = "a key in the address ends up in logs and histories: replace this key, and send it as \
                            `Authorization: Bearer KEY`";

/// The APIs. Cheap to clone: all clones share one state.
#[derive(Clone, Debug)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    backend: Backend,
    commands: Idempotent,
    counts: Arc<HttpCounts>,
    limits: Limits,
    body_timeout: Duration,
    max_body: usize,
    max_bulk_body: usize,
    concurrency: Concurrency,
    response_budget: ResponseBudget,
    /// Starts at a random number, so that the numbers of two runs differ in the logs.
    requests: AtomicU64,
}

/// A request whose key is valid and within its limits.
#[derive(Debug)]
struct Admitted {
    caller: Caller,
    /// Charged for all that the request holds.
    tenant: Tenant,
}

/// What a request holds while its command runs, and what bounds its response.
#[derive(Debug)]
struct InFlight {
    slot: Slot,
    bulk: Option<Slot>,
    version: Version,
    /// The length of its body.
    body: usize,
    /// Whether links of the response show their clicks of the last days.
    shows_recent: bool,
}

impl Api {
    /// Creates the APIs over this backend.
    pub fn new(
        backend: Backend,
        settings: &Settings,
        limits: &rate::Settings,
        counts: Arc<HttpCounts>,
    ) -> Api {
        // Without randomness numbers start at 0. They are still unique within the run, which is required.
        let first = getrandom::u64().unwrap_or(0);
        Api(Arc::new(Shared {
            commands: Idempotent::new(backend.clone()),
            backend,
            counts,
            limits: Limits::new(limits),
            body_timeout: settings.body_timeout,
            max_body: settings.max_body,
            max_bulk_body: settings.max_bulk_body,
            concurrency: Concurrency::new(settings.body_timeout),
            response_budget: ResponseBudget::new(settings.body_timeout),
            requests: AtomicU64::new(first),
        }))
    }

    /// Responds to one request from this address.
    pub async fn respond<B>(self, request: Request<B>, peer: IpAddr) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send,
    {
        let started = Instant::now();
        let number = self.next_request();
        let (mut parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let dialect = dialect_of(parts.uri.path());
        let matched = dialect::find(dialect.endpoints(), &parts.method, parts.uri.path());
        // Set as soon as the request is counted, since the response to an error shows it as well.
        let mut allowance = None;
        let rendered = |result, allow| render(dialect, result, Some(number), allow, has_body);
        // Only a method and a template of ours are logged: the client chooses all other text.
        let (mut response, method, path) = match matched {
            PathMatch::Endpoint(endpoint, _) => {
                let response = match self.admit(&parts.headers, peer, &mut allowance) {
                    Ok(admitted) => {
                        let tenant = admitted.tenant.clone();
                        let done = self.serve(admitted, dialect, endpoint, &mut parts, body, number).await;
                        // A write is not rejected after it was done, and its response is not 304.
                        let is_get = endpoint.method == "GET";
                        let budget = &self.0.response_budget;
                        let response = budget.respond(parts.version, done, &tenant, is_get, rendered).await;
                        if is_get { conditions::unless_current(&parts.headers, response) } else { response }
                    }
                    Err(ApiError::NoKey) if credentials::is_in_query(parts.uri.query()) => {
                        rendered(Err(ApiError::BadScheme(KEY_IN_QUERY)), None)
                    }
                    Err(error) => rendered(Err(error), None),
                };
                (response, parts.method.as_str(), endpoint.template)
            }
            PathMatch::Methods(allow) => {
                let wrong = ApiError::WrongMethod(allow.as_str().into());
                let error = self.no_endpoint(&parts, peer, &mut allowance, wrong);
                (rendered(Err(error), Some(allow)), "-", "-")
            }
            PathMatch::Nothing => {
                let error = self.no_endpoint(&parts, peer, &mut allowance, ApiError::NoEndpoint);
                (rendered(Err(error), None), "-", "-")
            }
        };
        if has_body {
            // hyper ends the connection behind a body that was dropped unread and has not arrived, but finds
            // it out only when it reads again. Without this pause, the response would promise to keep the
            // connection.
            tokio::task::yield_now().await;
        }
        if let Some(allowance) = allowance {
            let now = self.0.backend.links.clock().now();
            response.headers_mut().extend(dialect.rate_headers(&allowance, now));
        }
        self.count(response.status());
        tracing::info!(
            dialect = dialect.name(),
            method,
            path,
            status = response.status().as_u16(),
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            request = %format_args!("{number:016x}"),
            "API request"
        );
        response
    }

    /// Returns the parts that commands run on.
    pub(in crate::http) fn backend(&self) -> &Backend {
        &self.0.backend
    }

    /// Returns the number of a new request.
    fn next_request(&self) -> u64 {
        // 0 means "no request" in the log.
        self.0.requests.fetch_add(1, Ordering::Relaxed).max(1)
    }

    /// Returns the description of the APIs, for machines and for people.
    pub(crate) fn describe(&self) -> Description {
        Description::new(self.0.backend.links.site().base_url())
    }

    /// Returns the error response to a request for what only the operator may see, or `None` if the request
    /// has a key of the whole instance with the admin scope that may do more than create links. Any other
    /// valid key gets 403, all other requests get 401. Each request counts against the limits of its key or
    /// address.
    pub(crate) fn reject_unless_operator(&self, headers: &HeaderMap, peer: IpAddr) -> Option<HttpResponse> {
        let caller = self.caller(headers, self.0.backend.links.clock().now());
        let may_see = match &caller {
            Ok(caller)
                if caller.reach() == Reach::Instance
                    && caller.scopes().allow(Scope::MetricsRead)
                    && !caller.is_create_only() =>
            {
                Ok(())
            }
            Ok(_) => Err(ApiError::Forbidden(
                "this needs an API key of the whole instance with the scope metrics.readonly or admin".into(),
            )),
            Err(error) => Err(error.clone()),
        };
        // Counted also if it may not see it: otherwise keys could be tried here without a limit.
        let allowance = match &caller {
            Ok(caller) => self.0.limits.request(caller, &self.0.backend.tenants.tenant_of(&caller.reach())),
            Err(_) => self.0.limits.refused(peer),
        };
        allowance.error().or(may_see.err()).map(|error| self.error_response(error))
    }

    /// Returns the error response to a request for what anyone may see, or `None` if its address is within
    /// its limit: as many requests a minute as without a valid key, counted apart from those.
    pub(crate) fn reject_if_too_many(&self, peer: IpAddr) -> Option<HttpResponse> {
        self.0.limits.open(peer).error().map(|error| self.error_response(error))
    }

    /// Renders an error outside the dialects.
    fn error_response(&self, error: ApiError) -> HttpResponse {
        let response = render(&NATIVE, Err(error), None, None, false);
        self.count(response.status());
        response
    }

    fn count(&self, status: StatusCode) {
        let counts = &self.0.counts;
        match status.as_u16() {
            ..400 => counts.api_ok.add(),
            400..500 => counts.api_refused.add(),
            500.. => counts.api_failed.add(),
        }
    }

    /// Returns the caller of a request, if the key is valid and within its limits. Before the body is read:
    /// a request without a valid key must not cost 8 MB of reading.
    fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
    ) -> Result<Admitted, ApiError> {
        let Backend { links, tenants, .. } = &self.0.backend;
        // Keys are records of the store: before it is loaded, every key would be unknown.
        if !links.is_ready() {
            return Err(ServerError::NotReady.into());
        }
        let admitted = self.caller(headers, links.clock().now()).map(|caller| {
            let tenant = tenants.tenant_of(&caller.reach());
            Admitted { caller, tenant }
        });
        let counted = match &admitted {
            Ok(Admitted { caller, tenant }) => self.0.limits.request(caller, tenant),
            Err(_) => self.0.limits.refused(peer),
        };
        *allowance = Some(counted);
        counted.error().map_or(admitted, Err)
    }

    /// Counts a request without an endpoint like any other, and returns its error. The error does not depend
    /// on the key, unless the request exceeds a limit.
    fn no_endpoint(
        &self,
        parts: &Parts,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
        error: ApiError,
    ) -> ApiError {
        match self.admit(&parts.headers, peer, allowance) {
            Err(too_many @ ApiError::TooMany(_)) => too_many,
            _ => error,
        }
    }

    async fn serve<B>(
        &self,
        Admitted { caller, tenant }: Admitted,
        dialect: &'static dyn Dialect,
        endpoint: &'static Endpoint,
        parts: &mut Parts,
        body: B,
        request: u64,
    ) -> Result<Done, ApiError>
    where
        B: Body<Data = Bytes> + Send,
    {
        let Backend { links, tenants, .. } = &self.0.backend;
        let bulk = match endpoint.body {
            // Boxed: the futures of all other requests would contain the wait as well.
            BodyKind::Bulk => Some(Box::pin(self.0.concurrency.bulk(&tenant)).await?),
            BodyKind::None | BodyKind::Plain => None,
        };
        // Read before the body, since the wait for a body drops the headers.
        let header = authorize::named_workspace(&parts.headers);
        let object = if dialect.has_revisions() {
            conditions::parse(&parts.headers, endpoint.method == "GET")
        } else {
            Ok(ObjectRevision::default())
        };
        let key = if endpoint.method == "POST" { idempotency::key(&parts.headers) } else { Ok(None) };
        let body = self.read(endpoint.body, &tenant, parts, body).await?;
        // The key may have been revoked since the head arrived.
        self.0.commands.check(caller.credential())?;
        let slot = self.0.concurrency.slot(&tenant)?;
        // Matched again: `id` borrows the target, which the wait for a body replaces by a copy.
        let path = parts.uri.path();
        let PathMatch::Endpoint(_, id) = dialect::find(dialect.endpoints(), &parts.method, path) else {
            return Err(ApiError::NoEndpoint);
        };
        let request_parts = RequestParts { id, query: Query::parse(parts.uri.query()), body: &body };
        let mut scoped = (endpoint.parse)(&request_parts).map_err(ApiError::BadRequest)?;
        if !live_stream::is_wanted(parts.version, &parts.headers) {
            scoped.command = scoped.command.without_stream().map_err(ApiError::BadRequest)?;
        }
        let mut warnings = std::mem::take(&mut scoped.warnings);
        let mut in_header = parameters::warnings(&request_parts.query, dialect.query_warnings());
        // A list of links is streamed, and has all of them in its header.
        if dialect.query_warnings() == QueryWarnings::InBody {
            warnings.append(&mut in_header);
        }
        authorize::permit(&caller, &scoped.command)?;
        let rule = dialect.workspace_rule();
        let workspace = authorize::workspace(tenants, &caller, &scoped, header?.as_deref(), rule)?;
        // The slash at the end is removed: both spellings are one endpoint, and so one request.
        let claim = key.map_err(ApiError::BadRequest)?.map(|key| {
            idempotency::claim(
                &key,
                &Posted {
                    caller: caller.key(),
                    path: path.strip_suffix('/').unwrap_or(path),
                    workspace: workspace.id.as_str(),
                    query: parts.uri.query().unwrap_or(""),
                    body: &body,
                },
            )
        });
        let is_confined = scoped.workspace.is_some() && rule == WorkspaceRule::Confines;
        let reach = if is_confined { Reach::Workspace(workspace.number) } else { caller.reach() };
        let (key, scopes) = (caller.credential(), caller.scopes());
        let now = links.clock().now();
        let client = Client::default();
        // Most POSTs create an object, which has no revision yet. The tag of a picture is that of its content.
        let is_of_none = endpoint.method == "POST" && !scoped.command.is_undo();
        let object =
            if is_of_none || scoped.command.is_picture() { ObjectRevision::default() } else { object? };
        let (seen, is_get) = (object.clone(), endpoint.method == "GET");
        let context = Context { key, reach, scopes, tenant, workspace, request, now, claim, client, object };
        let shows_recent = dialect.shows_recent_clicks();
        let in_flight = InFlight { slot, bulk, version: parts.version, body: body.len(), shows_recent };
        // The command has what it needs of the body: a wait for room must not keep the rest.
        drop(body);
        // Boxed: a request that waits for its body would contain the rest as well.
        let run = Box::pin(self.run(context, scoped.command, is_get, in_flight));
        let (answered, room) = run.await?;
        // An outcome of an earlier request has none: its object may have changed since.
        let revision = if dialect.has_revisions() && answered.has_revision() { seen.seen() } else { None };
        // Other dialects have no place for them in an answer.
        if let (Answered::Reply(reply), QueryWarnings::InBody) = (&answered, dialect.query_warnings()) {
            warnings.extend(reply.idle_rules(now));
        }
        let mut payload = answered.render(endpoint, &warnings)?.with_revision(revision);
        payload.warnings.append(&mut in_header);
        Ok(Done { payload, room })
    }

    /// Runs a command once there is room for its response.
    async fn run(
        &self,
        context: Context,
        command: Command,
        is_get: bool,
        InFlight { slot, bulk, version, body, shows_recent }: InFlight,
    ) -> Result<(Answered, Option<FairPermit>), ApiError> {
        let budget = &self.0.response_budget;
        let most = budget.most(&context.tenant);
        let room = match largest(&self.0.backend, &context, &command, version, body, most).await? {
            Some(bytes) => Some(budget.acquire(&context.tenant, bytes).await?),
            None => None,
        };
        if is_get {
            // In the task of the connection: a client that hangs up cancels the read.
            let _slot = slot;
            let answered = self.0.commands.run(&context, command).await?;
            return Ok((execute::with_recent(&self.0.backend.links, answered, shows_recent).await, room));
        }
        // In a task of its own: a client that hangs up must not stop a write between log, table and cache,
        // nor let a repeated request start beside it. Long work before the first write checks `client`.
        let _client = context.client.wait();
        let (commands, links) = (self.0.commands.clone(), self.0.backend.links.clone());
        let task = tokio::spawn(async move {
            let _until_done = (slot, bulk);
            let answered = commands.run(&context, command).await?;
            Ok((execute::with_recent(&links, answered, shows_recent).await, room))
        });
        match task.await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                // The service catches the panic, counts it and responds 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => Err(ServerError::NotReady.into()),
            },
        }
    }

    fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, ApiError> {
        let secret = credentials::secret(headers).map_err(|no| match no {
            NoCredential::Missing => ApiError::NoKey,
            NoCredential::NoScheme => ApiError::BadScheme(NO_BEARER),
            NoCredential::OtherScheme => ApiError::BadScheme(OTHER_SCHEME),
            NoCredential::Ambiguous => ApiError::BadKey,
        })?;
        self.0.backend.tenants.authenticate(secret, now).ok_or(ApiError::BadKey)
    }

    /// Reads a body. A body that has not arrived yet is charged to its tenant, and rejected past the share
    /// of the tenant. A large body has a bulk slot instead, and is never rejected here.
    async fn read<B>(
        &self,
        kind: BodyKind,
        tenant: &Tenant,
        parts: &mut Parts,
        body: B,
    ) -> Result<Bytes, ApiError>
    where
        B: Body<Data = Bytes>,
    {
        let max = match kind {
            BodyKind::None => return Ok(Bytes::new()),
            BodyKind::Plain => self.0.max_body,
            BodyKind::Bulk => self.0.max_bulk_body,
        };
        let mut waiting = None;
        let admit = |bytes| {
            waiting = self.0.concurrency.body(tenant, bytes);
            kind == BodyKind::Bulk || waiting.is_some()
        };
        upload::read(parts, body, max, self.0.body_timeout, admit).await
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONNECTION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};

    use super::response::{REQUEST_ID, server_error};
    use super::*;

    #[test]
    fn every_response_is_json_without_caching() {
        let response = server_error(&NATIVE, ServerError::Internal);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let shown: Vec<_> =
            response.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let want = [
            "content-type: \"application/json; charset=utf-8\"",
            "cache-control: \"no-store\"",
            "x-content-type-options: \"nosniff\"",
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn errors_have_the_headers_of_their_status() {
        let header = |error: ApiError, name: HeaderName, has_body| {
            let response = render(&NATIVE, Err(error), Some(7), None, has_body);
            response.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(header(ApiError::NoKey, WWW_AUTHENTICATE, false), some("Bearer"));
        assert_eq!(header(ApiError::NoKey, CONNECTION, false), None);
        assert_eq!(header(ApiError::NoKey, CONNECTION, true), some("close"));
        assert_eq!(header(ServerError::NotReady.into(), RETRY_AFTER, false), some("5"));
        assert_eq!(header(ServerError::DiskFull.into(), RETRY_AFTER, false), some("30"));
        assert_eq!(header(ApiError::NoCredits, REQUEST_ID, false), some("0000000000000007"));
    }
}
