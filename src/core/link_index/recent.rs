//! Recent clicks of an index: those in files are kept in a column, and those in memory are added by each list.

use std::collections::HashMap;

use super::columns::RecentColumn;
use super::index::LinkIndex;
use super::numbers::NumberTop;
use super::slots::SlotSet;
use crate::analytics::cell::TimeSlot;
use crate::analytics::store::{ClickStore, RecentClicks, RecentError, RecentStep};

/// The recent clicks of some slots that are in no file.
type OpenClicks = HashMap<u32, RecentClicks>;

impl LinkIndex {
    /// Reads the next part of the details, and once all were read calls `look` with the column and the clicks in memory.
    /// Returns `None` before.
    fn with_recent<T>(
        &self,
        store: &ClickStore,
        since: TimeSlot,
        look: impl FnOnce(&RecentColumn, OpenClicks) -> T,
    ) -> Result<Option<T>, RecentError> {
        // Held over `look`: another list may add a part, whose clicks are among those in memory here.
        let mut column = self.recent.lock();
        // The days move once a day.
        // Taken out, so that an error leaves no column with a part of a part.
        let kept = column.take().filter(|kept| kept.since == since);
        let mut kept = kept.unwrap_or_else(|| RecentColumn::new(since));
        let mut known = std::mem::take(&mut kept.known);
        // A column with a part of a part is dropped with the error.
        let step = store.recent_of(self.workspace, since, &mut known, &mut |link, sum| {
            // A link that was deleted has details for some time.
            self.slot_of(link).into_iter().for_each(|slot| kept.add(slot, sum));
        })?;
        kept.known = known;
        let found = match step {
            // The column is dropped, and the next step begins another one.
            RecentStep::Restart => return Ok(None),
            RecentStep::More => None,
            RecentStep::Done(cells) => {
                // A link has a cell for each country, device and so on.
                let mut open = OpenClicks::new();
                for (link, sum) in cells {
                    if let Some(slot) = self.slot_of(link) {
                        join(open.entry(slot).or_default(), sum);
                    }
                }
                Some(look(&kept, open))
            }
        };
        *column = Some(kept);
        Ok(found)
    }

    /// Adds matches to `top` by a number of their recent clicks in files, once all parts were read, and returns the numbers
    /// of those that have clicks in memory as well. Returns `None` before.
    pub(in crate::core) fn rank_recent(
        &self,
        store: &ClickStore,
        since: TimeSlot,
        matches: &SlotSet,
        number: fn(RecentClicks) -> u64,
        top: &mut NumberTop,
    ) -> Result<Option<HashMap<u32, u64>>, RecentError> {
        self.with_recent(store, since, |column, open| {
            matches.descending(u32::MAX).for_each(|slot| top.add((number(column.of(slot)), slot)));
            let open = open.into_iter().filter(|(slot, _)| matches.contains(*slot));
            open.map(|(slot, mut sum)| {
                join(&mut sum, column.of(slot));
                (slot, number(sum))
            })
            .collect()
        })
    }

    /// Returns the slots of links with a click from a slot of time on, once all parts were read. Returns `None` before.
    pub(in crate::core) fn clicked_since(
        &self,
        store: &ClickStore,
        since: TimeSlot,
        from: TimeSlot,
    ) -> Result<Option<SlotSet>, RecentError> {
        self.with_recent(store, since, |column, open| {
            let mut clicked = SlotSet::with_room(column.latest.len());
            for (slot, latest) in (0..).zip(&column.latest) {
                // One more than the slot of time.
                if *latest > from.0 {
                    clicked.insert(slot);
                }
            }
            let later = open.iter().filter(|(_, sum)| sum.latest >= Some(from));
            later.for_each(|(slot, _)| clicked.insert(*slot));
            clicked
        })
    }
}

fn join(sum: &mut RecentClicks, other: RecentClicks) {
    sum.clicks += other.clicks;
    sum.latest = sum.latest.max(other.latest);
}
