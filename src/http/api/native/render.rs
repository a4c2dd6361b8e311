//! Answers in the native dialect. `LinkDetail` has every key of the vendor's, those without
//! meaning here at their empty value, then ours.

use std::fmt::Display;

use hyper::StatusCode;
use serde::{Serialize, Serializer};

use super::campaigns::CampaignJson;
use super::fields::{show_link_type, show_status};
use super::links::MASK;
use super::render_explain::ExplanationJson;
use super::render_places::{CompanyJson, DomainJson, KeyJson, TagJson, WorkspaceJson};
use super::render_snapshots::{ImportJson, ShareJson, SnapshotJson, is_pending};
use super::render_webhooks::{DeliveryJson, SecretJson};
use crate::http::api::dialect::{Body, BulkView, Created, FailedRow, LinkView, Page, Reply};
use crate::model::destination::Destination;
use crate::model::id::{ForeignId, Id};
use crate::model::link::Options;

/// Bytes of anything that serializes.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and no serializer here fails")
}

pub(super) fn reply(reply: &Reply) -> Body {
    Body::ok(match reply {
        Reply::Made(outcome, secret) => {
            let is_pending = matches!(outcome, Created::Import(view) if is_pending(view));
            let status = if is_pending { StatusCode::ACCEPTED } else { StatusCode::CREATED };
            return Body::json(status, made(outcome, secret.as_deref()));
        }
        Reply::Link(link) | Reply::Changed(link) => named("link", &Detail::of(link)),
        Reply::Links(page) => json(&Listing::of(page)),
        Reply::Explained(explanation) => named("explain", &ExplanationJson::of(explanation)),
        Reply::Deliveries(all) => all_named("deliveries", all, DeliveryJson::of),
        Reply::Rendered(rendered) => json(&RenderedJson { text: &rendered.text, unknown: &rendered.unknown }),
        Reply::Tags(all) => all_named("tags", all, TagJson::of),
        Reply::Tag(tag) => named("tag", &TagJson::of(tag)),
        Reply::Campaigns(page) => all_named("campaigns", &page.campaigns, CampaignJson::of),
        Reply::Campaign(campaign) => named("campaign", &CampaignJson::of(campaign)),
        Reply::Domains(all) => all_named("domains", all, DomainJson::of),
        Reply::Domain(domain) => named("domain", &DomainJson::of(domain)),
        Reply::Workspaces(all) => all_named("workspaces", all, WorkspaceJson::of),
        Reply::Workspace(workspace) => named("workspace", &WorkspaceJson::of(workspace)),
        Reply::Companies(all) => all_named("companies", all, CompanyJson::of),
        Reply::Keys(all) => all_named("keys", all, |key| KeyJson::of(key, None)),
        Reply::WebhookSecret(secret) => named("webhookSecret", &SecretJson::of(secret)),
        Reply::Snapshots(all) => all_named("snapshots", all, SnapshotJson::of),
        Reply::Snapshot(snapshot) => named("snapshot", &SnapshotJson::of(snapshot)),
        Reply::Import(import) => named("import", &ImportJson::of(import)),
        Reply::Imports(all) => all_named("imports", all, ImportJson::of),
        Reply::LinkDeleted(_) | Reply::Done => named("success", &true),
    })
}

fn made(outcome: &Created, secret: Option<&str>) -> Vec<u8> {
    match outcome {
        Created::Link(link) => named("link", &Detail::of(link)),
        Created::Bulk(bulk) => json(&BulkJson::of(bulk)),
        Created::Tag(tag) => named("tag", &TagJson::of(tag)),
        Created::Domain(domain) => named("domain", &DomainJson::of(domain)),
        Created::Workspace(workspace) => named("workspace", &WorkspaceJson::of(workspace)),
        Created::Company(company) => named("company", &CompanyJson::of(company)),
        Created::Key(key) => named("key", &KeyJson::of(key, secret)),
        Created::WebhookSecret(secret) => named("webhookSecret", &SecretJson::of(secret)),
        Created::Campaign(campaign) => named("campaign", &CampaignJson::of(campaign)),
        Created::Snapshot(snapshot) => named("snapshot", &SnapshotJson::of(snapshot)),
        Created::Share(share) => named("share", &ShareJson::of(share)),
        Created::Import(import) => named("import", &ImportJson::of(import)),
    }
}

/// One object by its singular.
fn named(name: &str, value: &impl Serialize) -> Vec<u8> {
    json(&std::collections::BTreeMap::from([(name, value)]))
}

/// A list by its plural.
fn all_named<'a, T, J: Serialize>(name: &str, all: &'a [T], show: impl Fn(&'a T) -> J) -> Vec<u8> {
    named(name, &all.iter().map(show).collect::<Vec<_>>())
}

/// An id or instant as its text.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A text with its merge fields filled in.
#[derive(Serialize)]
struct RenderedJson<'a> {
    text: &'a str,
    unknown: &'a [String],
}

/// A link in a list: the vendor's `Link`, with our `shortUrl`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Brief<'a> {
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
    qr_code: Option<()>,
}

/// The vendor nests each tag.
#[derive(Serialize)]
struct Tagging<'a> {
    tag: TagJson<'a>,
}

impl<'a> Brief<'a> {
    fn of(view: &'a LinkView) -> Brief<'a> {
        let options = &view.link.options;
        Brief {
            id: view.link.id.to_string(),
            short_code: view.link.code.as_str(),
            short_url: &view.short_url,
            url: options.target().as_str().to_owned(),
            title: options.title.as_deref(),
            domain: &view.domain_name,
            link_type: show_link_type(options.link_type),
            is_active: options.is_active,
            click_count: view.clicks,
            created_at: view.link.created_at.to_string(),
            tags: view.tags.iter().map(|tag| Tagging { tag: TagJson::of(tag) }).collect(),
            qr_code: None,
        }
    }
}

/// A whole link: the vendor's `LinkDetail`, then ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
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
    gtm_container_id: Option<()>,
    head_tags: Option<()>,
    body_tags: Option<()>,
    webhook_urls: Option<String>,
    rules: [(); 0],
    created_by: Option<Creator<'a>>,
    valid_since: Option<String>,
    expired_url: Option<&'a str>,
    forward_path: bool,
    count_bots: bool,
    campaign_id: Option<&'a str>,
    notes: Option<&'a str>,
}

/// The key that made a link, in the shape of the vendor's user.
#[derive(Serialize)]
struct Creator<'a> {
    id: Text<Id>,
    name: &'a str,
    email: Option<()>,
}

impl<'a> Detail<'a> {
    /// Every option is named, so that a new one does not compile until it is shown here. An export is made
    /// of these objects, so an option that is missing would be lost when a link moves.
    pub(super) fn of(view: &'a LinkView) -> Detail<'a> {
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
            webhook_urls,
            valid_since,
            expired_url,
            forward_path,
            count_bots,
            campaign,
            notes,
            // In the brief: `url` has the UTM parameters.
            destination: _,
            utm: _,
            title: _,
            link_type: _,
            is_active: _,
            tags: _,
        } = &view.link.options;
        let webhooks: Vec<_> = webhook_urls.iter().map(Destination::as_str).collect();
        Detail {
            brief: Brief::of(view),
            updated_at: view.link.updated_at.to_string(),
            description: description.as_deref(),
            image: image.as_ref().map(Destination::as_str),
            password: password.as_ref().map(|_| MASK),
            expires_at: expires_at.map(|at| at.to_string()),
            max_clicks: *max_clicks,
            cloaked: *cloaked,
            redirect_type: show_status(*status),
            workspace_id: view.workspace.id.as_str(),
            forward_parameters: *forward_parameters,
            block_bots: *block_bots,
            skip_social_crawler_tracking: false,
            hide_referrer: false,
            meta_pixel_id: meta_pixel_id.as_deref(),
            google_tag_id: google_tag_id.as_deref(),
            gtm_container_id: None,
            head_tags: None,
            body_tags: None,
            webhook_urls: (!webhooks.is_empty()).then(|| webhooks.join(",")),
            rules: [],
            created_by: view.creator.as_deref().map(|key| Creator {
                id: Text(key.id),
                name: &key.name,
                email: None,
            }),
            valid_since: valid_since.map(|at| at.to_string()),
            expired_url: expired_url.as_ref().map(Destination::as_str),
            forward_path: *forward_path,
            count_bots: *count_bots,
            campaign_id: campaign.as_ref().map(ForeignId::as_str),
            notes: notes.as_deref(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    links: Vec<Brief<'a>>,
    total: u64,
    page: u64,
    limit: usize,
    total_pages: u64,
    next_cursor: Option<Text<Id>>,
    /// `true` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

impl<'a> Listing<'a> {
    fn of(page: &'a Page) -> Listing<'a> {
        Listing {
            links: page.links.iter().map(Brief::of).collect(),
            total: page.total,
            page: page.page,
            limit: page.limit,
            total_pages: page.total.div_ceil(page.limit.max(1) as u64),
            next_cursor: page.next.map(Text),
            incomplete: page.incomplete.then_some(true),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkJson<'a> {
    created: usize,
    active_count: usize,
    pending_count: usize,
    failed: FailedRows<'a>,
    links: Vec<BulkLink<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkLink<'a> {
    id: Text<Id>,
    short_code: &'a str,
    short_url: &'a str,
    url: String,
    domain: &'a str,
    pending_verification: bool,
}

impl<'a> BulkJson<'a> {
    fn of(bulk: &'a BulkView) -> BulkJson<'a> {
        let links: Vec<_> = bulk
            .links
            .iter()
            .map(|view| BulkLink {
                id: Text(view.link.id),
                short_code: view.link.code.as_str(),
                short_url: &view.short_url,
                url: view.link.options.target().as_str().to_owned(),
                domain: &view.domain_name,
                pending_verification: false,
            })
            .collect();
        BulkJson {
            created: links.len(),
            active_count: links.len(),
            pending_count: 0,
            failed: FailedRows(&bulk.failed),
            links,
        }
    }
}

/// Rows that made no link; `row` counts from 0, as the array sent does.
struct FailedRows<'a>(&'a [FailedRow]);

impl Serialize for FailedRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|failed| FailedJson {
            row: failed.row,
            short_code: failed.code.as_deref(),
            reason: &failed.reason,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedJson<'a> {
    row: usize,
    short_code: Option<&'a str>,
    reason: &'a str,
}
