//! Clicks as a file of comma-separated values, as the API answers them.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};

use crate::http::admin::page_error::PageError;
use crate::http::admin::page_request::{PageRequest, query_of};
use crate::http::api::in_process::bytes_of;
use crate::http::body::{Content, HttpResponse};

/// The groupings that the page offers.
pub(super) const GROUPS: [(&str, &str); 12] = [
    ("time,link", "Time and link"),
    ("link", "Link"),
    ("time", "Time"),
    ("referrer", "Referrer"),
    ("country", "Country"),
    ("device", "Device"),
    ("browser", "Browser"),
    ("os", "System"),
    ("language", "Language"),
    ("tag", "Tag"),
    ("campaign", "Campaign"),
    ("utmCampaign", "UTM campaign"),
];

/// The times that the page offers.
pub(super) const INTERVALS: [(&str, &str); 6] = [
    ("30d", "30 days"),
    ("7d", "7 days"),
    ("90d", "90 days"),
    ("365d", "365 days"),
    ("12mo", "12 months"),
    ("all", "All time"),
];

/// The parameters that are those of the API.
const PARAMETERS: [&str; 6] = ["groupBy", "interval", "granularity", "timezone", "from", "to"];

/// Returns the file.
pub(in crate::http::admin) async fn file(request: &PageRequest<'_>) -> Result<HttpResponse, PageError> {
    let given: Vec<(&str, String)> =
        PARAMETERS.iter().filter_map(|name| Some((*name, request.param(name)?))).collect();
    let mut pairs: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // With the mark by which Excel knows UTF-8.
    pairs.extend([("format", "csv"), ("bom", "true")]);
    let reply = request.get("/api/v1/analytics", &query_of(&pairs)).await?;
    let (kind, bytes) = bytes_of(&reply);
    let mut response = Response::new(Content::from(Bytes::from(bytes)));
    let headers = response.headers_mut();
    request.frame.protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"clicks.csv\""));
    Ok(response)
}
