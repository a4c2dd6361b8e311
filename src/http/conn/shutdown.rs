//! The end of all connections when the server stops. It costs each poll of a connection one load.
//!
//! hyper-util's `GracefulShutdown` polls a channel at every poll of a connection: some 150 instructions a
//! request. A `JoinSet` wakes the accept loop for each connection that ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use super::state::ConnState;

/// Connections serve requests.
const SERVING: u8 = 0;
/// Started requests finish, then their connections end.
const DRAINING: u8 = 1;
/// Connections end at once.
const CUT: u8 = 2;

/// Ends all connections: gracefully by [`Shutdown::drain`], at once by [`Shutdown::cut`] or its drop.
#[derive(Debug, Default)]
pub(super) struct Shutdown(Arc<Shared>);

/// One connection's view of the [`Shutdown`].
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Only grows. 1. It is stored before its `Notify` notifies, and 2. a task loads it after it has
    /// registered with that `Notify`: so a task sees either the stage or the notification.
    stage: AtomicU8,
    /// The age, in milliseconds, up to which a connection without a request outlives the beginning of the drain.
    first_request: AtomicU64,
    draining: Notify,
    // Of its own: a `Notified` completes once, and that of `draining` has completed before the cut.
    cut: Notify,
}

impl Shutdown {
    /// Creates the view of one connection.
    pub(super) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }

    /// Lets started requests finish, and ends each connection after its response. A connection that has had no request
    /// is ended once it is older than `first_request`.
    pub(super) fn drain(&self, first_request: Duration) {
        let milliseconds = u64::try_from(first_request.as_millis()).unwrap_or(u64::MAX);
        // Before the stage, whose load makes it visible.
        self.0.first_request.store(milliseconds, Ordering::Relaxed);
        // Not a store: a drain after a cut must not lower the stage.
        self.0.stage.fetch_max(DRAINING, Ordering::Release);
        self.0.draining.notify_waiters();
    }

    /// Ends all connections at once.
    pub(super) fn cut(&self) {
        self.0.stage.store(CUT, Ordering::Release);
        // Also these: a connection that has not seen the drain is registered here only.
        self.0.draining.notify_waiters();
        self.0.cut.notify_waiters();
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        // The tasks of connections are detached: without this they would outlive the accept loop.
        self.cut();
    }
}

impl Watch {
    /// Runs a connection to its end. Returns `None` if it was cut before. `drain` is called once, when the
    /// drain begins or its first request has come, and has the connection end after its response. A connection that is pending with a
    /// held response is polled once more, which writes the response ([`super::coalesce`]).
    pub(super) async fn run<C: Future>(
        self,
        connection: C,
        state: ConnState,
        drain: impl FnOnce(Pin<&mut C>),
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        let (mut draining, mut cut) = (pin!(self.0.draining.notified()), pin!(self.0.cut.notified()));
        let (mut is_registered, mut drain) = (false, Some(drain));
        let (accepted, mut first_request) = (Instant::now(), None);
        poll_fn(|cx| {
            if !is_registered {
                is_registered = true;
                register(draining.as_mut(), cx);
            }
            // After the registration: see `Shared::stage`.
            let is_draining = self.0.stage.load(Ordering::Acquire) != SERVING;
            if is_draining {
                if drain.is_some() {
                    // Before the second load, for the same reason.
                    register(cut.as_mut(), cx);
                }
                match self.first_request(&state, accepted, &mut first_request, cx) {
                    _ if drain.is_none() => {}
                    FirstRequest::MayCome => {}
                    // hyper keeps a connection that has had no request.
                    FirstRequest::TooLate => return Poll::Ready(None),
                    FirstRequest::NotAwaited => {
                        if let Some(drain) = drain.take() {
                            drain(connection.as_mut());
                        }
                    }
                }
                if self.0.stage.load(Ordering::Acquire) == CUT {
                    return Poll::Ready(None);
                }
            }
            // After the drain: an idle connection ends in this poll, since no event will cause another one.
            let served = connection.as_mut().poll(cx);
            // 1. This poll's flush was deferred. The flush of the next poll follows no write, so it is not.
            // 2. The first request has come in this poll, and the next one drains the connection.
            let is_due = state.is_holding() || (is_draining && drain.is_some() && !state.is_new());
            if served.is_pending() && is_due {
                cx.waker().wake_by_ref();
            }
            served.map(Some)
        })
        .await
    }

    /// Returns whether a drain waits for the first request of this connection. While it does, the response will be the
    /// last, and the task is woken once the time is over.
    fn first_request(
        &self,
        state: &ConnState,
        accepted: Instant,
        end: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> FirstRequest {
        let within = Duration::from_millis(self.0.first_request.load(Ordering::Relaxed));
        if within.is_zero() || !state.is_new() {
            return FirstRequest::NotAwaited;
        }
        // Its response says so: a client must not send a second request on this connection.
        state.set_last();
        let end = end.get_or_insert_with(|| Box::pin(sleep_until(accepted + within)));
        if end.as_mut().poll(cx).is_ready() { FirstRequest::TooLate } else { FirstRequest::MayCome }
    }
}

/// What a drain knows about the first request of a connection.
enum FirstRequest {
    /// It has come, or the drain does not wait for it.
    NotAwaited,
    MayCome,
    TooLate,
}

/// Registers this task with a `Notify`, also when the task has used up its budget. Once is enough: a
/// connection stays in one task.
fn register(notified: Pin<&mut impl Future>, cx: &mut Context<'_>) {
    // Not `Notified::enable`, which registers no waker. The result is not needed: the stage shows the same.
    let _ = pin!(unconstrained(notified)).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::time::Duration;

    use super::*;

    /// A connection that ends once it is drained, if it drains at all.
    fn connection(is_drained: &Arc<AtomicBool>, drains: bool) -> impl Future<Output = ()> + use<> {
        let is_drained = Arc::clone(is_drained);
        poll_fn(
            move |_| {
                if drains && is_drained.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            },
        )
    }

    /// Runs a connection, with one step of the shutdown before it begins and one while it runs.
    async fn run(while_it_runs: fn(&Shutdown), before: fn(&Shutdown), drains: bool) -> Option<()> {
        let (shutdown, is_drained) = (Shutdown::default(), Arc::new(AtomicBool::new(false)));
        before(&shutdown);
        let (watch, drained) = (shutdown.watch(), Arc::clone(&is_drained));
        let running = watch.run(connection(&is_drained, drains), ConnState::default(), move |_| {
            drained.store(true, Ordering::Relaxed);
        });
        let running = tokio::spawn(running);
        // The connection is polled here, so the step below finds it registered.
        tokio::task::yield_now().await;
        while_it_runs(&shutdown);
        let limit = Duration::from_mins(1);
        tokio::time::timeout(limit, running).await.expect("it is woken").expect("no panic")
    }

    #[tokio::test]
    async fn each_step_of_a_shutdown_reaches_a_connection_also_one_that_began_after_it() {
        let nothing: fn(&Shutdown) = |_| {};
        assert_eq!(run(|shutdown| shutdown.drain(Duration::ZERO), nothing, true).await, Some(()));
        assert_eq!(run(nothing, |shutdown| shutdown.drain(Duration::ZERO), true).await, Some(()));
        // A connection that never drains is ended by the cut alone.
        assert_eq!(run(Shutdown::cut, nothing, false).await, None);
        assert_eq!(run(Shutdown::cut, |shutdown| shutdown.drain(Duration::ZERO), false).await, None);
        assert_eq!(run(nothing, Shutdown::cut, false).await, None);
        let both: fn(&Shutdown) = |shutdown| {
            shutdown.drain(Duration::ZERO);
            shutdown.cut();
        };
        assert_eq!(run(both, nothing, false).await, None);
    }

    #[tokio::test]
    async fn a_connection_that_holds_a_response_is_polled_once_more() {
        let (state, runs, shutdown) =
            (ConnState::default(), Arc::new(AtomicUsize::new(0)), Shutdown::default());
        let (held, counted) = (state.clone(), Arc::clone(&runs));
        let connection = poll_fn(move |_| {
            held.set_holding(counted.fetch_add(1, Ordering::Relaxed) < 2);
            Poll::<()>::Pending
        });
        let running = tokio::spawn(shutdown.watch().run(connection, state, |_| {}));
        // Far more turns than the task needs, so that a busy loop would be counted.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(runs.load(Ordering::Relaxed), 3, "once more for each poll that held, and no more");
        running.abort();
    }

    #[tokio::test]
    async fn a_shutdown_that_is_dropped_cuts_all_connections() {
        let is_drained = Arc::new(AtomicBool::new(false));
        let shutdown = Shutdown::default();
        let connection = connection(&is_drained, false);
        let running = tokio::spawn(shutdown.watch().run(connection, ConnState::default(), |_| {}));
        tokio::task::yield_now().await;
        drop(shutdown);
        assert_eq!(running.await.expect("no panic"), None);
    }

    /// A restart waits a second for the request of a visitor who has just connected, and not for a silent client.
    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_a_first_request_for_a_bounded_time() {
        let (second, shutdown) = (Duration::from_secs(1), Shutdown::default());
        let start = |state: &ConnState| {
            let watch = shutdown.watch();
            let state = state.clone();
            tokio::spawn(async move { watch.run(std::future::pending::<()>(), state, |_| {}).await })
        };
        let (tracked, untracked) = (ConnState::default(), ConnState::default());
        let _service = tracked.track(());
        let (silent, other) = (start(&tracked), start(&untracked));
        tokio::time::sleep(second / 4).await;
        let begun = Instant::now();
        shutdown.drain(second);
        assert_eq!(silent.await.expect("no panic"), None);
        assert_eq!(begun.elapsed().as_millis(), 750, "counted from its acceptance");
        assert!(!other.is_finished(), "nothing is known about its requests");
        // Older than the time.
        let late = start(&tracked);
        tokio::time::sleep(second * 2).await;
        assert!(late.is_finished());
        shutdown.cut();
        assert_eq!(other.await.expect("no panic"), None);
    }
}
