//! Responses in Linquid's dialect. A link has the keys of the vendor's current pages, in their order. A single
//! link has some keys of the older pages as well.

use std::borrow::Cow;

use serde::Serialize;

use super::campaigns as campaign_ids;
use super::links::PREFIX;
use super::paging::Pagination;
use crate::http::api::dialect::{Body, CampaignPage, CampaignView, LinkView, Page};
use crate::model::id::Id;

/// Renders a created link.
pub(super) fn created_link(link: &LinkView) -> Body {
    Body::created(&data_body(LinkData::of(link)))
}

/// Renders a single link.
pub(super) fn link(link: &LinkView) -> Body {
    Body::ok(&data_body(FullLinkData::of(link)))
}

/// Renders a page of links.
pub(super) fn links(page: &Page) -> Body {
    let data: Vec<_> = page.links.iter().map(LinkData::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    Body::ok(&DataBody { success: true, data, pagination })
}

/// Renders the id of a deleted link.
pub(super) fn deleted(id: &Id) -> Body {
    deleted_body(link_id(*id))
}

/// Renders the id of a deleted object.
pub(super) fn deleted_body(id: String) -> Body {
    Body::ok(&data_body(Deleted { id, deleted: true }))
}

/// Renders a created campaign.
pub(super) fn created_campaign(campaign: &CampaignView) -> Body {
    Body::created(&data_body(CampaignData::of(campaign)))
}

/// Renders a campaign.
pub(super) fn campaign(campaign: &CampaignView) -> Body {
    Body::ok(&data_body(CampaignData::of(campaign)))
}

/// Renders a page of campaigns.
pub(super) fn campaigns(page: &CampaignPage) -> Body {
    let data: Vec<_> = page.campaigns.iter().map(CampaignData::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    Body::ok(&DataBody { success: true, data, pagination })
}

#[derive(Serialize)]
pub(super) struct DataBody<T> {
    pub(super) success: bool,
    pub(super) data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pagination: Option<Pagination>,
}

/// Wraps one object.
pub(super) fn data_body<T>(data: T) -> DataBody<T> {
    DataBody { success: true, data, pagination: None }
}

fn link_id(id: Id) -> String {
    // Always added: unlike the id of a campaign, that of a link is never imported with its prefix.
    format!("{PREFIX}{id}")
}

#[derive(Serialize)]
struct Deleted {
    id: String,
    deleted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkData<'a> {
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

impl<'a> LinkData<'a> {
    fn of(view: &'a LinkView) -> LinkData<'a> {
        let options = &view.link.options;
        LinkData {
            id: link_id(view.link.id),
            short_code: view.link.shown_code().as_str(),
            short_url: &view.short_url,
            destination_url: options.target().as_str().to_owned(),
            title: options.title.as_deref(),
            campaign_id: options.campaign.as_ref().map(campaign_ids::show),
            enabled: options.is_active,
            // No response shows a password or its hash.
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
struct FullLinkData<'a> {
    // First, so that the keys of the current pages keep their order.
    #[serde(flatten)]
    link: LinkData<'a>,
    description: Option<&'a str>,
    domain_id: String,
    clicks: u64,
}

impl<'a> FullLinkData<'a> {
    fn of(view: &'a LinkView) -> FullLinkData<'a> {
        FullLinkData {
            link: LinkData::of(view),
            description: view.link.options.description.as_deref(),
            domain_id: view.domain.id.to_string(),
            clicks: view.clicks,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CampaignData<'a> {
    id: Cow<'a, str>,
    name: &'a str,
    created_at: String,
    updated_at: String,
}

impl<'a> CampaignData<'a> {
    fn of(view: &'a CampaignView) -> CampaignData<'a> {
        let campaign = &view.campaign;
        CampaignData {
            id: campaign_ids::show(&campaign.id),
            name: &campaign.name,
            created_at: campaign.created_at.to_string(),
            updated_at: campaign.updated_at.to_string(),
        }
    }
}
