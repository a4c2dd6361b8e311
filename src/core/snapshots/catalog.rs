//! Snapshots within reach: listing, reading and deleting them.

use super::view::SnapshotView;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::id::ForeignId;
use crate::model::key::Reach;
use crate::model::snapshot::Snapshot;
use crate::model::workspace::WorkspaceNumber;
use crate::table::Found;
use crate::table::keys::{self, Kind};
use crate::table::record::{Owner, Stored};

impl Snapshots {
    /// Returns the snapshots within reach, the newest first; only those of `company` if it is given.
    pub async fn list(&self, context: &Context, company: Option<&str>) -> Result<Vec<SnapshotView>, Error> {
        let company = company.map(|named| self.company_of(context, Some(named))).transpose()?;
        let reach = context.reach.clone();
        let read = move |shared: &Shared, cancel: &Cancel| {
            let mut seen = shared.snapshots_within(&reach, cancel)?;
            seen.retain(|snapshot| company.as_ref().is_none_or(|company| snapshot.company == *company));
            Ok(seen)
        };
        let mut all = self.scanning(&context.tenant, read).await?;
        // The ids decide between snapshots of one millisecond.
        all.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.created_at, snapshot.frozen)));
        Ok(all.into_iter().map(|snapshot| self.snapshot_view(snapshot)).collect())
    }

    /// Returns a snapshot within reach.
    pub async fn get(&self, context: &Context, id: &ForeignId) -> Result<SnapshotView, Error> {
        let found = self.find_snapshot(context, id).await?;
        Ok(self.snapshot_view(found.record))
    }

    /// Deletes a snapshot. Its shares stop working; imported links stay.
    pub async fn delete(&self, context: &Context, id: &ForeignId) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let found = self.find_snapshot(context, id).await?;
            let snapshot = found.record;
            let mut effect = Effect::default();
            effect.remove(keys::snapshot(id), found.revision);
            // An imported snapshot has no content of its own.
            let owns = snapshot.chunks > 0;
            if owns {
                // The content is removed after this Change. After a crash the sweep finds it by this mark.
                effect.put(
                    keys::content_mark(snapshot.frozen),
                    self.shared.work_mark(snapshot.frozen).encode(),
                );
            }
            if let Committed::Done = self.commit(context, effect).await? {
                // The snapshot is deleted already, so a failure here must not fail the request.
                if owns && let Err(error) = self.remove_content(snapshot.frozen).await {
                    tracing::warn!(%error, "a deleted snapshot's content is left to the sweep");
                }
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// Returns the named company if it is within reach, or the acting workspace's company if none is named.
    pub(super) fn company_of(&self, context: &Context, named: Option<&str>) -> Result<ForeignId, Error> {
        let own = match &context.reach {
            Reach::Company(id) => id,
            Reach::Instance | Reach::Workspace(_) => &context.workspace.company,
        };
        let Some(named) = named.filter(|named| *named != own.as_str()) else { return Ok(own.clone()) };
        // An unknown company and one that the caller does not reach give one error.
        let id = ForeignId::parse("companyId", named).ok().filter(|_| context.reach == Reach::Instance);
        let known = id.filter(|id| self.directory().company(id).is_some());
        known.ok_or(Error::UnknownCompany)
    }

    pub(super) async fn find_snapshot(
        &self,
        context: &Context,
        id: &ForeignId,
    ) -> Result<Found<Snapshot>, Error> {
        let key = keys::snapshot(id);
        let reach = context.reach.clone();
        let found = self.blocking(move |shared| {
            Ok(shared.table.get_seen::<Snapshot>(&key, |owner| reaches(&reach, owner))?)
        });
        found.await?.ok_or(Error::NotFound("snapshot"))
    }
}

impl Shared {
    /// Returns the snapshots within reach.
    pub(super) fn snapshots_within(&self, reach: &Reach, cancel: &Cancel) -> Result<Vec<Snapshot>, Error> {
        if *reach == Reach::Instance {
            return self.read_all(&Kind::Snapshot.prefix(), cancel);
        }
        // By workspace, so that the cost does not grow with other tenants.
        let mut seen = Vec::new();
        for versioned in self.directory.load().workspaces(reach).take_while(|_| !cancel.is_set()) {
            seen.extend(self.table.snapshots_of(versioned.record.number)?);
        }
        Ok(seen)
    }
}

/// Returns whether an object of this company and workspace is within reach.
pub(super) fn sees(context: &Context, company: &ForeignId, workspace: WorkspaceNumber) -> bool {
    reaches(&context.reach, &Owner { company: company.as_str().into(), workspace })
}

pub(super) fn reaches(reach: &Reach, owner: &Owner) -> bool {
    match reach {
        Reach::Instance => true,
        Reach::Company(id) => *id.as_str() == *owner.company,
        Reach::Workspace(number) => *number == owner.workspace,
    }
}
