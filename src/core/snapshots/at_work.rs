//! [`AtWork`]: the snapshots and imports that this process works on, and how many may run at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::fair::{FairSemaphore, Shares};
use crate::model::id::Id;

/// Snapshots frozen and imports staged at once: of one company two, and one is left to the operator.
/// Each keeps the log and the table's one thread busy with little pause; more of them would not be done
/// sooner, and others' writes later. Past it: they wait for each other.
const AT_WORK_MAX: u32 = 4;

/// Imports begun and not ended, of one company half. Each that waits is a task and a few records; past
/// it: 503, try again.
const IMPORTS_MAX: u32 = 100;

/// What runs in this process.
#[derive(Debug)]
pub(in crate::core) struct AtWork {
    pub(super) permits: FairSemaphore,
    /// Held by each import from its beginning to its end.
    pub(super) begun: FairSemaphore,
    /// Content being frozen: the sweep leaves it alone.
    pub(super) freezing: Mutex<HashSet<Id>>,
    /// Imports under way, with how many links each has dealt with.
    pub(super) importing: Mutex<HashMap<Id, Arc<AtomicU64>>>,
    /// One-time shares being imported: the second waits whether the first succeeds.
    pub(super) share_locks: Mutex<HashMap<Id, Weak<tokio::sync::Mutex<()>>>>,
}

impl Default for AtWork {
    fn default() -> AtWork {
        AtWork {
            permits: FairSemaphore::new(AT_WORK_MAX),
            begun: FairSemaphore::new(IMPORTS_MAX),
            freezing: Mutex::default(),
            importing: Mutex::default(),
            share_locks: Mutex::default(),
        }
    }
}

impl AtWork {
    /// Returns its pools, with how each is shared.
    pub(in crate::core) fn pools(&self) -> [(&'static str, Shares); 2] {
        [("snapshots and imports at work", self.permits.shares()), ("imports begun", self.begun.shares())]
    }

    pub(super) async fn lock_share(&self, share: Id) -> OwnedMutexGuard<()> {
        let lock = {
            let mut share_locks = self.share_locks.lock();
            share_locks.retain(|_, lock| lock.strong_count() > 0);
            let present = share_locks.get(&share).and_then(Weak::upgrade);
            present.unwrap_or_else(|| {
                let lock = Arc::default();
                share_locks.insert(share, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    pub(super) fn is_importing(&self, import: Id) -> bool {
        self.importing.lock().contains_key(&import)
    }

    pub(super) fn is_freezing(&self, frozen: Id) -> bool {
        self.freezing.lock().contains(&frozen)
    }
}
