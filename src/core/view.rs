//! What the core answers: records joined with what their readers need beside them, at one
//! instant. Dialects turn these into their vendors' JSON.

use std::sync::Arc;

use super::context::Context;
use super::error::Error;
use super::handle::Core;
use super::shared::Shared;
use super::tenants::directory::Directory;
use crate::clock::Timestamp;
use crate::model::campaign::Campaign;
use crate::model::domain::Domain;
use crate::model::key::{ApiKey, Reach};
use crate::model::link::Link;
use crate::model::tag::Tag;
use crate::model::webhook::{Secret, WebhookSecret};
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::record::StoredBulk;
use crate::table::{List, keys};

/// A link with its surroundings.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// The record.
    pub link: Link,
    /// Counted clicks, those not yet in the log included.
    pub clicks: u64,
    /// `https://go.example.com/code`: built from configuration, never from a request.
    pub short_url: String,
    /// The domain's name.
    pub domain_name: String,
    /// The domain.
    pub domain: Arc<Domain>,
    /// Its owner.
    pub workspace: Arc<Workspace>,
    /// Its tags, in the link's order; tags deleted meanwhile are left out.
    pub tags: Vec<Tag>,
    /// The name of the key that made it, when that key still exists.
    pub creator: Option<Arc<ApiKey>>,
}

/// A domain as its readers see it.
#[derive(Clone, Debug)]
pub struct DomainView {
    /// The record.
    pub domain: Arc<Domain>,
    /// Its name; the default domain's follows `public_url`.
    pub name: String,
    /// What its short URLs begin with, without a slash at the end.
    pub base_url: String,
    /// Links living on it.
    pub links: u64,
}

/// A workspace as its readers see it.
#[derive(Clone, Debug)]
pub struct WorkspaceView {
    /// The record.
    pub workspace: Arc<Workspace>,
    /// The name of the domain that its links live on by default.
    pub default_domain: String,
    /// Links it may still create; `None` is unlimited.
    pub credits: Option<u64>,
}

/// A campaign with its owner.
#[derive(Clone, Debug)]
pub struct CampaignView {
    /// The record.
    pub campaign: Campaign,
    /// Its owner.
    pub workspace: Arc<Workspace>,
}

/// A page of campaigns.
#[derive(Clone, Debug)]
pub struct CampaignPage {
    /// The campaigns.
    pub campaigns: Vec<CampaignView>,
    /// How many there are in all.
    pub total: u64,
    /// The page's number.
    pub page: u64,
    /// Campaigns per page.
    pub limit: usize,
}

/// A key as its readers see it; without its secret.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// The record.
    pub key: Arc<ApiKey>,
    /// The workspace it is bound to, if it is.
    pub workspace: Option<Arc<Workspace>>,
}

/// What a workspace's webhooks are signed with.
#[derive(Clone, Debug)]
pub struct WebhookSecretView {
    /// The newest secret.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when the one before it signs as well.
    pub previous_expires_at: Option<Timestamp>,
}

/// What became of a bulk creation.
#[derive(Clone, Debug)]
pub struct BulkView {
    /// Links made, in the order of their rows.
    pub links: Vec<LinkView>,
    /// Rows that made none.
    pub failed: Vec<FailedRow>,
}

/// A row of a bulk that made no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// Its place, the first being 0.
    pub row: usize,
    /// The code it asked for.
    pub code: Option<Box<str>>,
    /// Why, naming field and rule.
    pub reason: String,
}

impl Core {
    /// A link just made: nobody clicked on it before it was there.
    pub(in crate::core) async fn view_new(&self, link: Link) -> Result<LinkView, Error> {
        if link.options.tags.is_empty() {
            return self.shared.view_of(link, 0);
        }
        self.blocking(move |shared| shared.view_of(link, 0)).await
    }

    pub(in crate::core) async fn view(&self, link: Link) -> Result<LinkView, Error> {
        self.blocking(move |shared| shared.view(link)).await
    }

    /// The links and failures of a bulk, as its caller sees them.
    pub(in crate::core) async fn bulk_view(&self, bulk: StoredBulk) -> Result<BulkView, Error> {
        self.blocking(move |shared| {
            let mut links: Vec<LinkView> = Vec::with_capacity(bulk.links.len());
            for id in &bulk.links {
                // One deleted since is left out: there is nothing to show of it.
                if let Some(found) = shared.table.link_by_id(bulk.workspace, *id)? {
                    links.push(shared.view(found.record)?);
                }
            }
            let mut failed: Vec<FailedRow> = bulk
                .failed
                .into_iter()
                .map(|(row, code, reason)| FailedRow { row: row as usize, code, reason: reason.into() })
                .collect();
            failed.sort_by_key(|row| row.row);
            Ok(BulkView { links, failed })
        })
        .await
    }

    pub(in crate::core) async fn domain_view(
        &self,
        context: &Context,
        domain: Arc<Domain>,
    ) -> Result<DomainView, Error> {
        let workspace = context.workspace.number;
        self.blocking(move |shared| shared.domain_view(workspace, domain)).await
    }

    pub(in crate::core) async fn workspace_view(
        &self,
        workspace: &Arc<Workspace>,
    ) -> Result<WorkspaceView, Error> {
        let workspace = Arc::clone(workspace);
        self.blocking(move |shared| shared.workspace_view(&shared.directory.load(), &workspace)).await
    }

    /// A campaign with its owner, for who has found it.
    pub(in crate::core) fn campaign_view(&self, campaign: Campaign) -> Result<CampaignView, Error> {
        let owner =
            self.directory().workspace(campaign.workspace).map(|versioned| Arc::clone(&versioned.record));
        let lost = || Error::NotReady("a campaign's workspace is missing".to_owned());
        Ok(CampaignView { campaign, workspace: owner.ok_or_else(lost)? })
    }

    pub(in crate::core) fn key_view(&self, key: &Arc<ApiKey>) -> KeyView {
        let directory = self.directory();
        let workspace = match key.reach {
            Reach::Workspace(number) => {
                directory.workspace(number).map(|versioned| Arc::clone(&versioned.record))
            }
            Reach::Instance | Reach::Company(_) => None,
        };
        KeyView { key: Arc::clone(key), workspace }
    }
}

impl Shared {
    /// A link with its surroundings, as of now.
    pub(in crate::core) fn view(&self, link: Link) -> Result<LinkView, Error> {
        let clicks = self.clicks_of(&link)?;
        self.view_of(link, clicks)
    }

    pub(in crate::core) fn view_of(&self, link: Link, clicks: u64) -> Result<LinkView, Error> {
        let directory = self.directory.load();
        let lost = || Error::NotReady("a link's domain or workspace is missing".to_owned());
        let domain = directory.domain(link.domain).cloned().ok_or_else(lost)?;
        let workspace = directory.workspace(link.workspace).ok_or_else(lost)?.record.clone();
        let mut tags = Vec::with_capacity(link.options.tags.len());
        for tag in &link.options.tags {
            tags.extend(self.table.get(&keys::tag(link.workspace, *tag))?.map(|found| found.record));
        }
        let creator =
            link.created_by.and_then(|id| directory.key(id)).map(|versioned| versioned.record.clone());
        Ok(LinkView {
            clicks,
            short_url: self.site.short_url(&domain, &link.code),
            domain_name: self.site.name_of(&domain),
            domain,
            workspace,
            tags,
            creator,
            link,
        })
    }

    /// Returns a domain as a workspace sees it.
    pub(in crate::core) fn domain_view(
        &self,
        workspace: WorkspaceNumber,
        domain: Arc<Domain>,
    ) -> Result<DomainView, Error> {
        let links = if domain.workspace.is_some() {
            self.table.links_seen_on(domain.number)?
        } else {
            // On the shared default domain only the workspace's own links are its to know: all it
            // has, less those on domains of its own.
            let mut elsewhere = 0;
            for other in self.directory.load().domains_of(Some(workspace)) {
                elsewhere += self.table.links_seen_on(other.number)?;
            }
            self.table.count(workspace, &List::All)?.saturating_sub(elsewhere)
        };
        let site = &self.site;
        Ok(DomainView { name: site.name_of(&domain), base_url: site.base_of(&domain), links, domain })
    }

    pub(in crate::core) fn workspace_view(
        &self,
        directory: &Directory,
        workspace: &Arc<Workspace>,
    ) -> Result<WorkspaceView, Error> {
        let chosen = workspace.default_domain.and_then(|id| directory.domain_seen(workspace.number, id));
        let default_domain = chosen
            .map_or_else(|| self.site.host().to_owned(), |versioned| self.site.name_of(&versioned.record));
        let credits = match workspace.credits {
            Some(_) => Some(self.balance(workspace.number)?.1),
            None => None,
        };
        Ok(WorkspaceView { workspace: Arc::clone(workspace), default_domain, credits })
    }
}

impl WebhookSecretView {
    pub(in crate::core) fn of(secret: &WebhookSecret, now: Timestamp) -> WebhookSecretView {
        WebhookSecretView {
            secret: secret.secret.clone(),
            created_at: secret.created_at,
            previous_expires_at: secret.previous_at(now).map(|(_, until)| *until),
        }
    }
}
