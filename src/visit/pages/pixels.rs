//! The page that fires a link's pixels and then opens the destination: after 700 ms by script, even if the
//! vendors' scripts fail, and at once without JavaScript. The page contains nothing about its visitor.
//!
//! The ids and the destination reach the script through attributes and a link, never as JavaScript. The
//! refresh for browsers without JavaScript has its URL without quotes: a `'` in the destination would end a
//! quoted URL, but the rest of the attribute is the URL without quotes, including semicolons.
//!
//! Meta's image for browsers without JavaScript is omitted: the refresh would cancel it, and a visitor who
//! blocks scripts does not want to be tracked.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::cloaked::cloaked;
use super::display;
use super::layout::{page, policy};
use super::tags::{OwnTags, PixelTags};
use crate::model::link::Options;

#[derive(Template)]
#[template(path = "pixels.html")]
struct Pixels<'a> {
    location: &'a str,
    display_name: String,
    tags: PixelTags<'a>,
    own: OwnTags<'a>,
}

/// Returns the page that fires the link's pixels and opens `location`, the destination of this click.
pub fn pixels(options: &Options, location: &str) -> Response<Full<Bytes>> {
    let own = OwnTags::of(options);
    let Some((tags, allowed)) = PixelTags::of(options, &own, None) else {
        // No rule asks for this page without pixels. The cloaked page has a link to the destination.
        return cloaked(options, location, false);
    };
    let template = Pixels { location, display_name: display::name(location), tags, own };
    page(StatusCode::OK, &template, policy(&allowed))
}
