//! Snapshots: frozen copies of a workspace's links, shared and imported.
//!
//! Both freezing and importing write far more than one Change may hold. What they write first is
//! out of sight: chunks of content that no snapshot names, links whose import is under way. One
//! last small Change makes all of it visible, or, if it never comes, [`sweep`] removes it.

mod freeze;
mod import;
mod share;
mod stage;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

pub use self::share::SharePage;

use super::commit::{ATTEMPTS, Committed, Effect};
use super::pools::cpu_pool::Cancel;
use super::{Context, Error, Links, Shared};
use crate::fair::{FairSemaphore, Shares};
use crate::log::Position;
use crate::model::id::{ForeignId, Id};
use crate::model::key::Reach;
use crate::model::snapshot::{Import, Share, Snapshot};
use crate::model::workspace::WorkspaceNumber;
use crate::table::Found;
use crate::table::keys::{self, Kind};
use crate::table::record::{Owner, Stored, WorkMark};

/// Snapshots frozen and imports staged at once: of one company two, and one is left to the operator.
/// Each keeps the log and the table's one thread busy with little pause; more of them would not be done
/// sooner, and others' writes later. Past it: they wait for each other.
const AT_WORK_MAX: u32 = 4;

/// Imports begun and not ended, of one company half. Each that waits is a task and a few records; past
/// it: 503, try again.
const IMPORTS_MAX: u32 = 100;

/// Longest wait of a request to freeze a snapshot for others to end. Past it: 503, try again.
const FREEZE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest wait of an import, for which no client waits any more. Past it, it fails and is undone.
const IMPORT_WAIT_MAX: Duration = Duration::from_hours(24);

/// Bytes of one chunk of content, and about of one Change of staged links: a quarter of what a
/// Change may hold, so that nobody's write waits long behind it, and so that one link at all its
/// bounds more still fits.
const CHUNK_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 4;

/// A snapshot as its readers see it.
#[derive(Clone, Debug)]
pub struct SnapshotView {
    /// The record.
    pub snapshot: Snapshot,
    /// What the APIs call its workspace by.
    pub workspace: ForeignId,
}

/// A share as its readers see it.
#[derive(Clone, Debug)]
pub struct ShareView {
    /// The record.
    pub share: Share,
    /// What to open, and to import.
    pub url: String,
}

/// An import as its readers see it.
#[derive(Clone, Debug)]
pub struct ImportView {
    /// The record.
    pub import: Import,
    /// What the APIs call its workspace by.
    pub workspace: ForeignId,
    /// Links dealt with so far.
    pub done: u64,
}

/// How long the work of a node is left alone by others. Renewed while it works: a node that dies leaves
/// its work to the others after that.
const LEASE_MILLIS: i64 = 15 * 60 * 1_000;

/// How often a lease is renewed: a third of it, so that two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_mins(5);

/// The mark of work under way, on which every Change of the work relies.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    key: Bytes,
    frozen: Id,
    /// Of the mark's record: changes with each renewal.
    pub(super) revision: Position,
    renewed: Instant,
}

/// What runs in this process.
#[derive(Debug)]
pub(super) struct AtWork {
    permits: FairSemaphore,
    /// Held by each import from its beginning to its end.
    begun: FairSemaphore,
    /// Content being frozen: the sweep leaves it alone.
    freezing: Mutex<HashSet<Id>>,
    /// Imports under way, with how many links each has dealt with.
    importing: Mutex<HashMap<Id, Arc<AtomicU64>>>,
    /// One-time shares being imported: the second waits whether the first succeeds.
    turns: Mutex<HashMap<Id, Weak<tokio::sync::Mutex<()>>>>,
}

impl Default for AtWork {
    fn default() -> AtWork {
        AtWork {
            permits: FairSemaphore::new(AT_WORK_MAX),
            begun: FairSemaphore::new(IMPORTS_MAX),
            freezing: Mutex::default(),
            importing: Mutex::default(),
            turns: Mutex::default(),
        }
    }
}

impl AtWork {
    /// Returns its pools, with how each is shared.
    pub(super) fn pools(&self) -> [(&'static str, Shares); 2] {
        [("snapshots and imports at work", self.permits.shares()), ("imports begun", self.begun.shares())]
    }

    async fn turn(&self, share: Id) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(&share).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(share, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

impl Links {
    /// The snapshots within reach, the newest first; of one company when it is given.
    pub async fn snapshots(
        &self,
        context: &Context,
        company: Option<&str>,
    ) -> Result<Vec<SnapshotView>, Error> {
        let company = company.map(|named| self.company_of(context, Some(named))).transpose()?;
        let reach = context.reach.clone();
        let read = move |shared: &Shared, cancel: &Cancel| {
            let mut seen = shared.snapshots_within(&reach, cancel)?;
            seen.retain(|snapshot| company.as_ref().is_none_or(|company| snapshot.company == *company));
            Ok(seen)
        };
        let mut all = self.scanning(&context.tenant, read).await?;
        all.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.created_at, snapshot.frozen)));
        Ok(all.into_iter().map(|snapshot| self.snapshot_view(snapshot)).collect())
    }

    /// One snapshot.
    pub async fn snapshot(&self, context: &Context, id: &ForeignId) -> Result<SnapshotView, Error> {
        let found = self.find_snapshot(context, id).await?;
        Ok(self.snapshot_view(found.record))
    }

    /// Deletes a snapshot. Its shares lead nowhere then; what was imported stays.
    pub async fn delete_snapshot(&self, context: &Context, id: &ForeignId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let found = self.find_snapshot(context, id).await?;
            let snapshot = found.record;
            let mut effect = Effect::default();
            effect.remove(keys::snapshot(id), found.revision);
            // An imported one has no content of its own.
            let owns = snapshot.chunks > 0;
            if owns {
                effect.put(keys::content_mark(snapshot.frozen), self.0.work_mark(snapshot.frozen).encode());
            }
            if let Committed::Done = self.commit(context, effect).await? {
                if owns && let Err(error) = self.remove_content(snapshot.frozen).await {
                    tracing::warn!(%error, "a deleted snapshot's content is left to the sweep");
                }
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// The company named, if it is within reach; the acting workspace's when none is named.
    fn company_of(&self, context: &Context, named: Option<&str>) -> Result<ForeignId, Error> {
        let own = match &context.reach {
            Reach::Company(id) => id,
            Reach::Instance | Reach::Workspace(_) => &context.workspace.company,
        };
        let Some(named) = named.filter(|named| *named != own.as_str()) else { return Ok(own.clone()) };
        let id = ForeignId::parse("companyId", named).ok().filter(|_| context.reach == Reach::Instance);
        let known = id.filter(|id| self.directory().company(id).is_some());
        known.ok_or(Error::UnknownCompany)
    }

    async fn find_snapshot(&self, context: &Context, id: &ForeignId) -> Result<Found<Snapshot>, Error> {
        let key = keys::snapshot(id);
        let reach = context.reach.clone();
        let found = self.blocking(move |shared| {
            Ok(shared.table.get_seen::<Snapshot>(&key, |owner| reaches(&reach, owner))?)
        });
        found.await?.ok_or(Error::NotFound("snapshot"))
    }

    fn workspace_name(&self, number: WorkspaceNumber) -> ForeignId {
        let directory = self.directory();
        let held = directory.workspace(number).map(|held| held.record.id.clone());
        // Workspaces are never removed; a number without one would be a damaged store.
        held.unwrap_or_else(|| Id::from_bits(0).into())
    }

    fn snapshot_view(&self, snapshot: Snapshot) -> SnapshotView {
        SnapshotView { workspace: self.workspace_name(snapshot.workspace), snapshot }
    }

    fn import_view(&self, import: Import) -> ImportView {
        let progress = self.0.snapshots.importing.lock().get(&import.id).map(Arc::clone);
        let ended = import.made + import.skipped;
        let done = progress.map_or(ended, |progress| progress.load(Ordering::Relaxed).max(ended));
        ImportView { workspace: self.workspace_name(import.workspace), done, import }
    }

    /// Takes up the mark that was just written under this key.
    async fn lease(&self, key: Bytes, frozen: Id) -> Result<Lease, Error> {
        let found = self.record::<WorkMark>(key.clone()).await?.ok_or(Error::Busy)?;
        Ok(Lease { key, frozen, revision: found.revision, renewed: Instant::now() })
    }

    /// Renews a lease when its time has come. Fails if the work was undone.
    async fn renew(&self, lease: &mut Lease) -> Result<(), Error> {
        if lease.renewed.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        let mut effect = Effect::default();
        effect.replace(lease.key.clone(), lease.revision, self.0.work_mark(lease.frozen).encode());
        match self.commit_unasked(effect).await? {
            Committed::Done => {
                *lease = self.lease(lease.key.clone(), lease.frozen).await?;
                Ok(())
            }
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }

    /// Reads one record.
    async fn record<T: Stored + Send + 'static>(&self, key: Bytes) -> Result<Option<Found<T>>, Error> {
        self.blocking(move |shared: &Shared| Ok(shared.table.get::<T>(&key)?)).await
    }
}

impl Shared {
    /// The mark of work of this node, of which it has a lease from now on.
    pub(super) fn work_mark(&self, frozen: Id) -> WorkMark {
        WorkMark { frozen, owner: self.node, until: self.clock.now().plus_millis(LEASE_MILLIS) }
    }

    /// Reads the snapshots within reach.
    pub(super) fn snapshots_within(&self, reach: &Reach, cancel: &Cancel) -> Result<Vec<Snapshot>, Error> {
        if *reach == Reach::Instance {
            return self.read_all(&Kind::Snapshot.prefix(), cancel);
        }
        let mut seen = Vec::new();
        for held in self.directory.load().workspaces(reach).take_while(|_| !cancel.is_set()) {
            seen.extend(self.table.snapshots_of(held.record.number)?);
        }
        Ok(seen)
    }
}

/// Whether something that belongs to this company and workspace is within reach.
fn sees(context: &Context, company: &ForeignId, workspace: WorkspaceNumber) -> bool {
    reaches(&context.reach, &Owner { company: company.as_str().into(), workspace })
}

fn reaches(reach: &Reach, owner: &Owner) -> bool {
    match reach {
        Reach::Instance => true,
        Reach::Company(id) => *id.as_str() == *owner.company,
        Reach::Workspace(number) => *number == owner.workspace,
    }
}
