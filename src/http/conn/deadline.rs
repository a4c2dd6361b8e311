//! Deadlines of a connection: for request heads ([`HeadDeadline`]) and for clients that do not read
//! ([`WriteDeadline`]), on an [`Alarm`] that costs a fraction of tokio's timer.
//!
//! hyper's own deadline for heads creates a sleep before every head, and registers and deregisters it at
//! the timer: some 1,500 instructions a request. A timer for hyper upon an [`Alarm`] was tried: 350, most
//! of it for the box that hyper requires for every sleep. Without hyper: 130, most of it to read the time.
//! For writes hyper has no deadline at all.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Time for a client to accept what is written to it, or [`PACE`] bytes of it. Counted from the first
/// write that is pending, so that single bytes do not extend the deadline. nginx waits 60 s for each byte;
/// half of that is ample for a phone in a tunnel. Past it the connection is closed.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes of a long response that restart the [`WRITE_DEADLINE`]: 2 KB a second, as slow as modems were.
/// Redirects and pages are shorter, so for them the deadline is absolute.
const PACE: usize = 64 * 1024;

/// Age of a connection after which its next response is its last, as at nginx: a client that keeps one
/// connection open forever would never reach a server that was started beside this one, nor leave a server
/// that is being drained. See also [`super::head_guard`].
pub(super) const AGE_MAX: Duration = Duration::from_hours(1);

/// A timer for deadlines of one connection, which only ever move forward and are nearly never reached.
///
/// A new deadline does not reset the timer. The timer fires at an earlier deadline, and is reset then. A
/// busy connection is woken once per length of its deadline, and no deadline is late.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Created on first use: many connections never wait.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The waker that `sleep` was last polled with.
    waker: Waker,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { sleep: None, waker: Waker::noop().clone() }
    }
}

impl Alarm {
    /// Returns `Ready` once the deadline has passed. Otherwise the task is woken at the deadline, or before
    /// it to poll again.
    #[inline]
    pub(super) fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let rings = sleep.deadline();
        // Nearly always so: the timer fires before the deadline and wakes this task. It is not touched.
        if rings <= deadline && !sleep.is_elapsed() && self.waker.will_wake(cx.waker()) {
            return Poll::Pending;
        }
        // Only a timer that would fire too late, or has fired too early, is reset.
        if rings > deadline || (rings < deadline && sleep.is_elapsed()) {
            sleep.as_mut().reset(deadline);
        }
        self.waker.clone_from(cx.waker());
        // A task that has used up its budget would otherwise not be registered with the timer.
        pin!(unconstrained(sleep.as_mut())).poll(cx)
    }
}

/// The deadline for request heads of one connection, and the age of the connection.
#[derive(Debug)]
pub(super) struct HeadDeadline {
    /// Time for a whole request head, from when it is the client's turn.
    within: Duration,
    /// The number of the request whose head was last waited for, and when that head is due.
    due: Option<(u64, Instant)>,
    /// See [`AGE_MAX`]. Set when the first head is waited for, where the time is read anyway.
    old_at: Option<Instant>,
    is_old: bool,
    alarm: Alarm,
}

impl HeadDeadline {
    pub(super) fn new(within: Duration) -> HeadDeadline {
        HeadDeadline { within, due: None, old_at: None, is_old: false, alarm: Alarm::default() }
    }

    /// Fails with `TimedOut` once the head of this request is overdue. The deadline is absolute: single
    /// bytes do not extend it.
    #[inline]
    pub(super) fn poll(&mut self, request: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = match self.due {
            // The same head: a further poll must not extend its deadline.
            Some((number, deadline)) if number == request => deadline,
            _ => {
                let now = Instant::now();
                // Determined here, where the time was read anyway; used when the next request arrives.
                self.is_old = now >= *self.old_at.get_or_insert(now + AGE_MAX);
                now + self.within
            }
        };
        self.due = Some((request, deadline));
        self.alarm.poll_until(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns whether the connection was older than an hour when it last waited for a head.
    #[inline]
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    /// Returns the number of the request whose head was last waited for, and since when.
    pub(super) fn waited(&self) -> Option<(u64, Duration)> {
        let (request, deadline) = self.due?;
        // The wait began `within` before the deadline.
        Some((request, (Instant::now() + self.within).saturating_duration_since(deadline)))
    }
}

/// The deadline for what is written to one client.
#[derive(Debug, Default)]
pub(super) struct WriteDeadline {
    /// `Some` while a write is pending. Boxed, since few connections ever need it.
    slow: Option<Box<SlowReader>>,
}

/// A client that has not accepted what was written to it.
#[derive(Debug)]
struct SlowReader {
    deadline: Pin<Box<Sleep>>,
    /// Bytes accepted since the deadline began.
    taken: usize,
}

impl WriteDeadline {
    /// Returns the result of a write, or fails with `TimedOut` if the client accepts too little in time.
    #[inline]
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else { return self.poll_slow(cx) };
        if let (Ok(bytes), Some(slow)) = (&written, &mut self.slow) {
            slow.taken += bytes;
            if slow.taken >= PACE {
                // The next pending write starts a new deadline.
                self.caught_up(cx);
            }
        }
        Poll::Ready(written)
    }

    /// Like [`WriteDeadline::watch`], for a flush: what TLS has encrypted may wait there for the client.
    #[inline]
    pub(super) fn watch_flush(
        &mut self,
        cx: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if flushed.is_ready() { flushed } else { self.poll_slow(cx).map_ok(|_| ()) }
    }

    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let slow = self.slow.get_or_insert_with(|| {
            Box::new(SlowReader { deadline: Box::pin(sleep(WRITE_DEADLINE)), taken: 0 })
        });
        slow.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ends the deadline: the client has accepted everything, or enough of it.
    #[inline]
    pub(super) fn caught_up(&mut self, cx: &Context<'_>) {
        if self.slow.take().is_some() {
            // For the deadline of the next head, which was not polled while the client was slow.
            cx.waker().wake_by_ref();
        }
    }

    /// Returns whether a write is pending.
    #[inline]
    pub(super) fn is_slow(&self) -> bool {
        self.slow.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    const STEP: Duration = Duration::from_secs(10);

    /// Waits for a deadline that is this many steps ahead.
    async fn wait(alarm: &mut Alarm, steps: f64) {
        let deadline = Instant::now() + STEP.mul_f64(steps);
        poll_fn(|cx| alarm.poll_until(deadline, cx)).await;
    }

    /// Polls once.
    async fn poll_once(alarm: &mut Alarm, steps: f64) -> Poll<()> {
        let deadline = Instant::now() + STEP.mul_f64(steps);
        poll_fn(|cx| Poll::Ready(alarm.poll_until(deadline, cx))).await
    }

    #[track_caller]
    fn assert_waited(since: Instant, steps: f64) {
        let took = since.elapsed().as_secs_f64() / STEP.as_secs_f64();
        assert!((took - steps).abs() < 0.01, "{took} instead of {steps}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_met_wherever_the_alarm_was_set_before() {
        let check = |before: &'static [f64], steps: f64| async move {
            let mut alarm = Alarm::default();
            for earlier in before {
                assert_eq!(poll_once(&mut alarm, *earlier).await, Poll::Pending);
            }
            let start = Instant::now();
            wait(&mut alarm, steps).await;
            assert_waited(start, steps);
        };
        check(&[], 1.0).await;
        check(&[1.0], 1.0).await;
        check(&[1.0, 1.2, 1.4], 1.9).await;
        check(&[0.3, 0.1], 2.0).await;
        // No deadline of a connection moves back, but a late one would be no bound.
        check(&[2.0], 0.5).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_fired_without_a_poll_is_reset() {
        let mut alarm = Alarm::default();
        assert_eq!(poll_once(&mut alarm, 1.0).await, Poll::Pending);
        // A request took its time, and the alarm was not polled.
        tokio::time::advance(STEP * 3).await;
        let start = Instant::now();
        wait(&mut alarm, 1.0).await;
        assert_waited(start, 1.0);
        assert_eq!(poll_once(&mut alarm, 0.0).await, Poll::Ready(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_is_woken() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let deadline = start + STEP;
        poll_fn(|cx| {
            // A timer that is polled without budget registers no waker.
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            alarm.poll_until(deadline, cx)
        })
        .await;
        assert_waited(start, 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_polled_last_is_woken() {
        let mut alarm = Alarm::default();
        assert_eq!(poll_once(&mut alarm, 1.0).await, Poll::Pending);
        let start = Instant::now();
        // In another task, so with another waker.
        tokio::spawn(async move { wait(&mut alarm, 2.0).await }).await.expect("no panic");
        assert_waited(start, 2.0);
    }

    async fn watch(writes: &mut WriteDeadline, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut written = Some(written);
        poll_fn(|cx| Poll::Ready(writes.watch(cx, written.take().expect("polled once")))).await
    }

    #[tokio::test(start_paused = true)]
    async fn t24_single_bytes_do_not_extend_the_deadline_and_64_kb_do() {
        // The bytes that the client accepts every ten seconds, and whether they extend its deadline.
        for (takes, is_extended) in [(1, false), (PACE / 8, false), (PACE, true)] {
            let mut writes = WriteDeadline::default();
            let mut is_open = true;
            for _ in 0..5 {
                is_open &= watch(&mut writes, Poll::Pending).await.is_pending();
                tokio::time::advance(Duration::from_secs(10)).await;
                let taken = watch(&mut writes, Poll::Ready(Ok(takes))).await;
                assert!(matches!(taken, Poll::Ready(Ok(bytes)) if bytes == takes));
            }
            assert_eq!(is_open, is_extended, "{takes} bytes every ten seconds");
        }
    }
}
