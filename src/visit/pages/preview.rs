//! The page for programs that draw a preview of a link: its title, description and image, as
//! Open Graph tags, which Facebook, WhatsApp, LinkedIn, Slack, Discord, Telegram and iMessage
//! read, and as Twitter's own, for X and those that copied it. They stand before the style: some
//! read only a page's first kilobytes. Never where the link leads: following it is a click.
//!
//! `X-Robots-Tag: noindex` stays as on every page. It speaks to search engines, for which a link
//! has no page; drawing a preview is not indexing, and hosts that send it with every page of a
//! test deployment have their previews drawn.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, page};
use crate::model::destination::Destination;
use crate::model::link::Options;

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    image: Option<&'a str>,
    short_url: &'a str,
}

/// What previews of `short_url` show.
pub fn preview(options: &Options, short_url: &str) -> Response<Full<Bytes>> {
    let template = Preview {
        title: options.title.as_deref(),
        description: options.description.as_deref(),
        image: options.image.as_ref().map(Destination::as_str),
        short_url,
    };
    page(StatusCode::OK, &template, POLICY.clone())
}
