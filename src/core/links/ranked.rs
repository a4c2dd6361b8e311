//! The first links of a whole workspace by clicks or by their latest click, without a look at each link.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::list::SLICE_STEPS;
use super::query::{RankedPlace, Sort};
use super::rankings::{FirstRows, KnownRows, RankedId, RankedLinks};
use super::recent::RecentKey;
use crate::analytics::store::{RecentClicks, RecentError};
use crate::core::error::Error;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::log::Put;
use crate::model::id::Id;
use crate::model::link::Link;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::decode_clicks;
use crate::table::{Found, List, Order, ReadView, keys};

/// Links behind the last one of a page that are sorted again by their counters.
const UNCERTAIN: usize = 1_024;

/// Most links in memory behind a cursor by the latest click, which is 32 bytes for each.
const LATEST_MAX: usize = 100_000;

/// Longest read of details. Past it the request fails with [`Error::Busy`].
const DEADLINE: Duration = Duration::from_secs(5);

impl Shared {
    /// Returns whether a workspace has so many links that lists by clicks use a ranking.
    pub(super) fn needs_ranking(&self, workspace: WorkspaceNumber) -> Result<bool, Error> {
        // A shorter list is read at once, with the clicks of this moment.
        Ok(self.table.count(workspace, &List::All)? > SLICE_STEPS.min(self.settings.scan_max))
    }

    /// Returns the first links by their clicks.
    pub(super) fn first_by_clicks(&self, want: &FirstRows, cancel: &Cancel) -> Result<KnownRows, Error> {
        let Some(RankedLinks { mut rows, is_cut }) = self.rankings.get(want.workspace) else {
            return Ok(KnownRows::Unbuilt);
        };
        rows.sort_unstable_by(|a, b| b.cmp(a));
        // Totals in counters are never lower, so what is before the cursor stays there.
        let from = rows.partition_point(|row| !want.has(*row));
        // The clicks of the last second are in the counters only. Of the links far behind the page, they change nothing.
        for (clicks, id) in rows[from..].iter_mut().take(want.count + UNCERTAIN) {
            if let Some(counter) = self.cache.counters().live(*id) {
                *clicks = self.cache.counters().total(&counter);
            }
        }
        rows[from..].sort_unstable_by(|a, b| b.cmp(a));
        let first = self.existing(want, &rows)?;
        if first.len() < want.count && is_cut {
            if want.behind.is_some() {
                return Ok(KnownRows::TooDeep);
            }
            // So many links were deleted that those which were left out are next.
            self.rankings.forget(want.workspace);
            return Ok(KnownRows::Unbuilt);
        }
        self.with_unclicked(want, first, &rows, cancel).map(KnownRows::Known)
    }

    /// Returns the first links by their latest click.
    pub(super) fn first_by_last_click(&self, want: &FirstRows, cancel: &Cancel) -> Result<KnownRows, Error> {
        let Some(analytics) = self.analytics.as_ref() else { return Ok(KnownRows::Known(Vec::new())) };
        if !analytics.store.has_caught_up() {
            return Err(Error::NotReady("click details of before the start are being read".to_owned()));
        }
        let end = Instant::now() + DEADLINE;
        let mut keep = want.count;
        loop {
            let stops = || cancel.is_set() || Instant::now() > end;
            let found = analytics.store.latest(want.workspace, keep, &stops);
            let top = found.map_err(|error| match error {
                RecentError::TooSlow => Error::Busy,
                error @ RecentError::Part(_) => Error::NotReady(error.to_string()),
            })?;
            let mut rows: Vec<_> = top.all().collect();
            rows.sort_unstable_by(|a, b| b.cmp(a));
            let first = self.existing(want, &rows)?;
            // The store may have more links than it was asked for, and then has not read all of them.
            if first.len() < want.count && (top.is_cut() || rows.len() >= keep) {
                // All of them are in memory at once, so a cursor reaches no deeper than a page.
                if want.behind.is_some() && rows.len() > LATEST_MAX {
                    return Ok(KnownRows::TooDeep);
                }
                // Deleted links stay in the details for some time, and a cursor has links before it.
                keep = 2 * rows.len().max(keep);
                continue;
            }
            return self.with_unclicked(want, first, &rows, cancel).map(KnownRows::Known);
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

    /// Notes a click total that was applied, for the ranking of its workspace.
    pub(in crate::core) fn note_total(&self, put: &Put) {
        // First: most servers have no ranking, and a Change may have thousands of totals.
        if self.rankings.is_empty() {
            return;
        }
        let Some((id, node)) = keys::parse_clicks(&put.key) else { return };
        let Some(total) = put.value.as_ref().and_then(|value| decode_clicks(value).ok()) else {
            return self.rankings.note_removal(id);
        };
        // In a cluster, the total of one node is a part of the clicks.
        if node == NodeNumber::ALONE && !self.rankings.concern(id, total) {
            return;
        }
        let noted = self.table.owner_of(id).and_then(|owner| {
            let others = self.table.clicks(id, node)?.others.iter().map(|(_, total)| total).sum::<u64>();
            Ok(owner.map(|owner| self.rankings.note(owner, id, total + others)))
        });
        if let Err(error) = noted {
            // A ranking that missed a total would be wrong for good.
            tracing::debug!(%error, "the rankings of links are built again");
            self.rankings.clear();
        }
    }
}
