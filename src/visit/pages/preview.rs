//! The page for crawlers of link previews: title, description and image of a link as Open Graph tags, which
//! Facebook, WhatsApp, LinkedIn, Slack, Discord, Telegram and iMessage read, and as Twitter's tags, for X and
//! those that copied it. The tags precede the style, since some crawlers read only the first kilobytes of a
//! page. The destination is not on the page: following it is a click.
//!
//! `X-Robots-Tag: noindex` is sent as with every page. It is for search engines, which must not index the
//! page of a link. A preview is not an index: hosts that send the header with every page of a test deployment
//! get previews.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use super::layout::{POLICY, page};
use crate::model::destination::Destination;
use crate::model::link::{Markup, Options};

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    title: Option<&'a str>,
    description: Option<&'a str>,
    image: Option<&'a str>,
    short_url: &'a str,
    head_tags: &'a str,
}

/// Returns the page that crawlers build previews of `short_url` from.
pub fn preview(options: &Options, short_url: &str) -> Response<Full<Bytes>> {
    let template = Preview {
        title: options.title.as_deref(),
        description: options.description.as_deref(),
        image: options.image.as_ref().map(Destination::as_str),
        short_url,
        head_tags: options.head_tags.as_ref().map_or("", Markup::as_str),
    };
    page(StatusCode::OK, &template, POLICY.clone())
}
