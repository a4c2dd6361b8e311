//! The page that shows a destination in a frame, so that the short URL stays in the address bar.
//!
//! The frame may load from the destination's origin only; a path in the policy would hold after
//! the destination's own redirects no longer, and tell more than the frame's `src` does. An
//! `http:` origin covers its own upgrade to `https:`. The frame runs in a sandbox that lets the
//! destination be a page of its own origin, but not steer the window around it.
//!
//! Many sites refuse to be framed, and a page served over `https:` cannot frame one that is not;
//! browsers do not tell us. So there is always a plain link, in a bar that covers nothing.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::display;
use super::layout::{page, policy};
use super::tags::PixelTags;
use crate::model::link::Options;

#[derive(Template)]
#[template(path = "cloaked.html")]
struct Cloaked<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    location: &'a str,
    display_name: String,
    framed: bool,
    tags: Option<PixelTags<'a>>,
}

/// Shows `location`, where this click leads, in a frame; only the link to it where no frame can.
/// With `fires` the link's pixels fire beside it.
pub fn cloaked(options: &Options, location: &str, fires: bool) -> Response<Full<Bytes>> {
    let origin = display::origin(location);
    let pixels = if fires { PixelTags::of(options, origin.as_deref()) } else { None };
    let (tags, allowed) = pixels.unzip();
    let allowed = allowed.unwrap_or_else(|| {
        format!("frame-src {}; form-action 'self'", origin.as_deref().unwrap_or("'none'"))
    });
    let template = Cloaked {
        title: options.title.as_deref(),
        description: options.description.as_deref(),
        location,
        display_name: display::name(location),
        framed: origin.is_some(),
        tags,
    };
    page(StatusCode::OK, &template, policy(&allowed))
}
