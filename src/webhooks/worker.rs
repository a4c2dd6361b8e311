//! [`Worker`]: the one task that delivers. It starts the attempts that the scheduler chooses, and reports
//! their results to the scheduler. Attempts run as tasks of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id as TaskId, JoinError, JoinSet};
use tokio::time::Instant;
use url::Url;

use super::history::Attempt;
use super::outcome::{AttemptResult, Outcome, SendError, error_text};
use super::queue::{Delivery, DeliveryParts, QueuedDelivery};
use super::scheduler::Health;
use super::send::{SignedEvent, send};
use super::settings::LIFETIME;
use super::state::WebhookState;
use super::{event, sign};
use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::outbound::error::ConnectError;
use crate::table::record::WaitingDelivery;

/// Shortest interval between two warnings about lost deliveries.
const LOSS_LOG_INTERVAL: Duration = Duration::from_mins(1);

pub(super) struct Worker {
    pub(super) state: Arc<WebhookState>,
    stop: watch::Receiver<bool>,
    pub(super) running: JoinSet<AttemptResult>,
    pub(super) in_flight: HashMap<TaskId, QueuedDelivery>,
    /// The stored batches, and the number of unfinished deliveries in each.
    pub(super) batches: HashMap<Id, usize>,
    logged: LoggedLosses,
}

/// The losses that are already in the log.
#[derive(Default)]
struct LoggedLosses {
    at: Option<Instant>,
    failed: u64,
    dropped: u64,
}

impl Worker {
    pub(super) fn new(state: Arc<WebhookState>, stop: watch::Receiver<bool>) -> Worker {
        Worker {
            state,
            stop,
            running: JoinSet::new(),
            in_flight: HashMap::new(),
            batches: HashMap::new(),
            logged: LoggedLosses::default(),
        }
    }

    /// Delivers until the stop signal.
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            // A stop must not wait for a table that is not loaded.
            () = self.restore() => {}
            () = stopped(&mut stop) => {}
        }
        while !*stop.borrow() {
            self.start_attempts().await;
            self.remove_dropped().await;
            self.log_losses();
            let wakes_at = self.state.queue.lock().scheduler.wakes_at();
            // Without a timer, any time far ahead will do: another branch wakes the worker.
            let wakes_at = wakes_at.unwrap_or_else(|| Instant::now() + LIFETIME);
            tokio::select! {
                () = stopped(&mut stop) => {}
                () = self.state.offered.notified() => {}
                Some(finished) = self.running.join_next_with_id() => self.finish_attempt(finished).await,
                // The scheduler's next step removes all timers that are due, so this loop never spins.
                () = tokio::time::sleep_until(wakes_at) => {}
            }
        }
        self.finish().await;
    }

    /// Returns a delivery that the last stop stored. Returns `None` if its URL is invalid or its workspace
    /// does not exist any more.
    pub(super) fn load_delivery(&self, from: WaitingDelivery, batch: Id) -> Option<QueuedDelivery> {
        let company = self.state.tenants.workspace_numbered(from.workspace)?.company.clone();
        let age = millis_between(from.offered_at, self.state.tenants.clock().now());
        let delivery = Delivery::new(DeliveryParts {
            event: from.event,
            link: from.link,
            workspace: from.workspace,
            company,
            url: from.url,
            body: from.body,
            offered_at: from.offered_at,
            // The life counts from the click, over the restart. An older event expires at its next turn.
            expires: Instant::now() + LIFETIME.saturating_sub(age),
            batch: Some(batch),
        });
        Some(QueuedDelivery { delivery: Arc::new(delivery?), attempts: from.tries })
    }

    /// Removes dropped deliveries from their stored batches.
    pub(super) async fn remove_dropped(&mut self) {
        // Taken out, so that the lock is not held while the store is written.
        let batches = std::mem::take(&mut self.state.queue.lock().dropped_batches);
        for batch in batches {
            self.leave_batch(Some(batch)).await;
        }
    }

    async fn start_attempts(&mut self) {
        loop {
            let now = Instant::now();
            let next = self.state.queue.lock().scheduler.next(now);
            let Some(queued) = next else { break };
            // Checked at the start and not by a timer: an expired delivery costs nothing while it waits.
            if queued.delivery.expires <= now {
                self.state.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.leave_batch(queued.delivery.batch).await;
                self.state.queue.lock().scheduler.ended(queued, Health::Unknown, None, now);
                continue;
            }
            let (state, delivery) = (Arc::clone(&self.state), Arc::clone(&queued.delivery));
            let task = self.running.spawn(async move {
                let started = Instant::now();
                let result = attempt(&state, &delivery).await;
                AttemptResult { result, took: started.elapsed() }
            });
            self.in_flight.insert(task.id(), queued);
        }
        self.state.counts.in_flight.store(self.in_flight.len(), Ordering::Relaxed);
    }

    /// Records the result of an attempt: in the history, the counts, the store and the scheduler.
    pub(super) async fn finish_attempt(&mut self, finished: Result<(TaskId, AttemptResult), JoinError>) {
        let (id, finished) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                tracing::error!("an attempt to deliver a webhook panicked");
                (error.id(), AttemptResult { result: Err(SendError::Internal), took: Duration::ZERO })
            }
        };
        // Every task is in the map before the worker can join it, so this never returns.
        let Some(queued) = self.in_flight.remove(&id) else { return };
        let (now, wall) = (Instant::now(), self.state.tenants.clock().now());
        let attempts = queued.attempts.saturating_add(1);
        let outcome = Outcome::of(&finished.result);
        let (health, delay) = match outcome {
            Outcome::Delivered => (Health::Healthy, None),
            Outcome::Gone => (Health::Unknown, None),
            Outcome::Failed(health) => (health, self.delay(attempts)),
        };
        let delivery = &queued.delivery;
        // A retry after the end of its life would only occupy slots.
        let delay = delay.filter(|delay| now + *delay < delivery.expires);
        let error = error_text(&finished.result);
        // Only the first attempt, so that a receiver that is down does not fill the log with retries.
        if let (Some(error), 1) = (&error, attempts) {
            tracing::debug!(link = %delivery.link, host = &*delivery.authority, error, "the first attempt to deliver a webhook failed");
        }
        let next_attempt_at = delay.map(|delay| wall.plus_millis(millis(delay)));
        self.state.history.add(
            delivery,
            Attempt {
                event: event::name(delivery.event).into(),
                url: Arc::clone(&delivery.url),
                attempt: attempts,
                at: wall,
                status: finished.result.as_ref().ok().copied(),
                error: error.map(Into::into),
                took: finished.took,
                delivered: outcome == Outcome::Delivered,
                next_attempt_at,
            },
        );
        if delay.is_none() {
            let counts = &self.state.counts;
            let count = if outcome == Outcome::Delivered { &counts.delivered } else { &counts.failed };
            // A failed attempt with a retry is neither: the counts are of deliveries.
            count.fetch_add(1, Ordering::Relaxed);
            self.leave_batch(delivery.batch).await;
        }
        let retry_at = delay.map(|delay| now + delay);
        let queued = QueuedDelivery { attempts, ..queued };
        self.state.queue.lock().scheduler.ended(queued, health, retry_at, now);
        self.state.counts.in_flight.store(self.in_flight.len(), Ordering::Relaxed);
    }

    /// Returns the delay after this number of attempts, or `None` after the last. The delay is up to a
    /// fifth shorter than the setting, so that deliveries that failed together do not retry together.
    fn delay(&self, attempts: u8) -> Option<Duration> {
        let set = self.state.delays.get(usize::from(attempts).checked_sub(1)?)?;
        // Without random bits the whole delay is used.
        let fifths = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX) / 5.0;
        Some(set.mul_f64(1.0 - fifths))
    }

    /// Subtracts a finished delivery from its batch. Removes the batch from the store with its last one.
    pub(super) async fn leave_batch(&mut self, batch: Option<Id>) {
        let Some(batch) = batch else { return };
        let Some(left) = self.batches.get_mut(&batch) else { return };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        // Removed first: if the store fails, the batch stays there, and the next start delivers it again.
        self.batches.remove(&batch);
        if let Err(error) = self.state.tenants.forget_waiting(&[batch]).await {
            tracing::warn!(%error, "delivered webhooks stay in the store and may be delivered a second time");
        }
    }

    /// Logs new losses: at most one line in [`LOSS_LOG_INTERVAL`], for any number of deliveries.
    fn log_losses(&mut self) {
        let counts = &self.state.counts;
        let failed = counts.failed.load(Ordering::Relaxed);
        let dropped = counts.dropped.load(Ordering::Relaxed);
        let is_new = (failed, dropped) != (self.logged.failed, self.logged.dropped);
        if !is_new || self.logged.at.is_some_and(|at| at.elapsed() < LOSS_LOG_INTERVAL) {
            return;
        }
        tracing::warn!(
            given_up = failed - self.logged.failed,
            dropped = dropped - self.logged.dropped,
            "webhooks were not delivered: see each link's deliveries"
        );
        self.logged = LoggedLosses { at: Some(Instant::now()), failed, dropped };
    }
}

/// Returns at the stop signal, or when its sender was dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Signs an event and sends it once.
async fn attempt(state: &WebhookState, delivery: &Delivery) -> Result<u16, SendError> {
    let url = Url::parse(&delivery.url).map_err(|_| ConnectError::BadUrl)?;
    // Loaded for each attempt: a retry after a rotation is signed with the new secret.
    let secret = state.tenants.signing_secret(delivery.workspace).await.map_err(|error| {
        tracing::debug!(%error, "the webhook secret of a workspace cannot be created");
        SendError::NoSecret
    })?;
    let id = event::name(delivery.event);
    // The time of the attempt and not of the click: receivers reject old timestamps.
    let (timestamp, signature) = sign::sign(&secret, &id, state.tenants.clock().now(), &delivery.body);
    let signed = SignedEvent { id, timestamp, signature, body: delivery.body.clone() };
    send(&state.connector, &url, &delivery.tenant(), signed).await
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the time from one instant to a later one, or zero if the other is not later.
pub(super) fn millis_between(from: Timestamp, to: Timestamp) -> Duration {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
