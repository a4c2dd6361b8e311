//! Which requests are clicks: people following a link, and nobody else.

use hyper::{HeaderMap, Method};

/// Whether a request is counted: a GET that is not a browser's guess about what its user may
/// click next (`Sec-Purpose: prefetch`, older browsers' `Purpose` and `X-Moz`).
pub fn is_click(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET && !is_prefetch(headers)
}

/// Whether a browser fetches ahead of its user.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers.get(*name).is_some_and(|value| {
            let value = value.as_bytes();
            value.len() >= 8 && value[..8].eq_ignore_ascii_case(b"prefetch") || value == b"preview"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts() {
        let rows = [
            (Method::GET, None, true),
            (Method::HEAD, None, false),
            (Method::GET, Some(("sec-purpose", "prefetch")), false),
            (Method::GET, Some(("sec-purpose", "prefetch;prerender")), false),
            (Method::GET, Some(("purpose", "Prefetch")), false),
            (Method::GET, Some(("x-moz", "prefetch")), false),
            (Method::GET, Some(("purpose", "preview")), false),
            (Method::GET, Some(("purpose", "other")), true),
        ];
        for (method, header, want) in rows {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().expect("a valid value"));
            }
            assert_eq!(is_click(&method, &headers), want, "{method} {header:?}");
        }
    }
}
