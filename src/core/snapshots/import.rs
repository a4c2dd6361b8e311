//! Importing a snapshot: the right to import, the state of the share, and the wait for the end. The import
//! runs on when its request is dropped.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::catalog::{reaches, sees};
use super::lease::{Lease, RENEW_EVERY};
use super::view::ImportView;
use crate::clock::Timestamp;
use crate::core::commit::{Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::fair::FairPermit;
use crate::log::Position;
use crate::model::Invalid;
use crate::model::id::{ForeignId, Id};
use crate::model::snapshot::{
    Import, ImportDraft, ImportFailure, ImportStatus, OnConflict, Share, ShareKind, Snapshot,
};
use crate::table::record::{FrozenId, Stored, StoredOutcome};
use crate::table::{Found, keys};

/// How long a request waits for its import before it returns "pending": less than proxies and clients usually
/// wait for a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait of an import for other work to end; no client waits any more. Past it, the import fails and
/// is undone.
const IMPORT_WAIT_MAX: Duration = Duration::from_hours(24);

/// An import at work.
pub(super) struct Job {
    pub(super) context: Context,
    pub(super) on_conflict: OnConflict,
    pub(super) import: Import,
    /// The revision of the import's record.
    pub(super) revision: Position,
    /// The lease on the import's mark.
    pub(super) lease: Lease,
    pub(super) share: Found<Share>,
    pub(super) snapshot: Found<Snapshot>,
    pub(super) progress: Arc<AtomicU64>,
}

/// Removes the import from the list of unfinished imports when dropped.
struct Importing {
    snapshots: Snapshots,
    id: Id,
    _begun: FairPermit,
}

impl Drop for Importing {
    fn drop(&mut self) {
        self.snapshots.shared.snapshots.importing.lock().remove(&self.id);
    }
}

/// Which imports of a snapshot a list returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields speak.
pub struct ImportFilter {
    /// The instants between which an import began, both inclusive.
    pub from: Timestamp,
    pub to: Timestamp,
    /// The last import of the page before.
    pub after: Option<Id>,
    pub workspace: Option<ForeignId>,
    /// Most imports. The oldest are left out.
    pub most: usize,
}

impl ImportFilter {
    fn selects(&self, import: &Import) -> bool {
        (self.from..=self.to).contains(&import.created_at)
            // Ids sort by time, so a page continues below the last id of the page before.
            && self.after.is_none_or(|after| import.id < after)
    }
}

impl Snapshots {
    /// Imports a snapshot into the acting workspace. Returns when the import has ended, or with the status
    /// "pending" after [`PATIENCE`]. The import continues in both cases, also if the request is dropped.
    pub async fn import(&self, context: &Context, draft: ImportDraft) -> Result<ImportView, Error> {
        let unknown = || Error::NotFound("share");
        let (mut share, mut snapshot) = self.find_share(draft.share).await?.ok_or_else(unknown)?;
        // Before the wait below, which only admitted workspaces may cause.
        self.admit(context, &share.record)?;
        let mut share_guard = None;
        if share.record.kind == ShareKind::Once {
            // A second import of a one-time share returns the result of the first, instead of failing at a
            // code that the first has taken.
            let waited = tokio::time::timeout(PATIENCE, self.shared.snapshots.lock_share(draft.share)).await;
            share_guard = Some(waited.map_err(|_| Error::Busy)?);
            // Read again: the import before may have used the share up.
            (share, snapshot) = self.find_share(draft.share).await?.ok_or_else(unknown)?;
        }
        if share.record.used_at.is_some() {
            return Err(used_up());
        }
        let credits = self.credits_left(&context.workspace).await?.unwrap_or(u64::MAX);
        // `Skip` may create fewer links, so its credits are checked at the end.
        if credits < snapshot.record.links && draft.on_conflict != OnConflict::Skip {
            return Err(Error::NoCredits);
        }
        // Before the work, and not kept: the last Change announces the entry again.
        drop(self.announce_entry(context, &snapshot.record).await?);
        let (job, importing) = self.begin(context, draft.on_conflict, share, snapshot).await?;
        let import = job.import.clone();
        // A task of its own, so that the import continues when the request is dropped.
        let task = tokio::spawn(self.clone().work(job, importing, share_guard));
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(ended)) => Ok(self.import_view(ended?)),
            Ok(Err(stopped)) => match stopped.try_into_panic() {
                // Resumed here, so that the request that caused the panic fails with 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::NotReady("the server is stopping".to_owned())),
            },
            Err(_) => Ok(self.import_view(import)),
        }
    }

    /// Returns an import within reach.
    pub async fn import_status(&self, context: &Context, id: Id) -> Result<ImportView, Error> {
        let reach = context.reach.clone();
        let seen = self.blocking(move |shared| {
            let frozen = shared.table.get::<FrozenId>(&keys::import_content(id))?;
            // Read in any case, so that an unknown import takes as many reads as a foreign one.
            let frozen = frozen.map_or(Id::from_bits(0), |found| found.record.0);
            let key = keys::import(frozen, id);
            Ok(shared.table.get_seen::<Import>(&key, |owner| reaches(&reach, owner))?)
        });
        let seen = seen.await?.map(|found| self.import_view(found.record));
        seen.ok_or(Error::NotFound("import"))
    }

    /// Returns an import, or the error with which it failed, for a repeated request. Returns `None` if the
    /// server gave the import up and no rule rejected it.
    pub(in crate::core) async fn import_again(&self, id: Id) -> Result<Option<ImportView>, Error> {
        let Some(import) = self.find_import(id).await? else { return Ok(None) };
        match import.status {
            // Nothing is left of the import, so a repeated request may run again.
            ImportStatus::Failed(ImportFailure::Interrupted | ImportFailure::Unavailable) => Ok(None),
            ImportStatus::Failed(failure) => Err(error_of(failure)),
            ImportStatus::Pending | ImportStatus::Completed => Ok(Some(self.import_view(import))),
        }
    }

    async fn find_import(&self, id: Id) -> Result<Option<Import>, Error> {
        let Some(frozen) = self.record::<FrozenId>(keys::import_content(id)).await? else { return Ok(None) };
        let found = self.record::<Import>(keys::import(frozen.record.0, id)).await?;
        Ok(found.map(|found| found.record))
    }

    /// Returns the imports of a snapshot into workspaces of the named company that the filter selects, the
    /// newest first. Imports into other companies are not shown.
    pub async fn imports(
        &self,
        context: &Context,
        company: Option<&str>,
        snapshot: &ForeignId,
        filter: ImportFilter,
    ) -> Result<Vec<ImportView>, Error> {
        let company = self.company_of(context, company)?;
        let snapshot = self.find_snapshot(context, snapshot).await?.record;
        if snapshot.company != company {
            return Err(Error::NotFound("snapshot"));
        }
        let prefix = keys::imports_of(snapshot.frozen);
        let reach = context.reach.clone();
        let read = move |shared: &Shared, cancel: &Cancel| {
            let directory = shared.directory.load();
            let named = filter.workspace.as_ref().map(|id| directory.workspace_named(id.as_str()));
            let named = named.map(|found| found.map(|versioned| versioned.record.number));
            let mut newest = VecDeque::new();
            shared.table.each::<Import>(&prefix, &mut |_, import| {
                // Some workspaces of the company may be outside of the caller's reach.
                let is_seen = import.company == company && sees(&reach, &import.company, import.workspace);
                if is_seen
                    && filter.selects(&import)
                    && named.is_none_or(|named| named == Some(import.workspace))
                {
                    newest.push_back(import);
                    // Every client with a share adds imports, so not all of them may fit into memory.
                    if newest.len() > filter.most {
                        newest.pop_front();
                    }
                }
                !cancel.is_set()
            })?;
            Ok(newest)
        };
        let newest = self.scanning(&context.tenant, read).await?;
        // The keys sort by id, the oldest first.
        Ok(newest.into_iter().rev().map(|import| self.import_view(import)).collect())
    }

    fn admit(&self, context: &Context, share: &Share) -> Result<(), Error> {
        let workspace = &context.workspace;
        let directory = self.directory();
        let company = directory.company(&workspace.company);
        let number = company.map_or("", |versioned| &versioned.record.relationship_number);
        if share.kind.admits(number, &workspace.id) {
            return Ok(());
        }
        let what = match share.kind {
            ShareKind::Companies(_) => "company",
            ShareKind::Workspaces(_) | ShareKind::Once | ShareKind::Permanent => "workspace",
        };
        Err(Error::Forbidden(format!("the share is restricted to others than this {what}")))
    }

    /// Writes the records of an import that begins.
    async fn begin(
        &self,
        context: &Context,
        on_conflict: OnConflict,
        share: Found<Share>,
        snapshot: Found<Snapshot>,
    ) -> Result<(Job, Importing), Error> {
        let progress = Arc::new(AtomicU64::new(0));
        let mut import = Import {
            id: Id::from_bits(0),
            share: share.record.id,
            snapshot: snapshot.record.id.clone(),
            frozen: snapshot.record.frozen,
            company: context.workspace.company.clone(),
            workspace: context.workspace.number,
            status: ImportStatus::Pending,
            links: snapshot.record.links,
            made: 0,
            skipped: 0,
            renamed: 0,
            created_at: context.now,
            finished_at: None,
        };
        // Before the first record, so that the number of unfinished imports is bounded.
        let begun = self.shared.snapshots.begun.try_acquire(&context.tenant, 1).ok_or(Error::Busy)?;
        let committed = self
            .commit_new(context, |next_id| {
                import.id = next_id();
                // Before the mark is proposed: the sweep undoes imports that are not on this list.
                self.shared.snapshots.importing.lock().insert(import.id, Arc::clone(&progress));
                let mut effect = Effect::default();
                effect.create(keys::import(import.frozen, import.id), import.encode());
                effect.create(keys::import_content(import.id), FrozenId(import.frozen).encode());
                let mark = self.shared.work_mark(import.frozen);
                effect.create(keys::staging(import.workspace, import.id), mark.encode());
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Import(import.id));
                effect
            })
            .await;
        // Ends the entry that was inserted above, however the import ends.
        let importing = Importing { snapshots: self.clone(), id: import.id, _begun: begun };
        let Committed::Done = committed? else { return Err(Error::Busy) };
        let lease = self.lease(keys::staging(import.workspace, import.id), import.frozen).await?;
        // One Change wrote both records.
        let revision = lease.revision;
        // The outcome is stored already, and no later Change may store it again.
        let context = Context { claim: None, ..context.clone() };
        Ok((Job { context, on_conflict, import, revision, lease, share, snapshot, progress }, importing))
    }

    /// Waits for a permit to work, and stages the import.
    async fn wait_and_stage(&self, job: &mut Job) -> Result<(), Error> {
        let tenant = job.context.tenant.clone();
        let mut acquire = pin!(self.shared.snapshots.permits.acquire(&tenant, 1, IMPORT_WAIT_MAX));
        let permit = loop {
            tokio::select! {
                permit = &mut acquire => break permit,
                // The wait may outlast a lease, and other nodes undo work without one.
                () = tokio::time::sleep(RENEW_EVERY) => self.renew(&mut job.lease).await?,
            }
        };
        let _permit = permit.ok_or(Error::Busy)?;
        self.stage(job).await
    }

    /// Runs an import to its end, and undoes it if it fails.
    async fn work(
        self,
        mut job: Job,
        // Kept to the end, so that the sweep of this node leaves the import alone.
        _importing: Importing,
        // Kept to the end, so that a second import of the share waits for this result.
        _share_guard: Option<OwnedMutexGuard<()>>,
    ) -> Result<Import, Error> {
        let error = match self.wait_and_stage(&mut job).await {
            Ok(()) => return Ok(job.import),
            Err(error) => error,
        };
        let Import { workspace, id, .. } = job.import;
        let failure = failure_of(&error);
        if let Err(error) = self.abandon(workspace, id, failure.clone()).await {
            tracing::warn!(%error, "what a failed import has staged is left to the sweep");
        }
        // The same error as a repeated request gets, unless the original error says more.
        let is_final = failure == ImportFailure::Unavailable || matches!(error, Error::Unauthorized);
        Err(if is_final { error } else { error_of(failure) })
    }
}

pub(super) fn used_up() -> Error {
    Error::Gone("this share was for one import, which was made")
}

fn failure_of(error: &Error) -> ImportFailure {
    match error {
        Error::Gone(_) => ImportFailure::UsedUp,
        Error::CodeTaken { code } => ImportFailure::CodeTaken(code.clone()),
        Error::NoCredits => ImportFailure::NoCredits,
        Error::NotFound(_) => ImportFailure::SnapshotGone,
        Error::Rule(invalid) => ImportFailure::Refused(invalid.to_string().into()),
        Error::Forbidden(why) => ImportFailure::Refused(why.as_str().into()),
        Error::Unauthorized => ImportFailure::Refused(error.to_string().into()),
        // Not the fault of the snapshot: the same import may succeed later.
        Error::AlreadyDeleted(_)
        | Error::Changed
        | Error::FormerCodeTaken { .. }
        | Error::Taken { .. }
        | Error::UnknownCompany
        | Error::Busy
        | Error::NotReady(_)
        | Error::Table(_)
        | Error::Log(_) => ImportFailure::Unavailable,
    }
}

/// Returns the error for the caller of a failed import.
pub(in crate::core) fn error_of(failure: ImportFailure) -> Error {
    match failure {
        ImportFailure::UsedUp => used_up(),
        ImportFailure::CodeTaken(code) => Error::CodeTaken { code },
        ImportFailure::NoCredits => Error::NoCredits,
        ImportFailure::SnapshotGone => Error::NotFound("snapshot"),
        ImportFailure::Refused(why) => Invalid::new("snapshot", why).into(),
        ImportFailure::Interrupted | ImportFailure::Unavailable => Error::Busy,
    }
}
