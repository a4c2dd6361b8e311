//! The page with a button that a link with `confirm` shows first. The form posts to its own URL, so that code,
//! query and the token of a contact link are kept, and works without JavaScript and cookies. The page does not
//! name the destination: a scanner that reads the page must not find it. The button precedes the link's own tags,
//! which may be longer than a screen.
//!
//! The headers are those of the password page, for the same reasons: `Referrer-Policy: same-origin`, so that a
//! browser sends the origin of the form, and `form-action` with the schemes of destinations.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, REFERRER_POLICY};
use hyper::{Response, StatusCode};

use super::layout::{page, policy};
use super::notice::DomainHome;
use super::password::form_action;
use super::tags::OwnTags;
use crate::model::destination::ExtraSchemes;
use crate::model::link::Options;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    own: OwnTags<'a>,
    home: &'a DomainHome,
}

/// Returns the page: 200 for a visit, 403 for a form of another site, which does not press the button. `schemes` are
/// those of the configuration.
pub fn confirm(
    options: &Options,
    status: StatusCode,
    schemes: &ExtraSchemes,
    home: &DomainHome,
) -> Response<Full<Bytes>> {
    let own = OwnTags::of(options);
    let policy = policy(&own.allow(form_action(schemes)));
    let template =
        Confirm { title: options.title.as_deref(), description: options.description.as_deref(), own, home };
    let mut response = page(status, &template, policy);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
