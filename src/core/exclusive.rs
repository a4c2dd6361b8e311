//! The lock for writes whose check the log's preconditions cannot express.
//!
//! Writes of links hold the lock shared. Two kinds of writes hold it exclusively, since their check reads
//! what other writes change. One is links that lead to other addresses of this server: the chain must not
//! change between the check and the Change. The other is domains: their roots are such addresses, and a
//! domain is deleted only without links.
//!
//! 1. A hold covers the check that must not race and the commit, until the Change is applied, and nothing
//!    else. Hashing, parsing, look-ups and every wait for a slot come before the hold, since a hold delays
//!    every other write of the instance. [`assert_released`] fails in debug builds otherwise.
//! 2. The lock is fair: no write overtakes a waiting exclusive write. So a shared hold also delays everything
//!    once an exclusive write waits, and long work is cut into several holds.
//! 3. A check that was made before the lock is still valid under the lock if [`ExclusiveLock::generation`] is
//!    the same: only exclusive writes add to a chain.
//! 4. Exclusive writes of one company queue for their company's lock first. However many a company sends,
//!    another company's write waits for at most one of them.
//! 5. A guard that is kept through a hold (a workspace's credits) is acquired by every write before the lock,
//!    never under it. Otherwise two writes could wait for each other.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::id::ForeignId;
use crate::model::tenant::Tenant;

/// Holds longer than this are counted and logged. It is the longest delay that one tenant's write should
/// cause for another's.
const LONG_HOLD: Duration = Duration::from_millis(100);

/// Shortest interval between two log lines about long holds, in milliseconds. On a slow disk every hold is
/// long.
const WARN_EVERY: u64 = 10_000;

tokio::task_local! {
    /// Set while the task holds the lock.
    static HOLDS_LOCK: ();
}

/// The lock, shared by all writes of the instance.
#[derive(Debug)]
pub(super) struct ExclusiveLock {
    lock: RwLock<()>,
    /// Number of finished exclusive holds. Incremented after the Change of a hold is applied and before the
    /// lock is released, so a reader of the table that has read this number before sees all of those Changes.
    generation: AtomicU64,
    long_holds: AtomicU64,
    /// When a long hold was last logged, in milliseconds since `started`; 0 for never.
    warned: AtomicU64,
    started: Instant,
    /// The lock of each company (`None`: the operator), held by its one exclusive write that holds `lock` or
    /// queues for it. Always acquired before `lock`. Bounded by the number of companies.
    company_locks: parking_lot::Mutex<HashMap<Option<ForeignId>, Arc<Mutex<()>>>>,
}

/// A guard of the inner lock.
#[derive(Debug)]
enum WriteGuard<'a> {
    /// Other shared writes run at the same time.
    Shared(#[allow(dead_code)] RwLockReadGuard<'a, ()>),
    /// No other write runs.
    Exclusive(#[allow(dead_code)] RwLockWriteGuard<'a, ()>),
}

/// A hold. Ends when it is dropped, also by a panic.
struct Hold<'a> {
    lock: &'a ExclusiveLock,
    begun: Instant,
    /// Released after `Drop::drop` of the hold, so that the generation changes first.
    guard: WriteGuard<'a>,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if matches!(self.guard, WriteGuard::Exclusive(_)) {
            self.lock.generation.fetch_add(1, Ordering::AcqRel);
        }
        self.lock.note(self.begun.elapsed());
    }
}

impl ExclusiveLock {
    pub(super) fn new() -> ExclusiveLock {
        ExclusiveLock {
            lock: RwLock::new(()),
            generation: AtomicU64::new(0),
            long_holds: AtomicU64::new(0),
            warned: AtomicU64::new(0),
            started: Instant::now(),
            company_locks: parking_lot::Mutex::default(),
        }
    }

    /// Runs `work` while holding the lock, exclusively if `is_exclusive` returns true. `is_exclusive` is
    /// called again under a shared lock, since an exclusive write may have changed its result during the
    /// wait. Holds must not be nested.
    pub(super) async fn hold_if<T>(
        &self,
        tenant: &Tenant,
        is_exclusive: impl Fn() -> bool,
        work: impl Future<Output = T>,
    ) -> T {
        if !is_exclusive() {
            assert_released("the exclusive lock is acquired");
            let guard = self.lock.read().await;
            if !is_exclusive() {
                return self.run(WriteGuard::Shared(guard), work).await;
            }
        }
        // The shared guard is dropped here: two writes that wait to upgrade theirs would wait for each other.
        self.hold_exclusive(tenant, work).await
    }

    /// Runs `work` while no other write runs. Holds must not be nested.
    pub(super) async fn hold_exclusive<T>(&self, tenant: &Tenant, work: impl Future<Output = T>) -> T {
        assert_released("the exclusive lock is acquired");
        // The map is unlocked at the end of this statement, so other companies do not wait below.
        let company_lock =
            Arc::clone(self.company_locks.lock().entry(tenant.company().cloned()).or_default());
        // Before `lock`, so that its queue has only one write of each company (rule 4).
        let _company_guard = company_lock.lock().await;
        self.run(WriteGuard::Exclusive(self.lock.write().await), work).await
    }

    async fn run<T>(&self, guard: WriteGuard<'_>, work: impl Future<Output = T>) -> T {
        let _hold = Hold { lock: self, begun: Instant::now(), guard };
        HOLDS_LOCK.scope((), work).await
    }

    /// Returns a number that changes with every exclusive hold.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns how many holds took longer than 100 ms.
    pub(super) fn long_holds(&self) -> u64 {
        self.long_holds.load(Ordering::Relaxed)
    }

    fn note(&self, took: Duration) {
        if took <= LONG_HOLD {
            return;
        }
        let count = self.long_holds.fetch_add(1, Ordering::Relaxed) + 1;
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.warned.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= WARN_EVERY;
        // Of two long holds that end at once, one is logged.
        let swap = |now| self.warned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        // 0 means never, so a hold in the first millisecond is noted as 1.
        if is_due && swap(now.max(1)).is_ok() {
            let millis = took.as_millis();
            tracing::warn!(millis, count, "a write kept other writes waiting for over 100 ms");
        }
    }
}

/// Panics in debug builds if this task holds the exclusive lock. Everything that waits for a slot or computes
/// for long calls it.
pub(super) fn assert_released(what: &str) {
    debug_assert!(HOLDS_LOCK.try_with(|()| ()).is_err(), "{what} under the exclusive lock");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(id: &str) -> Tenant {
        Tenant::Company(ForeignId::parse("id", id).expect("valid"))
    }

    /// After one exclusive write of a company, another company's write runs, however many the first has
    /// queued.
    #[tokio::test]
    async fn n06_a_company_waits_for_one_write_of_another() {
        let (lock, order) = (ExclusiveLock::new(), parking_lot::Mutex::new(Vec::new()));
        let (a, b) = (company("a"), company("b"));
        let order = &order;
        let note = |what: &'static str| async move { order.lock().push(what) };
        tokio::join!(
            lock.hold_exclusive(&a, async {
                // Until the other writes wait, which `join!` polls in their order.
                tokio::task::yield_now().await;
                note("a1").await;
            }),
            lock.hold_exclusive(&a, note("a2")),
            lock.hold_exclusive(&a, note("a3")),
            lock.hold_exclusive(&b, note("b")),
        );
        // `b` overtakes: `a2` and `a3` wait for the lock of their company, not for the inner lock.
        assert_eq!(*order.lock(), ["a1", "b", "a2", "a3"]);
    }

    #[tokio::test]
    async fn n06_waiting_for_a_slot_under_the_lock_is_a_failure() {
        let lock = Arc::new(ExclusiveLock::new());
        assert_released("nothing");
        for is_exclusive in [false, true] {
            let lock = Arc::clone(&lock);
            let task = tokio::spawn(async move {
                let wait = async { assert_released("a slot is awaited") };
                lock.hold_if(&Tenant::Operator, || is_exclusive, wait).await;
            });
            let panic = task.await.expect_err("it fails").into_panic();
            let text = panic.downcast_ref::<String>().expect("a message");
            assert_eq!(text, "a slot is awaited under the exclusive lock");
        }
        // The lock was released in spite of the panic.
        lock.hold_exclusive(&Tenant::Operator, async {}).await;
    }

    #[tokio::test]
    async fn n06_the_generation_changes_with_exclusive_holds_only() {
        let lock = ExclusiveLock::new();
        lock.hold_if(&Tenant::Operator, || false, async {}).await;
        assert_eq!(lock.generation(), 0);
        // Still 0 inside: the generation changes when the hold ends.
        lock.hold_if(&Tenant::Operator, || true, async { assert_eq!(lock.generation(), 0) }).await;
        assert_eq!(lock.generation(), 1);
    }

    /// An exclusive write may change how a waiting write has to run.
    #[tokio::test]
    async fn n06_is_exclusive_is_evaluated_again_under_the_lock() {
        let lock = ExclusiveLock::new();
        let is_exclusive = std::cell::Cell::new(false);
        let (a, b) = (company("a"), company("b"));
        tokio::join!(
            lock.hold_exclusive(&a, async {
                tokio::task::yield_now().await;
                is_exclusive.set(true);
            }),
            lock.hold_if(&b, || is_exclusive.get(), async {}),
        );
        // Two exclusive holds: the second write evaluated its condition again after its wait.
        assert_eq!(lock.generation(), 2);
    }

    #[test]
    fn n06_long_holds_are_counted() {
        let lock = ExclusiveLock::new();
        // Exactly 100 ms is not long yet.
        lock.note(LONG_HOLD);
        lock.note(LONG_HOLD + Duration::from_millis(1));
        assert_eq!(lock.long_holds(), 1);
    }
}
