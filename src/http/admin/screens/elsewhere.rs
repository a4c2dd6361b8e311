//! The response to a request for the dashboard at another host than that of `public_url`.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use crate::core::Site;
use crate::http::body::{Content, HttpResponse};
use crate::visit::pages;

/// Returns the response at this host: 404 as for any reserved word, since pages of links run foreign scripts there. A
/// browser on this machine is led to the dashboard.
pub(in crate::http::admin) fn page(site: &Site, host: &str) -> HttpResponse {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    // Of the address of this machine, nobody else has a page.
    if !(is_here && site.loopback_port().is_some()) {
        return pages::error(StatusCode::NOT_FOUND).map(Content::Whole);
    }
    let mut response = Response::new(Content::default());
    *response.status_mut() = StatusCode::FOUND;
    let location = HeaderValue::try_from(format!("{}/admin", site.base_url()));
    response.headers_mut().insert(LOCATION, location.expect("a URL is visible ASCII"));
    response
}
