//! Names of tags. They compare in NFC without case and without what cannot be seen, and are shown as first
//! written. Each tag has a record by its folded name, so that two creations of one name conflict.
//!
//! Earlier versions kept that record by the name as it was written, so a workspace may have several tags of
//! one name. They stay, each found by its own spelling; other spellings find the oldest.

use std::collections::HashMap;

use bytes::Bytes;

use crate::core::error::Error;
use crate::core::shared::Shared;
use crate::model::id::Id;
use crate::model::tag::Tag;
use crate::model::text;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::TagName;
use crate::table::{Found, keys};

/// The tags of a workspace by name, in memory.
#[derive(Debug, Default)]
pub(in crate::core) struct KnownTags(HashMap<Box<str>, Id>);

impl KnownTags {
    /// Creates the list of these tags, the newest first.
    pub(in crate::core) fn new(tags: &[Tag]) -> KnownTags {
        let mut known: HashMap<Box<str>, Id> = tags.iter().map(|tag| (tag.name.clone(), tag.id)).collect();
        // Second, since a tag of an earlier version is found by its own spelling. Other spellings mean the
        // oldest.
        for tag in tags.iter().rev() {
            known.entry(text::folded_name(&tag.name).into()).or_insert(tag.id);
        }
        KnownTags(known)
    }

    /// Adds a tag.
    pub(in crate::core) fn add(&mut self, name: &str, id: Id) {
        self.0.entry(text::folded_name(name).into()).or_insert(id);
        self.0.entry(name.into()).or_insert(id);
    }

    /// Returns the tag of this name in any spelling.
    pub(in crate::core) fn get(&self, name: &str) -> Option<Id> {
        self.0.get(name).or_else(|| self.0.get(&*text::folded_name(name))).copied()
    }
}

/// Returns the key of the record of a new tag's name.
pub(in crate::core) fn name_key(workspace: WorkspaceNumber, name: &str) -> Bytes {
    keys::tag_name(workspace, &text::folded_name(name))
}

impl Shared {
    /// Returns the tag of this name in any spelling.
    pub(in crate::core) fn tag_named(
        &self,
        workspace: WorkspaceNumber,
        name: &str,
    ) -> Result<Option<Id>, Error> {
        let get = |key: &[u8]| Ok::<_, Error>(self.table.get::<TagName>(key)?.map(|found| found.record.0));
        // The spelling of an earlier version first: it means its own tag.
        if let Some(id) = get(&keys::tag_name(workspace, name))? {
            return Ok(Some(id));
        }
        let folded = get(&name_key(workspace, name))?;
        folded.map_or_else(|| self.earlier_tag(workspace, name, None), |id| Ok(Some(id)))
    }

    /// Returns the oldest tag, except `own`, whose record of an earlier version has this name in another
    /// spelling. Reads the names of the workspace once, and again only if it has such records.
    pub(in crate::core) fn earlier_tag(
        &self,
        workspace: WorkspaceNumber,
        name: &str,
        own: Option<Id>,
    ) -> Result<Option<Id>, Error> {
        if self.folded_tags.contains(workspace) {
            return Ok(None);
        }
        let wanted = text::folded_name(name);
        let prefix = keys::tag_name(workspace, "");
        let (mut oldest, mut is_folded) = (None, true);
        self.table.each::<TagName>(&prefix, &mut |key, record| {
            let known = std::str::from_utf8(&key[prefix.len()..]).unwrap_or("");
            let folded = text::folded_name(known);
            is_folded &= folded == known;
            if folded == wanted && folded != known && own != Some(record.0) {
                oldest = Some(oldest.map_or(record.0, |id: Id| id.min(record.0)));
            }
            true
        })?;
        if is_folded {
            self.folded_tags.add(workspace);
        }
        Ok(oldest)
    }

    /// Returns the record of a tag's name and its key, or `None` if the tag was deleted.
    pub(in crate::core) fn name_of_tag(&self, tag: &Tag) -> Result<Option<(Bytes, Found<TagName>)>, Error> {
        let workspace = tag.workspace;
        // The key of an earlier version may belong to another tag today.
        for key in [name_key(workspace, &tag.name), keys::tag_name(workspace, &tag.name)] {
            if let Some(found) = self.table.get::<TagName>(&key)?.filter(|found| found.record.0 == tag.id) {
                return Ok(Some((key, found)));
            }
        }
        Ok(None)
    }
}
