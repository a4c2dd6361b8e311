//! The links of a workspace with the latest clicks.
//!
//! Parts are read from the newest to the oldest, and reading ends at the first part that cannot change the answer. On a
//! busy server the cells of the last hours suffice.

use std::cmp::Reverse;

use super::busy::RecentClicks;
use super::recent::RecentError;
use super::recent_of::PartRecent;
use super::shared::Shared;
use crate::analytics::cell::TimeSlot;
use crate::analytics::top::TopLinks;
use crate::model::workspace::WorkspaceNumber;

/// Returns the number by which a link with a click in a slot is sorted: 0 is a link without a click.
fn rank(slot: TimeSlot) -> u64 {
    u64::from(slot.0) + 1
}

impl Shared {
    /// See [`ClickStore::latest`](super::ClickStore::latest).
    pub(super) fn latest(
        &self,
        workspace: WorkspaceNumber,
        keep: usize,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<TopLinks, RecentError> {
        let mut top = TopLinks::new(keep);
        let mut parts = {
            // One lock for both: a seal between two would hide the cells of the part.
            let cells = self.cells.lock();
            cells.open.each_of(workspace, |link, slot, _| top.raise(link, rank(slot)));
            cells.parts.clone()
        };
        parts.sort_by_key(|part| Reverse(part.header().last));
        for stored in &parts {
            // Equal slots are sorted by link, so a part with the same slot as the last link is read.
            if top.at_least(rank(stored.header().last) + 1) >= keep {
                break;
            }
            let mut reader = PartRecent::new(stored, TimeSlot(u32::MAX));
            let mut raise = |link, sum: RecentClicks| {
                sum.latest.into_iter().for_each(|slot| top.raise(link, rank(slot)));
            };
            let read = reader.each(workspace, is_cancelled, &mut raise);
            read.inspect_err(|error| self.note(stored, error))?;
        }
        Ok(top)
    }
}
