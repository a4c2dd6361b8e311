//! [`Reply`], what the core returns for a command, and [`Body`], to which a dialect renders it.

use hyper::StatusCode;
use serde::Serialize;

use super::{
    AnalyticsFormat, AnalyticsView, Attempt, AuditPage, CampaignPage, CampaignView, ClickShareView, Created,
    DeletedPage, DomainView, Explanation, HistoryPage, ImportView, KeyView, LinkView, LiveMinutes, Page,
    QrPicture, Rendered, RulePage, RuleView, ShareView, SnapshotView, WebhookSecretView, WorkspaceView,
};
use crate::clock::Timestamp;
use crate::json;
use crate::model::attachment::Attachment;
use crate::model::id::Id;
use crate::model::link::branch::BranchId;
use crate::model::tag::Tag;
use crate::model::workspace::Company;

/// The `Content-Type` of JSON.
pub const JSON: &str = "application/json; charset=utf-8";

/// A rendered reply or error: the response without the headers that all responses have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`.
    pub kind: &'static str,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Body {
    /// Creates a body of JSON, which ends in a newline.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Body {
        let mut bytes = json::to_bytes(value);
        // Otherwise a shell shows its prompt behind the last brace.
        bytes.push(b'\n');
        Body { status, kind: JSON, bytes }
    }

    /// Adds warnings about the request to an object of JSON.
    pub(crate) fn with_warnings(mut self, warnings: &[String]) -> Body {
        // Into the text: the objects of some twenty replies need no member of their own for it.
        if !warnings.is_empty() && self.kind == JSON && self.bytes.ends_with(b"}\n") {
            self.bytes.truncate(self.bytes.len() - 2);
            self.bytes.extend_from_slice(br#","warnings":"#);
            self.bytes.extend(json::to_bytes(&warnings));
            self.bytes.extend_from_slice(b"}\n");
        }
        self
    }

    /// Creates a body of JSON with 200.
    pub fn ok(value: &impl Serialize) -> Body {
        Body::json(StatusCode::OK, value)
    }

    /// Creates a body of JSON with 201.
    pub fn created(value: &impl Serialize) -> Body {
        Body::json(StatusCode::CREATED, value)
    }
}

/// Renders the object of a reply. Returns `None` if the object is no `T`: then endpoint and command do not
/// belong together, and the response is 500.
pub fn show<T: FromReply + ?Sized>(reply: &Reply, render: impl FnOnce(&T) -> Body) -> Option<Body> {
    T::from_reply(reply).map(render)
}

/// An object that a dialect can render, or a page of objects.
pub trait FromReply {
    /// Returns the object of a reply, or `None` if the reply has another kind of object.
    fn from_reply(reply: &Reply) -> Option<&Self>;
}

/// Implements [`FromReply`] for a type by the replies that contain it.
macro_rules! from_reply {
    ($type:ty, $pattern:pat => $object:expr) => {
        impl FromReply for $type {
            fn from_reply(reply: &Reply) -> Option<&$type> {
                if let $pattern = reply { Some($object) } else { None }
            }
        }
    };
}

// Created or read, a link or workspace is the same object. Dialects render both with one function.
from_reply!(LinkView, Reply::Made(Created::Link(link), _) | Reply::Link(link) | Reply::Changed(link) => link);
from_reply!(Page, Reply::Links(page) => page);
from_reply!(CampaignView, Reply::Made(Created::Campaign(campaign), _) | Reply::Campaign(campaign) => campaign);
from_reply!(CampaignPage, Reply::Campaigns(page) => page);
from_reply!(WorkspaceView, Reply::Made(Created::Workspace(workspace), _) | Reply::Workspace(workspace) => workspace);
from_reply!(ShareView, Reply::Made(Created::Share(share), _) => share);
from_reply!([SnapshotView], Reply::Snapshots(all) => all.as_slice());
from_reply!([ImportView], Reply::Imports(all) => all.as_slice());
from_reply!(ImportView, Reply::Import(import) => import);
from_reply!([AnalyticsView], Reply::AnalyticsTables(all) => all.as_slice());
from_reply!([Company], Reply::Companies(all) => all.as_slice());
from_reply!(Id, Reply::LinkDeleted(id) => id);
from_reply!(RuleView, Reply::Made(Created::Rule(rule), _) | Reply::Rule(rule) => rule);
from_reply!(RulePage, Reply::Rules(page) => page);
from_reply!(BranchId, Reply::RuleDeleted(id) => id);

impl Reply {
    /// Returns why numbers of the reply are estimates, what the server lacks for it, and what its visitor may miss.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Reply::Analytics(view, _) => [&view.warnings[..], &view.notes].concat(),
            Reply::Explained(explanation) => explanation.warnings.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns the rules of a written link that hold for no visitor from `now` on. Those of a bulk are beside its links; here
    /// is the number of those that have no room there.
    pub(crate) fn idle_rules(&self, now: Timestamp) -> Vec<String> {
        match self {
            Reply::Made(Created::Bulk(bulk), _) => {
                let (_, more) = bulk.idle_rules();
                let text = format!(
                    "links: {more} more rules or conditions hold for no visitor at present; explain of a link names its own"
                );
                (more > 0).then_some(text).into_iter().collect()
            }
            Reply::Made(Created::Link(view), _) | Reply::Changed(view) => {
                view.link.options.idle_rules(now).iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What the core returns for a command.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each variant has the name of its object.
pub enum Reply {
    /// Created by a POST. The text is the secret of a new key.
    Made(Created, Option<String>),
    Link(Box<LinkView>),
    // With the id, unlike `Done`: Linquid's response repeats it.
    LinkDeleted(Id),
    /// A link after an update.
    // Apart from `Link`, so that a dialect may answer 201 to an update.
    Changed(Box<LinkView>),
    Links(Page),
    Rule(Box<RuleView>),
    Rules(RulePage),
    RuleDeleted(BranchId),
    Explained(Box<Explanation>),
    Deliveries(Vec<Attempt>),
    Qr(QrPicture),
    History(HistoryPage),
    DeletedLinks(DeletedPage),
    Audit(AuditPage),
    File(Attachment),
    Analytics(Box<AnalyticsView>, AnalyticsFormat),
    /// One view for each table.
    AnalyticsTables(Vec<AnalyticsView>),
    ClickShares(Vec<ClickShareView>),
    ClickShare(ClickShareView),
    LiveMinutes(LiveMinutes),
    Rendered(Rendered),
    Tags(Vec<Tag>),
    Tag(Tag),
    Campaigns(CampaignPage),
    Campaign(CampaignView),
    Domains(Vec<DomainView>),
    Domain(DomainView),
    Workspaces(Vec<WorkspaceView>),
    Workspace(WorkspaceView),
    Companies(Vec<Company>),
    Keys(Vec<KeyView>),
    WebhookSecret(WebhookSecretView),
    Snapshots(Vec<SnapshotView>),
    Snapshot(SnapshotView),
    Import(ImportView),
    Imports(Vec<ImportView>),
    /// Deleted or revoked.
    Done,
}
