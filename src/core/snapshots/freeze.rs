//! Freezing: a workspace's links into chunks, and the snapshot that names them last.
//!
//! Links are read in the order of their creation, in batches. One that is changed meanwhile is in
//! the snapshot as it was before or after, whole; one that is deleted meanwhile may be in it; one
//! that is made meanwhile is not; an import is in it whole or not at all. Clicks and campaigns stay behind, which belong to the workspace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::lease::Lease;
use super::view::SnapshotView;
use crate::core::commit::{Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::links::list::SLICE_STEPS;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::workspaces::only_instance_names_ids;
use crate::model::Invalid;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::snapshot::{Snapshot, SnapshotDraft, SnapshotKind};
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{Chunk, FrozenLink, LinkAt, Stored, StoredOutcome};
use crate::table::{List, Order, ReadView, Scanned, keys};

/// Most links of one snapshot: an hour of importing, and a few hundred megabytes. Past it: refused.
const LINKS_MAX: u64 = 2_000_000;

/// Links of one chunk, however small they are: what one step of reading takes.
const CHUNK_LINKS: usize = 1_000;

/// Bytes of one chunk of content, and about of one Change of staged links: a quarter of what a
/// Change may hold, so that nobody's write waits long behind it, and so that one link at all its
/// bounds more still fits.
const CHUNK_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 4;

/// Longest wait of a request to freeze a snapshot for others to end. Past it: 503, try again.
const FREEZE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Takes the content off the list of what is being frozen, however freezing ends.
struct Freezing<'a> {
    shared: &'a Shared,
    frozen: Id,
}

impl Drop for Freezing<'_> {
    fn drop(&mut self) {
        self.shared.snapshots.freezing.lock().remove(&self.frozen);
    }
}

/// What is read of a workspace.
#[derive(Clone)]
struct FreezeSource {
    workspace: WorkspaceNumber,
    default_domain: Option<Id>,
    /// Links made since are left out.
    until: Id,
    with_passwords: bool,
    /// Places of tags.
    tags: Arc<HashMap<Id, u32>>,
}

impl Snapshots {
    /// Freezes the acting workspace's links.
    pub async fn create(&self, context: &Context, draft: SnapshotDraft) -> Result<SnapshotView, Error> {
        draft.check()?;
        only_instance_names_ids(context, draft.id.as_ref())?;
        if let Some(id) = &draft.id
            && self.record::<Snapshot>(keys::snapshot(id)).await?.is_some()
        {
            return Err(Error::Taken { field: "id" });
        }
        let workspace = context.workspace.number;
        let links = self.blocking(move |shared| Ok(shared.table.count(workspace, &List::All)?)).await?;
        if links > LINKS_MAX {
            return Err(Invalid::new("workspaceId", format!("has more than {LINKS_MAX} links")).into());
        }
        let permit = self.shared.snapshots.permits.acquire(&context.tenant, 1, FREEZE_WAIT_MAX).await;
        let _permit = permit.ok_or(Error::Busy)?;
        // Before the id that is the bound: an import that ends in between would be cut there.
        let view = self.blocking(move |shared| Ok(shared.table.view(workspace)?)).await?;
        let mut frozen = Id::from_bits(0);
        let committed = self
            .commit_new(context, |next_id| {
                frozen = next_id();
                self.shared.snapshots.freezing.lock().insert(frozen);
                let mut effect = Effect::default();
                effect.create(keys::content_mark(frozen), self.shared.work_mark(frozen).encode());
                effect
            })
            .await;
        let _freezing = Freezing { shared: &self.shared, frozen };
        let Committed::Done = committed? else { return Err(Error::Busy) };
        let made = self.freeze(context, draft, frozen, view).await;
        if made.is_err()
            && let Err(error) = self.remove_content(frozen).await
        {
            tracing::warn!(%error, "content that no snapshot has is left to the sweep");
        }
        made.map(|snapshot| self.snapshot_view(snapshot))
    }

    async fn freeze(
        &self,
        context: &Context,
        draft: SnapshotDraft,
        frozen: Id,
        mut view: ReadView,
    ) -> Result<Snapshot, Error> {
        let mut lease = self.lease(keys::content_mark(frozen), frozen).await?;
        let mut tags = self.tenants().tags(context).await?;
        tags.reverse();
        let places = tags.iter().zip(0_u32..).map(|(tag, place)| (tag.id, place)).collect();
        let source = FreezeSource {
            workspace: context.workspace.number,
            default_domain: context.workspace.default_domain,
            until: frozen,
            with_passwords: draft.with_passwords,
            tags: Arc::new(places),
        };
        let mut chunks = 0;
        for some in tags.chunks(CHUNK_LINKS) {
            let some = some.iter().map(|tag| (tag.name.clone(), tag.color.clone())).collect();
            self.write_chunk(context, &mut lease, &mut chunks, Chunk::Tags(some).encode()).await?;
        }
        let mut links = 0;
        let mut after = None;
        loop {
            let (source, mut seen) = (source.clone(), std::mem::take(&mut view));
            let batch = move |shared: &Shared, _: &Cancel| {
                let (some, last) = shared.batch(&source, &mut seen, after)?;
                Ok((some, last, seen))
            };
            let (some, last, seen) = self.resume_scanning(&context.tenant, batch).await?;
            view = seen;
            if !some.is_empty() {
                links += some.len() as u64;
                self.write_chunk(context, &mut lease, &mut chunks, Chunk::Links(some).encode()).await?;
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        let snapshot = Snapshot {
            id: draft.id.unwrap_or_else(|| ForeignId::from(frozen)),
            frozen,
            company: context.workspace.company.clone(),
            workspace: source.workspace,
            name: draft.name,
            kind: SnapshotKind::Own,
            links,
            tags: tags.len() as u64,
            has_passwords: draft.with_passwords,
            chunks,
            created_at: context.now,
        };
        let mut effect = Effect::default();
        effect.create(keys::snapshot(&snapshot.id), snapshot.encode());
        effect.remove(keys::content_mark(frozen), lease.revision);
        effect.store_outcome(context.claim, context.now, || StoredOutcome::Snapshot(snapshot.id.clone()));
        match self.commit(context, effect).await? {
            Committed::Done => Ok(snapshot),
            Committed::Conflict(key) if key == keys::snapshot(&snapshot.id) => {
                Err(Error::Taken { field: "id" })
            }
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }

    async fn write_chunk(
        &self,
        context: &Context,
        lease: &mut Lease,
        chunks: &mut u32,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        self.renew(lease).await?;
        let mut effect = Effect::default();
        effect.rely_on(lease.key.clone(), lease.revision);
        effect.create(keys::chunk(lease.frozen, *chunks), bytes);
        *chunks += 1;
        match self.commit(context, effect).await? {
            Committed::Done => Ok(()),
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }
}

impl Shared {
    /// Returns the next links and the link behind which the rest begins, `None` at the end. A batch
    /// that looks at many hidden links may be empty.
    fn batch(
        &self,
        source: &FreezeSource,
        view: &mut ReadView,
        after: Option<Id>,
    ) -> Result<(Vec<FrozenLink>, Option<Id>), Error> {
        let default = self.default_domain_of(source.workspace, source.default_domain);
        let mut links = Vec::new();
        let mut bytes = 0;
        let (workspace, list, order) = (source.workspace, &List::All, Order::Oldest);
        let mut last = None;
        let mut steps = SLICE_STEPS;
        let scanned = self.table.scan(view, workspace, list, order, after, &mut steps, &mut |found| {
            let link = found.record;
            if link.id > source.until {
                last = None;
                return false;
            }
            last = Some(link.id);
            bytes += LinkAt::encode(&link).len();
            links.push(self.frozen(source, default, link));
            bytes < CHUNK_BYTES && links.len() < CHUNK_LINKS
        })?;
        let last = match scanned {
            Scanned::End => None,
            Scanned::Stopped => last,
            Scanned::Spent(at) => Some(at),
        };
        Ok((links, last))
    }

    /// The domain where links of a workspace with this setting live by default.
    pub(super) fn default_domain_of(&self, workspace: WorkspaceNumber, chosen: Option<Id>) -> DomainNumber {
        let directory = self.directory.load();
        let chosen = chosen.and_then(|id| directory.domain_seen(workspace, id));
        chosen.map_or(DomainNumber::DEFAULT, |versioned| versioned.record.number)
    }

    fn frozen(&self, source: &FreezeSource, default: DomainNumber, link: Link) -> FrozenLink {
        let mut options = link.options;
        let places = options.tags.iter().filter_map(|tag| source.tags.get(tag));
        options.tags = places.map(|place| Id::from_bits(u128::from(*place))).collect();
        options.campaign = None;
        if !source.with_passwords {
            options.password = None;
        }
        let named =
            || self.directory.load().domain(link.domain).map(|domain| self.site.name_of(domain).into());
        let domain = if link.domain == default { None } else { named() };
        FrozenLink { domain, code: link.code, options }
    }
}
