//! Tags and campaigns that requests give by name instead of by id. Missing tags are created in the Change
//! that uses them. Some vendors spell a campaign in two ways.

use crate::core::commit::Effect;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::tenants::campaigns;
use crate::core::tenants::caps::Creating;
use crate::core::tenants::tag_names::name_key;
use crate::core::tenants::tags::note;
use crate::model::audit::AuditAct;
use crate::model::id::Id;
use crate::model::link::{Edit, Names, TAGS_MAX};
use crate::model::tag::{DEFAULT_COLOR, Tag, check_name};
use crate::model::workspace::WorkspaceNumber;
use crate::model::{Invalid, text};
use crate::table::keys;
use crate::table::record::{Stored, TagName};

/// Tags by name, each name once, with the ids of those that exist.
#[derive(Debug)]
pub(in crate::core) struct NamedTags {
    tags: Vec<(Box<str>, Option<Id>)>,
    /// The announcement of the missing tags, until the Change that creates them is applied.
    _creating: Creating,
}

impl Links {
    /// Returns the edit that sets the named campaign, or `None` if the request names none. Fails if the
    /// workspace has no such campaign.
    pub(in crate::core) async fn named_campaign(
        &self,
        workspace: WorkspaceNumber,
        names: &Names,
    ) -> Result<Option<Edit>, Error> {
        let named = match &names.campaign {
            None => return Ok(None),
            // The request removes the campaign.
            Some(None) => return Ok(Some(Edit::Campaign(None))),
            Some(Some(named)) => named.clone(),
        };
        let found = self.blocking(move |shared| shared.campaign(workspace, &named)).await?;
        let found = found.ok_or_else(campaigns::unknown)?;
        Ok(Some(Edit::Campaign(Some(found.record.id))))
    }

    /// Looks up tags by name. Fails if a name breaks a rule or there are too many names.
    pub(in crate::core) async fn named_tags(
        &self,
        workspace: WorkspaceNumber,
        names: &Names,
    ) -> Result<Option<NamedTags>, Error> {
        let Some(names) = &names.tags else { return Ok(None) };
        let mut each: Vec<Box<str>> = Vec::new();
        for name in names {
            check_name(name).map_err(|invalid| Invalid { field: "tags", ..invalid })?;
            // A list keeps the order, and has at most `TAGS_MAX` names to compare.
            if !each.contains(name) {
                each.push(name.clone());
            }
            // Checked in the loop, so that a body full of names is not compared with itself.
            if each.len() > TAGS_MAX {
                return Err(Invalid::new("tags", format!("must be at most {TAGS_MAX} tags")).into());
            }
        }
        let tags = self
            .blocking(move |shared| {
                let mut tags: Vec<(Box<str>, Option<Id>)> = Vec::with_capacity(each.len());
                for name in each {
                    let id = shared.tag_named(workspace, &name)?;
                    // Two spellings of a name are one tag, which has the first of them.
                    let is_repeated = tags.iter().any(|(other, other_id)| match (id, other_id) {
                        (None, None) => text::folded_name(other) == text::folded_name(&name),
                        (id, other_id) => id == *other_id,
                    });
                    if !is_repeated {
                        tags.push((name, id));
                    }
                }
                // Announced before the commit: the cap counts creations in progress (docs/decisions.md 17).
                let new = tags.iter().filter(|(_, id)| id.is_none()).count();
                let creating = shared.announce_tags(workspace, new)?;
                Ok(NamedTags { tags, _creating: creating })
            })
            .await?;
        Ok(Some(tags))
    }
}

impl NamedTags {
    /// Adds the missing tags to an effect and returns the ids of all tags, in order. If two requests create
    /// the same tag, the log rejects one, whose retry finds the tag.
    pub(in crate::core) fn make(
        &self,
        effect: &mut Effect,
        context: &Context,
        workspace: WorkspaceNumber,
        next_id: &mut dyn FnMut() -> Id,
    ) -> Vec<Id> {
        let mut id_of = |(name, id): &(Box<str>, Option<Id>)| {
            id.unwrap_or_else(|| {
                let (name, color) = (name.clone(), DEFAULT_COLOR.into());
                let tag = Tag { id: next_id(), workspace, name, color, created_at: context.now };
                effect.create(keys::tag(workspace, tag.id), tag.encode());
                effect.note(note(&tag, AuditAct::Create));
                // A second record by name: two creations of one name conflict here.
                effect.create(name_key(workspace, &tag.name), TagName(tag.id).encode());
                tag.id
            })
        };
        self.tags.iter().map(&mut id_of).collect()
    }
}
