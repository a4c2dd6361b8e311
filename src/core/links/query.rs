//! What a list asks for, and the page that answers it.

use crate::core::view::LinkView;
use crate::model::campaign::CampaignRef;
use crate::model::id::Id;

/// Most links on one page.
pub const LIMIT_MAX: usize = 100;
/// Links on a page that does not say.
pub const LIMIT_DEFAULT: usize = 20;

/// Which links, in which order, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkQuery {
    /// Where in the list.
    pub at: Cursor,
    /// 1 to [`LIMIT_MAX`].
    pub limit: usize,
    /// Occurs in short code, title or destination, ignoring case.
    pub search: Option<String>,
    /// Lives on the domain of this name.
    pub domain: Option<String>,
    /// Has this tag.
    pub tag: Option<Id>,
    /// Belongs to this campaign.
    pub campaign: Option<CampaignRef>,
    /// Is switched on or off.
    pub is_active: Option<bool>,
    /// In this order.
    pub sort: Sort,
    /// Whether the page must not end before its limit: the dialect has no cursor to continue with.
    pub is_whole: bool,
}

/// Where in the list a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// At this page, the first being 1. Costs what is skipped.
    Page(u64),
    /// Behind this link: any depth at the same cost. Only in the order of creation.
    After(Id),
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
    /// Most clicks first, then newest.
    Clicks,
    /// By title, those without last, then newest.
    Title,
}

/// A page of links.
#[derive(Clone, Debug)]
pub struct Page {
    /// The links: without what lists do not show, such as notes (see `list::shorten`).
    pub links: Vec<LinkView>,
    /// How many match in all.
    pub total: u64,
    /// The page's number, when it was asked for by number.
    pub page: u64,
    /// Links per page.
    pub limit: usize,
    /// Where the next page begins, in the order of creation; `None` on the last page and in
    /// other orders. A page that ends at its bound on bytes has fewer links than its limit, and so has an
    /// incomplete one, whose cursor leads to where its reading ended.
    pub next: Option<Id>,
    /// Whether the list costs more than one request may (`links.scan_max`): links that match may be
    /// missing, and `total` counts those that were found.
    pub incomplete: bool,
}
