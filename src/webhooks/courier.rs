//! The one task that delivers. It owns the lanes; tries run beside it, at most [`IN_FLIGHT_MAX`],
//! and come back to it, so that nothing here needs a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id as TaskId, JoinError, JoinSet};
use tokio::time::Instant;
use url::Url;

use super::lanes::{Health, Lanes};
use super::queue::{Delivery, Offered, Place, Waiting};
use super::results::Attempt;
use super::send::{Signed, send};
use super::verdict::{Failure, Tried, Verdict, fault};
use super::{LIFETIME, Shared, event, sign};
use crate::clock::Timestamp;
use crate::model::id::Id;
use crate::table::record::WaitingDelivery;

/// Tries at once to all hosts: within the file descriptors that the server leaves, and at most
/// some 10 MB of buffers. 16 hosts that swallow everything hold them all, each for five seconds
/// and then the next in turn. Past it: the next waits.
const IN_FLIGHT_MAX: usize = 64;

/// Offers taken in at once, before tries that ended are looked at.
const INTAKE: usize = 256;

/// How often the log says that deliveries are given up or dropped.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// See the file.
pub(super) struct Courier {
    pub(super) shared: Arc<Shared>,
    pub(super) offered: mpsc::UnboundedReceiver<Offered>,
    stop: watch::Receiver<bool>,
    pub(super) lanes: Lanes,
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

impl Courier {
    pub(super) fn new(
        shared: Arc<Shared>,
        offered: mpsc::UnboundedReceiver<Offered>,
        stop: watch::Receiver<bool>,
    ) -> Courier {
        Courier {
            shared,
            offered,
            stop,
            lanes: Lanes::default(),
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
        let mut intake = Vec::with_capacity(INTAKE);
        while !*stop.borrow() {
            self.start_tries().await;
            self.tell();
            let wakes_at = self.lanes.wakes_at().unwrap_or_else(|| Instant::now() + LIFETIME);
            tokio::select! {
                () = told(&mut stop) => {}
                taken = self.offered.recv_many(&mut intake, INTAKE) => {
                    if taken == 0 {
                        break;
                    }
                    for offered in intake.drain(..) {
                        self.take_in(offered);
                    }
                }
                Some(landed) = self.flights.join_next_with_id() => self.land(landed).await,
                // Late by no more than a try: at the limit something else has to end first anyway.
                () = tokio::time::sleep_until(wakes_at), if self.under_way.len() < IN_FLIGHT_MAX => {}
            }
        }
        self.finish().await;
    }

    pub(super) fn take_in(&mut self, offered: Offered) {
        let now = Instant::now();
        let waiting = self.waiting(
            WaitingDelivery {
                event: offered.event,
                link: offered.link,
                workspace: offered.workspace,
                url: offered.url,
                body: offered.body,
                offered_at: offered.at,
                tries: 0,
                due: offered.at,
            },
            None,
            offered.place,
        );
        let taken = waiting.is_some_and(|waiting| self.lanes.push(waiting, now, now).is_ok());
        if !taken {
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A delivery with all that is derived; `None` when its URL is none.
    pub(super) fn waiting(&self, from: WaitingDelivery, batch: Option<Id>, place: Place) -> Option<Waiting> {
        let url = Url::parse(&from.url).ok()?;
        let host = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
        let age = millis_between(from.offered_at, self.shared.links.clock().now());
        let delivery = Delivery {
            event: from.event,
            link: from.link,
            workspace: from.workspace,
            url: from.url.into(),
            host: host.into(),
            body: from.body,
            offered_at: from.offered_at,
            expires: Instant::now() + LIFETIME.saturating_sub(age),
            batch,
            _place: place,
        };
        Some(Waiting { delivery: Arc::new(delivery), tries: from.tries })
    }

    async fn start_tries(&mut self) {
        while self.under_way.len() < IN_FLIGHT_MAX {
            let now = Instant::now();
            let Some(waiting) = self.lanes.next(now) else { break };
            if waiting.delivery.expires <= now {
                self.shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.is_over(waiting.delivery.batch).await;
                self.lanes.ended(waiting, Health::Unknown, None, now);
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

    pub(super) async fn land(&mut self, landed: Result<(TaskId, Tried), JoinError>) {
        let (id, tried) = match landed {
            Ok(landed) => landed,
            Err(error) => {
                tracing::error!("a try of a webhook panicked");
                (error.id(), Tried { result: Err(Failure::Internal), took: Duration::ZERO })
            }
        };
        let Some(waiting) = self.under_way.remove(&id) else { return };
        let (now, wall) = (Instant::now(), self.shared.links.clock().now());
        let tries = waiting.tries.saturating_add(1);
        let verdict = Verdict::of(&tried.result);
        let (health, delay) = match verdict {
            Verdict::Delivered => (Health::Well, None),
            Verdict::Gone => (Health::Unknown, None),
            Verdict::Failed(health) => (health, self.delay(tries)),
        };
        let delivery = &waiting.delivery;
        let delay = delay.filter(|delay| now + *delay < delivery.expires);
        let error = fault(&tried.result);
        if let (Some(error), 1) = (&error, tries) {
            tracing::debug!(link = %delivery.link, host = &*delivery.host, error, "a webhook was not delivered at once");
        }
        let next_attempt_at = delay.map(|delay| wall.plus_millis(millis(delay)));
        self.shared.results.add(
            delivery.link,
            Attempt {
                event: event::name(delivery.event).into(),
                url: Arc::clone(&delivery.url),
                attempt: tries,
                at: wall,
                status: tried.result.as_ref().ok().copied(),
                error: error.map(Into::into),
                took: tried.took,
                delivered: verdict == Verdict::Delivered,
                next_attempt_at,
            },
        );
        if delay.is_none() {
            let counts = &self.shared.counts;
            let over = if verdict == Verdict::Delivered { &counts.delivered } else { &counts.failed };
            over.fetch_add(1, Ordering::Relaxed);
            self.is_over(delivery.batch).await;
        }
        self.lanes.ended(Waiting { tries, ..waiting }, health, delay.map(|delay| now + delay), now);
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
        if let Err(error) = self.shared.links.forget_waiting(&[batch]).await {
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
async fn attempt(shared: &Shared, delivery: &Delivery) -> Result<u16, Failure> {
    let url = Url::parse(&delivery.url).map_err(|_| Failure::BadUrl)?;
    let secret = shared.links.signing_secret(delivery.workspace).await.map_err(|error| {
        tracing::debug!(%error, "a workspace's webhook secret cannot be made");
        Failure::NoSecret
    })?;
    let id = event::name(delivery.event);
    let (timestamp, signature) = sign::sign(&secret, &id, shared.links.clock().now(), &delivery.body);
    send(&shared.connector, &url, Signed { id, timestamp, signature, body: delivery.body.clone() }).await
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// From one instant to a later one; nothing when it is not later.
pub(super) fn millis_between(from: Timestamp, to: Timestamp) -> Duration {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
