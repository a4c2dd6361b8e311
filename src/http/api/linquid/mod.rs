//! Linquid's dialect: links and campaigns under `/api`, as the second generation of its pages has
//! them (docs/decisions.md A16-A18). Answers are `{"success": true, "data": ...}`, refusals
//! `{"success": false, "error": {"code", "message"}}`.
//!
//! Ids are printed with the kind before them (`link_`, `camp_`) and read with it or without. What
//! the vendor's older pages have beyond that is accepted where it means something here
//! (`description`, `enabled` on create, a short code in place of an id), else ignored.

mod campaigns;
mod error;
mod links;
mod render;

use crate::http::api::dialect::{
    ApiError, Body, BodyKind, Command, Dialect, Endpoint, LIMIT_DEFAULT, LIMIT_MAX, Paging, endpoint, object,
    read, show, write,
};
use crate::http::api::json::Mistyped;
use crate::http::api::query::Query;

/// Highest page number: pages cost what they skip.
const PAGE_MAX: u64 = 1_000_000_000;

/// The dialect.
pub(super) struct Linquid;

impl Dialect for Linquid {
    fn name(&self) -> &'static str {
        "linquid"
    }

    fn claims(&self, path: &str) -> bool {
        ["/api/links", "/api/campaigns"]
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    fn failure(&self, failure: &ApiError) -> Body {
        error::render(failure)
    }
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/api/links", BodyKind::Plain, links::create, |reply| show(reply, render::created_link)),
    endpoint("GET", "/api/links", BodyKind::None, links::list, |reply| show(reply, render::links)),
    endpoint("GET", "/api/links/{id}", BodyKind::None, links::get, |reply| show(reply, render::link)),
    endpoint("PATCH", "/api/links/{id}", BodyKind::Plain, links::update, |reply| show(reply, render::link)),
    endpoint("DELETE", "/api/links/{id}", BodyKind::None, |call| read(call, Command::DeleteLink(links::id(call)?)), |reply| show(reply, render::deleted)),
    endpoint("POST", "/api/campaigns", BodyKind::Plain, campaigns::create, |reply| show(reply, render::created_campaign)),
    endpoint("GET", "/api/campaigns", BodyKind::None, |call| read(call, Command::Campaigns(Some(paging(&call.query)?))), |reply| show(reply, render::campaigns)),
    endpoint("GET", "/api/campaigns/{id}", BodyKind::None, |call| read(call, Command::Campaign(campaigns::id(call)?)), |reply| show(reply, render::campaign)),
    endpoint("PATCH", "/api/campaigns/{id}", BodyKind::Plain, campaigns::update, |reply| show(reply, render::campaign)),
];

/// `page` and `limit` of a list.
fn paging(query: &Query<'_>) -> Result<Paging, Mistyped> {
    let page = query.number("page", 1, PAGE_MAX)?.unwrap_or(1);
    let limit = query.number("limit", 1, LIMIT_MAX as u64)?.map(usize::try_from);
    Ok(Paging { page, limit: limit.and_then(Result::ok).unwrap_or(LIMIT_DEFAULT) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::api::dialect::RequestParts;

    #[test]
    fn claims_its_own_paths_only() {
        for (path, claimed) in [
            ("/api/links", true),
            ("/api/links/", true),
            ("/api/links/x/y", true),
            ("/api/campaigns", true),
            ("/api/linksx", false),
            ("/api/v1/links", false),
            ("/links", false),
        ] {
            assert_eq!(Linquid.claims(path), claimed, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in "\\PC{0,80}|\\{(\"(destinationUrl|shortCode|tags|campaignId|expiresAt|name|id)\":(1|null|\"x\"|\\[\\]|\\{\\}),?){0,4}\\}", id in "(link_|camp_)?[a-zA-Z0-9%]{0,24}", query in "\\PC{0,40}") {
            for endpoint in Linquid.endpoints() {
                let call = RequestParts { id: &id, query: Query::parse(Some(&query)), body: body.as_bytes() };
                let _ = (endpoint.parse)(&call);
            }
        }
    }
}
