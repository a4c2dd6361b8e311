//! Commits a link that was changed, by a patch or by an undo: with all checks that depend on other records, and with
//! its entry in the audit list.

use bytes::Bytes;

use super::address::AddressChange;
use crate::core::commit::{Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::shared::Shared;
use crate::core::tenants::viewer::Viewer;
use crate::model::audit::AuditAct;
use crate::model::id::Id;
use crate::model::link::{Link, Names, Options};
use crate::table::Found;
use crate::table::record::StoredOutcome;

/// A link that is about to be replaced.
pub(in crate::core) struct LinkRewrite {
    /// The link as it is stored.
    pub(in crate::core) found: Found<Link>,
    /// The link as it will be, without the tags that the request names.
    pub(in crate::core) link: Link,
    /// The change of its addresses.
    pub(in crate::core) address: AddressChange,
    /// Keys of entries of the audit list that the next one replaces.
    pub(in crate::core) surplus: Vec<Bytes>,
    /// The act of the entry. `None`: what differs decides.
    pub(in crate::core) act: Option<AuditAct>,
    /// Returns the outcome of a POST, by the link as it is written.
    pub(in crate::core) outcome: fn(&Link) -> StoredOutcome,
}

/// Returns the outcome of a POST that has changed this link.
pub(in crate::core) fn outcome_of_link(link: &Link) -> StoredOutcome {
    StoredOutcome::Link { workspace: link.workspace, id: link.id }
}

impl Links {
    /// Commits a changed link, and returns it. Returns `None` if another write was faster: the caller reads the link
    /// again.
    pub(in crate::core) async fn rewrite(
        &self,
        context: &Context,
        rewrite: LinkRewrite,
        names: &Names,
    ) -> Result<Option<Link>, Error> {
        let LinkRewrite {
            found: Found { revision, record: earlier },
            mut link,
            address,
            surplus,
            act,
            outcome,
        } = rewrite;
        let before = &earlier.options;
        link.updated_at = context.now;
        let limit_changes = link.options.max_clicks != before.max_clicks;
        // Otherwise clicks that are only reserved would count against the new limit.
        if limit_changes {
            self.settle_clicks(link.id).await?;
        }
        // Read before the checks, so that every exclusive write that they may have missed is noticed.
        let checked_at = self.shared.exclusive.generation();
        let (mut link, address) = self.check_in_table(before.clone(), link, address).await?;
        let tags = self.named_tags(link.workspace, names).await?;
        let (workspace, options) = (link.workspace, link.options.clone());
        let commit = async {
            if checked_at != self.shared.exclusive.generation() {
                self.shared.check_changed(before, &link, &address)?;
            }
            let build = |next_id: &mut dyn FnMut() -> Id| {
                let mut effect = Effect::default();
                if let Some(tags) = &tags {
                    link.options.tags = tags.make(&mut effect, context, link.workspace, next_id);
                }
                address.write(&mut effect, &link, revision);
                effect.note_change(&earlier, &link, act);
                effect.forget(surplus);
                effect.store_outcome(context.claim, context.now, || outcome(&link));
                effect
            };
            self.commit_new(context, build).await
        };
        let leads_here = || self.shared.leads_here(workspace, &options);
        match self.shared.exclusive.hold_if(&context.tenant, leads_here, commit).await? {
            Committed::Done => {}
            Committed::Conflict(key) => {
                return match address.taken(&key, &link) {
                    Some(code) => Err(Error::CodeTaken { code: code.as_str().into() }),
                    None => Ok(None),
                };
            }
        }
        if limit_changes {
            // Clicks between the two calls were counted under the old limit, and count against the new one.
            self.settle_clicks(link.id).await?;
        }
        Ok(Some(link))
    }

    /// Returns the link of this id, and the keys of the entries about it that the next one replaces.
    pub(in crate::core) async fn find_to_change(
        &self,
        context: &Context,
        id: Id,
    ) -> Result<(Found<Link>, Vec<Bytes>), Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            let found = shared.table.link_by_id(workspace, id)?.ok_or(Error::NotFound("link"))?;
            Ok((found, shared.surplus_entries(workspace, id)?))
        })
        .await
    }

    /// Checks only what changes. A tag that was deleted since, or a chain that other links made longer, must not
    /// prevent other changes of the link.
    async fn check_in_table(
        &self,
        before: Options,
        link: Link,
        address: AddressChange,
    ) -> Result<(Link, AddressChange), Error> {
        let may_be_respelled = address.is_moved() && link.code.with_emoji_style().is_some();
        // Most changes need no record of the table, and so no thread.
        if !may_be_respelled && !self.shared.needs_table(link.workspace, &link.options) {
            return Ok((link, address));
        }
        self.blocking(move |shared| {
            // As for a new link: an earlier version stored the code of another link with selectors.
            if let Some(code) = link.code.with_emoji_style().filter(|_| address.is_moved())
                && let Some(other) = shared.table.link(link.domain, code.as_str())?
                && other.record.id != link.id
            {
                return Err(Error::CodeTaken { code: code.as_str().into() });
            }
            let tags = link.options.tags.iter().copied();
            let added: Vec<Id> = tags.filter(|tag| !before.tags.contains(tag)).collect();
            shared.check_tags(link.workspace, &added)?;
            if link.options.campaign != before.campaign {
                shared.check_campaign(link.workspace, link.options.campaign.as_ref())?;
            }
            shared.check_changed(&before, &link, &address)?;
            Ok((link, address))
        })
        .await
    }
}

impl Shared {
    /// Rejects a change that makes a link lead back to itself. A change of neither the addresses of the link nor where
    /// it leads passes.
    fn check_changed(&self, before: &Options, link: &Link, address: &AddressChange) -> Result<(), Error> {
        let siblings = address.gained_by(link);
        if address.is_moved()
            || siblings.len() > 0
            || self.edges(link.workspace, &link.options) != self.edges(link.workspace, before)
        {
            let own = (link.workspace, &link.options);
            self.check_loop(link.domain, Some(&link.code), own, &siblings)?;
        }
        Ok(())
    }
}
