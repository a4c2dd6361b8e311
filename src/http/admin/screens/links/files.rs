//! Files of links: `links.csv` and `links.jsonl` with the filters of the list.

use std::collections::HashMap;

use hyper::Response;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use super::list::FILTERS;
use crate::http::admin::link_files::{LinkFile, LinkFileKind};
use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::dialect::Reply;
use crate::http::body::{Content, HttpResponse};

/// Returns all links that pass the filters of the address.
pub(in crate::http::admin) async fn of_list(
    request: &PageRequest<'_>,
    kind: LinkFileKind,
) -> Result<HttpResponse, PageError> {
    let given: Vec<(&str, String)> =
        FILTERS.iter().filter_map(|name| Some((*name, request.param(name)?))).collect();
    let pairs: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let content = LinkFile::begin(request, query_of(&pairs), kind).await?;
    Ok(file(request, content, kind))
}

/// Returns the links with these ids. One that was deleted in between is left out.
pub(super) async fn of_checked(request: &PageRequest<'_>, ids: &[String]) -> Result<HttpResponse, PageError> {
    let Reply::Campaigns(all) = request.get("/api/v1/campaigns", "").await? else {
        return Err(PageError::Internal);
    };
    let campaigns: HashMap<String, String> = all
        .campaigns
        .iter()
        .map(|view| (view.campaign.id.as_str().to_owned(), view.campaign.name.to_string()))
        .collect();
    let mut links = Vec::new();
    // At most as many as a form may name.
    for id in ids {
        if let Ok(Reply::Link(view)) = request.get(&format!("/api/v1/links/{id}"), "").await {
            links.push(*view);
        }
    }
    let content = Content::from(bytes::Bytes::from(LinkFile::of_some(&links, &campaigns)));
    Ok(file(request, content, LinkFileKind::Csv))
}

fn file(request: &PageRequest<'_>, content: Content, kind: LinkFileKind) -> HttpResponse {
    let (media_type, disposition) = match kind {
        LinkFileKind::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"links.csv\""),
        LinkFileKind::Lines => ("application/x-ndjson", "attachment; filename=\"links.jsonl\""),
    };
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    request.frame.protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    response
}
