//! Whose a path is: a visitor's, the APIs', or one of the few that are about the server itself.

use crate::core::CONTACT_PATH;
use crate::model::short_code::{first_segment, is_reserved};

/// Whose a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A visitor's: a short code, or what could be one.
    Visit,
    /// A link as one contact got it.
    Contact,
    /// An endpoint of the APIs.
    Api,
    /// What the APIs are, for machines.
    Description,
    /// The same for people.
    Docs,
    /// Whether the process is alive.
    Health,
    /// Whether everything is read.
    Ready,
    /// Numbers for operators.
    Metrics,
    /// What crawlers may do.
    Robots,
    /// A picture.
    Icon,
    /// A reserved word's that leads nowhere.
    Unknown,
}

impl Route {
    /// By the first segment, as the client spelt it; reserved words in another case are nobody's,
    /// since no code can be one.
    pub fn of(path: &str) -> Route {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let (first, behind) = first_segment(rest);
        match first {
            "links" if path.starts_with(CONTACT_PATH) => Route::Contact,
            "api" if matches!(behind, "openapi.json" | "openapi.json/") => Route::Description,
            "api" if matches!(behind, "docs" | "docs/") => Route::Docs,
            "api" | "links" | "snapshots" | "locations" => Route::Api,
            "healthz" if behind.is_empty() => Route::Health,
            "readyz" if behind.is_empty() => Route::Ready,
            "metrics" if behind.is_empty() => Route::Metrics,
            "robots.txt" if behind.is_empty() => Route::Robots,
            "favicon.ico" if behind.is_empty() => Route::Icon,
            _ if is_reserved(first) => Route::Unknown,
            _ => Route::Visit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let rows = [
            ("/", Route::Visit),
            ("/sale", Route::Visit),
            ("/apiary", Route::Visit),
            ("//api", Route::Visit),
            ("/%61pi", Route::Visit),
            ("/api", Route::Api),
            ("/api/v1/links", Route::Api),
            ("/api/openapi.json", Route::Description),
            ("/api/docs/", Route::Docs),
            ("/api/docs/x", Route::Api),
            ("/links/", Route::Api),
            ("/links/r/2/eyJ.x.y", Route::Contact),
            ("/links/r/7/eyJ.x.y", Route::Api),
            ("/locations/x", Route::Api),
            ("/API/v1", Route::Unknown),
            ("/Links", Route::Unknown),
            ("/.well-known/x", Route::Unknown),
            ("/assets/../../etc/passwd", Route::Unknown),
            ("/admin", Route::Unknown),
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
