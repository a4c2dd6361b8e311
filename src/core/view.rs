//! What the core answers: records joined with what their readers need beside them, at one
//! instant. Dialects turn these into their vendors' JSON.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::model::campaign::Campaign;
use crate::model::domain::Domain;
use crate::model::key::ApiKey;
use crate::model::link::Link;
use crate::model::tag::Tag;
use crate::model::webhook::Secret;
use crate::model::workspace::Workspace;

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
