//! [`Concurrency`]: limits of the requests that are processed and of the bodies that are received at once.
//!
//! A request acquires a slot when its body is complete, so a client that begins requests without finishing
//! them holds no slot. Bodies that are being received have a pool of their own.

use std::time::Duration;

use crate::fair::{FairPermit, FairSemaphore};
use crate::http::api::dialect::{ApiError, ServerError};
use crate::model::tenant::Tenant;

/// Most API requests that are processed at once: far more than any disk serves in time, and at 64 KB each as
/// much memory as the rest of the server. Past it: 503 with `Retry-After`. Redirects need no slot.
const SLOTS: u32 = 1_024;

/// Most bodies that are received at once, in units of [`BODY_UNIT`]: 64 MB in all. Past it: 503 with
/// `Retry-After`.
const BODIES: u32 = 1_024;

/// Unit in which a body that is being received is charged: the largest plain body by default. A larger body,
/// if `http.max_body` admits it, is charged by its declared length, or as the largest one without a length.
const BODY_UNIT: usize = 64 * 1024;

/// Most requests with large bodies that are processed at once: 8 MB each, and several times that when parsed.
/// The rest wait before their body is read, for as long as a body may take. Past it: 503.
const BULKS: u32 = 4;

/// The pools.
#[derive(Debug)]
pub(in crate::http::api) struct Concurrency {
    // Three pools: a client that is slow with one resource must not hold up those that need another.
    slots: FairSemaphore,
    bodies: FairSemaphore,
    bulks: FairSemaphore,
    patience: Duration,
}

/// The right to be processed, or to have a large body read. Its drop releases it.
#[derive(Debug)]
pub(in crate::http::api) struct Slot(#[allow(dead_code)] FairPermit); // Only its drop matters.

impl Concurrency {
    /// Creates the pools. A request waits for a bulk slot for `patience`.
    pub(in crate::http::api) fn new(patience: Duration) -> Concurrency {
        Concurrency {
            slots: FairSemaphore::new(SLOTS),
            bodies: FairSemaphore::new(BODIES),
            bulks: FairSemaphore::new(BULKS),
            patience,
        }
    }

    /// Acquires a slot for a request whose body is complete.
    pub(in crate::http::api) fn slot(&self, tenant: &Tenant) -> Result<Slot, ApiError> {
        // Without a wait: a waiting request would keep its whole body in memory.
        self.slots.try_acquire(tenant, 1).map(Slot).ok_or(ServerError::Busy.into())
    }

    /// Acquires the right to wait for a body of at most this number of bytes.
    pub(in crate::http::api) fn body(&self, tenant: &Tenant, bytes: usize) -> Option<FairPermit> {
        // At least one: also a short body keeps a task and its buffers waiting.
        let units = u32::try_from(bytes.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX).max(1);
        self.bodies.try_acquire(tenant, units)
    }

    /// Acquires a slot for a large body, before it is read. Requests that wait for a slot are charged like
    /// bodies that are being received, which bounds their number.
    pub(in crate::http::api) async fn bulk(&self, tenant: &Tenant) -> Result<Slot, ApiError> {
        // Released once the wait is over: from then on the bulk slot bounds the request.
        let _waiting = self.bodies.try_acquire(tenant, 1).ok_or(ServerError::Busy)?;
        self.bulks.acquire(tenant, 1, self.patience).await.map(Slot).ok_or(ServerError::Busy.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A company that uses its whole share by many workspaces leaves slots to other companies, and all
    /// companies together leave some to the operator.
    #[test]
    fn n04_tenants_leave_slots_to_others_and_to_the_operator() {
        let concurrency = Concurrency::new(Duration::from_secs(1));
        let mut held = Vec::new();
        let mut fill = |tenant: &Tenant| {
            let before = held.len();
            while let Ok(slot) = concurrency.slot(tenant) {
                held.push(slot);
            }
            held.len() - before
        };
        // Of 1,024 a company has half, and a workspace three quarters of that half.
        assert_eq!(fill(&Tenant::of_workspace("a", 1)), 384);
        assert_eq!(fill(&Tenant::of_workspace("a", 2)), 128, "the rest of the company's half");
        assert_eq!(fill(&Tenant::of_workspace("b", 3)), 384, "all that tenants may have");
        assert_eq!(fill(&Tenant::of_workspace("c", 4)), 0);
        // The eighth that no tenant may hold.
        assert_eq!(fill(&Tenant::Operator), 128);
    }

    #[test]
    fn n04_bodies_are_charged_by_what_they_may_hold() {
        let concurrency = Concurrency::new(Duration::from_secs(1));
        let greedy = Tenant::of_workspace("a", 1);
        let mut held = Vec::new();
        while let Some(body) = concurrency.body(&greedy, 4 * BODY_UNIT) {
            held.push(body);
        }
        // Four units each: a quarter of the workspace's 384.
        assert_eq!(held.len(), 96, "a quarter of the bodies of one unit");
        assert!(concurrency.body(&Tenant::of_workspace("b", 2), 1).is_some());
        assert!(concurrency.body(&Tenant::Operator, 1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn n04_bulks_leave_one_slot_to_the_operator() {
        let concurrency = Concurrency::new(Duration::from_secs(1));
        let mut held = Vec::new();
        for (tenant, fits) in [
            (Tenant::of_workspace("a", 1), true),
            // Of four bulks a company has two, and a workspace never all of its company's.
            (Tenant::of_workspace("a", 1), false),
            (Tenant::of_workspace("a", 2), true),
            (Tenant::of_workspace("a", 3), false),
            (Tenant::of_workspace("b", 4), true),
            // All companies together have three of the four.
            (Tenant::of_workspace("c", 5), false),
            (Tenant::Operator, true),
        ] {
            let slot = concurrency.bulk(&tenant).await;
            assert_eq!(slot.is_ok(), fits, "{tenant:?}");
            held.extend(slot);
        }
    }
}
