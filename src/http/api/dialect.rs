//! What a dialect is: endpoints that turn bytes into a [`Command`], and a rendering of a
//! [`Reply`] or [`Failure`] into bytes. Both pure. A dialect knows the model and this file, never
//! the core behind it nor the server before it.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

pub use crate::links::{
    Bulk, BulkView, Cursor, DomainView, FailedRow, Imported, KeyView, LIMIT_DEFAULT, LIMIT_MAX, LinkQuery,
    LinkView, Outcome, Page, ROWS_MAX, Rendered, Sort, WebhookSecretView, WorkspaceView,
};
pub use crate::visit::explain::{Explanation, Question, Reason};

pub use crate::webhooks::Attempt;

use crate::clock::Timestamp;
use crate::http::api::json::Mistyped;
use crate::http::api::limits::Allowance;
use crate::http::api::query::Query;
use crate::model::Invalid;
use crate::model::domain::{DomainDraft, DomainEdit};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{KeyDraft, Scope};
use crate::model::link::{Draft, Patch};
use crate::model::short_code::ShortCode;
use crate::model::tag::{Tag, TagEdit};
use crate::model::workspace::{Company, CompanyDraft, WorkspaceDraft, WorkspaceEdit};

/// One vendor's API.
pub trait Dialect: Sync {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Whether requests to this path are its own, known endpoint or not: it words the refusal.
    fn claims(&self, path: &str) -> bool;

    /// All it answers; the first match counts.
    fn endpoints(&self) -> &'static [Endpoint];

    /// An answer's status and JSON.
    fn reply(&self, reply: &Reply) -> (StatusCode, Vec<u8>);

    /// A refusal's status and JSON.
    fn failure(&self, failure: &Failure) -> (StatusCode, Vec<u8>);

    /// The headers that tell where a caller stands (DECISIONS 6): requests a minute, how many of
    /// them are left, and the Unix second at which all are.
    fn rate_headers(&self, allowance: &Allowance, now: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        let resets = now.plus_millis(i64::try_from(allowance.resets_in.as_millis()).unwrap_or(i64::MAX));
        vec![
            (HeaderName::from_static("x-ratelimit-limit"), allowance.limit.into()),
            (HeaderName::from_static("x-ratelimit-remaining"), allowance.remaining.into()),
            // Rounded up: at that second it is so.
            (HeaderName::from_static("x-ratelimit-reset"), (resets.as_millis().div_euclid(1_000) + 1).into()),
        ]
    }
}

/// A method on a path.
pub struct Endpoint {
    /// `GET`, `POST`...; `GET` answers `HEAD` as well.
    pub method: &'static str,
    /// `/api/v1/links/{id}`: at most one segment in braces.
    pub template: &'static str,
    /// Which body it takes.
    pub body: BodyKind,
    /// Reads a request.
    pub parse: fn(&Call<'_>) -> Result<Asked, Refusal>,
}

/// How large a request body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Never read, whatever the headers say (DECISIONS 2).
    None,
    /// Up to `max_body`.
    Plain,
    /// Up to `max_bulk_body`.
    Bulk,
}

/// A request as a dialect sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The segment in braces.
    pub id: &'a str,
    /// The query.
    pub query: Query<'a>,
    /// The body.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// The segment in braces as an id of ours; anything else names no `what`.
    pub fn id(&self, what: &'static str) -> Result<Id, Refusal> {
        self.id.parse().map_err(|_| Refusal::NotFound(what))
    }

    /// The segment in braces as an id that may be a vendor's.
    pub fn foreign_id(&self, what: &'static str) -> Result<ForeignId, Refusal> {
        ForeignId::parse("id", self.id).map_err(|_| Refusal::NotFound(what))
    }
}

/// What was asked, and where.
#[derive(Debug)]
pub struct Asked {
    /// The workspace named in body or query.
    pub workspace: Option<String>,
    /// What to do.
    pub command: Command,
}

/// Where a path leads within a dialect.
pub enum Found<'p> {
    /// Here; with the segment in braces.
    Endpoint(&'static Endpoint, &'p str),
    /// The path exists, with these methods.
    Methods(String),
    /// Nowhere.
    Nothing,
}

/// Looks up the endpoint of a request. One slash at the end makes no difference (DECISIONS 1).
/// What a template spells out is no id: `/links/bulk` has the methods of `/links/bulk` alone.
pub fn find<'p>(endpoints: &'static [Endpoint], method: &Method, path: &'p str) -> Found<'p> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let asked = if method == Method::HEAD { "GET" } else { method.as_str() };
    let is_spelt_out = endpoints.iter().any(|endpoint| endpoint.template == path);
    let mut allowed = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| !is_spelt_out || endpoint.template == path) {
        let Some(id) = fits(endpoint.template, path) else { continue };
        if endpoint.method == asked {
            return Found::Endpoint(endpoint, id);
        }
        allowed.push(endpoint.method);
        if endpoint.method == "GET" {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() { Found::Nothing } else { Found::Methods(allowed.join(", ")) }
}

/// The segment in braces (empty without one), when the path has the template's shape.
fn fits<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let mut found = "";
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') && !segment.is_empty() {
            found = segment;
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(found)
}

/// What can be asked of the core.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is the method of `Links` of its name.
pub enum Command {
    CreateLink(Draft),
    CreateBulk(Bulk),
    Link(Id),
    Links(LinkQuery),
    UpdateLink { id: Id, patch: Patch, fixed: Fixed },
    DeleteLink(Id),
    ExplainLink(Id, Question),
    Deliveries(Id),
    Render { text: Box<str>, contact: Option<ForeignId> },
    Tags,
    CreateTag { name: Box<str>, edits: Vec<TagEdit> },
    UpdateTag(Id, Vec<TagEdit>),
    DeleteTag(Id),
    Domains,
    CreateDomain(DomainDraft),
    Domain(Id),
    UpdateDomain(Id, Vec<DomainEdit>),
    DeleteDomain(Id),
    Workspaces,
    CreateWorkspace(WorkspaceDraft, NamedDomain),
    Workspace(ForeignId),
    UpdateWorkspace(ForeignId, Vec<WorkspaceEdit>, NamedDomain),
    Companies,
    CreateCompany(CompanyDraft),
    Keys,
    CreateKey(KeyDraft),
    RevokeKey(Id),
    WebhookSecret(ForeignId),
    RotateWebhookSecret(ForeignId),
}

/// What a change to a link repeats of what cannot change. Clients send back whole objects: equal
/// values pass, others are refused naming the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// The domain's name.
    pub domain: Option<Box<str>>,
    /// The code.
    pub code: Option<ShortCode>,
    /// `URL`, `MAILTO`, `TEL` or `SMS`.
    pub link_type: Option<crate::model::destination::LinkType>,
}

/// A default domain to be set, by name or id; `Some(None)` is the instance's.
pub type NamedDomain = Option<Option<Box<str>>>;

impl Command {
    /// The scope it takes.
    pub fn scope(&self) -> Scope {
        match self {
            Command::Link(_)
            | Command::Links(_)
            | Command::ExplainLink(..)
            | Command::Deliveries(_)
            | Command::Render { .. }
            | Command::Tags
            | Command::Domains
            | Command::Domain(_) => Scope::LinksRead,
            Command::CreateLink(_)
            | Command::CreateBulk(_)
            | Command::UpdateLink { .. }
            | Command::DeleteLink(_)
            | Command::CreateTag { .. }
            | Command::UpdateTag(..)
            | Command::DeleteTag(_) => Scope::LinksWrite,
            // A domain that is added counts as verified: not for every key to say.
            Command::CreateDomain(_)
            | Command::UpdateDomain(..)
            | Command::DeleteDomain(_)
            | Command::Workspaces
            | Command::CreateWorkspace(..)
            | Command::Workspace(_)
            | Command::UpdateWorkspace(..)
            | Command::Companies
            | Command::CreateCompany(_)
            | Command::Keys
            | Command::CreateKey(_)
            | Command::RevokeKey(_)
            | Command::WebhookSecret(_)
            | Command::RotateWebhookSecret(_) => Scope::Admin,
        }
    }

    /// Whether a create-only key may ask it.
    pub fn creates_links(&self) -> bool {
        matches!(self, Command::CreateLink(_) | Command::CreateBulk(_))
    }
}

/// What the core answers.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Named for what they carry.
pub enum Reply {
    /// A POST made it; the text is a new key's secret.
    Made(Outcome, Option<String>),
    Link(Box<LinkView>),
    Links(Page),
    Explained(Box<Explanation>),
    Deliveries(Vec<Attempt>),
    Rendered(Rendered),
    Tags(Vec<Tag>),
    Tag(Tag),
    Domains(Vec<DomainView>),
    Domain(DomainView),
    Workspaces(Vec<WorkspaceView>),
    Workspace(WorkspaceView),
    Companies(Vec<Company>),
    Keys(Vec<KeyView>),
    WebhookSecret(WebhookSecretView),
    /// Deleted or revoked.
    Done,
}

/// Why a request is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not understood at all: a whole sentence.
    Malformed(String),
    /// A field is missing or of the wrong type.
    Mistyped(Invalid),
    /// A value of the right type breaks a rule.
    Rule(Invalid),
    /// Its path names no object that could exist.
    NotFound(&'static str),
}

impl From<Mistyped> for Refusal {
    fn from(Mistyped(invalid): Mistyped) -> Refusal {
        Refusal::Mistyped(invalid)
    }
}

/// The model's own refusals are rules.
impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Refusal {
        Refusal::Rule(invalid)
    }
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It was no command.
    Refused(Refusal),
    /// No key was sent.
    NoKey,
    /// The key is unknown, revoked, expired, malformed, or sent twice in two ways.
    BadKey,
    /// The key may not do this: a whole sentence.
    Forbidden(String),
    /// The workspace named is not within the key's sight.
    UnknownWorkspace,
    /// No such object.
    NotFound(&'static str),
    /// Deleted before.
    AlreadyDeleted(&'static str),
    /// The short code is in use.
    CodeTaken(Box<str>),
    /// The value of this field is in use.
    Taken(&'static str),
    /// The workspace has no credits left.
    NoCredits,
    /// The `Idempotency-Key` was used with another body.
    OtherBody,
    /// No such endpoint.
    NoEndpoint,
    /// The endpoint has other methods.
    WrongMethod,
    /// Too many requests: try again after so many seconds.
    TooMany(u32),
    /// The body is longer than so many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    SlowBody,
    /// The body is compressed.
    EncodedBody,
    /// The change is larger than the log takes.
    ChangeTooLarge,
    /// Others keep changing the same objects, or too much waits: try again.
    Busy,
    /// The store cannot be read or written now: try again.
    NotReady,
    /// The disk did not confirm the write.
    OutcomeUnknown,
    /// The disk is full.
    DiskFull,
    /// Ours; logged where it was found.
    Internal,
}

impl Failure {
    /// Seconds after which to try again.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Failure::TooMany(seconds) => Some(*seconds),
            Failure::Busy => Some(1),
            Failure::NotReady | Failure::OutcomeUnknown => Some(5),
            Failure::DiskFull => Some(30),
            Failure::Refused(_)
            | Failure::NoKey
            | Failure::BadKey
            | Failure::Forbidden(_)
            | Failure::UnknownWorkspace
            | Failure::NotFound(_)
            | Failure::AlreadyDeleted(_)
            | Failure::CodeTaken(_)
            | Failure::Taken(_)
            | Failure::NoCredits
            | Failure::OtherBody
            | Failure::NoEndpoint
            | Failure::WrongMethod
            | Failure::TooLarge(_)
            | Failure::SlowBody
            | Failure::EncodedBody
            | Failure::ChangeTooLarge
            | Failure::Internal => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_spells_out_is_no_id() {
        const fn endpoint(method: &'static str, template: &'static str) -> Endpoint {
            Endpoint { method, template, body: BodyKind::None, parse: |_| Err(Refusal::NotFound("it")) }
        }
        static ENDPOINTS: [Endpoint; 3] = [
            endpoint("GET", "/links/{id}"),
            endpoint("POST", "/links/bulk"),
            endpoint("DELETE", "/links/{id}"),
        ];
        let rows = [
            ("GET", "/links/x", "x"),
            ("POST", "/links/bulk/", ""),
            ("GET", "/links/bulk", "only POST"),
            ("PUT", "/links/x", "only GET, HEAD, DELETE"),
        ];
        for (method, path, want) in rows {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let got = match find(&ENDPOINTS, &method, path) {
                Found::Endpoint(_, id) => id.to_owned(),
                Found::Methods(methods) => format!("only {methods}"),
                Found::Nothing => "nothing".to_owned(),
            };
            assert_eq!(got, want, "{method} {path}");
        }
    }

    #[test]
    fn templates() {
        let rows = [
            ("/api/v1/links", "/api/v1/links", Some("")),
            ("/api/v1/links/{id}", "/api/v1/links/x", Some("x")),
            ("/api/v1/links/{id}", "/api/v1/links", None),
            ("/api/v1/links/{id}", "/api/v1/links/", None),
            ("/api/v1/links/{id}", "/api/v1/links/x/y", None),
            ("/api/v1/domains/{id}/verify", "/api/v1/domains/x/verify", Some("x")),
            ("/api/v1/links", "/api/v1//links", None),
            ("/api/v1/links", "/api/v1/linksx", None),
        ];
        for (template, path, want) in rows {
            assert_eq!(fits(template, path), want, "{template} {path}");
        }
    }
}
