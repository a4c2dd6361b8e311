//! Lists of workspaces with many links, from their index: see [`crate::core::link_index`]. A list is read whole, and is never
//! `incomplete`.

use std::collections::HashMap;
use std::sync::Arc;

use super::index_read::{IndexRead, IndexStep};
use super::list::{Gathered, empty};
use super::list_source::ListSource;
use super::query::{Cursor, LinkQuery, Page, RankedPlace, Sort};
use super::ranked::unread;
use super::recent::{since, since_days};
use crate::analytics::store::RecentClicks;
use crate::core::context::Context;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::link_index::filter::EntryFilter;
use crate::core::link_index::numbers::NumberTop;
use crate::core::link_index::scan::IndexMatches;
use crate::core::link_index::slots::SlotSet;
use crate::core::link_index::titles::TitleRow;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::model::id::{ForeignId, Id};
use crate::model::workspace::WorkspaceNumber;
use crate::table::List;

/// Click totals that one slice reads: some 20 ms.
const SLICE_TOTALS: usize = 20_000;

/// Matches that one slice ranks by the totals of the index.
const SLICE_NUMBERS: usize = 200_000;

/// Rows beyond the page: links that were clicked lately may be before the cursor by now.
const UNCERTAIN: usize = 1_024;

/// How often a list begins again with another index before it reads the table.
const ATTEMPTS: usize = 3;

/// Rows of a list by title beyond the page, for links that change during the scan.
const SPARE_ROWS: usize = 64;

/// Fewest links before the end of a page that are not read one by one.
const DEEP: u64 = 1_000;

/// A list from an index, between two slices.
struct IndexedList {
    read: IndexRead,
    query: LinkQuery,
    ranking: Option<Box<ClickRanking>>,
}

/// The matches while they are ranked by their clicks.
struct ClickRanking {
    matches: SlotSet,
    /// The slot before which the next slice begins.
    end: u32,
    gathered: Gathered,
    /// The first rows by the numbers of the index.
    top: NumberTop,
    /// The links whose totals the index may lack.
    lately: Vec<Id>,
}

/// What a slice leads to.
enum ListProgress {
    Page(Box<Page>),
    More(Box<IndexedList>),
    /// The index is lost, or there is none.
    Lost,
}

impl Links {
    /// Returns a page from the index of the acting workspace. Returns `None` if the workspace has too few links for one, or
    /// if it cannot be kept, as on a full disk.
    pub(super) async fn list_indexed(
        &self,
        context: &Context,
        query: &LinkQuery,
    ) -> Result<Option<Page>, Error> {
        for _ in 0..ATTEMPTS {
            let (query, workspace) = (query.clone(), Arc::clone(&context.workspace));
            let begin = move |shared: &Shared, _: &Cancel| {
                shared.begin_indexed(workspace.number, &workspace.company, query)
            };
            let Some(mut progress) = self.scanning(&context.tenant, begin).await? else { return Ok(None) };
            loop {
                match progress {
                    ListProgress::Page(page) => return Ok(Some(*page)),
                    ListProgress::Lost => break,
                    ListProgress::More(list) => {
                        // The read was admitted with its first slice, so later slices are never rejected.
                        let slice = move |shared: &Shared, _: &Cancel| list.slice(shared);
                        progress = self.resume_scanning(&context.tenant, slice).await?;
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Shared {
    fn broken_links(&self, workspace: WorkspaceNumber) -> Result<Vec<Id>, Error> {
        let mut ids = Vec::new();
        self.table.each_broken(workspace, &mut |id| ids.push(id))?;
        Ok(ids)
    }

    fn begin_indexed(
        &self,
        workspace: WorkspaceNumber,
        company: &ForeignId,
        query: LinkQuery,
    ) -> Result<Option<ListProgress>, Error> {
        let Some(index) = self.index_of(workspace, company)? else { return Ok(None) };
        // Before any read: a page that lies too deep costs nothing.
        self.check_sort(&query)?;
        let Some(source) = self.source(workspace, &query)? else {
            return Ok(Some(ListProgress::Page(Box::new(empty(&query)))));
        };
        // The list of broken links is one of the table, without an index of its own.
        let among = if query.only_broken { Some(self.broken_links(workspace)?) } else { None };
        // Links that change during the scan leave the list.
        let titles = match query.sort {
            Sort::Title => Some((query.depth()? + 1 + SPARE_ROWS, query.at.clone())),
            _ => None,
        };
        let unclicked_from = query.unclicked_days.map(|days| since_days(self.clock.now(), days));
        let filter = entry_filter(source);
        let read = IndexRead { index, filter, among, unclicked_from, titles, scan: None };
        Ok(Some(ListProgress::More(Box::new(IndexedList { read, query, ranking: None }))))
    }
}

/// Returns what a source reads as a filter of all links.
fn entry_filter(source: ListSource) -> EntryFilter {
    let ListSource { list, filter } = source;
    let mut filter = filter.of_entries();
    match list {
        // Broken links are no property of an entry: see `IndexedList::among`.
        List::All | List::Broken => {}
        List::Tag(tag) => filter.tag = Some(tag),
        List::Campaign(campaign) => filter.campaigns = Some(vec![campaign]),
    }
    filter
}

impl LinkQuery {
    /// Returns whether the index of the workspace answers sooner than its lists in the table.
    pub(super) fn wants_index(&self) -> bool {
        let is_deep = match self.at {
            Cursor::Page(page) => page.saturating_mul(self.limit as u64) > DEEP,
            Cursor::After(_) | Cursor::Behind(_) => false,
        };
        // The first links by the latest click are known: see `ranked.rs`.
        let is_known = self.sort == Sort::LastClick && self.is_unfiltered();
        (self.is_scan() || is_deep) && !is_known
    }
}

impl IndexedList {
    /// Reads one slice.
    fn slice(mut self: Box<IndexedList>, shared: &Shared) -> Result<ListProgress, Error> {
        if self.ranking.is_some() {
            return self.rank(shared);
        }
        match self.read.slice(shared)? {
            IndexStep::Done(found) => self.show(shared, found),
            IndexStep::More => Ok(ListProgress::More(self)),
            IndexStep::Lost => Ok(ListProgress::Lost),
        }
    }

    fn show(mut self: Box<IndexedList>, shared: &Shared, found: IndexMatches) -> Result<ListProgress, Error> {
        let mut gathered = Gathered::of(found.matches.count());
        match self.query.sort {
            Sort::Newest | Sort::Oldest => {
                self.show_in_order(shared, &found.matches, &mut gathered)?;
            }
            Sort::Title => {
                let slots: Vec<u32> = found.titles.iter().map(|row| row.slot).collect();
                let rows = found.titles.into_iter().zip(self.read.index.ids(&slots));
                let rows = rows.map(|(row, id)| place_of(row, id));
                // Some rows were spare: see `SPARE_ROWS`.
                gathered.best = rows.take(self.query.depth()? + 1).collect();
            }
            Sort::Clicks | Sort::Recent | Sort::LastClick => {
                // Ranked in slices of their own, so that another tenant waits for none of the two for long.
                let (matches, top) = (found.matches, self.numbers()?);
                let lately = Vec::new();
                self.ranking = Some(Box::new(ClickRanking { matches, end: u32::MAX, gathered, top, lately }));
                return Ok(ListProgress::More(self));
            }
        }
        self.end(shared, gathered)
    }

    /// Collects the page of a list in the order of creation.
    fn show_in_order(
        &self,
        shared: &Shared,
        matches: &SlotSet,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        let query = &self.query;
        let is_oldest = query.sort == Sort::Oldest;
        // One more than the page shows, which tells whether another page follows.
        let count = query.limit + 1;
        let skipped = |page: u64| (page - 1).saturating_mul(query.limit as u64);
        let slots: Vec<u32> = match (&query.at, is_oldest) {
            (Cursor::After(id), true) => {
                let from = self.read.index.slot_from(Id::from_bits(id.bits().saturating_add(1)));
                matches.ascending(from).take(count).collect()
            }
            (Cursor::After(id), false) => {
                matches.descending(self.read.index.slot_from(*id)).take(count).collect()
            }
            (Cursor::Page(page), true) => {
                matches.ascending(matches.behind_first(skipped(*page))).take(count).collect()
            }
            (Cursor::Page(page), false) => {
                matches.descending(matches.before_last(skipped(*page))).take(count).collect()
            }
            (Cursor::Behind(_), _) => Vec::new(),
        };
        for id in self.read.index.ids(&slots) {
            // A link that was deleted since is left out.
            if let Some(found) = shared.table.link_by_id(self.read.index.workspace(), id)?
                && !gathered.show(found.record, query)
            {
                break;
            }
        }
        Ok(())
    }

    /// Returns what collects the rows of a list by a number.
    fn numbers(&self) -> Result<NumberTop, Error> {
        let behind = match &self.query.at {
            // Clicks that the index lacks only add to its numbers, so what is before the cursor stays there.
            Cursor::Behind(place) => Some((place.number, self.read.index.slot_from(place.id))),
            Cursor::Page(_) | Cursor::After(_) => None,
        };
        Ok(NumberTop::new(self.query.depth()? + 1 + UNCERTAIN, behind))
    }

    /// Ranks the next matches by their clicks.
    fn rank(mut self: Box<IndexedList>, shared: &Shared) -> Result<ListProgress, Error> {
        let Some(mut ranking) = self.ranking.take() else { return Ok(ListProgress::Lost) };
        let later = if self.query.sort.needs_details() {
            self.rank_by_details(shared, &mut ranking)?
        } else {
            self.rank_by_totals(shared, &mut ranking)?
        };
        let Some(later) = later else {
            self.ranking = Some(ranking);
            return Ok(ListProgress::More(self));
        };
        let ClickRanking { mut gathered, top, .. } = *ranking;
        gathered.best = self.first_rows(top, later)?;
        self.end(shared, gathered)
    }

    /// Returns the numbers of links with clicks that are in no file yet, once all matches were ranked.
    fn rank_by_details(
        &self,
        shared: &Shared,
        ranking: &mut ClickRanking,
    ) -> Result<Option<HashMap<u32, u64>>, Error> {
        let number: fn(RecentClicks) -> u64 = match self.query.sort {
            // By slot, as details have it: the time that is shown depends on the creation of the link.
            Sort::LastClick => |recent| recent.latest.map_or(0, |slot| u64::from(slot.0) + 1),
            _ => |recent| recent.clicks,
        };
        let (store, since) = (shared.click_store()?, since(shared.clock.now()));
        let ClickRanking { matches, top, .. } = ranking;
        self.read.index.rank_recent(store, since, matches, number, top).map_err(unread)
    }

    /// Ranks the next matches by the totals of the index. Returns the totals of links with clicks that the log does not have
    /// yet, once all were ranked.
    fn rank_by_totals(
        &self,
        shared: &Shared,
        ranking: &mut ClickRanking,
    ) -> Result<Option<HashMap<u32, u64>>, Error> {
        let (index, counters) = (&self.read.index, shared.cache.counters());
        if !index.read_clicks(&shared.table, SLICE_TOTALS)? {
            return Ok(None);
        }
        if ranking.end == u32::MAX {
            // Before the totals of the index: what is written in between is in both.
            ranking.lately = counters.clicked_lately();
        }
        let slots: Vec<u32> = ranking.matches.descending(ranking.end).take(SLICE_NUMBERS).collect();
        index
            .totals(&slots)
            .into_iter()
            .zip(&slots)
            .for_each(|(total, slot)| ranking.top.add((total, *slot)));
        if let Some(last) = slots.last() {
            ranking.end = *last;
            return Ok(None);
        }
        let matches = &ranking.matches;
        let later = ranking.lately.iter().filter_map(|id| {
            let slot = index.slot_of(*id).filter(|slot| matches.contains(*slot))?;
            // A counter that is forgotten has all its clicks in the table.
            let counter = counters.live(*id)?;
            Some((slot, counters.total(&counter)))
        });
        Ok(Some(later.collect()))
    }

    /// Returns the first rows by a number, with numbers that are `later` than those of the index.
    fn first_rows(&self, top: NumberTop, later: HashMap<u32, u64>) -> Result<Vec<RankedPlace>, Error> {
        let mut numbers: HashMap<u32, u64> =
            top.finish().into_iter().map(|(number, slot)| (slot, number)).collect();
        // Later numbers replace those of the index.
        numbers.extend(later);
        let (slots, numbers): (Vec<u32>, Vec<u64>) = numbers.into_iter().unzip();
        let rows = numbers.into_iter().zip(self.read.index.ids(&slots));
        let rows = rows.map(|(number, id)| RankedPlace { number, title: None, id });
        let mut rows: Vec<_> = rows.filter(|row| row.is_behind(&self.query.at)).collect();
        rows.sort_by(RankedPlace::order);
        // One more than the page shows, which tells whether another page follows.
        rows.truncate(self.query.depth()? + 1);
        Ok(rows)
    }

    fn end(self: Box<IndexedList>, shared: &Shared, gathered: Gathered) -> Result<ListProgress, Error> {
        let page = gathered.into_page(shared, self.read.index.workspace(), &self.query)?;
        Ok(ListProgress::Page(Box::new(page)))
    }
}

fn place_of(row: TitleRow, id: Id) -> RankedPlace {
    // From a title, so that it is UTF-8.
    let title = row.title.map(|title| String::from_utf8_lossy(&title).into_owned());
    RankedPlace { number: 0, title, id }
}
