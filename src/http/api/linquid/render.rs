//! Answers in Linquid's dialect. A link has the keys of the vendor's current pages, in their order;
//! one read or changed by itself has some of the older pages' beside them.

use std::borrow::Cow;

use serde::Serialize;

use super::campaigns as campaign_ids;
use super::links::PREFIX;
use crate::http::api::dialect::{Body, CampaignPage, CampaignView, LinkView, Page};
use crate::model::id::Id;

/// Bytes of anything that serializes.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and no serializer here fails")
}

/// A link that was created.
pub(super) fn created_link(link: &LinkView) -> Body {
    Body::created(data(LinkJson::of(link)))
}

/// A link by itself.
pub(super) fn link(link: &LinkView) -> Body {
    Body::ok(data(FullLink::of(link)))
}

/// A page of links.
pub(super) fn links(page: &Page) -> Body {
    let data: Vec<_> = page.links.iter().map(LinkJson::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    Body::ok(json(&Envelope { success: true, data, pagination }))
}

/// The id of a link that was deleted.
pub(super) fn deleted(id: &Id) -> Body {
    Body::ok(data(Deleted { id: link_id(*id), deleted: true }))
}

/// A campaign that was created.
pub(super) fn created_campaign(campaign: &CampaignView) -> Body {
    Body::created(data(CampaignJson::of(campaign)))
}

/// A campaign.
pub(super) fn campaign(campaign: &CampaignView) -> Body {
    Body::ok(data(CampaignJson::of(campaign)))
}

/// A page of campaigns.
pub(super) fn campaigns(page: &CampaignPage) -> Body {
    let data: Vec<_> = page.campaigns.iter().map(CampaignJson::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    Body::ok(json(&Envelope { success: true, data, pagination }))
}

#[derive(Serialize)]
struct Envelope<T> {
    success: bool,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

fn data(data: impl Serialize) -> Vec<u8> {
    json(&Envelope { success: true, data, pagination: None })
}

/// The keys of both generations of the vendor's pages (docs/decisions.md A17).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    total: u64,
    page: u64,
    limit: usize,
    has_more: bool,
    total_pages: u64,
}

impl Pagination {
    fn new(total: u64, page: u64, limit: usize) -> Pagination {
        let total_pages = total.div_ceil(limit.max(1) as u64);
        Pagination { total, page, limit, has_more: page < total_pages, total_pages }
    }
}

fn link_id(id: Id) -> String {
    format!("{PREFIX}{id}")
}

#[derive(Serialize)]
struct Deleted {
    id: String,
    deleted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkJson<'a> {
    id: String,
    short_code: &'a str,
    short_url: &'a str,
    destination_url: String,
    title: Option<&'a str>,
    campaign_id: Option<Cow<'a, str>>,
    enabled: bool,
    password_protected: bool,
    expires_at: Option<String>,
    clicks_limit: Option<u64>,
    tags: Vec<&'a str>,
    created_at: String,
    updated_at: String,
}

impl<'a> LinkJson<'a> {
    fn of(view: &'a LinkView) -> LinkJson<'a> {
        let options = &view.link.options;
        LinkJson {
            id: link_id(view.link.id),
            short_code: view.link.code.as_str(),
            short_url: &view.short_url,
            destination_url: options.target().as_str().to_owned(),
            title: options.title.as_deref(),
            campaign_id: options.campaign.as_ref().map(campaign_ids::show),
            enabled: options.is_active,
            password_protected: options.password.is_some(),
            expires_at: options.expires_at.map(|at| at.to_string()),
            clicks_limit: options.max_clicks,
            tags: view.tags.iter().map(|tag| &*tag.name).collect(),
            created_at: view.link.created_at.to_string(),
            updated_at: view.link.updated_at.to_string(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FullLink<'a> {
    #[serde(flatten)]
    link: LinkJson<'a>,
    description: Option<&'a str>,
    domain_id: String,
    clicks: u64,
}

impl<'a> FullLink<'a> {
    fn of(view: &'a LinkView) -> FullLink<'a> {
        FullLink {
            link: LinkJson::of(view),
            description: view.link.options.description.as_deref(),
            domain_id: view.domain.id.to_string(),
            clicks: view.clicks,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CampaignJson<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    created_at: String,
    updated_at: String,
}

impl<'a> CampaignJson<'a> {
    fn of(view: &'a CampaignView) -> CampaignJson<'a> {
        let campaign = &view.campaign;
        CampaignJson {
            id: campaign_ids::show(&campaign.id),
            name: &campaign.name,
            created_at: campaign.created_at.to_string(),
            updated_at: campaign.updated_at.to_string(),
        }
    }
}
