//! The one task that delivers: it starts what the scheduler says, and tells it what became of each try.
//! Tries run beside it. The scheduler is behind a lock, which clicks take to add a delivery; it is held
//! for one step of the scheduler, never over an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id as TaskId, JoinError, JoinSet};
use tokio::time::Instant;
use url::Url;

use super::history::Attempt;
use super::outcome::{Outcome, SendError, Tried, fault};
use super::queue::{Delivery, Event, Waiting};
use super::scheduler::Health;
use super::send::{Signed, send};
use super::{LIFETIME, Shared, event, sign};
use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::table::record::WaitingDelivery;

/// How often the log says that deliveries are given up or dropped.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// See the file.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    pub(super) flights: JoinSet<Tried>,
    pub(super) under_way: HashMap<TaskId, Waiting>,
    /// Batches in the store, and how many of each one's deliveries are not over yet.
    pub(super) batches: HashMap<Id, usize>,
    told: Told,
}

/// What the log was told.
#[derive(Default)]
struct Told {
    at: Option<Instant>,
    failed: u64,
    dropped: u64,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Worker {
        Worker {
            shared,
            stop,
            flights: JoinSet::new(),
            under_way: HashMap::new(),
            batches: HashMap::new(),
            told: Told::default(),
        }
    }

    /// Delivers until told to stop.
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.restore() => {}
            () = told(&mut stop) => {}
        }
        while !*stop.borrow() {
            self.start_tries().await;
            self.forget_dropped().await;
            self.tell();
            let wakes_at = self.shared.queue.lock().scheduler.wakes_at();
            let wakes_at = wakes_at.unwrap_or_else(|| Instant::now() + LIFETIME);
            tokio::select! {
                () = told(&mut stop) => {}
                () = self.shared.offered.notified() => {}
                Some(landed) = self.flights.join_next_with_id() => self.finish_attempt(landed).await,
                // What is due is made ready by the scheduler's next step, so this never spins.
                () = tokio::time::sleep_until(wakes_at) => {}
            }
        }
        self.finish().await;
    }

    /// A delivery that the last stop wrote down, with all that is derived; `None` when its URL or its
    /// workspace is none.
    pub(super) fn waiting(&self, from: WaitingDelivery, batch: Id) -> Option<Waiting> {
        let company = self.shared.tenants.workspace_numbered(from.workspace)?.company.clone();
        let age = millis_between(from.offered_at, self.shared.tenants.clock().now());
        let delivery = Delivery::new(Event {
            id: from.event,
            link: from.link,
            workspace: from.workspace,
            company,
            url: from.url,
            body: from.body,
            offered_at: from.offered_at,
            expires: Instant::now() + LIFETIME.saturating_sub(age),
            batch: Some(batch),
        });
        Some(Waiting { delivery: Arc::new(delivery?), tries: from.tries })
    }

    /// Takes what was dropped out of its batch in the store.
    pub(super) async fn forget_dropped(&mut self) {
        let over = std::mem::take(&mut self.shared.queue.lock().over);
        for batch in over {
            self.is_over(Some(batch)).await;
        }
    }

    async fn start_tries(&mut self) {
        loop {
            let now = Instant::now();
            let next = self.shared.queue.lock().scheduler.next(now);
            let Some(waiting) = next else { break };
            if waiting.delivery.expires <= now {
                self.shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.is_over(waiting.delivery.batch).await;
                self.shared.queue.lock().scheduler.ended(waiting, Health::Unknown, None, now);
                continue;
            }
            let (shared, delivery) = (Arc::clone(&self.shared), Arc::clone(&waiting.delivery));
            let flight = self.flights.spawn(async move {
                let started = Instant::now();
                let result = attempt(&shared, &delivery).await;
                Tried { result, took: started.elapsed() }
            });
            self.under_way.insert(flight.id(), waiting);
        }
        self.shared.counts.in_flight.store(self.under_way.len(), Ordering::Relaxed);
    }

    pub(super) async fn finish_attempt(&mut self, landed: Result<(TaskId, Tried), JoinError>) {
        let (id, tried) = match landed {
            Ok(landed) => landed,
            Err(error) => {
                tracing::error!("a try of a webhook panicked");
                (error.id(), Tried { result: Err(SendError::Internal), took: Duration::ZERO })
            }
        };
        let Some(waiting) = self.under_way.remove(&id) else { return };
        let (now, wall) = (Instant::now(), self.shared.tenants.clock().now());
        let tries = waiting.tries.saturating_add(1);
        let verdict = Outcome::of(&tried.result);
        let (health, delay) = match verdict {
            Outcome::Delivered => (Health::Well, None),
            Outcome::Gone => (Health::Unknown, None),
            Outcome::Failed(health) => (health, self.delay(tries)),
        };
        let delivery = &waiting.delivery;
        let delay = delay.filter(|delay| now + *delay < delivery.expires);
        let error = fault(&tried.result);
        if let (Some(error), 1) = (&error, tries) {
            tracing::debug!(link = %delivery.link, host = &*delivery.lane, error, "a webhook was not delivered at once");
        }
        let next_attempt_at = delay.map(|delay| wall.plus_millis(millis(delay)));
        self.shared.results.add(
            delivery,
            Attempt {
                event: event::name(delivery.event).into(),
                url: Arc::clone(&delivery.url),
                attempt: tries,
                at: wall,
                status: tried.result.as_ref().ok().copied(),
                error: error.map(Into::into),
                took: tried.took,
                delivered: verdict == Outcome::Delivered,
                next_attempt_at,
            },
        );
        if delay.is_none() {
            let counts = &self.shared.counts;
            let over = if verdict == Outcome::Delivered { &counts.delivered } else { &counts.failed };
            over.fetch_add(1, Ordering::Relaxed);
            self.is_over(delivery.batch).await;
        }
        let retry_at = delay.map(|delay| now + delay);
        self.shared.queue.lock().scheduler.ended(Waiting { tries, ..waiting }, health, retry_at, now);
        self.shared.counts.in_flight.store(self.under_way.len(), Ordering::Relaxed);
    }

    /// How long to wait after so many tries; `None` after the last. Up to a fifth shorter than
    /// set, so that what failed together does not come back together.
    fn delay(&self, tries: u8) -> Option<Duration> {
        let set = self.shared.delays.get(usize::from(tries).checked_sub(1)?)?;
        let fifths = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX) / 5.0;
        Some(set.mul_f64(1.0 - fifths))
    }

    /// One delivery of a batch is over; with the last one the batch leaves the store.
    pub(super) async fn is_over(&mut self, batch: Option<Id>) {
        let Some(batch) = batch else { return };
        let Some(left) = self.batches.get_mut(&batch) else { return };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        self.batches.remove(&batch);
        if let Err(error) = self.shared.tenants.forget_waiting(&[batch]).await {
            tracing::warn!(%error, "delivered webhooks stay in the store and may be delivered again");
        }
    }

    /// Says in the log, now and then, that something is lost: one line for however many.
    fn tell(&mut self) {
        let counts = &self.shared.counts;
        let failed = counts.failed.load(Ordering::Relaxed);
        let dropped = counts.dropped.load(Ordering::Relaxed);
        let is_new = (failed, dropped) != (self.told.failed, self.told.dropped);
        if !is_new || self.told.at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        tracing::warn!(
            given_up = failed - self.told.failed,
            dropped = dropped - self.told.dropped,
            "webhooks were not delivered: see each link's deliveries"
        );
        self.told = Told { at: Some(Instant::now()), failed, dropped };
    }
}

/// Returns when told to stop, or when nobody is left who could tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Signs and sends once.
async fn attempt(shared: &Shared, delivery: &Delivery) -> Result<u16, SendError> {
    let url = Url::parse(&delivery.url).map_err(|_| SendError::BadUrl)?;
    let secret = shared.tenants.signing_secret(delivery.workspace).await.map_err(|error| {
        tracing::debug!(%error, "a workspace's webhook secret cannot be made");
        SendError::NoSecret
    })?;
    let id = event::name(delivery.event);
    let (timestamp, signature) = sign::sign(&secret, &id, shared.tenants.clock().now(), &delivery.body);
    let signed = Signed { id, timestamp, signature, body: delivery.body.clone() };
    send(&shared.connector, &url, &delivery.tenant(), signed).await
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// From one instant to a later one; nothing when it is not later.
pub(super) fn millis_between(from: Timestamp, to: Timestamp) -> Duration {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
