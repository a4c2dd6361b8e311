//! What webhooks keep in the store: each workspace's signing secret, which is created on first use and
//! rotated by a command, and the deliveries that wait over a restart. Also the rule for the addresses that a
//! link's events may go to, as far as it can be checked when the link is written.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::core::commit::{ATTEMPTS, Committed, Effect, chance};
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Tenants;
use crate::core::history::notes::AuditNote;
use crate::core::shared::Shared;
use crate::core::view::WebhookSecretView;
use crate::log::{CommitError, Proposal, Put};
use crate::model::Invalid;
use crate::model::audit::{AuditAct, SubjectKind};
use crate::model::id::{ForeignId, Id, IdSource};
use crate::model::link::Options;
use crate::model::webhook::{SECRET_BYTES, Secret, WebhookSecret, check_url};
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::keys::{self, Kind};
use crate::table::record::{Stored, StoredOutcome, WaitingDeliveries};

impl Tenants {
    /// Returns the secret of a workspace within reach.
    pub async fn webhook_secret(
        &self,
        context: &Context,
        id: &ForeignId,
    ) -> Result<WebhookSecretView, Error> {
        let workspace = self.find_workspace(context, id)?.record.number;
        let secret = self.signing_secret(workspace).await?;
        Ok(WebhookSecretView::of(&secret, context.now))
    }

    /// Creates a new secret for a workspace. The old one signs beside it for a day.
    pub async fn rotate_webhook_secret(
        &self,
        context: &Context,
        id: &ForeignId,
    ) -> Result<WebhookSecretView, Error> {
        let workspace = self.find_workspace(context, id)?.record.number;
        let key = keys::webhook_secret(workspace);
        for _ in 0..ATTEMPTS {
            let versioned = self.directory().webhook_secret(workspace).cloned();
            let mut effect = Effect::default();
            let secret = if let Some(versioned) = versioned {
                let secret = (*versioned.record).clone().rotated(random_secret(), context.now);
                effect.replace(key.clone(), versioned.revision, secret.encode());
                secret
            } else {
                let secret = first_secret(workspace, context.now);
                effect.create(key.clone(), secret.encode());
                secret
            };
            effect.note(AuditNote::of(workspace, AuditAct::Rotate, SubjectKind::WebhookSecret, id, None));
            effect.store_outcome(context.claim, context.now, || StoredOutcome::WebhookSecret(workspace));
            if let Committed::Done = self.commit(context, effect).await? {
                return Ok(WebhookSecretView::of(&secret, context.now));
            }
        }
        Err(Error::Busy)
    }

    /// Returns the secret that signs a workspace's events. Only the first call for a workspace writes.
    pub async fn signing_secret(&self, workspace: WorkspaceNumber) -> Result<Arc<WebhookSecret>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(versioned) = self.directory().webhook_secret(workspace) {
                return Ok(Arc::clone(&versioned.record));
            }
            let mut effect = Effect::default();
            let secret = first_secret(workspace, self.shared.clock.now());
            effect.create(keys::webhook_secret(workspace), secret.encode());
            // Created here, or by a concurrent request: the secret exists now.
            self.commit_unasked(effect).await?;
        }
        Err(Error::Busy)
    }

    /// Returns the workspace of this number.
    pub fn workspace_numbered(&self, number: WorkspaceNumber) -> Option<Arc<Workspace>> {
        self.directory().workspace(number).map(|versioned| Arc::clone(&versioned.record))
    }

    /// Returns the deliveries that waited when this node stopped, each batch with its id.
    pub async fn waiting_deliveries(&self) -> Result<Vec<(Id, WaitingDeliveries)>, Error> {
        self.blocking(|shared| {
            let mut found = Vec::new();
            shared.table.each::<WaitingDeliveries>(
                &Kind::WaitingDeliveries.prefix(),
                &mut |key, batch| {
                    // Each node delivers its own batches.
                    let own = keys::parse_waiting(key).filter(|(_, node)| *node == shared.node);
                    found.extend(own.map(|(id, _)| (id, batch)));
                    true
                },
            )?;
            Ok(found)
        })
        .await
    }

    /// Stores waiting deliveries, each batch as a Change of its own without preconditions.
    pub async fn keep_waiting(&self, batches: &[WaitingDeliveries]) -> Result<(), Error> {
        for batch in batches {
            // Only unique: the order of batches does not matter, so `Shared::ids` is not needed.
            let id = IdSource::after(None).next(self.shared.clock.now(), chance());
            let put = Put { key: keys::waiting(id, self.shared.node), value: Some(batch.encode().into()) };
            // One Change for each: together they may exceed the size limit of a Change.
            self.write_unasked(vec![put]).await?;
        }
        Ok(())
    }

    /// Removes batches whose deliveries have ended or were stored again.
    pub async fn forget_waiting(&self, ids: &[Id]) -> Result<(), Error> {
        // An empty Change would be a sync of the disk for nothing.
        if ids.is_empty() {
            return Ok(());
        }
        let remove = |id: &Id| Put { key: keys::waiting(*id, self.shared.node), value: None };
        self.write_unasked(ids.iter().map(remove).collect()).await
    }

    async fn write_unasked(&self, puts: Vec<Put>) -> Result<(), Error> {
        // Without a wait for the table: these records are read at the next start.
        let written: Result<_, CommitError> =
            self.shared.log.commit(Proposal { puts, ..Proposal::default() }).await;
        written.map(|_| ()).map_err(Error::Log)
    }
}

impl Shared {
    /// Fails if events may not be sent to one of the link's webhook URLs.
    pub(in crate::core) fn check_webhooks(&self, options: &Options) -> Result<(), Invalid> {
        for url in &options.webhook_urls {
            check_url(url, &self.allowed_networks)?;
            if url.to_url().is_some_and(|url| self.site.is_host_of(&url)) {
                return Err(Invalid::new("webhookUrls", "must not lead to this server"));
            }
        }
        Ok(())
    }
}

fn first_secret(workspace: WorkspaceNumber, now: Timestamp) -> WebhookSecret {
    WebhookSecret { workspace, secret: random_secret(), created_at: now, previous: None }
}

fn random_secret() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    Secret(bytes)
}
