//! [`CpuPool`]: the few threads for work that keeps a core busy for longer than a moment, and the queue of
//! callers that wait for one of them. Redirects keep half the cores, however much the APIs and password pages
//! compute.
//!
//! | promise | kept by |
//! |---|---|
//! | tenants take turns; the operator is next after at most one other | [`FairQueue`] |
//! | one tenant has no more than its share of a waiting room | [`FairSemaphore`] |
//! | waiting is bounded in number and time; past it [`Error::Busy`] | the room's size, [`WAIT_MAX`] |
//! | a caller that is dropped leaves the queue at once | the guard in `wait` |
//! | work whose caller was dropped stops | [`Cancel`], which work checks between steps |
//!
//! Fairness must work with a single thread, so work is short. Long work is cut into slices, and each slice
//! but the first is a [`CpuPool::resume`], which queues behind the other tenants.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::sync::oneshot;

use crate::core::error::Error;
use crate::core::exclusive::assert_released;
use crate::fair::queue::{FairQueue, Lane, Ticket};
use crate::fair::{FairSemaphore, Shares};
use crate::model::tenant::Tenant;

/// Longest wait for a thread: as long as callers are usually willing to wait. Past it, the call fails with
/// [`Error::Busy`].
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Returns the most threads of one kind of heavy work: half the cores, and at least one, so that redirects
/// have the other half.
pub(in crate::core) fn at_once() -> usize {
    available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Returns the most threads of all kinds of heavy work together: hashing and scans.
pub fn heavy_threads() -> usize {
    2 * at_once()
}

/// How far [`CpuPool::run_behind`] lowers the priority, in steps of `nice`. At 10, a busy thread of a redirect gets ten
/// times the share of this one; a thread alone on its core has all of it.
const STEPS_BACK: i32 = 10;

/// Lowers the priority of this thread. On Linux, the priority of a process is that of each of its threads.
fn step_back() {
    // By steps: the unit of the service may have set a priority for all threads.
    let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now + STEPS_BACK));
    if let Err(error) = lowered {
        // A sandbox may forbid the call. The number of threads is bounded in any case.
        tracing::debug!(%error, "the priority of a thread was not lowered");
    }
}

/// The threads of one kind of work, which one or several [`CpuPool`]s share.
#[derive(Debug)]
pub(in crate::core) struct Threads {
    state: Mutex<ThreadsState>,
}

#[derive(Debug)]
struct ThreadsState {
    /// Greater than 0 only while no caller waits.
    free: usize,
    queue: FairQueue<oneshot::Sender<ThreadPermit>>,
    lanes: Lane,
}

/// The right to use one thread. The next caller gets it when it is dropped.
#[derive(Debug)]
struct ThreadPermit {
    /// `None` after the permit was passed on.
    threads: Option<Arc<Threads>>,
}

impl Drop for ThreadPermit {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.release();
        }
    }
}

impl Threads {
    /// Creates as many threads as one kind of heavy work may use.
    pub(in crate::core) fn new() -> Arc<Threads> {
        Threads::of(at_once())
    }

    /// Creates `count` threads.
    pub(in crate::core) fn of(count: usize) -> Arc<Threads> {
        let state = ThreadsState { free: count, queue: FairQueue::default(), lanes: 0 };
        Arc::new(Threads { state: Mutex::new(state) })
    }

    fn permit(self: &Arc<Threads>) -> ThreadPermit {
        ThreadPermit { threads: Some(Arc::clone(self)) }
    }

    fn try_acquire(self: &Arc<Threads>) -> Option<ThreadPermit> {
        let mut state = self.state.lock();
        // `free` is 0 while callers wait, so this overtakes none of them.
        state.free = state.free.checked_sub(1)?;
        Some(self.permit())
    }

    /// Passes a free thread to the next caller in the queue.
    fn release(self: Arc<Threads>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let Some(next) = state.queue.pop() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match next.send(self.permit()) {
                Ok(()) => return,
                // That caller was dropped just now. Dropping its permit here would call this function
                // recursively.
                Err(mut permit) => permit.threads = None,
            }
        }
    }
}

/// Set when the caller of some work is dropped: the client hung up, or the request timed out.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Returns whether the result of the work is no longer needed.
    pub(in crate::core) fn is_set(&self) -> bool {
        // Relaxed: only a hint to stop, by which no data is read.
        self.0.load(Ordering::Relaxed)
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// One waiting room of some [`Threads`]. Pools that share threads have a room each: a full room of one pool
/// rejects no callers of the other, and both pools get threads.
#[derive(Debug)]
pub(in crate::core) struct CpuPool {
    threads: Arc<Threads>,
    lane: Lane,
    room: FairSemaphore,
}

/// Leaves the queue when dropped.
struct Queued<'a> {
    pool: &'a CpuPool,
    tenant: &'a Tenant,
    ticket: Ticket,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.pool.threads.state.lock().queue.remove(self.tenant, self.pool.lane, self.ticket);
    }
}

impl CpuPool {
    /// Creates a pool in which at most `waiting_max` callers wait, and of each tenant its share.
    pub(in crate::core) fn new(threads: &Arc<Threads>, waiting_max: u32) -> CpuPool {
        let mut state = threads.state.lock();
        state.lanes += 1;
        CpuPool { threads: Arc::clone(threads), lane: state.lanes, room: FairSemaphore::new(waiting_max) }
    }

    /// Returns a tenant's share of the waiting room.
    pub(in crate::core) fn shares(&self) -> Shares {
        self.room.shares()
    }

    /// Runs `work` on one of the threads on behalf of `tenant`. Fails with [`Error::Busy`] if the tenant's
    /// share of the waiting room is full or the wait takes longer than [`WAIT_MAX`].
    pub(in crate::core) async fn run<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, Error> {
        CpuPool::execute(self.admit(tenant).await?, work).await
    }

    /// Like [`CpuPool::run`], on a new thread of low priority. A thread of the runtime must not get one: only a privileged
    /// process may raise it again for the next work.
    pub(in crate::core) async fn run_behind<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.admit(tenant).await?;
        let cancel = Cancel::default();
        // Dropped with the future of the caller, which sets the flag.
        let _cancel = CancelOnDrop(cancel.clone());
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            step_back();
            let done = catch_unwind(AssertUnwindSafe(|| work(&cancel)));
            // Before the result: its caller may come again at once, and must find the thread free.
            drop(permit);
            // The caller may have left.
            let _ = sender.send(done);
        };
        // The system has no thread left. The permit is dropped with the work.
        std::thread::Builder::new().name("question".to_owned()).spawn(run).map_err(|_| Error::Busy)?;
        match receiver.await.expect("the thread sends before it ends") {
            Ok(done) => Ok(done),
            // Resumed here, so that the request that caused the panic fails with 500.
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Returns the right to a thread, as soon as one is free.
    async fn admit(&self, tenant: &Tenant) -> Result<ThreadPermit, Error> {
        assert_released("a slot is awaited");
        if let Some(permit) = self.threads.try_acquire() {
            return Ok(permit);
        }
        // Kept only for the wait: a caller that runs has no place in the room.
        let _room = self.room.try_acquire(tenant, 1).ok_or(Error::Busy)?;
        // A time-out drops `wait`, whose guard leaves the queue.
        tokio::time::timeout(WAIT_MAX, self.wait(tenant)).await.map_err(|_| Error::Busy)
    }

    /// Like [`CpuPool::run`], for work that was already admitted: it is never rejected, and queues behind the
    /// other tenants. The number of callers that wait here is bounded by the work in progress.
    pub(in crate::core) async fn resume<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, Error> {
        assert_released("a slot is awaited");
        // No time limit: a read that has begun must not end halfway.
        CpuPool::execute(self.wait(tenant).await, work).await
    }

    async fn wait(&self, tenant: &Tenant) -> ThreadPermit {
        let (sender, receiver) = oneshot::channel();
        let ticket = {
            let mut state = self.threads.state.lock();
            // A thread may have become free since `try_acquire`. Queueing then would wait for nothing.
            if let Some(free) = state.free.checked_sub(1) {
                state.free = free;
                return self.threads.permit();
            }
            state.queue.push(tenant, self.lane, sender)
        };
        let queued = Queued { pool: self, tenant, ticket };
        let permit = receiver.await.expect("a sender leaves the queue with a turn, or with its receiver");
        drop(queued);
        permit
    }

    async fn execute<T: Send + 'static>(
        permit: ThreadPermit,
        work: impl FnOnce(&Cancel) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let cancel = Cancel::default();
        // Dropped with the future of the caller, which sets the flag.
        let _cancel = CancelOnDrop(cancel.clone());
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the caller: a dropped caller frees no thread that still computes.
            let _turn = permit;
            // A caller may be dropped before the thread starts.
            (!cancel.is_set()).then(|| work(&cancel))
        });
        match done.await {
            Ok(done) => Ok(done.expect("not cancelled: its caller waits for it")),
            Err(stopped) => match stopped.try_into_panic() {
                // Resumed here, so that the request that caused the panic fails with 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime stopped before the work began.
                Err(_) => Err(Error::NotReady("the server is stopping".to_owned())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::model::id::ForeignId;
    use crate::model::workspace::WorkspaceNumber;

    fn workspace(company: &str, number: u32) -> Tenant {
        let company = ForeignId::parse("id", company).expect("valid");
        Tenant::Workspace { company, number: WorkspaceNumber(number) }
    }

    /// A pool with one thread, which the test occupies.
    fn occupied_pool(waiting_max: u32) -> (CpuPool, ThreadPermit) {
        let threads = Threads::of(1);
        let pool = CpuPool::new(&threads, waiting_max);
        let permit = threads.try_acquire().expect("it is free");
        (pool, permit)
    }

    fn waiting(pool: &CpuPool) -> usize {
        pool.threads.state.lock().queue.len()
    }

    /// Polls a future once.
    fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    type Order = Arc<Mutex<Vec<&'static str>>>;

    fn note(order: &Order, what: &'static str) -> impl FnOnce(&Cancel) + Send + use<> {
        let order = Arc::clone(order);
        move |_: &Cancel| order.lock().push(what)
    }

    #[tokio::test]
    async fn n18_one_thread_is_enough_for_turns() {
        let (pool, permit) = occupied_pool(64);
        let order = Order::default();
        let (a, b) = (workspace("a", 1), workspace("b", 2));
        let ((), a1, a2, a3, b1, op) = tokio::join!(
            async {
                // All five wait before the thread becomes free, so only the queue decides the order.
                while waiting(&pool) < 5 {
                    tokio::task::yield_now().await;
                }
                drop(permit);
            },
            pool.run(&a, note(&order, "a1")),
            pool.run(&a, note(&order, "a2")),
            pool.resume(&a, note(&order, "a3")),
            pool.run(&b, note(&order, "b1")),
            pool.run(&Tenant::Operator, note(&order, "op")),
        );
        for done in [a1, a2, a3, b1, op] {
            done.expect("it ran");
        }
        // The operator first, then the companies in turn. A resume has no advantage.
        assert_eq!(*order.lock(), ["op", "a1", "b1", "a2", "a3"]);
    }

    type Run<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

    /// Runs all futures to their ends, concurrently.
    async fn all<T>(mut runs: Vec<Run<'_, T>>) -> Vec<Result<T, Error>> {
        let mut done: Vec<Option<Result<T, Error>>> = runs.iter().map(|_| None).collect();
        std::future::poll_fn(|context| {
            for (run, done) in runs.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(result) = run.as_mut().poll(context) {
                    *done = Some(result);
                }
            }
            if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        done.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn n18_a_tenant_holds_its_share_of_the_room_and_no_more() {
        let (pool, permit) = occupied_pool(16);
        let (tenant, other) = (workspace("a", 1), workspace("b", 2));
        let mut runs: Vec<Run<'_, u32>> = Vec::new();
        for n in 0..pool.shares().workspace {
            runs.push(Box::pin(pool.run(&tenant, move |_| n)));
        }
        assert!(runs.iter_mut().all(|run| poll(run.as_mut()).is_none()), "they wait");
        assert!(matches!(pool.run(&tenant, |_| ()).await, Err(Error::Busy)));
        runs.push(Box::pin(pool.run(&other, |_| 100)));
        // A resume needs no place in the room, which is full for this tenant.
        runs.push(Box::pin(pool.resume(&tenant, |_| 200)));
        assert!(runs.iter_mut().all(|run| poll(run.as_mut()).is_none()), "another has room");
        drop(permit);
        let done: Vec<_> = all(runs).await.into_iter().map(Result::ok).collect();
        assert_eq!(done, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(100), Some(200)]);
    }

    #[tokio::test]
    async fn n18_a_caller_that_is_dropped_leaves_the_queue_and_the_room() {
        let (pool, permit) = occupied_pool(4);
        let tenant = workspace("a", 1);
        let mut gone: Vec<_> = (0..pool.shares().workspace)
            .map(|_| Box::pin(pool.run(&tenant, |_| panic!("nobody waits for this"))))
            .collect();
        assert!(gone.iter_mut().all(|run| poll(run.as_mut()).is_none()));
        drop(gone);
        assert_eq!(waiting(&pool), 0);
        let mut stays = Box::pin(pool.run(&tenant, |_| 7));
        assert!(poll(stays.as_mut()).is_none(), "there is room again");
        drop(permit);
        assert_eq!(stays.await.expect("it ran"), 7);
        // The permit is neither lost nor counted twice.
        assert_eq!(pool.threads.state.lock().free, 1);
    }

    /// A permit that a caller received between its last poll and its drop is passed on.
    #[tokio::test]
    async fn a_permit_given_to_a_dropped_caller_is_passed_on() {
        let (pool, permit) = occupied_pool(4);
        let tenant = workspace("a", 1);
        let mut given = Box::pin(pool.run(&tenant, |_| ()));
        assert!(poll(given.as_mut()).is_none());
        drop(permit);
        // The permit was sent, but `given` is never polled again.
        drop(given);
        assert_eq!(pool.run(&tenant, |_| 1).await.expect("it ran"), 1);
    }

    #[tokio::test]
    async fn n18_work_sees_that_its_caller_was_dropped() {
        let threads = Threads::of(1);
        let pool = Arc::new(CpuPool::new(&threads, 4));
        let (started, begins) = oneshot::channel();
        let (sender, stopped) = oneshot::channel();
        let task = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                let work = move |cancel: &Cancel| {
                    let _ = started.send(());
                    while !cancel.is_set() {
                        std::thread::yield_now();
                    }
                    let _ = sender.send("stopped");
                };
                pool.run(&workspace("a", 1), work).await
            }
        });
        begins.await.expect("it began");
        task.abort();
        assert_eq!(stopped.await, Ok("stopped"));
        assert_eq!(pool.run(&workspace("a", 1), |_| 1).await.expect("the thread is free"), 1);
    }

    #[tokio::test]
    async fn work_behind_redirects_has_a_low_priority_and_no_thread_keeps_it() {
        let priority = || getpriority_process(None).expect("it is known");
        let pool = CpuPool::new(&Threads::of(1), 4);
        let (tenant, before) = (workspace("a", 1), priority());
        let behind = pool.run_behind(&tenant, move |_| priority()).await.expect("it ran");
        // 19 is the lowest one that a system has.
        assert_eq!(behind, (before + STEPS_BACK).min(19));
        // The thread is free again, and neither this one nor one of the runtime has become slower.
        assert_eq!(
            (pool.run(&tenant, move |_| priority()).await.expect("it ran"), priority()),
            (before, before)
        );
    }

    #[tokio::test]
    async fn a_panic_of_work_behind_redirects_reaches_its_caller_and_frees_the_thread() {
        let pool = CpuPool::new(&Threads::of(1), 4);
        let tenant = workspace("a", 1);
        assert!(panics(pool.run_behind(&tenant, |_| panic!("a bug"))).await, "the panic was resumed");
        assert_eq!(pool.run_behind(&tenant, |_| 1).await.expect("the thread is free"), 1);
    }

    /// Returns whether a future panics.
    async fn panics(future: impl Future<Output = Result<(), Error>>) -> bool {
        let mut future = Box::pin(future);
        std::future::poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(_)) => Poll::Ready(false),
                Err(_) => Poll::Ready(true),
            }
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_time() {
        let (pool, permit) = occupied_pool(4);
        // The clock of the test is paused, so 10 seconds pass at once.
        assert!(matches!(pool.run(&workspace("a", 1), |_| ()).await, Err(Error::Busy)));
        assert_eq!(waiting(&pool), 0);
        drop(permit);
    }

    /// One pool is full while another of the same threads admits callers, and all are served.
    #[tokio::test]
    async fn t111_a_full_room_rejects_only_its_own_callers() {
        let threads = Threads::of(1);
        let (ours, theirs) = (CpuPool::new(&threads, 8), CpuPool::new(&threads, 8));
        let permit = threads.try_acquire().expect("it is free");
        let tenant = workspace("a", 1);
        let mut runs: Vec<Run<'_, u32>> = Vec::new();
        for n in 0..ours.shares().workspace {
            runs.push(Box::pin(ours.run(&tenant, move |_| n)));
        }
        assert!(runs.iter_mut().all(|run| poll(run.as_mut()).is_none()));
        assert!(matches!(ours.run(&tenant, |_| 3).await, Err(Error::Busy)));
        runs.push(Box::pin(theirs.run(&tenant, |_| 4)));
        assert!(runs.iter_mut().all(|run| poll(run.as_mut()).is_none()));
        drop(permit);
        let done: Vec<_> = all(runs).await.into_iter().map(Result::ok).collect();
        assert_eq!(done, [Some(0), Some(1), Some(2), Some(4)]);
    }
}
