//! What links are sorted by: their clicks, their title, and the details of their clicks. The first links of a whole workspace
//! by their latest click are found without a look at each link.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::query::{RankedPlace, Sort};
use super::recent::{RecentKey, since_days};
use crate::analytics::store::{ClickStore, RecentClicks, RecentError};
use crate::core::error::Error;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::log::Change;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::decode_clicks;
use crate::table::{Found, List, Order, ReadView, keys};

/// Most links in memory behind a cursor by the latest click, which is 32 bytes for each.
const LATEST_MAX: usize = 100_000;

/// Longest read of details. Past it the request fails with [`Error::Busy`].
const DEADLINE: Duration = Duration::from_secs(5);

/// Most links with a click in memory for a filter, which is 32 bytes for each. Behind them, links count as not clicked.
const CLICKED_MAX: usize = 1_000_000;

/// Returns the error of a request whose details of clicks cannot be read.
pub(super) fn unread(error: RecentError) -> Error {
    match error {
        RecentError::TooSlow => Error::Busy,
        error @ RecentError::Part(_) => Error::NotReady(error.to_string()),
    }
}

/// A link by its number in the order: the place of the latest click in time. 0 is a link without a click.
pub(super) type RankedId = (u64, Id);

/// The rows that a page of a sorted list needs.
#[derive(Debug)]
pub(super) struct FirstRows {
    pub(super) workspace: WorkspaceNumber,
    /// The row before the first one, `None` for the beginning of the list.
    pub(super) behind: Option<RankedId>,
    /// The number of rows.
    pub(super) count: usize,
}

impl FirstRows {
    /// Returns whether a row is behind the cursor.
    pub(super) fn has(&self, row: RankedId) -> bool {
        self.behind.is_none_or(|behind| row < behind)
    }
}

impl Shared {
    /// Returns the first links by their latest click.
    /// `None` if the cursor is behind those that are kept in memory.
    pub(super) fn first_by_last_click(
        &self,
        want: &FirstRows,
        cancel: &Cancel,
    ) -> Result<Option<Vec<RankedId>>, Error> {
        let store = self.click_store()?;
        let end = Instant::now() + DEADLINE;
        let mut keep = want.count;
        loop {
            let stops = || cancel.is_set() || Instant::now() > end;
            let top = store.latest(want.workspace, keep, &stops).map_err(unread)?;
            let mut rows: Vec<_> = top.all().collect();
            rows.sort_unstable_by(|a, b| b.cmp(a));
            let first = self.existing(want, &rows)?;
            // The store may have more links than it was asked for, and then has not read all of them.
            if first.len() < want.count && (top.is_cut() || rows.len() >= keep) {
                // All of them are in memory at once, so a cursor reaches no deeper than a page.
                if want.behind.is_some() && rows.len() > LATEST_MAX {
                    return Ok(None);
                }
                // Deleted links stay in the details for some time, and a cursor has links before it.
                keep = 2 * rows.len().max(keep);
                continue;
            }
            return self.with_unclicked(want, first, &rows, cancel).map(Some);
        }
    }

    /// Returns the links with a click in a number of days.
    pub(super) fn clicked_in(
        &self,
        workspace: WorkspaceNumber,
        days: u32,
        cancel: &Cancel,
    ) -> Result<HashSet<Id>, Error> {
        let store = self.click_store()?;
        let from = since_days(self.clock.now(), days);
        let end = Instant::now() + DEADLINE;
        let stops = || cancel.is_set() || Instant::now() > end;
        let latest = store.latest(workspace, CLICKED_MAX, &stops).map_err(unread)?;
        // One more than the slot of time.
        let clicked = latest.all().filter(|(number, _)| *number > u64::from(from.0));
        Ok(clicked.map(|(_, id)| id).collect())
    }

    /// Returns the details of clicks, once those of before the start were read.
    pub(super) fn click_store(&self) -> Result<&ClickStore, Error> {
        match &self.analytics {
            Some(analytics) if analytics.store.has_caught_up() => Ok(&analytics.store),
            // Numbers that are too low look like those of a link that nobody clicks.
            _ => Err(Error::NotReady("click details of before the start are being read".to_owned())),
        }
    }

    /// Returns the first of sorted links that are behind the cursor and exist.
    fn existing(&self, want: &FirstRows, rows: &[RankedId]) -> Result<Vec<RankedId>, Error> {
        let mut first = Vec::with_capacity(want.count.min(rows.len()));
        for row in rows.iter().filter(|row| want.has(**row)) {
            if first.len() == want.count {
                break;
            }
            if self.table.link_by_id(want.workspace, row.1)?.is_some() {
                first.push(*row);
            }
        }
        Ok(first)
    }

    /// Adds links without a click, the newest first, up to the number that is wanted.
    fn with_unclicked(
        &self,
        want: &FirstRows,
        mut first: Vec<RankedId>,
        clicked: &[RankedId],
        cancel: &Cancel,
    ) -> Result<Vec<RankedId>, Error> {
        if first.len() == want.count {
            return Ok(first);
        }
        let clicked: HashSet<Id, ahash::RandomState> = clicked.iter().map(|(_, id)| *id).collect();
        let mut view = self.table.view(want.workspace)?;
        // The links before the last one of the page are at most those with a click and as many others as are wanted.
        let mut steps = u64::MAX;
        let mut each = |found: Found<Link>| {
            let id = found.record.id;
            if !clicked.contains(&id) {
                first.push((0, id));
            }
            first.len() < want.count && !cancel.is_set()
        };
        let view: &mut ReadView = &mut view;
        // A cursor without a click is among these links.
        let after = want.behind.filter(|(number, _)| *number == 0).map(|(_, id)| id);
        self.table.scan(view, want.workspace, &List::All, Order::Newest, after, &mut steps, &mut each)?;
        Ok(first)
    }

    /// Returns the place of a link in an order that needs no details of clicks.
    pub(super) fn rank(&self, sort: Sort, link: &Link) -> Result<RankedPlace, Error> {
        // Clicks cost a look-up per link, so only their own order reads them.
        let clicks = if sort == Sort::Clicks { self.clicks_of(link)? } else { 0 };
        let title =
            (sort == Sort::Title).then(|| link.options.title.as_deref().map(str::to_lowercase)).flatten();
        Ok(RankedPlace { number: clicks, title, id: link.id })
    }

    /// Returns the ranks of links by the details of their clicks.
    pub(super) fn rank_recent(
        &self,
        sort: Sort,
        links: &[RecentKey],
        cancel: &Cancel,
    ) -> Result<Vec<RankedPlace>, Error> {
        let recent = self.recent_clicks(links, &|| cancel.is_set())?;
        let rank = |(link, recent): (&RecentKey, RecentClicks)| RankedPlace {
            number: match sort {
                // By slot, as details have it: the time that is shown depends on the creation of the link.
                Sort::LastClick => recent.latest.map_or(0, |slot| u64::from(slot.0) + 1),
                _ => recent.clicks,
            },
            title: None,
            id: link.id(),
        };
        Ok(links.iter().zip(recent).map(rank).collect())
    }

    /// Notes the click totals of a Change, for lists by clicks.
    pub(in crate::core) fn note_totals(&self, change: &Change) {
        // First: most servers have no such list, and a Change may have thousands of totals.
        let indexes = self.indexes.with_clicks();
        if indexes.is_empty() {
            return;
        }
        for put in change.entries.iter().map(|entry| &entry.put) {
            let Some((id, node)) = keys::parse_clicks(&put.key) else { continue };
            let Ok(total) = put.value.as_ref().map_or(Ok(0), |value| decode_clicks(value)) else { continue };
            match self.total_of_all(id, node, total) {
                // The workspace of a link is not in its total.
                Ok(total) => indexes.iter().for_each(|index| index.note_total(id, total)),
                Err(error) => {
                    // An index that missed a total would be wrong for good.
                    tracing::debug!(%error, "the indexes of links are built again");
                    return self.indexes.clear();
                }
            }
        }
    }

    /// Returns the clicks of a link on all nodes, of which one has this total now.
    fn total_of_all(&self, id: Id, node: NodeNumber, total: u64) -> Result<u64, Error> {
        if node == NodeNumber::ALONE {
            return Ok(total);
        }
        Ok(total + self.table.clicks(id, node)?.others.iter().map(|(_, total)| total).sum::<u64>())
    }
}
