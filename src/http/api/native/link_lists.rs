//! Lists and bulks of links in the native dialect. The JSON of a link itself is defined in `formats`.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::cursors;
use crate::clock::Timestamp;
use crate::formats::waypost::link_json::Brief;
use crate::formats::waypost::rule_json::RuleJson;
use crate::http::api::dialect::{BulkView, FailedRow, LinkView, Page};
use crate::json::AsText;
use crate::model::id::Id;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing<'a> {
    links: Vec<ListedLink<'a>>,
    total: u64,
    page: u64,
    limit: usize,
    total_pages: u64,
    next_cursor: Option<String>,
    /// `true` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<bool>,
}

/// A link in a list, with the fields that decide whether and where it redirects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedLink<'a> {
    #[serde(flatten)]
    brief: Brief<'a>,
    valid_since: Option<AsText<Timestamp>>,
    expires_at: Option<AsText<Timestamp>>,
    max_clicks: Option<u64>,
    rules: Vec<RuleJson<'a>>,
}

impl<'a> ListedLink<'a> {
    fn of(view: &'a LinkView) -> ListedLink<'a> {
        let options = &view.link.options;
        ListedLink {
            brief: Brief::of(view),
            valid_since: options.valid_since.map(AsText),
            expires_at: options.expires_at.map(AsText),
            max_clicks: options.max_clicks,
            rules: options.branches().iter().map(RuleJson::of).collect(),
        }
    }
}

impl<'a> Listing<'a> {
    pub(super) fn of(page: &'a Page) -> Listing<'a> {
        Listing {
            links: page.links.iter().map(ListedLink::of).collect(),
            total: page.total,
            page: page.page,
            limit: page.limit,
            // A `limit` is at least 1. The bound here only excludes a division by zero.
            total_pages: page.total.div_ceil(page.limit.max(1) as u64),
            next_cursor: page.next.as_ref().and_then(|next| cursors::text(next, page.sort)),
            // Not a key of the vendor, so it is absent unless it is true.
            incomplete: page.incomplete.then_some(true),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkJson<'a> {
    created: usize,
    active_count: usize,
    pending_count: usize,
    failed: FailedRows<'a>,
    links: Vec<BulkLink<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkLink<'a> {
    id: AsText<Id>,
    short_code: &'a str,
    short_url: &'a str,
    url: String,
    domain: &'a str,
    pending_verification: bool,
    /// As beside the link of a single creation.
    // Not a key of the vendor, so it is absent where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl<'a> BulkJson<'a> {
    pub(super) fn of(bulk: &'a BulkView) -> BulkJson<'a> {
        let (idle, _) = bulk.idle_rules();
        let links: Vec<_> = bulk
            .links
            .iter()
            .zip(idle)
            .map(|(view, warnings)| BulkLink {
                id: AsText(view.link.id),
                short_code: view.link.shown_code().as_str(),
                short_url: &view.short_url,
                url: view.link.options.target().as_str().to_owned(),
                domain: &view.domain_name,
                // A domain that exists can be used at once. The vendor's clients read the key.
                pending_verification: false,
                warnings,
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

/// The rows that created no link. `row` is the index in the array of the request.
struct FailedRows<'a>(&'a [FailedRow]);

impl Serialize for FailedRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|failed| FailedJson {
            row: failed.row,
            short_code: failed.code.as_deref(),
            reason: in_own_words(&failed.reason),
        }))
    }
}

/// Returns the reason of a row in the words of this dialect: the model's `shortCode` is `customSlug` here.
fn in_own_words(reason: &str) -> Cow<'_, str> {
    // Stored as text, for a repetition with the same idempotency key.
    match reason.strip_prefix("shortCode: ") {
        Some(rule) => format!("customSlug: {rule}").into(),
        None => reason.into(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedJson<'a> {
    row: usize,
    short_code: Option<&'a str>,
    reason: Cow<'a, str>,
}
