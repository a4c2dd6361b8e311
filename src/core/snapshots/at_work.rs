//! [`AtWork`]: the snapshots and imports that this process works on, and the limits on them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::fair::{FairSemaphore, Shares};
use crate::model::id::Id;

/// Most snapshots frozen and imports staged at once: two of one company, and one is reserved for the
/// operator. Each keeps the log and the table's one thread busy with few pauses. More of them would not
/// finish sooner, and would delay other writes. Past it, they wait for each other.
const AT_WORK_MAX: u32 = 4;

/// Most unfinished imports, half of them of one company. A waiting import is a task and a few records. Past
/// it, requests fail with 503 and may be retried.
const IMPORTS_MAX: u32 = 100;

/// The work of this process.
#[derive(Debug)]
pub(in crate::core) struct AtWork {
    pub(super) permits: FairSemaphore,
    /// Acquired by each import before its first record and released when it ends.
    pub(super) begun: FairSemaphore,
    /// Content that is being frozen. The sweep skips it.
    pub(super) freezing: Mutex<HashSet<Id>>,
    /// Unfinished imports with the number of links that each has processed.
    pub(super) importing: Mutex<HashMap<Id, Arc<AtomicU64>>>,
    /// One lock for each one-time share that is being imported. A second import waits for the result of the
    /// first.
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
    /// Returns the pools with a tenant's share of each.
    pub(in crate::core) fn pools(&self) -> [(&'static str, Shares); 2] {
        [("snapshots and imports at work", self.permits.shares()), ("imports begun", self.begun.shares())]
    }

    pub(super) async fn lock_share(&self, share: Id) -> OwnedMutexGuard<()> {
        let lock = {
            let mut share_locks = self.share_locks.lock();
            // Drops the locks of imports that have ended, so that the map stays small.
            share_locks.retain(|_, lock| lock.strong_count() > 0);
            let present = share_locks.get(&share).and_then(Weak::upgrade);
            present.unwrap_or_else(|| {
                let lock = Arc::default();
                // Weak: the lock ends with the last import that holds it.
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
