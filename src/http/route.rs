//! Whose a path is: a visitor's, the APIs', or one of the few that are about the server itself.

use crate::links::CONTACT_PATH;
use crate::model::short_code::{first_segment, is_reserved};

/// Whose a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
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
    Nowhere,
}

impl Place {
    /// By the first segment, as the client spelt it; reserved words in another case are nobody's,
    /// since no code can be one.
    pub fn of(path: &str) -> Place {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let (first, behind) = first_segment(rest);
        match first {
            "links" if path.starts_with(CONTACT_PATH) => Place::Contact,
            "api" if matches!(behind, "openapi.json" | "openapi.json/") => Place::Description,
            "api" if matches!(behind, "docs" | "docs/") => Place::Docs,
            "api" | "links" | "snapshots" | "locations" => Place::Api,
            "healthz" if behind.is_empty() => Place::Health,
            "readyz" if behind.is_empty() => Place::Ready,
            "metrics" if behind.is_empty() => Place::Metrics,
            "robots.txt" if behind.is_empty() => Place::Robots,
            "favicon.ico" if behind.is_empty() => Place::Icon,
            _ if is_reserved(first) => Place::Nowhere,
            _ => Place::Visit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let rows = [
            ("/", Place::Visit),
            ("/sale", Place::Visit),
            ("/apiary", Place::Visit),
            ("//api", Place::Visit),
            ("/%61pi", Place::Visit),
            ("/api", Place::Api),
            ("/api/v1/links", Place::Api),
            ("/api/openapi.json", Place::Description),
            ("/api/docs/", Place::Docs),
            ("/api/docs/x", Place::Api),
            ("/links/", Place::Api),
            ("/links/r/2/eyJ.x.y", Place::Contact),
            ("/links/r/7/eyJ.x.y", Place::Api),
            ("/locations/x", Place::Api),
            ("/API/v1", Place::Nowhere),
            ("/Links", Place::Nowhere),
            ("/.well-known/x", Place::Nowhere),
            ("/assets/../../etc/passwd", Place::Nowhere),
            ("/admin", Place::Nowhere),
            ("/healthz", Place::Health),
            ("/healthz/", Place::Health),
            ("/healthz/x", Place::Nowhere),
            ("/readyz", Place::Ready),
            ("/metrics", Place::Metrics),
            ("/robots.txt", Place::Robots),
            ("/favicon.ico", Place::Icon),
        ];
        for (path, want) in rows {
            assert_eq!(Place::of(path), want, "{path}");
        }
    }
}
