//! Links and what they belong to. Every write passes here, in the order log, table, cache; every
//! lookup of a redirect starts here.
//!
//! [`Links`] is a handle, cheap to clone. Its methods take a [`Context`]: on whose behalf, in
//! which workspace, under which idempotency claim. They know no HTTP and no vendor.

mod error;
mod query;
mod view;

use std::sync::Arc;

pub use self::error::Error;
pub use self::query::{Cursor, LIMIT_DEFAULT, LIMIT_MAX, LinkQuery, Page, Sort};
pub use self::view::{BulkView, DomainView, FailedRow, KeyView, LinkView, WorkspaceView};

use crate::clock::Timestamp;
use crate::model::Invalid;
use crate::model::domain::{DomainDraft, DomainEdit};
use crate::model::id::{ForeignId, Id};
use crate::model::key::{ApiKey, KeyDraft, Reach, Scopes};
use crate::model::link::{DomainChoice, Draft, Patch};
use crate::model::tag::{Tag, TagEdit};
use crate::model::workspace::{Company, CompanyDraft, Workspace, WorkspaceDraft, WorkspaceEdit};

/// On whose behalf a command runs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The key's id; `None` for the key in the environment.
    pub key: Option<Id>,
    /// Whose objects it sees.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// The workspace it acts in.
    pub workspace: Arc<Workspace>,
    /// Ties log lines and Changes to the request; 0 for none.
    pub request: u64,
    /// The instant of the request.
    pub now: Timestamp,
    /// Present on a request with an `Idempotency-Key`.
    pub claim: Option<Claim>,
}

/// An `Idempotency-Key` at work: recorded in the same Change as what the request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Hash of API key, method, path and the client's key.
    pub scope: [u8; 16],
    /// Hash of the body: another body under the same key is refused.
    pub body: [u8; 16],
}

/// What an earlier request with the same [`Claim::scope`] did.
#[derive(Clone, Debug)]
pub enum Replay {
    /// Nothing: go on.
    New,
    /// The same body: its answer again.
    Same(Outcome),
    /// Another body: refuse.
    Other,
}

/// What a POST made, re-read from the store.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is what the method of the same name answers.
pub enum Outcome {
    Link(Box<LinkView>),
    Bulk(BulkView),
    Tag(Tag),
    Domain(DomainView),
    Workspace(WorkspaceView),
    Company(Company),
    Key(KeyView),
}

/// A bulk creation: rows that did not even parse keep their place, so that each is answered.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Where the links shall live.
    pub domain: DomainChoice,
    /// At most 1,000 rows, each a draft or why it is none.
    pub rows: Vec<Result<Draft, Invalid>>,
    /// All or nothing, instead of row by row.
    pub atomic: bool,
}

/// The handle.
#[derive(Clone, Debug)]
pub struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared;

#[allow(clippy::unused_async, clippy::todo, unused_variables, missing_docs)]
impl Links {
    /// Looks up the live key with this secret. Constant work for unknown ones.
    pub fn authenticate(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        todo!()
    }
    /// The workspace in which `caller` acts: the named one, if it is within reach, else the oldest
    /// within reach. `None` when the named one is not to be seen.
    pub fn acting(&self, caller: &Caller, named: Option<&str>) -> Option<Arc<Workspace>> {
        todo!()
    }
    /// What an earlier request under this claim did.
    pub async fn replay(&self, context: &Context) -> Result<Replay, Error> {
        todo!()
    }

    pub async fn create(&self, context: &Context, draft: Draft) -> Result<LinkView, Error> {
        todo!()
    }
    pub async fn create_bulk(&self, context: &Context, bulk: Bulk) -> Result<BulkView, Error> {
        todo!()
    }
    pub async fn get(&self, context: &Context, id: Id) -> Result<LinkView, Error> {
        todo!()
    }
    pub async fn list(&self, context: &Context, query: LinkQuery) -> Result<Page, Error> {
        todo!()
    }
    pub async fn update(&self, context: &Context, id: Id, patch: Patch) -> Result<LinkView, Error> {
        todo!()
    }
    pub async fn delete(&self, context: &Context, id: Id) -> Result<(), Error> {
        todo!()
    }

    pub async fn tags(&self, context: &Context) -> Result<Vec<Tag>, Error> {
        todo!()
    }
    pub async fn create_tag(
        &self,
        context: &Context,
        name: Box<str>,
        edits: Vec<TagEdit>,
    ) -> Result<Tag, Error> {
        todo!()
    }
    pub async fn update_tag(&self, context: &Context, id: Id, edits: Vec<TagEdit>) -> Result<Tag, Error> {
        todo!()
    }
    pub async fn delete_tag(&self, context: &Context, id: Id) -> Result<(), Error> {
        todo!()
    }

    pub async fn domains(&self, context: &Context) -> Result<Vec<DomainView>, Error> {
        todo!()
    }
    pub async fn create_domain(&self, context: &Context, draft: DomainDraft) -> Result<DomainView, Error> {
        todo!()
    }
    pub async fn domain(&self, context: &Context, id: Id) -> Result<DomainView, Error> {
        todo!()
    }
    pub async fn update_domain(
        &self,
        context: &Context,
        id: Id,
        edits: Vec<DomainEdit>,
    ) -> Result<DomainView, Error> {
        todo!()
    }
    /// Refused with [`Error::Rule`] while the domain has links.
    pub async fn delete_domain(&self, context: &Context, id: Id) -> Result<(), Error> {
        todo!()
    }

    pub async fn workspaces(&self, context: &Context) -> Result<Vec<WorkspaceView>, Error> {
        todo!()
    }
    pub async fn create_workspace(
        &self,
        context: &Context,
        draft: WorkspaceDraft,
    ) -> Result<WorkspaceView, Error> {
        todo!()
    }
    pub async fn workspace(&self, context: &Context, id: &ForeignId) -> Result<WorkspaceView, Error> {
        todo!()
    }
    pub async fn update_workspace(
        &self,
        context: &Context,
        id: &ForeignId,
        edits: Vec<WorkspaceEdit>,
    ) -> Result<WorkspaceView, Error> {
        todo!()
    }

    pub async fn companies(&self, context: &Context) -> Result<Vec<Company>, Error> {
        todo!()
    }
    pub async fn create_company(&self, context: &Context, draft: CompanyDraft) -> Result<Company, Error> {
        todo!()
    }

    pub async fn keys(&self, context: &Context) -> Result<Vec<KeyView>, Error> {
        todo!()
    }
    /// The key, and its secret, which is never told again.
    pub async fn create_key(&self, context: &Context, draft: KeyDraft) -> Result<(KeyView, String), Error> {
        todo!()
    }
    pub async fn revoke_key(&self, context: &Context, id: Id) -> Result<(), Error> {
        todo!()
    }
}

/// Who holds a valid key.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The key in the environment (`WAYPOST_ADMIN_KEY`): instance reach, every scope, not stored.
    Environment,
    /// A stored key.
    Key(Arc<ApiKey>),
}
