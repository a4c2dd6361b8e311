//! Answers in Linquid's dialect. A link has the keys of the vendor's current pages, in their order;
//! one read or changed by itself has some of the older pages' beside them.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::Serialize;

use super::links::PREFIX;
use super::{campaigns, failure};
use crate::http::api::dialect::{CampaignPage, CampaignView, LinkView, Outcome, Page, Reply, Trouble};
use crate::model::id::Id;

/// Bytes of anything that serializes.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are strings and no serializer here fails")
}

pub(super) fn reply(reply: &Reply) -> (StatusCode, Vec<u8>) {
    match reply {
        Reply::Made(Outcome::Link(link), _) => (StatusCode::CREATED, data(LinkJson::of(link))),
        Reply::Made(Outcome::Campaign(campaign), _) => {
            (StatusCode::CREATED, data(CampaignJson::of(campaign)))
        }
        Reply::Link(link) => (StatusCode::OK, data(FullLink::of(link))),
        Reply::Links(page) => (StatusCode::OK, links(page)),
        Reply::LinkDeleted(id) => (StatusCode::OK, data(Deleted { id: link_id(*id), deleted: true })),
        Reply::Campaign(campaign) => (StatusCode::OK, data(CampaignJson::of(campaign))),
        Reply::Campaigns(page) => (StatusCode::OK, campaign_list(page)),
        // No endpoint here asks for anything else.
        _ => failure::render(&Trouble::Internal.into()),
    }
}

#[derive(Serialize)]
struct Body<T> {
    success: bool,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

fn data(data: impl Serialize) -> Vec<u8> {
    json(&Body { success: true, data, pagination: None })
}

/// The keys of both generations of the vendor's pages (DECISIONS 17).
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

fn links(page: &Page) -> Vec<u8> {
    let data: Vec<_> = page.links.iter().map(LinkJson::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    json(&Body { success: true, data, pagination })
}

fn campaign_list(page: &CampaignPage) -> Vec<u8> {
    let data: Vec<_> = page.campaigns.iter().map(CampaignJson::of).collect();
    let pagination = Some(Pagination::new(page.total, page.page, page.limit));
    json(&Body { success: true, data, pagination })
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
            campaign_id: options.campaign.as_ref().map(campaigns::show),
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
            id: campaigns::show(&campaign.id),
            name: &campaign.name,
            created_at: campaign.created_at.to_string(),
            updated_at: campaign.updated_at.to_string(),
        }
    }
}
