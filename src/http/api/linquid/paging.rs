//! Pages of lists: the query that asks for one, and the pagination in its response.

use serde::Serialize;

use crate::http::api::dialect::{LIMIT_DEFAULT, LIMIT_MAX, Paging};
use crate::http::api::query::Query;
use crate::json::Mistyped;

/// Highest page number: a page costs what it skips.
const PAGE_MAX: u64 = 1_000_000_000;

/// Reads `page` and `limit` of a list.
pub(super) fn paging(query: &Query<'_>) -> Result<Paging, Mistyped> {
    let page = query.number("page", 1, PAGE_MAX)?.unwrap_or(1);
    // A larger `limit` is an error: a client would take a shorter page for the last one.
    let limit = query.number("limit", 1, LIMIT_MAX as u64)?.map(usize::try_from);
    Ok(Paging { page, limit: limit.and_then(Result::ok).unwrap_or(LIMIT_DEFAULT) })
}

/// The keys of both generations of the vendor's pages (docs/decisions.md A17).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pagination {
    total: u64,
    page: u64,
    limit: usize,
    has_more: bool,
    total_pages: u64,
}

impl Pagination {
    /// Returns the pagination of one page.
    pub(super) fn new(total: u64, page: u64, limit: usize) -> Pagination {
        let total_pages = total.div_ceil(limit.max(1) as u64);
        Pagination { total, page, limit, has_more: page < total_pages, total_pages }
    }
}
