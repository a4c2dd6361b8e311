//! The JSON APIs: [`DIALECTS`], and the one dispatcher behind them. Keys, limits, idempotency and
//! execution are written once, here; what differs between vendors is in their dialect's folder.
//!
//! Answers are never cached, never sniffed, carry no CORS headers (keys do not belong into other
//! sites' pages), and are JSON with a body whatever happens.

pub mod admission;
mod bad_request;
pub(crate) mod credentials;
pub mod dialect;
mod execute;
mod highlevel;
mod idempotency;
mod linquid;
pub mod native;
pub mod openapi;
pub mod ops;
pub mod query;
mod response;
mod snapshots;
mod streamed_list;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode, Version};

use self::admission::concurrency::{Concurrency, Slot};
use self::admission::largest::largest;
use self::admission::rate::{self, Allowance, Limits};
use self::admission::response_budget::{Done, ResponseBudget};
use self::credentials::NoCredential;
use self::dialect::{
    ApiError, BadRequest, BodyKind, Command, Dialect, Endpoint, Found, Reply, RequestParts, ServerError,
    WorkspaceRule,
};
use self::execute::Answered;
pub use self::execute::Backend;
use self::highlevel::links::HighLevelLinks;
use self::highlevel::snapshots::HighLevelSnapshots;
use self::idempotency::{Posted, ScopeLocks};
use self::linquid::Linquid;
use self::native::Native;
use self::openapi::Description;
use self::query::Query;
pub(super) use self::response::respond;
use self::response::{Payload, render, rendered};
use super::conn::server::Settings;
use crate::clock::Timestamp;
use crate::core::{Caller, Client, Context, Credential, Previous};
use crate::fair::FairPermit;
use crate::http::body::HttpResponse;
use crate::http::counts::Counts;
use crate::model::Invalid;
use crate::model::key::{Reach, Scope};
use crate::model::tenant::Tenant;

/// Every dialect; the first that claims a path words its answers.
pub(crate) static DIALECTS: &[&dyn Dialect] = &[&NATIVE, &Linquid, &HighLevelLinks, &HighLevelSnapshots];

/// Also words refusals on paths that nobody claims.
static NATIVE: Native = Native;

const WORKSPACE: HeaderName = HeaderName::from_static("x-workspace-id");

/// The APIs. A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    backend: Backend,
    counts: Arc<Counts>,
    scope_locks: ScopeLocks,
    limits: Limits,
    body_timeout: Duration,
    max_body: usize,
    max_bulk_body: usize,
    concurrency: Concurrency,
    response_budget: ResponseBudget,
    /// Starts at a random number, so that ids of two runs do not meet in the logs.
    requests: AtomicU64,
}

/// A request that may be served.
#[derive(Debug)]
struct Admitted {
    caller: Caller,
    /// To whom what it holds is charged.
    tenant: Tenant,
}

/// What a request holds while its command runs, and what its answer depends on.
#[derive(Debug)]
struct InFlight {
    slot: Slot,
    bulk: Option<Slot>,
    version: Version,
    /// The length of its body.
    body: usize,
}

/// Which dialect words the answers of a path.
pub fn dialect_of(path: &str) -> &'static dyn Dialect {
    DIALECTS.iter().copied().find(|dialect| dialect.claims(path)).unwrap_or(&NATIVE)
}

/// The answer to a request whose handling panicked.
pub fn internal(dialect: &dyn Dialect) -> HttpResponse {
    troubled(dialect, ServerError::Internal)
}

/// The answer to a request that fails before anybody looks at it.
pub fn troubled(dialect: &dyn Dialect, trouble: ServerError) -> HttpResponse {
    rendered(dialect.failure(&trouble.into()))
}

impl Api {
    /// The APIs over this backend.
    pub fn new(backend: Backend, settings: &Settings, limits: &rate::Settings, counts: Arc<Counts>) -> Api {
        // Without randomness ids start at 0: still unique within the run, which is what they must be.
        let first = getrandom::u64().unwrap_or(0);
        Api(Arc::new(Shared {
            backend,
            counts,
            scope_locks: ScopeLocks::default(),
            limits: Limits::new(limits),
            body_timeout: settings.body_timeout,
            max_body: settings.max_body,
            max_bulk_body: settings.max_bulk_body,
            concurrency: Concurrency::new(settings.body_timeout),
            response_budget: ResponseBudget::new(settings.body_timeout),
            requests: AtomicU64::new(first),
        }))
    }

    /// Answers one request from this address.
    pub async fn respond<B>(self, request: Request<B>, peer: IpAddr) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send,
    {
        let started = Instant::now();
        // 0 means "no request" in the log.
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed).max(1);
        let (mut parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let dialect = dialect_of(parts.uri.path());
        let found = dialect::find(dialect.endpoints(), &parts.method, parts.uri.path());
        let mut allowance = None;
        let worded = |result, allow| render(dialect, result, Some(number), allow, has_body);
        let (mut response, method, path) = match found {
            Found::Endpoint(endpoint, _) => {
                let response = match self.admit(&parts.headers, peer, &mut allowance) {
                    Ok(admitted) => {
                        let tenant = admitted.tenant.clone();
                        let done = self.serve(admitted, dialect, endpoint, &mut parts, body, number).await;
                        let may_fail = endpoint.method == "GET";
                        let budget = &self.0.response_budget;
                        budget.respond(parts.version, done, &tenant, may_fail, worded).await
                    }
                    Err(failure) => worded(Err(failure), None),
                };
                (response, parts.method.as_str(), endpoint.template)
            }
            // Neither the method nor the path is ours: not for the log.
            Found::Methods(allow) => {
                let failure = self.nowhere(&parts, peer, &mut allowance, ServerError::WrongMethod.into());
                (worded(Err(failure), Some(allow)), "-", "-")
            }
            Found::Nothing => {
                let failure = self.nowhere(&parts, peer, &mut allowance, ApiError::NoEndpoint);
                (worded(Err(failure), None), "-", "-")
            }
        };
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

    /// What the APIs are, for machines and for people.
    pub fn describe(&self) -> Description {
        Description::new(self.0.backend.links.site().base_url())
    }

    /// Returns the refusal of a request for what only the operator may see, or `None` if it comes with a
    /// key of the whole instance that has the admin scope and may do more than create links. All others are answered as the API answers
    /// a request without a key, whatever their key lacks, and each request counts against the limits
    /// of its key or address.
    pub fn refuse_operator(&self, headers: &HeaderMap, peer: IpAddr) -> Option<HttpResponse> {
        let caller = self.caller(headers, self.0.backend.links.clock().now());
        let may_see = match &caller {
            Ok(caller)
                if caller.reach() == Reach::Instance
                    && caller.scopes().allow(Scope::Admin)
                    && !caller.is_create_only() =>
            {
                Ok(())
            }
            Ok(_) => Err(ApiError::Forbidden(
                "this needs an API key of the whole instance with the scope admin".into(),
            )),
            Err(_) => Err(ApiError::BadKey),
        };
        let allowance = match &caller {
            Ok(caller) => self.0.limits.request(caller, &self.0.backend.tenants.tenant_of(&caller.reach())),
            Err(_) => self.0.limits.refused(peer),
        };
        allowance.failure().or(may_see.err()).map(|failure| self.refusal(failure))
    }

    /// Returns the refusal of a request too many for what anyone may see: an address may ask for as much of it in a minute as
    /// it may send requests without a valid key, and counts of the two are apart.
    pub fn refuse_anyone(&self, peer: IpAddr) -> Option<HttpResponse> {
        self.0.limits.open(peer).failure().map(|early| self.refusal(early))
    }

    /// The refusal of a request outside the dialects.
    fn refusal(&self, failure: ApiError) -> HttpResponse {
        let response = render(&NATIVE, Err(failure), None, None, false);
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

    /// Who asks, if it may ask now. Before the body is read: strangers make nobody read 8 MB.
    fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
    ) -> Result<Admitted, ApiError> {
        let Backend { links, tenants, .. } = &self.0.backend;
        // Keys are records too: before they are read, every key would seem unknown.
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
        counted.failure().map_or(admitted, Err)
    }

    /// Counts a request that leads to no endpoint like any other. Whoever asks is told so, with a
    /// key or without one, unless it asks too often.
    fn nowhere(
        &self,
        parts: &Parts,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
        failure: ApiError,
    ) -> ApiError {
        match self.admit(&parts.headers, peer, allowance) {
            Err(early @ ApiError::TooMany(_)) => early,
            _ => failure,
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
            // Boxed, so that all others do not hold the room for its waiting.
            BodyKind::Bulk => Some(Box::pin(self.0.concurrency.bulk(&tenant)).await?),
            BodyKind::None | BodyKind::Plain => None,
        };
        let header = named_workspace(&parts.headers);
        let key = if endpoint.method == "POST" { idempotency::key(&parts.headers) } else { Ok(None) };
        let body = self.read(endpoint.body, &tenant, parts, body).await?;
        // The key may have been revoked since the head came.
        self.check(caller.credential())?;
        let slot = self.0.concurrency.slot(&tenant)?;
        let path = parts.uri.path();
        let Found::Endpoint(_, id) = dialect::find(dialect.endpoints(), &parts.method, path) else {
            return Err(ApiError::NoEndpoint);
        };
        let call = RequestParts { id, query: Query::parse(parts.uri.query()), body: &body };
        let asked = (endpoint.parse)(&call).map_err(ApiError::BadRequest)?;
        permit(&caller, &asked.command)?;
        let (header, asked_for) = (header?, asked.workspace.as_deref());
        let header = header.as_deref();
        let named = match dialect.workspace_rule() {
            WorkspaceRule::HeaderWins => header.or(asked_for),
            WorkspaceRule::NameWins | WorkspaceRule::Confines => asked_for.or(header),
        };
        let workspace = tenants.acting(&caller, named).or_else(|| {
            let is_of_company = named.is_none() && asked.command.is_of_company();
            is_of_company.then(|| tenants.acting_for_company(&caller)).flatten()
        });
        let workspace = workspace.ok_or(ApiError::UnknownWorkspace)?;
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
        let is_confined = asked.workspace.is_some() && dialect.workspace_rule() == WorkspaceRule::Confines;
        let reach = if is_confined { Reach::Workspace(workspace.number) } else { caller.reach() };
        let (key, scopes) = (caller.credential(), caller.scopes());
        let now = links.clock().now();
        let context =
            Context { key, reach, scopes, tenant, workspace, request, now, claim, client: Client::default() };
        let in_flight = InFlight { slot, bulk, version: parts.version, body: body.len() };
        drop(body);
        // Boxed, so that a request that waits for its body does not hold the room for the rest.
        let run = Box::pin(self.run(context, asked.command, endpoint.method == "GET", in_flight));
        let (answered, room) = run.await?;
        Ok(Done { payload: payload_of(endpoint, answered)?, room })
    }

    /// Runs a command once there is room for its answer.
    async fn run(
        &self,
        context: Context,
        command: Command,
        is_get: bool,
        InFlight { slot, bulk, version, body }: InFlight,
    ) -> Result<(Answered, Option<FairPermit>), ApiError> {
        let budget = &self.0.response_budget;
        let most = budget.most(&context.tenant);
        let room = match largest(&self.0.backend, &context, &command, version, body, most)? {
            Some(bytes) => Some(budget.acquire(&context.tenant, bytes).await?),
            None => None,
        };
        if is_get {
            // Run by the connection's own task: a client that hangs up cancels it.
            let _slot = slot;
            return Ok((self.perform(&context, command).await?, room));
        }
        // A task of its own: a client that hangs up must not stop a write half way between log,
        // table and cache, nor let its twin start. Long work before the first write looks at the client.
        let _waiting = context.client.wait();
        let api = self.clone();
        let task = tokio::spawn(async move {
            let _held = (slot, bulk);
            Ok((api.perform(&context, command).await?, room))
        });
        match task.await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ServerError::NotReady.into()),
            },
        }
    }

    fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, ApiError> {
        let secret = credentials::secret(headers).map_err(|no| match no {
            NoCredential::Missing => ApiError::NoKey,
            NoCredential::Ambiguous => ApiError::BadKey,
        })?;
        self.0.backend.tenants.authenticate(secret, now).ok_or(ApiError::BadKey)
    }

    /// Reads a body. One that is waited for is bounded for each tenant; a large one holds a bulk slot.
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

    /// Runs a command, once per claim. What it returns without having written anything is for a key
    /// that is still valid behind all waits; what it writes relies on the key's record.
    async fn perform(&self, context: &Context, command: Command) -> Result<Answered, ApiError> {
        // Behind the wait for room, and for what leaves no Change that could rely on the key.
        self.check(context.key)?;
        let is_read = command.is_read();
        let answered = self.perform_once(context, command).await;
        if is_read {
            self.check(context.key)?;
        }
        answered
    }

    async fn perform_once(&self, context: &Context, command: Command) -> Result<Answered, ApiError> {
        let backend = &self.0.backend;
        let Some(claim) = context.claim else { return execute::execute(backend, context, command).await };
        let _turn = self.0.scope_locks.take(claim.scope).await.ok_or(ServerError::Busy)?;
        let replay = backend.links.previous(context).await;
        self.check(context.key)?;
        match replay.map_err(|error| execute::failure(error, context))? {
            Previous::New => execute::execute(backend, context, command).await,
            // A key's secret is told once, and this is not the first time.
            Previous::Same(outcome) => Ok(Answered::Reply(Reply::Made(outcome, None))),
            Previous::Other => Err(ApiError::OtherBody),
        }
    }

    /// Fails if the key was revoked or has expired since its request began.
    fn check(&self, key: Option<Credential>) -> Result<(), ApiError> {
        self.0.backend.tenants.check_key(key).map_err(|_| ApiError::BadKey)
    }
}

/// Renders what a command came to as its endpoint has it.
fn payload_of(endpoint: &Endpoint, answered: Answered) -> Result<Payload, ApiError> {
    let reply = match answered {
        Answered::Reply(reply) => reply,
        Answered::List(payload) => return Ok(payload),
    };
    let Some(body) = (endpoint.reply)(&reply) else {
        tracing::error!(template = endpoint.template, "the endpoint cannot render the reply to its command");
        return Err(ServerError::Internal.into());
    };
    Ok(body.into())
}

/// Whether the key may ask this at all.
fn permit(caller: &Caller, command: &Command) -> Result<(), ApiError> {
    if caller.is_create_only() && !command.creates_links() {
        return Err(ApiError::Forbidden("this key may only create links".to_owned()));
    }
    let scope = command.scope();
    if caller.scopes().allow(scope) {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!("this key lacks the scope {}", scope.name())))
}

fn named_workspace(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let refuse = |why: &str| ApiError::BadRequest(BadRequest::Mistyped(Invalid::new("X-Workspace-Id", why)));
    let mut lines = headers.get_all(WORKSPACE).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(refuse("must be given once"));
    }
    line.to_str().map(|id| Some(id.to_owned())).map_err(|_| refuse("must be visible ASCII"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::Method;
    use hyper::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};

    use super::dialect::{Body, endpoint, show};
    use super::response::REQUEST_ID;
    use super::*;
    use crate::model::id::Id;
    use crate::model::workspace::Company;

    #[test]
    fn paths_speak_their_vendors_and_unclaimed_ones_native() {
        for path in ["/api/v1/links", "/api", "/api/v2/x", "/snapshotsx"] {
            assert_eq!(dialect_of(path).name(), "native", "{path}");
        }
        for path in ["/links", "/links/", "/links/x", "/locations/x"] {
            assert_eq!(dialect_of(path).name(), "highlevel-links", "{path}");
        }
    }

    #[test]
    fn every_answer_is_json_that_nobody_keeps() {
        let response = internal(&NATIVE);
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
    fn refusals_carry_what_their_status_needs() {
        let header = |failure: ApiError, name: HeaderName, has_body| {
            let response = render(&NATIVE, Err(failure), Some(7), None, has_body);
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

    /// A dialect whose endpoints return what is no JSON.
    struct Pictures;

    impl Dialect for Pictures {
        fn name(&self) -> &'static str {
            "pictures"
        }

        fn claims(&self, _: &str) -> bool {
            false
        }

        fn endpoints(&self) -> &'static [Endpoint] {
            const fn get(template: &'static str, reply: fn(&Reply) -> Option<Body>) -> Endpoint {
                endpoint("GET", template, BodyKind::None, |_| Err(BadRequest::NotFound("picture")), reply)
            }
            const ENDPOINTS: &[Endpoint] = &[
                get("/picture", |reply| {
                    show(reply, |id: &Id| Body {
                        status: StatusCode::OK,
                        kind: "image/svg+xml",
                        bytes: format!("<svg><title>{id}</title></svg>").into_bytes(),
                    })
                }),
                get("/table", |reply| {
                    show(reply, |companies: &[Company]| Body {
                        status: StatusCode::OK,
                        kind: "text/csv; charset=utf-8",
                        bytes: format!("id,name\r\n{}", companies.len()).into_bytes(),
                    })
                }),
            ];
            ENDPOINTS
        }

        fn failure(&self, _: &ApiError) -> Body {
            Body { status: StatusCode::IM_A_TEAPOT, kind: "text/plain", bytes: b"no picture".to_vec() }
        }
    }

    #[tokio::test]
    async fn an_endpoint_says_what_type_its_reply_has() {
        let rows = [
            ("/picture", Reply::LinkDeleted(Id::from_bits(0)), 200, "image/svg+xml", "<svg><title>0"),
            ("/table", Reply::Companies(Vec::new()), 200, "text/csv; charset=utf-8", "id,name\r\n0"),
            ("/table", Reply::Done, 418, "text/plain", "no picture"),
        ];
        for (path, reply, status, kind, begin) in rows {
            let row = format!("{path} {reply:?}");
            let Found::Endpoint(endpoint, _) = dialect::find(Pictures.endpoints(), &Method::GET, path) else {
                panic!("{row}");
            };
            let payload = payload_of(endpoint, Answered::Reply(reply));
            let response = render(&Pictures, payload, None, None, false);
            assert_eq!(response.status().as_u16(), status, "{row}");
            assert_eq!(response.headers()[CONTENT_TYPE], kind, "{row}");
            let body = response.into_body().collect().await.expect("in memory").to_bytes();
            assert!(body.starts_with(begin.as_bytes()), "{row}: {body:?}");
        }
    }
}
