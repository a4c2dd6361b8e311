//! Shares of what there is little of: units of something that a client can make the server hold for
//! long. All callers together have so many, and those of one reach at most half of them, so that a
//! tenant who holds on to what it gets leaves the other half to others.
//!
//! The operator's own keys have no such bound: what they do to the instance is the operator's doing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::key::Reach;

/// All units of one kind.
#[derive(Debug)]
pub(super) struct Shares {
    most: u32,
    all: Arc<Semaphore>,
    /// What is left to each reach that holds some or waits for some; no others are kept.
    of_one: Mutex<HashMap<Reach, Arc<Semaphore>, ahash::RandomState>>,
}

/// Some units, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    /// `None` for the operator.
    of_one: Option<OwnedSemaphorePermit>,
    of_all: OwnedSemaphorePermit,
}

impl Shares {
    /// So many units: at least two, so that half of them is something.
    pub(super) fn new(most: u32) -> Shares {
        Shares { most, all: Arc::new(Semaphore::new(most as usize)), of_one: Mutex::default() }
    }

    /// So many units once they are free, or `None` past this time. Who asks for more than it may
    /// ever have gets that.
    pub(super) async fn take(&self, reach: &Reach, units: u32, within: Duration) -> Option<Share> {
        let units = units.min(self.most_of(reach));
        let taking = async {
            // Its own first: whoever waits for those holds nothing of what is everybody's.
            let of_one = match self.left_to(reach) {
                Some(left) => Some(left.acquire_many_owned(units).await.ok()?),
                None => None,
            };
            Some(Share { of_one, of_all: Arc::clone(&self.all).acquire_many_owned(units).await.ok()? })
        };
        tokio::time::timeout(within, taking).await.ok().flatten()
    }

    /// The same if they are free now.
    pub(super) fn try_take(&self, reach: &Reach, units: u32) -> Option<Share> {
        let units = units.min(self.most_of(reach));
        let of_one = match self.left_to(reach) {
            Some(left) => Some(left.try_acquire_many_owned(units).ok()?),
            None => None,
        };
        Some(Share { of_one, of_all: Arc::clone(&self.all).try_acquire_many_owned(units).ok()? })
    }

    fn most_of(&self, reach: &Reach) -> u32 {
        if *reach == Reach::Instance { self.most } else { self.most / 2 }
    }

    fn left_to(&self, reach: &Reach) -> Option<Arc<Semaphore>> {
        if *reach == Reach::Instance {
            return None;
        }
        let mut of_one = self.of_one.lock();
        // Whoever holds or waits has a handle beside this one, and handles are made under the lock.
        of_one.retain(|_, left| Arc::strong_count(left) > 1);
        let most = self.most_of(reach) as usize;
        let left = of_one.entry(reach.clone()).or_insert_with(|| Arc::new(Semaphore::new(most)));
        Some(Arc::clone(left))
    }
}

impl Share {
    /// Gives back all but so many units.
    pub(super) fn keep(&mut self, units: u32) {
        for permit in self.of_one.iter_mut().chain([&mut self.of_all]) {
            drop(permit.split(permit.num_permits().saturating_sub(units as usize)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::workspace::WorkspaceNumber;

    const NOW: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn one_reach_leaves_half_to_others() {
        let shares = Shares::new(8);
        let [one, two] = [1, 2].map(|number| Reach::Workspace(WorkspaceNumber(number)));
        // Who asks, for how much, whether it gets it; what was got is held.
        let rows = [
            (&one, 3, true),
            (&one, 2, false),
            (&one, 1, true),
            (&one, 1, false),
            (&two, 9, true),
            (&two, 1, false),
            (&Reach::Instance, 1, false),
        ];
        let mut held = Vec::new();
        for (reach, units, want) in rows {
            let got = shares.try_take(reach, units);
            assert_eq!(got.is_some(), want, "{reach:?} {units}");
            assert!(shares.take(reach, units, NOW).await.is_none(), "{reach:?} {units}");
            held.extend(got);
        }
        drop(held);
        assert!(shares.take(&Reach::Instance, 8, NOW).await.is_some(), "the operator may have all");
        drop(shares.left_to(&two));
        assert_eq!(shares.of_one.lock().len(), 1, "nothing is left of who holds nothing");
    }

    #[tokio::test]
    async fn what_is_given_back_serves_who_waits() {
        let shares = Shares::new(8);
        let one = Reach::Workspace(WorkspaceNumber(1));
        let mut held = shares.try_take(&one, 4).expect("all are free");
        assert!(shares.take(&one, 1, NOW).await.is_none());
        let (waited, ()) = tokio::join!(shares.take(&one, 3, Duration::from_secs(10)), async {
            held.keep(9);
            assert_eq!(held.of_all.num_permits(), 4, "no more than there are");
            held.keep(1);
        });
        assert!(waited.is_some());
        assert!(shares.try_take(&one, 1).is_none());
        assert_eq!((held.of_all.num_permits(), shares.all.available_permits()), (1, 4));
    }
}
