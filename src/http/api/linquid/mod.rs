//! Linquid's dialect: links, their rules, campaigns and statistics under `/api`, as the second generation of the vendor's pages defines
//! them (docs/decisions.md A16-A18). Responses are `{"success": true, "data": ...}`, errors
//! `{"success": false, "error": {"code", "message"}}`.
//!
//! Ids are shown with a prefix (`link_`, `camp_`) and accepted with or without it. Fields of the vendor's older
//! pages are accepted where they have a meaning here (`description`, `enabled` on create, a short code in place
//! of an id), and ignored otherwise.

mod analytics;
mod campaigns;
mod error;
mod links;
mod paging;
mod render;
mod rules;

use crate::http::api::dialect::{
    ApiError, Body, BodyKind, Command, Dialect, Endpoint, QueryWarnings, endpoint, read, show,
};

/// The dialect.
pub(super) struct Linquid;

impl Dialect for Linquid {
    fn name(&self) -> &'static str {
        "linquid"
    }

    fn claims(&self, path: &str) -> bool {
        ["/api/links", "/api/rules", "/api/campaigns", "/api/analytics"]
            .iter()
            // A whole segment: `/api/linksx` is no path of the vendor.
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    fn endpoints(&self) -> &'static [Endpoint] {
        ENDPOINTS
    }

    fn error(&self, error: &ApiError) -> Body {
        error::render(error)
    }

    fn query_warnings(&self) -> QueryWarnings {
        QueryWarnings::InHeader
    }
}

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("POST", "/api/links", BodyKind::Plain, links::create, |reply| show(reply, render::created_link)),
    endpoint("GET", "/api/links", BodyKind::None, links::list, |reply| show(reply, render::links)),
    endpoint("GET", "/api/links/{id}", BodyKind::None, links::get, |reply| show(reply, render::link)),
    endpoint("PATCH", "/api/links/{id}", BodyKind::Plain, links::update, |reply| show(reply, render::link)),
    endpoint("DELETE", "/api/links/{id}", BodyKind::None, |request| read(request, Command::DeleteLink(links::id_to_change(request)?)), |reply| show(reply, render::deleted)),
    endpoint("POST", "/api/rules", BodyKind::Plain, rules::create, |reply| show(reply, rules::render::created)),
    endpoint("GET", "/api/rules", BodyKind::None, rules::list, |reply| show(reply, rules::render::page)),
    endpoint("GET", "/api/rules/{ruleId}", BodyKind::None, rules::get, |reply| show(reply, rules::render::rule)),
    endpoint("PUT", "/api/rules/{ruleId}", BodyKind::Plain, rules::update, |reply| show(reply, rules::render::rule)),
    // The method of the vendor's older pages.
    endpoint("PATCH", "/api/rules/{ruleId}", BodyKind::Plain, rules::update, |reply| show(reply, rules::render::rule)),
    endpoint("DELETE", "/api/rules/{ruleId}", BodyKind::None, rules::delete, |reply| show(reply, rules::render::deleted)),
    endpoint("POST", "/api/campaigns", BodyKind::Plain, campaigns::create, |reply| show(reply, render::created_campaign)),
    endpoint("GET", "/api/campaigns", BodyKind::None, campaigns::list, |reply| show(reply, render::campaigns)),
    endpoint("GET", "/api/campaigns/{id}", BodyKind::None, |request| read(request, Command::Campaign(campaigns::id(request)?)), |reply| show(reply, render::campaign)),
    endpoint("PATCH", "/api/campaigns/{id}", BodyKind::Plain, campaigns::update, |reply| show(reply, render::campaign)),
    // Before `{linkId}`: the vendor's word, which is no id.
    endpoint("GET", "/api/analytics/workspace/{what}", BodyKind::None, analytics::of_workspace, |reply| show(reply, analytics::render)),
    endpoint("GET", "/api/analytics/{linkId}/{what}", BodyKind::None, analytics::of_link, |reply| show(reply, analytics::render)),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::api::dialect::RequestParts;
    use crate::http::api::query::Query;

    #[test]
    fn claims_its_own_paths_only() {
        for (path, claimed) in [
            ("/api/links", true),
            ("/api/links/", true),
            ("/api/links/x/y", true),
            ("/api/campaigns", true),
            ("/api/rules/rule_x", true),
            ("/api/analytics/workspace/overview", true),
            ("/api/linksx", false),
            ("/api/v1/links", false),
            ("/links", false),
        ] {
            assert_eq!(Linquid.claims(path), claimed, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in "\\PC{0,80}|\\{(\"(destinationUrl|shortCode|tags|campaignId|expiresAt|name|id|linkId|conditions|type|priority)\":(1|null|\"x\"|\\[\\]|\\{\\}),?){0,4}\\}", id in "(link_|camp_)?[a-zA-Z0-9%]{0,24}", query in "\\PC{0,40}") {
            for endpoint in Linquid.endpoints() {
                let request = RequestParts { id: &id, query: Query::parse(Some(&query)), body: body.as_bytes() };
                let _ = (endpoint.parse)(&request);
            }
        }
    }
}
