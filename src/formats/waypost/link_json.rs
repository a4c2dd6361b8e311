//! A link as JSON. [`Detail`] has every key of the vendor's `LinkDetail`, in its order, then the keys of this
//! program. A key without meaning here has its empty value.

use serde::Serialize;

use super::draft::MASK;
use super::fields::{show_health, show_link_type, show_status, show_webhooks};
use super::rule_json::RuleJson;
use crate::core::{AliasView, HealthView, LinkView, RecentView};
use crate::json::AsText;
use crate::model::destination::Destination;
use crate::model::health::HealthState;
use crate::model::id::{ForeignId, Id};
use crate::model::link::{Markup, Options};
use crate::model::tag::Tag;

/// A tag.
#[derive(Serialize)]
pub struct TagJson<'a> {
    // Written without an intermediate text.
    id: AsText<Id>,
    name: &'a str,
    color: &'a str,
}

impl<'a> TagJson<'a> {
    /// Returns the JSON of a tag.
    pub fn of(tag: &'a Tag) -> TagJson<'a> {
        TagJson { id: AsText(tag.id), name: &tag.name, color: &tag.color }
    }
}

/// The fields of a link that only responses have. A client that sends back a whole link sends them as well.
pub const READ_ONLY: &[&str] = &[
    "id",
    "shortCode",
    "shortUrl",
    "clickCount",
    "clicks30d",
    "lastClickAt",
    "health",
    "createdAt",
    "updatedAt",
    "tags",
    "qrCode",
    "createdBy",
];

/// A link in a list: the vendor's `Link`, with `shortUrl`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brief<'a> {
    id: String,
    short_code: &'a str,
    short_url: &'a str,
    url: String,
    title: Option<&'a str>,
    domain: &'a str,
    link_type: &'static str,
    is_active: bool,
    click_count: u64,
    created_at: String,
    tags: Vec<Tagging<'a>>,
    qr_code: &'a str,
    #[serde(flatten)]
    recent: Option<RecentJson<'a>>,
}

/// The clicks of the last days, and what checks have found. Absent in files.
#[derive(Serialize)]
struct RecentJson<'a> {
    #[serde(rename = "clicks30d")]
    clicks_30d: Option<u64>,
    #[serde(rename = "lastClickAt")]
    last_click_at: Option<String>,
    /// Absent in a workspace without checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthJson<'a>>,
}

impl<'a> RecentJson<'a> {
    fn of(recent: RecentView, health: Option<&'a HealthView>) -> RecentJson<'a> {
        let last_click_at = recent.latest.map(|latest| latest.to_string());
        RecentJson { clicks_30d: recent.clicks_30d, last_click_at, health: health.map(HealthJson::of) }
    }
}

/// What the checks of a link's destinations have found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthJson<'a> {
    status: &'static str,
    since: Option<String>,
    checked_at: Option<String>,
    url: Option<&'a str>,
    http_status: Option<u16>,
    reason: Option<&'static str>,
}

impl<'a> HealthJson<'a> {
    fn of(view: &'a HealthView) -> HealthJson<'a> {
        let health = view.health;
        HealthJson {
            status: show_health(health.map_or(HealthState::Unknown, |health| health.state)),
            since: health.map(|health| health.since.to_string()),
            checked_at: health.map(|health| health.checked_at.to_string()),
            url: view.url.as_deref(),
            http_status: health.and_then(|health| health.finding.status()),
            reason: health.map(|health| health.finding.reason()),
        }
    }
}

/// The vendor nests each tag.
#[derive(Serialize)]
struct Tagging<'a> {
    tag: TagJson<'a>,
}

impl<'a> Brief<'a> {
    /// Returns the JSON of a link in a list.
    pub fn of(view: &'a LinkView) -> Brief<'a> {
        let options = &view.link.options;
        Brief {
            id: view.link.id.to_string(),
            short_code: view.link.shown_code().as_str(),
            short_url: &view.short_url,
            // With the UTM parameters, which the vendor shows as a part of the URL (docs/decisions.md A11).
            url: options.target().as_str().to_owned(),
            title: options.title.as_deref(),
            domain: &view.domain_name,
            link_type: show_link_type(options.link_type),
            is_active: options.is_active,
            click_count: view.clicks,
            created_at: view.link.created_at.to_string(),
            tags: view.tags.iter().map(|tag| Tagging { tag: TagJson::of(tag) }).collect(),
            qr_code: &view.qr_url,
            recent: view.recent.map(|recent| RecentJson::of(recent, view.health.as_ref())),
        }
    }
}

/// A whole link.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail<'a> {
    #[serde(flatten)]
    brief: Brief<'a>,
    updated_at: String,
    description: Option<&'a str>,
    image: Option<&'a str>,
    password: Option<&'static str>,
    expires_at: Option<String>,
    max_clicks: Option<u64>,
    cloaked: bool,
    redirect_type: &'static str,
    workspace_id: &'a str,
    forward_parameters: bool,
    block_bots: bool,
    skip_social_crawler_tracking: bool,
    hide_referrer: bool,
    meta_pixel_id: Option<&'a str>,
    google_tag_id: Option<&'a str>,
    gtm_container_id: Option<&'a str>,
    head_tags: Option<&'a str>,
    body_tags: Option<&'a str>,
    webhook_urls: Option<WebhooksJson>,
    rules: Vec<RuleJson<'a>>,
    created_by: Option<Creator<'a>>,
    valid_since: Option<String>,
    expired_url: Option<&'a str>,
    forward_path: bool,
    count_bots: bool,
    count_pixel: bool,
    statistics: bool,
    confirm: bool,
    aliases: Vec<AliasJson<'a>>,
    campaign_id: Option<&'a str>,
    notes: Option<&'a str>,
}

/// The webhook URLs of a link.
#[derive(Serialize)]
#[serde(untagged)]
enum WebhooksJson {
    /// As the API shows them.
    Text(String),
    /// As they are stored.
    List(Vec<String>),
}

/// A former short URL of a link.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AliasJson<'a> {
    domain: &'a str,
    short_code: &'a str,
    short_url: &'a str,
}

impl<'a> AliasJson<'a> {
    fn of(alias: &'a AliasView) -> AliasJson<'a> {
        AliasJson { domain: &alias.domain_name, short_code: alias.code.as_str(), short_url: &alias.short_url }
    }
}

/// The API key that created a link, in the shape of the vendor's user.
#[derive(Serialize)]
struct Creator<'a> {
    id: AsText<Id>,
    name: &'a str,
    // A key has no address; the vendor's user has one.
    email: Option<()>,
}

impl<'a> Detail<'a> {
    /// Returns the JSON for a file, whose import stores each URL exactly: a comma that the API shows as `%2C` makes
    /// the webhook URLs a list.
    pub(super) fn of_export(view: &'a LinkView) -> Detail<'a> {
        let detail = Detail::of(view);
        let urls = &view.link.options.webhook_urls;
        if !urls.iter().any(|url| url.as_str().contains(',')) {
            return detail;
        }
        let urls = urls.iter().map(|url| url.as_str().to_owned()).collect();
        Detail { webhook_urls: Some(WebhooksJson::List(urls)), ..detail }
    }

    /// Returns the JSON of a whole link.
    pub fn of(view: &'a LinkView) -> Detail<'a> {
        // Every option is named, so that a new option compiles only once it is shown here. An export consists of
        // these objects: an option that is missing would be lost when a link moves.
        let Options {
            description,
            image,
            password,
            expires_at,
            max_clicks,
            cloaked,
            status,
            forward_parameters,
            block_bots,
            meta_pixel_id,
            google_tag_id,
            gtm_container_id,
            head_tags,
            body_tags,
            webhook_urls,
            valid_since,
            expired_url,
            forward_path,
            count_bots,
            skip_social_crawler_tracking,
            hide_referrer,
            count_pixel,
            statistics,
            confirm,
            campaign,
            notes,
            // By `Options::branches`.
            rules: _,
            // In the brief: `url` has the UTM parameters.
            destination: _,
            utm: _,
            title: _,
            link_type: _,
            is_active: _,
            tags: _,
        } = &view.link.options;
        Detail {
            brief: Brief::of(view),
            updated_at: view.link.updated_at.to_string(),
            description: description.as_deref(),
            image: image.as_ref().map(Destination::as_str),
            // Whether there is a password, and nothing of it.
            password: password.as_ref().map(|_| MASK),
            expires_at: expires_at.map(|at| at.to_string()),
            max_clicks: *max_clicks,
            cloaked: *cloaked,
            redirect_type: show_status(*status),
            workspace_id: view.workspace.id.as_str(),
            forward_parameters: *forward_parameters,
            block_bots: *block_bots,
            skip_social_crawler_tracking: *skip_social_crawler_tracking,
            hide_referrer: *hide_referrer,
            meta_pixel_id: meta_pixel_id.as_deref(),
            google_tag_id: google_tag_id.as_deref(),
            gtm_container_id: gtm_container_id.as_deref(),
            head_tags: head_tags.as_ref().map(Markup::as_str),
            body_tags: body_tags.as_ref().map(Markup::as_str),
            webhook_urls: show_webhooks(webhook_urls).map(WebhooksJson::Text),
            rules: view.link.options.branches().iter().map(RuleJson::of).collect(),
            created_by: view.creator.as_deref().map(|key| Creator {
                id: AsText(key.id),
                name: &key.name,
                email: None,
            }),
            valid_since: valid_since.map(|at| at.to_string()),
            expired_url: expired_url.as_ref().map(Destination::as_str),
            forward_path: *forward_path,
            count_bots: *count_bots,
            count_pixel: *count_pixel,
            statistics: *statistics,
            confirm: *confirm,
            aliases: view.aliases.iter().map(AliasJson::of).collect(),
            campaign_id: campaign.as_ref().map(ForeignId::as_str),
            notes: notes.as_deref(),
        }
    }
}
