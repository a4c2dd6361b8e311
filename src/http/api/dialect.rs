//! What a dialect is: endpoints, each of which turns bytes into a [`Command`] and the [`Reply`] to it into
//! a [`Body`], and a rendering of a [`ApiError`]. All pure. A dialect knows the model and this file, never
//! the core behind it nor the server before it.

mod error;
mod parse;
mod paths;
mod reply;
mod snapshots;

use hyper::header::{HeaderName, HeaderValue};

pub use self::error::{ApiError, ServerError, capitalised};
#[cfg(test)]
pub(super) use self::parse::{TEST_ID, check_parse};
pub use self::parse::{foreign_id, object, read, write};
pub use self::paths::{Found, find};
pub use self::reply::{Body, FromReply, JSON, Reply, show};
pub use self::snapshots::{ImportQuery, NamedCompany, SnapshotCommand};
pub use crate::core::{
    Bulk, BulkView, CampaignPage, CampaignView, Created, Cursor, DomainView, FailedRow, ImportView, KeyView,
    LIMIT_DEFAULT, LIMIT_MAX, LinkQuery, LinkView, ListRange, Page, Paging, ROWS_MAX, Rendered, ShareView,
    SnapshotView, Sort, WebhookSecretView, WorkspaceView,
};
pub use crate::visit::explain::{ExplainRequest, ExplainedRule, Explanation};

pub use super::bad_request::BadRequest;
pub use crate::webhooks::Attempt;

use crate::clock::Timestamp;
pub use crate::http::api::admission::rate::Allowance;
use crate::http::api::query::Query;
use crate::model::campaign::{CampaignDraft, CampaignEdit, CampaignRef};
use crate::model::domain::{DomainDraft, DomainEdit};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{KeyDraft, Scope};
use crate::model::link::{Draft, Patch};
use crate::model::short_code::ShortCode;
use crate::model::tag::TagEdit;
use crate::model::workspace::{CompanyDraft, WorkspaceDraft, WorkspaceEdit};

/// One vendor's API.
pub trait Dialect: Sync {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Whether requests to this path are its own, known endpoint or not: it words the refusal.
    fn claims(&self, path: &str) -> bool;

    /// All it answers; the first match counts.
    fn endpoints(&self) -> &'static [Endpoint];

    /// What it means that a request's path, query or body names a workspace.
    fn workspace_rule(&self) -> WorkspaceRule {
        WorkspaceRule::HeaderWins
    }

    /// Renders a failure.
    fn failure(&self, failure: &ApiError) -> Body;

    /// The headers that tell where a caller stands (docs/decisions.md A6): requests a minute, how many of
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

/// What naming a workspace in path, query or body does, beside `X-Workspace-Id` or without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkspaceRule {
    /// The request acts there, unless the header names another.
    HeaderWins,
    /// It acts there or is refused, whatever the header says.
    NameWins,
    /// The same, and it sees nothing of other workspaces that its key reaches.
    Confines,
}

/// A method on a path.
pub struct Endpoint {
    /// `GET`, `POST`...; `GET` answers `HEAD` as well.
    pub method: &'static str,
    /// `/api/v1/links/{id}`: at most two segments in braces.
    pub template: &'static str,
    /// Which body it takes.
    pub body: BodyKind,
    /// Reads a request.
    pub parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
    /// Renders the reply to its command: see [`show`]. Returns `None` for a reply of another command.
    pub reply: fn(&Reply) -> Option<Body>,
}

/// For the tables of dialects.
pub const fn endpoint(
    method: &'static str,
    template: &'static str,
    body: BodyKind,
    parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
    reply: fn(&Reply) -> Option<Body>,
) -> Endpoint {
    Endpoint { method, template, body, parse, reply }
}

/// How large a request body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Never read, whatever the headers say (docs/decisions.md A2).
    None,
    /// Up to `max_body`.
    Plain,
    /// Up to `max_bulk_body`.
    Bulk,
}

/// A request as a dialect sees it.
#[derive(Debug)]
pub struct RequestParts<'a> {
    /// The segment in braces; with two of them, what the path has from the first to the last.
    pub id: &'a str,
    /// The query.
    pub query: Query<'a>,
    /// The body.
    pub body: &'a [u8],
}

impl RequestParts<'_> {
    /// The segment in braces as an id of ours; anything else names no `what`.
    pub fn id(&self, what: &'static str) -> Result<Id, BadRequest> {
        self.id.parse().map_err(|_| BadRequest::NotFound(what))
    }

    /// The first and the last of two segments in braces, as ids that may be a vendor's.
    pub fn foreign_ids(&self, whats: [&'static str; 2]) -> Result<[ForeignId; 2], BadRequest> {
        let first = self.id.split('/').next().unwrap_or("");
        let last = self.id.rsplit('/').next().unwrap_or("");
        let parse = |text: &str, what| ForeignId::parse("id", text).map_err(|_| BadRequest::NotFound(what));
        Ok([parse(first, whats[0])?, parse(last, whats[1])?])
    }

    /// The segment in braces as an id that may be a vendor's.
    pub fn foreign_id(&self, what: &'static str) -> Result<ForeignId, BadRequest> {
        ForeignId::parse("id", self.id).map_err(|_| BadRequest::NotFound(what))
    }
}

/// What was asked, and where.
#[derive(Debug)]
pub struct ScopedCommand {
    /// The workspace named in body or query.
    pub workspace: Option<String>,
    /// What to do.
    pub command: Command,
}

/// What can be asked of the core.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is named after the method of the core that runs it.
pub enum Command {
    CreateLink(Draft),
    CreateBulk(Bulk),
    Link(Id),
    /// On the default domain of the workspace.
    LinkByCode(ShortCode),
    Links(LinkQuery),
    /// A list of any length, not answered by a [`Reply`], but piece by piece.
    AllLinks(ListRange, &'static ListFormat),
    /// The workspace acted in, for keys that may not look at workspaces otherwise.
    Acting,
    UpdateLink {
        id: Id,
        patch: Patch,
        fixed: ImmutableFields,
    },
    DeleteLink(Id),
    ExplainLink(Id, ExplainRequest),
    /// Ends the lock that wrong passwords have put on a link.
    UnlockPassword(Id),
    Deliveries(Id),
    Render {
        text: Box<str>,
        contact: Option<ForeignId>,
    },
    Tags,
    CreateTag {
        name: Box<str>,
        edits: Vec<TagEdit>,
    },
    UpdateTag(Id, Vec<TagEdit>),
    DeleteTag(Id),
    Campaigns(Option<Paging>),
    CreateCampaign(CampaignDraft),
    Campaign(CampaignRef),
    UpdateCampaign(CampaignRef, Vec<CampaignEdit>),
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
    OfSnapshots(SnapshotCommand),
}

/// How a list is worded that is too long to be held.
#[derive(Debug)]
pub struct ListFormat {
    /// The `Content-Type`.
    pub kind: &'static str,
    /// Before the first link.
    pub open: &'static str,
    /// Each link.
    pub item: fn(&LinkView) -> Vec<u8>,
    /// Between two.
    pub between: &'static str,
    /// Behind the last.
    pub close: &'static str,
    /// Behind the last of a search that ended where it had cost enough.
    pub close_incomplete: &'static str,
}

/// What a change to a link repeats of what cannot change. Clients send back whole objects: equal
/// values pass, others are refused naming the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImmutableFields {
    /// The domain's name.
    pub domain: Option<Box<str>>,
    /// The code.
    pub code: Option<ShortCode>,
    /// `URL`, `MAILTO`, `TEL` or `SMS`.
    pub link_type: Option<crate::model::destination::LinkType>,
    /// The title, from a dialect that shows the code of a link without one: sent back, it leaves
    /// that link without.
    pub lent_title: Option<Box<str>>,
}

/// A default domain to be set, by name or id; `Some(None)` is the instance's.
pub type NamedDomain = Option<Option<Box<str>>>;

impl Command {
    /// Whether it is about what a company has, and so needs no workspace to act in.
    pub fn is_of_company(&self) -> bool {
        matches!(
            self,
            Command::Workspaces
                | Command::CreateWorkspace(..)
                | Command::Companies
                | Command::Keys
                | Command::CreateKey(_)
                | Command::RevokeKey(_)
        )
    }

    /// The scope it takes.
    pub fn scope(&self) -> Scope {
        match self {
            Command::Link(_)
            | Command::LinkByCode(_)
            | Command::Links(_)
            | Command::AllLinks(..)
            | Command::Acting
            | Command::ExplainLink(..)
            | Command::Deliveries(_)
            | Command::Render { .. }
            | Command::Tags
            | Command::Campaigns(_)
            | Command::Campaign(_)
            | Command::Domains
            | Command::Domain(_) => Scope::LinksRead,
            Command::CreateLink(_)
            | Command::CreateBulk(_)
            | Command::UpdateLink { .. }
            | Command::DeleteLink(_)
            | Command::UnlockPassword(_)
            | Command::CreateTag { .. }
            | Command::UpdateTag(..)
            | Command::DeleteTag(_)
            | Command::CreateCampaign(_)
            | Command::UpdateCampaign(..) => Scope::LinksWrite,
            Command::OfSnapshots(command) => command.scope(),
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

    /// Whether it writes nothing on its caller's behalf.
    pub fn is_read(&self) -> bool {
        match self {
            Command::Link(_)
            | Command::LinkByCode(_)
            | Command::Links(_)
            | Command::AllLinks(..)
            | Command::Acting
            | Command::ExplainLink(..)
            | Command::Deliveries(_)
            | Command::Render { .. }
            | Command::Tags
            | Command::Campaigns(_)
            | Command::Campaign(_)
            | Command::Domains
            | Command::Domain(_)
            | Command::Workspaces
            | Command::Workspace(_)
            | Command::Companies
            | Command::Keys
            | Command::WebhookSecret(_) => true,
            Command::OfSnapshots(command) => command.scope() == Scope::SnapshotsRead,
            Command::CreateLink(_)
            | Command::CreateBulk(_)
            | Command::UpdateLink { .. }
            | Command::DeleteLink(_)
            | Command::UnlockPassword(_)
            | Command::CreateTag { .. }
            | Command::UpdateTag(..)
            | Command::DeleteTag(_)
            | Command::CreateCampaign(_)
            | Command::UpdateCampaign(..)
            | Command::CreateDomain(_)
            | Command::UpdateDomain(..)
            | Command::DeleteDomain(_)
            | Command::CreateWorkspace(..)
            | Command::UpdateWorkspace(..)
            | Command::CreateCompany(_)
            | Command::CreateKey(_)
            | Command::RevokeKey(_)
            | Command::RotateWebhookSecret(_) => false,
        }
    }

    /// Whether a create-only key may ask it.
    pub fn creates_links(&self) -> bool {
        matches!(self, Command::CreateLink(_) | Command::CreateBulk(_))
    }
}
