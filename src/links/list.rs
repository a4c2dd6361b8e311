//! Lists of links: filtered, sorted, by page or by cursor.
//!
//! In the order of creation a page costs what it shows and skips. Other orders and searches read
//! the whole list, holding no more of it than the page asked for.

use std::cmp::Ordering;

use super::query::{Cursor, LinkQuery, Page, Sort};
use super::{Context, Error, Links, Shared};
use crate::model::Invalid;
use crate::model::domain::DomainNumber;
use crate::model::id::Id;
use crate::model::link::{Link, TITLE_MAX};
use crate::model::workspace::WorkspaceNumber;
use crate::table::{List, Order};

/// Deepest row of a sorted list: what everything before it is sorted by is held in memory.
const SORTED_DEPTH_MAX: u64 = 10_000;

/// Rows beyond the depth of a sorted list that are held before the surplus is sorted out.
const SORTED_SURPLUS: usize = 1_024;

/// What one row of a sorted list takes while it is sorted: with a title, the longest one.
const RANKED_BYTES: usize = 64;
const RANKED_TITLE_BYTES: usize = 64 + 4 * TITLE_MAX;

/// Most bytes of the links of one page, as [`listed_bytes`] counts them: 100 links of 5 KB each, where
/// usual ones have some 500 bytes. A page of longer links ends early and says so with its cursor; one
/// without a cursor is refused, and names the limit that fits.
const PAGE_BYTES: usize = 512 * 1024;

/// Most bytes of one link as record, view and text together, by the bounds on its fields.
pub const LINK_BYTES_MAX: usize = 192 * 1024;

/// The same of a link in a list, which shows less of it.
const LISTED_BYTES_MAX: usize = 64 * 1024;

/// A text buffer that grows may be twice as large as its text, beside the views that it is made from.
const PER_LISTED_BYTE: usize = 3;

/// Most bytes of one tag of a link, as a view.
const TAG_BYTES: usize = 4 * crate::model::tag::NAME_MAX + 96;

/// What a link's numbers, dates and names take in a list.
const LISTED_FIXED: usize = 600;

impl Links {
    /// A page of the acting workspace's links.
    pub async fn list(&self, context: &Context, query: LinkQuery) -> Result<Page, Error> {
        let workspace = context.workspace.number;
        let is_scan = query.is_scan();
        let page = move |shared: &Shared| {
            // Behind the links that an import has staged, which a page walks over.
            let is_long = !is_scan && shared.table.is_importing(workspace)?;
            if is_long { Ok(Err(query)) } else { shared.page(workspace, &query).map(Ok) }
        };
        let page = if is_scan {
            self.scanning(&context.tenant, move |shared, _| page(shared)).await
        } else {
            self.blocking(page).await
        }?;
        match page {
            Ok(page) => Ok(page),
            Err(query) => {
                self.scanning(&context.tenant, move |shared, _| shared.page(workspace, &query)).await
            }
        }
    }
}

impl LinkQuery {
    /// Returns the most bytes that the page may take while it is produced: views and text, the link
    /// that is read at the moment, and, in orders that need it, what the list is sorted by.
    pub fn largest_bytes(&self) -> usize {
        let page = PER_LISTED_BYTE * (self.limit * LISTED_BYTES_MAX).min(PAGE_BYTES + LISTED_BYTES_MAX);
        let row = match self.sort {
            Sort::Newest | Sort::Oldest => 0,
            Sort::Clicks => RANKED_BYTES,
            Sort::Title => RANKED_TITLE_BYTES,
        };
        let depth = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64).min(SORTED_DEPTH_MAX),
            Cursor::After(_) => 0,
        };
        let rows = usize::try_from(depth).unwrap_or(0) + SORTED_SURPLUS;
        LINK_BYTES_MAX / 2 + page + row * rows
    }

    /// Whether it looks at many links: at all, or at those of the pages before.
    fn is_scan(&self) -> bool {
        let is_deep = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64) > SORTED_DEPTH_MAX,
            Cursor::After(_) => false,
        };
        let is_filtered = self.search.is_some() || self.domain.is_some() || self.is_active.is_some();
        // A tag or a campaign has a list of its own, whose length is counted entry by entry.
        let is_listed = self.tag.is_some() || self.campaign.is_some();
        is_deep || is_filtered || is_listed || matches!(self.sort, Sort::Clicks | Sort::Title)
    }
}

/// The part of a query that looks at each link.
struct Filter<'a> {
    query: &'a LinkQuery,
    needle: Option<String>,
    domain: Option<DomainNumber>,
    /// Whether `list` already holds only links of the tag.
    by_tag: bool,
}

impl Filter<'_> {
    fn admits(&self, link: &Link) -> bool {
        let options = &link.options;
        let tagged = self.by_tag || self.query.tag.is_none_or(|tag| options.tags.contains(&tag));
        let domain = self.domain.is_none_or(|domain| link.domain == domain);
        let active = self.query.is_active.is_none_or(|active| options.is_active == active);
        tagged && domain && active && self.needle.as_ref().is_none_or(|needle| matches(link, needle))
    }

    fn admits_all(&self) -> bool {
        let query = self.query;
        self.needle.is_none()
            && self.domain.is_none()
            && query.is_active.is_none()
            && (self.by_tag || query.tag.is_none())
    }
}

pub(super) fn matches(link: &Link, needle: &str) -> bool {
    let options = &link.options;
    let title = options.title.as_deref().unwrap_or("");
    [link.code.as_str(), title, options.destination.as_str()]
        .iter()
        .any(|text| text.to_lowercase().contains(needle))
}

impl Shared {
    fn page(&self, workspace: WorkspaceNumber, query: &LinkQuery) -> Result<Page, Error> {
        let domain = match &query.domain {
            Some(name) => match self.domain_of_name(name) {
                Some(domain) => Some(domain),
                None => return Ok(empty(query)),
            },
            None => None,
        };
        let list = match (&query.campaign, query.tag) {
            (Some(named), _) => {
                let found = self.campaign(workspace, named)?;
                List::Campaign(found.map_or_else(|| named.id.clone(), |found| found.record.id))
            }
            (None, Some(tag)) => List::Tag(tag),
            (None, None) => List::All,
        };
        let filter = Filter {
            query,
            needle: query.search.as_ref().map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
            domain,
            by_tag: matches!(list, List::Tag(_)),
        };
        match query.sort {
            Sort::Newest => self.in_order(workspace, &list, &filter, Order::Newest),
            Sort::Oldest => self.in_order(workspace, &list, &filter, Order::Oldest),
            Sort::Clicks | Sort::Title => self.sorted(workspace, &list, &filter),
        }
    }

    fn domain_of_name(&self, name: &str) -> Option<DomainNumber> {
        if self.site.is_named(name) {
            return Some(DomainNumber::DEFAULT);
        }
        self.directory.load().domain_named(&name.to_ascii_lowercase()).map(|domain| domain.number)
    }

    fn in_order(
        &self,
        workspace: WorkspaceNumber,
        list: &List,
        filter: &Filter<'_>,
        order: Order,
    ) -> Result<Page, Error> {
        let query = filter.query;
        let (after, mut skip) = match query.at {
            Cursor::After(id) => (Some(id), 0),
            Cursor::Page(page) => (None, (page - 1).saturating_mul(query.limit as u64)),
        };
        let mut is_cut = false;
        // How many match is told by looking at each, which then is done once, from the beginning.
        let is_whole = !filter.admits_all();
        let is_before = |id: Id| match order {
            Order::Newest => after.is_some_and(|after| id >= after),
            Order::Oldest => after.is_some_and(|after| id <= after),
        };
        let mut links: Vec<Link> = Vec::with_capacity(query.limit);
        let (mut more, mut total, mut bytes) = (false, 0, 0);
        self.table.each_link(workspace, list, order, after.filter(|_| !is_whole), &mut |found| {
            if !filter.admits(&found.record) {
                return true;
            }
            total += 1;
            if is_before(found.record.id) {
                return true;
            }
            if skip > 0 {
                skip -= 1;
                return true;
            }
            if more || links.len() == query.limit {
                more = true;
                return is_whole;
            }
            let link = shorten(found.record);
            bytes += listed_bytes(&link);
            if bytes > PAGE_BYTES && !links.is_empty() {
                more = true;
                is_cut = true;
                return is_whole;
            }
            links.push(link);
            true
        })?;
        if is_cut && query.is_whole {
            return Err(too_long(links.len()));
        }
        if !is_whole {
            total = self.table.count(workspace, list)?;
        }
        let next = links.last().filter(|_| more).map(|link| link.id);
        self.filled(query, links, total, next)
    }

    fn sorted(&self, workspace: WorkspaceNumber, list: &List, filter: &Filter<'_>) -> Result<Page, Error> {
        let query = filter.query;
        let Cursor::Page(page) = query.at else {
            return Err(Invalid::new(
                "cursor",
                "works only in the order of creation; use page with this sort",
            )
            .into());
        };
        let depth = page.saturating_mul(query.limit as u64);
        if depth > SORTED_DEPTH_MAX {
            return Err(Invalid::new(
                "page",
                "reaches deeper than 10000 links, which only the order of creation can",
            )
            .into());
        }
        let depth = usize::try_from(depth).expect("at most 10,000");
        let mut best: Vec<Ranked> = Vec::new();
        let mut total = 0;
        let mut failure = None;
        self.table.each_link(workspace, list, Order::Newest, None, &mut |found| {
            if !filter.admits(&found.record) {
                return true;
            }
            total += 1;
            match self.rank(query.sort, &found.record) {
                Ok(ranked) => best.push(ranked),
                Err(error) => failure = Some(error),
            }
            // Sorting now and then keeps both memory and time per link bounded.
            if best.len() >= depth + SORTED_SURPLUS {
                best.sort_by(Ranked::order);
                best.truncate(depth);
            }
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        best.sort_by(Ranked::order);
        let page = best.into_iter().take(depth).skip(depth - query.limit);
        let (mut links, mut bytes) = (Vec::new(), 0);
        for ranked in page {
            // A link deleted since is left out.
            let Some(found) = self.table.link_by_id(workspace, ranked.id)? else { continue };
            let link = shorten(found.record);
            bytes += listed_bytes(&link);
            if bytes > PAGE_BYTES && !links.is_empty() {
                return Err(too_long(links.len()));
            }
            links.push(link);
        }
        self.filled(query, links, total, None)
    }

    fn rank(&self, sort: Sort, link: &Link) -> Result<Ranked, Error> {
        let clicks = if sort == Sort::Clicks { self.clicks_of(link)? } else { 0 };
        let title =
            (sort == Sort::Title).then(|| link.options.title.as_deref().map(str::to_lowercase)).flatten();
        Ok(Ranked { clicks, title, id: link.id })
    }

    fn filled(
        &self,
        query: &LinkQuery,
        links: Vec<Link>,
        total: u64,
        next: Option<Id>,
    ) -> Result<Page, Error> {
        let links = links.into_iter().map(|link| self.view(link)).collect::<Result<_, _>>()?;
        Ok(Page { links, total, next, ..empty(query) })
    }
}

struct Ranked {
    clicks: u64,
    title: Option<String>,
    id: Id,
}

impl Ranked {
    /// Most clicks first; titles in order, those without last; then the newest.
    fn order(&self, other: &Ranked) -> Ordering {
        let clicks = other.clicks.cmp(&self.clicks);
        let titles = match (&self.title, &other.title) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            (ours, theirs) => theirs.is_some().cmp(&ours.is_some()),
        };
        clicks.then(titles).then(other.id.cmp(&self.id))
    }
}

/// Takes what no list shows out of a link: a page holds up to 100 of them.
pub(super) fn shorten(mut link: Link) -> Link {
    let options = &mut link.options;
    options.description = None;
    options.image = None;
    options.expired_url = None;
    options.webhook_urls = Vec::new();
    options.notes = None;
    link
}

/// Returns how many bytes a shortened link takes as a view: its texts, the destination twice (as it is
/// stored and with its UTM parameters), and its tags at their longest.
pub(super) fn listed_bytes(link: &Link) -> usize {
    let options = &link.options;
    let title = options.title.as_ref().map_or(0, |title| title.len());
    let utm = options.target().as_str().len();
    LISTED_FIXED + options.destination.as_str().len() + utm + title + options.tags.len() * TAG_BYTES
}

fn too_long(fits: usize) -> Error {
    let why = format!("must be at most {fits} here: the links of this page are longer than 512 KB together");
    Invalid::new("limit", why).into()
}

fn empty(query: &LinkQuery) -> Page {
    let page = match query.at {
        Cursor::Page(page) => page,
        Cursor::After(_) => 1,
    };
    Page { links: Vec::new(), total: 0, page, limit: query.limit, next: None }
}
