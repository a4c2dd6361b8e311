//! [`RecentClicks`] of a link, and [`BusyLinks`], which keeps those of the links with many blocks in a part.

use std::collections::HashMap;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::analytics::cell::TimeSlot;
use crate::analytics::tick::LinkRow;

/// Most sums that are kept for a part: some 200 KB. There are few links with many blocks.
const BUSY_MAX: usize = 4_096;

/// The counted clicks of a link since a slot, and its latest click of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentClicks {
    /// The number of clicks.
    pub clicks: u64,
    /// The slot of the latest click, `None` without a click. Older parts have slots of an hour or a day.
    pub latest: Option<TimeSlot>,
}

impl RecentClicks {
    pub(super) fn add(&mut self, slot: TimeSlot, clicks: u64, since: TimeSlot) {
        self.clicks += if slot >= since { clicks } else { 0 };
        self.latest = self.latest.max(Some(slot));
    }

    pub(super) fn join(&mut self, other: RecentClicks) {
        self.clicks += other.clicks;
        self.latest = self.latest.max(other.latest);
    }
}

/// The sums of the links with many blocks in one part, by link and the first slot that counts. A part never changes, so
/// a sum stays right as long as the part exists.
#[derive(Debug, Default)]
pub(super) struct BusyLinks(Mutex<HashMap<(LinkRow, TimeSlot), RecentClicks, RandomState>>);

impl BusyLinks {
    /// Returns the sum of a link.
    pub(super) fn get(&self, link: &LinkRow, since: TimeSlot) -> Option<RecentClicks> {
        self.0.lock().get(&(*link, since)).copied()
    }

    /// Keeps the sum of a link.
    pub(super) fn insert(&self, link: &LinkRow, since: TimeSlot, sum: RecentClicks) {
        let mut sums = self.0.lock();
        // The first slot moves once a day, and sums of another one are not asked for again.
        if sums.len() >= BUSY_MAX {
            sums.clear();
        }
        sums.insert((*link, since), sum);
    }
}
