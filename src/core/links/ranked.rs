//! The first links of a whole workspace by clicks or by their latest click, without a look at each link.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::list::SLICE_STEPS;
use super::rankings::RankedLinks;
use crate::analytics::store::RecentError;
use crate::core::error::Error;
use crate::core::pools::cpu_pool::Cancel;
use crate::core::shared::Shared;
use crate::log::Put;
use crate::model::id::Id;
use crate::model::node::NodeNumber;
use crate::model::workspace::WorkspaceNumber;
use crate::table::record::decode_clicks;
use crate::table::{List, Order, ReadView, keys};

/// Links behind the last one of a page that are sorted again by their counters.
const UNCERTAIN: usize = 1_024;

/// Longest read of details. Past it the request fails with [`Error::Busy`].
const DEADLINE: Duration = Duration::from_secs(5);

/// A link by its number in the order: clicks, or the place of the latest one in time. 0 is a link without a click.
pub(super) type RankedId = (u64, Id);

impl Shared {
    /// Returns whether a workspace has so many links that lists by clicks use a ranking.
    pub(super) fn needs_ranking(&self, workspace: WorkspaceNumber) -> Result<bool, Error> {
        // A shorter list is read at once, with the clicks of this moment.
        Ok(self.table.count(workspace, &List::All)? > SLICE_STEPS.min(self.settings.scan_max))
    }

    /// Returns the first `depth` links by their clicks, `None` if the ranking must be built first.
    pub(super) fn first_by_clicks(
        &self,
        workspace: WorkspaceNumber,
        depth: usize,
        cancel: &Cancel,
    ) -> Result<Option<Vec<RankedId>>, Error> {
        let Some(RankedLinks { mut rows, is_cut }) = self.rankings.get(workspace) else { return Ok(None) };
        rows.sort_unstable_by(|a, b| b.cmp(a));
        // The clicks of the last second are in the counters only. Of the links far behind the page, they change nothing.
        for (clicks, id) in rows.iter_mut().take(depth + UNCERTAIN) {
            if let Some(counter) = self.cache.counters().live(*id) {
                *clicks = self.cache.counters().total(&counter);
            }
        }
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let first = self.existing(workspace, &rows, depth)?;
        if first.len() < depth && is_cut {
            // So many links were deleted that those which were left out are next.
            self.rankings.forget(workspace);
            return Ok(None);
        }
        self.with_unclicked(workspace, first, &rows, depth, cancel).map(Some)
    }

    /// Returns the first `depth` links by their latest click.
    pub(super) fn first_by_last_click(
        &self,
        workspace: WorkspaceNumber,
        depth: usize,
        cancel: &Cancel,
    ) -> Result<Vec<RankedId>, Error> {
        let Some(analytics) = self.analytics.as_ref() else { return Ok(Vec::new()) };
        if !analytics.store.has_caught_up() {
            return Err(Error::NotReady("click details of before the start are being read".to_owned()));
        }
        let end = Instant::now() + DEADLINE;
        let mut keep = depth;
        loop {
            let found = analytics.store.latest(workspace, keep, &|| cancel.is_set() || Instant::now() > end);
            let top = found.map_err(|error| match error {
                RecentError::TooSlow => Error::Busy,
                error @ RecentError::Part(_) => Error::NotReady(error.to_string()),
            })?;
            let mut rows: Vec<_> = top.all().collect();
            rows.sort_unstable_by(|a, b| b.cmp(a));
            let first = self.existing(workspace, &rows, depth)?;
            // The store may have more links than it was asked for, and then has not read all of them.
            if first.len() < depth && (top.is_cut() || rows.len() >= keep) {
                // Deleted links stay in the details for some time.
                keep = 2 * rows.len().max(keep);
                continue;
            }
            return self.with_unclicked(workspace, first, &rows, depth, cancel);
        }
    }

    /// Returns the first of sorted links that exist.
    fn existing(
        &self,
        workspace: WorkspaceNumber,
        rows: &[RankedId],
        depth: usize,
    ) -> Result<Vec<RankedId>, Error> {
        let mut first = Vec::with_capacity(depth.min(rows.len()));
        for row in rows {
            if first.len() == depth {
                break;
            }
            if self.table.link_by_id(workspace, row.1)?.is_some() {
                first.push(*row);
            }
        }
        Ok(first)
    }

    /// Adds links without a click, the newest first, up to `depth` links.
    fn with_unclicked(
        &self,
        workspace: WorkspaceNumber,
        mut first: Vec<RankedId>,
        clicked: &[RankedId],
        depth: usize,
        cancel: &Cancel,
    ) -> Result<Vec<RankedId>, Error> {
        if first.len() == depth {
            return Ok(first);
        }
        let clicked: HashSet<Id, ahash::RandomState> = clicked.iter().map(|(_, id)| *id).collect();
        let mut view = self.table.view(workspace)?;
        // The links before the last one of the page are at most those with a click and `depth` others.
        let mut steps = u64::MAX;
        let mut each = |found: crate::table::Found<crate::model::link::Link>| {
            let id = found.record.id;
            if !clicked.contains(&id) {
                first.push((0, id));
            }
            first.len() < depth && !cancel.is_set()
        };
        let view: &mut ReadView = &mut view;
        self.table.scan(view, workspace, &List::All, Order::Newest, None, &mut steps, &mut each)?;
        Ok(first)
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
