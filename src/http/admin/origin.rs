//! Whether a form was sent by a page of this origin (DASHBOARD.md C2).

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether a request that changes something comes from a page of this origin, or from no browser.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        // `same-site` is another host of the same owner, which may be a domain of links.
        return site == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN) else {
        // Every browser of the last ten years sends `Origin` with a POST. Programs have no cookies of others.
        return true;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

/// Returns whether a page of another site has opened this one. Browsers then leave out the cookie of the session.
pub(super) fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_pages_of_this_origin_send_forms() {
        let rows = [
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("https://evil.test"), true),
            // A sibling host of the same site is another origin.
            (Some("same-site"), Some("https://go.test"), false),
            (Some("cross-site"), None, false),
            (Some("none"), None, false),
            (None, Some("https://go.test:8443"), true),
            (None, Some("http://GO.test:8443"), true),
            (None, Some("https://go.test"), false),
            (None, Some("https://evil.test"), false),
            (None, Some("null"), false),
            (None, Some(""), false),
            (None, None, true),
        ];
        for (site, origin, want) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("go.test:8443"));
            for (name, value) in [(FETCH_SITE, site), (ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_own(&headers), want, "{site:?} {origin:?}");
        }
    }
}
