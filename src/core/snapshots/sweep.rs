//! Removes the remains of unfinished imports and snapshots: at once when one fails, and at the next start
//! when the process died.

use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::error::Error;
use crate::core::handle::Snapshots;
use crate::core::shared::Shared;
use crate::log::{Position, Put};
use crate::model::id::Id;
use crate::model::snapshot::{Import, ImportFailure, ImportStatus};
use crate::model::workspace::WorkspaceNumber;
use crate::table::keys::{self, Kind};
use crate::table::record::{Stored, WorkMark};

/// Links or chunks removed by one Change.
const REMOVALS_PER_CHANGE: usize = 500;

impl Snapshots {
    /// Removes the remains of this node's imports and snapshots that it no longer works on, and of other
    /// nodes' whose leases have expired.
    pub async fn sweep_unfinished(&self) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let (mut stagings, mut marked) = self
            .blocking(move |shared| {
                let (mut stagings, mut marked) = (Vec::new(), Vec::new());
                shared.table.each::<WorkMark>(&Kind::Staging.prefix(), &mut |key, mark| {
                    if !mark.is_leased_to_other(shared.node, now) {
                        stagings.extend(keys::parse_staging(key));
                    }
                    true
                })?;
                shared.table.each::<WorkMark>(&Kind::ContentMark.prefix(), &mut |_, mark| {
                    if !mark.is_leased_to_other(shared.node, now) {
                        marked.push(mark.frozen);
                    }
                    true
                })?;
                Ok((stagings, marked))
            })
            .await?;
        // Work is on these lists before its mark is written, so a mark that is not on them is a remain.
        stagings.retain(|(_, import)| !self.shared.snapshots.is_importing(*import));
        marked.retain(|frozen| !self.shared.snapshots.is_freezing(*frozen));
        for (workspace, import) in stagings {
            tracing::warn!(%import, "an import that did not end is undone");
            self.abandon(workspace, import, ImportFailure::Interrupted).await?;
        }
        for frozen in marked {
            self.remove_content(frozen).await?;
        }
        Ok(())
    }

    /// Marks an import as failed and removes its staged links. Does nothing to an import that has ended.
    pub(super) async fn abandon(
        &self,
        workspace: WorkspaceNumber,
        id: Id,
        failure: ImportFailure,
    ) -> Result<(), Error> {
        let mark = keys::staging(workspace, id);
        let Some(found) = self.record::<WorkMark>(mark.clone()).await? else { return Ok(()) };
        // Every Change below requires this mark: if the import has completed in the meantime, none of its
        // links is removed.
        let revision = found.revision;
        let key = keys::import(found.record.frozen, id);
        for _ in 0..ATTEMPTS {
            let Some(found) = self.record::<Import>(key.clone()).await? else { break };
            let mut import = found.record;
            if import.status != ImportStatus::Pending {
                break;
            }
            // All that was staged is removed below.
            (import.made, import.skipped, import.renamed) = (0, 0, 0);
            import.status = ImportStatus::Failed(failure.clone());
            import.finished_at = Some(self.shared.clock.now());
            let mut effect = Effect::default();
            effect.rely_on(mark.clone(), revision);
            effect.replace(key.clone(), found.revision, import.encode());
            match self.commit_unasked(effect).await? {
                Committed::Done => break,
                // The import has completed, or another node has undone it.
                Committed::Conflict(key) if key == mark => return Ok(()),
                Committed::Conflict(_) => {}
            }
        }
        // Also for an import that has failed before: its removal may have been interrupted.
        self.unstage(workspace, id, revision).await?;
        // Last: by the mark, the next sweep finds what is left.
        let mut effect = Effect::default();
        effect.remove(mark, revision);
        match self.commit_unasked(effect).await? {
            Committed::Done => Ok(()),
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }

    /// Removes the links that an import has staged, while its mark has this revision.
    pub(super) async fn unstage(
        &self,
        workspace: WorkspaceNumber,
        id: Id,
        revision: Position,
    ) -> Result<(), Error> {
        let mark = keys::staging(workspace, id);
        // Staged links have later ids than their import.
        let mut after = Some(id);
        while let Some(from) = after {
            let look = move |shared: &Shared| {
                Ok(shared.table.staged_by(workspace, id, from, REMOVALS_PER_CHANGE)?)
            };
            let (links, last) = self.blocking(look).await?;
            after = last;
            // This slice had only links of others.
            if links.is_empty() {
                continue;
            }
            let mut effect = Effect::default();
            effect.rely_on(mark.clone(), revision);
            for (key, revision) in links {
                effect.remove(key, revision);
            }
            if let Committed::Conflict(_) = self.commit_unasked(effect).await? {
                return Err(Error::Busy);
            }
        }
        Ok(())
    }

    /// Removes content that no snapshot names.
    pub(super) async fn remove_content(&self, frozen: Id) -> Result<(), Error> {
        let mark = keys::content_mark(frozen);
        let Some(found) = self.record::<WorkMark>(mark.clone()).await? else { return Ok(()) };
        loop {
            // All keys of the content and not the numbers from 0: an interrupted removal has left the last
            // chunks.
            let prefix = keys::chunks_of(frozen);
            let chunks = self
                .blocking(move |shared| Ok(shared.table.first_keys(&prefix, REMOVALS_PER_CHANGE)?))
                .await?;
            let mut effect = Effect::default();
            let is_last = chunks.len() < REMOVALS_PER_CHANGE;
            effect.rely_on(mark.clone(), found.revision);
            effect.puts.extend(chunks.into_iter().map(|key| Put { key, value: None }));
            // With the last chunks: until then, the sweep finds the content by its mark.
            if is_last {
                effect.puts.push(Put { key: mark.clone(), value: None });
            }
            if let Committed::Conflict(_) = self.commit_unasked(effect).await? {
                return Err(Error::Busy);
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
