//! Reading, changing and deleting one link by its id.

use jiff::tz::TimeZone;

use super::rewrite::{LinkRewrite, outcome_of_link};
use crate::core::commit::{ATTEMPTS, Committed, Effect};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::history::notes::AuditNote;
use crate::core::shared::Shared;
use crate::core::tenants::viewer::Viewer;
use crate::core::view::LinkView;
use crate::model::Invalid;
use crate::model::audit::AuditAct;
use crate::model::destination::Destination;
use crate::model::id::Id;
use crate::model::key::Reach;
use crate::model::link::{DomainChoice, Edit, Link, PasswordHash, Patch};
use crate::model::short_code::ShortCode;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::{Stored, StoredOutcome, Tombstone};
use crate::table::{Found, keys};

impl Links {
    /// Returns the link of this id, in the acting workspace or another one within reach.
    pub async fn get(&self, context: &Context, id: Id) -> Result<LinkView, Error> {
        let found = self.find(context, id).await?;
        context.object.read(found.revision)?;
        self.view(found.record).await
    }

    /// Returns the link of this code on a domain, in the acting workspace or another one within reach. Fails
    /// with [`Error::Rule`] if no workspace within reach may use the domain.
    pub async fn get_by_code(
        &self,
        context: &Context,
        domain: &DomainChoice,
        code: ShortCode,
    ) -> Result<LinkView, Error> {
        let viewer = Viewer::of(context);
        let domain = self.shared.domain_within_reach(context, domain, &viewer)?.record;
        let code = domain.key_of(code);
        let seen = self.blocking(move |shared| {
            let directory = shared.directory.load();
            let sees = |workspace| viewer.reaches(&directory, workspace);
            if let Some(found) = shared.table.link_seen(domain.number, code.as_str(), sees)? {
                return Ok(Some(found));
            }
            let found = shared.table.link_of_alias(domain.number, code.as_str())?;
            Ok(found.filter(|found| sees(found.record.workspace)))
        });
        let found = seen.await?.ok_or(Error::NotFound("link"))?;
        context.object.read(found.revision)?;
        self.view(found.record).await
    }

    /// Changes a link: all of the patch or nothing. Fails with [`Error::Busy`] if other writes change the
    /// link at every attempt.
    pub async fn update(&self, context: &Context, id: Id, patch: Patch) -> Result<LinkView, Error> {
        self.update_for(context, id, patch, outcome_of_link).await
    }

    /// Like [`Links::update`], for a POST with this outcome.
    pub(in crate::core) async fn update_for(
        &self,
        context: &Context,
        id: Id,
        mut patch: Patch,
        outcome: fn(&Link) -> StoredOutcome,
    ) -> Result<LinkView, Error> {
        let names = std::mem::take(&mut patch.names);
        let tag_field = tag_field(&patch);
        // Hashed once, before the attempts: a hash takes some 20 ms of a core.
        let password = match &patch.password {
            Some(Some(password)) => {
                Some(Some(self.shared.hashing.hash(&context.tenant, password.clone()).await?))
            }
            Some(None) => Some(None),
            None => None,
        };
        for _ in 0..ATTEMPTS {
            let (found, surplus) = self.find_to_change(context, id).await?;
            // At each attempt: a write that came between may have changed what the client has not seen.
            context.object.check(found.revision)?;
            let mut link = found.record.clone();
            // Applied to a fresh record at each attempt.
            let mut patch = patch.clone();
            patch.edits.extend(self.named_campaign(link.workspace, &names).await?);
            let address = self.shared.readdress(&mut link, &patch.address)?;
            self.shared.apply(&mut link, patch, password.clone())?;
            let rewrite = LinkRewrite { found, link, address, surplus, act: None, outcome };
            let rewritten = self.rewrite(context, rewrite, &names).await;
            if let Some(link) = rewritten.map_err(|error| in_field(error, tag_field))? {
                return self.view(link).await;
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a link. Its code is free at once. Its record and clicks are kept for the statistics; as long
    /// as they are kept, a second deletion fails with [`Error::AlreadyDeleted`].
    pub async fn delete(&self, context: &Context, id: Id) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let (found, surplus) = match self.find_to_change(context, id).await {
                Err(Error::NotFound(_)) if self.was_deleted(context, id).await? => {
                    return Err(Error::AlreadyDeleted("link"));
                }
                found => found?,
            };
            context.object.check(found.revision)?;
            let link = found.record.clone();
            let (clicks, totals) = self
                .blocking(move |shared| Ok((shared.clicks_of(&link)?, shared.remove_totals(link.id)?)))
                .await?;
            let link = found.record;
            let mut effect = Effect::default();
            effect.remove(keys::link(link.domain, link.code.as_str()), found.revision);
            effect.puts.extend(totals);
            for alias in &link.aliases {
                effect.remove_alias(alias);
            }
            let counter = self.shared.cache.counters().live(id);
            let tombstone = keys::tombstone(link.workspace, id);
            effect.note(AuditNote::of_link(&link, AuditAct::Delete));
            // The record of the link had its creation. Not after the time that entries are kept.
            if link.id.millis() > self.shared.history.expired_at(context.now.as_millis()) {
                effect.note(AuditNote::of_creation(&link));
            }
            effect.forget(surplus);
            effect.put(tombstone, Tombstone { link, clicks, deleted_at: context.now }.encode());
            if let Committed::Done = self.commit_removal(context, effect, counter).await? {
                return Ok(());
            }
        }
        Err(Error::Busy)
    }

    async fn find(&self, context: &Context, id: Id) -> Result<Found<Link>, Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            shared.table.link_by_id(workspace, id)?.ok_or(Error::NotFound("link"))
        })
        .await
    }

    async fn was_deleted(&self, context: &Context, id: Id) -> Result<bool, Error> {
        let viewer = Viewer::of(context);
        self.blocking(move |shared| {
            let workspace = shared.workspace_in_sight(&viewer, id)?;
            Ok(shared.table.get::<Tombstone>(&keys::tombstone(workspace, id))?.is_some())
        })
        .await
    }
}

impl Shared {
    /// Returns whether any workspace has a link of this id.
    pub(in crate::core) fn is_there(&self, id: Id) -> Result<bool, Error> {
        let Some(owner) = self.table.owner_of(id)? else { return Ok(false) };
        Ok(self.table.link_by_id(owner, id)?.is_some())
    }

    /// Returns the total that a link of this workspace had when it was deleted, or 0 without its tombstone.
    pub(in crate::core) fn clicks_at_deletion(
        &self,
        workspace: WorkspaceNumber,
        id: Id,
    ) -> Result<u64, Error> {
        let found = self.table.get::<Tombstone>(&keys::tombstone(workspace, id))?;
        Ok(found.map_or(0, |found| found.record.clicks))
    }

    /// Returns the workspace within sight where the link of this id, or its tombstone, is searched. For an id
    /// outside of the caller's sight it is the acting workspace, so that a foreign id takes as many reads as
    /// none.
    pub(in crate::core) fn workspace_in_sight(
        &self,
        viewer: &Viewer,
        id: Id,
    ) -> Result<WorkspaceNumber, Error> {
        // Such a key sees one workspace, so the owner of the id does not matter.
        if matches!(viewer.reach, Reach::Workspace(_)) {
            return Ok(viewer.acting);
        }
        let owner = self.table.owner_of(id)?;
        let directory = self.directory.load();
        Ok(owner.filter(|owner| viewer.reaches(&directory, *owner)).unwrap_or(viewer.acting))
    }

    /// Returns the zone of dates without a time in a workspace.
    pub(in crate::core) fn zone_of(&self, workspace: WorkspaceNumber) -> TimeZone {
        let directory = self.directory.load();
        directory.workspace(workspace).map_or(TimeZone::UTC, |versioned| versioned.record.zone())
    }

    fn apply(
        &self,
        link: &mut Link,
        patch: Patch,
        password: Option<Option<PasswordHash>>,
    ) -> Result<(), Error> {
        // A client that sends back a whole link sends what it was shown, which today's rules may refuse.
        let before = link.options.clone();
        let shown = link.options.destination.as_str();
        if let Some(text) = patch.destination.filter(|text| **text != *shown) {
            let destination = self.destination(&text, link.options.link_type)?;
            link.options.apply(Edit::Destination(destination))?;
        }
        if let Some(password) = password {
            link.options.apply(Edit::Password(password))?;
        }
        // The zone of the link's workspace, which the caller may only reach.
        let zone = || self.zone_of(link.workspace);
        for edit in patch.edits {
            link.options.apply_with(edit.within(zone), &self.schemes)?;
        }
        // Existing URLs were valid when they were set, and must not prevent other changes of the link.
        if same_shown(&link.options.webhook_urls, &before.webhook_urls) {
            link.options.webhook_urls.clone_from(&before.webhook_urls);
        } else {
            self.check_webhooks(&link.options)?;
        }
        Shared::check_options(&link.options)?;
        self.check_sources(&link.options, Some(&before))?;
        Ok(self.check_denied(link.workspace, &link.options, Some(&before))?)
    }
}

/// Returns the field that gives a link new tags.
fn tag_field(patch: &Patch) -> &'static str {
    let adds = patch.edits.iter().any(|edit| matches!(edit, Edit::AddTags(_)));
    if adds { "addTagIds" } else { "tagIds" }
}

/// Returns an error about tags as one about the field that has given them.
fn in_field(error: Error, tag_field: &'static str) -> Error {
    match error {
        Error::Rule(rule) if rule.field == "tagIds" => Error::Rule(Invalid { field: tag_field, ..rule }),
        other => other,
    }
}

/// Returns whether both lists are shown alike: the native API shows a comma of a URL as `%2C`, and a client
/// that sends back a whole link must not change where its events go.
fn same_shown(one: &[Destination], other: &[Destination]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.all(|(one, other)| one.shown_in_list() == other.shown_in_list())
}
