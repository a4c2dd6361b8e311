//! [`Entry`]: a link as the redirect path wants it. Compiled once when it is loaded: a plain
//! redirect is a ready `Location` and a status; whatever needs looking at the visitor or the
//! clock is the other arm.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use hyper::header::HeaderValue;

use crate::clicks::Counter;
use crate::model::custom_values::Unfilled;
use crate::model::destination::{Destination, LinkType};
use crate::model::domain::DomainNumber;
use crate::model::link::{Link, Options};
use crate::model::short_code::ShortCode;

/// A cached link.
#[derive(Debug)]
pub struct Entry {
    /// Where it lives.
    pub domain: DomainNumber,
    /// Its code there.
    pub code: ShortCode,
    /// Its live counter, shared with every other entry that this link ever had.
    pub counter: Arc<Counter>,
    /// What a click does.
    pub action: Action,
    /// Used since the eviction hand last passed.
    visited: AtomicBool,
}

/// What a click does.
#[derive(Debug)]
pub enum Action {
    /// Redirects everybody, at once, for ever.
    Redirect {
        /// 301, 302, 307 or 308.
        status: StatusCode,
        /// The ready header.
        location: HeaderValue,
        /// Whether bots are counted as well.
        count_bots: bool,
    },
    /// Anything else: decided at the click, by the rules in `visit`.
    Decide(Box<Decided>),
}

/// A link whose clicks are decided one by one.
#[derive(Debug)]
pub struct Decided {
    /// The record.
    pub link: Link,
    /// Where it leads, UTM parameters and custom values in place; or why it leads nowhere.
    pub target: Result<Destination, Unfilled>,
}

impl Entry {
    /// Compiles a link that leads to `target`.
    pub fn compile(link: Link, counter: Arc<Counter>, target: Result<Destination, Unfilled>) -> Entry {
        let (domain, code) = (link.domain, link.code.clone());
        let action = match target {
            Ok(target) if is_plain(&link.options) => Action::Redirect {
                status: StatusCode::from_u16(link.options.status.code())
                    .expect("a redirect's status is valid"),
                location: header(&target),
                count_bots: link.options.count_bots,
            },
            target => Action::Decide(Box::new(Decided { link, target })),
        };
        Entry { domain, code, counter, action, visited: AtomicBool::new(false) }
    }

    /// Marks it as used. Written only when it is not marked yet: a hot entry's line stays shared
    /// between cores.
    pub fn touch(&self) {
        if !self.visited.load(Ordering::Relaxed) {
            self.visited.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since the last call.
    pub(super) fn take_visited(&self) -> bool {
        self.visited.swap(false, Ordering::Relaxed)
    }

    /// Bytes of memory it takes, with its shares of the shard's vector and table (DESIGN's budget
    /// is kept in bytes, not entries, since a destination may have 60 bytes or 8,000).
    pub fn weight(&self) -> usize {
        const OVERHEAD: usize = size_of::<Entry>() + size_of::<Counter>() + 4 * size_of::<usize>() + 16 + 32;
        let text = match &self.action {
            Action::Redirect { location, .. } => location.len(),
            Action::Decide(decided) => link_bytes(decided),
        };
        OVERHEAD + self.code.as_str().len() + text
    }
}

/// The `Location` of a redirect.
fn header(target: &Destination) -> HeaderValue {
    HeaderValue::try_from(target.as_str()).expect("a destination is visible ASCII")
}

/// Whether a click on a link with these options needs no decision at all.
fn is_plain(options: &Options) -> bool {
    let previews = options.title.is_some() || options.description.is_some() || options.image.is_some();
    let limits =
        options.valid_since.is_some() || options.expires_at.is_some() || options.max_clicks.is_some();
    let pages = options.cloaked
        || options.password.is_some()
        || options.meta_pixel_id.is_some()
        || options.google_tag_id.is_some();
    let visitor = options.forward_parameters || options.forward_path || options.block_bots;
    let web = options.link_type == LinkType::Url;
    // Compiled anew when the workspace's values change: they are looked for by their link.
    let fixed = !options.destination.is_fillable();
    options.is_active
        && web
        && fixed
        && !previews
        && !limits
        && !pages
        && !visitor
        && options.webhook_urls.is_empty()
}

fn link_bytes(decided: &Decided) -> usize {
    let options = &decided.link.options;
    let texts = [
        &options.title,
        &options.description,
        &options.notes,
        &options.meta_pixel_id,
        &options.google_tag_id,
    ];
    let urls = [&options.image, &options.expired_url];
    size_of::<Decided>()
        + options.destination.as_str().len()
        + decided.target.as_ref().map_or(64, |target| target.as_str().len())
        + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
        + urls.into_iter().flatten().map(|url| url.as_str().len()).sum::<usize>()
        + options.webhook_urls.iter().map(|url| url.as_str().len() + 16).sum::<usize>()
        + options.tags.len() * 16
        + 128
}
