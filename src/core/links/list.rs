//! Lists of links: filtered, sorted, by page or by cursor.
//!
//! In the order of creation, a page costs the links that it shows and skips. By the latest click, the first
//! links of a whole workspace are known: see [`super::ranked`]. Other orders and searches of a workspace with many links
//! read its index: see [`super::indexed`]. Without one they read the whole list, but keep only what the page needs.
//! `links.scan_max` bounds their cost. A page that would cost more is marked `incomplete`, and in the order of creation
//! its cursor continues where it ended.
//!
//! A cursor of another order is the place of the last link: what it was sorted by, and its id. A link whose clicks
//! or title change between two pages may be missed or shown twice; all others are shown once.
//!
//! Long reads are cut into slices on the [`crate::core::pools::cpu_pool`]. Between slices other tenants get
//! their turns, and a client that hung up ends the read.

use super::list_source::ListSource;
use super::query::{Cursor, LinkQuery, Page, RankedPlace, Sort};
use super::ranked::FirstRows;
use super::recent::RecentKey;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::Invalid;
use crate::model::id::Id;
use crate::model::link::{Link, TITLE_MAX};
use crate::model::workspace::WorkspaceNumber;
use crate::table::{Found, List, Order, ReadView, Scanned};

/// Most rows of a sorted list up to the end of a page. The sort keys of all of them are in memory.
const SORTED_ROWS_MAX: usize = 10_000;
const SORTED_DEPTH_MAX: u64 = SORTED_ROWS_MAX as u64;

/// Rows that are collected beyond the depth of a sorted list before the surplus is dropped.
const SORTED_SURPLUS: usize = 1_024;

/// Bytes of one row while a list is sorted: without a title, and with the longest title.
const RANKED_BYTES: usize = 64;
const RANKED_TITLE_BYTES: usize = 64 + 4 * TITLE_MAX;

/// Bytes of a match that waits for the clicks of its slice, for each row of a sorted list.
const PENDING_BYTES: usize = 160;

/// Most bytes of the links on one page, as [`listed_bytes`] counts them: 100 links of 5 KB each, where usual
/// links have some 500 bytes. A page of longer links ends early and has a cursor for the rest. A request
/// without a cursor is rejected with the limit that fits.
const PAGE_BYTES: usize = 512 * 1024;

/// Bytes of a scan of an index: a block of entries, and one bit for each of two million links.
const SCAN_BYTES: usize = 512 * 1024;

/// Most bytes of one link as record, view and text together, by the bounds of its fields.
pub const LINK_BYTES_MAX: usize = 416 * 1024;

/// Like [`LINK_BYTES_MAX`], for a link in a list, which shows fewer fields: texts of some 64 KB, and rules.
const LISTED_BYTES_MAX: usize = 64 * 1024 + 96 * 1024;

/// A growing text buffer may be twice as large as its text, besides the views that the text is made from.
const PER_LISTED_BYTE: usize = 3;

/// Most bytes of one tag in a view.
const TAG_BYTES: usize = 4 * crate::model::tag::NAME_MAX + 96;

/// Bytes of a link's numbers, dates and names in a list.
const LISTED_FIXED: usize = 800;

/// Steps of one slice ([`crate::table::Table::scan`]): some 2 to 30 milliseconds, which another tenant's
/// search waits for.
pub(in crate::core) const SLICE_STEPS: u64 = 10_000;

impl Links {
    /// Returns a page of the acting workspace's links.
    pub async fn list(&self, context: &Context, query: LinkQuery) -> Result<Page, Error> {
        if query.wants_index()
            && let Some(page) = self.list_indexed(context, &query).await?
        {
            return Ok(page);
        }
        let is_scan = query.is_scan();
        let mut search = ListReader::new(context.workspace.number, query, self.shared.settings.scan_max);
        // A page in the order of creation is read outside of the pool, unless it lies behind the many links
        // that an import has staged.
        if !is_scan {
            // One page is short, so it is not cancelled.
            let read = self.blocking(move |shared| search.slice(shared, &Cancel::default())).await?;
            match read {
                SliceResult::Page(page) => return Ok(*page),
                SliceResult::Rest(rest) => search = rest,
            }
        }
        let mut read = self.scanning(&context.tenant, |shared, cancel| search.slice(shared, cancel)).await?;
        loop {
            match read {
                SliceResult::Page(page) => return Ok(*page),
                SliceResult::Rest(rest) => {
                    // The read was admitted with its first slice, so later slices are never rejected.
                    let slice = move |shared: &Shared, cancel: &Cancel| rest.slice(shared, cancel);
                    read = self.resume_scanning(&context.tenant, slice).await?;
                }
            }
        }
    }
}

impl LinkQuery {
    /// Returns the most bytes that the page may take while it is built: views and text, the link being read,
    /// and the sort keys of a sorted list.
    pub fn largest_bytes(&self) -> usize {
        let page = PER_LISTED_BYTE * (self.limit * LISTED_BYTES_MAX).min(PAGE_BYTES + LISTED_BYTES_MAX);
        let row = match self.sort {
            Sort::Newest | Sort::Oldest => 0,
            Sort::Clicks => RANKED_BYTES,
            // The matches of a slice wait for their clicks.
            Sort::Recent | Sort::LastClick => RANKED_BYTES + PENDING_BYTES,
            Sort::Title => RANKED_TITLE_BYTES,
        };
        let depth = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64).min(SORTED_DEPTH_MAX),
            Cursor::After(_) => 0,
            Cursor::Behind(_) => self.limit as u64,
        };
        let rows = usize::try_from(depth).unwrap_or(0) + SORTED_SURPLUS;
        let scan = if self.wants_index() { SCAN_BYTES } else { 0 };
        LINK_BYTES_MAX / 2 + page + row * rows + scan
    }

    /// Returns whether the query reads many links: those that it filters or sorts, or those of earlier pages.
    pub(super) fn is_scan(&self) -> bool {
        // Links of earlier pages are skipped one by one, so a deep page is a long read.
        let is_deep = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64) > SORTED_DEPTH_MAX,
            Cursor::After(_) | Cursor::Behind(_) => false,
        };
        let has_tag = self.tag.is_some() || self.tag_named.is_some();
        // A tag or a campaign has a list of its own. With both, one of them is a filter.
        let is_both = has_tag && self.campaign.is_some();
        is_deep || self.is_filtered() || is_both || !self.sort.is_of_creation()
    }

    /// Returns whether the query has filters without a list of their own.
    fn is_filtered(&self) -> bool {
        self.search.is_some()
            || self.domain.is_some()
            || !self.state.admits_all()
            || self.unclicked_days.is_some()
            || self.only_broken
            // Several campaigns may have the name.
            || self.campaign_named.is_some()
    }

    /// Returns whether the query is about all links of the workspace.
    pub(super) fn is_unfiltered(&self) -> bool {
        let has_tag = self.tag.is_some() || self.tag_named.is_some();
        !has_tag && self.campaign.is_none() && !self.is_filtered()
    }

    /// Removes the fields that the page does not show.
    fn shorten(&self, mut link: Link) -> Link {
        let rules = link.options.rules.take().filter(|_| self.shows_rules);
        let mut link = shorten(link);
        link.options.rules = rules;
        link
    }

    fn order(&self) -> Order {
        match self.sort {
            Sort::Oldest => Order::Oldest,
            Sort::Newest | Sort::Clicks | Sort::Recent | Sort::LastClick | Sort::Title => Order::Newest,
        }
    }
}

/// The result of one slice.
enum SliceResult {
    Page(Box<Page>),
    Rest(Box<ListReader>),
}

/// A list between two slices.
struct ListReader {
    workspace: WorkspaceNumber,
    query: LinkQuery,
    /// `None` before the first slice.
    source: Option<ListSource>,
    view: ReadView,
    part: ListPart,
    /// The id after which the next slice begins.
    after: Option<Id>,
    /// Steps that are left.
    steps: u64,
    gathered: Gathered,
}

/// The part of the list that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListPart {
    /// From the beginning of the page: its links and, for the total of a filtered list, all that follow.
    Page,
    /// From the beginning of the list to the cursor, for the total.
    BeforeCursor,
    /// All of a list that must be sorted.
    Sorted,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Gathered {
    /// Matches on earlier pages that are still to be skipped.
    skip: u64,
    links: Vec<Link>,
    /// Bytes of the links, as [`listed_bytes`] counts them.
    bytes: usize,
    /// Whether another match follows.
    more: bool,
    /// Whether the page ended at [`PAGE_BYTES`].
    is_cut: bool,
    /// The first rows of a sorted list, behind its cursor.
    pub(super) best: Vec<RankedPlace>,
    /// Number of matches.
    pub(super) total: u64,
}

impl ListReader {
    fn new(workspace: WorkspaceNumber, query: LinkQuery, steps: u64) -> Box<ListReader> {
        let (after, skip) = match query.at {
            Cursor::After(id) => (Some(id), 0),
            Cursor::Behind(_) => (None, 0),
            // Pages count from 1.
            Cursor::Page(page) => (None, (page - 1).saturating_mul(query.limit as u64)),
        };
        let part = if query.sort.is_of_creation() { ListPart::Page } else { ListPart::Sorted };
        let gathered = Gathered { skip, ..Gathered::default() };
        let (source, view) = (None, ReadView::default());
        Box::new(ListReader { workspace, query, source, view, part, after, steps, gathered })
    }

    /// Reads one slice.
    fn slice(mut self: Box<ListReader>, shared: &Shared, cancel: &Cancel) -> Result<SliceResult, Error> {
        if self.source.is_none() {
            // Before any read: a page that lies too deep costs nothing.
            shared.check_sort(&self.query)?;
            // Fixed at the first slice, so that all slices show the same imports.
            self.view = shared.table.view(self.workspace)?;
            self.source = shared.source(self.workspace, &self.query)?;
            if let (Some(source), Some(days)) = (&mut self.source, self.query.unclicked_days) {
                source.filter.exclude(shared.clicked_in(self.workspace, days, cancel)?);
            }
            let is_known = self.part == ListPart::Sorted
                && self.source.as_ref().is_some_and(ListSource::is_workspace)
                && self.take_first(shared, cancel)?;
            if let Some(source) = self.source.take_if(|_| is_known) {
                return self.page(shared, &source, true).map(|page| SliceResult::Page(Box::new(page)));
            }
        }
        let Some(source) = self.source.take() else {
            return Ok(SliceResult::Page(Box::new(empty(&self.query))));
        };
        let slice = SLICE_STEPS.min(self.steps);
        let mut left = slice;
        let scanned = self.read(shared, &source, cancel, &mut left)?;
        self.steps -= slice - left;
        let is_whole = !source.filter.admits_all();
        let ended = match scanned {
            Scanned::Spent(at) => {
                self.after = Some(at);
                false
            }
            Scanned::End | Scanned::Stopped => {
                let is_counted = !is_whole || self.part != ListPart::Page;
                // Behind a cursor only the rest was counted. The matches before it are counted now.
                if !is_counted && matches!(self.query.at, Cursor::After(_)) {
                    (self.part, self.after) = (ListPart::BeforeCursor, None);
                    false
                } else {
                    true
                }
            }
        };
        if !ended && self.steps > 0 {
            self.source = Some(source);
            return Ok(SliceResult::Rest(self));
        }
        self.page(shared, &source, ended).map(|page| SliceResult::Page(Box::new(page)))
    }

    /// Takes the first links of the whole workspace from where they are known. Returns false if all links must be read.
    fn take_first(&mut self, shared: &Shared, cancel: &Cancel) -> Result<bool, Error> {
        if self.query.sort != Sort::LastClick {
            return Ok(false);
        }
        let behind = match &self.query.at {
            Cursor::Behind(place) => Some((place.number, place.id)),
            Cursor::Page(_) | Cursor::After(_) => None,
        };
        // One more than the page shows, which tells whether another page follows.
        let want = FirstRows { workspace: self.workspace, behind, count: self.query.depth()? + 1 };
        // Behind what is kept in memory, each page reads all links.
        let Some(first) = shared.first_by_last_click(&want, cancel)? else { return Ok(false) };
        let ranked = |(number, id)| RankedPlace { number, title: None, id };
        self.gathered.best = first.into_iter().map(ranked).collect();
        self.gathered.total = shared.table.count(self.workspace, &List::All)?;
        Ok(true)
    }

    fn read(
        &mut self,
        shared: &Shared,
        source: &ListSource,
        cancel: &Cancel,
        steps: &mut u64,
    ) -> Result<Scanned, Error> {
        let ListReader { workspace, query, view, part, after, gathered, .. } = self;
        let order = query.order();
        // The callback can only stop the scan, so its error is returned afterwards.
        let mut failure = None;
        // Ranked behind the slice, all at once: neighbours share the blocks of the details of their clicks.
        let mut pending = Vec::new();
        let mut each = |found: Found<Link>| {
            let link = found.record;
            // From the cursor on, the first part has counted.
            if *part == ListPart::BeforeCursor && is_behind_cursor(&query.at, order, link.id) {
                return false;
            }
            if !source.filter.admits(&link) {
                // Also between links that do not match: a search may find nothing for long.
                return !cancel.is_set();
            }
            gathered.total += 1;
            let goes_on = match part {
                // The table has the total of an unfiltered list, so reading ends with the page.
                ListPart::Page => gathered.show(link, query) || !source.filter.admits_all(),
                ListPart::BeforeCursor => true,
                ListPart::Sorted if query.sort.needs_details() => {
                    pending.push(RecentKey::of_link(&link));
                    true
                }
                ListPart::Sorted => match shared.rank(query.sort, &link) {
                    Ok(ranked) => gathered.rank(ranked, query),
                    Err(error) => {
                        failure = Some(error);
                        false
                    }
                },
            };
            goes_on && !cancel.is_set()
        };
        let scanned = shared.table.scan(view, *workspace, &source.list, order, *after, steps, &mut each)?;
        for ranked in shared.rank_recent(query.sort, &pending, cancel)? {
            gathered.rank(ranked, query);
        }
        failure.map_or(Ok(scanned), Err)
    }

    /// Returns the page of what was found. If the list is not `is_complete`, the page has what the steps
    /// reached.
    fn page(self, shared: &Shared, source: &ListSource, is_complete: bool) -> Result<Page, Error> {
        let ListReader { workspace, query, part, after, mut gathered, .. } = self;
        let next = if part == ListPart::Sorted {
            gathered.sorted_page(shared, workspace, &query)?.map(Cursor::Behind)
        } else {
            // Without a cursor, a shorter page would be read as the end of the list (docs/decisions.md 3).
            if gathered.is_cut && query.is_whole {
                return Err(too_long(gathered.links.len()));
            }
            let is_cut = !is_complete && part == ListPart::Page;
            let is_full = gathered.links.len() == query.limit;
            if source.filter.admits_all() {
                gathered.total = shared.table.count(workspace, &source.list)?;
            }
            // A full page continues behind its last link, any other where reading ended.
            let next = match gathered.links.last() {
                Some(last) if gathered.more || (is_cut && is_full) => Some(last.id),
                _ if is_cut => after,
                _ => None,
            };
            next.map(Cursor::After)
        };
        let links = gathered.links.into_iter().map(|link| shared.view(link)).collect::<Result<_, _>>()?;
        Ok(Page { links, total: gathered.total, next, incomplete: !is_complete, ..empty(&query) })
    }
}

impl Shared {
    /// Fails if the order needs details of clicks, and there are none, or if a page of a sorted list lies too deep.
    pub(super) fn check_sort(&self, query: &LinkQuery) -> Result<(), Invalid> {
        if query.sort.needs_details() && self.analytics.is_none() {
            let why = "must be newest, oldest, clicks or title here: this server keeps no details of clicks";
            return Err(Invalid::new("sort", why));
        }
        if query.unclicked_days.is_some() && self.analytics.is_none() {
            let why = "needs details of clicks, and this server keeps none";
            return Err(Invalid::new("noClicksDays", why));
        }
        if query.sort.is_of_creation() { Ok(()) } else { query.depth().map(drop) }
    }
}

fn is_behind_cursor(at: &Cursor, order: Order, id: Id) -> bool {
    match (at, order) {
        (Cursor::After(cursor), Order::Newest) => id < *cursor,
        (Cursor::After(cursor), Order::Oldest) => id > *cursor,
        (Cursor::Page(_) | Cursor::Behind(_), _) => false,
    }
}

impl Gathered {
    /// Creates what was found in a list with `total` matches.
    pub(super) fn of(total: u64) -> Gathered {
        Gathered { total, ..Gathered::default() }
    }

    /// Adds a match in the order of creation. Returns whether the page may need another one.
    pub(super) fn show(&mut self, link: Link, query: &LinkQuery) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.more || self.links.len() == query.limit {
            self.more = true;
        } else {
            // Shortened before it is counted: the page keeps no field that it does not show.
            let link = query.shorten(link);
            self.bytes += listed_bytes(&link);
            // The first link always fits, so that every page makes progress.
            if self.bytes > PAGE_BYTES && !self.links.is_empty() {
                (self.more, self.is_cut) = (true, true);
            } else {
                self.links.push(link);
            }
        }
        !self.more
    }

    /// Adds a match of a sorted list.
    pub(super) fn rank(&mut self, ranked: RankedPlace, query: &LinkQuery) -> bool {
        if ranked.is_behind(&query.at) {
            self.best.push(ranked);
        }
        // Dropping the surplus in batches bounds both memory and time per link.
        let depth = query.depth().unwrap_or(SORTED_ROWS_MAX);
        if self.best.len() >= depth + SORTED_SURPLUS {
            self.best.sort_by(RankedPlace::order);
            // One more than the page shows, which tells whether another page follows.
            self.best.truncate(depth + 1);
        }
        // A sort must read every match.
        true
    }

    /// Returns the page of a list that was read whole.
    pub(super) fn into_page(
        mut self,
        shared: &Shared,
        workspace: WorkspaceNumber,
        query: &LinkQuery,
    ) -> Result<Page, Error> {
        let next = if query.sort.is_of_creation() {
            // Without a cursor, a shorter page would be read as the end of the list.
            if self.is_cut && query.is_whole {
                return Err(too_long(self.links.len()));
            }
            self.links.last().filter(|_| self.more).map(|last| Cursor::After(last.id))
        } else {
            self.sorted_page(shared, workspace, query)?.map(Cursor::Behind)
        };
        let links = self.links.into_iter().map(|link| shared.view(link)).collect::<Result<_, _>>()?;
        Ok(Page { links, total: self.total, next, ..empty(query) })
    }

    /// Takes the links of the page of a sorted list. Returns the place of its last row if more rows follow.
    fn sorted_page(
        &mut self,
        shared: &Shared,
        workspace: WorkspaceNumber,
        query: &LinkQuery,
    ) -> Result<Option<RankedPlace>, Error> {
        let depth = query.depth()?;
        self.best.sort_by(RankedPlace::order);
        let best = std::mem::take(&mut self.best);
        let has_more = best.len() > depth;
        let mut last = None;
        for ranked in best.into_iter().take(depth).skip(depth - query.limit) {
            // A link that was deleted since is left out. The next page begins behind its place all the same.
            if let Some(found) = shared.table.link_by_id(workspace, ranked.id)? {
                let link = query.shorten(found.record);
                self.bytes += listed_bytes(&link);
                if self.bytes > PAGE_BYTES && !self.links.is_empty() {
                    // Without a cursor, a shorter page would be read as the end of the list.
                    return if query.is_whole { Err(too_long(self.links.len())) } else { Ok(last) };
                }
                self.links.push(link);
            }
            last = Some(ranked);
        }
        Ok(last.filter(|_| has_more))
    }
}

impl LinkQuery {
    /// Returns the number of the last row of a page of a sorted list, from its cursor. Fails if the page lies too deep.
    pub(super) fn depth(&self) -> Result<usize, Invalid> {
        let depth = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64),
            Cursor::Behind(_) => self.limit as u64,
            Cursor::After(_) => {
                return Err(Invalid::new("cursor", "must be the nextCursor of a page with the same sort"));
            }
        };
        if depth > SORTED_DEPTH_MAX {
            let why = "reaches deeper than 10000 links, which only a cursor or the order of creation can";
            return Err(Invalid::new("page", why));
        }
        Ok(usize::try_from(depth).unwrap_or(SORTED_ROWS_MAX))
    }
}

/// Removes the fields that lists do not show, since a page has up to 100 links.
pub(in crate::core) fn shorten(mut link: Link) -> Link {
    let options = &mut link.options;
    options.description = None;
    options.image = None;
    options.expired_url = None;
    options.webhook_urls = Vec::new();
    options.head_tags = None;
    options.body_tags = None;
    options.notes = None;
    options.rules = None;
    link
}

/// Returns how many bytes a shortened link takes in a view: its texts, the destination twice (as stored and
/// with its UTM parameters), its rules, and its tags at their longest.
pub(in crate::core) fn listed_bytes(link: &Link) -> usize {
    let options = &link.options;
    let title = options.title.as_ref().map_or(0, |title| title.len());
    let utm = options.target().as_str().len();
    let rules = options.rules.as_ref().map_or(0, |rules| rules.shown_bytes());
    LISTED_FIXED + options.destination.as_str().len() + utm + title + rules + options.tags.len() * TAG_BYTES
}

fn too_long(fits: usize) -> Error {
    let why = format!("must be at most {fits} here: the links of this page are longer than 512 KB together");
    Invalid::new("limit", why).into()
}

pub(super) fn empty(query: &LinkQuery) -> Page {
    let page = match query.at {
        Cursor::Page(page) => page,
        Cursor::After(_) | Cursor::Behind(_) => 1,
    };
    Page {
        links: Vec::new(),
        total: 0,
        page,
        sort: query.sort,
        limit: query.limit,
        next: None,
        incomplete: false,
    }
}
