//! The page that fires a link's pixels and moves on: after 700 ms by script, whatever the
//! vendors' scripts do, and at once without JavaScript. It holds nothing of its visitor.
//!
//! The ids and the destination reach the script through attributes and a link, never as
//! JavaScript. The refresh for those without JavaScript leaves its URL unquoted: between quotes
//! the first `'` of a destination would end it, and without any the rest of the attribute is the
//! URL, semicolons and all.
//!
//! Meta's picture for those without JavaScript is left out: the refresh would cut it off, and
//! whoever forbids scripts has answered the question whether to be followed.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::cloaked::cloaked;
use super::display;
use super::layout::{page, policy};
use super::tags::PixelTags;
use crate::model::link::Options;

#[derive(Template)]
#[template(path = "pixels.html")]
struct Pixels<'a> {
    location: &'a str,
    display_name: String,
    tags: PixelTags<'a>,
}

/// Fires the pixels of the link and moves on to `location`, where this click leads.
pub fn pixels(options: &Options, location: &str) -> Response<Full<Bytes>> {
    let Some((tags, allowed)) = PixelTags::of(options, None) else {
        // Without pixels there is nothing to do but to move on.
        return cloaked(options, location, false);
    };
    let template = Pixels { location, display_name: display::name(location), tags };
    page(StatusCode::OK, &template, policy(&allowed))
}
