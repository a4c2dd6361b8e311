//! The results of the core's commands: records joined with what a response shows beside them, at one instant.
//! Dialects turn them into their vendors' JSON.

use std::sync::Arc;

use super::context::Context;
use super::error::Error;
use super::handle::Core;
use super::shared::Shared;
use super::site::Site;
use super::tenants::directory::Directory;
use crate::clock::Timestamp;
use crate::model::campaign::Campaign;
use crate::model::certificate::NameStatus;
use crate::model::domain::Domain;
use crate::model::health::LinkHealth;
use crate::model::key::{ApiKey, Reach};
use crate::model::link::{Alias, Link};
use crate::model::short_code::ShortCode;
use crate::model::tag::Tag;
use crate::model::webhook::{Secret, WebhookSecret};
use crate::model::workspace::{Workspace, WorkspaceNumber};
use crate::table::record::StoredBulk;
use crate::table::{List, keys};

/// A link with the records that responses show beside it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct LinkView {
    pub link: Link,
    /// Counted clicks, including those that are not in the log yet.
    pub clicks: u64,
    /// Built from the configuration, never from a request: `https://go.example.com/code`.
    pub short_url: String,
    /// The address of the picture of its QR code.
    pub qr_url: String,
    pub domain_name: String,
    pub domain: Arc<Domain>,
    pub workspace: Arc<Workspace>,
    /// The tags, in the link's order. Tags that were deleted are left out.
    pub tags: Vec<Tag>,
    /// The key that created the link, if it still exists.
    pub creator: Option<Arc<ApiKey>>,
    /// Former short URLs that lead to the link.
    pub aliases: Vec<AliasView>,
    /// `None` where no response shows it.
    pub recent: Option<RecentView>,
    /// `None` where no response shows it, and in a workspace without checks.
    pub health: Option<HealthView>,
}

/// What the checks of a link have found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthView {
    /// `None` before the first check.
    pub health: Option<LinkHealth>,
    /// The destination that does not work. `None` also for a destination of a rule in a list without rules.
    pub url: Option<Box<str>>,
}

/// The clicks of a link in the last days. Both are unknown if the operator keeps no details of clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentView {
    /// Clicks with details in the last 30 days, today included, by days of UTC.
    pub clicks_30d: Option<u64>,
    /// The start of the quarter of an hour of the latest click with details.
    pub latest: Option<Timestamp>,
}

/// A former short URL of a link.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The fields speak.
pub struct AliasView {
    pub domain_name: String,
    pub code: ShortCode,
    pub short_url: String,
}

impl AliasView {
    /// Returns the view of an alias on this domain.
    pub fn of(site: &Site, domain: &Domain, alias: &Alias) -> AliasView {
        AliasView {
            domain_name: site.name_of(domain),
            code: alias.shown_code().clone(),
            short_url: site.short_url(domain, alias.shown_code()),
        }
    }
}

/// A domain with the facts that responses show beside it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct DomainView {
    pub domain: Arc<Domain>,
    /// The host name. The name of the default domain comes from `public_url`.
    pub name: String,
    /// The beginning of its short URLs, without a slash at the end.
    pub base_url: String,
    /// Number of links on the domain.
    pub links: u64,
    /// The state of its certificate. `None` from the core, which knows of none.
    pub https: Option<NameStatus>,
}

/// A workspace with the facts that responses show beside it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct WorkspaceView {
    pub workspace: Arc<Workspace>,
    /// The name of the domain of new links that give none.
    pub default_domain: String,
    /// Links that the workspace may still create; `None` is unlimited.
    pub credits: Option<u64>,
}

/// A campaign with its workspace.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct CampaignView {
    pub campaign: Campaign,
    pub workspace: Arc<Workspace>,
}

/// A page of campaigns.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct CampaignPage {
    pub campaigns: Vec<CampaignView>,
    /// Number of campaigns on all pages.
    pub total: u64,
    /// The number of this page, from 1.
    pub page: u64,
    /// Most campaigns on a page.
    pub limit: usize,
}

/// A key without its secret.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct KeyView {
    pub key: Arc<ApiKey>,
    /// The workspace, if the key reaches only one.
    pub workspace: Option<Arc<Workspace>>,
}

/// The secrets that sign a workspace's webhooks.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The other fields are the records of their names.
pub struct WebhookSecretView {
    /// The newest secret.
    pub secret: Secret,
    pub created_at: Timestamp,
    /// When the previous secret stops signing.
    pub previous_expires_at: Option<Timestamp>,
}

/// The result of a bulk creation.
#[derive(Clone, Debug)]
pub struct BulkView {
    /// The links, in the order of their rows.
    pub links: Vec<LinkView>,
    /// The rows that created no link.
    pub failed: Vec<FailedRow>,
    /// The time of the answer. It decides which rules are over.
    pub at: Timestamp,
}

/// Most rules and conditions that hold for nobody and that a bulk names. The rest is counted: 1,000 links may have 200,000.
const IDLE_NAMED_MAX: usize = 20;

impl BulkView {
    /// Returns the rules of each link that hold for no visitor at present, [`IDLE_NAMED_MAX`] in all, and the number of the others.
    pub fn idle_rules(&self) -> (Vec<Vec<String>>, usize) {
        // In the order of the rows, so that a repetition names the same ones.
        let (mut room, mut more) = (IDLE_NAMED_MAX, 0);
        let links = self.links.iter().map(|view| {
            let mut idle = view.link.options.idle_rules(self.at);
            let named = idle.len().min(room);
            (room, more) = (room - named, more + idle.len() - named);
            idle.truncate(named);
            idle.iter().map(ToString::to_string).collect()
        });
        (links.collect(), more)
    }
}

/// A row that created no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// The index of the row, from 0.
    pub row: usize,
    /// The code that the row asks for.
    pub code: Option<Box<str>>,
    /// The field and the rule that it breaks.
    pub reason: String,
}

impl Core {
    /// Returns the view of a link that was just created and has no clicks.
    pub(in crate::core) async fn view_new(&self, link: Link) -> Result<LinkView, Error> {
        // Without tags nothing is read, so no thread for blocking work is needed.
        if link.options.tags.is_empty() {
            return self.shared.view_of(link, 0);
        }
        self.blocking(move |shared| shared.view_of(link, 0)).await
    }

    pub(in crate::core) async fn view(&self, link: Link) -> Result<LinkView, Error> {
        self.blocking(move |shared| shared.view(link)).await
    }

    /// Returns the links and failures of a bulk.
    pub(in crate::core) async fn bulk_view(&self, bulk: StoredBulk) -> Result<BulkView, Error> {
        self.blocking(move |shared| {
            let mut links: Vec<LinkView> = Vec::with_capacity(bulk.links.len());
            for id in &bulk.links {
                // A link that was deleted since is left out.
                if let Some(found) = shared.table.link_by_id(bulk.workspace, *id)? {
                    links.push(shared.view(found.record)?);
                }
            }
            let mut failed: Vec<FailedRow> = bulk
                .failed
                .into_iter()
                .map(|(row, code, reason)| FailedRow { row: row as usize, code, reason: reason.into() })
                .collect();
            // Rows that fail at their commit are recorded behind later rows that failed their check.
            failed.sort_by_key(|row| row.row);
            Ok(BulkView { links, failed, at: shared.clock.now() })
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

    /// Returns the view of a campaign that the caller was found to see.
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
    /// Returns the view of a link at this instant.
    pub(in crate::core) fn view(&self, link: Link) -> Result<LinkView, Error> {
        let clicks = self.clicks_of(&link)?;
        self.view_of(link, clicks)
    }

    pub(in crate::core) fn view_of(&self, mut link: Link, clicks: u64) -> Result<LinkView, Error> {
        // A campaign that was deleted since is left out, as a tag is below.
        if let Some(id) = link.options.campaign.take()
            && self.campaign(link.workspace, &id.clone().into())?.is_some()
        {
            link.options.campaign = Some(id);
        }
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
        let alias = |alias: &Alias| Some(AliasView::of(&self.site, directory.domain(alias.domain)?, alias));
        let aliases = link.aliases.iter().filter_map(alias).collect();
        Ok(LinkView {
            clicks,
            short_url: self.site.short_url(&domain, link.shown_code()),
            qr_url: self.site.qr_url(&domain, &link),
            domain_name: self.site.name_of(&domain),
            domain,
            workspace,
            tags,
            creator,
            aliases,
            recent: None,
            health: None,
            link,
        })
    }

    /// Returns the view of a domain. `workspace` decides which links of the default domain are counted.
    pub(in crate::core) fn domain_view(
        &self,
        workspace: WorkspaceNumber,
        domain: Arc<Domain>,
    ) -> Result<DomainView, Error> {
        let links = if domain.workspace.is_some() {
            self.table.links_seen_on(domain.number)?
        } else {
            // The default domain is shared, and a workspace must not learn how many links others have there.
            // So its own links on it are counted: all that it has, less those on its own domains.
            let mut elsewhere = 0;
            for other in self.directory.load().domains_of(Some(workspace)) {
                elsewhere += self.table.links_seen_on(other.number)?;
            }
            // Saturates: links may be deleted between the two counts.
            self.table.count(workspace, &List::All)?.saturating_sub(elsewhere)
        };
        let site = &self.site;
        Ok(DomainView {
            name: site.name_of(&domain),
            base_url: site.base_of(&domain),
            links,
            domain,
            https: None,
        })
    }

    pub(in crate::core) fn workspace_view(
        &self,
        directory: &Directory,
        workspace: &Arc<Workspace>,
    ) -> Result<WorkspaceView, Error> {
        // A default domain that the workspace no longer sees counts as none.
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
