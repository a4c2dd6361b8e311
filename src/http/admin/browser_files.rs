//! Files that browsers read to add the dashboard to themselves: a search, and an app on a home screen. They name the
//! host alone, and browsers request them without a cookie.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::json;

use crate::http::body::{Content, HttpResponse};

/// The description of the search, in the format of OpenSearch.
pub(super) const SEARCH: &str = "/admin/opensearch.xml";

/// The manifest of the app.
pub(super) const MANIFEST: &str = "/admin/manifest.webmanifest";

/// Returns the response with a file, or `None` for another path. `origin` is scheme and authority of the dashboard.
pub(super) fn respond(parts: &Parts, origin: &str) -> Option<HttpResponse> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    let (kind, text) = match parts.uri.path() {
        SEARCH => ("application/opensearchdescription+xml; charset=utf-8", search(origin)),
        MANIFEST => ("application/manifest+json", manifest(origin)),
        _ => return None,
    };
    let mut response = Response::new(Content::from(Bytes::from(text)));
    // No cookie and no policy of a page: nothing in the files runs, and nothing is of a person.
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // A day: both change with the program alone.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Some(response)
}

/// The default, which browsers want to be named.
const ENCTYPE: &str = "application/x-www-form-urlencoded";

fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

fn search(origin: &str) -> String {
    // An authority has no character that XML escapes. A short name has at most 16 characters.
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">
<ShortName>Waypost</ShortName>
<Description>Short links of {host}</Description>
<InputEncoding>UTF-8</InputEncoding>
<Image width="16" height="16" type="image/svg+xml">{origin}/favicon.ico</Image>
<Url type="text/html" template="{origin}/admin/links?search={{searchTerms}}"/>
</OpenSearchDescription>
"#,
        host = host(origin),
    )
}

fn manifest(origin: &str) -> String {
    json!({
        "name": format!("Waypost ({})", host(origin)),
        "short_name": "Waypost",
        // Of all installations at this host, also after a change of the first page.
        "id": "/admin",
        "start_url": "/admin",
        "scope": "/admin",
        "display": "standalone",
        "background_color": "#f7f8f8",
        "theme_color": "#0f766e",
        // The icon that visitors get, which needs no session.
        "icons": [{"src": "/favicon.ico", "type": "image/svg+xml", "sizes": "any"}],
        "shortcuts": [{"name": "New link", "url": "/admin/links/new"}],
        // A page that is shared with the app opens the form of a new link.
        "share_target": {"action": "/admin/new", "method": "GET", "enctype": ENCTYPE, "params": {"url": "url", "title": "title"}},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_name_the_host() {
        let xml = search("https://go.test:8443");
        assert!(xml.contains("template=\"https://go.test:8443/admin/links?search={searchTerms}\""), "{xml}");
        let manifest: serde_json::Value = serde_json::from_str(&manifest("http://localhost")).expect("JSON");
        assert_eq!(manifest["name"], "Waypost (localhost)");
    }
}
