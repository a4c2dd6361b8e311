//! The query of a list of links, and the page that it returns.

use std::cmp::Ordering;

use super::state_filter::StateFilter;
use crate::core::view::LinkView;
use crate::model::campaign::CampaignRef;
use crate::model::id::Id;

/// Most links on one page.
pub const LIMIT_MAX: usize = 100;
/// Default number of links on a page.
pub const LIMIT_DEFAULT: usize = 20;

/// The filter, order and size of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The other fields are filters of their names.
pub struct LinkQuery {
    /// Where the page begins.
    pub at: Cursor,
    /// Number of links, from 1 to [`LIMIT_MAX`].
    pub limit: usize,
    /// A text in short code, title, short URL or destination, ignoring case.
    pub search: Option<String>,
    /// The name of the links' domain.
    pub domain: Option<String>,
    pub tag: Option<Id>,
    pub campaign: Option<CampaignRef>,
    /// A tag by id or name, in place of `tag`. An unknown one is an error.
    pub tag_named: Option<Box<str>>,
    /// The campaign of an id, or all campaigns of a name, in place of `campaign`. An unknown one is an error.
    pub campaign_named: Option<Box<str>>,
    pub state: StateFilter,
    /// Only links without a click in this number of days, today included, by days of UTC.
    pub unclicked_days: Option<u32>,
    /// Whether only links whose destinations do not work are listed.
    pub only_broken: bool,
    pub sort: Sort,
    /// Whether the page shows the rules of its links.
    pub shows_rules: bool,
    /// Whether the page must not end before its limit, since the dialect has no cursor to continue with.
    pub is_whole: bool,
}

/// The beginning of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The page of this number, from 1. Reads the links of all earlier pages.
    Page(u64),
    /// After the link of this id, at the same cost for any depth. Only in the order of creation.
    After(Id),
    /// After the link that had this place. Only in the other orders.
    Behind(RankedPlace),
}

/// The place of a link in an order other than that of creation: what the link was sorted by when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankedPlace {
    /// The number of the order: clicks, or the place of the latest one in time. 0 by title.
    pub number: u64,
    /// The title in lower case, in the order by title.
    pub title: Option<String>,
    #[allow(missing_docs)] // The type has the doc.
    pub id: Id,
}

impl RankedPlace {
    /// Orders links by most clicks or latest click, then by title with links without a title last, then by the newest.
    pub(in crate::core) fn order(&self, other: &RankedPlace) -> Ordering {
        let numbers = other.number.cmp(&self.number);
        let titles = match (&self.title, &other.title) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            (ours, theirs) => theirs.is_some().cmp(&ours.is_some()),
        };
        // Ids sort by time. The last comparison makes the order the same on each page.
        numbers.then(titles).then(other.id.cmp(&self.id))
    }

    /// Returns whether a link of this place is on a page that begins at `cursor`, or on a later one.
    pub(in crate::core) fn is_behind(&self, cursor: &Cursor) -> bool {
        match cursor {
            Cursor::Behind(place) => self.order(place).is_gt(),
            Cursor::Page(_) | Cursor::After(_) => true,
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
    /// Most clicks first, then the newest.
    Clicks,
    /// Most clicks of the last 30 days first, then the newest.
    Recent,
    /// Latest click first, with links without one last, then the newest.
    LastClick,
    /// By title, with links without a title last, then the newest.
    Title,
}

impl Sort {
    /// Returns whether the order is that of the list, so that a page needs no other links.
    pub fn is_of_creation(self) -> bool {
        matches!(self, Sort::Newest | Sort::Oldest)
    }

    /// Returns whether the order needs the details of clicks.
    pub(in crate::core) fn needs_details(self) -> bool {
        matches!(self, Sort::Recent | Sort::LastClick)
    }
}

/// A page of links.
#[derive(Clone, Debug)]
pub struct Page {
    /// The links without the fields that lists do not show, such as notes (see `list::shorten`).
    pub links: Vec<LinkView>,
    /// Number of matches on all pages.
    pub total: u64,
    /// The number of the page, if the query gave one.
    pub page: u64,
    #[allow(missing_docs)] // The type has the doc.
    pub sort: Sort,
    /// Links per page.
    pub limit: usize,
    /// The cursor of the next page; `None` on the last page. A page has fewer links than its limit if it ended at
    /// its bound on bytes, or if it is incomplete; then the cursor is where reading ended.
    pub next: Option<Cursor>,
    /// Whether the query reached `links.scan_max`. Then matches may be missing, and `total` counts those that
    /// were found.
    pub incomplete: bool,
}
