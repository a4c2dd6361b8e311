//! The route of a path: a visit, the APIs, or one of the few paths about the server itself.

use crate::core::CONTACT_PATH;
use crate::model::short_code::{first_segment, is_reserved, may_be_reserved};

/// What a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A short code, or a text that could be one.
    Visit,
    /// A link with the signed name of a contact.
    Contact,
    /// An endpoint of the APIs.
    Api,
    /// `/api/openapi.json`.
    Description,
    /// `/api/docs`.
    Docs,
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// `/.well-known/apple-app-site-association`.
    AppleApps,
    /// `/.well-known/assetlinks.json`.
    AndroidApps,
    /// `/robots.txt`.
    Robots,
    /// `/favicon.ico`.
    Icon,
    /// The dashboard: `/admin`, and what is below it.
    Admin,
    /// A reserved word without an endpoint.
    Unknown,
}

impl Route {
    /// Returns the route of a path, by its first segment as the client spelt it. Reserved words in another
    /// case are [`Route::Unknown`], since no code can be one.
    pub fn of(path: &str) -> Route {
        let rest = path.strip_prefix('/').unwrap_or(path);
        if !may_be_reserved(rest) {
            return Route::Visit;
        }
        let (first, behind) = first_segment(rest);
        match first {
            // Before the APIs, which have the same first segment.
            "links" if path.starts_with(CONTACT_PATH) => Route::Contact,
            // Before the APIs: the description needs no key.
            "api" if matches!(behind, "openapi.json" | "openapi.json/") => Route::Description,
            "api" if matches!(behind, "docs" | "docs/") => Route::Docs,
            "api" | "links" | "snapshots" | "locations" => Route::Api,
            // With more segments these are reserved words without an endpoint.
            "healthz" if behind.is_empty() => Route::Health,
            "readyz" if behind.is_empty() => Route::Ready,
            "metrics" if behind.is_empty() => Route::Metrics,
            ".well-known" if behind == "apple-app-site-association" => Route::AppleApps,
            ".well-known" if behind == "assetlinks.json" => Route::AndroidApps,
            "robots.txt" if behind.is_empty() => Route::Robots,
            "favicon.ico" if behind.is_empty() => Route::Icon,
            "admin" => Route::Admin,
            _ if is_reserved(first) => Route::Unknown,
            _ => Route::Visit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_route() {
        let rows = [
            ("/", Route::Visit),
            ("/sale", Route::Visit),
            ("/apiary", Route::Visit),
            // The first segment is empty, which is no reserved word.
            ("//api", Route::Visit),
            // Not decoded: an endpoint has one spelling.
            ("/%61pi", Route::Visit),
            ("/api", Route::Api),
            ("/api/v1/links", Route::Api),
            ("/api/openapi.json", Route::Description),
            ("/api/docs/", Route::Docs),
            ("/api/docs/x", Route::Api),
            ("/links/", Route::Api),
            ("/links/r/2/eyJ.x.y", Route::Contact),
            // Contact links have the version 2 alone.
            ("/links/r/7/eyJ.x.y", Route::Api),
            ("/locations/x", Route::Api),
            ("/API/v1", Route::Unknown),
            ("/Links", Route::Unknown),
            ("/.well-known/x", Route::Unknown),
            ("/.well-known/apple-app-site-association", Route::AppleApps),
            ("/.well-known/assetlinks.json", Route::AndroidApps),
            // Files, which have no slash at the end.
            ("/.well-known/assetlinks.json/", Route::Unknown),
            ("/.Well-Known/assetlinks.json", Route::Unknown),
            ("/assets/../../etc/passwd", Route::Unknown),
            ("/admin", Route::Admin),
            ("/admin/links", Route::Admin),
            ("/Admin", Route::Unknown),
            ("/administrator", Route::Visit),
            ("/healthz", Route::Health),
            ("/healthz/", Route::Health),
            ("/healthz/x", Route::Unknown),
            ("/readyz", Route::Ready),
            ("/metrics", Route::Metrics),
            ("/robots.txt", Route::Robots),
            ("/favicon.ico", Route::Icon),
        ];
        for (path, want) in rows {
            assert_eq!(Route::of(path), want, "{path}");
        }
    }
}
