//! Turns: work that keeps a core busy for long waits for one of few threads, in a queue of bounded
//! length. What it promises: whatever is asked of the APIs and of password pages, redirects keep
//! half the cores, and whoever waits in vain is told so instead of piling up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

/// Longest wait for a turn, as long as callers are usually willing to. Past it: 503, try again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads that one kind of heavy work holds at most: half the cores, so that redirects find the
/// other half; one where there is one.
pub(super) fn at_once() -> usize {
    available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Threads that all kinds together hold at most: hashing and scans.
pub fn heavy_threads() -> usize {
    2 * at_once()
}

/// Who waits for one of some threads. Several queues may share them: then the length of one says
/// nothing to the others.
#[derive(Debug)]
pub(super) struct Queue {
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
    most: usize,
}

/// Leaves the queue however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// At most `most` wait; who comes then is told [`Error::Busy`].
    pub(super) fn new(threads: Arc<Semaphore>, most: usize) -> Queue {
        Queue { threads, waiting: AtomicUsize::new(0), most }
    }

    /// Threads for one kind of work.
    pub(super) fn threads() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(at_once()))
    }

    /// Does `work` where blocking is allowed when it is its turn: to its end, also when whoever
    /// asked is gone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        Queue::keep(self.turn().await?, work).await
    }

    /// The same for who goes on with what was begun, and so has been let in: it is not turned away,
    /// and has its turn behind those who wait. How many wait so is bounded by what is under way.
    pub(super) async fn go_on<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.threads).acquire_owned().await;
        Queue::keep(turn.expect("the semaphore is never closed"), work).await
    }

    async fn keep<T: Send + 'static>(
        turn: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(stopped) => match stopped.try_into_panic() {
                // The panic goes on to the request that caused it, which answers 500.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::NotReady("the server is stopping".to_owned())),
            },
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most + self.threads.available_permits() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let waiting = Waiting(&self.waiting);
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.threads).acquire_owned()).await;
        drop(waiting);
        Ok(turn.map_err(|_| Error::Busy)?.expect("the semaphore is never closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_goes_on_is_not_turned_away() {
        let threads = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&threads).acquire_owned().await.expect("open");
        let queue = Queue::new(threads, 1);
        let ((), first, refused, goes_on) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                drop(held);
            },
            queue.run(|| 1),
            queue.run(|| 2),
            queue.go_on(|| 3),
        );
        assert_eq!((first.ok(), goes_on.ok()), (Some(1), Some(3)));
        assert!(matches!(refused, Err(Error::Busy)));
    }

    /// T111: one queue is full while another of the same threads takes who comes, and all are served.
    #[tokio::test]
    async fn a_full_queue_says_so_and_only_for_itself() {
        let threads = Arc::new(Semaphore::new(1));
        let held = Arc::clone(&threads).acquire_owned().await.expect("open");
        let (ours, theirs) = (Queue::new(Arc::clone(&threads), 2), Queue::new(threads, 2));
        let ((), first, second, third, other) = tokio::join!(
            async {
                // After the others, which `join!` polls in their order, but before their turns.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                drop(held);
            },
            ours.run(|| 1),
            ours.run(|| 2),
            ours.run(|| 3),
            theirs.run(|| 4),
        );
        assert_eq!((first.ok(), second.ok(), other.ok()), (Some(1), Some(2), Some(4)));
        assert!(matches!(third, Err(Error::Busy)));
    }
}
