//! Idempotency: the outcome of a POST with an `Idempotency-Key` is stored for a day, in the same Change as
//! its effect. So neither a crash nor a lost response makes a repetition run twice.

use super::click_shares::ClickShareView;
use super::commit::{Committed, Effect};
use super::context::Context;
use super::error::Error;
use super::handle::Core;
use super::links::rule_edits::RuleView;
use super::shared::Shared;
use super::snapshots::view::{ImportView, ShareView, SnapshotView};
use super::view::{BulkView, CampaignView, DomainView, KeyView, LinkView, WebhookSecretView, WorkspaceView};
use crate::clock::Timestamp;
use crate::log::Position;
use crate::model::id::Id;
use crate::model::link::branch::BranchId;
use crate::model::tag::Tag;
use crate::model::workspace::{Company, WorkspaceNumber};
use crate::table::keys;
use crate::table::record::{OutcomeRecord, StoredOutcome, Tombstone};

/// How long an outcome is stored: 24 hours (docs/decisions.md A8).
pub(super) const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// The outcome of an earlier request with the same [`Claim::scope`](super::context::Claim::scope).
#[derive(Clone, Debug)]
pub enum Previous {
    /// No earlier request: the command runs.
    New,
    /// A request with the same body: its outcome is returned again.
    Same(Created),
    /// A request with another body: the repetition is rejected.
    Other,
}

/// The object that a POST created, read again from the store.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is what the method of the same name answers.
pub enum Created {
    Link(Box<LinkView>),
    Bulk(BulkView),
    Tag(Tag),
    Domain(DomainView),
    Workspace(WorkspaceView),
    Company(Company),
    Key(KeyView),
    WebhookSecret(WebhookSecretView),
    Campaign(CampaignView),
    Snapshot(SnapshotView),
    Share(ShareView),
    ClickShare(ClickShareView),
    Import(Box<ImportView>),
    Rule(Box<RuleView>),
}

pub(super) fn is_over(record: &OutcomeRecord, now: Timestamp) -> bool {
    now.as_millis() - record.at.as_millis() > KEPT_MILLIS
}

impl Core {
    /// Returns the outcome of an earlier request under the context's claim. Fails with [`Error::NotFound`] if
    /// the object that it created no longer exists.
    pub async fn previous(&self, context: &Context) -> Result<Previous, Error> {
        let Some(claim) = context.claim else { return Ok(Previous::New) };
        let key = keys::outcome(&claim.scope);
        let found = {
            let key = key.clone();
            self.blocking(move |shared| Ok(shared.table.get::<OutcomeRecord>(&key)?)).await?
        };
        let Some(found) = found else { return Ok(Previous::New) };
        let record = found.record;
        // The sweep runs once an hour, so an expired outcome may still be here. It is removed first, since
        // the new outcome requires that none is stored.
        if is_over(&record, context.now) {
            return self.forget_outcome(context, key, found.revision).await;
        }
        // After the check of the age: an expired key may be used with any body.
        if record.body != claim.body {
            return Ok(Previous::Other);
        }
        let gone = || Error::NotFound("what the first request made");
        let outcome = match record.outcome {
            // A crash interrupted the bulk. It runs again and continues behind its last stored row.
            StoredOutcome::Bulk(bulk) if bulk.done < bulk.of => return Ok(Previous::New),
            StoredOutcome::Bulk(bulk) => Created::Bulk(self.bulk_view(bulk).await?),
            StoredOutcome::Link { workspace, id } => {
                let view = self.blocking(move |shared| shared.link_or_tombstone(workspace, id)).await?;
                Created::Link(Box::new(view.ok_or_else(gone)?))
            }
            StoredOutcome::Rule { workspace, link, number } => {
                let id = BranchId { link, number };
                let rule = self.blocking(move |shared| shared.created_rule(workspace, id)).await?;
                Created::Rule(Box::new(rule.ok_or_else(gone)?))
            }
            StoredOutcome::Tag { workspace, id } => {
                let tag = self
                    .blocking(move |shared| Ok(shared.table.get::<Tag>(&keys::tag(workspace, id))?))
                    .await?;
                Created::Tag(tag.ok_or_else(gone)?.record)
            }
            StoredOutcome::Domain(number) => {
                let domain = self.directory().domain(number).cloned().ok_or_else(gone)?;
                Created::Domain(self.domain_view(context, domain).await?)
            }
            StoredOutcome::Workspace(number) => {
                let versioned = self.directory().workspace(number).cloned().ok_or_else(gone)?;
                Created::Workspace(self.workspace_view(&versioned.record).await?)
            }
            StoredOutcome::Company(id) => {
                let versioned = self.directory().company(&id).cloned().ok_or_else(gone)?;
                Created::Company((*versioned.record).clone())
            }
            StoredOutcome::Key(id) => {
                let versioned = self.directory().key(id).cloned().ok_or_else(gone)?;
                Created::Key(self.key_view(&versioned.record))
            }
            StoredOutcome::WebhookSecret(workspace) => {
                let secret = self.tenants().signing_secret(workspace).await?;
                Created::WebhookSecret(WebhookSecretView::of(&secret, context.now))
            }
            StoredOutcome::Campaign { workspace, id } => {
                let found = self.blocking(move |shared| shared.campaign(workspace, &id.into())).await?;
                Created::Campaign(self.campaign_view(found.ok_or_else(gone)?.record)?)
            }
            StoredOutcome::Snapshot(id) => Created::Snapshot(self.snapshots().get(context, &id).await?),
            StoredOutcome::Share(id) => self.snapshots().share_again(id).await?,
            StoredOutcome::Import(id) => {
                let Some(import) = self.snapshots().import_again(id).await? else {
                    // Nothing of the import is left and no rule rejected it, so the request may run again.
                    return self.forget_outcome(context, key, found.revision).await;
                };
                Created::Import(Box::new(import))
            }
        };
        Ok(Previous::Same(outcome))
    }

    /// Removes a stored outcome, so that the request may run again. The new outcome requires that none is
    /// stored.
    async fn forget_outcome(
        &self,
        context: &Context,
        key: bytes::Bytes,
        revision: Position,
    ) -> Result<Previous, Error> {
        let mut effect = Effect::default();
        effect.remove(key, revision);
        match self.commit(context, effect).await? {
            Committed::Done => Ok(Previous::New),
            // A concurrent repetition has removed the outcome first, and may be running.
            Committed::Conflict(_) => Err(Error::Busy),
        }
    }
}

impl Shared {
    /// Returns a link or, if it was deleted since, its tombstone's copy. Only for repeated creations.
    fn link_or_tombstone(&self, workspace: WorkspaceNumber, id: Id) -> Result<Option<LinkView>, Error> {
        if let Some(found) = self.table.link_by_id(workspace, id)? {
            return self.view(found.record).map(Some);
        }
        match self.table.get::<Tombstone>(&keys::tombstone(workspace, id))? {
            Some(found) => self.view_of(found.record.link, found.record.clicks).map(Some),
            None => Ok(None),
        }
    }
}
