//! [`Streams`]: the executor of one connection. Its streams run in the task of the connection.
//!
//! A task for each stream costs 1.9 times the CPU at 32 streams, and would end with the connection by chance only. A
//! redirect is complete at its first poll, so its stream is dropped without any other bookkeeping.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use super::shared::{Discarding, H2Shared, SendProgress};

/// Time for a client to accept [`PACE`] bytes of a response, or the rest of it: as for clients of HTTP/1.
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// Bytes of a long response that restart [`SLOW_AFTER`].
const PACE: u64 = 64 * 1024;

/// The streams that hyper has created. Cheap to clone: all clones share them.
#[derive(Clone)]
pub(super) struct Spawner {
    created: Arc<Mutex<Vec<H2Stream>>>,
    shared: H2Shared,
}

impl Spawner {
    pub(super) fn new(shared: H2Shared) -> Spawner {
        Spawner { created: Arc::default(), shared }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let progress = self.shared.take_latest();
        self.created.lock().push(H2Stream { future: Box::pin(future), progress, slow: None });
    }
}

/// The open streams of one connection.
pub(super) struct Streams {
    spawner: Spawner,
    /// The created streams, taken out of their lock. Kept for its memory.
    new: Vec<H2Stream>,
    pending: FuturesUnordered<H2Stream>,
    /// Bodies whose responses are complete.
    discarding: FuturesUnordered<Discarding>,
}

impl Streams {
    pub(super) fn new(spawner: Spawner) -> Streams {
        Streams {
            spawner,
            new: Vec::new(),
            pending: FuturesUnordered::new(),
            discarding: FuturesUnordered::new(),
        }
    }

    /// Runs all streams that can go on. Returns whether there were any.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> bool {
        std::mem::swap(&mut self.new, &mut self.spawner.created.lock());
        let mut has_run = !self.new.is_empty();
        for mut stream in self.new.drain(..) {
            if Pin::new(&mut stream).poll(cx).is_pending() {
                self.pending.push(stream);
            }
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.pending).poll_next(cx) {
            has_run = true;
        }
        // Behind the streams, whose end leaves the rests.
        while let Some(rest) = self.spawner.shared.take_rest() {
            self.discarding.push(rest);
            has_run = true;
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.discarding).poll_next(cx) {
            has_run = true;
        }
        has_run
    }

    /// Returns whether no stream is open.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.discarding.is_empty() && self.spawner.created.lock().is_empty()
    }
}

/// One request and its response.
struct H2Stream {
    /// Its drop resets the stream.
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    progress: SendProgress,
    /// `Some` while the client accepts nothing. Boxed, since few streams ever need it.
    slow: Option<Box<SlowStream>>,
}

/// A stream whose client has not opened its window.
struct SlowStream {
    deadline: Pin<Box<Sleep>>,
    /// The bytes that were passed on when the deadline began.
    from: u64,
}

impl Future for H2Stream {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(sent) = self.progress.waits_for_client() else {
            self.slow = None;
            return Poll::Pending;
        };
        // Single bytes do not extend the deadline.
        if self.slow.as_ref().is_some_and(|slow| sent - slow.from >= PACE) {
            self.slow = None;
        }
        let slow = self.slow.get_or_insert_with(|| {
            Box::new(SlowStream { deadline: Box::pin(sleep(SLOW_AFTER)), from: sent })
        });
        slow.deadline.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use super::*;

    fn streams() -> (Spawner, Streams) {
        let spawner = Spawner::new(H2Shared::default());
        (spawner.clone(), Streams::new(spawner))
    }

    async fn run(streams: &mut Streams) -> bool {
        poll_fn(|cx| Poll::Ready(streams.run(cx))).await
    }

    #[tokio::test]
    async fn a_stream_runs_until_it_ends_and_others_stay_open() {
        let (spawner, mut streams) = streams();
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        spawner.execute(async move {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert!(!streams.is_empty());
        assert!(run(&mut streams).await && streams.is_empty());
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        spawner.execute(pending());
        assert!(run(&mut streams).await && !streams.is_empty());
        assert!(!run(&mut streams).await, "nothing can go on");
    }

    /// The bytes that a client accepts every ten seconds, and whether its stream is still open after a minute.
    #[tokio::test(start_paused = true)]
    async fn h09_a_client_that_keeps_its_window_closed_loses_the_stream() {
        for (takes, is_starved, is_open) in
            [(0, false, false), (PACE / 8, false, false), (PACE, false, true), (0, true, true)]
        {
            let (spawner, mut streams) = streams();
            let progress = spawner.shared.begin(0, false).expect("memory");
            // The waker of the stream, which the frames of its client wake.
            let frames = Arc::new(Mutex::new(Waker::noop().clone()));
            let registered = Arc::clone(&frames);
            spawner.execute(poll_fn(move |cx| {
                registered.lock().clone_from(cx.waker());
                Poll::Pending
            }));
            progress.passed_on(0);
            run(&mut streams).await;
            for _ in 0..6 {
                if is_starved {
                    progress.is_starved();
                } else {
                    progress.passed_on(usize::try_from(takes).expect("small"));
                }
                frames.lock().wake_by_ref();
                run(&mut streams).await;
                tokio::time::advance(Duration::from_secs(10)).await;
                run(&mut streams).await;
            }
            assert_eq!(
                !streams.is_empty(),
                is_open,
                "{takes} bytes every ten seconds, starved: {is_starved}"
            );
        }
    }
}
