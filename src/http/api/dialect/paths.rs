//! Matches paths with the templates of a dialect's endpoints.

use hyper::Method;

use super::Endpoint;

/// The result of [`find`].
pub enum PathMatch<'p> {
    /// The endpoint, and the segment in braces.
    Endpoint(&'static Endpoint, &'p str),
    /// The path exists with these methods only, as `Allow` lists them.
    Methods(String),
    /// No endpoint has this path.
    Nothing,
}

/// Returns the endpoint of a request. One slash at the end makes no difference (docs/decisions.md A1). A
/// segment that a template spells out is no id: `/links/bulk` has the methods of `/links/bulk` alone.
pub fn find<'p>(endpoints: &'static [Endpoint], method: &Method, path: &'p str) -> PathMatch<'p> {
    let path = path.strip_suffix('/').unwrap_or(path);
    // hyper leaves the body out of the response to HEAD.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    // Otherwise `GET /links/bulk` would look for a link with the id `bulk`.
    let is_spelt_out = endpoints.iter().any(|endpoint| endpoint.template == path);
    let mut allowed = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| !is_spelt_out || endpoint.template == path) {
        let Some(id) = fits(endpoint.template, path) else { continue };
        if endpoint.method == method {
            return PathMatch::Endpoint(endpoint, id);
        }
        // Two templates may fit a path, each with this method.
        if allowed.contains(&endpoint.method) {
            continue;
        }
        // The path is known, so a wrong method is 405 with `Allow` (RFC 9110 15.5.6), not 404.
        allowed.push(endpoint.method);
        if endpoint.method == "GET" {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() { PathMatch::Nothing } else { PathMatch::Methods(allowed.join(", ")) }
}

/// Returns [`super::RequestParts::id`] if the path fits the template; it is empty without a segment in
/// braces.
fn fits<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let mut found: Option<(usize, usize)> = None;
    let mut at = 0;
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        let end = at + segment.len();
        // An empty segment is no id: `/links//` is not a link.
        if wanted.starts_with('{') && !segment.is_empty() {
            found = Some((found.map_or(at, |(start, _)| start), end));
        } else if wanted != segment {
            return None;
        }
        at = end + 1;
    }
    // Segments behind the template make another path.
    segments.next().is_none().then(|| found.map_or("", |(start, end)| &path[start..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::dialect::{BadRequest, BodyKind, endpoint};

    #[test]
    fn what_a_template_spells_out_is_no_id() {
        const fn row(method: &'static str, template: &'static str) -> Endpoint {
            endpoint(method, template, BodyKind::None, |_| Err(BadRequest::NotFound("it")), |_| None)
        }
        static ENDPOINTS: [Endpoint; 3] =
            [row("GET", "/links/{id}"), row("POST", "/links/bulk"), row("DELETE", "/links/{id}")];
        let rows = [
            ("GET", "/links/x", "x"),
            ("POST", "/links/bulk/", ""),
            ("GET", "/links/bulk", "only POST"),
            // `bulk` is spelt out by another template, so POST is not listed.
            ("PUT", "/links/x", "only GET, HEAD, DELETE"),
        ];
        for (method, path, want) in rows {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let got = match find(&ENDPOINTS, &method, path) {
                PathMatch::Endpoint(_, id) => id.to_owned(),
                PathMatch::Methods(methods) => format!("only {methods}"),
                PathMatch::Nothing => "nothing".to_owned(),
            };
            assert_eq!(got, want, "{method} {path}");
        }
    }

    #[test]
    fn templates() {
        let rows = [
            ("/api/v1/links", "/api/v1/links", Some("")),
            ("/api/v1/links/{id}", "/api/v1/links/x", Some("x")),
            ("/api/v1/links/{id}", "/api/v1/links", None),
            ("/api/v1/links/{id}", "/api/v1/links/", None),
            ("/api/v1/links/{id}", "/api/v1/links/x/y", None),
            ("/api/v1/domains/{id}/verify", "/api/v1/domains/x/verify", Some("x")),
            ("/s/{id}/of/{other}", "/s/x/of/y", Some("x/of/y")),
            ("/s/{id}/of/{other}", "/s/x/of/", None),
            ("/s/{id}/of/{other}", "/s/x/in/y", None),
            // Not normalized: proxies differ in that, and a path has one meaning.
            ("/api/v1/links", "/api/v1//links", None),
            ("/api/v1/links", "/api/v1/linksx", None),
        ];
        for (template, path, want) in rows {
            assert_eq!(fits(template, path), want, "{template} {path}");
        }
    }
}
