//! A dialect: endpoints, which parse bytes to a [`Command`] and render its [`Reply`] to a [`Body`], and a
//! rendering of an [`ApiError`]. All of it is pure. A dialect uses the model and this file, never the core
//! behind it or the server before it.

mod allowance;
mod error;
mod parse;
mod paths;
mod reply;
mod rules;
mod snapshots;

use hyper::header::{HeaderName, HeaderValue};

pub use self::allowance::Allowance;
pub use self::error::{ApiError, ServerError, capitalised};
pub(crate) use self::error::{CHANGED, NO_ENDPOINT, wrong_method};
#[cfg(test)]
pub(super) use self::parse::{TEST_ID, check_parse};
pub use self::parse::{foreign_id, instant_in, object, read, write, zone_in, zone_of};
pub use self::paths::{PathMatch, find};
pub use self::reply::{Body, FromReply, JSON, Reply, show};
pub use self::rules::RuleCommand;
pub use self::snapshots::{ImportQuery, NamedCompany, SnapshotCommand};
pub use crate::analytics::live::LiveMinutes;
pub use crate::analytics::query::answer::{AnswerRow, Rows};
pub use crate::analytics::query::calendar::{Granularity, Span};
pub use crate::analytics::query::csv::push_field;
pub use crate::analytics::query::error::QueryError;
pub use crate::analytics::query::facet::{Facet, FacetKey};
pub use crate::analytics::query::question::{FacetFilter, Visits};
pub use crate::analytics::query::totals::ClickTotals;
pub use crate::analytics::values::UtmName;
pub use crate::core::{
    ANALYTICS_ROWS_MAX, About, AnalyticsQuery, AnalyticsView, AuditPage, AuditQuery, AuditView, Author, Bulk,
    BulkView, CampaignPage, CampaignView, ClickShareView, Created, Cursor, DeletedLink, DeletedPage,
    DeletedQuery, DomainView, FailedRow, HistoryPage, HistoryRange, ImportView, KeyFilter, KeyView,
    LIMIT_DEFAULT, LIMIT_MAX, LinkQuery, LinkView, ListRange, LiveEvent, LiveLinks, NamedFilter, Page,
    Paging, Period, ROWS_MAX, RankedPlace, Rendered, RevisionView, RulePage, RuleView, ShareView,
    SnapshotView, Sort, StateFilter, VariantShare, WebhookSecretView, WorkspaceView, link_of_row,
};
pub use crate::formats::waypost::rule_json::ConditionJson;
pub use crate::formats::waypost::rules::read_conditions;
pub use crate::qr::logo::QrLogo;
pub use crate::qr::picture::{QrFormat, QrPicture, QrRequest};
pub use crate::qr::symbol::ErrorLevel;
pub use crate::visit::explain::{ExplainRequest, ExplainedBranch, ExplainedRule, Explanation};

pub use super::bad_request::BadRequest;
pub use super::parameters::{QueryWarnings, only_known};
pub use crate::webhooks::Attempt;

use crate::clock::Timestamp;
use crate::http::api::query::Query;
use crate::model::Invalid;
use crate::model::attachment::{Attachment, AttachmentUse};
use crate::model::campaign::{CampaignDraft, CampaignEdit, CampaignRef};
use crate::model::click_share::{ClickShareDraft, ClickSharePatch};
use crate::model::domain::{DomainDraft, DomainEdit};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{KeyDraft, Scope};
use crate::model::link::{AddressPatch, DomainChoice, Draft, Patch};
use crate::model::short_code::ShortCode;
use crate::model::tag::TagEdit;
use crate::model::workspace::{CompanyDraft, WorkspaceDraft, WorkspaceEdit};

/// One vendor's API.
pub trait Dialect: Sync {
    /// Returns the name, for logs.
    fn name(&self) -> &'static str;

    /// Returns whether this dialect renders the responses of a path, which need not be an endpoint.
    fn claims(&self, path: &str) -> bool;

    /// Returns all endpoints. The first one that matches a request counts.
    fn endpoints(&self) -> &'static [Endpoint];

    /// Returns the effect of a workspace that path, query or body of a request name.
    fn workspace_rule(&self) -> WorkspaceRule {
        WorkspaceRule::HeaderWins
    }

    /// Renders an error.
    fn error(&self, error: &ApiError) -> Body;

    /// Returns where an answer names the unknown parameters of its request.
    fn query_warnings(&self) -> QueryWarnings {
        QueryWarnings::None
    }

    /// Returns whether objects have an `ETag`, and conditions on it apply.
    fn has_revisions(&self) -> bool {
        false
    }

    /// Returns whether links show their clicks of the last days, which are read for each response.
    fn shows_recent_clicks(&self) -> bool {
        false
    }

    /// Returns the headers of a rate limit (docs/decisions.md A6): requests a minute, the number that is
    /// left, and the Unix second at which all are left again.
    fn rate_headers(&self, allowance: &Allowance, now: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
        // The wall clock: the header names an instant, unlike the limit itself, which ignores the clock.
        let resets = now.plus_millis(i64::try_from(allowance.resets_in.as_millis()).unwrap_or(i64::MAX));
        vec![
            (HeaderName::from_static("x-ratelimit-limit"), allowance.limit.into()),
            (HeaderName::from_static("x-ratelimit-remaining"), allowance.remaining.into()),
            // Rounded up to the first second at which all are left.
            (HeaderName::from_static("x-ratelimit-reset"), (resets.as_millis().div_euclid(1_000) + 1).into()),
        ]
    }
}

/// The effect of a workspace that path, query or body name, with or without `X-Workspace-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkspaceRule {
    /// The request acts in it, unless the header names another one.
    HeaderWins,
    /// The request acts in it or is rejected; the header does not count.
    NameWins,
    /// Like `NameWins`. The request reads nothing of other workspaces, also if its key reaches them.
    Confines,
}

/// A method on a path.
pub struct Endpoint {
    /// `GET`, `POST`...; an endpoint of `GET` serves `HEAD` as well.
    pub method: &'static str,
    /// `/api/v1/links/{id}`: at most two segments in braces.
    pub template: &'static str,
    #[allow(missing_docs)] // The type has the doc.
    pub body: BodyKind,
    /// Parses a request.
    pub parse: fn(&RequestParts<'_>) -> Result<ScopedCommand, BadRequest>,
    /// Renders the reply to its command: see [`show`]. Returns `None` for a reply of another command.
    pub reply: fn(&Reply) -> Option<Body>,
}

/// Creates an endpoint, for the tables of dialects.
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
    /// The segment in braces. With two of them, the path from the first to the last.
    pub id: &'a str,
    /// Decoded.
    pub query: Query<'a>,
    /// Empty for [`BodyKind::None`].
    pub body: &'a [u8],
}

impl RequestParts<'_> {
    /// Returns the segment in braces as an id of Waypost. Any other text is an unknown `what`.
    pub fn id(&self, what: &'static str) -> Result<Id, BadRequest> {
        // 404 and not 400: no object can have this id, and clients handle 404 already.
        self.id.parse().map_err(|_| BadRequest::NotFound(what))
    }

    /// Returns the first and the last of two segments in braces, as ids that may be a vendor's.
    pub(crate) fn foreign_ids(&self, whats: [&'static str; 2]) -> Result<[ForeignId; 2], BadRequest> {
        // `id` is the path from the first to the last segment in braces, with the words between.
        let first = self.id.split('/').next().unwrap_or("");
        let last = self.id.rsplit('/').next().unwrap_or("");
        let parse = |text: &str, what| ForeignId::parse("id", text).map_err(|_| BadRequest::NotFound(what));
        Ok([parse(first, whats[0])?, parse(last, whats[1])?])
    }

    /// Returns the segment in braces as an id that may be a vendor's.
    pub fn foreign_id(&self, what: &'static str) -> Result<ForeignId, BadRequest> {
        ForeignId::parse("id", self.id).map_err(|_| BadRequest::NotFound(what))
    }
}

/// A command, and the workspace that its request names.
#[derive(Debug)]
pub struct ScopedCommand {
    /// The workspace that path, body or query name.
    pub workspace: Option<String>,
    #[allow(missing_docs)] // The type has the doc.
    pub command: Command,
    /// What the response adds to its reply, such as names of unknown fields. A dialect bounds their number and length.
    pub warnings: Vec<String>,
}

/// The code of a link, and its domain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The types have the docs.
pub struct CodeRef {
    pub domain: DomainChoice,
    pub code: ShortCode,
}

/// What to do with a link that a code names.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is the command of the same name.
pub enum LinkAct {
    Read,
    Update { patch: Box<Patch>, fixed: ImmutableFields },
    Delete,
    Explain(Box<ExplainRequest>),
    Deliveries,
    Qr(QrRequest),
    UnlockPassword,
    History(HistoryRange),
    Undo(Option<Id>),
}

/// The owner of a file, as a request names it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The ids of their objects.
pub enum FileOf {
    Domain(Id),
    Workspace(ForeignId),
}

/// What to do with a file.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The verbs speak.
pub enum FileAct {
    Read,
    Set(Attachment),
    Remove,
}

/// All that dialects can request of the core.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is named after the method of the core that runs it.
pub enum Command {
    CreateLink(Draft),
    CreateBulk(Bulk),
    Link(Id),
    LinkByCode(CodeRef, LinkAct),
    /// The link of this id or, if there is none, of this code.
    LinkByIdOrCode(Id, ShortCode),
    Links(LinkQuery),
    /// A list of any length. Its response is a stream and not a [`Reply`].
    // The format is with the command, since the list is rendered while it is read.
    AllLinks(ListRange, &'static ListFormat),
    /// The workspace of the request, also for keys that may not read workspaces otherwise.
    Acting,
    UpdateLink {
        id: Id,
        patch: Patch,
        fixed: ImmutableFields,
    },
    DeleteLink(Id),
    ExplainLink(Id, Box<ExplainRequest>),
    /// Explains a click on a link that does not exist yet.
    ExplainDraft(Box<Draft>, Box<ExplainRequest>),
    /// Ends the lock that wrong passwords have put on a link.
    UnlockPassword(Id),
    Deliveries(Id),
    /// The picture of a link's QR code.
    LinkQr(Id, QrRequest),
    LinkHistory(Id, HistoryRange),
    /// To the state after a revision, or the last change.
    UndoLink(Id, Option<Id>),
    RestoreLink(Id, AddressPatch),
    DeletedLinks(DeletedQuery),
    Audit(AuditQuery),
    Analytics(Box<AnalyticsQuery>, AnalyticsFormat),
    /// A table for each property of the question, or the total without any.
    AnalyticsTables(Box<AnalyticsQuery>),
    ShareClicks(ClickShareDraft),
    ClickShares,
    UpdateClickShare(Id, ClickSharePatch),
    RevokeClickShare(Id),
    LiveMinutes,
    /// The clicks of this moment. Its response is a stream and not a [`Reply`].
    Listen(LiveLinks, LiveFormat),
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
    DeleteCampaign(CampaignRef),
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
    /// A file of a domain or workspace.
    OfFile(FileOf, AttachmentUse, FileAct),
    OfSnapshots(SnapshotCommand),
    OfRules(RuleCommand),
}

/// Renders an event of a stream. Returns true with the last one.
pub type LiveFormat = fn(&LiveEvent) -> (String, bool);

/// The format of an answer about clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalyticsFormat {
    /// An object.
    Json,
    /// Comma-separated values, with a head line.
    Csv,
    /// The same behind a byte order mark, by which Excel knows that the text is UTF-8.
    CsvWithMark,
}

/// The format of a list that may be too long for memory.
#[derive(Debug)]
pub struct ListFormat {
    /// The `Content-Type`.
    pub kind: &'static str,
    /// Before the first link.
    pub open: &'static str,
    /// Renders each link.
    pub item: fn(&LinkView) -> Vec<u8>,
    /// Between two links.
    pub between: &'static str,
    /// After the last link.
    pub close: &'static str,
    /// After the last link of a search that ended at its limit of work.
    pub close_incomplete: &'static str,
}

/// Fields in a request to update a link that cannot change. Clients send whole objects: equal values pass,
/// any other value is an error that names the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImmutableFields {
    /// `URL`, `MAILTO`, `TEL` or `SMS`.
    pub link_type: Option<crate::model::destination::LinkType>,
    /// The title, in a dialect that shows the code as the title of a link without one. A client that sends
    /// it back leaves such a link without a title.
    pub lent_title: Option<Box<str>>,
}

/// A default domain to be set, by name or id; `Some(None)` is that of the instance.
pub(crate) type NamedDomain = Option<Option<Box<str>>>;

impl Command {
    /// Returns the command for a client that takes no stream. Fails if there is none.
    pub(crate) fn without_stream(self) -> Result<Command, BadRequest> {
        let name = match self {
            Command::Listen(LiveLinks::All, _) => return Ok(Command::LiveMinutes),
            Command::Listen(LiveLinks::Link(_), _) => "linkId",
            Command::Listen(LiveLinks::Named(_), _) => "link",
            other => return Ok(other),
        };
        // The minutes of a link are counted while somebody listens.
        let rule = "needs `Accept: text/event-stream` over HTTP/1.1 or later";
        Err(BadRequest::Rule(Invalid::new(name, rule)))
    }

    /// Returns whether the response is a picture.
    pub(crate) fn is_picture(&self) -> bool {
        matches!(self, Command::LinkQr(..) | Command::LinkByCode(_, LinkAct::Qr(_)))
    }

    /// Returns whether the command is a POST that changes one object that exists.
    pub(crate) fn is_undo(&self) -> bool {
        matches!(self, Command::UndoLink(..) | Command::LinkByCode(_, LinkAct::Undo(_)))
    }

    /// Returns whether the command concerns what a company has, and so needs no workspace.
    pub(crate) fn is_of_company(&self) -> bool {
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

    /// Returns the scope that a key needs.
    pub fn scope(&self) -> Scope {
        match self {
            Command::Link(_)
            | Command::LinkByCode(_, LinkAct::Read | LinkAct::Explain(_) | LinkAct::Deliveries | LinkAct::Qr(_) | LinkAct::History(_))
            | Command::LinkHistory(..)
            | Command::DeletedLinks(_)
            | Command::LinkByIdOrCode(..)
            | Command::Links(_)
            | Command::AllLinks(..)
            | Command::Acting
            | Command::ExplainLink(..)
            | Command::ExplainDraft(..)
            | Command::Deliveries(_)
            | Command::LinkQr(..)
            // Reading suffices: the text is not stored.
            | Command::Render { .. }
            | Command::Tags
            | Command::Campaigns(_)
            | Command::Campaign(_)
            | Command::Domains
            | Command::Domain(_) => Scope::LinksRead,
            Command::Analytics(..) | Command::AnalyticsTables(_) | Command::LiveMinutes | Command::Listen(..) => {
                Scope::AnalyticsRead
            }
            Command::CreateLink(_)
            | Command::CreateBulk(_)
            | Command::UpdateLink { .. }
            | Command::DeleteLink(_)
            // Unlocking is not an administrator's right: it undoes what visitors did to the link.
            | Command::LinkByCode(_, LinkAct::Update { .. } | LinkAct::Delete | LinkAct::UnlockPassword | LinkAct::Undo(_))
            | Command::UndoLink(..)
            | Command::RestoreLink(..)
            | Command::UnlockPassword(_)
            | Command::CreateTag { .. }
            | Command::UpdateTag(..)
            | Command::DeleteTag(_)
            | Command::CreateCampaign(_)
            // Also the list: its links show statistics without a key, so also after the key is revoked.
            | Command::ShareClicks(_)
            | Command::ClickShares
            | Command::UpdateClickShare(..)
            | Command::RevokeClickShare(_)
            | Command::UpdateCampaign(..)
            | Command::DeleteCampaign(_) => Scope::LinksWrite,
            Command::OfSnapshots(command) => command.scope(),
            Command::OfRules(command) => command.scope(),
            // The list names keys.
            Command::Audit(_)
            // A domain that is added counts as verified, so it takes an admin.
            | Command::CreateDomain(_)
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
            | Command::RotateWebhookSecret(_)
            | Command::OfFile(..) => Scope::Admin,
        }
    }

    /// Returns whether the command writes nothing for its caller.
    pub fn is_read(&self) -> bool {
        match self {
            Command::Link(_)
            | Command::LinkByCode(_, LinkAct::Read | LinkAct::Explain(_) | LinkAct::Deliveries | LinkAct::Qr(_) | LinkAct::History(_))
            | Command::LinkHistory(..)
            | Command::DeletedLinks(_)
            | Command::Audit(_)
            | Command::LinkByIdOrCode(..)
            | Command::Links(_)
            | Command::AllLinks(..)
            | Command::Acting
            | Command::ExplainLink(..)
            | Command::ExplainDraft(..)
            | Command::Deliveries(_)
            | Command::LinkQr(..)
            | Command::Analytics(..)
            | Command::AnalyticsTables(_)
            | Command::ClickShares
            | Command::LiveMinutes
            | Command::Listen(..)
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
            | Command::OfFile(_, _, FileAct::Read)
            // The first read may create the secret, but not for its caller: webhooks need it too.
            | Command::WebhookSecret(_) => true,
            // Exhaustive, like `scope`: a new command does not compile until it is decided here.
            Command::OfSnapshots(command) => command.scope() == Scope::SnapshotsRead,
            Command::OfRules(command) => command.scope() == Scope::LinksRead,
            Command::CreateLink(_)
            | Command::CreateBulk(_)
            | Command::UpdateLink { .. }
            | Command::DeleteLink(_)
            | Command::LinkByCode(_, LinkAct::Update { .. } | LinkAct::Delete | LinkAct::UnlockPassword | LinkAct::Undo(_))
            | Command::UndoLink(..)
            | Command::RestoreLink(..)
            | Command::UnlockPassword(_)
            | Command::CreateTag { .. }
            | Command::UpdateTag(..)
            | Command::DeleteTag(_)
            | Command::CreateCampaign(_)
            | Command::ShareClicks(_)
            | Command::UpdateClickShare(..)
            | Command::RevokeClickShare(_)
            | Command::UpdateCampaign(..)
            | Command::DeleteCampaign(_)
            | Command::CreateDomain(_)
            | Command::UpdateDomain(..)
            | Command::DeleteDomain(_)
            | Command::CreateWorkspace(..)
            | Command::UpdateWorkspace(..)
            | Command::CreateCompany(_)
            | Command::CreateKey(_)
            | Command::RevokeKey(_)
            | Command::RotateWebhookSecret(_)
            | Command::OfFile(_, _, FileAct::Set(_) | FileAct::Remove) => false,
        }
    }

    /// Returns whether a create-only key may give the command.
    pub(crate) fn creates_links(&self) -> bool {
        matches!(self, Command::CreateLink(_) | Command::CreateBulk(_))
    }
}
