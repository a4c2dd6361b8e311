//! Deadlines at a fraction of tokio's price. hyper asks its timer for a new sleep before every
//! head; to make one, queue it and take it out of the queue again costs some 1,500 instructions a
//! request. (A timer for hyper upon an [`Alarm`] was tried: 350, most of it for the box that hyper
//! wants of every sleep. Without hyper: 130, most of it to ask for the time.)
//!
//! Deadlines of one connection only ever move on, and nearly none is reached. So a connection has
//! one alarm: one that rings before a deadline is set anew then. A busy connection is woken once
//! per deadline's length, and no deadline is late.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Rings at or before the deadline that is next.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Made when first needed: many connections never wait.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who is woken.
    waker: Waker,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { sleep: None, waker: Waker::noop().clone() }
    }
}

impl Alarm {
    /// Whether the deadline is over; else the task is woken then, or before it to ask again.
    pub(super) fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let rings = sleep.deadline();
        if rings <= deadline && !sleep.is_elapsed() && self.waker.will_wake(cx.waker()) {
            return Poll::Pending;
        }
        if rings > deadline || (rings < deadline && sleep.is_elapsed()) {
            sleep.as_mut().reset(deadline);
        }
        self.waker.clone_from(cx.waker());
        // A task that has used up its budget would otherwise not be put down to be woken.
        pin!(unconstrained(sleep.as_mut())).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    const STEP: Duration = Duration::from_secs(10);

    async fn wait(alarm: &mut Alarm, steps: f64) {
        let deadline = Instant::now() + STEP.mul_f64(steps);
        poll_fn(|cx| alarm.poll_until(deadline, cx)).await;
    }

    /// Asks once.
    async fn look(alarm: &mut Alarm, steps: f64) -> Poll<()> {
        let deadline = Instant::now() + STEP.mul_f64(steps);
        poll_fn(|cx| Poll::Ready(alarm.poll_until(deadline, cx))).await
    }

    #[track_caller]
    fn assert_waited(since: Instant, steps: f64) {
        let took = since.elapsed().as_secs_f64() / STEP.as_secs_f64();
        assert!((took - steps).abs() < 0.01, "{took} in place of {steps}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_met_whatever_the_alarm_was_set_to() {
        let check = |before: &'static [f64], steps: f64| async move {
            let mut alarm = Alarm::default();
            for earlier in before {
                assert_eq!(look(&mut alarm, *earlier).await, Poll::Pending);
            }
            let start = Instant::now();
            wait(&mut alarm, steps).await;
            assert_waited(start, steps);
        };
        check(&[], 1.0).await;
        check(&[1.0], 1.0).await;
        check(&[1.0, 1.2, 1.4], 1.9).await;
        check(&[0.3, 0.1], 2.0).await;
        check(&[2.0], 0.5).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_rang_unheard_is_set_anew() {
        let mut alarm = Alarm::default();
        assert_eq!(look(&mut alarm, 1.0).await, Poll::Pending);
        // A request took its time; nobody looked at the alarm meanwhile.
        tokio::time::advance(STEP * 3).await;
        let start = Instant::now();
        wait(&mut alarm, 1.0).await;
        assert_waited(start, 1.0);
        assert_eq!(look(&mut alarm, 0.0).await, Poll::Ready(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_is_woken() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let deadline = start + STEP;
        poll_fn(|cx| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            alarm.poll_until(deadline, cx)
        })
        .await;
        assert_waited(start, 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_looked_last_is_woken() {
        let mut alarm = Alarm::default();
        assert_eq!(look(&mut alarm, 1.0).await, Poll::Pending);
        let start = Instant::now();
        // In another task, so with another waker.
        tokio::spawn(async move { wait(&mut alarm, 2.0).await }).await.expect("no panic");
        assert_waited(start, 2.0);
    }
}
