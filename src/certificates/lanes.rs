//! [`Lanes`]: how many names are worked on at once. Names that fail have slots of their own, and so have names that
//! visitors wait for, so that a name which fails delays no other. Within a lane, each company has a share.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::fair::{FairPermit, FairSemaphore};
use crate::model::tenant::Tenant;

/// Most names at once in a lane. Nearly all of the time of a name that fails is the wait for an address that drops
/// packets, which costs a socket. One workspace may have twelve, more than one address may keep waiting.
const LANE_MAX: u32 = 32;

/// Most names at once for which the authority is asked, in a lane.
const ORDERS_MAX: usize = 4;

/// Look-ups at once, each of which may block a thread for half a minute: one for each name in a lane, and one for
/// each question to the authority.
pub(super) const LOOKUPS_MAX: usize = CheckLane::ALL.len() * (LANE_MAX as usize + ORDERS_MAX);

/// The lanes, in the order in which names begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum CheckLane {
    /// Names in `domain` that have not failed.
    Setting,
    /// Names that visitors wait for and that have not failed.
    Awaited,
    /// Other names that have not failed.
    New,
    /// Names whose last try failed.
    Failed,
}

impl CheckLane {
    const ALL: [CheckLane; 4] = [CheckLane::Setting, CheckLane::Awaited, CheckLane::New, CheckLane::Failed];

    /// Returns the lane of a name.
    pub(super) fn of(has_failed: bool, is_of_setting: bool, is_awaited: bool) -> CheckLane {
        // First: a visitor can keep waiting for a name that fails for ever.
        match (has_failed, is_of_setting, is_awaited) {
            (true, ..) => CheckLane::Failed,
            (_, true, _) => CheckLane::Setting,
            (_, _, true) => CheckLane::Awaited,
            _ => CheckLane::New,
        }
    }
}

/// The slots of all lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [LaneBounds; CheckLane::ALL.len()],
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct LaneBounds {
    names: FairSemaphore,
    orders: Arc<Semaphore>,
}

/// The right to work on a name. Its drop frees the slot, and wakes what waits for one.
#[derive(Debug)]
pub(super) struct LanePermit {
    /// `None` only during the drop.
    permit: Option<FairPermit>,
    orders: Arc<Semaphore>,
    freed: Arc<Notify>,
}

impl Lanes {
    pub(super) fn new() -> Lanes {
        let slots = |_| LaneBounds {
            names: FairSemaphore::new(LANE_MAX),
            orders: Arc::new(Semaphore::new(ORDERS_MAX)),
        };
        Lanes { lanes: CheckLane::ALL.map(slots), freed: Arc::default() }
    }

    /// Returns a slot for a name of this tenant, if one is free.
    pub(super) fn enter(&self, lane: CheckLane, tenant: &Tenant) -> Option<LanePermit> {
        let slots = &self.lanes[lane as usize];
        let permit = slots.names.try_acquire(tenant, 1)?;
        Some(LanePermit {
            permit: Some(permit),
            orders: Arc::clone(&slots.orders),
            freed: Arc::clone(&self.freed),
        })
    }

    /// Returns once a slot was freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl LanePermit {
    /// Waits until the authority may be asked for this name.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // `None` is impossible: the semaphore is never closed.
        self.orders.acquire().await.ok()
    }
}

impl Drop for LanePermit {
    fn drop(&mut self) {
        // Before the notification: what it wakes finds the slot free.
        drop(self.permit.take());
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fail_take_no_slot_of_others() {
        // Whether the name has failed, is in `domain`, and is awaited.
        let rows = [
            (false, true, false, CheckLane::Setting),
            (false, true, true, CheckLane::Setting),
            (false, false, true, CheckLane::Awaited),
            (false, false, false, CheckLane::New),
            (true, true, true, CheckLane::Failed),
            (true, false, true, CheckLane::Failed),
        ];
        for (has_failed, is_of_setting, is_awaited, want) in rows {
            assert_eq!(CheckLane::of(has_failed, is_of_setting, is_awaited), want);
        }
        let lanes = Lanes::new();
        let enter = |lane, tenant: &Tenant| {
            std::iter::from_fn(|| lanes.enter(lane, tenant)).take(1_000).collect::<Vec<_>>()
        };
        let failing = enter(CheckLane::Failed, &Tenant::of_workspace("a", 1));
        assert_eq!(failing.len(), 12);
        assert!(lanes.enter(CheckLane::Awaited, &Tenant::of_workspace("a", 1)).is_some(), "another lane");
        assert!(lanes.enter(CheckLane::Failed, &Tenant::of_workspace("b", 2)).is_some(), "another company");
        assert!(lanes.enter(CheckLane::Failed, &Tenant::Operator).is_some());
        drop(failing);
        assert_eq!(enter(CheckLane::Failed, &Tenant::of_workspace("a", 1)).len(), 12, "they are freed");
    }
}
