//! Snapshots within reach: listing, reading and deleting them.

use super::view::SnapshotView;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::history::notes::AuditNote;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::core::tenants::caps::{Capped, Creating};
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::ForeignId;
use crate::model::key::Reach;
use crate::model::snapshot::Snapshot;
use crate::model::workspace::WorkspaceNumber;
use crate::table::Found;
use crate::table::keys::{self, Kind};
use crate::table::record::{Owner, Stored};

/// Most snapshots of one workspace, imported ones included: a list returns all of them. Past it, creations
/// and imports are forbidden until snapshots are deleted.
const SNAPSHOTS_MAX: usize = 1_000;

impl Snapshots {
    /// Returns the snapshots within reach, the newest first; only those of `company` if it is given.
    pub async fn list(&self, context: &Context, company: Option<&str>) -> Result<Vec<SnapshotView>, Error> {
        let reach = self.reach_of_list(context, company)?;
        let read = move |shared: &Shared, cancel: &Cancel| shared.snapshots_within(&reach, cancel);
        let mut all = self.scanning(&context.tenant, read).await?;
        // The ids decide between snapshots of one millisecond.
        all.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.created_at, snapshot.frozen)));
        Ok(all.into_iter().map(|snapshot| self.snapshot_view(snapshot)).collect())
    }

    /// Returns how many snapshots [`Snapshots::list`] would return now; not more than `most`.
    pub async fn count(&self, context: &Context, company: Option<&str>, most: usize) -> Result<usize, Error> {
        let reach = self.reach_of_list(context, company)?;
        let count = move |shared: &Shared, cancel: &Cancel| shared.snapshots_count(&reach, most, cancel);
        self.scanning(&context.tenant, count).await
    }

    fn reach_of_list(&self, context: &Context, company: Option<&str>) -> Result<Reach, Error> {
        let company = company.map(|named| self.company_of(context, Some(named))).transpose()?;
        Ok(match (&context.reach, company) {
            (Reach::Instance, Some(company)) => Reach::Company(company),
            // Any other key may name its own company only.
            (reach, _) => reach.clone(),
        })
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
            effect.note(note(&snapshot, AuditAct::Delete));
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

    /// Returns the number of snapshots within reach, not more than `most`.
    fn snapshots_count(&self, reach: &Reach, most: usize, cancel: &Cancel) -> Result<usize, Error> {
        if *reach == Reach::Instance {
            return Ok(self.table.snapshot_count(None, most)?);
        }
        let mut count = 0;
        for versioned in self.directory.load().workspaces(reach).take_while(|_| !cancel.is_set()) {
            count += self.table.snapshot_count(Some(versioned.record.number), most - count)?;
        }
        Ok(count)
    }

    /// Announces a snapshot of a workspace: see [`crate::core::tenants::caps`]. Fails with
    /// [`Error::Forbidden`] if the workspace would have more than [`SNAPSHOTS_MAX`].
    pub(super) fn announce_snapshot(&self, workspace: WorkspaceNumber) -> Result<Creating, Error> {
        let creating = self.caps.announce(Capped::Snapshots(workspace), 1);
        let there = self.table.snapshot_count(Some(workspace), SNAPSHOTS_MAX)?;
        creating.check(
            there,
            SNAPSHOTS_MAX,
            &format!("a workspace has at most {SNAPSHOTS_MAX} snapshots"),
        )?;
        Ok(creating)
    }
}

/// Returns whether an object of this company and workspace is within reach.
pub(super) fn sees(reach: &Reach, company: &ForeignId, workspace: WorkspaceNumber) -> bool {
    reaches(reach, &Owner { company: company.as_str().into(), workspace })
}

pub(super) fn reaches(reach: &Reach, owner: &Owner) -> bool {
    match reach {
        Reach::Instance => true,
        Reach::Company(id) => *id.as_str() == *owner.company,
        Reach::Workspace(number) => *number == owner.workspace,
    }
}

/// Returns the note for the audit list about a snapshot.
pub(super) fn note(snapshot: &Snapshot, act: AuditAct) -> AuditNote {
    AuditNote::of(snapshot.workspace, act, SubjectKind::Snapshot, &snapshot.id, Some(&snapshot.name))
}
