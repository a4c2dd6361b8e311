//! Tags of the acting workspace.

use super::caps::{Capped, Creating};
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::id::Id;
use crate::model::tag::{DEFAULT_COLOR, Tag, TagEdit, check_name};
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{Stored, StoredOutcome, TagName};
use crate::table::{Found, keys};

/// Most tags of one workspace: a list returns all of them. Past it, creations are forbidden.
pub const TAGS_MAX: usize = 10_000;

impl Tenants {
    /// Returns all tags, the newest first.
    pub async fn tags(&self, context: &Context) -> Result<Vec<Tag>, Error> {
        let prefix = keys::tags_of(context.workspace.number);
        let read = move |shared: &Shared, cancel: &Cancel| shared.read_all::<Tag>(&prefix, cancel);
        let mut tags = self.scanning(&context.tenant, read).await?;
        // The keys sort by id, the oldest first.
        tags.reverse();
        Ok(tags)
    }

    /// Creates a tag. Fails with [`Error::Taken`] if the name is in use.
    pub async fn create_tag(
        &self,
        context: &Context,
        name: Box<str>,
        edits: Vec<TagEdit>,
    ) -> Result<Tag, Error> {
        check_name(&name)?;
        let workspace = context.workspace.number;
        // Kept until the Change is applied, so that the cap holds for concurrent creations.
        let _creating = self.blocking(move |shared| shared.announce_tags(workspace, 1)).await?;
        // Replaced below, where ids are generated in the order of the log.
        let id = Id::from_bits(0);
        let mut tag = Tag { id, workspace, name, color: DEFAULT_COLOR.into(), created_at: context.now };
        for edit in edits {
            tag.apply(edit)?;
        }
        let committed = self
            .commit_new(context, |next_id| {
                tag.id = next_id();
                let mut effect = Effect::default();
                effect.create(keys::tag(workspace, tag.id), tag.encode());
                effect.create(keys::tag_name(workspace, &tag.name), TagName(tag.id).encode());
                effect.store_outcome(context.claim, context.now, || StoredOutcome::Tag {
                    workspace,
                    id: tag.id,
                });
                effect
            })
            .await?;
        match committed {
            Committed::Done => Ok(tag),
            // The id is new, so the name is in use, or a repetition was faster.
            Committed::Conflict(_) => Err(Error::Taken { field: "name" }),
        }
    }

    /// Changes name or color of a tag.
    pub async fn update_tag(&self, context: &Context, id: Id, edits: Vec<TagEdit>) -> Result<Tag, Error> {
        let workspace = context.workspace.number;
        for _ in 0..ATTEMPTS {
            let (found, name) = self.find_tag(context, id).await?;
            let mut tag = found.record.clone();
            for edit in edits.clone() {
                tag.apply(edit)?;
            }
            let mut effect = Effect::default();
            effect.replace(keys::tag(workspace, id), found.revision, tag.encode());
            // The record by name moves in the same Change, so that names stay unique.
            if tag.name != found.record.name {
                effect.remove(keys::tag_name(workspace, &found.record.name), name.revision);
                effect.create(keys::tag_name(workspace, &tag.name), TagName(id).encode());
            }
            match self.commit(context, effect).await? {
                Committed::Done => return Ok(tag),
                Committed::Conflict(key) if key == keys::tag_name(workspace, &tag.name) => {
                    return Err(Error::Taken { field: "name" });
                }
                // Another request has changed the tag: read it again.
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a tag. Its links no longer show it.
    pub async fn delete_tag(&self, context: &Context, id: Id) -> Result<(), Error> {
        let workspace = context.workspace.number;
        for _ in 0..ATTEMPTS {
            let (found, name) = self.find_tag(context, id).await?;
            // Links keep the id: views leave out tags that do not exist.
            let mut effect = Effect::default();
            effect.remove(keys::tag(workspace, id), found.revision);
            effect.remove(keys::tag_name(workspace, &found.record.name), name.revision);
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    async fn find_tag(&self, context: &Context, id: Id) -> Result<(Found<Tag>, Found<TagName>), Error> {
        let workspace = context.workspace.number;
        self.blocking(move |shared| {
            let gone = || Error::NotFound("tag");
            let tag = shared.table.get::<Tag>(&keys::tag(workspace, id))?.ok_or_else(gone)?;
            let name = shared.table.get(&keys::tag_name(workspace, &tag.record.name))?.ok_or_else(gone)?;
            Ok((tag, name))
        })
        .await
    }
}

impl Shared {
    /// Announces `new` tags. Fails if the workspace would have more than [`TAGS_MAX`].
    pub(in crate::core) fn announce_tags(
        &self,
        workspace: WorkspaceNumber,
        new: usize,
    ) -> Result<Creating, Error> {
        let creating = self.caps.announce(Capped::Tags(workspace), new);
        // Without new tags nothing is counted, which saves a read.
        if new > 0 {
            let there = usize::try_from(self.table.tags(workspace)?).unwrap_or(usize::MAX);
            creating.check(there, TAGS_MAX, &format!("a workspace has at most {TAGS_MAX} tags"))?;
        }
        Ok(creating)
    }
}
