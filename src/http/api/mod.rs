//! The JSON APIs: [`DIALECTS`], and the one dispatcher behind them. Keys, limits, idempotency and
//! execution are written once, here; what differs between vendors is in their dialect's folder.
//!
//! Answers are never cached, never sniffed, carry no CORS headers (keys do not belong into other
//! sites' pages), and are JSON with a body whatever happens.

mod answer;
pub(crate) mod credentials;
pub mod dialect;
mod docs;
mod examples;
mod execute;
mod highlevel;
mod idempotency;
pub mod json;
pub mod limits;
mod linquid;
mod long;
pub mod native;
pub mod openapi;
pub mod ops;
mod pieces;
pub mod query;
mod refusal;
mod snapshots;
mod upload;
mod work;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode};

use self::answer::render;
pub(super) use self::answer::respond;
use self::credentials::NoCredential;
use self::dialect::{
    BodyKind, Call, Command, Dialect, Endpoint, Failure, Found, Naming, Refusal, Reply, Trouble,
};
use self::execute::Answered;
pub use self::execute::Core;
use self::highlevel::{HighLevelLinks, HighLevelSnapshots};
use self::idempotency::{Posted, Turns};
use self::limits::{Allowance, Limits};
use self::linquid::Linquid;
use self::long::{Done, Long};
use self::native::Native;
use self::openapi::Description;
use self::query::Query;
use self::work::{Place, Work};
use crate::clock::Timestamp;
use crate::http::body::Answer;
use crate::http::counts::Counts;
use crate::http::server::Settings;
use crate::links::{Caller, Context, Credential, Replay};
use crate::model::Invalid;
use crate::model::key::{Reach, Scope};

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
    core: Core,
    counts: Arc<Counts>,
    turns: Turns,
    limits: Limits,
    body_timeout: Duration,
    max_body: usize,
    max_bulk_body: usize,
    work: Work,
    long: Long,
    /// Starts at a random number, so that ids of two runs do not meet in the logs.
    requests: AtomicU64,
}

/// Which dialect words the answers of a path.
pub fn dialect_of(path: &str) -> &'static dyn Dialect {
    DIALECTS.iter().copied().find(|dialect| dialect.claims(path)).unwrap_or(&NATIVE)
}

/// The answer to a request whose handling panicked.
pub fn internal(dialect: &dyn Dialect) -> Answer {
    troubled(dialect, Trouble::Internal)
}

/// The answer to a request that fails before anybody looks at it.
pub fn troubled(dialect: &dyn Dialect, trouble: Trouble) -> Answer {
    let (status, bytes) = dialect.failure(&trouble.into());
    respond(status, bytes)
}

/// The answer to a request outside the dialects that needs a key.
pub fn unauthorized() -> Answer {
    render(&NATIVE, Err(Failure::NoKey), None, None, false)
}

impl Api {
    /// The APIs over this core.
    pub fn new(core: Core, settings: &Settings, limits: &limits::Settings, counts: Arc<Counts>) -> Api {
        // Without randomness ids start at 0: still unique within the run, which is what they must be.
        let first = getrandom::u64().unwrap_or(0);
        Api(Arc::new(Shared {
            core,
            counts,
            turns: Turns::default(),
            limits: Limits::new(limits),
            body_timeout: settings.body_timeout,
            max_body: settings.max_body,
            max_bulk_body: settings.max_bulk_body,
            work: Work::new(settings.body_timeout),
            long: Long::new(settings.body_timeout),
            requests: AtomicU64::new(first),
        }))
    }

    /// Answers one request from this address.
    pub async fn answer<B>(self, request: Request<B>, peer: IpAddr) -> Answer
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
        let (mut answer, method, path) = match found {
            Found::Endpoint(endpoint, _) => {
                let answer = match self.admit(&parts, peer, &mut allowance) {
                    Ok(caller) => {
                        let reach = caller.reach();
                        let done = self.serve(caller, dialect, endpoint, &mut parts, body, number).await;
                        let may_fail = endpoint.method == "GET";
                        self.0.long.answer(parts.version, done, &reach, may_fail, worded).await
                    }
                    Err(failure) => worded(Err(failure), None),
                };
                (answer, parts.method.as_str(), endpoint.template)
            }
            // Neither the method nor the path is ours: not for the log.
            Found::Methods(allow) => {
                let failure = self.nowhere(&parts, peer, &mut allowance, Trouble::WrongMethod.into());
                (worded(Err(failure), Some(allow)), "-", "-")
            }
            Found::Nothing => {
                let failure = self.nowhere(&parts, peer, &mut allowance, Failure::NoEndpoint);
                (worded(Err(failure), None), "-", "-")
            }
        };
        if let Some(allowance) = allowance {
            let now = self.0.core.links.clock().now();
            answer.headers_mut().extend(dialect.rate_headers(&allowance, now));
        }
        self.count(answer.status());
        tracing::info!(
            dialect = dialect.name(),
            method,
            path,
            status = answer.status().as_u16(),
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            request = %format_args!("{number:016x}"),
            "API request"
        );
        answer
    }

    /// What the APIs are, for machines and for people.
    pub fn describe(&self) -> Description {
        Description::new(self.0.core.links.site().base_url())
    }

    /// Whether the headers carry a live key with the admin scope.
    pub fn is_admin(&self, headers: &HeaderMap) -> bool {
        let caller = self.caller(headers, self.0.core.links.clock().now());
        caller.is_ok_and(|caller| caller.scopes().allow(Scope::Admin))
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
        parts: &Parts,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
    ) -> Result<Caller, Failure> {
        let links = &self.0.core.links;
        // Keys are records too: before they are read, every key would seem unknown.
        if !links.is_ready() {
            return Err(Trouble::NotReady.into());
        }
        let caller = self.caller(&parts.headers, links.clock().now());
        let counted = match &caller {
            Ok(caller) => self.0.limits.request(caller),
            Err(_) => self.0.limits.refused(peer),
        };
        *allowance = Some(counted);
        match counted.wait {
            Some(wait) => Err(Failure::TooMany(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX - 1) + 1)),
            None => caller,
        }
    }

    /// Counts a request that leads to no endpoint like any other. Whoever asks is told so, with a
    /// key or without one, unless it asks too often.
    fn nowhere(
        &self,
        parts: &Parts,
        peer: IpAddr,
        allowance: &mut Option<Allowance>,
        failure: Failure,
    ) -> Failure {
        match self.admit(parts, peer, allowance) {
            Err(early @ Failure::TooMany(_)) => early,
            _ => failure,
        }
    }

    async fn serve<B>(
        &self,
        caller: Caller,
        dialect: &'static dyn Dialect,
        endpoint: &'static Endpoint,
        parts: &mut Parts,
        body: B,
        request: u64,
    ) -> Result<Done, Failure>
    where
        B: Body<Data = Bytes> + Send,
    {
        let links = &self.0.core.links;
        let place = self.0.work.place(endpoint.body, &caller.reach(), &self.0.long).await?;
        let header = named_workspace(&parts.headers);
        let key = if endpoint.method == "POST" { idempotency::key(&parts.headers) } else { Ok(None) };
        let body = self.read(endpoint.body, parts, body).await?;
        self.check(caller.credential())?;
        let path = parts.uri.path();
        let Found::Endpoint(_, id) = dialect::find(dialect.endpoints(), &parts.method, path) else {
            return Err(Failure::NoEndpoint);
        };
        let call = Call { id, query: Query::parse(parts.uri.query()), body: &body };
        let asked = (endpoint.parse)(&call).map_err(Failure::Refused)?;
        permit(&caller, &asked.command)?;
        let (header, asked_for) = (header?, asked.workspace.as_deref());
        let header = header.as_deref();
        let named = match dialect.naming() {
            Naming::Yields => header.or(asked_for),
            Naming::Leads | Naming::Confines => asked_for.or(header),
        };
        let workspace = links.acting(&caller, named).ok_or(Failure::UnknownWorkspace)?;
        let claim = key.map_err(Failure::Refused)?.map(|key| {
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
        let is_confined = asked.workspace.is_some() && dialect.naming() == Naming::Confines;
        let reach = if is_confined { Reach::Workspace(workspace.number) } else { caller.reach() };
        let (key, scopes) = (caller.credential(), caller.scopes());
        let (tenant, now) = (links.tenant_of(&caller.reach()), links.clock().now());
        let context = Context { key, reach, scopes, tenant, workspace, request, now, claim };
        if endpoint.method == "GET" {
            // Boxed, so that whoever waits for a body does not hold the room for what comes of it.
            let answered = Box::pin(self.perform(&context, asked.command)).await?;
            return Ok(Done { answered, room: None });
        }
        // A task of its own: a client that hangs up must not stop a write half way between log,
        // table and cache, nor let its twin start.
        let api = self.clone();
        let task = tokio::spawn(async move {
            let Place { at_work: _at_work, room } = place;
            Ok(Done { answered: api.perform(&context, asked.command).await?, room })
        });
        match task.await {
            Ok(result) => result,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Trouble::NotReady.into()),
            },
        }
    }

    fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Failure> {
        let secret = credentials::secret(headers).map_err(|no| match no {
            NoCredential::Missing => Failure::NoKey,
            NoCredential::Ambiguous => Failure::BadKey,
        })?;
        self.0.core.links.authenticate(secret, now).ok_or(Failure::BadKey)
    }

    async fn read<B>(&self, kind: BodyKind, parts: &mut Parts, body: B) -> Result<Bytes, Failure>
    where
        B: Body<Data = Bytes>,
    {
        let max = match kind {
            BodyKind::None => return Ok(Bytes::new()),
            BodyKind::Plain => self.0.max_body,
            BodyKind::Bulk => self.0.max_bulk_body,
        };
        upload::read(parts, body, max, self.0.body_timeout).await
    }

    /// Runs a command, once per claim. What it returns without having written anything is for a key
    /// that is still valid behind all waits; what it writes relies on the key's record.
    async fn perform(&self, context: &Context, command: Command) -> Result<Answered, Failure> {
        let is_read = command.is_read();
        let answered = self.perform_once(context, command).await;
        if is_read {
            self.check(context.key)?;
        }
        answered
    }

    async fn perform_once(&self, context: &Context, command: Command) -> Result<Answered, Failure> {
        let core = &self.0.core;
        let Some(claim) = context.claim else { return execute::execute(core, context, command).await };
        let _turn = self.0.turns.take(claim.scope).await.ok_or(Trouble::Busy)?;
        let replay = core.links.replay(context).await;
        self.check(context.key)?;
        match replay.map_err(|error| execute::failure(error, context))? {
            Replay::New => execute::execute(core, context, command).await,
            // A key's secret is told once, and this is not the first time.
            Replay::Same(outcome) => Ok(Answered::Reply(Reply::Made(outcome, None))),
            Replay::Other => Err(Failure::OtherBody),
        }
    }

    /// Fails if the key was revoked or has expired since its request began.
    fn check(&self, key: Option<Credential>) -> Result<(), Failure> {
        self.0.core.links.check_key(key).map_err(|_| Failure::BadKey)
    }
}

/// Whether the key may ask this at all.
fn permit(caller: &Caller, command: &Command) -> Result<(), Failure> {
    if let Caller::Key { record, .. } = caller
        && record.create_only
        && !command.creates_links()
    {
        return Err(Failure::Forbidden("this key may only create links".to_owned()));
    }
    let scope = command.scope();
    if caller.scopes().allow(scope) {
        return Ok(());
    }
    Err(Failure::Forbidden(format!("this key lacks the scope {}", scope.name())))
}

fn named_workspace(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let refuse = |why: &str| Failure::Refused(Refusal::Mistyped(Invalid::new("X-Workspace-Id", why)));
    let mut lines = headers.get_all(WORKSPACE).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(refuse("must be given once"));
    }
    line.to_str().map(|id| Some(id.to_owned())).map_err(|_| refuse("must be visible ASCII"))
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};

    use super::answer::REQUEST_ID;
    use super::*;

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
        let answer = internal(&NATIVE);
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let shown: Vec<_> =
            answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let want = [
            "content-type: \"application/json; charset=utf-8\"",
            "cache-control: \"no-store\"",
            "x-content-type-options: \"nosniff\"",
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn refusals_carry_what_their_status_needs() {
        let header = |failure: Failure, name: HeaderName, has_body| {
            let answer = render(&NATIVE, Err(failure), Some(7), None, has_body);
            answer.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(header(Failure::NoKey, WWW_AUTHENTICATE, false), some("Bearer"));
        assert_eq!(header(Failure::NoKey, CONNECTION, false), None);
        assert_eq!(header(Failure::NoKey, CONNECTION, true), some("close"));
        assert_eq!(header(Trouble::NotReady.into(), RETRY_AFTER, false), some("5"));
        assert_eq!(header(Trouble::DiskFull.into(), RETRY_AFTER, false), some("30"));
        assert_eq!(header(Failure::NoCredits, REQUEST_ID, false), some("0000000000000007"));
    }
}
