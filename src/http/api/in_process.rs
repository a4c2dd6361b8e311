//! Requests of the dashboard: it asks the native API within the process, by the endpoints that a client uses over
//! HTTP. So a page can do what its key can do, and nothing else.

use hyper::header::{HeaderValue, IF_MATCH};
use hyper::{HeaderMap, Method, Version};

use super::admission::concurrency::Slot;
use super::authorize;
use super::conditions;
use super::dialect::{
    self, Allowance, ApiError, BodyKind, Dialect, PathMatch, Reply, RequestParts, ServerError,
};
use super::execute::{Answered, api_error};
use super::idempotency::{self, Posted};
use super::query::Query;
use super::registry::NATIVE;
use super::{Api, InFlight};
use crate::core::{Caller, Client, Context, Error};
use crate::fair::FairPermit;
use crate::http::api::response;
use crate::http::body::HttpResponse;

/// A request of a page.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Ask<'a> {
    /// The method of the endpoint.
    pub(in crate::http) method: &'a Method,
    /// The path of the endpoint, such as `/api/v1/links`.
    pub(in crate::http) path: &'a str,
    /// Without the question mark.
    pub(in crate::http) query: &'a str,
    /// JSON, or the file itself.
    pub(in crate::http) body: &'a [u8],
    /// The workspace to act in. `None`: the oldest one within reach of the key.
    pub(in crate::http) workspace: Option<&'a str>,
    /// The tag that the object must still have, as the page was rendered with it.
    pub(in crate::http) if_match: Option<&'a str>,
    /// The `Idempotency-Key` of a POST: a form that a browser sends again acts once.
    pub(in crate::http) once: Option<&'a str>,
    /// Whether the answer may be a stream of events, as for a client that accepts `text/event-stream`.
    pub(in crate::http) streams: bool,
}

/// The answer to a request of a page.
#[derive(Debug)]
pub(in crate::http) struct PageAnswer {
    /// What the core returned.
    pub(in crate::http) content: PageContent,
    /// What the API would name in `warnings`.
    pub(in crate::http) warnings: Vec<String>,
    /// The `ETag` of the object in the reply.
    pub(in crate::http) tag: Option<HeaderValue>,
    /// The room of the reply in memory, to be held until the page is rendered.
    pub(in crate::http) room: Option<FairPermit>,
}

/// What the core returned for a command.
#[derive(Debug)]
pub(in crate::http) enum PageContent {
    /// An object, or a page of objects.
    Reply(Box<Reply>),
    /// A list of any length, or a file.
    Stream(HttpResponse),
}

impl Api {
    /// Counts a page that this caller opens against the limits of its key. Fails if they are exceeded.
    pub(in crate::http) fn count_page(&self, caller: &Caller) -> Result<(), ApiError> {
        let tenant = self.0.backend.tenants.tenant_of(&caller.reach());
        failed(self.0.limits.request(caller, &tenant))
    }

    /// Counts a page that anyone may open from this address, apart from requests without a valid key. Fails if there
    /// were too many.
    pub(in crate::http) fn count_open(&self, peer: std::net::IpAddr) -> Result<(), ApiError> {
        failed(self.0.limits.open(peer))
    }

    /// Counts an attempt to sign in from this address. Fails if there were too many.
    pub(in crate::http) fn count_attempt(&self, peer: std::net::IpAddr) -> Result<(), ApiError> {
        failed(self.0.limits.refused(peer))
    }

    /// Runs a request of the native API for this caller, with the checks, places and room of a request over HTTP.
    pub(in crate::http) async fn ask(&self, caller: &Caller, ask: Ask<'_>) -> Result<PageAnswer, ApiError> {
        let tenants = &self.0.backend.tenants;
        let tenant = tenants.tenant_of(&caller.reach());
        let found = dialect::find(NATIVE.endpoints(), ask.method, ask.path);
        let PathMatch::Endpoint(endpoint, id) = found else { return Err(ApiError::NoEndpoint) };
        // As over HTTP: an import through a page must not take the places of others.
        let bulk: Option<Slot> = match endpoint.body {
            BodyKind::Bulk => Some(Box::pin(self.0.concurrency.bulk(&tenant)).await?),
            BodyKind::None | BodyKind::Plain => None,
        };
        // As behind the body of a request: the key may have been revoked while the form arrived.
        self.0.commands.check(caller.credential())?;
        let slot = self.0.concurrency.slot(&tenant)?;
        let request = RequestParts { id, query: Query::parse(Some(ask.query)), body: ask.body };
        let mut scoped = (endpoint.parse)(&request).map_err(ApiError::BadRequest)?;
        if !ask.streams {
            scoped.command = scoped.command.without_stream().map_err(ApiError::BadRequest)?;
        }
        authorize::permit(caller, &scoped.command)?;
        let workspace =
            authorize::workspace(tenants, caller, &scoped, ask.workspace, NATIVE.workspace_rule())?;
        // A client that hangs up cancels a read and no write, as over HTTP.
        let is_get = endpoint.method == "GET";
        let object = conditions::parse(&condition(ask.if_match)?, is_get)?;
        let (seen, now) = (object.clone(), self.0.backend.links.clock().now());
        let posted = Posted {
            caller: caller.key(),
            path: ask.path,
            workspace: workspace.id.as_str(),
            query: ask.query,
            body: ask.body,
        };
        let claim = ask.once.map(|key| idempotency::claim(key, &posted));
        let context = Context {
            key: caller.credential(),
            reach: caller.reach(),
            scopes: caller.scopes(),
            tenant,
            workspace,
            request: self.next_request(),
            now,
            claim,
            client: Client::default(),
            object,
        };
        let in_flight = InFlight {
            slot,
            bulk,
            // Any that can stream: the answer goes into a page.
            version: Version::HTTP_11,
            body: ask.body.len(),
            shows_recent: NATIVE.shows_recent_clicks(),
        };
        let (answered, room) = Box::pin(self.run(context, scoped.command, is_get, in_flight)).await?;
        // Of a list it would be the tag of whatever was read last.
        let tag = seen.seen().filter(|_| answered.has_revision()).map(conditions::tag);
        let mut warnings = scoped.warnings;
        let content = match answered {
            Answered::Reply(reply) => {
                warnings.extend(reply.warnings());
                warnings.extend(reply.idle_rules(now));
                PageContent::Reply(Box::new(reply))
            }
            Answered::List(payload) => {
                PageContent::Stream(response::render(&NATIVE, Ok(payload), None, None, false))
            }
        };
        Ok(PageAnswer { content, warnings, tag, room })
    }

    /// Returns an error of the core as the API words it. One of the server is logged.
    pub(in crate::http) fn error(&self, error: Error) -> ApiError {
        api_error(error, self.next_request())
    }

    /// Acquires room for a rendered page, which its client may read slowly. Fails if there is none.
    pub(in crate::http) fn room_for_page(
        &self,
        caller: &Caller,
        bytes: usize,
    ) -> Result<FairPermit, ApiError> {
        let tenant = self.0.backend.tenants.tenant_of(&caller.reach());
        self.0.response_budget.try_acquire(&tenant, bytes).ok_or(ServerError::Busy.into())
    }
}

/// Returns the status and the sentence with which the native API names an error.
pub(in crate::http) fn worded(error: &ApiError) -> (hyper::StatusCode, String) {
    super::native::words(error)
}

/// Returns a reply as the native API renders it: its type and its bytes.
pub(in crate::http) fn bytes_of(reply: &Reply) -> (&'static str, Vec<u8>) {
    let body = super::native::render(reply);
    (body.kind, body.bytes)
}

/// Returns a reply as the native API renders it, as JSON.
pub(in crate::http) fn json_of(reply: &Reply) -> serde_json::Value {
    // Every reply but a picture or a file is JSON, and those are null here.
    serde_json::from_slice(&super::native::render(reply).bytes).unwrap_or_default()
}

/// Returns the type and the bytes of a reply as the native API renders it.
pub(in crate::http) fn body_of(reply: &Reply) -> (&'static str, Vec<u8>) {
    let body = super::native::render(reply);
    (body.kind, body.bytes)
}

fn failed(allowance: Allowance) -> Result<(), ApiError> {
    allowance.error().map_or(Ok(()), Err)
}

/// Returns the headers of a condition on the tag of an object.
fn condition(tag: Option<&str>) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    // Rendered into the page by this server, and sent back by its form.
    if let Some(tag) = tag {
        let tag = HeaderValue::from_str(tag).map_err(|_| ApiError::Changed)?;
        headers.insert(IF_MATCH, tag);
    }
    Ok(headers)
}
