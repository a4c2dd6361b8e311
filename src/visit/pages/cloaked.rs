//! The page that shows a destination in a frame, so that the short URL stays in the address bar.
//!
//! The frame may load only from the origin of the destination. The policy has no path: after a redirect of
//! the destination the path would not apply, and the frame's `src` already reveals it. An `http:` origin in
//! the policy includes its upgrade to `https:`. The frame runs in a sandbox: the destination keeps its own
//! origin, but cannot navigate the window around it.
//!
//! Many sites forbid to be framed, and a page over `https:` cannot frame a page over `http:`. Browsers do not
//! report either. So the page always has a plain link, in a bar that covers nothing.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::display;
use super::layout::{page, policy};
use super::tags::{OwnTags, PixelTags};
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
    own: OwnTags<'a>,
}

/// Returns a page with `location`, the destination of this click, in a frame, or only with the link if the
/// destination cannot be framed. With `fires`, the page also fires the link's pixels.
pub fn cloaked(options: &Options, location: &str, fires: bool) -> Response<Full<Bytes>> {
    let origin = display::origin(location);
    let own = OwnTags::of(options);
    let pixels = if fires { PixelTags::of(options, &own, origin.as_deref()) } else { None };
    let (tags, allowed) = pixels.unzip();
    // Without pixels, the policy allows the frame alone.
    let allowed = allowed.unwrap_or_else(|| {
        own.allow(format!("frame-src {}; form-action 'self'", origin.as_deref().unwrap_or("'none'")))
    });
    let template = Cloaked {
        title: options.title.as_deref(),
        description: options.description.as_deref(),
        location,
        display_name: display::name(location),
        // Without an origin the policy blocks every frame, so the page has the link alone.
        framed: origin.is_some(),
        tags,
        own,
    };
    page(StatusCode::OK, &template, policy(&allowed))
}
