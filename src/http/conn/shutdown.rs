//! How connections are told that the server ends: a word to all of them that costs each poll of a
//! connection one load. (hyper-util's `GracefulShutdown` asks a channel at every poll: some 150
//! instructions a request, and a `JoinSet` wakes the accept loop for each connection that ends.)

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::task::coop::unconstrained;

use super::state::ConnState;

/// Nothing was said yet.
const SERVING: u8 = 0;
/// Started requests may finish.
const DRAINING: u8 = 1;
/// Connections end where they are.
const CUT: u8 = 2;

/// Tells. Whoever drops it has cut all connections.
#[derive(Debug, Default)]
pub(super) struct Shutdown(Arc<Shared>);

/// Hears, for one connection.
#[derive(Debug)]
pub(super) struct Watch(Arc<Shared>);

/// Each word has its own bell, rung once, after the word is there to be read.
#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    draining: Notify,
    cut: Notify,
}

impl Shutdown {
    /// For a connection.
    pub(super) fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }

    /// Started requests may finish.
    pub(super) fn drain(&self) {
        self.0.stage.fetch_max(DRAINING, Ordering::Release);
        self.0.draining.notify_waiters();
    }

    /// All connections end now.
    pub(super) fn cut(&self) {
        self.0.stage.store(CUT, Ordering::Release);
        self.0.draining.notify_waiters();
        self.0.cut.notify_waiters();
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Watch {
    /// Runs a connection to its end, or to the cut: then `None`. `drain` tells it to come to its
    /// end. One that waits with an answer held back is run once more, so that it leaves.
    pub(super) async fn over<C: Future>(
        self,
        connection: C,
        state: ConnState,
        drain: impl FnOnce(Pin<&mut C>),
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        let (mut draining, mut cut) = (pin!(self.0.draining.notified()), pin!(self.0.cut.notified()));
        let (mut is_listening, mut drain) = (false, Some(drain));
        poll_fn(|cx| {
            if !is_listening {
                is_listening = true;
                listen(draining.as_mut(), cx);
            }
            // After listening, so that no word is missed between the two.
            if self.0.stage.load(Ordering::Acquire) != SERVING {
                if let Some(drain) = drain.take() {
                    drain(connection.as_mut());
                    listen(cut.as_mut(), cx);
                }
                if self.0.stage.load(Ordering::Acquire) == CUT {
                    return Poll::Ready(None);
                }
            }
            let served = connection.as_mut().poll(cx);
            if served.is_pending() && state.is_holding() {
                cx.waker().wake_by_ref();
            }
            served.map(Some)
        })
        .await
    }
}

/// Has the bell wake this task, whatever is left of the task's budget. It stays the same task.
fn listen(bell: Pin<&mut impl Future>, cx: &mut Context<'_>) {
    let _ = pin!(unconstrained(bell)).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::time::Duration;

    use super::*;

    /// Ends when told to drain, if it is obedient.
    fn connection(told: &Arc<AtomicBool>, obeys: bool) -> impl Future<Output = ()> + use<> {
        let told = Arc::clone(told);
        poll_fn(move |_| if obeys && told.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending })
    }

    async fn ends(when_told: fn(&Shutdown), before: fn(&Shutdown), obeys: bool) -> Option<()> {
        let (shutdown, told) = (Shutdown::default(), Arc::new(AtomicBool::new(false)));
        before(&shutdown);
        let (watch, hears) = (shutdown.watch(), Arc::clone(&told));
        let over = watch.over(connection(&told, obeys), ConnState::default(), move |_| {
            hears.store(true, Ordering::Relaxed);
        });
        let over = tokio::spawn(over);
        tokio::task::yield_now().await;
        when_told(&shutdown);
        let limit = Duration::from_mins(1);
        tokio::time::timeout(limit, over).await.expect("it is woken").expect("no panic")
    }

    #[tokio::test]
    async fn each_word_is_heard_also_when_it_was_said_before() {
        let nothing: fn(&Shutdown) = |_| {};
        assert_eq!(ends(Shutdown::drain, nothing, true).await, Some(()));
        assert_eq!(ends(nothing, Shutdown::drain, true).await, Some(()));
        assert_eq!(ends(Shutdown::cut, nothing, false).await, None);
        assert_eq!(ends(Shutdown::cut, Shutdown::drain, false).await, None);
        assert_eq!(ends(nothing, Shutdown::cut, false).await, None);
        let both: fn(&Shutdown) = |shutdown| {
            shutdown.drain();
            shutdown.cut();
        };
        assert_eq!(ends(both, nothing, false).await, None);
    }

    #[tokio::test]
    async fn a_connection_that_holds_an_answer_back_is_run_once_more() {
        let (state, runs, shutdown) =
            (ConnState::default(), Arc::new(AtomicUsize::new(0)), Shutdown::default());
        let (held, counted) = (state.clone(), Arc::clone(&runs));
        let connection = poll_fn(move |_| {
            held.set_holding(counted.fetch_add(1, Ordering::Relaxed) < 2);
            Poll::<()>::Pending
        });
        let over = tokio::spawn(shutdown.watch().over(connection, state, |_| {}));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(runs.load(Ordering::Relaxed), 3, "once more for each that held, and no further");
        over.abort();
    }

    #[tokio::test]
    async fn a_server_that_is_dropped_leaves_no_connection() {
        let told = Arc::new(AtomicBool::new(false));
        let shutdown = Shutdown::default();
        let over =
            tokio::spawn(shutdown.watch().over(connection(&told, false), ConnState::default(), |_| {}));
        tokio::task::yield_now().await;
        drop(shutdown);
        assert_eq!(over.await.expect("no panic"), None);
    }
}
