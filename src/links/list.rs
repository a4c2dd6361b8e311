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
use crate::model::link::Link;
use crate::model::workspace::WorkspaceNumber;
use crate::table::{List, Order};

/// Deepest row of a sorted list: everything before it is held in memory.
const SORTED_DEPTH_MAX: u64 = 10_000;

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
        // How many match is told by looking at each, which then is done once, from the beginning.
        let is_whole = !filter.admits_all();
        let is_before = |id: Id| match order {
            Order::Newest => after.is_some_and(|after| id >= after),
            Order::Oldest => after.is_some_and(|after| id <= after),
        };
        let mut links: Vec<Link> = Vec::with_capacity(query.limit);
        let (mut more, mut total) = (false, 0);
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
            if links.len() == query.limit {
                more = true;
                return is_whole;
            }
            links.push(found.record);
            true
        })?;
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
            match self.rank(query.sort, found.record) {
                Ok(ranked) => best.push(ranked),
                Err(error) => failure = Some(error),
            }
            // Sorting at twice the depth keeps both memory and time per link bounded.
            if best.len() >= 2 * depth + 1_024 {
                best.sort_by(Ranked::order);
                best.truncate(depth);
            }
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        best.sort_by(Ranked::order);
        let links =
            best.into_iter().take(depth).skip(depth - query.limit).map(|ranked| ranked.link).collect();
        self.filled(query, links, total, None)
    }

    fn rank(&self, sort: Sort, link: Link) -> Result<Ranked, Error> {
        let clicks = if sort == Sort::Clicks { self.clicks_of(&link)? } else { 0 };
        let title =
            (sort == Sort::Title).then(|| link.options.title.as_deref().map(str::to_lowercase)).flatten();
        Ok(Ranked { clicks, title, link })
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
    link: Link,
}

impl Ranked {
    /// Most clicks first; titles in order, those without last; then the newest.
    fn order(&self, other: &Ranked) -> Ordering {
        let clicks = other.clicks.cmp(&self.clicks);
        let titles = match (&self.title, &other.title) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            (ours, theirs) => theirs.is_some().cmp(&ours.is_some()),
        };
        clicks.then(titles).then(other.link.id.cmp(&self.link.id))
    }
}

fn empty(query: &LinkQuery) -> Page {
    let page = match query.at {
        Cursor::Page(page) => page,
        Cursor::After(_) => 1,
    };
    Page { links: Vec::new(), total: 0, page, limit: query.limit, next: None }
}
