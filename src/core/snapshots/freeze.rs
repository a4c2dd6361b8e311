//! Freezing: writes a workspace's links into chunks, and then the snapshot that names the chunks.
//!
//! Links are read in batches, in the order of their creation. A link that is changed during the freeze is in
//! the snapshot either before or after the change. A link that is deleted during the freeze may be in it; a
//! link that is created is not. An import is in it whole or not at all. Clicks and campaigns are left out,
//! since they belong to the workspace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::note;
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
use crate::model::audit::AuditAct;
use crate::model::domain::DomainNumber;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Link;
use crate::model::snapshot::{Snapshot, SnapshotDraft, SnapshotKind};
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{Chunk, FrozenLink, LinkAt, Stored, StoredOutcome};
use crate::table::{List, Order, ReadView, Scanned, keys};

/// Most links of one snapshot: an hour of importing and a few hundred megabytes. Past it, the request is
/// rejected.
const LINKS_MAX: u64 = 2_000_000;

/// Most links of one chunk, however small: one step of reading.
const CHUNK_LINKS: usize = 1_000;

/// Bytes of one chunk of content, and of about one Change of staged links: a quarter of the size limit of a
/// Change. Other writes wait only briefly behind it, and one more link at all its bounds still fits.
const CHUNK_BYTES: usize = crate::log::MAX_CHANGE_BYTES / 4;

/// Longest wait of a request for other snapshots and imports to end. Past it, the request fails with 503 and
/// may be retried.
const FREEZE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Removes the content from the list of what is being frozen when dropped.
struct Freezing<'a> {
    shared: &'a Shared,
    frozen: Id,
}

impl Drop for Freezing<'_> {
    fn drop(&mut self) {
        self.shared.snapshots.freezing.lock().remove(&self.frozen);
    }
}

/// What a freeze reads of a workspace.
#[derive(Clone)]
struct FreezeSource {
    workspace: WorkspaceNumber,
    default_domain: Option<Id>,
    /// Links with a later id are left out.
    until: Id,
    with_passwords: bool,
    /// The positions of tags in the snapshot.
    tags: Arc<HashMap<Id, u32>>,
}

impl Snapshots {
    /// Freezes the acting workspace's links. Returns when the snapshot is visible. Fails with [`Error::Busy`]
    /// if too many snapshots and imports are at work.
    pub async fn create(&self, context: &Context, draft: SnapshotDraft) -> Result<SnapshotView, Error> {
        draft.check()?;
        only_instance_names_ids(context, draft.id.as_ref())?;
        // An id in use is rejected before the work. The last Change requires again that it is free.
        if let Some(id) = &draft.id
            && self.record::<Snapshot>(keys::snapshot(id)).await?.is_some()
        {
            return Err(Error::Taken { field: "id" });
        }
        let workspace = context.workspace.number;
        // Kept until the snapshot is visible, so that the cap holds for concurrent creations.
        let _creating = self.blocking(move |shared| shared.announce_snapshot(workspace)).await?;
        let links = self.blocking(move |shared| Ok(shared.table.count(workspace, &List::All)?)).await?;
        if links > LINKS_MAX {
            return Err(Invalid::new("workspaceId", format!("has more than {LINKS_MAX} links")).into());
        }
        // Acquired after the checks, so that rejected requests do not wait for other snapshots.
        let permit = self.shared.snapshots.permits.acquire(&context.tenant, 1, FREEZE_WAIT_MAX).await;
        let _permit = permit.ok_or(Error::Busy)?;
        // Read before the id that bounds the snapshot. In the other order an import that ends between the two
        // would be cut at that id.
        let view = self.blocking(move |shared| Ok(shared.table.view(workspace)?)).await?;
        let mut frozen = Id::from_bits(0);
        let committed = self
            .commit_new(context, |next_id| {
                frozen = next_id();
                // Before the mark is proposed: the sweep removes marks that are not on this list.
                self.shared.snapshots.freezing.lock().insert(frozen);
                let mut effect = Effect::default();
                effect.create(keys::content_mark(frozen), self.shared.work_mark(frozen).encode());
                effect
            })
            .await;
        // Ends the entry that was inserted above, however the freeze ends.
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
        // The oldest first, so that an import creates them in the same order.
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
            // The freeze has its permit, so its batches are never rejected.
            let (some, last, seen) = self.resume_scanning(&context.tenant, batch).await?;
            view = seen;
            // A batch may have only hidden links, and an empty chunk is never written.
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
        effect.note(note(&snapshot, AuditAct::Create));
        // In the same Change: from here on, the sweep leaves the content alone.
        effect.remove(keys::content_mark(frozen), lease.revision);
        effect.store_outcome(context.claim, context.now, || StoredOutcome::Snapshot(snapshot.id.clone()));
        match self.commit(context, effect).await? {
            Committed::Done => Ok(snapshot),
            Committed::Conflict(key) if key == keys::snapshot(&snapshot.id) => {
                Err(Error::Taken { field: "id" })
            }
            // The mark: the work was undone. Or the outcome: a repetition was faster.
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
        // Before the Change, which requires the present revision of the mark.
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
    /// Returns the next links and the id after which the rest begins, or `None` at the end. A batch may be
    /// empty when many hidden links were read.
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
                // All links behind it are newer as well, so this is the end.
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

    /// Returns the domain of links that name none, for a workspace with this setting.
    pub(super) fn default_domain_of(&self, workspace: WorkspaceNumber, chosen: Option<Id>) -> DomainNumber {
        let directory = self.directory.load();
        let chosen = chosen.and_then(|id| directory.domain_seen(workspace, id));
        chosen.map_or(DomainNumber::DEFAULT, |versioned| versioned.record.number)
    }

    fn frozen(&self, source: &FreezeSource, default: DomainNumber, link: Link) -> FrozenLink {
        let mut options = link.options;
        // A tag without a place was created during the freeze, or deleted.
        let places = options.tags.iter().filter_map(|tag| source.tags.get(tag));
        options.tags = places.map(|place| Id::from_bits(u128::from(*place))).collect();
        options.campaign = None;
        if !source.with_passwords {
            options.password = None;
        }
        let named =
            || self.directory.load().domain(link.domain).map(|domain| self.site.name_of(domain).into());
        // A link of the default domain names none: an import puts it on its own default domain.
        let domain = if link.domain == default { None } else { named() };
        FrozenLink { domain, code: link.code, typed_code: link.typed_code, options }
    }
}
