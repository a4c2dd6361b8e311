//! Tags of the acting workspace.

use bytes::Bytes;

use super::caps::{Capped, Creating};
use super::tag_names::name_key;
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::fields;
use crate::core::history::notes::AuditNote;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::audit::{AuditAct, SubjectKind};
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
        let named = name.clone();
        // Kept until the Change is applied, so that the cap holds for concurrent creations.
        let _creating = self
            .blocking(move |shared| {
                // The record of today's spelling is a precondition of the Change.
                if shared.earlier_tag(workspace, &named, None)?.is_some() {
                    return Err(Error::Taken { field: "name" });
                }
                shared.announce_tags(workspace, 1)
            })
            .await?;
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
                effect.create(name_key(workspace, &tag.name), TagName(tag.id).encode());
                effect.note(note(&tag, AuditAct::Create));
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
            let (found, key, name) = self.find_tag(context, id).await?;
            context.object.check(found.revision)?;
            let mut tag = found.record.clone();
            for edit in edits.clone() {
                tag.apply(edit)?;
            }
            let mut effect = Effect::default();
            effect.replace(keys::tag(workspace, id), found.revision, tag.encode());
            effect.note(note(&tag, AuditAct::Edit).changing(&fields::of_tag(&found.record, &tag)));
            // The record by name moves in the same Change, so that names stay unique.
            let new_key = name_key(workspace, &tag.name);
            if tag.name != found.record.name && new_key != key {
                let named = tag.name.clone();
                let other =
                    self.blocking(move |shared| shared.earlier_tag(workspace, &named, Some(id))).await?;
                if other.is_some() {
                    return Err(Error::Taken { field: "name" });
                }
                effect.remove(key, name.revision);
                effect.create(new_key.clone(), TagName(id).encode());
            }
            match self.commit(context, effect).await? {
                Committed::Done => return Ok(tag),
                Committed::Conflict(key) if key == new_key => {
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
            let (found, key, name) = self.find_tag(context, id).await?;
            context.object.check(found.revision)?;
            // Links keep the id: views leave out tags that do not exist.
            let mut effect = Effect::default();
            effect.remove(keys::tag(workspace, id), found.revision);
            effect.note(note(&found.record, AuditAct::Delete));
            effect.remove(key, name.revision);
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    /// Returns a tag, and the key and record of its name.
    async fn find_tag(
        &self,
        context: &Context,
        id: Id,
    ) -> Result<(Found<Tag>, Bytes, Found<TagName>), Error> {
        let workspace = context.workspace.number;
        self.blocking(move |shared| {
            let gone = || Error::NotFound("tag");
            let tag = shared.table.get::<Tag>(&keys::tag(workspace, id))?.ok_or_else(gone)?;
            let (key, name) = shared.name_of_tag(&tag.record)?.ok_or_else(gone)?;
            Ok((tag, key, name))
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

/// Returns the note for the audit list about a tag.
pub(in crate::core) fn note(tag: &Tag, act: AuditAct) -> AuditNote {
    AuditNote::of(tag.workspace, act, SubjectKind::Tag, tag.id, Some(&tag.name))
}
