//! The clicks of links in the last 30 days and their latest click, as lists and single links show them.
//!
//! They come from the details of clicks, so they are unknown without details. Only the links of a page are read.

use std::time::{Duration, Instant};

use crate::analytics::cell::TimeSlot;
use crate::analytics::store::RecentClicks;
use crate::analytics::tick::{LinkRow, link_row};
use crate::clock::Timestamp;
use crate::core::error::Error;
use crate::core::handle::Links;
use crate::core::shared::Shared;
use crate::core::view::{LinkView, RecentView};
use crate::model::id::Id;
use crate::model::link::Link;

/// Days of `clicks30d`, today included.
const DAYS: u32 = 30;

/// Slots of a day.
const SLOTS_OF_DAY: u32 = 96;

/// Longest read for one page. Past it the page shows no recent clicks: 100 links that share half of 100 million clicks
/// take 0.2 s once a day.
const DEADLINE: Duration = Duration::from_secs(1);

impl Links {
    /// Returns the recent clicks of these links, in their order.
    pub async fn recent(&self, views: &[LinkView]) -> Vec<RecentView> {
        let unknown = vec![RecentView::default(); views.len()];
        // No details, no thread for blocking work.
        if self.shared.analytics.is_none() || views.is_empty() {
            return unknown;
        }
        let links: Vec<_> = views.iter().map(RecentKey::of).collect();
        let found = self.blocking(move |shared| {
            let end = Instant::now() + DEADLINE;
            shared.recent_views(&links, &|| Instant::now() > end)
        });
        // A page without these numbers is better than no page: they are unknown, and the rest is right.
        found.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "links show no recent clicks");
            unknown
        })
    }
}

/// What the recent clicks of a link depend on.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct RecentKey {
    row: LinkRow,
    id: Id,
    created_at: Timestamp,
}

impl RecentKey {
    fn of(view: &LinkView) -> RecentKey {
        RecentKey::of_link(&view.link)
    }

    pub(in crate::core) fn of_link(link: &Link) -> RecentKey {
        RecentKey { row: link_row(link.workspace, link.id), id: link.id, created_at: link.created_at }
    }

    pub(in crate::core) fn id(self) -> Id {
        self.id
    }
}

impl Shared {
    /// Returns what links show of their recent clicks, in their order.
    fn recent_views(
        &self,
        links: &[RecentKey],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<RecentView>, Error> {
        let found = self.recent_clicks(links, is_cancelled)?;
        let view = |(link, clicks): (&RecentKey, RecentClicks)| {
            // The slot of the first click may begin before its link was created.
            let start = clicks.latest.map(|slot| Timestamp::from_millis(slot.start_millis()));
            let latest = start.map(|start| start.max(link.created_at));
            RecentView { clicks_30d: Some(clicks.clicks), latest }
        };
        Ok(links.iter().zip(found).map(view).collect())
    }

    /// Returns the recent clicks of these links, in their order. None without details of clicks.
    pub(in crate::core) fn recent_clicks(
        &self,
        links: &[RecentKey],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<RecentClicks>, Error> {
        let Some(analytics) = self.analytics.as_ref().filter(|_| !links.is_empty()) else {
            return Ok(Vec::new());
        };
        if !analytics.store.has_caught_up() {
            // Numbers that are too low look like those of a link that nobody clicks.
            return Err(Error::NotReady("click details of before the start are being read".to_owned()));
        }
        let mut rows: Vec<LinkRow> = links.iter().map(|link| link.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let found = analytics.store.recent(&rows, since(self.clock.now()), is_cancelled);
        let found = found.map_err(|error| Error::NotReady(error.to_string()))?;
        let of_link =
            |link: &RecentKey| rows.binary_search(&link.row).map(|at| found[at]).unwrap_or_default();
        Ok(links.iter().map(of_link).collect())
    }
}

/// Returns the first slot of the last 30 days: the start of a day of UTC, as `interval=30d` has it.
pub(super) fn since(now: Timestamp) -> TimeSlot {
    since_days(now, DAYS)
}

/// Returns the first slot of a number of days, today included.
pub(super) fn since_days(now: Timestamp, days: u32) -> TimeSlot {
    let today = TimeSlot::of_millis(now.as_millis()).0 / SLOTS_OF_DAY;
    TimeSlot(today.saturating_sub(days.saturating_sub(1)) * SLOTS_OF_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_days_begin_with_a_day_of_utc() {
        let at = |text: &str| text.parse::<Timestamp>().expect(text);
        for now in ["2026-11-29T00:00:00Z", "2026-11-29T23:59:59Z"] {
            assert_eq!(since(at(now)).start_millis(), at("2026-10-31T00:00:00Z").as_millis(), "{now}");
        }
        // A clock at its beginning must not underflow.
        assert_eq!(since(Timestamp::from_millis(0)), TimeSlot(0));
    }
}
